//! Training in segments: the same inputs give the same bits, wherever the training was cut.

mod common;

use std::{ops::ControlFlow, process::Command};

use attune_trainer::{
    data::PackedData, spec::ModelSpec, Arithmetic, ExecutionClass, SegmentReport, Session, SessionInputs,
    StepReport,
};
use common::{config_json, World};

fn run(session: &mut Session) -> SegmentReport {
    session.run_segment(&mut |_| ControlFlow::Continue(())).unwrap()
}

fn run_all(inputs: &SessionInputs) -> (Vec<SegmentReport>, Session) {
    let mut session = Session::start(inputs).unwrap();
    let reports = (0..inputs.config.segments).map(|_| run(&mut session)).collect();
    (reports, session)
}

/// All that does not depend on the clock.
fn timeless(report: SegmentReport) -> SegmentReport {
    let none = Default::default();
    SegmentReport { elapsed: none, rooting: none, evaluating: none, ..report }
}

#[test]
fn the_same_inputs_give_the_same_roots_and_traces() {
    let world = World::new();
    let (first, session) = run_all(&world.inputs);
    let (second, _) = run_all(&world.inputs);
    assert_eq!(first.last().unwrap().end_root, session.state_root().unwrap());
    for (one, two) in first.into_iter().zip(second) {
        assert_ne!(one.start_root, one.end_root);
        assert_eq!(timeless(one), timeless(two));
    }
}

#[test]
fn segments_follow_each_other() {
    let (reports, session) = run_all(&World::new().inputs);
    for pair in reports.windows(2) {
        assert_eq!(pair[0].end_root, pair[1].start_root);
        assert_ne!(pair[0].trace, pair[1].trace);
    }
    let segments: Vec<u32> = reports.iter().map(|report| report.segment).collect();
    assert_eq!(segments, [0, 1, 2]);
    assert_eq!(session.segment(), 3);
    // 3 segments of 3 steps of 4 rows of 14 tokens of which 6 bear loss.
    assert_eq!(session.counters().tokens_seen, 9 * 4 * 14);
    assert_eq!(session.counters().tokens_trained, 9 * 4 * 6);
    assert_eq!(reports[1].metrics.tokens, 3 * 4 * 14);
    let held_out: Vec<_> = reports
        .iter()
        .map(|r| (r.metrics.held_out_loss_before_micro, r.metrics.held_out_loss_micro))
        .collect();
    assert!(held_out[0].0.is_some() && held_out[0].1.is_none(), "before segment 0 only: {held_out:?}");
    assert_eq!(held_out[1], (None, None));
    assert!(
        held_out[2].0.is_none() && held_out[2].1.is_some(),
        "after segment 2 as configured: {held_out:?}"
    );
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_bit_for_bit() {
    let world = World::new();
    let (whole, uninterrupted) = run_all(&world.inputs);
    let checkpoint = world.path("checkpoint.safetensors");
    let mut session = Session::start(&world.inputs).unwrap();
    for expected in whole {
        assert_eq!(timeless(run(&mut session)), timeless(expected));
        session.save_checkpoint(&checkpoint).unwrap();
        let resumed = Session::resume(&world.inputs, &checkpoint).unwrap();
        assert_eq!(resumed.state_root().unwrap(), session.state_root().unwrap());
        assert_eq!(resumed.segment(), session.segment());
        session = resumed;
    }
    let end = |session: &Session| session.state().unwrap().adapter.to_vec();
    assert_eq!(end(&session), end(&uninterrupted));
}

#[test]
fn equal_states_give_equal_checkpoint_files() {
    let world = World::new();
    let files = [world.path("one"), world.path("two")];
    for file in &files {
        let mut session = Session::start(&world.inputs).unwrap();
        run(&mut session);
        session.save_checkpoint(file).unwrap();
    }
    assert_eq!(std::fs::read(&files[0]).unwrap(), std::fs::read(&files[1]).unwrap());
}

/// The report of `attune-trainer train` in a process of its own.
fn train_apart(world: &World, arithmetic: &str) -> serde_json::Value {
    let config = world.path("config.json");
    std::fs::write(&config, serde_json::to_vec(&world.inputs.config).unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_attune-trainer"))
        .args(["train", "--arithmetic", arithmetic, "--json"])
        .arg("--model")
        .arg(&world.inputs.model_dir)
        .arg("--data")
        .arg(&world.inputs.data_dir)
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_fresh_process_gives_the_same_root() {
    let world = World::new();
    let (reports, session) = run_all(&world.inputs);
    let report = train_apart(&world, &world.inputs.arithmetic.to_string());
    assert_eq!(report["state_root"], format!("{:?}", session.state_root().unwrap()));
    assert_eq!(report["segments"][2]["trace"], format!("{:?}", reports[2].trace));
}

#[test]
fn processes_of_a_class_with_two_threads_agree() {
    let world = World::new();
    let class = ExecutionClass::detect(2).unwrap().to_string();
    let [one, two] = [train_apart(&world, &class), train_apart(&world, &class)];
    assert_eq!(one["arithmetic"], class);
    assert_eq!(one["state_root"], two["state_root"]);
    assert_eq!(one["segments"][2]["trace"], two["segments"][2]["trace"]);
}

#[test]
fn a_process_is_held_to_one_class() {
    let world = World::new();
    let mut other = world.inputs.clone();
    other.arithmetic = Arithmetic::Float(ExecutionClass::detect(2).unwrap());
    let error = Session::start(&other).err().expect("the process is pinned to another class").to_string();
    assert!(error.contains("is pinned to") && error.contains("avx2-t2"), "{error}");
}

#[test]
fn another_data_key_or_seed_gives_another_training() {
    let world = World::new();
    let (base, _) = run_all(&world.inputs);
    let mut other_order = world.inputs.clone();
    other_order.config.data_key = [4; 32];
    let (other, _) = run_all(&other_order);
    assert_eq!(base[0].start_root, other[0].start_root, "the order does not touch the initial state");
    assert_ne!(base[0].trace, other[0].trace);
    assert_ne!(base[0].end_root, other[0].end_root);
    let mut other_seed = world.inputs.clone();
    other_seed.config.seed = 12;
    assert_ne!(base[0].start_root, Session::start(&other_seed).unwrap().state_root().unwrap());
}

#[test]
fn an_evaluation_is_in_the_trace_and_leaves_the_state_alone() {
    let world = World::new();
    let (with, _) = run_all(&world.inputs);
    let mut inputs = world.inputs.clone();
    inputs.config.evaluate_after_segments = vec![];
    let (without, _) = run_all(&inputs);
    assert_eq!(with[1].trace, without[1].trace);
    assert_ne!(with[2].trace, without[2].trace);
    assert_eq!(with[2].end_root, without[2].end_root);
}

#[test]
fn accumulated_micro_batches_train_like_one_batch() {
    let world = World::new();
    let losses = |micro_batch_size, gradient_accumulation_steps| {
        let mut inputs = world.inputs.clone();
        inputs.config.micro_batch_size = micro_batch_size;
        inputs.config.gradient_accumulation_steps = gradient_accumulation_steps;
        let mut session = Session::start(&inputs).unwrap();
        let mut losses = Vec::new();
        session
            .run_segment(&mut |step| {
                losses.push((f64::from(step.loss), step.gradient_norm));
                ControlFlow::Continue(())
            })
            .unwrap();
        losses
    };
    let whole = losses(4, 1);
    for split in [losses(2, 2), losses(1, 4)] {
        for (one, two) in whole.iter().zip(split) {
            assert!((one.0 - two.0).abs() < 1e-4, "losses {one:?} and {two:?}");
            assert!((one.1 - two.1).abs() < 1e-3 * one.1, "norms {one:?} and {two:?}");
        }
    }
}

#[test]
fn the_loss_falls_on_a_task_that_can_be_learned() {
    let world = World::with(config_json(), &common::data(60, 8));
    // The base has learned to say two tokens again; the adapter is to say them in reverse.
    let mut base = common::pretraining(ModelSpec::from_json(&config_json()).unwrap(), 400);
    base.train(&common::task(100, 0, false), |_, _| Ok(true)).unwrap();
    base.save(&world.inputs.model_dir).unwrap();
    let mut inputs = world.inputs.clone();
    (inputs.config.segments, inputs.config.steps_per_segment) = (4, 30);
    inputs.config.evaluate_after_segments = vec![3];
    let (reports, _) = run_all(&inputs);
    let before = reports[0].metrics.held_out_loss_before_micro.unwrap();
    let after = reports[3].metrics.held_out_loss_micro.unwrap();
    let losses: Vec<f64> = reports.iter().map(|report| report.train_loss).collect();
    assert!(losses[3] < 0.5 * losses[0], "training losses {losses:?}");
    assert!(f64::from(after) < 0.5 * f64::from(before), "held-out loss {before} before, {after} after");
}

#[test]
fn a_stopped_segment_is_neither_continued_nor_saved() {
    let world = World::new();
    let mut session = Session::start(&world.inputs).unwrap();
    let mut steps: Vec<StepReport> = Vec::new();
    let stopped = session.run_segment(&mut |step| {
        steps.push(step);
        ControlFlow::Break(())
    });
    assert!(stopped.unwrap_err().to_string().contains("stopped on request at step 1"));
    assert_eq!(steps.len(), 1);
    assert!(session.run_segment(&mut |_| ControlFlow::Continue(())).is_err());
    assert!(session.save_checkpoint(&world.path("checkpoint")).is_err());
    assert!(!world.path("checkpoint").exists());
}

#[test]
fn a_checkpoint_of_another_training_is_refused_with_both_sides() {
    let world = World::new();
    let checkpoint = world.path("checkpoint.safetensors");
    let mut session = Session::start(&world.inputs).unwrap();
    run(&mut session);
    session.save_checkpoint(&checkpoint).unwrap();
    let mut other = world.inputs.clone();
    other.config.learning_rate *= 2.0;
    let error = Session::resume(&other, &checkpoint).err().expect("another configuration").to_string();
    assert!(error.contains("fingerprint") && error.contains("this training's is"), "{error}");
    assert!(error.contains("checkpoint.safetensors"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let world = World::new();
    let checkpoint = world.path("checkpoint.safetensors");
    Session::start(&world.inputs).unwrap().save_checkpoint(&checkpoint).unwrap();
    let whole = std::fs::read(&checkpoint).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&checkpoint, bytes).unwrap();
        Session::resume(&world.inputs, &checkpoint).err().expect("the file is damaged").to_string()
    };
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let error = refused(&flipped);
    assert!(error.contains("it claims the state root ") && error.contains(", its values have "), "{error}");
    let error = refused(&whole[..whole.len() - 5]);
    assert!(error.contains("cut short or damaged"), "{error}");
    let error = refused(b"");
    assert!(error.contains("checkpoint.safetensors"), "{error}");
    std::fs::write(&checkpoint, &whole).unwrap();
    Session::resume(&world.inputs, &checkpoint).unwrap();
}

#[test]
fn a_full_disk_keeps_the_last_checkpoint() {
    let world = World::new();
    let checkpoint = world.path("checkpoint.safetensors");
    let mut session = Session::start(&world.inputs).unwrap();
    session.save_checkpoint(&checkpoint).unwrap();
    let root = session.state_root().unwrap();
    run(&mut session);
    std::os::unix::fs::symlink("/dev/full", attune_trainer::files::partial_path(&checkpoint)).unwrap();
    let error = session.save_checkpoint(&checkpoint).unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(Session::resume(&world.inputs, &checkpoint).unwrap().state_root().unwrap(), root);
    session.save_checkpoint(&checkpoint).unwrap();
    assert_ne!(Session::resume(&world.inputs, &checkpoint).unwrap().state_root().unwrap(), root);
}

#[test]
fn a_loss_that_is_not_finite_stops_training_and_names_the_step() {
    let world = World::new();
    let mut inputs = world.inputs.clone();
    inputs.config.learning_rate = 1e30;
    inputs.config.warmup_steps = 0;
    inputs.config.max_grad_norm = 0.0;
    let mut session = Session::start(&inputs).unwrap();
    let error = session.run_segment(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("training stopped at step 1"), "{error}");
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let world = World::new();
    let refused = |change: &dyn Fn(&mut PackedData)| {
        let mut data = common::data(2, 0);
        change(&mut data);
        data.write(&world.inputs.data_dir).unwrap();
        Session::start(&world.inputs).err().expect("the data do not fit").to_string()
    };
    let error = refused(&|data| data.vocab_size = 41);
    assert!(error.contains("vocabulary of 41"), "{error}");
    let error = refused(&|data| data.train.labels.fill(-100));
    assert!(error.contains("nothing to learn"), "{error}");
    let mut shorter = world.inputs.clone();
    shorter.config.sequence_length = 12;
    common::data(2, 0).write(&world.inputs.data_dir).unwrap();
    let error = Session::start(&shorter).err().expect("another row length").to_string();
    assert!(error.contains("rows of 24 tokens"), "{error}");
    let mut longer = world.inputs.clone();
    longer.config.sequence_length = 65;
    let error = Session::start(&longer).err().expect("rows above the context").to_string();
    assert!(error.contains("context is 64"), "{error}");
}
