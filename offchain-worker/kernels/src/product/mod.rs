//! Products of integers with scales, exact on every path.
//!
//! ```text
//! sum[m][n] = Σ_k left[m][k] · right[n][k]                      exactly
//! y[m][n]   = RN(sum) · (row_scale[m] · column_scale[n])        one conversion, two multiplications
//! ```
//!
//! and then what the [`Epilogue`] adds. RN is the conversion of the integer to f32, to nearest, ties to even; every
//! other step is one f32 operation. No fused multiply-add, no flush to zero.
//!
//! How it is computed. The right operand is packed into *panels* of `C` columns in which the two values of a pair of
//! consecutive k's stand next to each other, as i16; the left operand is read in place, a pair at a time. One *tile*
//! is a few rows by one panel: its sums live in registers for the whole depth. i16 pairs because every instruction
//! set has an instruction that multiplies them and adds the two products to an i32 without saturation, at the same
//! rate at which it could do two 8-bit slices of the mantissa.
//!
//! Why an i32 is enough: before it could overflow, its high part (the sum shifted right by 15) is added to a second
//! i32 and the low 15 bits stay. In the end `high · 2^15 + low` is exact in f64, so that one rounding remains.

mod drive;
mod epilogue;
mod operands;
mod pack;
pub(crate) mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

pub use drive::{block, product};
pub use epilogue::{Column, Epilogue, Output, Residual, Second};
pub use operands::{Layout, Left, Right, Width};
pub use pack::Packed;

/// The most rows that a tile of any path has.
pub(crate) const MAX_ROWS: usize = 12;

/// How many k's of how many columns [`Kernel::transpose`] takes at once.
pub(crate) const CHUNK: usize = 32;

/// What stays behind in the low sum when the high part is taken out.
pub(crate) const LOW_BITS: u32 = 15;
pub(crate) const LOW_MASK: i32 = (1 << LOW_BITS) - 1;

/// The sums of a tile: `high · 2^15 + low`; `high` counts only if the tile says that it spilled.
#[repr(align(64))]
pub(crate) struct Sums<const C: usize> {
    pub(crate) low: [[i32; C]; MAX_ROWS],
    pub(crate) high: [[i32; C]; MAX_ROWS],
}

impl<const C: usize> Sums<C> {
    pub(crate) const ZERO: Self = Sums { low: [[0; C]; MAX_ROWS], high: [[0; C]; MAX_ROWS] };
}

/// One tile's input: `rows` rows by one panel.
pub(crate) struct Tile<'a> {
    /// From the first k of the first row.
    pub(crate) left: &'a [i16],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// How many k's.
    pub(crate) depth: usize,
    /// From the pair that holds the first k.
    pub(crate) panel: &'a [i16],
    /// The first k is the second of its pair, because the range begins in the middle of one.
    pub(crate) head: bool,
    /// The panel's columns from this one on are not needed; their sums may be anything.
    pub(crate) columns: usize,
    /// After how many pairs a sum has to be emptied; at least 2.
    pub(crate) period: usize,
}

/// [`Tile`], checked: no access below leaves its slices.
pub(crate) struct Steps {
    pub(crate) head: bool,
    /// Whole pairs between head and tail.
    pub(crate) pairs: usize,
    /// The last k is the first of its pair.
    pub(crate) tail: bool,
    /// How many of the pairs fit before the first spill.
    pub(crate) budget: usize,
}

impl Tile<'_> {
    /// # Panics
    /// The slices are too short for what the numbers say, or there are more rows than `at_most`.
    #[inline(always)]
    pub(crate) fn steps<const C: usize>(&self, at_most: usize) -> Steps {
        assert!(1 <= self.rows && self.rows <= at_most && self.depth >= 1 && self.period >= 2);
        debug_assert!(1 <= self.columns && self.columns <= C);
        assert!(self.left.len() >= (self.rows - 1) * self.stride + self.depth);
        let (pairs, tail) = (
            (self.depth - usize::from(self.head)) / 2,
            !(self.depth - usize::from(self.head)).is_multiple_of(2),
        );
        assert!(self.panel.len() >= (usize::from(self.head) + pairs + usize::from(tail)) * 2 * C);
        // Head and tail have one product each, so together they fill at most one pair's place.
        let budget = self.period - usize::from(self.head || tail);
        Steps { head: self.head, pairs, tail, budget }
    }
}

/// A piece of a job that is better not inlined into it: its loops want the registers for themselves.
///
/// As with [`Job`](crate::isa::Job), `run` must be `#[inline(always)]`.
pub(crate) trait Stage {
    /// Does the work.
    fn run(self);
}

/// An instruction set's tiles, `C` columns wide. A value of it is the proof that the machine has the instructions.
pub(crate) trait Kernel<const C: usize>: Copy {
    /// The most rows of a tile, at most [`MAX_ROWS`].
    const ROWS: usize;

    /// Writes the first `rows` rows of `sums`; true if it had to spill, so that `high` counts too.
    fn tile(self, tile: &Tile<'_>, sums: &mut Sums<C>) -> bool;

    /// Runs a stage in a function of its own, compiled for this instruction set.
    fn apart<S: Stage>(self, stage: S);

    /// Asks for the cache line at `address`, to be used soon; a hint that no address can make wrong.
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        let _ = address;
    }

    /// Turns `C` stored rows of 32 k's into 16 pairs of a panel: `panel[pair][column][2]`, 32 · `C` long.
    fn transpose(self, block: &[[i16; CHUNK]; C], panel: &mut [i16]);

    /// Turns two stored rows of `C` columns, k and k + 1, into one pair of a panel: `pair[column][2]`.
    fn interleave(self, first: &[i16; C], second: &[i16; C], pair: &mut [[i16; 2]; C]);

    /// Writes what 4-bit weights of one group are worth: (nibble − 8) · multiplier, the low nibble of a byte first.
    #[inline(always)]
    fn expand(self, bytes: &[u8], multiplier: i16, out: &mut [i16]) {
        for (byte, out) in bytes.iter().zip(out.as_chunks_mut::<2>().0) {
            *out = [(i16::from(byte & 15) - 8) * multiplier, (i16::from(byte >> 4) - 8) * multiplier];
        }
    }
}
