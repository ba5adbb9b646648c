//! Attune's own pallets: how much, how many, and who answers to whom. How long stands in [`super::windows`].
//!
//! The pallets know each other only through traits; here those are given their bodies.

use super::windows::{
    AbsenceLock, AuditWindow, ChallengeWindow, CommissionRiseDelay, ConvictionBlocks, DisputeWindow,
    FinalityMargin, HeartbeatPeriod, MaxPhaseBlocks, OpenBlocks, PruneAfter, RecordRetention, RevealBlocks,
    SlashDelay, UnbondingBlocks, VerdictCommitBlocks,
};
use crate::{
    units::{ATT, MILLI_ATT},
    weights, AccountId, AuditRandomness, Balance, Balances, JobEscrow, ProofOfTraining, ProviderStaking,
    Runtime, RuntimeHoldReason, Signature, Timestamp, ValidatorElection,
};
use frame_support::{parameter_types, traits::ConstU32, PalletId};
use frame_system::EnsureRoot;
use sp_runtime::Permill;

parameter_types! {
    /// From it the addresses of the pools are derived.
    pub const ProviderPalletId: PalletId = PalletId(*b"att/pool");
    /// Enough that a provider has something to lose on every job, little enough for one machine at home.
    pub const MinSelfBond: Balance = 100 * ATT;
    /// Keeps pools free of entries that are not worth their storage.
    pub const MinDelegation: Balance = ATT;
    /// A free push is worth this much: about a thousand fees, and what a token holder could delegate as well. There are no
    /// more free pushes than that go into what delegators earn.
    pub const AutoCompoundMin: Balance = ATT;
    /// A profile is the largest thing that a provider stores.
    pub const ProviderDeposit: Balance = 10 * ATT;
    /// What delegators can lose by one offence. Enough that they choose whom they trust, and little enough that a
    /// provider's fault is first of all the provider's.
    pub const DelegatorLossCap: Permill = Permill::from_percent(20);
    /// Pays for the trouble of a report. Out of the provider's own loss, so that nobody gains who commits an offence with
    /// one hand and reports it with the other.
    pub const ReporterReward: Permill = Permill::from_percent(5);
    /// A provider that wants more of the income asks in steps that delegators can follow.
    pub const MaxCommissionRise: Permill = Permill::from_percent(10);
    /// An absent provider is no use to customers, and its node may still make blocks: it keeps half of what those earn.
    pub const AbsenceRewardCut: Permill = Permill::from_percent(50);
    /// Held for as long as a job is stored.
    pub const JobDeposit: Balance = ATT;
    /// Auditors are drawn and can't refuse: this much they get for a segment at least.
    pub const MinAuditFee: Balance = 10 * MILLI_ATT;
    /// Half of the price is at stake even where the odds ask for less.
    pub const MinBondShare: Permill = Permill::from_percent(50);
    /// What a missed deadline costs a provider of its bond.
    pub const MissedPart: Permill = Permill::from_percent(20);
    /// What cancelling a running job costs its customer of the price not yet paid.
    pub const CancellationFee: Permill = Permill::from_percent(10);
    /// Held for as long as a sponsor names a customer.
    pub const SponsorshipDeposit: Balance = 100 * MILLI_ATT;
    /// Models are few and stay; their entry is not free.
    pub const ModelDeposit: Balance = 10 * ATT;
}

/// How often a segment's auditors are drawn anew when none of them answers.
pub const MAX_REDRAWS: u32 = 2;

/// How often a job goes to another provider: each costs the customer time, and a fourth failure says something about the
/// job.
type MaxHandovers = ConstU32<3>;

/// How many bids are kept for a job: enough that bids which fall out before the end leave some.
type MaxBids = ConstU32<16>;

/// How many further auditors decide a dispute. Escrowed for each milestone, too.
type CommitteeSize = ConstU32<4>;

/// One provider in how many is asked for a heartbeat in a period of ten minutes: each about once an hour on mainnet, which
/// is often enough to notice and costs a block less than one transaction with 256 providers.
type HeartbeatOneIn = ConstU32<6>;

impl pallet_provider_staking::Config for Runtime {
    type AbsenceLock = AbsenceLock;
    type AbsenceRewardCut = AbsenceRewardCut;
    type AutoCompoundMin = AutoCompoundMin;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Neighbours;
    type CommissionRiseDelay = CommissionRiseDelay;
    type ConvictionBlocks = ConvictionBlocks;
    type Currency = Balances;
    type DelegatorLossCap = DelegatorLossCap;
    type HeartbeatOneIn = HeartbeatOneIn;
    type HeartbeatPeriod = HeartbeatPeriod;
    type HeartbeatSignature = Signature;
    type MaxCommissionRise = MaxCommissionRise;
    type MaxProviders = ConstU32<256>;
    type MinDelegation = MinDelegation;
    type MinSelfBond = MinSelfBond;
    type OnStakeChanged = ValidatorElection;
    type PalletId = ProviderPalletId;
    type ProviderDeposit = ProviderDeposit;
    type Randomness = AuditRandomness;
    type ReporterReward = ReporterReward;
    type RuntimeHoldReason = RuntimeHoldReason;
    /// The administrator, until there is governance.
    type SlashCancelOrigin = EnsureRoot<AccountId>;
    type SlashDelay = SlashDelay;
    /// Burned.
    type SlashSink = ();
    type UnbondingBlocks = UnbondingBlocks;
    type WeightInfo = weights::pallet_provider_staking::Measured<Runtime>;
}

impl pallet_job_escrow::Config for Runtime {
    type AuditWindow = AuditWindow;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Neighbours;
    type CancellationFee = CancellationFee;
    type ChallengeWindow = ChallengeWindow;
    type CommitteeReserve = CommitteeSize;
    type Currency = Balances;
    type DisputeWindow = DisputeWindow;
    type JobDeposit = JobDeposit;
    type MaxBids = MaxBids;
    type MaxBondMultiple = ConstU32<10>;
    type MaxHandovers = MaxHandovers;
    type MaxPhaseBlocks = MaxPhaseBlocks;
    type MinAuditFee = MinAuditFee;
    type MinBondShare = MinBondShare;
    type MissedPart = MissedPart;
    type Proof = ProofOfTraining;
    type Providers = ProviderStaking;
    type PruneAfter = PruneAfter;
    type RuntimeHoldReason = RuntimeHoldReason;
    type SponsorshipDeposit = SponsorshipDeposit;
    type UnixTime = Timestamp;
    type WeightInfo = weights::pallet_job_escrow::Measured<Runtime>;
}

impl pallet_proof_of_training::Config for Runtime {
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Neighbours;
    type CommitteeSize = CommitteeSize;
    type Currency = Balances;
    type FinalityMargin = FinalityMargin;
    type JobEscrow = JobEscrow;
    type MaxRedraws = ConstU32<MAX_REDRAWS>;
    type ModelDeposit = ModelDeposit;
    type OpenBlocks = OpenBlocks;
    type Providers = ProviderStaking;
    type Randomness = AuditRandomness;
    type RecordRetention = RecordRetention;
    type RevealBlocks = RevealBlocks;
    type RuntimeHoldReason = RuntimeHoldReason;
    type UnixTime = Timestamp;
    type VerdictCommitBlocks = VerdictCommitBlocks;
    type WeightInfo = weights::pallet_proof_of_training::Measured<Runtime>;
}
