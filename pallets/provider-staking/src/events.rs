//! What the pallet tells the world. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The events.
#[pallet_section]
mod events {
    /// What happened. Amounts are in planck.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A provider registered: it is active.
        Registered {
            /// The provider.
            provider: T::AccountId,
            /// Its operator key.
            operator: T::AccountId,
            /// Its commission.
            commission: Permill,
            /// Its self-bond.
            self_bond: Balance,
        },
        /// A provider changed its profile.
        ProfileChanged {
            /// The provider.
            provider: T::AccountId,
        },
        /// A provider changed its operator key.
        OperatorChanged {
            /// The provider.
            provider: T::AccountId,
            /// The key from now on.
            operator: T::AccountId,
        },
        /// A provider lowered its commission; a rise that was queued is gone.
        CommissionLowered {
            /// The provider.
            provider: T::AccountId,
            /// The commission from now on.
            commission: Permill,
        },
        /// A rise of a commission was queued, or one that was queued was lowered.
        CommissionRiseQueued {
            /// The provider.
            provider: T::AccountId,
            /// The commission then.
            to: Permill,
            /// First block of that commission.
            from_block: BlockNumber,
        },
        /// A provider withdrew the rise of its commission that was queued.
        CommissionRiseCancelled {
            /// The provider.
            provider: T::AccountId,
        },
        /// A provider went from active to chilled.
        Chilled {
            /// The provider.
            provider: T::AccountId,
        },
        /// A provider went from chilled to active.
        Unchilled {
            /// The provider.
            provider: T::AccountId,
        },
        /// A provider added to its self-bond.
        SelfBondAdded {
            /// The provider.
            provider: T::AccountId,
            /// What it added.
            amount: Balance,
        },
        /// A provider moved a part of its self-bond to unbonding.
        SelfUnbonding {
            /// The provider.
            provider: T::AccountId,
            /// What it moved.
            amount: Balance,
            /// First block at which it can be withdrawn.
            unlock_at: BlockNumber,
        },
        /// A delegator added stake to a pool.
        Delegated {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What it added.
            amount: Balance,
            /// The shares that it bought.
            shares: u128,
        },
        /// A delegator's shares moved to unbonding.
        Undelegated {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What the shares were worth.
            amount: Balance,
            /// The shares that left.
            shares: u128,
            /// First block at which the amount can be withdrawn.
            unlock_at: BlockNumber,
        },
        /// A delegator moved shares from one provider to another.
        Redelegated {
            /// The provider before.
            from: T::AccountId,
            /// The provider from now on.
            to: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What was moved.
            amount: Balance,
            /// The shares that left.
            shares_from: u128,
            /// The shares that it bought.
            shares_to: u128,
            /// First block at which the lien on them can end.
            lien_until: BlockNumber,
        },
        /// Redelegated stake paid for a slash of its old provider.
        LienCharged {
            /// The old provider.
            from: T::AccountId,
            /// The provider now.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What it paid.
            amount: Balance,
            /// The shares that were worth it.
            shares: u128,
        },
        /// Redelegated stake answers for its old provider no more.
        LienEnded {
            /// The old provider.
            from: T::AccountId,
            /// The provider now.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
        },
        /// Unbonded stake went back to its owner.
        Withdrawn {
            /// The provider.
            provider: T::AccountId,
            /// The owner.
            owner: T::AccountId,
            /// What it got.
            amount: Balance,
        },
        /// Income of a job was shared.
        IncomeShared {
            /// The provider.
            provider: T::AccountId,
            /// Commission and the self-bond's part, paid to the provider.
            to_provider: Balance,
            /// The delegators' part, which they can claim.
            to_delegators: Balance,
        },
        /// A delegator got its income.
        IncomeClaimed {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// What it got.
            amount: Balance,
        },
        /// A delegator's income was turned into shares.
        IncomeCompounded {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// The income.
            amount: Balance,
            /// The shares that it bought.
            shares: u128,
        },
        /// A delegator allowed, or forbade, others to turn its income into shares.
        AutoCompoundSet {
            /// The provider.
            provider: T::AccountId,
            /// The delegator.
            delegator: T::AccountId,
            /// True if it is allowed.
            enabled: bool,
        },
        /// A part of a pool was set aside as the bond of a job.
        BondLocked {
            /// The provider.
            provider: T::AccountId,
            /// The job.
            job: JobId,
            /// The bond.
            amount: Balance,
        },
        /// The bond of a job was freed.
        BondReleased {
            /// The provider.
            provider: T::AccountId,
            /// The job.
            job: JobId,
            /// The bond.
            amount: Balance,
        },
        /// A slash was booked: it waits. What of a job's bond is not slashed was freed.
        SlashBooked {
            /// The provider.
            provider: T::AccountId,
            /// The slash.
            slash: SlashId,
            /// What for.
            cause: Cause,
            /// What it is to take.
            amount: Balance,
            /// First block at which it can be applied.
            apply_at: BlockNumber,
        },
        /// A slash that waited was cancelled; nothing was taken.
        SlashCancelled {
            /// The provider.
            provider: T::AccountId,
            /// The slash.
            slash: SlashId,
            /// What it was to take.
            amount: Balance,
        },
        /// A slash was taken from the pool.
        Slashed {
            /// The provider.
            provider: T::AccountId,
            /// The slash.
            slash: SlashId,
            /// What for.
            cause: Cause,
            /// Taken from the self-bond.
            from_self_bond: Balance,
            /// Taken from the self-bond on its way out.
            from_self_unbonding: Balance,
            /// Taken from the active delegations.
            from_active: Balance,
            /// Taken from the unbonding delegations.
            from_unbonding: Balance,
            /// Paid to the customer.
            compensated: Balance,
            /// Owed to the customer, who can't receive it.
            owed: Balance,
            /// Paid to the reporter.
            rewarded: Balance,
            /// Given to the sink.
            remainder: Balance,
        },
        /// A customer got the compensation that it was owed.
        CompensationPaid {
            /// The provider that was slashed.
            provider: T::AccountId,
            /// The customer.
            customer: T::AccountId,
            /// What it got.
            amount: Balance,
        },
        /// A provider went from active or chilled to exiting.
        ExitBegun {
            /// The provider.
            provider: T::AccountId,
            /// True if a slash ruined its pool; false if the provider chose to.
            ruined: bool,
        },
        /// A provider answered when it was asked whether its worker runs.
        HeartbeatAnswered {
            /// The provider.
            provider: T::AccountId,
            /// The period that it was asked in.
            period: u32,
        },
        /// A provider did not answer.
        HeartbeatMissed {
            /// The provider.
            provider: T::AccountId,
            /// The period that it was asked in.
            period: u32,
        },
        /// A provider went from present to absent: until it answers its block rewards are cut and self-bond that it
        /// unbonds is locked longer.
        AbsenceBegun {
            /// The provider.
            provider: T::AccountId,
        },
        /// A provider went from absent to present.
        AbsenceEnded {
            /// The provider.
            provider: T::AccountId,
        },
        /// A period of heartbeats is over and not every provider was looked at in time. Those that were not have no
        /// consequence to bear for it.
        HeartbeatsUnjudged {
            /// The period.
            period: u32,
        },
        /// A provider and its pool were deleted.
        Deregistered {
            /// The provider.
            provider: T::AccountId,
            /// What was left on the pool account and went to the provider.
            remainder: Balance,
        },
    }
}
