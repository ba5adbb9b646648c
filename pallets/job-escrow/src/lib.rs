//! # Job escrow: who ordered what, and where its money is
//!
//! ## Terms
//! * **Job**: an order for a fine-tuned adapter. Its **specification** fixes everything that shapes the result.
//! * **Escrow**: the part of the maximum price that is not paid out yet. **Audit budget**: the same for audit fees.
//!   Both stay on the customer's account, on hold.
//! * **Milestone**: a run of segments that is paid for by itself once its audits pass.
//! * **Assignment**: what is frozen when a provider accepts: price, commission, hardware, bond.
//!
//! ## Rules
//! * A job moves only as `attune_primitives::machine::next` says. Each live state has one deadline; up to it the
//!   parties act, afterwards anyone may push it ([`Call::enforce_deadline`]).
//! * To create a job takes the maximum price, the audit budget (every first-round audit, and
//!   [`Config::CommitteeReserve`] more a milestone) and a deposit, all on hold.
//! * The first provider who computes in the job's arithmetic and names a price at or under the maximum gets the job, or
//!   only the provider that the customer chose. Neither the customer nor its accounts as provider may take it. What the
//!   price leaves of the maximum goes back at once. The provider's bond is sized from the audit odds and locked in
//!   its pool.
//! * A milestone is paid when it is verified, once. The last one gets what rounding left. A payee that can't receive
//!   is recorded as owed and can be paid later by anyone ([`Call::claim_owed`]): settlement never fails.
//! * Cancelling an open or assigned job costs nothing. Cancelling a running one pays the provider
//!   [`Config::CancellationFee`] of what is unpaid, at most the share of the next milestone. While a committed milestone
//!   is under audit the customer can't cancel: it would have work that it doesn't pay for.
//! * A provider that lets a milestone's deadline pass loses [`Config::MissedPart`] of its bond; one that is convicted, or
//!   does not open its trace, all of it. From a slash the customer gets back what the job has cost so far.
//!   Where nobody can be blamed nobody is slashed.
//! * When a job ends, what is left of escrow and audit budget goes back to the customer. After
//!   [`Config::PruneAfter`] blocks anyone may delete it ([`Call::prune_job`]), and the deposit goes back.
//!
//! ## Limitations
//! * No bidding window, no sponsors, no top-up, no handover to another provider: a job that fails ends.
//! * No challenge call: the challenge window passes without one.
//! * A provider that never got the inputs and one that vanished before its start look the same on chain; neither is
//!   slashed.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

mod lifecycle;
mod money;
mod settlement;
#[cfg(any(test, feature = "std", feature = "try-runtime"))]
#[allow(clippy::arithmetic_side_effects, reason = "a check that overflows has found something")]
mod try_state;
mod types;
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
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use attune_primitives::{
        job::JobSpec,
        machine::{JobState, TransitionError},
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

    /// The pallet.
    #[pallet::pallet]
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
    }

    /// Why money is on hold.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Price and audit fees of jobs, and what is owed to payees that could not receive.
        Escrow,
        /// Deposits of jobs.
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

    /// What happened. Amounts are in planck.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A job was created: it is open.
        JobCreated {
            /// The job.
            job: JobId,
            /// Who ordered and pays.
            customer: T::AccountId,
            /// The most that training may cost.
            max_price: Balance,
            /// What is set aside for audits.
            audit_budget: Balance,
            /// Last block on which a provider may accept.
            deadline: BlockNumber,
        },
        /// A provider accepted: open → assigned.
        JobAccepted {
            /// The job.
            job: JobId,
            /// Who will train.
            provider: T::AccountId,
            /// The price.
            price: Balance,
            /// The provider's bond.
            bond: Balance,
            /// Last block on which the provider may start.
            deadline: BlockNumber,
        },
        /// A job went from one state to another.
        StateChanged {
            /// The job.
            job: JobId,
            /// Where it was.
            from: JobState,
            /// Where it is.
            to: JobState,
            /// Last block on which the parties may act; 0 if the job has ended.
            deadline: BlockNumber,
        },
        /// A milestone was verified and paid.
        MilestonePaid {
            /// The job.
            job: JobId,
            /// The milestone, from 0.
            milestone: u32,
            /// Who is paid.
            provider: T::AccountId,
            /// What is paid.
            amount: Balance,
        },
        /// An auditor was paid.
        AuditorPaid {
            /// The job.
            job: JobId,
            /// Who is paid.
            auditor: T::AccountId,
            /// What is paid.
            amount: Balance,
        },
        /// The provider was paid for a job that the customer cancelled while it ran.
        CancellationPaid {
            /// The job.
            job: JobId,
            /// Who is paid.
            provider: T::AccountId,
            /// What is paid.
            amount: Balance,
        },
        /// A payee could not receive: the payment waits on the customer's account.
        PaymentOwed {
            /// The job.
            job: JobId,
            /// Who is owed.
            payee: T::AccountId,
            /// What is owed.
            amount: Balance,
        },
        /// An owed payment was made.
        OwedPaid {
            /// The job.
            job: JobId,
            /// Who is paid.
            payee: T::AccountId,
            /// What is paid.
            amount: Balance,
        },
        /// Money went back to the customer.
        Refunded {
            /// The job.
            job: JobId,
            /// Who gets it.
            customer: T::AccountId,
            /// What goes back.
            amount: Balance,
        },
        /// A slash of the provider's bond was booked; it acts when provider-staking's delay is over.
        BondSlashed {
            /// The job.
            job: JobId,
            /// Whose bond.
            provider: T::AccountId,
            /// What is to be taken from the pool.
            amount: Balance,
        },
        /// An ended job was deleted.
        JobPruned {
            /// The job.
            job: JobId,
        },
    }

    /// Why a call is refused.
    #[pallet::error]
    pub enum Error<T> {
        /// No such job: check the number; an ended job may have been pruned.
        UnknownJob,
        /// The model is not registered: register it, or choose one that is.
        UnknownModel,
        /// A job needs 1 to 128 segments, and at least one in each milestone.
        InvalidSegments,
        /// The milestones' shares must be above 0 and add up to 100 %.
        InvalidShares,
        /// An assurance needs 1 to 8 samples and 1 to 4 auditors.
        InvalidAssurance,
        /// A milestone has fewer segments than samples are drawn from it: draw less, or cut it finer.
        SamplesAboveSegments,
        /// The data set is empty, or its sequence length is out of range.
        InvalidData,
        /// Rank and alpha must be above 0, the rank at most 1,024.
        InvalidMethod,
        /// A hyper-parameter is out of range: learning rate, batch, accumulation, epsilon and steps above 0, betas below 1.
        InvalidHyperParameters,
        /// Each time span must be above 0 and at most [`Config::MaxPhaseBlocks`].
        InvalidTiming,
        /// The price is 0, or above the job's maximum.
        InvalidPrice,
        /// The audit fee is below [`Config::MinAuditFee`].
        AuditFeeTooLow,
        /// The arithmetic names nothing: an empty execution class, or version 0 of exact arithmetic.
        InvalidArithmetic,
        /// The customer's free balance doesn't cover price, audit fees and deposit.
        InsufficientBalance,
        /// The caller is not the customer of this job.
        NotCustomer,
        /// The caller is not the operator of the provider that this job is assigned to.
        NotAssignedProvider,
        /// The caller is not a provider's operator key.
        NotAnOperator,
        /// The customer may not take its own job.
        SelfDealing,
        /// The customer chose another provider.
        NotChosenProvider,
        /// The provider doesn't compute in the job's arithmetic.
        WrongArithmetic,
        /// The job's state doesn't allow this.
        NotAllowedInState,
        /// The deadline of the job's state is over.
        DeadlineOver,
        /// The deadline of the job's state is not over yet.
        DeadlineNotOver,
        /// The milestone is unknown, or paid already.
        MilestoneNotPayable,
        /// Nothing is owed.
        NothingOwed,
        /// The payee still can't receive: see that its account exists.
        StillUnpayable,
        /// The job was not ended long enough ago, or a payment is still owed.
        NotPrunable,
        /// A number left its range.
        ArithmeticOverflow,
        /// The chosen provider is not registered: check its account.
        UnknownProvider,
        /// A committed milestone is under audit: it is paid, or the job fails. Cancel after that.
        MilestoneUnderAudit,
        /// Milestones are committed in order, each once.
        MilestoneOutOfOrder,
        /// A result is submitted when all milestones are committed.
        NotAllCommitted,
    }

    impl<T> From<TransitionError> for Error<T> {
        fn from(error: TransitionError) -> Self {
            match error {
                TransitionError::NotAllowed => Error::NotAllowedInState,
                TransitionError::TooLate => Error::DeadlineOver,
                TransitionError::TooEarly => Error::DeadlineNotOver,
            }
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(T::ChallengeWindow::get() > 0, "ChallengeWindow is 0: a job would be final at once");
            assert!(T::AuditWindow::get() > 0, "AuditWindow is 0: no audit could end");
            assert!(T::DisputeWindow::get() > 0, "DisputeWindow is 0: no dispute could end in time");
            assert!(T::MaxPhaseBlocks::get() > 0, "MaxPhaseBlocks is 0: no specification could be valid");
            assert!(T::MaxBondMultiple::get() > 0, "MaxBondMultiple is 0: jobs would have no bond");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Orders a job. Puts the maximum price, the audit budget and the deposit on hold.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::create_job())]
        pub fn create_job(origin: OriginFor<T>, spec: JobSpec<T::AccountId>) -> DispatchResult {
            let customer = ensure_signed(origin)?;
            Self::do_create(customer, spec)
        }

        /// Takes an open job at `price`. The caller is a provider's operator key.
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
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::start_job())]
        pub fn start_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_start(operator, job)
        }

        /// The assigned provider gives the job back before it starts: the inputs never came, or don't fit.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::close_job())]
        pub fn decline_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let operator = ensure_signed(origin)?;
            Self::do_decline(operator, job)
        }

        /// The customer calls the job off. Costs a fee once it runs; refused once it is submitted or disputed.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::close_job())]
        pub fn cancel_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            let customer = ensure_signed(origin)?;
            Self::do_cancel(customer, job)
        }

        /// Pushes a job whose deadline is over to its end. Anyone may call it.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::close_job())]
        pub fn enforce_deadline(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_enforce_deadline(job)
        }

        /// Pays what is owed to `payee` from `job`. Anyone may call it.
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::claim_owed())]
        pub fn claim_owed(origin: OriginFor<T>, job: JobId, payee: T::AccountId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_claim_owed(job, payee)
        }

        /// Deletes a job that ended [`Config::PruneAfter`] blocks ago; its deposit goes back to the customer. Anyone may
        /// call it.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::prune_job())]
        pub fn prune_job(origin: OriginFor<T>, job: JobId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_prune(job)
        }
    }

    impl<T: Config> Pallet<T> {
        pub(crate) fn slashed_event(job: JobId, provider: T::AccountId, amount: Balance) {
            Self::deposit_event(Event::BondSlashed { job, provider, amount });
        }
    }
}
