//! What a session drives: one optimizer step, and the held-out loss, in some arithmetic.
//!
//! An engine holds the frozen model and the training's state, and knows nothing of segments, traces and files.

mod exact;
mod float;

use std::time::{Duration, Instant};

use attune_primitives::H256;

use crate::{
    data::{PackedData, Split},
    device::{DeviceChoice, Placement},
    spec::ModelSpec,
    state::{self, StateView, TrainState},
    Arithmetic, Error, Result, SessionInputs,
};

/// What one optimizer step is to be taken on.
pub(crate) struct StepInput<'a> {
    /// Optimizer steps done before this one.
    pub(crate) step: u64,
    /// The training part of the data.
    pub(crate) data: &'a Split,
    /// The rows of this step, in order.
    pub(crate) rows: &'a [usize],
    /// Loss-bearing tokens of these rows.
    pub(crate) tokens: u64,
    /// Learning rate of this step.
    pub(crate) learning_rate: f64,
}

/// What one optimizer step came to.
pub(crate) struct StepResult {
    /// Mean loss per loss-bearing token, in nats.
    pub(crate) loss: f32,
    /// Global norm of the gradient before clipping.
    pub(crate) gradient_norm: f64,
    /// Hash of the gradient before clipping.
    pub(crate) gradient_hash: H256,
    /// How long hashing took.
    pub(crate) hashing: Duration,
}

/// Training in one arithmetic.
pub(crate) trait Engine: Send {
    /// The shape of the model.
    fn spec(&self) -> &ModelSpec;

    /// The state as it is now.
    ///
    /// # Errors
    /// The device that holds it failed.
    fn state(&self) -> Result<StateView<'_>>;

    /// Takes one optimizer step.
    ///
    /// # Errors
    /// A number that is not finite, or a device that failed; the state is then of no use.
    fn step(&mut self, input: &StepInput<'_>) -> Result<StepResult>;

    /// Mean loss over the loss-bearing tokens of `split`, in nats; `None` if no token bears loss.
    ///
    /// # Errors
    /// A loss that is not finite, or a device that failed.
    fn held_out_loss(&self, split: &Split) -> Result<Option<f64>>;
}

/// Hash of a gradient, and how long it took.
fn timed_hash(gradient: &[f32]) -> (H256, Duration) {
    let started = Instant::now();
    (state::gradient_hash(gradient), started.elapsed())
}

/// An engine for `inputs` with the given state, or with the state before the first step; and where it computes.
pub(crate) fn open(
    inputs: &SessionInputs,
    spec: ModelSpec,
    state: Option<TrainState>,
) -> Result<(Box<dyn Engine>, Placement)> {
    let (device, placement) = inputs.device.open(inputs.arithmetic)?;
    let base = match inputs.arithmetic {
        Arithmetic::Float(_) => {
            return Ok((Box::new(float::FloatEngine::new(inputs, spec, state)?), placement));
        }
        Arithmetic::Exact(base) => base,
    };
    let cpu = |spec, state| exact::ExactEngine::new(inputs, spec, base, state);
    let Some(device) = device else { return Ok((Box::new(cpu(spec, state)?), placement)) };
    match exact::CudaEngine::new(inputs, spec.clone(), base, state.clone(), &device) {
        Ok(engine) => Ok((Box::new(engine), placement)),
        // Such as too little memory for this model.
        Err(Error::Cuda(error)) if inputs.device == DeviceChoice::Auto => {
            Ok((Box::new(cpu(spec, state)?), Placement::refused(&error)))
        }
        Err(error) => Err(error),
    }
}

/// Refuses data whose tokens the model does not have.
pub(crate) fn check_vocabulary(spec: &ModelSpec, data: &PackedData) -> Result<()> {
    if data.vocab_size as i64 <= spec.vocab_size {
        return Ok(());
    }
    let (found, vocab) = (data.vocab_size, spec.vocab_size);
    Err(Error::Data(format!(
        "the data were packed for a vocabulary of {found}, the model has {vocab}: pack them with the model's own tokenizer"
    )))
}
