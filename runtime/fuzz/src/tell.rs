//! Tells a scenario while it runs: what a person reads to understand a finding.

use crate::{
    accounts,
    dispatch::{Origin, Outcome},
    run::{run, Listener, Report},
    scenario::{Scenario, Step},
};
use attune_primitives::BlockNumber;
use attune_runtime::{genesis::accounts::ACCOUNTS, RuntimeCall};
use frame_system::RawOrigin;

struct Teller;

impl Listener for Teller {
    fn step(&mut self, place: usize, step: &Step) {
        println!("{place:>3}  {step:?}");
    }

    fn call(&mut self, origin: &Origin, call: &RuntimeCall) {
        let who = match origin {
            RawOrigin::Signed(who) => accounts::name(who),
            other => format!("{other:?}"),
        };
        println!("       block {}  {who}: {}", crate::chain::now(), readable(call));
    }

    fn outcome(&mut self, outcome: &Outcome) {
        println!("         {outcome:?}");
    }

    fn blocks(&mut self, blocks: BlockNumber) {
        println!("       {blocks} blocks pass");
    }
}

/// A call with names in place of keys.
fn readable(call: &RuntimeCall) -> String {
    let mut text = format!("{call:?}");
    let pools = (0..6).map(|index| attune_runtime::ProviderStaking::pool_account_of(&accounts::stash(index)));
    let known = ACCOUNTS.iter().map(|(_, key)| (*key).into()).chain(pools).chain([accounts::nobody()]);
    for who in known {
        text = text.replace(&format!("{who:?}"), &accounts::name(&who));
    }
    text
}

/// Runs a scenario and prints every step and call to standard output as it happens.
///
/// # Errors
/// The rule that was broken.
pub fn tell(scenario: &Scenario) -> Result<(), String> {
    let mut report = Report::default();
    run(scenario, &mut report, &mut Teller)?;
    println!(
        "every rule holds: {} calls, {} of which succeeded, {} blocks",
        report.dispatched(),
        report.done(),
        report.blocks
    );
    Ok(())
}
