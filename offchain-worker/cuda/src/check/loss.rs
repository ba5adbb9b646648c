//! Cross-entropy against the reference.

use attune_exact::{
    loss,
    mantissa::{rows, Width},
    step::omega,
    weights::Frozen,
};

use super::{equal, same, Compared, Source};
use crate::{
    device::Device,
    engine::{
        head::{Head, Targets},
        projection::Quantised,
        Matrix,
    },
    ops::{CrossEntropy, Epilogue, Faults, HeadGradient, Operand, Scales, Tables, Target},
};

/// Vocabulary, width, rows.
const SHAPES: [(usize, usize, usize); 3] = [(1, 3, 2), (50, 16, 27), (777, 20, 4)];

struct Case {
    head: Frozen,
    normed: Vec<f32>,
    targets: Vec<u32>,
    /// Of the vocabulary's rows, times the reference's rows.
    logits: Vec<f32>,
}

/// What the rows before the head are.
#[derive(Clone, Copy)]
enum Rows {
    /// Alike, in so wide a range.
    Plain(f32),
    /// Hard on their mantissas.
    Hard,
    /// Hard, and the head takes each of their elements to one logit, with a scale of its own; so the logits are hard, too.
    HardLogits,
}

/// The largest elements of hard rows: no loss comes near its limit.
const LARGEST: f32 = 1e3;

fn case(source: &mut Source, (vocabulary, hidden, n): (usize, usize, usize), of: Rows) -> Case {
    let (mut head, mut hidden) = (source.w8(vocabulary, hidden), hidden);
    let normed = match of {
        Rows::Plain(spread) => source.reals(n * hidden, spread),
        Rows::Hard => source.mixed_rows(n, hidden, LARGEST),
        Rows::HardLogits => {
            hidden = vocabulary;
            let values =
                (0..vocabulary * vocabulary).map(|at| i8::from(at % (vocabulary + 1) == 0)).collect();
            head = Frozen { values, scales: source.scales(vocabulary), inputs: hidden, ..head };
            source.mixed_rows(n, hidden, LARGEST)
        }
    };
    let targets = (0..n).map(|_| source.below(vocabulary) as u32).collect();
    let x = rows(&normed, hidden, Width::Wide).expect("all is finite, qed");
    let row = |t: usize| (0..vocabulary).map(move |v| (t, v));
    let logit = |(t, v)| attune_exact::element::base(x.vector(t), head.row(v));
    let logits = (0..n).flat_map(row).map(logit).collect();
    Case { head, normed, targets, logits }
}

pub(super) fn forward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (vocabulary, hidden, n) in SHAPES {
        for of in [Rows::Plain(0.0), Rows::Plain(1.0), Rows::Plain(100.0), Rows::Hard, Rows::HardLogits] {
            let Case { head, normed, targets, logits } = case(source, (vocabulary, hidden, n), of);
            let expected = loss::forward(&normed, &head, &targets).expect("all is finite, qed");
            let (z, w) = (device.upload(&logits)?, device.upload(&head.scales)?);
            let places: Vec<u32> = (0..n as u32).collect();
            let (targets, places) = (device.upload(&targets)?, device.upload(&places)?);
            let (mut losses, mut zeta) = (device.zeros(n)?, device.zeros(n)?);
            let faults = Faults::new(device, 1)?;
            let from = CrossEntropy {
                logits: z.all(),
                w: w.all(),
                targets: targets.all(),
                places: places.all(),
                tokens: n,
            };
            let checks = (faults.check(1, 0), faults.check(2, 0));
            device.cross_entropy(&from, losses.all_mut(), zeta.all_mut(), None, checks)?;
            let each: Vec<i64> = expected
                .losses
                .iter()
                .map(|loss| attune_exact::real::int(loss * attune_exact::real::pow2(24)))
                .collect();
            count += same("losses", &each, &losses.download()?)?;
            count += equal("sum", &expected.sum, &losses.download()?.iter().sum())?;
            count += equal("fault", &None, &faults.first()?)?;
        }
    }
    Ok(count + limits(device)?)
}

/// Logits that are not finite, and a loss that is too large, in the third of four rows; two rows a sequence.
fn limits(device: &Device) -> Compared {
    let (vocabulary, n, mut count) = (40, 4, 0);
    // One logit of 0 far above all others, so that ln Z is 0 and the loss is the target's logit, turned over.
    let largest = 65_535.99;
    for bad in [f32::NAN, f32::INFINITY, -65_536.0, -largest] {
        let mut logits = vec![-1e9; n * vocabulary];
        (0..n).for_each(|row| logits[row * vocabulary..][..8].fill(0.0));
        logits[2 * vocabulary + 1..][..7].fill(-1e9);
        logits[2 * vocabulary + 7] = bad;
        let (z, w) = (device.upload(&logits)?, device.upload(&vec![0.5; vocabulary])?);
        let (targets, places) = (device.upload(&[7u32; 4])?, device.upload(&[0u32, 1, 2, 3])?);
        let (mut losses, mut zeta) = (device.zeros(n)?, device.zeros(n)?);
        let faults = Faults::new(device, 2)?;
        let from = CrossEntropy {
            logits: z.all(),
            w: w.all(),
            targets: targets.all(),
            places: places.all(),
            tokens: n,
        };
        let checks = (faults.check(1, 2), faults.check(2, 2));
        device.cross_entropy(&from, losses.all_mut(), zeta.all_mut(), None, checks)?;
        let expected = (bad != -largest).then_some((1, 1));
        count += equal("fault", &expected, &faults.first()?)?;
    }
    // A gradient that is not finite, of logits that are: a channel's scale of the head, where only it is read.
    for bad in [f32::NAN, f32::INFINITY] {
        let mut w = vec![0.5; vocabulary];
        w[11] = bad;
        let (z, w) = (device.upload(&vec![0.0; n * vocabulary])?, device.upload(&w)?);
        let (targets, places) = (device.upload(&[7u32; 4])?, device.upload(&[2u32, 3, 4, 5])?);
        let (mut losses, mut zeta) = (device.zeros(n)?, device.zeros(n)?);
        let (mut u, mut scale) = (device.zeros::<i16>(n * vocabulary)?, device.zeros(n)?);
        let faults = Faults::new(device, 3)?;
        let from = CrossEntropy {
            logits: z.all(),
            w: w.all(),
            targets: targets.all(),
            places: places.all(),
            tokens: 6,
        };
        let (checks, made) = ((faults.check(1, 2), faults.check(2, 2)), Some((u.all_mut(), scale.all_mut())));
        device.cross_entropy(&from, losses.all_mut(), zeta.all_mut(), made, checks)?;
        count += equal("fault backwards", &Some((1, 2)), &faults.first()?)?;
    }
    Ok(count)
}

pub(super) fn backward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (vocabulary, hidden, n) in SHAPES {
        for of in [Rows::Plain(0.0), Rows::Plain(1.0), Rows::Plain(30.0), Rows::Hard, Rows::HardLogits] {
            let Case { head, normed, targets, logits } = case(source, (vocabulary, hidden, n), of);
            let hidden = head.inputs;
            let saved = loss::forward(&normed, &head, &targets).expect("all is finite, qed");
            let omega = omega(3 * n as u64);
            let expected = loss::backward(&saved, &head, &targets, omega).expect("all is finite, qed");
            let (z, w, q) =
                (device.upload(&logits)?, device.upload(&head.scales)?, device.upload(&head.values)?);
            let places: Vec<u32> = (0..n as u32).collect();
            let (targets, places) = (device.upload(&targets)?, device.upload(&places)?);
            let (mut losses, mut zeta) = (device.zeros(n)?, device.zeros(n)?);
            let (mut u, mut scale) = (device.zeros::<i16>(n * vocabulary)?, device.zeros(n)?);
            let faults = Faults::new(device, 1)?;
            let from = CrossEntropy {
                logits: z.all(),
                w: w.all(),
                targets: targets.all(),
                places: places.all(),
                tokens: n,
            };
            let checks = (faults.check(1, 0), faults.check(2, 0));
            let made = Some((u.all_mut(), scale.all_mut()));
            device.cross_entropy(&from, losses.all_mut(), zeta.all_mut(), made, checks)?;
            let mut dn = device.zeros(n * hidden)?;
            let left = Operand::mantissas(u.all(), n, vocabulary, vocabulary);
            let right = Operand::w8(q.all(), vocabulary, hidden).transposed();
            let epilogue = Epilogue::scaled(Scales::of(scale.all()), Scales::ONES);
            device.product(&left, &right, &epilogue, Target::rows(dn.all_mut(), hidden), Tables::ONE)?;
            let from =
                HeadGradient { zeta: zeta.all(), head: (q.all(), w.all()), targets: targets.all(), omega };
            device.head_gradient(&from, dn.all_mut())?;
            count += same("gradient", &expected, &dn.download()?)?;
            count += equal("fault", &None, &faults.first()?)?;
        }
    }
    Ok(count)
}

/// The head and its loss in chunks of rows: one chunk, the least, and such as divide the rows or leave some; and the
/// sequence of a row whose logits are not finite, in each of them.
pub(super) fn chunked(device: &Device, source: &mut Source) -> Compared {
    let (n, length, mut count) = (45, 20, 0);
    for of in [Rows::Plain(1.0), Rows::Hard, Rows::HardLogits] {
        let Case { head, normed, targets, .. } = case(source, (50, 16, n), of);
        let saved = loss::forward(&normed, &head, &targets).expect("all is finite, qed");
        let omega = omega(n as u64);
        let expected = loss::backward(&saved, &head, &targets, omega).expect("all is finite, qed");
        let (vocabulary, matrix, x) = (head.outputs, Matrix::of(device, &head)?, device.upload(&normed)?);
        // Three of four tokens bear loss.
        let places: Vec<u32> = (0..n as u32).map(|row| row * 4 / 3).collect();
        let targets = Targets { places: device.upload(&places)?, targets: device.upload(&targets)? };
        for (rows, bad) in [0, 15, 19, 44, 45, 1000]
            .iter()
            .flat_map(|rows| [None, Some(0), Some(20), Some(44)].map(|bad| (rows, bad)))
        {
            let (faults, size) = (Faults::new(device, 3)?, (n, head.inputs));
            let mut x = Quantised::of(device, x.all(), size, None, Width::Wide, faults.check(0, length))?;
            if let Some(bad) = bad {
                let mut scales = x.scales.download()?;
                scales[bad] = f32::INFINITY;
                x.scales.set(&scales)?;
            }
            let head = Head {
                device,
                matrix: &matrix,
                targets: &targets,
                tokens: 3 * length,
                chunk: rows * vocabulary,
                forward: faults.check(1, length),
                backward: faults.check(2, length),
            };
            let mut dn = device.zeros(normed.len())?;
            let sums = [head.run(&x, Some((omega, dn.all_mut())))?, head.run(&x, None)?];
            let failed = bad.map(|bad| (places[bad] as usize / length, 1));
            count += equal(&format!("chunks of {rows} rows: fault"), &failed, &faults.first()?)?;
            if bad.is_none() {
                count += same(&format!("chunks of {rows} rows: sum"), &[saved.sum; 2], &sums)?;
                count += same(&format!("chunks of {rows} rows: gradient"), &expected, &dn.download()?)?;
            }
        }
    }
    Ok(count)
}
