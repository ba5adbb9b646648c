//! Quantisation of rows that are chosen to go wrong.

use attune_exact::mantissa::{
    dot, narrow, narrow_columns, product, quantise, rows, sum, wide, NotFinite, Width,
};
use proptest::prelude::*;

#[test]
fn a_row_of_zeros_has_the_lowest_scale() {
    for zero in [0.0, -0.0] {
        let row = wide(&[zero; 4]).unwrap();
        assert_eq!((row.values, row.scale), (vec![0; 4], 2f32.powi(-113)));
    }
    assert_eq!(narrow(&[0.0]).unwrap().scale, 2f32.powi(-110));
}

#[test]
fn equal_elements_have_equal_mantissas() {
    let row = wide(&[0.75; 5]).unwrap();
    assert_eq!((row.values, row.scale), (vec![12_288; 5], 2f32.powi(-14)));
}

#[test]
fn subnormals_become_zero() {
    let row = wide(&[f32::from_bits(1), -f32::MIN_POSITIVE / 2.0]).unwrap();
    assert_eq!(row.values, [0, 0]);
    let row = wide(&[2f32.powi(-114), 2f32.powi(-113), 3.0 * 2f32.powi(-114)]).unwrap();
    assert_eq!(row.values, [0, 1, 2], "ties go to even below the lowest exponent");
}

#[test]
fn an_outlier_takes_the_bits_of_the_others() {
    let row = narrow(&[1000.0, 0.5, 0.25, 0.2]).unwrap();
    assert_eq!((row.values, row.scale), (vec![2000, 1, 0, 0], 0.5));
}

#[test]
fn ties_go_to_even() {
    let row = narrow(&[1024.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]).unwrap();
    assert_eq!(row.values, [1024, 0, 2, 2, 0, -2, -2]);
}

#[test]
fn powers_of_two_have_a_scale_of_their_own_and_what_is_just_below_is_clamped() {
    for e in -100..=127 {
        let power = 2f32.powi(e);
        assert_eq!(wide(&[power]).unwrap().values, [8192], "2^{e}");
        assert_eq!(narrow(&[power]).unwrap().values, [1024], "2^{e}");
        let below = f32::from_bits(power.to_bits() - 1);
        if e > -100 {
            assert_eq!(wide(&[-below]).unwrap().values, [-16_383], "just below 2^{e}");
            assert_eq!(narrow(&[below]).unwrap().values, [2047], "just below 2^{e}");
        }
    }
}

#[test]
fn the_largest_number_is_a_number() {
    let row = wide(&[f32::MAX, -f32::MAX, f32::MIN_POSITIVE]).unwrap();
    assert_eq!((row.values, row.scale), (vec![16_383, -16_383, 0], 2f32.powi(114)));
}

#[test]
fn infinity_and_nan_are_refused_wherever_they_stand() {
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
        for at in 0..3 {
            let mut row = [1.0, f32::MAX, -3.0];
            row[at] = bad;
            assert_eq!(wide(&row), Err(NotFinite));
            assert_eq!(narrow(&row), Err(NotFinite));
            assert_eq!(rows(&row, 1, Width::Wide), Err(NotFinite));
            assert_eq!(narrow_columns(&row, 3), Err(NotFinite));
        }
    }
}

#[test]
fn columns_are_rows_of_the_transpose() {
    let x = [1.0, 200.0, -3.0, 4.0, 0.5, 6.0];
    let columns = narrow_columns(&x, 2).unwrap();
    for (column, found) in columns.column_vectors().iter().enumerate() {
        let one: Vec<f32> = x.iter().skip(column).step_by(2).copied().collect();
        assert_eq!(*found, narrow(&one).unwrap());
    }
    let table = rows(&x, 2, Width::Narrow).unwrap();
    assert_eq!(table.vector(1).values, narrow(&x[2..4]).unwrap().values);
}

#[test]
fn sums_are_exact_far_beyond_binary32() {
    let large = vec![16_383i16; 100_000];
    assert_eq!(sum(&large, &large), 16_383i64 * 16_383 * 100_000);
    assert_eq!(product((1 << 24) + 1, 1.0, 1.0), (1 << 24) as f32);
    let a = wide(&[1.0, 0.5]).unwrap();
    assert_eq!(dot(&a, &narrow(&[2.0, -4.0]).unwrap()), 0.0);
    assert_eq!(dot(&a, &narrow(&[2.0, 4.0]).unwrap()), 4.0);
}

/// Any finite number: bits below those of infinity, and a sign.
fn finite() -> impl Strategy<Value = f32> {
    (0..0x7F80_0000u32, any::<bool>()).prop_map(|(bits, minus)| {
        let x = f32::from_bits(bits);
        if minus {
            -x
        } else {
            x
        }
    })
}

proptest! {
    #[test]
    fn mantissas_are_within_half_a_scale_or_one_where_clamped(x in prop::collection::vec(finite(), 1..40)) {
        for width in [Width::Wide, Width::Narrow] {
            let row = quantise(&x, width).unwrap();
            for (x, q) in x.iter().zip(&row.values) {
                let (scale, q) = (f64::from(row.scale), i64::from(*q));
                let error = (f64::from(*x) - q as f64 * scale).abs();
                let bound = if q.abs() == width.limit() { scale } else { scale / 2.0 };
                prop_assert!(q.abs() <= width.limit() && error <= bound, "{x:e} is {q} x {scale:e}");
            }
        }
    }

    #[test]
    fn a_row_without_outliers_uses_all_its_bits(x in prop::collection::vec(1.0f32..2.0, 1..40)) {
        prop_assert!(wide(&x).unwrap().values.iter().all(|q| (8192..=16_383).contains(q)));
        prop_assert!(narrow(&x).unwrap().values.iter().all(|q| (1024..=2047).contains(q)));
    }
}
