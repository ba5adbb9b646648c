//! The same model in binary64, without quantisation of activations: what gradients are compared with.

use attune_exact::{
    attention::Heads,
    model::{Lora, Model, Target},
    rotary,
    step::Sequence,
    weights::Frozen,
};

/// A matrix `[outputs, inputs]` in binary64.
pub(crate) struct Matrix {
    pub(crate) inputs: usize,
    pub(crate) values: Vec<f64>,
}

impl Matrix {
    pub(crate) fn of(frozen: &Frozen) -> Self {
        let scale = |at: usize| f64::from(frozen.scales[at / frozen.inputs]);
        let values = frozen.values.iter().enumerate().map(|(at, q)| f64::from(*q) * scale(at));
        Self { inputs: frozen.inputs, values: values.collect() }
    }

    /// x Wᵀ of `x` `[T, inputs]`.
    pub(crate) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let row = |x: &[f64]| {
            let one = |w: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum();
            self.values.chunks(self.inputs).map(one).collect::<Vec<f64>>()
        };
        x.chunks(self.inputs).flat_map(row).collect()
    }
}

pub(crate) fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

pub(crate) fn add(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

pub(crate) fn norm(x: &[f64], w: &[f32], eps: f64) -> Vec<f64> {
    let row = |x: &[f64]| {
        let rho = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + eps).sqrt();
        x.iter().zip(w).map(|(x, w)| x * rho * f64::from(*w)).collect::<Vec<_>>()
    };
    x.chunks(w.len()).flat_map(row).collect()
}

pub(crate) fn swiglu(gate_up: &[f64], intermediate: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        let (gate, up) = row.split_at(intermediate);
        gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect::<Vec<_>>()
    };
    gate_up.chunks(2 * intermediate).flat_map(row).collect()
}

/// A projection with the adapters of its parts, (A, B) each.
pub(crate) fn project(
    weight: &Matrix,
    bias: Option<&[f32]>,
    parts: &[(Vec<f64>, Vec<f64>)],
    rank: usize,
    sigma: f64,
    x: &[f64],
) -> Vec<f64> {
    let outputs = weight.values.len() / weight.inputs;
    let mut y = weight.apply(x);
    if let Some(bias) = bias {
        for (at, y) in y.iter_mut().enumerate() {
            *y += f64::from(bias[at % outputs]);
        }
    }
    let mut first = 0;
    for (a, b) in parts {
        let low = Matrix { inputs: weight.inputs, values: a.clone() }.apply(x);
        let added = Matrix { inputs: rank, values: b.clone() }.apply(&low);
        let width = b.len() / rank;
        for (t, row) in added.chunks(width).enumerate() {
            for (o, value) in row.iter().enumerate() {
                y[t * outputs + first + o] += sigma * value;
            }
        }
        first += width;
    }
    y
}

pub(crate) fn attention(shape: &Heads, q: &[f64], k: &[f64], v: &[f64], documents: &[u32]) -> Vec<f64> {
    let (tokens, d) = (documents.len(), shape.head_dim);
    let (wide, narrow) = (shape.heads * d, shape.kv_heads * d);
    let mut output = vec![0.0; tokens * wide];
    for head in 0..shape.heads {
        let g = shape.kv_head(head);
        for i in 0..tokens {
            let seen: Vec<usize> = (0..=i).filter(|j| documents[*j] == documents[i]).collect();
            let score = |j: &usize| {
                let products = (0..d).map(|x| q[i * wide + head * d + x] * k[j * narrow + g * d + x]);
                products.sum::<f64>() / (d as f64).sqrt()
            };
            let scores: Vec<f64> = seen.iter().map(score).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
            let total: f64 = weights.iter().sum();
            for x in 0..d {
                let terms = seen.iter().zip(&weights).map(|(j, p)| p / total * v[j * narrow + g * d + x]);
                output[i * wide + head * d + x] = terms.sum();
            }
        }
    }
    output
}

/// The sum of the losses of rows of `normed`.
pub(crate) fn loss(normed: &[f64], head: &Matrix, targets: &[u32]) -> f64 {
    let logits = head.apply(normed);
    let rows = logits.chunks(head.values.len() / head.inputs).zip(targets);
    let one = |(row, target): (&[f64], &u32)| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max - row[*target as usize] + row.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
    };
    rows.map(one).sum()
}

fn rotate(x: &[f64], head_dim: usize, frequencies: &[f64], positions: &[u32]) -> Vec<f64> {
    let (mut y, half) = (x.to_vec(), head_dim / 2);
    let width = x.len() / positions.len();
    for (row, position) in y.chunks_mut(width).zip(positions) {
        for head in row.chunks_mut(head_dim) {
            for j in 0..half {
                let (sin, cos) = (f64::from(*position) * frequencies[j]).sin_cos();
                let (u, v) = (head[j], head[half + j]);
                (head[j], head[half + j]) = (u * cos - v * sin, v * cos + u * sin);
            }
        }
    }
    y
}

fn columns(x: &[f64], width: usize, first: usize, count: usize) -> Vec<f64> {
    x.chunks(width).flat_map(|row| row[first..first + count].to_vec()).collect()
}

/// The mean loss per loss-bearing token.
pub(crate) fn model_loss(model: &Model, lora: &Lora, adapter: &[f64], sequences: &[Sequence]) -> f64 {
    let (shape, eps, sigma) = (&model.shape, model.shape.norm_epsilon, f64::from(lora.sigma()));
    let (query, kv) = (shape.query_width(), shape.kv_width());
    let frequencies =
        rotary::inverse_frequencies(shape.head_dim, shape.rope_theta, shape.rope_scaling.as_ref());
    let embedding = Matrix::of(&model.embedding);
    let (mut sum, mut count) = (0.0, 0);
    for sequence in sequences {
        let rows = sequence.tokens.iter().map(|t| &embedding.values[*t as usize * shape.hidden..]);
        let mut x: Vec<f64> = rows.flat_map(|row| row[..shape.hidden].to_vec()).collect();
        for (layer, block) in model.blocks.iter().enumerate() {
            let apply = |frozen: &Frozen, bias: Option<&[f32]>, targets: &[Target], x: &[f64]| {
                let part = |target: &Target| {
                    let (a, b) = lora.place(shape, layer, *target);
                    (adapter[a].to_vec(), adapter[b].to_vec())
                };
                let parts: Vec<_> = targets.iter().map(part).collect();
                project(&Matrix::of(frozen), bias, &parts, lora.rank, sigma, x)
            };
            let targets = [Target::Q, Target::K, Target::V];
            let normed = norm(&x, &block.input_norm, eps);
            let qkv = apply(&block.qkv, block.qkv_bias.as_deref(), &targets, &normed);
            let turned = |first, count| {
                let part = columns(&qkv, query + 2 * kv, first, count);
                rotate(&part, shape.head_dim, &frequencies, &sequence.positions)
            };
            let v = columns(&qkv, query + 2 * kv, query + kv, kv);
            let (q, k) = (turned(0, query), turned(query, kv));
            let mixed = attention(&shape.attention(), &q, &k, &v, &sequence.documents);
            let middle = add(&x, &apply(&block.output, None, &[Target::O], &mixed));
            let normed = norm(&middle, &block.post_norm, eps);
            let gate_up = apply(&block.gate_up, None, &[Target::Gate, Target::Up], &normed);
            let act = swiglu(&gate_up, shape.intermediate);
            x = add(&middle, &apply(&block.down, None, &[Target::Down], &act));
        }
        let (places, targets) = sequence.targets();
        let last = places.iter().flat_map(|t| x[t * shape.hidden..(t + 1) * shape.hidden].to_vec());
        let normed = norm(&last.collect::<Vec<_>>(), &model.final_norm, eps);
        sum += loss(&normed, &Matrix::of(model.head()), &targets);
        count += targets.len();
    }
    sum / count as f64
}

/// Central differences of `of` at the elements `at` of x.
pub(crate) fn differences(of: &dyn Fn(&[f64]) -> f64, x: &[f64], at: &[usize], step: f64) -> Vec<f64> {
    let one = |index: &usize| {
        let mut moved = x.to_vec();
        moved[*index] = x[*index] + step;
        let above = of(&moved);
        moved[*index] = x[*index] - step;
        (above - of(&moved)) / (2.0 * step)
    };
    at.iter().map(one).collect()
}

/// ‖found − truth‖ ÷ ‖truth‖.
pub(crate) fn distance(found: &[f32], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let square = |x: f64| x * x;
    let error: f64 = found.iter().zip(truth).map(|(f, t)| square(f64::from(*f) - t)).sum();
    (error / truth.iter().map(|t| square(*t)).sum::<f64>()).sqrt()
}
