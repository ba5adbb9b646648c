//! Columns as mantissas.

use attune_exact::mantissa::Width;

use super::{at_least, extent, Check};
use crate::{
    buffer::{View, ViewMut},
    device::{Device, MAX_THREADS},
    error::Result,
    params,
};

/// Rows that a block takes.
const CHUNK: usize = 128;

/// What a row is multiplied by, or divided by, before its elements become mantissas.
#[derive(Clone, Copy)]
pub enum Factor<'a> {
    /// Nothing.
    None,
    /// `[rows]`
    Times(View<'a, f32>),
    /// `[rows]`
    Over(View<'a, f32>),
}

/// The tables of a batch: `inner` for each of `outer` sequences.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Sequences.
    pub outer: usize,
    /// Tables of a sequence.
    pub inner: usize,
}

impl Tables {
    /// One table.
    pub const ONE: Self = Self { outer: 1, inner: 1 };

    fn extent(self, (outer, inner): (usize, usize), one: usize) -> usize {
        extent(self.outer, extent(self.inner, one, inner), outer)
    }
}

/// Tables `[rows, columns]` of reals. Steps are elements from sequence to sequence and from table to table.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// From the first element on.
    pub x: View<'a, f32>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Elements from row to row.
    pub stride: usize,
    /// What is folded into the rows.
    pub factor: Factor<'a>,
    /// The batch.
    pub tables: Tables,
    /// Steps of x.
    pub x_step: (usize, usize),
    /// Steps of the factors.
    pub factor_step: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// One table whose rows are `columns` apart.
    pub fn new(x: View<'a, f32>, rows: usize, columns: usize, factor: Factor<'a>) -> Self {
        let tables = Tables::ONE;
        Self { x, rows, columns, stride: columns, factor, tables, x_step: (0, 0), factor_step: (0, 0) }
    }
}

/// Where mantissas of columns go.
pub struct ColumnsOut<'a> {
    /// `[rows, columns]` if in place, `[columns, rows]` if transposed.
    pub q: ViewMut<'a, i16>,
    /// Elements from row to row of q.
    pub stride: usize,
    /// Whether q is transposed.
    pub transposed: bool,
    /// Steps of q.
    pub step: (usize, usize),
    /// `[columns]` of each table.
    pub scale: ViewMut<'a, f32>,
    /// Steps of the scales.
    pub scale_step: (usize, usize),
}

impl Device {
    /// Each column of the tables as mantissas.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn quantise_columns(
        &self,
        matrix: &Matrix<'_>,
        width: Width,
        out: ColumnsOut<'_>,
        check: Check<'_>,
    ) -> Result<()> {
        let Matrix { x, rows, columns, stride, factor, tables, .. } = *matrix;
        at_least("columns to quantise", tables.extent(matrix.x_step, extent(rows, columns, stride)), x.len)?;
        let (factor, over) = match factor {
            Factor::None => (None, false),
            Factor::Times(factor) => (Some(factor), false),
            Factor::Over(factor) => (Some(factor), true),
        };
        if let Some(factor) = factor {
            at_least("factors of rows", tables.extent(matrix.factor_step, rows), factor.len)?;
        }
        let one = if out.transposed {
            extent(columns, rows, out.stride)
        } else {
            extent(rows, columns, out.stride)
        };
        at_least("mantissas of columns", tables.extent(out.step, one), out.q.len)?;
        at_least("scales of columns", tables.extent(out.scale_step, columns), out.scale.len)?;
        let count = tables.outer * tables.inner;
        let largest = self.zeros::<u32>(count * columns)?;
        let table =
            |(outer, inner): (usize, usize)| params::Table { outer: outer as i64, inner: inner as i64 };
        let params = params::Columns {
            x: x.address,
            factor: super::address(factor),
            largest: largest.all().address,
            q: out.q.address,
            scale: out.scale.address,
            x_row: stride as i64,
            q_row: out.stride as i64,
            x_table: table(matrix.x_step),
            factor_table: table(matrix.factor_step),
            q_table: table(out.step),
            scale_table: table(out.scale_step),
            fault: check.of_sequences(tables.outer)?,
            rows: rows as u32,
            columns: columns as u32,
            inner: tables.inner as u32,
            over: u32::from(over),
            narrow: u32::from(width == Width::Narrow),
            transposed: u32::from(out.transposed),
            chunk: CHUNK as u32,
            end: 0,
        };
        let grid = [columns.div_ceil(32), rows.div_ceil(CHUNK).max(1), count];
        let threads = self.threads().unwrap_or(MAX_THREADS).max(32);
        // SAFETY: the extents were checked above.
        unsafe {
            self.launch("column_largest", grid, threads, &params)?;
            self.launch("column_mantissas", grid, threads, &params)
        }
    }
}
