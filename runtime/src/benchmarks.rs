//! What benchmarks need of the whole runtime: which pallets are measured, and neighbours in the state that costs the most.
//!
//! Only in builds with the feature `runtime-benchmarks`, which `scripts/weights` makes and no chain runs.

// The macro makes items that no one can write a comment on.
#![allow(missing_docs, unreachable_pub)]

use alloc::{vec, vec::Vec};

use attune_primitives::{
    job::{ExecutionClass, JobSpec, JobTiming, MAX_MILESTONES, MAX_SEGMENTS},
    proof::{AuditEntry, SegmentCommitment, SegmentMetrics, Verdict, MAX_AUDIT_ENTRIES},
    provider::{Hardware, ProviderProfile},
    traits::Providers as _,
    BlockNumber, JobId, ModelId, H256,
};
use frame_support::{
    traits::{fungible::Mutate, Get},
    BoundedVec,
};
use pallet_proof_of_training::types::{Audit, Draw, ModelInfo, Round, Slot, Stage, TrainingResult};
use pallet_provider_staking::MAX_PENDING_SLASHES;
use sp_core::{crypto::KeyTypeId, sr25519};
use sp_io::crypto::{sr25519_generate, sr25519_sign};
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    Permill,
};

use crate::{
    configs::windows::{MaxPhaseBlocks, SlashDelay},
    units::ATT,
    AccountId, AuditRandomness, Balance, Balances, JobEscrow, ProofOfTraining, ProviderStaking, Runtime,
    RuntimeOrigin, Signature, System,
};

frame_benchmarking::define_benchmarks!(
    [pallet_provider_staking, ProviderStaking]
    [pallet_job_escrow, JobEscrow]
    [pallet_proof_of_training, ProofOfTraining]
    [pallet_validator_election, ValidatorElection]
    [audit_randomness, AuditRandomness]
);

/// More than anything costs.
const WEALTH: Balance = 1_000_000 * ATT;

/// Stake for the bonds of every job that a benchmark makes.
const SELF_BOND: Balance = 10_000 * ATT;

/// Sets up the neighbours: through their own calls, so that what a benchmark finds is what a chain would have.
pub struct Neighbours;

/// Account `index` of a kind.
fn account(kind: &str, index: u32) -> AccountId {
    let entropy = BlakeTwo256::hash_of(&("attune/benchmark", kind, index));
    AccountId::from(entropy.to_fixed_bytes())
}

fn fund(who: &AccountId) {
    Balances::set_balance(who, WEALTH);
}

/// Text at its bound.
fn longest<const N: u32>() -> BoundedVec<u8, frame_support::traits::ConstU32<N>> {
    BoundedVec::truncate_from(vec![b'x'; usize::try_from(N).unwrap_or_default()])
}

/// Registers provider `index`, who computes class `class` and exact arithmetic, and gives it with its operator.
fn register(index: u32, class: ExecutionClass) -> (AccountId, AccountId) {
    let (provider, operator) = (account("provider", index), account("operator", index));
    fund(&provider);
    let profile = ProviderProfile {
        name: longest(),
        endpoint: longest(),
        class,
        exact_version: 1,
        hardware: Hardware { model: longest(), accelerators: 8, memory_mib: 80_000 },
        price_per_gpu_hour: 1,
        tokens_per_second: 1,
    };
    let origin = RuntimeOrigin::signed(provider.clone());
    ProviderStaking::register(origin, profile, Permill::from_percent(10), operator.clone(), SELF_BOND)
        .expect("the provider is new and has the money; qed");
    (provider, operator)
}

/// Registers as many providers as there may be.
fn register_all(class: &ExecutionClass) -> Vec<(AccountId, AccountId)> {
    let most = <<Runtime as pallet_provider_staking::Config>::MaxProviders as Get<u32>>::get();
    (0..most).map(|index| register(index, class.clone())).collect()
}

fn set_block_number(block: BlockNumber) {
    System::set_block_number(block);
}

/// Under which the host keeps the keys of benchmarks.
const KEYS: KeyTypeId = KeyTypeId(*b"attb");

/// A key that the host has.
fn host_key() -> sr25519::Public {
    sr25519_generate(KEYS, Some(b"//attune/benchmark".to_vec()))
}

impl pallet_provider_staking::benchmarking::BenchmarkHelper<AccountId, Signature> for Neighbours {
    fn operator() -> AccountId {
        AccountId::from(host_key())
    }

    fn sign(message: &[u8]) -> Signature {
        sr25519_sign(KEYS, &host_key(), message).expect("the host has just made the key; qed").into()
    }
}

/// Books slashes of a millionth of its pool until no further one of `provider` would wait.
fn fill_slashes(provider: &AccountId) {
    for _ in 0..MAX_PENDING_SLASHES {
        ProviderStaking::slash_for_offence(provider, Permill::from_parts(1), None);
    }
}

impl pallet_job_escrow::benchmarking::BenchmarkHelper<AccountId> for Neighbours {
    fn fund(who: &AccountId) {
        fund(who);
    }

    fn model() -> ModelId {
        let model = pallet_proof_of_training::NextModelId::<Runtime>::get();
        let owner = account("model owner", model);
        fund(&owner);
        let info = ModelInfo {
            name: longest(),
            architecture: longest(),
            parameters: 1,
            artifact: BlakeTwo256::hash_of(&model),
            artifact_bytes: 1,
            tokenizer: H256::zero(),
            licence: longest(),
        };
        ProofOfTraining::register_model(RuntimeOrigin::signed(owner), info)
            .expect("the artifact is new and its owner has the deposit; qed");
        model
    }

    fn fill_providers() -> Vec<(AccountId, AccountId)> {
        register_all(&longest())
    }

    /// Locks all stake that is free: the provider is still active, and that its bond fails is found last.
    fn deactivate(provider: &AccountId) {
        let locked = pallet_provider_staking::Pools::<Runtime>::get(provider).map_or(0, |pool| pool.locked);
        let free = ProviderStaking::stake_of(provider).saturating_sub(locked);
        ProviderStaking::lock_bond(provider, JobId::MAX, free).expect("that much is free; qed");
    }

    /// The most audits that a specification may ask for, one of every segment, and the longest log.
    fn fill_proofs(job: JobId) {
        let auditor = account("auditor", 0);
        let segments = MAX_SEGMENTS.div_euclid(MAX_MILESTONES);
        let commitment = SegmentCommitment {
            state_root: H256::repeat_byte(6),
            trace_commitment: H256::repeat_byte(7),
            checkpoint: H256::repeat_byte(8),
            checkpoint_bytes: 1,
            metrics: SegmentMetrics {
                train_loss_micro: 1,
                tokens: 1,
                held_out_loss_before_micro: Some(1),
                held_out_loss_micro: Some(1),
            },
        };
        let commitments = (0..MAX_SEGMENTS).map(|_| commitment).collect();
        pallet_proof_of_training::Commitments::<Runtime>::insert(job, BoundedVec::truncate_from(commitments));
        pallet_proof_of_training::SealsBefore::<Runtime>::mutate(job, |seals| {
            for milestone in 0..MAX_MILESTONES {
                seals.try_insert(milestone, 0).expect("there are so many at most; qed");
            }
        });
        for milestone in 0..MAX_MILESTONES {
            let first = milestone.saturating_mul(segments);
            let drawn = first..first.saturating_add(segments);
            pallet_proof_of_training::CommittedAt::<Runtime>::insert(job, milestone, 1);
            let draw = Draw {
                drawn_at: 1,
                passed: u32::MAX,
                segments: BoundedVec::truncate_from(drawn.clone().collect()),
            };
            pallet_proof_of_training::Draws::<Runtime>::insert(job, milestone, draw);
            for segment in drawn {
                let slot = Slot {
                    auditor: auditor.clone(),
                    commitment: Some(H256::zero()),
                    verdict: Some(Verdict::Match),
                    in_committee: false,
                    missed: false,
                };
                let audit = Audit {
                    milestone,
                    stage: Stage::Passed,
                    round: Round::First,
                    deadline: 1,
                    redraws: 0,
                    trace: Some(H256::zero()),
                    slots: BoundedVec::truncate_from(vec![slot]),
                };
                pallet_proof_of_training::Audits::<Runtime>::insert(job, segment, audit);
            }
        }
        let entry = AuditEntry { segment: 0, auditor, verdict: Some(Verdict::Match) };
        let entries = (0..MAX_AUDIT_ENTRIES).map(|_| entry.clone()).collect();
        pallet_proof_of_training::AuditLog::<Runtime>::insert(job, BoundedVec::truncate_from(entries));
        let result = TrainingResult { adapter: H256::zero(), adapter_bytes: 1, submitted_at: 1 };
        pallet_proof_of_training::Results::<Runtime>::insert(job, result);
    }

    fn fill_slashes(provider: &AccountId) {
        fill_slashes(provider);
    }

    fn set_block(block: BlockNumber) {
        set_block_number(block);
    }
}

impl pallet_proof_of_training::benchmarking::BenchmarkHelper<AccountId> for Neighbours {
    fn fund(who: &AccountId) {
        fund(who);
    }

    fn fill_providers(class: &ExecutionClass) -> Vec<(AccountId, AccountId)> {
        register_all(class)
    }

    fn ruin_all_but(spared: &[AccountId]) {
        let all = pallet_provider_staking::ProviderIds::<Runtime>::get();
        let ruined: Vec<_> = all.into_iter().filter(|provider| !spared.contains(provider)).collect();
        for provider in &ruined {
            ProviderStaking::slash_for_offence(provider, Permill::one(), None);
        }
        set_block_number(System::block_number().saturating_add(SlashDelay::get()));
        for provider in &ruined {
            let slashes = pallet_provider_staking::PendingSlashes::<Runtime>::iter_key_prefix(provider);
            for slash in slashes.collect::<Vec<_>>() {
                let anyone = RuntimeOrigin::signed(provider.clone());
                ProviderStaking::apply_slash(anyone, provider.clone(), slash)
                    .expect("the slash is booked and its delay over; qed");
            }
        }
    }

    fn fill_slashes(provider: &AccountId) {
        fill_slashes(provider);
    }

    /// The times and the fee that `spec` names give way to this runtime's bounds: they decide nothing about the cost. The
    /// price is such that a slash of the bond moves the provider in the list of candidates.
    fn running_job(customer: &AccountId, provider: &AccountId, mut spec: JobSpec<AccountId>) -> JobId {
        let longest = MaxPhaseBlocks::get();
        spec.timing = JobTiming {
            bidding_blocks: 0,
            open_blocks: longest,
            start_blocks: longest,
            milestone_blocks: longest,
        };
        spec.audit_fee = <<Runtime as pallet_job_escrow::Config>::MinAuditFee as Get<Balance>>::get();
        spec.provider = Some(provider.clone());
        spec.max_price = SELF_BOND.div_euclid(4);
        let price = spec.max_price;
        let job = pallet_job_escrow::NextJobId::<Runtime>::get();
        let operator = ProviderStaking::provider(provider).expect("it is registered; qed").operator;
        let operator = RuntimeOrigin::signed(operator);
        JobEscrow::create_job(RuntimeOrigin::signed(customer.clone()), spec, None)
            .and_then(|()| JobEscrow::accept_job(operator.clone(), job, price))
            .and_then(|()| JobEscrow::start_job(operator, job))
            .expect("the job is valid, its customer has the money and its provider the stake; qed");
        job
    }

    fn set_randomness(randomness: H256, epoch_start: BlockNumber) {
        AuditRandomness::remember(randomness, epoch_start);
    }

    fn set_block(block: BlockNumber) {
        set_block_number(block);
    }
}

impl pallet_validator_election::benchmarking::BenchmarkHelper<AccountId> for Neighbours {
    fn provider() -> AccountId {
        let (provider, _) = register(0, longest());
        let delegator = account("delegator", 0);
        fund(&delegator);
        ProviderStaking::delegate(RuntimeOrigin::signed(delegator), provider.clone(), SELF_BOND)
            .expect("the provider is active and the delegator has the money; qed");
        provider
    }
    /// Its pool has every part that a slash reaches: self-bond and delegations, active and on their way out.
    fn offender() -> AccountId {
        // Others stand before and behind it in the list of candidates.
        register_all(&longest());
        let (provider, delegator) = (account("provider", 1), account("delegator", 0));
        fund(&delegator);
        let origin = RuntimeOrigin::signed(delegator.clone());
        let own = RuntimeOrigin::signed(provider.clone());
        ProviderStaking::delegate(origin.clone(), provider.clone(), SELF_BOND)
            .and_then(|()| {
                let delegation = pallet_provider_staking::Delegations::<Runtime>::get(&provider, &delegator);
                let shares = delegation.map(|delegation| delegation.shares).unwrap_or_default();
                ProviderStaking::undelegate(origin, provider.clone(), shares.div_euclid(2))
            })
            .and_then(|()| ProviderStaking::unbond_self(own, SELF_BOND.div_euclid(2)))
            .expect("the provider is active, and both have what they move; qed");
        fill_slashes(&provider);
        provider
    }

    fn fund(who: &AccountId) {
        fund(who);
    }
}
