//! What the pallet stores, and who deletes it. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The storage.
#[pallet_section]
mod storage {
    /// Registered providers. Deleted by [`Call::deregister`].
    #[pallet::storage]
    pub type Providers<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, Provider<T::AccountId>, OptionQuery>;

    /// Which provider an operator key acts for. Exactly one entry for each provider.
    #[pallet::storage]
    pub type Operators<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, OptionQuery>;

    /// All providers in the order of their accounts, so that a draw among them can be repeated.
    #[pallet::storage]
    pub type ProviderIds<T: Config> = StorageValue<_, BoundedVec<T::AccountId, T::MaxProviders>, ValueQuery>;

    /// The pool of each provider. Lives and dies with the provider.
    #[pallet::storage]
    pub type Pools<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Pool, OptionQuery>;

    /// Who delegated to whom: provider, then delegator. Deleted with the last share.
    #[pallet::storage]
    pub type Delegations<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        Delegation<T::AccountId>,
        OptionQuery,
    >;

    /// Delegators' stake on its way out: provider, then owner, in the order of unlocking. Deleted when it is withdrawn.
    #[pallet::storage]
    pub type Unbonding<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        BoundedVec<UnbondingChunk, ConstU32<MAX_UNBONDING>>,
        ValueQuery,
    >;

    /// Self-bonds on their way out, in the order of unlocking. Deleted when they are withdrawn, or slashed to nothing.
    #[pallet::storage]
    pub type SelfUnbonding<T: Config> = StorageMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        BoundedVec<SelfChunk, ConstU32<MAX_UNBONDING>>,
        ValueQuery,
    >;

    /// The pending slashes of a provider in the order of booking: what they hold back is told by one read. Slashes that an earlier runtime booked are missing; they count as booked before everything.
    /// Deleted with the last of them.
    #[pallet::storage]
    pub type SlashQueue<T: Config> = StorageMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        BoundedVec<QueuedSlash, ConstU32<MAX_PENDING_SLASHES>>,
        ValueQuery,
    >;

    /// Slashes that wait: provider, then slash, at most [`MAX_PENDING_SLASHES`] of a provider. Deleted when they are
    /// applied or cancelled.
    #[pallet::storage]
    pub type PendingSlashes<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Twox64Concat,
        SlashId,
        PendingSlash<T::AccountId>,
        OptionQuery,
    >;

    /// The number of the next slash.
    #[pallet::storage]
    pub type NextSlashId<T: Config> = StorageValue<_, SlashId, ValueQuery>;

    /// Compensation that a customer could not receive, in planck: provider, then customer. On hold on the pool account.
    /// Deleted when it is paid.
    #[pallet::storage]
    pub type OwedCompensation<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        Balance,
        ValueQuery,
    >;

    /// Bonds of open jobs, in planck: provider, then job. Deleted when the job ends.
    #[pallet::storage]
    pub type Bonds<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, JobId, Balance, OptionQuery>;

    /// The period of heartbeats that runs, with who is asked in it. Written in its first block; none before the pallet's
    /// first block.
    #[pallet::storage]
    pub type CurrentPeriod<T: Config> = StorageValue<_, Period, OptionQuery>;

    /// The latest period with a block that had no transactions, because a migration ran or had failed: nobody is judged for
    /// it. Never deleted.
    #[pallet::storage]
    pub type StoppedIn<T: Config> = StorageValue<_, u32, OptionQuery>;

    /// The search for those who did not answer in the period before. Deleted when it has seen every provider, or when
    /// the next one takes its place.
    #[pallet::storage]
    pub type Sweeping<T: Config> = StorageValue<_, Sweep<T::AccountId>, OptionQuery>;
}
