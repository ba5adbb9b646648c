use attune_exact::optimizer::{gradient_norm, updated, Scalars};
use attune_kernels::rows::optimizer;

use crate::data::{bits, on_every_isa, poisoned, rows, Random, LENGTHS};

pub(crate) const SCALARS: Scalars = Scalars {
    beta1: 0.9,
    one_minus_beta1: 0.1,
    beta2: 0.999,
    one_minus_beta2: 0.001,
    epsilon: 1e-8,
    c1: 10.0,
    c2: 1000.0,
    learning_rate: 2e-4,
    decay: 0.999_998,
};

#[test]
fn the_norm_of_the_gradient_is_exact() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            for (name, g) in rows(n) {
                let own = optimizer::norm(isa, &g).unwrap();
                assert_eq!(own.to_bits(), gradient_norm(&g).unwrap().to_bits(), "{isa} {n} {name}");
            }
            for g in poisoned(&Random::new("bad gradient").row(n, 1.0)) {
                optimizer::norm(isa, &g).unwrap_err();
            }
        }
    });
}

#[test]
fn clipping_is_one_multiplication() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            for (name, g) in rows(n) {
                let expected: Vec<f32> = g.iter().map(|g| g * 0.37).collect();
                let mut own = g.clone();
                optimizer::scale(isa, &mut own, 0.37);
                assert_eq!(bits(&own), bits(&expected), "{isa} {n} {name}");
            }
        }
    });
}

#[test]
fn adamw_is_that_of_the_reference() {
    on_every_isa(|isa| {
        let mut random = Random::new("adamw");
        for n in LENGTHS {
            let (theta, m) = (random.row(n, 0.1), random.row(n, 1e-3));
            let v: Vec<f32> = random.row(n, 1e-5).iter().map(|v| v.abs()).collect();
            for (name, g) in rows(n) {
                let (mut own_theta, mut own_m, mut own_v) = (theta.clone(), m.clone(), v.clone());
                let result = optimizer::adamw(isa, &mut own_theta, &g, &mut own_m, &mut own_v, SCALARS);
                for i in 0..n {
                    let (theta, m, v) = updated(theta[i], m[i], v[i], g[i], &SCALARS);
                    let (expected, own) = ([theta, m, v], [own_theta[i], own_m[i], own_v[i]]);
                    assert_eq!(bits(&own), bits(&expected), "{isa} {n} {name} {i}");
                }
                assert_eq!(
                    result.is_ok(),
                    own_theta.iter().all(|theta| theta.is_finite()),
                    "{isa} {n} {name}"
                );
            }
            for g in poisoned(&m).into_iter().filter(|g| g.iter().any(|g| g.is_nan())) {
                let (mut theta, mut m, mut v) = (theta.clone(), m.clone(), v.clone());
                optimizer::adamw(isa, &mut theta, &g, &mut m, &mut v, SCALARS).unwrap_err();
            }
        }
    });
}
