//! A job that goes on with another provider.

use super::*;

#[test]
fn what_is_left_of_a_job_is_accepted_at_the_price_of_what_is_left() {
    let mut open = chain(handed_over(JobState::Open, 2));
    open.jobs.get_mut(&JOB).unwrap().job.escrow = 3_840;
    assert_eq!(price(&open, &policy(), &open.jobs[&JOB]), Some(2 * 5 * 6 * 64));
    assert_eq!(duties(&open, &LocalView::default()), [Duty::Accept { job: JOB }]);
    open.jobs.get_mut(&JOB).unwrap().job.escrow = 3_839;
    assert_eq!(duties(&open, &LocalView::default()), []);
}

#[test]
fn after_a_handover_training_goes_on_behind_the_verified_segments_and_only_its_own_are_committed() {
    let running = chain(handed_over(JobState::Running, 2));
    let cases: Vec<(u32, Vec<Duty>)> = vec![
        (2, vec![TRAIN(2)]),
        (3, vec![TRAIN(3), COMMIT(2)]),
        (4, vec![COMMIT(2), COMMIT(3), Duty::Export { job: JOB }]),
    ];
    for (trained, expected) in cases {
        assert_eq!(duties(&running, &inherited(Inputs::Ready, trained)), expected, "{trained}");
    }
    let mut mine = with_result(inherited(Inputs::Ready, 4));
    let done = chain(handed_over(JobState::Running, 4));
    assert!(duties(&done, &mine).contains(&Duty::SubmitResult { job: JOB }));
    mine.jobs.get_mut(&JOB).unwrap().files.segments.truncate(3);
    assert!(!duties(&done, &mine).contains(&Duty::SubmitResult { job: JOB }));
}

#[test]
fn without_the_checkpoint_the_verified_segments_are_trained_again_and_never_committed() {
    let running = chain(handed_over(JobState::Running, 2));
    assert_eq!(duties(&running, &local(Inputs::Ready, 0)), [TRAIN(0)]);
    assert_eq!(duties(&running, &local(Inputs::Ready, 1)), [TRAIN(1)]);
    assert_eq!(duties(&running, &local(Inputs::Ready, 2)), [TRAIN(2)]);
}

#[test]
fn nothing_is_built_on_verified_segments_that_came_out_differently() {
    let mut mine = local(Inputs::Ready, 2);
    mine.jobs.get_mut(&JOB).unwrap().files.segments[1].end_root = H256::repeat_byte(0xee);
    assert_eq!(duties(&chain(handed_over(JobState::Running, 2)), &mine), []);
    assert_eq!(duties(&chain(handed_over(JobState::Assigned, 2)), &mine), [Duty::Decline { job: JOB }]);
    // A restart looks for the committed checkpoint once more.
    mine.jobs.get_mut(&JOB).unwrap().inputs = Inputs::Arrived;
    assert_eq!(duties(&chain(handed_over(JobState::Running, 2)), &mine), [Duty::PrepareInputs { job: JOB }]);
}

#[test]
fn a_trace_is_opened_only_of_an_own_commitment() {
    let open = Duty::OpenTrace { job: JOB, segment: 1 };
    let view = audited(handed_over(JobState::Running, 2), AuditStage::Opening, vec![slot(OTHER)]);
    for mine in [local(Inputs::Ready, 2), inherited(Inputs::Ready, 2)] {
        assert!(!duties(&chain(view.clone()), &mine).contains(&open), "a segment of the provider before");
    }
    let mut other = local(Inputs::Ready, 2);
    other.jobs.get_mut(&JOB).unwrap().files.segments[1].nonce = [0xee; 32];
    let own = audited(committed(job(JobState::Running), 2), AuditStage::Opening, vec![slot(OTHER)]);
    assert!(!duties(&chain(own), &other).contains(&open), "another nonce");
}

#[test]
fn a_verdict_about_one_providers_attempt_is_not_given_about_the_next_ones() {
    let mut view = by_other(handed_over(JobState::Running, 4));
    view.audits = audited(job(JobState::Running), AuditStage::Committing, vec![slot(ME)]).audits;
    let mine = with_verdict(local(Inputs::Missing, 0));
    assert_eq!(duties(&chain(view.clone()), &mine), [Duty::Audit { job: JOB, segment: 1 }]);
    view.job.handovers = 0;
    assert_eq!(duties(&chain(view), &mine), [Duty::CommitVerdict { job: JOB, segment: 1 }]);
}

#[test]
fn a_previous_provider_keeps_its_files_while_the_job_lives_and_trains_no_more() {
    let mut view = handed_over(JobState::Running, 2);
    view.job.tranches[0].provider = ME;
    for state in [JobState::Open, JobState::Assigned, JobState::Running] {
        let mut view = by_other(view.clone());
        view.job.state = state;
        // Not to accept it again in the open state.
        view.job.excluded = vec![ME];
        assert_eq!(duties(&chain(view), &local(Inputs::Ready, 3)), [], "{state:?}");
    }
}
