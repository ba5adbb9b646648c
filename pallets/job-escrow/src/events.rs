//! What the pallet tells the world. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The events.
#[pallet_section]
mod events {
    /// What happened. Amounts are in planck.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A job was created.
        JobCreated {
            /// The job.
            job: JobId,
            /// Who ordered.
            customer: T::AccountId,
            /// Who pays: the customer or its sponsor.
            funder: T::AccountId,
            /// The most that training may cost.
            max_price: Balance,
            /// What is set aside for audits.
            audit_budget: Balance,
            /// Where it begins: open or bidding.
            state: JobState,
            /// Last block on which a provider may accept or bid.
            deadline: BlockNumber,
        },
        /// A provider bid, or lowered its bid.
        BidPlaced {
            /// The job.
            job: JobId,
            /// Who bids.
            provider: T::AccountId,
            /// What it asks.
            price: Balance,
        },
        /// A provider took its bid back.
        BidWithdrawn {
            /// The job.
            job: JobId,
            /// Whose bid.
            provider: T::AccountId,
        },
        /// The list of bids was full: the worst one made room for a better one.
        BidDropped {
            /// The job.
            job: JobId,
            /// Whose bid.
            provider: T::AccountId,
            /// What it asked.
            price: Balance,
        },
        /// The funder added to a job's maximum price or audit budget.
        ToppedUp {
            /// The job.
            job: JobId,
            /// Who pays.
            funder: T::AccountId,
            /// Added to the maximum price.
            for_training: Balance,
            /// Added to the audit budget.
            for_audits: Balance,
        },
        /// A provider accepted, or its bid won: open or bidding → assigned.
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
        /// An attempt failed and the job is open again: another provider may go on.
        HandedOver {
            /// The job.
            job: JobId,
            /// Who had it.
            provider: T::AccountId,
            /// Why it has it no more.
            failure: Failure,
            /// The first milestone that is still to be trained.
            first_milestone: u32,
            /// The most that the next provider may ask for it and those after it.
            max_price: Balance,
            /// What is set aside for audits.
            audit_budget: Balance,
            /// Last block on which a provider may accept.
            deadline: BlockNumber,
        },
        /// A milestone was paid: it and all before it are verified.
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
        /// A payee could not receive: the payment waits on the funder's account.
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
        /// Money went back to the funder.
        Refunded {
            /// The job.
            job: JobId,
            /// Who gets it.
            funder: T::AccountId,
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
        /// Somebody pays for a customer's jobs, or has changed how much.
        Sponsored {
            /// Who pays.
            sponsor: T::AccountId,
            /// For whom.
            customer: T::AccountId,
            /// The most that all jobs together may hold and spend.
            limit: Balance,
            /// The most that one job may hold when it is created.
            per_job: Balance,
            /// Last block on which a job may be created.
            expires_at: BlockNumber,
        },
        /// A sponsorship was ended; its deposit went back to the sponsor.
        SponsorshipEnded {
            /// Who paid.
            sponsor: T::AccountId,
            /// For whom.
            customer: T::AccountId,
        },
    }
}
