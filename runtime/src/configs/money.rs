//! Balances and fees.
//!
//! **Fees.** A second of execution costs one ATT (one planck per picosecond) and a byte one µATT, times a factor
//! that rises while blocks are more than a quarter full and falls back to one, never below. Fee and tip go to
//! the block's author, whole: the author carried the work, and provider-staking will share his income with his
//! delegators. A fee that cannot be paid out (no author, or he is below the existential deposit) is burned.

use crate::{
    units::{MICRO_ATT, MILLI_ATT},
    AccountId, Authorship, Balance, Balances, Runtime, RuntimeEvent, RuntimeFreezeReason, RuntimeHoldReason,
    System,
};
use frame_support::{
    parameter_types,
    traits::{
        fungible::{Balanced, Credit},
        ConstU8, OnUnbalanced, VariantCountOf,
    },
    weights::{ConstantMultiplier, IdentityFee},
};
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_runtime::{traits::Bounded, FixedPointNumber, Perquintill};

parameter_types! {
    /// The least an account may hold. Enough that filling the state with accounts costs something, little enough
    /// to be nobody's worry.
    pub const ExistentialDeposit: Balance = MILLI_ATT;
    /// What a byte of a transaction costs.
    pub const ByteFee: Balance = MICRO_ATT;
    /// Blocks fuller than this make fees rise, emptier ones make them fall.
    pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
    /// How fast: a day of full six-second blocks about multiplies fees by 1.4.
    pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(3, 100_000);
    /// Fees never fall below their base.
    pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_integer(1);
    /// No upper bound but the number's own.
    pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

impl pallet_balances::Config for Runtime {
    type AccountStore = System;
    type Balance = Balance;
    type DoneSlashHandler = ();
    /// What is left of an account below the existential deposit is burned.
    type DustRemoval = ();
    type ExistentialDeposit = ExistentialDeposit;
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
    type MaxLocks = frame_support::traits::ConstU32<50>;
    type MaxReserves = frame_support::traits::ConstU32<50>;
    type ReserveIdentifier = [u8; 8];
    type RuntimeEvent = RuntimeEvent;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type RuntimeHoldReason = RuntimeHoldReason;
    type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
}

impl pallet_transaction_payment::Config for Runtime {
    type FeeMultiplierUpdate = TargetedFeeAdjustment<
        Runtime,
        TargetBlockFullness,
        AdjustmentVariable,
        MinimumMultiplier,
        MaximumMultiplier,
    >;
    type LengthToFee = ConstantMultiplier<Balance, ByteFee>;
    type OnChargeTransaction = FungibleAdapter<Balances, FeesToAuthor>;
    type OperationalFeeMultiplier = ConstU8<5>;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
    type WeightToFee = IdentityFee<Balance>;
}

/// Pays fee and tip to the block's author; burns what cannot be paid.
pub struct FeesToAuthor;

impl OnUnbalanced<Credit<AccountId, Balances>> for FeesToAuthor {
    fn on_nonzero_unbalanced(fee: Credit<AccountId, Balances>) {
        if let Some(author) = Authorship::author() {
            // Whatever comes back could not be deposited. Dropping a credit burns it.
            drop(<Balances as Balanced<AccountId>>::resolve(&author, fee));
        }
    }
}
