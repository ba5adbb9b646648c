//! A device against the CPU: whole exact trainings of random models, which must be the same to the last bit.
//!
//! The one idea: what is compared is what the chain would see, roots, traces, losses and checkpoints of a [`Session`], so
//! that a GPU that passes can be trusted with jobs. `scripts/gpu-check` runs it where there is a GPU.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use attune_primitives::H256;

use crate::{
    data::{PackedData, Split, IGNORE},
    files::{self, write_safetensors, TensorBytes},
    lora::{LoraConfig, Target},
    model::parameter_shape,
    optimizer::AdamWConfig,
    parameters::bytes,
    random::uniform,
    schedule::Schedule,
    spec::ModelSpec,
    Arithmetic, BaseFormat, DeviceChoice, Error, Placement, Result, Session, SessionInputs, TrainConfig,
};

/// A training to compare.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is, for people.
    pub name: String,
    /// The shape of its model.
    pub spec: ModelSpec,
    /// How the base is held.
    pub base: BaseFormat,
    /// Tokens of a row.
    pub length: usize,
    /// Rows of a forward pass on the CPU; the device takes all rows of a step at once.
    pub micro_batch_rows: u32,
}

/// Rows of an optimizer step.
const STEP_ROWS: u32 = 8;
/// Segments and their steps.
const SEGMENTS: (u32, u32) = (2, 5);

/// What a training came to.
#[derive(Clone, Debug)]
struct Run {
    /// State root at the end of each segment.
    roots: Vec<H256>,
    /// Trace of each segment.
    traces: Vec<H256>,
    /// Bits of the held-out loss at the end.
    held_out: Option<u64>,
    /// The last checkpoint.
    checkpoint: Vec<u8>,
    placement: Placement,
    elapsed: Duration,
}

/// A comparison that was made.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Optimizer steps.
    pub steps: u64,
    /// State root at the end, on the CPU.
    pub root: H256,
    /// Where the device is.
    pub placement: Placement,
    /// How long the CPU took, loading included.
    pub cpu: Duration,
    /// How long the device took, loading included.
    pub device: Duration,
    /// What differs; none if all is the same.
    pub difference: Option<String>,
}

/// The comparisons that are asked of a GPU: both shapes, both forms of the base, sizes that fill tiles and ones that do not.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, spec, base, length, micro_batch_rows| Case {
        name: name.to_string(),
        spec,
        base,
        length,
        micro_batch_rows,
    };
    vec![
        case("Llama shape, 8 bits", sized(4, 256, 64, (4, 2), false), BaseFormat::W8, 256, 2),
        case("Qwen2 shape, 4 bits", sized(3, 256, 64, (4, 4), true), BaseFormat::W4, 192, 1),
        case("odd sizes, 4 bits", sized(3, 108, 18, (6, 3), false), BaseFormat::W4, 70, 4),
        case("odd sizes, 8 bits", sized(2, 36, 10, (4, 2), true), BaseFormat::W8, 33, 8),
    ]
}

/// A shape of so many blocks.
fn sized(layers: i64, hidden: i64, head_dim: i64, (heads, kv_heads): (i64, i64), is_qwen: bool) -> ModelSpec {
    ModelSpec {
        architecture: if is_qwen { "Qwen2ForCausalLM" } else { "LlamaForCausalLM" }.into(),
        vocab_size: hidden * 8 - 3,
        hidden_size: hidden,
        intermediate_size: hidden * 11 / 4,
        layers,
        heads,
        kv_heads,
        head_dim,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: !is_qwen,
        qkv_bias: is_qwen,
        max_position_embeddings: 512,
        eos_token_ids: vec![0],
        bos_token_id: None,
    }
}

impl Case {
    /// Trains on the CPU with `threads` threads and on `device`, in the empty folder `folder`. The device's second segment
    /// goes on from the CPU's checkpoint, and the CPU's from the device's.
    ///
    /// # Errors
    /// A device that cannot be used or fails, or a file that cannot be written.
    pub fn compare(&self, folder: &Path, device: DeviceChoice, threads: usize) -> Result<Compared> {
        let (model_dir, data_dir) = (folder.join("model"), folder.join("data"));
        write_model(&self.spec, &model_dir, 0.15)?;
        self.data().write(&data_dir).map_err(|error| Error::Data(error.to_string()))?;
        let inputs = |device, micro_batch_size| SessionInputs {
            model_dir: model_dir.clone(),
            data_dir: data_dir.clone(),
            config: self.config(micro_batch_size),
            arithmetic: Arithmetic::Exact(self.base),
            threads,
            device,
        };
        // A checkpoint belongs to one configuration, so the engines that exchange theirs have the same micro-batch.
        let cpu = run([&inputs(DeviceChoice::Cpu, self.micro_batch_rows); 2], folder)?;
        let own = inputs(device, STEP_ROWS);
        let found = run([&own; 2], folder)?;
        let other = inputs(DeviceChoice::Cpu, STEP_ROWS);
        let mixed =
            [("from the CPU to the device", [&other, &own]), ("from the device to the CPU", [&own, &other])];
        let mut difference = differ(&cpu, &found, false);
        for (how, engines) in mixed {
            let handed = run(engines, folder)?;
            difference = difference.or_else(|| Some(format!("{how}: {}", differ(&found, &handed, true)?)));
        }
        Ok(Compared {
            steps: own.config.total_steps(),
            root: cpu.roots.last().copied().unwrap_or_default(),
            placement: found.placement,
            cpu: cpu.elapsed,
            device: found.elapsed,
            difference,
        })
    }

    fn config(&self, micro_batch_size: u32) -> TrainConfig {
        let (segments, steps_per_segment) = SEGMENTS;
        TrainConfig {
            seed: 3,
            data_key: [7; 32],
            lora: LoraConfig { rank: 6, alpha: 12.0, use_rslora: true },
            learning_rate: 1e-2,
            schedule: Schedule::Cosine,
            warmup_steps: 2,
            steps_per_segment,
            segments,
            micro_batch_size,
            gradient_accumulation_steps: STEP_ROWS / micro_batch_size,
            max_grad_norm: 1.0,
            adamw: AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
            sequence_length: self.length as u32,
            evaluate_after_segments: vec![segments - 1],
        }
    }

    /// Random tokens in documents of several lengths; a row of each eight bears no loss.
    fn data(&self) -> PackedData {
        let vocabulary = self.spec.vocab_size as usize;
        let split = |name: &str, rows: usize| {
            let mut split = Split { sequence_length: self.length, rows, ..Split::default() };
            for row in 0..rows {
                let random = uniform(1, &format!("{name} {row}"), self.length, 0.5);
                let token = |at: usize| ((random[at] + 0.5) * vocabulary as f32) as i32 % vocabulary as i32;
                let mut start = 0;
                for at in 0..self.length {
                    if at == self.length * (row % 5) / 7 || at == self.length * 5 / 6 {
                        start = at;
                    }
                    let ends =
                        [self.length, self.length * (row % 5) / 7, self.length * 5 / 6].contains(&(at + 1));
                    split.tokens.push(token(at));
                    split.positions.push((at - start) as i32);
                    split.labels.push(match ends || row % 8 == 7 || at % 3 == 0 {
                        true => IGNORE,
                        false => token(at + 1),
                    });
                }
            }
            split
        };
        PackedData {
            train: split("train", 40),
            held_out: split("held out", 5),
            sequence_length: self.length,
            vocab_size: vocabulary,
            tokenizer_blake3: "0".repeat(64),
        }
    }
}

/// Runs each segment by the inputs of its own; where these are others, from the checkpoint of the last.
fn run(engines: [&SessionInputs; 2], folder: &Path) -> Result<Run> {
    let path: PathBuf = folder.join("checkpoint.safetensors");
    let started = Instant::now();
    let mut session = Session::start(engines[0])?;
    let (mut roots, mut traces) = (Vec::new(), Vec::new());
    for (at, inputs) in engines.iter().enumerate() {
        if at > 0 && !std::ptr::eq(*inputs, engines[at - 1]) {
            session.save_checkpoint(&path)?;
            session = Session::resume(inputs, &path)?;
        }
        let report = session.run_segment(&mut |_| ControlFlow::Continue(()))?;
        roots.push(report.end_root);
        traces.push(report.trace);
    }
    let elapsed = started.elapsed();
    session.save_checkpoint(&path)?;
    let checkpoint = std::fs::read(&path).map_err(|source| Error::io("reading", &path, source))?;
    let held_out = session.held_out_loss()?.map(f64::to_bits);
    Ok(Run { roots, traces, held_out, checkpoint, placement: session.placement().clone(), elapsed })
}

/// What differs first. Checkpoints name their configuration, so only those of one configuration are the same.
fn differ(expected: &Run, found: &Run, with_checkpoint: bool) -> Option<String> {
    for (what, expected, found) in
        [("state root", &expected.roots, &found.roots), ("trace", &expected.traces, &found.traces)]
    {
        if let Some(at) = expected.iter().zip(found).position(|(expected, found)| expected != found) {
            return Some(format!(
                "{what} of segment {at}: expected {:?}, found {:?}",
                expected[at], found[at]
            ));
        }
    }
    if expected.held_out != found.held_out {
        let loss = |run: &Run| run.held_out.map(f64::from_bits);
        return Some(format!("held-out loss: expected {:?}, found {:?}", loss(expected), loss(found)));
    }
    (with_checkpoint && expected.checkpoint != found.checkpoint)
        .then(|| "bytes of the checkpoint".to_string())
}

/// The Hugging Face names of all parameters.
fn names(spec: &ModelSpec) -> Vec<String> {
    let mut names = vec!["model.embed_tokens.weight".to_string(), "model.norm.weight".to_string()];
    if !spec.tie_word_embeddings {
        names.push("lm_head.weight".into());
    }
    for layer in 0..spec.layers {
        for part in ["input_layernorm", "post_attention_layernorm"] {
            names.push(format!("model.layers.{layer}.{part}.weight"));
        }
        for target in Target::ALL {
            let path = target.path(layer as usize);
            names.push(format!("{path}.weight"));
            if spec.qkv_bias && matches!(target, Target::Q | Target::K | Target::V) {
                names.push(format!("{path}.bias"));
            }
        }
    }
    names
}

/// The random values of a parameter, within `bound`; around 1 for norms.
pub(crate) fn parameter(spec: &ModelSpec, name: &str, bound: f32) -> Vec<f32> {
    let shape = parameter_shape(spec, name).expect("the name is one of the model's own, qed");
    let values = uniform(7, name, shape.iter().product::<i64>() as usize, bound);
    let around = if name.contains("norm") { 1.0 } else { 0.0 };
    values.iter().map(|value| around + value).collect()
}

/// Writes a model of random weights in Hugging Face layout.
pub(crate) fn write_model(spec: &ModelSpec, dir: &Path, bound: f32) -> Result<()> {
    files::create_dir(dir)?;
    files::write_json(&dir.join("config.json"), &spec.to_json("float32"))?;
    let names = names(spec);
    let values: Vec<_> = names.iter().map(|name| parameter(spec, name, bound)).collect();
    let shape = |name: &String| parameter_shape(spec, name).expect("the name is one of the model's own, qed");
    let shapes: Vec<_> = names.iter().map(shape).collect();
    let tensors: Vec<_> = (names.iter().zip(&values).zip(&shapes))
        .map(|((name, values), shape)| TensorBytes { name, dtype: "F32", shape, bytes: bytes(values) })
        .collect();
    write_safetensors(&dir.join("model.safetensors"), &BTreeMap::new(), &tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_of_a_gpu_give_the_same_trainings_in_all_cases_that_are_small_enough_for_the_host() {
        let small = cases().into_iter().filter(|case| case.spec.hidden_size < 100);
        for case in small {
            let folder = tempfile::tempdir().unwrap();
            let compared = case.compare(folder.path(), DeviceChoice::HostKernels, 2).unwrap();
            assert_eq!((compared.difference, compared.steps), (None, 10), "{}", case.name);
        }
    }

    #[test]
    fn the_larger_cases_are_trainings_that_the_cpu_does_alike_in_all_micro_batches() {
        for case in cases().into_iter().filter(|case| case.spec.hidden_size > 100) {
            let folder = tempfile::tempdir().unwrap();
            let compared = case.compare(folder.path(), DeviceChoice::Cpu, 2).unwrap();
            assert_eq!((compared.difference, compared.placement.gpu), (None, None), "{}", case.name);
        }
    }

    #[test]
    fn a_difference_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let case = cases().pop().unwrap();
        write_model(&case.spec, &folder.path().join("model"), 0.15).unwrap();
        case.data().write(&folder.path().join("data")).unwrap();
        let mut inputs = SessionInputs {
            model_dir: folder.path().join("model"),
            data_dir: folder.path().join("data"),
            config: case.config(8),
            arithmetic: Arithmetic::Exact(case.base),
            threads: 1,
            device: DeviceChoice::Cpu,
        };
        let one = run([&inputs; 2], folder.path()).unwrap();
        assert_eq!(differ(&one, &one, true), None);
        inputs.config.learning_rate *= 1.001;
        let other = run([&inputs; 2], folder.path()).unwrap();
        assert!(differ(&one, &other, true).unwrap().starts_with("state root of segment 0: expected 0x"));
        let held_out = Run { held_out: None, ..one.clone() };
        assert!(differ(&one, &held_out, true).unwrap().starts_with("held-out loss: expected Some("));
        let checkpoint = Run { checkpoint: Vec::new(), ..one.clone() };
        assert_eq!(differ(&one, &checkpoint, false), None);
        assert_eq!(differ(&one, &checkpoint, true).unwrap(), "bytes of the checkpoint");
    }
}
