//! The pinned functions against binary64 and against IEEE-754.

use attune_exact::real::{exp_neg, int, ln, pow2, sigmoid, sqrt};

/// Distance in units of the last place of the true value.
fn units(found: f32, truth: f64) -> f64 {
    let exponent = (truth.abs().log2().floor() as i32).max(-126);
    (f64::from(found) - truth).abs() / 2f64.powi(exponent - 23)
}

/// The largest distance over binary32 values by their bits, on two threads.
fn worst(first: u32, last: u32, step: u32, sign: f32, of: fn(f32) -> (f32, f64)) -> (f64, f32) {
    let share = (last - first) / 2;
    let run = move |from: u32, to: u32| {
        let (mut worst, mut at) = (0.0, 0.0);
        let mut bits = from;
        while bits <= to {
            let x = sign * f32::from_bits(bits);
            let (found, truth) = of(x);
            let distance = units(found, truth);
            if distance > worst {
                (worst, at) = (distance, x);
            }
            bits = bits.saturating_add(step);
        }
        (worst, at)
    };
    let other = std::thread::spawn(move || run(first, first + share));
    let one = run(first + share + 1, last);
    let other = other.join().expect("the thread does not panic, qed");
    if one.0 > other.0 {
        one
    } else {
        other
    }
}

/// What SPEC.md states, measured by the ignored tests below.
const EXP_BOUND: f64 = 1.03;
const LN_BOUND: f64 = 0.9;
const SIGMOID_BOUND: f64 = 2.5;

fn exp_pair(x: f32) -> (f32, f64) {
    (exp_neg(x), f64::from(x).exp())
}

fn ln_pair(x: f32) -> (f32, f64) {
    (ln(x), f64::from(x).ln())
}

fn sigmoid_pair(x: f32) -> (f32, f64) {
    (sigmoid(x), 1.0 / (1.0 + (-f64::from(x)).exp()))
}

const ONE: u32 = 0x3F80_0000;
const EIGHTY_SEVEN: u32 = 0x42AE_0000;
const LARGEST: u32 = 0x7F7F_FFFF;

#[test]
fn exp_neg_is_within_its_bound_on_a_dense_sample() {
    let (worst, at) = worst(0, EIGHTY_SEVEN, 997, -1.0, exp_pair);
    assert!(worst <= EXP_BOUND, "{worst} units at {at}");
}

#[test]
#[ignore = "all 1.1e9 values take a minute"]
fn exp_neg_is_within_its_bound_everywhere() {
    let (worst, at) = worst(0, EIGHTY_SEVEN, 1, -1.0, exp_pair);
    println!("exp_neg: {worst} units at {at:e}");
    assert!(worst <= EXP_BOUND, "{worst} units at {at}");
}

#[test]
fn exp_neg_of_what_is_below_is_that_of_minus_87() {
    for x in [-87.0, -87.5, -1e30, f32::NEG_INFINITY] {
        assert_eq!(exp_neg(x).to_bits(), exp_neg(-87.0).to_bits());
    }
    assert!(exp_neg(-87.0).is_normal());
    assert_eq!((exp_neg(0.0), exp_neg(-0.0)), (1.0, 1.0));
}

#[test]
fn exp_neg_never_exceeds_1() {
    let mut bits = 0;
    while bits < ONE {
        assert!(exp_neg(-f32::from_bits(bits)) <= 1.0);
        bits += 101;
    }
}

#[test]
fn ln_is_within_its_bound_on_a_dense_sample() {
    let (worst, at) = worst(ONE + 1, LARGEST, 997, 1.0, ln_pair);
    assert!(worst <= LN_BOUND, "{worst} units at {at}");
    assert_eq!(ln(1.0).to_bits(), 0);
}

#[test]
#[ignore = "all 1.1e9 values take a minute"]
fn ln_is_within_its_bound_everywhere() {
    let (worst, at) = worst(ONE + 1, LARGEST, 1, 1.0, ln_pair);
    println!("ln: {worst} units at {at:e}");
    assert!(worst <= LN_BOUND, "{worst} units at {at}");
}

#[test]
fn sigmoid_is_within_its_bound_and_between_0_and_1() {
    for sign in [-1.0, 1.0] {
        let (worst, at) = worst(0, EIGHTY_SEVEN, 997, sign, sigmoid_pair);
        assert!(worst <= SIGMOID_BOUND, "{worst} units at {at}");
    }
    assert_eq!((sigmoid(0.0), sigmoid(f32::INFINITY)), (0.5, 1.0));
    assert!(sigmoid(f32::NEG_INFINITY) > 0.0);
}

#[test]
#[ignore = "all 2.2e9 values take two minutes"]
fn sigmoid_is_within_its_bound_everywhere() {
    for sign in [-1.0, 1.0] {
        let (worst, at) = worst(0, EIGHTY_SEVEN, 1, sign, sigmoid_pair);
        println!("sigmoid: {worst} units at {at:e}");
        assert!(worst <= SIGMOID_BOUND, "{worst} units at {at}");
    }
}

#[test]
fn sqrt_is_correctly_rounded_for_every_kind_of_value() {
    for bits in (0..=0x7F80_0000u32).step_by(1_009).chain(0..2_000).chain([0x7F80_0000, 0x8000_0000]) {
        let x = f32::from_bits(bits);
        assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits(), "of {x:e}");
    }
    assert!(sqrt(-1.0).is_nan() && sqrt(f32::NAN).is_nan());
}

#[test]
#[ignore = "all 2.1e9 values take a minute"]
fn sqrt_is_correctly_rounded_everywhere() {
    for bits in 0..=0x7F80_0000u32 {
        let x = f32::from_bits(bits);
        assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits(), "of {x:e}");
    }
}

#[test]
fn int_rounds_to_nearest_ties_to_even() {
    let mut values: Vec<f32> = (-4_000..4_000).map(|i| i as f32 * 0.25).collect();
    for power in [20, 21, 22, 23, 24, 30] {
        let at = 2f32.powi(power);
        let step = at * f32::EPSILON;
        values.extend((-20..20).map(|i| at + i as f32 * step));
        values.extend((-20..20).map(|i| -at + i as f32 * step));
    }
    for x in values {
        assert_eq!(int(x), f64::from(x).round_ties_even() as i64, "of {x}");
    }
    assert_eq!((int(f32::INFINITY), int(f32::NEG_INFINITY)), (i64::MAX, i64::MIN));
}

#[test]
fn powers_of_two_are_exact() {
    for e in -126..=127 {
        assert_eq!(f64::from(pow2(e)), 2f64.powi(e));
    }
}
