//! Columns as mantissas (SPEC.md, section 2): one scale per column, where a sum runs over the rows.
//!
//! The one idea: a stripe of columns, as wide as a few cache lines, is read twice from top to bottom, once for the largest
//! magnitudes and once for the mantissas. Where they are wanted transposed, blocks of 32 rows are turned in a buffer, so
//! that every write fills a cache line.

use super::lanes::{int, magnitude, Grid};
use super::{per_isa, NotFinite};
use crate::Width;

/// Columns of a stripe.
pub(super) const STRIPE: usize = 64;
/// Rows that are turned at once.
const TURN: usize = 32;

/// What every element of a row is combined with before its column becomes mantissas; `[rows]`.
#[derive(Clone, Copy, Debug)]
pub enum Factor<'a> {
    /// Nothing.
    None,
    /// x × f_t.
    Times(&'a [f32]),
    /// x ÷ f_t.
    Over(&'a [f32]),
}

impl<'a> Factor<'a> {
    /// That of rows `start..end`.
    fn rows(self, start: usize, end: usize) -> Factor<'a> {
        match self {
            Factor::None => Factor::None,
            Factor::Times(f) => Factor::Times(&f[start..end]),
            Factor::Over(f) => Factor::Over(&f[start..end]),
        }
    }
}

/// Reals `[rows, columns]`, whose rows start `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    x: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    factor: Factor<'a>,
}

impl<'a> Matrix<'a> {
    /// A view of `x`, each row to be combined with its factor.
    ///
    /// # Panics
    /// `stride` is less than `columns`, `x` is too short, or there is not one factor for each row.
    pub fn new(x: &'a [f32], rows: usize, columns: usize, stride: usize, factor: Factor<'a>) -> Matrix<'a> {
        assert!(columns <= stride, "rows of {columns} columns cannot start {stride} elements apart");
        if let Factor::Times(f) | Factor::Over(f) = factor {
            assert_eq!(f.len(), rows, "one factor for each row");
        }
        if rows > 0 {
            let needed = (rows - 1) * stride + columns;
            assert!(x.len() >= needed, "a matrix needs {needed} elements, found {}", x.len());
        }
        Matrix { x, rows, columns, stride, factor }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns `start..end` of it.
    pub(super) fn column_range(&self, start: usize, end: usize) -> Matrix<'a> {
        assert!(start <= end && end <= self.columns, "columns {start}..{end} of {}", self.columns);
        Matrix { x: &self.x[start.min(self.x.len())..], columns: end - start, ..*self }
    }

    /// Rows `start..end` of it.
    pub(super) fn row_range(&self, start: usize, end: usize) -> Matrix<'a> {
        assert!(start <= end && end <= self.rows, "rows {start}..{end} of {}", self.rows);
        let x = &self.x[(start * self.stride).min(self.x.len())..];
        Matrix { x, rows: end - start, factor: self.factor.rows(start, end), ..*self }
    }

    #[inline(always)]
    fn row(&self, row: usize) -> &'a [f32] {
        &self.x[row * self.stride..][..self.columns]
    }
}

per_isa! {
    /// Each column as mantissas, transposed: `q` is `[columns, q_stride]`, the mantissas of a column side by side and 0
    /// after them; `scales` is `[columns]`.
    ///
    /// # Errors
    /// An element, with its factor, is infinite or NaN.
    ///
    /// # Panics
    /// `q_stride` is less than the rows, or an output has another length.
    pub fn transposed<'a>(
        matrix: Matrix<'a>, width: Width, q: &'a mut [i16], q_stride: usize, scales: &'a mut [f32],
    ) -> Result<(), NotFinite> {
        assert!(matrix.rows <= q_stride, "{} rows do not fit a stride of {q_stride}", matrix.rows);
        assert_eq!(q.len(), matrix.columns * q_stride, "mantissas of columns, transposed");
        assert_eq!(scales.len(), matrix.columns, "one scale for each column");
        match matrix.factor {
            Factor::None => transpose(matrix, &[], |x, _| x, width, q, q_stride, scales),
            Factor::Times(f) => transpose(matrix, f, |x, f| x * f, width, q, q_stride, scales),
            Factor::Over(f) => transpose(matrix, f, |x, f| x / f, width, q, q_stride, scales),
        }
    }

    /// The largest magnitude of each column as bits, into `largest` `[columns]`, which holds those of other rows of the
    /// same columns or 0 at the start.
    ///
    /// # Panics
    /// `largest` has another length.
    pub fn raise_largest<'a>(matrix: Matrix<'a>, largest: &'a mut [i32]) -> () {
        assert_eq!(largest.len(), matrix.columns, "one magnitude for each column");
        match matrix.factor {
            Factor::None => raise(matrix, &[], |x, _| x, largest),
            Factor::Times(f) => raise(matrix, f, |x, f| x * f, largest),
            Factor::Over(f) => raise(matrix, f, |x, f| x / f, largest),
        }
    }

    /// Each column as mantissas, left where it is, given its largest magnitude: `q` is `[rows, columns]`; `scales` and
    /// `largest` are `[columns]`.
    ///
    /// # Errors
    /// A magnitude is that of infinity or NaN.
    ///
    /// # Panics
    /// An output has another length.
    pub fn fill<'a>(
        matrix: Matrix<'a>, largest: &'a [i32], width: Width, q: &'a mut [i16], scales: &'a mut [f32],
    ) -> Result<(), NotFinite> {
        assert_eq!(q.len(), matrix.rows * matrix.columns, "mantissas of columns");
        assert!(scales.len() == matrix.columns && largest.len() == matrix.columns, "one scale for each column");
        match matrix.factor {
            Factor::None => stay(matrix, &[], |x, _| x, largest, width, q, scales),
            Factor::Times(f) => stay(matrix, f, |x, f| x * f, largest, width, q, scales),
            Factor::Over(f) => stay(matrix, f, |x, f| x / f, largest, width, q, scales),
        }
    }
}

/// Each column as mantissas, left where it is: `q` is `[rows, columns]` and `scales` `[columns]`.
///
/// # Errors
/// An element, with its factor, is infinite or NaN.
///
/// # Panics
/// An output has another length.
pub fn in_place(
    isa: crate::Isa,
    matrix: Matrix,
    width: Width,
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    let mut largest = vec![0; matrix.columns];
    raise_largest(isa, matrix, &mut largest);
    fill(isa, matrix, &largest, width, q, scales)
}

#[inline(always)]
fn factor_of(factors: &[f32], row: usize) -> f32 {
    factors.get(row).copied().unwrap_or(1.0)
}

#[inline(always)]
fn raise(matrix: Matrix, factors: &[f32], combine: impl Fn(f32, f32) -> f32 + Copy, largest: &mut [i32]) {
    for row in 0..matrix.rows {
        let f = factor_of(factors, row);
        for (largest, x) in largest.iter_mut().zip(matrix.row(row)) {
            *largest = (*largest).max(magnitude(combine(*x, f)));
        }
    }
}

#[inline(always)]
fn stay(
    matrix: Matrix,
    factors: &[f32],
    combine: impl Fn(f32, f32) -> f32 + Copy,
    largest: &[i32],
    width: Width,
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    let mut multipliers = vec![0.0; matrix.columns];
    let limit = multipliers_of(largest, width, &mut multipliers, scales)?;
    for (row, q) in q.chunks_exact_mut(matrix.columns.max(1)).enumerate() {
        let f = factor_of(factors, row);
        for ((q, x), multiplier) in q.iter_mut().zip(matrix.row(row)).zip(&multipliers) {
            *q = Grid { multiplier: *multiplier, limit, scale: 0.0 }.mantissa(combine(*x, f));
        }
    }
    Ok(())
}

#[inline(always)]
fn transpose(
    matrix: Matrix,
    factors: &[f32],
    combine: impl Fn(f32, f32) -> f32 + Copy,
    width: Width,
    q: &mut [i16],
    q_stride: usize,
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    if matrix.columns == 0 {
        return Ok(());
    }
    let stripes = q.chunks_mut((STRIPE * q_stride).max(1)).zip(scales.chunks_mut(STRIPE));
    for (index, (q, scales)) in stripes.enumerate() {
        let start = index * STRIPE;
        let stripe = matrix.column_range(start, start + scales.len());
        let mut largest = [0; STRIPE];
        raise(stripe, factors, combine, &mut largest[..scales.len()]);
        let mut multipliers = [0.0; STRIPE];
        let limit =
            multipliers_of(&largest[..scales.len()], width, &mut multipliers[..scales.len()], scales)?;
        turn(stripe, factors, combine, &multipliers, limit, q, q_stride);
    }
    Ok(())
}

/// The scales of columns, and what their elements are multiplied by.
#[inline(always)]
fn multipliers_of(
    largest: &[i32],
    width: Width,
    multipliers: &mut [f32],
    scales: &mut [f32],
) -> Result<i16, NotFinite> {
    let mut limit = 0;
    for ((largest, multiplier), scale) in largest.iter().zip(multipliers).zip(scales) {
        let grid = Grid::of(*largest, width)?;
        (*multiplier, *scale, limit) = (grid.multiplier, grid.scale, grid.limit);
    }
    Ok(limit)
}

/// The mantissas of one stripe, transposed.
#[inline(always)]
fn turn(
    stripe: Matrix,
    factors: &[f32],
    combine: impl Fn(f32, f32) -> f32 + Copy,
    multipliers: &[f32; STRIPE],
    limit: i16,
    q: &mut [i16],
    q_stride: usize,
) {
    let limit = i32::from(limit);
    // Two rows in one word, the upper one in the low half.
    let mut pairs = [[0u32; STRIPE]; TURN / 2];
    for start in (0..stripe.rows).step_by(TURN) {
        let count = TURN.min(stripe.rows - start);
        for (pair, words) in pairs.iter_mut().enumerate().take(count.div_ceil(2)) {
            let upper = start + 2 * pair;
            // Below the last row stands that one again; its mantissas are not stored.
            let lower = (upper + 1).min(stripe.rows - 1);
            let (f, g) = (factor_of(factors, upper), factor_of(factors, lower));
            let rows = stripe.row(upper).iter().zip(stripe.row(lower));
            for ((word, multiplier), (a, b)) in words.iter_mut().zip(multipliers).zip(rows) {
                let a = int(combine(*a, f) * multiplier).clamp(-limit, limit) as u32;
                let b = int(combine(*b, g) * multiplier).clamp(-limit, limit) as u32;
                *word = (a & 0xFFFF) | (b << 16);
            }
        }
        for (column, q) in q.chunks_exact_mut(q_stride).enumerate() {
            let words = pairs.iter().map(|words| words[column % STRIPE]);
            match <&mut [i16; TURN]>::try_from(&mut q[start..start + count]) {
                // The whole line: the compiler knows its length.
                Ok(line) => store(words, line),
                Err(_) => store(words, &mut q[start..start + count]),
            }
        }
    }
    for q in q.chunks_exact_mut(q_stride.max(1)) {
        q[stripe.rows..].fill(0);
    }
}

/// The halves of `words` side by side; the last may be only half wanted.
#[inline(always)]
fn store(words: impl Iterator<Item = u32>, line: &mut [i16]) {
    for (two, word) in line.chunks_mut(2).zip(words) {
        two[0] = word as i16;
        if let Some(second) = two.get_mut(1) {
            *second = (word >> 16) as i16;
        }
    }
}
