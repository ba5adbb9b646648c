//! How good a model is on what it was not trained on: held-out loss, perplexity, exact match.

use crate::{
    batch::Batch, data::Split, generate::Sampling, gradient::loss_of_batch, lora::Adapter, model::Model,
    Error, Result,
};

/// The loss over a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Mean over the loss-bearing tokens, in nats per token.
    pub loss: f64,
    /// How many tokens bear loss.
    pub tokens: u64,
}

impl HeldOut {
    /// e to the loss.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

/// Mean loss over the loss-bearing tokens of `split`, `batch_rows` rows at a time; `None` if no token bears loss.
///
/// # Errors
/// A failure of libtorch.
pub fn held_out_loss(
    model: &Model,
    adapter: Option<&Adapter>,
    split: &Split,
    batch_rows: usize,
) -> Result<Option<HeldOut>> {
    let rows: Vec<usize> = (0..split.rows).collect();
    let (mut sum, mut tokens) = (0.0, 0);
    for chunk in rows.chunks(batch_rows.max(1)) {
        let batch = Batch::new(&model.spec, split, chunk)?;
        sum += loss_of_batch(model, adapter, &batch)?;
        tokens += batch.loss_tokens;
    }
    Ok((tokens > 0).then(|| HeldOut { loss: sum / tokens as f64, tokens }))
}

/// A question whose answer is known.
#[derive(Clone, Debug)]
pub struct Question {
    /// The prompt as the model is given it.
    pub prompt: Vec<i64>,
    /// The answer as text.
    pub expected: String,
}

/// How many answers were right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactMatch {
    /// Answers equal to the expected ones, white space at both ends aside.
    pub right: usize,
    /// The answers given, in the order of the questions.
    pub answers: Vec<String>,
}

impl ExactMatch {
    /// The share of right answers, 0 to 1; 0 if there was no question.
    pub fn share(&self) -> f64 {
        self.right as f64 / self.answers.len().max(1) as f64
    }
}

/// Answers each question greedily with at most `max_tokens` tokens and compares. `decode` turns tokens (end token
/// excluded) into text.
///
/// # Errors
/// A failure of libtorch or of `decode`.
pub fn exact_match(
    model: &Model,
    adapter: Option<&Adapter>,
    questions: &[Question],
    max_tokens: usize,
    mut decode: impl FnMut(&[i64]) -> Result<String, String>,
    mut progress: impl FnMut(usize),
) -> Result<ExactMatch> {
    let mut found = ExactMatch { right: 0, answers: Vec::with_capacity(questions.len()) };
    for question in questions {
        let tokens = model.generate(&question.prompt, adapter, max_tokens, Sampling::Greedy, |_| true)?;
        let answer = decode(&tokens).map_err(Error::Data)?;
        found.right += usize::from(answer.trim() == question.expected.trim());
        found.answers.push(answer);
        progress(found.answers.len());
    }
    Ok(found)
}
