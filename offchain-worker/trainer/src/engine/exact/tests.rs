//! The engine beside the naive reference: whole steps, bit for bit.

use attune_exact::{
    fault::{Fault, Forward, Operator},
    model::{self as reference, Model, Shape, Storage},
    optimizer::State,
    step::{step, Sequence as Row, Settings},
};
use attune_kernels::{Isa, Threads};
use serde_json::{json, Value};
use tempfile::TempDir;

use super::*;
use crate::{
    compare::{self, write_model},
    data::{Split, IGNORE},
    lora::LoraConfig,
    model::parameter_shape,
    optimizer::AdamWConfig,
    random::uniform,
    schedule::Schedule,
    Arithmetic, DeviceChoice,
};

const LENGTH: usize = 70;
/// Of the random weights.
const BOUND: f32 = 0.4;

fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": 61, "hidden_size": 36, "intermediate_size": 50,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "max_position_embeddings": 128,
    })
}

fn qwen() -> Value {
    let mut value = llama();
    value["architectures"] = json!(["Qwen2ForCausalLM"]);
    value["tie_word_embeddings"] = json!(false);
    value["num_key_value_heads"] = json!(4);
    value
}

/// With positions scaled as Llama 3 does it.
fn llama3() -> Value {
    let mut value = llama();
    value["rope_scaling"] = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    });
    value
}

fn parameter(spec: &ModelSpec, name: &str) -> Vec<f32> {
    compare::parameter(spec, name, BOUND)
}

/// The same model for the reference.
fn reference_model(spec: &ModelSpec, base: BaseFormat) -> Model {
    let storage = match base {
        BaseFormat::W8 => Storage::W8,
        BaseFormat::W4 => Storage::W4,
    };
    let freeze = |storage: Storage, parts: &[String]| {
        let parts: Vec<_> = parts
            .iter()
            .map(|name| {
                let inputs = parameter_shape(spec, name).unwrap()[1] as usize;
                storage.freeze(&parameter(spec, name), inputs).unwrap()
            })
            .collect();
        attune_exact::weights::Frozen::stack(&parts)
    };
    let block = |layer: i64| {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let weights =
            |parts: &[&str]| freeze(storage, &parts.iter().map(|part| name(part)).collect::<Vec<_>>());
        let bias = |part: &str| parameter(spec, &format!("model.layers.{layer}.self_attn.{part}_proj.bias"));
        reference::Block {
            input_norm: parameter(spec, &name("input_layernorm")),
            qkv: weights(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
            qkv_bias: spec.qkv_bias.then(|| ["q", "k", "v"].map(bias).concat()),
            output: weights(&["self_attn.o_proj"]),
            post_norm: parameter(spec, &name("post_attention_layernorm")),
            gate_up: weights(&["mlp.gate_proj", "mlp.up_proj"]),
            down: weights(&["mlp.down_proj"]),
        }
    };
    let head = (!spec.tie_word_embeddings).then(|| freeze(Storage::W8, &["lm_head.weight".into()]));
    Model {
        shape: Shape {
            vocabulary: spec.vocab_size as usize,
            hidden: spec.hidden_size as usize,
            intermediate: spec.intermediate_size as usize,
            layers: spec.layers as usize,
            heads: spec.heads as usize,
            kv_heads: spec.kv_heads as usize,
            head_dim: spec.head_dim as usize,
            norm_epsilon: spec.rms_norm_eps,
            rope_theta: spec.rope_theta,
            rope_scaling: rope_scaling(spec),
        },
        embedding: freeze(Storage::W8, &["model.embed_tokens.weight".into()]),
        blocks: (0..spec.layers).map(block).collect(),
        final_norm: parameter(spec, "model.norm.weight"),
        head,
    }
}

/// Rows with documents of several lengths, padding, and one row without loss.
fn split() -> Split {
    let mut split = Split { sequence_length: LENGTH, rows: 4, ..Split::default() };
    for row in 0..4usize {
        let ends = [[3, 50, 66], [1, 2, 70], [70, 70, 70], [20, 40, 60]][row];
        let mut start = 0;
        for at in 0..LENGTH {
            if ends.contains(&at) || at >= ends[2] {
                start = at;
            }
            let token = ((at * 7 + row * 13) * 31 % 61) as i32;
            split.tokens.push(token);
            split.positions.push((at - start) as i32);
            let bears = row != 2 && at < ends[2] && (at * 5 + row) % 3 != 0;
            split.labels.push(if bears { (token * 3 + 1) % 61 } else { IGNORE });
        }
    }
    split
}

fn config() -> TrainConfig {
    TrainConfig {
        seed: 11,
        data_key: [3; 32],
        lora: LoraConfig { rank: 3, alpha: 6.0, use_rslora: true },
        learning_rate: 1e-2,
        schedule: Schedule::Constant,
        warmup_steps: 0,
        steps_per_segment: 1,
        segments: 2,
        micro_batch_size: 4,
        gradient_accumulation_steps: 1,
        max_grad_norm: 0.5,
        adamw: AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
        sequence_length: LENGTH as u32,
        evaluate_after_segments: Vec::new(),
    }
}

/// Threads, sequences of a micro-batch, and logits at a time.
type Cut = (usize, u32, usize);

/// Ways to cut the work: the rows of all sequences at once, 16 of them, and 23, which divides no number of rows here.
const CUTS: [Cut; 4] = [(1, 4, head::LOGITS), (2, 1, 1), (4, 2, 23 * 61), (1, 3, 1)];

/// The rows of a step in their order. The one whose values grow too large first comes last.
const ROWS: [usize; 4] = [3, 1, 2, 0];

struct World {
    dir: TempDir,
    spec: ModelSpec,
    base: BaseFormat,
    split: Split,
    start: TrainState,
}

impl World {
    fn new(value: &Value, base: BaseFormat) -> Self {
        let (dir, spec) = (tempfile::tempdir().unwrap(), ModelSpec::from_json(value).unwrap());
        write_model(&spec, dir.path(), BOUND).unwrap();
        let mut start = TrainState::new(&spec, config().lora, 5).unwrap();
        // B is zero at first; that would leave half of the formulas untried.
        let noise = uniform(9, "noise", start.adapter.len(), 0.3);
        start.adapter.iter_mut().zip(noise).for_each(|(value, noise)| *value += noise);
        Self { dir, spec, base, split: split(), start }
    }

    fn inputs(&self, threads: usize, micro_batch_size: u32) -> SessionInputs {
        SessionInputs {
            model_dir: self.dir.path().to_path_buf(),
            data_dir: self.dir.path().to_path_buf(),
            config: TrainConfig { micro_batch_size, ..config() },
            arithmetic: Arithmetic::Exact(self.base),
            threads,
            device: DeviceChoice::Cpu,
        }
    }

    /// An engine that takes `logits` logits at a time.
    fn engine(&self, isa: Isa, (threads, micro_batch_size, logits): Cut) -> ExactEngine {
        let (inputs, spec) = (self.inputs(threads, micro_batch_size), self.spec.clone());
        let mut engine = ExactEngine::new(&inputs, spec, self.base, Some(self.start.clone())).unwrap();
        engine.machine = Machine { isa, threads: Threads::new(threads).unwrap(), logits };
        engine.heads.isa = isa;
        engine
    }

    /// The GPU's engine, on the host.
    fn device_engine(&self, micro_batch_size: u32) -> CudaEngine {
        let (inputs, spec) = (self.inputs(1, micro_batch_size), self.spec.clone());
        let device = attune_cuda::Device::host();
        CudaEngine::new(&inputs, spec, self.base, Some(self.start.clone()), &device).unwrap()
    }

    /// Both engines, in micro-batches of `micro_batch_size`.
    fn engines(&self, micro_batch_size: u32) -> [Box<dyn Engine>; 2] {
        let cpu = self.engine(Isa::detect().unwrap(), (2, micro_batch_size, head::LOGITS));
        [Box::new(cpu), Box::new(self.device_engine(micro_batch_size))]
    }

    fn input(&self, step: u64) -> StepInput<'_> {
        let tokens = self.split.labels.iter().filter(|label| **label != IGNORE).count() as u64;
        StepInput { step, data: &self.split, rows: &ROWS, tokens, learning_rate: 1e-2 }
    }

    /// Loss bits, norm bits and state bits after each of `steps` steps of the engine.
    fn run(&self, mut engine: impl Engine, steps: u64) -> Vec<(u32, u64, Vec<u32>)> {
        let bits = |state: StateView<'_>| -> Vec<u32> {
            state.flats().into_iter().flatten().map(|value| value.to_bits()).collect()
        };
        let step = |step| {
            let made = engine.step(&self.input(step)).unwrap();
            (made.loss.to_bits(), made.gradient_norm.to_bits(), bits(engine.state().unwrap()))
        };
        (0..steps).map(step).collect()
    }

    /// The same of the reference.
    fn reference(&self, steps: u64) -> Vec<(u32, u64, Vec<u32>)> {
        self.reference_from(0, steps, 1e-2).unwrap()
    }

    /// As [`World::reference`], from step `first` on; or the first fault.
    fn reference_from(
        &self,
        first: u64,
        steps: u64,
        learning_rate: f64,
    ) -> Result<Vec<(u32, u64, Vec<u32>)>, Fault> {
        let model = reference_model(&self.spec, self.base);
        let lora = Lora { rank: 3, alpha: 6.0, rank_stabilised: true };
        let settings = Settings {
            lora,
            adamw: AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
            learning_rate,
            max_norm: 0.5,
        };
        let places = places(&self.spec, &self.start);
        // The reference keeps blocks in order, the engine names.
        let pairs: Vec<_> = (places.iter().enumerate())
            .flat_map(|(layer, places)| {
                let shape = &model.shape;
                reference::Target::ALL.into_iter().zip(places).flat_map(move |(target, own)| {
                    let (a, b) = lora.place(shape, layer, target);
                    [(a, own.0.clone()), (b, own.1.clone())]
                })
            })
            .collect();
        let there = |flat: &[f32]| {
            let mut moved = vec![0.0; flat.len()];
            pairs.iter().for_each(|(to, from)| moved[to.clone()].copy_from_slice(&flat[from.clone()]));
            moved
        };
        let back = |flat: &[f32]| {
            let mut moved = vec![0u32; flat.len()];
            for (from, to) in &pairs {
                let values = flat[from.clone()].iter().map(|value| value.to_bits());
                moved[to.clone()].iter_mut().zip(values).for_each(|(to, value)| *to = value);
            }
            moved
        };
        let rows: Vec<_> = (ROWS.into_iter())
            .map(|row| {
                let (tokens, labels, positions) = self.split.row(row).unwrap();
                let unsigned = |values: &[i32]| values.iter().map(|value| *value as u32).collect();
                let labels =
                    labels
                        .iter()
                        .map(|label| if *label == IGNORE { attune_exact::step::IGNORE } else { *label });
                Row::packed(unsigned(tokens), labels.collect(), unsigned(positions))
            })
            .collect();
        let mut state = State {
            adapter: there(&self.start.adapter),
            first: there(&self.start.first),
            second: there(&self.start.second),
        };
        (first..first + steps)
            .map(|number| {
                let made = step(&model, &settings, &state, &rows, number)?;
                state = made.state;
                let flats = [&state.first, &state.second, &state.adapter].map(|flat| back(flat));
                Ok((made.loss.to_bits(), made.norm.to_bits(), flats.concat()))
            })
            .collect()
    }
}

#[test]
fn whole_steps_equal_the_reference_bit_for_bit_on_every_path_with_any_threads_and_micro_batches() {
    for (value, base) in [(llama(), BaseFormat::W8), (qwen(), BaseFormat::W4), (llama3(), BaseFormat::W8)] {
        let world = World::new(&value, base);
        let expected = world.reference(2);
        for isa in Isa::available() {
            for cut in CUTS {
                let found = world.run(world.engine(isa, cut), 2);
                assert!(found == expected, "{base:?} on {isa:?}; threads, micro-batch, logits: {cut:?}");
            }
        }
        for micro_batch_size in [1, 3, 4] {
            let found = world.run(world.device_engine(micro_batch_size), 2);
            assert!(found == expected, "{base:?} on the device, micro-batches of {micro_batch_size}");
        }
    }
}

/// The fault of step 6 in the reference, if it has one, which every engine must have however its work is cut; or the bits
/// of the loss.
fn outcome(world: &World, learning_rate: f64) -> Result<u32, Fault> {
    let expected = world.reference_from(6, 1, learning_rate).map(|steps| steps[0].0);
    let check = |mut engine: Box<dyn Engine>, how: &dyn std::fmt::Debug| {
        let input = StepInput { learning_rate, ..world.input(6) };
        let found = match engine.step(&input) {
            Ok(made) => Ok(made.loss.to_bits()),
            Err(Error::Fault(fault)) => Err(fault),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{how:?}");
    };
    for isa in Isa::available() {
        CUTS.into_iter().for_each(|cut| check(Box::new(world.engine(isa, cut)), &(isa, cut)));
    }
    [1, 3, 4].into_iter().for_each(|micro| check(Box::new(world.device_engine(micro)), &("device", micro)));
    expected
}

fn fault(world: &World, learning_rate: f64) -> Fault {
    let fault = outcome(world, learning_rate).expect_err("the step fails");
    assert_eq!(fault.step, 6);
    fault
}

/// Values just too large somewhere: by their size it is another operator that fails, forwards or backwards, and not in
/// every sequence.
#[test]
fn a_fault_is_that_of_the_reference_wherever_a_value_grows_too_large() {
    let mut seen: Vec<Fault> = Vec::new();
    let mut world = World::new(&llama(), BaseFormat::W8);
    let healthy = world.start.clone();
    for (layer, target) in [(0, 0), (0, 6), (1, 3), (1, 5)] {
        for halves in 30 * 2..127 * 2 {
            world.start = healthy.clone();
            let place = places(&world.spec, &healthy)[layer][target].1.clone();
            let factor = 2f32.powf(halves as f32 / 2.0);
            world.start.adapter[place].iter_mut().for_each(|value| *value *= factor);
            let Err(fault) = world.reference_from(6, 1, 1e-2) else { continue };
            if !seen.contains(&fault) {
                assert_eq!(outcome(&world, 1e-2), Err(fault));
                seen.push(fault);
            }
        }
    }
    let some = |is: &dyn Fn(&Fault) -> bool| seen.iter().any(is);
    assert!(some(&|fault| matches!(fault.operator, Operator::Forward(..))), "{seen:?}");
    assert!(some(&|fault| matches!(fault.operator, Operator::Backward(..))), "{seen:?}");
    assert!(some(&|fault| fault.sequence.is_some_and(|sequence| sequence > 0)), "{seen:?}");
}

#[test]
fn a_fault_names_the_first_sequence_and_its_operator_whatever_the_micro_batch_and_the_engine() {
    let healthy = World::new(&llama(), BaseFormat::W8);
    let places = places(&healthy.spec, &healthy.start);
    let broken = |change: &dyn Fn(&mut TrainState)| {
        let mut world = World::new(&llama(), BaseFormat::W8);
        change(&mut world.start);
        fault(&world, 1e-2)
    };
    // The parameters of block 1 alone: its first operator with an adapter meets them.
    let found = broken(&|state| state.adapter[places[1][0].0.start] = f32::NAN);
    assert_eq!((found.sequence, found.operator), (Some(0), Operator::Forward(1, Forward::Qkv)));
    let found = broken(&|state| state.adapter[places[0][6].1.start] = f32::INFINITY);
    assert_eq!((found.sequence, found.operator), (Some(0), Operator::Forward(0, Forward::Down)));
    let found = broken(&|state| state.adapter[places[0][3].1.clone()].fill(f32::MAX));
    assert_eq!(found.sequence, Some(0), "{found}");
    let found = broken(&|state| state.first[7] = f32::INFINITY);
    assert_eq!((found.sequence, found.operator), (None, Operator::Update));
    let found = fault(&healthy, 1e39);
    assert_eq!((found.sequence, found.operator), (None, Operator::Update));
}

#[test]
fn the_held_out_loss_is_that_of_the_bare_forward_pass_whatever_the_micro_batch_and_the_engine() {
    let world = World::new(&qwen(), BaseFormat::W8);
    let first = f32::from_bits(world.reference(1)[0].0);
    for micro_batch_size in [1, 2, 3] {
        for engine in world.engines(micro_batch_size) {
            let loss = engine.held_out_loss(&world.split).unwrap();
            assert_eq!(loss, Some(f64::from(first)), "a step reports the loss before its update");
            let nothing = Split { sequence_length: LENGTH, ..Split::default() };
            assert_eq!(engine.held_out_loss(&nothing).unwrap(), None);
        }
    }
}

#[test]
fn a_held_out_loss_that_cannot_be_measured_fails_at_the_same_operator_on_every_engine() {
    let mut world = World::new(&llama(), BaseFormat::W4);
    let at = places(&world.spec, &world.start)[1][4].1.start;
    world.start.adapter[at] = f32::NAN;
    for engine in [1, 4].into_iter().flat_map(|micro| world.engines(micro)) {
        let error = engine.held_out_loss(&world.split).unwrap_err();
        let Error::HeldOut { operator } = error else { panic!("{error}") };
        assert_eq!(operator, Operator::Forward(1, Forward::GateUp));
    }
}

#[test]
fn the_device_s_state_is_that_of_the_last_step_whenever_it_is_asked_for() {
    let world = World::new(&llama(), BaseFormat::W8);
    let mut engine = world.device_engine(2);
    let adapter = |engine: &CudaEngine| engine.state().unwrap().adapter.to_vec();
    assert_eq!(adapter(&engine), world.start.adapter);
    let mut last = adapter(&engine);
    for step in 0..2 {
        engine.step(&world.input(step)).unwrap();
        let now = adapter(&engine);
        assert_ne!(now, last);
        assert_eq!(now, adapter(&engine));
        last = now;
    }
}
