//! The candidates: all providers that take work, in a list sorted by stake. The list is told of each change, and asks
//! nobody at an election.

use attune_primitives::{
    traits::{OnStakeChanged, Stakes},
    Balance,
};
use frame_election_provider_support::{ScoreProvider, SortedListProvider};
use frame_support::defensive;

use crate::*;

impl<T: Config> OnStakeChanged<T::AccountId> for Pallet<T> {
    fn stake_changed(provider: &T::AccountId, stake: Option<Balance>) {
        let known = T::VoterList::contains(provider);
        let changed = match stake {
            Some(stake) if known => {
                if T::VoterList::get_score(provider).ok() == Some(stake) {
                    return;
                }
                T::VoterList::on_update(provider, stake)
            }
            Some(stake) => T::VoterList::on_insert(provider.clone(), stake),
            None if known => T::VoterList::on_remove(provider),
            None => return,
        };
        if changed.is_err() {
            // Nobody locks the list, and whether it holds the account has just been asked.
            defensive!("the list takes an update of what it holds, and an insertion of what it doesn't");
        }
    }
}

/// Where the list of candidates looks a provider's stake up when somebody asks it to put one right.
impl<T: Config> ScoreProvider<T::AccountId> for Pallet<T> {
    type Score = Balance;

    fn score(provider: &T::AccountId) -> Option<Balance> {
        T::Stakes::stake(provider)
    }
}
