//! Makes a finding small: leaves out steps and bytes for as long as a rule stays broken.

use crate::{
    run::{run, Report},
    scenario::{Scenario, Start, ARGUMENT_BYTES},
};
use std::panic::{catch_unwind, set_hook, take_hook};

/// Whether a scenario breaks a rule, or panics.
fn breaks(scenario: &Scenario) -> bool {
    let outcome = catch_unwind(|| run(scenario, &mut Report::default(), &mut ()));
    !matches!(outcome, Ok(Ok(())))
}

/// The smallest scenario found that still breaks a rule; the scenario itself if it breaks none.
pub fn shrink(scenario: Scenario) -> Scenario {
    let hook = take_hook();
    // Each try that panics would tell so.
    set_hook(Box::new(|_| {}));
    let small = if breaks(&scenario) { smaller(scenario) } else { scenario };
    set_hook(hook);
    small
}

fn smaller(mut best: Scenario) -> Scenario {
    for change in [|s: &mut Scenario| s.pays_fees = false, |s: &mut Scenario| s.start = Start::Prepared] {
        let mut tried = best.clone();
        change(&mut tried);
        if breaks(&tried) {
            best = tried;
        }
    }
    // Runs of steps first, then shorter and shorter ones.
    let mut length = best.steps.len().div_ceil(2);
    while length > 0 {
        let mut place = 0;
        while place < best.steps.len() {
            let mut tried = best.clone();
            tried.steps.drain(place..(place + length).min(best.steps.len()));
            if breaks(&tried) {
                best = tried;
            } else {
                place += length;
            }
        }
        length /= 2;
    }
    for step in 0..best.steps.len() {
        for byte in 0..ARGUMENT_BYTES {
            let mut tried = best.clone();
            tried.steps[step].arguments[byte] = 0;
            if tried != best && breaks(&tried) {
                best = tried;
            }
        }
    }
    best
}
