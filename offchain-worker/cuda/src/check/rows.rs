//! Rows against the reference.

use attune_exact::{
    activation,
    mantissa::{rows, Width},
    norm, pass,
    rotary::{table, Rotary},
};

use super::{equal, same, Compared, Source};
use crate::{
    buffer::Buffer,
    device::Device,
    error::Result,
    ops::{Faults, Norm, NormBack, NormOut, Pieces, Strides, Swiglu, SwigluBack, Turn},
};

/// Widths that blocks of threads divide, and ones that they don't.
const COLUMNS: [usize; 6] = [1, 2, 31, 64, 257, 1000];
const ROWS: usize = 18;

/// Mantissas of whole rows.
fn quantised(
    device: &Device,
    x: &[f32],
    columns: usize,
    times: Option<&Buffer<f32>>,
    width: Width,
    faults: &Faults,
) -> Result<(Vec<i16>, Vec<f32>)> {
    let n = x.len() / columns;
    let (x, mut q, mut scale) = (device.upload(x)?, device.zeros(x.len())?, device.zeros(n)?);
    let (pieces, whole) = (Pieces { rows: n, groups: 1, columns }, Strides::rows(columns));
    let to = (scale.all_mut(), Strides::rows(1));
    let times = times.map(Buffer::all);
    device.quantise_rows(
        pieces,
        (x.all(), whole),
        times,
        width,
        (q.all_mut(), whole),
        to,
        faults.check(3, 0),
    )?;
    Ok((q.download()?, scale.download()?))
}

pub(super) fn quantise(device: &Device, source: &mut Source) -> Compared {
    let (mut count, faults) = (0, Faults::new(device, 1)?);
    for columns in COLUMNS {
        let x = source.hard_rows(ROWS, columns);
        let w: Vec<f32> = (0..columns).map(|_| source.unit()).collect();
        let w_there = device.upload(&w)?;
        for width in [Width::Wide, Width::Narrow] {
            for times in [false, true] {
                let factored =
                    x.iter().enumerate().map(|(at, x)| if times { x * w[at % columns] } else { *x });
                let expected =
                    rows(&factored.collect::<Vec<f32>>(), columns, width).expect("all is finite, qed");
                let (q, scale) = quantised(device, &x, columns, times.then_some(&w_there), width, &faults)?;
                count += same("mantissas", &expected.values, &q)? + same("scales", &expected.scales, &scale)?;
            }
        }
        count += pieces(device, source, columns, &faults)?;
    }
    Ok(count + equal("fault", &None, &faults.first()?)?)
}

/// Three pieces of a row, each with a scale of its own; the scales piece by piece.
fn pieces(device: &Device, source: &mut Source, columns: usize, faults: &Faults) -> Compared {
    let x = source.hard_rows(3 * ROWS, columns);
    let expected = rows(&x, columns, Width::Narrow).expect("all is finite, qed");
    let (there, mut q, mut scale) = (device.upload(&x)?, device.zeros(x.len())?, device.zeros(3 * ROWS)?);
    let at = Strides { row: 3 * columns, group: columns };
    let to = (scale.all_mut(), Strides { row: 1, group: ROWS });
    let pieces = Pieces { rows: ROWS, groups: 3, columns };
    let check = faults.check(3, 0);
    device.quantise_rows(pieces, (there.all(), at), None, Width::Narrow, (q.all_mut(), at), to, check)?;
    let scales: Vec<f32> = (0..3 * ROWS).map(|at| expected.scales[at % ROWS * 3 + at / ROWS]).collect();
    Ok(same("pieces", &expected.values, &q.download()?)? + same("scales", &scales, &scale.download()?)?)
}

/// x, w and what the reference's norm makes of them.
fn normed(source: &mut Source, columns: usize) -> (Vec<f32>, Vec<f32>, norm::Forward) {
    let mut x = source.hard_rows(ROWS, columns);
    // Rows of any exponent overflow in w; that is a fault, and not looked for here.
    x.iter_mut().for_each(|x| *x = if x.abs() > 1e18 { 1e18 } else { *x });
    let w: Vec<f32> = source.reals(columns, 2.0);
    let made = norm::forward(&x, &w, 1e-5).expect("all is finite, qed");
    (x, w, made)
}

pub(super) fn norm(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for columns in COLUMNS {
        let (x, w, made) = normed(source, columns);
        let Ok(expected) = rows(&made.y, columns, Width::Wide) else { continue };
        let (x, w, faults) = (device.upload(&x)?, device.upload(&w)?, Faults::new(device, 1)?);
        for map in [None, Some(vec![3u32, 17, 0, 4])] {
            let picked: Vec<usize> =
                map.as_ref().map_or((0..ROWS).collect(), |map| map.iter().map(|row| *row as usize).collect());
            let there = map.as_ref().map(|map| device.upload(map)).transpose()?;
            let n = picked.len();
            let (mut q, mut scale, mut rho, mut y) =
                (device.zeros(n * columns)?, device.zeros(n)?, device.zeros(n)?, device.zeros(n * columns)?);
            let places = there.as_ref().map(Buffer::all);
            let norm = Norm { x: x.all(), places, w: w.all(), epsilon: 1e-5, rows: n };
            let (own, reader) = (faults.check(1, 0), faults.check(2, 0));
            let y_out = Some(y.all_mut());
            let out = NormOut { q: q.all_mut(), scale: scale.all_mut(), rho: rho.all_mut(), y: y_out };
            device.norm(&norm, out, own, reader)?;
            let (y, q, scale, rho) = (y.download()?, q.download()?, scale.download()?, rho.download()?);
            for (at, row) in picked.into_iter().enumerate() {
                let (to, from) = (at * columns..(at + 1) * columns, row * columns..(row + 1) * columns);
                count += same("y", &made.y[from.clone()], &y[to.clone()])?;
                count += same("mantissas", &expected.values[from], &q[to])?;
                count += same("scale", &expected.scales[row..=row], &scale[at..=at])?;
                count += same("rho", &made.rho[row..=row], &rho[at..=at])?;
            }
        }
        count += equal("fault", &None, &faults.first()?)?;
    }
    Ok(count)
}

pub(super) fn norm_backward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for columns in COLUMNS {
        let (x, w, made) = normed(source, columns);
        let dy: Vec<f32> = source.hard_rows(ROWS, columns).iter().map(|dy| dy.clamp(-1e30, 1e30)).collect();
        let residual = source.reals(ROWS * columns, 1.0);
        let dx = norm::backward(&dy, &x, &w, &made).expect("all is finite, qed");
        let (x, w, dy) = (device.upload(&x)?, device.upload(&w)?, device.upload(&dy)?);
        let (rho, faults) = (device.upload(&made.rho)?, Faults::new(device, 1)?);
        let norm = Norm { x: x.all(), places: None, w: w.all(), epsilon: 1e-5, rows: ROWS };
        for added in [false, true] {
            let mut found = device.upload(&residual)?;
            let back = NormBack { dy: dy.all(), norm, rho: rho.all(), residual: added };
            device.norm_backward(&back, found.all_mut(), faults.check(1, 0))?;
            let sum = dx.iter().zip(&residual).map(|(dx, residual)| if added { dx + residual } else { *dx });
            count += same("dx", &sum.collect::<Vec<f32>>(), &found.download()?)?;
        }
        count += equal("fault", &None, &faults.first()?)?;
    }
    Ok(count)
}

pub(super) fn rotate(device: &Device, source: &mut Source) -> Compared {
    let (heads, dim, rows) = (3, 10, 9);
    let positions: Vec<u32> = (0..rows).map(|row| [0, 1, 2, 0, 1, 40, 7, 3, 99][row]).collect();
    let Rotary { pairs, cosine, sine } = table(dim, 10_000.0, None, &(0..100).collect::<Vec<u32>>());
    let picked = table(dim, 10_000.0, None, &positions);
    let x = source.hard_rows(rows, heads * dim);
    // Two of the three heads are turned.
    let turned = pass::columns(&x, heads * dim, 0, 2 * dim);
    let rest = pass::columns(&x, heads * dim, 2 * dim, dim);
    let mut count = 0;
    for turn in [Turn::Forward, Turn::Backward] {
        let expected =
            if turn == Turn::Forward { picked.rotate(&turned) } else { picked.rotate_back(&turned) };
        let expected = pass::side_by_side(&[(&expected, 2 * dim), (&rest, dim)]);
        let mut there = device.upload(&x)?;
        let (cosine, sine, positions) =
            (device.upload(&cosine)?, device.upload(&sine)?, device.upload(&positions)?);
        let tables = (cosine.all(), sine.all(), pairs);
        device.rotate((there.all_mut(), heads * dim, 2), tables, positions.all(), turn)?;
        count += same("rotated", &expected, &there.download()?)?;
    }
    Ok(count)
}

pub(super) fn embed(device: &Device, source: &mut Source) -> Compared {
    let (frozen, tokens) = (source.w8(20, 77), vec![0u32, 19, 7, 7, 3]);
    let expected = pass::embed(&frozen, &tokens);
    let (q, scales) = (device.upload(&frozen.values)?, device.upload(&frozen.scales)?);
    let (there, mut x) = (device.upload(&tokens)?, device.zeros(tokens.len() * 77)?);
    device.embed((q.all(), scales.all()), there.all(), 77, x.all_mut())?;
    same("rows", &expected, &x.download()?)
}

/// Gate and up, all over the sigmoid's range and beyond.
fn gates(source: &mut Source, inner: usize) -> Vec<f32> {
    let mut all = source.hard_rows(ROWS, 2 * inner);
    for (at, x) in all.iter_mut().enumerate() {
        *x = match at / (2 * inner) % 4 {
            0 => *x * 100.0,
            1 => *x * 20.0,
            _ => *x,
        }
        .clamp(-1e15, 1e15);
    }
    all
}

pub(super) fn swiglu(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for inner in COLUMNS {
        let x = gates(source, inner);
        let act = activation::forward(&x, inner);
        let expected = rows(&act, inner, Width::Wide).expect("all is finite, qed");
        let (there, faults) = (device.upload(&x)?, Faults::new(device, 1)?);
        let (mut q, mut scale, mut y) =
            (device.zeros(act.len())?, device.zeros(ROWS)?, device.zeros(act.len())?);
        let from = Swiglu { gate_up: there.all(), inner, rows: ROWS };
        device.swiglu(&from, (q.all_mut(), scale.all_mut()), Some(y.all_mut()), faults.check(1, 0))?;
        count += same("activation", &act, &y.download()?)?;
        count += same("mantissas", &expected.values, &q.download()?)?;
        count += same("scales", &expected.scales, &scale.download()?)?;
        count += equal("fault", &None, &faults.first()?)?;
    }
    Ok(count)
}

pub(super) fn swiglu_backward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for inner in COLUMNS {
        let (x, w) = (gates(source, inner), source.reals(2 * inner, 0.1));
        let da: Vec<f32> = source.hard_rows(ROWS, inner).iter().map(|da| da.clamp(-1e6, 1e6)).collect();
        let d = activation::backward(&x, &da, inner);
        let h: Vec<f32> = d.iter().enumerate().map(|(at, d)| d * w[at % (2 * inner)]).collect();
        let expected = rows(&h, 2 * inner, Width::Wide).expect("all is finite, qed");
        let (there, da, w) = (device.upload(&x)?, device.upload(&da)?, device.upload(&w)?);
        let (mut q, mut scale, mut found) =
            (device.zeros(d.len())?, device.zeros(ROWS)?, device.zeros(d.len())?);
        let faults = Faults::new(device, 1)?;
        let forward = Swiglu { gate_up: there.all(), inner, rows: ROWS };
        let from = SwigluBack { forward, da: da.all(), w: w.all() };
        let check = faults.check(1, 0);
        device.swiglu_backward(&from, (q.all_mut(), scale.all_mut()), Some(found.all_mut()), check)?;
        count += same("gradient", &d, &found.download()?)?;
        count += same("mantissas", &expected.values, &q.download()?)?;
        count += same("scales", &expected.scales, &scale.download()?)?;
        count += equal("fault", &None, &faults.first()?)?;
    }
    Ok(count)
}

/// What is not finite is noted by the sequence that it is in and the lowest operator.
pub(super) fn faults(device: &Device, source: &mut Source) -> Compared {
    let (columns, mut count) = (37, 0);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN] {
        for (row, sequence) in [(0, 0), (5, 0), (6, 1), (17, 2)] {
            let mut x = source.reals(ROWS * columns, 1.0);
            x[row * columns + source.below(columns)] = bad;
            let (there, w) = (device.upload(&x)?, device.upload(&vec![1.0; columns])?);
            let (mut q, mut scale, mut rho) =
                (device.zeros(x.len())?, device.zeros(ROWS)?, device.zeros(ROWS)?);
            let faults = Faults::new(device, 3)?;
            let norm = Norm { x: there.all(), places: None, w: w.all(), epsilon: 1e-5, rows: ROWS };
            let out = NormOut { q: q.all_mut(), scale: scale.all_mut(), rho: rho.all_mut(), y: None };
            device.norm(&norm, out, faults.check(8, 6), faults.check(9, 6))?;
            count += equal("fault of a norm", &Some((sequence, 8)), &faults.first()?)?;
            let faults = Faults::new(device, 3)?;
            let (pieces, whole) = (Pieces { rows: ROWS, groups: 1, columns }, Strides::rows(columns));
            let to = (scale.all_mut(), Strides::rows(1));
            let from = (there.all(), whole);
            let check = faults.check(5, 6);
            device.quantise_rows(pieces, from, None, Width::Wide, (q.all_mut(), whole), to, check)?;
            count += equal("fault of mantissas", &Some((sequence, 5)), &faults.first()?)?;
        }
    }
    Ok(count)
}
