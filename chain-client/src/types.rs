//! What the chain stores, in the words of `attune_primitives`, ready to be printed as a table or as JSON.
//!
//! Every type here has a JSON form (`serde::Serialize`) for `--output json`: balances are decimal strings in planck,
//! hashes are `0x` hex, accounts are SS58, real-valued settings keep the integer unit that their name states.

mod job;
mod proof;

use attune_primitives::{
    job::JobSpec,
    proof::{AuditEntry, TrainingRecord, Tranche},
    provider::ProviderProfile,
    Balance, BlockNumber, JobId, ModelId,
};
use serde::Serialize;

use crate::{json, AccountId, H256};

pub use job::{AssignmentInfo, BidInfo, JobInfo, SponsorshipInfo};
pub use proof::{AuditInfo, AuditStage, CommitmentInfo, DrawInfo, RecordInfo, ResultInfo, SlotInfo};

/// A job as the customer ordered it, with our account type.
pub type Spec = JobSpec<AccountId>;
/// One audit as a record keeps it, with our account type.
pub type RecordedAudit = AuditEntry<AccountId>;
/// What one provider trained and was paid for, with our account type.
pub type PaidTranche = Tranche<AccountId>;
/// A training record, with our account type.
pub type Record = TrainingRecord<AccountId>;

/// What a provider has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reputation {
    /// Jobs that ended verified and paid.
    pub jobs_finished: u32,
    /// Jobs that failed by this provider's fault.
    pub jobs_failed: u32,
    /// Audits answered with the majority.
    pub audits_answered: u32,
    /// Audits never answered.
    pub audits_missed: u32,
    /// Audits answered against a committee's finding.
    pub audits_overruled: u32,
    /// Heartbeats that it was asked for and gave.
    pub heartbeats_answered: u32,
    /// Heartbeats that it was asked for and did not give.
    pub heartbeats_missed: u32,
}

/// A registered provider with its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderInfo {
    /// The provider's account.
    pub account: AccountId,
    /// What it says about itself.
    #[serde(with = "json::profile")]
    pub profile: ProviderProfile,
    /// The share of its income that it keeps before delegators share the rest, in millionths.
    pub commission_ppm: u32,
    /// The worker's hot key.
    pub operator: AccountId,
    /// A rise of the commission that is queued: to how many millionths, and from which block.
    pub commission_rise: Option<(u32, BlockNumber)>,
    /// True if it takes new work; false while it is chilled or leaves.
    pub active: bool,
    /// True while it has chosen to take no new work and no new stake for now.
    pub chilled: bool,
    /// Block since which it counts as absent, because it did not answer when it was asked for a heartbeat; `None` while it
    /// counts as present.
    pub absent_since: Option<BlockNumber>,
    /// What it has done so far.
    pub reputation: Reputation,
    /// Block of the registration.
    pub registered_at: BlockNumber,
    /// The stake behind it.
    pub pool: PoolInfo,
}

/// Stake of many owners, divided by shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BucketInfo {
    /// What the shares are worth together, in planck.
    #[serde(with = "json::balance")]
    pub balance: Balance,
    /// All shares.
    #[serde(with = "json::balance")]
    pub shares: u128,
}

/// The stake behind a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolInfo {
    /// The provider's own stake, in planck.
    #[serde(with = "json::balance")]
    pub self_bond: Balance,
    /// Stake of the delegators.
    pub active: BucketInfo,
    /// Stake on its way out.
    pub unbonding: BucketInfo,
    /// Sum of the bonds of open jobs and of the pending slashes, in planck.
    #[serde(with = "json::balance")]
    pub locked: Balance,
    /// Number of pending slashes; while there is one, nothing is withdrawn from the pool.
    pub pending_slashes: u32,
    /// Number of delegators.
    pub delegators: u32,
    /// Income of one active share since the pool began, in planck / 10^24.
    #[serde(with = "json::balance")]
    pub income_per_share: u128,
    /// Delegators' income that is not claimed yet, in planck.
    #[serde(with = "json::balance")]
    pub reserved_income: Balance,
}

impl PoolInfo {
    /// Self-bond and delegations, in planck: what counts in draws and elections.
    pub fn stake(&self) -> Balance {
        self.self_bond.saturating_add(self.active.balance)
    }

    /// What further bonds can be locked on, in planck: the self-bond, and of the delegations what one slash can take.
    pub fn unlocked(&self, constants: &Constants) -> Balance {
        let cap = Balance::from(constants.delegator_loss_cap_ppm);
        let delegated = self.active.balance.saturating_mul(cap) / 1_000_000;
        self.self_bond.saturating_add(delegated).saturating_sub(self.locked)
    }
}

/// What one account has delegated to one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DelegationInfo {
    /// The provider.
    pub provider: AccountId,
    /// The delegator.
    pub delegator: AccountId,
    /// Its shares of the pool's active stake.
    #[serde(with = "json::balance")]
    pub shares: u128,
    /// What they are worth now, in planck.
    #[serde(with = "json::balance")]
    pub worth: Balance,
    /// Income that can be claimed now, in planck.
    #[serde(with = "json::balance")]
    pub claimable: Balance,
    /// True if anyone may turn its income into shares.
    pub auto_compound: bool,
    /// What it still answers for in the pool that it was moved from.
    pub lien: Option<LienInfo>,
}

/// What redelegated stake answers for in its old pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LienInfo {
    /// The provider that it came from.
    pub from: AccountId,
    /// What it was worth when it moved, in planck.
    #[serde(with = "json::balance")]
    pub amount: Balance,
    /// Block from which it can end.
    pub until: BlockNumber,
}

/// A delegation with something that anyone may push, free of fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DueDelegationInfo {
    /// The delegator.
    pub delegator: AccountId,
    /// Income that somebody else's push turns into shares, in planck; 0 if that is not due.
    #[serde(with = "json::balance")]
    pub income: Balance,
    /// True if its lien can be charged or ended.
    pub lien: bool,
}

/// A slash that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PendingSlashInfo {
    /// The provider.
    pub provider: AccountId,
    /// Its number.
    pub slash: u64,
    /// The job whose bond it takes from; `None` for an offence in consensus.
    pub job: Option<JobId>,
    /// What it takes, in planck.
    #[serde(with = "json::balance")]
    pub amount: Balance,
    /// First block at which anyone may apply it; before it governance can cancel it.
    pub apply_at: BlockNumber,
}

/// Stake of one account on its way out of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnbondingInfo {
    /// The provider.
    pub provider: AccountId,
    /// The owner.
    pub owner: AccountId,
    /// What it is worth now, in planck.
    #[serde(with = "json::balance")]
    pub worth: Balance,
    /// First block at which it can be withdrawn.
    pub unlock_at: BlockNumber,
}

/// What one account has in the pools of all providers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StakesInfo {
    /// Its delegations, in the order of the providers.
    pub delegations: Vec<DelegationInfo>,
    /// What is on its way out, its own self-bond too.
    pub unbonding: Vec<UnbondingInfo>,
    /// The providers in whose pools it has something; its own account, too, if it is a provider.
    pub pools: Vec<AccountId>,
    /// Compensation out of slashes that it could not receive: by provider, in planck.
    pub owed_compensation: Vec<(AccountId, Balance)>,
}

/// A registered base model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// Its id.
    pub id: ModelId,
    /// Name shown to customers.
    pub name: String,
    /// Family of its architecture, such as `llama`.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Content address (BLAKE3 of the manifest) of its files.
    #[serde(with = "json::hash")]
    pub artifact: H256,
    /// Size of its files, in bytes.
    pub artifact_bytes: u64,
    /// Content address (BLAKE3) of its tokenizer.
    #[serde(with = "json::hash")]
    pub tokenizer: H256,
    /// Licence of the weights.
    pub licence: String,
    /// Who registered it.
    pub owner: AccountId,
    /// Jobs that use it and are not closed.
    pub live_jobs: u32,
}

/// What a model's owner says about it, for registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewModel {
    /// Name shown to customers (at most 64 bytes).
    pub name: String,
    /// Family of its architecture, such as `llama` (at most 32 bytes).
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Content address (BLAKE3 of the manifest) of its files.
    pub artifact: H256,
    /// Size of its files, in bytes.
    pub artifact_bytes: u64,
    /// Content address (BLAKE3) of its tokenizer.
    pub tokenizer: H256,
    /// Licence of the weights, as an SPDX expression where there is one (at most 64 bytes).
    pub licence: String,
}

/// An account's money, in planck.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BalanceInfo {
    /// What the account may spend (the existential deposit included).
    #[serde(with = "json::balance")]
    pub free: Balance,
    /// What is on hold: for escrow, deposits and stake.
    #[serde(with = "json::balance")]
    pub held: Balance,
    /// What is on hold, by pallet and reason, such as `JobEscrow.Escrow`.
    pub holds: Vec<HoldInfo>,
}

impl BalanceInfo {
    /// Free and held.
    pub fn total(&self) -> Balance {
        self.free.saturating_add(self.held)
    }
}

/// Money on hold for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldInfo {
    /// Pallet and reason, such as `JobEscrow.Escrow`.
    pub reason: String,
    /// How much, in planck.
    #[serde(with = "json::balance")]
    pub amount: Balance,
}

/// What the runtime fixes: waiting times in blocks, deposits and bounds in planck.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Constants {
    /// Least balance of an account, in planck.
    #[serde(with = "json::balance")]
    pub existential_deposit: Balance,
    /// Least self-bond of a provider, in planck.
    #[serde(with = "json::balance")]
    pub min_self_bond: Balance,
    /// Least amount of a delegation, in planck.
    #[serde(with = "json::balance")]
    pub min_delegation: Balance,
    /// Deposit of a provider's registration, in planck.
    #[serde(with = "json::balance")]
    pub provider_deposit: Balance,
    /// How long stake that leaves stays slashable.
    pub unbonding_blocks: BlockNumber,
    /// How long a slash waits, and can be cancelled, before it can be applied.
    pub slash_delay: BlockNumber,
    /// The most that a slash takes of the delegations, in millionths.
    pub delegator_loss_cap_ppm: u32,
    /// How long a rise of the commission waits.
    pub commission_rise_delay: BlockNumber,
    /// How often a failed job is handed over to another provider.
    pub max_handovers: u32,
    /// Most bids that are kept for a job; a further one drops the dearest, or is refused if it is no better.
    pub max_bids: u32,
    /// Deposit of a sponsorship, in planck.
    #[serde(with = "json::balance")]
    pub sponsorship_deposit: Balance,
    /// Deposit of a job, in planck.
    #[serde(with = "json::balance")]
    pub job_deposit: Balance,
    /// Least fee of one audit, in planck.
    #[serde(with = "json::balance")]
    pub min_audit_fee: Balance,
    /// Longest time that a specification may give to one state.
    pub max_phase_blocks: BlockNumber,
    /// Least bond, as a part of the price, in millionths.
    pub min_bond_share_ppm: u32,
    /// Largest bond, as a multiple of the price.
    pub max_bond_multiple: u32,
    /// Part of the unpaid price that cancelling a running job costs, in millionths.
    pub cancellation_fee_ppm: u32,
    /// How long a closed job is kept before anyone may prune it.
    pub prune_after: BlockNumber,
    /// Further audits that the customer's audit budget must be able to pay for each milestone, for committees.
    pub committee_reserve: u32,
    /// How long a submitted job waits for its audits.
    pub audit_window: BlockNumber,
    /// How long a verified job can still be challenged.
    pub challenge_window: BlockNumber,
    /// How long a dispute may take.
    pub dispute_window: BlockNumber,
    /// Deposit of a model, in planck.
    #[serde(with = "json::balance")]
    pub model_deposit: Balance,
    /// How long auditors may take to re-execute a segment and commit.
    pub verdict_commit_blocks: BlockNumber,
    /// How long the provider may take to open a trace.
    pub open_blocks: BlockNumber,
    /// How long auditors may take to reveal.
    pub reveal_blocks: BlockNumber,
    /// Blocks after which a commitment counts as final.
    pub finality_margin: BlockNumber,
    /// How long a record stays at least.
    pub record_retention: BlockNumber,
}
