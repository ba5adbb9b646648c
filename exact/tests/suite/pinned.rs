//! What is pinned: the golden vectors, and the constants that SPEC.md states.

use attune_exact::{fault::Operator, real, real64, VERSION};

use crate::vectors;

const SPEC: &str = include_str!("../../SPEC.md");

#[test]
fn golden_vectors_are_what_the_code_makes() {
    let (pinned, made) = (include_str!("../../golden/ax1.txt"), vectors::text());
    for (pinned, made) in pinned.lines().zip(made.lines()) {
        assert_eq!(pinned, made, "a changed bit is a new version of the specification");
    }
    assert_eq!(pinned.lines().count(), made.lines().count());
}

#[test]
fn the_constants_of_the_specification_are_those_of_the_code() {
    let constants = [
        ("LOG2E", real::LOG2E),
        ("LN2_HIGH", real::LN2_HIGH),
        ("LN2_LOW", real::LN2_LOW),
        ("EXP_LOWEST", real::EXP_LOWEST),
        ("C2", real::C2),
        ("C3", real::C3),
        ("C4", real::C4),
        ("C5", real::C5),
        ("C6", real::C6),
        ("SQRT2", real::SQRT2),
        ("L1", real::L1),
        ("L2", real::L2),
        ("L3", real::L3),
        ("L4", real::L4),
    ];
    for (name, value) in constants {
        let row = format!("| `{name}` | `0x{:08X}` |", value.to_bits());
        assert!(SPEC.contains(&row), "SPEC.md does not have {row}");
    }
    let constants64 = [
        ("LOG2E64", real64::LOG2E),
        ("LN2_HIGH64", real64::LN2_HIGH),
        ("LN2_LOW64", real64::LN2_LOW),
        ("TWO_PI64", real64::TWO_PI),
        ("SQRT2_64", real64::SQRT2),
    ];
    for (name, value) in constants64 {
        let row = format!("| `{name}` | `0x{:016X}` |", value.to_bits());
        assert!(SPEC.contains(&row), "SPEC.md does not have {row}");
    }
    let count = constants.len() + constants64.len();
    assert_eq!(SPEC.matches("| `0x").count(), count, "SPEC.md states constants that are not tested");
}

#[test]
fn the_version_and_the_operators_of_the_specification_are_those_of_the_code() {
    assert!(SPEC.starts_with(&format!("# {VERSION}:")));
    assert!(SPEC.contains("AdamW: 15L + 5"));
    assert_eq!(Operator::Update.index(4), 15 * 4 + 5);
}

#[test]
fn the_high_parts_of_ln_2_multiply_exactly() {
    assert_eq!(real::LN2_HIGH.to_bits() % 512, 0);
    assert_eq!(real64::LN2_HIGH.to_bits() % 4096, 0);
    let sum = f64::from(real::LN2_HIGH) + f64::from(real::LN2_LOW);
    assert!((sum - std::f64::consts::LN_2).abs() < 1e-13);
}
