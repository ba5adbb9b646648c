//! What generators and templates look up in the chain's state.

use attune_primitives::{
    job::ArithmeticMode,
    proof::{SegmentCommitment, Verdict},
    trace, Balance, JobId, H256,
};
use attune_runtime::{AccountId, ProviderStaking, Runtime};
use codec::Encode;
use pallet_job_escrow::Job;
use pallet_proof_of_training::types::{Audit, Round, Slot};
use sp_io::hashing::blake2_256;

/// Registered providers, in order.
pub fn providers() -> Vec<AccountId> {
    pallet_provider_staking::ProviderIds::<Runtime>::get().into_inner()
}

/// The operator key of a provider; the provider itself if it has none.
pub fn operator_of(provider: &AccountId) -> AccountId {
    ProviderStaking::provider_view(provider).map_or_else(|| provider.clone(), |view| view.operator)
}

/// A job as it is stored.
pub fn job(id: JobId) -> Option<Job<AccountId>> {
    pallet_job_escrow::Jobs::<Runtime>::get(id)
}

/// The operator of the provider that a job is assigned to.
pub fn assigned_operator(id: JobId) -> Option<AccountId> {
    let assignment = job(id)?.assignment?;
    Some(operator_of(&assignment.provider))
}

/// Providers that could take a job of `mode` for `customer`.
pub fn eligible(mode: &ArithmeticMode, customer: &AccountId) -> Vec<AccountId> {
    let computes = |id: &AccountId| {
        ProviderStaking::provider_view(id)
            .is_some_and(|view| view.profile.computes(mode) && view.operator != *customer)
    };
    let mut found = providers();
    found.retain(|id| id != customer && ProviderStaking::takes_work(id) && computes(id));
    found
}

/// Who has delegated to `provider`, with its shares.
pub fn delegators(provider: &AccountId) -> Vec<(AccountId, u128)> {
    pallet_provider_staking::Delegations::<Runtime>::iter_prefix(provider)
        .map(|(who, delegation)| (who, delegation.shares))
        .collect()
}

/// Who has stake on its way out of the pool of `provider`.
pub fn leaving(provider: &AccountId) -> Vec<AccountId> {
    let own =
        pallet_provider_staking::SelfUnbonding::<Runtime>::contains_key(provider).then(|| provider.clone());
    pallet_provider_staking::Unbonding::<Runtime>::iter_key_prefix(provider).chain(own).collect()
}

/// The audits of a job, by segment.
pub fn audits(id: JobId) -> Vec<(u32, Audit<AccountId>)> {
    let mut audits: Vec<_> = pallet_proof_of_training::Audits::<Runtime>::iter_prefix(id).collect();
    audits.sort_by_key(|(segment, _)| *segment);
    audits
}

/// The audit of a segment.
pub fn audit(id: JobId, segment: u32) -> Option<Audit<AccountId>> {
    pallet_proof_of_training::Audits::<Runtime>::get(id, segment)
}

/// The places that an audit's round waits for.
pub fn waiting(audit: &Audit<AccountId>) -> impl Iterator<Item = &Slot<AccountId>> {
    let in_committee = audit.round == Round::Committee;
    audit.slots.iter().filter(move |slot| slot.in_committee == in_committee && !slot.missed)
}

/// What a provider committed to for a segment.
pub fn committed(id: JobId, segment: u32) -> Option<SegmentCommitment> {
    let commitments = pallet_proof_of_training::Commitments::<Runtime>::get(id);
    commitments.get(usize::try_from(segment).ok()?).copied()
}

/// Shares that `who` has in the pool of `provider`.
pub fn shares(provider: &AccountId, who: &AccountId) -> u128 {
    pallet_provider_staking::Delegations::<Runtime>::get(provider, who)
        .map_or(0, |delegation| delegation.shares)
}

/// Stake of a provider's pool that no open bond needs, in planck.
pub fn free_stake(provider: &AccountId) -> Balance {
    let Some(pool) = pallet_provider_staking::Pools::<Runtime>::get(provider) else { return 0 };
    pool.stake().unwrap_or_default().saturating_sub(pool.locked)
}

/// The trace that training of a segment gives in these scenarios.
pub fn trace_of(id: JobId, segment: u32) -> H256 {
    H256(blake2_256(&(b"trace", id, segment).encode()))
}

/// The nonce with which every trace is committed to here.
pub const NONCE: [u8; 32] = [9; 32];
/// The salt with which every verdict is committed to here.
pub const SALT: [u8; 32] = [7; 32];

/// Ways to answer an audit.
pub const VERDICTS: [Verdict; 3] = [Verdict::Match, Verdict::Mismatch, Verdict::Unavailable];

/// What an auditor reveals for a verdict: end root and trace.
pub fn answer(id: JobId, segment: u32, verdict: Verdict) -> (H256, H256) {
    match (verdict, committed(id, segment)) {
        (Verdict::Unavailable, _) => (H256::zero(), H256::zero()),
        (Verdict::Match, Some(made)) => {
            (made.state_root, trace::with_metrics(trace_of(id, segment), &made.metrics))
        }
        _ => (H256::repeat_byte(0xbb), H256::repeat_byte(0xcc)),
    }
}

/// The commitment of an auditor to a verdict.
pub fn verdict_commitment(id: JobId, segment: u32, auditor: &AccountId, verdict: Verdict) -> H256 {
    let (end_root, trace) = answer(id, segment, verdict);
    trace::verdict_commitment(end_root, trace, auditor, &SALT)
}

/// What an auditor that has committed must reveal; a match if it committed to something else altogether.
pub fn answer_of(id: JobId, segment: u32, slot: &Slot<AccountId>) -> (H256, H256) {
    let made = VERDICTS
        .into_iter()
        .find(|verdict| slot.commitment == Some(verdict_commitment(id, segment, &slot.auditor, *verdict)));
    answer(id, segment, made.unwrap_or(Verdict::Match))
}
