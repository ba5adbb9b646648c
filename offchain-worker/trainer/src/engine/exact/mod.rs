//! Exact arithmetic (`exact/SPEC.md`): the same bits on every machine.
//!
//! The engine is kernels of `attune-kernels` around plain vectors, no libtorch; the reference that it equals bit for bit
//! is `attune-exact`; [`cuda`] does the same on a GPU. A micro-batch goes through a pass at once ([`pass`]); sums over tokens end at a sequence's end, and
//! sequences add to the gradient in their order, so that the micro-batch leaves no mark.

mod attention;
mod cuda;
mod frozen;
#[cfg(test)]
mod hard_tests;
mod head;
mod pass;
mod projection;
mod sequences;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub(super) use cuda::CudaEngine;

use attune_exact::{
    fault::{Fault, Operator},
    model::Lora,
    optimizer::{clipping, AdamW, Scalars},
    rotary::{self, Llama3, Rotary},
    step::{mean_loss, omega},
};
use attune_kernels::{rows::parallel, Isa, Threads};

use super::{timed_hash, Engine, StepInput, StepResult};
use crate::{
    class::keep_memory,
    config::TrainConfig,
    data::Split,
    lora::Target,
    spec::ModelSpec,
    state::{StateView, TrainState},
    BaseFormat, Error, Result, SessionInputs,
};
use attention::Heads;
use frozen::Frozen;
use pass::Pass;
use projection::{Machine, Place};
use sequences::Sequence;

/// Model, adapter and optimizer of an exact training.
pub(super) struct ExactEngine {
    config: TrainConfig,
    machine: Machine,
    model: Frozen,
    heads: Heads,
    rotary: Rotary,
    sigma: f32,
    state: TrainState,
    /// Per block, where q, k, v, o, gate, up, down lie in the flat parameters.
    places: Vec<Vec<Place>>,
}

impl ExactEngine {
    pub(super) fn new(
        inputs: &SessionInputs,
        spec: ModelSpec,
        base: BaseFormat,
        state: Option<TrainState>,
    ) -> Result<Self> {
        keep_memory();
        check_subnormals()?;
        let config = inputs.config.clone();
        let isa = Isa::detect().map_err(|error| Error::Class(error.to_string()))?;
        let threads = Threads::new(inputs.threads).map_err(|error| Error::Config(error.to_string()))?;
        let state = match state {
            Some(state) => state,
            None => TrainState::new(&spec, config.lora, config.seed)?,
        };
        let model = Frozen::load(spec, &inputs.model_dir, base)?;
        let spec = &model.spec;
        let heads = Heads {
            isa,
            heads: spec.heads as usize,
            kv_heads: spec.kv_heads as usize,
            dim: spec.head_dim as usize,
            tau: (1.0 / (spec.head_dim as f64).sqrt()) as f32,
        };
        Ok(Self {
            rotary: rotary_table(spec, config.sequence_length),
            places: (places(spec, &state).into_iter())
                .map(|block| block.map(|(a, b)| Place { a, b }).to_vec())
                .collect(),
            sigma: lora(&config).sigma(),
            machine: Machine { isa, threads, logits: head::LOGITS },
            config,
            heads,
            state,
            model,
        })
    }

    fn pass<'a>(&'a self, sequences: &'a [Sequence<'a>]) -> Pass<'a> {
        Pass {
            machine: &self.machine,
            model: &self.model,
            heads: self.heads,
            adapter: Some((&self.state.adapter, &self.places)),
            lora: (self.config.lora.rank as usize, self.sigma),
            rotary: &self.rotary,
            sequences,
        }
    }

    /// Loss sum and gradient of all sequences, some at a time.
    fn accumulate(
        &self,
        sequences: &[Sequence<'_>],
        omega: f32,
        gradient: &mut [f32],
    ) -> Result<i64, Operator> {
        let mut sum = 0;
        for sequences in sequences.chunks(self.config.micro_batch_size as usize) {
            sum += self.pass(sequences).run(Some((omega, gradient)))?;
        }
        Ok(sum)
    }

    /// Loss sum of some sequences; or the operator that failed in the first that fails by itself.
    fn loss_sum(&self, sequences: &[Sequence<'_>]) -> Result<i64, Operator> {
        self.pass(sequences).run(None).map_err(|found| {
            let alone = sequences.iter().map(std::slice::from_ref);
            alone.filter_map(|one| self.pass(one).run(None).err()).next().unwrap_or(found)
        })
    }

    /// The fault of a step that failed: sequence by sequence, since in a micro-batch a later one may fail at an earlier
    /// operator.
    fn first_fault(&self, input: &StepInput<'_>, omega: f32) -> Result<Fault> {
        let mut scratch = vec![0.0; self.state.adapter.len()];
        for (index, row) in input.rows.iter().enumerate() {
            let sequence = Sequence::new(input.data, *row)?;
            if sequence.targets.is_empty() {
                continue;
            }
            if let Err(operator) = self.pass(&[sequence]).run(Some((omega, &mut scratch))) {
                return Ok(Fault { step: input.step, sequence: Some(index as u32), operator });
            }
        }
        unreachable!("a micro-batch fails only if one of its sequences fails by itself")
    }
}

/// Refuses a thread (and so those that it starts) on which something has switched flush-to-zero on: libtorch can.
fn check_subnormals() -> Result<()> {
    if std::hint::black_box(f32::MIN_POSITIVE) * 0.5 > 0.0 {
        return Ok(());
    }
    Err(Error::Class(
        "this thread flushes subnormal numbers to zero, which exact arithmetic forbids; switch that off (torch's \
         set_flush_denormal, or whatever set the processor's flush-to-zero bit)"
            .into(),
    ))
}

fn lora(config: &TrainConfig) -> Lora {
    let crate::lora::LoraConfig { rank, alpha, use_rslora } = config.lora;
    Lora { rank: rank as usize, alpha, rank_stabilised: use_rslora }
}

fn adamw(config: &TrainConfig) -> AdamW {
    let crate::optimizer::AdamWConfig { beta1, beta2, epsilon, weight_decay } = config.adamw;
    AdamW { beta1, beta2, epsilon, weight_decay }
}

fn rope_scaling(spec: &ModelSpec) -> Option<Llama3> {
    spec.rope_scaling.map(|scaling| Llama3 {
        factor: scaling.factor,
        low_frequency_factor: scaling.low_frequency_factor,
        high_frequency_factor: scaling.high_frequency_factor,
        original_context: scaling.original_context as f64,
    })
}

/// Cosines and sines of all positions of a row.
fn rotary_table(spec: &ModelSpec, length: u32) -> Rotary {
    let positions: Vec<u32> = (0..length).collect();
    rotary::table(spec.head_dim as usize, spec.rope_theta, rope_scaling(spec).as_ref(), &positions)
}

/// Where A and B of a linear layer lie in the flat parameters.
type Ranges = (Range<usize>, Range<usize>);

/// Where those of q, k, v, o, gate, up and down of each block lie.
fn places(spec: &ModelSpec, state: &TrainState) -> Vec<[Ranges; 7]> {
    let range = |layer: usize, target: Target, part: &str| {
        let name = target.peft_name(layer, part);
        let at = state.slots.binary_search_by(|slot| slot.name.cmp(&name));
        let slot = &state.slots[at.expect("every matrix of every block has a slot, qed")];
        slot.offset as usize..(slot.offset + slot.count) as usize
    };
    let of = |layer| Target::ALL.map(|target| (range(layer, target, "A"), range(layer, target, "B")));
    (0..spec.layers as usize).map(of).collect()
}

impl Engine for ExactEngine {
    fn spec(&self) -> &ModelSpec {
        &self.model.spec
    }

    fn state(&self) -> Result<StateView<'_>> {
        Ok(self.state.view())
    }

    fn step(&mut self, input: &StepInput<'_>) -> Result<StepResult> {
        // It may be another thread than the one that made the engine.
        check_subnormals()?;
        let sequences = input.rows.iter().map(|row| Sequence::new(input.data, *row));
        let sequences = sequences.collect::<Result<Vec<_>>>()?;
        let bearing: Vec<_> = sequences.into_iter().filter(|s| !s.targets.is_empty()).collect();
        let omega = omega(input.tokens);
        let mut gradient = vec![0.0; self.state.adapter.len()];
        let sum = match self.accumulate(&bearing, omega, &mut gradient) {
            Ok(sum) => sum,
            Err(_) => return Err(Error::Fault(self.first_fault(input, omega)?)),
        };
        let fault = |operator| Error::Fault(Fault { step: input.step, sequence: None, operator });
        let Machine { isa, ref threads, .. } = self.machine;
        let gradient_norm =
            parallel::gradient_norm(threads, isa, &gradient).map_err(|_| fault(Operator::GradientNorm))?;
        let (gradient_hash, hashing) = timed_hash(&gradient);
        if let Some(kappa) = clipping(gradient_norm, self.config.max_grad_norm) {
            parallel::scale(threads, isa, &mut gradient, kappa);
        }
        let with = Scalars::new(&adamw(&self.config), input.learning_rate, input.step + 1);
        let TrainState { adapter, first, second, .. } = &mut self.state;
        parallel::adamw(threads, isa, adapter, &gradient, first, second, with)
            .map_err(|_| fault(Operator::Update))?;
        Ok(StepResult { loss: mean_loss(sum, input.tokens), gradient_norm, gradient_hash, hashing })
    }

    fn held_out_loss(&self, split: &Split) -> Result<Option<f64>> {
        let (mut sum, mut tokens) = (0i64, 0u64);
        let rows: Vec<usize> = (0..split.rows).collect();
        for rows in rows.chunks(self.config.micro_batch_size as usize) {
            let sequences = rows.iter().map(|row| Sequence::new(split, *row));
            let sequences = sequences.collect::<Result<Vec<_>>>()?;
            let bearing: Vec<_> = sequences.into_iter().filter(|s| !s.targets.is_empty()).collect();
            if bearing.is_empty() {
                continue;
            }
            tokens += bearing.iter().map(|sequence| sequence.targets.len() as u64).sum::<u64>();
            sum += self.loss_sum(&bearing).map_err(|operator| Error::HeldOut { operator })?;
        }
        Ok((tokens > 0).then(|| f64::from(mean_loss(sum, tokens))))
    }
}
