//! A projection group: a frozen matrix, its bias and the low-rank adapters of its parts, forwards and backwards.
//!
//! `x` is `[T, I]`, `y` is `[T, O]`. The parts lie side by side along O (q, k, v or gate, up), and so do their low-rank
//! vectors along `parts * rank`. Scales of frozen channels are folded into dy going back (h = dy × w), which is why B enters
//! the backward pass divided by them (β).

use alloc::{vec, vec::Vec};

use crate::{
    element::{self, Vector},
    mantissa::{narrow, narrow_columns, rows, Mantissas, NotFinite, Table, Width},
    weights::Frozen,
};

/// The adapter of one part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowRank<'a> {
    /// `[rank, I]`
    pub a: &'a [f32],
    /// `[O_p, rank]`
    pub b: &'a [f32],
}

/// A projection with everything that fixes it during a step.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// `[O, I]`
    pub weight: &'a Frozen,
    /// `[O]`
    pub bias: Option<&'a [f32]>,
    /// In the order of their outputs; empty without an adapter.
    pub parts: &'a [LowRank<'a>],
    /// r; any number above 0 without an adapter.
    pub rank: usize,
    /// σ.
    pub sigma: f32,
}

/// What the forward pass makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// `[T, O]`
    pub y: Vec<f32>,
    /// Wide mantissas of the rows of x.
    pub x: Table,
    /// `[T, parts * rank]`
    pub low: Vec<f32>,
}

/// What the backward pass makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Backward {
    /// `[T, I]`, if it was asked for.
    pub dx: Option<Vec<f32>>,
    /// `[T, parts * rank]`
    pub dlow: Vec<f32>,
    /// Per part, `[rank, I]`.
    pub da: Vec<Vec<f32>>,
    /// Per part, `[O_p, rank]`.
    pub db: Vec<Vec<f32>>,
}

impl Group<'_> {
    /// The first output of each part, and the end of the last.
    fn bounds(&self) -> Vec<usize> {
        let mut bounds = vec![0];
        for part in self.parts {
            bounds.push(bounds[bounds.len() - 1] + part.b.len() / self.rank);
        }
        bounds
    }
}

/// y of x.
///
/// # Errors
/// An element of x, A, B or the low-rank vectors is infinite or NaN.
pub fn forward(group: &Group<'_>, x: &[f32]) -> Result<Forward, NotFinite> {
    let Group { weight, rank, .. } = *group;
    let x = rows(x, weight.inputs, Width::Wide)?;
    let a = group.parts.iter().map(|part| rows(part.a, weight.inputs, Width::Narrow));
    let a = a.collect::<Result<Vec<Table>, NotFinite>>()?;
    let b = group.parts.iter().map(|part| rows(part.b, rank, Width::Narrow));
    let b = b.collect::<Result<Vec<Table>, NotFinite>>()?;
    let (mut y, mut all_low) = (Vec::with_capacity(x.rows * weight.outputs), vec![]);
    for t in 0..x.rows {
        let base = |o| element::base(x.vector(t), weight.row(o));
        let bias = |o: usize| group.bias.map(|bias| bias[o]);
        if group.parts.is_empty() {
            y.extend((0..weight.outputs).map(|o| element::projected(base(o), bias(o), None)));
        }
        let mut first = 0;
        for (a, b) in a.iter().zip(&b) {
            let low: Vec<f32> =
                (0..rank).map(|j| element::low(x.vector(t), a.vector(j), group.sigma)).collect();
            let ql = narrow(&low)?;
            for o in 0..b.rows {
                let lora = element::lora((&ql).into(), b.vector(o));
                y.push(element::projected(base(first + o), bias(first + o), Some(lora)));
            }
            all_low.extend(low);
            first += b.rows;
        }
    }
    Ok(Forward { y, x, low: all_low })
}

/// The gradients of a group with an adapter. `x` and `low` are those that the forward pass made.
///
/// # Errors
/// A value that becomes a mantissa is infinite or NaN.
pub fn backward(
    group: &Group<'_>,
    x: &Table,
    low: &[f32],
    dy: &[f32],
    want_dx: bool,
) -> Result<Backward, NotFinite> {
    let (weight, bounds) = (group.weight, group.bounds());
    let h: Vec<f32> = dy.iter().enumerate().map(|(at, dy)| dy * weight.scales[at % weight.outputs]).collect();
    let h = rows(&h, weight.outputs, Width::Wide)?;
    let dlow = low_gradient(group, &bounds, &h)?;
    let db = b_gradients(group, &bounds, &h, low)?;
    let da = a_gradients(group, x, &dlow)?;
    let dx = want_dx.then(|| input_gradient(group, &h, &dlow)).transpose()?;
    Ok(Backward { dx, dlow, da, db })
}

/// dlow, `[T, parts * rank]`.
fn low_gradient(group: &Group<'_>, bounds: &[usize], h: &Table) -> Result<Vec<f32>, NotFinite> {
    let rank = group.rank;
    let mut beta: Vec<Vec<Mantissas>> = vec![];
    for (part, low_rank) in group.parts.iter().enumerate() {
        let divided = |(at, b): (usize, &f32)| b / group.weight.scales[bounds[part] + at / rank];
        let divided: Vec<f32> = low_rank.b.iter().enumerate().map(divided).collect();
        beta.push(narrow_columns(&divided, rank)?.column_vectors());
    }
    let mut dlow = vec![];
    for t in 0..h.rows {
        for (part, beta) in beta.iter().enumerate() {
            let values = &h.row(t)[bounds[part]..bounds[part + 1]];
            let h = Vector { values, scale: h.scales[t] };
            dlow.extend(beta.iter().map(|beta| element::low_back(h, beta.into(), group.sigma)));
        }
    }
    Ok(dlow)
}

/// dB of each part, `[O_p, rank]`.
fn b_gradients(
    group: &Group<'_>,
    bounds: &[usize],
    h: &Table,
    low: &[f32],
) -> Result<Vec<Vec<f32>>, NotFinite> {
    let (rank, width) = (group.rank, group.parts.len() * group.rank);
    let scaled: Vec<f32> = low.iter().enumerate().map(|(at, low)| low * h.scales[at / width]).collect();
    let lambda = narrow_columns(&scaled, width)?.column_vectors();
    let mut gradients = vec![];
    for part in 0..group.parts.len() {
        let mut db = vec![];
        for o in bounds[part]..bounds[part + 1] {
            let column = h.column(o);
            for lambda in &lambda[part * rank..(part + 1) * rank] {
                db.push(element::b_back(&column, lambda.into(), group.weight.scales[o]));
            }
        }
        gradients.push(db);
    }
    Ok(gradients)
}

/// dA of each part, `[rank, I]`.
fn a_gradients(group: &Group<'_>, x: &Table, dlow: &[f32]) -> Result<Vec<Vec<f32>>, NotFinite> {
    let (rank, width) = (group.rank, group.parts.len() * group.rank);
    let scaled: Vec<f32> = dlow.iter().enumerate().map(|(at, d)| d * x.scales[at / width]).collect();
    let delta = narrow_columns(&scaled, width)?.column_vectors();
    let columns: Vec<Vec<i16>> = (0..x.columns).map(|i| x.column(i)).collect();
    let row = |delta| columns.iter().map(move |column| element::folded(column, Vector::from(delta)));
    Ok(delta.chunks(rank).map(|part| part.iter().flat_map(row).collect()).collect())
}

/// dx, `[T, I]`.
fn input_gradient(group: &Group<'_>, h: &Table, dlow: &[f32]) -> Result<Vec<f32>, NotFinite> {
    let inputs = group.weight.inputs;
    let d = rows(dlow, group.parts.len() * group.rank, Width::Narrow)?;
    let stacked: Vec<f32> = group.parts.iter().flat_map(|part| part.a.iter().copied()).collect();
    let alpha = narrow_columns(&stacked, inputs)?.column_vectors();
    let columns = group.weight.columns();
    let mut dx = Vec::with_capacity(h.rows * inputs);
    for t in 0..h.rows {
        let one =
            |i: usize| element::projection_back(h.vector(t), &columns[i], d.vector(t), (&alpha[i]).into());
        dx.extend((0..inputs).map(one));
    }
    Ok(dx)
}
