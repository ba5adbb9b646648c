//! How a job comes to each state, and the audit of its second milestone to each point, by the calls and by the job's own
//! machine.

use attune_primitives::machine::{Action, Failure, JobState, Phase};
use frame_support::assert_ok;

use crate::{mock::*, Draws};

/// The milestone whose audit is looked at. The one before it disputes the job, or is kept at a handover; the one after it is
/// there for the provider to go on with.
pub(crate) const MILESTONE: u32 = 1;
/// Who goes on with a job that is handed over.
const NEXT: AccountId = 20;

/// A job of three milestones of two segments each, of which one is drawn, for two auditors.
pub(crate) fn job() -> ExtBuilder {
    ExtBuilder::default().spec(spec(&[2, 2, 2], 1, 2))
}

/// Where the audit of a milestone stands, in more detail than its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// No segment of the milestone is committed.
    Untouched,
    /// One of its two segments is.
    Partial,
    /// Both are, and there is no randomness from after that.
    Committed,
    /// There is.
    Drawable,
    /// Segment and auditors are drawn.
    Drawn,
    /// One auditor has committed to its verdict.
    OneVoted,
    /// Both have; the trace is to be opened.
    Opening,
    /// It is open.
    Revealing,
    /// One auditor has revealed.
    OneRevealed,
    /// Nobody did: two others are drawn.
    Redrawn,
    /// They have committed, and the trace is open from before.
    RedrawnRevealing,
    /// Both have found a match.
    Passed,
    /// One has found a mismatch: a committee is drawn.
    Committee,
    /// One of it has committed.
    CommitteeOneVoted,
    /// All have.
    CommitteeRevealing,
    /// One of it has revealed.
    CommitteeOneRevealed,
    /// The provider is upheld.
    Upheld,
}

pub(crate) const POINTS: [Point; 17] = [
    Point::Untouched,
    Point::Partial,
    Point::Committed,
    Point::Drawable,
    Point::Drawn,
    Point::OneVoted,
    Point::Opening,
    Point::Revealing,
    Point::OneRevealed,
    Point::Redrawn,
    Point::RedrawnRevealing,
    Point::Passed,
    Point::Committee,
    Point::CommitteeOneVoted,
    Point::CommitteeRevealing,
    Point::CommitteeOneRevealed,
    Point::Upheld,
];

impl Point {
    /// True while a committee is to decide, which the job's state shows.
    fn is_disputed(self) -> bool {
        (Point::Committee..Point::Upheld).contains(&self)
    }

    fn is_over(self) -> bool {
        matches!(self, Point::Passed | Point::Upheld)
    }
}

/// What was before a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nobody has committed to anything.
    New,
    /// The first provider has begun.
    Begun,
    /// It has committed to all segments.
    Complete,
    /// The same, and the deadline of the job's state is over.
    Late,
    /// Its attempt has failed; the first milestone is verified.
    HandedOver,
}

/// A state of a job, and what was before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) past: Past,
    pub(crate) state: JobState,
}

impl Place {
    /// The state in which the audit goes on, and from which the job then comes to its state.
    fn from(self) -> JobState {
        let disputed = JobState::Disputed(Phase::Running);
        match self.state {
            _ if self.past == Past::HandedOver => JobState::Running,
            JobState::Finalized => JobState::Submitted,
            JobState::Cancelled => JobState::Cancelling,
            JobState::Failed(Failure::AuditsUnfinished) => disputed,
            JobState::Failed(_) => JobState::Running,
            state => state,
        }
    }

    /// True if a job can be in this state with its audit at `point`, or come to it from there.
    pub(crate) fn meets(self, point: Point) -> bool {
        use JobState::*;

        let all_committed = matches!(self.past, Past::Complete | Past::Late)
            || matches!(self.from(), Submitted | Disputed(Phase::Submitted));
        // Only who is not before a committee can finish, be called off in the end, or miss a milestone.
        let undisputed = matches!(
            self.state,
            Running | Submitted | Cancelling | Cancelled | Failed(Failure::MissedMilestone)
        ) && self.past != Past::HandedOver;
        match self.past {
            Past::New => point == Point::Untouched,
            _ if self.state == Finalized => point.is_over(),
            _ => (point >= Point::Committed || !all_committed) && !(undisputed && point.is_disputed()),
        }
    }

    /// Where the audit stands once the job is in this state, if it stood at `point` before.
    pub(crate) fn point_left(self, point: Point) -> Point {
        match self.past {
            Past::HandedOver if !point.is_over() => Point::Untouched,
            _ => point,
        }
    }
}

/// Brings the job of [`job`] to `place`, with the audit at `point` before it ends or is handed over. Gives the segment that
/// is or was drawn.
pub(crate) fn reach(place: Place, point: Point) -> u32 {
    if place.past == Past::New {
        come_to_new(place.state);
        return 2;
    }
    let from = place.from();
    commit_until(2);
    fresh_randomness(1);
    commit_until(match point {
        Point::Untouched => 2,
        Point::Partial => 3,
        _ if matches!(place.past, Past::Complete | Past::Late) => 6,
        _ => 4,
    });
    match from {
        JobState::Submitted | JobState::Disputed(Phase::Submitted) => submit(),
        JobState::Cancelling | JobState::Disputed(Phase::Cancelling) => {
            act(Action::Cancel);
        }
        _ => {}
    }
    if matches!(from, JobState::Disputed(_)) && !point.is_disputed() {
        audit_first_milestone(&[Vote::Honest, Vote::WrongRoot]);
    } else if place.past == Past::HandedOver || place.state == JobState::Finalized {
        audit_first_milestone(&[Vote::Honest; 2]);
    }
    let segment = come_to(point);
    if place.past == Past::HandedOver {
        hand_over_and_come_to(place.state);
    } else {
        end_in(place.state);
    }
    if place.past == Past::Late {
        Escrow::be_late(JOB);
    }
    segment
}

/// Moves the job by its machine.
fn act(action: Action) {
    assert_ok!(Escrow::act(JOB, action));
}

/// Draws the first milestone with the randomness that there is, and lets its auditors vote.
fn audit_first_milestone(votes: &[Vote]) {
    assert_ok!(Proofs::draw_audits(signed(STRANGER), JOB, 0));
    vote_all(Draws::<Test>::get(JOB, 0).expect("it was drawn, qed").segments[0], votes);
}

/// Brings the audit of a committed milestone to `point`.
fn come_to(point: Point) -> u32 {
    if point < Point::Drawable {
        return 2;
    }
    if point == Point::Drawable {
        fresh_randomness(2);
        return 2;
    }
    let segment = draw(MILESTONE)[0];
    let vote = |count| {
        for auditor in waiting(segment).into_iter().take(count) {
            assert_ok!(commit_vote(segment, auditor, Vote::Honest));
        }
    };
    let reveal_one = || {
        assert_ok!(reveal_vote(segment, waiting(segment)[0], Vote::Honest));
    };
    let all = usize::MAX;
    match point {
        Point::Untouched | Point::Partial | Point::Committed | Point::Drawable | Point::Drawn => {}
        Point::OneVoted => vote(1),
        Point::Opening => vote(all),
        Point::Revealing | Point::OneRevealed | Point::Redrawn | Point::RedrawnRevealing => {
            vote(all);
            assert_ok!(open(segment));
            match point {
                Point::OneRevealed => reveal_one(),
                Point::Redrawn => time_out(segment),
                Point::RedrawnRevealing => {
                    time_out(segment);
                    vote(all);
                }
                _ => {}
            }
        }
        Point::Passed => vote_all(segment, &[Vote::Honest; 2]),
        Point::Committee
        | Point::CommitteeOneVoted
        | Point::CommitteeRevealing
        | Point::CommitteeOneRevealed
        | Point::Upheld => {
            vote_all(segment, &[Vote::Honest, Vote::WrongRoot]);
            match point {
                Point::CommitteeOneVoted => vote(1),
                Point::CommitteeRevealing => vote(all),
                Point::CommitteeOneRevealed => {
                    vote(all);
                    reveal_one();
                }
                Point::Upheld => vote_all(segment, &[Vote::Honest; 3]),
                _ => {}
            }
        }
    }
    segment
}

/// Brings a job that nobody has worked on to `state`.
fn come_to_new(state: JobState) {
    if state == JobState::Running {
        return;
    }
    Escrow::put_out_to_tender(JOB);
    match state {
        JobState::Bidding => {}
        JobState::Cancelled => act(Action::Cancel),
        _ => {
            Escrow::pass_deadline(JOB);
            come_on_from_open(state, TRAINER);
        }
    }
}

/// The present attempt fails; the job comes to `state` without it.
fn hand_over_and_come_to(state: JobState) {
    Reopens::put(true);
    act(Action::Fail(Failure::NoAuditors));
    Reopens::put(false);
    come_on_from_open(state, NEXT);
}

/// Brings an open job to `state`, with `provider` if one has to accept it.
fn come_on_from_open(state: JobState, provider: AccountId) {
    match state {
        JobState::Open => {}
        JobState::Expired => Escrow::pass_deadline(JOB),
        JobState::Cancelled => act(Action::Cancel),
        JobState::Running => Escrow::go_on(JOB, provider),
        _ => {
            Escrow::accept(JOB, provider);
            match state {
                JobState::Failed(Failure::NotStarted) => Escrow::pass_deadline(JOB),
                JobState::Failed(_) => act(Action::Decline),
                _ => {}
            }
        }
    }
}

/// Ends a job in `state`, if that is an end.
fn end_in(state: JobState) {
    match state {
        JobState::Finalized => {
            let segment = draw(2)[0];
            vote_all(segment, &[Vote::Honest; 2]);
            Escrow::pass_deadline(JOB);
        }
        JobState::Cancelled | JobState::Failed(Failure::MissedMilestone | Failure::AuditsUnfinished) => {
            Escrow::pass_deadline(JOB);
        }
        JobState::Failed(failure) => act(Action::Fail(failure)),
        _ => {}
    }
}
