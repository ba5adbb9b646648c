//! A tiny random model, a task that it can learn, and a configuration for both.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;

use attune_trainer::{
    data::{PackedData, Split},
    lora::LoraConfig,
    optimizer::AdamWConfig,
    pretrain::{PretrainConfig, Pretraining},
    schedule::Schedule,
    spec::ModelSpec,
    Arithmetic, DeviceChoice, ExecutionClass, SessionInputs, TrainConfig,
};
use serde_json::{json, Value};
use tempfile::TempDir;

/// Tokens of a row.
pub const LENGTH: usize = 24;
const IGNORE: i32 = -100;

/// One thread: the models are tiny, and tests run beside each other.
pub fn class() -> ExecutionClass {
    let class = ExecutionClass::detect(1).expect("the tests' machine has AVX2");
    class.pin().expect("nothing else has pinned this process");
    class
}

pub fn config_json() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": true, "max_position_embeddings": 64,
        "eos_token_id": 2, "bos_token_id": 1,
    })
}

pub fn pretraining(spec: ModelSpec, steps: u64) -> Pretraining {
    class();
    let config = PretrainConfig {
        seed: 5,
        steps,
        warmup_steps: 2,
        batch_rows: 4,
        learning_rate: 1e-2,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
    };
    Pretraining::new(spec, config).unwrap()
}

/// Two examples of a row: "1 a b 3 b a 2" (or "1 a b 3 a b 2" unless reversed), loss on the answer; then padding.
fn row(split: &mut Split, number: usize, reversed: bool) {
    let pair = |n: usize| [4 + (n * 7) % 36, 4 + (n * 11 + 3) % 36].map(|t| t as i32);
    for example in 0..2 {
        let [a, b] = pair(number * 2 + example);
        let answer = if reversed { [b, a] } else { [a, b] };
        let tokens = [1, a, b, 3, answer[0], answer[1], 2];
        for at in 0..tokens.len() {
            split.tokens.push(tokens[at]);
            split.positions.push(at as i32);
            split.labels.push(if (3..6).contains(&at) { tokens[at + 1] } else { IGNORE });
        }
    }
    for _ in 14..LENGTH {
        split.tokens.push(0);
        split.positions.push(0);
        split.labels.push(IGNORE);
    }
    split.rows += 1;
}

pub fn data(train_rows: usize, held_out_rows: usize) -> PackedData {
    task(train_rows, held_out_rows, true)
}

/// Say two tokens again, in reverse or as they are.
pub fn task(train_rows: usize, held_out_rows: usize, reversed: bool) -> PackedData {
    let empty = || Split { sequence_length: LENGTH, ..Split::default() };
    let (mut train, mut held_out) = (empty(), empty());
    (0..train_rows).for_each(|number| row(&mut train, number, reversed));
    (0..held_out_rows).for_each(|number| row(&mut held_out, 1000 + number, reversed));
    PackedData { train, held_out, sequence_length: LENGTH, vocab_size: 40, tokenizer_blake3: "ab".repeat(32) }
}

pub fn train_config() -> TrainConfig {
    TrainConfig {
        seed: 11,
        data_key: [3; 32],
        lora: LoraConfig { rank: 4, alpha: 8.0, use_rslora: false },
        learning_rate: 2e-2,
        schedule: Schedule::Cosine,
        warmup_steps: 2,
        steps_per_segment: 3,
        segments: 3,
        micro_batch_size: 2,
        gradient_accumulation_steps: 2,
        max_grad_norm: 1.0,
        adamw: AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
        sequence_length: LENGTH as u32,
        evaluate_after_segments: vec![2],
    }
}

/// A model directory and a packed data set in a temporary folder, and a session's inputs over them.
pub struct World {
    pub dir: TempDir,
    pub inputs: SessionInputs,
}

impl World {
    pub fn new() -> Self {
        Self::with(config_json(), &data(10, 4))
    }

    pub fn with(model: Value, data: &PackedData) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model_dir = dir.path().join("model");
        pretraining(ModelSpec::from_json(&model).unwrap(), 1).save(&model_dir).unwrap();
        let data_dir = dir.path().join("data");
        data.write(&data_dir).unwrap();
        let arithmetic = Arithmetic::Float(class());
        let inputs = SessionInputs {
            model_dir,
            data_dir,
            config: train_config(),
            arithmetic,
            threads: 1,
            device: DeviceChoice::Cpu,
        };
        Self { dir, inputs }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
