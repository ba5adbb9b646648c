//! A check that fails has one name.

use attune_exact::{
    fault::{Backward, Fault, Forward, Operator},
    loss,
    model::{Model, Target},
    optimizer::State,
    step::{finish, step},
    weights::quantise8,
};

use crate::vectors::{tiny_model, tiny_sequences, tiny_settings, tiny_state, LORA, VARIANTS};

fn fault_of(change: impl Fn(&mut Model, &mut State)) -> Fault {
    let mut model = tiny_model(VARIANTS[0]);
    let mut state = tiny_state(&model);
    change(&mut model, &mut state);
    step(&model, &tiny_settings(), &state, &tiny_sequences(3), 7).expect_err("a check fails")
}

#[test]
fn a_fault_names_the_first_operator_in_the_order_of_execution() {
    let forward = |layer, operator| Operator::Forward(layer, operator);
    type Change = fn(&mut Model, &mut State);
    let cases: [(Operator, Change); 9] = [
        (forward(0, Forward::InputNorm), |m, _| m.embedding.scales.fill(f32::MAX)),
        (forward(1, Forward::Qkv), |m, _| m.blocks[1].input_norm[3] = f32::NAN),
        (forward(0, Forward::Attention), |m, _| m.blocks[0].qkv.scales[40] = f32::INFINITY),
        (forward(1, Forward::PostNorm), |m, _| m.blocks[1].output.scales[0] = f32::INFINITY),
        (forward(0, Forward::Down), |m, _| m.blocks[0].gate_up.scales.fill(f32::MAX)),
        (forward(1, Forward::InputNorm), |m, _| m.blocks[0].down.scales[2] = f32::INFINITY),
        (Operator::FinalNorm, |m, _| m.blocks[1].down.scales[2] = f32::INFINITY),
        (Operator::Head, |m, _| m.final_norm[0] = f32::NAN),
        (forward(1, Forward::Down), |m, s| {
            let place = LORA.place(&m.shape, 1, Target::Down).1;
            s.adapter[place.start] = f32::NAN;
        }),
    ];
    for (operator, change) in cases {
        assert_eq!(fault_of(change), Fault { step: 7, sequence: Some(0), operator });
    }
}

#[test]
fn a_fault_names_the_first_sequence_that_fails() {
    let mut model = tiny_model(VARIANTS[0]);
    let (state, sequences) = (tiny_state(&model), tiny_sequences(3));
    // A token that only the second and the third sequence have, or only the third.
    for first in [1, 2] {
        let new = |token: &u32| sequences[..first].iter().all(|earlier| !earlier.tokens.contains(token));
        let token = sequences[first].tokens.iter().copied().find(new).expect("there is such a token");
        let saved = model.embedding.scales[token as usize];
        model.embedding.scales[token as usize] = f32::INFINITY;
        let fault = step(&model, &tiny_settings(), &state, &sequences, 0).unwrap_err();
        assert_eq!(fault.sequence, Some(first as u32));
        assert_eq!(fault.operator, Operator::Forward(0, Forward::InputNorm));
        model.embedding.scales[token as usize] = saved;
    }
}

#[test]
fn a_weight_that_only_the_backward_pass_reads_faults_there() {
    // A channel so weak that the forward pass hardly sees it; B divided by its scale overflows.
    let fault = fault_of(|model, _| model.blocks[1].qkv.scales[0] = 1e-40);
    let operator = Operator::Backward(1, Backward::Qkv);
    assert_eq!(fault, Fault { step: 7, sequence: Some(0), operator });
}

#[test]
fn a_loss_beyond_its_limit_is_a_fault() {
    let head = quantise8(&[1.0, -1.0], 1).unwrap();
    assert!(loss::forward(&[32_000.0], &head, &[1]).is_ok());
    assert!(loss::forward(&[33_000.0], &head, &[1]).is_err());
    assert!(loss::forward(&[33_000.0], &head, &[0]).is_ok());
}

#[test]
fn step_wide_operators_name_no_sequence() {
    let model = tiny_model(VARIANTS[0]);
    let (settings, state) = (tiny_settings(), tiny_state(&model));
    let count = state.adapter.len();
    let mut gradient = vec![0.0; count];
    gradient[5] = f32::INFINITY;
    let fault = finish(&settings, &state, 0, 1, gradient, 2).unwrap_err();
    assert_eq!(fault, Fault { step: 2, sequence: None, operator: Operator::GradientNorm });
    let mut broken = state.clone();
    broken.adapter[3] = f32::NAN;
    let fault = finish(&settings, &broken, 0, 1, vec![0.0; count], 2).unwrap_err();
    assert_eq!(fault, Fault { step: 2, sequence: None, operator: Operator::Update });
}

#[test]
fn operators_are_numbered_in_the_order_of_execution() {
    let layers = 3;
    let mut order = vec![];
    for layer in 0..layers {
        use Forward::*;
        let block = [InputNorm, Qkv, Attention, Output, PostNorm, GateUp, Down];
        order.extend(block.map(|operator| Operator::Forward(layer, operator)));
    }
    order.extend([Operator::FinalNorm, Operator::Head, Operator::HeadBackward, Operator::FinalNormBackward]);
    for layer in (0..layers).rev() {
        use Backward::*;
        let block = [Down, SwiGlu, GateUp, PostNorm, Output, Attention, Qkv, InputNorm];
        order.extend(block.map(|operator| Operator::Backward(layer, operator)));
    }
    order.extend([Operator::GradientNorm, Operator::Update]);
    assert_eq!(order.len() as u32, Operator::count(layers));
    for (index, operator) in order.into_iter().enumerate() {
        assert_eq!(operator.index(layers), index as u32, "{operator}");
        assert_eq!(Operator::from_index(index as u32, layers), Some(operator));
    }
    assert_eq!(Operator::from_index(Operator::count(layers), layers), None);
}

#[test]
fn a_fault_reads_as_a_sentence() {
    let operator = Operator::Backward(4, Backward::GateUp);
    let fault = Fault { step: 12, sequence: Some(3), operator };
    let expected =
        "a value is infinite, NaN or out of range at step 12, sequence 3, in backward gate-up of block 4";
    assert_eq!(fault.to_string(), expected);
    let fault = Fault { step: 0, sequence: None, operator: Operator::Update };
    assert_eq!(fault.to_string(), "a value is infinite, NaN or out of range at step 0, in AdamW");
}
