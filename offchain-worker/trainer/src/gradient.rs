//! Loss and gradient of one batch by libtorch's automatic differentiation.

use tch::{Kind, Tensor};

use crate::{
    batch::Batch,
    lora::Adapter,
    loss,
    model::{Attention, Model},
    parameters::Parameters,
    Result,
};

/// What is trained.
#[derive(Clone, Copy)]
pub enum Trained<'a> {
    /// The adapter; the model is frozen.
    Adapter(&'a Adapter),
    /// The model itself, its tensors being the leaves of these parameters.
    Model(&'a Parameters),
}

impl<'a> Trained<'a> {
    fn parameters(self) -> &'a Parameters {
        match self {
            Self::Adapter(adapter) => adapter.parameters(),
            Self::Model(parameters) => parameters,
        }
    }
}

/// The loss of a batch, summed over its loss-bearing tokens in nats, and the gradient of `weight` times that sum with
/// respect to everything that is trained, `[total]`.
///
/// # Errors
/// A failure of libtorch.
pub fn of_batch(model: &Model, trained: Trained<'_>, batch: &Batch, weight: f64) -> Result<(f64, Tensor)> {
    let parameters = trained.parameters();
    if batch.loss_tokens == 0 {
        return Ok((0.0, parameters.zeros()?));
    }
    let (adapter, whole) = match trained {
        Trained::Adapter(adapter) => (Some(adapter), false),
        Trained::Model(_) => (None, true),
    };
    let hidden = model.hidden(&batch.tokens, &batch.rotary, Attention::Packed(&batch.mask), adapter)?;
    let hidden = hidden.f_index_select(0, &batch.loss_places)?;
    let head = model.head.f_detach()?;
    let loss = loss::with_gradient(&hidden.f_detach()?, &batch.targets, &head, weight, whole)?;
    // A scalar whose gradient is the one just computed: automatic differentiation goes on from there.
    let mut surrogate = hidden.f_mul(&loss.hidden_gradient)?.f_sum(None::<Kind>)?;
    if let Some(gradient) = &loss.head_gradient {
        surrogate = surrogate.f_add(&model.head.f_mul(gradient)?.f_sum(None::<Kind>)?)?;
    }
    Ok((loss.sum, parameters.gradient(&surrogate)?))
}

/// The loss of a batch, summed over its loss-bearing tokens, in nats.
///
/// # Errors
/// A failure of libtorch.
pub fn loss_of_batch(model: &Model, adapter: Option<&Adapter>, batch: &Batch) -> Result<f64> {
    if batch.loss_tokens == 0 {
        return Ok(0.0);
    }
    let _no_grad = tch::no_grad_guard();
    let hidden = model.hidden(&batch.tokens, &batch.rotary, Attention::Packed(&batch.mask), adapter)?;
    loss::sum(&hidden.f_index_select(0, &batch.loss_places)?, &batch.targets, &model.head)
}
