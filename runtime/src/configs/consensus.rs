//! Block production (BABE), finality (GRANDPA), and who takes part.
//!
//! The validators are those of genesis: nothing elects others yet, so the session manager is `()`, which keeps
//! them. For the same reason nobody can be slashed for an equivocation: there is no pool to slash, and reports
//! are not taken (`EquivocationReportSystem = ()`). Both come with the election.
//!
//! The session pallet books a whole block's weight for the change of session: the first block of each epoch takes
//! no ordinary transactions, which wait for the next one.

use crate::{
    audit_randomness::SealSegmentAtEpochEnd, units::ATT, AccountId, Babe, Balance, Balances, Runtime,
    RuntimeEvent, Session, SessionKeys,
};
use frame_support::parameter_types;
use pallet_session::FindAccountFromAuthorIndex;
use sp_runtime::traits::{ConvertInto, OpaqueKeys};

parameter_types! {
    /// The most validators that consensus takes.
    pub const MaxAuthorities: u32 = 100;
    /// Nobody nominates in this runtime; stake is delegated in pools.
    pub const MaxNominators: u32 = 0;
    /// Reports of equivocations are not taken, so no history of authority sets is kept.
    pub const MaxSetIdSessionEntries: u64 = 0;
    /// Held from whoever registers session keys, for as long as they are stored.
    pub const KeyDeposit: Balance = ATT;
}

impl pallet_babe::Config for Runtime {
    type DisabledValidators = Session;
    type EpochChangeTrigger = pallet_babe::ExternalTrigger;
    type EpochDuration = crate::timing::EpochSlots<Runtime>;
    type EquivocationReportSystem = ();
    type ExpectedBlockTime = crate::timing::SlotMillis<Runtime>;
    type KeyOwnerProof = sp_core::Void;
    type MaxAuthorities = MaxAuthorities;
    type MaxNominators = MaxNominators;
    type WeightInfo = ();
}

impl pallet_grandpa::Config for Runtime {
    type EquivocationReportSystem = ();
    type KeyOwnerProof = sp_core::Void;
    type MaxAuthorities = MaxAuthorities;
    type MaxNominators = MaxNominators;
    type MaxSetIdSessionEntries = MaxSetIdSessionEntries;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
}

impl pallet_authorship::Config for Runtime {
    type EventHandler = ();
    type FindAuthor = FindAccountFromAuthorIndex<Runtime, Babe>;
}

impl pallet_session::Config for Runtime {
    type Currency = Balances;
    type DisablingStrategy = ();
    type KeyDeposit = KeyDeposit;
    type Keys = SessionKeys;
    type NextSessionRotation = Babe;
    type RuntimeEvent = RuntimeEvent;
    type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
    type SessionManager = ();
    type ShouldEndSession = SealSegmentAtEpochEnd<Runtime>;
    type ValidatorId = AccountId;
    type ValidatorIdOf = ConvertInto;
    type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
}

impl crate::audit_randomness::Config for Runtime {}
