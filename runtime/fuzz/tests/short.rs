//! The short form: many scenarios out of a seeded generator, the same ones everywhere.

use attune_runtime_fuzz::{
    calls,
    random::Random,
    run::{run, Report},
    scenario::Scenario,
};

/// How many calls are dispatched at least.
const CALLS: u64 = 20_000;

/// How many different calls have to come up to their weight.
const CALLS_UP_TO_THEIR_WEIGHT: usize = 20;

/// Steps of a scenario here.
const STEPS: usize = 24;

/// Any; the run is a function of it.
const SEED: u64 = 4;

#[test]
fn twenty_thousand_calls_keep_every_rule_and_reach_every_call() {
    let mut random = Random::new(SEED);
    let mut report = Report::default();
    while report.dispatched() < CALLS {
        let scenario = Scenario::from_bytes(&random.scenario(STEPS));
        if let Err(broken) = run(&scenario, &mut report, &mut ()) {
            panic!(
                "{broken}\nThe scenario, which scripts/fuzz runtime --replay FILE tells:\n{}",
                scenario.to_text(&[])
            );
        }
    }
    for ((pallet, call), tally) in &report.calls {
        println!("{:>8} of {:>8}  {pallet}.{call}", tally.done, tally.done + tally.failed);
    }
    for ((pallet, call, error), count) in &report.errors {
        println!("{count:>8}  {pallet}.{call}: {error}");
    }
    for ((pallet, call), count) in &report.full {
        println!("{count:>8}  {pallet}.{call} touched all the keys that its weight is for");
    }
    println!(
        "{} calls in {} scenarios and {} blocks; {} succeeded, {} transactions were refused",
        report.dispatched(),
        report.scenarios,
        report.blocks,
        report.done(),
        report.refused
    );
    // Weights that are too low are found where calls come up to them.
    let full = report.full.len();
    assert!(
        full >= CALLS_UP_TO_THEIR_WEIGHT,
        "{full} calls touched all that their weight is for: {:?}",
        report.full
    );
    // A fuzzer whose calls nearly all fail tests nothing but errors.
    let share = report.done() * 100 / report.dispatched();
    assert!((40..95).contains(&share), "{share} % of the calls succeeded");
    let tally_of = |pallet, call| report.calls.get(&(pallet, call)).copied().unwrap_or_default();
    for operation in calls::OWN.iter().chain(calls::OTHERS) {
        let calls::Work::Call(pallet, call, _) = operation.work else { unreachable!("both hold calls only") };
        if calls::HARDLY_REACHED.contains(&operation.name().as_str()) {
            continue;
        }
        assert!(
            tally_of(pallet, call).done > 0,
            "{pallet}.{call} never succeeded: {:?}",
            tally_of(pallet, call)
        );
    }
    for operation in calls::OWN {
        let calls::Work::Call(pallet, call, _) = operation.work else { unreachable!("it holds calls only") };
        assert!(
            tally_of(pallet, call).failed > 0,
            "{pallet}.{call} never failed: it is not tried where it must not"
        );
    }
}
