//! Every call by every origin, on the whole runtime: nobody, root, and strangers with and without money.
//!
//! A stranger is somebody with no part in anything: no job, no provider, no delegation, no model. What a stranger may do
//! is a list here; whatever else it tries is refused with an error of the pallet, and nothing changes.

use attune_runtime::{AccountId, RuntimeCall, RuntimeOrigin};
use attune_runtime_fuzz::{
    accounts,
    calls::{self, Make, Work},
    draw::Draw,
    random::Random,
    run::Report,
    scenario::{Scenario, Start},
};
use frame_support::dispatch::RawOrigin;
use sp_runtime::{traits::Dispatchable, DispatchError, StateVersion};
use std::collections::{BTreeMap, BTreeSet};

/// What anyone may do: enter with its own money, or push on what is due.
const OPEN_TO_ALL: [&str; 10] = [
    "ProviderStaking.register",
    "ProviderStaking.delegate",
    "ProviderStaking.evict",
    "ProviderStaking.deregister",
    "JobEscrow.create_job",
    "JobEscrow.enforce_deadline",
    "JobEscrow.claim_owed",
    "JobEscrow.prune_job",
    "ProofOfTraining.register_model",
    "ProofOfTraining.draw_audits",
];

/// The same, of audits.
const OPEN_TO_ALL_AUDITS: [&str; 1] = ["ProofOfTraining.enforce_audit_deadline"];

/// Calls that only root makes.
const FOR_ROOT: [&str; 0] = [];

/// Parameters that are tried for each call in each state.
const TRIES: usize = 24;

/// States in which calls are tried: stories that are told first.
fn states() -> Vec<(&'static str, Scenario)> {
    let told = |steps: &str| {
        Scenario::from_text(&format!("start prepared\nfees no\n{steps}")).expect("steps are well formed")
    };
    let genesis = Scenario { start: Start::Genesis, pays_fees: false, steps: Vec::new() };
    vec![
        ("genesis", genesis),
        ("jobs open, assigned, running, and audited", told("")),
        ("deadlines over", told("Time.pass ff000000000000000000\n")),
        (
            "audits that wait for a trace and for verdicts, a model without jobs",
            told(
                "ProofOfTraining.commit_verdict 00000000000000000000\n\
                 ProofOfTraining.commit_verdict 00000000000000000000\n\
                 ProofOfTraining.open_trace     00000000000000000000\n\
                 ProofOfTraining.register_model 00000500000000000000\n",
            ),
        ),
        ("a job driven half of its way", told("Template.job 00001000000000000000\n")),
        ("a dispute", told("Template.job 00780c00000000000000\n")),
        (
            "a finished job, long ago",
            told("Template.job 00003f00000000000000\nTime.pass    cf000000000000000000\n"),
        ),
        (
            "stake that is free, a provider on its way out",
            told(
                "Template.delegate_and_leave 00000500000000000000\n\
                 Time.pass                   ff000000000000000000\n\
                 ProviderStaking.exit        00010000000000000000\n",
            ),
        ),
        (
            "an empty pool",
            told(
                "ProviderStaking.exit  00000000000000000000\n\
                 Time.pass             ff000000000000000000\n\
                 ProviderStaking.evict 00000100000000000000\n",
            ),
        ),
        ("a fee owed", told("Template.auditor_leaves 00ff0000000000000000\n")),
    ]
}

fn own_calls() -> impl Iterator<Item = (String, Make)> {
    calls::OWN.iter().filter_map(|operation| match operation.work {
        Work::Call(_, _, make) => Some((operation.name(), make)),
        _ => None,
    })
}

fn root() -> Vec<u8> {
    sp_io::storage::root(StateVersion::V1)
}

/// Runs `with` in a state, for each call and many parameters.
fn everywhere(mut with: impl FnMut(&str, &str, RuntimeCall, AccountId)) {
    for (state, scenario) in states() {
        let mut random = Random::new(7);
        attune_runtime_fuzz::run::run_then(&scenario, &mut Report::default(), || {
            for (name, make) in own_calls() {
                for turn in 0..TRIES {
                    let mut bytes = random.scenario(1);
                    if turn == 0 {
                        bytes.fill(0);
                    }
                    let (natural, call) = make(&mut Draw::new(&bytes));
                    with(state, &name, call, natural);
                }
            }
        })
        .unwrap_or_else(|broken| panic!("{state}: {broken}"));
    }
}

/// Dispatches, looks whether the state changed, and takes everything back.
fn try_out(origin: RuntimeOrigin, call: RuntimeCall) -> (Result<(), DispatchError>, bool) {
    frame_support::storage::with_transaction_unchecked(|| {
        let before = root();
        let result = call.dispatch(origin).map(|_| ()).map_err(|failed| failed.error);
        let changed = root() != before;
        sp_runtime::TransactionOutcome::Rollback((result, changed))
    })
}

#[test]
fn no_call_is_open_to_nobody_and_only_roots_are_open_to_root() {
    let mut tried = BTreeSet::new();
    everywhere(|state, name, call, _| {
        tried.insert(name.to_string());
        for (origin, by) in [(RawOrigin::None, "nobody"), (RawOrigin::Root, "root")] {
            if by == "root" && FOR_ROOT.contains(&name) {
                continue;
            }
            let (result, changed) = try_out(origin.into(), call.clone());
            assert_eq!(result, Err(DispatchError::BadOrigin), "{state}: {name} by {by}");
            assert!(!changed, "{state}: {name} by {by} changed the state");
        }
    });
    assert_eq!(tried.len(), calls::OWN.len());
}

#[test]
fn what_only_root_may_do_is_refused_to_everyone_else() {
    everywhere(|state, name, call, natural| {
        if FOR_ROOT.contains(&name) {
            let (result, changed) = try_out(RawOrigin::Signed(natural).into(), call);
            assert_eq!(result, Err(DispatchError::BadOrigin), "{state}: {name}");
            assert!(!changed, "{state}: {name} changed the state");
        }
    });
}

#[test]
fn a_stranger_gets_an_error_of_the_pallet_and_changes_nothing_unless_the_call_is_open_to_all() {
    let open = |name: &str| OPEN_TO_ALL.contains(&name) || OPEN_TO_ALL_AUDITS.contains(&name);
    // Two strangers: one with money, one that doesn't exist.
    for who in [accounts::account(accounts::STRANGER), accounts::nobody()] {
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        everywhere(|state, name, call, _| {
            let story = format!("{state}: {name} by {}: {call:?}", accounts::name(&who));
            let (result, changed) = try_out(RawOrigin::Signed(who.clone()).into(), call);
            match result {
                Ok(()) => {
                    assert!(open(name), "{story}: a stranger may do this");
                    *done.entry(name.into()).or_default() += 1;
                }
                Err(error) => {
                    assert!(!changed, "{story}: failed and changed the state");
                    let typed = matches!(error, DispatchError::Module(_) | DispatchError::Token(_));
                    assert!(typed, "{story}: {error:?} tells nothing");
                }
            }
        });
        // The list is true in the other direction, too.
        if who != accounts::nobody() {
            for name in OPEN_TO_ALL.iter().chain(&OPEN_TO_ALL_AUDITS) {
                assert!(done.contains_key(*name), "{name} never succeeded by a stranger: it is not open to all, or not tried where it can succeed: {done:?}");
            }
        }
    }
}

#[test]
fn the_one_that_a_call_is_for_can_make_it_in_some_state() {
    let mut done = BTreeSet::new();
    everywhere(|_, name, call, natural| {
        if !accounts::is_pool(&natural) && try_out(RawOrigin::Signed(natural).into(), call).0.is_ok() {
            done.insert(name.to_string());
        }
    });
    let never: Vec<_> = own_calls().map(|(name, _)| name).filter(|name| !done.contains(name)).collect();
    assert!(never.is_empty(), "tried in no state in which it can succeed: {never:?}");
}
