//! The base: accounts, blocks, time.

use crate::{
    AccountId, Address, Babe, Balance, Block, BlockNumber, MultiBlockMigrations, Nonce, PalletInfo, Runtime,
    RuntimeCall, RuntimeEvent, RuntimeOrigin, RuntimeTask, VERSION,
};
use frame_support::{
    derive_impl,
    dispatch::DispatchClass,
    parameter_types,
    weights::{
        constants::{ParityDbWeight, WEIGHT_REF_TIME_PER_MILLIS},
        Weight,
    },
};
use frame_system::limits::{BlockLength, BlockWeights};
use sp_runtime::{traits::AccountIdLookup, Perbill};
use sp_version::RuntimeVersion;

/// The share of a block that ordinary transactions may fill; the rest is left to consensus and operations.
const NORMAL_SHARE: Perbill = Perbill::from_percent(75);

/// Execution time of a full block: half of the shortest slot that a preset has (one second), so that there is
/// time to build the block and to send it round.
const MAX_BLOCK_REF_TIME: u64 = 500 * WEIGHT_REF_TIME_PER_MILLIS;

/// Largest block, in bytes.
const MAX_BLOCK_BYTES: u32 = 5 * 1024 * 1024;

parameter_types! {
    /// How many past block hashes stay on chain, which is also the longest life of a mortal transaction.
    pub const BlockHashCount: BlockNumber = 2_400;
    /// The runtime's version, for `frame_system`.
    pub const Version: RuntimeVersion = VERSION;
    /// Limits of execution time. Attune is no parachain: the size of proofs is not limited.
    pub RuntimeBlockWeights: BlockWeights = BlockWeights::with_sensible_defaults(
        Weight::from_parts(MAX_BLOCK_REF_TIME, u64::MAX),
        NORMAL_SHARE,
    );
    /// Limits of block size.
    pub RuntimeBlockLength: BlockLength = BlockLength::builder()
        .max_length(MAX_BLOCK_BYTES)
        .modify_max_length_for_class(DispatchClass::Normal, |max| *max = NORMAL_SHARE * MAX_BLOCK_BYTES)
        .build();
    /// The generic SS58 prefix: addresses begin with 5.
    pub const Ss58Prefix: u16 = 42;
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type AccountData = pallet_balances::AccountData<Balance>;
    type AccountId = AccountId;
    type BaseCallFilter = super::emergency::NotStopped;
    type Block = Block;
    type BlockHashCount = BlockHashCount;
    type BlockLength = RuntimeBlockLength;
    type BlockWeights = RuntimeBlockWeights;
    type DbWeight = ParityDbWeight;
    type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
    type Lookup = AccountIdLookup<AccountId, ()>;
    type MaxConsumers = frame_support::traits::ConstU32<128>;
    type MultiBlockMigrator = MultiBlockMigrations;
    type Nonce = Nonce;
    type SS58Prefix = Ss58Prefix;
    type SystemWeightInfo = frame_system::weights::SubstrateWeight<Runtime>;
    type Version = Version;
}

impl pallet_timestamp::Config for Runtime {
    type MinimumPeriod = crate::timing::HalfSlotMillis<Runtime>;
    /// Milliseconds since the Unix epoch.
    type Moment = u64;
    type OnTimestampSet = Babe;
    type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}

impl crate::timing::Config for Runtime {}

// The account lookup and the address of transactions must be the same type, or no transaction would decode.
const _: fn(
    Address,
) -> <<Runtime as frame_system::Config>::Lookup as sp_runtime::traits::StaticLookup>::Source =
    core::convert::identity;
