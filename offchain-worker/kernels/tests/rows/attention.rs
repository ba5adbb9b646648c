use attune_exact::{element, mantissa};
use attune_kernels::rows::attention::{self, Query};

use crate::data::{bits, on_every_isa, poisoned, rows, Random, LENGTHS};

/// Visible ranges of a row of `n` keys.
fn ranges(n: usize) -> Vec<std::ops::Range<usize>> {
    vec![0..n, n - 1..n, 0..1, n / 3..n, n / 2..n / 2 + 1, n / 4..n - n / 4]
}

#[test]
fn softmax_is_that_of_the_reference() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let mut random = Random::new("softmax");
            let steep = random.row(n, 90.0);
            for (name, scores) in rows(n).into_iter().chain([("steep", steep)]) {
                for visible in ranges(n) {
                    let seen = &scores[visible.clone()];
                    let max = seen.iter().fold(f32::NEG_INFINITY, |max, s| max.max(*s));
                    let mut expected = vec![0; n + 9];
                    for j in visible.clone() {
                        expected[j] = element::attention_weight(scores[j], max);
                    }
                    let mut p = vec![77; n + 9];
                    let softmax = attention::softmax(isa, &scores, visible.clone(), &mut p).unwrap();
                    let context = format!("{isa} {n} {name} {visible:?}");
                    assert_eq!(p, expected, "{context}");
                    assert_eq!(softmax.max, max, "{context}");
                    assert_eq!(softmax.sum, expected.iter().map(|p| i64::from(*p)).sum::<i64>(), "{context}");
                    assert_eq!(
                        softmax.zeta.to_bits(),
                        element::attention_zeta(&expected).to_bits(),
                        "{context}"
                    );
                }
            }
        }
    });
}

#[test]
fn many_equal_scores_add_up() {
    on_every_isa(|isa| {
        let n = 200_001;
        let mut p = vec![0; n];
        let softmax = attention::softmax(isa, &vec![-3.25; n], 0..n, &mut p).unwrap();
        assert_eq!(softmax.sum, 16_383 * n as i64);
        assert!(p.iter().all(|p| *p == 16_383));
    });
}

#[test]
fn only_visible_scores_are_checked() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let mut p = vec![0; n];
            for scores in poisoned(&Random::new("scores").row(n, 5.0)) {
                attention::softmax(isa, &scores, 0..n, &mut p).unwrap_err();
                let place = scores.iter().position(|s| !s.is_finite()).unwrap();
                if place > 0 {
                    attention::softmax(isa, &scores, 0..place, &mut p).unwrap();
                }
                if place + 1 < n {
                    attention::softmax(isa, &scores, place + 1..n, &mut p).unwrap();
                }
            }
        }
    });
}

#[test]
fn the_gradient_of_scores_is_that_of_the_reference() {
    on_every_isa(|isa| {
        for n in LENGTHS {
            let mut random = Random::new("score gradient");
            let p: Vec<i16> = (0..n).map(|_| random.below(16_384) as i16).collect();
            let with = Query { zeta: 1.0 / 40_000.0, d: random.real(0.1), tau: 0.125 };
            for (name, dp) in rows(n) {
                for visible in ranges(n) {
                    let ds: Vec<f32> = visible
                        .clone()
                        .map(|j| element::score_back(p[j], with.zeta, dp[j], with.d, with.tau))
                        .collect();
                    let context = format!("{isa} {n} {name} {visible:?}");
                    let (mut own, mut q) = (dp.clone(), vec![77; n + 9]);
                    let scale = attention::score_gradient(isa, &p, &mut own, visible.clone(), with, &mut q);
                    assert_eq!(bits(&own[visible.clone()]), bits(&ds), "{context}");
                    let expected = mantissa::wide(&ds).unwrap();
                    assert_eq!(scale, Ok(expected.scale), "{context}");
                    assert_eq!(q[visible.clone()], expected.values, "{context}");
                    assert!(q[..visible.start].iter().chain(&q[visible.end..]).all(|q| *q == 0), "{context}");
                }
            }
            for mut dp in poisoned(&random.row(n, 1.0)) {
                let mut q = vec![0; n];
                attention::score_gradient(isa, &p, &mut dp, 0..n, with, &mut q).unwrap_err();
            }
        }
    });
}
