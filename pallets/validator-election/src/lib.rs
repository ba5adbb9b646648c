//! # Validator election: who makes blocks, what it earns, and what an offence costs
//!
//! A room of its own beside provider-staking: pools need to know nothing of sessions, and this pallet nothing of shares.
//! It reaches the pools through traits of `attune_primitives`.
//!
//! ## Terms
//! * **Candidate**: a provider that takes work. All of them stand in a list sorted by their **stake**: self-bond and
//!   active delegations.
//! * **Session**: the time for which a set of validators is fixed; here it is BABE's epoch.
//! * **Point**: a block that a validator made in a session. **Pot**: what a session mints at most.
//! * **Offence**: an equivocation: two blocks in one slot (BABE), or two votes in one round (GRANDPA).
//!
//! ## Rules
//! * When a session begins, the validators of the next one are chosen: the candidates with the largest stakes, of at
//!   least [`Config::MinValidatorStake`], who have registered session keys and are not barred; at most
//!   [`Config::MaxValidators`]. Equal stakes go by account. So whoever registers, or leaves, is in, or out, at the latest
//!   two sessions later.
//! * Fewer than [`MinValidators`] of them are not trusted with the chain: the set stays as it is. A young chain so goes
//!   on with the authorities of its genesis.
//! * An election looks at [`CANDIDATES_PER_SEAT`] candidates for each seat, however many there are.
//! * Inflation is a part of the issuance in a year, set by [`Config::GovernanceOrigin`], never above
//!   [`Config::MaxInflation`]. A session's pot is its part of the year. Each validator's reward is the part of the pot
//!   that its points are of the session's slots, rounded down: a slot without a block mints nothing.
//! * Pot and points are frozen at the session's end. Rewards are minted into the pools of the validators and shared there
//!   as income with the provider's commission, one validator at a time, when blocks have room, at most
//!   [`MAX_PAYMENTS_PER_BLOCK`] in one. A validator that is not a provider has no pool: its part is not minted. Nor is a
//!   part of an absent provider's reward ([`attune_primitives::traits::Stakes::reward_part`]).
//! * At most [`Config::MaxUnpaidSessions`] sessions wait for payment. A session that begins while the queue is full is
//!   not counted, and mints nothing.
//! * A proven offence slashes the offender's pool by min((3k/n)², 1), for k offenders at the same time among n
//!   validators. Several offences of one validator in one session cost what the worst of them costs. The offender is
//!   disabled for as long as it is still a validator, as far as pallet-session's strategy allows, and barred from elections for
//!   [`Config::BarSessions`]. A validator without a pool is disabled and barred; nothing is slashed.
//! * An offence can be proven for [`Config::HistoryDepth`] sessions.
//!
//! ## Limitations
//! * The list is sorted by bags: within a bag the order is that of arrival. With more candidates than an election looks
//!   at, one with a stake in the last bag that is looked at may be passed over for another of the same bag. It can then
//!   have itself put in front ([`pallet-bags-list`'s `put_in_front_of`]).
//! * If too few are eligible, the set that stays may hold validators that are no providers any more, or that are barred.
//!   Those who purge their keys leave it all the same; when all of them do so and nobody can be elected, nobody is left
//!   to make blocks, as if they had all switched their machines off.
//! * Who is disabled can't make a block, not even the one with the report against it: others have to.
//! * Offences of the first two sessions can only be proven while their session lasts: pallet-session keeps no root for
//!   genesis.
//! * What a slash reaches is the pool as it is when the report comes, not as it was at the offence.
//! * Rewards go to those who have stake when they are paid, as with all income of a pool, and are cut for those who are
//!   absent then, whoever was absent in the session.
//! * pallet-offences never deletes its reports. Each one costs a validator its slash.
//!
//! [`pallet-bags-list`'s `put_in_front_of`]: https://docs.rs/pallet-bags-list

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

mod candidates;
mod election;
#[allow(clippy::arithmetic_side_effects, reason = "all of it is checked; the tests may overflow and fail")]
pub mod inflation;
mod offences;
mod rewards;
#[cfg(any(test, feature = "std", feature = "try-runtime"))]
#[allow(clippy::arithmetic_side_effects, reason = "a check that overflows has found something")]
mod try_state;
mod types;
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

use frame_system::pallet_prelude::BlockNumberFor;
use sp_arithmetic::Permill;

/// How many candidates an election looks at for each seat. Those with much stake and no keys take places in vain.
pub const CANDIDATES_PER_SEAT: u32 = 4;

/// How many validators are paid in a block at most, so that a long queue doesn't take a block from everybody else. A
/// hundred validators are paid within seven blocks.
pub const MAX_PAYMENTS_PER_BLOCK: u32 = 16;

#[allow(missing_docs, reason = "the macro makes public items that it gives no documentation")]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use attune_primitives::{
        traits::{Providers, Stakes},
        Balance,
    };
    use frame_election_provider_support::SortedListProvider;
    use frame_support::{
        pallet_prelude::*,
        traits::fungible::{Inspect, Mutate},
        weights::WeightMeter,
    };
    use frame_system::pallet_prelude::*;
    use sp_runtime::Perbill;
    use sp_staking::SessionIndex;

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// What the runtime chooses. Of pallet-session the pallet reads keys and validators, and tells it whom to disable.
    #[pallet::config]
    pub trait Config:
        frame_system::Config<RuntimeEvent: From<Event<Self>>>
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
        + pallet_session::historical::Config<FullIdentification = ()>
    {
        /// The token.
        type Currency: Inspect<Self::AccountId, Balance = Balance> + Mutate<Self::AccountId>;

        /// The pools: they are slashed, and get the rewards.
        type Providers: Providers<Self::AccountId>;

        /// The stake of each provider that takes work, and what part of its rewards it gets.
        type Stakes: Stakes<Self::AccountId>;

        /// The list of candidates.
        type VoterList: SortedListProvider<Self::AccountId, Score = Balance>;

        /// Who may set the inflation.
        type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// What the call and the hooks cost.
        type WeightInfo: WeightInfo;

        /// Most validators.
        #[pallet::constant]
        type MaxValidators: Get<u32>;

        /// Least stake of a validator, in planck.
        #[pallet::constant]
        type MinValidatorStake: Get<Balance>;

        /// Highest inflation that can be set, as a part of the issuance in a year.
        #[pallet::constant]
        type MaxInflation: Get<Permill>;

        /// Most sessions that wait for the payment of their rewards.
        #[pallet::constant]
        type MaxUnpaidSessions: Get<u32>;

        /// Length of a session, in milliseconds.
        type SessionMillis: Get<u64>;

        /// Length of a session, in slots.
        type SessionSlots: Get<u64>;

        /// For how many sessions an offence can be proven: for as long as stake is on its way out.
        type HistoryDepth: Get<SessionIndex>;

        /// For how many sessions an offender is not elected.
        type BarSessions: Get<SessionIndex>;

        /// Sets up what benchmarks need of the neighbours.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: crate::benchmarking::BenchmarkHelper<Self::AccountId>;
    }

    /// Fewest validators that an election may give. Set by genesis.
    #[pallet::storage]
    pub type MinValidators<T> = StorageValue<_, u32, ValueQuery, ConstU32<DEFAULT_MIN_VALIDATORS>>;

    /// Inflation, as a part of the issuance in a year.
    #[pallet::storage]
    pub type Inflation<T> = StorageValue<_, Permill, ValueQuery>;

    /// The session whose blocks are counted; none if it is not rewarded.
    #[pallet::storage]
    pub type Counted<T> = StorageValue<_, SessionIndex, OptionQuery>;

    /// Blocks of a session by their authors. Deleted when the author is paid.
    #[pallet::storage]
    pub type Points<T: Config> =
        StorageDoubleMap<_, Twox64Concat, SessionIndex, Twox64Concat, T::AccountId, u32, ValueQuery>;

    /// Sessions that have ended and are not paid, the oldest first.
    #[pallet::storage]
    pub type Unpaid<T: Config> = StorageValue<_, BoundedVec<UnpaidSession, T::MaxUnpaidSessions>, ValueQuery>;

    /// What part of the pool the offences of a session have cost an offender so far. Deleted when the session leaves the
    /// history.
    #[pallet::storage]
    pub type SlashedParts<T: Config> =
        StorageDoubleMap<_, Twox64Concat, SessionIndex, Twox64Concat, T::AccountId, Perbill, ValueQuery>;

    /// Offenders that are not elected, in the order of their ends. Those that are over are deleted at each election.
    #[pallet::storage]
    pub type Barred<T: Config> = StorageValue<_, BoundedVec<Bar<T::AccountId>, T::MaxValidators>, ValueQuery>;

    /// What the chain begins with.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Inflation, as a part of the issuance in a year: 50,000 is 5 %.
        pub inflation: Permill,
        /// Fewest validators that an election may give; `None` for [`DEFAULT_MIN_VALIDATORS`].
        pub min_validators: Option<u32>,
        /// The runtime these values are for.
        #[serde(skip)]
        pub _config: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            assert!(
                self.inflation <= T::MaxInflation::get(),
                "validatorElection.inflation is {:?}: it must be at most {:?}",
                self.inflation,
                T::MaxInflation::get()
            );
            let min_validators = self.min_validators.unwrap_or(DEFAULT_MIN_VALIDATORS);
            assert!(
                (1..=T::MaxValidators::get()).contains(&min_validators),
                "validatorElection.minValidators is {min_validators}: it must be from 1 to {}",
                T::MaxValidators::get()
            );
            Inflation::<T>::put(self.inflation);
            MinValidators::<T>::put(min_validators);
            // pallet-session has begun its first session before there was a rate.
            Pallet::<T>::begin_counting(pallet_session::CurrentIndex::<T>::get());
        }
    }

    /// What happened. Amounts are in planck.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// The validators of a session were elected, and differ from those before them, or their keys do.
        Elected {
            /// The session.
            session: SessionIndex,
            /// How many they are.
            validators: u32,
        },
        /// The validators stay, because fewer than [`MinValidators`] providers could be elected.
        TooFewCandidates {
            /// The session for which they stay.
            session: SessionIndex,
            /// How many could be elected.
            eligible: u32,
        },
        /// The inflation was set.
        InflationSet {
            /// Before.
            before: Permill,
            /// From now on.
            after: Permill,
        },
        /// The blocks of a session are not rewarded: too many sessions wait for payment.
        SessionUnrewarded {
            /// The session.
            session: SessionIndex,
        },
        /// A validator's reward was minted into its pool.
        Rewarded {
            /// The session.
            session: SessionIndex,
            /// The validator.
            validator: T::AccountId,
            /// Its blocks.
            points: u32,
            /// The reward.
            reward: Balance,
        },
        /// A part of a validator's reward was not minted: its provider is absent.
        RewardWithheld {
            /// The session.
            session: SessionIndex,
            /// The validator.
            validator: T::AccountId,
            /// What was not minted.
            withheld: Balance,
        },
        /// A pool did not take a reward, which was not minted.
        RewardLost {
            /// The session.
            session: SessionIndex,
            /// The validator.
            validator: T::AccountId,
            /// The reward.
            reward: Balance,
            /// Why.
            error: DispatchError,
        },
        /// All rewards of a session are paid.
        SessionPaid {
            /// The session.
            session: SessionIndex,
            /// What it could have minted.
            pot: Balance,
            /// What of the pot was not minted: for slots without a block, validators without a pool, those that are
            /// absent, and rounding.
            unminted: Balance,
        },
        /// An offender's pool was slashed.
        OffenderSlashed {
            /// The offender.
            offender: T::AccountId,
            /// The session of the offence.
            session: SessionIndex,
            /// The part of its pool.
            part: Permill,
        },
        /// An offender is no provider: there is nothing to slash.
        OffenderWithoutPool {
            /// The offender.
            offender: T::AccountId,
            /// The session of the offence.
            session: SessionIndex,
            /// What part would have been slashed.
            part: Permill,
        },
        /// An offender is not elected for some time.
        OffenderBarred {
            /// The offender.
            offender: T::AccountId,
            /// First session for which it may be elected again.
            until: SessionIndex,
        },
    }

    /// Why a call is refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The inflation is above [`Config::MaxInflation`]: set at most that.
        AboveCap,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        /// Pays validators of sessions that have ended.
        fn on_poll(_: BlockNumberFor<T>, meter: &mut WeightMeter) {
            Self::pay(meter);
        }

        fn integrity_test() {
            assert!(T::MaxValidators::get() > 0, "MaxValidators is 0: nobody could be elected");
            assert!(
                T::MinValidatorStake::get() > 0,
                "MinValidatorStake is 0: a validator could have nothing to lose"
            );
            assert!(
                T::MaxUnpaidSessions::get() > 0,
                "MaxUnpaidSessions is 0: nothing would ever be rewarded"
            );
            assert!(
                T::HistoryDepth::get() > 1,
                "HistoryDepth is below 2: a session's root would leave before the next"
            );
            assert!(T::SessionSlots::get() > 0, "SessionSlots is 0: there would be no rewards");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Sets the inflation, as a part of the issuance in a year, from the session that runs on.
        #[pallet::call_index(0)]
        #[pallet::weight(<T as Config>::WeightInfo::set_inflation())]
        pub fn set_inflation(origin: OriginFor<T>, per_year: Permill) -> DispatchResult {
            T::GovernanceOrigin::ensure_origin(origin)?;
            Self::do_set_inflation(per_year)
        }
    }
}

/// Fewest validators of an election if genesis doesn't say: the fewest of which one may fail and GRANDPA go on.
pub const DEFAULT_MIN_VALIDATORS: u32 = 4;
