//! What the pallet stores of a job.

use attune_primitives::{
    job::JobSpec,
    machine::JobState,
    traits::{Assignment, JobView},
    Balance, BlockNumber,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A job and its money. All amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Job<AccountId> {
    /// Who ordered and pays.
    pub customer: AccountId,
    /// What was ordered.
    pub spec: JobSpec<AccountId>,
    /// Where it stands.
    pub state: JobState,
    /// Last block on which the parties may act in this state.
    pub deadline: BlockNumber,
    /// What was frozen when a provider accepted.
    pub assignment: Option<Assignment<AccountId>>,
    /// On hold for training, not yet paid.
    pub escrow: Balance,
    /// On hold for audits, not yet paid.
    pub audit_budget: Balance,
    /// On hold as the deposit.
    pub deposit: Balance,
    /// Paid, or owed, to the provider and to auditors so far.
    pub spent: Balance,
    /// Milestones whose segments are all committed; they follow in order.
    pub milestones_committed: u32,
    /// Bit i is set when milestone i is verified and paid.
    pub milestones_paid: u32,
    /// Blocks that were left of the deadline when the running dispute began.
    pub paused_blocks: BlockNumber,
    /// Unix time of the request, in milliseconds.
    pub requested_at: u64,
    /// Block of the end; `None` while the job lives.
    pub closed_at: Option<BlockNumber>,
}

impl<AccountId> Job<AccountId> {
    /// True if every milestone is verified and paid.
    pub fn all_verified(&self) -> bool {
        usize::try_from(self.milestones_paid.count_ones()) == Ok(self.spec.milestones.len())
    }

    /// True while a committed milestone's audits are not over.
    pub fn is_under_audit(&self) -> bool {
        self.milestones_committed > self.milestones_paid.count_ones()
    }

    /// True if milestone `index` is verified and paid.
    pub fn is_paid(&self, index: u32) -> bool {
        1u32.checked_shl(index).is_some_and(|bit| self.milestones_paid & bit != 0)
    }
}

impl<AccountId: Clone> Job<AccountId> {
    /// What proof-of-training sees.
    pub fn view(&self) -> JobView<AccountId> {
        JobView {
            customer: self.customer.clone(),
            spec: self.spec.clone(),
            state: self.state,
            assignment: self.assignment.clone(),
            requested_at: self.requested_at,
        }
    }
}
