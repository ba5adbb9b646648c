//! The referee's view: any element of a step from the rows and columns that a dispute opens, nothing else.

use attune_exact::{
    activation,
    element::{self, Channel, Vector},
    loss,
    mantissa::{narrow, narrow_columns, rows, wide, Width},
    model::Target,
    norm::{self, inverse_width},
    optimizer::{self, AdamW, Scalars, State},
    pass::{backward, forward, SequenceForward},
    real::exp_neg,
    rotary,
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

#[test]
fn an_element_of_the_loss_s_gradient_is_recomputed_from_a_row_and_the_head() {
    let (model, _, saved) = saved();
    let head = model.head.as_ref().unwrap_or(&model.embedding);
    let (row, target, omega, i) = (&saved.blocks[1].x[TOKEN * 32..(TOKEN + 1) * 32], 5, 0.25, 7);
    let made = loss::forward(row, head, &[target]).unwrap();
    let whole = loss::backward(&made, head, &[target], omega).unwrap();

    let x = wide(row).unwrap();
    let logits: Vec<f32> = (0..head.outputs).map(|v| element::base((&x).into(), head.row(v))).collect();
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f32> = logits.iter().map(|z| exp_neg(z - max)).collect();
    let z = e.iter().map(|e| element::partition_term(*e)).sum();
    assert_eq!(element::token_loss(max, logits[target as usize], z), made.losses[0]);
    let u: Vec<f32> = e.iter().zip(&head.scales).map(|(e, w)| e * w).collect();
    let u = wide(&u).unwrap();
    let column: Vec<i8> = head.values.iter().skip(i).step_by(head.inputs).copied().collect();
    let own = head.row(target as usize);
    let own = element::embedded(own.values[i], own.scale);
    let found = element::loss_back((&u).into(), &column, 1.0 / element::partition(z), own, omega);
    assert_eq!(found, whole[i]);
}

#[test]
fn an_element_going_back_through_norm_gates_rotation_and_optimizer_is_recomputed_from_its_row() {
    let (model, _, saved) = saved();
    let (block, weight) = (&saved.blocks[1], &model.blocks[1].input_norm);
    let row = TOKEN * 32..(TOKEN + 1) * 32;
    // Of the norm: its row of x and of dy.
    let (x, dy) = (&block.x[row.clone()], &saved.blocks[0].x[row.clone()]);
    let made = norm::forward(x, weight, model.shape.epsilon()).unwrap();
    let whole = norm::backward(dy, x, weight, &made).unwrap();
    let g: Vec<f32> = dy.iter().zip(weight).map(|(dy, w)| dy * w).collect();
    let (qg, qx) = (wide(&g).unwrap(), wide(x).unwrap());
    let rho = element::norm_rho((&qx).into(), inverse_width(32), model.shape.epsilon());
    let c = element::norm_c((&qg).into(), (&qx).into(), rho, inverse_width(32));
    assert_eq!(element::norm_back(g[9], rho, x[9], c), whole[9]);
    // Of the gates, the rotation and the optimizer: the pair or the element alone.
    let (gate, up, da) = (x[3], x[19], dy[3]);
    let whole = activation::backward(&x[..32], &dy[..16], 16);
    assert_eq!(element::swiglu_back(gate, up, da), (whole[3], whole[19]));
    assert_eq!(element::swiglu(gate, up), activation::forward(&x[..32], 16)[3]);
    let rotary = rotary::table(8, 10_000.0, None, &[TOKEN as u32]);
    let (cosine, sine) = (rotary.cosine[2], rotary.sine[2]);
    let (turned, back) = (rotary.rotate(&x[..8]), rotary.rotate_back(&x[..8]));
    assert_eq!(element::rotated(x[2], x[6], cosine, sine), (turned[2], turned[6]));
    assert_eq!(element::rotated_back(x[2], x[6], cosine, sine), (back[2], back[6]));
    let state = State { adapter: x.to_vec(), first: dy.to_vec(), second: vec![0.5; 32] };
    let adamw = AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    let scalars = Scalars::new(&adamw, 1e-2, 3);
    let whole = optimizer::update(&state, &g, &scalars).unwrap();
    let found = optimizer::updated(x[9], dy[9], 0.5, g[9], &scalars);
    assert_eq!(found, (whole.adapter[9], whole.first[9], whole.second[9]));
}
