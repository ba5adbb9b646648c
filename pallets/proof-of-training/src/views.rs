//! What a page asks about models, the progress of a job's training and its audits, and training records: the answers of
//! the view functions, and how they are worked out. Nothing here changes anything, and nothing runs over more entries
//! than a constant says.

use alloc::vec::Vec;

use attune_primitives::{
    job::Theme,
    page::{newest_first, Page},
    proof::{TrainingRecord, Verdict},
    traits::JobEscrow,
    Balance, BlockNumber, JobId, ModelId, RecordId, H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

use crate::{
    types::{Audit, Model, Round, Stage, TrainingResult},
    Audits, Commitments, CommittedAt, Config, Draws, Models, NextModelId, OpenDisputes, Pallet, Records,
    Results,
};

/// A model with its id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct RegisteredModel<AccountId> {
    /// Its id.
    pub id: ModelId,
    /// Its entry: what its owner says about it, the owner, the deposit, and how many jobs use it.
    pub model: Model<AccountId>,
}

/// How far a job's training is. Once the job is closed its proofs are deleted: what is left is in the record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct JobProgress<AccountId> {
    /// Segments of the whole job.
    pub segments: u32,
    /// Segments that the provider has committed to.
    pub segments_committed: u32,
    /// Tokens that their steps saw.
    pub tokens: u64,
    /// Mean training loss over the last committed segment, in millionths of a nat per token, as the provider reports it.
    pub train_loss_micro: Option<u32>,
    /// Held-out loss before training, in millionths of a nat per token, as the provider reports it.
    pub loss_before_micro: Option<u32>,
    /// Held-out loss as last reported, in millionths of a nat per token.
    pub loss_now_micro: Option<u32>,
    /// Its milestones, in order.
    pub milestones: Vec<MilestoneProgress<AccountId>>,
    /// Audits that a committee is deciding.
    pub open_disputes: u32,
    /// The adapter, once it is submitted.
    pub result: Option<TrainingResult>,
}

/// How far a milestone is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct MilestoneProgress<AccountId> {
    /// Its first segment.
    pub first_segment: u32,
    /// How many segments it has.
    pub segments: u32,
    /// Block in which the last of them was committed.
    pub committed_at: Option<BlockNumber>,
    /// Block in which its audits were drawn.
    pub drawn_at: Option<BlockNumber>,
    /// True once every drawn segment has passed.
    pub passed: bool,
    /// The audits, by segment; empty before they are drawn.
    pub audits: Vec<AuditProgress<AccountId>>,
}

/// How far the audit of a segment is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct AuditProgress<AccountId> {
    /// The segment.
    pub segment: u32,
    /// Where the audit stands.
    pub stage: Stage,
    /// Who decides.
    pub round: Round,
    /// Last block of the stage; `None` once the audit has passed.
    pub deadline: Option<BlockNumber>,
    /// How often the auditors of this round were drawn anew.
    pub redraws: u32,
    /// Everyone drawn so far, in the order of the draws.
    pub auditors: Vec<AuditorProgress<AccountId>>,
}

/// What an auditor has done.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct AuditorProgress<AccountId> {
    /// The provider that was drawn.
    pub auditor: AccountId,
    /// True for a member of the committee.
    pub in_committee: bool,
    /// True once it has committed to what it found.
    pub committed: bool,
    /// What it found, once it has revealed it.
    pub verdict: Option<Verdict>,
    /// True if it did not answer in time.
    pub missed: bool,
}

/// Which records a page lists. What is `None` fits any.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct RecordFilter<AccountId> {
    /// Who ordered.
    pub customer: Option<AccountId>,
    /// Who trained, all of it or a part.
    pub provider: Option<AccountId>,
    /// Base model.
    pub model: Option<ModelId>,
}

/// A training record, as a list shows it; all of it is in `Records`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct RecordInfo<AccountId> {
    /// Its id, that of its job.
    pub record: RecordId,
    /// Who ordered.
    pub customer: AccountId,
    /// Who trained, and finished where several did.
    pub provider: AccountId,
    /// How many providers had a part in it.
    pub tranches: u32,
    /// Base model.
    pub model: ModelId,
    /// What the training is about.
    pub theme: Theme,
    /// What it cost, in planck.
    pub price: Balance,
    /// Unix time of the start, in milliseconds.
    pub started_at: u64,
    /// Unix time of the submission, in milliseconds.
    pub ended_at: u64,
    /// Block of finalization.
    pub finalized_at: BlockNumber,
    /// Tokens trained.
    pub tokens: u64,
    /// Held-out loss before training, in millionths of a nat per token.
    pub loss_before_micro: Option<u32>,
    /// Held-out loss after training, in millionths of a nat per token.
    pub loss_after_micro: Option<u32>,
    /// Answers of auditors, with the missing ones.
    pub audits: u32,
    /// Those of them that found a match.
    pub matches: u32,
    /// Content address of the adapter.
    pub adapter: H256,
    /// Its size, in bytes.
    pub adapter_bytes: u64,
}

impl<AccountId: Clone> From<&TrainingRecord<AccountId>> for RecordInfo<AccountId> {
    fn from(record: &TrainingRecord<AccountId>) -> Self {
        let matches = record.audits.iter().filter(|audit| audit.verdict == Some(Verdict::Match)).count();
        Self {
            record: record.job,
            customer: record.customer.clone(),
            provider: record.provider.clone(),
            tranches: count(record.tranches.len()),
            model: record.model,
            theme: record.theme.clone(),
            price: record.price,
            started_at: record.started_at,
            ended_at: record.ended_at,
            finalized_at: record.finalized_at,
            tokens: record.tokens,
            loss_before_micro: record.loss_before_micro,
            loss_after_micro: record.loss_after_micro,
            audits: count(record.audits.len()),
            matches: count(matches),
            adapter: record.adapter,
            adapter_bytes: record.adapter_bytes,
        }
    }
}

/// The length of a bounded list.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl<T: Config> Pallet<T> {
    pub(crate) fn view_models(
        before: Option<ModelId>,
        limit: u32,
    ) -> Page<RegisteredModel<T::AccountId>, ModelId> {
        let next = NextModelId::<T>::get();
        let page = newest_first(before.unwrap_or(next).min(next).into(), limit, |id| {
            let id = ModelId::try_from(id).ok()?;
            Models::<T>::get(id).map(|model| RegisteredModel { id, model })
        });
        Page { items: page.items, next: page.next.and_then(|next| ModelId::try_from(next).ok()) }
    }

    /// How far the training of a job is; `None` if there is no such job.
    pub fn view_progress(job: JobId) -> Option<JobProgress<T::AccountId>> {
        let spec = T::JobEscrow::job(job)?.spec;
        let commitments = Commitments::<T>::get(job);
        let last = commitments.last();
        // Both are bounded by the specification: 16 milestones, of which 8 segments each are drawn.
        let milestones = (0..count(spec.milestones.len()))
            .filter_map(|milestone| {
                let (first, end) = spec.milestone_segments(milestone)?;
                Some(Self::milestone_progress(job, milestone, first, end.checked_sub(first)?))
            })
            .collect();
        Some(JobProgress {
            segments: spec.segments(),
            segments_committed: count(commitments.len()),
            tokens: commitments.iter().fold(0u64, |sum, c| sum.saturating_add(c.metrics.tokens)),
            train_loss_micro: last.map(|commitment| commitment.metrics.train_loss_micro),
            loss_before_micro: commitments.first().and_then(|c| c.metrics.held_out_loss_before_micro),
            loss_now_micro: commitments.iter().rev().find_map(|c| c.metrics.held_out_loss_micro),
            milestones,
            open_disputes: OpenDisputes::<T>::get(job),
            result: Results::<T>::get(job),
        })
    }

    fn milestone_progress(
        job: JobId,
        milestone: u32,
        first_segment: u32,
        segments: u32,
    ) -> MilestoneProgress<T::AccountId> {
        let draw = Draws::<T>::get(job, milestone);
        let audit = |segment: &u32| Some(audit_progress(*segment, Audits::<T>::get(job, segment)?));
        MilestoneProgress {
            first_segment,
            segments,
            committed_at: CommittedAt::<T>::get(job, milestone),
            drawn_at: draw.as_ref().map(|draw| draw.drawn_at),
            passed: draw.as_ref().is_some_and(|draw| draw.all_passed()),
            audits: draw.map(|draw| draw.segments.iter().filter_map(audit).collect()).unwrap_or_default(),
        }
    }

    /// Records that fit `filter`, newest first.
    pub fn view_records(
        filter: &RecordFilter<T::AccountId>,
        before: RecordId,
        limit: u32,
    ) -> Page<RecordInfo<T::AccountId>, RecordId> {
        newest_first(before, limit, |id| {
            let record = Records::<T>::get(id)?;
            let has_trained =
                |who: &T::AccountId| record.tranches.iter().any(|tranche| tranche.provider == *who);
            let fits = filter.customer.as_ref().is_none_or(|customer| record.customer == *customer)
                && filter.provider.as_ref().is_none_or(has_trained)
                && filter.model.is_none_or(|model| record.model == model);
            fits.then(|| RecordInfo::from(&record))
        })
    }
}

fn audit_progress<AccountId: Clone>(segment: u32, audit: Audit<AccountId>) -> AuditProgress<AccountId> {
    let auditors = audit.slots.iter().map(|slot| AuditorProgress {
        auditor: slot.auditor.clone(),
        in_committee: slot.in_committee,
        committed: slot.commitment.is_some(),
        verdict: slot.verdict,
        missed: slot.missed,
    });
    AuditProgress {
        segment,
        stage: audit.stage,
        round: audit.round,
        deadline: (audit.stage != Stage::Passed).then_some(audit.deadline),
        redraws: audit.redraws,
        auditors: auditors.collect(),
    }
}
