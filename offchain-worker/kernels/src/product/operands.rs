//! The two operands of a product, as views into the caller's memory.

use super::Kernel;
use std::ops::Range;

/// How large mantissas are. It decides how many products an i32 can hold before it is emptied.
///
/// Values beyond the bound would wrap: the result is then wrong, though never undefined behaviour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 12 bits with their sign: at most 2,047 in magnitude.
    Narrow,
    /// 15 bits with their sign: at most 16,383 in magnitude.
    Wide,
}

impl Width {
    /// The largest magnitude.
    pub const fn max(self) -> i64 {
        match self {
            Width::Narrow => 2_047,
            Width::Wide => 16_383,
        }
    }
}

/// How the right operand lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// `[N, K]` row-major: one row per output column, as linear layers keep their weights.
    NK,
    /// `[K, N]` row-major: one row per step of the sum. A stored `[N, K]` weight read this way is its transpose.
    KN,
}

/// The left operand: mantissas i16 `[rows, depth]`, row-major.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub(crate) data: &'a [i16],
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) stride: usize,
    pub(crate) width: Width,
}

impl<'a> Left<'a> {
    /// A view of `[rows, depth]` whose rows start `stride` elements apart. Rows a multiple of 4,096 bytes apart share
    /// their places in the first-level cache, which costs some per cent; pad them by a cache line.
    ///
    /// # Panics
    /// `stride` is less than `depth`, or `data` is too short.
    pub fn new(data: &'a [i16], rows: usize, depth: usize, stride: usize, width: Width) -> Left<'a> {
        check("left operand", data.len(), rows, depth, stride);
        Left { data, rows, depth, stride, width }
    }

    /// The same rows, columns `range` only.
    ///
    /// # Panics
    /// `range` does not lie in the depth.
    pub fn columns(&self, range: Range<usize>) -> Left<'a> {
        assert!(range.start <= range.end && range.end <= self.depth, "columns {range:?} of {}", self.depth);
        let data = &self.data[range.start.min(self.data.len())..];
        Left { data, depth: range.len(), ..*self }
    }
}

/// The right operand, `columns` × `depth`; see the constructors for its forms.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) layout: Layout,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    /// The largest magnitude of a value.
    pub(crate) bound: i64,
}

#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    Int8(Rows<'a, i8>),
    Int16(Rows<'a, i16>),
    Nibbles(Nibbles<'a>),
}

/// Rows of plain numbers.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    data: &'a [T],
    stride: usize,
}

/// Rows of 4-bit weights with one multiplier per group.
#[derive(Clone, Copy)]
pub(crate) struct Nibbles<'a> {
    packed: &'a [u8],
    multipliers: &'a [u8],
    bytes_per_row: usize,
    group: usize,
    groups_per_row: usize,
}

impl<'a> Right<'a> {
    /// Frozen int8 weights, at most 127 in magnitude (−128 is harmless); stored rows start `stride` elements apart.
    ///
    /// # Panics
    /// `stride` is less than a stored row, or `data` is too short.
    pub fn int8(data: &'a [i8], columns: usize, depth: usize, stride: usize, layout: Layout) -> Right<'a> {
        let (rows, length) = stored(columns, depth, layout);
        check("int8 right operand", data.len(), rows, length, stride);
        Right { values: Values::Int8(Rows { data, stride }), layout, columns, depth, bound: 128 }
    }

    /// Mantissas; stored rows start `stride` elements apart.
    ///
    /// # Panics
    /// `stride` is less than a stored row, or `data` is too short.
    pub fn int16(
        data: &'a [i16],
        columns: usize,
        depth: usize,
        stride: usize,
        width: Width,
        layout: Layout,
    ) -> Right<'a> {
        let (rows, length) = stored(columns, depth, layout);
        check("int16 right operand", data.len(), rows, length, stride);
        Right { values: Values::Int16(Rows { data, stride }), layout, columns, depth, bound: width.max() }
    }

    /// 4-bit weights: `packed` holds `[stored rows, ceil(row length / 2)]` bytes, the even element in the low nibble,
    /// each meaning nibble − 8; `multipliers` holds `[stored rows, ceil(row length / group)]`, from 1 to 16. An
    /// element is worth (nibble − 8) × multiplier.
    ///
    /// # Panics
    /// `group` is 0, or a slice is too short.
    pub fn nibbles(
        packed: &'a [u8],
        multipliers: &'a [u8],
        group: usize,
        columns: usize,
        depth: usize,
        layout: Layout,
    ) -> Right<'a> {
        assert!(group > 0, "a group of 4-bit weights holds at least one");
        let (rows, length) = stored(columns, depth, layout);
        let (bytes_per_row, groups_per_row) = (length.div_ceil(2), length.div_ceil(group));
        check("packed 4-bit right operand", packed.len(), rows, bytes_per_row, bytes_per_row);
        check(
            "multipliers of the 4-bit right operand",
            multipliers.len(),
            rows,
            groups_per_row,
            groups_per_row,
        );
        let values = Nibbles { packed, multipliers, bytes_per_row, group, groups_per_row };
        Right { values: Values::Nibbles(values), layout, columns, depth, bound: 128 }
    }

    /// How many columns the product has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many products one sum adds.
    pub fn depth(&self) -> usize {
        self.depth
    }
}

/// Something that yields a piece of a stored row as i16.
pub(crate) trait Source: Copy {
    /// Writes elements `start..start + length` of a row, and zeros behind them. `length` is at most `L`.
    fn read<K: Kernel<C>, const C: usize, const L: usize>(
        &self,
        kernel: K,
        row: usize,
        start: usize,
        length: usize,
        out: &mut [i16; L],
    );
}

impl<T: Copy + Into<i16>> Source for Rows<'_, T> {
    #[inline(always)]
    fn read<K: Kernel<C>, const C: usize, const L: usize>(
        &self,
        _: K,
        row: usize,
        start: usize,
        length: usize,
        out: &mut [i16; L],
    ) {
        let from = row * self.stride + start;
        let values = &self.data[from..from + length];
        if let Ok(values) = <&[T; L]>::try_from(values) {
            for i in 0..L {
                out[i] = values[i].into();
            }
        } else {
            *out = [0; L];
            for (out, value) in out.iter_mut().zip(values) {
                *out = (*value).into();
            }
        }
    }
}

impl Source for Nibbles<'_> {
    #[inline(always)]
    fn read<K: Kernel<C>, const C: usize, const L: usize>(
        &self,
        kernel: K,
        row: usize,
        start: usize,
        length: usize,
        out: &mut [i16; L],
    ) {
        let bytes = &self.packed[row * self.bytes_per_row..][..self.bytes_per_row];
        let multipliers = &self.multipliers[row * self.groups_per_row..][..self.groups_per_row];
        let one_group = start / self.group == (start + L - 1) / self.group;
        if length == L && start.is_multiple_of(2) && L.is_multiple_of(2) && one_group {
            let multiplier = i16::from(multipliers[start / self.group]);
            let bytes = &bytes[start / 2..][..L / 2];
            kernel.expand(bytes, multiplier, out);
        } else {
            *out = [0; L];
            for (i, out) in out.iter_mut().enumerate().take(length) {
                let at = start + i;
                let nibble = (bytes[at / 2] >> (4 * (at % 2))) & 15;
                *out = (i16::from(nibble) - 8) * i16::from(multipliers[at / self.group]);
            }
        }
    }
}

/// Stored rows and their length.
fn stored(columns: usize, depth: usize, layout: Layout) -> (usize, usize) {
    match layout {
        Layout::NK => (columns, depth),
        Layout::KN => (depth, columns),
    }
}

fn check(what: &str, found: usize, rows: usize, length: usize, stride: usize) {
    assert!(stride >= length, "{what}: rows of {length} cannot start {stride} apart");
    let needed =
        rows.checked_sub(1).map_or(Some(0), |before| before.checked_mul(stride)?.checked_add(length));
    assert!(
        needed.is_some_and(|needed| rows == 0 || found >= needed),
        "{what}: [{rows}, {length}] with rows {stride} apart needs {needed:?} elements, found {found}"
    );
}
