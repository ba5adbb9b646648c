//! What pages are told is what is stored, and no more than they asked for.

use attune_primitives::{
    machine::JobState,
    page::{Page, MAX_LOOKUPS},
    proof::Verdict,
};
use frame_support::assert_ok;

use crate::{
    mock::*,
    types::{Round, Stage},
    views::{JobProgress, MilestoneProgress, RecordFilter, RecordInfo},
    Audits, Records,
};

const ALL: RecordFilter<AccountId> = RecordFilter { customer: None, provider: None, model: None };

fn progress() -> JobProgress<AccountId> {
    Proofs::job_progress(JOB).expect("the job exists, qed")
}

fn milestone(index: usize) -> MilestoneProgress<AccountId> {
    progress().milestones[index].clone()
}

/// Finishes the job: a record is written.
fn finalize() {
    submit();
    conclude();
}

/// Lets everything that was submitted pass.
fn conclude() {
    for milestone in 0..2 {
        for segment in draw(milestone) {
            vote_all(segment, &[Vote::Honest; 2]);
        }
    }
    skip(1);
    Escrow::pass_deadline(JOB);
    assert_eq!(Escrow::state(JOB), JobState::Finalized);
}

#[test]
fn of_what_nobody_knows_there_is_no_answer() {
    ExtBuilder::default().build_and_execute(|| {
        assert_eq!(Proofs::job_progress(JOB + 1), None);
        assert_eq!(Proofs::record(JOB), None);
        assert_eq!(Proofs::records_page(ALL, 0, 10), Page::empty());
        assert_eq!(Proofs::records_page(ALL, JOB + 1, 10), Page::empty());
        assert_eq!(Proofs::models_page(Some(0), 10), Page::empty());
    });
}

#[test]
fn pages_of_models_follow_each_other_newest_first() {
    ExtBuilder::default().build_and_execute(|| {
        for artifact in 2..5 {
            assert_ok!(Proofs::register_model(signed(STRANGER), model_info(artifact)));
        }
        assert_ok!(Proofs::remove_model(signed(STRANGER), 2));
        let page = |before, limit| {
            let page = Proofs::models_page(before, limit);
            (page.items.iter().map(|model| model.id).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(page(None, 2), (vec![3, 1], Some(1)));
        assert_eq!(page(Some(1), 2), (vec![0], None));
        assert_eq!(page(Some(u32::MAX), 0), (vec![3], Some(3)));
        assert_eq!(page(None, u32::MAX).0, [3, 1, 0]);
        assert_eq!(Proofs::models_page(None, 1).items[0].model.info, model_info(4));
    });
}

#[test]
fn progress_follows_commitments_and_their_metrics() {
    ExtBuilder::default().build_and_execute(|| {
        let empty = progress();
        assert_eq!((empty.segments, empty.segments_committed, empty.tokens), (4, 0, 0));
        assert_eq!((empty.train_loss_micro, empty.loss_before_micro, empty.result), (None, None, None));
        commit_until(1);
        assert_eq!(milestone(0).committed_at, None);
        commit_until(3);
        let found = progress();
        assert_eq!((found.segments_committed, found.tokens), (3, 3 * 640));
        assert_eq!(found.train_loss_micro, Some(2_999_998));
        assert_eq!((found.loss_before_micro, found.loss_now_micro), (Some(4_000_000), Some(3_499_998)));
        let (first, second) = (milestone(0), milestone(1));
        assert_eq!((first.first_segment, first.segments, first.committed_at), (0, 2, Some(now())));
        assert_eq!((second.first_segment, second.segments, second.committed_at), (2, 2, None));
        assert_eq!((first.drawn_at, first.audits.len(), first.passed), (None, 0, false));
    });
}

#[test]
fn an_audit_says_whom_it_waits_for_and_until_when() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let audit = || milestone(0).audits[0].clone();
        let auditors = waiting(segment);
        assert_eq!(
            (audit().segment, audit().stage, audit().round),
            (segment, Stage::Committing, Round::First)
        );
        assert_eq!(audit().deadline, Some(now() + COMMIT_BLOCKS));
        assert_eq!(audit().auditors.iter().map(|a| a.auditor).collect::<Vec<_>>(), auditors);

        assert_ok!(commit_vote(segment, auditors[0], Vote::Honest));
        assert_eq!(audit().auditors.iter().map(|a| a.committed).collect::<Vec<_>>(), [true, false]);
        time_out(segment);
        assert_eq!(audit().auditors.iter().map(|a| a.missed).collect::<Vec<_>>(), [false, true]);
        assert_ok!(open(segment));
        assert_ok!(reveal_vote(segment, auditors[0], Vote::Honest));
        assert_eq!(audit().auditors[0].verdict, Some(Verdict::Match));
        assert_eq!((audit().stage, audit().deadline), (Stage::Passed, None));
        assert!(milestone(0).passed && !milestone(1).passed);
    });
}

#[test]
fn a_dispute_shows_its_committee() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        vote_all(segment, &[Vote::WrongRoot, Vote::Honest]);
        let audit = milestone(0).audits[0].clone();
        assert_eq!((progress().open_disputes, audit.round), (1, Round::Committee));
        let members = audit.auditors.iter().filter(|a| a.in_committee).count();
        assert_eq!(u32::try_from(members), Ok(COMMITTEE));
        assert_eq!(audit.auditors.len(), Audits::<Test>::get(JOB, segment).expect("drawn, qed").slots.len());
    });
}

#[test]
fn a_finished_job_has_a_record_and_no_progress_left() {
    ExtBuilder::default().build_and_execute(|| {
        submit();
        let adapter = progress().result.expect("it is submitted, qed").adapter;
        conclude();
        let left = progress();
        assert_eq!((left.segments_committed, left.result), (0, None));
        assert!(left.milestones.iter().all(|milestone| milestone.committed_at.is_none()));

        let record = Proofs::record(JOB).expect("a finalized job leaves a record, qed");
        let [info] = &Proofs::records_page(ALL, JOB + 1, 10).items[..] else { panic!("there is one record") };
        assert_eq!(*info, RecordInfo::from(&record));
        assert_eq!((info.record, info.adapter, info.tokens), (JOB, adapter, 4 * 640));
        assert_eq!((info.audits, info.matches, info.tranches), (4, 4, 1));
    });
}

#[test]
fn records_are_found_by_customer_provider_and_model() {
    ExtBuilder::default().build_and_execute(|| {
        finalize();
        let found = |filter| Proofs::records_page(filter, JOB + 1, 10).items.len();
        assert_eq!(found(RecordFilter { customer: Some(CUSTOMER), ..ALL }), 1);
        assert_eq!(found(RecordFilter { customer: Some(TRAINER), ..ALL }), 0);
        assert_eq!(found(RecordFilter { provider: Some(TRAINER), ..ALL }), 1);
        assert_eq!(found(RecordFilter { provider: Some(CUSTOMER), ..ALL }), 0);
        assert_eq!(found(RecordFilter { model: Some(0), ..ALL }), 1);
        assert_eq!(found(RecordFilter { model: Some(1), ..ALL }), 0);
    });
}

#[test]
fn a_page_of_records_looks_at_a_bounded_number_of_ids() {
    ExtBuilder::default().build_and_execute(|| {
        finalize();
        let far = JOB + 1 + u64::from(MAX_LOOKUPS);
        let first = Proofs::records_page(ALL, far, 10);
        assert_eq!((first.items.len(), first.next), (0, Some(JOB + 1)));
        assert_eq!(Proofs::records_page(ALL, JOB + 1, 10).items.len(), Records::<Test>::iter().count());
    });
}
