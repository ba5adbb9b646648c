//! Every backward formula against central differences of the same operator in binary64. What remains is quantisation:
//! 12-bit mantissas are within 2^-11 of a vector's largest element, so gradients agree to a fraction of a percent.

use attune_exact::{
    activation,
    attention::{self, Heads},
    loss, norm,
    projection::{self, Group, LowRank},
    rotary,
    weights::quantise8,
};

use crate::{
    reference::{self, differences, distance, widened, Matrix},
    vectors::Generator,
};

/// Σ c · y
fn weighed(c: &[f32], y: &[f64]) -> f64 {
    c.iter().zip(y).map(|(c, y)| f64::from(*c) * y).sum()
}

/// The gradient of Σ c · of(x).
fn gradient(c: &[f32], of: &dyn Fn(&[f64]) -> Vec<f64>, x: &[f32]) -> Vec<f64> {
    let all: Vec<usize> = (0..x.len()).collect();
    differences(&|x| weighed(c, &of(x)), &widened(x), &all, 1e-5)
}

#[test]
fn the_norm_is_the_norm_and_so_is_its_gradient() {
    let mut random = Generator::new(20);
    let (x, w, dy) = (random.reals(6 * 24, 2.0), random.reals(24, 1.5), random.reals(6 * 24, 1e-3));
    let made = norm::forward(&x, &w, 1e-5).unwrap();
    let of = |x: &[f64]| reference::norm(x, &w, 1e-5);
    assert!(distance(&made.y, &of(&widened(&x))) < 1e-4);
    let found = norm::backward(&dy, &x, &w, &made).unwrap();
    let error = distance(&found, &gradient(&dy, &of, &x));
    assert!(error < 2e-4, "{error}");
}

#[test]
fn swiglu_and_its_gradient() {
    let mut random = Generator::new(21);
    let (x, da) = (random.reals(5 * 16, 6.0), random.reals(5 * 8, 1e-3));
    let of = |x: &[f64]| reference::swiglu(x, 8);
    assert!(distance(&activation::forward(&x, 8), &of(&widened(&x))) < 1e-6);
    let error = distance(&activation::backward(&x, &da, 8), &gradient(&da, &of, &x));
    assert!(error < 1e-6, "{error}");
}

#[test]
fn rotation_backwards_undoes_rotation() {
    let x = Generator::new(22).reals(7 * 16, 1.0);
    let table = rotary::table(8, 10_000.0, None, &(0..7).collect::<Vec<_>>());
    assert!(distance(&table.rotate_back(&table.rotate(&x)), &widened(&x)) < 1e-6);
}

#[test]
fn a_projection_with_adapters_and_all_its_gradients() {
    let mut random = Generator::new(23);
    let (x, bias) = (random.reals(9 * 20, 1.0), random.reals(14, 0.5));
    let weight = quantise8(&random.reals(14 * 20, 0.5), 20).unwrap();
    let (a, b) = (random.reals(2 * 60, 0.5), random.reals(14 * 3, 0.5));
    let parts = [LowRank { a: &a[..60], b: &b[..24] }, LowRank { a: &a[60..], b: &b[24..] }];
    let group = Group { weight: &weight, bias: Some(&bias), parts: &parts, rank: 3, sigma: 2.0 };
    let matrix = Matrix::of(&weight);
    let of = |x: &[f64], a: &[f64], b: &[f64]| {
        let parts = [(a[..60].to_vec(), b[..24].to_vec()), (a[60..].to_vec(), b[24..].to_vec())];
        reference::project(&matrix, Some(&bias), &parts, 3, 2.0, x)
    };
    let (x64, a64, b64) = (widened(&x), widened(&a), widened(&b));
    let made = projection::forward(&group, &x).unwrap();
    assert!(distance(&made.y, &of(&x64, &a64, &b64)) < 2e-3);
    let dy = random.reals(9 * 14, 1e-3);
    let back = projection::backward(&group, &made.x, &made.low, &dy, true).unwrap();
    for (name, found, truth) in [
        ("dx", back.dx.unwrap(), gradient(&dy, &|x| of(x, &a64, &b64), &x)),
        ("dA", back.da.concat(), gradient(&dy, &|a| of(&x64, a, &b64), &a)),
        ("dB", back.db.concat(), gradient(&dy, &|b| of(&x64, &a64, b), &b)),
    ] {
        let error = distance(&found, &truth);
        assert!(error < 2e-3, "{name}: {error}");
    }
    assert!(projection::backward(&group, &made.x, &made.low, &dy, false).unwrap().dx.is_none());
}

#[test]
fn a_projection_without_an_adapter_is_its_matrix_and_bias() {
    let mut random = Generator::new(24);
    let (x, bias) = (random.reals(3 * 20, 1.0), random.reals(14, 0.5));
    let weight = quantise8(&random.reals(14 * 20, 0.5), 20).unwrap();
    let group = Group { weight: &weight, bias: Some(&bias), parts: &[], rank: 1, sigma: 1.0 };
    let made = projection::forward(&group, &x).unwrap();
    let truth = reference::project(&Matrix::of(&weight), Some(&bias), &[], 1, 1.0, &widened(&x));
    assert!(distance(&made.y, &truth) < 1e-4);
    assert!(made.low.is_empty());
}

#[test]
fn attention_within_documents_and_its_gradients() {
    let mut random = Generator::new(25);
    let shape = Heads { heads: 4, kv_heads: 2, head_dim: 6 };
    let documents: Vec<u32> = (0..12).map(|t| u32::from(t > 4) + u32::from(t > 10)).collect();
    let (q, k, v) = (random.reals(12 * 24, 1.5), random.reals(12 * 12, 1.5), random.reals(12 * 12, 1.0));
    let of = |q: &[f64], k: &[f64], v: &[f64]| reference::attention(&shape, q, k, v, &documents);
    let (q64, k64, v64) = (widened(&q), widened(&k), widened(&v));
    let made = attention::forward(&shape, &q, &k, &v, &documents).unwrap();
    assert!(distance(&made.output, &of(&q64, &k64, &v64)) < 2e-3);
    let dy = random.reals(12 * 24, 1e-3);
    let back = attention::backward(&shape, (&q, &k, &v), &documents, &made, &dy).unwrap();
    for (name, found, truth) in [
        ("dq", &back.dq, gradient(&dy, &|q| of(q, &k64, &v64), &q)),
        ("dk", &back.dk, gradient(&dy, &|k| of(&q64, k, &v64), &k)),
        ("dv", &back.dv, gradient(&dy, &|v| of(&q64, &k64, v), &v)),
    ] {
        let error = distance(found, &truth);
        assert!(error < 4e-3, "{name}: {error}");
    }
}

#[test]
fn a_token_does_not_see_later_tokens_nor_other_documents() {
    let mut random = Generator::new(26);
    let shape = Heads { heads: 2, kv_heads: 1, head_dim: 4 };
    let documents = [0, 0, 0, 1, 1, 1];
    let (q, k, v) = (random.reals(48, 1.0), random.reals(24, 1.0), random.reals(24, 1.0));
    let made = attention::forward(&shape, &q, &k, &v, &documents).unwrap();
    for head in 0..2 {
        for i in 0..6 {
            for j in 0..6 {
                let seen = j <= i && documents[i] == documents[j];
                assert_eq!(made.weights[(head * 6 + i) * 6 + j] > 0, seen, "query {i}, key {j}");
            }
        }
    }
}

#[test]
fn the_loss_is_cross_entropy_and_its_gradient() {
    let mut random = Generator::new(27);
    let x = random.reals(5 * 16, 1.0);
    let head = quantise8(&random.reals(40 * 16, 1.0), 16).unwrap();
    let targets: Vec<u32> = (0..5).map(|_| random.below(40)).collect();
    let matrix = Matrix::of(&head);
    let of = |x: &[f64]| reference::loss(x, &matrix, &targets);
    let made = loss::forward(&x, &head, &targets).unwrap();
    let truth = of(&widened(&x));
    assert!((made.sum as f64 / 2f64.powi(24) - truth).abs() < 1e-3 * truth);
    let found = loss::backward(&made, &head, &targets, 0.2).unwrap();
    let all: Vec<usize> = (0..x.len()).collect();
    let truth = differences(&|x| 0.2 * of(x), &widened(&x), &all, 1e-5);
    let error = distance(&found, &truth);
    assert!(error < 5e-4, "{error}");
}
