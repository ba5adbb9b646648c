//! # Job escrow: who ordered what, and where its money is
//!
//! ## Terms
//! * **Job**: an order for a fine-tuned adapter. Its **specification** fixes everything that shapes the result.
//! * **Funder**: who pays: the customer, or a **sponsor** that has named it.
//! * **Escrow**: the part of the maximum price that is not paid out yet. **Audit budget**: the same for audit fees.
//!   Both stay on the funder's account, on hold.
//! * **Milestone**: a run of segments that is paid for by itself once its audits, and those before it, pass.
//! * **Assignment**: what is frozen when a provider accepts: price, commission, hardware, bond. **Attempt**: the time
//!   from there until the provider is done or fails. **Handover**: another provider goes on after a failed attempt.
//!
//! ## Rules
//! * A job moves only as `attune_primitives::machine::next` says. Each live state has one deadline; up to it the
//!   parties act, afterwards anyone may push it ([`Call::enforce_deadline`]).
//! * To create a job takes the maximum price, the audit budget (every first-round audit, and
//!   [`Config::CommitteeReserve`] more a milestone) and a deposit, all on hold. The funder may add to the maximum while
//!   no provider is assigned, and to the audit budget as long as the job lives ([`Call::top_up`]).
//! * The first provider who computes in the job's arithmetic and names a price at or under the maximum gets the job, or
//!   only the provider that the customer chose. With a bidding window, providers bid first and the lowest bid whose
//!   provider can still take the job wins when the window's deadline is pushed, the larger stake first among equals;
//!   without any the job is then open for the first quote. At most [`Config::MaxBids`] bids are kept, one a provider; a
//!   better one drops the worst.
//! * Neither the customer nor the sponsor, as a provider or as a provider's operator key, may take the job.
//! * What the price leaves of the maximum goes back at once. The provider's bond is sized from the audit odds and locked
//!   in its pool.
//! * A milestone is paid when it and all before it are verified, once. The last one gets what rounding left. A payee that
//!   can't receive is recorded as owed and can be paid later by anyone ([`Call::claim_owed`]): settlement never fails.
//! * Cancelling a job that has not started costs nothing. Cancelling a running one pays the provider
//!   [`Config::CancellationFee`] of what is unpaid, at most the share of the next milestone. While committed milestones
//!   are under audit, cancelling is only asked for: nothing more is committed, those audits go on, what they verify is
//!   paid, and with the last one (or at the deadline) the job is cancelled with the fee. A submitted or disputed job
//!   can't be cancelled: its work is done, or its provider on trial.
//! * A provider that lets a milestone's deadline pass loses [`Config::MissedPart`] of its bond; one that is convicted, or
//!   does not open its trace, all of it. From a slash the funder gets back what the attempt has cost in vain, the
//!   audit fees of milestones that are not verified. What is not verified is not paid, and what is paid stays paid.
//!   Where nobody can be blamed nobody is slashed. The table stands at `attune_primitives::machine::Failure::party`.
//! * A failed attempt reopens the job for the first quote, at most [`Config::MaxHandovers`] times. The next provider
//!   goes on after the last milestone that was paid, for at most what is unpaid; the remaining milestones' shares are
//!   scaled among themselves. If the audit budget doesn't cover the first-round audits of the rest, the shortfall comes
//!   out of the escrow; if that leaves nothing, the job ends. A provider that failed by its own fault, or gave the job
//!   up before it started, may not take it again. A job for a chosen provider is never handed over.
//! * A sponsor names a customer, a limit for all jobs together, one for each job, and a last block ([`Call::sponsor`]).
//!   Refunds and deposits go back to it and make room again. It ends a sponsorship at any time, the customer declines
//!   it, and anyone removes it once it has expired ([`Call::end_sponsorship`]); its jobs go on.
//! * When a job ends, what is left of escrow and audit budget goes back to the funder. After
//!   [`Config::PruneAfter`] blocks anyone may delete it ([`Call::prune_job`]), and the deposit goes back.
//!
//! ## Limitations
//! * No challenge call: the challenge window passes without one.
//! * A provider that never got the inputs and one that vanished before its start look the same on chain; neither is
//!   slashed, and each uses up a handover.
//! * Whoever goes on needs the last checkpoint of the one before, which serves it or doesn't: a checkpoint that nobody
//!   serves makes the next providers decline until no handover is left.
//! * A bid takes no deposit. What it needs is a registered provider with the free stake for its bond.
//! * Two accounts of one person pass for two people: self-dealing is refused by account and operator key only.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use views::*;
pub use weights::WeightInfo;

use frame_support::pallet_macros::import_section;

#[cfg(feature = "runtime-benchmarks")]
#[allow(clippy::arithmetic_side_effects, reason = "a benchmark that overflows fails, as it should")]
pub mod benchmarking;
mod due;
mod errors;
mod events;
mod handover;
mod lifecycle;
mod matching;
mod money;
mod settlement;
mod sponsors;
#[cfg(any(test, feature = "std", feature = "try-runtime"))]
#[allow(clippy::arithmetic_side_effects, reason = "a check that overflows has found something")]
mod try_state;
mod types;
mod views;
pub mod weights;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")]
mod mock;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")]
mod tests;

#[allow(missing_docs, reason = "the macro makes public items that it gives no documentation")]
#[allow(
    clippy::large_enum_variant,
    reason = "a call carries its specification; it is decoded once and not kept"
)]
#[import_section(events::events)]
#[import_section(errors::errors)]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    use attune_primitives::{
        job::JobSpec,
        machine::{Failure, JobState, TransitionError},
        page::Page,
        traits::{ProofOfTraining, Providers},
        Balance, BlockNumber, JobId,
    };
    use frame_support::{
        pallet_prelude::*,
        traits::{
            fungible::{Inspect, InspectHold, Mutate, MutateHold},
            UnixTime,
        },
    };
    use frame_system::pallet_prelude::*;
    use sp_arithmetic::Permill;

    /// The layout of what is stored.
    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the runtime chooses.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// The token.
        type Currency: Inspect<Self::AccountId, Balance = Balance>
            + Mutate<Self::AccountId>
            + InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
            + MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

        /// The runtime's reasons for a hold.
        type RuntimeHoldReason: From<HoldReason>;

        /// Who trains, and what stands behind them.
        type Providers: Providers<Self::AccountId>;

        /// Which models there are, and what becomes of a job's proofs when it ends.
        type Proof: ProofOfTraining<Self::AccountId>;

        /// Wall-clock time, for the records.
        type UnixTime: UnixTime;

        /// What the calls cost.
        type WeightInfo: WeightInfo;

        /// Deposit of a job, in planck.
        #[pallet::constant]
        type JobDeposit: Get<Balance>;

        /// Audit fees set aside for committees, for each milestone.
        #[pallet::constant]
        type CommitteeReserve: Get<u32>;

        /// Least fee of an audit, in planck: auditors are drawn and can't refuse.
        #[pallet::constant]
        type MinAuditFee: Get<Balance>;

        /// Longest time span that a specification may give a state, in blocks.
        #[pallet::constant]
        type MaxPhaseBlocks: Get<BlockNumber>;

        /// Least bond, as a part of the price.
        #[pallet::constant]
        type MinBondShare: Get<Permill>;

        /// Largest bond, as a multiple of the price.
        #[pallet::constant]
        type MaxBondMultiple: Get<u32>;

        /// What cancelling a running job costs, as a part of what is unpaid.
        #[pallet::constant]
        type CancellationFee: Get<Permill>;

        /// What a provider that misses a milestone loses, as a part of its bond.
        #[pallet::constant]
        type MissedPart: Get<Permill>;

        /// How long audits may take after the submission, in blocks.
        #[pallet::constant]
        type AuditWindow: Get<BlockNumber>;

        /// How long a verified job waits before it is final, in blocks.
        #[pallet::constant]
        type ChallengeWindow: Get<BlockNumber>;

        /// How long a dispute may take, in blocks.
        #[pallet::constant]
        type DisputeWindow: Get<BlockNumber>;

        /// How long an ended job is kept at least, in blocks.
        #[pallet::constant]
        type PruneAfter: Get<BlockNumber>;

        /// How often a job may be handed over; at most [`MAX_HANDOVERS`].
        #[pallet::constant]
        type MaxHandovers: Get<u32>;

        /// Most bids that are kept for a job.
        #[pallet::constant]
        type MaxBids: Get<u32>;

        /// Deposit of a sponsorship, in planck.
        #[pallet::constant]
        type SponsorshipDeposit: Get<Balance>;

        /// Sets up what benchmarks need of the neighbours.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: crate::benchmarking::BenchmarkHelper<Self::AccountId>;
    }

    /// Why money is on hold.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Price and audit fees of jobs, and what is owed to payees that could not receive.
        Escrow,
        /// Deposits of jobs and of sponsorships.
        Deposit,
    }

    /// The id of the next job.
    #[pallet::storage]
    pub type NextJobId<T: Config> = StorageValue<_, JobId, ValueQuery>;

    /// All jobs, ended ones too until they are pruned ([`Call::prune_job`]).
    #[pallet::storage]
    pub type Jobs<T: Config> = StorageMap<_, Twox64Concat, JobId, Job<T::AccountId>, OptionQuery>;

    /// Payments that a payee could not receive: job, then payee. Deleted by [`Call::claim_owed`].
    #[pallet::storage]
    pub type Owed<T: Config> =
        StorageDoubleMap<_, Twox64Concat, JobId, Blake2_128Concat, T::AccountId, Balance, ValueQuery>;

    /// Bids for a job, in the order in which they came. Goes when the bidding window is over or the job is cancelled.
    #[pallet::storage]
    pub type Bids<T: Config> =
        StorageMap<_, Twox64Concat, JobId, BoundedVec<Bid<T::AccountId>, T::MaxBids>, ValueQuery>;

    /// The id of the next sponsorship.
    #[pallet::storage]
    pub type NextSponsorshipId<T: Config> = StorageValue<_, SponsorshipId, ValueQuery>;

    /// Who pays for whom: sponsor, then customer. Deleted by [`Call::end_sponsorship`].
    #[pallet::storage]
    pub type Sponsorships<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        Sponsorship,
        OptionQuery,
    >;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::ChallengeWindow::get() > 0, "ChallengeWindow is 0: a job would be final at once");
            assert!(T::AuditWindow::get() > 0, "AuditWindow is 0: no audit could end");
            assert!(T::DisputeWindow::get() > 0, "DisputeWindow is 0: no dispute could end in time");
            assert!(T::MaxPhaseBlocks::get() > 0, "MaxPhaseBlocks is 0: no specification could be valid");
            assert!(T::MaxBondMultiple::get() > 0, "MaxBondMultiple is 0: jobs would have no bond");
            assert!(T::MaxBids::get() > 0, "MaxBids is 0: no bid could win");
            assert!(
                T::MaxHandovers::get() <= MAX_HANDOVERS,
                "MaxHandovers is above {MAX_HANDOVERS}, the providers that a job can exclude"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Orders a job. Puts the maximum price, the audit budget and the deposit on hold: on the caller's account, or on
        /// that of `sponsor`, which must have named the caller.
        ///
        /// # Errors
        /// That of the first rule which the specification breaks; `UnknownModel`, `UnknownProvider`, `SelfDealing`,
        /// `WrongArithmetic`, `InsufficientBalance`; with a sponsor `NotSponsored`, `SponsorshipExpired`,
        /// `AboveSponsorsJobLimit`, `SponsorExhausted`.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::create_job())]
        pub fn create_job(
            origin: OriginFor<T>,
            spec: JobSpec<T::AccountId>,
            sponsor: Option<T::AccountId>,
        ) -> DispatchResult {
            let customer = ensure_signed(origin)?;
            Self::do_create(customer, spec, sponsor)
        }

        /// Takes an open job at `price`. The caller is a provider's operator key.
        ///
        /// # Errors
        /// `UnknownJob`, `NotAnOperator`, `SelfDealing`, `NotChosenProvider`, `WrongArithmetic`, `ProviderExcluded`,
        /// `NotAllowedInState`, `DeadlineOver`, `InvalidPrice`; or the provider's free stake doesn't cover the bond.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::accept_job())]
        pub fn accept_job(
            origin: OriginFor<T>,
            job: JobId,
            #[pallet::compact] price: Balance,
        ) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_accept(operator, job, price)
        }

        /// The assigned provider has the inputs and starts.
        ///
        /// # Errors
        /// `UnknownJob`, `NotAnOperator`, `NotAssignedProvider`, `NotAllowedInState`, `DeadlineOver`.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::start_job())]
        pub fn start_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_start(operator, job)
        }

        /// The assigned provider gives the job back before it starts: the inputs never came, or don't fit.
        ///
        /// # Errors
        /// `UnknownJob`, `NotAnOperator`, `NotAssignedProvider`, `NotAllowedInState`, `DeadlineOver`.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::decline_job())]
        pub fn decline_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_decline(operator, job)
        }

        /// The customer calls the job off. Costs a fee once it runs. While committed work is under audit the job only begins
        /// to be cancelled: it ends with those audits.
        ///
        /// # Errors
        /// `UnknownJob`, `NotCustomer`, `DeadlineOver`; `CannotCancelSubmitted`, `CannotCancelDisputed`,
        /// `AlreadyCalledOff`, `JobEnded` in the states that they name.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::cancel_job())]
        pub fn cancel_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let customer = ensure_signed(origin)?;
            Self::do_cancel(customer, job)
        }

        /// Pushes a job whose deadline is over: to its end, to another provider, or from bidding to whoever has won. Anyone
        /// may call it, free of fees if the deadline is over.
        ///
        /// # Errors
        /// `UnknownJob`, `DeadlineNotOver`, `NotAllowedInState`; or the record can't be written.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::enforce_deadline()
            .max(T::WeightInfo::miss_milestone())
            .max(T::WeightInfo::end_bidding()))]
        #[pallet::feeless_if(|_: &OriginFor<T>, job: &JobId| -> bool { Pallet::<T>::is_deadline_due(*job) })]
        pub fn enforce_deadline(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_enforce_deadline(job)
        }

        /// Pays what is owed to `payee` from `job`. Anyone may call it.
        ///
        /// # Errors
        /// `UnknownJob`, `NothingOwed`, `StillUnpayable`.
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::claim_owed())]
        pub fn claim_owed(origin: OriginFor<T>, job: JobId, payee: T::AccountId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_claim_owed(job, payee)
        }

        /// Deletes a job that ended [`Config::PruneAfter`] blocks ago; its deposit goes back to the funder. Anyone may
        /// call it, free of fees once it may go.
        ///
        /// # Errors
        /// `UnknownJob`, `NotPrunable`.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::prune_job())]
        #[pallet::feeless_if(|_: &OriginFor<T>, job: &JobId| -> bool { Pallet::<T>::is_pruning_due(*job) })]
        pub fn prune_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_prune(job)
        }

        /// Bids `price` for a job in its bidding window, or lowers the caller's bid to it. The caller is a provider's
        /// operator key.
        ///
        /// # Errors
        /// `UnknownJob`, `NotAnOperator`, `SelfDealing`, `NotChosenProvider`, `WrongArithmetic`, `ProviderExcluded`,
        /// `NotAllowedInState`, `DeadlineOver`, `InvalidPrice`, `BidNotLower`, `BidsFull`; or the provider's free stake
        /// doesn't cover the bond.
        #[pallet::call_index(8)]
        #[pallet::weight(T::WeightInfo::place_bid())]
        pub fn place_bid(
            origin: OriginFor<T>,
            job: JobId,
            #[pallet::compact] price: Balance,
        ) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_place_bid(operator, job, price)
        }

        /// Takes the caller's bid back. The caller is a provider's operator key.
        ///
        /// # Errors
        /// `UnknownJob`, `NotAnOperator`, `NotAllowedInState`, `DeadlineOver`, `NoSuchBid`.
        #[pallet::call_index(9)]
        #[pallet::weight(T::WeightInfo::withdraw_bid())]
        pub fn withdraw_bid(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_withdraw_bid(operator, job)
        }

        /// The funder adds `for_training` to the maximum price while no provider is assigned, and `for_audits` to the audit
        /// budget.
        ///
        /// # Errors
        /// `UnknownJob`, `NotFunder`, `NothingToAdd`, `JobEnded`, `PriceIsFrozen`, `DeadlineOver`,
        /// `InsufficientBalance`.
        #[pallet::call_index(10)]
        #[pallet::weight(T::WeightInfo::top_up())]
        pub fn top_up(
            origin: OriginFor<T>,
            job: JobId,
            #[pallet::compact] for_training: Balance,
            #[pallet::compact] for_audits: Balance,
        ) -> DispatchResult {
            let funder = ensure_signed(origin)?;
            Self::do_top_up(funder, job, for_training, for_audits)
        }

        /// Lets `customer` order jobs that the caller pays for: all together up to `limit`, each up to `per_job`, until
        /// block `expires_at`. Called again it changes these; what is used of the limit stays counted. Takes a deposit
        /// while it exists.
        ///
        /// # Errors
        /// `OwnSponsor`, `SponsorshipExpired`, `InsufficientBalance`.
        #[pallet::call_index(11)]
        #[pallet::weight(T::WeightInfo::sponsor())]
        pub fn sponsor(
            origin: OriginFor<T>,
            customer: T::AccountId,
            #[pallet::compact] limit: Balance,
            #[pallet::compact] per_job: Balance,
            expires_at: BlockNumber,
        ) -> DispatchResult {
            let sponsor = ensure_signed(origin)?;
            Self::do_sponsor(sponsor, customer, limit, per_job, expires_at)
        }

        /// Ends a sponsorship; its deposit goes back. By the sponsor, by the customer, and by anyone once it has expired,
        /// free of fees then. Jobs that it pays for go on.
        ///
        /// # Errors
        /// `NotSponsored`, `NotYourSponsorship`.
        #[pallet::call_index(12)]
        #[pallet::weight(T::WeightInfo::end_sponsorship())]
        #[pallet::feeless_if(|_: &OriginFor<T>, sponsor: &T::AccountId, customer: &T::AccountId| -> bool {
            Pallet::<T>::has_sponsorship_expired(sponsor, customer)
        })]
        pub fn end_sponsorship(
            origin: OriginFor<T>,
            sponsor: T::AccountId,
            customer: T::AccountId,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_end_sponsorship(who, sponsor, customer)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// A job as a list shows it. `None` if there is none, or it is pruned.
        pub fn job_info(job: JobId) -> Option<JobInfo<T::AccountId>> {
            Self::view_job(job)
        }

        /// The jobs that fit `filter`, newest first, with ids below `before` (all if `None`), at most `limit` and at most
        /// 50. Go on with the answer's `next` until it is `None`; a page may be empty before that.
        pub fn jobs_page(
            filter: JobFilter<T::AccountId>,
            before: Option<JobId>,
            limit: u32,
        ) -> Page<JobInfo<T::AccountId>, JobId> {
            Self::view_jobs(&filter, before, limit)
        }

        /// A job's money: what is on hold, paid and owed. `None` if there is no such job.
        pub fn job_money(job: JobId) -> Option<JobMoney<T::AccountId>> {
            Self::view_money(job)
        }

        /// The bids for a job, those first that would win; empty outside its bidding window.
        pub fn bids_of(job: JobId) -> Vec<BidInfo<T::AccountId>> {
            Self::view_bids(job)
        }

        /// What a provider that asks `price` planck for a job would lock as its bond, or why it can't ask that.
        pub fn terms_of(job: JobId, price: Balance) -> Result<Terms, TermsRefusal> {
            Self::view_terms(job, price)
        }

        /// What ordering a job of this shape would put on hold, and the bond that would stand behind it.
        pub fn quote(shape: JobShape) -> Result<Quote, ShapeRefusal> {
            Self::view_quote(&shape)
        }

        /// What is left of a sponsorship. `None` if there is none.
        pub fn sponsorship_info(
            sponsor: T::AccountId,
            customer: T::AccountId,
        ) -> Option<SponsorshipInfo<T::AccountId>> {
            Self::view_sponsorship(sponsor, customer)
        }

        /// The sponsorships that an account gives, after that of customer `after` (from the first on if `None`), at most
        /// `limit` and at most 50. Their order is that of a hash.
        pub fn sponsorships_by(
            sponsor: T::AccountId,
            after: Option<T::AccountId>,
            limit: u32,
        ) -> Page<SponsorshipInfo<T::AccountId>, T::AccountId> {
            Self::view_sponsorships(&sponsor, after, limit)
        }

        /// What settlement owes `payee`, which could not receive it, by job, newest first; paged like
        /// `jobs_page`.
        pub fn owed_to(payee: T::AccountId, before: Option<JobId>, limit: u32) -> Page<OwedInfo, JobId> {
            Self::view_owed(&payee, before, limit)
        }
    }

    impl<T: Config> Pallet<T> {
        pub(crate) fn slashed_event(job: JobId, provider: T::AccountId, amount: Balance) {
            Self::deposit_event(Event::BondSlashed { job, provider, amount });
        }
    }
}
