//! Who pays for somebody else. A sponsor names a customer and how much; the customer then orders in the sponsor's name,
//! and everything that the job holds is on the sponsor's account.
//!
//! A sponsorship counts what its jobs hold and have spent. What goes back to the sponsor, refunds and deposits, makes
//! room again; compensation out of a slash does not, as it pays for something that was spent. One that has ended leaves
//! its jobs alone: their money is on hold already.

use attune_primitives::{Balance, BlockNumber, JobId};
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};

use crate::{lifecycle::Result, *};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_sponsor(
        sponsor: T::AccountId,
        customer: T::AccountId,
        limit: Balance,
        per_job: Balance,
        expires_at: BlockNumber,
    ) -> DispatchResult {
        ensure!(sponsor != customer, Error::<T>::OwnSponsor);
        ensure!(expires_at >= Self::now(), Error::<T>::SponsorshipExpired);
        let sponsorship = match Sponsorships::<T>::get(&sponsor, &customer) {
            Some(present) => Sponsorship { limit, per_job, expires_at, ..present },
            None => {
                let deposit = T::SponsorshipDeposit::get();
                T::Currency::hold(&HoldReason::Deposit.into(), &sponsor, deposit)
                    .map_err(|_| Error::<T>::InsufficientBalance)?;
                let id = NextSponsorshipId::<T>::get();
                NextSponsorshipId::<T>::put(id.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?);
                Sponsorship { id, limit, used: 0, per_job, expires_at, deposit }
            }
        };
        Sponsorships::<T>::insert(&sponsor, &customer, sponsorship);
        Self::deposit_event(Event::Sponsored { sponsor, customer, limit, per_job, expires_at });
        Ok(())
    }

    pub(crate) fn do_end_sponsorship(
        who: T::AccountId,
        sponsor: T::AccountId,
        customer: T::AccountId,
    ) -> DispatchResult {
        let sponsorship = Sponsorships::<T>::get(&sponsor, &customer).ok_or(Error::<T>::NotSponsored)?;
        let expired = Self::now() > sponsorship.expires_at;
        ensure!(expired || who == sponsor || who == customer, Error::<T>::NotYourSponsorship);
        T::Currency::release(&HoldReason::Deposit.into(), &sponsor, sponsorship.deposit, Precision::Exact)?;
        Sponsorships::<T>::remove(&sponsor, &customer);
        Self::deposit_event(Event::SponsorshipEnded { sponsor, customer });
        Ok(())
    }

    /// Counts a new job of `customer` that is to hold `amount`.
    pub(crate) fn charge_sponsor(
        sponsor: &T::AccountId,
        customer: &T::AccountId,
        amount: Balance,
    ) -> Result<SponsorshipId> {
        let mut sponsorship = Sponsorships::<T>::get(sponsor, customer).ok_or(Error::<T>::NotSponsored)?;
        ensure!(Self::now() <= sponsorship.expires_at, Error::<T>::SponsorshipExpired);
        ensure!(amount <= sponsorship.per_job, Error::<T>::AboveSponsorsJobLimit);
        let used = sponsorship.used.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(used <= sponsorship.limit, Error::<T>::SponsorExhausted);
        sponsorship.used = used;
        Sponsorships::<T>::insert(sponsor, customer, sponsorship);
        Ok(sponsorship.id)
    }

    /// Counts what the sponsor adds by itself to a job. It may go beyond its own limit; nothing is left of it then.
    fn charge_top_up(job: &Job<T::AccountId>, amount: Balance) -> DispatchResult {
        Self::with_sponsorship(job, |sponsorship| {
            sponsorship.used = sponsorship.used.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
            Ok(())
        })
    }

    /// Makes room for what has gone back to the sponsor of `job`.
    pub(crate) fn credit_sponsor(job: &Job<T::AccountId>, amount: Balance) {
        // It can't fail: no more goes back than was counted. Should it, the sponsorship stays as it was.
        let credited = Self::with_sponsorship(job, |sponsorship| {
            sponsorship.used = sponsorship.used.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
            Ok(())
        });
        if credited.is_err() {
            frame_support::defensive!("more goes back to a sponsor than its jobs held");
        }
    }

    /// Changes the sponsorship that pays for `job`; does nothing if there is none, or another one by now.
    fn with_sponsorship(
        job: &Job<T::AccountId>,
        change: impl FnOnce(&mut Sponsorship) -> DispatchResult,
    ) -> DispatchResult {
        let Some(id) = job.sponsorship else { return Ok(()) };
        Sponsorships::<T>::try_mutate_exists(&job.funder, &job.customer, |slot| match slot {
            Some(sponsorship) if sponsorship.id == id => change(sponsorship),
            _ => Ok(()),
        })
    }

    pub(crate) fn do_top_up(
        funder: T::AccountId,
        id: JobId,
        for_training: Balance,
        for_audits: Balance,
    ) -> DispatchResult {
        use attune_primitives::machine::Action;

        let mut job = Self::load(id)?;
        ensure!(job.funder == funder, Error::<T>::NotFunder);
        let both = for_training.checked_add(for_audits).ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(both > 0, Error::<T>::NothingToAdd);
        ensure!(!job.state.is_terminal(), Error::<T>::JobEnded);
        if for_training > 0 {
            ensure!(job.state.awaits_provider(), Error::<T>::PriceIsFrozen);
            Self::foresee(&job, Action::RaisePrice)?;
        }
        Self::foresee(&job, Action::RaiseAudits)?;
        T::Currency::hold(&HoldReason::Escrow.into(), &funder, both)
            .map_err(|_| Error::<T>::InsufficientBalance)?;
        Self::charge_top_up(&job, both)?;
        job.escrow = job.escrow.checked_add(for_training).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.audit_budget = job.audit_budget.checked_add(for_audits).ok_or(Error::<T>::ArithmeticOverflow)?;
        Jobs::<T>::insert(id, job);
        Self::deposit_event(Event::ToppedUp { job: id, funder, for_training, for_audits });
        Ok(())
    }
}
