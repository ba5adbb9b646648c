//! Rewards for blocks: counted while a session runs, frozen when it ends, paid one validator at a time.
//!
//! The rest of the queue is its own cursor: whoever is paid is deleted from the points, and a session without points is
//! deleted from the queue.

use attune_primitives::{
    traits::{Providers, Stakes},
    Balance,
};
use frame_support::{
    defensive,
    dispatch::DispatchClass,
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::fungible::{Inspect, Mutate},
    weights::WeightMeter,
};
use sp_staking::SessionIndex;

use crate::*;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_set_inflation(per_year: Permill) -> DispatchResult {
        ensure!(per_year <= T::MaxInflation::get(), Error::<T>::AboveCap);
        let before = Inflation::<T>::mutate(|rate| core::mem::replace(rate, per_year));
        Self::deposit_event(Event::InflationSet { before, after: per_year });
        Ok(())
    }

    /// Decides whether the blocks of `session` are counted: there is to be inflation, and room in the queue for the
    /// session when it ends.
    pub(crate) fn begin_counting(session: SessionIndex) {
        let is_full = Unpaid::<T>::decode_len().is_some_and(|len| len >= Self::queue_bound());
        let is_counted = !Inflation::<T>::get().is_zero() && !is_full;
        Counted::<T>::set(is_counted.then_some(session));
        if is_full {
            Self::deposit_event(Event::SessionUnrewarded { session });
        }
    }

    fn queue_bound() -> usize {
        usize::try_from(T::MaxUnpaidSessions::get()).unwrap_or(usize::MAX)
    }

    /// Books what `session`, which ends, may mint. The points stay where they are.
    pub(crate) fn freeze(session: SessionIndex) {
        if Counted::<T>::get() != Some(session) {
            return;
        }
        Counted::<T>::kill();
        let issuance = <T as Config>::Currency::total_issuance();
        let slots = T::SessionSlots::get();
        let pot = inflation::session_pot(issuance, Inflation::<T>::get(), T::SessionMillis::get());
        let unpaid = UnpaidSession {
            session,
            pot: pot.unwrap_or_default(),
            left: pot.unwrap_or_default(),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
        };
        if Unpaid::<T>::try_append(unpaid).is_err() {
            defensive!("sessions are counted only if there is room for them in the queue");
        }
    }

    /// Counts a block for its author.
    pub(crate) fn count_block(author: T::AccountId) {
        if let Some(session) = Counted::<T>::get() {
            Points::<T>::mutate(session, author, |points| *points = points.saturating_add(1));
        }
        frame_system::Pallet::<T>::register_extra_weight_unchecked(
            <T as Config>::WeightInfo::note_author(),
            DispatchClass::Mandatory,
        );
    }

    /// Pays as many validators as the weight allows, and leaves room for transactions.
    pub(crate) fn pay(meter: &mut WeightMeter) {
        if meter.try_consume(<T as Config>::WeightInfo::poll()).is_err() {
            return;
        }
        for _ in 0..MAX_PAYMENTS_PER_BLOCK {
            let is_over = Unpaid::<T>::decode_len().unwrap_or_default() == 0;
            if is_over || meter.try_consume(<T as Config>::WeightInfo::pay_one()).is_err() {
                return;
            }
            Self::pay_one();
        }
    }

    /// Pays one validator of the oldest unpaid session, or closes the session if there is none left.
    pub(crate) fn pay_one() {
        Unpaid::<T>::mutate(|queue| {
            let Some(oldest) = queue.get_mut(0) else { return };
            let session = oldest.session;
            match Points::<T>::iter_prefix(session).next() {
                Some((validator, points)) => {
                    Points::<T>::remove(session, &validator);
                    Self::pay_validator(oldest, validator, points);
                }
                None => {
                    Self::deposit_event(Event::SessionPaid {
                        session,
                        pot: oldest.pot,
                        unminted: oldest.left,
                    });
                    queue.remove(0);
                }
            }
        });
    }

    /// Mints a validator's reward, or the part of it that the pool gets now, into its pool. A validator that is no
    /// provider has no pool; nothing is minted for it.
    fn pay_validator(from: &mut UnpaidSession, validator: T::AccountId, points: u32) {
        let Some(provider) = T::Providers::provider(&validator) else { return };
        let earned = inflation::reward(from.pot, points, from.slots).unwrap_or_default();
        let reward = T::Stakes::reward_part(&validator).mul_floor(earned);
        let (Some(left), Some(withheld)) = (from.left.checked_sub(reward), earned.checked_sub(reward)) else {
            defensive!("a session has no more blocks than slots, so that its rewards are within its pot");
            return;
        };
        let session = from.session;
        if withheld > 0 {
            let validator = validator.clone();
            Self::deposit_event(Event::RewardWithheld { session, validator, withheld });
        }
        if reward == 0 {
            return;
        }
        match with_storage_layer(|| Self::mint_income(&validator, reward, provider.commission)) {
            Ok(()) => {
                from.left = left;
                Self::deposit_event(Event::Rewarded { session, validator, points, reward });
            }
            Err(error) => Self::deposit_event(Event::RewardLost { session, validator, reward, error }),
        }
    }

    fn mint_income(provider: &T::AccountId, reward: Balance, commission: Permill) -> DispatchResult {
        <T as Config>::Currency::mint_into(&T::Providers::pool_account(provider), reward)?;
        T::Providers::note_income(provider, reward, commission)
    }
}

impl<T: Config> pallet_authorship::EventHandler<T::AccountId, BlockNumberFor<T>> for Pallet<T> {
    fn note_author(author: T::AccountId) {
        Self::count_block(author);
    }
}
