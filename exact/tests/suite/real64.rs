//! The binary64 scalars against the C library (whose last place may differ) and against IEEE-754.

use attune_exact::{
    real64::{cos64, exp64, ln64, power, sin64, sqrt64, TWO_PI},
    rotary::{inverse_frequencies, Llama3},
    schedule::Schedule,
};

fn relative(found: f64, truth: f64) -> f64 {
    ((found - truth) / truth).abs()
}

#[test]
fn exp64_and_ln64_are_within_1e_14() {
    for i in -70_000..=70_000 {
        let x = f64::from(i) * 0.01;
        assert!(relative(exp64(x), x.exp()) < 1e-14, "exp of {x}");
    }
    for i in 1..200_000 {
        for x in [f64::from(i) * 0.37, 1.0 / f64::from(i), 1.0 + f64::from(i) * 1e-6] {
            assert!(x == 1.0 || relative(ln64(x), x.ln()) < 1e-14, "ln of {x}");
        }
    }
    assert_eq!((exp64(0.0), ln64(1.0)), (1.0, 0.0));
}

#[test]
fn sines_and_cosines_are_within_1e_14() {
    for i in -100_000..=100_000 {
        let turns = f64::from(i) * 1.3e-4;
        // The reference's own angle is rounded; its error grows with the angle.
        let angle = (turns - turns.round()) * TWO_PI;
        assert!((sin64(turns) - angle.sin()).abs() < 1e-14, "sine of {turns} turns");
        assert!((cos64(turns) - angle.cos()).abs() < 1e-14, "cosine of {turns} turns");
    }
    assert_eq!((sin64(0.25), cos64(0.25), cos64(0.5)), (1.0, 0.0, -1.0));
}

#[test]
fn sqrt64_is_correctly_rounded() {
    let mut bits = 1u64;
    for _ in 0..500_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = f64::from_bits(bits >> 1);
        if x.is_finite() {
            assert_eq!(sqrt64(x).to_bits(), x.sqrt().to_bits(), "of {x:e}");
        }
    }
    for x in [0.0, -0.0, 1.0, 2.0, 4.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-310, f64::INFINITY] {
        assert_eq!(sqrt64(x).to_bits(), x.sqrt().to_bits(), "of {x:e}");
    }
    assert!(sqrt64(-1.0).is_nan());
}

#[test]
fn powers_are_by_repeated_squaring() {
    assert_eq!((power(2.0, 10), power(0.5, 3), power(7.0, 0), power(0.0, 5)), (1024.0, 0.125, 1.0, 0.0));
    assert!(relative(power(0.999, 1000), 0.999f64.powf(1000.0)) < 1e-13);
}

#[test]
fn warm_up_rises_to_the_peak_and_the_schedule_falls_from_it() {
    for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
        assert_eq!(schedule.factor(0, 4, 12), 0.25);
        assert_eq!(schedule.factor(3, 4, 12), 1.0);
        assert_eq!(schedule.factor(4, 4, 12), 1.0);
    }
    assert_eq!(Schedule::Constant.factor(11, 4, 12), 1.0);
    assert_eq!((Schedule::Linear.factor(8, 4, 12), Schedule::Linear.factor(99, 4, 12)), (0.5, 0.0));
    assert_eq!((Schedule::Cosine.factor(8, 4, 12), Schedule::Cosine.factor(99, 4, 12)), (0.5, 0.0));
}

#[test]
fn llama_3_keeps_short_wavelengths_stretches_long_ones_and_blends_between() {
    let scaling = Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_context: 1024.0,
    };
    // Wavelengths of 6, 63, 628 and 6283 tokens; the bounds are 256 and 1024.
    let smooth = (1024.0 / (TWO_PI / 0.01) - 1.0) / 3.0;
    let blended = (1.0 - smooth) * 0.01 / 8.0 + smooth * 0.01;
    for (scaling, expected) in
        [(None, [1.0, 0.1, 0.01, 0.001]), (Some(&scaling), [1.0, 0.1, blended, 0.001 / 8.0])]
    {
        for (found, expected) in inverse_frequencies(8, 10_000.0, scaling).into_iter().zip(expected) {
            assert!(relative(found, expected) < 1e-13, "{found} and {expected}");
        }
    }
}
