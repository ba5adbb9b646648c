//! Situations of a provider (`ME`), an auditor and a bystander; what each must do in them is tested topic by topic.

mod auditing;
mod ending;
mod handover;
mod matching;
mod training;

use std::collections::BTreeMap;

use attune_chain_client::{
    primitives::{
        machine::JobState,
        proof::TrainingRecord,
        provider::{Hardware, ProviderProfile},
        H256,
    },
    types::{
        AssignmentInfo, AuditInfo, Constants, DrawInfo, JobInfo, ModelInfo, PoolInfo, ProviderInfo,
        RecordInfo, Reputation, SlotInfo,
    },
    AccountId as AttuneAccount,
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
        epoch_from: None,
        next_job: JOB + 1,
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
