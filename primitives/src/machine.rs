//! The life of a job as a pure function: `next(state, action, facts, now, deadline) -> state`.
//!
//! ```text
//! Bidding ──bid wins──┐
//!  │ no bid           v
//!  v       accept                 start             submit               window over
//! Open ───────────> Assigned ───────────> Running ───────────> Submitted ───────────> Finalized
//!  ^                   │                   │   │                  │
//!  └── another goes on ┴───────────────────┴───│──────────────────┘
//!                                              └─cancel─> Cancelling ──audits over──> Cancelled
//!
//! Running | Submitted | Cancelling ──mismatch found──> Disputed ──upheld──> back │ ──lost──> Open or Failed
//! Bidding | Open | Assigned | Running ──cancel──> Cancelled        Open ──nobody came──> Expired
//! ```
//!
//! Every non-terminal state has one deadline, which the pallet stores beside the state. Before it, the parties act;
//! after it, only [`Action::DeadlinePassed`] is possible, and anyone may cause it.
//!
//! What ends an attempt ([`failure`]) ends the job, or reopens it for another provider where [`Facts::reopens`] says
//! that one may go on. A job that its customer has called off never reopens.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::BlockNumber;

/// Where a job stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum JobState {
    /// Escrowed; providers bid, and the lowest bid wins when the deadline is pushed.
    Bidding,
    /// Escrowed, waiting for a provider: for the first one, or for one that goes on from the last verified milestone.
    Open,
    /// A provider accepted and locked its bond; it fetches the inputs.
    Assigned,
    /// The provider trains; finished milestones are audited and paid meanwhile.
    Running,
    /// All segments are committed and the adapter is named; audits finish, then the challenge window passes.
    Submitted,
    /// An auditor found a mismatch; a committee re-executes the segment.
    Disputed(
        /// Where the job goes back to if the provider is upheld.
        Phase,
    ),
    /// The customer has called the job off while committed work was under audit: nothing more is committed, and with
    /// the last of those audits the job is cancelled.
    Cancelling,
    /// Verified, paid and recorded.
    Finalized,
    /// Called off by the customer.
    Cancelled,
    /// No provider accepted in time.
    Expired,
    /// Ended without a result.
    Failed(Failure),
}

/// The states in which a mismatch can be found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Phase {
    /// [`JobState::Running`].
    Running,
    /// [`JobState::Submitted`].
    Submitted,
    /// [`JobState::Cancelling`].
    Cancelling,
}

/// Why a job failed; see [`Failure::party`] for who is at fault.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Failure {
    /// The assigned provider did not start in time. Whether it vanished or the inputs never came cannot be told.
    NotStarted,
    /// The provider declined because the inputs never came or don't fit the specification.
    InputsUnusable,
    /// The provider missed the deadline of a milestone.
    MissedMilestone,
    /// The provider did not open its trace in time.
    TraceNotOpened,
    /// A committee found that the provider's result is not what training gives.
    WrongResult,
    /// No auditor re-executed a drawn segment, after every redraw.
    NoAuditors,
    /// Audits or a dispute did not end in time.
    AuditsUnfinished,
}

/// A party to a job.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Party {
    /// Who ordered and pays.
    Customer,
    /// Who trains.
    Provider,
}

impl Failure {
    /// The party at fault; `None` where nobody can be blamed, and nobody is slashed.
    ///
    /// | failure | when | party | bond | reopens | may the same provider take it again |
    /// |---|---|---|---|---|---|
    /// | `NotStarted` | assigned, start not in time | nobody | free | yes | no |
    /// | `InputsUnusable` | assigned, provider declines | nobody | free | yes | no |
    /// | `MissedMilestone` | running, milestone not in time | provider | a part slashed | yes | no |
    /// | `TraceNotOpened` | an audit, trace not opened in time | provider | all slashed | yes | no |
    /// | `WrongResult` | a dispute, two thirds against | provider | all slashed | yes | no |
    /// | `NoAuditors` | an audit, nobody answers | nobody | free | yes | yes |
    /// | `AuditsUnfinished` | submitted or disputed, not decided in time | nobody | free | yes | yes |
    ///
    /// "Reopens" holds as long as handovers, money and unverified milestones are left, the customer chose no provider,
    /// and has not called the job off; else the job ends as failed. The customer is never the party: what it could
    /// do wrong (keep the inputs back) cannot be told from what a provider could (deny that they came).
    pub fn party(self) -> Option<Party> {
        match self {
            Failure::MissedMilestone | Failure::TraceNotOpened | Failure::WrongResult => {
                Some(Party::Provider)
            }
            Failure::NotStarted
            | Failure::InputsUnusable
            | Failure::NoAuditors
            | Failure::AuditsUnfinished => None,
        }
    }

    /// True if the provider that had the job may not take it again: it is at fault, or it gave the job up before it
    /// started, which would only repeat itself.
    pub fn excludes_provider(self) -> bool {
        match self {
            Failure::NotStarted
            | Failure::InputsUnusable
            | Failure::MissedMilestone
            | Failure::TraceNotOpened
            | Failure::WrongResult => true,
            Failure::NoAuditors | Failure::AuditsUnfinished => false,
        }
    }
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A provider bids, lowers its bid or takes it back.
    Bid,
    /// The funder raises the maximum price.
    RaisePrice,
    /// The funder adds to the audit budget.
    RaiseAudits,
    /// A provider accepts.
    Accept,
    /// The assigned provider has the inputs and starts.
    Start,
    /// The assigned provider gives the job back before it starts.
    Decline,
    /// All segments are committed and the adapter is named.
    Submit,
    /// The customer calls the job off.
    Cancel,
    /// The audits of all committed milestones are over; of interest only while the job is being cancelled.
    AuditsOver,
    /// An auditor found a mismatch.
    Dispute,
    /// The committee upheld the provider.
    Uphold,
    /// Proof-of-training ends the attempt.
    Fail(Failure),
    /// The deadline of the state is over.
    DeadlinePassed,
}

/// What the next state depends on besides the present one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every milestone is verified and paid.
    pub all_verified: bool,
    /// A committed milestone's audits are not over.
    pub under_audit: bool,
    /// A bid has won.
    pub awarded: bool,
    /// If the present attempt fails, another provider may go on: handovers, unverified milestones and money are left.
    pub reopens: bool,
}

/// Why an action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionError {
    /// The state doesn't allow the action.
    NotAllowed,
    /// The state's deadline is over: only [`Action::DeadlinePassed`] is left.
    TooLate,
    /// The state's deadline is not over yet.
    TooEarly,
}

impl JobState {
    /// True if nothing can happen to the job any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobState::Finalized | JobState::Cancelled | JobState::Expired | JobState::Failed(_))
    }

    /// True while a provider is assigned and has its bond at stake.
    pub fn is_bonded(self) -> bool {
        match self {
            JobState::Assigned
            | JobState::Running
            | JobState::Submitted
            | JobState::Disputed(_)
            | JobState::Cancelling => true,
            JobState::Bidding
            | JobState::Open
            | JobState::Finalized
            | JobState::Cancelled
            | JobState::Expired
            | JobState::Failed(_) => false,
        }
    }

    /// True while work is done or checked: commitments, draws and audits of the present attempt can exist.
    pub fn is_in_work(self) -> bool {
        self.is_bonded() && self != JobState::Assigned
    }

    /// True while no provider is assigned and one can still come.
    pub fn awaits_provider(self) -> bool {
        matches!(self, JobState::Bidding | JobState::Open)
    }

    /// True once the customer has called the job off, and it waits for the audits of what is committed.
    pub fn is_called_off(self) -> bool {
        matches!(self, JobState::Cancelling | JobState::Disputed(Phase::Cancelling))
    }
}

/// The failure by which `action` ends the present attempt in `state`; `None` if it doesn't end it, or not by failing.
pub fn failure(state: JobState, action: Action, facts: Facts) -> Option<Failure> {
    use JobState::*;

    match (state, action) {
        (Assigned, Action::DeadlinePassed) => Some(Failure::NotStarted),
        (Assigned, Action::Decline) => Some(Failure::InputsUnusable),
        (Running, Action::DeadlinePassed) => Some(Failure::MissedMilestone),
        (Submitted, Action::DeadlinePassed) if facts.all_verified => None,
        (Submitted | Disputed(_), Action::DeadlinePassed) => Some(Failure::AuditsUnfinished),
        (Running | Submitted | Disputed(_) | Cancelling, Action::Fail(failure)) => Some(failure),
        _ => None,
    }
}

/// The state after `action` at block `now`, for a state whose deadline is `deadline` (the last block on which the
/// parties may act).
///
/// # Errors
/// [`TransitionError`] says why the action is refused; the state stays as it was.
pub fn next(
    state: JobState,
    action: Action,
    facts: Facts,
    now: BlockNumber,
    deadline: BlockNumber,
) -> Result<JobState, TransitionError> {
    use JobState::*;

    let late = now > deadline;
    let after = match (state, action) {
        (Bidding, Action::DeadlinePassed) if facts.awarded => Assigned,
        (Bidding, Action::DeadlinePassed) => Open,
        (Open, Action::DeadlinePassed) => Expired,
        (Submitted, Action::DeadlinePassed) if facts.all_verified => Finalized,
        (Cancelling, Action::DeadlinePassed) => Cancelled,

        (Bidding, Action::Bid) => Bidding,
        (Bidding | Open, Action::RaisePrice) => state,
        (Bidding | Open | Assigned | Running | Submitted | Disputed(_) | Cancelling, Action::RaiseAudits) => {
            state
        }
        (Open, Action::Accept) => Assigned,
        (Assigned, Action::Start) => Running,
        (Running, Action::Submit) => Submitted,
        (Running, Action::Cancel) if facts.under_audit => Cancelling,
        (Bidding | Open | Assigned | Running, Action::Cancel) => Cancelled,
        (Cancelling, Action::AuditsOver) if !facts.under_audit => Cancelled,
        (Running, Action::Dispute) => Disputed(Phase::Running),
        (Submitted, Action::Dispute) => Disputed(Phase::Submitted),
        (Cancelling, Action::Dispute) => Disputed(Phase::Cancelling),
        (Disputed(Phase::Running), Action::Uphold) => Running,
        (Disputed(Phase::Submitted), Action::Uphold) => Submitted,
        (Disputed(Phase::Cancelling), Action::Uphold) => Cancelling,
        _ => match failure(state, action, facts) {
            Some(_) if facts.reopens && !state.is_called_off() => Open,
            Some(failure) => Failed(failure),
            None => return Err(TransitionError::NotAllowed),
        },
    };
    // A verdict is not a party's act: it stands even when it comes in after the state's deadline, as long as nobody
    // has pushed that deadline yet.
    let is_verdict =
        matches!(action, Action::AuditsOver | Action::Dispute | Action::Uphold | Action::Fail(_));
    match action {
        Action::DeadlinePassed if !late => Err(TransitionError::TooEarly),
        Action::DeadlinePassed => Ok(after),
        _ if late && !is_verdict => Err(TransitionError::TooLate),
        _ => Ok(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const FAILURES: [Failure; 7] = [
        Failure::NotStarted,
        Failure::InputsUnusable,
        Failure::MissedMilestone,
        Failure::TraceNotOpened,
        Failure::WrongResult,
        Failure::NoAuditors,
        Failure::AuditsUnfinished,
    ];
    const PHASES: [Phase; 3] = [Phase::Running, Phase::Submitted, Phase::Cancelling];

    fn all_states() -> Vec<JobState> {
        use JobState::*;
        let mut states = alloc::vec![
            Bidding, Open, Assigned, Running, Submitted, Cancelling, Finalized, Cancelled, Expired
        ];
        states.extend(PHASES.map(Disputed));
        states.extend(FAILURES.map(Failed));
        states
    }

    fn live_states() -> Vec<JobState> {
        all_states().into_iter().filter(|state| !state.is_terminal()).collect()
    }

    fn all_actions() -> Vec<Action> {
        let mut actions = alloc::vec![
            Action::Bid,
            Action::RaisePrice,
            Action::RaiseAudits,
            Action::Accept,
            Action::Start,
            Action::Decline,
            Action::Submit,
            Action::Cancel,
            Action::AuditsOver,
            Action::Dispute,
            Action::Uphold,
            Action::DeadlinePassed,
        ];
        actions.extend(FAILURES.map(Action::Fail));
        actions
    }

    fn all_facts() -> impl Iterator<Item = Facts> {
        (0..16u8).map(|bits| Facts {
            all_verified: bits & 1 != 0,
            under_audit: bits & 2 != 0,
            awarded: bits & 4 != 0,
            reopens: bits & 8 != 0,
        })
    }

    /// Every state, action, facts and moment (before, at and after a deadline of 10) with what comes of it.
    fn everything() -> Vec<(JobState, Action, Facts, BlockNumber, Result<JobState, TransitionError>)> {
        let mut all = Vec::new();
        for state in all_states() {
            for action in all_actions() {
                for facts in all_facts() {
                    for now in [9, 10, 11] {
                        all.push((state, action, facts, now, next(state, action, facts, now, 10)));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn a_terminal_state_allows_nothing() {
        for (state, action, facts, now, after) in everything() {
            if state.is_terminal() {
                let refused = Err(TransitionError::NotAllowed);
                assert_eq!(after, refused, "{state:?} {action:?} {facts:?} {now}");
            }
        }
    }

    #[test]
    fn every_live_state_has_a_way_out_at_its_deadline_and_not_before() {
        for state in live_states() {
            for facts in all_facts() {
                let passed = Action::DeadlinePassed;
                assert_eq!(next(state, passed, facts, 10, 10), Err(TransitionError::TooEarly), "{state:?}");
                let after = next(state, passed, facts, 11, 10).expect("a live state has a way out, qed");
                assert_ne!(after, state, "{facts:?}");
            }
        }
    }

    #[test]
    fn deadlines_alone_end_every_job_once_no_handover_is_left() {
        for state in live_states() {
            for facts in all_facts().filter(|facts| !facts.reopens) {
                let mut at = state;
                for _ in 0..3 {
                    if !at.is_terminal() {
                        at = next(at, Action::DeadlinePassed, facts, 11, 10)
                            .expect("a live state has a way out, qed");
                    }
                }
                assert!(at.is_terminal(), "{state:?} {facts:?} stays at {at:?}");
            }
        }
    }

    #[test]
    fn after_the_deadline_no_party_can_act() {
        let party_acts = [
            Action::Bid,
            Action::RaisePrice,
            Action::RaiseAudits,
            Action::Accept,
            Action::Start,
            Action::Decline,
            Action::Submit,
            Action::Cancel,
        ];
        for (state, action, facts, now, after) in everything() {
            if now == 11 && party_acts.contains(&action) {
                assert!(after.is_err(), "{state:?} {action:?} {facts:?}");
            }
        }
    }

    #[test]
    fn only_verified_work_is_finalized() {
        for (state, action, facts, _, after) in everything() {
            if after == Ok(JobState::Finalized) {
                assert_eq!((state, action), (JobState::Submitted, Action::DeadlinePassed));
                assert!(facts.all_verified);
            }
        }
    }

    #[test]
    fn work_under_audit_is_not_cancelled_away() {
        for (state, action, facts, now, after) in everything() {
            if action == Action::Cancel {
                let expected = match state {
                    JobState::Running if facts.under_audit => Ok(JobState::Cancelling),
                    JobState::Bidding | JobState::Open | JobState::Assigned | JobState::Running => {
                        Ok(JobState::Cancelled)
                    }
                    _ => Err(TransitionError::NotAllowed),
                };
                let late = now == 11 && expected.is_ok();
                assert_eq!(after, if late { Err(TransitionError::TooLate) } else { expected }, "{state:?}");
            }
        }
    }

    #[test]
    fn a_called_off_job_ends_without_another_provider() {
        for (state, action, facts, _, after) in everything() {
            if state.is_called_off() {
                let ended_or_still_called_off =
                    after.is_err() || after.is_ok_and(|s| s.is_terminal() || s.is_called_off());
                assert!(ended_or_still_called_off, "{state:?} {action:?} {facts:?}: {after:?}");
                assert_ne!(after, Ok(JobState::Finalized));
            }
            if after == Ok(JobState::Cancelled) && action == Action::AuditsOver {
                assert!(state == JobState::Cancelling && !facts.under_audit);
            }
        }
    }

    #[test]
    fn an_upheld_provider_goes_on_where_it_was() {
        for state in [JobState::Running, JobState::Submitted, JobState::Cancelling] {
            for facts in all_facts() {
                let disputed = next(state, Action::Dispute, facts, 5, 10).expect("it can be disputed, qed");
                assert_eq!(next(disputed, Action::Uphold, facts, 6, 10), Ok(state));
            }
        }
    }

    #[test]
    fn an_attempt_that_fails_reopens_exactly_where_another_provider_may_go_on() {
        for (state, action, facts, _, after) in everything() {
            let Some(failure) = failure(state, action, facts) else {
                assert!(!matches!(after, Ok(JobState::Failed(_))), "{state:?} {action:?}");
                let opens = after == Ok(JobState::Open) && state.is_bonded();
                assert!(!opens, "{state:?} {action:?} {facts:?} reopens without a failure");
                continue;
            };
            assert!(state.is_bonded(), "only what was assigned fails: {state:?} {action:?}");
            if let Ok(after) = after {
                let reopens = facts.reopens && !state.is_called_off();
                let expected = if reopens { JobState::Open } else { JobState::Failed(failure) };
                assert_eq!(after, expected, "{state:?} {action:?} {facts:?}");
            }
        }
    }

    #[test]
    fn a_provider_is_assigned_by_a_won_bid_or_by_accepting_and_in_no_other_way() {
        for (state, action, facts, now, after) in everything() {
            if after == Ok(JobState::Assigned) && state != JobState::Assigned {
                let won = state == JobState::Bidding && facts.awarded && now > 10;
                let accepted = state == JobState::Open && action == Action::Accept && now <= 10;
                assert!(won || accepted, "{state:?} {action:?} {facts:?} {now}");
            }
        }
    }

    #[test]
    fn the_price_is_raised_only_while_nobody_is_assigned() {
        for (state, action, _, _, after) in everything() {
            if after.is_ok() && action == Action::RaisePrice {
                assert!(state.awaits_provider(), "{state:?}");
            }
            if after.is_ok() && matches!(action, Action::RaisePrice | Action::RaiseAudits | Action::Bid) {
                assert_eq!(after, Ok(state), "{action:?} moves the job");
            }
        }
    }

    #[test]
    fn a_provider_at_fault_never_has_the_job_again() {
        for failure in FAILURES {
            assert!(failure.party().is_none() || failure.excludes_provider(), "{failure:?}");
            assert_ne!(failure.party(), Some(Party::Customer), "{failure:?}");
        }
    }
}
