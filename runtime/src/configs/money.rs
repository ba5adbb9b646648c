//! Balances and fees.
//!
//! **Fees.** A second of execution costs one ATT (one planck per picosecond) and a byte one µATT, times a factor
//! that rises while blocks are more than a quarter full and falls back to one, never below. Of fee and tip the
//! treasury gets [`TREASURY_PART`] and the block's author the rest: the author carried the work, but his block rewards
//! pay for that already, and the software of all has to be paid from somewhere. What the treasury cannot take (its
//! account was emptied, and this is below the existential deposit) goes to the author; what the author cannot take (there
//! is none, or it is below the existential deposit) is burned.
//!
//! **Treasury.** It is spent by the administrator, and burns nothing. Its account exists from genesis, with the
//! existential deposit, so that the smallest part of a fee arrives.

use crate::{
    units::{MICRO_ATT, MILLI_ATT},
    AccountId, Authorship, Balance, Balances, BlockNumber, Runtime, RuntimeEvent, RuntimeFreezeReason,
    RuntimeHoldReason, System, Treasury,
};
use frame_support::{
    parameter_types,
    traits::{
        fungible::{Balanced, Credit},
        tokens::{PayFromAccount, UnityAssetBalanceConversion},
        ConstU32, ConstU8, Imbalance, OnUnbalanced, VariantCountOf,
    },
    weights::{ConstantMultiplier, IdentityFee},
    PalletId,
};
use frame_system::{EnsureRoot, EnsureRootWithSuccess};
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_runtime::{
    traits::{AccountIdLookup, Bounded},
    FixedPointNumber, Permill, Perquintill,
};

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
    type OnChargeTransaction = FungibleAdapter<Balances, SplitFees>;
    type OperationalFeeMultiplier = ConstU8<5>;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
    type WeightToFee = IdentityFee<Balance>;
}

/// What of each fee and tip goes to the treasury, rounded down; the author gets the rest.
pub const TREASURY_PART: Permill = Permill::from_percent(20);

/// Pays fee and tip to treasury and author; burns what cannot be paid.
pub struct SplitFees;

impl OnUnbalanced<Credit<AccountId, Balances>> for SplitFees {
    fn on_nonzero_unbalanced(fee: Credit<AccountId, Balances>) {
        let part = TREASURY_PART.mul_floor(fee.peek());
        let (treasury, author) = fee.split(part);
        let author = match <Balances as Balanced<AccountId>>::resolve(&Treasury::account_id(), treasury) {
            Ok(()) => author,
            Err(treasury) => author.merge(treasury),
        };
        if let Some(account) = Authorship::author() {
            // Whatever comes back could not be deposited. Dropping a credit burns it.
            drop(<Balances as Balanced<AccountId>>::resolve(&account, author));
        }
    }
}

parameter_types! {
    /// From it the address of the treasury is derived.
    pub const TreasuryPalletId: PalletId = PalletId(*b"att/trsy");
    /// How often the treasury's books are closed. Nothing is burned then, and approved spending is paid at once.
    pub const SpendPeriod: BlockNumber = 14_400;
    /// How long approved spending can be claimed: 30 days of six-second blocks.
    pub const PayoutPeriod: BlockNumber = 30 * 14_400;
    /// No burning of what is not spent.
    pub const Burn: Permill = Permill::zero();
    /// What the administrator may spend at a time: anything.
    pub const MaxSpend: Balance = Balance::MAX;
    /// The treasury's account.
    pub TreasuryAccount: AccountId = Treasury::account_id();
}

impl pallet_treasury::Config for Runtime {
    type AssetKind = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = ();
    type BalanceConverter = UnityAssetBalanceConversion;
    type Beneficiary = AccountId;
    type BeneficiaryLookup = AccountIdLookup<AccountId, ()>;
    type BlockNumberProvider = System;
    type Burn = Burn;
    type BurnDestination = ();
    type Currency = Balances;
    type MaxApprovals = ConstU32<0>;
    type PalletId = TreasuryPalletId;
    type PayoutPeriod = PayoutPeriod;
    type Paymaster = PayFromAccount<Balances, TreasuryAccount>;
    type RejectOrigin = EnsureRoot<AccountId>;
    type RuntimeEvent = RuntimeEvent;
    type SpendFunds = ();
    type SpendOrigin = EnsureRootWithSuccess<AccountId, MaxSpend>;
    type SpendPeriod = SpendPeriod;
    type WeightInfo = pallet_treasury::weights::SubstrateWeight<Runtime>;
}
