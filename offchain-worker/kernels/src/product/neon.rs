//! Tiles of 4 rows by 8 columns with NEON's widening multiply-add.
//!
//! A vector holds four columns' pairs, so the two products of a pair fall into neighbouring sums, which are added in
//! pairs before they leave the registers.

use super::{portable::transpose, Kernel, Stage, Steps, Sums, Tile, CHUNK, LOW_BITS, LOW_MASK};
use crate::isa::Job;
use std::arch::aarch64::*;

/// Two vectors of 4 sums.
const COLUMNS: usize = 8;

/// Proof that the machine has NEON; made by [`enter`] only.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn enter<J: Job>(job: J) {
    job.run(Neon(()));
}

/// # Safety
/// The machine has these features.
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn apart<S: Stage>(stage: S) {
    stage.run();
}

impl Kernel<COLUMNS> for Neon {
    const ROWS: usize = 4;

    #[inline(always)]
    fn tile(self, tile: &Tile<'_>, sums: &mut Sums<COLUMNS>) -> bool {
        let steps = tile.steps::<COLUMNS>(Self::ROWS);
        // SAFETY: `self` proves NEON; `steps` has checked the slices for `tile.rows` rows.
        unsafe {
            match tile.rows {
                1 => rows::<1>(tile, &steps, sums),
                2 => rows::<2>(tile, &steps, sums),
                3 => rows::<3>(tile, &steps, sums),
                4 => rows::<4>(tile, &steps, sums),
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
    fn transpose(self, block: &[[i16; CHUNK]; COLUMNS], panel: &mut [i16]) {
        transpose(block, panel);
    }

    #[inline(always)]
    fn interleave(self, first: &[i16; COLUMNS], second: &[i16; COLUMNS], pair: &mut [[i16; 2]; COLUMNS]) {
        // SAFETY: `self` proves NEON; eight columns each.
        unsafe {
            let rows = int16x8x2_t(vld1q_s16(first.as_ptr()), vld1q_s16(second.as_ptr()));
            vst2q_s16(pair.as_mut_ptr().cast(), rows);
        }
    }
}

/// One step: the pair of each row times one pair of the panel. Sum `i` of a row holds column `i / 2`, k `i % 2`.
///
/// # Safety
/// NEON; `panel` has 16 elements.
#[inline(always)]
unsafe fn step<const R: usize>(
    acc: &mut [[int32x4_t; 4]; R],
    panel: *const i16,
    pair: impl Fn(usize) -> i32,
) {
    let b0 = vld1q_s16(panel);
    let b1 = vld1q_s16(panel.add(8));
    for (row, acc) in acc.iter_mut().enumerate() {
        let a = vreinterpretq_s16_s32(vdupq_n_s32(pair(row)));
        acc[0] = vmlal_s16(acc[0], vget_low_s16(b0), vget_low_s16(a));
        acc[1] = vmlal_high_s16(acc[1], b0, a);
        acc[2] = vmlal_s16(acc[2], vget_low_s16(b1), vget_low_s16(a));
        acc[3] = vmlal_high_s16(acc[3], b1, a);
    }
}

/// # Safety
/// NEON; `steps` is `tile.steps()`, and `R` is `tile.rows`.
#[target_feature(enable = "neon")]
unsafe fn rows<const R: usize>(tile: &Tile<'_>, steps: &Steps, sums: &mut Sums<COLUMNS>) -> bool {
    let stride = tile.stride;
    let mut left = tile.left.as_ptr();
    let mut panel = tile.panel.as_ptr();
    let zero = vdupq_n_s32(0);
    let mut acc = [[zero; 4]; R];
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
            for half in 0..2 {
                let high = high.as_mut_ptr().add(4 * half);
                // The sum of a pair's two lanes is what the period bounds, so it fits.
                let sum = vpaddq_s32(acc[2 * half], acc[2 * half + 1]);
                let before = if spilled { vld1q_s32(high) } else { zero };
                vst1q_s32(high, vaddq_s32(before, vshrq_n_s32::<{ LOW_BITS as i32 }>(sum)));
                // What stays goes back to the first k's lane of each column.
                let low = vandq_s32(sum, vdupq_n_s32(LOW_MASK));
                acc[2 * half] = vzip1q_s32(low, zero);
                acc[2 * half + 1] = vzip2q_s32(low, zero);
            }
        }
        (budget, spilled) = (tile.period, true);
    }
    for (acc, low) in acc.iter().zip(&mut sums.low) {
        for half in 0..2 {
            vst1q_s32(low.as_mut_ptr().add(4 * half), vpaddq_s32(acc[2 * half], acc[2 * half + 1]));
        }
    }
    spilled
}
