//! Runs a scenario and keeps count.

use crate::{
    accounts,
    calls::{self, Work},
    chain,
    dispatch::{self, Origin, Outcome},
    draw::Draw,
    invariants, logging,
    scenario::{Scenario, Step},
    weights,
};
use attune_primitives::BlockNumber;
use attune_runtime::RuntimeCall;
use frame_support::traits::GetCallMetadata;
use frame_system::RawOrigin;
use std::collections::BTreeMap;

/// Most blocks of one scenario: enough for several waits for the longest window.
pub const MAX_BLOCKS: BlockNumber = 320;
/// Invariants are checked after every so many calls, and at the end.
const CHECK_EVERY: u64 = 24;
/// After every so many calls, the whole state is compared if the call fails.
const SAMPLE_EVERY: u64 = 16;

/// How often a call was dispatched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it succeeded.
    pub done: u64,
    /// How often it failed.
    pub failed: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every call that was dispatched, by pallet and name. Calls inside of a batch are not told apart.
    pub calls: BTreeMap<(&'static str, &'static str), Tally>,
    /// Errors of calls, by how often they came.
    pub errors: BTreeMap<(&'static str, &'static str, String), u64>,
    /// How often a call of Attune's pallets read and wrote all the keys that its weight is for: how near the rule about
    /// weights comes to what it is about.
    pub full: BTreeMap<(&'static str, &'static str), u64>,
    /// Transactions that never got into a block.
    pub refused: u64,
    /// Blocks that were executed.
    pub blocks: u64,
    /// How many scenarios.
    pub scenarios: u64,
}

impl Report {
    /// Calls that were dispatched.
    pub fn dispatched(&self) -> u64 {
        self.calls.values().map(|tally| tally.done + tally.failed).sum()
    }

    /// Calls that succeeded.
    pub fn done(&self) -> u64 {
        self.calls.values().map(|tally| tally.done).sum()
    }
}

/// What listens to a run.
pub trait Listener {
    /// A step begins.
    fn step(&mut self, _: usize, _: &Step) {}
    /// A call is about to be dispatched.
    fn call(&mut self, _: &Origin, _: &RuntimeCall) {}
    /// It was.
    fn outcome(&mut self, _: &Outcome) {}
    /// Blocks were executed.
    fn blocks(&mut self, _: BlockNumber) {}
}

/// Nobody listens.
impl Listener for () {}

/// A scenario while it runs: what steps act on.
pub struct Run<'a> {
    pays_fees: bool,
    blocks_left: BlockNumber,
    since_check: u64,
    since_sample: u64,
    report: &'a mut Report,
    listener: &'a mut dyn Listener,
}

impl Run<'_> {
    /// Dispatches a call and checks it.
    ///
    /// # Errors
    /// A rule that is broken.
    pub fn attempt(&mut self, origin: &Origin, call: RuntimeCall) -> Result<Outcome, String> {
        let stranger = RawOrigin::Signed(accounts::account(accounts::STRANGER));
        // Nobody has the keys of pools, so somebody else signs what a generator meant for one.
        let origin = match origin {
            RawOrigin::Signed(who) if accounts::is_pool(who) => &stranger,
            origin => origin,
        };
        self.listener.call(origin, &call);
        let metadata = call.get_call_metadata();
        let name = (metadata.pallet_name, metadata.function_name);
        self.since_sample += 1;
        let sampled = self.since_sample >= SAMPLE_EVERY;
        if sampled {
            self.since_sample = 0;
        }
        let outcome = dispatch::attempt(origin, call, self.pays_fees, sampled)?;
        self.listener.outcome(&outcome);
        if let Some(call) = weights::take_full() {
            *self.report.full.entry(call).or_default() += 1;
        }
        match &outcome {
            Outcome::Done => self.report.calls.entry(name).or_default().done += 1,
            Outcome::Failed(error) => {
                self.report.calls.entry(name).or_default().failed += 1;
                let error: &'static str = (*error).into();
                *self.report.errors.entry((name.0, name.1, error.into())).or_default() += 1;
            }
            Outcome::Refused(_) => self.report.refused += 1,
        }
        self.since_check += 1;
        if self.since_check >= CHECK_EVERY {
            self.since_check = 0;
            invariants::check()?;
        }
        Ok(outcome)
    }

    /// The same, signed by `who`; true if it succeeded.
    ///
    /// # Errors
    /// A rule that is broken.
    pub fn signed(&mut self, who: attune_runtime::AccountId, call: RuntimeCall) -> Result<bool, String> {
        Ok(self.attempt(&RawOrigin::Signed(who), call)? == Outcome::Done)
    }

    /// Lets time pass, as far as the scenario has any left.
    ///
    /// # Errors
    /// A rule that is broken by the blocks' hooks.
    pub fn wait(&mut self, blocks: BlockNumber, silent: u8) -> Result<(), String> {
        let blocks = blocks.min(self.blocks_left);
        self.blocks_left -= blocks;
        self.report.blocks += u64::from(blocks);
        self.listener.blocks(blocks);
        chain::advance(blocks, silent);
        logging::take()
            .map_or(Ok(()), |said| Err(format!("code that can't be reached was reached in a hook: {said}")))
    }

    /// Waits until after `block`, if the scenario lasts that long; false if it doesn't.
    ///
    /// # Errors
    /// As [`Run::wait`].
    pub fn wait_past(&mut self, block: BlockNumber) -> Result<bool, String> {
        let wanted = (block + 1).saturating_sub(chain::now());
        if wanted > self.blocks_left {
            return Ok(false);
        }
        self.wait(wanted, 0)?;
        Ok(true)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let mut draw = Draw::new(&step.arguments);
        match step.operation.work {
            Work::Call(_, _, make) => {
                let who = draw.byte();
                let (natural, call) = make(&mut draw);
                let name = step.operation.name();
                let natural = if calls::FOR_ROOT.contains(&name.as_str()) {
                    RawOrigin::Root
                } else if calls::AUTHORISED.contains(&name.as_str()) {
                    RawOrigin::Authorized
                } else {
                    RawOrigin::Signed(natural)
                };
                self.attempt(&origin(who, natural), call)?;
            }
            Work::Template(_, play) => play(&mut draw, self)?,
            Work::Time => {
                let blocks = match draw.byte() {
                    byte @ 0..=191 => BlockNumber::from(byte % 8) + 1,
                    byte => BlockNumber::from(byte - 191),
                };
                let silent = if draw.rarely(8) { draw.byte() } else { 0 };
                self.wait(blocks, silent)?;
            }
        }
        Ok(())
    }
}

/// Who calls: mostly the one that the call is for.
fn origin(who: u8, natural: Origin) -> Origin {
    match who {
        0..=207 => natural,
        208..=239 => RawOrigin::Signed(accounts::somebody(who - 208)),
        240..=247 => RawOrigin::Root,
        248..=251 => RawOrigin::None,
        252 => RawOrigin::Signed(accounts::nobody()),
        _ => RawOrigin::Signed(accounts::account(accounts::POOR)),
    }
}

/// Runs a scenario from its start, on a chain of its own.
///
/// # Errors
/// Says which rule was broken by which step.
pub fn run(scenario: &Scenario, report: &mut Report, listener: &mut dyn Listener) -> Result<(), String> {
    run_and(scenario, report, listener, || {})
}

/// Runs a scenario, and looks at the chain before it is forgotten.
///
/// # Errors
/// As [`run`].
pub fn run_then(scenario: &Scenario, report: &mut Report, look: impl FnOnce()) -> Result<(), String> {
    run_and(scenario, report, &mut (), look)
}

fn run_and(
    scenario: &Scenario,
    report: &mut Report,
    listener: &mut dyn Listener,
    look: impl FnOnce(),
) -> Result<(), String> {
    logging::listen();
    logging::take();
    report.scenarios += 1;
    chain::on_a_fresh_chain(scenario.start, || {
        let mut run = Run {
            pays_fees: scenario.pays_fees,
            blocks_left: MAX_BLOCKS,
            since_check: 0,
            since_sample: 0,
            report,
            listener,
        };
        for (place, step) in scenario.steps.iter().enumerate() {
            run.listener.step(place, step);
            run.step(step).map_err(|broken| format!("step {place}, {step:?}: {broken}"))?;
        }
        invariants::check().map_err(|broken| format!("after the last step: {broken}"))?;
        look();
        Ok(())
    })
}
