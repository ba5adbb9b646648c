use attune_exact::loss::LOSS_LIMIT;
use attune_exact::{element, mantissa, real};
use attune_kernels::rows::{loss, Failed};
use attune_kernels::Isa;

use crate::data::{bits, on_every_isa, poisoned, rows, Random, LENGTHS};

/// Compares both variants with the reference.
fn compare(isa: Isa, name: &str, z: &[f32], w: &[f32], target: usize) {
    let max = z.iter().fold(f32::NEG_INFINITY, |max, z| max.max(*z));
    let e: Vec<f32> = z.iter().map(|z| real::exp_neg(z - max)).collect();
    let sum: i64 = e.iter().map(|e| element::partition_term(*e)).sum();
    let u: Vec<f32> = e.iter().zip(w).map(|(e, w)| e * w).collect();
    let expected = mantissa::wide(&u).unwrap();
    let context = format!("{isa} {name} {}", z.len());

    let (mut own, mut q) = (z.to_vec(), vec![77; z.len()]);
    let expected_loss = element::token_loss(max, z[target], sum);
    if expected_loss >= LOSS_LIMIT {
        assert_eq!(loss::with_gradient(isa, &mut own, w, target, &mut q), Err(Failed::First), "{context}");
        loss::only(isa, z, target).unwrap_err();
        return;
    }
    let token = loss::with_gradient(isa, &mut own, w, target, &mut q).unwrap();
    assert_eq!(bits(&own), bits(&u), "{context}");
    assert_eq!(token.sum, sum, "{context}");
    assert_eq!(token.loss.to_bits(), expected_loss.to_bits(), "{context}");
    assert_eq!(token.units, real::int(expected_loss * real::pow2(24)), "{context}");
    assert_eq!(token.zeta.to_bits(), (1.0 / element::partition(sum)).to_bits(), "{context}");
    assert_eq!((token.scale, q), (expected.scale, expected.values), "{context}");

    let only = loss::only(isa, z, target).unwrap();
    assert_eq!((only.sum, only.loss.to_bits()), (sum, token.loss.to_bits()), "{context}");
}

#[test]
fn the_loss_is_that_of_the_reference() {
    on_every_isa(|isa| {
        let mut random = Random::new("loss");
        for n in LENGTHS.into_iter().chain([16_383, 16_385, 49_152]) {
            let w = random.row(n, 0.02);
            let steep = random.row(n, 60.0);
            for (name, z) in rows(n).into_iter().chain([("steep", steep)]) {
                compare(isa, name, &z, &w, random.below(n));
                // The most likely one, so that extreme rows have a loss as well.
                let best = (0..n).max_by(|a, b| z[*a].total_cmp(&z[*b])).unwrap();
                compare(isa, name, &z, &w, best);
            }
        }
    });
}

#[test]
fn each_exponential_is_that_of_the_reference() {
    // With the maximum 0 and scales of 1, u is e itself and shows every bit of it.
    on_every_isa(|isa| {
        let lowest = 89.0f32.to_bits();
        for start in 0..64u32 {
            let mut z: Vec<f32> =
                (start..lowest).step_by(64 * 1009).map(|bits| -f32::from_bits(bits)).collect();
            z[0] = 0.0;
            let w = vec![1.0; z.len()];
            compare(isa, "exponentials", &z, &w, 0);
        }
    });
}

#[test]
#[ignore = "all binary32 from −89 to 0, on each path: minutes"]
fn all_exponentials_and_all_terms_are_those_of_the_reference() {
    on_every_isa(|isa| {
        let all = 0..=89.0f32.to_bits();
        for start in all.clone().step_by(1 << 14) {
            let bits = (start..start + (1 << 14)).filter(|bits| all.contains(bits));
            let mut z: Vec<f32> = bits.map(|bits| -f32::from_bits(bits)).collect();
            z.push(0.0);
            let w = vec![1.0; z.len()];
            compare(isa, "all", &z, &w, z.len() - 1);
        }
    });
}

#[test]
fn every_term_of_the_sum_is_rounded_as_in_the_reference() {
    // Two logits at a time: 0, which gives 2^30, and one whose e × 2^30 is anything.
    on_every_isa(|isa| {
        for bits in (0..88.0f32.to_bits()).step_by(92_821) {
            let z = [0.0, -f32::from_bits(bits)];
            let expected = (1 << 30) + element::partition_term(real::exp_neg(z[1]));
            assert_eq!(loss::only(isa, &z, 0).unwrap().sum, expected, "{isa} {}", z[1]);
        }
    });
}

#[test]
fn logits_and_gradients_are_checked() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let z = Random::new("bad logits").row(n, 5.0);
            let (w, mut q) = (vec![0.01; n], vec![0; n]);
            for mut bad in poisoned(&z) {
                loss::only(isa, &bad, 0).unwrap_err();
                assert_eq!(loss::with_gradient(isa, &mut bad, &w, 0, &mut q), Err(Failed::First));
            }
            for bad in poisoned(&w) {
                assert_eq!(loss::with_gradient(isa, &mut z.clone(), &bad, 0, &mut q), Err(Failed::Second));
            }
        }
    });
}

#[test]
fn the_gradient_of_the_hidden_state_is_that_of_the_reference() {
    on_every_isa(|isa| {
        let mut random = Random::new("hidden state");
        for n in LENGTHS {
            let row: Vec<i8> = (0..n).map(|_| (random.below(255) as i32 - 127) as i8).collect();
            let (zeta, scale, omega) = (0.7, 0.003, 1.0 / 300.0);
            for (name, x) in rows(n) {
                // f32(Σ) × s_u, as element::loss_back has it before ζ.
                let expected: Vec<f32> = x
                    .iter()
                    .zip(&row)
                    .map(|(x, q)| ((x * zeta) - element::embedded(*q, scale)) * omega)
                    .collect();
                let mut dn = x.clone();
                loss::input_gradient(isa, &mut dn, zeta, &row, scale, omega);
                assert_eq!(bits(&dn), bits(&expected), "{isa} {n} {name}");
            }
        }
    });
}
