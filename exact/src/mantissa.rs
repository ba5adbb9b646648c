//! Vectors of reals as integers with one power-of-two scale, and exact sums of their products (SPEC.md, section 2).
//!
//! The one idea: a sum of integers does not depend on its order, so every reduction runs on integers. The scale of a vector
//! comes from the exponent of its largest magnitude; everything else is one conversion and one multiplication.

use alloc::{vec, vec::Vec};

use crate::{
    element::Vector,
    real::{int, pow2},
};

/// Bits of infinity; a magnitude at or above them is infinite or NaN.
pub const INFINITY_BITS: u32 = 0x7F80_0000;
/// The lowest exponent that a scale is made from.
pub const LOWEST_EXPONENT: i32 = -100;

/// A value that must be finite is infinite or NaN. The caller knows which operator that is in and makes a
/// [`crate::fault::Fault`] of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

/// How many bits a mantissa has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 15 bits with the sign: −16383..=16383.
    Wide,
    /// 12 bits with the sign: −2047..=2047.
    Narrow,
}

impl Width {
    /// The exponent of a vector becomes this one: 13 or 10.
    pub fn shift(self) -> i32 {
        match self {
            Self::Wide => 13,
            Self::Narrow => 10,
        }
    }

    /// The largest magnitude of a mantissa.
    pub fn limit(self) -> i64 {
        match self {
            Self::Wide => 16_383,
            Self::Narrow => 2_047,
        }
    }
}

/// A vector as mantissas: element i is `values[i] * scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mantissas {
    /// Integers.
    pub values: Vec<i16>,
    /// A power of two.
    pub scale: f32,
}

/// A table `[rows, columns]` as mantissas. Each row has a scale of its own, or each column.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Integers, `[rows, columns]`, row by row even where the scales belong to the columns.
    pub values: Vec<i16>,
    /// Powers of two, `[rows]` or `[columns]`.
    pub scales: Vec<f32>,
}

impl Table {
    /// The integers of one row.
    pub fn row(&self, row: usize) -> &[i16] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// The integers of one column.
    pub fn column(&self, column: usize) -> Vec<i16> {
        (0..self.rows).map(|row| self.values[row * self.columns + column]).collect()
    }

    /// One row with its scale; of a table whose scales belong to the rows.
    pub fn vector(&self, row: usize) -> Vector<'_> {
        debug_assert_eq!(self.scales.len(), self.rows);
        Vector { values: self.row(row), scale: self.scales[row] }
    }

    /// All columns with their scales; of a table whose scales belong to the columns.
    pub fn column_vectors(&self) -> Vec<Mantissas> {
        debug_assert_eq!(self.scales.len(), self.columns);
        let one = |column| Mantissas { values: self.column(column), scale: self.scales[column] };
        (0..self.columns).map(one).collect()
    }
}

/// The largest magnitude, as bits: integers, so that it does not depend on order even with NaN.
pub fn max_magnitude_bits(x: impl IntoIterator<Item = f32>) -> u32 {
    x.into_iter().map(|x| x.to_bits() & 0x7FFF_FFFF).max().unwrap_or(0)
}

/// The exponent E of a vector with the largest magnitude `bits`.
///
/// # Errors
/// The magnitude is infinite or NaN.
pub fn exponent(bits: u32) -> Result<i32, NotFinite> {
    if bits >= INFINITY_BITS {
        return Err(NotFinite);
    }
    Ok(((bits >> 23) as i32 - 127).max(LOWEST_EXPONENT))
}

/// One mantissa of a vector with exponent `exponent`.
pub fn mantissa(x: f32, exponent: i32, width: Width) -> i16 {
    let q = int(x * pow2(width.shift() - exponent));
    q.clamp(-width.limit(), width.limit()) as i16
}

/// The scale of a vector with exponent `exponent`.
pub fn scale(exponent: i32, width: Width) -> f32 {
    pow2(exponent - width.shift())
}

/// A vector as mantissas.
///
/// # Errors
/// An element is infinite or NaN.
pub fn quantise(x: &[f32], width: Width) -> Result<Mantissas, NotFinite> {
    let exponent = exponent(max_magnitude_bits(x.iter().copied()))?;
    let values = x.iter().map(|x| mantissa(*x, exponent, width)).collect();
    Ok(Mantissas { values, scale: scale(exponent, width) })
}

/// A vector as 15-bit mantissas.
///
/// # Errors
/// An element is infinite or NaN.
pub fn wide(x: &[f32]) -> Result<Mantissas, NotFinite> {
    quantise(x, Width::Wide)
}

/// A vector as 12-bit mantissas.
///
/// # Errors
/// An element is infinite or NaN.
pub fn narrow(x: &[f32]) -> Result<Mantissas, NotFinite> {
    quantise(x, Width::Narrow)
}

/// Each row of `x` `[rows, columns]` as mantissas; `scales` is `[rows]`.
///
/// # Errors
/// An element is infinite or NaN.
pub fn rows(x: &[f32], columns: usize, width: Width) -> Result<Table, NotFinite> {
    let (mut values, mut scales) = (Vec::with_capacity(x.len()), Vec::new());
    for row in x.chunks(columns) {
        let row = quantise(row, width)?;
        values.extend(row.values);
        scales.push(row.scale);
    }
    Ok(Table { rows: scales.len(), columns, values, scales })
}

/// Each column of `x` `[rows, columns]` as 12-bit mantissas; `scales` is `[columns]`.
///
/// # Errors
/// An element is infinite or NaN.
pub fn narrow_columns(x: &[f32], columns: usize) -> Result<Table, NotFinite> {
    let rows = x.len() / columns;
    let (mut values, mut scales) = (vec![0; x.len()], Vec::with_capacity(columns));
    for column in 0..columns {
        let one: Vec<f32> = (0..rows).map(|row| x[row * columns + column]).collect();
        let one = narrow(&one)?;
        for row in 0..rows {
            values[row * columns + column] = one.values[row];
        }
        scales.push(one.scale);
    }
    Ok(Table { rows, columns, values, scales })
}

/// Σ a_k b_k, exact.
pub fn sum<A: Copy + Into<i64>, B: Copy + Into<i64>>(a: &[A], b: &[B]) -> i64 {
    debug_assert_eq!(a.len(), b.len());
    let mut sum = 0;
    for (a, b) in a.iter().zip(b) {
        let (a, b): (i64, i64) = ((*a).into(), (*b).into());
        sum += a * b;
    }
    sum
}

/// The real that an exact sum stands for: `f32(sum) * (s_a * s_b)`.
pub fn product(sum: i64, s_a: f32, s_b: f32) -> f32 {
    sum as f32 * (s_a * s_b)
}

/// The product of two vectors of mantissas.
pub fn dot(a: &Mantissas, b: &Mantissas) -> f32 {
    product(sum(&a.values, &b.values), a.scale, b.scale)
}
