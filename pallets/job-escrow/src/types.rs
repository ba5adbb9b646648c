//! What the pallet stores: jobs, bids, sponsorships.

use attune_primitives::{
    job::{JobSpec, MAX_MILESTONES},
    machine::JobState,
    proof::Tranches,
    traits::{Assignment, JobView},
    Balance, BlockNumber,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use scale_info::TypeInfo;

/// Most handovers that a runtime may allow; `integrity_test` checks its constant.
pub const MAX_HANDOVERS: u32 = 8;

/// Identifies a sponsorship; handed out in order, never reused.
pub type SponsorshipId = u64;

/// A job and its money. All amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Job<AccountId> {
    /// Who ordered.
    pub customer: AccountId,
    /// Who pays: the customer or its sponsor. All of the job's money is on hold on its account.
    pub funder: AccountId,
    /// The sponsorship that pays; `None` if the customer does.
    pub sponsorship: Option<SponsorshipId>,
    /// What was ordered.
    pub spec: JobSpec<AccountId>,
    /// Where it stands.
    pub state: JobState,
    /// Last block on which the parties may act in this state.
    pub deadline: BlockNumber,
    /// What was frozen when a provider accepted; `None` while the job waits for one.
    pub assignment: Option<Assignment<AccountId>>,
    /// On hold for training, not yet paid. While the job waits for a provider, this is the most that one may ask.
    pub escrow: Balance,
    /// On hold for audits, not yet paid.
    pub audit_budget: Balance,
    /// On hold as the deposit.
    pub deposit: Balance,
    /// Paid, or owed, to providers and to auditors so far.
    pub spent: Balance,
    /// What of it was spent before the present attempt: before the last handover.
    pub spent_before: Balance,
    /// Audit fees paid for each milestone in the attempt that made it.
    pub audit_fees: BoundedVec<Balance, ConstU32<MAX_MILESTONES>>,
    /// Milestones whose segments are all committed; they follow in order.
    pub milestones_committed: u32,
    /// Bit i is set when milestone i is verified.
    pub milestones_verified: u32,
    /// Milestones that are verified and paid; they follow in order.
    pub milestones_paid: u32,
    /// Blocks that were left of the deadline when the running dispute began.
    pub paused_blocks: BlockNumber,
    /// How often the job was handed over.
    pub handovers: u32,
    /// Providers that had the job and may not take it again.
    pub excluded: BoundedVec<AccountId, ConstU32<MAX_HANDOVERS>>,
    /// What providers who had the job before trained and were paid for.
    pub tranches: Tranches<AccountId>,
    /// Unix time of the request, in milliseconds.
    pub requested_at: u64,
    /// Block of the end; `None` while the job lives.
    pub closed_at: Option<BlockNumber>,
}

impl<AccountId> Job<AccountId> {
    /// True if every milestone is verified and paid.
    pub fn all_verified(&self) -> bool {
        usize::try_from(self.milestones_paid) == Ok(self.spec.milestones.len())
    }

    /// True while a committed milestone's audits, or those of one before it, are not over.
    pub fn is_under_audit(&self) -> bool {
        self.milestones_committed > self.milestones_paid
    }

    /// True if milestone `index` is verified. It is paid once all before it are, too.
    pub fn is_verified(&self, index: u32) -> bool {
        1u32.checked_shl(index).is_some_and(|bit| self.milestones_verified & bit != 0)
    }

    /// True if milestone `index` is verified and paid.
    pub fn is_paid(&self, index: u32) -> bool {
        index < self.milestones_paid
    }
}

impl<AccountId: Clone> Job<AccountId> {
    /// What proof-of-training sees.
    pub fn view(&self) -> JobView<AccountId> {
        JobView {
            customer: self.customer.clone(),
            funder: self.funder.clone(),
            spec: self.spec.clone(),
            state: self.state,
            assignment: self.assignment.clone(),
            tranches: self.tranches.clone(),
            requested_at: self.requested_at,
        }
    }
}

/// A provider's bid for a job.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Bid<AccountId> {
    /// Who bids.
    pub provider: AccountId,
    /// What it asks, in planck.
    pub price: Balance,
}

/// How much a sponsor pays for the jobs of a customer. All amounts are in planck.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Sponsorship {
    /// Tells it from an earlier one of the same two accounts.
    pub id: SponsorshipId,
    /// The most that all jobs together may hold and spend.
    pub limit: Balance,
    /// What they hold and have spent. What goes back to the sponsor counts no more.
    pub used: Balance,
    /// The most that one job may hold when it is created: maximum price, audit budget and deposit.
    pub per_job: Balance,
    /// Last block on which a job may be created.
    pub expires_at: BlockNumber,
    /// On hold on the sponsor's account while the sponsorship exists.
    pub deposit: Balance,
}
