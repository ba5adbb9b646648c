//! Tiles in plain safe Rust, for machines that nothing else fits, and as what the others are compared with.

use super::{Kernel, Stage, Steps, Sums, Tile, CHUNK, LOW_BITS, LOW_MASK};

/// How wide the portable panels are.
pub(crate) const COLUMNS: usize = 8;

/// Needs nothing of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Kernel<COLUMNS> for Portable {
    const ROWS: usize = 4;

    #[inline(always)]
    fn tile(self, tile: &Tile<'_>, sums: &mut Sums<COLUMNS>) -> bool {
        let steps = tile.steps::<COLUMNS>(Self::ROWS);
        let mut spilled = false;
        for row in 0..tile.rows {
            let left = &tile.left[row * tile.stride..][..tile.depth];
            spilled = sum(left, tile.panel, &steps, tile.period, &mut sums.low[row], &mut sums.high[row]);
        }
        spilled
    }

    fn apart<S: Stage>(self, stage: S) {
        stage.run();
    }

    #[inline(always)]
    fn transpose(self, block: &[[i16; CHUNK]; COLUMNS], panel: &mut [i16]) {
        transpose(block, panel);
    }

    #[inline(always)]
    fn interleave(self, first: &[i16; COLUMNS], second: &[i16; COLUMNS], pair: &mut [[i16; 2]; COLUMNS]) {
        for (to, (first, second)) in pair.iter_mut().zip(first.iter().zip(second)) {
            *to = [*first, *second];
        }
    }
}

/// One row of a tile.
fn sum(
    left: &[i16],
    panel: &[i16],
    steps: &Steps,
    period: usize,
    low: &mut [i32; COLUMNS],
    high: &mut [i32; COLUMNS],
) -> bool {
    let (mut left, mut panel) = (left, panel.as_chunks::<{ 2 * COLUMNS }>().0);
    *low = [0; COLUMNS];
    if steps.head {
        add(low, 0, left[0], &panel[0]);
        (left, panel) = (&left[1..], &panel[1..]);
    }
    let (mut pairs, tail) = left.as_chunks::<2>();
    if let [last] = tail {
        add(low, *last, 0, &panel[pairs.len()]);
    }
    let (mut budget, mut spilled) = (steps.budget, false);
    loop {
        let (now, later) = pairs.split_at(pairs.len().min(budget));
        for (pair, panel) in now.iter().zip(panel) {
            add(low, pair[0], pair[1], panel);
        }
        (pairs, panel) = (later, &panel[now.len()..]);
        if pairs.is_empty() {
            return spilled;
        }
        for (low, high) in low.iter_mut().zip(high.iter_mut()) {
            *high = if spilled { *high } else { 0 } + (*low >> LOW_BITS);
            *low &= LOW_MASK;
        }
        (budget, spilled) = (period, true);
    }
}

/// One step: a pair of the row times one pair of the panel.
#[inline(always)]
fn add(sums: &mut [i32; COLUMNS], first: i16, second: i16, panel: &[i16; 2 * COLUMNS]) {
    for (column, sum) in sums.iter_mut().enumerate() {
        let product = i32::from(first) * i32::from(panel[2 * column]);
        let other = i32::from(second) * i32::from(panel[2 * column + 1]);
        *sum = sum.wrapping_add(product.wrapping_add(other));
    }
}

/// [`Kernel::transpose`] without instructions of its own.
#[inline(always)]
pub(crate) fn transpose<const C: usize>(block: &[[i16; CHUNK]; C], panel: &mut [i16]) {
    for (pair, to) in panel.chunks_exact_mut(2 * C).enumerate() {
        for (column, to) in to.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *to = [block[column][2 * pair], block[column][2 * pair + 1]];
        }
    }
}
