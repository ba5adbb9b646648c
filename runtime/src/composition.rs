//! The composition: which pallets, under which names and indices.

// The macro makes types that no one can write a comment on.
#![allow(missing_docs)]

use crate::{Block, UncheckedExtrinsic};
use alloc::vec::Vec;
use sp_inherents::{CheckInherentsResult, InherentData};
use sp_runtime::traits::Block as BlockT;

#[frame_support::runtime]
mod runtime {
    /// The runtime. Hooks run in the order of the indices: a pallet that reads what another one has worked out
    /// in the same block has the higher index.
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Timing = crate::timing;
    #[runtime::pallet_index(2)]
    pub type Timestamp = pallet_timestamp;

    // Money.
    #[runtime::pallet_index(10)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(11)]
    pub type TransactionPayment = pallet_transaction_payment;

    // Consensus. Session turns the epoch, so that AuditRandomness comes after it, and Authorship, too: the first block
    // of an epoch is by one of the new validators, and the old ones don't say which.
    #[runtime::pallet_index(20)]
    pub type Babe = pallet_babe;
    #[runtime::pallet_index(22)]
    pub type Session = pallet_session;
    #[runtime::pallet_index(23)]
    pub type Grandpa = pallet_grandpa;
    #[runtime::pallet_index(24)]
    pub type AuditRandomness = crate::audit_randomness;
    #[runtime::pallet_index(25)]
    pub type Historical = pallet_session::historical;
    #[runtime::pallet_index(26)]
    pub type Offences = pallet_offences;
    #[runtime::pallet_index(27)]
    pub type Authorship = pallet_authorship;

    // Convenience and administration.
    #[runtime::pallet_index(30)]
    pub type Utility = pallet_utility;
    #[runtime::pallet_index(31)]
    pub type Proxy = pallet_proxy;
    #[runtime::pallet_index(32)]
    pub type Multisig = pallet_multisig;
    #[runtime::pallet_index(33)]
    pub type Sudo = pallet_sudo;
    #[runtime::pallet_index(34)]
    pub type Treasury = pallet_treasury;
    #[runtime::pallet_index(35)]
    pub type SafeMode = pallet_safe_mode;
    #[runtime::pallet_index(36)]
    pub type TxPause = pallet_tx_pause;

    // Attune's own.
    #[runtime::pallet_index(40)]
    pub type ProviderStaking = pallet_provider_staking;
    #[runtime::pallet_index(41)]
    pub type JobEscrow = pallet_job_escrow;
    #[runtime::pallet_index(42)]
    pub type ProofOfTraining = pallet_proof_of_training;
    // Hooks of these two: rewards are paid when all that is due in the block is done.
    #[runtime::pallet_index(43)]
    pub type ValidatorElection = pallet_validator_election;
    #[runtime::pallet_index(44)]
    pub type VoterList = pallet_bags_list;

    // Upgrades.
    #[runtime::pallet_index(50)]
    pub type MultiBlockMigrations = pallet_migrations;
}

/// The transactions that a block begins with, made of what its author supplies (the time).
pub(crate) fn inherent_extrinsics(data: &InherentData) -> Vec<UncheckedExtrinsic> {
    data.create_extrinsics()
}

/// Whether the block's inherents fit what the checking node knows.
pub(crate) fn check_inherents(
    block: &<Block as BlockT>::LazyBlock,
    data: &InherentData,
) -> CheckInherentsResult {
    data.check_extrinsics(block)
}
