//! Exact arithmetic end to end: whole trainings give the same bits however they are computed, and they learn.

mod common;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
};

use attune_trainer::{
    data::PackedData,
    dequantise::dequantise,
    evaluate::{held_out_loss, ExactEvaluation},
    model::Model,
    peft,
    spec::ModelSpec,
    Arithmetic, BaseFormat, DeviceChoice, SegmentReport, Session, SessionInputs, TrainConfig,
};
use common::{config_json, World};
use serde_json::json;

/// The state root after 20 steps of [`pinned`], for each base format. A change of a bit is a new version of the
/// specification, with new roots.
const GOLDEN: [(&str, &str); 2] = [
    ("ax1-w8", "0x3d76539370cf527591db1c380aa45f62813573607433d431d86117b8f7ac1bda"),
    ("ax1-w4", "0xc22ba9132d1f0fb82102c2679656d41782a467120258167d621740eff6088d0d"),
];

fn exact(world: &World, base: BaseFormat) -> SessionInputs {
    SessionInputs { arithmetic: Arithmetic::Exact(base), ..world.inputs.clone() }
}

/// 20 steps in 4 segments.
fn twenty_steps(world: &World) -> TrainConfig {
    TrainConfig {
        steps_per_segment: 5,
        segments: 4,
        evaluate_after_segments: vec![3],
        ..world.inputs.config.clone()
    }
}

fn run_all(mut session: Session) -> (Vec<SegmentReport>, Session) {
    let segments = session.config().segments - session.segment();
    let report = |_| session.run_segment(&mut |_| ControlFlow::Continue(())).unwrap();
    let reports = (0..segments).map(report).collect();
    (reports, session)
}

/// The same training on the GPU's kernels, compiled for the host.
fn on_device(inputs: &SessionInputs) -> SessionInputs {
    SessionInputs { device: DeviceChoice::HostKernels, ..inputs.clone() }
}

/// All that does not depend on the clock.
fn timeless(reports: &[SegmentReport]) -> Vec<SegmentReport> {
    let none = Default::default();
    let timeless = |report: &SegmentReport| SegmentReport {
        elapsed: none,
        rooting: none,
        evaluating: none,
        ..report.clone()
    };
    reports.iter().map(timeless).collect()
}

/// State root and traces of a training in a process of its own, on the kernels that `kernels` names.
fn train_apart(
    world: &World,
    config: &TrainConfig,
    arithmetic: &str,
    kernels: &str,
    threads: &str,
) -> (String, Vec<String>) {
    let path = world.path("config.json");
    std::fs::write(&path, serde_json::to_vec(config).unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_attune-trainer"))
        .args(["train", "--device", "cpu", "--arithmetic", arithmetic, "--threads", threads, "--json"])
        .arg("--model")
        .arg(&world.inputs.model_dir)
        .arg("--data")
        .arg(&world.inputs.data_dir)
        .arg("--config")
        .arg(&path)
        .env("ATTUNE_KERNELS", kernels)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let traces =
        report["segments"].as_array().unwrap().iter().map(|s| s["trace"].as_str().unwrap().to_string());
    (report["state_root"].as_str().unwrap().to_string(), traces.collect())
}

#[test]
fn twenty_steps_end_at_the_golden_root_on_every_path_with_any_threads_and_micro_batches() {
    let world = World::new();
    let available = attune_kernels::Isa::available();
    for (arithmetic, golden) in GOLDEN {
        let mut traces = BTreeMap::new();
        for isa in &available {
            for (threads, micro_batch_size, accumulation) in [("1", 2, 2), ("2", 4, 1), ("4", 1, 4)] {
                let mut config = twenty_steps(&world);
                (config.micro_batch_size, config.gradient_accumulation_steps) =
                    (micro_batch_size, accumulation);
                let (root, trace) = train_apart(&world, &config, arithmetic, isa.name(), threads);
                let how =
                    format!("{arithmetic} on {}, {threads} threads, {micro_batch_size} rows", isa.name());
                assert_eq!(root, golden, "{how}");
                traces.insert(trace, how);
            }
        }
        for (micro_batch_size, gradient_accumulation_steps) in [(2, 2), (4, 1), (1, 4)] {
            let inputs = SessionInputs {
                config: TrainConfig { micro_batch_size, gradient_accumulation_steps, ..twenty_steps(&world) },
                arithmetic: arithmetic.parse().unwrap(),
                ..on_device(&world.inputs)
            };
            let (reports, session) = run_all(Session::start(&inputs).unwrap());
            let how = format!("{arithmetic} on the device, {micro_batch_size} rows");
            assert_eq!(format!("{:?}", session.state_root().unwrap()), golden, "{how}");
            traces.insert(reports.iter().map(|report| format!("{:?}", report.trace)).collect(), how);
        }
        assert_eq!(traces.len(), 1, "traces differ: {traces:?}");
    }
}

/// Biases, and as many key heads as query heads.
fn qwen_json() -> serde_json::Value {
    let mut value = config_json();
    value["architectures"] = json!(["Qwen2ForCausalLM"]);
    value["tie_word_embeddings"] = json!(false);
    value["num_key_value_heads"] = json!(4);
    value
}

#[test]
fn a_training_on_the_device_is_that_on_the_cpu_for_both_shapes_and_bases() {
    for model in [config_json(), qwen_json()] {
        let world = World::with(model, &common::data(10, 4));
        for base in BaseFormat::ALL {
            let cpu = exact(&world, base);
            let files = [world.path("cpu"), world.path("device")];
            let [expected, found] = [(cpu.clone(), &files[0]), (on_device(&cpu), &files[1])].map(
                |(inputs, file): (SessionInputs, &PathBuf)| {
                    let (reports, session) = run_all(Session::start(&inputs).unwrap());
                    session.save_checkpoint(file).unwrap();
                    (timeless(&reports), session.held_out_loss().unwrap().unwrap().to_bits())
                },
            );
            assert_eq!(found, expected, "{base:?}");
            let [one, two] = files.map(|file| std::fs::read(file).unwrap());
            assert_eq!(one, two, "checkpoints of {base:?}");
        }
    }
}

#[test]
fn a_training_goes_on_bit_for_bit_from_a_checkpoint_of_the_other_engine() {
    let world = World::new();
    for base in BaseFormat::ALL {
        let cpu = exact(&world, base);
        let (whole, _) = run_all(Session::start(&cpu).unwrap());
        let checkpoint = world.path("checkpoint.safetensors");
        for engines in [[cpu.clone(), on_device(&cpu)], [on_device(&cpu), cpu.clone()]] {
            let mut session = Session::start(&engines[0]).unwrap();
            for (segment, expected) in whole.iter().enumerate() {
                let report = session.run_segment(&mut |_| ControlFlow::Continue(())).unwrap();
                assert_eq!(timeless(&[report]), timeless(std::slice::from_ref(expected)), "{base:?}");
                session.save_checkpoint(&checkpoint).unwrap();
                session = Session::resume(&engines[(segment + 1) % 2], &checkpoint).unwrap();
                assert_eq!(session.state_root().unwrap(), expected.end_root, "{base:?}");
            }
        }
    }
}

#[test]
fn an_evaluation_gives_the_held_out_losses_of_the_training_on_either_device() {
    let world = World::new();
    for base in BaseFormat::ALL {
        let inputs = exact(&world, base);
        let (reports, session) = run_all(Session::start(&inputs).unwrap());
        let adapter = world.path("adapter");
        session.export_peft(&adapter, "base").unwrap();
        let data = PackedData::open(&inputs.data_dir).unwrap();
        let before = reports.iter().find_map(|report| report.metrics.held_out_loss_before_micro);
        let after = reports.iter().find_map(|report| report.metrics.held_out_loss_micro);
        assert_ne!(before, after);
        for (adapter, recorded) in [(None, before), (Some(adapter), after)] {
            for (device, batch_rows) in [(DeviceChoice::Cpu, 1), (DeviceChoice::HostKernels, 3)] {
                let evaluation = ExactEvaluation {
                    model_dir: inputs.model_dir.clone(),
                    adapter: adapter.clone(),
                    base,
                    batch_rows,
                    threads: 2,
                    device,
                };
                let (found, _) = evaluation.held_out_loss(&data).unwrap();
                let found = found.unwrap();
                assert_eq!(Some(attune_trainer::session::micro(found.loss)), recorded, "{device} {base:?}");
                assert_eq!(found.tokens, data.held_out.trained_tokens() as u64);
            }
        }
    }
}

/// What `attune-trainer` answers to arguments after which come model and data.
fn trainer(world: &World, arguments: &[&str]) -> Result<serde_json::Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_attune-trainer"))
        .args(arguments)
        .arg("--model")
        .arg(&world.inputs.model_dir)
        .arg("--data")
        .arg(&world.inputs.data_dir)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn evaluate_computes_in_the_arithmetic_that_it_is_given() {
    let world = World::new();
    let loss = |arithmetic: &str, name: &str| {
        let report = trainer(&world, &["evaluate", "--arithmetic", arithmetic]).unwrap();
        let found = report["arithmetic"].as_str().unwrap();
        assert!(found.starts_with(name), "{found}");
        report["loss"].as_f64().unwrap()
    };
    let (w8, w4, float) = (loss("ax1-w8", "ax1-w8"), loss("ax1-w4", "ax1-w4"), loss("float", "cpu-torch"));
    assert!(w8 != float && w4 != float && w8 != w4, "{w8} {w4} {float}");
    assert!((w8 - float).abs() < 0.05 && (w4 - float).abs() < 0.5, "{w8} {w4} {float}");
    let inputs = exact(&world, BaseFormat::W4);
    assert_eq!(Some(w4), Session::start(&inputs).unwrap().held_out_loss().unwrap());
}

#[test]
fn an_option_stands_only_where_it_is_heeded() {
    let world = World::new();
    for arguments in [
        &["--arithmetic", "ax1-w8", "evaluate"][..],
        &["--threads", "1", "evaluate"],
        &["logits", "--tokens", "1", "--arithmetic", "ax1-w8"],
        &["logits", "--tokens", "1", "--device", "cpu"],
        &["dequantise", "--out", "x", "--threads", "1"],
    ] {
        let error = trainer(&world, arguments).unwrap_err();
        assert!(error.contains("unexpected argument"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_device_that_cannot_be_used_is_an_error_and_auto_says_why_it_took_the_cpu() {
    let world = World::new();
    let error = trainer(&world, &["evaluate", "--device", "cuda:4294967295"]).unwrap_err();
    assert!(error.contains("device cuda:4294967295: expected "), "{error}");
    let error = trainer(&world, &["evaluate", "--arithmetic", "float", "--device", "cuda"]).unwrap_err();
    assert!(error.contains("expected exact arithmetic, found cpu-torch"), "{error}");
    let error = trainer(&world, &["evaluate", "--device", "the host's stand-in for a GPU"]).unwrap_err();
    assert!(error.contains("expected auto, cpu, cuda or a GPU such as cuda:1"), "{error}");
    let report = trainer(&world, &["evaluate", "--arithmetic", "float"]).unwrap();
    assert!(report["device"].as_str().unwrap().starts_with("CPU (binary32"), "{report}");
    let report = trainer(&world, &["evaluate", "--device", "cpu"]).unwrap();
    assert_eq!(report["device"], "CPU (as asked for)");
}

#[test]
fn a_resumed_exact_training_equals_an_uninterrupted_one_whatever_the_threads() {
    let world = World::new();
    let inputs = exact(&world, BaseFormat::W8);
    let (whole, _) = run_all(Session::start(&inputs).unwrap());
    let checkpoint = world.path("checkpoint.safetensors");
    let mut session = Session::start(&inputs).unwrap();
    for threads in 1..=inputs.config.segments as usize {
        let report = session.run_segment(&mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(timeless(&[report]), timeless(&whole[threads - 1..threads]));
        session.save_checkpoint(&checkpoint).unwrap();
        session = Session::resume(&SessionInputs { threads, ..inputs.clone() }, &checkpoint).unwrap();
        assert_eq!(session.state_root().unwrap(), whole[threads - 1].end_root);
    }
}

#[test]
fn exact_training_learns_what_float_training_learns() {
    let world = World::with(config_json(), &common::data(60, 8));
    let mut base = common::pretraining(ModelSpec::from_json(&config_json()).unwrap(), 400);
    base.train(&common::task(100, 0, false), |_, _| Ok(true)).unwrap();
    base.save(&world.inputs.model_dir).unwrap();
    let mut inputs = world.inputs.clone();
    (inputs.config.segments, inputs.config.steps_per_segment) = (1, 120);
    inputs.config.evaluate_after_segments = vec![0];
    let after = |arithmetic| {
        let inputs = SessionInputs { arithmetic, ..inputs.clone() };
        let (reports, _) = run_all(Session::start(&inputs).unwrap());
        f64::from(reports[0].metrics.held_out_loss_micro.unwrap()) / 1e6
    };
    let float = after(inputs.arithmetic);
    for base in BaseFormat::ALL {
        let exact = after(Arithmetic::Exact(base));
        // A tiny model and task: seeds differ by more than this.
        assert!((exact - float).abs() < 0.1 + 0.2 * float, "{base:?}: {exact} beside {float}");
    }
}

/// The error of resuming from `checkpoint` under `inputs`.
fn refused(inputs: &SessionInputs, checkpoint: &Path) -> String {
    Session::resume(inputs, checkpoint).err().expect("the checkpoint belongs to something else").to_string()
}

#[test]
fn a_checkpoint_of_another_arithmetic_version_or_base_model_or_of_other_values_is_refused_with_both_sides() {
    let world = World::new();
    let inputs = exact(&world, BaseFormat::W8);
    let checkpoint = world.path("checkpoint.safetensors");
    Session::start(&inputs).unwrap().save_checkpoint(&checkpoint).unwrap();

    let error = refused(&exact(&world, BaseFormat::W4), &checkpoint);
    assert!(error.contains("its arithmetic is ax1-w8, this training's is ax1-w4"), "{error}");
    let error = refused(&world.inputs, &checkpoint);
    assert!(error.contains("its arithmetic is ax1-w8, this training's is cpu-torch"), "{error}");

    // The same file, as if another version of the specification had written it.
    let bytes = std::fs::read(&checkpoint).unwrap();
    let at = bytes.windows(6).position(|window| window == b"ax1-w8").unwrap();
    let mut other = bytes.clone();
    other[at + 2] = b'2';
    std::fs::write(&checkpoint, other).unwrap();
    let error = refused(&inputs, &checkpoint);
    assert!(error.contains("its arithmetic is ax2-w8, this training's is ax1-w8"), "{error}");
    // And with one bit of a value turned over.
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&checkpoint, damaged).unwrap();
    let error = refused(&inputs, &checkpoint);
    let root = Session::start(&inputs).unwrap().state_root().unwrap();
    let claimed = format!("it claims the state root {}, its values have ", hex::encode(root));
    assert!(error.contains(&claimed), "{error}");
    std::fs::write(&checkpoint, bytes).unwrap();

    let mut base = common::pretraining(ModelSpec::from_json(&config_json()).unwrap(), 1);
    base.train(&common::task(4, 0, false), |_, _| Ok(true)).unwrap();
    base.save(&inputs.model_dir).unwrap();
    let error = refused(&inputs, &checkpoint);
    assert!(error.contains("its base model is ") && error.contains(", this training's is "), "{error}");
}

#[test]
fn an_exact_fault_names_step_sequence_and_operator() {
    let world = World::new();
    let mut inputs = exact(&world, BaseFormat::W8);
    inputs.config.learning_rate = 1e38;
    inputs.config.warmup_steps = 0;
    inputs.config.max_grad_norm = 0.0;
    let cpu = DeviceChoice::Cpu;
    let faults = [(1, cpu), (4, cpu), (1, DeviceChoice::HostKernels), (4, DeviceChoice::HostKernels)];
    let faults = faults.map(|(rows, device)| {
        inputs.device = device;
        inputs.config.micro_batch_size = rows;
        inputs.config.gradient_accumulation_steps = 4 / rows;
        let mut session = Session::start(&inputs).unwrap();
        session.run_segment(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
    });
    assert!(faults[0].contains("at step ") && faults[0].contains(" in "), "{}", faults[0]);
    let same = faults.iter().all(|fault| *fault == faults[0]);
    assert!(same, "neither micro-batch nor device leaves a mark on the fault: {faults:#?}");
}

#[test]
fn floats_on_the_dequantised_base_agree_with_exact_arithmetic() {
    let world = World::new();
    for base in BaseFormat::ALL {
        let inputs = SessionInputs { config: twenty_steps(&world), ..exact(&world, base) };
        let (reports, session) = run_all(Session::start(&inputs).unwrap());
        let (adapter_dir, base_dir) = (world.path("adapter"), world.path("base"));
        session.export_peft(&adapter_dir, "base").unwrap();
        dequantise(&inputs.model_dir, base, &base_dir).unwrap();
        let model = Model::load(&base_dir).unwrap();
        let adapter = peft::load(&model.spec, &adapter_dir).unwrap();
        let data = PackedData::open(&inputs.data_dir).unwrap();
        let before = reports.iter().find_map(|report| report.metrics.held_out_loss_before_micro);
        let after = reports.iter().find_map(|report| report.metrics.held_out_loss_micro);
        for (adapter, recorded) in [(None, before), (Some(&adapter), after)] {
            let loss = held_out_loss(&model, adapter, &data.held_out, 2).unwrap().unwrap().loss;
            let recorded = f64::from(recorded.unwrap()) / 1e6;
            assert!((loss - recorded).abs() < 1e-3, "{base:?}: {loss} in floats, {recorded} recorded");
        }
    }
}
