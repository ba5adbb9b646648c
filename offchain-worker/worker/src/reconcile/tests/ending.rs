//! Jobs that are called off or over, and deadlines that passed.

use attune_chain_client::primitives::machine::{Failure, Phase};

use super::*;

#[test]
fn a_job_that_is_called_off_is_proved_but_neither_trained_nor_committed() {
    for state in [JobState::Cancelling, JobState::Disputed(Phase::Cancelling)] {
        let view = audited(committed(job(state), 2), AuditStage::Opening, vec![slot(OTHER)]);
        let found = duties(&chain(view), &local(Inputs::Ready, 3));
        assert_eq!(found, [Duty::OpenTrace { job: JOB, segment: 1 }], "{state:?}");
        let view = audited(by_other(committed(job(state), 2)), AuditStage::Committing, vec![slot(ME)]);
        let found = duties(&chain(view), &local(Inputs::Missing, 0));
        assert_eq!(found, [Duty::Audit { job: JOB, segment: 1 }], "{state:?}");
    }
}

#[test]
fn a_party_pushes_a_passed_deadline_at_once_but_never_one_against_itself() {
    let push = Duty::PushDeadline { job: JOB, deadline: 200 };
    let mut submitted = chain(committed(job(JobState::Submitted), 4));
    submitted.now = 200;
    assert!(!duties(&submitted, &LocalView::default()).contains(&push));
    submitted.now = 201;
    assert!(duties(&submitted, &LocalView::default()).contains(&push));
    let mut running = chain(committed(job(JobState::Running), 2));
    running.now = 201;
    assert!(!duties(&running, &LocalView::default()).contains(&push));
    let opening = audited(committed(job(JobState::Running), 2), AuditStage::Opening, vec![slot(OTHER)]);
    let push_audit = Duty::PushAuditDeadline { job: JOB, segment: 1, deadline: 110 };
    let mut late = chain(opening.clone());
    late.now = 111;
    assert!(!duties(&late, &local(Inputs::Ready, 2)).contains(&push_audit));
    let mut auditor =
        chain(by_other(audited(committed(job(JobState::Running), 2), AuditStage::Opening, vec![slot(ME)])));
    auditor.now = 111;
    assert!(duties(&auditor, &LocalView::default()).contains(&push_audit));
}

#[test]
fn others_push_a_deadline_later_if_their_owner_lets_them() {
    let push = Duty::PushDeadline { job: JOB, deadline: 200 };
    let mut vanished = chain(by_other(committed(job(JobState::Running), 2)));
    vanished.now = 201;
    assert!(!duties(&vanished, &LocalView::default()).contains(&push));
    vanished.now = 200 + 2 * OTHERS_WAIT + 1;
    assert!(duties(&vanished, &LocalView::default()).contains(&push));
    let own_only = Policy { push_others: false, ..policy() };
    assert!(!reconcile(&vanished, &LocalView::default(), &own_only).contains(&push));
}

#[test]
fn a_closed_job_is_cleaned_up_and_only_a_finished_one_leaves_its_adapter() {
    let mine = with_result(local(Inputs::Ready, 4));
    for (state, duty) in [
        (JobState::Finalized, Duty::Tidy { job: JOB }),
        (JobState::Cancelled, Duty::Forget { job: JOB }),
        (JobState::Expired, Duty::Forget { job: JOB }),
        (JobState::Failed(Failure::WrongResult), Duty::Forget { job: JOB }),
    ] {
        let mut over = chain(job(state));
        over.now = 1_000;
        assert_eq!(duties(&over, &LocalView::default()), [], "{state:?}");
        assert_eq!(duties(&over, &mine), [duty], "{state:?}");
        // An auditor keeps nothing.
        over.jobs.insert(JOB, by_other(job(state)));
        assert_eq!(duties(&over, &mine), [Duty::Forget { job: JOB }], "{state:?}");
    }
    let mut tidy = mine;
    tidy.jobs.get_mut(&JOB).unwrap().files.segments.clear();
    assert_eq!(duties(&chain(job(JobState::Finalized)), &tidy), []);
}

#[test]
fn what_the_chain_no_longer_has_is_forgotten() {
    let mut empty = chain(job(JobState::Open));
    empty.jobs.clear();
    assert_eq!(duties(&empty, &local(Inputs::Ready, 4)), [Duty::Forget { job: JOB }]);
}

#[test]
fn a_pruned_job_leaves_its_adapter_with_who_trained_it_as_long_as_its_record_is_on_chain() {
    let mut mine = with_result(local(Inputs::Missing, 4));
    assert_eq!(duties(&pruned(ME), &mine), [Duty::Tidy { job: JOB }]);
    mine.jobs.get_mut(&JOB).unwrap().files.segments.clear();
    assert_eq!(duties(&pruned(ME), &mine), []);
    assert_eq!(duties(&pruned(OTHER), &mine), [Duty::Forget { job: JOB }]);
    let mut gone = pruned(ME);
    gone.records.clear();
    assert_eq!(duties(&gone, &mine), [Duty::Forget { job: JOB }]);
    // A node that is behind does not know of the job yet, whose nonces nothing can make again.
    let behind = ChainView { next_job: JOB, ..gone };
    assert_eq!(duties(&behind, &mine), []);
}
