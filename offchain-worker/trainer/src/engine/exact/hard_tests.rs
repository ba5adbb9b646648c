//! Attention and projection groups beside the reference, on values that a healthy training hardly has: extremes,
//! subnormals, zeros of both signs, ties, equal rows, one outlier in a row. (Rows and products by themselves are compared in
//! attune-kernels.)

use std::ops::Range;

use attune_exact::{
    attention as reference_attention,
    projection::{self as reference_projection, LowRank},
    weights::{quantise4, quantise8, Frozen},
};
use attune_kernels::{Isa, Threads};

use super::{
    attention::{self, HeadGradients, Heads},
    frozen::{Matrix, Values},
    head,
    projection::{Group, Machine, Place, Quantised},
    sequences::Sequence,
};
use crate::{
    data::{Split, IGNORE},
    random::uniform,
};

/// Kinds of rows, see [`row`].
const KINDS: usize = 9;
/// Tokens: more than a block of queries.
const LENGTH: usize = 70;

/// A row of `length` elements of the kind `kind`.
fn row(kind: usize, name: &str, length: usize) -> Vec<f32> {
    let random = uniform(kind as u64, name, length, 4.0);
    let each = |make: &dyn Fn(usize, f32) -> f32| -> Vec<f32> {
        random.iter().enumerate().map(|(at, value)| make(at, *value)).collect()
    };
    match kind {
        0 => random,
        1 => each(&|at, _| if at % 2 == 0 { 0.0 } else { -0.0 }),
        2 => each(&|_, value| value * f32::MIN_POSITIVE * 0.1),
        3 => vec![1.75; length],
        4 => each(&|at, value| if at == length / 2 { 3e4 } else { value * 1e-5 }),
        5 => each(&|at, _| if at % 2 == 0 { 0.5 } else { -0.5 }),
        // Halves of the last place of a mantissa: every rounding is a tie.
        6 => each(&|at, _| if at == 0 { 16_383.0 } else { at as f32 + 0.5 }),
        7 => each(&|_, value| value * 1e9),
        _ => each(&|_, value| value * 1e-30),
    }
}

/// Rows one below the other, of all kinds in turn from `first` on, or of this kind alone.
fn table(first: usize, alone: bool, name: &str, (rows, columns): (usize, usize)) -> Vec<f32> {
    let kind = |at: usize| if alone { first } else { (first + at) % KINDS };
    (0..rows).flat_map(|at| row(kind(at), &format!("{name} {at}"), columns)).collect()
}

/// Bits, with one NaN for all: what follows a check that fails is compared no further.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
}

fn split() -> Split {
    let positions = (0..LENGTH).map(|at| if at < 53 { at as i32 } else { at as i32 - 53 });
    Split {
        sequence_length: LENGTH,
        rows: 1,
        tokens: vec![1; LENGTH],
        labels: vec![IGNORE; LENGTH],
        positions: positions.collect(),
    }
}

/// What attention makes, or that a check failed: output, and the gradients of q, of k and of v.
type Attended = Result<[Vec<u32>; 4], ()>;

fn attended(heads: &Heads, qkv: &[f32], d_out: &[f32]) -> Attended {
    let split = split();
    let sequence = Sequence::new(&split, 0).unwrap();
    let dim = heads.dim;
    let place = |to: &mut [f32], count: usize, head: usize, from: &[f32]| {
        for (to, from) in to.chunks_mut(count * dim).zip(from.chunks(dim)) {
            to[head * dim..(head + 1) * dim].copy_from_slice(from);
        }
    };
    let mut out = vec![0.0; LENGTH * heads.heads * dim];
    for head in 0..heads.heads {
        let mut own = vec![0.0; LENGTH * dim];
        attention::forward(heads, qkv, &sequence, head, &mut own).map_err(|_| ())?;
        place(&mut out, heads.heads, head, &own);
    }
    let (mut dq, times) = (vec![0.0; out.len()], heads.heads / heads.kv_heads);
    let [mut dk, mut dv] = [(); 2].map(|()| vec![0.0; LENGTH * heads.kv_heads * dim]);
    for kv in 0..heads.kv_heads {
        let mut sums: Option<[Vec<f32>; 2]> = None;
        for head in kv * times..(kv + 1) * times {
            let [mut own_q, mut own_k, mut own_v] = [(); 3].map(|()| vec![0.0; LENGTH * dim]);
            let gradients = HeadGradients { dq: &mut own_q, dk: &mut own_k, dv: &mut own_v };
            attention::backward(heads, (qkv, &out, d_out), &sequence, head, gradients).map_err(|_| ())?;
            place(&mut dq, heads.heads, head, &own_q);
            sums = Some(match sums {
                None => [own_k, own_v],
                Some([k, v]) => [reference_attention::add(&k, &own_k), reference_attention::add(&v, &own_v)],
            });
        }
        let [sum_k, sum_v] = sums.unwrap();
        place(&mut dk, heads.kv_heads, kv, &sum_k);
        place(&mut dv, heads.kv_heads, kv, &sum_v);
    }
    Ok([out, dq, dk, dv].map(|values| bits(&values)))
}

fn reference_attended(heads: &Heads, qkv: &[f32], d_out: &[f32]) -> Attended {
    let shape =
        reference_attention::Heads { heads: heads.heads, kv_heads: heads.kv_heads, head_dim: heads.dim };
    let (queries, keys) = (heads.heads * heads.dim, heads.kv_heads * heads.dim);
    let part = |columns: Range<usize>| -> Vec<f32> {
        qkv.chunks(heads.stride()).flat_map(|row| row[columns.clone()].iter().copied()).collect()
    };
    let (q, k, v) = (part(0..queries), part(queries..queries + keys), part(queries + keys..heads.stride()));
    let documents: Vec<u32> = (0..LENGTH).map(|at| u32::from(at >= 53)).collect();
    let forward = reference_attention::forward(&shape, &q, &k, &v, &documents).map_err(|_| ())?;
    let backward = reference_attention::backward(&shape, (&q, &k, &v), &documents, &forward, d_out);
    let backward = backward.map_err(|_| ())?;
    Ok([&forward.output, &backward.dq, &backward.dk, &backward.dv].map(|values| bits(values)))
}

#[test]
fn attention_has_the_reference_s_bits_on_hard_rows_on_every_path() {
    let mut faults = 0;
    for (query_heads, kv_heads, dim) in [(4, 2, 6), (2, 2, 16)] {
        for (first, alone) in (0..KINDS).flat_map(|kind| [(kind, false), (kind, true)]) {
            let mut heads = Heads {
                isa: Isa::detect().unwrap(),
                heads: query_heads,
                kv_heads,
                dim,
                tau: (1.0 / (dim as f64).sqrt()) as f32,
            };
            let mut qkv = table(first, alone, "qkv", (LENGTH, heads.stride()));
            if first == 3 && !alone {
                qkv[LENGTH / 2 * heads.stride()] = f32::INFINITY;
            }
            let d_out = table(first + 1, false, "d_out", (LENGTH, query_heads * dim));
            let expected = reference_attended(&heads, &qkv, &d_out);
            faults += usize::from(expected.is_err());
            for isa in Isa::available() {
                heads.isa = isa;
                let found = attended(&heads, &qkv, &d_out);
                assert!(found == expected, "{isa:?}, kind {first}, alone {alone}, heads of {dim}");
            }
        }
    }
    assert!(faults > 0, "one of them has an infinite query");
}

/// What a group makes, or that a check failed: y, the low-rank values, dx, and the gradients of the parameters.
type Projected = Result<[Vec<u32>; 4], ()>;

/// A group of two parts.
struct Case {
    frozen: Frozen,
    values: Values,
    bias: Vec<f32>,
    /// A and B of the parts.
    flat: Vec<f32>,
    places: Vec<Place>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

const INPUTS: usize = 44;
const PARTS: [usize; 2] = [12, 9];
const RANK: usize = 3;
const SIGMA: f32 = 1.5;

impl Case {
    fn new(first: usize, alone: bool, w4: bool) -> Self {
        let outputs: usize = PARTS.iter().sum();
        // Weights of any kind but the largest, whose products would leave binary32.
        let weights = table(first % 7, alone, "weights", (outputs, INPUTS));
        let (frozen, values) = if w4 {
            let packed = quantise4(&weights, INPUTS).unwrap();
            (packed.unfold(), Values::W4 { nibbles: packed.nibbles, multipliers: packed.multipliers })
        } else {
            let frozen = quantise8(&weights, INPUTS).unwrap();
            (frozen.clone(), Values::W8(frozen.values))
        };
        let (mut flat, mut places) = (Vec::new(), Vec::new());
        for (index, outputs) in PARTS.into_iter().enumerate() {
            let mut add = |values: Vec<f32>| {
                flat.extend(values);
                flat.len()
            };
            let start = places.last().map_or(0, |place: &Place| place.b.end);
            let a = add(table(first + 2 + index, false, "a", (RANK, INPUTS)));
            let b = add(table(first + 4 + index, false, "b", (outputs, RANK)));
            places.push(Place { a: start..a, b: a..b });
        }
        Self {
            frozen,
            values,
            bias: row(first, "bias", outputs),
            flat,
            places,
            x: table(first, alone, "x", (LENGTH, INPUTS)),
            dy: table(first + 1, false, "dy", (LENGTH, outputs)),
        }
    }

    fn projected(&self, machine: &Machine, matrix: &Matrix) -> Projected {
        let adapter = Some((&self.flat[..], &self.places[..], RANK, SIGMA));
        let group = Group::new(machine, matrix, Some(&self.bias), adapter).map_err(|_| ())?;
        let x = Quantised::wide(machine, &self.x, INPUTS).map_err(|_| ())?;
        let mut y = vec![0.0; self.dy.len()];
        let low = group.forward(machine, &x, None, &mut y).map_err(|_| ())?;
        let scales = matrix.scales.iter().cycle();
        let h: Vec<f32> = self.dy.iter().zip(scales).map(|(dy, scale)| dy * scale).collect();
        let h = Quantised::wide(machine, &h, matrix.outputs).map_err(|_| ())?;
        let (mut gradient, mut dx) = (vec![0.0; self.flat.len()], vec![0.0; self.x.len()]);
        let made = group.backward(machine, &self.flat, (&x, &low, &h), LENGTH, &mut gradient, Some(&mut dx));
        made.map_err(|_| ())?;
        Ok([y, low, dx, gradient].map(|values| bits(&values)))
    }

    fn reference(&self) -> Projected {
        let part = |place: &Place| LowRank { a: &self.flat[place.a.clone()], b: &self.flat[place.b.clone()] };
        let parts: Vec<_> = self.places.iter().map(part).collect();
        let group = reference_projection::Group {
            weight: &self.frozen,
            bias: Some(&self.bias),
            parts: &parts,
            rank: RANK,
            sigma: SIGMA,
        };
        let forward = reference_projection::forward(&group, &self.x).map_err(|_| ())?;
        let backward = reference_projection::backward(&group, &forward.x, &forward.low, &self.dy, true);
        let backward = backward.map_err(|_| ())?;
        let mut gradient = Vec::new();
        backward.da.iter().zip(&backward.db).for_each(|(a, b)| gradient.extend([&a[..], b].concat()));
        let dx = backward.dx.unwrap();
        // A step adds to zeros, which have no sign to lose.
        let gradient = gradient.into_iter().map(|value| 0.0 + value).collect();
        Ok([forward.y, forward.low, dx, gradient].map(|values: Vec<f32>| bits(&values)))
    }
}

#[test]
fn a_projection_group_has_the_reference_s_bits_on_hard_rows_on_every_path() {
    let mut sound = 0;
    for (first, alone) in (0..KINDS).flat_map(|kind| [(kind, false), (kind, true)]) {
        for w4 in [false, true] {
            let mut case = Case::new(first, alone, w4);
            let expected = case.reference();
            sound += usize::from(expected.is_ok());
            let values = std::mem::replace(&mut case.values, Values::W8(Vec::new()));
            let (outputs, scales) = (case.frozen.outputs, case.frozen.scales.clone());
            let matrix = Matrix { outputs, inputs: INPUTS, values, scales };
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let machine =
                        Machine { isa, threads: Threads::new(threads).unwrap(), logits: head::LOGITS };
                    let found = case.projected(&machine, &matrix);
                    let how = format!("{isa:?}, kind {first}, alone {alone}, W4 {w4}, {threads} threads");
                    assert_eq!(found.is_ok(), expected.is_ok(), "{how}");
                    let parts = ["y", "low", "dx", "gradient"];
                    let both = found.iter().flatten().zip(expected.iter().flatten()).zip(parts);
                    both.for_each(|((found, expected), part)| assert!(found == expected, "{part}: {how}"));
                }
            }
        }
    }
    assert!(sound > KINDS, "most cases have values to compare: {sound}");
}
