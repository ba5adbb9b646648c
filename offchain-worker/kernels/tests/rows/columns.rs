use attune_exact::mantissa;
use attune_kernels::rows::columns::{self, Factor, Matrix};

use crate::data::{on_every_isa, poisoned, rows, Random};
use crate::quantise::WIDTHS;

const SHAPES: [(usize, usize); 9] =
    [(1, 1), (2, 3), (31, 16), (32, 64), (33, 65), (64, 128), (65, 200), (100, 7), (129, 63)];

/// What the columns of `x` become: mantissas `[columns][rows]` and scales.
fn reference(
    x: &[f32],
    (rows, columns, stride): (usize, usize, usize),
    factor: Factor,
    width: mantissa::Width,
) -> Vec<mantissa::Mantissas> {
    let element = |row: usize, column: usize| match factor {
        Factor::None => x[row * stride + column],
        Factor::Times(f) => x[row * stride + column] * f[row],
        Factor::Over(f) => x[row * stride + column] / f[row],
    };
    let column = |column| (0..rows).map(|row| element(row, column)).collect::<Vec<_>>();
    (0..columns).map(|c| mantissa::quantise(&column(c), width).unwrap()).collect()
}

#[test]
fn columns_become_the_mantissas_of_the_reference() {
    on_every_isa(|isa| {
        for (rows_count, columns_count) in SHAPES {
            let stride = columns_count + 5;
            let factors: Vec<f32> =
                Random::new("factors").row(rows_count, 3.0).into_iter().map(|f| f + 4.0).collect();
            for (name, mut x) in rows(rows_count * stride) {
                // Room for the factors.
                x.iter_mut().for_each(|x| *x *= 0.1);
                for factor in [Factor::None, Factor::Times(&factors), Factor::Over(&factors)] {
                    for (width, exact) in WIDTHS {
                        let shape = (rows_count, columns_count, stride);
                        let expected = reference(&x, shape, factor, exact);
                        let matrix = Matrix::new(&x, rows_count, columns_count, stride, factor);
                        let context = format!("{isa} {shape:?} {name} {width:?}");

                        let q_stride = rows_count.next_multiple_of(32);
                        let (mut q, mut scales) =
                            (vec![77; columns_count * q_stride], vec![0.0; columns_count]);
                        columns::transposed(isa, matrix, width, &mut q, q_stride, &mut scales).unwrap();
                        for (column, expected) in expected.iter().enumerate() {
                            let q = &q[column * q_stride..][..q_stride];
                            assert_eq!(q[..rows_count], expected.values, "{context} {column}");
                            assert!(q[rows_count..].iter().all(|q| *q == 0), "{context}");
                            assert_eq!(scales[column], expected.scale, "{context}");
                        }

                        let (mut q, mut scales) =
                            (vec![77; rows_count * columns_count], vec![0.0; columns_count]);
                        columns::in_place(isa, matrix, width, &mut q, &mut scales).unwrap();
                        for (column, expected) in expected.iter().enumerate() {
                            let q: Vec<i16> = q.iter().skip(column).step_by(columns_count).copied().collect();
                            assert_eq!(q, expected.values, "{context} {column}");
                            assert_eq!(scales[column], expected.scale, "{context}");
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn a_column_that_is_not_finite_has_no_mantissas() {
    on_every_isa(|isa| {
        for (rows, columns) in SHAPES {
            for x in poisoned(&Random::new("poisoned columns").row(rows * columns, 1.0)) {
                let matrix = Matrix::new(&x, rows, columns, columns, Factor::None);
                let (mut q, mut scales) = (vec![0; rows * columns], vec![0.0; columns]);
                for (width, _) in WIDTHS {
                    columns::transposed(isa, matrix, width, &mut q, rows, &mut scales).unwrap_err();
                    columns::in_place(isa, matrix, width, &mut q, &mut scales).unwrap_err();
                }
            }
            let (x, zeros) = (vec![1.0; rows * columns], vec![0.0; rows]);
            let matrix = Matrix::new(&x, rows, columns, columns, Factor::Over(&zeros));
            let (mut q, mut scales) = (vec![0; rows * columns], vec![0.0; columns]);
            columns::transposed(isa, matrix, WIDTHS[1].0, &mut q, rows, &mut scales).unwrap_err();
        }
    });
}

#[test]
fn no_rows_are_all_padding() {
    on_every_isa(|isa| {
        let matrix = Matrix::new(&[], 0, 3, 3, Factor::None);
        let (mut q, mut scales) = (vec![77; 3 * 4], vec![0.0; 3]);
        columns::transposed(isa, matrix, WIDTHS[1].0, &mut q, 4, &mut scales).unwrap();
        assert_eq!(q, vec![0; 12]);
    });
}
