//! How the pallets reach each other. A pallet knows these traits, never another pallet.
//!
//! ```text
//! proof-of-training ──JobEscrow──> job-escrow ──Providers──> provider-staking
//!         │                            │
//!         └────────Providers───────────┼──────────────────────────^
//!                                      └──ProofOfTraining──> proof-of-training
//! ```

use alloc::vec::Vec;

use sp_arithmetic::Permill;
use sp_runtime::{DispatchError, DispatchResult};

use crate::{
    job::{ArithmeticMode, JobSpec},
    machine::{Failure, JobState},
    proof::Tranches,
    provider::{Hardware, ProviderView},
    Balance, BlockNumber, JobId, ModelId, H256,
};

/// Public randomness for drawing audits.
pub trait EpochRandomness {
    /// The latest randomness, and the first block of the epoch whose VRF outputs made it; `None` while the chain is
    /// too young to have any. A commitment made before that block cannot have known or shaped the randomness.
    fn latest() -> Option<(H256, BlockNumber)>;

    /// How many seals there have been, which is also the index of the next one. Who commits to something now notes it.
    fn seals() -> u32;

    /// Of the seals from index `from` on the first whose epoch began at or after block `since`, as [`Self::latest`] gives it:
    /// the same whenever it is asked for. `None` if there is none yet, if it is not among `most` seals, or if it is so old
    /// that it is forgotten. Reads at most `most` entries.
    fn first_since(from: u32, since: BlockNumber, most: u32) -> Option<(H256, BlockNumber)>;
}

/// Provider staking, as the other pallets use it.
pub trait Providers<AccountId> {
    /// The provider whose operator key is `operator`.
    fn provider_of_operator(operator: &AccountId) -> Option<AccountId>;
    /// A registered provider.
    fn provider(provider: &AccountId) -> Option<ProviderView<AccountId>>;
    /// Active providers who compute in `mode` with their stake (self-bond and delegations), in the order of their
    /// accounts. At most as many as the registry holds.
    fn active_for(mode: &ArithmeticMode) -> Vec<(AccountId, Balance)>;
    /// The account that holds a provider's pool; income is sent there.
    fn pool_account(provider: &AccountId) -> AccountId;
    /// Sets `amount` of the provider's pool aside as the bond of `job`.
    ///
    /// # Errors
    /// If the provider takes no new work, or what one slash could take of its stake does not cover `amount` beside what
    /// is set aside already.
    fn lock_bond(provider: &AccountId, job: JobId, amount: Balance) -> DispatchResult;
    /// Frees the bond of `job`. Does nothing if there is none.
    fn release_bond(provider: &AccountId, job: JobId);
    /// Books a slash of `part` of the bond of `job` (rounded up) and frees the rest. The slash acts after a delay in
    /// which it can be cancelled; then up to `compensation` of what the provider itself loses goes to `customer`, and
    /// nobody who judged gets any of what is left. Never fails. Returns the amount that is booked, in planck; 0 if the job
    /// has no bond.
    fn slash_bond(
        provider: &AccountId,
        job: JobId,
        part: Permill,
        customer: &AccountId,
        compensation: Balance,
    ) -> Balance;
    /// Books `amount` that has just arrived, free, on the pool account: `commission` of it to the provider, the rest
    /// to self-bond and delegators by stake.
    ///
    /// # Errors
    /// If the provider is unknown or arithmetic overflows; the caller then keeps the money where it was.
    fn note_income(provider: &AccountId, amount: Balance, commission: Permill) -> DispatchResult;
    /// Books a slash of `part` of all that is in the provider's pool (rounded up, within the cap on what delegators
    /// lose) for an offence in consensus. It acts after the same delay as the slash of a bond; from what is taken then
    /// `reporter` gets its capped reward. Never fails; does nothing for an account that is not a provider.
    fn slash_for_offence(provider: &AccountId, part: Permill, reporter: Option<&AccountId>);
    /// Counts, for a provider's reputation, an audit that it answered, missed, or was overruled in.
    fn note_audit(provider: &AccountId, outcome: AuditOutcome);
    /// Counts, for a provider's reputation, a job that it finished or failed.
    fn note_job(provider: &AccountId, finished: bool);
}

/// Whoever keeps the providers in the order of their stake.
pub trait OnStakeChanged<AccountId> {
    /// The provider's stake (self-bond and active delegations, in planck) changed; `None` if it takes no new work any
    /// more: it exits, is chilled, or its self-bond is below the least one.
    fn stake_changed(provider: &AccountId, stake: Option<Balance>);
}

impl<AccountId> OnStakeChanged<AccountId> for () {
    fn stake_changed(_: &AccountId, _: Option<Balance>) {}
}

/// The stake behind each provider, for whoever keeps providers in the order of it.
pub trait Stakes<AccountId> {
    /// The provider's stake, with the meaning that it has in [`OnStakeChanged::stake_changed`]; `None`, too, for an
    /// account that is not a provider.
    fn stake(provider: &AccountId) -> Option<Balance>;
    /// The part of its rewards for blocks that the provider's pool gets now; the rest is not minted. Less than all of it
    /// while the provider doesn't answer when it is asked whether its worker runs.
    fn reward_part(_provider: &AccountId) -> Permill {
        Permill::one()
    }
}

/// What became of an audit that a provider was drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// Answered, and with the majority.
    Answered,
    /// Never answered.
    Missed,
    /// Answered, and the committee found otherwise.
    Overruled,
}

/// What proof-of-training sees of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView<AccountId> {
    /// Who ordered.
    pub customer: AccountId,
    /// Who pays: the customer or its sponsor.
    pub funder: AccountId,
    /// The specification.
    pub spec: JobSpec<AccountId>,
    /// Where the job stands.
    pub state: JobState,
    /// The assignment, from [`JobState::Assigned`] on; none again while the job waits for another provider.
    pub assignment: Option<Assignment<AccountId>>,
    /// What providers who had the job before trained and were paid for.
    pub tranches: Tranches<AccountId>,
    /// Unix time of the request, in milliseconds.
    pub requested_at: u64,
}

/// What is frozen when a provider accepts.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    codec::Encode,
    codec::Decode,
    codec::DecodeWithMemTracking,
    codec::MaxEncodedLen,
    scale_info::TypeInfo,
)]
pub struct Assignment<AccountId> {
    /// Who trains.
    pub provider: AccountId,
    /// The first milestone that is the provider's to train; 0 unless it goes on where another one ended.
    pub first_milestone: u32,
    /// What the customer pays if every milestone from that one on is verified, in planck.
    pub price: Balance,
    /// The provider's commission.
    pub commission: Permill,
    /// The provider's machine.
    pub hardware: Hardware,
    /// The provider's price of a GPU hour, in planck.
    pub price_per_gpu_hour: Balance,
    /// The provider's bond for this job, in planck.
    pub bond: Balance,
    /// Block of the assignment.
    pub assigned_at: BlockNumber,
    /// Unix time of the start, in milliseconds; `None` before it.
    pub started_at: Option<u64>,
}

/// Job escrow, as proof-of-training uses it.
pub trait JobEscrow<AccountId> {
    /// A job.
    fn job(job: JobId) -> Option<JobView<AccountId>>;
    /// All segments of milestone `index` are committed: the deadline moves on to the next milestone.
    ///
    /// # Errors
    /// If the job is not running, or its deadline is over.
    fn milestone_committed(job: JobId, index: u32) -> DispatchResult;
    /// All segments are committed and the adapter is named: Running → Submitted.
    ///
    /// # Errors
    /// If the job is not running, or its deadline is over.
    fn submitted(job: JobId) -> DispatchResult;
    /// Every audit of milestone `index` passed. Milestones may be verified in any order, each once; one is paid when it
    /// and all before it are. When all are paid and the job is submitted, the challenge window begins; when all that
    /// is committed is paid and the job is being cancelled, it ends: nothing may be written about it afterwards.
    ///
    /// # Errors
    /// If the job or milestone is unknown or the milestone was verified before.
    fn milestone_verified(job: JobId, index: u32) -> DispatchResult;
    /// Pays one audit fee, for a segment of `milestone`, to `auditor` out of the job's audit budget; nothing if the
    /// budget is used up.
    ///
    /// # Errors
    /// If the job or the milestone is unknown.
    fn pay_auditor(job: JobId, milestone: u32, auditor: &AccountId) -> DispatchResult;
    /// An auditor found a mismatch: Running | Submitted | Cancelling → Disputed. `Ok` if it is disputed already.
    ///
    /// # Errors
    /// If the state doesn't allow it.
    fn disputed(job: JobId) -> DispatchResult;
    /// The committee upheld the provider: Disputed → where it was, its deadline moved by the time that the dispute
    /// took.
    ///
    /// # Errors
    /// If the job is not disputed.
    fn upheld(job: JobId) -> DispatchResult;
    /// Ends the present attempt for `failure`: settles the bond by [`Failure::party`], and reopens the job for another
    /// provider ([`ProofOfTraining::on_handover`]) or ends it and refunds what is not paid
    /// ([`ProofOfTraining::on_closed`]). The caller writes nothing about the job afterwards.
    ///
    /// # Errors
    /// If the state doesn't allow it.
    fn fail(job: JobId, failure: Failure) -> DispatchResult;
}

/// Proof of training, as job-escrow uses it.
pub trait ProofOfTraining<AccountId> {
    /// True if the model is registered.
    fn model_exists(model: ModelId) -> bool;
    /// A job that uses `model` was created; the model stays until the job is closed. Does nothing by default.
    ///
    /// # Errors
    /// If the model is not registered.
    fn on_created(_id: JobId, _model: ModelId) -> DispatchResult {
        Ok(())
    }
    /// The job is open again after an attempt that failed: another provider goes on with milestone `first`. What was
    /// committed, drawn and found from that milestone on is dropped, what is before it stays. `job` is the view at
    /// that moment.
    ///
    /// # Errors
    /// If there is no such milestone; the caller's transaction is rolled back.
    fn on_handover(id: JobId, job: &JobView<AccountId>, first: u32) -> DispatchResult;
    /// The job reached a terminal state. Finalized jobs get their training record, in all cases the open audits end.
    /// `job` is the view at that moment, with the terminal state in it.
    ///
    /// # Errors
    /// If the record can't be written; the caller's transaction is rolled back.
    fn on_closed(id: JobId, job: &JobView<AccountId>) -> Result<(), DispatchError>;
}
