//! Every call in every state of a job, before and after the state's deadline, and every call from every origin: each has one
//! expected result, written down here.

use attune_primitives::{
    machine::{Failure, JobState, Phase},
    traits::JobEscrow,
    JobId,
};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::{DispatchError, DispatchResult};

use crate::{mock::*, *};

type Refused = Error<Test>;

/// What the outside can do to a job: the calls, and what proof-of-training asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Accept,
    Start,
    Decline,
    Cancel,
    Enforce,
    Claim,
    Prune,
    Bid,
    Withdraw,
    RaisePrice,
    RaiseAudits,
    Sponsor,
    EndSponsorship,
    Commit,
    Submit,
    Verify,
    PayAuditor,
    Dispute,
    Uphold,
    Fail,
}

const ACTS: [Act; 20] = [
    Act::Accept,
    Act::Start,
    Act::Decline,
    Act::Cancel,
    Act::Enforce,
    Act::Claim,
    Act::Prune,
    Act::Bid,
    Act::Withdraw,
    Act::RaisePrice,
    Act::RaiseAudits,
    Act::Sponsor,
    Act::EndSponsorship,
    Act::Commit,
    Act::Submit,
    Act::Verify,
    Act::PayAuditor,
    Act::Dispute,
    Act::Uphold,
    Act::Fail,
];

/// Does `act` as whoever may do it: Alice has the job or a bid for it, Dave wants it.
fn perform(act: Act, id: JobId) -> DispatchResult {
    let (customer, stranger) = (signed(CUSTOMER), signed(ZOE));
    transact(|| match act {
        Act::Accept => Escrow::accept_job(signed(DAVE_KEY), id, 1_000),
        Act::Start => Escrow::start_job(signed(ALICE_KEY), id),
        Act::Decline => Escrow::decline_job(signed(ALICE_KEY), id),
        Act::Cancel => Escrow::cancel_job(customer, id),
        Act::Enforce => Escrow::enforce_deadline(stranger, id),
        Act::Claim => Escrow::claim_owed(stranger, id, ALICE),
        Act::Prune => Escrow::prune_job(stranger, id),
        Act::Bid => Escrow::place_bid(signed(DAVE_KEY), id, 1_000),
        Act::Withdraw => Escrow::withdraw_bid(signed(ALICE_KEY), id),
        Act::RaisePrice => Escrow::top_up(customer, id, 1, 0),
        Act::RaiseAudits => Escrow::top_up(customer, id, 0, 1),
        Act::Sponsor => Escrow::sponsor(customer, ZOE, 1, 1, 10_000),
        Act::EndSponsorship => Escrow::end_sponsorship(customer, CUSTOMER, ZOE),
        Act::Commit => {
            Escrow::milestone_committed(id, Jobs::<Test>::get(id).map_or(0, |job| job.milestones_committed))
        }
        Act::Submit => Escrow::submitted(id),
        Act::Verify => Escrow::milestone_verified(id, 0),
        Act::PayAuditor => Escrow::pay_auditor(id, 0, &AUDITOR),
        Act::Dispute => Escrow::disputed(id),
        Act::Uphold => Escrow::upheld(id),
        Act::Fail => Escrow::fail(id, Failure::WrongResult),
    })
}

/// A way to reach a state, and what it allows up to its deadline and after it.
struct Row {
    reach: fn() -> JobId,
    before: &'static [Act],
    after: &'static [Act],
}

fn after_deadline(id: JobId) -> JobId {
    pass_deadline(id);
    assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
    id
}

fn bidding() -> JobId {
    let id = create_bidding();
    assert_ok!(Escrow::place_bid(signed(ALICE_KEY), id, 9_000));
    id
}

fn reopened() -> JobId {
    let id = create_running();
    verify_next(id);
    after_deadline(id)
}

fn handed_to_alice_again() -> JobId {
    let id = create_running();
    verify_next(id);
    assert_ok!(Escrow::fail(id, Failure::NoAuditors));
    take(id, ALICE_KEY, 5_000);
    id
}

fn all_committed() -> JobId {
    let id = create_running();
    for milestone in 0..3 {
        assert_ok!(Escrow::milestone_committed(id, milestone));
    }
    id
}

fn disputed(reach: fn() -> JobId) -> JobId {
    let id = reach();
    assert_ok!(Escrow::disputed(id));
    id
}

fn cancelled() -> JobId {
    let id = create_assigned();
    assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
    id
}

fn failed() -> JobId {
    let id = create_verified();
    assert_ok!(Escrow::fail(id, Failure::WrongResult));
    id
}

/// Every state of a job; where what is committed or verified changes the result, more than once.
fn rows() -> Vec<Row> {
    use Act::*;
    vec![
        Row { reach: bidding, before: &[Cancel, Bid, Withdraw, RaisePrice, RaiseAudits], after: &[Enforce] },
        Row { reach: create, before: &[Accept, Cancel, RaisePrice, RaiseAudits], after: &[Enforce] },
        Row { reach: reopened, before: &[Accept, Cancel, RaisePrice, RaiseAudits], after: &[Enforce] },
        Row {
            reach: create_assigned,
            before: &[Start, Decline, Cancel, RaiseAudits, PayAuditor],
            after: &[Enforce, PayAuditor],
        },
        Row {
            reach: create_running,
            before: &[Cancel, RaiseAudits, Commit, PayAuditor, Dispute, Fail],
            after: &[Enforce, PayAuditor, Dispute, Fail],
        },
        Row {
            reach: handed_to_alice_again,
            before: &[Cancel, RaiseAudits, Commit, PayAuditor, Dispute, Fail],
            after: &[Enforce, PayAuditor, Dispute, Fail],
        },
        Row {
            reach: all_committed,
            before: &[Cancel, RaiseAudits, Submit, Verify, PayAuditor, Dispute, Fail],
            after: &[Enforce, Verify, PayAuditor, Dispute, Fail],
        },
        Row {
            reach: create_submitted,
            before: &[RaiseAudits, Verify, PayAuditor, Dispute, Fail],
            after: &[Enforce, Verify, PayAuditor, Dispute, Fail],
        },
        Row {
            reach: create_verified,
            before: &[RaiseAudits, PayAuditor, Dispute, Fail],
            after: &[Enforce, PayAuditor, Dispute, Fail],
        },
        Row {
            reach: create_cancelling,
            before: &[RaiseAudits, Verify, PayAuditor, Dispute, Fail],
            after: &[Enforce, Verify, PayAuditor, Dispute, Fail],
        },
        Row {
            reach: || disputed(create_running),
            before: &[RaiseAudits, Commit, PayAuditor, Dispute, Uphold, Fail],
            after: &[Enforce, PayAuditor, Dispute, Uphold, Fail],
        },
        Row {
            reach: || disputed(create_submitted),
            before: &[RaiseAudits, Verify, PayAuditor, Dispute, Uphold, Fail],
            after: &[Enforce, Verify, PayAuditor, Dispute, Uphold, Fail],
        },
        Row {
            reach: || disputed(create_cancelling),
            before: &[RaiseAudits, Verify, PayAuditor, Dispute, Uphold, Fail],
            after: &[Enforce, Verify, PayAuditor, Dispute, Uphold, Fail],
        },
        Row { reach: || after_deadline(create_verified()), before: &[], after: &[] },
        Row { reach: || after_deadline(create()), before: &[], after: &[] },
        Row { reach: cancelled, before: &[], after: &[] },
        Row { reach: failed, before: &[], after: &[] },
    ]
}

/// The error of a call that `state` doesn't allow; `in_time` if it would allow it up to its deadline.
fn refusal(act: Act, id: JobId, in_time: bool) -> Refused {
    let (state, assigned) = (state(id), job(id).assignment.is_some());
    match act {
        Act::Claim => Refused::NothingOwed,
        Act::Prune => Refused::NotPrunable,
        Act::EndSponsorship => Refused::NotSponsored,
        Act::Sponsor => unreachable!("it is always allowed"),
        Act::Start | Act::Decline if !assigned => Refused::NotAssignedProvider,
        Act::Cancel | Act::RaisePrice | Act::RaiseAudits if state.is_terminal() => Refused::JobEnded,
        Act::RaisePrice if state.is_bonded() => Refused::PriceIsFrozen,
        Act::Cancel if state.is_called_off() => Refused::AlreadyCalledOff,
        Act::Cancel if matches!(state, JobState::Disputed(_)) => Refused::CannotCancelDisputed,
        Act::Cancel if state == JobState::Submitted => Refused::CannotCancelSubmitted,
        Act::Commit if job(id).milestones_committed == 3 => Refused::MilestoneOutOfOrder,
        Act::Submit if state == JobState::Running && !in_time => Refused::NotAllCommitted,
        Act::Verify if state.is_in_work() => Refused::MilestoneNotPayable,
        Act::Enforce if !state.is_terminal() => Refused::DeadlineNotOver,
        _ if in_time => Refused::DeadlineOver,
        _ => Refused::NotAllowedInState,
    }
}

#[test]
fn every_call_in_every_state_does_what_the_state_allows_and_nothing_else() {
    let mut seen = Vec::new();
    for (index, Row { reach, before, after }) in rows().into_iter().enumerate() {
        for (late, allowed) in [(false, before), (true, after)] {
            for act in ACTS {
                ExtBuilder::build_and_execute(|| {
                    let id = reach();
                    if late {
                        pass_deadline(id);
                    }
                    let (stood, was) = (state(id), job(id));
                    seen.push(stood);
                    let result = perform(act, id);
                    let told = format!("row {index}, {stood:?}, late {late}, {act:?}");
                    if act == Act::Sponsor || allowed.contains(&act) {
                        assert_eq!(result, Ok(()), "{told}");
                        return;
                    }
                    assert_eq!(job(id), was, "{told} changed the job");
                    let in_time = late && before.contains(&act);
                    // Not all is committed, and the deadline is over: the deadline is told first.
                    let in_time = in_time || (late && act == Act::Submit && stood == JobState::Running);
                    assert_eq!(result, Err(refusal(act, id, in_time).into()), "{told}");
                });
            }
        }
    }
    use JobState::*;
    for state in [Bidding, Open, Assigned, Running, Submitted, Cancelling, Finalized, Cancelled, Expired]
        .into_iter()
        .chain([Phase::Running, Phase::Submitted, Phase::Cancelling].map(Disputed))
        .chain([Failed(Failure::WrongResult)])
    {
        assert!(seen.contains(&state), "no row reaches {state:?}");
    }
}

#[test]
fn an_owed_payment_can_be_claimed_in_every_state() {
    for Row { reach, .. } in rows() {
        ExtBuilder::build_and_execute(|| {
            let id = reach();
            if !job(id).state.is_bonded() {
                return;
            }
            IncomeRefused::put(true);
            assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
            IncomeRefused::kill();
            assert_ok!(Escrow::claim_owed(signed(ZOE), id, AUDITOR));
            assert_eq!(income(AUDITOR), AUDIT_FEE);
        });
    }
}

#[test]
fn unknown_jobs_are_refused() {
    ExtBuilder::build_and_execute(|| {
        for act in ACTS.into_iter().filter(|act| !matches!(act, Act::Sponsor | Act::EndSponsorship)) {
            assert_eq!(perform(act, 99), Err(Refused::UnknownJob.into()), "{act:?}");
        }
        assert_eq!(Escrow::job(99), None);
    });
}

/// One call: its name, how to reach a job for it, the call, and what it gives a stranger, the customer, and Alice's operator key.
struct ByOrigin {
    name: &'static str,
    reach: fn() -> JobId,
    call: fn(RuntimeOrigin, JobId) -> DispatchResult,
    expected: [DispatchResult; 3],
}

/// A job that has ended and may be pruned.
fn prunable() -> JobId {
    let id = cancelled();
    pass_blocks(PRUNE_AFTER);
    id
}

/// A job that owes Alice a milestone.
fn owing() -> JobId {
    let id = create_submitted();
    IncomeRefused::put(true);
    assert_ok!(Escrow::milestone_verified(id, 0));
    IncomeRefused::kill();
    id
}

fn late() -> JobId {
    let id = create_running();
    pass_deadline(id);
    id
}

fn calls() -> Vec<ByOrigin> {
    let refused = |error: Refused| -> DispatchResult { Err(error.into()) };
    let anyone = [Ok(()); 3];
    let operator_only = [refused(Refused::NotAnOperator), refused(Refused::NotAnOperator), Ok(())];
    let customer_only = [refused(Refused::NotCustomer), Ok(()), refused(Refused::NotCustomer)];
    let funder_only = [refused(Refused::NotFunder), Ok(()), refused(Refused::NotFunder)];
    let not_yours = refused(Refused::NotYourSponsorship);
    let call = |name, reach, call, expected| ByOrigin { name, reach, call, expected };
    vec![
        // Whoever calls orders for itself, and pays.
        call("create_job", || 0, |who, _| Escrow::create_job(who, spec(), None), anyone),
        call("accept_job", create, |who, id| Escrow::accept_job(who, id, 1), operator_only),
        call("start_job", create_assigned, Escrow::start_job, operator_only),
        call("decline_job", create_assigned, Escrow::decline_job, operator_only),
        call("cancel_job", create, Escrow::cancel_job, customer_only),
        call("enforce_deadline", late, Escrow::enforce_deadline, anyone),
        call("claim_owed", owing, |who, id| Escrow::claim_owed(who, id, ALICE), anyone),
        call("prune_job", prunable, Escrow::prune_job, anyone),
        call("place_bid", create_bidding, |who, id| Escrow::place_bid(who, id, 1), operator_only),
        call("withdraw_bid", bidding, Escrow::withdraw_bid, operator_only),
        call("top_up", create, |who, id| Escrow::top_up(who, id, 1, 1), funder_only),
        call("sponsor", || 0, |who, _| Escrow::sponsor(who, SPONSOR, 1, 1, 10), anyone),
        call(
            "end_sponsorship",
            || {
                assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, 1, 1, 10));
                0
            },
            |who, _| Escrow::end_sponsorship(who, SPONSOR, CUSTOMER),
            [not_yours, Ok(()), not_yours],
        ),
    ]
}

#[test]
fn every_call_from_every_origin() {
    use frame_support::traits::{fungible::Mutate, GetCallName};

    let table = calls();
    let mut named: Vec<_> = table.iter().map(|row| row.name).collect();
    named.sort_unstable();
    let mut all = Call::<Test>::get_call_names().to_vec();
    all.sort_unstable();
    assert_eq!(named, all, "a call has no row");

    for ByOrigin { name, reach, call, expected } in table {
        let origins = [ZOE, CUSTOMER, ALICE_KEY].map(signed).into_iter().zip(expected);
        for (place, (origin, expected)) in origins.enumerate() {
            ExtBuilder::build_and_execute(|| {
                assert_ok!(Balances::mint_into(&ALICE_KEY, WEALTH));
                let id = reach();
                let result = transact(|| call(origin, id));
                assert_eq!(result, expected, "{name}, origin {place}");
            });
        }
        for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
            ExtBuilder::build_and_execute(|| {
                let id = reach();
                assert_noop!(call(origin, id), DispatchError::BadOrigin);
            });
        }
    }
}
