//! What happens to a sum before it is stored, in a fixed order of single f32 operations:
//!
//! ```text
//! y = RN(sum) · (row_scale[m] · column_scale[n])     or  (RN(sum) · row_scale[m]) / divisor[n]
//! y = y · constant                                   if there is one
//! y = y + bias[n]                                    if there is one
//! y = y + RN(sum2) · (row_scale2[m] · column_scale2[n])   for each second product whose columns hold n, in order
//! y = residual[m][n] + y                             if there is one
//! out = y, or out + y
//! ```
//!
//! Everything is done on whole rows of a tile, padded to its width, so that it vectorises; only the residual's loads
//! and the stores look at how many columns there really are.

use super::operands::{Left, Right};
use super::{Kernel, Stage, Sums, LOW_BITS, MAX_ROWS};
use std::marker::PhantomData;
use std::ops::Range;

/// What happens to the sums; see the order in the module's text. Start from [`Epilogue::scaled`].
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// f32 `[M]`.
    pub row_scale: &'a [f32],
    /// f32 `[N]`, to multiply or to divide by.
    pub column: Column<'a>,
    /// One factor for all, such as attention's 1/√d.
    pub constant: Option<f32>,
    /// f32 `[N]`.
    pub bias: Option<&'a [f32]>,
    /// Low-rank second products, each for a range of the columns.
    pub second: &'a [Second<'a>],
    /// f32 `[M, N]`.
    pub residual: Option<Residual<'a>>,
}

/// What a column does to its sums.
#[derive(Clone, Copy)]
pub enum Column<'a> {
    /// y = RN(sum) · (row_scale · column_scale).
    Scale(&'a [f32]),
    /// y = (RN(sum) · row_scale) / divisor.
    Divide(&'a [f32]),
}

/// A second product, added to some of the columns: `left` is `[M, r]`, `right` `[columns.len(), r]`.
#[derive(Clone)]
pub struct Second<'a> {
    /// Which columns of the first product it is added to.
    pub columns: Range<usize>,
    /// `[M, r]`.
    pub left: Left<'a>,
    /// `[columns.len(), r]`.
    pub right: Right<'a>,
    /// f32 `[M]`.
    pub row_scale: &'a [f32],
    /// f32 `[columns.len()]`.
    pub column_scale: &'a [f32],
}

/// f32 `[M, N]` whose rows start `stride` elements apart.
#[derive(Clone, Copy)]
pub struct Residual<'a> {
    /// From the first element on.
    pub data: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
}

impl<'a> Epilogue<'a> {
    /// Scales only: `row_scale` f32 `[M]`, `column_scale` f32 `[N]`.
    pub fn scaled(row_scale: &'a [f32], column_scale: &'a [f32]) -> Epilogue<'a> {
        let column = Column::Scale(column_scale);
        Epilogue { row_scale, column, constant: None, bias: None, second: &[], residual: None }
    }

    /// # Panics
    /// A part does not fit a product of `[rows, columns]`.
    pub(crate) fn check(&self, rows: usize, columns: usize) {
        assert_eq!(self.row_scale.len(), rows, "one row scale per row");
        let (Column::Scale(values) | Column::Divide(values)) = self.column;
        assert_eq!(values.len(), columns, "one scale or divisor per column");
        assert!(self.bias.is_none_or(|bias| bias.len() == columns), "one bias per column ({columns})");
        if let Some(residual) = &self.residual {
            check_matrix("residual", residual.data.len(), rows, columns, residual.stride);
        }
        for second in self.second {
            let Range { start, end } = second.columns;
            assert!(start <= end && end <= columns, "second product: columns {start}..{end} of {columns}");
            assert_eq!(second.left.rows, rows, "second product: rows of its left operand");
            assert_eq!(second.right.columns, end - start, "second product: columns of its right operand");
            assert_eq!(second.left.depth, second.right.depth, "second product: depths of its operands");
            assert_eq!(second.row_scale.len(), rows, "second product: one row scale per row");
            assert_eq!(second.column_scale.len(), end - start, "second product: one scale per column");
        }
    }
}

/// Where a product goes: f32 `[M, N]`, or `[N, M]` if it is transposed.
pub struct Output<'a> {
    data: &'a mut [f32],
    stride: usize,
    transposed: bool,
    accumulate: bool,
}

impl<'a> Output<'a> {
    /// Rows of `out[m][n]` that start `stride` elements apart; what was there is overwritten.
    pub fn rows(data: &'a mut [f32], stride: usize) -> Output<'a> {
        Output { data, stride, transposed: false, accumulate: false }
    }

    /// Rows of `out[n][m]` that start `stride` elements apart; what was there is overwritten.
    pub fn transposed(data: &'a mut [f32], stride: usize) -> Output<'a> {
        Output { data, stride, transposed: true, accumulate: false }
    }

    /// Adds to what is there: `out = out + y`.
    pub fn accumulate(self) -> Output<'a> {
        Output { accumulate: true, ..self }
    }

    /// # Panics
    /// There is no room for `[rows, columns]`.
    pub(crate) fn target(self, rows: usize, columns: usize) -> Target<'a> {
        let (height, width) = if self.transposed { (columns, rows) } else { (rows, columns) };
        check_matrix("output", self.data.len(), height, width, self.stride);
        let Output { data, stride, transposed, accumulate } = self;
        Target { data: data.as_mut_ptr(), rows, columns, stride, transposed, accumulate, owner: PhantomData }
    }
}

fn check_matrix(what: &str, found: usize, rows: usize, columns: usize, stride: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(stride >= columns || rows == 1, "{what}: rows of {columns} cannot start {stride} apart");
    let needed = (rows - 1).checked_mul(stride).and_then(|before| before.checked_add(columns));
    assert!(
        needed.is_some_and(|needed| found >= needed),
        "{what}: [{rows}, {columns}] with rows {stride} apart needs {needed:?} elements, found {found}"
    );
}

/// An [`Output`] that several threads write, each its own tiles.
pub(crate) struct Target<'a> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    transposed: bool,
    accumulate: bool,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for the exclusive borrow of a slice of f32, which may be sent and shared; writes go through
// `write`, whose callers promise to keep to tiles of their own.
unsafe impl Send for Target<'_> {}
unsafe impl Sync for Target<'_> {}

impl Target<'_> {
    /// Stores (or adds) `values[from..]` to row `row`, columns from `column` on.
    ///
    /// # Safety
    /// No other thread writes these elements.
    #[inline(always)]
    unsafe fn write<const C: usize>(
        &self,
        row: usize,
        column: usize,
        values: &[f32; C],
        range: Range<usize>,
    ) {
        assert!(row < self.rows && range.end <= C && range.start <= range.end);
        assert!(column + range.len() <= self.columns);
        if self.transposed {
            for (i, value) in values[range].iter().enumerate() {
                // SAFETY: column + i < columns and row < rows, for which `Output::target` has found room.
                unsafe { self.put(self.data.add((column + i) * self.stride + row), *value) };
            }
        } else {
            // SAFETY: row < rows and column + range.len() <= columns, for which `Output::target` has found room;
            // nobody else writes there.
            let to = unsafe { self.data.add(row * self.stride + column) };
            if range.len() == C {
                // SAFETY: as above; an array of f32 has the alignment of f32.
                let to = unsafe { &mut *to.cast::<[f32; C]>() };
                if self.accumulate {
                    add(to, values);
                } else {
                    *to = *values;
                }
            } else {
                for (i, value) in values[range].iter().enumerate() {
                    // SAFETY: as above.
                    unsafe { self.put(to.add(i), *value) };
                }
            }
        }
    }

    /// # Safety
    /// `to` is an element of the output that no other thread writes.
    #[inline(always)]
    unsafe fn put(&self, to: *mut f32, value: f32) {
        // SAFETY: the caller's promise.
        unsafe { *to = if self.accumulate { *to + value } else { value } };
    }
}

/// Asks for what a tile will read and write at its end, so that it is there by then.
#[inline(always)]
pub(crate) fn prefetch<K: Kernel<C>, const C: usize>(
    kernel: K,
    epilogue: &Epilogue<'_>,
    target: &Target<'_>,
    rows: Range<usize>,
    column: usize,
) {
    let lines = |data: *const f32, stride: usize| {
        for row in rows.clone() {
            let from = data.wrapping_add(row.wrapping_mul(stride).wrapping_add(column));
            for line in 0..C.div_ceil(16) {
                kernel.prefetch(from.wrapping_add(16 * line));
            }
        }
    };
    if !target.transposed {
        lines(target.data, target.stride);
    }
    if let Some(residual) = &epilogue.residual {
        lines(residual.data.as_ptr(), residual.stride);
    }
}

/// What a panel's columns need, padded to the panel's width.
#[derive(Clone, Copy)]
pub(crate) struct Columns<const C: usize> {
    /// Scales or divisors.
    pub(crate) factor: [f32; C],
    pub(crate) bias: [f32; C],
    /// Which of the panel's columns belong to the product.
    pub(crate) valid: (usize, usize),
    /// The product's column that `valid.0` is.
    pub(crate) first: usize,
    /// From which to which second product's panel it has its own.
    pub(crate) seconds: (usize, usize),
}

/// Copies `values[at..]` to the columns `valid` of a panel and fills the others.
#[inline(always)]
pub(crate) fn padded<const C: usize>(
    values: &[f32],
    at: usize,
    valid: (usize, usize),
    fill: f32,
) -> [f32; C] {
    let mut out = [fill; C];
    out[valid.0..valid.1].copy_from_slice(&values[at..at + (valid.1 - valid.0)]);
    out
}

/// Adding this changes no number, not even a zero's sign: what stands in for a summand that there is not.
pub(crate) const NOTHING: f32 = -0.0;

/// Rows of a tile.
pub(crate) type Rows<const C: usize> = [[f32; C]; MAX_ROWS];

/// The value of a tile's rows, up to and with the bias.
pub(crate) struct Base<'a, const C: usize> {
    pub(crate) epilogue: &'a Epilogue<'a>,
    pub(crate) columns: &'a Columns<C>,
    pub(crate) sums: &'a Sums<C>,
    pub(crate) spilled: bool,
    pub(crate) rows: Range<usize>,
}

impl<const C: usize> Base<'_, C> {
    /// Puts the value where each of `to` is, or adds it to what is there.
    #[inline(always)]
    fn put<'y>(self, to: impl Iterator<Item = &'y mut [f32; C]>, accumulate: bool) {
        let Base { epilogue, columns, sums, spilled, rows } = self;
        let constant = epilogue.constant.unwrap_or(1.0);
        let Columns { factor, bias, .. } = columns;
        let scales = &epilogue.row_scale[rows];
        let scaled =
            |sum: f32, scale: f32, factor: f32, bias: f32| (sum * (scale * factor)) * constant + bias;
        let divided =
            |sum: f32, scale: f32, divisor: f32, bias: f32| ((sum * scale) / divisor) * constant + bias;
        let rows = Read { sums, spilled, scales, first: factor, second: bias };
        match (epilogue.column, accumulate) {
            (Column::Scale(_), false) => rows.each(to, |_, sum, s, f, b| scaled(sum, s, f, b)),
            (Column::Scale(_), true) => rows.each(to, |y, sum, s, f, b| y + scaled(sum, s, f, b)),
            (Column::Divide(_), false) => rows.each(to, |_, sum, s, f, b| divided(sum, s, f, b)),
            (Column::Divide(_), true) => rows.each(to, |y, sum, s, f, b| y + divided(sum, s, f, b)),
        }
    }
}

/// y = the base value, to which more will be added.
pub(crate) struct Begin<'a, const C: usize> {
    pub(crate) base: Base<'a, C>,
    pub(crate) y: &'a mut Rows<C>,
}

impl<const C: usize> Stage for Begin<'_, C> {
    #[inline(always)]
    fn run(self) {
        self.base.put(self.y.iter_mut(), false);
    }
}

/// The base value is all there is: it goes straight to the output.
pub(crate) struct Only<'a, const C: usize> {
    base: Base<'a, C>,
    target: &'a Target<'a>,
}

impl<'a, const C: usize> Only<'a, C> {
    /// `None` if there is more to be done, or if the output's columns do not lie as the panel's.
    ///
    /// # Safety
    /// No other thread writes these rows' columns of the target.
    #[inline(always)]
    pub(crate) unsafe fn new(base: Base<'a, C>, target: &'a Target<'a>) -> Result<Self, Base<'a, C>> {
        let (columns, rows) = (base.columns, &base.rows);
        let alone = columns.seconds.0 == columns.seconds.1 && base.epilogue.residual.is_none();
        let inside = rows.end <= target.rows && columns.first + C <= target.columns;
        if alone && inside && columns.valid == (0, C) && !target.transposed {
            Ok(Only { base, target })
        } else {
            Err(base)
        }
    }
}

impl<const C: usize> Stage for Only<'_, C> {
    #[inline(always)]
    fn run(self) {
        let Only { base, target } = self;
        let (rows, first) = (base.rows.clone(), base.columns.first);
        let rows = rows.map(|row| {
            // SAFETY: `new` has seen that rows and columns lie in the target, for which `Output::target` has found
            // room; nobody else writes there, as the caller of `new` has promised; an array of f32 has the alignment
            // of f32; and rows do not overlap.
            unsafe { &mut *target.data.add(row * target.stride + first).cast::<[f32; C]>() }
        });
        base.put(rows, target.accumulate);
    }
}

/// y = y + a second product, in the columns `valid`.
pub(crate) struct Add<'a, const C: usize> {
    /// Of the tile's rows.
    pub(crate) scales: &'a [f32],
    /// 0 in other columns.
    pub(crate) factor: &'a [f32; C],
    pub(crate) valid: (usize, usize),
    pub(crate) sums: &'a Sums<C>,
    pub(crate) spilled: bool,
    pub(crate) y: &'a mut Rows<C>,
}

impl<const C: usize> Stage for Add<'_, C> {
    #[inline(always)]
    fn run(self) {
        let Add { scales, factor, valid, sums, spilled, y } = self;
        let rows = Read { sums, spilled, scales, first: factor, second: factor };
        if valid == (0, C) {
            return rows.each(y.iter_mut(), |y, sum, scale, factor, _| y + sum * (scale * factor));
        }
        // Elsewhere nothing is added, not even 0, which would change −0.
        let mut part = [[0.0; C]; MAX_ROWS];
        rows.each(part.iter_mut(), |_, sum, scale, factor, _| sum * (scale * factor));
        for (y, part) in y.iter_mut().zip(&part).take(scales.len()) {
            for (y, part) in y[valid.0..valid.1].iter_mut().zip(&part[valid.0..valid.1]) {
                *y += *part;
            }
        }
    }
}

/// What an element's value is made of: its sum, its row's scale, and two numbers of its column.
struct Read<'a, const C: usize> {
    sums: &'a Sums<C>,
    spilled: bool,
    /// One for each row that there is.
    scales: &'a [f32],
    first: &'a [f32; C],
    second: &'a [f32; C],
}

impl<const C: usize> Read<'_, C> {
    /// y = value(y, RN(sum), scale, first, second), where RN is one rounding of the exact integer.
    ///
    /// One loop does all of it: of several in a row the compiler makes loads that wait for narrower stores.
    #[inline(always)]
    fn each<'y>(
        self,
        y: impl Iterator<Item = &'y mut [f32; C]>,
        value: impl Fn(f32, f32, f32, f32, f32) -> f32,
    ) {
        let Read { sums, spilled, scales, first, second } = self;
        let rows = scales.iter().zip(sums.low.iter().zip(&sums.high)).zip(y);
        if spilled {
            for ((scale, (low, high)), y) in rows {
                for i in 0..C {
                    // Below 2^53 (drive::period checks it), so exact in f64.
                    let sum = f64::from(high[i]) * f64::from(1 << LOW_BITS) + f64::from(low[i]);
                    y[i] = value(y[i], sum as f32, *scale, first[i], second[i]);
                }
            }
        } else {
            for ((scale, (low, _)), y) in rows {
                for i in 0..C {
                    y[i] = value(y[i], low[i] as f32, *scale, first[i], second[i]);
                }
            }
        }
    }
}

/// to = to + values. A function of its own, because that is how the compiler learns that they do not overlap.
#[inline(always)]
fn add<const C: usize>(to: &mut [f32; C], values: &[f32; C]) {
    for i in 0..C {
        to[i] += values[i];
    }
}

/// Adds the residual and stores a tile's rows.
pub(crate) struct Close<'a, const C: usize> {
    residual: Option<Residual<'a>>,
    columns: &'a Columns<C>,
    rows: Range<usize>,
    target: &'a Target<'a>,
    y: &'a mut Rows<C>,
}

impl<'a, const C: usize> Close<'a, C> {
    /// # Safety
    /// No other thread writes these rows' columns of the target.
    pub(crate) unsafe fn new(
        epilogue: &'a Epilogue<'a>,
        columns: &'a Columns<C>,
        rows: Range<usize>,
        target: &'a Target<'a>,
        y: &'a mut Rows<C>,
    ) -> Self {
        Close { residual: epilogue.residual, columns, rows, target, y }
    }
}

impl<const C: usize> Stage for Close<'_, C> {
    #[inline(always)]
    fn run(self) {
        let Close { residual, columns, rows, target, y } = self;
        let (from, to) = columns.valid;
        for (y, row) in y.iter_mut().zip(rows) {
            if let Some(residual) = &residual {
                let residual = &residual.data[row * residual.stride + columns.first..][..to - from];
                match residual.try_into() {
                    Ok(residual) => add(y, residual),
                    Err(_) => y[from..to].iter_mut().zip(residual).for_each(|(y, residual)| *y += *residual),
                }
            }
            // SAFETY: what the caller of `new` has promised.
            unsafe { target.write(row, columns.first, y, from..to) };
        }
    }
}
