use attune_exact::optimizer::{gradient_norm, updated};
use attune_exact::rotary::Rotary;
use attune_kernels::rows::columns::{self, Factor, Matrix};
use attune_kernels::rows::norm::{self, Normed};
use attune_kernels::rows::parallel::{self, Turn};
use attune_kernels::rows::{activation, quantise, rotary, Failed};
use attune_kernels::{Isa, Threads, Width};

use crate::data::{bits, poisoned, Random};
use crate::optimizer::SCALARS;

/// Rows and columns that make several parts, the last of them shorter.
const ROWS: usize = 301;
const COLUMNS: usize = 650;

fn on_threads(test: impl Fn(&Threads, Isa)) {
    for count in [1, 2, 3, 8] {
        let threads = Threads::new(count).unwrap();
        test(&threads, Isa::available()[0]);
    }
}

#[test]
fn rows_on_threads_are_the_single_rows() {
    let mut random = Random::new("parallel rows");
    let (x, dy, residual) =
        (random.row(ROWS * COLUMNS, 1.0), random.row(ROWS * COLUMNS, 1.0), random.row(ROWS * COLUMNS, 1.0));
    let w = random.row(COLUMNS, 1.0);
    on_threads(|threads, isa| {
        let (mut q, mut expected) = (vec![0; x.len()], vec![0; x.len()]);
        let (mut scales, mut one) = (vec![0.0; ROWS], vec![0.0; ROWS]);
        let per_row = |q: &mut [i16], one: &mut [f32], run: &dyn Fn(&[f32], &mut [i16]) -> f32| {
            for ((x, q), one) in x.chunks(COLUMNS).zip(q.chunks_mut(COLUMNS)).zip(one) {
                *one = run(x, q);
            }
        };
        parallel::quantise_rows(threads, isa, &x, COLUMNS, Width::Narrow, &mut q, &mut scales).unwrap();
        per_row(&mut expected, &mut one, &|x, q| quantise::row(isa, x, Width::Narrow, q).unwrap());
        assert_eq!((&q, &scales), (&expected, &one));

        parallel::wide_times_rows(threads, isa, &x, &w, &mut q, &mut scales).unwrap();
        per_row(&mut expected, &mut one, &|x, q| quantise::wide_times(isa, x, &w, q).unwrap());
        assert_eq!((&q, &scales), (&expected, &one));

        let none = Normed { square_sum: 0, input_scale: 0.0, rho: 0.0, scale: 0.0 };
        let mut normed = vec![none; ROWS];
        parallel::norm_rows(threads, isa, &x, &w, 1e-5, &mut q, &mut normed).unwrap();
        per_row(&mut expected, &mut one, &|x, q| norm::forward(isa, x, &w, 1e-5, q).unwrap().scale);
        assert_eq!((&q, normed.iter().map(|normed| normed.scale).collect()), (&expected, one));

        let rho: Vec<f32> = normed.iter().map(|normed| normed.rho).collect();
        let (mut dx, mut single) = (residual.clone(), residual.clone());
        parallel::norm_backward_rows(threads, isa, &dy, &x, &w, &rho, &mut dx).unwrap();
        for (t, dx) in single.chunks_mut(COLUMNS).enumerate() {
            let (dy, x) = (&dy[t * COLUMNS..][..COLUMNS], &x[t * COLUMNS..][..COLUMNS]);
            norm::backward_residual(isa, dy, x, &w, rho[t], dx).unwrap();
        }
        assert_eq!(bits(&dx), bits(&single));
    });
}

#[test]
fn rotations_and_activations_on_threads_are_the_single_rows() {
    let mut random = Random::new("parallel block");
    let (x, inner, half) = (random.row(ROWS * COLUMNS, 3.0), COLUMNS / 2, 8);
    let (cos, sin, da) =
        (random.row(ROWS * half, 1.0), random.row(ROWS * half, 1.0), random.row(ROWS * inner, 1.0));
    let w = random.row(COLUMNS, 1.0);
    on_threads(|threads, isa| {
        let table = Rotary { pairs: half, cosine: cos.clone(), sine: sin.clone() };
        for (turn, one) in [
            (Turn::Forward, rotary::forward as fn(Isa, &mut [f32], &[f32], &[f32])),
            (Turn::Backward, rotary::backward),
        ] {
            let (mut own, mut expected) = (x.clone(), x.clone());
            parallel::rotate_rows(threads, isa, &mut own, COLUMNS, 640, &table, turn);
            for (t, row) in expected.chunks_mut(COLUMNS).enumerate() {
                one(isa, &mut row[..640], &cos[t * half..][..half], &sin[t * half..][..half]);
            }
            assert_eq!(bits(&own), bits(&expected));
        }

        let (mut q, mut scales) = (vec![0; ROWS * inner], vec![0.0; ROWS]);
        parallel::activation_rows(threads, isa, &x, inner, &mut q, &mut scales).unwrap();
        let (mut act, mut one) = (vec![0.0; inner], vec![0; inner]);
        for (t, row) in x.chunks(COLUMNS).enumerate() {
            let scale = activation::forward(isa, &row[..inner], &row[inner..], &mut act, &mut one).unwrap();
            assert_eq!((scale, &one[..]), (scales[t], &q[t * inner..][..inner]));
        }

        let (mut q, mut dy, mut one) = (vec![0; x.len()], vec![0.0; COLUMNS], vec![0; COLUMNS]);
        parallel::activation_backward_rows(threads, isa, &x, &da, &w, &mut q, &mut scales).unwrap();
        for (t, row) in x.chunks(COLUMNS).enumerate() {
            let (dgate, dup) = dy.split_at_mut(inner);
            activation::backward(isa, &row[..inner], &row[inner..], &da[t * inner..][..inner], dgate, dup);
            let scale = quantise::wide_times(isa, &dy, &w, &mut one).unwrap();
            assert_eq!((scale, &one[..]), (scales[t], &q[t * COLUMNS..][..COLUMNS]));
        }
    });
}

#[test]
fn columns_on_threads_are_the_single_columns() {
    let mut random = Random::new("parallel columns");
    let (x, f) = (random.row(ROWS * COLUMNS, 1.0), random.row(ROWS, 1.0));
    on_threads(|threads, isa| {
        let matrix = Matrix::new(&x, ROWS, COLUMNS - 3, COLUMNS, Factor::Times(&f));
        let columns = matrix.columns();
        let run = |q: &mut [i16], scales: &mut [f32], stride| {
            columns::transposed(isa, matrix, Width::Narrow, q, stride, scales).unwrap()
        };
        let stride = ROWS + 11;
        let (mut q, mut scales) = (vec![7; columns * stride], vec![0.0; columns]);
        let (mut expected, mut one) = (vec![7; columns * stride], vec![0.0; columns]);
        parallel::columns_transposed(threads, isa, matrix, Width::Narrow, &mut q, stride, &mut scales)
            .unwrap();
        run(&mut expected, &mut one, stride);
        assert_eq!((q, &scales), (expected, &one));

        let (mut q, mut expected) = (vec![7; columns * ROWS], vec![7; columns * ROWS]);
        scales.fill(0.0);
        parallel::columns_in_place(threads, isa, matrix, Width::Narrow, &mut q, &mut scales).unwrap();
        columns::in_place(isa, matrix, Width::Narrow, &mut expected, &mut one).unwrap();
        assert_eq!((q, scales), (expected, one));
    });
}

#[test]
fn the_optimizer_on_threads_is_that_of_the_reference() {
    let n = 100_003;
    let mut random = Random::new("parallel optimizer");
    let (g, theta, m) = (random.row(n, 1e-3), random.row(n, 0.1), random.row(n, 1e-4));
    let v: Vec<f32> = random.row(n, 1e-7).iter().map(|v| v.abs()).collect();
    on_threads(|threads, isa| {
        assert_eq!(
            parallel::gradient_norm(threads, isa, &g).unwrap().to_bits(),
            gradient_norm(&g).unwrap().to_bits()
        );
        let mut scaled = g.clone();
        parallel::scale(threads, isa, &mut scaled, 0.3);
        parallel::add(threads, isa, &mut scaled, &theta);
        let expected: Vec<f32> = g.iter().zip(&theta).map(|(g, theta)| (g * 0.3) + theta).collect();
        assert_eq!(bits(&scaled), bits(&expected));

        let (mut own_theta, mut own_m, mut own_v) = (theta.clone(), m.clone(), v.clone());
        parallel::adamw(threads, isa, &mut own_theta, &g, &mut own_m, &mut own_v, SCALARS).unwrap();
        for i in 0..n {
            let (theta, m, v) = updated(theta[i], m[i], v[i], g[i], &SCALARS);
            assert_eq!(bits(&[own_theta[i], own_m[i], own_v[i]]), bits(&[theta, m, v]), "{i}");
        }
    });
}

#[test]
fn one_bad_element_is_found_wherever_it_is() {
    let plain = Random::new("parallel faults").row(ROWS * COLUMNS, 1.0);
    on_threads(|threads, isa| {
        for x in poisoned(&plain) {
            let (mut q, mut scales) = (vec![0; x.len()], vec![0.0; ROWS]);
            parallel::quantise_rows(threads, isa, &x, COLUMNS, Width::Wide, &mut q, &mut scales).unwrap_err();
            let matrix = Matrix::new(&x, ROWS, COLUMNS, COLUMNS, Factor::None);
            let mut scales = vec![0.0; COLUMNS];
            parallel::columns_in_place(threads, isa, matrix, Width::Wide, &mut q, &mut scales).unwrap_err();
            parallel::columns_transposed(threads, isa, matrix, Width::Wide, &mut q, ROWS, &mut scales)
                .unwrap_err();
            parallel::gradient_norm(threads, isa, &x).unwrap_err();
        }
        // An output too large in an early row, an input that is not finite in a late one: the norm's own check counts.
        let (mut x, w) = (plain.clone(), vec![3e38; COLUMNS]);
        let mut normed = vec![Normed { square_sum: 0, input_scale: 0.0, rho: 0.0, scale: 0.0 }; ROWS];
        let mut q = vec![0; x.len()];
        let mut run = |x: &[f32]| parallel::norm_rows(threads, isa, x, &w, 1e-5, &mut q, &mut normed);
        assert_eq!(run(&x), Err(Failed::Second));
        x[ROWS * COLUMNS - 1] = f32::NAN;
        assert_eq!(run(&x), Err(Failed::First));
    });
}
