//! What a page asks about validators: the answers of the view functions, and how they are worked out. Nothing here
//! changes anything; an election looks at as many candidates as the real one does.

use alloc::vec::Vec;

use attune_primitives::{traits::Stakes, Balance};
use codec::{Decode, Encode};
use frame_support::traits::Get;
use pallet_session::DisabledValidators;
use scale_info::TypeInfo;
use sp_arithmetic::Permill;
use sp_staking::SessionIndex;

use crate::*;

/// A validator of the running session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ValidatorInfo<AccountId> {
    /// Its account, that of a provider.
    pub validator: AccountId,
    /// Its stake now, in planck; `None` if it takes no work any more.
    pub stake: Option<Balance>,
    /// Blocks that it has made in this session; `None` if this session is not rewarded.
    pub points: Option<u32>,
    /// True if it was found to have offended, and takes no part until the set changes.
    pub disabled: bool,
}

/// How validators are elected and paid now.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ElectionInfo<AccountId> {
    /// The running session.
    pub session: SessionIndex,
    /// Inflation, as a part of the issuance in a year.
    pub inflation: Permill,
    /// The most that it can be set to.
    pub max_inflation: Permill,
    /// Most validators.
    pub seats: u32,
    /// Fewest validators that an election may give.
    pub min_validators: u32,
    /// Least stake of a validator, in planck.
    pub min_stake: Balance,
    /// Sessions that have ended and are not paid, the oldest first.
    pub unpaid: Vec<UnpaidSession>,
    /// Offenders that are not elected for some time.
    pub barred: Vec<Bar<AccountId>>,
}

/// What the next election would give if stakes stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct NextElection<AccountId> {
    /// The session that it is for: the one after the next.
    pub session: SessionIndex,
    /// Who would be elected, the largest stake first.
    pub elected: Vec<Candidate<AccountId>>,
    /// False if they are too few, so that the present validators stay.
    pub is_enough: bool,
}

/// A provider that would be elected.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Candidate<AccountId> {
    /// Its account.
    pub provider: AccountId,
    /// Its stake, in planck.
    pub stake: Balance,
}

impl<T: Config> Pallet<T> {
    /// The validators of the running session.
    pub fn view_validators() -> Vec<ValidatorInfo<T::AccountId>> {
        let disabled = DisabledValidators::<T>::get();
        let counted = Counted::<T>::get();
        let seats = usize::try_from(T::MaxValidators::get()).unwrap_or(usize::MAX);
        let validators = pallet_session::Validators::<T>::get().into_iter().take(seats);
        (0u32..)
            .zip(validators)
            .map(|(place, validator)| ValidatorInfo {
                stake: T::Stakes::stake(&validator),
                points: counted.map(|session| Points::<T>::get(session, &validator)),
                disabled: disabled.iter().any(|(index, _)| *index == place),
                validator,
            })
            .collect()
    }

    pub(crate) fn view_election() -> ElectionInfo<T::AccountId> {
        ElectionInfo {
            session: pallet_session::CurrentIndex::<T>::get(),
            inflation: Inflation::<T>::get(),
            max_inflation: T::MaxInflation::get(),
            seats: T::MaxValidators::get(),
            min_validators: MinValidators::<T>::get(),
            min_stake: T::MinValidatorStake::get(),
            unpaid: Unpaid::<T>::get().into_inner(),
            barred: Barred::<T>::get().into_inner(),
        }
    }

    pub(crate) fn view_next() -> NextElection<T::AccountId> {
        // At its beginning a session asks who follows the next one.
        let session = pallet_session::CurrentIndex::<T>::get().saturating_add(2);
        let with_stake = |provider| T::Stakes::stake(&provider).map(|stake| Candidate { provider, stake });
        let mut elected: Vec<_> = Self::elect(session).into_iter().filter_map(with_stake).collect();
        elected.sort_by(|a, b| b.stake.cmp(&a.stake).then_with(|| a.provider.cmp(&b.provider)));
        let fewest = usize::try_from(MinValidators::<T>::get()).unwrap_or(usize::MAX);
        NextElection { session, is_enough: elected.len() >= fewest, elected }
    }
}
