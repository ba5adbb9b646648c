//! Jobs: what was ordered, who trains, who pays.

use attune_primitives::{machine::JobState, provider::Hardware, Balance, BlockNumber, JobId};
use serde::Serialize;

use super::{PaidTranche, Spec};
use crate::{json, AccountId};

/// What was frozen when a provider accepted a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssignmentInfo {
    /// Who trains.
    pub provider: AccountId,
    /// The first milestone that is the provider's to train; 0 unless it goes on where another one ended.
    pub first_milestone: u32,
    /// What the customer pays if every milestone from that one on is verified, in planck.
    #[serde(with = "json::balance")]
    pub price: Balance,
    /// The provider's commission, in millionths.
    pub commission_ppm: u32,
    /// The provider's machine.
    #[serde(with = "json::hardware")]
    pub hardware: Hardware,
    /// The provider's price of a GPU hour, in planck.
    #[serde(with = "json::balance")]
    pub price_per_gpu_hour: Balance,
    /// The provider's bond for this job, in planck.
    #[serde(with = "json::balance")]
    pub bond: Balance,
    /// Block of the assignment.
    pub assigned_at: BlockNumber,
    /// Unix time of the start, in milliseconds; `None` before it.
    pub started_at: Option<u64>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobInfo {
    /// Its id.
    pub id: JobId,
    /// Who ordered.
    pub customer: AccountId,
    /// Who pays: the customer or its sponsor.
    pub funder: AccountId,
    /// What was ordered.
    #[serde(with = "json::spec")]
    pub spec: Spec,
    /// Where it stands.
    #[serde(with = "json::state")]
    pub state: JobState,
    /// Last block of the state in which the parties may act.
    pub deadline: BlockNumber,
    /// The assignment, from `Assigned` on.
    pub assignment: Option<AssignmentInfo>,
    /// What is still held for training, in planck: the most that a provider may ask while the job waits for one.
    #[serde(with = "json::balance")]
    pub escrow: Balance,
    /// What is still held for audits, in planck.
    #[serde(with = "json::balance")]
    pub audit_budget: Balance,
    /// Paid, or owed, to the provider and to auditors so far, in planck.
    #[serde(with = "json::balance")]
    pub spent: Balance,
    /// The customer's deposit, in planck.
    #[serde(with = "json::balance")]
    pub deposit: Balance,
    /// Milestones that are verified and paid; they follow in order.
    pub milestones_paid: u32,
    /// How often the job was handed over to another provider.
    pub handovers: u32,
    /// Providers that had the job and may not take it again.
    pub excluded: Vec<AccountId>,
    /// What providers who had the job before trained and were paid for.
    #[serde(with = "json::tranches")]
    pub tranches: Vec<PaidTranche>,
    /// Milestones whose segments are all committed.
    pub milestones_committed: u32,
    /// Unix time of the request, in milliseconds.
    pub requested_at: u64,
    /// Block at which it ended.
    pub closed_at: Option<BlockNumber>,
}

impl JobInfo {
    /// True if milestone `index` is verified and paid.
    pub fn is_paid(&self, index: u32) -> bool {
        index < self.milestones_paid
    }

    /// The first milestone of the present attempt, or of the one that is to come.
    pub fn first_milestone(&self) -> u32 {
        self.assignment.as_ref().map_or(self.milestones_paid, |assignment| assignment.first_milestone)
    }
}

/// How much a sponsor pays for the jobs of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SponsorshipInfo {
    /// Who pays.
    pub sponsor: AccountId,
    /// For whom.
    pub customer: AccountId,
    /// The most that all jobs together may hold and spend, in planck.
    #[serde(with = "json::balance")]
    pub limit: Balance,
    /// What they hold and have spent, in planck.
    #[serde(with = "json::balance")]
    pub used: Balance,
    /// The most that one job may hold, in planck.
    #[serde(with = "json::balance")]
    pub per_job: Balance,
    /// Last block on which a job may be created.
    pub expires_at: BlockNumber,
}

/// A provider's bid for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BidInfo {
    /// Who bids.
    pub provider: AccountId,
    /// What it asks, in planck.
    #[serde(with = "json::balance")]
    pub price: Balance,
}
