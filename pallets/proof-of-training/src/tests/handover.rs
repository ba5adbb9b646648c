//! A job that goes from one provider to the next keeps what was verified, and one that is called off ends with its audits.

use attune_primitives::{
    machine::{Action, Failure, JobState, Phase},
    proof::Tranche,
};
use frame_support::{assert_noop, assert_ok};

use crate::{
    mock::*, types::Stage, AuditLog, Audits, Commitments, CommittedAt, Draws, Error, Event, OpenDisputes,
    Records, Results,
};

/// Who goes on.
const NEXT: AccountId = 20;

/// Draws and passes all audits of a milestone.
fn verify(milestone: u32) {
    for segment in draw(milestone) {
        let votes = vec![Vote::Honest; waiting(segment).len()];
        vote_all(segment, &votes);
    }
}

/// A job of three milestones of two segments that reopens when it fails: milestone 0 is verified, milestone 1 is drawn,
/// and a segment of milestone 2 is committed.
fn in_the_middle(test: impl FnOnce(u32)) {
    ExtBuilder::default().spec(spec(&[2, 2, 2], 1, 2)).build_and_execute(|| {
        Reopens::put(true);
        commit_until(2);
        verify(0);
        commit_until(5);
        let segment = draw(1)[0];
        test(segment);
    });
}

fn segments_with_audits() -> Vec<u32> {
    let mut segments: Vec<_> = Audits::<Test>::iter_keys().map(|(_, segment)| segment).collect();
    segments.sort_unstable();
    segments
}

#[test]
fn a_handover_keeps_what_is_verified_and_drops_the_rest() {
    in_the_middle(|_| {
        let verified = Draws::<Test>::get(JOB, 0).expect("it was drawn, qed").segments.to_vec();
        assert_ok!(Escrow::act(JOB, Action::Fail(Failure::WrongResult)));
        assert_eq!(Escrow::state(JOB), JobState::Open);
        assert_eq!(Commitments::<Test>::get(JOB).to_vec(), vec![honest(0), honest(1)]);
        let milestones = |keys: Vec<(u64, u32)>| keys.into_iter().map(|(_, m)| m).collect::<Vec<_>>();
        assert_eq!(milestones(CommittedAt::<Test>::iter_keys().collect()), [0]);
        assert_eq!(milestones(Draws::<Test>::iter_keys().collect()), [0]);
        assert_eq!(segments_with_audits(), verified);
        assert_eq!(AuditLog::<Test>::get(JOB).len(), 2, "the two audits of milestone 0");
        System::assert_last_event(Event::ProofsDropped { job: JOB, milestone: 1, segment: 2 }.into());
    });
}

#[test]
fn the_next_provider_goes_on_with_the_next_segment_and_the_record_names_both() {
    in_the_middle(|_| {
        assert_ok!(Escrow::act(JOB, Action::Fail(Failure::WrongResult)));
        assert_noop!(commit(2), Error::<Test>::NotAssigned);
        Escrow::go_on(JOB, NEXT);
        assert_noop!(commit(4), Error::<Test>::NotNextSegment);
        let former = Proofs::commit_segment(signed(operator(TRAINER)), JOB, 2, honest(2));
        assert_noop!(former, Error::<Test>::NotAssigned);
        submit();
        verify(1);
        verify(2);
        skip(1);
        Escrow::pass_deadline(JOB);
        let record = Records::<Test>::get(JOB).expect("the job is final, qed");
        assert_eq!((record.provider, record.price, record.started_at), (NEXT, 100 + 900, 4_000));
        let first = Tranche {
            provider: TRAINER,
            first_milestone: 0,
            last_milestone: 0,
            paid: 100,
            started_at: 4_000,
        };
        let second =
            Tranche { provider: NEXT, first_milestone: 1, last_milestone: 2, paid: 900, started_at: 4_001 };
        assert_eq!(record.tranches.to_vec(), [first, second]);
        assert_eq!(record.tokens, 6 * 640);
        assert_eq!(record.audits.len(), 6, "one sample and two auditors of each milestone that counts");
    });
}

#[test]
fn a_handover_with_nothing_verified_leaves_nothing() {
    ExtBuilder::default().build_and_execute(|| {
        Reopens::put(true);
        submit();
        let segment = draw(0)[0];
        for auditor in waiting(segment) {
            assert_ok!(commit_vote(segment, auditor, Vote::Honest));
        }
        time_out(segment);
        assert_eq!(Escrow::state(JOB), JobState::Open);
        assert_eq!(Proofs::segments_committed(JOB), 0);
        let left = Commitments::<Test>::iter().count()
            + Results::<Test>::iter().count()
            + CommittedAt::<Test>::iter().count()
            + Draws::<Test>::iter().count()
            + Audits::<Test>::iter().count()
            + AuditLog::<Test>::iter().count();
        assert_eq!(left, 0);
        assert_noop!(enforce(segment), Error::<Test>::JobNotLive);
    });
}

#[test]
fn auditors_of_dropped_work_are_released_and_can_be_drawn_again() {
    in_the_middle(|segment| {
        let drawn = waiting(segment);
        assert_ok!(commit_vote(segment, drawn[0], Vote::Honest));
        assert_ok!(Escrow::act(JOB, Action::Fail(Failure::NoAuditors)));
        assert_noop!(commit_vote(segment, drawn[1], Vote::Honest), Error::<Test>::JobNotLive);
        Escrow::go_on(JOB, NEXT);
        assert_noop!(commit_vote(segment, drawn[1], Vote::Honest), Error::<Test>::NotDrawn);
        for auditor in drawn {
            assert_eq!(Staking::counts(auditor).missed, 0);
        }
        commit_until(4);
        let again = draw(1)[0];
        assert!(waiting(again).iter().all(|auditor| *auditor != NEXT), "nobody audits its own work");
        assert_eq!(stage(again), Stage::Committing);
    });
}

#[test]
fn a_conviction_hands_the_job_over_and_leaves_no_dispute() {
    in_the_middle(|segment| {
        vote_all(segment, &[Vote::WrongRoot, Vote::WrongRoot]);
        assert_eq!(Escrow::state(JOB), JobState::Disputed(Phase::Running));
        vote_all(segment, &[Vote::WrongRoot; 3]);
        assert_eq!(Escrow::state(JOB), JobState::Open);
        assert_eq!(OpenDisputes::<Test>::iter().count(), 0);
        assert_eq!(Escrow::fees_paid(JOB).len(), 2 + 5, "whoever found it is paid before the job moves on");
        assert_eq!(Proofs::segments_committed(JOB), 2);
    });
}

#[test]
fn a_milestone_verified_on_top_of_an_unverified_one_is_dropped_with_it() {
    ExtBuilder::default().build_and_execute(|| {
        Reopens::put(true);
        commit_until(4);
        verify(1);
        assert_ok!(Escrow::act(JOB, Action::Fail(Failure::WrongResult)));
        assert_eq!((Proofs::segments_committed(JOB), Draws::<Test>::iter().count()), (0, 0));
        assert_eq!(AuditLog::<Test>::iter().count(), 0);
    });
}

#[test]
fn a_job_that_is_being_cancelled_takes_no_segment_and_ends_with_its_last_audit() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(3);
        assert_ok!(Escrow::act(JOB, Action::Cancel));
        assert_eq!(Escrow::state(JOB), JobState::Cancelling);
        assert_noop!(commit(3), Error::<Test>::JobNotRunning);
        verify(0);
        assert_eq!(Escrow::state(JOB), JobState::Cancelled);
        assert_eq!(Commitments::<Test>::iter().count() + Audits::<Test>::iter().count(), 0);
        assert_eq!(Escrow::fees_paid(JOB).len(), 2);
    });
}

#[test]
fn a_dispute_while_cancelling_ends_the_job_when_the_provider_is_upheld() {
    ExtBuilder::default().build_and_execute(|| {
        Reopens::put(true);
        commit_until(2);
        assert_ok!(Escrow::act(JOB, Action::Cancel));
        let segment = draw(0)[0];
        vote_all(segment, &[Vote::Honest, Vote::WrongRoot]);
        assert_eq!(Escrow::state(JOB), JobState::Disputed(Phase::Cancelling));
        vote_all(segment, &[Vote::Honest; 3]);
        assert_eq!(Escrow::state(JOB), JobState::Cancelled);
        assert_eq!(Audits::<Test>::iter().count() + OpenDisputes::<Test>::iter().count(), 0);
    });
}

#[test]
fn whoever_pays_for_the_job_is_never_drawn() {
    let three = [(20, 100), (21, 100), (22, 100)];
    for funder in [20, operator(20)] {
        ExtBuilder::default().auditors(&three).build_and_execute(|| {
            Jobs::mutate(JOB, |job| job.as_mut().expect("the job exists, qed").funder = funder);
            commit_until(2);
            let segment = draw(0)[0];
            let mut drawn = waiting(segment);
            drawn.sort_unstable();
            assert_eq!(drawn, [21, 22]);
        });
    }
}
