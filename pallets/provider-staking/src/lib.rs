//! # Provider staking: who trains, and what stands behind them
//!
//! ## Terms
//! * **Provider**: an account (its stash) that offers a machine. Its **operator** is another account, the hot key of
//!   the worker that acts for it in jobs.
//! * **Pool**: the stake behind one provider: its **self-bond**, the **active** stake of its delegators, and the
//!   **unbonding** stake of those who are leaving. All of it is on hold on the provider's **pool account**.
//! * **Share**: a part of a bucket of stake. A slash lowers what shares are worth, so it touches no delegator's entry.
//! * **Bond**: the part of a pool that answers for one job.
//! * **Slash**: what a conviction takes from a pool: a part of one job's bond, or for an offence in consensus a part of
//!   the whole pool.
//! * **Lien**: what stake that moved to another provider still answers for in its old pool.
//! * **Period**: [`Config::HeartbeatPeriod`] blocks. **Heartbeat**: the operator's word that its worker runs, given in a
//!   period in which it is asked for.
//!
//! ## Rules
//! * To register takes a profile, a commission, an operator key that nobody uses, a self-bond of at least
//!   [`Config::MinSelfBond`] and a deposit. A provider whose self-bond was slashed below the minimum gets no new work
//!   until it has bonded more.
//! * A cut of the commission acts at once. A rise, at most [`Config::MaxCommissionRise`] at a time, is queued for
//!   [`Config::CommissionRiseDelay`], longer than unbonding: whoever doesn't want it is out by then, money in hand. The
//!   commission is frozen for each job when the job is accepted.
//! * Income of a job is first the provider's commission; the rest is shared by self-bond and delegations. The
//!   provider's part goes to it at once, delegators claim theirs or turn it into shares ([`Call::compound`]), which a
//!   delegator can leave to anyone: who does it pays nothing if the income is at least [`Config::AutoCompoundMin`], so the
//!   providers' workers do. Whoever delegates later has no part in it. Shares of income are rounded down; the
//!   dust stays on the pool account.
//! * To leave, a delegator turns active shares into unbonding ones, and after [`Config::UnbondingBlocks`] withdraws
//!   them. Unbonding stake earns nothing and is slashed like active stake. A withdrawal waits while what would be left
//!   does not cover the bonds of open jobs; every job has deadlines, so that ends.
//! * Bonds are locked only on what one slash could take: the self-bond, and of the active delegations
//!   [`Config::DelegatorLossCap`].
//! * A conviction books a slash, which waits for [`Config::SlashDelay`]. Until then [`Config::SlashCancelOrigin`] can
//!   cancel it; from then on anyone can apply it, and nobody can cancel it. While any slash of a pool is pending
//!   nothing is redelegated from or to it and no new delegation comes in; to begin to unbond is possible. It holds back
//!   what was bound when it was booked, stake whose time to unbond ended later; what of delegators was free by then
//!   leaves, so that one small slash after the other holds nobody for longer than the delay of one, and leaves the
//!   others no more to pay. The provider's own stake stays, whatever its time. The amount counts as locked like a bond.
//!   A pool has at most [`MAX_PENDING_SLASHES`] pending slashes; one beyond that is applied at once, so that none is
//!   lost.
//! * A slash takes the self-bond first, then what of it is unbonding, then active and unbonding delegations in
//!   proportion, rounded up, but of these at most [`Config::DelegatorLossCap`] for each offence. It never takes more
//!   than is there. Out of what the provider itself loses the customer gets what the job has cost in vain, and the
//!   reporter of an offence [`Config::ReporterReward`] of it. Nobody gets any of the delegators' loss: a provider could
//!   be its own customer, auditors and reporter, and gain what they lose. The rest goes to [`Config::SlashSink`]. What
//!   a customer can't receive is owed to it ([`Call::claim_compensation`]).
//! * Redelegated stake works for its new provider at once, and answers for the old one as if it were unbonding there:
//!   for [`Config::UnbondingBlocks`], and while a slash of the old provider is pending that was booked within them, its
//!   shares can't leave
//!   the new pool, and lose the same part as a delegation to the old provider loses. Anyone may have that charged
//!   ([`Call::settle_lien`]); the money goes to the sink. It is refused if what is left doesn't cover the old
//!   provider's bonds.
//! * A chilled provider gets no new job and no new delegation, and goes on with what it has.
//! * An exiting provider gets no new job and no new stake. Anyone may move its remaining delegators out
//!   ([`Call::evict`]) and, once the pool is empty, delete it ([`Call::deregister`]); the deposit and what is left on
//!   the pool account go back to the provider. That waits for pending slashes, for what is owed to customers, and for
//!   the liens of those who redelegated.
//! * A pool in which slashes left shares worth less than a millionth of their first price is closed: its provider is
//!   made to exit. New stake would otherwise meet a mass of worthless shares.
//! * In each period one active provider in [`Config::HeartbeatOneIn`] is asked for a heartbeat. Who is asked follows from
//!   randomness that is fixed before the period begins, the latest that there is; before there is any, nobody is asked.
//!   Its operator answers with a transaction that costs nothing ([`Call::heartbeat`]), from the first block of the period
//!   to the last. Chilled and exiting providers are not asked; nor is one that registered, came back or changed its
//!   operator in the period, for it could not answer in all of it.
//! * Whoever did not answer is **absent** until it does, and is asked in every period. An absence is no offence and takes
//!   nothing: of the provider's block rewards [`Config::AbsenceRewardCut`] is not minted, and self-bond that it unbonds
//!   is locked for [`Config::AbsenceLock`] longer. The pay for jobs is a price and is not cut, delegators' stake is not
//!   locked longer. An absence outlasts chilling. What is locked longer stays so when the provider has answered.
//! * When a period is over its providers are looked at when blocks have room, at most [`MAX_SWEPT_PER_BLOCK`] in one. What
//!   the search has not reached when the next period is over has no consequence, and is told
//!   ([`Event::HeartbeatsUnjudged`]); a period in which it could not even begin, or with a block without transactions, as
//!   while a migration runs, is not judged either. Whatever a provider does meanwhile, it is judged first.
//! * Whoever keeps the providers in the order of their stake is told once, by each call that changes a provider's stake
//!   or whether it takes work ([`Config::OnStakeChanged`]).
//!
//! ## Limitations
//! * Income is shared by the stake at the moment of payment, not over the time in which it was earned. Who delegates
//!   just before a payment has a part in it, and its stake is bound and slashable for the time of unbonding.
//! * Stake with a lien backs bonds like any other. A charge of the lien can leave bonds of the new provider covered in
//!   part only; a slash then takes what is there.
//! * What a lien is charged comes on top of a job's slash (the customer is served by the stake that is still there);
//!   for an offence in consensus it is a part of it.
//! * Like unbonding stake that nobody withdraws, a lien that nobody ends goes on.
//! * The shares that a lien is charged for lose their unclaimed income if the delegator's account can't receive it.
//! * A delegator or customer whose account no longer exists can only be paid at least the existential deposit. Whoever
//!   wants the pool deleted can send it that much.
//! * Nobody is paid for applying a slash.
//! * A heartbeat shows that somebody has the operator key and listens, not that a GPU works. That shows in jobs and audits.
//! * Block rewards are cut for those who are absent when they are paid, whoever was absent when the blocks were made.
//! * A provider that chills over the end of each period in which it is asked, or rotates its operator key in it, is never
//!   absent. The first gets no work for those blocks, and both pay a fee for what an answer gives for nothing.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

pub use heartbeats::NOT_ASKED;
pub use pallet::*;
pub use types::*;
pub use views::*;
pub use weights::WeightInfo;

use frame_support::pallet_macros::import_section;

mod bonds;
mod commission;
mod due;
mod errors;
mod events;
mod heartbeats;
mod income;
pub mod migrations;
mod moves;
mod providers;
mod slashing;
mod stake;
mod storage;
#[cfg(any(test, feature = "std", feature = "try-runtime"))]
#[allow(clippy::arithmetic_side_effects, reason = "a check that overflows has found something")]
mod try_state;
mod types;
mod views;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow ends the benchmark, as it should")]
pub mod benchmarking;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")]
mod mock;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")]
mod tests;

/// Most entries that one account can have on their way out of one pool. Entries of one block are merged.
pub const MAX_UNBONDING: u32 = 8;

/// Most slashes that wait in one pool. One more is applied at once.
pub const MAX_PENDING_SLASHES: u32 = 32;

/// For how many periods a provider isn't asked that was one before there were heartbeats: a day of mainnet's periods of ten
/// minutes, so that its worker can be updated.
pub const GRACE_PERIODS: u32 = 144;

/// How many providers are looked at in a block at most when a period of heartbeats is over: with the 256 providers of
/// this runtime four blocks, of the ten that a test preset's period has.
pub const MAX_SWEPT_PER_BLOCK: u32 = 64;

#[allow(missing_docs, reason = "the macro makes public items that it gives no documentation")]
#[import_section(storage::storage)]
#[import_section(events::events)]
#[import_section(errors::errors)]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    use attune_primitives::{
        page::Page,
        provider::ProviderProfile,
        traits::{EpochRandomness, OnStakeChanged},
        Balance, BlockNumber, JobId, H256,
    };
    use frame_support::{
        pallet_prelude::*,
        traits::{
            fungible::{Balanced, BalancedHold, Credit, Inspect, InspectHold, Mutate, MutateHold},
            ConstU32, OnUnbalanced, StorageVersion,
        },
        weights::WeightMeter,
        PalletId,
    };
    use frame_system::{ensure_authorized, pallet_prelude::*};
    use sp_arithmetic::Permill;
    use sp_runtime::traits::{IdentifyAccount, Verify};

    /// The form of the stored data.
    pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

    /// The pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the runtime chooses.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>, Hash = H256> {
        /// The token.
        type Currency: Inspect<Self::AccountId, Balance = Balance>
            + Mutate<Self::AccountId>
            + InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
            + MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
            + Balanced<Self::AccountId>
            + BalancedHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

        /// The runtime's reasons for a hold.
        type RuntimeHoldReason: From<HoldReason>;

        /// What the calls cost.
        type WeightInfo: WeightInfo;

        /// Names the pallet in the addresses of the pool accounts.
        #[pallet::constant]
        type PalletId: Get<PalletId>;

        /// Least self-bond of a provider that takes new work, in planck.
        #[pallet::constant]
        type MinSelfBond: Get<Balance>;

        /// Least amount of a delegation, and least that may be left of one, in planck.
        #[pallet::constant]
        type MinDelegation: Get<Balance>;

        /// Income from which on somebody else's [`Call::compound`] is free of fees, in planck; at least
        /// [`Config::MinDelegation`], and many times what the call's fee is.
        #[pallet::constant]
        type AutoCompoundMin: Get<Balance>;

        /// Most registered providers.
        #[pallet::constant]
        type MaxProviders: Get<u32>;

        /// How long stake that leaves stays slashable, in blocks.
        #[pallet::constant]
        type UnbondingBlocks: Get<BlockNumber>;

        /// The longest time from the draw of a milestone's audits to a conviction, in blocks: audit, challenge and dispute.
        /// The deed itself may be older, by a job's phase and by how long nobody could be drawn; what leaves in that time
        /// leaves enough for the bonds behind, as every withdrawal does. An
        /// offence in consensus can be reported for about as long as unbonding lasts; a report that comes after some
        /// stake has left finds what is there.
        #[pallet::constant]
        type ConvictionBlocks: Get<BlockNumber>;

        /// How long a booked slash waits before it can be applied, in blocks.
        #[pallet::constant]
        type SlashDelay: Get<BlockNumber>;

        /// Who may cancel a slash that waits.
        type SlashCancelOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// Where the part of a slash goes that nobody gets. Nobody who has a say in a verdict may gain from it; `()`
        /// burns it.
        type SlashSink: OnUnbalanced<Credit<Self::AccountId, Self::Currency>>;

        /// The most that delegators lose of their stake by one slash.
        #[pallet::constant]
        type DelegatorLossCap: Get<Permill>;

        /// What the reporter of an offence in consensus gets of what the provider itself loses by it.
        #[pallet::constant]
        type ReporterReward: Get<Permill>;

        /// How long a rise of a commission waits, in blocks.
        #[pallet::constant]
        type CommissionRiseDelay: Get<BlockNumber>;

        /// The most by which a commission rises at a time, as a part of the income (5 % to 15 % is a rise by 10 %).
        #[pallet::constant]
        type MaxCommissionRise: Get<Permill>;

        /// Is told when a provider's stake, or whether it takes work, has changed.
        type OnStakeChanged: OnStakeChanged<Self::AccountId>;

        /// Deposit of a registration, in planck.
        #[pallet::constant]
        type ProviderDeposit: Get<Balance>;

        /// Draws who is asked for a heartbeat.
        type Randomness: EpochRandomness;

        /// What an operator signs its heartbeats with.
        type HeartbeatSignature: Parameter + Verify<Signer: IdentifyAccount<AccountId = Self::AccountId>>;

        /// Length of a period of heartbeats, in blocks: the time that a provider has to answer in.
        #[pallet::constant]
        type HeartbeatPeriod: Get<BlockNumber>;

        /// One in how many providers is asked in a period.
        #[pallet::constant]
        type HeartbeatOneIn: Get<u32>;

        /// The part of an absent provider's block rewards that is not minted.
        #[pallet::constant]
        type AbsenceRewardCut: Get<Permill>;

        /// By how many blocks self-bond is locked longer than [`Config::UnbondingBlocks`] if its provider is absent when
        /// it begins to leave.
        #[pallet::constant]
        type AbsenceLock: Get<BlockNumber>;

        /// Sets up what benchmarks need of the neighbours.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: crate::benchmarking::BenchmarkHelper<Self::AccountId, Self::HeartbeatSignature>;
    }

    /// Why money is on hold.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Stake, on a pool account.
        Pool,
        /// Deposit for a registration, on the provider's account.
        Deposit,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        /// In the first block of a period draws who is asked in it. Transactions of that block can answer already.
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            let mut weight = T::WeightInfo::begin_block();
            if Self::turn_period() {
                weight.saturating_accrue(T::WeightInfo::turn_period());
            }
            if Self::is_stopped() {
                Self::note_stop();
                weight.saturating_accrue(T::WeightInfo::note_stop());
            }
            weight
        }

        /// Looks for those who did not answer in the period before.
        fn on_poll(_: BlockNumberFor<T>, meter: &mut WeightMeter) {
            Self::sweep(meter);
        }

        fn integrity_test() {
            assert!(T::MaxProviders::get() > 0, "MaxProviders is 0: nobody could register");
            assert!(T::MinSelfBond::get() > 0, "MinSelfBond is 0: a provider without stake could work");
            assert!(T::MinDelegation::get() > 0, "MinDelegation is 0: entries would cost nothing");
            assert!(
                T::AutoCompoundMin::get() >= T::MinDelegation::get(),
                "AutoCompoundMin is below MinDelegation: a free push could be refused"
            );
            assert!(T::SlashDelay::get() > 0, "SlashDelay is 0: no slash could be cancelled");
            let until_slashed =
                u64::from(T::ConvictionBlocks::get()).saturating_add(u64::from(T::SlashDelay::get()));
            assert!(
                u64::from(T::UnbondingBlocks::get()) > until_slashed,
                "UnbondingBlocks is not longer than ConvictionBlocks + SlashDelay: stake could leave before its slash"
            );
            assert!(
                T::CommissionRiseDelay::get() > T::UnbondingBlocks::get(),
                "CommissionRiseDelay is not longer than UnbondingBlocks: a rise could come before delegators are out"
            );
            assert!(T::HeartbeatOneIn::get() > 0, "HeartbeatOneIn is 0: nobody would ever be asked");
            assert!(
                T::HeartbeatPeriod::get() > T::MaxProviders::get().div_ceil(MAX_SWEPT_PER_BLOCK),
                "HeartbeatPeriod is too short to look at MaxProviders providers before the next one is over"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Registers the caller as a provider, with its self-bond. Takes the deposit, and the existential deposit of the
        /// pool account.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::register())]
        pub fn register(
            origin: OriginFor<T>,
            profile: ProviderProfile,
            commission: Permill,
            operator: T::AccountId,
            #[pallet::compact] self_bond: Balance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_register(who, profile, commission, operator, self_bond)
        }

        /// Replaces the caller's profile.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::set_profile())]
        pub fn set_profile(origin: OriginFor<T>, profile: ProviderProfile) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_profile(who, profile)
        }

        /// Replaces the caller's operator key, for open jobs too. The key before it is free again.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::set_operator())]
        pub fn set_operator(origin: OriginFor<T>, operator: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_operator(who, operator)
        }

        /// Sets the caller's commission, for jobs that it accepts from then on. A cut acts at once; a rise is queued, one
        /// at a time, and is withdrawn or made smaller by setting less.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::set_commission())]
        pub fn set_commission(origin: OriginFor<T>, commission: Permill) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_commission(who, commission)
        }

        /// Adds to the caller's self-bond. A chilled provider may, an exiting one may not.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::bond_more())]
        pub fn bond_more(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_bond_more(who, amount)
        }

        /// Moves a part of the caller's self-bond to unbonding. At least [`Config::MinSelfBond`] stays, and enough to
        /// back the open bonds and pending slashes together with the active delegations.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::unbond_self())]
        pub fn unbond_self(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_unbond_self(who, amount)
        }

        /// Delegates `amount` to an active provider. Income so far is paid out first.
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::delegate())]
        pub fn delegate(
            origin: OriginFor<T>,
            provider: T::AccountId,
            #[pallet::compact] amount: Balance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_delegate(who, provider, amount)
        }

        /// Moves `shares` of the caller's delegation to unbonding. Income so far is paid out first.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::undelegate())]
        pub fn undelegate(
            origin: OriginFor<T>,
            provider: T::AccountId,
            #[pallet::compact] shares: u128,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_undelegate(who, provider, shares)
        }

        /// Pays the caller all of its unbonding stake in this pool whose time is over: delegators and the provider
        /// itself alike. What a pending slash holds stays: of the provider's own stake all, of a delegator's what was bound
        /// when the slash was booked.
        #[pallet::call_index(8)]
        #[pallet::weight(T::WeightInfo::withdraw())]
        pub fn withdraw(origin: OriginFor<T>, provider: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_withdraw(who, provider)
        }

        /// Pays the caller its income as a delegator of this provider.
        #[pallet::call_index(9)]
        #[pallet::weight(T::WeightInfo::claim_income())]
        pub fn claim_income(origin: OriginFor<T>, provider: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_claim_income(who, provider)
        }

        /// The caller stops being a provider: no new job, no new stake, its self-bond moves to unbonding. Refused while
        /// it has an open job.
        #[pallet::call_index(10)]
        #[pallet::weight(T::WeightInfo::exit())]
        pub fn exit(origin: OriginFor<T>) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_exit(who)
        }

        /// Moves `owner` one step out of an exiting provider's pool: pays its income and moves its delegation to
        /// unbonding, and pays it the unbonding stake whose time is over. Anyone may call it, so that nobody can keep
        /// a pool alive by doing nothing.
        #[pallet::call_index(11)]
        #[pallet::weight(T::WeightInfo::evict())]
        pub fn evict(origin: OriginFor<T>, provider: T::AccountId, owner: T::AccountId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_evict(provider, owner)
        }

        /// Deletes an exiting provider whose pool is empty. Anyone may call it, free of fees then; the deposit and what is
        /// left on the pool account go to the provider.
        #[pallet::call_index(12)]
        #[pallet::weight(T::WeightInfo::deregister())]
        #[pallet::feeless_if(|_: &OriginFor<T>, provider: &T::AccountId| -> bool {
            Pallet::<T>::is_deregistration_due(provider)
        })]
        pub fn deregister(origin: OriginFor<T>, provider: T::AccountId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_deregister(provider)
        }

        /// Cancels a slash of `provider` that waits. For [`Config::SlashCancelOrigin`].
        #[pallet::call_index(13)]
        #[pallet::weight(T::WeightInfo::cancel_slash())]
        pub fn cancel_slash(origin: OriginFor<T>, provider: T::AccountId, slash: SlashId) -> DispatchResult {
            T::SlashCancelOrigin::ensure_origin(origin)?;
            Self::do_cancel_slash(provider, slash)
        }

        /// Applies a slash of `provider` whose time has come. Anyone may call it, free of fees then.
        #[pallet::call_index(14)]
        #[pallet::weight(T::WeightInfo::apply_slash())]
        #[pallet::feeless_if(|_: &OriginFor<T>, provider: &T::AccountId, slash: &SlashId| -> bool {
            Pallet::<T>::is_slash_due(provider, *slash)
        })]
        pub fn apply_slash(origin: OriginFor<T>, provider: T::AccountId, slash: SlashId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_apply_slash(provider, slash)
        }

        /// Pays `customer` the compensation that it could not receive when the slash was applied. Anyone may call it.
        #[pallet::call_index(15)]
        #[pallet::weight(T::WeightInfo::claim_compensation())]
        pub fn claim_compensation(
            origin: OriginFor<T>,
            provider: T::AccountId,
            customer: T::AccountId,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_claim_compensation(provider, customer)
        }

        /// Moves `shares` of the caller's delegation to another active provider, without unbonding. They carry a lien
        /// for the old provider's slashes. Income so far is paid out first.
        #[pallet::call_index(16)]
        #[pallet::weight(T::WeightInfo::redelegate())]
        pub fn redelegate(
            origin: OriginFor<T>,
            from: T::AccountId,
            to: T::AccountId,
            #[pallet::compact] shares: u128,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_redelegate(who, from, to, shares)
        }

        /// Charges a delegation for what its old provider's slashes cost it, and ends its lien if the time is over.
        /// Anyone may call it, free of fees; refused, and charged, if there is nothing to charge and the lien goes on.
        #[pallet::call_index(17)]
        #[pallet::weight(T::WeightInfo::settle_lien())]
        #[pallet::feeless_if(|_: &OriginFor<T>, provider: &T::AccountId, delegator: &T::AccountId| -> bool {
            Pallet::<T>::is_lien_due(provider, delegator)
        })]
        pub fn settle_lien(
            origin: OriginFor<T>,
            provider: T::AccountId,
            delegator: T::AccountId,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_settle_lien(provider, delegator)
        }

        /// Lets anyone turn the caller's income from this provider into shares, or forbids it. Workers of the provider do
        /// so as soon as it is free of fees.
        #[pallet::call_index(18)]
        #[pallet::weight(T::WeightInfo::set_auto_compound())]
        pub fn set_auto_compound(
            origin: OriginFor<T>,
            provider: T::AccountId,
            enabled: bool,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_auto_compound(who, provider, enabled)
        }

        /// Turns a delegator's income, at least [`Config::MinDelegation`], into shares. The delegator may always call
        /// it, others if the delegator allowed it: free of fees from [`Config::AutoCompoundMin`] on.
        #[pallet::call_index(19)]
        #[pallet::weight(T::WeightInfo::compound())]
        #[pallet::feeless_if(|origin: &OriginFor<T>, provider: &T::AccountId, who: &T::AccountId| -> bool {
            ensure_signed(origin.clone())
                .is_ok_and(|caller| Pallet::<T>::is_compound_due(&caller, provider, who))
        })]
        pub fn compound(
            origin: OriginFor<T>,
            provider: T::AccountId,
            delegator: T::AccountId,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_compound(who, provider, delegator)
        }

        /// The caller takes no new job and no new delegation until it comes back; open jobs go on.
        #[pallet::call_index(20)]
        #[pallet::weight(T::WeightInfo::chill())]
        pub fn chill(origin: OriginFor<T>) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_chill(who)
        }

        /// The chilled caller comes back.
        #[pallet::call_index(21)]
        #[pallet::weight(T::WeightInfo::unchill())]
        pub fn unchill(origin: OriginFor<T>) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_unchill(who)
        }

        /// Says that the worker of `provider` runs. An authorised general transaction: nobody signs it and nobody pays,
        /// `signature` is the operator key's over [`attune_primitives::heartbeat::payload`]. Valid only while the
        /// provider is asked in `period`, which is the one that runs, and has not answered.
        #[pallet::call_index(22)]
        #[pallet::weight((T::WeightInfo::heartbeat(), DispatchClass::Normal, Pays::No))]
        #[pallet::authorize(Self::authorize_heartbeat)]
        #[pallet::weight_of_authorize(T::WeightInfo::authorize_heartbeat())]
        pub fn heartbeat(
            origin: OriginFor<T>,
            provider: T::AccountId,
            period: u32,
            _signature: T::HeartbeatSignature,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::do_heartbeat(provider, period)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// The period in which the provider is asked for a heartbeat and has not answered.
        pub fn heartbeat_due(provider: T::AccountId) -> Option<u32> {
            Self::due_period(&provider)
        }

        /// A provider: profile, commission now and queued, status, price, stake, and what it can still lock for bonds.
        /// `None` if the account is no provider.
        pub fn provider_info(provider: T::AccountId) -> Option<ProviderInfo<T::AccountId>> {
            Self::view_provider(provider)
        }

        /// Providers in the order of their accounts, from `from` on (the first if `None`), at most `limit` and at most 50.
        pub fn providers_page(
            from: Option<T::AccountId>,
            limit: u32,
        ) -> Page<ProviderInfo<T::AccountId>, T::AccountId> {
            Self::view_providers(from, limit)
        }

        /// The stake behind a provider, and what a share of it is worth. `None` if the account is no provider.
        pub fn pool_info(provider: T::AccountId) -> Option<PoolInfo<T::AccountId>> {
            Self::view_pool(&provider)
        }

        /// What `delegator` has with `provider`: worth now, income that it can claim now, and the lien. `None` if it
        /// delegates nothing to it.
        pub fn delegation_info(
            provider: T::AccountId,
            delegator: T::AccountId,
        ) -> Option<DelegationInfo<T::AccountId>> {
            Self::view_delegation(&provider, &delegator)
        }

        /// What `owner` has on its way out of the pool, when each part is free, and what keeps a withdrawal back now. A
        /// provider's own stake if `owner` is the provider. `None` if `provider` is no provider.
        pub fn unbonding_clock(provider: T::AccountId, owner: T::AccountId) -> Option<UnbondingClock> {
            Self::view_unbonding(&provider, &owner)
        }

        /// Delegations to a provider with something that anyone may push for nothing: income to compound, or a lien to
        /// settle. Looks at no more than [`attune_primitives::page::MAX_LOOKUPS`] delegations, in the order of storage from
        /// `from` on (the first if `None`), and finds at most `limit` and at most 50.
        pub fn due_delegations(
            provider: T::AccountId,
            from: Option<T::AccountId>,
            limit: u32,
        ) -> Page<DueDelegation<T::AccountId>, T::AccountId> {
            Self::view_due_delegations(&provider, from, limit)
        }

        /// The slashes of a provider that wait for their time, by number; at most [`MAX_PENDING_SLASHES`].
        pub fn slashes_of(provider: T::AccountId) -> Vec<SlashInfo<T::AccountId>> {
            Self::view_slashes(&provider)
        }

        /// What a delegation of `amount` planck would buy now, or why it would be refused.
        pub fn preview_delegation(
            provider: T::AccountId,
            amount: Balance,
        ) -> Result<DelegationPreview, DelegationRefusal> {
            Self::view_preview(&provider, amount)
        }
    }
}
