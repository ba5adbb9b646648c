//! What a page asks that lies in more than one pallet, answered in one call at one block: [`AttuneApi`].
//!
//! What lies in one pallet is a view function of that pallet; this API puts them together, and adds what only the whole
//! runtime knows: a job's life as a list of steps, everything that an account has, and whether the books agree with the
//! money.
//!
//! **Stable.** Methods keep their names, arguments and answers for as long as the API has the version that its
//! declaration says. A method may be added with a higher version; a client asks for the version that it was built for
//! (`RuntimeVersion.apis`). Answers are made for reading: an account or id that nobody knows is `None`, never an error.
//!
//! **Bounded.** Lists come page by page (`attune_primitives::page`), and no answer looks at more entries than a
//! constant says: a page's [`MAX_LOOKUPS`](attune_primitives::page::MAX_LOOKUPS), the registry's `MaxProviders`, or what
//! one job can have.

// The macro makes items that no one can write a comment on.
#![allow(missing_docs)]

mod accounts;
mod jobs;
mod solvency;
mod types;

pub(crate) use accounts::{account_overview, provider_overview};
pub(crate) use jobs::job_overview;
pub(crate) use solvency::{escrow_books, solvency};
pub use types::*;

use crate::{AccountId, Runtime};
use alloc::vec::Vec;
use attune_primitives::{page::Page, JobId, RecordId};
use pallet_job_escrow::{JobFilter, JobInfo, JobStates, NextJobId};
use pallet_proof_of_training::views::{RecordFilter, RecordInfo};
use pallet_provider_staking::ProviderInfo;

sp_api::decl_runtime_apis! {
    /// What pages ask. Amounts are in planck; pages hold at most 50 entries, and the list ends where `next` is `None`.
    #[api_version(1)]
    pub trait AttuneApi {
        /// A job: what it is, its money, bids, training and audits, and its life as a list of steps. `None` if there is
        /// no such job, or it is pruned; a finished one's record stays.
        fn job_overview(job: JobId) -> Option<JobOverview>;

        /// The jobs that wait for a provider, newest first, with ids below `before` (all if `None`).
        fn open_jobs(before: Option<JobId>, limit: u32) -> Page<JobInfo<AccountId>, JobId>;

        /// The records that fit `filter`, newest first, with ids below `before` (all if `None`).
        fn records(
            filter: RecordFilter<AccountId>,
            before: Option<RecordId>,
            limit: u32,
        ) -> Page<RecordInfo<AccountId>, RecordId>;

        /// The providers in the order of their accounts, from `from` on (the first if `None`).
        fn providers(from: Option<AccountId>, limit: u32) -> Page<ProviderInfo<AccountId>, AccountId>;

        /// A provider: what it offers, its pool, its own stake on its way out, pending slashes, and whether it makes
        /// blocks. `None` if the account is no provider.
        fn provider_overview(provider: AccountId) -> Option<ProviderOverview>;

        /// Everything that an account has: free and on hold by reason, its delegations with what they earned and when
        /// they are free, and what is owed to it. Looks at the pools of `providers` (at most 256 of them), or of all that
        /// are registered if it names none.
        fn account_overview(account: AccountId, providers: Vec<AccountId>) -> AccountOverview;

        /// Whether the pools' books agree with the money that is on hold for them, and how much of the token there is.
        fn solvency() -> Solvency;

        /// The books of jobs, newest first, with ids below `before` (all if `None`), each beside what is on hold on its
        /// funder's account. The sum of a funder's books, over all pages at one block, is its hold.
        fn escrow_books(before: Option<JobId>, limit: u32) -> Page<EscrowBooks, JobId>;
    }
}

pub(crate) fn open_jobs(before: Option<JobId>, limit: u32) -> Page<JobInfo<AccountId>, JobId> {
    let states = Some(JobStates::AwaitingProvider);
    crate::JobEscrow::view_jobs(&JobFilter { states, customer: None, provider: None }, before, limit)
}

pub(crate) fn records(
    filter: RecordFilter<AccountId>,
    before: Option<RecordId>,
    limit: u32,
) -> Page<RecordInfo<AccountId>, RecordId> {
    // A record has the id of its job.
    let next = NextJobId::<Runtime>::get();
    crate::ProofOfTraining::view_records(&filter, before.unwrap_or(next).min(next), limit)
}
