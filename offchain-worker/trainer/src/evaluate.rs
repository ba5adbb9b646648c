//! How good a model is on what it was not trained on: held-out loss, perplexity, exact match.

use std::path::PathBuf;

use crate::{
    batch::Batch,
    data::{PackedData, Split},
    engine::{self, check_vocabulary},
    generate::Sampling,
    gradient::loss_of_batch,
    lora::{Adapter, LoraConfig},
    model::Model,
    optimizer::AdamWConfig,
    parameters::values,
    peft,
    schedule::Schedule,
    spec::ModelSpec,
    state::TrainState,
    Arithmetic, BaseFormat, DeviceChoice, Error, Placement, Result, SessionInputs, TrainConfig,
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

/// A model, or model and adapter, whose held-out loss is measured in exact arithmetic: the loss that a training's record
/// names, bit for bit.
#[derive(Clone, Debug)]
pub struct ExactEvaluation {
    /// Hugging Face directory of the base model.
    pub model_dir: PathBuf,
    /// Adapter directory.
    pub adapter: Option<PathBuf>,
    /// How the base is held.
    pub base: BaseFormat,
    /// Packed rows of one forward pass; they leave no mark on the result.
    pub batch_rows: u32,
    /// Threads of a CPU; they leave no mark either.
    pub threads: usize,
    /// The device; nor does it.
    pub device: DeviceChoice,
}

impl ExactEvaluation {
    /// Mean loss over the loss-bearing held-out tokens of `data`, `None` if no token bears loss; and where it was computed.
    ///
    /// # Errors
    /// Inputs that are damaged or do not fit each other, a device that cannot be used, or a value that is not finite.
    pub fn held_out_loss(&self, data: &PackedData) -> Result<(Option<HeldOut>, Placement)> {
        let spec = ModelSpec::read(&self.model_dir)?;
        check_vocabulary(&spec, data)?;
        let adapter = self.adapter.as_deref().map(|dir| peft::load(&spec, dir)).transpose()?;
        // An untrained adapter adds nothing, and so does its rank.
        let untrained = LoraConfig { rank: 1, alpha: 1.0, use_rslora: false };
        let lora = adapter.as_ref().map_or(untrained, |adapter| *adapter.config());
        let inputs = self.inputs(lora, data)?;
        inputs.config.validate_for(&spec)?;
        let mut state = TrainState::new(&spec, lora, 0)?;
        if let Some(adapter) = &adapter {
            state.adapter.copy_from_slice(values(adapter.parameters().flat()));
        }
        let (engine, placement) = engine::open(&inputs, spec, Some(state))?;
        let loss = engine.held_out_loss(&data.held_out)?;
        let tokens = data.held_out.trained_tokens() as u64;
        Ok((loss.map(|loss| HeldOut { loss, tokens }), placement))
    }

    /// What an engine asks for. No step is taken, so that only the sizes count.
    fn inputs(&self, lora: LoraConfig, data: &PackedData) -> Result<SessionInputs> {
        let too_long = |_| Error::Data(format!("rows of {} tokens are too long", data.sequence_length));
        Ok(SessionInputs {
            model_dir: self.model_dir.clone(),
            data_dir: PathBuf::new(),
            config: TrainConfig {
                seed: 0,
                data_key: [0; 32],
                lora,
                learning_rate: 1.0,
                schedule: Schedule::Constant,
                warmup_steps: 0,
                steps_per_segment: 1,
                segments: 1,
                micro_batch_size: self.batch_rows,
                gradient_accumulation_steps: 1,
                max_grad_norm: 0.0,
                adamw: AdamWConfig { beta1: 0.0, beta2: 0.0, epsilon: 1.0, weight_decay: 0.0 },
                sequence_length: u32::try_from(data.sequence_length).map_err(too_long)?,
                evaluate_after_segments: Vec::new(),
            },
            arithmetic: Arithmetic::Exact(self.base),
            threads: self.threads,
            device: self.device,
        })
    }
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
