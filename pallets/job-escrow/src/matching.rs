//! Who gets a job: the first quote at or under the maximum, the only provider that the customer chose, or the lowest bid
//! at the end of a bidding window. All three end in [`Pallet::assign`], where price, payee, commission and hardware are
//! frozen and the bond is locked.

use alloc::vec::Vec;
use core::cmp::Reverse;

use attune_primitives::{
    job::JobSpec,
    machine::{self, Action, Facts, JobState},
    odds,
    provider::ProviderView,
    traits::{Assignment, Providers},
    Balance, JobId,
};
use frame_support::{
    pallet_prelude::*,
    storage::{with_storage_layer, with_transaction, TransactionOutcome},
};

use crate::{lifecycle::Result, *};

impl<T: Config> Pallet<T> {
    /// The provider whose operator key is `operator`.
    fn provider_of(operator: &T::AccountId) -> Result<(T::AccountId, ProviderView<T::AccountId>)> {
        let provider = T::Providers::provider_of_operator(operator).ok_or(Error::<T>::NotAnOperator)?;
        let view = T::Providers::provider(&provider).ok_or(Error::<T>::NotAnOperator)?;
        Ok((provider, view))
    }

    /// Whether `provider` may have `job` at all. Neither who ordered nor who pays may be on both sides, by its stash or
    /// by its operator key: it could slash and compensate itself, and fill records with work that nobody checked.
    fn ensure_may_take(
        job: &Job<T::AccountId>,
        provider: &T::AccountId,
        view: &ProviderView<T::AccountId>,
    ) -> DispatchResult {
        let own =
            [&job.customer, &job.funder].into_iter().any(|who| who == provider || *who == view.operator);
        ensure!(!own, Error::<T>::SelfDealing);
        let chosen = job.spec.provider.as_ref().is_none_or(|chosen| chosen == provider);
        ensure!(chosen, Error::<T>::NotChosenProvider);
        ensure!(view.profile.computes(&job.spec.mode), Error::<T>::WrongArithmetic);
        ensure!(!job.excluded.contains(provider), Error::<T>::ProviderExcluded);
        Ok(())
    }

    pub(crate) fn do_accept(operator: T::AccountId, id: JobId, price: Balance) -> DispatchResult {
        let mut job = Self::load(id)?;
        let (provider, view) = Self::provider_of(&operator)?;
        Self::ensure_may_take(&job, &provider, &view)?;
        let from = job.state;
        Self::transition(&mut job, Action::Accept)?;
        Self::assign(id, from, job, provider, view, price)
    }

    /// Freezes the terms of a job that has just become assigned, and stores it.
    fn assign(
        id: JobId,
        from: JobState,
        mut job: Job<T::AccountId>,
        provider: T::AccountId,
        view: ProviderView<T::AccountId>,
        price: Balance,
    ) -> DispatchResult {
        ensure!(price > 0 && price <= job.escrow, Error::<T>::InvalidPrice);
        let first_milestone = job.milestones_paid;
        let bond = Self::bond(&job.spec, first_milestone, price).ok_or(Error::<T>::ArithmeticOverflow)?;
        T::Providers::lock_bond(&provider, id, bond)?;

        let difference = job.escrow.checked_sub(price).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.escrow = price;
        Self::refund(id, &job, difference)?;
        job.deadline = Self::after(job.spec.timing.start_blocks)?;
        job.assignment = Some(Assignment {
            provider: provider.clone(),
            first_milestone,
            price,
            commission: view.commission,
            hardware: view.profile.hardware,
            price_per_gpu_hour: view.profile.price_per_gpu_hour,
            bond,
            assigned_at: Self::now(),
            started_at: None,
        });
        Self::deposit_event(Event::JobAccepted { job: id, provider, price, bond, deadline: job.deadline });
        Self::state_changed(id, from, &job);
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    /// The bond of milestone `first` and those after it at `price`: what the odds of the worst of them ask for, within the
    /// runtime's bounds.
    pub(crate) fn bond(spec: &JobSpec<T::AccountId>, first: u32, price: Balance) -> Option<Balance> {
        let remaining = spec.milestones.iter().skip(usize::try_from(first).ok()?);
        let segments = remaining.map(|m| m.segments).max()?;
        Self::bond_of(segments, u32::from(spec.assurance.samples), price)
    }

    /// The same, where the largest milestone has so many segments.
    pub(crate) fn bond_of(segments: u32, samples: u32, price: Balance) -> Option<Balance> {
        let least = T::MinBondShare::get().mul_ceil(price);
        let most = price.checked_mul(Balance::from(T::MaxBondMultiple::get()))?;
        Some(odds::required_bond(price, segments, samples)?.max(least).min(most))
    }

    pub(crate) fn do_place_bid(operator: T::AccountId, id: JobId, price: Balance) -> DispatchResult {
        let job = Self::load(id)?;
        let (provider, view) = Self::provider_of(&operator)?;
        Self::ensure_may_take(&job, &provider, &view)?;
        Self::foresee(&job, Action::Bid)?;
        ensure!(price > 0 && price <= job.escrow, Error::<T>::InvalidPrice);
        Self::ensure_could_bond(&job, id, &provider, price)?;

        let dropped = Bids::<T>::try_mutate(id, |bids| {
            let dropped = if let Some(place) = bids.iter().position(|bid| bid.provider == provider) {
                ensure!(bids.get(place).is_some_and(|own| price < own.price), Error::<T>::BidNotLower);
                bids.remove(place);
                None
            } else if bids.is_full() {
                let worst = bids.iter().enumerate().max_by_key(|(place, bid)| (bid.price, *place));
                let (place, worst) = worst.ok_or(Error::<T>::BidsFull)?;
                ensure!(price < worst.price, Error::<T>::BidsFull);
                Some(bids.remove(place))
            } else {
                None
            };
            let bid = Bid { provider: provider.clone(), price };
            bids.try_push(bid).map_err(|_| Error::<T>::BidsFull)?;
            Ok::<_, DispatchError>(dropped)
        })?;
        if let Some(Bid { provider, price }) = dropped {
            Self::deposit_event(Event::BidDropped { job: id, provider, price });
        }
        Self::deposit_event(Event::BidPlaced { job: id, provider, price });
        Ok(())
    }

    /// A bid must stand on free stake that covers its bond now, or the list could be filled with bids that mean nothing.
    /// The stake is not locked: a provider may bid for many jobs.
    fn ensure_could_bond(
        job: &Job<T::AccountId>,
        id: JobId,
        provider: &T::AccountId,
        price: Balance,
    ) -> DispatchResult {
        let bond = Self::bond(&job.spec, job.milestones_paid, price).ok_or(Error::<T>::ArithmeticOverflow)?;
        with_transaction(|| TransactionOutcome::Rollback(T::Providers::lock_bond(provider, id, bond)))
    }

    pub(crate) fn do_withdraw_bid(operator: T::AccountId, id: JobId) -> DispatchResult {
        let job = Self::load(id)?;
        let provider = T::Providers::provider_of_operator(&operator).ok_or(Error::<T>::NotAnOperator)?;
        Self::foresee(&job, Action::Bid)?;
        let mut bids = Bids::<T>::get(id);
        let place = bids.iter().position(|bid| bid.provider == provider).ok_or(Error::<T>::NoSuchBid)?;
        bids.remove(place);
        if bids.is_empty() {
            Bids::<T>::remove(id);
        } else {
            Bids::<T>::insert(id, bids);
        }
        Self::deposit_event(Event::BidWithdrawn { job: id, provider });
        Ok(())
    }

    /// The bidding window is over: the lowest bid whose provider can still have the job wins it; if there is none, the
    /// job is open for the first quote.
    pub(crate) fn end_bidding(id: JobId, mut job: Job<T::AccountId>) -> DispatchResult {
        for bid in Self::ranked(Bids::<T>::take(id), &job) {
            if with_storage_layer(|| Self::award(id, job.clone(), bid)).is_ok() {
                return Ok(());
            }
        }
        let from = job.state;
        Self::transition(&mut job, Action::DeadlinePassed)?;
        job.deadline = Self::after(job.spec.timing.open_blocks)?;
        Self::state_changed(id, from, &job);
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    /// The bids of active providers, the best first: by price, then by larger stake, then by account.
    pub(crate) fn ranked(
        bids: BoundedVec<Bid<T::AccountId>, T::MaxBids>,
        job: &Job<T::AccountId>,
    ) -> Vec<Bid<T::AccountId>> {
        if bids.is_empty() {
            return Vec::new();
        }
        let active = T::Providers::active_for(&job.spec.mode);
        let with_stake = bids.into_iter().filter_map(|bid| {
            let (_, stake) = active.iter().find(|(provider, _)| *provider == bid.provider)?;
            Some((bid.price, Reverse(*stake), bid.provider))
        });
        let mut ranked: Vec<_> = with_stake.collect();
        ranked.sort();
        ranked.into_iter().map(|(price, _, provider)| Bid { provider, price }).collect()
    }

    /// Gives the job to a bid, if its provider may still have it and has the stake.
    fn award(id: JobId, mut job: Job<T::AccountId>, bid: Bid<T::AccountId>) -> DispatchResult {
        let view = T::Providers::provider(&bid.provider).ok_or(Error::<T>::NotAnOperator)?;
        Self::ensure_may_take(&job, &bid.provider, &view)?;
        let from = job.state;
        let facts = Facts { awarded: true, ..Self::facts(&job) };
        job.state = machine::next(from, Action::DeadlinePassed, facts, Self::now(), job.deadline)
            .map_err(Error::<T>::from)?;
        Self::assign(id, from, job, bid.provider, view, bid.price)
    }
}
