use attune_exact::{element, mantissa};
use attune_kernels::rows::{activation, norm, rotary, Failed};

use crate::data::{bits, on_every_isa, poisoned, rows, Random, LENGTHS};

/// The reference's norm of one row: mantissas of x, ρ and y.
fn reference(x: &[f32], w: &[f32], eps: f32) -> (mantissa::Mantissas, f32, Vec<f32>) {
    let q = mantissa::wide(x).unwrap();
    let rho = element::norm_rho((&q).into(), 1.0 / x.len() as f32, eps);
    let y = x.iter().zip(w).map(|(x, w)| element::norm(*x, rho, *w)).collect();
    (q, rho, y)
}

#[test]
fn norm_gives_the_mantissas_of_the_references_output() {
    on_every_isa(|isa| {
        for n in LENGTHS.into_iter().chain([16_384, 20_000]) {
            let w = Random::new("norm weights").row(n, 1.5);
            for (name, x) in rows(n) {
                for eps in [1e-5, 1e-6, f32::MIN_POSITIVE] {
                    let (qx, rho, y) = reference(&x, &w, eps);
                    let expected = mantissa::wide(&y).unwrap();
                    let mut q = vec![77; n];
                    let normed = norm::forward(isa, &x, &w, eps, &mut q).unwrap();
                    let context = format!("{isa} {n} {name} {eps}");
                    assert_eq!(normed.square_sum, mantissa::sum(&qx.values, &qx.values), "{context}");
                    assert_eq!(normed.input_scale, qx.scale, "{context}");
                    assert_eq!(normed.rho.to_bits(), rho.to_bits(), "{context}");
                    assert_eq!((normed.scale, &q), (expected.scale, &expected.values), "{context}");
                    let mut in_place = x.clone();
                    assert_eq!(norm::in_place(isa, &mut in_place, &w, eps).unwrap().to_bits(), rho.to_bits());
                    assert_eq!(bits(&in_place), bits(&y), "{context}");
                }
            }
        }
    });
}

#[test]
fn norm_backward_is_that_of_the_reference() {
    on_every_isa(|isa| {
        for n in LENGTHS.into_iter().chain([16_384, 20_000]) {
            let mut random = Random::new("norm backward");
            let (w, residual, plain) = (random.row(n, 1.5), random.row(n, 0.1), random.row(n, 0.1));
            for (name, x) in rows(n) {
                let (qx, rho, _) = reference(&x, &w, 1e-5);
                for dy in [&plain, &x] {
                    let g: Vec<f32> = dy.iter().zip(&w).map(|(dy, w)| dy * w).collect();
                    let mut dx = vec![0.0; n];
                    let Ok(qg) = mantissa::wide(&g) else {
                        norm::backward(isa, dy, &x, &w, rho, &mut dx).unwrap_err();
                        continue;
                    };
                    let c = element::norm_c((&qg).into(), (&qx).into(), rho, 1.0 / n as f32);
                    let expected: Vec<f32> =
                        g.iter().zip(&x).map(|(g, x)| element::norm_back(*g, rho, *x, c)).collect();
                    norm::backward(isa, dy, &x, &w, rho, &mut dx).unwrap();
                    assert_eq!(bits(&dx), bits(&expected), "{isa} {n} {name}");
                    let expected: Vec<f32> = expected.iter().zip(&residual).map(|(dx, r)| dx + r).collect();
                    dx.copy_from_slice(&residual);
                    norm::backward_residual(isa, dy, &x, &w, rho, &mut dx).unwrap();
                    assert_eq!(bits(&dx), bits(&expected), "{isa} {n} {name} with a residual");
                }
            }
        }
    });
}

#[test]
fn norm_checks_what_it_makes_mantissas_of() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let x = Random::new("norm faults").row(n, 1.0);
            let (ones, mut q, mut dx) = (vec![1.0; n], vec![0; n], vec![0.0; n]);
            for bad in poisoned(&x) {
                assert_eq!(norm::forward(isa, &bad, &ones, 1e-5, &mut q), Err(Failed::First));
                norm::in_place(isa, &mut bad.clone(), &ones, 1e-5).unwrap_err();
                norm::backward(isa, &bad, &x, &ones, 1.0, &mut dx).unwrap_err();
                norm::backward(isa, &x, &bad, &ones, 1.0, &mut dx).unwrap_err();
                norm::backward_residual(isa, &bad, &x, &ones, 1.0, &mut dx).unwrap_err();
            }
            // The output overflows where the input does not: the fault of the projection after it.
            let failed = norm::forward(isa, &vec![1.0; n], &vec![3e38; n], -0.9, &mut q);
            assert_eq!(failed, Err(Failed::Second), "{isa} {n}");
        }
    });
}

#[test]
fn rotation_is_that_of_the_reference_both_ways() {
    on_every_isa(|isa| {
        for (heads, half) in [(1, 1), (3, 4), (9, 32), (2, 40), (5, 64)] {
            let mut random = Random::new("rotation");
            let (cos, sin) = (random.row(half, 1.0), random.row(half, 1.0));
            for (name, x) in rows(heads * 2 * half) {
                let by = |rotate: fn(f32, f32, f32, f32) -> (f32, f32)| {
                    let mut y = x.clone();
                    for head in y.chunks_mut(2 * half) {
                        for j in 0..half {
                            (head[j], head[half + j]) = rotate(head[j], head[half + j], cos[j], sin[j]);
                        }
                    }
                    bits(&y)
                };
                let mut y = x.clone();
                rotary::forward(isa, &mut y, &cos, &sin);
                assert_eq!(bits(&y), by(element::rotated), "{isa} {heads} {half} {name}");
                let mut y = x.clone();
                rotary::backward(isa, &mut y, &cos, &sin);
                assert_eq!(bits(&y), by(element::rotated_back), "{isa} {heads} {half} {name}");
            }
        }
    });
}

#[test]
fn swiglu_is_that_of_the_reference_both_ways() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let mut random = Random::new("swiglu");
            let (up, da) = (random.row(n, 2.0), random.row(n, 0.3));
            let steep = random.row(n, 120.0);
            for (name, gate) in rows(n).into_iter().chain([("steep", steep)]) {
                let expected: Vec<f32> = gate.iter().zip(&up).map(|(g, u)| element::swiglu(*g, *u)).collect();
                let (mut act, mut q) = (vec![0.0; n], vec![77; n]);
                let scale = activation::forward(isa, &gate, &up, &mut act, &mut q);
                match mantissa::wide(&expected) {
                    Ok(expected) => {
                        assert_eq!((scale, &q), (Ok(expected.scale), &expected.values), "{isa} {name}")
                    }
                    Err(_) => assert!(scale.is_err(), "{isa} {n} {name}"),
                }
                assert_eq!(bits(&act), bits(&expected), "{isa} {n} {name}");

                let triples = gate.iter().zip(&up).zip(&da);
                let (dgate, dup): (Vec<f32>, Vec<f32>) =
                    triples.map(|((g, u), da)| element::swiglu_back(*g, *u, *da)).unzip();
                let (mut own_dgate, mut own_dup) = (vec![0.0; n], vec![0.0; n]);
                activation::backward(isa, &gate, &up, &da, &mut own_dgate, &mut own_dup);
                assert_eq!(bits(&own_dgate), bits(&dgate), "{isa} {n} {name}");
                assert_eq!(bits(&own_dup), bits(&dup), "{isa} {n} {name}");
            }
            for gate in poisoned(&up) {
                let (mut act, mut q) = (vec![0.0; n], vec![0; n]);
                // Minus infinity times a sigmoid of a tiny number is still infinite: a fault as well.
                activation::forward(isa, &gate, &up, &mut act, &mut q).unwrap_err();
            }
        }
    });
}
