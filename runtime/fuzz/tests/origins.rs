//! Every call by every origin, on the whole runtime: nobody, root, and strangers with and without money.
//!
//! A stranger is somebody with no part in anything: no job, no provider, no delegation, no model. What a stranger may do
//! is a list here; whatever else it tries is refused with an error of the pallet, and nothing changes.

use attune_runtime::{AccountId, RuntimeCall, RuntimeOrigin};
use attune_runtime_fuzz::{
    accounts,
    calls::{self, Make, Work, AUTHORISED, FOR_ROOT, HARDLY_REACHED},
    draw::Draw,
    random::Random,
    run::{run_then, Report},
    scenario::{Scenario, Start},
};
use frame_support::{dispatch::RawOrigin, storage::with_transaction_unchecked};
use sp_runtime::{traits::Dispatchable, DispatchError, StateVersion, TransactionOutcome};
use std::collections::{BTreeMap, BTreeSet};

/// What anyone may do: enter with its own money, or push on what is due.
const OPEN_TO_ALL: &[&str] = &[
    "ProviderStaking.register",
    "ProviderStaking.delegate",
    "ProviderStaking.evict",
    "ProviderStaking.deregister",
    "ProviderStaking.apply_slash",
    "ProviderStaking.claim_compensation",
    "ProviderStaking.settle_lien",
    "ProviderStaking.compound",
    "JobEscrow.sponsor",
    "JobEscrow.end_sponsorship",
    "JobEscrow.create_job",
    "JobEscrow.enforce_deadline",
    "JobEscrow.claim_owed",
    "JobEscrow.prune_job",
    "ProofOfTraining.register_model",
    "ProofOfTraining.draw_audits",
    "ProofOfTraining.enforce_audit_deadline",
];

/// Parameters that are tried for each call in each state.
const TRIES: usize = 12;

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
                // Nobody answers for the worker, so that the self-bond is locked longer.
                "ProviderStaking.exit  00000000000000000000\n\
                 Time.pass             ff000000000000000000\n\
                 Time.pass             ff000000000000000000\n\
                 ProviderStaking.evict 00000100000000000000\n",
            ),
        ),
        ("a slash that waits", told("Template.offence 01030000020000000000\n")),
        (
            "a slash whose time has come, a provider that pauses",
            told(
                "Template.job          00703f00000000000000\n\
                 ProviderStaking.chill 00000000000000000000\n\
                 Time.pass             07000000000000000000\n",
            ),
        ),
        (
            "a lien that can end",
            told(
                "Template.redelegate_and_settle 01000000000000000000\n\
                 Time.pass                      ff000000000000000000\n",
            ),
        ),
        (
            "income that anyone may compound",
            told(
                "ProviderStaking.set_auto_compound 00000000000000000000\n\
                 ProviderStaking.set_auto_compound 00010000000000000000\n\
                 ProviderStaking.set_auto_compound 00020000000000000000\n\
                 Template.income                   02000000000000000000\n",
            ),
        ),
        (
            "bids, a sponsorship that is over",
            told(
                "JobEscrow.sponsor 00000000000000000000\n\
                 Time.pass         cf000000000000000000\n\
                 Template.job      00000060000000000000\n",
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

/// One call as it is tried.
struct Attempt<'a> {
    state: &'a str,
    name: &'a str,
    call: RuntimeCall,
    /// Who would make it.
    natural: AccountId,
    /// What the state is before.
    root: &'a [u8],
}

impl Attempt<'_> {
    /// Dispatches, looks whether the state changed, and takes everything back.
    fn by(&self, origin: impl Into<RuntimeOrigin>) -> (Result<(), DispatchError>, bool) {
        with_transaction_unchecked(|| {
            let result = self.call.clone().dispatch(origin.into()).map(|_| ()).map_err(|failed| failed.error);
            let changed = state_root() != self.root;
            TransactionOutcome::Rollback((result, changed))
        })
    }
}

fn state_root() -> Vec<u8> {
    sp_io::storage::root(StateVersion::V1)
}

/// Runs `with` in every state, for each call and several parameters.
fn everywhere(mut with: impl FnMut(&Attempt<'_>)) {
    for (state, scenario) in states() {
        let mut random = Random::new(7);
        run_then(&scenario, &mut Report::default(), || {
            // In a transaction like each attempt: how deep they nest is part of the state.
            let root = with_transaction_unchecked(|| TransactionOutcome::Rollback(state_root()));
            for (name, make) in own_calls() {
                for turn in 0..TRIES {
                    let mut bytes = random.scenario(1);
                    if turn == 0 {
                        bytes.fill(0);
                    }
                    let (natural, call) = make(&mut Draw::new(&bytes));
                    with(&Attempt { state, name: &name, call, natural, root: &root });
                }
            }
        })
        .unwrap_or_else(|broken| panic!("{state}: {broken}"));
    }
}

#[test]
fn no_call_is_open_to_nobody_nor_to_root_but_for_roots_own() {
    let mut tried = BTreeSet::new();
    everywhere(|attempt| {
        let Attempt { state, name, .. } = attempt;
        tried.insert(name.to_string());
        for (origin, by) in [(RawOrigin::None, "nobody"), (RawOrigin::Root, "root")] {
            if by == "root" && FOR_ROOT.contains(name) {
                continue;
            }
            let (result, changed) = attempt.by(origin);
            assert_eq!(result, Err(DispatchError::BadOrigin), "{state}: {name} by {by}");
            assert!(!changed, "{state}: {name} by {by} changed the state");
        }
    });
    assert_eq!(tried.len(), calls::OWN.len());
}

#[test]
fn a_stranger_gets_an_error_that_tells_why_and_changes_nothing_unless_the_call_is_open_to_all() {
    // Two strangers: one with money, one that doesn't exist.
    let rich = accounts::account(accounts::STRANGER);
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    everywhere(|attempt| {
        let Attempt { state, name, .. } = attempt;
        for who in [rich.clone(), accounts::nobody()] {
            let story = || format!("{state}: {name} by {}: {:?}", accounts::name(&who), attempt.call);
            let (result, changed) = attempt.by(RawOrigin::Signed(who.clone()));
            match result {
                Ok(()) => {
                    assert!(OPEN_TO_ALL.contains(name), "a stranger may do this. {}", story());
                    if who == rich {
                        *done.entry(name.to_string()).or_default() += 1;
                    }
                }
                Err(error) => {
                    assert!(!changed, "it failed and changed the state. {}", story());
                    let not_to_sign = FOR_ROOT.contains(name) || AUTHORISED.contains(name);
                    let refused_by_origin = not_to_sign && error == DispatchError::BadOrigin;
                    let typed = matches!(error, DispatchError::Module(_) | DispatchError::Token(_));
                    assert!(typed || refused_by_origin, "{error:?} does not tell why. {}", story());
                }
            }
        }
    });
    // The list is true in the other direction, too.
    for name in OPEN_TO_ALL.iter().filter(|name| !HARDLY_REACHED.contains(name)) {
        assert!(done.contains_key(*name), "{name} is on the list, and no stranger ever succeeded: {done:?}");
    }
}

#[test]
fn whoever_a_call_is_for_can_make_it_in_some_state() {
    let mut done = BTreeSet::new();
    everywhere(|attempt| {
        if done.contains(attempt.name) || accounts::is_pool(&attempt.natural) {
            return;
        }
        let origin = if FOR_ROOT.contains(&attempt.name) {
            RawOrigin::Root
        } else if AUTHORISED.contains(&attempt.name) {
            RawOrigin::Authorized
        } else {
            RawOrigin::Signed(attempt.natural.clone())
        };
        if attempt.by(origin).0.is_ok() {
            done.insert(attempt.name.to_string());
        }
    });
    let never: Vec<_> = own_calls()
        .map(|(name, _)| name)
        .filter(|name| !done.contains(name) && !HARDLY_REACHED.contains(&name.as_str()))
        .collect();
    assert!(never.is_empty(), "tried in no state in which it can succeed: {never:?}");
}
