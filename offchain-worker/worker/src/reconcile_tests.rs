//! Situations of a provider (`ME`), an auditor and a bystander, and what each must do in them.

use std::collections::BTreeMap;

use attune_chain_client::{
    primitives::{
        job::{ArithmeticMode, BaseFormat},
        machine::{Failure, JobState, Phase},
        proof::TrainingRecord,
        provider::{Hardware, ProviderProfile},
        H256,
    },
    types::{
        AssignmentInfo, AuditInfo, BidInfo, Constants, DrawInfo, JobInfo, ModelInfo, PoolInfo, ProviderInfo,
        RecordInfo, Reputation, ResultInfo, SlotInfo,
    },
};

use super::*;
use crate::{
    jobdir::{tests::segment, JobFiles, KeptFile, ResultFile, SegmentFile, VerdictFile},
    testing::{spec, CLASS},
};

pub(crate) const ME: AccountId = AttuneAccount([1; 32]);
const OPERATOR: AccountId = AttuneAccount([11; 32]);
pub(crate) const OTHER: AccountId = AttuneAccount([2; 32]);
pub(crate) const OTHER_OPERATOR: AccountId = AttuneAccount([12; 32]);
pub(crate) const CUSTOMER: AccountId = AttuneAccount([3; 32]);
pub(crate) const JOB: JobId = 5;

use attune_chain_client::AccountId as AttuneAccount;

pub(crate) fn provider(account: AccountId, operator: AccountId) -> ProviderInfo {
    ProviderInfo {
        account,
        profile: ProviderProfile {
            name: Default::default(),
            endpoint: b"http://127.0.0.1:1".to_vec().try_into().unwrap(),
            class: CLASS.as_bytes().to_vec().try_into().unwrap(),
            exact_version: 1,
            hardware: Hardware { model: Default::default(), accelerators: 0, memory_mib: 1 },
            // One planck a second.
            price_per_gpu_hour: 3_600,
            tokens_per_second: 1,
        },
        commission_ppm: 0,
        operator,
        commission_rise: None,
        active: true,
        chilled: false,
        absent_since: None,
        reputation: Reputation::default(),
        registered_at: 0,
        pool: PoolInfo { self_bond: 1_000_000, ..PoolInfo::default() },
    }
}

pub(crate) fn job(state: JobState) -> JobView {
    let assignment = AssignmentInfo {
        provider: ME,
        first_milestone: 0,
        price: 100,
        commission_ppm: 0,
        hardware: Hardware { model: Default::default(), accelerators: 0, memory_mib: 1 },
        price_per_gpu_hour: 1,
        bond: 10,
        assigned_at: 1,
        started_at: None,
    };
    JobView {
        job: JobInfo {
            id: JOB,
            customer: CUSTOMER,
            funder: CUSTOMER,
            spec: spec(),
            state,
            deadline: 200,
            assignment: (!state.awaits_provider()).then_some(assignment),
            escrow: 10_000,
            audit_budget: 40,
            spent: 0,
            deposit: 1,
            milestones_paid: 0,
            handovers: 0,
            excluded: Vec::new(),
            tranches: Vec::new(),
            milestones_committed: 0,
            requested_at: 0,
            closed_at: None,
        },
        bids: Vec::new(),
        commitments: Vec::new(),
        result: None,
        committed_at: BTreeMap::new(),
        draws: Vec::new(),
        audits: Vec::new(),
    }
}

pub(crate) fn chain(view: JobView) -> ChainView {
    ChainView {
        now: 100,
        me: provider(ME, OPERATOR),
        providers: vec![provider(ME, OPERATOR), provider(OTHER, OTHER_OPERATOR)],
        jobs: BTreeMap::from([(JOB, view)]),
        records: BTreeMap::new(),
        models: vec![ModelInfo {
            id: 0,
            name: "m".into(),
            architecture: "llama".into(),
            parameters: 1,
            artifact: H256::repeat_byte(9),
            artifact_bytes: 1,
            tokenizer: H256::zero(),
            licence: "Apache-2.0".into(),
            owner: CUSTOMER,
            live_jobs: 1,
        }],
        randomness_from: None,
        slashes: Vec::new(),
        due: Vec::new(),
        heartbeat_due: None,
        constants: Constants {
            finality_margin: 4,
            max_bids: 2,
            min_bond_share_ppm: 500_000,
            max_bond_multiple: 10,
            ..Constants::default()
        },
    }
}

/// The chain after the entry of a finished job was pruned: its record is all that is left.
pub(crate) fn pruned(trained_by: AccountId) -> ChainView {
    let mut view = chain(job(JobState::Finalized));
    view.jobs.clear();
    let spec = spec();
    let record = TrainingRecord {
        job: JOB,
        customer: CUSTOMER,
        provider: trained_by,
        tranches: Default::default(),
        requested_at: 1,
        started_at: 2,
        ended_at: 3,
        hardware: Hardware { model: Default::default(), accelerators: 0, memory_mib: 1 },
        price_per_gpu_hour: 1,
        price: 100,
        model: spec.model,
        method: spec.method,
        spec_hash: spec.hash(),
        hyper: spec.hyper,
        mode: spec.mode,
        theme: spec.theme,
        data_root: spec.data.root,
        steps: 20,
        tokens: 640,
        loss_before_micro: None,
        loss_after_micro: None,
        trace_root: H256::zero(),
        final_state_root: H256::zero(),
        adapter: H256::repeat_byte(7),
        adapter_bytes: 3,
        audits: Default::default(),
        finalized_at: 90,
    };
    view.records = BTreeMap::from([(JOB, RecordInfo { record })]);
    view
}

pub(crate) fn policy() -> Policy {
    Policy {
        class: CLASS.into(),
        exact_version: 1,
        engine_version: 1,
        price_floor: 0,
        max_jobs: 1,
        push_others: true,
    }
}

pub(crate) fn local(inputs: Inputs, trained: u32) -> LocalView {
    let files = JobFiles { segments: (0..trained).map(segment).collect(), ..JobFiles::default() };
    LocalView { jobs: BTreeMap::from([(JOB, LocalJob { inputs, files })]), ..LocalView::default() }
}

pub(crate) fn with_result(mut local: LocalView) -> LocalView {
    let result = ResultFile { adapter: H256::repeat_byte(7), adapter_bytes: 3 };
    local.jobs.get_mut(&JOB).unwrap().files.result = Some(result);
    local
}

pub(crate) fn committed(mut view: JobView, count: u32) -> JobView {
    view.commitments = (0..count).map(|number| segment(number).commitment()).collect();
    view.committed_at =
        [(0, 2), (1, 4)].into_iter().filter(|(_, end)| *end <= count).map(|(m, _)| (m, 95)).collect();
    view
}

pub(crate) fn slot(auditor: AccountId) -> SlotInfo {
    SlotInfo { auditor, commitment: None, verdict: None, in_committee: false, missed: false }
}

pub(crate) fn audited(mut view: JobView, stage: AuditStage, slots: Vec<SlotInfo>) -> JobView {
    view.draws = vec![DrawInfo { milestone: 0, drawn_at: 98, segments: vec![1] }];
    view.audits = vec![AuditInfo {
        job: JOB,
        segment: 1,
        milestone: 0,
        stage,
        committee: false,
        deadline: 110,
        redraws: 0,
        trace: matches!(stage, AuditStage::Revealing).then_some(H256::repeat_byte(4)),
        slots,
    }];
    view
}

/// A job that came to `ME` after `OTHER` trained its first milestone (segments 0 and 1), of which `done` segments are
/// committed.
pub(crate) fn handed_over(state: JobState, done: u32) -> JobView {
    let mut view = committed(job(state), done);
    view.job.milestones_paid = 1;
    view.job.handovers = 1;
    view.job.tranches = vec![attune_chain_client::types::PaidTranche {
        provider: OTHER,
        first_milestone: 0,
        last_milestone: 0,
        paid: 50,
        started_at: 1,
    }];
    if let Some(assignment) = view.job.assignment.as_mut() {
        assignment.first_milestone = 1;
    }
    view.draws = vec![DrawInfo { milestone: 0, drawn_at: 98, segments: vec![1] }];
    view
}

/// As [`local`], with the two verified segments taken over from the chain.
pub(crate) fn inherited(inputs: Inputs, trained: u32) -> LocalView {
    let mut mine = local(inputs, trained);
    for file in mine.jobs.get_mut(&JOB).unwrap().files.segments.iter_mut().take(2) {
        *file = SegmentFile::inherited(file.segment, &file.commitment());
    }
    mine
}

pub(crate) fn by_other(mut view: JobView) -> JobView {
    view.job.assignment.as_mut().unwrap().provider = OTHER;
    view
}

fn duties(chain: &ChainView, local: &LocalView) -> Vec<Duty> {
    reconcile(chain, local, &policy())
}

fn verdict() -> VerdictFile {
    VerdictFile {
        segment: 1,
        end_root: H256::repeat_byte(1),
        trace: H256::repeat_byte(2),
        salt: [3; 32],
        attempt: 0,
    }
}

/// With the audit of segment 1 done, and the checkpoint at its end kept.
fn with_verdict(mut local: LocalView) -> LocalView {
    let files = &mut local.jobs.get_mut(&JOB).unwrap().files;
    files.verdicts.insert(1, verdict());
    files.kept.insert(1, KeptFile { segment: 1, checkpoint: segment(1).checkpoint });
    local
}

const TRAIN: fn(u32) -> Duty = |segment| Duty::Train { job: JOB, segment };
const COMMIT: fn(u32) -> Duty = |segment| Duty::CommitSegment { job: JOB, segment };

#[test]
fn an_open_job_that_fits_is_accepted_at_its_quote() {
    let chain = chain(job(JobState::Open));
    // 4 segments of 5 steps of 6 rows of 64 tokens, at a token a second and a planck a second.
    assert_eq!(price(&chain, &policy(), &chain.jobs[&JOB]), Some(4 * 5 * 6 * 64));
    assert_eq!(duties(&chain, &LocalView::default()), [Duty::Accept { job: JOB }]);
}

fn set_mode(chain: &mut ChainView, mode: ArithmeticMode) {
    chain.jobs.get_mut(&JOB).unwrap().job.spec.mode = mode;
}

fn class_exact(class: &str) -> ArithmeticMode {
    ArithmeticMode::ClassExact { class: class.as_bytes().to_vec().try_into().unwrap() }
}

#[test]
fn a_job_in_any_arithmetic_that_the_worker_computes_is_accepted() {
    let modes = [BaseFormat::W8, BaseFormat::W4].map(|base| ArithmeticMode::Exact { version: 1, base });
    for mode in modes.into_iter().chain([class_exact(CLASS)]) {
        let mut chain = chain(job(JobState::Open));
        set_mode(&mut chain, mode.clone());
        assert_eq!(duties(&chain, &LocalView::default()), [Duty::Accept { job: JOB }], "{mode:?}");
    }
}

#[test]
fn an_open_job_that_does_not_fit_is_left_alone() {
    let cases: Vec<(&str, Box<dyn Fn(&mut ChainView)>)> = vec![
        ("a profile without exact arithmetic", Box::new(|c| c.me.profile.exact_version = 0)),
        (
            "another version of exact arithmetic",
            Box::new(|c| {
                c.me.profile.exact_version = 2;
                set_mode(c, ArithmeticMode::Exact { version: 2, base: BaseFormat::W8 });
            }),
        ),
        (
            "another class than the profile's",
            Box::new(|c| {
                set_mode(c, class_exact(CLASS));
                c.me.profile.class = b"other".to_vec().try_into().unwrap();
            }),
        ),
        (
            "another class than the process is pinned to",
            Box::new(|c| {
                set_mode(c, class_exact("other"));
                c.me.profile.class = b"other".to_vec().try_into().unwrap();
            }),
        ),
        ("another engine", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.spec.engine_version = 2)),
        ("a price below the quote", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.escrow = 7_679)),
        (
            "another chosen provider",
            Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.spec.provider = Some(OTHER)),
        ),
        ("an own job", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.customer = ME)),
        ("a job that it pays for", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.funder = ME)),
        (
            "a job that its operator pays for",
            Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.funder = OPERATOR),
        ),
        (
            "a job that it had and may not have again",
            Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.excluded = vec![ME]),
        ),
        ("the operator's job", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.customer = OPERATOR)),
        ("a provider that leaves", Box::new(|c| c.me.active = false)),
        ("a stake below the bond", Box::new(|c| c.me.pool.self_bond = 7_679)),
        ("a stake that backs other bonds", Box::new(|c| c.me.pool.locked = 992_321)),
        ("a deadline that is over", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.deadline = 99)),
        (
            "a job of its own",
            Box::new(|c| {
                let mut other = job(JobState::Running);
                other.job.id = 4;
                c.jobs.insert(4, other);
            }),
        ),
    ];
    for (what, change) in cases {
        let mut chain = chain(job(JobState::Open));
        change(&mut chain);
        let found = reconcile(&chain, &LocalView::default(), &policy());
        assert!(!found.contains(&Duty::Accept { job: JOB }), "{what}: {found:?}");
    }
}

#[test]
fn a_worker_accepts_no_more_jobs_at_once_than_it_may_train() {
    let mut chain = chain(job(JobState::Open));
    for id in 6..10 {
        let mut other = job(JobState::Open);
        other.job.id = id;
        chain.jobs.insert(id, other);
    }
    // Late enough for this worker's turn at each of them.
    chain.now += MAX_ACCEPT_WAIT;
    for max_jobs in 0..=3 {
        let accepted = reconcile(&chain, &LocalView::default(), &Policy { max_jobs, ..policy() });
        assert_eq!(accepted.len(), max_jobs as usize);
    }
}

#[test]
fn workers_take_turns_at_accepting_unless_the_customer_chose() {
    let mut fresh = chain(job(JobState::Open));
    fresh.jobs.get_mut(&JOB).unwrap().job.deadline = 200;
    let mut other = fresh.clone();
    std::mem::swap(&mut other.me, &mut other.providers[1]);
    other.me = provider(OTHER, OTHER_OPERATOR);
    let first = [&fresh, &other].map(|chain| duties(chain, &LocalView::default()).len());
    assert_eq!(first.iter().sum::<usize>(), 1, "exactly one of two accepts at once");
    let view = fresh.jobs.get_mut(&JOB).unwrap();
    view.job.spec.provider = Some(ME);
    assert_eq!(duties(&fresh, &LocalView::default()), [Duty::Accept { job: JOB }]);
}

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
    let revealed = SlotInfo { verdict: Some(attune_chain_client::primitives::proof::Verdict::Match), ..done };
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

#[test]
fn in_a_bidding_window_one_bid_is_placed_and_never_a_second() {
    let bid = Duty::Bid { job: JOB };
    let mut bidding = chain(job(JobState::Bidding));
    assert_eq!(duties(&bidding, &LocalView::default()), [bid]);
    let view = bidding.jobs.get_mut(&JOB).unwrap();
    view.bids = vec![BidInfo { provider: ME, price: 9_999 }];
    assert_eq!(duties(&bidding, &LocalView::default()), [], "it has bid");
    bidding.jobs.get_mut(&JOB).unwrap().bids = vec![BidInfo { provider: OTHER, price: 1 }];
    assert_eq!(duties(&bidding, &LocalView::default()), [bid], "another one has");
    bidding.jobs.get_mut(&JOB).unwrap().job.escrow = 7_679;
    assert_eq!(duties(&bidding, &LocalView::default()), [], "its quote is above the maximum");
}

#[test]
fn a_bid_that_would_be_refused_for_lack_of_room_is_not_placed() {
    let bid = |number, price| BidInfo { provider: AttuneAccount([number; 32]), price };
    for (bids, places) in [
        (vec![bid(21, 7_681)], true),
        (vec![bid(21, 7_681), bid(22, 1)], true),
        (vec![bid(21, 7_680), bid(22, 1)], false),
        (vec![bid(21, 5), bid(22, 1)], false),
        (vec![bid(21, 5)], true),
    ] {
        let mut bidding = chain(job(JobState::Bidding));
        bidding.jobs.get_mut(&JOB).unwrap().bids = bids.clone();
        let found = duties(&bidding, &LocalView::default());
        assert_eq!(found.contains(&Duty::Bid { job: JOB }), places, "{bids:?}");
    }
}

#[test]
fn a_bid_counts_like_a_job_as_it_may_win() {
    let mut both = chain(job(JobState::Open));
    let mut other = job(JobState::Bidding);
    other.job.id = 4;
    other.bids = vec![BidInfo { provider: ME, price: 7_680 }];
    both.jobs.insert(4, other);
    assert_eq!(duties(&both, &LocalView::default()), []);
    both.jobs.get_mut(&4).unwrap().bids[0].provider = OTHER;
    assert_eq!(duties(&both, &LocalView::default()), [Duty::Bid { job: 4 }]);
}

#[test]
fn who_would_win_pushes_the_end_of_the_bidding_at_once() {
    let push = Duty::PushDeadline { job: JOB, deadline: 200 };
    let mut over = chain(job(JobState::Bidding));
    over.now = 201;
    for (first, second, pushes) in [(ME, OTHER, true), (OTHER, ME, false)] {
        over.jobs.get_mut(&JOB).unwrap().bids =
            vec![BidInfo { provider: first, price: 1 }, BidInfo { provider: second, price: 2 }];
        assert_eq!(duties(&over, &LocalView::default()).contains(&push), pushes);
    }
}

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
