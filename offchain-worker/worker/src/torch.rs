//! The real trainer behind [`Trainer`]: `attune_trainer`, in the arithmetic that the job asks for.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use attune_chain_client::{
    json::text,
    primitives::job::{ArithmeticMode, BaseFormat as SpecBase, Method, Schedule as SpecSchedule},
    types::Spec,
    H256,
};
use attune_trainer::{
    arithmetic::EXACT_VERSION, data::PackedData, lora::LoraConfig, optimizer::AdamWConfig,
    schedule::Schedule, Arithmetic, BaseFormat, DeviceChoice, Error, ExecutionClass, Placement, Session,
    SessionInputs, TrainConfig,
};

use crate::{
    advert::{machine, Machine},
    engine::{SegmentOutcome, Step, TrainError, Trainer, Training, TrainingJob},
};

/// The configuration that a specification fixes. The provider adds nothing to it.
pub fn train_config(spec: &Spec) -> TrainConfig {
    let Method::Lora { rank, alpha, rank_stabilised } = spec.method;
    let hyper = &spec.hyper;
    // Divisions by powers of ten are rounded once and so are the same on every machine.
    let micro = |value: u32| f64::from(value) / 1e6;
    let ends = (0u32..).map_while(|milestone| spec.milestone_segments(milestone)).map(|(_, end)| end);
    TrainConfig {
        seed: spec.seed,
        data_key: spec.hash().0,
        lora: LoraConfig { rank: u32::from(rank), alpha: f64::from(alpha), use_rslora: rank_stabilised },
        learning_rate: hyper.learning_rate_nano as f64 / 1e9,
        schedule: match hyper.schedule {
            SpecSchedule::Constant => Schedule::Constant,
            SpecSchedule::Linear => Schedule::Linear,
            SpecSchedule::Cosine => Schedule::Cosine,
        },
        warmup_steps: u64::from(hyper.warmup_steps),
        steps_per_segment: spec.steps_per_segment,
        segments: spec.segments(),
        micro_batch_size: u32::from(hyper.micro_batch_rows),
        gradient_accumulation_steps: u32::from(hyper.gradient_accumulation),
        max_grad_norm: micro(hyper.max_gradient_norm_micro),
        adamw: AdamWConfig {
            beta1: micro(hyper.beta1_micro),
            beta2: micro(hyper.beta2_micro),
            epsilon: f64::from(hyper.epsilon_pico) / 1e12,
            weight_decay: micro(hyper.weight_decay_micro),
        },
        sequence_length: spec.data.sequence_length,
        evaluate_after_segments: ends.map(|end| end.saturating_sub(1)).collect(),
    }
}

/// `attune_trainer`: exact arithmetic on a device of choice, with as many threads as the execution class has where that is
/// the CPU, and libtorch's binary32 in that class, to which it is pinned.
#[derive(Clone, Debug)]
pub struct TorchTrainer {
    class: ExecutionClass,
    device: DeviceChoice,
    placement: Placement,
    failed: Failed,
}

/// Folders of the jobs that a GPU failed on. Where the device is not prescribed they go on on the CPU, which gives the same
/// bits: a model that is too large for the GPU must not fail job after job.
#[derive(Clone, Debug, Default)]
struct Failed(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Failed {
    fn note(&self, job: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job.to_owned());
    }

    fn has(&self, job: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(job)
    }
}

/// What shows the device of exact jobs; the device is the same for both forms of the base.
const EXACT: Arithmetic = Arithmetic::Exact(BaseFormat::W8);

impl TorchTrainer {
    /// Pins this process to the class, and trains on the CPU. Call it before anything else uses libtorch.
    ///
    /// # Errors
    /// If this machine cannot run the class, or the process is pinned to another one.
    pub fn pin(class: ExecutionClass) -> Result<Self, TrainError> {
        class.pin().map_err(sort)?;
        let device = DeviceChoice::Cpu;
        let placement = device.place(EXACT).map_err(sort)?;
        Ok(Self { class, device, placement, failed: Failed::default() })
    }

    /// The same on another device, for jobs in exact arithmetic.
    ///
    /// # Errors
    /// If the GPU that is asked for cannot be used.
    pub fn on(self, device: DeviceChoice) -> Result<Self, TrainError> {
        let placement = device.place(EXACT).map_err(sort)?;
        // What is advertised stays true: a GPU that appears later is not taken before the next start.
        let device = match (&placement.gpu, device) {
            (None, DeviceChoice::Auto) => DeviceChoice::Cpu,
            _ => device,
        };
        Ok(Self { device, placement, ..self })
    }

    /// The class.
    pub fn class(&self) -> ExecutionClass {
        self.class
    }

    /// Where jobs in exact arithmetic are trained, and why there.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The device of a job. In an execution class there is only the CPU; a GPU that was chosen for exact jobs is no mistake
    /// there.
    fn device(&self, arithmetic: Arithmetic, job: &Path) -> DeviceChoice {
        match arithmetic {
            Arithmetic::Float(_) => DeviceChoice::Cpu,
            Arithmetic::Exact(_) if self.device == DeviceChoice::Auto && self.failed.has(job) => {
                DeviceChoice::Cpu
            }
            Arithmetic::Exact(_) => self.device,
        }
    }

    /// The arithmetic of a job, if it is one of this trainer's. What it cannot compute is refused: a result in another
    /// arithmetic would be a wrong one, and a verdict on it a false one.
    fn arithmetic(&self, mode: &ArithmeticMode) -> Result<Arithmetic, TrainError> {
        match mode {
            ArithmeticMode::Exact { version: EXACT_VERSION, base } => Ok(Arithmetic::Exact(match base {
                SpecBase::W8 => BaseFormat::W8,
                SpecBase::W4 => BaseFormat::W4,
            })),
            ArithmeticMode::Exact { version, .. } => Err(TrainError::Machine(format!(
                "the job is in version {version} of exact arithmetic, this worker computes version {EXACT_VERSION}; \
                 take the release that computes it"
            ))),
            ArithmeticMode::ClassExact { class } if text(class) == self.class.to_string() => {
                Ok(Arithmetic::Float(self.class))
            }
            ArithmeticMode::ClassExact { class } => Err(TrainError::Machine(format!(
                "the job is in execution class {}, this worker is pinned to {}; start it with --class",
                text(class),
                self.class
            ))),
        }
    }

    fn inputs(&self, job: &TrainingJob) -> Result<SessionInputs, TrainError> {
        let arithmetic = self.arithmetic(&job.spec.mode)?;
        Ok(SessionInputs {
            model_dir: job.model_dir.clone(),
            data_dir: job.data_dir.clone(),
            config: train_config(&job.spec),
            arithmetic,
            threads: self.class.threads() as usize,
            device: self.device(arithmetic, &job.model_dir),
        })
    }
}

impl Trainer for TorchTrainer {
    fn open(&self, job: &TrainingJob, checkpoint: Option<&Path>) -> Result<Box<dyn Training>, TrainError> {
        let inputs = self.inputs(job)?;
        check_data(job)?;
        let session = match checkpoint {
            Some(path) => Session::resume(&inputs, path),
            None => Session::start(&inputs),
        };
        let open = TorchTraining::new(session, job.model_dir.clone(), self.failed.clone())?;
        if open.session.placement().gpu != self.placement.gpu
            && matches!(inputs.arithmetic, Arithmetic::Exact(_))
        {
            tracing::warn!(
                expected = self.placement.device(),
                found = %open.session.placement(),
                folder = %job.model_dir.display(),
                "a job is not trained where this worker trains; its result is the same"
            );
        }
        Ok(Box::new(open))
    }

    fn machine(&self) -> Machine {
        self.placement.gpu.as_ref().map_or_else(machine, Machine::with_gpu)
    }
}

/// The packed data must be what the specification says: price and deadlines were agreed on for it.
fn check_data(job: &TrainingJob) -> Result<(), TrainError> {
    let data = PackedData::open(&job.data_dir).map_err(|error| TrainError::Inputs(error.to_string()))?;
    let spec = &job.spec.data;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    for (what, found, expected) in [
        ("train rows", count(data.train.rows), u64::from(spec.rows)),
        ("held-out rows", count(data.held_out.rows), u64::from(spec.held_out_rows)),
        ("tokens per row", count(data.sequence_length), u64::from(spec.sequence_length)),
    ] {
        if found != expected {
            return Err(TrainError::Inputs(format!(
                "expected {expected} {what} as the specification says, found {found}; pack the data again and order anew"
            )));
        }
    }
    Ok(())
}

/// One session of the trainer.
struct TorchTraining {
    session: Session,
    job: PathBuf,
    failed: Failed,
}

impl TorchTraining {
    fn new(
        session: attune_trainer::Result<Session>,
        job: PathBuf,
        failed: Failed,
    ) -> Result<Self, TrainError> {
        match session {
            Ok(session) => Ok(Self { session, job, failed }),
            Err(error) => Err(noted(error, &job, &failed)),
        }
    }

    fn sort(&self, error: Error) -> TrainError {
        noted(error, &self.job, &self.failed)
    }
}

/// Whose fault an error is; a GPU's is kept in mind.
fn noted(error: Error, job: &Path, failed: &Failed) -> TrainError {
    if matches!(error, Error::Cuda(_)) {
        failed.note(job);
    }
    sort(error)
}

impl Training for TorchTraining {
    fn state_root(&self) -> Result<H256, TrainError> {
        self.session.state_root().map_err(|error| self.sort(error))
    }

    fn run_segment(
        &mut self,
        on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<SegmentOutcome, TrainError> {
        let config = self.session.config();
        let tokens = config.rows_per_step().saturating_mul(u64::from(config.sequence_length));
        let mut report =
            |step: attune_trainer::StepReport| on_step(Step { step: step.step, loss: step.loss, tokens });
        let done =
            self.session.run_segment(&mut report).map_err(|error| noted(error, &self.job, &self.failed))?;
        Ok(SegmentOutcome {
            start_root: done.start_root,
            end_root: done.end_root,
            trace: done.trace,
            metrics: done.metrics,
        })
    }

    fn save_checkpoint(&self, path: &Path) -> Result<(), TrainError> {
        self.session.save_checkpoint(path).map_err(|error| self.sort(error))
    }

    fn export(&self, dir: &Path, base_model: &str) -> Result<(), TrainError> {
        self.session.export_peft(dir, base_model).map_err(|error| self.sort(error))
    }
}

/// Whose fault an error is.
fn sort(error: Error) -> TrainError {
    let text = error.to_string();
    match error {
        Error::Config(_)
        | Error::Model { .. }
        | Error::Weights { .. }
        | Error::Data(_)
        | Error::Adapter { .. } => TrainError::Inputs(text),
        Error::Checkpoint { .. } => TrainError::Checkpoint(text),
        Error::NotFinite { .. } | Error::Fault(_) | Error::HeldOut { .. } => TrainError::Diverged(text),
        Error::Stopped { .. } => TrainError::Stopped,
        _ => TrainError::Machine(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_setting_of_a_specification_reaches_the_configuration() {
        let spec = testing::spec();
        let config = train_config(&spec);
        config.validate().unwrap();
        assert_eq!(config.learning_rate, 2e-3);
        assert_eq!((config.lora.rank, config.lora.alpha, config.lora.use_rslora), (8, 16.0, false));
        assert_eq!(config.schedule, Schedule::Cosine);
        assert_eq!((config.segments, config.steps_per_segment), (4, 5));
        assert_eq!((config.micro_batch_size, config.gradient_accumulation_steps), (2, 3));
        assert_eq!((config.max_grad_norm, config.warmup_steps, config.sequence_length), (1.0, 3, 64));
        let adamw = config.adamw;
        assert_eq!((adamw.beta1, adamw.beta2, adamw.epsilon, adamw.weight_decay), (0.9, 0.999, 1e-8, 0.01));
        assert_eq!(config.data_key, spec.hash().0);
        assert_eq!(
            config.evaluate_after_segments,
            [1, 3],
            "held-out loss is measured at each milestone's end"
        );
    }

    #[test]
    fn the_job_decides_the_arithmetic_and_what_is_not_computed_here_is_refused() {
        let trainer = TorchTrainer::pin(testing::CLASS.parse().unwrap()).unwrap();
        let class =
            |name: &str| ArithmeticMode::ClassExact { class: name.as_bytes().to_vec().try_into().unwrap() };
        let exact = |version| ArithmeticMode::Exact { version, base: SpecBase::W4 };
        assert_eq!(trainer.arithmetic(&exact(EXACT_VERSION)), Ok(Arithmetic::Exact(BaseFormat::W4)));
        assert_eq!(trainer.arithmetic(&class(testing::CLASS)), Ok(Arithmetic::Float(trainer.class)));
        for (mode, part) in [
            (exact(EXACT_VERSION + 1), "version 2 of exact arithmetic"),
            (class("cpu-torch2.11.0-avx2-t9-f32"), "avx2-t9-f32, this worker is pinned to"),
        ] {
            let refused = trainer.arithmetic(&mode).unwrap_err();
            assert!(
                matches!(&refused, TrainError::Machine(text) if text.contains(part)),
                "an auditor that cannot compute it must not vote: {refused:?}"
            );
        }
    }

    #[test]
    fn a_job_that_a_gpu_failed_on_goes_on_on_the_cpu_unless_the_gpu_was_prescribed() {
        let trainer =
            |device| TorchTrainer { device, ..TorchTrainer::pin(testing::CLASS.parse().unwrap()).unwrap() };
        let (job, other) = (Path::new("jobs/1/model"), Path::new("jobs/2/model"));
        for (device, after) in [
            (DeviceChoice::Auto, DeviceChoice::Cpu),
            (DeviceChoice::Cuda(1), DeviceChoice::Cuda(1)),
            (DeviceChoice::Cpu, DeviceChoice::Cpu),
        ] {
            let trainer = trainer(device);
            assert_eq!(trainer.device(EXACT, job), device);
            assert_eq!(trainer.device(Arithmetic::Float(trainer.class), job), DeviceChoice::Cpu);
            let error = noted(Error::Cuda(attune_cuda::Error::NoDriver), job, &trainer.failed);
            assert!(matches!(error, TrainError::Machine(_)), "{error:?}");
            noted(Error::Config("x".into()), other, &trainer.failed);
            assert_eq!(trainer.device(EXACT, job), after);
            assert_eq!(trainer.device(EXACT, other), device, "another job is not concerned");
        }
    }

    #[test]
    fn a_fault_of_exact_arithmetic_is_the_training_s_and_not_the_machine_s() {
        let operator = attune_exact::fault::Operator::Head;
        let fault = attune_exact::fault::Fault { step: 3, sequence: Some(1), operator };
        for error in [Error::Fault(fault), Error::HeldOut { operator }] {
            assert!(matches!(sort(error), TrainError::Diverged(text) if text.contains("head")));
        }
    }

    #[test]
    fn another_specification_gives_another_data_order() {
        let spec = testing::spec();
        let other = Spec { seed: spec.seed + 1, ..spec.clone() };
        assert_ne!(train_config(&spec).data_key, train_config(&other).data_key);
    }
}
