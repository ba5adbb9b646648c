//! Tiles of 6 rows by 16 columns with AVX2, and the same tiles with AVX-VNNI, which saves the addition.
//!
//! `vpmaddwd` adds two products exactly unless all four factors are −32,768, which no mantissa and no weight is.

use super::{Kernel, Stage, Steps, Sums, Tile, CHUNK, LOW_BITS, LOW_MASK};
use crate::isa::Job;
use std::arch::x86_64::*;

/// Two vectors of 8 sums.
const COLUMNS: usize = 16;

/// Proof that the machine has AVX2; made by [`enter`] only.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Proof that the machine has AVX2 and AVX-VNNI; made by [`enter_vnni`] only.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni(());

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn enter<J: Job>(job: J) {
    job.run(Avx2(()));
}

/// # Safety
/// The machine has AVX2 and AVX-VNNI.
#[target_feature(enable = "avx2,avxvnni")]
pub(crate) unsafe fn enter_vnni<J: Job>(job: J) {
    job.run(AvxVnni(()));
}

/// # Safety
/// The machine has these features.
#[inline(never)]
#[target_feature(enable = "avx2")]
unsafe fn apart<S: Stage>(stage: S) {
    stage.run();
}

/// # Safety
/// The machine has these features.
#[inline(never)]
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn apart_vnni<S: Stage>(stage: S) {
    stage.run();
}

/// The tiles of one instruction set; `$dot` adds the products of two pairs to a sum.
macro_rules! tiles {
    ($kernel:ty, $module:ident, $apart:ident, $features:literal, $dot:expr) => {
        impl Kernel<COLUMNS> for $kernel {
            const ROWS: usize = 6;

            #[inline(always)]
            fn tile(self, tile: &Tile<'_>, sums: &mut Sums<COLUMNS>) -> bool {
                let steps = tile.steps::<COLUMNS>(Self::ROWS);
                // SAFETY: `self` proves the features; `steps` has checked the slices for `tile.rows` rows.
                unsafe {
                    match tile.rows {
                        1 => $module::rows::<1>(tile, &steps, sums),
                        2 => $module::rows::<2>(tile, &steps, sums),
                        3 => $module::rows::<3>(tile, &steps, sums),
                        4 => $module::rows::<4>(tile, &steps, sums),
                        5 => $module::rows::<5>(tile, &steps, sums),
                        6 => $module::rows::<6>(tile, &steps, sums),
                        more => unreachable!("{more} rows, checked by Tile::steps"),
                    }
                }
            }

            #[inline(always)]
            fn apart<S: Stage>(self, stage: S) {
                // SAFETY: `self` proves the features.
                unsafe { $apart(stage) }
            }

            #[inline(always)]
            fn prefetch(self, address: *const f32) {
                // SAFETY: a prefetch never faults.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
            }

            #[inline(always)]
            fn transpose(self, block: &[[i16; CHUNK]; COLUMNS], panel: &mut [i16]) {
                // SAFETY: `self` proves AVX2.
                unsafe { transpose8(block, panel) }
            }

            #[inline(always)]
            fn interleave(
                self,
                first: &[i16; COLUMNS],
                second: &[i16; COLUMNS],
                pair: &mut [[i16; 2]; COLUMNS],
            ) {
                // SAFETY: `self` proves AVX2.
                unsafe { interleave16(first, second, pair) }
            }

            #[inline(always)]
            fn expand(self, bytes: &[u8], multiplier: i16, out: &mut [i16]) {
                // SAFETY: `self` proves AVX2.
                unsafe { expand16(bytes, multiplier, out) }
            }
        }

        mod $module {
            use super::*;

            /// One step: the pair of each row times one pair of the panel.
            ///
            /// # Safety
            /// The kernel's features; `panel` has 32 elements.
            #[inline(always)]
            unsafe fn step<const R: usize>(
                acc: &mut [[__m256i; 2]; R],
                panel: *const i16,
                pair: impl Fn(usize) -> i32,
            ) {
                let b0 = _mm256_loadu_si256(panel.cast());
                let b1 = _mm256_loadu_si256(panel.add(16).cast());
                for (row, acc) in acc.iter_mut().enumerate() {
                    let a = _mm256_set1_epi32(pair(row));
                    acc[0] = $dot(acc[0], a, b0);
                    acc[1] = $dot(acc[1], a, b1);
                }
            }

            /// # Safety
            /// The kernel's features; `steps` is `tile.steps()`, and `R` is `tile.rows`.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn rows<const R: usize>(
                tile: &Tile<'_>,
                steps: &Steps,
                sums: &mut Sums<COLUMNS>,
            ) -> bool {
                let stride = tile.stride;
                let mut left = tile.left.as_ptr();
                let mut panel = tile.panel.as_ptr();
                let mut acc = [[_mm256_setzero_si256(); 2]; R];
                if steps.head {
                    step(&mut acc, panel, |row| i32::from(*left.add(row.wrapping_mul(stride))) << 16);
                    left = left.add(1);
                    panel = panel.add(2 * COLUMNS);
                }
                if steps.tail {
                    let (left, panel) = (left.add(2 * steps.pairs), panel.add(2 * COLUMNS * steps.pairs));
                    step(&mut acc, panel, |row| i32::from(*left.add(row.wrapping_mul(stride)) as u16));
                }
                let (mut remaining, mut budget, mut spilled) = (steps.pairs, steps.budget, false);
                loop {
                    let now = remaining.min(budget);
                    for _ in 0..now {
                        step(&mut acc, panel, |row| {
                            left.add(row.wrapping_mul(stride)).cast::<i32>().read_unaligned()
                        });
                        left = left.add(2);
                        panel = panel.add(2 * COLUMNS);
                    }
                    remaining -= now;
                    if remaining == 0 {
                        break;
                    }
                    for (acc, high) in acc.iter_mut().zip(&mut sums.high) {
                        for half in 0..2 {
                            let high: *mut __m256i = high.as_mut_ptr().add(8 * half).cast();
                            let taken = _mm256_srai_epi32::<{ LOW_BITS as i32 }>(acc[half]);
                            let before =
                                if spilled { _mm256_loadu_si256(high) } else { _mm256_setzero_si256() };
                            _mm256_storeu_si256(high, _mm256_add_epi32(before, taken));
                            acc[half] = _mm256_and_si256(acc[half], _mm256_set1_epi32(LOW_MASK));
                        }
                    }
                    (budget, spilled) = (tile.period, true);
                }
                for (acc, low) in acc.iter().zip(&mut sums.low) {
                    for half in 0..2 {
                        _mm256_storeu_si256(low.as_mut_ptr().add(8 * half).cast(), acc[half]);
                    }
                }
                spilled
            }
        }
    };
}

tiles!(Avx2, madd, apart, "avx2", |sum, a, b| _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)));
tiles!(AvxVnni, vnni, apart_vnni, "avx2,avxvnni", |sum, a, b| _mm256_dpwssd_avx_epi32(sum, a, b));

/// [`Kernel::transpose`], eight columns by eight pairs at a time.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn transpose8<const C: usize>(block: &[[i16; CHUNK]; C], panel: &mut [i16]) {
    assert!(panel.len() == CHUNK * C && C.is_multiple_of(8));
    for column in (0..C).step_by(8) {
        for pair in (0..CHUNK / 2).step_by(8) {
            let load = |row: usize| {
                // SAFETY: eight pairs from `pair`, at most 8, of the 16 in a row.
                unsafe { _mm256_loadu_si256(block[column + row].as_ptr().add(2 * pair).cast()) }
            };
            // Pairs are 32-bit numbers here: an 8 × 8 transposition by halves of 2, 4 and 8.
            let twos: [[__m256i; 2]; 4] = std::array::from_fn(|i| {
                let (a, b) = (load(2 * i), load(2 * i + 1));
                [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)]
            });
            let fours: [[__m256i; 4]; 2] = std::array::from_fn(|i| {
                let (a, b) = (twos[2 * i], twos[2 * i + 1]);
                [
                    _mm256_unpacklo_epi64(a[0], b[0]),
                    _mm256_unpackhi_epi64(a[0], b[0]),
                    _mm256_unpacklo_epi64(a[1], b[1]),
                    _mm256_unpackhi_epi64(a[1], b[1]),
                ]
            });
            for (i, (a, b)) in fours[0].into_iter().zip(fours[1]).enumerate() {
                let near = _mm256_permute2x128_si256::<0x20>(a, b);
                let far = _mm256_permute2x128_si256::<0x31>(a, b);
                // SAFETY: pair at most 15 of 16, column at most C − 8 of C, and the panel has 16 · 2 · C elements.
                unsafe {
                    let mut to = |pair: usize| panel.as_mut_ptr().add((pair * C + column) * 2).cast();
                    _mm256_storeu_si256(to(pair + i), near);
                    _mm256_storeu_si256(to(pair + i + 4), far);
                }
            }
        }
    }
}

/// [`Kernel::interleave`], sixteen columns at a time.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn interleave16<const C: usize>(
    first: &[i16; C],
    second: &[i16; C],
    pair: &mut [[i16; 2]; C],
) {
    assert!(C.is_multiple_of(16));
    for column in (0..C).step_by(16) {
        // SAFETY: sixteen columns from `column`, at most C − 16, of `C`.
        unsafe {
            let a = _mm256_loadu_si256(first.as_ptr().add(column).cast());
            let b = _mm256_loadu_si256(second.as_ptr().add(column).cast());
            // Columns 0..4 and 8..12, then 4..8 and 12..16.
            let (low, high) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
            let to: *mut __m256i = pair.as_mut_ptr().add(column).cast();
            _mm256_storeu_si256(to, _mm256_permute2x128_si256::<0x20>(low, high));
            _mm256_storeu_si256(to.add(1), _mm256_permute2x128_si256::<0x31>(low, high));
        }
    }
}

/// [`Kernel::expand`], sixteen weights at a time.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn expand16(bytes: &[u8], multiplier: i16, out: &mut [i16]) {
    assert!(out.len() == 2 * bytes.len() && bytes.len().is_multiple_of(8));
    let worth =
        |nibbles| _mm_mullo_epi16(_mm_sub_epi16(nibbles, _mm_set1_epi16(8)), _mm_set1_epi16(multiplier));
    for (bytes, out) in bytes.chunks_exact(8).zip(out.chunks_exact_mut(16)) {
        // SAFETY: 8 bytes in, 16 numbers out.
        unsafe {
            let bytes = _mm_cvtepu8_epi16(_mm_loadl_epi64(bytes.as_ptr().cast()));
            let (low, high) = (_mm_and_si128(bytes, _mm_set1_epi16(15)), _mm_srli_epi16::<4>(bytes));
            let to: *mut __m128i = out.as_mut_ptr().cast();
            _mm_storeu_si128(to, worth(_mm_unpacklo_epi16(low, high)));
            _mm_storeu_si128(to.add(1), worth(_mm_unpackhi_epi16(low, high)));
        }
    }
}
