//! Cross-entropy without the full table of logits.
//!
//! Only positions that bear loss reach the output projection, and they do so in chunks of rows; each chunk's logits
//! become its gradient in place and are gone before the next chunk. The gradient with respect to the hidden states is
//! then all that the rest of the backward pass needs.

use tch::{Kind, Tensor};

use crate::Result;

/// Logits held at a time, in elements (24 MiB). Part of the engine's version: it decides how products are cut.
const CHUNK_ELEMENTS: i64 = 6 << 20;

/// The loss of some rows.
pub struct Loss {
    /// Sum over the rows of −ln p(target), in nats.
    pub sum: f64,
    /// Gradient of `weight · sum` with respect to the hidden states, `[rows, hidden]`.
    pub hidden_gradient: Tensor,
    /// Gradient of `weight · sum` with respect to the output projection, `[vocab, hidden]`, if it was asked for.
    pub head_gradient: Option<Tensor>,
}

fn chunks(rows: i64, vocab: i64) -> impl Iterator<Item = (i64, i64)> {
    let size = (CHUNK_ELEMENTS / vocab).max(16);
    (0..rows).step_by(size as usize).map(move |start| (start, size.min(rows - start)))
}

/// Log-probabilities of one chunk `[rows, vocab]`, and the sum of those of the targets.
fn log_probabilities(hidden: &Tensor, targets: &Tensor, head: &Tensor) -> Result<(Tensor, f64)> {
    let logits = hidden.f_linear(head, None::<&Tensor>)?;
    let log = logits.f_log_softmax(1, None::<Kind>)?;
    let picked = log.f_gather(1, &targets.f_unsqueeze(1)?, false)?.f_sum(Kind::Double)?;
    let sum = picked.f_double_value(&[])?;
    Ok((log, sum))
}

/// Sum of the loss over `hidden` (`[rows, hidden]`) with `targets` (`[rows]`, int64), in nats.
///
/// # Errors
/// A failure of libtorch.
pub fn sum(hidden: &Tensor, targets: &Tensor, head: &Tensor) -> Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let (rows, vocab) = (hidden.size()[0], head.size()[0]);
    chunks(rows, vocab).try_fold(0.0, |total, (start, length)| {
        let (hidden, targets) = (hidden.f_narrow(0, start, length)?, targets.f_narrow(0, start, length)?);
        Ok(total - log_probabilities(&hidden, &targets, head)?.1)
    })
}

/// The loss and its gradients; `hidden`, `targets` and `head` as in [`sum`]. `weight` multiplies the gradients: one
/// over the number of tokens that share the optimizer step.
///
/// # Errors
/// A failure of libtorch.
pub fn with_gradient(
    hidden: &Tensor,
    targets: &Tensor,
    head: &Tensor,
    weight: f64,
    want_head: bool,
) -> Result<Loss> {
    let _no_grad = tch::no_grad_guard();
    let (rows, vocab) = (hidden.size()[0], head.size()[0]);
    let hidden_gradient = hidden.f_empty_like()?;
    let mut head_gradient = if want_head { Some(head.f_zeros_like()?) } else { None };
    let mut total = 0.0;
    for (start, length) in chunks(rows, vocab) {
        let (hidden, targets) = (hidden.f_narrow(0, start, length)?, targets.f_narrow(0, start, length)?);
        let (mut log, sum) = log_probabilities(&hidden, &targets, head)?;
        total -= sum;
        // Softmax minus one-hot, in the memory of the log-probabilities.
        let mut difference = log.f_exp_()?;
        let minus_one = Tensor::f_full([length, 1], -1.0, crate::model::FLOAT)?;
        let _ = difference.f_scatter_add_(1, &targets.f_unsqueeze(1)?, &minus_one)?;
        let chunk = difference.f_mm(head)?.f_mul_scalar(weight)?;
        hidden_gradient.f_narrow(0, start, length)?.f_copy_(&chunk)?;
        if let Some(gradient) = &mut head_gradient {
            let part = difference.f_tr()?.f_mm(&hidden)?.f_mul_scalar(weight)?;
            let _ = gradient.f_add_(&part)?;
        }
    }
    Ok(Loss { sum: total, hidden_gradient, head_gradient })
}
