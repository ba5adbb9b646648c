//! Block production (BABE), finality (GRANDPA), sessions, and reports of offences. Who becomes a validator stands in
//! [`super::election`].
//!
//! **Equivocations.** A node that sees two blocks of one author in one slot, or two votes of one voter in one round,
//! makes a proof through the runtime API and puts the report into the blocks that it authors itself, unsigned and
//! without fee; anyone else can send the same report signed, and gets the fee back. Historical session roots prove whose
//! key it was, pallet-offences refuses repetitions, and the election pallet slashes, disables and bars.
//!
//! The session pallet books a whole block's weight for the change of session: the first block of each epoch takes
//! no ordinary transactions, which wait for the next one.

use crate::{
    audit_randomness::SealSegmentAtEpochEnd, units::ATT, weights, AccountId, Babe, Balance, Balances,
    Historical, Offences, Runtime, RuntimeCall, RuntimeEvent, Session, SessionKeys, UncheckedExtrinsic,
    ValidatorElection,
};
use frame_support::{parameter_types, traits::Get};
use frame_system::offchain::{CreateBare, CreateTransactionBase};
use pallet_session::{
    disabling::UpToLimitWithReEnablingDisablingStrategy,
    historical::{IdentificationTuple, NoteHistoricalRoot},
    FindAccountFromAuthorIndex,
};
use pallet_validator_election::NoIdentification;
use sp_runtime::traits::{ConvertInto, OpaqueKeys};
use sp_session::MembershipProof;
use sp_staking::SessionIndex;

parameter_types! {
    /// The most validators that consensus takes.
    pub const MaxAuthorities: u32 = 100;
    /// Nobody nominates in this runtime; stake is delegated in pools.
    pub const MaxNominators: u32 = 0;
    /// Held from whoever registers session keys, for as long as they are stored.
    pub const KeyDeposit: Balance = ATT;
}

/// For how many sessions an offence can be proven: as many as begin in the time of unbonding if every slot has its
/// block, and one more. Later the stake may have left.
pub struct HistorySessions;

impl Get<SessionIndex> for HistorySessions {
    fn get() -> SessionIndex {
        let slots = crate::timing::EpochSlots::<Runtime>::get().max(1);
        let sessions = u64::from(super::windows::UnbondingBlocks::get()).div_ceil(slots).saturating_add(1);
        SessionIndex::try_from(sessions).unwrap_or(SessionIndex::MAX)
    }
}

/// The same number for GRANDPA, which needs the sessions of as many of its sets.
pub struct HistorySets;

impl Get<u64> for HistorySets {
    fn get() -> u64 {
        HistorySessions::get().into()
    }
}

/// How long a report stays valid in the pool, in blocks: the time of unbonding.
pub struct ReportLongevity;

impl Get<u64> for ReportLongevity {
    fn get() -> u64 {
        super::windows::UnbondingBlocks::get().into()
    }
}

impl pallet_babe::Config for Runtime {
    type DisabledValidators = Session;
    type EpochChangeTrigger = pallet_babe::ExternalTrigger;
    type EpochDuration = crate::timing::EpochSlots<Runtime>;
    type EquivocationReportSystem =
        pallet_babe::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
    type ExpectedBlockTime = crate::timing::SlotMillis<Runtime>;
    type KeyOwnerProof = MembershipProof;
    type MaxAuthorities = MaxAuthorities;
    type MaxNominators = MaxNominators;
    type WeightInfo = ();
}

impl pallet_grandpa::Config for Runtime {
    type EquivocationReportSystem =
        pallet_grandpa::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
    type KeyOwnerProof = MembershipProof;
    type MaxAuthorities = MaxAuthorities;
    type MaxNominators = MaxNominators;
    type MaxSetIdSessionEntries = HistorySets;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
}

impl pallet_authorship::Config for Runtime {
    type EventHandler = ValidatorElection;
    type FindAuthor = FindAccountFromAuthorIndex<Runtime, Babe>;
}

impl pallet_session::Config for Runtime {
    type Currency = Balances;
    /// At most a third of the validators, the worst offenders: with fewer than four there is nobody to spare.
    type DisablingStrategy = UpToLimitWithReEnablingDisablingStrategy;
    type KeyDeposit = KeyDeposit;
    type Keys = SessionKeys;
    type NextSessionRotation = Babe;
    type RuntimeEvent = RuntimeEvent;
    type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
    type SessionManager = NoteHistoricalRoot<Runtime, ValidatorElection>;
    type ShouldEndSession = SealSegmentAtEpochEnd<Runtime>;
    type ValidatorId = AccountId;
    type ValidatorIdOf = ConvertInto;
    type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
}

impl pallet_session::historical::Config for Runtime {
    type FullIdentification = ();
    type FullIdentificationOf = NoIdentification;
    type RuntimeEvent = RuntimeEvent;
}

impl pallet_offences::Config for Runtime {
    type IdentificationTuple = IdentificationTuple<Runtime>;
    type OnOffenceHandler = ValidatorElection;
    type RuntimeEvent = RuntimeEvent;
}

/// Reports of equivocations are transactions that the runtime itself makes.
impl<Call> CreateTransactionBase<Call> for Runtime
where
    RuntimeCall: From<Call>,
{
    type Extrinsic = UncheckedExtrinsic;
    type RuntimeCall = RuntimeCall;
}

impl<Call> CreateBare<Call> for Runtime
where
    RuntimeCall: From<Call>,
{
    fn create_bare(call: RuntimeCall) -> UncheckedExtrinsic {
        UncheckedExtrinsic::new_bare(call)
    }
}

impl crate::audit_randomness::Config for Runtime {
    type KeepSeals = super::windows::KeepSeals;
    type WeightInfo = weights::audit_randomness::Measured<Runtime>;
}
