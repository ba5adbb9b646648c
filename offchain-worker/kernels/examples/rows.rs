//! Nanoseconds per element of each row operator on one thread:
//! `cargo run -p attune-kernels --example rows [-- ROW_LENGTH ...]`.
//!
//! Rows are worked on again and again, so they are in cache as they are between two products. The best and the median of
//! 15 runs, for the fastest path, AVX2 where there is one, and the portable path.

use std::hint::black_box;
use std::time::Instant;

use attune_exact::optimizer::Scalars;
use attune_kernels::rows::columns::{Factor, Matrix};
use attune_kernels::rows::{activation, attention, columns, loss, norm, optimizer, quantise, rotary};
use attune_kernels::{Isa, Width};

const RUNS: usize = 15;
/// Elements per run.
const WORK: usize = 1 << 21;
/// Rows of the matrices whose columns become mantissas.
const TOKENS: usize = 512;

fn main() {
    let lengths: Vec<usize> = std::env::args().skip(1).filter_map(|length| length.parse().ok()).collect();
    let lengths = if lengths.is_empty() { vec![576, 1536, 49_152] } else { lengths };
    let available = Isa::available();
    let paths: Vec<Isa> = available
        .iter()
        .enumerate()
        .filter(|(index, isa)| *index == 0 || ["avx2", "portable"].contains(&isa.name()))
        .map(|(_, isa)| *isa)
        .collect();
    println!("nanoseconds per element, best (median) of {RUNS} runs, 1 thread");
    for n in lengths {
        print!("\n{:<28}", format!("row length {n}"));
        paths.iter().for_each(|isa| print!("{:>20}", isa.name()));
        println!();
        for (name, time) in OPERATORS {
            print!("{name:<28}");
            for isa in &paths {
                let (best, median) = time(*isa, n);
                print!("{:>20}", format!("{best:.3} ({median:.3})"));
            }
            println!();
        }
    }
}

type Operator = fn(Isa, usize) -> (f64, f64);

const OPERATORS: &[(&str, Operator)] = &[
    ("quantise wide", |isa, n| {
        let (x, mut q) = (reals(n, 1), vec![0; n]);
        measure(n, || quantise::row(isa, &x, Width::Wide, &mut q))
    }),
    ("wide of x times w", |isa, n| {
        let (x, w, mut q) = (reals(n, 1), reals(n, 2), vec![0; n]);
        measure(n, || quantise::wide_times(isa, &x, &w, &mut q))
    }),
    ("columns, transposed", |isa, n| {
        let (x, f) = (reals(n * TOKENS, 1), reals(TOKENS, 2));
        let (mut q, mut scales) = (vec![0; n * TOKENS], vec![0.0; n]);
        let matrix = Matrix::new(&x, TOKENS, n, n, Factor::Times(&f));
        measure(n * TOKENS, || columns::transposed(isa, matrix, Width::Narrow, &mut q, TOKENS, &mut scales))
    }),
    ("64 columns, transposed", |isa, n| {
        let (x, mut q, mut scales) = (reals(n * TOKENS, 1), vec![0; 64 * TOKENS], vec![0.0; 64]);
        let matrix = Matrix::new(&x, TOKENS, 64, n, Factor::None);
        measure(64 * TOKENS, || columns::transposed(isa, matrix, Width::Narrow, &mut q, TOKENS, &mut scales))
    }),
    ("columns, in place", |isa, n| {
        let (x, mut q, mut scales) = (reals(n * TOKENS, 1), vec![0; n * TOKENS], vec![0.0; n]);
        let matrix = Matrix::new(&x, TOKENS, n, n, Factor::None);
        measure(n * TOKENS, || columns::in_place(isa, matrix, Width::Narrow, &mut q, &mut scales))
    }),
    ("norm", |isa, n| {
        let (x, w, mut q) = (reals(n, 1), reals(n, 2), vec![0; n]);
        measure(n, || norm::forward(isa, &x, &w, 1e-5, &mut q))
    }),
    ("norm backward", |isa, n| {
        let (dy, x, w, mut dx) = (reals(n, 1), reals(n, 2), reals(n, 3), vec![0.0; n]);
        measure(n, || norm::backward(isa, &dy, &x, &w, 0.7, &mut dx))
    }),
    ("rotation, heads of 64", |isa, n| {
        let (mut x, cos, sin) = (reals(n, 1), vec![0.8; 32], vec![0.6; 32]);
        measure(n, || rotary::forward(isa, &mut x, &cos, &sin))
    }),
    ("softmax", |isa, n| {
        let (scores, mut p) = (reals(n, 1), vec![0; n]);
        measure(n, || attention::softmax(isa, &scores, 0..n, &mut p))
    }),
    ("softmax, n - 37 visible", |isa, n| {
        let (scores, mut p) = (reals(n, 1), vec![0; n]);
        measure(n - 37, || attention::softmax(isa, &scores, 0..n - 37, &mut p))
    }),
    ("score gradient", |isa, n| {
        let (p, mut dp, mut q) = (vec![9; n], reals(n, 1), vec![0; n]);
        let with = attention::Query { zeta: 0.01, d: 0.5, tau: 0.125 };
        measure(n, || attention::score_gradient(isa, &p, &mut dp, 0..n, with, &mut q))
    }),
    ("swiglu", |isa, n| {
        let (gate, up, mut act, mut q) = (reals(n, 1), reals(n, 2), vec![0.0; n], vec![0; n]);
        measure(n, || activation::forward(isa, &gate, &up, &mut act, &mut q))
    }),
    ("swiglu backward", |isa, n| {
        let (gate, up, da) = (reals(n, 1), reals(n, 2), reals(n, 3));
        let (mut dgate, mut dup) = (vec![0.0; n], vec![0.0; n]);
        measure(n, || activation::backward(isa, &gate, &up, &da, &mut dgate, &mut dup))
    }),
    ("loss with gradient", |isa, n| {
        let (mut z, w, mut q) = (reals(n, 1), reals(n, 2), vec![0; n]);
        measure(n, || loss::with_gradient(isa, &mut z, &w, 0, &mut q))
    }),
    ("loss only", |isa, n| {
        let z = reals(n, 1);
        measure(n, || loss::only(isa, &z, 0))
    }),
    ("gradient norm", |isa, n| {
        let g = reals(n, 1);
        measure(n, || optimizer::norm(isa, &g))
    }),
    ("AdamW", |isa, n| {
        let (mut theta, g, mut m, mut v) = (reals(n, 1), reals(n, 2), vec![0.0; n], vec![0.0; n]);
        let with = Scalars {
            beta1: 0.9,
            one_minus_beta1: 0.1,
            beta2: 0.999,
            one_minus_beta2: 0.001,
            epsilon: 1e-8,
            c1: 1.0,
            c2: 1.0,
            learning_rate: 1e-3,
            decay: 1.0,
        };
        measure(n, || optimizer::adamw(isa, &mut theta, &g, &mut m, &mut v, with))
    }),
    ("embedding", |isa, n| {
        let (q, mut x) = (vec![5; n], vec![0.0; n]);
        measure(n, || quantise::embedding(isa, &q, 0.01, &mut x))
    }),
];

/// Best and median nanoseconds per element of `run`, which works on `elements`.
fn measure<R>(elements: usize, mut run: impl FnMut() -> R) -> (f64, f64) {
    let repeats = (WORK / elements).max(1);
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..repeats {
                black_box(run());
            }
            start.elapsed().as_secs_f64() * 1e9 / (repeats * elements) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[RUNS / 2])
}

/// Numbers in −2..2.
fn reals(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..n).map(|_| next()).collect()
}
