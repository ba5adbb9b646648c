//! A small base model from nothing: all parameters trained, on packed text.
//!
//! This is how the model that ships with the project is made. It is not part of a job: nobody audits it, so it keeps
//! no state roots; but it is as deterministic as the rest.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use tch::{Kind, Tensor};

use crate::{
    batch::{Batch, RowOrder},
    data::{PackedData, Split},
    engine::check_vocabulary,
    evaluate::held_out_loss,
    files::{self, TensorBytes},
    gradient::{of_batch, Trained},
    model::{parameter_shape, Model},
    optimizer::{clip, global_norm, AdamW, AdamWConfig},
    parameters::{tensor, Parameters},
    random,
    schedule::Schedule,
    spec::ModelSpec,
    Error, Result,
};

/// Standard deviation of the initial values, as in GPT-2 and Llama.
const INITIAL_DEVIATION: f32 = 0.02;

/// How a base model is trained.
#[derive(Clone, Debug)]
pub struct PretrainConfig {
    /// Seed of the initial values.
    pub seed: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Packed rows per step.
    pub batch_rows: usize,
    /// Peak learning rate; it falls along half a cosine to zero.
    pub learning_rate: f64,
    /// Decoupled weight decay on matrices (not on norms).
    pub weight_decay: f64,
    /// Largest global norm of the gradient.
    pub max_grad_norm: f64,
}

/// Where a pretraining is.
#[derive(Clone, Copy, Debug)]
pub struct PretrainStep {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// Mean loss of this step, in nats per token.
    pub loss: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Tokens (padding excluded) per second since the start.
    pub tokens_per_second: f64,
    /// Time since the start.
    pub elapsed: Duration,
}

/// A model being trained from nothing.
pub struct Pretraining {
    model: Model,
    parameters: Parameters,
    optimizer: AdamW,
    config: PretrainConfig,
    decayed: Vec<(i64, i64)>,
}

impl Pretraining {
    /// A model of the given shape with initial values from the seed.
    ///
    /// # Errors
    /// A configuration that cannot be trained with.
    pub fn new(spec: ModelSpec, config: PretrainConfig) -> Result<Self> {
        if config.steps == 0 || config.batch_rows == 0 {
            return Err(Error::Config("steps and batch rows must be above 0".into()));
        }
        if !(config.learning_rate.is_finite() && config.learning_rate > 0.0) {
            let found = config.learning_rate;
            return Err(Error::Config(format!("learning rate is {found}; expected a number above 0")));
        }
        let no_grad = tch::no_grad_guard();
        let mut model = Model::from_parts(spec.clone(), |name| initial(&spec, config.seed, name))?;
        let tensors =
            model.fused_mut().into_iter().map(|(name, tensor)| (name, tensor.shallow_clone())).collect();
        drop(no_grad);
        let parameters = Parameters::new(tensors)?;
        for (name, tensor) in model.fused_mut() {
            *tensor = parameters.leaf(&name).expect("every name was added above, qed").shallow_clone();
        }
        if model.spec.tie_word_embeddings {
            model.head = model.embedding.shallow_clone();
        }
        let matrices = parameters.slots().iter().filter(|slot| slot.shape.len() > 1);
        let decayed = matrices.map(|slot| (slot.offset, slot.count)).collect();
        let adamw = AdamWConfig { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: config.weight_decay };
        let optimizer = AdamW::new(adamw, parameters.zeros()?, parameters.zeros()?);
        Ok(Self { model, parameters, optimizer, config, decayed })
    }

    /// The model as it is now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Trains all steps on `data.train`. `progress` is called after each step and may end the training early by
    /// returning false; whatever was trained by then can be saved.
    ///
    /// # Errors
    /// Data of another vocabulary, or a loss that is not finite.
    pub fn train(
        &mut self,
        data: &PackedData,
        mut progress: impl FnMut(&Self, PretrainStep) -> Result<bool>,
    ) -> Result<()> {
        check_vocabulary(&self.model.spec, data)?;
        let mut order =
            RowOrder::new(blake3::hash(&self.config.seed.to_le_bytes()).as_bytes(), data.train.rows as u64);
        let start = Instant::now();
        let mut tokens = 0;
        for step in 0..self.config.steps {
            let first = step * self.config.batch_rows as u64;
            let rows: Vec<usize> =
                (first..first + self.config.batch_rows as u64).map(|index| order.row(index)).collect();
            let factor = Schedule::Cosine.factor(step, self.config.warmup_steps, self.config.steps);
            let learning_rate = self.config.learning_rate * factor;
            let (loss, seen) = self.step(&data.train, &rows, step, learning_rate)?;
            tokens += seen;
            let elapsed = start.elapsed();
            let report = PretrainStep {
                step: step + 1,
                total_steps: self.config.steps,
                loss,
                learning_rate,
                tokens_per_second: tokens as f64 / elapsed.as_secs_f64(),
                elapsed,
            };
            if !progress(self, report)? {
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self, split: &Split, rows: &[usize], step: u64, learning_rate: f64) -> Result<(f64, u64)> {
        let batch = Batch::new(&self.model.spec, split, rows)?;
        let weight = 1.0 / batch.loss_tokens.max(1) as f64;
        let (sum, mut gradient) = of_batch(&self.model, Trained::Model(&self.parameters), &batch, weight)?;
        let (loss, norm) = (sum * weight, global_norm(&gradient));
        for (what, value) in [("the loss", loss), ("the gradient's norm", norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { step, what, value });
            }
        }
        clip(&mut gradient, norm, self.config.max_grad_norm)?;
        self.optimizer.step(self.parameters.flat(), &gradient, learning_rate, step + 1, &self.decayed)?;
        Ok((loss, batch.tokens_seen))
    }

    /// Mean held-out loss in nats per token; `None` if nothing is held out.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn held_out_loss(&self, data: &PackedData) -> Result<Option<f64>> {
        Ok(held_out_loss(&self.model, None, &data.held_out, self.config.batch_rows)?
            .map(|held_out| held_out.loss))
    }

    /// Writes `config.json` and `model.safetensors` (bfloat16) into `dir`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        save_model(&self.model, &[], dir)
    }
}

/// Initial value of a parameter by its Hugging Face name. Projections back into the residual stream start smaller by the
/// root of their number, so that its variance does not grow with depth.
fn initial(spec: &ModelSpec, seed: u64, name: &str) -> Result<Tensor> {
    let shape = parameter_shape(spec, name).expect("the name is one of the model's own, qed");
    if name.ends_with("norm.weight") {
        return Ok(Tensor::f_ones(&shape[..], crate::model::FLOAT)?);
    }
    if name.ends_with("bias") {
        return Ok(Tensor::f_zeros(&shape[..], crate::model::FLOAT)?);
    }
    let into_residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
    let depth = if into_residual { (2.0 * spec.layers as f32).sqrt() } else { 1.0 };
    let count = shape.iter().product::<i64>() as usize;
    Ok(tensor(&random::uniform(seed, name, count, INITIAL_DEVIATION * 3.0f32.sqrt() / depth))?
        .f_reshape(&shape)?)
}

/// Writes a model in Hugging Face layout with bfloat16 weights, those in `replaced` by name in place of the model's own.
pub(crate) fn save_model(model: &Model, replaced: &[(String, Tensor)], dir: &Path) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    files::create_dir(dir)?;
    let mut encoded = Vec::new();
    for (name, tensor) in model.parameters()? {
        let tensor = replaced.iter().find(|(other, _)| *other == name).map_or(&tensor, |(_, merged)| merged);
        let half = tensor.f_detach()?.f_to_kind(Kind::BFloat16)?.f_contiguous()?;
        let mut raw = vec![0u8; half.numel() * 2];
        half.f_copy_data_u8(&mut raw, half.numel())?;
        encoded.push((name, half.size(), raw));
    }
    let tensors: Vec<TensorBytes<'_>> = encoded
        .iter()
        .map(|(name, shape, bytes)| TensorBytes { name, dtype: "BF16", shape, bytes })
        .collect();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    files::write_safetensors(&dir.join("model.safetensors"), &metadata, &tensors)?;
    files::write_json(&dir.join("config.json"), &model.spec.to_json("bfloat16"))
}
