//! The referee's view: any element of a step from the rows and columns that a dispute opens, nothing else.

use attune_exact::{
    element::{self, Channel, Vector},
    mantissa::{narrow, narrow_columns, rows, wide, Width},
    model::Target,
    norm::inverse_width,
    pass::{backward, forward, SequenceForward},
};

use crate::vectors::{tiny_model, tiny_sequences, tiny_state, LORA, VARIANTS};

const TOKEN: usize = 11;

fn saved() -> (attune_exact::model::Model, Vec<f32>, SequenceForward) {
    let model = tiny_model(VARIANTS[1]);
    let adapter = tiny_state(&model).adapter;
    let made = forward(&model, &LORA, &adapter, &tiny_sequences(1)[0]).unwrap();
    (model, adapter, made)
}

#[test]
fn an_element_of_a_norm_is_recomputed_from_its_row() {
    let (model, _, saved) = saved();
    let block = &saved.blocks[1];
    let row = &block.x[TOKEN * 32..(TOKEN + 1) * 32];
    let q = wide(row).unwrap();
    let rho = element::norm_rho((&q).into(), inverse_width(32), model.shape.epsilon());
    let y = element::norm(row[5], rho, model.blocks[1].input_norm[5]);
    assert_eq!(y, block.input_norm.y[TOKEN * 32 + 5]);
}

#[test]
fn an_element_of_a_projection_is_recomputed_from_a_row_and_a_channel() {
    let (model, adapter, saved) = saved();
    let (block, frozen) = (&saved.blocks[0], &model.blocks[0]);
    // Output 3 of the key part.
    let (output, width) = (32 + 3, 64);
    let x = wide(&block.input_norm.y[TOKEN * 32..(TOKEN + 1) * 32]).unwrap();
    let (a, b) = LORA.place(&model.shape, 0, Target::K);
    let low = |j: usize| {
        let row = narrow(&adapter[a.clone()][j * 32..(j + 1) * 32]).unwrap();
        element::low((&x).into(), (&row).into(), LORA.sigma())
    };
    let low = narrow(&(0..4).map(low).collect::<Vec<_>>()).unwrap();
    let b = narrow(&adapter[b][3 * 4..4 * 4]).unwrap();
    let weights: Channel<'_> = frozen.qkv.row(output);
    let base = element::base((&x).into(), weights);
    let bias = frozen.qkv_bias.as_ref().map(|bias| bias[output]);
    let y = element::projected(base, bias, Some(element::lora((&low).into(), (&b).into())));
    assert_eq!(y, block.qkv.y[TOKEN * width + output]);
}

#[test]
fn an_element_of_the_attention_is_recomputed_from_a_query_the_keys_and_a_column_of_values() {
    let (model, _, saved) = saved();
    let (block, shape) = (&saved.blocks[0], model.shape.attention());
    let documents = &tiny_sequences(1)[0].documents;
    // Query head 3 reads key head 1; element 2 of its output.
    let q = wide(&block.q[TOKEN * 32 + 24..TOKEN * 32 + 32]).unwrap();
    let seen: Vec<usize> = (0..=TOKEN).filter(|j| documents[*j] == documents[TOKEN]).collect();
    let score = |j: &usize| {
        let k = narrow(&block.k[j * 16 + 8..j * 16 + 16]).unwrap();
        element::score((&q).into(), (&k).into(), shape.tau())
    };
    let scores: Vec<f32> = seen.iter().map(score).collect();
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights = vec![0; documents.len()];
    for (j, score) in seen.iter().zip(scores) {
        weights[*j] = element::attention_weight(score, max);
    }
    let column: Vec<f32> = block.v.iter().skip(8 + 2).step_by(16).copied().collect();
    let v = narrow(&column).unwrap();
    let found = element::attended(&weights, element::attention_zeta(&weights), (&v).into());
    assert_eq!(found, block.attention.output[TOKEN * 32 + 24 + 2]);
}

#[test]
fn an_element_of_a_gradient_is_recomputed_from_two_columns() {
    let (model, adapter, saved) = saved();
    let made = backward(&model, &LORA, &adapter, &tiny_sequences(1)[0], &saved, 0.1).unwrap();
    let (block, forward, frozen) = (&made.blocks[1], &saved.blocks[1], &model.blocks[1]);
    // dA[2, 7] and dB[9, 2] of the up projection, the second part of its group.
    let (rank, inputs, outputs, intermediate) = (4, 32, 96, 48);
    let column = rank + 2;
    let x = rows(&forward.post_norm.y, inputs, Width::Wide).unwrap();
    let dlow = block.gate_up.dlow.chunks(2 * rank).zip(&x.scales).map(|(row, s)| row[column] * s);
    let delta = narrow(&dlow.collect::<Vec<_>>()).unwrap();
    assert_eq!(element::folded(&x.column(7), (&delta).into()), block.gate_up.da[1][2 * inputs + 7]);
    let scales = &frozen.gate_up.scales;
    let h: Vec<f32> = block.dgate_up.iter().enumerate().map(|(at, dy)| dy * scales[at % outputs]).collect();
    let h = rows(&h, outputs, Width::Wide).unwrap();
    let low = forward.gate_up.low.chunks(2 * rank).zip(&h.scales).map(|(row, eta)| row[column] * eta);
    let lambda = narrow(&low.collect::<Vec<_>>()).unwrap();
    let output = intermediate + 9;
    let db = element::b_back(&h.column(output), (&lambda).into(), scales[output]);
    assert_eq!(db, block.gate_up.db[1][9 * rank + 2]);
    // dx[TOKEN, 7] from the row of h, column 7 of the matrix, the row of dlow and column 7 of both A.
    let d = narrow(&block.gate_up.dlow[TOKEN * 8..(TOKEN + 1) * 8]).unwrap();
    let stacked = [Target::Gate, Target::Up].map(|target| &adapter[LORA.place(&model.shape, 1, target).0]);
    let alpha = narrow_columns(&stacked.concat(), inputs).unwrap().column_vectors().swap_remove(7);
    let weights: Vec<i8> = frozen.gate_up.values.iter().skip(7).step_by(inputs).copied().collect();
    let h: Vector<'_> = h.vector(TOKEN);
    let dx = element::projection_back(h, &weights, (&d).into(), (&alpha).into());
    assert_eq!(dx, block.gate_up.dx.as_ref().unwrap()[TOKEN * inputs + 7]);
}
