//! Columns against the reference.

use attune_exact::mantissa::{narrow_columns, Width};

use super::{equal, same, Compared, Source};
use crate::{
    device::Device,
    ops::{ColumnsOut, Factor, Faults, Matrix, Tables},
};

/// Rows and columns.
const SHAPES: [(usize, usize); 6] = [(1, 1), (5, 33), (33, 5), (128, 64), (300, 17), (257, 40)];

pub(super) fn quantise(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (rows, columns) in SHAPES {
        // Hard columns: the transpose of hard rows.
        let hard = source.hard_rows(columns, rows);
        let x: Vec<f32> = (0..rows * columns)
            .map(|at| hard[at % columns * rows + at / columns].clamp(-1e30, 1e30))
            .collect();
        let factors: Vec<f32> = (0..rows).map(|_| source.unit() + 1.5).collect();
        let (there, factors_there) = (device.upload(&x)?, device.upload(&factors)?);
        for kind in 0..3 {
            let factor =
                [Factor::None, Factor::Times(factors_there.all()), Factor::Over(factors_there.all())][kind];
            let folded = x.iter().enumerate().map(|(at, x)| match kind {
                0 => *x,
                1 => x * factors[at / columns],
                _ => x / factors[at / columns],
            });
            let expected =
                narrow_columns(&folded.collect::<Vec<f32>>(), columns).expect("all is finite, qed");
            for transposed in [false, true] {
                let faults = Faults::new(device, 1)?;
                let (mut q, mut scale) = (device.zeros::<i16>(x.len())?, device.zeros(columns)?);
                let out = ColumnsOut {
                    q: q.all_mut(),
                    stride: if transposed { rows } else { columns },
                    transposed,
                    step: (0, 0),
                    scale: scale.all_mut(),
                    scale_step: (0, 0),
                };
                let matrix = Matrix::new(there.all(), rows, columns, factor);
                device.quantise_columns(&matrix, Width::Narrow, out, faults.check(1, 0))?;
                let values: Vec<i16> = match transposed {
                    false => expected.values.clone(),
                    true => (0..columns).flat_map(|column| expected.column(column)).collect(),
                };
                count += same("mantissas", &values, &q.download()?)?;
                count += same("scales", &expected.scales, &scale.download()?)?;
                count += equal("fault", &None, &faults.first()?)?;
            }
        }
    }
    Ok(count + batch(device, source)?)
}

/// Heads of sequences; and a fault in one of them.
fn batch(device: &Device, source: &mut Source) -> Compared {
    let (sequences, heads, length, dim, mut count) = (2, 3, 37, 5, 0);
    let stride = heads * dim + 2;
    for bad in [false, true] {
        let mut x = source.reals(sequences * length * stride, 1.0);
        let factors = source.reals(sequences * heads * length, 1.0);
        if bad {
            x[(length + 20) * stride + dim + 1] = f32::NAN;
        }
        let (there, factors_there) = (device.upload(&x)?, device.upload(&factors)?);
        let mut q = device.zeros::<i16>(sequences * heads * dim * length)?;
        let mut scale = device.zeros(sequences * heads * dim)?;
        let faults = Faults::new(device, sequences)?;
        let matrix = Matrix {
            stride,
            tables: Tables { outer: sequences, inner: heads },
            x_step: (length * stride, dim),
            factor_step: (heads * length, length),
            ..Matrix::new(there.all(), length, dim, Factor::Times(factors_there.all()))
        };
        let out = ColumnsOut {
            q: q.all_mut(),
            stride: length,
            transposed: true,
            step: (heads * dim * length, dim * length),
            scale: scale.all_mut(),
            scale_step: (heads * dim, dim),
        };
        device.quantise_columns(&matrix, Width::Narrow, out, faults.check(4, 0))?;
        count += equal("fault", &bad.then_some((1, 4)), &faults.first()?)?;
        if bad {
            continue;
        }
        let (q, scale) = (q.download()?, scale.download()?);
        for table in 0..sequences * heads {
            let (sequence, head) = (table / heads, table % heads);
            let one: Vec<f32> = (0..length * dim)
                .map(|at| {
                    let (t, i) = (at / dim, at % dim);
                    x[(sequence * length + t) * stride + head * dim + i] * factors[table * length + t]
                })
                .collect();
            let expected = narrow_columns(&one, dim).expect("all is finite, qed");
            let values: Vec<i16> = (0..dim).flat_map(|column| expected.column(column)).collect();
            count +=
                same("mantissas of a head", &values, &q[table * dim * length..(table + 1) * dim * length])?;
            count += same("scales of a head", &expected.scales, &scale[table * dim..(table + 1) * dim])?;
        }
    }
    Ok(count)
}
