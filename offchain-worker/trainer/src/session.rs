//! Training in segments: the API that a worker drives, as provider and as auditor alike.
//!
//! A session is at a segment's boundary whenever it is not inside [`Session::run_segment`]. There its state has a root,
//! and can be saved and resumed without losing a bit. A segment that is stopped half-way is of no use: the session
//! refuses to go on, and the caller resumes from the last checkpoint.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use attune_primitives::{proof::SegmentMetrics, trace, H256};

use crate::{
    batch::{count_row, row_of, RowOrder},
    checkpoint::{self, Owner},
    config::TrainConfig,
    data::PackedData,
    device::{DeviceChoice, Placement},
    engine::{self, check_vocabulary, Engine, StepInput},
    peft,
    spec::ModelSpec,
    state::{self, Counters, StateView},
    weights::Weights,
    Arithmetic, Error, Result,
};

/// What a session is a function of.
#[derive(Clone, Debug)]
pub struct SessionInputs {
    /// Hugging Face directory of the base model.
    pub model_dir: PathBuf,
    /// Folder of the packed data.
    pub data_dir: PathBuf,
    /// The configuration.
    pub config: TrainConfig,
    /// The arithmetic. A process that trains in binary32 is pinned to its execution class.
    pub arithmetic: Arithmetic,
    /// Threads of exact arithmetic; they leave no mark on the result. An execution class names its own number.
    pub threads: usize,
    /// The device; it leaves no mark on the result.
    pub device: DeviceChoice,
}

/// Where a segment is, after each optimizer step.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Optimizer steps done since the start of the training.
    pub step: u64,
    /// Optimizer steps of the whole training.
    pub total_steps: u64,
    /// Mean loss of this step, in nats per loss-bearing token.
    pub loss: f32,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens (padding excluded) per second in this step.
    pub tokens_per_second: f64,
    /// How much of this step went into its part of the trace.
    pub hashing: Duration,
}

/// What a segment came to. All but the times is the same for whoever runs it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentReport {
    /// The segment, from 0.
    pub segment: u32,
    /// State root at its start.
    pub start_root: H256,
    /// State root at its end.
    pub end_root: H256,
    /// The trace T (without metrics folded in).
    pub trace: H256,
    /// Mean of the steps' losses, in nats per token.
    pub train_loss: f64,
    /// Loss-bearing tokens trained on in this segment.
    pub tokens_trained: u64,
    /// What the provider reports on chain. Losses are in millionths of a nat, see [`micro`].
    pub metrics: SegmentMetrics,
    /// How long it took.
    pub elapsed: Duration,
    /// How much of that went into roots: the first segment of a session makes two, each later one the one at its end.
    pub rooting: Duration,
    /// How much went into held-out losses.
    pub evaluating: Duration,
}

/// A loss in millionths of a nat: times 1e6 in binary64, rounded half away from zero, held within `u32`.
pub fn micro(loss: f64) -> u32 {
    // `as` from f64 saturates, and every loss here is finite and not negative beyond rounding.
    (loss * 1e6).round() as u32
}

/// A training at a segment's boundary.
pub struct Session {
    config: TrainConfig,
    arithmetic: Arithmetic,
    engine: Box<dyn Engine>,
    placement: Placement,
    /// Hash of the base model's weights.
    base: H256,
    data: PackedData,
    counters: Counters,
    /// The root of the state as it is, where it is known: it takes in three times what a gradient has.
    root: Option<H256>,
    order: RowOrder,
    /// Set while a segment runs, and for ever once one was left half-way.
    inside: bool,
}

/// The model's shape, the hash of its weights and the data, checked against the configuration.
fn open(inputs: &SessionInputs) -> Result<(ModelSpec, H256, PackedData)> {
    if let Arithmetic::Float(class) = inputs.arithmetic {
        class.pin()?;
    }
    inputs.config.validate()?;
    let spec = ModelSpec::read(&inputs.model_dir)?;
    inputs.config.validate_for(&spec)?;
    let data = PackedData::open(&inputs.data_dir).map_err(|error| Error::Data(error.to_string()))?;
    check_vocabulary(&spec, &data)?;
    if data.sequence_length as u64 != u64::from(inputs.config.sequence_length) {
        let (found, expected) = (data.sequence_length, inputs.config.sequence_length);
        return Err(Error::Data(format!(
            "the data have rows of {found} tokens, the configuration says {expected}; one of them must change"
        )));
    }
    if data.train.trained_tokens() == 0 {
        return Err(Error::Data("no token of the train part bears loss; there is nothing to learn".into()));
    }
    let base = Weights::open(&inputs.model_dir)?.hash();
    Ok((spec, base, data))
}

impl Session {
    /// A training before its first step.
    ///
    /// # Errors
    /// Inputs that are damaged, do not fit each other, or cannot be trained with.
    pub fn start(inputs: &SessionInputs) -> Result<Self> {
        let (spec, base, data) = open(inputs)?;
        let engine = engine::open(inputs, spec, None)?;
        Ok(Self::assemble(inputs, engine, base, data, (Counters::default(), None)))
    }

    /// A training at the boundary at which `checkpoint` was saved, bit for bit.
    ///
    /// # Errors
    /// As [`Session::start`], and a checkpoint that is damaged or belongs to another training, arithmetic, or place.
    pub fn resume(inputs: &SessionInputs, checkpoint: &Path) -> Result<Self> {
        let (spec, base, data) = open(inputs)?;
        let owner = Owner { spec: &spec, config: &inputs.config, arithmetic: inputs.arithmetic, base };
        let (state, counters, root) = checkpoint::load(checkpoint, &owner)?;
        let per_segment = u64::from(inputs.config.steps_per_segment);
        if counters.step % per_segment != 0 || counters.step > inputs.config.total_steps() {
            return Err(Error::Checkpoint {
                path: checkpoint.to_path_buf(),
                reason: format!(
                    "it is at step {}, which is no boundary of {} segments of {per_segment} steps",
                    counters.step, inputs.config.segments
                ),
            });
        }
        let engine = engine::open(inputs, spec, Some(state))?;
        Ok(Self::assemble(inputs, engine, base, data, (counters, Some(root))))
    }

    fn assemble(
        inputs: &SessionInputs,
        (engine, placement): (Box<dyn Engine>, Placement),
        base: H256,
        data: PackedData,
        (counters, root): (Counters, Option<H256>),
    ) -> Self {
        let order = RowOrder::new(&inputs.config.data_key, data.train.rows as u64);
        let (config, arithmetic) = (inputs.config.clone(), inputs.arithmetic);
        Self { config, arithmetic, engine, placement, base, data, counters, root, order, inside: false }
    }

    /// The adapter and the optimizer's moments as they are now.
    ///
    /// # Errors
    /// The GPU that holds them failed.
    pub fn state(&self) -> Result<StateView<'_>> {
        self.engine.state()
    }

    /// Where this training runs, and why there.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// How far the training has come.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The root over {adapter, optimizer moments, counters}.
    ///
    /// # Errors
    /// As [`Session::state`].
    pub fn state_root(&self) -> Result<H256> {
        match self.root {
            Some(root) => Ok(root),
            None => Ok(state::root(self.engine.state()?, &self.counters)),
        }
    }

    /// As [`Session::state_root`], which then need not be worked out again, and how long it took.
    fn make_root(&mut self) -> Result<(H256, Duration)> {
        let started = Instant::now();
        let root = self.state_root()?;
        self.root = Some(root);
        Ok((root, started.elapsed()))
    }

    /// The segment that runs next, from 0; equal to the number of segments once all are done.
    pub fn segment(&self) -> u32 {
        let segment = self.counters.step / u64::from(self.config.steps_per_segment);
        u32::try_from(segment).expect("segments are counted in u32 and steps stay within them, qed")
    }

    /// Runs the next segment. `progress` is called after each step and can stop the segment, which is then to be run
    /// again from the last checkpoint: this session refuses to go on.
    ///
    /// # Errors
    /// All segments are done; the caller stopped; a loss or gradient is not finite (the error names the step); or an
    /// earlier segment was left half-way.
    pub fn run_segment(
        &mut self,
        progress: &mut dyn FnMut(StepReport) -> ControlFlow<()>,
    ) -> Result<SegmentReport> {
        let segment = self.segment();
        if self.inside {
            let step = self.counters.step;
            return Err(Error::Config(format!(
                "an earlier segment was left at step {step}; resume a session from the last checkpoint"
            )));
        }
        if segment >= self.config.segments {
            return Err(Error::Config(format!("all {} segments are done", self.config.segments)));
        }
        self.inside = true;
        let started = Instant::now();
        let before = self.counters;
        let (start_root, mut rooting) = self.make_root()?;
        let mut trace = trace::start(start_root);
        let mut evaluating = Duration::ZERO;
        let mut evaluate = |session: &Self, trace: &mut H256| {
            let started = Instant::now();
            let loss = session.evaluate_into(trace);
            evaluating += started.elapsed();
            loss
        };
        let held_out_loss_before_micro = if segment == 0 { evaluate(self, &mut trace)? } else { None };
        let mut losses = 0.0;
        for _ in 0..self.config.steps_per_segment {
            let report = self.step(&mut trace)?;
            losses += f64::from(report.loss);
            if progress(report).is_break() {
                return Err(Error::Stopped { step: self.counters.step });
            }
        }
        let train_loss = losses / f64::from(self.config.steps_per_segment);
        let due = self.config.evaluate_after_segments.contains(&segment);
        let held_out_loss_micro = if due { evaluate(self, &mut trace)? } else { None };
        let metrics = SegmentMetrics {
            train_loss_micro: micro(train_loss),
            tokens: self.counters.tokens_seen - before.tokens_seen,
            held_out_loss_before_micro,
            held_out_loss_micro,
        };
        let (end_root, took) = self.make_root()?;
        rooting += took;
        self.inside = false;
        Ok(SegmentReport {
            segment,
            start_root,
            end_root,
            trace,
            train_loss,
            tokens_trained: self.counters.tokens_trained - before.tokens_trained,
            metrics,
            elapsed: started.elapsed(),
            rooting,
            evaluating,
        })
    }

    /// Measures the held-out loss, takes it into the trace, and returns it in millionths of a nat.
    fn evaluate_into(&self, trace: &mut H256) -> Result<Option<u32>> {
        let Some(loss) = self.held_out_loss()? else { return Ok(None) };
        *trace = trace::evaluation(*trace, (loss as f32).to_bits());
        Ok(Some(micro(loss)))
    }

    /// Mean loss over the loss-bearing held-out tokens, in nats; `None` if nothing is held out.
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn held_out_loss(&self) -> Result<Option<f64>> {
        match self.engine.held_out_loss(&self.data.held_out)? {
            Some(value) if !value.is_finite() => {
                Err(Error::NotFinite { step: self.counters.step, what: "the held-out loss", value })
            }
            found => Ok(found),
        }
    }

    /// One optimizer step: forward and backward over all rows, clipping, AdamW.
    fn step(&mut self, trace: &mut H256) -> Result<StepReport> {
        let started = Instant::now();
        let step = self.counters.step;
        let rows = self.rows(step);
        let (tokens, seen) = self.count(&rows)?;
        let learning_rate = self.config.learning_rate_at(step);
        let data = &self.data.train;
        self.root = None;
        let done = self.engine.step(&StepInput { step, data, rows: &rows, tokens, learning_rate })?;
        *trace = trace::step(*trace, done.loss.to_bits(), done.gradient_hash);
        self.counters.step += 1;
        self.counters.tokens_seen += seen;
        self.counters.tokens_trained += tokens;
        Ok(StepReport {
            step: self.counters.step,
            total_steps: self.config.total_steps(),
            loss: done.loss,
            learning_rate,
            gradient_norm: done.gradient_norm,
            tokens_per_second: seen as f64 / started.elapsed().as_secs_f64(),
            hashing: done.hashing,
        })
    }

    /// The rows of optimizer step `step`, in order.
    fn rows(&mut self, step: u64) -> Vec<usize> {
        let first = step * self.config.rows_per_step();
        (first..first + self.config.rows_per_step()).map(|index| self.order.row(index)).collect()
    }

    /// Loss-bearing tokens, and tokens that are not padding, of some rows.
    fn count(&self, rows: &[usize]) -> Result<(u64, u64)> {
        rows.iter().try_fold((0, 0), |(tokens, seen), row| {
            let (_, labels, positions) = row_of(&self.data.train, *row)?;
            let (more_tokens, more_seen) = count_row(labels, positions);
            Ok((tokens + more_tokens, seen + more_seen))
        })
    }

    /// Writes a checkpoint at a segment's boundary. A full disk leaves the former file as it was.
    ///
    /// # Errors
    /// A file that cannot be written, a session that was left inside a segment, or a GPU that failed.
    pub fn save_checkpoint(&self, path: &Path) -> Result<()> {
        if self.inside {
            let step = self.counters.step;
            return Err(Error::Config(format!(
                "the session was left inside a segment, at step {step}; only boundaries are saved"
            )));
        }
        let (spec, base) = (self.engine.spec(), self.base);
        let owner = Owner { spec, config: &self.config, arithmetic: self.arithmetic, base };
        checkpoint::save(path, &owner, self.engine.state()?, &self.counters, self.state_root()?)
    }

    /// Writes the adapter as `peft` loads it on the base model called `base_model`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn export_peft(&self, dir: &Path, base_model: &str) -> Result<()> {
        peft::export(self.engine.state()?, self.config.lora, dir, base_model)
    }
}

#[cfg(test)]
mod tests {
    use super::micro;

    #[test]
    fn a_loss_is_rounded_half_away_from_zero_and_held_within_its_type() {
        assert_eq!(micro(2.0), 2_000_000);
        assert_eq!(micro(0.000_000_5), 1);
        assert_eq!(micro(0.000_000_4), 0);
        assert_eq!(micro(-0.1), 0);
        assert_eq!(micro(1e9), u32::MAX);
    }
}
