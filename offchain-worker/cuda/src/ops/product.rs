//! Products of integers with scales; see the text of `kernels/product.cuh`.

use std::ops::Range;

use attune_exact::weights::GROUP;

use super::{at_least, columns::Tables, extent};
use crate::{
    buffer::{View, ViewMut},
    device::Device,
    error::{Error, Result},
    params,
};

const TILE_ROWS: usize = 128;
const TILE_COLUMNS: usize = 64;
const THREADS: u32 = 256;
const SECONDS: usize = 3;
/// The deepest second product: its two sums fit 32 bits each.
const SECOND_DEPTH: usize = 32_768;
/// From this depth on a kernel empties its sums into 64 bits on the way.
pub const PLAIN_FROM: usize = 65_536;

/// How a batch walks over an operand: elements from sequence to sequence, and from one to the next in a sequence, of which
/// `share` have it in common.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// From sequence to sequence.
    pub outer: usize,
    /// From one to the next.
    pub inner: usize,
    /// How many have one in common.
    pub share: usize,
}

impl Step {
    /// All of the batch read the same.
    pub const NONE: Self = Self { outer: 0, inner: 0, share: 1 };

    /// Each of a sequence has its own.
    pub fn each(outer: usize, inner: usize) -> Self {
        Self { outer, inner, share: 1 }
    }

    fn extent(self, tables: Tables, one: usize) -> usize {
        extent(tables.outer, extent(tables.inner.div_ceil(self.share), one, self.inner), self.outer)
    }
}

#[derive(Clone, Copy)]
enum Values<'a> {
    W8(View<'a, i8>),
    W4 { nibbles: View<'a, u8>, multipliers: View<'a, u8> },
    M16(View<'a, i16>),
}

/// `[rows, depth]` integers: rows of the left operand, columns of the product of the right one.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    values: Values<'a>,
    rows: usize,
    depth: usize,
    stride: usize,
    transposed: bool,
    step: Step,
}

impl<'a> Operand<'a> {
    /// Mantissas whose rows start `stride` elements apart.
    pub fn mantissas(data: View<'a, i16>, rows: usize, depth: usize, stride: usize) -> Self {
        Self { values: Values::M16(data), rows, depth, stride, transposed: false, step: Step::NONE }
    }

    /// Frozen weights in 8 bits, `[rows, depth]`.
    pub fn w8(data: View<'a, i8>, rows: usize, depth: usize) -> Self {
        Self { values: Values::W8(data), rows, depth, stride: depth, transposed: false, step: Step::NONE }
    }

    /// Frozen weights in 4 bits, as `attune_exact::weights::Packed4` holds them.
    pub fn w4(nibbles: View<'a, u8>, multipliers: View<'a, u8>, rows: usize, depth: usize) -> Self {
        let values = Values::W4 { nibbles, multipliers };
        Self { values, rows, depth, stride: depth.div_ceil(2), transposed: false, step: Step::NONE }
    }

    /// The transpose of what is stored: what were rows is what is summed over.
    pub fn transposed(self) -> Self {
        Self { rows: self.depth, depth: self.rows, transposed: !self.transposed, ..self }
    }

    /// How a batch walks over it.
    pub fn step(self, step: Step) -> Self {
        Self { step, ..self }
    }

    fn params(&self, what: &'static str, tables: Tables) -> Result<params::Operand> {
        let (stored, length) =
            if self.transposed { (self.depth, self.rows) } else { (self.rows, self.depth) };
        let (data, multipliers, groups, unit) = match self.values {
            Values::M16(data) => {
                at_least(what, self.step.extent(tables, extent(stored, length, self.stride)), data.len)?;
                (data.address, 0, 0, 8)
            }
            Values::W8(data) => {
                at_least(what, self.step.extent(tables, extent(stored, length, self.stride)), data.len)?;
                (data.address, 0, 0, 4)
            }
            Values::W4 { nibbles, multipliers } => {
                let groups = length.div_ceil(GROUP);
                at_least(what, stored * self.stride, nibbles.len)?;
                at_least(what, stored * groups, multipliers.len)?;
                (nibbles.address, multipliers.address, groups, 1)
            }
        };
        let even = [self.stride, self.step.outer, self.step.inner].iter().all(|step| step.is_multiple_of(4));
        Ok(params::Operand {
            data,
            multipliers,
            row: self.stride as i64,
            outer: self.step.outer as i64,
            inner: self.step.inner as i64,
            share: self.step.share as u32,
            transposed: u32::from(self.transposed),
            groups: groups as u32,
            aligned: u32::from(even && data.is_multiple_of(unit)),
        })
    }
}

/// Scales of rows or columns.
#[derive(Clone, Copy)]
pub struct Scales<'a> {
    data: Option<View<'a, f32>>,
    step: Step,
}

impl<'a> Scales<'a> {
    /// All 1.
    pub const ONES: Scales<'static> = Scales { data: None, step: Step::NONE };

    /// One each.
    pub fn of(data: View<'a, f32>) -> Self {
        Self { data: Some(data), step: Step::NONE }
    }

    /// How a batch walks over them.
    pub fn step(self, step: Step) -> Self {
        Self { step, ..self }
    }

    fn params(&self, what: &'static str, tables: Tables, count: usize) -> Result<params::Factors> {
        if let Some(data) = self.data {
            at_least(what, self.step.extent(tables, count), data.len)?;
        }
        Ok(params::Factors {
            data: super::address(self.data),
            outer: self.step.outer as i64,
            inner: self.step.inner as i64,
            share: self.step.share as u32,
            unused: 0,
        })
    }
}

/// A second product, narrow by narrow, added to some of the columns.
#[derive(Clone)]
pub struct Second<'a> {
    /// Which columns.
    pub columns: Range<usize>,
    /// `[M, r]`
    pub left: Operand<'a>,
    /// `[columns.len(), r]`
    pub right: Operand<'a>,
    /// `[M]`
    pub row_scale: Scales<'a>,
    /// `[columns.len()]`
    pub column_scale: Scales<'a>,
}

/// What a causal mask lets a product leave out, of queries and keys in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Causal {
    /// Nothing.
    #[default]
    Everything,
    /// Rows are queries, columns keys: tiles of the future are not written.
    Tiles,
    /// Rows are queries, sums run over keys: those of the future count 0.
    DepthUpToRows,
    /// Columns are keys, sums run over queries: those of the past count 0.
    DepthFromColumns,
}

/// What happens to the sums, in the order of the fields.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// `[M]`
    pub row_scale: Scales<'a>,
    /// `[N]`
    pub column_scale: Scales<'a>,
    /// Divide by the columns' scales in place of multiplying by them.
    pub divide: bool,
    /// One factor for all.
    pub constant: Option<f32>,
    /// `[N]`
    pub bias: Option<View<'a, f32>>,
    /// Low-rank products.
    pub second: &'a [Second<'a>],
    /// `[M, N]` and the elements from row to row.
    pub residual: Option<(View<'a, f32>, usize)>,
    /// What is left out.
    pub causal: Causal,
}

impl<'a> Epilogue<'a> {
    /// Scales only.
    pub fn scaled(row_scale: Scales<'a>, column_scale: Scales<'a>) -> Self {
        Self {
            row_scale,
            column_scale,
            divide: false,
            constant: None,
            bias: None,
            second: &[],
            residual: None,
            causal: Causal::Everything,
        }
    }
}

/// Where a product goes: `[M, N]`, or `[N, M]` if it is transposed.
pub struct Target<'a> {
    data: ViewMut<'a, f32>,
    stride: usize,
    transposed: bool,
    accumulate: bool,
    step: (usize, usize),
}

impl<'a> Target<'a> {
    /// Rows that start `stride` elements apart; what was there is overwritten.
    pub fn rows(data: ViewMut<'a, f32>, stride: usize) -> Self {
        Self { data, stride, transposed: false, accumulate: false, step: (0, 0) }
    }

    /// The transpose.
    pub fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// Adds to what is there.
    pub fn accumulate(self) -> Self {
        Self { accumulate: true, ..self }
    }

    /// Elements from sequence to sequence, and from one of a batch to the next in a sequence.
    pub fn step(self, outer: usize, inner: usize) -> Self {
        Self { step: (outer, inner), ..self }
    }
}

impl Device {
    /// `left` `[M, K]` (mantissas) by `right` `[N, K]`, for each of a batch.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn product(
        &self,
        left: &Operand<'_>,
        right: &Operand<'_>,
        epilogue: &Epilogue<'_>,
        target: Target<'_>,
        tables: Tables,
    ) -> Result<()> {
        let (rows, columns, depth) = (left.rows, right.rows, left.depth);
        if right.depth != depth {
            return Err(Error::Shape { what: "depth of a product", expected: depth, found: right.depth });
        }
        if !matches!(left.values, Values::M16(_)) {
            return Err(Error::Shape { what: "bits of a left operand", expected: 16, found: 8 });
        }
        let (height, width) = if target.transposed { (columns, rows) } else { (rows, columns) };
        let out = extent(height, width, target.stride);
        let out = extent(tables.outer, extent(tables.inner, out, target.step.1), target.step.0);
        at_least("product: output", out, target.data.len)?;
        let mut second = [params::Second::default(); SECONDS];
        if epilogue.second.len() > SECONDS {
            let found = epilogue.second.len();
            return Err(Error::TooLarge { what: "second products", most: SECONDS, found });
        }
        for (second, from) in second.iter_mut().zip(epilogue.second) {
            *second = from.params(rows, columns, tables)?;
        }
        if let Some(bias) = epilogue.bias {
            at_least("product: bias", columns, bias.len)?;
        }
        if let Some((residual, stride)) = epilogue.residual {
            at_least("product: residual", extent(rows, columns, stride), residual.len)?;
        }
        let flags = u32::from(target.transposed)
            | u32::from(target.accumulate) << 1
            | u32::from(epilogue.divide) << 2
            | u32::from(epilogue.constant.is_some()) << 3;
        let params = params::Product {
            left: left.params("product: left operand", tables)?,
            right: right.params("product: right operand", tables)?,
            row_scale: epilogue.row_scale.params("product: scales of rows", tables, rows)?,
            column_scale: epilogue.column_scale.params("product: scales of columns", tables, columns)?,
            bias: super::address(epilogue.bias),
            residual: super::address(epilogue.residual.map(|(residual, _)| residual)),
            out: target.data.address,
            residual_row: epilogue.residual.map_or(0, |(_, stride)| stride as i64),
            out_row: target.stride as i64,
            out_outer: target.step.0 as i64,
            out_inner: target.step.1 as i64,
            second,
            seconds: epilogue.second.len() as u32,
            rows: rows as u32,
            columns: columns as u32,
            depth: depth as u32,
            inner: tables.inner as u32,
            flags,
            causal: epilogue.causal as u32,
            constant: epilogue.constant.unwrap_or(1.0),
        };
        let grid = [rows.div_ceil(TILE_ROWS), columns.div_ceil(TILE_COLUMNS), tables.outer * tables.inner];
        let kernel = self.product_kernel(&right.values, depth);
        // SAFETY: the extents were checked above.
        unsafe { self.launch(kernel, grid, THREADS, &params) }
    }

    fn product_kernel(&self, right: &Values<'_>, depth: usize) -> &'static str {
        let deep = depth > PLAIN_FROM;
        match (right, self.plain_products()) {
            (Values::W8(_), true) => "product_w8_dp4a",
            (Values::W8(_), false) if deep => "product_w8_deep",
            (Values::W8(_), false) => "product_w8",
            (Values::W4 { .. }, plain) if plain || deep => "product_w4_dp4a",
            (Values::W4 { .. }, _) => "product_w4",
            (Values::M16(_), plain) if plain || deep => "product_m16_dp4a",
            (Values::M16(_), _) => "product_m16",
        }
    }
}

impl Second<'_> {
    fn params(&self, rows: usize, columns: usize, tables: Tables) -> Result<params::Second> {
        let depth = self.left.depth;
        at_least("second product: columns", self.columns.end, columns)?;
        for (what, expected, found) in [
            ("second product: rows", rows, self.left.rows),
            ("second product: its columns", self.columns.len(), self.right.rows),
            ("second product: depth", depth, self.right.depth),
        ] {
            if expected != found {
                return Err(Error::Shape { what, expected, found });
            }
        }
        if depth > SECOND_DEPTH {
            let what = "depth of a second product (rank times parts)";
            return Err(Error::TooLarge { what, most: SECOND_DEPTH, found: depth });
        }
        Ok(params::Second {
            left: self.left.params("second product: left operand", tables)?,
            right: self.right.params("second product: right operand", tables)?,
            rows: self.row_scale.params("second product: scales of rows", tables, rows)?,
            columns: self.column_scale.params(
                "second product: scales of columns",
                tables,
                self.columns.len(),
            )?,
            from: self.columns.start as u32,
            to: self.columns.end as u32,
            depth: depth as u32,
            unused: 0,
        })
    }
}
