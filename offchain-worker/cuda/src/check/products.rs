//! Products against sums in 64 bits and the reference's formulas.

use attune_exact::{
    element::{self, Vector},
    mantissa::sum,
};

use super::{data::turned, same, Compared, Source};
use crate::{
    buffer::Buffer,
    device::Device,
    ops::{Epilogue, Operand, Scales, Second, Step, Tables, Target},
};

/// Rows, columns, depth: around the tile's 128, 64, 64.
const SHAPES: [(usize, usize, usize); 5] =
    [(1, 1, 1), (3, 5, 67), (128, 64, 64), (129, 65, 130), (40, 70, 263)];

const CONSTANT: f32 = -0.37;
const WIDE: i16 = 16_383;
const NARROW: i16 = 2_047;

/// `f32(Σ) × (s × s)` of all rows with all rows.
fn scaled<B: Copy + Into<i64>>(
    (left, rows): (&[i16], &[f32]),
    (right, columns): (&[B], &[f32]),
    depth: usize,
) -> Vec<f32> {
    let mut y = Vec::new();
    for (left, row) in left.chunks(depth).zip(rows) {
        for (right, column) in right.chunks(depth).zip(columns) {
            y.push(sum(left, right) as f32 * (row * column));
        }
    }
    y
}

/// Rows and columns of one product on the device.
struct There {
    left: Buffer<i16>,
    rows: Buffer<f32>,
    columns: Buffer<f32>,
}

impl There {
    fn run(&self, device: &Device, left: Operand<'_>, right: Operand<'_>) -> crate::Result<Vec<f32>> {
        let (m, n) = (self.rows.len(), self.columns.len());
        let mut out = device.zeros(m * n)?;
        let epilogue = Epilogue::scaled(Scales::of(self.rows.all()), Scales::of(self.columns.all()));
        device.product(&left, &right, &epilogue, Target::rows(out.all_mut(), n), Tables::ONE)?;
        out.download()
    }
}

fn there(device: &Device, left: &[i16], rows: &[f32], columns: &[f32]) -> crate::Result<There> {
    Ok(There { left: device.upload(left)?, rows: device.upload(rows)?, columns: device.upload(columns)? })
}

pub(super) fn w8(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (m, n, k) in SHAPES {
        let (left, rows, frozen) = (source.mantissas(m * k, WIDE), source.scales(m), source.w8(n, k));
        let expected = scaled((&left, &rows), (&frozen.values, &frozen.scales), k);
        let there = there(device, &left, &rows, &frozen.scales)?;
        let operand = Operand::mantissas(there.left.all(), m, k, k);
        let plain = device.upload(&frozen.values)?;
        let found = there.run(device, operand, Operand::w8(plain.all(), n, k))?;
        count += same("rows by rows", &expected, &found)?;
        let other = device.upload(&turned(&frozen.values, k))?;
        let found = there.run(device, operand, Operand::w8(other.all(), k, n).transposed())?;
        count += same("rows by columns", &expected, &found)?;
    }
    Ok(count)
}

pub(super) fn w4(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (m, n, k) in SHAPES {
        let (left, rows, packed) = (source.mantissas(m * k, WIDE), source.scales(m), source.w4(n, k));
        let frozen = packed.unfold();
        let (nibbles, multipliers) = (device.upload(&packed.nibbles)?, device.upload(&packed.multipliers)?);
        let weights = Operand::w4(nibbles.all(), multipliers.all(), n, k);
        let here = there(device, &left, &rows, &frozen.scales)?;
        let operand = Operand::mantissas(here.left.all(), m, k, k);
        let expected = scaled((&left, &rows), (&frozen.values, &frozen.scales), k);
        count += same("rows by rows", &expected, &here.run(device, operand, weights)?)?;
        // Backwards: over the outputs.
        let (h, columns) = (source.mantissas(m * n, WIDE), vec![1.0; k]);
        let here = there(device, &h, &rows, &columns)?;
        let operand = Operand::mantissas(here.left.all(), m, n, n);
        let expected = scaled((&h, &rows), (&turned(&frozen.values, k), &columns), n);
        count += same("rows by columns", &expected, &here.run(device, operand, weights.transposed())?)?;
    }
    Ok(count)
}

pub(super) fn m16(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (m, n, k) in SHAPES {
        for (wide, narrow) in [(WIDE, NARROW), (NARROW, WIDE), (NARROW, NARROW), (WIDE, WIDE)] {
            let (left, right) = (source.mantissas(m * k, wide), source.mantissas(n * k, narrow));
            let (rows, columns) = (source.scales(m), source.scales(n));
            let expected = scaled((&left, &rows), (&right, &columns), k);
            let there = there(device, &left, &rows, &columns)?;
            let operand = Operand::mantissas(there.left.all(), m, k, k);
            let plain = device.upload(&right)?;
            let found = there.run(device, operand, Operand::mantissas(plain.all(), n, k, k))?;
            count += same("rows by rows", &expected, &found)?;
            let left_turned = device.upload(&turned(&left, k))?;
            let right_turned = device.upload(&turned(&right, k))?;
            let operand = Operand::mantissas(left_turned.all(), k, m, m).transposed();
            let found =
                there.run(device, operand, Operand::mantissas(right_turned.all(), k, n, n).transposed())?;
            count += same("columns by columns", &expected, &found)?;
        }
    }
    Ok(count)
}

/// As deep as a vocabulary, all at the limits: sums beyond 32 bits in every slice.
pub(super) fn deep(device: &Device, _: &mut Source) -> Compared {
    let (m, n, k, mut count) = (2, 3, 152_064, 0);
    for value in [WIDE, -WIDE, 127, -1] {
        let left = vec![value; m * k];
        let rows = vec![1.0; m];
        let columns = vec![1.0; n];
        let there = there(device, &left, &rows, &columns)?;
        let operand = Operand::mantissas(there.left.all(), m, k, k);
        for weight in [127i8, -127] {
            let right = vec![weight; n * k];
            let expected = scaled((&left, &rows), (&right, &columns), k);
            let right = device.upload(&right)?;
            let found = there.run(device, operand, Operand::w8(right.all(), n, k))?;
            count += same("with weights", &expected, &found)?;
        }
        for mantissa in [WIDE, -NARROW] {
            let right = vec![mantissa; n * k];
            let expected = scaled((&left, &rows), (&right, &columns), k);
            let right = device.upload(&right)?;
            let found = there.run(device, operand, Operand::mantissas(right.all(), n, k, k))?;
            count += same("with mantissas", &expected, &found)?;
        }
    }
    // As deep as a kernel goes without emptying its sums.
    let k = crate::ops::PLAIN_FROM;
    let (left, rows, columns) = (vec![-WIDE; m * k], vec![1.0; m], vec![1.0; n]);
    let there = there(device, &left, &rows, &columns)?;
    let operand = Operand::mantissas(there.left.all(), m, k, k);
    let expected = scaled((&left, &rows), (&vec![-WIDE; n * k], &columns), k);
    let right = device.upload(&vec![-WIDE; n * k])?;
    let found = there.run(device, operand, Operand::mantissas(right.all(), n, k, k))?;
    Ok(count + same("at the limit", &expected, &found)?)
}

pub(super) fn epilogue(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (m, n, k) in [(37, 150, 70), (130, 67, 33)] {
        // The last one is the deepest that a job can ask for: three parts of the highest rank.
        for rank in [3, 16, 100, 513, 3072] {
            count += all_of_it(device, source, (m, n, k), rank)?;
            count += gradient(device, source, (rank, n, k))?;
        }
    }
    Ok(count)
}

/// Constant, bias, two second products for some columns, a residual, added to what was there, transposed or not.
fn all_of_it(
    device: &Device,
    source: &mut Source,
    (m, n, k): (usize, usize, usize),
    rank: usize,
) -> Compared {
    let (mut left, rows, frozen) = (source.mantissas(m * k, WIDE), source.scales(m), source.w8(n, k));
    let mut bias = source.reals(n, 1.0);
    let (mut residual, mut before) = (source.reals(m * (n + 3), 1.0), source.reals(m * n, 1.0));
    let parts = [0..n / 3, n / 3 + 2..n];
    // Where no second product is added, the first row is −0 all along: a sum of 0 must not turn it over.
    left[..k].fill(0);
    bias[n / 3..n / 3 + 2].fill(-0.0);
    residual[..n].fill(-0.0);
    before[..n].fill(-0.0);
    let mut low = source.mantissas(m * 2 * rank, NARROW);
    let (low_scales, b_scales) = (source.scales(2 * m), source.scales(n));
    let mut b = source.mantissas(n * rank, NARROW);
    // The largest sums of either sign: beyond 32 bits from a depth of 513 on.
    low[2 * rank..4 * rank].fill(NARROW);
    b[..rank].fill(NARROW);
    b[(n - 1) * rank..].fill(-NARROW);
    let mut expected = Vec::new();
    for t in 0..m {
        let x = Vector { values: &left[t * k..(t + 1) * k], scale: rows[t] };
        for o in 0..n {
            let y = (element::base(x, frozen.row(o)) * CONSTANT) + bias[o];
            let own = parts.iter().position(|part| part.contains(&o));
            let y = own.map_or(y, |part| {
                let values = &low[(t * 2 + part) * rank..(t * 2 + part + 1) * rank];
                let low = Vector { values, scale: low_scales[part * m + t] };
                let b = Vector { values: &b[o * rank..(o + 1) * rank], scale: b_scales[o] };
                y + element::lora(low, b)
            });
            expected.push(before[t * n + o] + (residual[t * (n + 3) + o] + y));
        }
    }
    let (left, rows, scales) = (device.upload(&left)?, device.upload(&rows)?, device.upload(&frozen.scales)?);
    let (values, bias, residual) =
        (device.upload(&frozen.values)?, device.upload(&bias)?, device.upload(&residual)?);
    let (low, low_scales) = (device.upload(&low)?, device.upload(&low_scales)?);
    let (b, b_scales) = (device.upload(&b)?, device.upload(&b_scales)?);
    let second = parts.iter().enumerate().map(|(index, part)| Second {
        columns: part.clone(),
        left: Operand::mantissas(low.all().from(index * rank), m, rank, 2 * rank),
        right: Operand::mantissas(b.all().from(part.start * rank), part.len(), rank, rank),
        row_scale: Scales::of(low_scales.all().from(index * m)),
        column_scale: Scales::of(b_scales.all().from(part.start)),
    });
    let second: Vec<Second<'_>> = second.collect();
    let epilogue = Epilogue {
        constant: Some(CONSTANT),
        bias: Some(bias.all()),
        second: &second,
        residual: Some((residual.all(), n + 3)),
        ..Epilogue::scaled(Scales::of(rows.all()), Scales::of(scales.all()))
    };
    let (operand, weights) = (Operand::mantissas(left.all(), m, k, k), Operand::w8(values.all(), n, k));
    let mut count = 0;
    for transposed in [false, true] {
        let mut out = device.upload(&if transposed { turned(&before, n) } else { before.clone() })?;
        let target = Target::rows(out.all_mut(), if transposed { m } else { n }).accumulate();
        let target = if transposed { target.transposed() } else { target };
        device.product(&operand, &weights, &epilogue, target, Tables::ONE)?;
        let expected = if transposed { turned(&expected, n) } else { expected.clone() };
        count += same("epilogue", &expected, &out.download()?)?;
    }
    Ok(count)
}

/// As dB of a projection: divided by the column, transposed, added.
fn gradient(device: &Device, source: &mut Source, (rank, n, tokens): (usize, usize, usize)) -> Compared {
    let (lambda, scales) = (source.mantissas(rank * tokens, NARROW), source.scales(rank));
    let (h, w) = (source.mantissas(tokens * n, WIDE), source.reals(n, 0.01));
    let before = source.reals(n * rank, 1.0);
    let columns = turned(&h, n);
    let mut expected = before.clone();
    for o in 0..n {
        for j in 0..rank {
            let lambda = Vector { values: &lambda[j * tokens..(j + 1) * tokens], scale: scales[j] };
            expected[o * rank + j] += element::b_back(&columns[o * tokens..(o + 1) * tokens], lambda, w[o]);
        }
    }
    let (lambda, scales) = (device.upload(&lambda)?, device.upload(&scales)?);
    let (h, w, mut out) = (device.upload(&h)?, device.upload(&w)?, device.upload(&before)?);
    let epilogue =
        Epilogue { divide: true, ..Epilogue::scaled(Scales::of(scales.all()), Scales::of(w.all())) };
    let left = Operand::mantissas(lambda.all(), rank, tokens, tokens);
    let right = Operand::mantissas(h.all(), tokens, n, n).transposed();
    let target = Target::rows(out.all_mut(), rank).transposed().accumulate();
    device.product(&left, &right, &epilogue, target, Tables::ONE)?;
    same("gradient of B", &expected, &out.download()?)
}

/// Heads side by side in rows, two of the left ones for one of the right ones.
pub(super) fn batched(device: &Device, source: &mut Source) -> Compared {
    let (sequences, heads, share, length, dim) = (2, 4, 2, 33, 12);
    let kv = heads / share;
    let left = source.mantissas(sequences * length * heads * dim, WIDE);
    let right = source.mantissas(sequences * length * kv * dim, NARROW);
    let (rows, columns) = (source.scales(sequences * heads * length), source.scales(sequences * kv * length));
    let take = |x: &[i16], all: usize, sequence: usize, head: usize| -> Vec<i16> {
        let row = |t: usize| &x[((sequence * length + t) * all + head) * dim..][..dim];
        (0..length).flat_map(row).copied().collect()
    };
    let mut expected = Vec::new();
    for table in 0..sequences * heads {
        let (sequence, head) = (table / heads, table % heads);
        let own = (take(&left, heads, sequence, head), &rows[table * length..][..length]);
        let shared = (sequence * kv + head / share) * length;
        let other = (take(&right, kv, sequence, head / share), &columns[shared..][..length]);
        expected.extend(scaled((&own.0, own.1), (&other.0, other.1), dim));
    }
    let (left, right) = (device.upload(&left)?, device.upload(&right)?);
    let (rows, columns) = (device.upload(&rows)?, device.upload(&columns)?);
    let mut out = device.zeros(expected.len())?;
    let operand = Operand::mantissas(left.all(), length, dim, heads * dim);
    let operand = operand.step(Step::each(length * heads * dim, dim));
    let shared = |outer, inner| Step { outer, inner, share };
    let other = Operand::mantissas(right.all(), length, dim, kv * dim).step(shared(length * kv * dim, dim));
    let rows = Scales::of(rows.all()).step(Step::each(heads * length, length));
    let columns = Scales::of(columns.all()).step(shared(kv * length, length));
    let target = Target::rows(out.all_mut(), length).step(heads * length * length, length * length);
    let tables = Tables { outer: sequences, inner: heads };
    device.product(&operand, &other, &Epilogue::scaled(rows, columns), target, tables)?;
    same("tables", &expected, &out.download()?)
}
