//! What must be true after every call.

use alloc::collections::BTreeMap;
use attune_primitives::{machine::JobState, Balance};
use frame_support::{ensure, traits::fungible::InspectHold};
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
        Self::owed_payments_belong_to_jobs()
    }

    /// Escrow, audit budgets and owed payments of each customer are what is on hold; deposits likewise.
    fn holds_equal_the_books() -> Result<(), TryRuntimeError> {
        let mut books: BTreeMap<T::AccountId, (Balance, Balance)> = BTreeMap::new();
        for (id, job) in Jobs::<T>::iter() {
            let owed: Balance = Owed::<T>::iter_prefix_values(id).sum();
            let (escrow, deposit) = books.entry(job.customer).or_default();
            *escrow += job.escrow + job.audit_budget + owed;
            *deposit += job.deposit;
        }
        for (customer, (escrow, deposit)) in books {
            let held = T::Currency::balance_on_hold(&HoldReason::Escrow.into(), &customer);
            ensure!(held == escrow, "escrow of a customer differs from its hold");
            let held = T::Currency::balance_on_hold(&HoldReason::Deposit.into(), &customer);
            ensure!(held == deposit, "deposits of a customer differ from their hold");
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
            ensure!(job.state != JobState::Open || job.assignment.is_none(), "an open job has an assignment");
            let milestones = u32::try_from(job.spec.milestones.len()).unwrap_or(u32::MAX);
            ensure!(job.milestones_committed <= milestones, "more milestones committed than there are");
            let paid_in_range = (0..32).filter(|i| job.is_paid(*i)).all(|i| i < job.milestones_committed);
            ensure!(paid_in_range, "a milestone is paid that was not committed");
            ensure!(job.state != JobState::Finalized || job.all_verified(), "a final job is not verified");
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
}
