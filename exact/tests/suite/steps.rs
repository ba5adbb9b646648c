//! Whole steps of a tiny model.

use attune_exact::{
    model::{Lora, Target},
    optimizer::{clipping, gradient_norm, update, AdamW, Scalars, State},
    pass::{backward, forward, BlockBackward},
    step::{accumulate, contribution, finish, loss_tokens, omega, step, Sequence, IGNORE},
};

use crate::{
    reference::{differences, distance, model_loss, widened},
    vectors::{tiny_model, tiny_sequences, tiny_settings, tiny_state, Generator, LORA, VARIANTS},
};

#[test]
fn the_gradient_of_a_step_is_that_of_the_model_in_binary64() {
    for variant in VARIANTS {
        let (model, sequences) = (tiny_model(variant), tiny_sequences(2));
        let state = tiny_state(&model);
        let mut settings = tiny_settings();
        settings.max_norm = 0.0;
        let made = step(&model, &settings, &state, &sequences, 0).unwrap();
        let adapter = widened(&state.adapter);
        let of = |adapter: &[f64]| model_loss(&model, &LORA, adapter, &sequences);
        let truth = of(&adapter);
        assert!((f64::from(made.loss) - truth).abs() < 2e-3 * truth, "{variant:?}: {} {truth}", made.loss);
        // A random direction.
        let direction = widened(&Generator::new(40).reals(adapter.len(), 1.0));
        let along = |h: f64| of(&adapter.iter().zip(&direction).map(|(x, d)| x + h * d).collect::<Vec<_>>());
        let truth = (along(1e-5) - along(-1e-5)) / 2e-5;
        let found: f64 = made.gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * d).sum();
        // Of a random direction, the part along the gradient is about its norm times an element of the direction.
        assert!(
            (found - truth).abs() < 5e-3 * made.norm,
            "{variant:?}: {found} and {truth}, norm {}",
            made.norm
        );
        // Every matrix of the adapter, each at some of its elements.
        for layer in 0..2 {
            for target in Target::ALL {
                let (a, b) = LORA.place(&model.shape, layer, target);
                for (name, place) in [("A", a), ("B", b)] {
                    let at: Vec<usize> = place.step_by(9).collect();
                    let truth = differences(&of, &adapter, &at, 1e-5);
                    let found: Vec<f32> = at.iter().map(|at| made.gradient[*at]).collect();
                    let error = distance(&found, &truth);
                    println!("{layer} {target:?} {name} {error}");
                    assert!(error < 8e-3, "{variant:?}, block {layer}, {target:?}, {name}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_step_is_the_same_however_its_sequences_are_split() {
    let model = tiny_model(VARIANTS[0]);
    let (settings, state, sequences) = (tiny_settings(), tiny_state(&model), tiny_sequences(4));
    let whole = step(&model, &settings, &state, &sequences, 3).unwrap();
    let count = loss_tokens(&sequences);
    // Each sequence on a worker of its own, the last one first; only the additions are in order.
    let of = |sequence| contribution(&model, &LORA, &state.adapter, sequence, omega(count)).unwrap().unwrap();
    let mut parts: Vec<_> = sequences.iter().rev().map(of).collect();
    parts.reverse();
    let (mut sum, mut gradient) = (0, vec![0.0; state.adapter.len()]);
    for part in &parts {
        sum += part.loss;
        accumulate(&mut gradient, &part.gradient);
    }
    assert_eq!(finish(&settings, &state, sum, count, gradient, 3).unwrap(), whole);
}

#[test]
fn padding_and_other_documents_do_not_move_a_documents_loss() {
    let model = tiny_model(VARIANTS[1]);
    let adapter = tiny_state(&model).adapter;
    let whole = tiny_sequences(1).remove(0);
    let cut = |from: usize, to: usize| Sequence {
        tokens: whole.tokens[from..to].to_vec(),
        documents: whole.documents[from..to].to_vec(),
        positions: whole.positions[from..to].to_vec(),
        labels: whole.labels[from..to].to_vec(),
    };
    let loss = |s: &Sequence| contribution(&model, &LORA, &adapter, s, 0.1).unwrap().unwrap().loss as f64;
    let (all, parts) = (loss(&whole), loss(&cut(0, 7)) + loss(&cut(7, 14)));
    // V's columns take their scale from all tokens of the row, so the bits differ; the value does not.
    assert!((all - parts).abs() < 2e-3 * all, "{all} and {parts}");
}

#[test]
fn a_sequence_without_loss_adds_nothing_and_a_step_without_loss_is_only_decay() {
    let model = tiny_model(VARIANTS[0]);
    let (settings, state) = (tiny_settings(), tiny_state(&model));
    let mut silent = tiny_sequences(1).remove(0);
    silent.labels.fill(IGNORE);
    let sequences = tiny_sequences(2);
    let with = [sequences[0].clone(), silent.clone(), sequences[1].clone()];
    assert_eq!(step(&model, &settings, &state, &with, 0), step(&model, &settings, &state, &sequences, 0));
    let made = step(&model, &settings, &state, &[silent], 0).unwrap();
    assert_eq!((made.loss, made.norm), (0.0, 0.0));
    assert!(made.gradient.iter().all(|g| *g == 0.0));
    assert_eq!(made.state.adapter[0], state.adapter[0] * (1.0 - 0.01 * 0.01) as f32);
}

#[test]
fn the_loss_falls_over_30_steps() {
    for variant in VARIANTS {
        let (model, sequences) = (tiny_model(variant), tiny_sequences(2));
        let mut state = tiny_state(&model);
        let mut losses = vec![];
        for at in 0..30 {
            let made = step(&model, &tiny_settings(), &state, &sequences, at).unwrap();
            losses.push(made.loss);
            state = made.state;
        }
        assert!(losses[29] < 0.2 * losses[0], "{variant:?}: {losses:?}");
    }
}

#[test]
fn the_first_blocks_input_has_no_gradient_and_the_others_have() {
    let (model, sequence) = (tiny_model(VARIANTS[0]), tiny_sequences(1).remove(0));
    let adapter = tiny_state(&model).adapter;
    let saved = forward(&model, &LORA, &adapter, &sequence).unwrap();
    let made = backward(&model, &LORA, &adapter, &sequence, &saved, 0.1).unwrap();
    let has = |block: &BlockBackward| (block.qkv.dx.is_some(), block.dx.is_some());
    assert_eq!((has(&made.blocks[0]), has(&made.blocks[1])), ((false, false), (true, true)));
}

#[test]
fn the_scale_of_an_adapter_is_alpha_over_the_rank_or_over_its_root() {
    let lora = |rank, rank_stabilised| Lora { rank, alpha: 8.0, rank_stabilised };
    assert_eq!((lora(16, false).sigma(), lora(16, true).sigma()), (0.5, 2.0));
}

#[test]
fn documents_start_where_positions_do() {
    let sequence = Sequence::packed(vec![1; 6], vec![IGNORE; 6], vec![0, 1, 0, 1, 0, 0]);
    assert_eq!(sequence.documents, [0, 0, 1, 1, 2, 3]);
}

#[test]
fn a_sequence_that_does_not_fit_the_model_is_refused() {
    let shape = tiny_model(VARIANTS[0]).shape;
    let good = || tiny_sequences(1).remove(0);
    assert_eq!(good().check(&shape), Ok(()));
    for (expected, change) in [
        ("empty", (|s| s.tokens.clear()) as fn(&mut Sequence)),
        ("differ in length", |s| s.labels.truncate(3)),
        ("a token is", |s| s.tokens[3] = 64),
        ("a label is", |s| s.labels[3] = 64),
        ("a label is", |s| s.labels[3] = -1),
    ] {
        let mut bad = good();
        change(&mut bad);
        let error = bad.check(&shape).unwrap_err();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
}

#[test]
fn the_norm_of_a_gradient_and_its_clipping() {
    assert_eq!(gradient_norm(&[3.0, -4.0]), Ok(5.0));
    assert_eq!(gradient_norm(&[0.0; 3]), Ok(0.0));
    assert_eq!(gradient_norm(&[f32::MAX, f32::MAX]).map(|norm| norm > 4.8e38), Ok(true));
    let gradient = Generator::new(41).spread(1000, 0.1);
    let truth = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    assert!((gradient_norm(&gradient).unwrap() - truth).abs() < 1e-5 * truth);
    assert_eq!((clipping(5.0, 1.0), clipping(5.0, 0.0), clipping(1.0, 1.0)), (Some(0.2), None, None));
}

#[test]
fn a_step_is_adamw_as_written_in_the_paper() {
    let config = AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1 };
    let mut state = State { adapter: vec![1.0, -2.0], first: vec![0.0; 2], second: vec![0.0; 2] };
    let (mut m, mut v, mut x) = ([0.0f64; 2], [0.0f64; 2], [1.0f64, -2.0]);
    for (step, gradient) in [[0.5f32, -0.25], [-1.0, 3.0], [0.0, 0.125]].iter().enumerate() {
        let t = step as i32 + 1;
        state = update(&state, gradient, &Scalars::new(&config, 0.01, t as u64)).unwrap();
        for i in 0..2 {
            let g = f64::from(gradient[i]);
            x[i] -= 0.01 * 0.1 * x[i];
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let (mean, square) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
            x[i] -= 0.01 * mean / (square.sqrt() + 1e-8);
            assert!((f64::from(state.adapter[i]) - x[i]).abs() < 1e-6, "step {t}, element {i}");
        }
    }
}
