//! From the assignment to the submitted result, and what a restart in between must not repeat.

use attune_chain_client::{primitives::machine::Phase, types::ResultInfo};

use super::*;

#[test]
fn an_assigned_job_is_started_once_its_inputs_fit_and_given_back_if_they_never_do() {
    let waiting = chain(job(JobState::Assigned));
    assert_eq!(duties(&waiting, &local(Inputs::Missing, 0)), []);
    assert_eq!(duties(&waiting, &local(Inputs::Arrived, 0)), [Duty::PrepareInputs { job: JOB }]);
    assert_eq!(duties(&waiting, &local(Inputs::Ready, 0)), [Duty::Start { job: JOB }]);
    let unusable = Inputs::Unusable("too short".into());
    assert_eq!(duties(&waiting, &local(unusable, 0)), [Duty::Decline { job: JOB }]);
    let mut late = waiting.clone();
    late.now = 198;
    assert_eq!(duties(&late, &local(Inputs::Missing, 0)), [Duty::Decline { job: JOB }]);
}

#[test]
fn killed_at_any_point_of_training_the_worker_does_exactly_what_is_missing() {
    let (ready, running) = (Inputs::Ready, JobState::Running);
    // (trained, committed) -> duties.
    let cases: Vec<(u32, u32, Vec<Duty>)> = vec![
        (0, 0, vec![TRAIN(0)]),
        (1, 0, vec![TRAIN(1), COMMIT(0)]),
        (1, 1, vec![TRAIN(1)]),
        (3, 1, vec![TRAIN(3), COMMIT(1), COMMIT(2)]),
        (4, 3, vec![COMMIT(3), Duty::Export { job: JOB }]),
        (4, 4, vec![Duty::Export { job: JOB }]),
    ];
    for (trained, done, expected) in cases {
        let mut chain = chain(committed(job(running), done));
        chain.randomness_from = None;
        let found = duties(&chain, &local(ready.clone(), trained));
        assert_eq!(found, expected, "{trained} trained, {done} committed");
    }
}

#[test]
fn after_a_restart_inputs_are_put_into_place_before_training_goes_on() {
    let chain = chain(committed(job(JobState::Running), 1));
    assert_eq!(duties(&chain, &local(Inputs::Arrived, 1)), [Duty::PrepareInputs { job: JOB }]);
}

#[test]
fn the_result_follows_the_last_commitment_and_is_submitted_once() {
    let view = committed(job(JobState::Running), 4);
    let mut mine = with_result(local(Inputs::Ready, 4));
    assert_eq!(duties(&chain(view.clone()), &mine), [Duty::SubmitResult { job: JOB }]);
    // Commitments that are sent but not finalized are enough, as transactions keep their order.
    let ahead = chain(committed(job(JobState::Running), 3));
    assert_eq!(duties(&ahead, &mine), [COMMIT(3), Duty::SubmitResult { job: JOB }]);
    mine.under_way.insert(COMMIT(3));
    assert_eq!(duties(&ahead, &mine), [Duty::SubmitResult { job: JOB }]);
    // One that failed is sent again first, and the result waits.
    mine.under_way.clear();
    mine.not_before.insert(COMMIT(3), 101);
    assert_eq!(duties(&ahead, &mine), []);
    let submitted = JobView {
        result: Some(ResultInfo { adapter: H256::repeat_byte(7), adapter_bytes: 3, submitted_at: 1 }),
        ..view.clone()
    };
    assert_eq!(duties(&chain(submitted), &with_result(local(Inputs::Ready, 4))), []);
    // No result is handed in during a dispute.
    let disputed =
        JobView { job: JobInfo { state: JobState::Disputed(Phase::Running), ..view.job.clone() }, ..view };
    assert_eq!(duties(&chain(disputed), &with_result(local(Inputs::Ready, 4))), []);
}

#[test]
fn what_is_under_way_is_never_begun_again() {
    let mut situations = vec![
        (chain(job(JobState::Open)), LocalView::default()),
        (chain(job(JobState::Assigned)), local(Inputs::Ready, 0)),
        (chain(committed(job(JobState::Running), 1)), local(Inputs::Ready, 3)),
        (chain(committed(job(JobState::Running), 4)), with_result(local(Inputs::Ready, 4))),
        (
            chain(audited(committed(job(JobState::Submitted), 4), AuditStage::Opening, vec![slot(OTHER)])),
            with_result(local(Inputs::Ready, 4)),
        ),
        (
            chain(by_other(audited(
                committed(job(JobState::Running), 2),
                AuditStage::Committing,
                vec![slot(ME)],
            ))),
            with_verdict(local(Inputs::Missing, 0)),
        ),
    ];
    for (chain, local) in &mut situations {
        let first = duties(chain, local);
        assert!(!first.is_empty());
        local.under_way.extend(first);
        assert_eq!(duties(chain, local), []);
    }
}

#[test]
fn what_failed_waits_for_its_block() {
    let chain = chain(job(JobState::Assigned));
    let mut mine = local(Inputs::Ready, 0);
    mine.not_before.insert(Duty::Start { job: JOB }, 101);
    assert_eq!(duties(&chain, &mine), []);
    mine.not_before.insert(Duty::Start { job: JOB }, 100);
    assert_eq!(duties(&chain, &mine), [Duty::Start { job: JOB }]);
}

#[test]
fn lost_files_of_committed_segments_stop_the_training_instead_of_forking_it() {
    let chain = chain(committed(job(JobState::Running), 2));
    assert_eq!(duties(&chain, &local(Inputs::Ready, 1)), []);
}

#[test]
fn nothing_is_sent_twice_over_a_whole_job_whatever_is_lost_in_between() {
    // Plays a whole job, one duty at a time, with a restart after each: under_way is forgotten, files and chain stay.
    let mut view = job(JobState::Running);
    let mut files: Vec<SegmentFile> = Vec::new();
    let mut result = None;
    let mut done: Vec<Duty> = Vec::new();
    for turn in 0..100 {
        let mut mine = local(Inputs::Ready, 0);
        let entry = mine.jobs.get_mut(&JOB).unwrap();
        (entry.files.segments, entry.files.result) = (files.clone(), result);
        let found = duties(&chain(view.clone()), &mine);
        // Now work, now the first transaction, as it may happen.
        let transaction = found.iter().find(|duty| matches!(duty, Duty::CommitSegment { .. }));
        let Some(duty) = transaction.filter(|_| turn % 2 == 0).or(found.first()).copied() else { break };
        assert!(!done.contains(&duty), "{duty:?} twice");
        done.push(duty);
        match duty {
            Duty::Train { segment: number, .. } => files.push(segment(number)),
            Duty::CommitSegment { segment: number, .. } => {
                assert_eq!(view.commitments.len(), number as usize, "in order");
                view.commitments.push(segment(number).commitment());
            }
            Duty::Export { .. } => {
                result = Some(ResultFile { adapter: H256::repeat_byte(7), adapter_bytes: 3 })
            }
            Duty::SubmitResult { .. } => {
                assert_eq!(view.commitments.len(), 4);
                view.result =
                    Some(ResultInfo { adapter: H256::repeat_byte(7), adapter_bytes: 3, submitted_at: 1 });
                view.job.state = JobState::Submitted;
            }
            other => panic!("{other:?} has no place here"),
        }
    }
    assert_eq!(done.len(), 4 + 4 + 1 + 1);
    assert_eq!(view.job.state, JobState::Submitted);
}
