//! Causal attention within documents, forwards and backwards.
//!
//! `q` and `output` are `[T, heads * head_dim]`, `k` and `v` are `[T, kv_heads * head_dim]`; q and k are rotated. Weights are
//! integers out of 16383, so a row's sum is exact and the output is one integer sum over the tokens.

use alloc::{vec, vec::Vec};

use crate::{
    element::{self, Operand, Vector},
    mantissa::{narrow_columns, rows, wide, Mantissas, NotFinite, Table, Width},
    real64::sqrt64,
};

/// How many heads, and how wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
}

/// What the forward pass makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// `[T, heads * head_dim]`
    pub output: Vec<f32>,
    /// P, 0..=16383, `[heads, T, T]` (query, key).
    pub weights: Vec<i16>,
    /// m, the largest score of each query, `[heads, T]`.
    pub maxima: Vec<f32>,
    /// ζ, `[heads, T]`.
    pub zeta: Vec<f32>,
}

/// What the backward pass makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Backward {
    /// `[T, heads * head_dim]`
    pub dq: Vec<f32>,
    /// `[T, kv_heads * head_dim]`
    pub dk: Vec<f32>,
    /// `[T, kv_heads * head_dim]`
    pub dv: Vec<f32>,
}

impl Heads {
    /// τ = 1/√head_dim.
    pub fn tau(&self) -> f32 {
        (1.0 / sqrt64(self.head_dim as f64)) as f32
    }

    /// The key and value head of a query head.
    pub fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    /// One head of `x`, `[T, head_dim]`.
    fn take(&self, x: &[f32], heads: usize, head: usize) -> Vec<f32> {
        let (d, width) = (self.head_dim, heads * self.head_dim);
        x.chunks(width).flat_map(|row| row[head * d..(head + 1) * d].iter().copied()).collect()
    }

    /// Puts one head, `[T, head_dim]`, into its place in `x`.
    fn put(&self, x: &mut [f32], heads: usize, head: usize, values: &[f32]) {
        let (d, width) = (self.head_dim, heads * self.head_dim);
        for (row, values) in x.chunks_mut(width).zip(values.chunks(d)) {
            row[head * d..(head + 1) * d].copy_from_slice(values);
        }
    }
}

/// Whether query `i` sees key `j`.
pub fn visible(documents: &[u32], i: usize, j: usize) -> bool {
    j <= i && documents[i] == documents[j]
}

/// The attention of all heads; `documents` is `[T]`.
///
/// # Errors
/// An element of q, k or v or a visible score is infinite or NaN.
pub fn forward(
    shape: &Heads,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    documents: &[u32],
) -> Result<Forward, NotFinite> {
    let (tokens, tau) = (documents.len(), shape.tau());
    let (mut output, mut weights) = (vec![0.0; q.len()], vec![0; shape.heads * tokens * tokens]);
    let (mut maxima, mut zeta) = (vec![], vec![]);
    for head in 0..shape.heads {
        let g = shape.kv_head(head);
        let q = rows(&shape.take(q, shape.heads, head), shape.head_dim, Width::Wide)?;
        let k = rows(&shape.take(k, shape.kv_heads, g), shape.head_dim, Width::Narrow)?;
        let v = narrow_columns(&shape.take(v, shape.kv_heads, g), shape.head_dim)?.column_vectors();
        let mut mixed = vec![];
        for i in 0..tokens {
            let p = &mut weights[(head * tokens + i) * tokens..][..tokens];
            let (max, factor) = weigh(&q, &k, i, documents, tau, p)?;
            mixed.extend(v.iter().map(|v| element::attended(p, factor, v.into())));
            maxima.push(max);
            zeta.push(factor);
        }
        shape.put(&mut output, shape.heads, head, &mixed);
    }
    Ok(Forward { output, weights, maxima, zeta })
}

/// Fills the weights of query `i` and returns its largest score and ζ.
fn weigh(
    q: &Table,
    k: &Table,
    i: usize,
    documents: &[u32],
    tau: f32,
    p: &mut [i16],
) -> Result<(f32, f32), NotFinite> {
    let seen = || (0..=i).filter(|j| visible(documents, i, *j));
    let (mut scores, mut max) = (vec![0.0; i + 1], f32::NEG_INFINITY);
    for j in seen() {
        let score = element::score(q.vector(i), k.vector(j), tau);
        if !score.is_finite() {
            return Err(NotFinite);
        }
        scores[j] = score;
        max = if score > max { score } else { max };
    }
    for j in seen() {
        p[j] = element::attention_weight(scores[j], max);
    }
    Ok((max, element::attention_zeta(p)))
}

/// The gradients of q, k (both rotated) and v; `saved` is what the forward pass made of them.
///
/// # Errors
/// A value that becomes a mantissa is infinite or NaN.
pub fn backward(
    shape: &Heads,
    (q, k, v): (&[f32], &[f32], &[f32]),
    documents: &[u32],
    saved: &Forward,
    d_output: &[f32],
) -> Result<Backward, NotFinite> {
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let times = shape.heads / shape.kv_heads;
    for g in 0..shape.kv_heads {
        let mut sums: Option<(Vec<f32>, Vec<f32>)> = None;
        for head in g * times..(g + 1) * times {
            let one = Head {
                q: shape.take(q, shape.heads, head),
                k: shape.take(k, shape.kv_heads, g),
                v: shape.take(v, shape.kv_heads, g),
                output: shape.take(&saved.output, shape.heads, head),
                d_output: shape.take(d_output, shape.heads, head),
                weights: &saved.weights[head * documents.len() * documents.len()..],
                zeta: &saved.zeta[head * documents.len()..][..documents.len()],
                head_dim: shape.head_dim,
            };
            let (dq_head, dk_head, dv_head) = one.backward(documents, shape.tau())?;
            shape.put(&mut dq, shape.heads, head, &dq_head);
            sums = Some(match sums {
                None => (dk_head, dv_head),
                Some((dk, dv)) => (add(&dk, &dk_head), add(&dv, &dv_head)),
            });
        }
        let (dk_sum, dv_sum) = sums.expect("a key head has at least one query head, qed");
        shape.put(&mut dk, shape.kv_heads, g, &dk_sum);
        shape.put(&mut dv, shape.kv_heads, g, &dv_sum);
    }
    Ok(Backward { dq, dk, dv })
}

/// x + y, element by element: a residual, or a sum over heads.
pub fn add(x: &[f32], y: &[f32]) -> Vec<f32> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

/// One query head with its key and value head; all but `weights` and `zeta` are `[T, head_dim]`.
struct Head<'a> {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    output: Vec<f32>,
    d_output: Vec<f32>,
    weights: &'a [i16],
    zeta: &'a [f32],
    head_dim: usize,
}

/// x with row t multiplied by `factors[t]`, as narrow columns.
fn folded_columns(x: &[f32], factors: &[f32], columns: usize) -> Result<Vec<Mantissas>, NotFinite> {
    let folded: Vec<f32> = x.iter().enumerate().map(|(at, x)| x * factors[at / columns]).collect();
    Ok(narrow_columns(&folded, columns)?.column_vectors())
}

impl Head<'_> {
    fn backward(&self, documents: &[u32], tau: f32) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>), NotFinite> {
        let (tokens, d) = (documents.len(), self.head_dim);
        let ds = self.score_gradients(documents, tau)?;
        let k_columns = narrow_columns(&self.k, d)?.column_vectors();
        let (mut dq, mut dk, mut dv) = (vec![], vec![], vec![]);
        for i in 0..tokens {
            let row = ds.vector(i);
            dq.extend(k_columns.iter().map(|k| element::dot(row, Operand::from(k))));
        }
        let q_columns = folded_columns(&self.q, &ds.scales, d)?;
        let y_columns = folded_columns(&self.d_output, self.zeta, d)?;
        for j in 0..tokens {
            let ds = ds.column(j);
            dk.extend(q_columns.iter().map(|q| element::folded(&ds, q.into())));
            let p: Vec<i16> = (0..tokens).map(|i| self.weights[i * tokens + j]).collect();
            dv.extend(y_columns.iter().map(|y| element::folded(&p, y.into())));
        }
        Ok((dq, dk, dv))
    }

    /// dS as wide mantissas, `[T, T]`, 0 where invisible.
    fn score_gradients(&self, documents: &[u32], tau: f32) -> Result<Table, NotFinite> {
        let (tokens, d) = (documents.len(), self.head_dim);
        let d_output = rows(&self.d_output, d, Width::Wide)?;
        let v = rows(&self.v, d, Width::Narrow)?;
        let output = rows(&self.output, d, Width::Wide)?;
        let (mut values, mut scales) = (vec![], vec![]);
        for i in 0..tokens {
            let di: Vector<'_> = d_output.vector(i);
            let inner = element::dot(di, output.vector(i));
            let mut ds = vec![0.0; tokens];
            for j in (0..=i).filter(|j| visible(documents, i, *j)) {
                let dp = element::dot(di, v.vector(j));
                ds[j] = element::score_back(self.weights[i * tokens + j], self.zeta[i], dp, inner, tau);
            }
            let row = wide(&ds)?;
            values.extend(row.values);
            scales.push(row.scale);
        }
        Ok(Table { rows: tokens, columns: tokens, values, scales })
    }
}
