//! Tiles of 12 rows by 32 columns with AVX-512 VNNI: one instruction multiplies 32 pairs and adds them to 16 sums.

use super::avx2::{expand16, interleave16, transpose8};
use super::{Kernel, Stage, Steps, Sums, Tile, CHUNK, LOW_BITS, LOW_MASK};
use crate::isa::Job;
use std::arch::x86_64::*;

/// Two vectors of 16 sums.
const COLUMNS: usize = 32;

/// Proof that the machine has what [`enter`] switches on; made there only.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// # Safety
/// The machine has these features.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) unsafe fn enter<J: Job>(job: J) {
    job.run(Avx512(()));
}

/// # Safety
/// The machine has these features.
#[inline(never)]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn apart<S: Stage>(stage: S) {
    stage.run();
}

impl Kernel<COLUMNS> for Avx512 {
    const ROWS: usize = 12;

    #[inline(always)]
    fn tile(self, tile: &Tile<'_>, sums: &mut Sums<COLUMNS>) -> bool {
        let steps = tile.steps::<COLUMNS>(Self::ROWS);
        // SAFETY: `self` proves the features; `steps` has checked the slices for `tile.rows` rows.
        unsafe {
            // Sixteen columns or fewer need only one vector for each row.
            match tile.rows + if tile.columns > 16 { 0 } else { 12 } {
                1 => rows::<1, 2>(tile, &steps, sums),
                2 => rows::<2, 2>(tile, &steps, sums),
                3 => rows::<3, 2>(tile, &steps, sums),
                4 => rows::<4, 2>(tile, &steps, sums),
                5 => rows::<5, 2>(tile, &steps, sums),
                6 => rows::<6, 2>(tile, &steps, sums),
                7 => rows::<7, 2>(tile, &steps, sums),
                8 => rows::<8, 2>(tile, &steps, sums),
                9 => rows::<9, 2>(tile, &steps, sums),
                10 => rows::<10, 2>(tile, &steps, sums),
                11 => rows::<11, 2>(tile, &steps, sums),
                12 => rows::<12, 2>(tile, &steps, sums),
                13 => rows::<1, 1>(tile, &steps, sums),
                14 => rows::<2, 1>(tile, &steps, sums),
                15 => rows::<3, 1>(tile, &steps, sums),
                16 => rows::<4, 1>(tile, &steps, sums),
                17 => rows::<5, 1>(tile, &steps, sums),
                18 => rows::<6, 1>(tile, &steps, sums),
                19 => rows::<7, 1>(tile, &steps, sums),
                20 => rows::<8, 1>(tile, &steps, sums),
                21 => rows::<9, 1>(tile, &steps, sums),
                22 => rows::<10, 1>(tile, &steps, sums),
                23 => rows::<11, 1>(tile, &steps, sums),
                24 => rows::<12, 1>(tile, &steps, sums),
                more => unreachable!("{more} rows, checked by Tile::steps"),
            }
        }
    }

    #[inline(always)]
    fn apart<S: Stage>(self, stage: S) {
        // SAFETY: `self` proves the features.
        unsafe { apart(stage) }
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
    fn interleave(self, first: &[i16; COLUMNS], second: &[i16; COLUMNS], pair: &mut [[i16; 2]; COLUMNS]) {
        // SAFETY: `self` proves AVX2.
        unsafe { interleave16(first, second, pair) }
    }

    #[inline(always)]
    fn expand(self, bytes: &[u8], multiplier: i16, out: &mut [i16]) {
        // SAFETY: `self` proves AVX2.
        unsafe { expand16(bytes, multiplier, out) }
    }
}

/// One step: the pair of each row times one pair of the panel.
///
/// # Safety
/// AVX-512 VNNI; `panel` has 64 elements.
#[inline(always)]
unsafe fn step<const R: usize, const V: usize>(
    acc: &mut [[__m512i; V]; R],
    panel: *const i16,
    pair: impl Fn(usize) -> i32,
) {
    let b: [__m512i; V] = std::array::from_fn(|i| _mm512_loadu_si512(panel.add(32 * i).cast()));
    for (row, acc) in acc.iter_mut().enumerate() {
        let a = _mm512_set1_epi32(pair(row));
        for (acc, b) in acc.iter_mut().zip(b) {
            *acc = _mm512_dpwssd_epi32(*acc, a, b);
        }
    }
}

/// # Safety
/// AVX-512 VNNI; `steps` is `tile.steps()`, `R` is `tile.rows`, and `V` vectors are `tile.columns`.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn rows<const R: usize, const V: usize>(
    tile: &Tile<'_>,
    steps: &Steps,
    sums: &mut Sums<COLUMNS>,
) -> bool {
    let stride = tile.stride;
    let mut left = tile.left.as_ptr();
    let mut panel = tile.panel.as_ptr();
    let mut acc = [[_mm512_setzero_si512(); V]; R];
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
            step(&mut acc, panel, |row| left.add(row.wrapping_mul(stride)).cast::<i32>().read_unaligned());
            left = left.add(2);
            panel = panel.add(2 * COLUMNS);
        }
        remaining -= now;
        if remaining == 0 {
            break;
        }
        for (acc, high) in acc.iter_mut().zip(&mut sums.high) {
            for (acc, high) in acc.iter_mut().zip(high.as_chunks_mut::<16>().0) {
                let high = high.as_mut_ptr().cast();
                let taken = _mm512_srai_epi32::<LOW_BITS>(*acc);
                let before = if spilled { _mm512_loadu_si512(high) } else { _mm512_setzero_si512() };
                _mm512_storeu_si512(high, _mm512_add_epi32(before, taken));
                *acc = _mm512_and_si512(*acc, _mm512_set1_epi32(LOW_MASK));
            }
        }
        (budget, spilled) = (tile.period, true);
    }
    for (acc, low) in acc.iter().zip(&mut sums.low) {
        for (acc, low) in acc.iter().zip(low.as_chunks_mut::<16>().0) {
            _mm512_storeu_si512(low.as_mut_ptr().cast(), *acc);
        }
    }
    spilled
}
