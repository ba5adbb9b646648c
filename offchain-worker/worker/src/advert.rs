//! What the worker says about its machine: hardware as the system reports it, and its measured speed.

use std::{fs, io, ops::ControlFlow, path::Path, time::Instant};

use attune_chain_client::primitives::{
    job::{
        ArithmeticMode, Assurance, BaseFormat, DataSpec, HyperParameters, JobSpec, JobTiming, Method,
        Milestone, Schedule as SpecSchedule,
    },
    H256,
};
use attune_trainer::{
    arithmetic::EXACT_VERSION,
    data::{PackedData, Split},
    device::Gpu,
    pretrain::{PretrainConfig, Pretraining},
    spec::ModelSpec,
    Arithmetic,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Step, TrainError, Trainer, TrainingJob},
    gpu::Gpus,
    jobdir::replace_file,
    torch::TorchTrainer,
};

/// A machine, as advertised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the accelerator, or of the CPU where there is none.
    pub model: String,
    /// Number of accelerators; 0 for a machine that trains on its CPU.
    pub accelerators: u16,
    /// Memory of one accelerator, or of the machine where there is none, in MiB.
    pub memory_mib: u32,
}

/// What `GET /v1/advertisement` answers, and what a provider puts into its profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertisement {
    /// The execution class of class-exact jobs.
    pub class: String,
    /// The version of exact arithmetic.
    pub exact_version: u16,
    /// The machine that trains.
    pub hardware: Machine,
    /// All GPUs that the driver reports, whether they train or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// Where artifacts are served, as a URL.
    pub endpoint: String,
    /// Tokens (padding included) per second on the reference load, in exact arithmetic with a base in eight bits.
    pub tokens_per_second: u32,
    /// Version of the worker.
    pub version: String,
    /// Version of the trainer's numerical behaviour.
    pub engine_version: u32,
    /// The operator key's account, as SS58.
    pub operator: String,
}

/// At most 64 bytes, as the chain takes them.
fn bounded(mut model: String) -> String {
    model.truncate(model.char_indices().take_while(|(at, c)| at + c.len_utf8() <= 64).count());
    model
}

impl Machine {
    /// A machine whose `gpu` trains. A record must not name more than takes part, so the others are left out.
    pub fn with_gpu(gpu: &Gpu) -> Self {
        let memory_mib = u32::try_from(gpu.memory_bytes >> 20).unwrap_or(u32::MAX);
        Self { model: bounded(gpu.name.clone()), accelerators: 1, memory_mib }
    }
}

/// The machine that this process runs on, as one that trains on its CPU: no accelerator is named. What GPUs there are
/// besides, [`crate::gpu`] says.
pub fn machine() -> Machine {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    Machine {
        model: bounded(model),
        accelerators: 0,
        memory_mib: u32::try_from(kib.unwrap_or(0) / 1024).unwrap_or(u32::MAX),
    }
}

/// What was measured, and for what.
#[derive(Serialize, Deserialize)]
struct Measured {
    arithmetic: String,
    threads: u32,
    device: String,
    version: String,
    tokens_per_second: u32,
}

/// The speed on the reference load, in the arithmetic that jobs are in by default: measured once for each arithmetic,
/// number of threads, device and version, then read from `<base>/speed.json`.
///
/// # Errors
/// If the reference load cannot be run or the file cannot be written.
pub fn speed(base: &Path, trainer: &TorchTrainer) -> Result<u32, TrainError> {
    let path = base.join("speed.json");
    let arithmetic = Arithmetic::Exact(attune_trainer::BaseFormat::W8).to_string();
    let (threads, version) = (trainer.class().threads(), env!("CARGO_PKG_VERSION").to_owned());
    let device = trainer.placement().device();
    let known = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Measured>(&bytes).ok());
    let same = |known: &Measured| {
        let named = (&known.arithmetic, known.threads, &known.device, &known.version);
        named == (&arithmetic, threads, &device, &version)
    };
    if let Some(known) = known.filter(same) {
        return Ok(known.tokens_per_second);
    }
    let folder = base.join("speed");
    let measured = measure(&folder, trainer);
    let _ = fs::remove_dir_all(&folder);
    let tokens_per_second = measured?;
    let bytes = serde_json::to_vec(&Measured { arithmetic, threads, device, version, tokens_per_second })
        .expect("strings and integers always serialise; qed");
    replace_file(&path, &bytes).map_err(|error| disk(&path, &error))?;
    Ok(tokens_per_second)
}

const REFERENCE_LENGTH: u32 = 128;
const REFERENCE_ROWS: u16 = 8;
const REFERENCE_STEPS: u32 = 8;

/// A model of about four million parameters with random weights, LoRA of rank 8, eight rows of 128 tokens a step: small
/// enough to be measured in seconds, large enough that the products dominate.
fn measure(folder: &Path, trainer: &TorchTrainer) -> Result<u32, TrainError> {
    let (model_dir, data_dir) = (folder.join("model"), folder.join("data"));
    fs::create_dir_all(folder).map_err(|error| disk(folder, &error))?;
    let wrong = |error: attune_trainer::Error| TrainError::Machine(error.to_string());
    let pretrain = PretrainConfig {
        seed: 1,
        steps: 1,
        warmup_steps: 0,
        batch_rows: 1,
        learning_rate: 1e-3,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
    };
    Pretraining::new(reference_model(), pretrain).and_then(|model| model.save(&model_dir)).map_err(wrong)?;
    let rows = u32::from(REFERENCE_ROWS) * 2;
    reference_data(rows).write(&data_dir).map_err(|error| TrainError::Machine(error.to_string()))?;
    let job = TrainingJob { model_dir, data_dir, spec: reference_spec(rows) };
    let mut training = trainer.open(&job, None)?;
    let (mut started, mut tokens) = (None, 0u64);
    training.run_segment(&mut |step: Step| {
        // The first step warms up.
        match started {
            None => started = Some(Instant::now()),
            Some(_) => tokens = tokens.saturating_add(step.tokens),
        }
        ControlFlow::Continue(())
    })?;
    let seconds = started.map_or(0.0, |at| at.elapsed().as_secs_f64());
    Ok(if seconds > 0.0 { (tokens as f64 / seconds) as u32 } else { 0 }.max(1))
}

fn reference_model() -> ModelSpec {
    ModelSpec {
        architecture: "LlamaForCausalLM".into(),
        vocab_size: 4096,
        hidden_size: 256,
        intermediate_size: 704,
        layers: 4,
        heads: 4,
        kv_heads: 4,
        head_dim: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
        qkv_bias: false,
        max_position_embeddings: i64::from(REFERENCE_LENGTH),
        eos_token_ids: vec![0],
        bos_token_id: None,
    }
}

fn reference_data(rows: u32) -> PackedData {
    let (rows, length) = (rows as usize, REFERENCE_LENGTH as usize);
    let mut train = Split { rows, sequence_length: length, ..Split::default() };
    for row in 0..rows {
        for column in 0..length {
            let token = |column: usize| i32::try_from((row * 31 + column * 7) % 4096).unwrap_or(0);
            train.tokens.push(token(column));
            let is_last = column + 1 == length;
            train.labels.push(if is_last { attune_trainer::data::IGNORE } else { token(column + 1) });
            train.positions.push(i32::try_from(column).unwrap_or(0));
        }
    }
    PackedData {
        train,
        held_out: Split { sequence_length: length, ..Split::default() },
        sequence_length: length,
        vocab_size: 4096,
        tokenizer_blake3: "0".repeat(64),
    }
}

fn reference_spec(rows: u32) -> attune_chain_client::types::Spec {
    JobSpec {
        model: 0,
        data: DataSpec {
            root: H256::zero(),
            bytes: 1,
            tokens: u64::from(rows) * u64::from(REFERENCE_LENGTH),
            rows,
            held_out_rows: 0,
            sequence_length: REFERENCE_LENGTH,
        },
        method: Method::Lora { rank: 8, alpha: 16, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 1_000_000,
            schedule: SpecSchedule::Constant,
            warmup_steps: 0,
            micro_batch_rows: REFERENCE_ROWS,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 1_000_000,
            weight_decay_micro: 0,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 10_000,
        },
        mode: ArithmeticMode::Exact { version: EXACT_VERSION, base: BaseFormat::W8 },
        engine_version: attune_trainer::ENGINE_VERSION,
        seed: 1,
        steps_per_segment: REFERENCE_STEPS,
        milestones: vec![Milestone { segments: 1, share: Default::default() }].try_into().unwrap_or_default(),
        assurance: Assurance { samples: 1, auditors: 1 },
        theme: Default::default(),
        max_price: 1,
        audit_fee: 1,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 1, start_blocks: 1, milestone_blocks: 1 },
        provider: None,
    }
}

fn disk(path: &Path, error: &io::Error) -> TrainError {
    TrainError::Machine(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_model_that_fits_the_chain_and_some_memory() {
        let machine = machine();
        assert!(!machine.model.is_empty() && machine.model.len() <= 64);
        assert!(machine.memory_mib > 0);
    }

    #[test]
    fn a_machine_whose_gpu_trains_names_it_and_its_memory() {
        let gpu = Gpu { number: 3, name: "NVIDIA ".repeat(20), memory_bytes: 80 << 30 };
        let machine = Machine::with_gpu(&gpu);
        assert_eq!((machine.accelerators, machine.memory_mib), (1, 80 * 1024));
        assert_eq!(machine.model, gpu.name[..64]);
    }

    #[test]
    fn the_reference_data_are_valid() {
        reference_data(4).validate().unwrap();
    }
}
