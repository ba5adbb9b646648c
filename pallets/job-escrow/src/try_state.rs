//! What must be true after every call.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use attune_primitives::{machine::JobState, Balance};
use frame_support::{
    ensure,
    traits::{fungible::InspectHold, Get},
};
use sp_runtime::TryRuntimeError;

use crate::*;

impl<T: Config> Pallet<T> {
    /// Runs every check.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::holds_equal_the_books()?;
        Self::each_job_is_consistent()?;
        Self::milestones_are_paid_in_order()?;
        Self::handovers_are_accounted_for()?;
        Self::owed_payments_belong_to_jobs()?;
        Self::bids_belong_to_bidding_jobs()?;
        Self::sponsorships_count_what_their_jobs_hold()
    }

    /// Escrow, audit budgets and owed payments of each funder are what is on hold; deposits of jobs and of sponsorships
    /// likewise.
    fn holds_equal_the_books() -> Result<(), TryRuntimeError> {
        let mut books: BTreeMap<T::AccountId, (Balance, Balance)> = BTreeMap::new();
        for (id, job) in Jobs::<T>::iter() {
            let owed: Balance = Owed::<T>::iter_prefix_values(id).sum();
            let (escrow, deposit) = books.entry(job.funder).or_default();
            *escrow += job.escrow + job.audit_budget + owed;
            *deposit += job.deposit;
        }
        for (sponsor, _, sponsorship) in Sponsorships::<T>::iter() {
            books.entry(sponsor).or_default().1 += sponsorship.deposit;
        }
        for (funder, (escrow, deposit)) in books {
            let held = T::Currency::balance_on_hold(&HoldReason::Escrow.into(), &funder);
            ensure!(held == escrow, "escrow of a funder differs from its hold");
            let held = T::Currency::balance_on_hold(&HoldReason::Deposit.into(), &funder);
            ensure!(held == deposit, "deposits of a funder differ from their hold");
        }
        Ok(())
    }

    fn each_job_is_consistent() -> Result<(), TryRuntimeError> {
        for (id, job) in Jobs::<T>::iter() {
            ensure!(id < NextJobId::<T>::get(), "a job has an id that was not handed out");
            let ended = job.state.is_terminal();
            ensure!(ended == job.closed_at.is_some(), "exactly the ended jobs have a block of their end");
            ensure!(!ended || (job.escrow == 0 && job.audit_budget == 0), "an ended job holds money");
            ensure!(ended || job.deadline > 0, "a live job has no deadline");
            ensure!(!job.state.is_bonded() || job.assignment.is_some(), "a bonded job has no assignment");
            let waits = job.state.awaits_provider();
            ensure!(!waits || job.assignment.is_none(), "a job that waits for a provider has an assignment");
            ensure!(!waits || job.escrow > 0, "a job that waits for a provider has nothing to pay it");
            ensure!(job.state != JobState::Finalized || job.all_verified(), "a final job is not verified");
            ensure!(
                job.sponsorship.is_some() == (job.funder != job.customer),
                "exactly the sponsored jobs are paid for by somebody else"
            );
            ensure!(job.audit_fees.len() == job.spec.milestones.len(), "fees are kept for each milestone");
        }
        Ok(())
    }

    /// Committed, verified and paid milestones: what is paid is the longest prefix of what is verified.
    fn milestones_are_paid_in_order() -> Result<(), TryRuntimeError> {
        for job in Jobs::<T>::iter_values() {
            let milestones = u32::try_from(job.spec.milestones.len()).unwrap_or(u32::MAX);
            ensure!(job.milestones_committed <= milestones, "more milestones committed than there are");
            ensure!(
                job.milestones_paid <= job.milestones_committed,
                "a milestone is paid that is not committed"
            );
            let verified = (0..32).filter(|i| job.is_verified(*i)).collect::<Vec<_>>();
            ensure!(verified.iter().all(|i| *i < job.milestones_committed), "verified, but not committed");
            ensure!((0..job.milestones_paid).all(|i| job.is_verified(i)), "paid, but not verified");
            ensure!(!job.is_verified(job.milestones_paid), "verified, with all before it, but not paid");
        }
        Ok(())
    }

    /// Tranches follow each other and end where the present attempt begins.
    fn handovers_are_accounted_for() -> Result<(), TryRuntimeError> {
        for job in Jobs::<T>::iter_values() {
            ensure!(job.handovers <= T::MaxHandovers::get(), "a job was handed over too often");
            let excluded = u32::try_from(job.excluded.len()).unwrap_or(u32::MAX);
            ensure!(excluded <= job.handovers, "more providers are excluded than gave the job up");
            ensure!(job.spent_before <= job.spent, "more was spent before than in all");
            let mut next = 0;
            for tranche in &job.tranches {
                ensure!(tranche.first_milestone == next, "a milestone lies between two tranches");
                ensure!(tranche.last_milestone >= next, "a tranche has no milestone");
                next = tranche.last_milestone + 1;
            }
            let first = job.assignment.as_ref().map_or(job.milestones_paid, |a| a.first_milestone);
            ensure!(first == next, "an attempt does not begin where the last tranche ended");
            let taken = job.assignment.as_ref().filter(|_| job.state.is_bonded());
            let is_former = taken.is_some_and(|a| job.excluded.contains(&a.provider));
            ensure!(!is_former, "a provider has a job that it failed");
        }
        Ok(())
    }

    fn owed_payments_belong_to_jobs() -> Result<(), TryRuntimeError> {
        for (id, _, amount) in Owed::<T>::iter() {
            ensure!(Jobs::<T>::contains_key(id), "a payment is owed from a job that is gone");
            ensure!(amount > 0, "an owed payment is empty");
        }
        Ok(())
    }

    /// Each list of bids has some, one a provider, at prices that the job could pay.
    fn bids_belong_to_bidding_jobs() -> Result<(), TryRuntimeError> {
        for (id, bids) in Bids::<T>::iter() {
            let job = Jobs::<T>::get(id).ok_or("bids for a job that is gone")?;
            ensure!(job.state == JobState::Bidding, "bids for a job that takes none");
            ensure!(!bids.is_empty(), "an empty list of bids is stored");
            let bidders: BTreeSet<_> = bids.iter().map(|bid| &bid.provider).collect();
            ensure!(bidders.len() == bids.len(), "a provider has two bids");
            let payable = bids.iter().all(|bid| bid.price > 0 && bid.price <= job.escrow);
            ensure!(payable, "a bid is 0 or above the maximum");
        }
        Ok(())
    }

    /// What live and kept jobs hold and have spent is part of what their sponsorship counts.
    fn sponsorships_count_what_their_jobs_hold() -> Result<(), TryRuntimeError> {
        let mut used: BTreeMap<SponsorshipId, Balance> = BTreeMap::new();
        for job in Jobs::<T>::iter_values() {
            if let Some(id) = job.sponsorship {
                ensure!(id < NextSponsorshipId::<T>::get(), "a job names a sponsorship that never was");
                *used.entry(id).or_default() += job.escrow + job.audit_budget + job.deposit + job.spent;
            }
        }
        for (_, _, sponsorship) in Sponsorships::<T>::iter() {
            let counted = used.get(&sponsorship.id).copied().unwrap_or_default();
            ensure!(sponsorship.used >= counted, "a sponsorship counts less than its jobs hold and spent");
        }
        Ok(())
    }
}
