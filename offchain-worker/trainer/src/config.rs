//! Everything that fixes a training besides the model and the data.

use serde::{Deserialize, Serialize};

use attune_kernels::rows::optimizer::LONGEST;

use crate::{
    lora::{self, LoraConfig},
    optimizer::AdamWConfig,
    schedule::Schedule,
    spec::ModelSpec,
    Error, Result,
};

/// Most optimizer steps of a training.
pub const MAX_STEPS: u64 = 1 << 40;

/// Most parameters of an adapter: what the norm of a gradient in exact arithmetic is sized for (`exact/SPEC.md`, section 7).
pub const MAX_ADAPTER_LENGTH: i64 = LONGEST as i64;

/// The configuration of a training. Two trainings with equal configurations, models, data and execution classes give
/// equal bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the adapter's initial values.
    pub seed: u64,
    /// Key of the data order: the hash of the job's specification. 64 hex digits in JSON.
    #[serde(with = "hex_key")]
    pub data_key: [u8; 32],
    /// Size and scale of the adapter.
    pub lora: LoraConfig,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How the learning rate moves after the warm-up.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Optimizer steps of one segment.
    pub steps_per_segment: u32,
    /// Segments; the training has `segments * steps_per_segment` optimizer steps.
    pub segments: u32,
    /// Packed rows of one forward pass.
    pub micro_batch_size: u32,
    /// Forward passes per optimizer step.
    pub gradient_accumulation_steps: u32,
    /// Largest global norm of the gradient; 0 for no clipping.
    pub max_grad_norm: f64,
    /// Constants of AdamW.
    pub adamw: AdamWConfig,
    /// Tokens of a packed row; must be that of the data.
    pub sequence_length: u32,
    /// Segments (from 0) at whose end the held-out loss is measured. It is also measured before segment 0.
    pub evaluate_after_segments: Vec<u32>,
}

/// A key as 64 hex digits.
mod hex_key {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(key))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut key = [0; 32];
        match hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(&text), &mut key) {
            Ok(()) => Ok(key),
            Err(error) => Err(D::Error::custom(format!("{text:?} is not a key of 64 hex digits: {error}"))),
        }
    }
}

impl TrainConfig {
    /// Optimizer steps in all.
    pub fn total_steps(&self) -> u64 {
        u64::from(self.segments) * u64::from(self.steps_per_segment)
    }

    /// Packed rows of one optimizer step.
    pub fn rows_per_step(&self) -> u64 {
        u64::from(self.micro_batch_size) * u64::from(self.gradient_accumulation_steps)
    }

    /// Learning rate of optimizer step `step` (from 0).
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        self.learning_rate * self.schedule.factor(step, self.warmup_steps, self.total_steps())
    }

    /// Checks every range.
    ///
    /// # Errors
    /// The first setting that cannot be trained with, and what to change.
    pub fn validate(&self) -> Result<()> {
        self.lora.validate()?;
        let counts = [
            ("steps_per_segment", self.steps_per_segment),
            ("segments", self.segments),
            ("micro_batch_size", self.micro_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("sequence_length", self.sequence_length),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::Config(format!("{name} is 0; expected at least 1")));
        }
        if self.total_steps() > MAX_STEPS || self.rows_per_step() > MAX_STEPS {
            let (steps, rows) = (self.total_steps(), self.rows_per_step());
            return Err(Error::Config(format!(
                "{steps} steps of {rows} rows are above the limit of {MAX_STEPS}"
            )));
        }
        if self.warmup_steps >= self.total_steps() {
            let (warmup, total) = (self.warmup_steps, self.total_steps());
            return Err(Error::Config(format!(
                "warmup_steps is {warmup} of {total} steps in all; expected fewer, so that the peak is reached"
            )));
        }
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.adamw;
        let above_zero = [("learning_rate", self.learning_rate), ("adamw.epsilon", epsilon)];
        let not_negative = [("max_grad_norm", self.max_grad_norm), ("adamw.weight_decay", weight_decay)];
        let fractions = [("adamw.beta1", beta1), ("adamw.beta2", beta2)];
        if let Some((name, value)) = above_zero.iter().find(|(_, v)| !(v.is_finite() && *v > 0.0)) {
            return Err(Error::Config(format!("{name} is {value}; expected a number above 0")));
        }
        if let Some((name, value)) = not_negative.iter().find(|(_, v)| !(v.is_finite() && *v >= 0.0)) {
            return Err(Error::Config(format!("{name} is {value}; expected 0 or more")));
        }
        if let Some((name, value)) = fractions.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Err(Error::Config(format!("{name} is {value}; expected at least 0 and below 1")));
        }
        match self.evaluate_after_segments.iter().find(|segment| **segment >= self.segments) {
            Some(segment) => Err(Error::Config(format!(
                "evaluate_after_segments names segment {segment}; there are {} (counted from 0)",
                self.segments
            ))),
            None => Ok(()),
        }
    }

    /// Checks the configuration against a model's shape.
    ///
    /// # Errors
    /// Rows longer than the model's context.
    pub fn validate_for(&self, spec: &ModelSpec) -> Result<()> {
        self.validate()?;
        if i64::from(self.sequence_length) > spec.max_position_embeddings {
            return Err(Error::Config(format!(
                "sequence_length is {}, the model's context is {}; pack the data into shorter rows",
                self.sequence_length, spec.max_position_embeddings
            )));
        }
        let rank = self.lora.rank;
        let length: i64 = lora::layout(spec, rank).iter().map(|slot| slot.count).sum();
        if length > MAX_ADAPTER_LENGTH {
            return Err(Error::Config(format!(
                "an adapter of rank {rank} on this model has {length} parameters, at most {MAX_ADAPTER_LENGTH} are \
                 allowed; take a smaller rank"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TrainConfig {
        TrainConfig {
            seed: 1,
            data_key: [7; 32],
            lora: LoraConfig { rank: 4, alpha: 8.0, use_rslora: false },
            learning_rate: 1e-3,
            schedule: Schedule::Cosine,
            warmup_steps: 1,
            steps_per_segment: 2,
            segments: 3,
            micro_batch_size: 2,
            gradient_accumulation_steps: 1,
            max_grad_norm: 1.0,
            adamw: AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 },
            sequence_length: 16,
            evaluate_after_segments: vec![2],
        }
    }

    #[test]
    fn a_configuration_survives_json_and_unknown_settings_are_refused() {
        let text = serde_json::to_string(&config()).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config());
        let misspelt = text.replace("\"learning_rate\"", "\"learning_rat\"");
        let error = serde_json::from_str::<TrainConfig>(&misspelt).unwrap_err().to_string();
        assert!(error.contains("unknown field `learning_rat`"), "{error}");
    }

    #[test]
    fn an_adapter_that_is_too_long_is_refused_before_anything_is_loaded() {
        let spec = |layers: u32| {
            ModelSpec::from_json(&serde_json::json!({
                "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 8192,
                "intermediate_size": 28672, "num_hidden_layers": layers, "num_attention_heads": 64,
                "num_key_value_heads": 8, "max_position_embeddings": 128,
            }))
            .unwrap()
        };
        let largest = TrainConfig { lora: LoraConfig { rank: 1024, ..config().lora }, ..config() };
        largest.validate_for(&spec(3)).unwrap();
        let error = largest.validate_for(&spec(4)).unwrap_err().to_string();
        assert!(error.contains("rank 1024") && error.contains("at most 536870912"), "{error}");
    }

    #[test]
    fn each_setting_out_of_range_is_named() {
        config().validate().unwrap();
        type Change = Box<dyn Fn(&mut TrainConfig)>;
        let cases: Vec<(&str, Change)> = vec![
            ("segments is 0", Box::new(|c| c.segments = 0)),
            ("micro_batch_size is 0", Box::new(|c| c.micro_batch_size = 0)),
            ("warmup_steps is 6", Box::new(|c| c.warmup_steps = 6)),
            ("learning_rate is NaN", Box::new(|c| c.learning_rate = f64::NAN)),
            ("learning_rate is 0", Box::new(|c| c.learning_rate = 0.0)),
            ("max_grad_norm is -1", Box::new(|c| c.max_grad_norm = -1.0)),
            ("beta2 is 1", Box::new(|c| c.adamw.beta2 = 1.0)),
            ("epsilon is 0", Box::new(|c| c.adamw.epsilon = 0.0)),
            ("rank is 0", Box::new(|c| c.lora.rank = 0)),
            ("alpha is inf", Box::new(|c| c.lora.alpha = f64::INFINITY)),
            ("names segment 3", Box::new(|c| c.evaluate_after_segments = vec![3])),
            ("above the limit", Box::new(|c| (c.segments, c.steps_per_segment) = (u32::MAX, u32::MAX))),
        ];
        for (expected, change) in cases {
            let mut changed = config();
            change(&mut changed);
            let error = changed.validate().expect_err(expected).to_string();
            assert!(error.contains(expected), "expected {expected:?} in {error:?}");
        }
    }
}
