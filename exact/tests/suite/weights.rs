//! Frozen weights: ranges, error bounds, and what is stored.

use attune_exact::{
    mantissa::NotFinite,
    weights::{quantise4, quantise8, Frozen, GROUP},
};

use crate::vectors::Generator;

/// The largest error of each row, in units of its scale and the given steps.
fn within(weights: &[f32], frozen: &Frozen, bound: impl Fn(usize, usize) -> f64) {
    for (at, w) in weights.iter().enumerate() {
        let (output, input) = (at / frozen.inputs, at % frozen.inputs);
        let scale = f64::from(frozen.scales[output]);
        let error = (f64::from(*w) - f64::from(frozen.values[at]) * scale).abs();
        let limit = bound(output, input) * scale * 1.000_001;
        assert!(error <= limit, "weight ({output}, {input}) is off by {error:e}, above {limit:e}");
    }
}

#[test]
fn w8_is_within_half_a_scale_and_its_range() {
    let weights = Generator::new(30).spread(50 * 70, 0.2);
    let frozen = quantise8(&weights, 70).unwrap();
    within(&weights, &frozen, |_, _| 0.5);
    for row in frozen.values.chunks(70) {
        assert_eq!(row.iter().map(|q| i16::from(*q).abs()).max(), Some(127), "the largest weight is ±127");
    }
}

#[test]
fn w4_is_within_half_a_step_of_its_group_and_its_range() {
    let weights = Generator::new(31).spread(50 * 70, 0.2);
    let packed = quantise4(&weights, 70).unwrap();
    let frozen = packed.unfold();
    assert_eq!((packed.nibbles.len(), packed.multipliers.len()), (50 * 35, 50 * 3));
    assert!(packed.multipliers.iter().all(|k| (1..=16).contains(k)));
    assert!(frozen.values.iter().all(|q| (-112..=112).contains(q)));
    let step = |output: usize, input: usize| f64::from(packed.multipliers[output * 3 + input / GROUP]);
    within(&weights, &frozen, |output, input| (step(output, input) / 2.0).max(3.5));
}

#[test]
fn an_odd_row_is_padded_with_the_nibble_of_zero() {
    let packed = quantise4(&[1.0, -1.0, 0.4], 3).unwrap();
    assert_eq!(packed.nibbles, [0x1F, 0x8B], "7 + 8, −7 + 8; int(2.8) + 8, padding");
    assert_eq!(packed.unfold().values, [112, -112, 48]);
}

#[test]
fn groups_of_a_channel_have_multipliers_of_their_own() {
    let mut weights = vec![1.0; 32];
    weights.extend([0.25; 32]);
    weights.extend([0.001; 3]);
    let packed = quantise4(&weights, 67).unwrap();
    assert_eq!(packed.multipliers, [16, 4, 1]);
    let values = packed.unfold().values;
    assert_eq!((values[0], values[32], values[64]), (112, 28, 0));
}

#[test]
fn a_channel_of_zeros_or_of_almost_nothing_is_zero_with_scale_1() {
    for row in [vec![0.0; 40], vec![2f32.powi(-120); 40]] {
        for frozen in [quantise8(&row, 40).unwrap(), quantise4(&row, 40).unwrap().unfold()] {
            assert_eq!((frozen.values, frozen.scales), (vec![0; 40], vec![1.0]));
        }
    }
}

#[test]
fn the_largest_weights_are_weights_and_infinity_is_refused() {
    let row = [f32::MAX, -f32::MAX, 1.0];
    assert_eq!(quantise8(&row, 3).unwrap().values, [127, -127, 0]);
    assert_eq!(quantise4(&row, 3).unwrap().unfold().values, [112, -112, 0]);
    for bad in [f32::INFINITY, f32::NAN] {
        assert_eq!(quantise8(&[1.0, bad], 2), Err(NotFinite));
        assert_eq!(quantise4(&[1.0, bad], 2), Err(NotFinite));
    }
}

#[test]
fn stacked_matrices_keep_their_channels() {
    let weights = Generator::new(32).reals(6 * 8, 1.0);
    let parts = [quantise8(&weights[..16], 8).unwrap(), quantise8(&weights[16..], 8).unwrap()];
    assert_eq!(Frozen::stack(&parts), quantise8(&weights, 8).unwrap());
}
