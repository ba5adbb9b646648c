//! A job's life, put together from what the pallets keep of it. Only what is stored is told: a step whose block or time
//! the chain does not keep comes without one, and an attempt that left nothing is only counted.

use super::{JobOverview, Step, TimelineEntry};
use crate::{AccountId, BlockNumber, JobEscrow, ProofOfTraining, Runtime};
use alloc::vec::Vec;
use attune_primitives::{machine::JobState, proof::TrainingRecord, JobId};
use pallet_job_escrow::{Job, Jobs};
use pallet_proof_of_training::{
    types::Stage,
    views::{JobProgress, MilestoneProgress, RecordInfo},
    Records,
};

pub(crate) fn job_overview(id: JobId) -> Option<JobOverview> {
    let job = Jobs::<Runtime>::get(id)?;
    let record = Records::<Runtime>::get(id);
    let progress = ProofOfTraining::view_progress(id)?;
    Some(JobOverview {
        info: JobEscrow::job_info(id)?,
        money: JobEscrow::job_money(id)?,
        bids: JobEscrow::bids_of(id),
        timeline: Timeline::of(&job, &progress, record.as_ref()),
        record: record.as_ref().map(RecordInfo::from),
        progress,
    })
}

/// Steps, in the order in which they were.
struct Timeline<'a> {
    job: &'a Job<AccountId>,
    progress: &'a JobProgress<AccountId>,
    entries: Vec<TimelineEntry>,
}

impl<'a> Timeline<'a> {
    fn of(
        job: &'a Job<AccountId>,
        progress: &'a JobProgress<AccountId>,
        record: Option<&TrainingRecord<AccountId>>,
    ) -> Vec<TimelineEntry> {
        let mut timeline = Self { job, progress, entries: Vec::new() };
        timeline.requested();
        timeline.former_attempts();
        timeline.present_attempt();
        timeline.end(record);
        timeline.entries
    }

    fn add(&mut self, step: Step, block: Option<BlockNumber>, unix_millis: Option<u64>) {
        self.entries.push(TimelineEntry { step, block, unix_millis });
    }

    fn requested(&mut self) {
        let Job { customer, spec, requested_at, .. } = self.job;
        let step = Step::Requested { customer: customer.clone(), max_price: spec.max_price };
        self.add(step, None, Some(*requested_at));
    }

    /// Those that were paid for something, and how often the job changed hands.
    fn former_attempts(&mut self) {
        let job = self.job;
        for tranche in &job.tranches {
            let step = Step::FormerAttempt {
                provider: tranche.provider.clone(),
                first_milestone: tranche.first_milestone,
                last_milestone: tranche.last_milestone,
                paid: tranche.paid,
            };
            self.add(step, None, Some(tranche.started_at));
            self.milestones(tranche.first_milestone, tranche.last_milestone.saturating_add(1));
        }
        if job.handovers > 0 {
            let excluded = job.excluded.to_vec();
            self.add(Step::HandedOver { times: job.handovers, excluded }, None, None);
        }
    }

    fn present_attempt(&mut self) {
        let Some(assignment) = &self.job.assignment else { return };
        let step = Step::Assigned {
            provider: assignment.provider.clone(),
            price: assignment.price,
            bond: assignment.bond,
            first_milestone: assignment.first_milestone,
        };
        self.add(step, Some(assignment.assigned_at), None);
        if let Some(started_at) = assignment.started_at {
            self.add(Step::Started, None, Some(started_at));
        }
        self.milestones(assignment.first_milestone, self.job.milestones_committed);
    }

    /// What became of the committed milestones from `first` to before `end`.
    fn milestones(&mut self, first: u32, end: u32) {
        let job = self.job;
        for milestone in first..end.min(job.milestones_committed) {
            let place = usize::try_from(milestone).unwrap_or(usize::MAX);
            let found = self.progress.milestones.get(place);
            let committed_at = found.and_then(|found| found.committed_at);
            self.add(Step::Committed { milestone }, committed_at, None);
            if let Some(found) = found {
                self.audits(milestone, found);
            }
            if job.is_paid(milestone) {
                self.add(Step::Paid { milestone }, None, None);
            }
        }
    }

    fn audits(&mut self, milestone: u32, found: &MilestoneProgress<AccountId>) {
        let Some(drawn_at) = found.drawn_at else { return };
        let segments: Vec<u32> = found.audits.iter().map(|audit| audit.segment).collect();
        let drawn = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        self.add(Step::Drawn { milestone, segments }, Some(drawn_at), None);
        let passed = found.audits.iter().filter(|audit| audit.stage == Stage::Passed).count();
        if passed > 0 {
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.add(Step::Audited { milestone, passed, drawn }, None, None);
        }
    }

    /// What comes after the milestones.
    fn end(&mut self, record: Option<&TrainingRecord<AccountId>>) {
        let submitted = self.progress.result.map(|result| (result.adapter, result.submitted_at));
        if let Some((adapter, at)) =
            submitted.or_else(|| record.map(|record| (record.adapter, record.ended_at)))
        {
            self.add(Step::Submitted { adapter }, None, Some(at));
        }
        match self.job.state {
            JobState::Disputed(_) => {
                self.add(Step::Disputed { audits: self.progress.open_disputes }, None, None);
            }
            JobState::Cancelling => self.add(Step::CalledOff, None, None),
            state if state.is_terminal() => self.add(Step::Ended { state }, self.job.closed_at, None),
            _ => {}
        }
    }
}
