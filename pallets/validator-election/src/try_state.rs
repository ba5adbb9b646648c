//! What must hold between blocks, each rule by its name.

use alloc::vec::Vec;

use attune_primitives::{traits::Stakes, Balance};
use frame_election_provider_support::SortedListProvider;
use frame_support::{ensure, traits::Get};
use sp_runtime::TryRuntimeError;

use crate::*;

impl<T: Config> Pallet<T> {
    /// Checks the rules.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::check_inflation_is_capped()?;
        Self::check_queue_is_in_order()?;
        Self::check_points_belong_to_sessions()?;
        Self::check_rewards_are_within_their_pots()?;
        Self::check_bars_are_in_order()?;
        Self::check_candidates_have_their_stakes()
    }

    fn check_inflation_is_capped() -> Result<(), TryRuntimeError> {
        ensure!(Inflation::<T>::get() <= T::MaxInflation::get(), "inflation is above its cap");
        Ok(())
    }

    fn check_queue_is_in_order() -> Result<(), TryRuntimeError> {
        let sessions = Unpaid::<T>::get()
            .iter()
            .map(|unpaid| unpaid.session)
            .chain(Counted::<T>::get())
            .collect::<Vec<_>>();
        ensure!(
            sessions.windows(2).all(|w| w[0] < w[1]),
            "unpaid sessions are not in order, or one stands twice"
        );
        ensure!(
            Unpaid::<T>::get().iter().all(|unpaid| unpaid.left <= unpaid.pot),
            "more is left of a session's pot than was in it"
        );
        Ok(())
    }

    fn check_points_belong_to_sessions() -> Result<(), TryRuntimeError> {
        let unpaid = Unpaid::<T>::get();
        for (session, _, points) in Points::<T>::iter() {
            ensure!(points > 0, "a validator with no points is stored");
            ensure!(
                Counted::<T>::get() == Some(session) || unpaid.iter().any(|unpaid| unpaid.session == session),
                "points of a session that is neither counted nor unpaid"
            );
        }
        Ok(())
    }

    fn check_rewards_are_within_their_pots() -> Result<(), TryRuntimeError> {
        for unpaid in Unpaid::<T>::get() {
            let due = Points::<T>::iter_prefix_values(unpaid.session)
                .map(|points| inflation::reward(unpaid.pot, points, unpaid.slots).unwrap_or_default())
                .sum::<Balance>();
            ensure!(due <= unpaid.left, "a session owes more than is left of its pot");
        }
        Ok(())
    }

    fn check_bars_are_in_order() -> Result<(), TryRuntimeError> {
        let bars = Barred::<T>::get();
        ensure!(bars.windows(2).all(|w| w[0].until <= w[1].until), "bars are not in the order of their ends");
        let is_once =
            |bar: &Bar<T::AccountId>| bars.iter().filter(|other| other.offender == bar.offender).count() == 1;
        ensure!(bars.iter().all(is_once), "an offender is barred twice");
        Ok(())
    }

    fn check_candidates_have_their_stakes() -> Result<(), TryRuntimeError> {
        for who in T::VoterList::iter() {
            let stake = T::Stakes::stake(&who).ok_or("a candidate takes no work")?;
            ensure!(
                T::VoterList::get_score(&who).ok() == Some(stake),
                "a candidate's score is not its stake"
            );
        }
        Ok(())
    }
}
