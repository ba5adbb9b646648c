//! What must hold after every block: the books agree with each other and with the money on hold.

use alloc::collections::BTreeMap;

use attune_primitives::Balance;
use frame_support::{
    ensure,
    traits::fungible::{Inspect, InspectHold},
};
use sp_runtime::TryRuntimeError;

use crate::*;

impl<T: Config> Pallet<T> {
    /// Runs every check.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        ensure!(
            StoppedIn::<T>::get().is_none_or(|period| period < Self::next_period()),
            "a period is noted that is yet to begin"
        );
        Self::check_registry()?;
        Self::check_pools_are_held()?;
        Self::check_shares_add_up()?;
        Self::check_self_unbonding_adds_up()?;
        Self::check_exposure()?;
        Self::check_liens()?;
        Self::check_heartbeats()?;
        Self::check_income_is_covered()
    }

    fn check_registry() -> Result<(), TryRuntimeError> {
        let ids = ProviderIds::<T>::get();
        ensure!(ids.windows(2).all(|w| w[0] < w[1]), "provider ids are not sorted, or one stands twice");
        ensure!(Providers::<T>::iter().count() == ids.len(), "ids and providers differ");
        ensure!(Pools::<T>::iter().count() == ids.len(), "pools and providers differ");
        ensure!(Operators::<T>::iter().count() == ids.len(), "operators and providers differ");
        for id in ids {
            let provider = Providers::<T>::get(&id).ok_or("an id has no provider")?;
            ensure!(Pools::<T>::contains_key(&id), "a provider has no pool");
            ensure!(
                Operators::<T>::get(&provider.operator) == Some(id.clone()),
                "an operator key points elsewhere"
            );
            let held = T::Currency::balance_on_hold(&HoldReason::Deposit.into(), &id);
            ensure!(held == provider.deposit, "a provider's deposit is not its hold");
        }
        Ok(())
    }

    fn check_pools_are_held() -> Result<(), TryRuntimeError> {
        for (id, pool) in Pools::<T>::iter() {
            let held = T::Currency::balance_on_hold(&HoldReason::Pool.into(), &Self::pool_account_of(&id));
            let booked = pool.total().and_then(|total| total.checked_add(pool.owed));
            ensure!(Some(held) == booked, "a pool's stake and what it owes are not its hold");
            let owed: Balance = OwedCompensation::<T>::iter_prefix(&id).map(|(_, amount)| amount).sum();
            ensure!(owed == pool.owed, "a pool's debt is not the sum of its customers'");
        }
        Ok(())
    }

    fn check_shares_add_up() -> Result<(), TryRuntimeError> {
        let (mut active, mut leaving) = (BTreeMap::new(), BTreeMap::new());
        let mut delegators = BTreeMap::<T::AccountId, u32>::new();
        for (provider, _, delegation) in Delegations::<T>::iter() {
            ensure!(delegation.shares > 0, "a delegation has no shares");
            *active.entry(provider.clone()).or_insert(0u128) += delegation.shares;
            *delegators.entry(provider).or_default() += 1;
        }
        for (provider, _, chunks) in Unbonding::<T>::iter() {
            ensure!(!chunks.is_empty(), "an empty unbonding entry is stored");
            ensure!(chunks.windows(2).all(|w| w[0].unlock_at < w[1].unlock_at), "unbonding is not in order");
            for chunk in chunks {
                ensure!(chunk.shares > 0, "an unbonding chunk has no shares");
                *leaving.entry(provider.clone()).or_insert(0u128) += chunk.shares;
            }
        }
        for (id, pool) in Pools::<T>::iter() {
            ensure!(
                active.remove(&id).unwrap_or_default() == pool.active.shares,
                "active shares don't add up"
            );
            ensure!(
                leaving.remove(&id).unwrap_or_default() == pool.unbonding.shares,
                "unbonding shares don't add up"
            );
            ensure!(
                delegators.remove(&id).unwrap_or_default() == pool.delegators,
                "delegators are miscounted"
            );
            for bucket in [pool.active, pool.unbonding] {
                ensure!(bucket.shares > 0 || bucket.balance == 0, "a bucket without shares has a balance");
            }
        }
        ensure!(active.is_empty() && leaving.is_empty(), "stake without a pool");
        Ok(())
    }

    fn check_self_unbonding_adds_up() -> Result<(), TryRuntimeError> {
        for (id, chunks) in SelfUnbonding::<T>::iter() {
            ensure!(Pools::<T>::contains_key(&id), "a self-bond on its way out has no pool");
            ensure!(!chunks.is_empty(), "an empty entry of unbonding self-bond is stored");
            ensure!(chunks.windows(2).all(|w| w[0].unlock_at < w[1].unlock_at), "it is not in order");
            ensure!(chunks.iter().all(|chunk| chunk.amount > 0), "a chunk of self-bond is empty");
        }
        for (id, pool) in Pools::<T>::iter() {
            let sum: Balance = SelfUnbonding::<T>::get(&id).iter().map(|chunk| chunk.amount).sum();
            ensure!(sum == pool.self_unbonding, "unbonding self-bond doesn't add up");
            ensure!(!Unbonding::<T>::contains_key(&id, &id), "a provider has shares of its own pool");
        }
        Ok(())
    }

    fn check_exposure() -> Result<(), TryRuntimeError> {
        let mut sums = BTreeMap::<T::AccountId, (Balance, u32, u32)>::new();
        for (provider, _, bond) in Bonds::<T>::iter() {
            let (sum, bonds, _) = sums.entry(provider).or_default();
            *sum += bond;
            *bonds += 1;
        }
        for (provider, id, slash) in PendingSlashes::<T>::iter() {
            ensure!(id < NextSlashId::<T>::get(), "a slash has a number that is not given yet");
            ensure!(slash.amount > 0, "a pending slash is for nothing");
            let (sum, _, slashes) = sums.entry(provider).or_default();
            *sum += slash.amount;
            *slashes += 1;
        }
        for (provider, queue) in SlashQueue::<T>::iter() {
            ensure!(!queue.is_empty(), "an empty queue of slashes is stored");
            ensure!(
                queue.is_sorted_by_key(|queued| (queued.booked, queued.id)),
                "slashes are not in the order of booking"
            );
            let is_pending = |queued: &QueuedSlash| PendingSlashes::<T>::contains_key(&provider, queued.id);
            ensure!(queue.iter().all(is_pending), "a slash is queued that is not pending");
            // Those that an earlier runtime booked are not queued, and have lower numbers.
            let first = queue.first().map(|queued| queued.id);
            let known =
                PendingSlashes::<T>::iter_key_prefix(&provider).filter(|id| Some(*id) >= first).count();
            ensure!(known == queue.len(), "a slash is not queued that was booked after one that is");
        }
        for (id, pool) in Pools::<T>::iter() {
            let found = sums.remove(&id).unwrap_or_default();
            let booked = (pool.locked, pool.bonds, pool.pending_slashes);
            ensure!(found == booked, "exposure is not the sum of open bonds and pending slashes");
            ensure!(pool.pending_slashes <= MAX_PENDING_SLASHES, "too many slashes are pending");
        }
        ensure!(sums.is_empty(), "a bond or slash without a pool");
        Ok(())
    }

    fn check_liens() -> Result<(), TryRuntimeError> {
        let mut moved = BTreeMap::<T::AccountId, Balance>::new();
        for (provider, _, delegation) in Delegations::<T>::iter() {
            let Some(lien) = delegation.lien else { continue };
            ensure!(lien.from != provider, "a lien is for the provider that has the stake");
            ensure!(
                lien.shares > 0 && lien.shares <= delegation.shares,
                "a lien is on shares that are not there"
            );
            ensure!(lien.amount > 0, "a lien is for nothing");
            let old = Pools::<T>::get(&lien.from).ok_or("the old pool of a lien is gone")?;
            ensure!(lien.survival >= old.survival, "a pool has more left than before");
            *moved.entry(lien.from).or_default() += lien.amount;
        }
        for (id, pool) in Pools::<T>::iter() {
            ensure!(
                moved.remove(&id).unwrap_or_default() == pool.moved,
                "moved stake is not the sum of its liens"
            );
            ensure!(pool.survival <= SURVIVAL_SCALE, "a pool has more left than it began with");
        }
        Ok(())
    }

    fn check_heartbeats() -> Result<(), TryRuntimeError> {
        let now = Self::now();
        let running = CurrentPeriod::<T>::get();
        if let Some(running) = &running {
            ensure!(running.number < Self::next_period(), "a period of heartbeats runs that has not begun");
        }
        if let Some(sweep) = Sweeping::<T>::get() {
            let next = running.map(|running| running.number);
            ensure!(next == sweep.period.number.checked_add(1), "a period is swept that is not the last one");
        }
        for (_, Provider { presence, reputation, .. }) in Providers::<T>::iter() {
            ensure!(
                presence.due_from <= Self::next_period().saturating_add(GRACE_PERIODS),
                "a provider is excused from heartbeats for too long"
            );
            if let Some(since) = presence.absent_since {
                ensure!(since <= now, "an absence begins in the future");
                ensure!(reputation.heartbeats_missed > 0, "a provider is absent that has missed nothing");
                ensure!(presence.due_from > 0, "a provider is absent and still due for the first period");
            }
        }
        Ok(())
    }

    fn check_income_is_covered() -> Result<(), TryRuntimeError> {
        let mut pending = BTreeMap::<T::AccountId, Balance>::new();
        for (provider, who, _) in Delegations::<T>::iter() {
            *pending.entry(provider.clone()).or_default() += Self::pending_income(&provider, &who);
        }
        for (id, pool) in Pools::<T>::iter() {
            let owed = pending.remove(&id).unwrap_or_default();
            ensure!(owed <= pool.reserved_income, "delegators could claim more than is reserved");
            let free = T::Currency::balance(&Self::pool_account_of(&id));
            let needed = pool.reserved_income + T::Currency::minimum_balance();
            ensure!(free >= needed, "reserved income is not on the pool account");
        }
        Ok(())
    }
}
