//! The path of an honest job, and of its record.

use attune_primitives::{
    hashing::blake2_256,
    machine::{Action, Failure, JobState},
    merkle,
    proof::Verdict,
    traits::{JobEscrow, ProofOfTraining},
    H256,
};
use codec::Encode;
use frame_support::{assert_noop, assert_ok};

use crate::{
    mock::*, types::Stage, AuditLog, Audits, Commitments, CommittedAt, Draws, Error, Event, Records, Results,
};

/// Draws and passes all audits of a milestone.
fn verify(milestone: u32) {
    for segment in draw(milestone) {
        let votes = vec![Vote::Honest; waiting(segment).len()];
        vote_all(segment, &votes);
    }
}

fn finalize() {
    submit();
    verify(0);
    verify(1);
    skip(1);
    Escrow::pass_deadline(JOB);
    assert_eq!(Escrow::state(JOB), JobState::Finalized);
}

fn proofs_left() -> usize {
    Commitments::<Test>::iter().count()
        + Results::<Test>::iter().count()
        + CommittedAt::<Test>::iter().count()
        + Draws::<Test>::iter().count()
        + Audits::<Test>::iter().count()
        + AuditLog::<Test>::iter().count()
        + crate::OpenDisputes::<Test>::iter().count()
}

#[test]
fn segments_are_committed_in_order() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(commit(1), Error::<Test>::NotNextSegment);
        assert_ok!(commit(0));
        assert_noop!(commit(0), Error::<Test>::NotNextSegment);
        assert_ok!(commit(1));
        assert_noop!(commit(4), Error::<Test>::UnknownSegment);
        assert_eq!(Commitments::<Test>::get(JOB).to_vec(), vec![honest(0), honest(1)]);
        commit_until(4);
        assert_noop!(commit(4), Error::<Test>::UnknownSegment);
    });
}

#[test]
fn the_last_segment_of_a_milestone_moves_the_deadline() {
    ExtBuilder::default().build_and_execute(|| {
        let deadline = || Jobs::get(JOB).expect("the job exists, qed").deadline;
        let before = deadline();
        assert_ok!(commit(0));
        assert_eq!(deadline(), before);
        assert_eq!(CommittedAt::<Test>::get(JOB, 0), None);
        skip(7);
        assert_ok!(commit(1));
        assert_eq!(deadline(), now() + 50_000);
        assert_eq!(CommittedAt::<Test>::get(JOB, 0), Some(now()));
        System::assert_last_event(Event::MilestoneCommitted { job: JOB, milestone: 0 }.into());
    });
}

#[test]
fn a_milestone_committed_after_its_deadline_is_refused_and_leaves_no_segment() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(commit(0));
        System::set_block_number(100_001);
        assert!(commit(1).is_err());
        assert_eq!(Proofs::segments_committed(JOB), 1);
    });
}

#[test]
fn held_out_losses_are_needed_in_segment_0_and_at_milestone_ends() {
    ExtBuilder::default().build_and_execute(|| {
        let who = || signed(operator(TRAINER));
        let mut lacking = honest(0);
        lacking.metrics.held_out_loss_before_micro = None;
        assert_noop!(Proofs::commit_segment(who(), JOB, 0, lacking), Error::<Test>::HeldOutLossMissing);
        let mut inner = honest(0);
        inner.metrics.held_out_loss_micro = None;
        assert_ok!(Proofs::commit_segment(who(), JOB, 0, inner));
        let mut last = honest(1);
        last.metrics.held_out_loss_micro = None;
        assert_noop!(Proofs::commit_segment(who(), JOB, 1, last), Error::<Test>::HeldOutLossMissing);
    });
}

#[test]
fn a_job_without_held_out_rows_needs_no_held_out_losses() {
    let mut spec = spec(&[1], 1, 1);
    spec.data.held_out_rows = 0;
    ExtBuilder::default().spec(spec).build_and_execute(|| {
        let mut plain = honest(0);
        plain.metrics.held_out_loss_before_micro = None;
        plain.metrics.held_out_loss_micro = None;
        assert_ok!(Proofs::commit_segment(signed(operator(TRAINER)), JOB, 0, plain));
    });
}

#[test]
fn a_result_is_submitted_after_the_last_segment_and_once() {
    ExtBuilder::default().build_and_execute(|| {
        let submit = || Proofs::submit_result(signed(operator(TRAINER)), JOB, H256::repeat_byte(3), 77);
        commit_until(3);
        assert_noop!(submit(), Error::<Test>::SegmentsMissing);
        commit_until(4);
        assert_noop!(
            Proofs::submit_result(signed(operator(TRAINER)), JOB, H256::repeat_byte(3), 0),
            Error::<Test>::EmptyAdapter
        );
        assert_ok!(submit());
        assert_eq!(Escrow::state(JOB), JobState::Submitted);
        assert_noop!(submit(), Error::<Test>::JobNotRunning);
    });
}

#[test]
fn all_matches_verify_the_milestone() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        assert_eq!(stage(segment), Stage::Committing);
        vote_all(segment, &[Vote::Honest, Vote::Honest]);
        assert_eq!(stage(segment), Stage::Passed);
        assert_eq!(Jobs::get(JOB).map(|job| job.verified), Some(vec![0]));
        System::assert_last_event(Event::MilestoneVerified { job: JOB, milestone: 0 }.into());
        assert_eq!(Escrow::state(JOB), JobState::Running);
    });
}

#[test]
fn a_milestone_is_verified_only_when_all_its_samples_passed() {
    ExtBuilder::default().spec(spec(&[4], 3, 1)).build_and_execute(|| {
        commit_until(4);
        let segments = draw(0);
        assert_eq!(segments.len(), 3);
        for segment in &segments[..2] {
            vote_all(*segment, &[Vote::Honest]);
            assert!(Jobs::get(JOB).expect("the job exists, qed").verified.is_empty());
        }
        vote_all(segments[2], &[Vote::Honest]);
        assert_eq!(Jobs::get(JOB).expect("the job exists, qed").verified, vec![0]);
        assert!(Draws::<Test>::get(JOB, 0).expect("it was drawn, qed").all_passed());
    });
}

#[test]
fn milestones_are_audited_while_training_goes_on_and_in_any_order() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let first = draw(0)[0];
        commit_until(4);
        let second = draw(1)[0];
        vote_all(second, &[Vote::Honest, Vote::Honest]);
        vote_all(first, &[Vote::Honest, Vote::Honest]);
        assert_eq!(Jobs::get(JOB).expect("the job exists, qed").verified, vec![1, 0]);
    });
}

#[test]
fn the_stages_follow_each_other_as_soon_as_everyone_acted() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let auditors = waiting(segment);
        let deadline = |segment| Audits::<Test>::get(JOB, segment).expect("it is drawn, qed").deadline;
        assert_eq!(deadline(segment), now() + COMMIT_BLOCKS);
        skip(2);
        assert_ok!(commit_vote(segment, auditors[0], Vote::Honest));
        assert_eq!(stage(segment), Stage::Committing);
        assert_ok!(commit_vote(segment, auditors[1], Vote::Honest));
        assert_eq!((stage(segment), deadline(segment)), (Stage::Opening, now() + OPEN_BLOCKS));
        skip(2);
        assert_ok!(open(segment));
        assert_eq!((stage(segment), deadline(segment)), (Stage::Revealing, now() + REVEAL_BLOCKS));
    });
}

#[test]
fn the_record_holds_everything_and_outlives_the_job() {
    ExtBuilder::default().build_and_execute(|| {
        skip(9);
        let submitted_at = u64::from(now()) * 6_000;
        finalize();
        let job = Escrow::job(JOB).expect("the job exists, qed");
        let audits: Vec<_> = Records::<Test>::get(JOB).expect("there is a record, qed").audits.to_vec();
        Jobs::remove(JOB);

        let record = Records::<Test>::get(JOB).expect("the record stays, qed");
        assert_eq!((record.job, record.customer, record.provider), (JOB, CUSTOMER, TRAINER));
        assert_eq!((record.requested_at, record.started_at, record.ended_at), (3_000, 4_000, submitted_at));
        assert_eq!((record.hardware, record.price_per_gpu_hour, record.price), (hardware(), 7, 900));
        assert_eq!((record.model, record.method, record.hyper), (0, job.spec.method, job.spec.hyper));
        assert_eq!((record.mode, record.theme), (job.spec.mode.clone(), job.spec.theme.clone()));
        assert_eq!(record.spec_hash, blake2_256(&job.spec.encode()));
        assert_eq!(record.data_root, job.spec.data.root);
        assert_eq!((record.steps, record.tokens), (40, 4 * 640));
        assert_eq!(record.loss_before_micro, Some(4_000_000));
        assert_eq!(record.loss_after_micro, Some(3_500_000 - 3));
        let leaves: Vec<_> = (0..4).map(|i| merkle::leaf_hash(&honest(i).encode())).collect();
        assert_eq!(record.trace_root, merkle::root(&leaves));
        assert_eq!(record.final_state_root, honest(3).state_root);
        assert_eq!((record.adapter, record.adapter_bytes), (H256::repeat_byte(3), 77));
        assert_eq!(record.finalized_at, now());
        assert_eq!(audits.len(), 4, "two milestones, one sample, two auditors");
        assert!(audits.iter().all(|entry| entry.verdict == Some(Verdict::Match)));
    });
}

#[test]
fn the_record_lists_those_who_never_answered() {
    ExtBuilder::default().spec(spec(&[2], 1, 2)).build_and_execute(|| {
        submit();
        let segment = draw(0)[0];
        let auditors = waiting(segment);
        assert_ok!(commit_vote(segment, auditors[1], Vote::Honest));
        time_out(segment);
        assert_ok!(open(segment));
        assert_ok!(reveal_vote(segment, auditors[1], Vote::Honest));
        skip(1);
        Escrow::pass_deadline(JOB);
        let audits = Records::<Test>::get(JOB).expect("there is a record, qed").audits;
        let listed: Vec<_> =
            audits.iter().map(|entry| (entry.segment, entry.auditor, entry.verdict)).collect();
        assert_eq!(listed, vec![(segment, auditors[0], None), (segment, auditors[1], Some(Verdict::Match))]);
    });
}

#[test]
fn closing_clears_all_proof_storage() {
    ExtBuilder::default().build_and_execute(|| {
        finalize();
        assert_eq!(proofs_left(), 0);
        assert_eq!(Records::<Test>::iter().count(), 1);
    });
}

#[test]
fn a_job_that_is_called_off_leaves_neither_proofs_nor_record() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(3);
        let segment = draw(0)[0];
        assert_ok!(commit_vote(segment, waiting(segment)[0], Vote::Honest));
        assert!(proofs_left() > 0);
        assert_ok!(Escrow::act(JOB, Action::Cancel));
        skip(1);
        Escrow::pass_deadline(JOB);
        assert_eq!(Escrow::state(JOB), JobState::Cancelled);
        assert_eq!(proofs_left(), 0);
        assert_eq!(Records::<Test>::iter().count(), 0);
        assert_noop!(enforce(segment), Error::<Test>::JobNotLive);
        assert_noop!(commit(3), Error::<Test>::JobNotRunning);
    });
}

#[test]
fn a_failed_job_leaves_neither_proofs_nor_record() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        for auditor in waiting(segment) {
            assert_ok!(commit_vote(segment, auditor, Vote::Honest));
        }
        time_out(segment);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::TraceNotOpened));
        assert_eq!((proofs_left(), Records::<Test>::iter().count()), (0, 0));
    });
}

#[test]
fn a_job_without_a_result_gets_no_record() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let mut job = Escrow::job(JOB).expect("the job exists, qed");
        job.state = JobState::Finalized;
        assert_noop!(Proofs::on_closed(JOB, &job), Error::<Test>::RecordIncomplete);
    });
}

#[test]
fn a_record_is_removed_by_its_customer_after_its_time() {
    ExtBuilder::default().build_and_execute(|| {
        finalize();
        assert_noop!(Proofs::remove_record(signed(CUSTOMER), JOB), Error::<Test>::TooEarly);
        skip(RETENTION);
        assert_noop!(Proofs::remove_record(signed(CUSTOMER), JOB), Error::<Test>::TooEarly);
        skip(1);
        assert_noop!(Proofs::remove_record(signed(STRANGER), JOB), Error::<Test>::NotCustomer);
        assert_ok!(Proofs::remove_record(signed(CUSTOMER), JOB));
        assert_noop!(Proofs::remove_record(signed(CUSTOMER), JOB), Error::<Test>::UnknownRecord);
    });
}

#[test]
fn a_dispute_does_not_stop_training_but_the_submission() {
    ExtBuilder::default().spec(spec(&[2, 2], 1, 1)).build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        vote_all(segment, &[Vote::WrongRoot]);
        assert!(matches!(Escrow::state(JOB), JobState::Disputed(_)));
        assert_ok!(commit(2));
        assert_ok!(commit(3));
        let submit = || Proofs::submit_result(signed(operator(TRAINER)), JOB, H256::repeat_byte(3), 77);
        assert_noop!(submit(), Error::<Test>::JobNotRunning);
        vote_all(segment, &[Vote::Honest; 3]);
        assert_eq!(Escrow::state(JOB), JobState::Running);
        assert_ok!(submit());
    });
}
