//! Every path that this machine has yields the bits of the plain definition.

mod common;

use attune_kernels::{Layout, Threads, Width};
use common::*;
use proptest::prelude::*;

const KINDS: [Kind; 7] = [
    Kind::Int8,
    Kind::Int16(Width::Narrow),
    Kind::Int16(Width::Wide),
    Kind::Nibbles { group: 64 },
    Kind::Nibbles { group: 32 },
    Kind::Nibbles { group: 5 },
    Kind::Nibbles { group: 128 },
];
const LAYOUTS: [Layout; 2] = [Layout::NK, Layout::KN];
const WIDTHS: [Width; 2] = [Width::Narrow, Width::Wide];

fn pools() -> Vec<Threads> {
    [1, 2, 4].map(|count| Threads::new(count).expect("three threads")).into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_shape_layout_and_epilogue_has_the_bits_of_the_definition(
        rows in 1usize..70,
        columns in 1usize..70,
        depth in 1usize..70,
        kind in 0..KINDS.len(),
        layout in 0..2usize,
        wide in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut random = Random(seed);
        let left = OwnedLeft::random(&mut random, rows, depth, WIDTHS[usize::from(wide)]);
        let right = OwnedRight::random(&mut random, columns, depth, KINDS[kind], LAYOUTS[layout]);
        let epilogue = OwnedEpilogue::random(&mut random, rows, columns);
        check_product(&left, &right, &epilogue, &[Threads::single()]);
    }

    #[test]
    fn any_block_of_a_packed_operand_has_the_bits_of_the_definition(
        rows in 1usize..30,
        columns in 1usize..120,
        depth in 1usize..200,
        kind in 0..KINDS.len(),
        layout in 0..2usize,
        wide in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut random = Random(seed);
        let mut range = |length: usize| {
            let start = random.below(length + 1);
            start..start + random.below(length - start + 1)
        };
        let (packed_columns, packed_depth) = (range(columns), range(depth));
        let (of_columns, of_depth) = (range(packed_columns.len()), range(packed_depth.len()));
        let left = OwnedLeft::random(&mut random, rows, of_depth.len(), WIDTHS[usize::from(wide)]);
        let right = OwnedRight::random(&mut random, columns, depth, KINDS[kind], LAYOUTS[layout]);
        let epilogue = OwnedEpilogue::random(&mut random, rows, of_columns.len());
        check_block(&left, &right, &epilogue, packed_columns, packed_depth, of_columns, of_depth);
    }
}

#[test]
fn any_number_of_threads_yields_the_same_bits() {
    let pools = pools();
    for (case, (rows, columns, depth)) in
        [(1, 1, 1), (3, 500, 64), (300, 40, 33), (200, 333, 50), (130, 64, 7), (16, 1030, 20)]
            .into_iter()
            .enumerate()
    {
        for kind in [Kind::Int8, Kind::Int16(Width::Narrow), Kind::Nibbles { group: 64 }] {
            for layout in LAYOUTS {
                let mut random = Random(case as u64);
                let left = OwnedLeft::random(&mut random, rows, depth, Width::Wide);
                let right = OwnedRight::random(&mut random, columns, depth, kind, layout);
                let epilogue = OwnedEpilogue::random(&mut random, rows, columns);
                check_product(&left, &right, &epilogue, &pools);
            }
        }
    }
}

/// Saturating instructions, a sum that wraps, or one spill too few would show here: all products have the same sign
/// and the largest magnitude, and the depth passes every period (1,032, 512, 64 and 8) and goes far beyond.
#[test]
fn extreme_values_at_any_depth_neither_saturate_nor_wrap() {
    let single = [Threads::single()];
    for (left_width, kind, bound) in [
        (Width::Wide, Kind::Int8, 127),
        (Width::Wide, Kind::Int8, 128),
        (Width::Wide, Kind::Int16(Width::Narrow), 2_047),
        (Width::Wide, Kind::Int16(Width::Wide), 16_383),
        (Width::Narrow, Kind::Int8, 127),
        (Width::Narrow, Kind::Int16(Width::Narrow), 2_047),
        (Width::Narrow, Kind::Int16(Width::Wide), 16_383),
    ] {
        for depth in
            [1, 2, 7, 8, 9, 63, 64, 65, 66, 511, 512, 513, 1023, 1024, 1025, 1032, 1033, 1034, 2050, 5000]
        {
            for (signs, layout) in [(1, Layout::NK), (-1, Layout::KN), (0, Layout::NK)] {
                let mut random = Random(depth as u64);
                let mut left = OwnedLeft::random(&mut random, 5, depth, left_width);
                left.data.iter_mut().for_each(|value| *value = left_width.max() as i16);
                let sign = |i: usize| if signs == 0 { 1 - 2 * ((i / 700) as i64 % 2) } else { signs };
                let value = |_: usize, i: usize| if bound == 128 { -128 } else { sign(i) * bound };
                let right = OwnedRight::filled(19, depth, kind, layout, value);
                let epilogue = OwnedEpilogue::plain(&mut random, 5, 19);
                check_product(&left, &right, &epilogue, &single);
            }
        }
    }
}

/// A sum is rounded once: these lie in the middle of two neighbouring f32, or one unit beside it, so that a rounding
/// on the way to the last one would show.
#[test]
fn a_spilled_sum_is_rounded_once() {
    const DEPTH: usize = 9_000;
    const COLUMNS: usize = 96;
    for (kind, bound, bits) in [(Kind::Int8, 127, 10), (Kind::Int16(Width::Wide), 16_383, 17)] {
        // The first places have 1 on the left, to add up any remainder; large products come last.
        const ONES: usize = 140;
        let mut left = OwnedLeft::random(&mut Random(1), 3, DEPTH, Width::Wide);
        for row in left.data.chunks_mut(left.stride) {
            row[..ONES].fill(1);
            row[ONES..DEPTH].fill(16_383);
        }
        let mut random = Random(9);
        let mut right = vec![vec![0; DEPTH]; COLUMNS];
        let mut sums = vec![0; COLUMNS];
        for (column, (right, sum)) in right.iter_mut().zip(&mut sums).enumerate() {
            let shift = 1 + column % bits;
            let mantissa = (1 << 23) + random.below(1 << 23) as i64;
            let largest = (DEPTH - ONES) as i64 * 16_383 * bound;
            *sum = ((mantissa << shift) + (1 << (shift - 1)) + random.below(3) as i64 - 1).min(largest);
            let (mut large, mut small) = (*sum / 16_383, *sum % 16_383);
            for value in right[ONES..].iter_mut().rev() {
                *value = large.min(bound);
                large -= *value;
            }
            for value in &mut right[..ONES] {
                *value = small.min(bound);
                small -= *value;
            }
        }
        let right =
            OwnedRight::filled(COLUMNS, DEPTH, kind, Layout::NK, |n, k| *right[n].get(k).unwrap_or(&0));
        for (n, sum) in sums.iter().enumerate() {
            assert_eq!((0..DEPTH).map(|k| left.at(0, k) * right.at(n, k)).sum::<i64>(), *sum);
        }
        let epilogue = OwnedEpilogue::plain(&mut random, 3, COLUMNS);
        check_product(&left, &right, &epilogue, &[Threads::single()]);
    }
}

#[test]
fn random_values_at_great_depth_have_the_bits_of_the_definition() {
    for (case, kind) in KINDS.into_iter().enumerate() {
        for layout in LAYOUTS {
            for width in WIDTHS {
                let mut random = Random(case as u64);
                let depth = 1_500 + random.below(3_501);
                let left = OwnedLeft::random(&mut random, 14, depth, width);
                let right = OwnedRight::random(&mut random, 85, depth, kind, layout);
                let epilogue = OwnedEpilogue::random(&mut random, 14, 85);
                check_product(&left, &right, &epilogue, &[Threads::single()]);
            }
        }
    }
}

#[test]
fn a_product_over_no_depth_is_zero_before_the_epilogue() {
    let mut random = Random(3);
    let left = OwnedLeft::random(&mut random, 4, 0, Width::Wide);
    let right = OwnedRight::random(&mut random, 9, 0, Kind::Int8, Layout::NK);
    let epilogue = OwnedEpilogue::plain(&mut random, 4, 9);
    check_product(&left, &right, &epilogue, &pools());
}

#[test]
fn no_rows_or_no_columns_write_nothing() {
    let mut random = Random(4);
    for (rows, columns) in [(0, 5), (5, 0), (0, 0)] {
        let left = OwnedLeft::random(&mut random, rows, 8, Width::Wide);
        let right = OwnedRight::random(&mut random, columns, 8, Kind::Int8, Layout::KN);
        let epilogue = OwnedEpilogue::plain(&mut random, rows, columns);
        check_product(&left, &right, &epilogue, &pools());
    }
}
