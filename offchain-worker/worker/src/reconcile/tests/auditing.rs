//! Draws, traces and verdicts: what a provider proves, and what an auditor does.

use attune_chain_client::primitives::{
    machine::{Failure, Phase},
    proof::Verdict,
};

use super::*;

#[test]
fn audits_are_drawn_only_with_randomness_from_after_the_commitment_was_final() {
    let mine = local(Inputs::Ready, 3);
    let mut chain = chain(committed(job(JobState::Running), 3));
    // Committed at block 95, with a margin of 4.
    for (from, is_drawn) in [(None, false), (Some(95), false), (Some(98), false), (Some(99), true)] {
        chain.randomness_from = from;
        let found = duties(&chain, &mine).contains(&Duty::Draw { job: JOB, milestone: 0 });
        assert_eq!(found, is_drawn, "{from:?}");
    }
    let view = chain.jobs.get_mut(&JOB).unwrap();
    view.draws = vec![DrawInfo { milestone: 0, drawn_at: 100, segments: vec![1] }];
    assert!(!duties(&chain, &mine).contains(&Duty::Draw { job: JOB, milestone: 0 }));
}

#[test]
fn what_its_provider_leaves_undrawn_others_have_drawn() {
    let draw = Duty::Draw { job: JOB, milestone: 0 };
    let mut view = committed(job(JobState::Running), 3);
    view.job.assignment.as_mut().unwrap().provider = OTHER;
    let mut chain = chain(view);
    chain.randomness_from = Some(99);
    let first = |chain: &mut ChainView, policy: &Policy| {
        (110..130).find(|now| {
            (chain.now, chain.epoch_from) = (*now, Some(110));
            upkeep::draws(chain, policy).contains(&draw)
        })
    };
    // Not at once: the provider has the first say.
    assert!((114..118).contains(&first(&mut chain, &policy()).unwrap()));
    assert_eq!(first(&mut chain, &Policy { push_others: false, ..policy() }), None);
    chain.randomness_from = Some(98);
    assert_eq!(first(&mut chain, &policy()), None);
    chain.randomness_from = Some(99);
    let view = chain.jobs.get_mut(&JOB).unwrap();
    view.draws = vec![DrawInfo { milestone: 0, drawn_at: 112, segments: vec![1] }];
    assert_eq!(first(&mut chain, &policy()), None);
}

#[test]
fn a_trace_is_opened_only_when_the_verdicts_are_committed() {
    let open = Duty::OpenTrace { job: JOB, segment: 1 };
    for (stage, is_opened) in [
        (AuditStage::Committing, false),
        (AuditStage::Opening, true),
        (AuditStage::Revealing, false),
        (AuditStage::Passed, false),
    ] {
        let chain = chain(audited(committed(job(JobState::Running), 2), stage, vec![slot(OTHER)]));
        assert_eq!(duties(&chain, &local(Inputs::Ready, 2)).contains(&open), is_opened, "{stage:?}");
    }
    let mut late =
        chain(audited(committed(job(JobState::Running), 2), AuditStage::Opening, vec![slot(OTHER)]));
    late.now = 111;
    assert!(!duties(&late, &local(Inputs::Ready, 2)).contains(&open), "the deadline is over");
}

#[test]
fn a_drawn_auditor_re_executes_commits_and_reveals_each_once() {
    let base = || by_other(committed(job(JobState::Running), 2));
    let (commit, reveal) =
        (Duty::CommitVerdict { job: JOB, segment: 1 }, Duty::RevealVerdict { job: JOB, segment: 1 });
    let mine = || local(Inputs::Missing, 0);
    let fresh = chain(audited(base(), AuditStage::Committing, vec![slot(ME)]));
    assert_eq!(duties(&fresh, &mine()), [Duty::Audit { job: JOB, segment: 1 }]);
    assert_eq!(duties(&fresh, &with_verdict(mine())), [commit]);
    let done = SlotInfo { commitment: Some(verdict().commitment(&ME)), ..slot(ME) };
    let waiting = chain(audited(base(), AuditStage::Committing, vec![done, slot(OTHER)]));
    assert_eq!(duties(&waiting, &with_verdict(mine())), []);
    let opening = chain(audited(base(), AuditStage::Opening, vec![done]));
    assert_eq!(duties(&opening, &with_verdict(mine())), [], "nothing is revealed before the trace is open");
    let revealing = chain(audited(base(), AuditStage::Revealing, vec![done]));
    assert_eq!(duties(&revealing, &with_verdict(mine())), [reveal]);
    let revealed = SlotInfo { verdict: Some(Verdict::Match), ..done };
    let over = chain(audited(base(), AuditStage::Revealing, vec![revealed, slot(OTHER)]));
    assert_eq!(duties(&over, &with_verdict(mine())), []);
}

#[test]
fn an_auditor_keeps_the_end_of_a_milestone_for_whoever_may_have_to_go_on_from_it() {
    let keep = Duty::KeepCheckpoint { job: JOB, segment: 1 };
    let at = |stage| audited(by_other(committed(job(JobState::Running), 2)), stage, vec![slot(ME)]);
    let view = || at(AuditStage::Opening);
    let has_it = with_verdict(local(Inputs::Missing, 0));
    let mut audit_is_done = has_it.clone();
    audit_is_done.jobs.get_mut(&JOB).unwrap().files.kept.clear();
    let mut has_another = has_it.clone();
    let other = KeptFile { segment: 1, checkpoint: H256::repeat_byte(0xee) };
    has_another.jobs.get_mut(&JOB).unwrap().files.kept.insert(1, other);
    let keeps = |view: JobView, mine: &LocalView| duties(&chain(view), mine).contains(&keep);
    let nothing = local(Inputs::Missing, 0);
    assert!(!keeps(at(AuditStage::Committing), &nothing), "its work comes first, and may give it");
    assert!(keeps(at(AuditStage::Committing), &audit_is_done));
    assert!(keeps(at(AuditStage::Passed), &nothing), "it missed its audit, and can serve others");
    assert!(!keeps(view(), &has_it));
    assert!(keeps(view(), &has_another), "what it has is of another attempt");
    let mut not_drawn = view();
    not_drawn.audits[0].slots = vec![slot(OTHER)];
    assert!(!keeps(not_drawn, &audit_is_done));
    let mut last = view();
    last.audits[0].milestone = 1;
    last.commitments = (0..4).map(|number| segment(number).commitment()).collect();
    let found = duties(&chain(last), &audit_is_done);
    assert!(
        !found.iter().any(|duty| matches!(duty, Duty::KeepCheckpoint { .. })),
        "nobody goes on after the end"
    );
    // Whoever had it may be gone by now: others are asked as long as the job may need it.
    for (state, may_need_it) in [
        (JobState::Open, true),
        (JobState::Assigned, true),
        (JobState::Disputed(Phase::Running), true),
        (JobState::Submitted, false),
        (JobState::Cancelling, false),
        (JobState::Disputed(Phase::Cancelling), false),
        (JobState::Failed(Failure::MissedMilestone), false),
    ] {
        let mut at = view();
        at.job.state = state;
        at.job.excluded = vec![ME];
        assert_eq!(keeps(at, &audit_is_done), may_need_it, "{state:?}");
    }
    let own = audited(committed(job(JobState::Running), 2), AuditStage::Opening, vec![slot(ME)]);
    assert!(!keeps(own, &audit_is_done), "who goes on with it has it from its own inputs");
}

#[test]
fn a_verdict_that_is_not_the_committed_one_is_not_revealed() {
    let other = SlotInfo { commitment: Some(H256::repeat_byte(0xee)), ..slot(ME) };
    let view = audited(by_other(committed(job(JobState::Running), 2)), AuditStage::Revealing, vec![other]);
    assert_eq!(duties(&chain(view), &with_verdict(local(Inputs::Missing, 0))), []);
}

#[test]
fn an_auditor_who_missed_or_was_drawn_for_another_round_does_nothing() {
    for changed in [SlotInfo { missed: true, ..slot(ME) }, SlotInfo { in_committee: true, ..slot(ME) }] {
        let view =
            audited(by_other(committed(job(JobState::Running), 2)), AuditStage::Committing, vec![changed]);
        assert_eq!(duties(&chain(view), &local(Inputs::Missing, 0)), []);
    }
}

#[test]
fn a_bystander_does_nothing_in_anybodys_job() {
    for state in
        [JobState::Assigned, JobState::Running, JobState::Submitted, JobState::Disputed(Phase::Running)]
    {
        let view = audited(by_other(committed(job(state), 2)), AuditStage::Committing, vec![slot(OTHER)]);
        assert_eq!(duties(&chain(view), &LocalView::default()), [], "{state:?}");
    }
}
