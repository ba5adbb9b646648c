//! Slashes, from the conviction to the money. A conviction only books a slash; nothing of it leaves the pool until its
//! delay is over, in which governance may cancel it. The amount counts as locked meanwhile and nobody withdraws who was
//! bound when it was booked, so what the slash is to take can't run away.

use attune_primitives::{Balance, BlockNumber, JobId};
use frame_support::{
    defensive,
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::{
        fungible::{BalancedHold, MutateHold},
        tokens::{Fortitude, Precision, Restriction},
        OnUnbalanced,
    },
};
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

use crate::*;

/// What a slash takes from each part of a pool, in planck.
#[derive(Default)]
struct Cut {
    self_bond: Balance,
    self_unbonding: Balance,
    active: Balance,
    unbonding: Balance,
}

impl Cut {
    /// What the provider itself loses.
    fn own(&self) -> Option<Balance> {
        self.self_bond.checked_add(self.self_unbonding)
    }

    fn sum(&self) -> Option<Balance> {
        self.own()?.checked_add(self.active)?.checked_add(self.unbonding)
    }
}

/// Where the taken money went, in planck.
#[derive(Default)]
struct Split {
    compensated: Balance,
    owed: Balance,
    rewarded: Balance,
    remainder: Balance,
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_slash_bond(
        provider: &T::AccountId,
        job: JobId,
        part: Permill,
        customer: &T::AccountId,
        most: Balance,
    ) -> Balance {
        let Some(bond) = Self::free_bond(provider, job) else { return 0 };
        let compensation = Some(Compensation { customer: customer.clone(), most });
        Self::book(provider, Cause::Job(job), part.mul_ceil(bond), compensation, None)
    }

    pub(crate) fn do_slash_for_offence(
        provider: &T::AccountId,
        part: Permill,
        reporter: Option<&T::AccountId>,
    ) {
        let Some(pool) = Pools::<T>::get(provider) else { return };
        let amount = Self::answering(&pool).and_then(|delegated| {
            let own = pool.own()?;
            let most = own.checked_add(T::DelegatorLossCap::get().mul_floor(delegated))?;
            Some(part.mul_ceil(own.checked_add(delegated)?).min(most))
        });
        let Some(amount) = amount else {
            defensive!("the stake of a pool and what was moved out of it is no more than the issuance");
            return;
        };
        Self::book(provider, Cause::Offence, amount, None, reporter.cloned());
    }

    /// The delegations that answer for an offence: those here, and the stake that was moved away and is still tied.
    fn answering(pool: &Pool) -> Option<Balance> {
        pool.delegated()?.checked_add(pool.moved)
    }

    /// Books a slash of `amount` and returns it.
    fn book(
        provider: &T::AccountId,
        cause: Cause,
        amount: Balance,
        compensation: Option<Compensation<T::AccountId>>,
        reporter: Option<T::AccountId>,
    ) -> Balance {
        if amount == 0 {
            return 0;
        }
        let apply_at = Self::now().saturating_add(T::SlashDelay::get());
        let slash = PendingSlash { cause, amount, compensation, reporter, apply_at };
        match with_storage_layer(|| Self::try_book(provider, slash)) {
            Ok(()) => amount,
            Err(_) => {
                defensive!("the provider has a pool, whose sums are no more than the issuance");
                0
            }
        }
    }

    fn try_book(provider: &T::AccountId, slash: PendingSlash<T::AccountId>) -> DispatchResult {
        let mut pool = Self::pool(provider)?;
        let id = NextSlashId::<T>::get();
        NextSlashId::<T>::put(id.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?);
        let full = pool.pending_slashes >= MAX_PENDING_SLASHES;
        let delegated = match slash.cause {
            Cause::Job(_) => 0,
            Cause::Offence => Self::answering(&pool).ok_or(Error::<T>::ArithmeticOverflow)?,
        };
        pool.locked = pool.locked.checked_add(slash.amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        pool.pending_slashes = pool.pending_slashes.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(provider, pool);
        if !full {
            SlashQueue::<T>::try_mutate(provider, |queue| {
                queue.try_push(QueuedSlash { id, booked: Self::now(), delegated })
            })
            .map_err(|_| Error::<T>::ArithmeticOverflow)?;
        }
        Self::deposit_event(Event::SlashBooked {
            provider: provider.clone(),
            slash: id,
            cause: slash.cause,
            amount: slash.amount,
            apply_at: if full { Self::now() } else { slash.apply_at },
        });
        PendingSlashes::<T>::insert(provider, id, slash);
        if full {
            Self::apply(provider, id)?;
        }
        Ok(())
    }

    /// Takes a slash off the books, and what it kept locked with it. Returns it with the delegations that it was worked out
    /// from, if that is known. The caller writes the pool.
    fn unbook(
        provider: &T::AccountId,
        id: SlashId,
    ) -> Result<(Pool, PendingSlash<T::AccountId>, Balance), DispatchError> {
        let mut pool = Self::pool(provider)?;
        let slash = PendingSlashes::<T>::take(provider, id).ok_or(Error::<T>::NoSuchSlash)?;
        pool.locked = pool.locked.checked_sub(slash.amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        pool.pending_slashes = pool.pending_slashes.checked_sub(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        let mut queue = SlashQueue::<T>::take(provider);
        let place = queue.iter().position(|queued| queued.id == id);
        let delegated = place.map(|place| queue.remove(place).delegated).unwrap_or_default();
        if !queue.is_empty() {
            SlashQueue::<T>::insert(provider, queue);
        }
        Ok((pool, slash, delegated))
    }

    /// The block in which the oldest pending slash of `pool` was booked, `None` if none is pending. It holds what was
    /// bound in that block or after it, and no later one holds more.
    pub(crate) fn oldest_slash(provider: &T::AccountId, pool: &Pool) -> Option<BlockNumber> {
        if pool.pending_slashes == 0 {
            return None;
        }
        let queue = SlashQueue::<T>::get(provider);
        let known = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        let oldest = queue.first().filter(|_| known >= pool.pending_slashes).map(|queued| queued.booked);
        Some(oldest.unwrap_or_default())
    }

    /// True if stake that was bound to `provider` until block `until` is free of it now: the time is over, and no slash is
    /// pending that was booked within it.
    pub(crate) fn is_free(provider: &T::AccountId, pool: &Pool, until: BlockNumber) -> bool {
        Self::now() >= until && Self::oldest_slash(provider, pool).is_none_or(|booked| booked >= until)
    }

    pub(crate) fn do_cancel_slash(provider: T::AccountId, id: SlashId) -> DispatchResult {
        let (pool, slash, _) = Self::unbook(&provider, id)?;
        ensure!(Self::now() < slash.apply_at, Error::<T>::SlashDue);
        Pools::<T>::insert(&provider, pool);
        Self::deposit_event(Event::SlashCancelled { provider, slash: id, amount: slash.amount });
        Ok(())
    }

    pub(crate) fn do_apply_slash(provider: T::AccountId, id: SlashId) -> DispatchResult {
        let slash = PendingSlashes::<T>::get(&provider, id).ok_or(Error::<T>::NoSuchSlash)?;
        ensure!(Self::now() >= slash.apply_at, Error::<T>::SlashNotDue);
        Self::apply(&provider, id)
    }

    /// Takes a booked slash, or what is there for it, out of the pool.
    fn apply(provider: &T::AccountId, id: SlashId) -> DispatchResult {
        let (mut pool, slash, delegated) = Self::unbook(provider, id)?;
        let cut = Self::cut(&mut pool, &slash, delegated).ok_or(Error::<T>::ArithmeticOverflow)?;
        Self::cut_self_chunks(provider, cut.self_unbonding)?;
        let taken = cut.sum().ok_or(Error::<T>::ArithmeticOverflow)?;
        let own = cut.own().ok_or(Error::<T>::ArithmeticOverflow)?;
        let split = Self::pay_out(provider, &slash, taken, own)?;
        pool.owed = pool.owed.checked_add(split.owed).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(provider, pool);

        let Split { compensated, owed, rewarded, remainder } = split;
        Self::deposit_event(Event::Slashed {
            provider: provider.clone(),
            slash: id,
            cause: slash.cause,
            from_self_bond: cut.self_bond,
            from_self_unbonding: cut.self_unbonding,
            from_active: cut.active,
            from_unbonding: cut.unbonding,
            compensated,
            owed,
            rewarded,
            remainder,
        });
        // Only where delegators lost something, so that the provider has nothing left in the pool.
        if cut.active > 0 || cut.unbonding > 0 {
            Self::close_if_ruined(provider, &pool)?;
        }
        Self::tell_stake(provider);
        Ok(())
    }

    /// Takes up to the slash's amount out of the books: the provider's own stake first, then active and unbonding
    /// delegations in proportion, and of these no more than the cap.
    ///
    /// An offence is also shared by what was redelegated from here and still has its lien. That money is elsewhere;
    /// `survival` is what the liens are settled by. Of the `delegated` that the amount was worked out from, some may have
    /// left by now, free before it was booked: nobody pays their part.
    fn cut(pool: &mut Pool, slash: &PendingSlash<T::AccountId>, delegated: Balance) -> Option<Cut> {
        let cap = T::DelegatorLossCap::get();
        let self_bond = slash.amount.min(pool.self_bond);
        let rest = slash.amount.checked_sub(self_bond)?;
        let self_unbonding = rest.min(pool.self_unbonding);
        let rest = rest.checked_sub(self_unbonding)?;

        let present = pool.delegated()?;
        let shared_by = match slash.cause {
            Cause::Job(_) => present,
            Cause::Offence => Self::answering(pool)?.max(delegated),
        };
        let loss = rest.min(cap.mul_floor(shared_by));
        let part_of = |loss, part, whole| match whole {
            0 => Some(0),
            _ => multiply_by_rational_with_rounding(loss, part, whole, Rounding::Up),
        };
        let delegated = part_of(loss, present, shared_by)?.min(cap.mul_floor(present));
        let active = part_of(delegated, pool.active.balance, present)?;
        let unbonding = delegated.checked_sub(active)?;

        if loss > 0 {
            let left = shared_by.checked_sub(loss)?;
            pool.survival =
                multiply_by_rational_with_rounding(pool.survival, left, shared_by, Rounding::Down)?;
        }
        pool.self_bond = pool.self_bond.checked_sub(self_bond)?;
        pool.self_unbonding = pool.self_unbonding.checked_sub(self_unbonding)?;
        pool.active.balance = pool.active.balance.checked_sub(active)?;
        pool.unbonding.balance = pool.unbonding.balance.checked_sub(unbonding)?;
        Some(Cut { self_bond, self_unbonding, active, unbonding })
    }

    /// Takes `amount` out of the self-bond on its way out, from what leaves last on.
    fn cut_self_chunks(provider: &T::AccountId, amount: Balance) -> DispatchResult {
        if amount == 0 {
            return Ok(());
        }
        let mut chunks = SelfUnbonding::<T>::get(provider);
        let mut left = amount;
        while left > 0 {
            let last = chunks.last_mut().ok_or(Error::<T>::ArithmeticOverflow)?;
            let part = left.min(last.amount);
            last.amount = last.amount.checked_sub(part).ok_or(Error::<T>::ArithmeticOverflow)?;
            left = left.checked_sub(part).ok_or(Error::<T>::ArithmeticOverflow)?;
            if last.amount == 0 {
                chunks.pop();
            }
        }
        Self::store_self_chunks(provider, chunks);
        Ok(())
    }

    /// Pays the taken money, of which `own` was the provider's: first the customer, then the reporter, and what is left
    /// to the sink. Nobody gets any of the delegators' loss: a provider may be its own customer, auditors and reporter, by
    /// accounts that nobody knows to be its, and would gain what they lose.
    fn pay_out(
        provider: &T::AccountId,
        slash: &PendingSlash<T::AccountId>,
        taken: Balance,
        own: Balance,
    ) -> Result<Split, DispatchError> {
        let mut split = Split { remainder: taken, ..Default::default() };
        if let Some(Compensation { customer, most }) = &slash.compensation {
            let due = own.min(*most);
            split.remainder = taken.checked_sub(due).ok_or(Error::<T>::ArithmeticOverflow)?;
            if Self::pay_from_hold(provider, customer, due) {
                split.compensated = due;
            } else {
                split.owed = due;
                OwedCompensation::<T>::try_mutate(provider, customer, |owed| {
                    *owed = owed.checked_add(due).ok_or(Error::<T>::ArithmeticOverflow)?;
                    Ok::<_, DispatchError>(())
                })?;
            }
        }
        if let Some(reporter) = slash.reporter.as_ref().filter(|reporter| *reporter != provider) {
            let reward = T::ReporterReward::get().mul_floor(own).min(split.remainder);
            // A reporter that can't receive so little gets nothing; the slash stands.
            if Self::pay_from_hold(provider, reporter, reward) {
                split.rewarded = reward;
                split.remainder =
                    split.remainder.checked_sub(reward).ok_or(Error::<T>::ArithmeticOverflow)?;
            }
        }
        Self::sink_from_hold(provider, split.remainder)?;
        Ok(split)
    }

    /// Pays `amount` of what is on hold for the pool to `payee`. False if the payee can't receive it.
    fn pay_from_hold(provider: &T::AccountId, payee: &T::AccountId, amount: Balance) -> bool {
        if amount == 0 {
            return true;
        }
        with_storage_layer(|| {
            T::Currency::transfer_on_hold(
                &HoldReason::Pool.into(),
                &Self::pool_account_of(provider),
                payee,
                amount,
                Precision::Exact,
                Restriction::Free,
                Fortitude::Force,
            )
        })
        .is_ok()
    }

    /// Gives `amount` of what is on hold for the pool to the sink.
    pub(crate) fn sink_from_hold(provider: &T::AccountId, amount: Balance) -> DispatchResult {
        if amount == 0 {
            return Ok(());
        }
        let (credit, missing) =
            T::Currency::slash(&HoldReason::Pool.into(), &Self::pool_account_of(provider), amount);
        ensure!(missing == 0, Error::<T>::ArithmeticOverflow);
        T::SlashSink::on_unbalanced(credit);
        Ok(())
    }

    pub(crate) fn do_claim_compensation(provider: T::AccountId, customer: T::AccountId) -> DispatchResult {
        let mut pool = Self::pool(&provider)?;
        let amount = OwedCompensation::<T>::take(&provider, &customer);
        ensure!(amount > 0, Error::<T>::NothingOwed);
        ensure!(Self::pay_from_hold(&provider, &customer, amount), Error::<T>::StillUnpayable);
        pool.owed = pool.owed.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(&provider, pool);
        Self::deposit_event(Event::CompensationPaid { provider, customer, amount });
        Ok(())
    }

    fn close_if_ruined(provider: &T::AccountId, pool: &Pool) -> DispatchResult {
        if !pool.active.is_ruined() && !pool.unbonding.is_ruined() {
            return Ok(());
        }
        Self::change(provider, |stored| {
            if stored.status != Status::Exiting {
                stored.status = Status::Exiting;
                Self::deposit_event(Event::ExitBegun { provider: provider.clone(), ruined: true });
            }
            Ok(())
        })
    }
}
