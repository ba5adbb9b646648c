//! The registry: who is a provider, under which key it works, and what other pallets see of it.

use alloc::vec::Vec;

use attune_primitives::{
    job::ArithmeticMode,
    provider::{ProviderProfile, ProviderView},
    traits::{AuditOutcome, OnStakeChanged, Providers as ProvidersApi},
    Balance, BlockNumber, JobId,
};
use codec::{Decode, Encode};
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{Inspect, Mutate, MutateHold},
        tokens::{Fortitude, Precision, Preservation},
    },
};
use sp_arithmetic::{traits::UniqueSaturatedInto, Permill};
use sp_io::hashing::blake2_256;
use sp_runtime::traits::TrailingZeroInput;

use crate::*;

impl<T: Config> Pallet<T> {
    /// The block number, as spans are counted in.
    pub(crate) fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().unique_saturated_into()
    }

    /// The account that holds the pool of `provider`. Nobody has its key.
    pub fn pool_account_of(provider: &T::AccountId) -> T::AccountId {
        // A hash of the whole account: a truncated one could be made to collide.
        let entropy = (b"attune:pool", T::PalletId::get(), provider).using_encoded(blake2_256);
        T::AccountId::decode(&mut TrailingZeroInput::new(&entropy))
            .expect("an endless input has enough bytes for any account; accounts take any bytes; qed")
    }

    /// A registered provider, as the registry has it.
    pub fn provider_view(provider: &T::AccountId) -> Option<ProviderView<T::AccountId>> {
        let stored = Providers::<T>::get(provider)?;
        let commission = stored.commission_at(Self::now());
        let Provider { profile, operator, .. } = stored;
        Some(ProviderView { profile, commission, operator })
    }

    /// Self-bond and delegations of a provider, in planck; 0 if there is none.
    pub fn stake_of(provider: &T::AccountId) -> Balance {
        Pools::<T>::get(provider).and_then(|pool| pool.stake()).unwrap_or_default()
    }

    /// The status of a provider, while it is being migrated, too.
    fn status_of(provider: &T::AccountId) -> Option<Status> {
        let stored = Providers::<T>::get(provider).map(|stored| stored.status);
        stored.or_else(|| migrations::v2::status_before::<T>(provider))
    }

    /// True if the provider may get new work: active, and with at least the least self-bond.
    pub fn takes_work(provider: &T::AccountId) -> bool {
        Self::status_of(provider) == Some(Status::Active)
            && Pools::<T>::get(provider).is_some_and(|pool| pool.self_bond >= T::MinSelfBond::get())
    }

    /// Tells the one who orders providers by stake that this one's stake, or whether it takes work, has changed.
    pub(crate) fn tell_stake(provider: &T::AccountId) {
        let stake = Self::takes_work(provider).then(|| Self::stake_of(provider));
        T::OnStakeChanged::stake_changed(provider, stake);
    }

    fn ensure_profile(profile: &ProviderProfile) -> DispatchResult {
        let ascii = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
        let text = |bytes: &[u8]| {
            core::str::from_utf8(bytes)
                .is_ok_and(|s| !s.trim().is_empty() && !s.chars().any(char::is_control))
        };
        let ok = text(&profile.name)
            && text(&profile.hardware.model)
            && ascii(&profile.endpoint)
            && ascii(&profile.class);
        ensure!(ok, Error::<T>::BadProfile);
        Ok(())
    }

    fn ensure_operator_free(provider: &T::AccountId, operator: &T::AccountId) -> DispatchResult {
        ensure!(operator != provider, Error::<T>::OperatorIsStash);
        ensure!(!Operators::<T>::contains_key(operator), Error::<T>::OperatorInUse);
        ensure!(!Providers::<T>::contains_key(operator), Error::<T>::OperatorInUse);
        Ok(())
    }

    pub(crate) fn do_register(
        who: T::AccountId,
        profile: ProviderProfile,
        commission: Permill,
        operator: T::AccountId,
        self_bond: Balance,
    ) -> DispatchResult {
        ensure!(!Providers::<T>::contains_key(&who), Error::<T>::AlreadyRegistered);
        ensure!(!Operators::<T>::contains_key(&who), Error::<T>::AccountIsOperator);
        Self::ensure_profile(&profile)?;
        Self::ensure_operator_free(&who, &operator)?;
        ensure!(self_bond >= T::MinSelfBond::get(), Error::<T>::SelfBondTooLow);
        ProviderIds::<T>::try_mutate(|ids| {
            let place = ids.binary_search(&who).err().ok_or(Error::<T>::AlreadyRegistered)?;
            ids.try_insert(place, who.clone()).map_err(|_| Error::<T>::TooManyProviders)
        })?;

        let deposit = T::ProviderDeposit::get();
        T::Currency::hold(&HoldReason::Deposit.into(), &who, deposit)?;
        let pool_account = Self::pool_account_of(&who);
        let minimum = T::Currency::minimum_balance();
        T::Currency::transfer(&who, &pool_account, minimum, Preservation::Preserve)?;
        Self::stake_in(&who, &who, self_bond)?;

        Pools::<T>::insert(&who, Pool::new(self_bond));
        Operators::<T>::insert(&operator, &who);
        let provider = Provider {
            profile,
            commission,
            rise: None,
            operator: operator.clone(),
            status: Status::Active,
            reputation: Reputation::default(),
            presence: Presence { due_from: Self::next_period(), absent_since: None },
            registered_at: Self::now(),
            deposit,
        };
        Providers::<T>::insert(&who, provider);
        Self::tell_stake(&who);
        Self::deposit_event(Event::Registered { provider: who, operator, commission, self_bond });
        Ok(())
    }

    pub(crate) fn do_set_profile(who: T::AccountId, profile: ProviderProfile) -> DispatchResult {
        Self::ensure_profile(&profile)?;
        Self::change(&who, |provider| {
            provider.profile = profile;
            Ok(())
        })?;
        Self::deposit_event(Event::ProfileChanged { provider: who });
        Ok(())
    }

    pub(crate) fn do_set_operator(who: T::AccountId, operator: T::AccountId) -> DispatchResult {
        Self::ensure_operator_free(&who, &operator)?;
        Self::change(&who, |provider| {
            Operators::<T>::remove(&provider.operator);
            Operators::<T>::insert(&operator, &who);
            Self::judge(&who, provider);
            provider.operator = operator.clone();
            // The new key had not all of this period to answer.
            Self::excuse(provider);
            Ok(())
        })?;
        Self::deposit_event(Event::OperatorChanged { provider: who, operator });
        Ok(())
    }

    pub(crate) fn do_chill(who: T::AccountId) -> DispatchResult {
        Self::change(&who, |provider| {
            ensure!(provider.status == Status::Active, Error::<T>::NotActive);
            Self::judge(&who, provider);
            provider.status = Status::Chilled;
            Ok(())
        })?;
        Self::tell_stake(&who);
        Self::deposit_event(Event::Chilled { provider: who });
        Ok(())
    }

    pub(crate) fn do_unchill(who: T::AccountId) -> DispatchResult {
        Self::change(&who, |provider| {
            ensure!(provider.status == Status::Chilled, Error::<T>::NotChilled);
            provider.status = Status::Active;
            Self::excuse(provider);
            Ok(())
        })?;
        Self::tell_stake(&who);
        Self::deposit_event(Event::Unchilled { provider: who });
        Ok(())
    }

    pub(crate) fn do_exit(who: T::AccountId) -> DispatchResult {
        let mut pool = Self::pool(&who)?;
        ensure!(pool.bonds == 0, Error::<T>::HasOpenBonds);
        Self::change(&who, |provider| {
            ensure!(provider.status != Status::Exiting, Error::<T>::AlreadyExiting);
            Self::judge(&who, provider);
            provider.status = Status::Exiting;
            Ok(())
        })?;
        Self::deposit_event(Event::ExitBegun { provider: who.clone(), ruined: false });
        let amount = core::mem::take(&mut pool.self_bond);
        if amount > 0 {
            let unlock_at = Self::begin_self_unbonding(&mut pool, &who, amount)?;
            Self::deposit_event(Event::SelfUnbonding { provider: who.clone(), amount, unlock_at });
        }
        Pools::<T>::insert(&who, pool);
        Self::tell_stake(&who);
        Ok(())
    }

    pub(crate) fn do_deregister(who: T::AccountId) -> DispatchResult {
        let provider = Providers::<T>::get(&who).ok_or(Error::<T>::NotAProvider)?;
        ensure!(provider.status == Status::Exiting, Error::<T>::NotExiting);
        let pool = Self::pool(&who)?;
        ensure!(pool.pending_slashes == 0, Error::<T>::SlashPending);
        ensure!(pool.owed == 0, Error::<T>::CompensationOwed);
        ensure!(pool.moved == 0, Error::<T>::LienOpen);
        let empty = pool.own() == Some(0)
            && pool.active.shares == 0
            && pool.unbonding.shares == 0
            && pool.bonds == 0
            && pool.delegators == 0;
        ensure!(empty, Error::<T>::PoolNotEmpty);

        ProviderIds::<T>::mutate(|ids| ids.retain(|id| id != &who));
        Operators::<T>::remove(&provider.operator);
        Providers::<T>::remove(&who);
        Pools::<T>::remove(&who);
        T::Currency::release(&HoldReason::Deposit.into(), &who, provider.deposit, Precision::Exact)?;
        let account = Self::pool_account_of(&who);
        let remainder = T::Currency::reducible_balance(&account, Preservation::Expendable, Fortitude::Polite);
        T::Currency::transfer(&account, &who, remainder, Preservation::Expendable)?;
        Self::tell_stake(&who);
        Self::deposit_event(Event::Deregistered { provider: who, remainder });
        Ok(())
    }

    /// Changes a stored provider.
    pub(crate) fn change(
        who: &T::AccountId,
        with: impl FnOnce(&mut Provider<T::AccountId>) -> DispatchResult,
    ) -> DispatchResult {
        Providers::<T>::try_mutate(who, |slot| with(slot.as_mut().ok_or(Error::<T>::NotAProvider)?))
    }

    pub(crate) fn pool(provider: &T::AccountId) -> Result<Pool, DispatchError> {
        Ok(Pools::<T>::get(provider).ok_or(Error::<T>::NotAProvider)?)
    }

    pub(crate) fn ensure_active(provider: &T::AccountId) -> DispatchResult {
        let stored = Providers::<T>::get(provider).ok_or(Error::<T>::NotAProvider)?;
        ensure!(stored.status == Status::Active, Error::<T>::NotActive);
        Ok(())
    }

    /// Refuses new stake of others: for a provider that takes none, and for a pool whose delegators are about to pay
    /// for what they were there for, and the newcomers were not.
    pub(crate) fn ensure_takes_stake(provider: &T::AccountId) -> DispatchResult {
        let pool = Self::pool(provider)?;
        Self::ensure_active(provider)?;
        ensure!(pool.pending_slashes == 0, Error::<T>::SlashPending);
        Ok(())
    }

    fn count(provider: &T::AccountId, with: impl FnOnce(&mut Reputation)) {
        Providers::<T>::mutate(provider, |slot| {
            if let Some(stored) = slot.as_mut() {
                with(&mut stored.reputation);
            }
        });
    }
}

impl<T: Config> ProvidersApi<T::AccountId> for Pallet<T> {
    fn provider_of_operator(operator: &T::AccountId) -> Option<T::AccountId> {
        Operators::<T>::get(operator)
    }

    fn provider(provider: &T::AccountId) -> Option<ProviderView<T::AccountId>> {
        Self::provider_view(provider)
    }

    fn active_for(mode: &ArithmeticMode) -> Vec<(T::AccountId, Balance)> {
        let able = |id: &T::AccountId| Providers::<T>::get(id).is_some_and(|p| p.profile.computes(mode));
        ProviderIds::<T>::get()
            .into_iter()
            .filter(|id| able(id) && Self::takes_work(id))
            .map(|id| {
                let stake = Self::stake_of(&id);
                (id, stake)
            })
            .collect()
    }

    fn pool_account(provider: &T::AccountId) -> T::AccountId {
        Self::pool_account_of(provider)
    }

    fn lock_bond(provider: &T::AccountId, job: JobId, amount: Balance) -> DispatchResult {
        Self::do_lock_bond(provider, job, amount)
    }

    fn release_bond(provider: &T::AccountId, job: JobId) {
        Self::do_release_bond(provider, job);
    }

    fn slash_bond(
        provider: &T::AccountId,
        job: JobId,
        part: Permill,
        customer: &T::AccountId,
        compensation: Balance,
    ) -> Balance {
        Self::do_slash_bond(provider, job, part, customer, compensation)
    }

    fn slash_for_offence(provider: &T::AccountId, part: Permill, reporter: Option<&T::AccountId>) {
        Self::do_slash_for_offence(provider, part, reporter);
    }

    fn note_income(provider: &T::AccountId, amount: Balance, commission: Permill) -> DispatchResult {
        Self::do_note_income(provider, amount, commission)
    }

    fn note_audit(provider: &T::AccountId, outcome: AuditOutcome) {
        Self::count(provider, |seen| {
            let counter = match outcome {
                AuditOutcome::Answered => &mut seen.audits_answered,
                AuditOutcome::Missed => &mut seen.audits_missed,
                AuditOutcome::Overruled => &mut seen.audits_overruled,
            };
            *counter = counter.saturating_add(1);
        });
    }

    fn note_job(provider: &T::AccountId, finished: bool) {
        Self::count(provider, |seen| {
            let counter = if finished { &mut seen.jobs_finished } else { &mut seen.jobs_failed };
            *counter = counter.saturating_add(1);
        });
    }
}
