//! What is due: pushes that anyone may make, and that cost nothing if they do their work now.
//!
//! One idea: a push is free exactly when it succeeds, and its success ends what made it due. A second copy finds nothing
//! due and is charged. Each answer reads no more than the call reads anyway, so the calls' weights hold it.

use attune_primitives::{machine::Action, JobId};
use frame_support::traits::Get;

use crate::*;

impl<T: Config> Pallet<T> {
    /// True if [`Call::enforce_deadline`] would push the job now.
    pub fn is_deadline_due(job: JobId) -> bool {
        Jobs::<T>::get(job).is_some_and(|job| Self::foresee(&job, Action::DeadlinePassed).is_ok())
    }

    /// True if [`Call::prune_job`] would delete the job now.
    pub fn is_pruning_due(job: JobId) -> bool {
        Jobs::<T>::get(job).is_some_and(|stored| Self::is_prunable(job, &stored))
    }

    /// True if `job` ended long enough ago and nothing of it is owed any more.
    pub(crate) fn is_prunable(id: JobId, job: &Job<T::AccountId>) -> bool {
        let from = job.closed_at.and_then(|closed_at| closed_at.checked_add(T::PruneAfter::get()));
        from.is_some_and(|from| Self::now() >= from) && Owed::<T>::iter_prefix(id).next().is_none()
    }

    /// True if [`Call::end_sponsorship`] is open to anyone: the sponsorship has expired.
    pub fn has_sponsorship_expired(sponsor: &T::AccountId, customer: &T::AccountId) -> bool {
        Sponsorships::<T>::get(sponsor, customer)
            .is_some_and(|sponsorship| Self::now() > sponsorship.expires_at)
    }
}
