//! One optimizer step over a list of sequences.
//!
//! The one idea: a sequence's contribution to the gradient depends on nothing but the adapter, the sequence and ω, and the
//! contributions are added in the order of the sequences. So a step is the same however its sequences are spread.

use alloc::{vec, vec::Vec};

use crate::{
    fault::{Fault, Operator},
    model::{Lora, Model, Shape},
    optimizer::{clipping, gradient_norm, update, AdamW, Scalars, State},
    pass::{backward, forward, Gradient},
    real64::pow2_64,
};

/// Marks a token without loss, as in the packed data of the trainer.
pub const IGNORE: i32 = -100;

/// One packed row of T tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// `[T]`, each below V.
    pub tokens: Vec<u32>,
    /// `[T]`; equal for tokens that may see each other.
    pub documents: Vec<u32>,
    /// `[T]`, from 0 in each document.
    pub positions: Vec<u32>,
    /// `[T]`: what the token should predict, or [`IGNORE`].
    pub labels: Vec<i32>,
}

impl Sequence {
    /// A packed row whose documents start where positions are 0.
    pub fn packed(tokens: Vec<u32>, labels: Vec<i32>, positions: Vec<u32>) -> Self {
        let mut document = 0;
        let mut documents = Vec::with_capacity(tokens.len());
        for (at, position) in positions.iter().enumerate() {
            document += u32::from(at > 0 && *position == 0);
            documents.push(document);
        }
        Self { tokens, documents, positions, labels }
    }

    /// Loss-bearing tokens: their places and their targets.
    pub fn targets(&self) -> (Vec<usize>, Vec<u32>) {
        let bearing = self.labels.iter().enumerate().filter(|(_, label)| **label != IGNORE);
        bearing.map(|(at, label)| (at, *label as u32)).unzip()
    }

    /// Checks lengths, tokens and labels against a shape.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, shape: &Shape) -> Result<(), &'static str> {
        let length = self.tokens.len();
        let vocabulary = shape.vocabulary as u64;
        if length == 0 {
            return Err("the sequence is empty");
        }
        if [self.documents.len(), self.positions.len(), self.labels.len()] != [length; 3] {
            return Err("tokens, documents, positions and labels differ in length");
        }
        if self.tokens.iter().any(|token| u64::from(*token) >= vocabulary) {
            return Err("a token is outside the vocabulary");
        }
        let bad = |label: &i32| *label != IGNORE && u64::try_from(*label).map_or(true, |l| l >= vocabulary);
        if self.labels.iter().any(bad) {
            return Err("a label is outside the vocabulary");
        }
        Ok(())
    }
}

/// What fixes a step besides model, state and data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Size and scale of the adapter.
    pub lora: Lora,
    /// Constants of AdamW.
    pub adamw: AdamW,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Largest norm of the gradient; 0 for no clipping.
    pub max_norm: f64,
}

/// What one sequence adds to a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// Σ int(ℓ × 2^24).
    pub loss: i64,
    /// Flat, in the order of the adapter.
    pub gradient: Vec<f32>,
}

/// What a step makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The mean loss per loss-bearing token, in nats.
    pub loss: f32,
    /// Before clipping.
    pub norm: f64,
    /// After clipping; flat, in the order of the adapter.
    pub gradient: Vec<f32>,
    /// The new adapter and moments.
    pub state: State,
}

/// Loss-bearing tokens of a step.
pub fn loss_tokens(sequences: &[Sequence]) -> u64 {
    sequences.iter().map(|sequence| sequence.targets().0.len() as u64).sum()
}

/// ω of a step with `loss_tokens` loss-bearing tokens; 0 if there are none.
pub fn omega(loss_tokens: u64) -> f32 {
    match loss_tokens {
        0 => 0.0,
        count => (1.0 / count as f64) as f32,
    }
}

/// The loss of a step from the sum over its sequences.
pub fn mean_loss(sum: i64, loss_tokens: u64) -> f32 {
    match loss_tokens {
        0 => 0.0,
        count => ((sum as f64 * pow2_64(-24)) / count as f64) as f32,
    }
}

/// What `sequence` adds to a step; none if no token of it bears loss. `adapter` is flat.
///
/// # Errors
/// The first operator with a check that failed.
///
/// # Panics
/// The sequence does not pass [`Sequence::check`], or the adapter has another length than [`Lora::len`].
pub fn contribution(
    model: &Model,
    lora: &Lora,
    adapter: &[f32],
    sequence: &Sequence,
    omega: f32,
) -> Result<Option<Contribution>, Operator> {
    assert_eq!(adapter.len(), lora.len(&model.shape), "the adapter belongs to another shape");
    if sequence.targets().0.is_empty() {
        return Ok(None);
    }
    let saved = forward(model, lora, adapter, sequence)?;
    let Gradient { flat, .. } = backward(model, lora, adapter, sequence, &saved, omega)?;
    Ok(Some(Contribution { loss: saved.loss.sum, gradient: flat }))
}

/// Step `step` (from 0) from `state` over `sequences`.
///
/// # Errors
/// The first check that failed.
///
/// # Panics
/// As [`contribution`].
pub fn step(
    model: &Model,
    settings: &Settings,
    state: &State,
    sequences: &[Sequence],
    step: u64,
) -> Result<Outcome, Fault> {
    let count = loss_tokens(sequences);
    let omega = omega(count);
    let (mut sum, mut gradient) = (0, vec![0.0; state.adapter.len()]);
    for (index, sequence) in sequences.iter().enumerate() {
        let made = contribution(model, &settings.lora, &state.adapter, sequence, omega);
        let made = made.map_err(|operator| Fault { step, sequence: Some(index as u32), operator })?;
        if let Some(contribution) = made {
            sum += contribution.loss;
            accumulate(&mut gradient, &contribution.gradient);
        }
    }
    finish(settings, state, sum, count, gradient, step)
}

/// G = G + dG.
pub fn accumulate(gradient: &mut [f32], part: &[f32]) {
    for (gradient, part) in gradient.iter_mut().zip(part) {
        *gradient += part;
    }
}

/// The step-wide operators: norm, clipping and AdamW. `sum` and `gradient` are those of all sequences.
///
/// # Errors
/// The first check that failed.
pub fn finish(
    settings: &Settings,
    state: &State,
    sum: i64,
    loss_tokens: u64,
    mut gradient: Vec<f32>,
    step: u64,
) -> Result<Outcome, Fault> {
    let fault = |operator| Fault { step, sequence: None, operator };
    let norm = gradient_norm(&gradient).map_err(|_| fault(Operator::GradientNorm))?;
    if let Some(kappa) = clipping(norm, settings.max_norm) {
        for g in &mut gradient {
            *g *= kappa;
        }
    }
    let scalars = Scalars::new(&settings.adamw, settings.learning_rate, step + 1);
    let state = update(state, &gradient, &scalars).map_err(|_| fault(Operator::Update))?;
    Ok(Outcome { loss: mean_loss(sum, loss_tokens), norm, gradient, state })
}
