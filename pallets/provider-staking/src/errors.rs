//! Why the pallet refuses a call: what was wrong, and what to change. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The errors.
#[pallet_section]
mod errors {
    /// Why a call is refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The account is a provider already: use the calls that change a provider.
        AlreadyRegistered,
        /// No such provider: check the account, or register first.
        NotAProvider,
        /// The registry holds [`Config::MaxProviders`] providers: wait until one leaves.
        TooManyProviders,
        /// The profile's name, endpoint or class is empty or not printable text, or the class or endpoint is not ASCII.
        BadProfile,
        /// The operator key must not be the provider's own account: make a separate hot key.
        OperatorIsStash,
        /// The key is another provider's operator or account: use a key of its own.
        OperatorInUse,
        /// The account is a provider's operator key: register with another account.
        AccountIsOperator,
        /// The self-bond is below, or would fall below, [`Config::MinSelfBond`]. To take all of it out, exit.
        SelfBondTooLow,
        /// The commission is that already, and no rise is queued.
        CommissionUnchanged,
        /// A rise to less is queued: wait until it acts, or withdraw it by setting the commission that acts now.
        CommissionRisePending,
        /// The commission would rise by more than [`Config::MaxCommissionRise`]: rise in steps.
        CommissionRiseTooHigh,
        /// The provider is exiting or chilled and takes nothing new.
        NotActive,
        /// The provider is not chilled.
        NotChilled,
        /// The provider is exiting already.
        AlreadyExiting,
        /// The provider is not exiting: only an exiting provider's pool can be cleared by others.
        NotExiting,
        /// A provider bonds more; it can't delegate to itself.
        DelegationToSelf,
        /// The delegation is below, or what would be left of it is below, [`Config::MinDelegation`]. Take all of it out.
        DelegationTooLow,
        /// The account has no delegation to this provider.
        NotADelegator,
        /// The account has fewer shares than that.
        NotEnoughShares,
        /// The amount is zero.
        ZeroAmount,
        /// The account has [`MAX_UNBONDING`] entries on their way out of this pool: withdraw those that are free, or
        /// wait.
        TooManyUnbonding,
        /// Nothing of this account in this pool can be withdrawn yet.
        NothingToWithdraw,
        /// There is no income to claim.
        NothingToClaim,
        /// There is nothing of this account in this pool, or it can't be moved yet.
        NothingToEvict,
        /// What would be left in the pool does not cover the bonds of open jobs: wait until a job ends.
        StakeBacksBonds,
        /// What one slash could take of the pool, without what is locked, is below the bond: more stake is needed. Of
        /// delegations only [`Config::DelegatorLossCap`] counts.
        NotEnoughStake,
        /// A slash of this pool is pending: wait until it is applied (anyone can, when its time has come) or cancelled.
        SlashPending,
        /// The pool has no such slash: it was applied or cancelled.
        NoSuchSlash,
        /// The time of the slash has not come: it can be applied later.
        SlashNotDue,
        /// The time of the slash has come: it can't be cancelled any more.
        SlashDue,
        /// Nothing is owed to this account from this pool.
        NothingOwed,
        /// The account still can't receive what it is owed: it needs the existential deposit first.
        StillUnpayable,
        /// Customers are owed compensation from this pool: have it paid first.
        CompensationOwed,
        /// Both providers are the same.
        SameProvider,
        /// Redelegated stake answers for its old provider: wait until the lien's time is over and no slash of that
        /// provider is pending.
        LienOpen,
        /// The delegation has no lien.
        NoLien,
        /// The delegator has not allowed others to turn its income into shares.
        NotAutoCompound,
        /// The income is below [`Config::MinDelegation`]: claim it, or wait.
        IncomeTooLow,
        /// The job has a bond in this pool already.
        BondExists,
        /// The provider has open jobs: it can exit when they have ended.
        HasOpenBonds,
        /// There are delegators, stake, or bonds in the pool.
        PoolNotEmpty,
        /// The provider is not asked for a heartbeat in this period, or has answered: answer when `heartbeat_due` names a
        /// period.
        NotAsked,
        /// A number left its range.
        ArithmeticOverflow,
    }
}
