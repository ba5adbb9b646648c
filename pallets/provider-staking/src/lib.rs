//! # Provider staking: who trains, and what stands behind them
//!
//! ## Terms
//! * **Provider**: an account (its stash) that offers a machine. Its **operator** is another account, the hot key of
//!   the worker that acts for it in jobs.
//! * **Pool**: the stake behind one provider: its **self-bond**, the **active** stake of its delegators, and the
//!   **unbonding** stake of those who are leaving. All of it is on hold on the provider's **pool account**.
//! * **Share**: a part of a bucket of stake. A slash lowers what shares are worth, so it touches no delegator's entry.
//! * **Bond**: the part of a pool that answers for one job.
//!
//! ## Rules
//! * To register takes a profile, a commission, an operator key that nobody uses, a self-bond of at least
//!   [`Config::MinSelfBond`] and a deposit. A provider whose self-bond was slashed below the minimum gets no new work
//!   until it has bonded more.
//! * Commission can be lowered at any time. It is frozen for each job when the job is accepted.
//! * Income of a job is first the provider's commission; the rest is shared by self-bond and delegations. The
//!   provider's part goes to it at once, delegators claim theirs. Whoever delegates later has no part in it. Shares of
//!   income are rounded down; the dust stays on the pool account.
//! * To leave, a delegator turns active shares into unbonding ones, and after [`Config::UnbondingBlocks`] withdraws
//!   them. Unbonding stake earns nothing and is slashed like active stake. A withdrawal waits while what would be left
//!   is less than the bonds of open jobs; every job has deadlines, so that ends.
//! * A slash takes the self-bond first, then active and unbonding stake in proportion, rounded up. It never takes
//!   more than the bond of the job, nor more than is there. What it takes goes to the customer up to what the job has
//!   cost; the rest is burned.
//! * An exiting provider gets no new job and no new stake. Anyone may move its remaining delegators out
//!   ([`Call::evict`]) and, once the pool is empty, delete it ([`Call::deregister`]); the deposit and what is left on
//!   the pool account go back to the provider.
//! * A pool in which a slash left shares worth less than a millionth of their first price is closed: its provider is
//!   made to exit. New stake would otherwise meet a mass of worthless shares.
//!
//! ## Limitations
//! * A rise of the commission is refused; it comes with a queue longer than unbonding. Until then a provider that wants
//!   more leaves and registers anew.
//! * A slash acts at once, nobody can defer or cancel it.
//! * Income is shared by the stake at the moment of payment, not over the time in which it was earned.
//! * A delegator whose account no longer exists can only be moved out if what it gets is at least the existential
//!   deposit. Whoever wants the pool deleted can send it that much.
//! * Validators are not elected here yet.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

mod income;
mod providers;
mod slashing;
mod stake;
#[cfg(any(test, feature = "std", feature = "try-runtime"))]
#[allow(clippy::arithmetic_side_effects, reason = "a check that overflows has found something")]
mod try_state;
mod types;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow ends the benchmark, as it should")]
mod benchmarking;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")]
mod mock;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")]
mod tests;

/// Most entries that one account can have on their way out of one pool. Entries of one block are merged.
pub const MAX_UNBONDING: u32 = 8;

#[allow(missing_docs, reason = "the macro makes public items that it gives no documentation")]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use attune_primitives::{provider::ProviderProfile, Balance, BlockNumber, JobId};
    use frame_support::{
        pallet_prelude::*,
        traits::{
            fungible::{Inspect, InspectHold, Mutate, MutateHold},
            ConstU32,
        },
        PalletId,
    };
    use frame_system::pallet_prelude::*;
    use sp_arithmetic::Permill;

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// What the runtime chooses.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// The token.
        type Currency: Inspect<Self::AccountId, Balance = Balance>
            + Mutate<Self::AccountId>
            + InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
            + MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

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

        /// Most registered providers.
        #[pallet::constant]
        type MaxProviders: Get<u32>;

        /// How long stake that leaves stays slashable, in blocks.
        #[pallet::constant]
        type UnbondingBlocks: Get<BlockNumber>;

        /// Deposit of a registration, in planck.
        #[pallet::constant]
        type ProviderDeposit: Get<Balance>;
    }

    /// Why money is on hold.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Stake, on a pool account.
        Pool,
        /// Deposit for a registration, on the provider's account.
        Deposit,
    }

    /// Registered providers. Deleted by [`Call::deregister`].
    #[pallet::storage]
    pub type Providers<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, Provider<T::AccountId>, OptionQuery>;

    /// Which provider an operator key acts for. Exactly one entry for each provider.
    #[pallet::storage]
    pub type Operators<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, OptionQuery>;

    /// All providers in the order of their accounts, so that a draw among them can be repeated.
    #[pallet::storage]
    pub type ProviderIds<T: Config> = StorageValue<_, BoundedVec<T::AccountId, T::MaxProviders>, ValueQuery>;

    /// The pool of each provider. Lives and dies with the provider.
    #[pallet::storage]
    pub type Pools<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Pool, OptionQuery>;

    /// Who delegated to whom: provider, then delegator. Deleted with the last share.
    #[pallet::storage]
    pub type Delegations<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        Delegation,
        OptionQuery,
    >;

    /// Stake on its way out: provider, then owner, in the order of unlocking. Deleted when it is withdrawn.
    #[pallet::storage]
    pub type Unbonding<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        BoundedVec<UnbondingChunk, ConstU32<MAX_UNBONDING>>,
        ValueQuery,
    >;

    /// Bonds of open jobs, in planck: provider, then job. Deleted when the job ends.
    #[pallet::storage]
    pub type Bonds<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, JobId, Balance, OptionQuery>;

    /// What happened. Amounts are in planck.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A provider registered: it is active.
        Registered {
            /// The provider.
            provider: T::AccountId,
            /// Its operator key.
            operator: T::AccountId,
            /// Its commission.
            commission: Permill,
            /// Its self-bond.
            self_bond: Balance,
        },
        /// A provider changed its profile.
        ProfileChanged {
            /// The provider.
            provider: T::AccountId,
        },
        /// A provider changed its operator key.
        OperatorChanged {
            /// The provider.
            provider: T::AccountId,
            /// The key from now on.
            operator: T::AccountId,
        },
        /// A provider lowered its commission.
        CommissionLowered {
            /// The provider.
            provider: T::AccountId,
            /// The commission from now on.
            commission: Permill,
        },
        /// A provider added to its self-bond.
        SelfBondAdded {
            /// The provider.
            provider: T::AccountId,
            /// What it added.
            amount: Balance,
        },
        /// A provider moved a part of its self-bond to unbonding.
        SelfUnbonding {
            /// The provider.
            provider: T::AccountId,
            /// What it moved.
            amount: Balance,
            /// First block at which it can be withdrawn.
            unlock_at: BlockNumber,
        },
        /// A delegator added stake to a pool.
        Delegated {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What it added.
            amount: Balance,
            /// The shares that it bought.
            shares: u128,
        },
        /// A delegator's shares moved to unbonding.
        Undelegated {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What the shares were worth.
            amount: Balance,
            /// The shares that left.
            shares: u128,
            /// First block at which the amount can be withdrawn.
            unlock_at: BlockNumber,
        },
        /// Unbonded stake went back to its owner.
        Withdrawn {
            /// The provider.
            provider: T::AccountId,
            /// The owner.
            owner: T::AccountId,
            /// What it got.
            amount: Balance,
        },
        /// Income of a job was shared.
        IncomeShared {
            /// The provider.
            provider: T::AccountId,
            /// Commission and the self-bond's part, paid to the provider.
            to_provider: Balance,
            /// The delegators' part, which they can claim.
            to_delegators: Balance,
        },
        /// A delegator got its income.
        IncomeClaimed {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What it got.
            amount: Balance,
        },
        /// A part of a pool was set aside as the bond of a job.
        BondLocked {
            /// The provider.
            provider: T::AccountId,
            /// The job.
            job: JobId,
            /// The bond.
            amount: Balance,
        },
        /// The bond of a job was freed.
        BondReleased {
            /// The provider.
            provider: T::AccountId,
            /// The job.
            job: JobId,
            /// The bond.
            amount: Balance,
        },
        /// The bond of a job was slashed, and what was not slashed of it was freed.
        Slashed {
            /// The provider.
            provider: T::AccountId,
            /// The job.
            job: JobId,
            /// Taken from the self-bond.
            from_self_bond: Balance,
            /// Taken from the active stake.
            from_active: Balance,
            /// Taken from the unbonding stake.
            from_unbonding: Balance,
            /// Paid to the customer.
            compensated: Balance,
            /// Burned.
            burned: Balance,
        },
        /// A provider went from active to exiting.
        ExitBegun {
            /// The provider.
            provider: T::AccountId,
            /// True if a slash ruined its pool; false if the provider chose to.
            ruined: bool,
        },
        /// A provider and its pool were deleted.
        Deregistered {
            /// The provider.
            provider: T::AccountId,
            /// What was left on the pool account and went to the provider.
            remainder: Balance,
        },
    }

    /// Why a call is refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The account is a provider already: use the calls that change a provider.
        AlreadyRegistered,
        /// No such provider: check the account, or register first.
        NotAProvider,
        /// The registry holds [`Config::MaxProviders`] providers: wait until one leaves.
        TooManyProviders,
        /// The profile's name, endpoint or class is empty or not printable text, or the class or endpoint is not ASCII.
        BadProfile,
        /// The operator key must not be the provider's own account: make a separate hot key.
        OperatorIsStash,
        /// The key is another provider's operator or account: use a key of its own.
        OperatorInUse,
        /// The account is a provider's operator key: register with another account.
        AccountIsOperator,
        /// The self-bond is below, or would fall below, [`Config::MinSelfBond`]. To take all of it out, exit.
        SelfBondTooLow,
        /// The commission can only be lowered.
        CommissionNotLower,
        /// The provider is exiting and takes nothing new.
        NotActive,
        /// The provider is exiting already.
        AlreadyExiting,
        /// The provider is not exiting: only an exiting provider's pool can be cleared by others.
        NotExiting,
        /// A provider bonds more; it can't delegate to itself.
        DelegationToSelf,
        /// The delegation is below, or what would be left of it is below, [`Config::MinDelegation`]. Take all of it out.
        DelegationTooLow,
        /// The account has no delegation to this provider.
        NotADelegator,
        /// The account has fewer shares than that.
        NotEnoughShares,
        /// The amount is zero.
        ZeroAmount,
        /// The account has [`MAX_UNBONDING`] entries on their way out of this pool: withdraw those that are free, or
        /// wait.
        TooManyUnbonding,
        /// Nothing of this account in this pool can be withdrawn yet.
        NothingToWithdraw,
        /// There is no income to claim.
        NothingToClaim,
        /// There is nothing of this account in this pool, or it can't be moved yet.
        NothingToEvict,
        /// What would be left in the pool is less than the bonds of open jobs: wait until a job ends.
        StakeBacksBonds,
        /// The pool's stake without open bonds is below the bond: more stake is needed.
        NotEnoughStake,
        /// The job has a bond in this pool already.
        BondExists,
        /// The provider has open jobs: it can exit when they have ended.
        HasOpenBonds,
        /// There are delegators, stake, or bonds in the pool.
        PoolNotEmpty,
        /// A number left its range.
        ArithmeticOverflow,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::MaxProviders::get() > 0, "MaxProviders is 0: nobody could register");
            assert!(T::MinSelfBond::get() > 0, "MinSelfBond is 0: a provider without stake could work");
            assert!(T::MinDelegation::get() > 0, "MinDelegation is 0: entries would cost nothing");
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

        /// Lowers the caller's commission, for jobs that it accepts from now on. A rise is refused in this form.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::lower_commission())]
        pub fn lower_commission(origin: OriginFor<T>, commission: Permill) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_lower_commission(who, commission)
        }

        /// Adds to the caller's self-bond.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::bond_more())]
        pub fn bond_more(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_bond_more(who, amount)
        }

        /// Moves a part of the caller's self-bond to unbonding. At least [`Config::MinSelfBond`] stays, and enough to
        /// back the open bonds together with the active delegations.
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
        /// itself alike.
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

        /// Deletes an exiting provider whose pool is empty. Anyone may call it; the deposit and what is left on the pool
        /// account go to the provider.
        #[pallet::call_index(12)]
        #[pallet::weight(T::WeightInfo::deregister())]
        pub fn deregister(origin: OriginFor<T>, provider: T::AccountId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_deregister(provider)
        }
    }
}
