//! Who makes the blocks of the session after next. pallet-session asks when a session begins, and the answer counts from
//! the session after it: the keys are announced one session ahead.

use alloc::vec::Vec;

use attune_primitives::{traits::Stakes, Balance};
use frame_election_provider_support::SortedListProvider;
use frame_support::traits::Get;
use pallet_session::{
    historical::{self, HistoricalSessions},
    DisabledValidators, QueuedKeys,
};
use sp_staking::SessionIndex;

use crate::*;

impl<T: Config> Pallet<T> {
    /// The providers that would be elected for `session`, in the order of their accounts, so that the same validators
    /// are the same list however their stakes have moved among them.
    pub fn elect(session: SessionIndex) -> Vec<T::AccountId> {
        let seats = T::MaxValidators::get();
        let barred = Barred::<T>::get();
        let is_barred =
            |who: &T::AccountId| barred.iter().any(|bar| bar.offender == *who && bar.until > session);
        let limit = index(seats.saturating_mul(CANDIDATES_PER_SEAT));
        let mut candidates = T::VoterList::iter()
            .take(limit)
            .filter(|who| !is_barred(who))
            .filter_map(|who| T::Stakes::stake(&who).map(|stake| (stake, who)))
            .filter(|(stake, _)| *stake >= T::MinValidatorStake::get())
            .filter(|(_, who)| pallet_session::Pallet::<T>::load_keys(who).is_some())
            .collect::<Vec<(Balance, T::AccountId)>>();
        candidates.sort_by(|(stake, who), (other_stake, other)| {
            other_stake.cmp(stake).then_with(|| who.cmp(other))
        });
        candidates.truncate(index(seats));
        let mut elected = candidates.into_iter().map(|(_, who)| who).collect::<Vec<_>>();
        elected.sort();
        elected
    }

    /// The validators of `session` if they, or their keys, differ from those of the session that begins now.
    fn plan(session: SessionIndex) -> Option<Vec<T::AccountId>> {
        Barred::<T>::mutate_exists(|slot| {
            if let Some(bars) = slot {
                bars.retain(|bar| bar.until > session);
                if bars.is_empty() {
                    *slot = None;
                }
            }
        });
        let with_keys =
            |who: T::AccountId| pallet_session::Pallet::<T>::load_keys(&who).map(|keys| (who, keys));
        let running = QueuedKeys::<T>::get();
        let staying = running.iter().filter_map(|(who, _)| with_keys(who.clone())).collect::<Vec<_>>();
        let elected = Self::elect(session).into_iter().filter_map(with_keys).collect::<Vec<_>>();
        // Whoever could be elected is better than nobody: without an authority the chain would end.
        let is_enough = elected.len() >= index(MinValidators::<T>::get()) || staying.is_empty();
        if !is_enough && !elected.is_empty() {
            let eligible = u32::try_from(elected.len()).unwrap_or(u32::MAX);
            Self::deposit_event(Event::TooFewCandidates { session, eligible });
        }
        let next = if is_enough { elected } else { staying };
        // The root of a session that is like the one before it is copied from there; the first two have none.
        let has_root = HistoricalSessions::<T>::contains_key(session.saturating_sub(1));
        if next == running && has_root && !Self::is_pardon_due(&running) {
            return None;
        }
        let next = next.into_iter().map(|(who, _)| who).collect::<Vec<_>>();
        if is_enough {
            let validators = u32::try_from(next.len()).unwrap_or(u32::MAX);
            Self::deposit_event(Event::Elected { session, validators });
        }
        Some(next)
    }

    /// True if validators are disabled and none of them is barred any more. pallet-session enables them again only with
    /// a new set, so the same one has to be planned anew.
    fn is_pardon_due(running: &[(T::AccountId, T::Keys)]) -> bool {
        let disabled = DisabledValidators::<T>::get();
        let barred = Barred::<T>::get();
        let is_barred = |place: u32| {
            let offender = running.get(index(place)).map(|(who, _)| who);
            barred.iter().any(|bar| Some(&bar.offender) == offender)
        };
        !disabled.is_empty() && !disabled.iter().any(|(place, _)| is_barred(*place))
    }

    fn begin(session: SessionIndex) {
        Self::begin_counting(session);
        // One session leaves the history for each that begins.
        if let Some(first_kept) = session.checked_sub(T::HistoryDepth::get()).filter(|first| *first > 0) {
            historical::Pallet::<T>::prune_up_to(first_kept);
            Self::forget_offences_of(first_kept.saturating_sub(1));
        }
    }
}

/// A number of storage entries as a length.
fn index(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl<T: Config> pallet_session::SessionManager<T::AccountId> for Pallet<T> {
    fn new_session(session: SessionIndex) -> Option<Vec<T::AccountId>> {
        Self::plan(session)
    }

    /// Genesis names its authorities itself.
    fn new_session_genesis(_: SessionIndex) -> Option<Vec<T::AccountId>> {
        None
    }

    fn start_session(session: SessionIndex) {
        Self::begin(session);
    }

    fn end_session(session: SessionIndex) {
        Self::freeze(session);
    }
}

/// The same, for pallet-session's `historical`, which keeps the root of each set of validators.
impl<T: Config> historical::SessionManager<T::AccountId, ()> for Pallet<T> {
    fn new_session(session: SessionIndex) -> Option<Vec<(T::AccountId, ())>> {
        Self::plan(session).map(|validators| validators.into_iter().map(|who| (who, ())).collect())
    }

    fn new_session_genesis(_: SessionIndex) -> Option<Vec<(T::AccountId, ())>> {
        None
    }

    fn start_session(session: SessionIndex) {
        Self::begin(session);
    }

    fn end_session(session: SessionIndex) {
        Self::freeze(session);
    }
}
