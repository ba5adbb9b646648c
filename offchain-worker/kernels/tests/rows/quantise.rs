use attune_exact::{element, mantissa};
use attune_kernels::rows::quantise;
use attune_kernels::Width;

use crate::data::{bits, on_every_isa, poisoned, rows, Random, LENGTHS};

pub(crate) const WIDTHS: [(Width, mantissa::Width); 2] =
    [(Width::Wide, mantissa::Width::Wide), (Width::Narrow, mantissa::Width::Narrow)];

#[test]
fn rows_become_the_mantissas_of_the_reference() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            for (name, x) in rows(n) {
                for (width, reference) in WIDTHS {
                    let expected = mantissa::quantise(&x, reference).unwrap();
                    let mut q = vec![77; n];
                    let scale = quantise::row(isa, &x, width, &mut q).unwrap();
                    assert_eq!((scale, &q), (expected.scale, &expected.values), "{isa} {n} {name} {width:?}");
                }
            }
        }
    });
}

#[test]
fn mantissas_down_from_each_exponent_are_those_of_the_reference() {
    // Steps down through the magnitudes below the first element, which fixes the exponent.
    on_every_isa(|isa| {
        for exponent in [-126, -101, -100, -99, -1, 0, 13, 14, 126, 127] {
            let top = 2f64.powi(exponent) as f32;
            let mut x = vec![top];
            x.extend(
                (0..1 << 13).map(|i| f32::from_bits(top.to_bits().saturating_sub(i * 26_003) ^ (i << 31))),
            );
            for (width, reference) in WIDTHS {
                let expected = mantissa::quantise(&x, reference).unwrap();
                let mut q = vec![0; x.len()];
                let scale = quantise::row(isa, &x, width, &mut q).unwrap();
                assert_eq!((scale, q), (expected.scale, expected.values), "{isa} {exponent} {width:?}");
            }
        }
    });
}

#[test]
fn a_row_that_is_not_finite_has_no_mantissas() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            for x in poisoned(&Random::new("poisoned").row(n, 1.0)) {
                let mut q = vec![0; n];
                for (width, _) in WIDTHS {
                    quantise::row(isa, &x, width, &mut q).unwrap_err();
                }
                quantise::wide_times(isa, &x, &vec![0.5; n], &mut q).unwrap_err();
            }
            let mut q = vec![0; n];
            quantise::wide_times(isa, &vec![1e38; n], &vec![10.0; n], &mut q).unwrap_err();
        }
    });
}

#[test]
fn h_is_the_gradient_times_the_scales() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let w = Random::new("scales").row(n, 0.01);
            for (name, x) in rows(n) {
                let h: Vec<f32> = x.iter().zip(&w).map(|(x, w)| x * w).collect();
                let expected = mantissa::wide(&h).unwrap();
                let mut q = vec![77; n];
                let scale = quantise::wide_times(isa, &x, &w, &mut q).unwrap();
                assert_eq!((scale, &q), (expected.scale, &expected.values), "{isa} {n} {name}");
            }
        }
    });
}

#[test]
fn products_of_mantissas_are_exact() {
    on_every_isa(|isa| {
        let mut random = Random::new("dot");
        for n in LENGTHS.into_iter().chain([16_384, 16_385, 40_000]) {
            let (a, b) = (random.integers(n, 16_383), random.integers(n, 16_383));
            assert_eq!(quantise::dot(isa, &a, &b), mantissa::sum(&a, &b), "{isa} {n}");
            for (a, b) in [(16_383, 16_383), (16_383, -16_383), (-16_383, -16_383), (-1, 1)] {
                let (a, b) = (vec![a; n], vec![b; n]);
                assert_eq!(quantise::dot(isa, &a, &b), mantissa::sum(&a, &b), "{isa} {n}");
            }
        }
    });
}

#[test]
fn embeddings_and_residuals_are_single_operations() {
    on_every_isa(|isa| {
        let mut random = Random::new("embedding");
        for n in LENGTHS {
            let q: Vec<i8> = (0..n).map(|_| (random.below(255) as i32 - 127) as i8).collect();
            let (scale, mut x) = (random.real(0.1), vec![0.0; n]);
            quantise::embedding(isa, &q, scale, &mut x);
            let expected: Vec<f32> = q.iter().map(|q| element::embedded(*q, scale)).collect();
            assert_eq!(bits(&x), bits(&expected), "{isa} {n}");
            for (name, y) in rows(n) {
                let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
                let mut x = x.clone();
                quantise::add(isa, &mut x, &y);
                assert_eq!(bits(&x), bits(&expected), "{isa} {n} {name}");
            }
        }
    });
}
