//! The life of a job as a pure function: `next(state, action, now, deadline) -> state`.
//!
//! ```text
//! Open ──accept──> Assigned ──start──> Running ──submit──> Submitted ──window over──> Finalized
//!  │ cancel,          │ cancel,           │ cancel, fail      │ fail
//!  │ expire           │ decline           │                   │
//!  v                  v                   v                   v
//! Cancelled/Expired  Cancelled/Failed   Cancelled/Failed    Failed
//!
//! Running | Submitted ──mismatch found──> Disputed ──upheld──> back │ ──lost──> Failed
//! ```
//!
//! Every non-terminal state has one deadline, which the pallet stores beside the state. Before it, the parties act;
//! after it, only [`Action::DeadlinePassed`] is possible, and anyone may cause it.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::BlockNumber;

/// Where a job stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum JobState {
    /// Escrowed, waiting for a provider.
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
    /// Verified, paid and recorded.
    Finalized,
    /// Called off by the customer.
    Cancelled,
    /// No provider accepted in time.
    Expired,
    /// Ended without a result.
    Failed(Failure),
}

/// The two states in which a mismatch can be found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Phase {
    /// [`JobState::Running`].
    Running,
    /// [`JobState::Submitted`].
    Submitted,
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
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
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
    /// An auditor found a mismatch.
    Dispute,
    /// The committee upheld the provider.
    Uphold,
    /// Proof-of-training ends the job.
    Fail(Failure),
    /// The deadline of the state is over.
    DeadlinePassed {
        /// True if every milestone is verified and paid.
        all_verified: bool,
    },
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
        matches!(self, JobState::Assigned | JobState::Running | JobState::Submitted | JobState::Disputed(_))
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
    now: BlockNumber,
    deadline: BlockNumber,
) -> Result<JobState, TransitionError> {
    use JobState::*;

    let late = now > deadline;
    let after = match (state, action) {
        (Open, Action::DeadlinePassed { .. }) => Expired,
        (Assigned, Action::DeadlinePassed { .. }) => Failed(Failure::NotStarted),
        (Running, Action::DeadlinePassed { .. }) => Failed(Failure::MissedMilestone),
        (Submitted, Action::DeadlinePassed { all_verified: true }) => Finalized,
        (Submitted | Disputed(_), Action::DeadlinePassed { .. }) => Failed(Failure::AuditsUnfinished),

        (Open, Action::Accept) => Assigned,
        (Assigned, Action::Start) => Running,
        (Assigned, Action::Decline) => Failed(Failure::InputsUnusable),
        (Running, Action::Submit) => Submitted,
        (Open | Assigned | Running, Action::Cancel) => Cancelled,
        (Running, Action::Dispute) => Disputed(Phase::Running),
        (Submitted, Action::Dispute) => Disputed(Phase::Submitted),
        (Disputed(Phase::Running), Action::Uphold) => Running,
        (Disputed(Phase::Submitted), Action::Uphold) => Submitted,
        (Running | Submitted | Disputed(_), Action::Fail(failure)) => Failed(failure),
        _ => return Err(TransitionError::NotAllowed),
    };
    // A verdict is not a party's act: it stands even when it comes in after the state's deadline, as long as nobody
    // has pushed that deadline yet.
    let is_verdict = matches!(action, Action::Dispute | Action::Uphold | Action::Fail(_));
    match action {
        Action::DeadlinePassed { .. } if !late => Err(TransitionError::TooEarly),
        Action::DeadlinePassed { .. } => Ok(after),
        _ if late && !is_verdict => Err(TransitionError::TooLate),
        _ => Ok(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn all_states() -> Vec<JobState> {
        let mut states = alloc::vec![
            JobState::Open,
            JobState::Assigned,
            JobState::Running,
            JobState::Submitted,
            JobState::Disputed(Phase::Running),
            JobState::Disputed(Phase::Submitted),
            JobState::Finalized,
            JobState::Cancelled,
            JobState::Expired,
        ];
        states.extend(all_failures().map(JobState::Failed));
        states
    }

    fn all_failures() -> impl Iterator<Item = Failure> {
        [
            Failure::NotStarted,
            Failure::InputsUnusable,
            Failure::MissedMilestone,
            Failure::TraceNotOpened,
            Failure::WrongResult,
            Failure::NoAuditors,
            Failure::AuditsUnfinished,
        ]
        .into_iter()
    }

    fn all_actions() -> Vec<Action> {
        let mut actions = alloc::vec![
            Action::Accept,
            Action::Start,
            Action::Decline,
            Action::Submit,
            Action::Cancel,
            Action::Dispute,
            Action::Uphold,
            Action::DeadlinePassed { all_verified: true },
            Action::DeadlinePassed { all_verified: false },
        ];
        actions.extend(all_failures().map(Action::Fail));
        actions
    }

    #[test]
    fn a_terminal_state_allows_nothing() {
        for state in all_states().into_iter().filter(|s| s.is_terminal()) {
            for action in all_actions() {
                for now in [9, 10, 11] {
                    assert_eq!(
                        next(state, action, now, 10),
                        Err(TransitionError::NotAllowed),
                        "{state:?} {action:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_live_state_ends_by_its_deadline() {
        for state in all_states().into_iter().filter(|s| !s.is_terminal()) {
            for all_verified in [false, true] {
                let passed = Action::DeadlinePassed { all_verified };
                assert_eq!(next(state, passed, 10, 10), Err(TransitionError::TooEarly), "{state:?}");
                let after =
                    next(state, passed, 11, 10).expect("a live state has a way out at its deadline, qed");
                assert!(after.is_terminal(), "{state:?} goes to {after:?}");
            }
        }
    }

    #[test]
    fn after_the_deadline_no_party_can_act() {
        let party_acts = [Action::Accept, Action::Start, Action::Decline, Action::Submit, Action::Cancel];
        for state in all_states() {
            for action in party_acts {
                assert!(next(state, action, 11, 10).is_err(), "{state:?} {action:?}");
            }
        }
    }

    #[test]
    fn only_verified_work_is_finalized() {
        for state in all_states() {
            for action in all_actions() {
                if let Ok(JobState::Finalized) = next(state, action, 11, 10) {
                    assert_eq!(state, JobState::Submitted);
                    assert_eq!(action, Action::DeadlinePassed { all_verified: true });
                }
            }
        }
    }

    #[test]
    fn a_submitted_job_cannot_be_cancelled() {
        for state in
            [JobState::Submitted, JobState::Disputed(Phase::Running), JobState::Disputed(Phase::Submitted)]
        {
            assert_eq!(next(state, Action::Cancel, 5, 10), Err(TransitionError::NotAllowed));
        }
    }

    #[test]
    fn an_upheld_provider_goes_on_where_it_was() {
        for state in [JobState::Running, JobState::Submitted] {
            let disputed =
                next(state, Action::Dispute, 5, 10).expect("a live bonded state can be disputed, qed");
            assert_eq!(next(disputed, Action::Uphold, 6, 10), Ok(state));
        }
    }
}
