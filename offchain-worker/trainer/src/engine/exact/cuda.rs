//! Exact arithmetic on a GPU: the device engine of `attune-cuda` behind the trainer's [`Engine`].
//!
//! The one idea: a step leaves the device with what the trace needs of it, loss, norm and gradient. Adapter and moments
//! stay there, and come back only when somebody asks for the state: at a segment's end, or for a checkpoint.

use std::cell::OnceCell;

use attune_cuda::{
    engine::{self as device, Place, Weights},
    Device,
};
use attune_exact::{
    model::Shape,
    optimizer::State,
    step::{mean_loss, Sequence, Settings},
};

use super::{
    adamw, check_subnormals,
    frozen::{Matrix, Source, Values},
    lora, places, rope_scaling,
};
use crate::{
    batch::row_of,
    config::TrainConfig,
    data::{Split, IGNORE},
    engine::{timed_hash, Engine, StepInput, StepResult},
    parameters::Slot,
    spec::ModelSpec,
    state::{StateView, TrainState},
    BaseFormat, Error, Result, SessionInputs,
};

// Labels go to the device as they are.
const _: () = assert!(IGNORE == attune_exact::step::IGNORE);

/// Held-out rows that are made ready at a time, in micro-batches. It decides nothing but memory of the host.
const MICRO_BATCHES: usize = 64;

/// Model, adapter and optimizer of an exact training, on a device.
pub(in crate::engine) struct CudaEngine {
    spec: ModelSpec,
    config: TrainConfig,
    engine: device::Engine,
    slots: Vec<Slot>,
    /// The state as it was last seen here; none once a step has changed it.
    seen: OnceCell<TrainState>,
}

impl CudaEngine {
    /// An engine on `device`, with the given state or that before the first step.
    ///
    /// # Errors
    /// Weights that cannot be trained with, or a device that fails or has too little memory.
    pub(in crate::engine) fn new(
        inputs: &SessionInputs,
        spec: ModelSpec,
        base: BaseFormat,
        state: Option<TrainState>,
        device: &Device,
    ) -> Result<Self> {
        check_subnormals()?;
        let config = inputs.config.clone();
        let state = match state {
            Some(state) => state,
            None => TrainState::new(&spec, config.lora, config.seed)?,
        };
        let weights = upload(device, shape(&spec), &Source::open(&spec, &inputs.model_dir, base)?, &spec)?;
        let places = places(&spec, &state).into_iter().map(|block| block.map(|(a, b)| Place { a, b }));
        let layout = (lora(&config), places.collect());
        let sizes = (config.sequence_length, config.micro_batch_size as usize);
        let TrainState { slots, adapter, first, second } = state;
        let state = State { adapter, first, second };
        let engine = device::Engine::with_places(device, weights, layout, &state, sizes)?;
        let seen = OnceCell::from(with_slots(&slots, state));
        Ok(Self { spec, config, engine, slots, seen })
    }
}

fn with_slots(slots: &[Slot], state: State) -> TrainState {
    let State { adapter, first, second } = state;
    TrainState { slots: slots.to_vec(), adapter, first, second }
}

fn shape(spec: &ModelSpec) -> Shape {
    Shape {
        vocabulary: spec.vocab_size as usize,
        hidden: spec.hidden_size as usize,
        intermediate: spec.intermediate_size as usize,
        layers: spec.layers as usize,
        heads: spec.heads as usize,
        kv_heads: spec.kv_heads as usize,
        head_dim: spec.head_dim as usize,
        norm_epsilon: spec.rms_norm_eps,
        rope_theta: spec.rope_theta,
        rope_scaling: rope_scaling(spec),
    }
}

/// Takes the model to the device, block by block: the host never holds all of it.
fn upload(device: &Device, shape: Shape, source: &Source<'_>, spec: &ModelSpec) -> Result<Weights> {
    let matrix = |from: &Matrix| match &from.values {
        Values::W8(values) => device::Matrix::w8(device, values, &from.scales, from.inputs),
        Values::W4 { nibbles, multipliers } => {
            device::Matrix::w4(device, (nibbles, multipliers), &from.scales, from.inputs)
        }
    };
    let layer = |index| {
        let from = source.layer(index)?;
        Ok(device::Layer {
            input_norm: device.upload(&from.input_norm)?,
            qkv: matrix(&from.qkv)?,
            qkv_bias: from.qkv_bias.map(|bias| device.upload(&bias)).transpose()?,
            output: matrix(&from.output)?,
            post_norm: device.upload(&from.post_norm)?,
            gate_up: matrix(&from.gate_up)?,
            down: matrix(&from.down)?,
        })
    };
    Ok(Weights {
        shape,
        embedding: matrix(&source.embedding()?)?,
        layers: (0..spec.layers).map(layer).collect::<Result<_>>()?,
        norm: device.upload(&source.norm()?)?,
        head: source.head()?.map(|head| matrix(&head)).transpose()?,
    })
}

/// A packed row as the device engine takes it.
fn sequence(split: &Split, row: usize) -> Result<Sequence> {
    let (tokens, labels, positions) = row_of(split, row)?;
    // Opening the data has checked that ids are within the vocabulary and positions within the row.
    let unsigned = |values: &[i32]| values.iter().map(|value| *value as u32).collect();
    Ok(Sequence::packed(unsigned(tokens), labels.to_vec(), unsigned(positions)))
}

impl Engine for CudaEngine {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn state(&self) -> Result<StateView<'_>> {
        if self.seen.get().is_none() {
            // Nobody else can have set it: the cell is this thread's alone.
            let _ = self.seen.set(with_slots(&self.slots, self.engine.state()?));
        }
        Ok(self.seen.get().expect("it was set above, qed").view())
    }

    fn step(&mut self, input: &StepInput<'_>) -> Result<StepResult> {
        let rows = input.rows.iter().map(|row| sequence(input.data, *row));
        let sequences = rows.collect::<Result<Vec<_>>>()?;
        let settings = Settings {
            lora: lora(&self.config),
            adamw: adamw(&self.config),
            learning_rate: input.learning_rate,
            max_norm: self.config.max_grad_norm,
        };
        self.seen.take();
        let made = self.engine.step(&settings, &sequences, input.step)?.map_err(Error::Fault)?;
        let (gradient_hash, hashing) = timed_hash(&made.gradient);
        Ok(StepResult { loss: made.loss, gradient_norm: made.norm, gradient_hash, hashing })
    }

    fn held_out_loss(&self, split: &Split) -> Result<Option<f64>> {
        let (mut sum, mut tokens) = (0i64, 0u64);
        let rows: Vec<usize> = (0..split.rows).collect();
        for rows in rows.chunks(MICRO_BATCHES * self.config.micro_batch_size as usize) {
            let sequences = rows.iter().map(|row| sequence(split, *row)).collect::<Result<Vec<_>>>()?;
            tokens += attune_exact::step::loss_tokens(&sequences);
            sum += self.engine.loss_sum(&sequences)?.map_err(|operator| Error::HeldOut { operator })?;
        }
        Ok((tokens > 0).then(|| f64::from(mean_loss(sum, tokens))))
    }
}
