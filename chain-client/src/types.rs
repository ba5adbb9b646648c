//! What the chain stores, in the words of `attune_primitives`, ready to be printed as a table or as JSON.
//!
//! Every type here has a JSON form (`serde::Serialize`) for `--output json`: balances are decimal strings in planck,
//! hashes are `0x` hex, accounts are SS58, real-valued settings keep the integer unit that their name states.

use attune_primitives::{
    job::JobSpec,
    machine::JobState,
    proof::{AuditEntry, SegmentCommitment, TrainingRecord, Tranche, Verdict},
    provider::{Hardware, ProviderProfile},
    Balance, BlockNumber, JobId, ModelId,
};
use serde::Serialize;

use crate::{json, AccountId, H256};

/// A job as the customer ordered it, with our account type.
pub type Spec = JobSpec<AccountId>;
/// One audit as a record keeps it, with our account type.
pub type RecordedAudit = AuditEntry<AccountId>;
/// What one provider trained and was paid for, with our account type.
pub type PaidTranche = Tranche<AccountId>;
/// A training record, with our account type.
pub type Record = TrainingRecord<AccountId>;

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

/// Where an audit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditStage {
    /// The auditors re-execute and commit to what they found.
    Committing,
    /// The provider opens its trace.
    Opening,
    /// The auditors who committed reveal.
    Revealing,
    /// The provider's segment stands.
    Passed,
}

/// One auditor's place in an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SlotInfo {
    /// The provider that was drawn.
    pub auditor: AccountId,
    /// Its commitment to what it found.
    #[serde(with = "json::option_hash")]
    pub commitment: Option<H256>,
    /// What it revealed.
    #[serde(with = "json::verdict")]
    pub verdict: Option<Verdict>,
    /// Drawn for the committee, not for the first round.
    pub in_committee: bool,
    /// Did not answer in time.
    pub missed: bool,
}

/// The audit of one drawn segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditInfo {
    /// The job.
    pub job: JobId,
    /// The segment that is re-executed.
    pub segment: u32,
    /// The milestone that it belongs to.
    pub milestone: u32,
    /// Where it stands.
    pub stage: AuditStage,
    /// True once a committee decides.
    pub committee: bool,
    /// Last block of the stage.
    pub deadline: BlockNumber,
    /// How often auditors were drawn anew because none answered.
    pub redraws: u32,
    /// The provider's opened trace with its reported metrics folded in.
    #[serde(with = "json::option_hash")]
    pub trace: Option<H256>,
    /// Everyone drawn so far.
    pub slots: Vec<SlotInfo>,
}

impl AuditInfo {
    /// The slots that the current round waits for.
    pub fn waiting(&self) -> impl Iterator<Item = &SlotInfo> {
        self.slots.iter().filter(|slot| slot.in_committee == self.committee && !slot.missed)
    }

    /// An auditor's slot.
    pub fn slot(&self, auditor: &AccountId) -> Option<&SlotInfo> {
        self.slots.iter().find(|slot| slot.auditor == *auditor)
    }
}

/// What was drawn of one milestone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawInfo {
    /// The milestone.
    pub milestone: u32,
    /// Block of the draw.
    pub drawn_at: BlockNumber,
    /// The drawn segments.
    pub segments: Vec<u32>,
}

/// The submitted result of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResultInfo {
    /// Content address (BLAKE3 of the manifest) of the adapter.
    #[serde(with = "json::hash")]
    pub adapter: H256,
    /// Size of the adapter, in bytes.
    pub adapter_bytes: u64,
    /// Unix time of the submission, in milliseconds.
    pub submitted_at: u64,
}

/// A committed segment with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CommitmentInfo {
    /// The segment.
    pub segment: u32,
    /// What the provider committed to.
    #[serde(with = "json::commitment")]
    pub commitment: SegmentCommitment,
}

/// A training record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RecordInfo {
    /// The record.
    #[serde(with = "json::record")]
    pub record: Record,
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
