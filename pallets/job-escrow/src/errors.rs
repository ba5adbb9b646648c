//! Why the pallet refuses a call: what was wrong, and what to change. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The errors.
#[pallet_section]
mod errors {
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
        /// Each time span but the bidding window must be above 0, all at most [`Config::MaxPhaseBlocks`]; there is no bidding
        /// window for a chosen provider.
        InvalidTiming,
        /// The price is 0, or above what the job may cost: its escrow, as long as it waits for a provider.
        InvalidPrice,
        /// The audit fee is below [`Config::MinAuditFee`].
        AuditFeeTooLow,
        /// The arithmetic names nothing: an empty execution class, or version 0 of exact arithmetic.
        InvalidArithmetic,
        /// The free balance of who pays doesn't cover it: for a job its price, audit fees and deposit.
        InsufficientBalance,
        /// The caller is not the customer of this job.
        NotCustomer,
        /// The caller is not the operator of the provider that this job is assigned to.
        NotAssignedProvider,
        /// The caller is not a provider's operator key.
        NotAnOperator,
        /// Neither the customer nor the sponsor may take the job, as provider or as operator key.
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
        /// The milestone is unknown or not committed, or verified already.
        MilestoneNotPayable,
        /// Nothing is owed.
        NothingOwed,
        /// The provider had this job before: it failed by its own fault, or gave it up before it started.
        ProviderExcluded,
        /// As many bids as are kept are lower or as low: bid less.
        BidsFull,
        /// The provider's present bid is as low or lower: a bid can only be lowered, or withdrawn.
        BidNotLower,
        /// The provider has no bid for this job.
        NoSuchBid,
        /// The caller is not who pays for this job.
        NotFunder,
        /// Both amounts are 0.
        NothingToAdd,
        /// A provider is assigned: its price stands. Only the audit budget can be added to.
        PriceIsFrozen,
        /// The job has ended.
        JobEnded,
        /// The job is being cancelled already: it ends with the audits of what is committed.
        AlreadyCalledOff,
        /// All work of the job is submitted: it is audited, and paid as it passes. It can't be cancelled any more.
        CannotCancelSubmitted,
        /// An auditor found a mismatch. Wait for the committee: a provider that is upheld goes on, and the job can be
        /// cancelled then; one that is convicted loses it.
        CannotCancelDisputed,
        /// There is no such sponsorship: the sponsor has never named this customer, or it was ended.
        NotSponsored,
        /// The sponsorship has expired, or would expire before it begins.
        SponsorshipExpired,
        /// The job would hold more than the sponsor pays for one job.
        AboveSponsorsJobLimit,
        /// The sponsor's limit is used up: wait for refunds, or ask it for more.
        SponsorExhausted,
        /// Nobody is its own sponsor.
        OwnSponsor,
        /// Before it expires, only the sponsor and the customer can end a sponsorship.
        NotYourSponsorship,
        /// The payee still can't receive: see that its account exists.
        StillUnpayable,
        /// The job was not ended long enough ago, or a payment is still owed.
        NotPrunable,
        /// A number left its range.
        ArithmeticOverflow,
        /// The chosen provider is not registered: check its account.
        UnknownProvider,
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
}
