//! The calls of our pallets as functions. Each gives a [`Call`] for [`crate::Submitter::submit`].
//!
//! Amounts are in planck. What each call does, whom it is for and what it refuses is written at the pallets' calls.

use attune_primitives::{
    proof::SegmentCommitment, provider::ProviderProfile, Balance, BlockNumber, JobId, ModelId, RecordId,
};
use subxt::{dynamic::Value, utils::MultiAddress};

use crate::{
    api::{
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec, pallet_proof_of_training::types::ModelInfo,
            sp_arithmetic::per_things::Permill, sp_runtime::MultiSignature,
        },
        transactions,
    },
    submit::Call,
    types::{NewModel, Spec},
    AccountId, H256,
};

/// Sends money; refuses to if the sender's account would fall below the existential deposit.
pub fn transfer(to: AccountId, amount: Balance) -> Call {
    Call::new(transactions().balances().transfer_keep_alive(MultiAddress::Id(to), amount))
}

/// Registers the sender as a provider. `commission_ppm` in millionths.
pub fn register_provider(
    profile: ProviderProfile,
    commission_ppm: u32,
    operator: AccountId,
    self_bond: Balance,
) -> Call {
    let commission = Permill(commission_ppm);
    Call::new(transactions().provider_staking().register(profile.into(), commission, operator, self_bond))
}

/// Replaces the sender's profile.
pub fn set_profile(profile: ProviderProfile) -> Call {
    Call::new(transactions().provider_staking().set_profile(profile.into()))
}

/// Replaces the sender's operator key.
pub fn set_operator(operator: AccountId) -> Call {
    Call::new(transactions().provider_staking().set_operator(operator))
}

/// Sets the sender's commission, in millionths: a cut acts at once, a rise is queued.
pub fn set_commission(commission_ppm: u32) -> Call {
    Call::new(transactions().provider_staking().set_commission(Permill(commission_ppm)))
}

/// The sender takes no new work and no new stake for now.
pub fn chill() -> Call {
    Call::new(transactions().provider_staking().chill())
}

/// The sender takes new work and new stake again.
pub fn unchill() -> Call {
    Call::new(transactions().provider_staking().unchill())
}

/// Adds to the sender's self-bond.
pub fn bond_more(amount: Balance) -> Call {
    Call::new(transactions().provider_staking().bond_more(amount))
}

/// Moves a part of the sender's self-bond to unbonding.
pub fn unbond_self(amount: Balance) -> Call {
    Call::new(transactions().provider_staking().unbond_self(amount))
}

/// Delegates to a provider.
pub fn delegate(provider: AccountId, amount: Balance) -> Call {
    Call::new(transactions().provider_staking().delegate(provider, amount))
}

/// Moves shares of the sender's delegation to unbonding.
pub fn undelegate(provider: AccountId, shares: u128) -> Call {
    Call::new(transactions().provider_staking().undelegate(provider, shares))
}

/// Pays out the sender's unbonding stake whose time is over.
pub fn withdraw(provider: AccountId) -> Call {
    Call::new(transactions().provider_staking().withdraw(provider))
}

/// Pays out the sender's income as a delegator.
pub fn claim_income(provider: AccountId) -> Call {
    Call::new(transactions().provider_staking().claim_income(provider))
}

/// Moves shares of the sender's delegation to another provider.
pub fn redelegate(from: AccountId, to: AccountId, shares: u128) -> Call {
    Call::new(transactions().provider_staking().redelegate(from, to, shares))
}

/// Turns the income of a delegator into shares: by itself, or by anyone once it allowed that.
pub fn compound(provider: AccountId, delegator: AccountId) -> Call {
    Call::new(transactions().provider_staking().compound(provider, delegator))
}

/// Lets anyone compound for the sender, or nobody else.
pub fn set_auto_compound(provider: AccountId, enabled: bool) -> Call {
    Call::new(transactions().provider_staking().set_auto_compound(provider, enabled))
}

/// Ends or charges what redelegated stake answers for in its old pool, by anyone.
pub fn settle_lien(provider: AccountId, delegator: AccountId) -> Call {
    Call::new(transactions().provider_staking().settle_lien(provider, delegator))
}

/// Carries out a slash whose time to be cancelled is over, by anyone.
pub fn apply_slash(provider: AccountId, slash: u64) -> Call {
    Call::new(transactions().provider_staking().apply_slash(provider, slash))
}

/// Says that a provider's worker runs, in a period in which it is asked; for [`crate::send_authorised`]. `signature` is its
/// operator's over [`attune_primitives::heartbeat::payload`].
pub fn heartbeat(provider: AccountId, period: u32, signature: [u8; 64]) -> Call {
    let signature = MultiSignature::Sr25519(signature);
    Call::new(transactions().provider_staking().heartbeat(provider, period, signature))
}

/// Pays a customer the compensation that it could not receive, by anyone.
pub fn claim_compensation(provider: AccountId, customer: AccountId) -> Call {
    Call::new(transactions().provider_staking().claim_compensation(provider, customer))
}

/// The sender stops being a provider.
pub fn exit_provider() -> Call {
    Call::new(transactions().provider_staking().exit())
}

/// Deletes an exiting provider whose pool is empty.
pub fn deregister_provider(provider: AccountId) -> Call {
    Call::new(transactions().provider_staking().deregister(provider))
}

/// Registers a base model. Texts that are too long are refused by the chain.
pub fn register_model(model: NewModel) -> Call {
    let info = ModelInfo {
        name: BoundedVec(model.name.into_bytes()),
        architecture: BoundedVec(model.architecture.into_bytes()),
        parameters: model.parameters,
        artifact: model.artifact,
        artifact_bytes: model.artifact_bytes,
        tokenizer: model.tokenizer,
        licence: BoundedVec(model.licence.into_bytes()),
    };
    Call::new(transactions().proof_of_training().register_model(info))
}

/// Removes a base model of the sender.
pub fn remove_model(model: ModelId) -> Call {
    Call::new(transactions().proof_of_training().remove_model(model))
}

/// Orders a job: holds its price, its audit budget and a deposit, on the sender's account or on its sponsor's.
pub fn create_job(spec: Spec, sponsor: Option<AccountId>) -> Call {
    Call::new(transactions().job_escrow().create_job(spec.into(), sponsor))
}

/// Bids for a job in its bidding window, by an operator, or lowers its bid.
pub fn place_bid(job: JobId, price: Balance) -> Call {
    Call::new(transactions().job_escrow().place_bid(job, price))
}

/// Takes a bid back, by an operator.
pub fn withdraw_bid(job: JobId) -> Call {
    Call::new(transactions().job_escrow().withdraw_bid(job))
}

/// Adds to what a job may cost and to its audit budget, by who pays for it.
pub fn top_up(job: JobId, for_training: Balance, for_audits: Balance) -> Call {
    Call::new(transactions().job_escrow().top_up(job, for_training, for_audits))
}

/// The sender pays for a customer's jobs, or changes how much it pays.
pub fn sponsor(customer: AccountId, limit: Balance, per_job: Balance, expires_at: BlockNumber) -> Call {
    Call::new(transactions().job_escrow().sponsor(customer, limit, per_job, expires_at))
}

/// Ends a sponsorship: by either side, by anyone once it has expired.
pub fn end_sponsorship(sponsor: AccountId, customer: AccountId) -> Call {
    Call::new(transactions().job_escrow().end_sponsorship(sponsor, customer))
}

/// Accepts a job, by an operator.
pub fn accept_job(job: JobId, price: Balance) -> Call {
    Call::new(transactions().job_escrow().accept_job(job, price))
}

/// Starts an assigned job, by the operator of its provider.
pub fn start_job(job: JobId) -> Call {
    Call::new(transactions().job_escrow().start_job(job))
}

/// Gives an assigned job back, by the operator of its provider.
pub fn decline_job(job: JobId) -> Call {
    Call::new(transactions().job_escrow().decline_job(job))
}

/// Calls a job off, by its customer.
pub fn cancel_job(job: JobId) -> Call {
    Call::new(transactions().job_escrow().cancel_job(job))
}

/// Ends a state whose deadline is over, by anyone.
pub fn enforce_deadline(job: JobId) -> Call {
    Call::new(transactions().job_escrow().enforce_deadline(job))
}

/// Pays out what settlement owes a payee for a job, by anyone.
pub fn claim_owed(job: JobId, payee: AccountId) -> Call {
    Call::new(transactions().job_escrow().claim_owed(job, payee))
}

/// Deletes a closed job, by anyone; its deposit goes back to the customer.
pub fn prune_job(job: JobId) -> Call {
    Call::new(transactions().job_escrow().prune_job(job))
}

/// Commits to the next segment, by the operator of the assigned provider.
pub fn commit_segment(job: JobId, segment: u32, commitment: SegmentCommitment) -> Call {
    Call::new(transactions().proof_of_training().commit_segment(job, segment, commitment.into()))
}

/// Names the adapter, by the operator of the assigned provider.
pub fn submit_result(job: JobId, adapter: H256, adapter_bytes: u64) -> Call {
    Call::new(transactions().proof_of_training().submit_result(job, adapter, adapter_bytes))
}

/// Draws the audits of a committed milestone, by anyone.
pub fn draw_audits(job: JobId, milestone: u32) -> Call {
    Call::new(transactions().proof_of_training().draw_audits(job, milestone))
}

/// Commits to a verdict, by the operator of a drawn auditor.
pub fn commit_verdict(job: JobId, segment: u32, commitment: H256) -> Call {
    Call::new(transactions().proof_of_training().commit_verdict(job, segment, commitment))
}

/// Opens a trace, by the operator of the assigned provider.
pub fn open_trace(job: JobId, segment: u32, trace: H256, nonce: [u8; 32]) -> Call {
    Call::new(transactions().proof_of_training().open_trace(job, segment, trace, nonce))
}

/// Reveals a verdict, by the operator of a drawn auditor.
pub fn reveal_verdict(job: JobId, segment: u32, end_root: H256, trace: H256, salt: [u8; 32]) -> Call {
    Call::new(transactions().proof_of_training().reveal_verdict(job, segment, end_root, trace, salt))
}

/// Ends a stage of an audit whose deadline is over, by anyone.
pub fn enforce_audit_deadline(job: JobId, segment: u32) -> Call {
    Call::new(transactions().proof_of_training().enforce_audit_deadline(job, segment))
}

/// Removes a record that was kept long enough, by its customer.
pub fn remove_record(record: RecordId) -> Call {
    Call::new(transactions().proof_of_training().remove_record(record))
}

/// The administrator agrees to a new runtime by the blake2-256 hash of its code; anyone may then bring it
/// ([`apply_upgrade`]). Encoded by the node's metadata alone, so that a program of one release can upgrade a chain of
/// another.
pub fn authorize_upgrade(code_hash: H256) -> Call {
    let authorize =
        Value::named_variant("authorize_upgrade", [("code_hash", Value::from_bytes(code_hash.0))]);
    let call = Value::unnamed_variant("System", [authorize]);
    Call::new(subxt::dynamic::tx("Sudo", "sudo", vec![call]))
}

/// Brings the code of a runtime that the administrator has agreed to: the next block runs it. Whoever sends it, it is the
/// same code.
pub fn apply_upgrade(code: Vec<u8>) -> Call {
    Call::new(transactions().system().apply_authorized_upgrade(code))
}
