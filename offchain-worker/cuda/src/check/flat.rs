//! Flat vectors against the reference.

use attune_exact::{
    optimizer::{gradient_norm, AdamW, Scalars, State},
    step::accumulate,
};

use super::{equal, same, Compared, Source};
use crate::{device::Device, ops::Faults};

/// Lengths around those of blocks.
const LENGTHS: [usize; 5] = [1, 255, 1024, 4099, 300_001];

pub(super) fn norm(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for length in LENGTHS {
        for scale in [1.0, 1e-30, 1e30] {
            let g: Vec<f32> = source.reals(length, scale);
            let expected = gradient_norm(&g).expect("all is finite, qed");
            let found = device.gradient_norm(device.upload(&g)?.all())?;
            count += equal("norm", &Some(expected.to_bits()), &found.map(f64::to_bits))?;
        }
    }
    for g in [vec![0.0; 10], vec![1e-45, 0.0, -1e-45], source.hard_rows(9, 100)] {
        let expected = gradient_norm(&g).ok();
        let found = device.gradient_norm(device.upload(&g)?.all())?;
        count += equal("norm", &expected.map(f64::to_bits), &found.map(f64::to_bits))?;
    }
    for bad in [f32::NAN, f32::INFINITY] {
        let mut g = source.reals(5000, 1.0);
        g[4321] = bad;
        count += equal("norm", &None, &device.gradient_norm(device.upload(&g)?.all())?)?;
    }
    Ok(count)
}

fn update_of(source: &mut Source, length: usize) -> (State, Vec<f32>) {
    let second = source.reals(length, 1.0).iter().map(|v| v * v).collect();
    let state = State { adapter: source.reals(length, 1.0), first: source.reals(length, 0.1), second };
    let mut g = source.reals(length, 0.01);
    // Where the root is 0 or subnormal.
    g.iter_mut().step_by(7).for_each(|g| *g = 0.0);
    g.iter_mut().step_by(11).for_each(|g| *g *= 1e-38);
    (state, g)
}

pub(super) fn update(device: &Device, source: &mut Source) -> Compared {
    let config = AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    let mut count = 0;
    for (index, length) in LENGTHS.into_iter().enumerate() {
        let (state, mut g) = update_of(source, length);
        let other = source.reals(length, 1e-3);
        let mut there = device.upload(&g)?;
        device.add(there.all_mut(), device.upload(&other)?.all())?;
        device.scale(there.all_mut(), 0.37)?;
        accumulate(&mut g, &other);
        g.iter_mut().for_each(|g| *g *= 0.37);
        count += same("sum and clipping", &g, &there.download()?)?;
        let with = Scalars::new(&config, 3e-4, 1 + index as u64);
        let expected = reference(&state, &g, &with);
        let (mut theta, mut m, mut v) =
            (device.upload(&state.adapter)?, device.upload(&state.first)?, device.upload(&state.second)?);
        let faults = Faults::new(device, 1)?;
        let moments = (m.all_mut(), v.all_mut());
        device.adamw(theta.all_mut(), there.all(), moments, &with, faults.check(7, 0))?;
        count += same("parameters", &expected.adapter, &theta.download()?)?;
        count += same("first moments", &expected.first, &m.download()?)?;
        count += same("second moments", &expected.second, &v.download()?)?;
        count += equal("fault", &None, &faults.first()?)?;
        theta = device.upload(&vec![f32::MAX; length])?;
        let huge = Scalars { decay: 2.0, ..with };
        let moments = (m.all_mut(), v.all_mut());
        device.adamw(theta.all_mut(), there.all(), moments, &huge, faults.check(7, 0))?;
        count += equal("fault", &Some((0, 7)), &faults.first()?)?;
    }
    Ok(count)
}

fn reference(state: &State, g: &[f32], with: &Scalars) -> State {
    attune_exact::optimizer::update(state, g, with).expect("all is finite, qed")
}
