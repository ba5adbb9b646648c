//! Heartbeats: whether a provider's worker runs, asked now and then.
//!
//! Blocks are cut into periods, and each asks a sample of the providers for a heartbeat. Who is asked is computed from the
//! period's randomness, never stored, so that asking costs nothing. What is stored of a provider is one number: the first
//! period that it has still to answer for. A heartbeat raises it, so does a judgement, and so does whatever keeps a
//! provider from answering in all of a period; so no period is answered or judged twice, in whatever order things come.
//!
//! When a period is over, a sweep looks for those who were asked and did not answer, some in each block. Whatever would
//! change what the sweep finds of a provider ([`Pallet::judge`]) has it judged first, and whoever asks whether a provider
//! is absent counts what the sweep will find. So it makes no difference to anybody where the sweep stands.

use attune_primitives::{
    heartbeat::{is_drawn, payload},
    traits::EpochRandomness,
};
use frame_support::{migrations::MultiStepMigrator, pallet_prelude::*, weights::WeightMeter};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_arithmetic::{PerThing, Permill};
use sp_runtime::traits::{Verify, Zero};

use crate::*;

/// Code of [`InvalidTransaction::Custom`] for a heartbeat that nobody has asked for: the provider is unknown, takes no
/// work, or was not drawn.
pub const NOT_ASKED: u8 = 40;

/// Before whatever pays: only who is asked can send one, once in a period, so there are never many.
const PRIORITY: TransactionPriority = TransactionPriority::MAX;

impl<T: Config> Pallet<T> {
    /// The number of the period that this block lies in.
    fn period_number() -> u32 {
        Self::now().checked_div(T::HeartbeatPeriod::get()).unwrap_or_default()
    }

    /// The number of the first period that begins after this block.
    pub(crate) fn next_period() -> u32 {
        Self::period_number().saturating_add(1)
    }

    /// The period that runs; `None` before its first block has turned to it.
    fn running_period() -> Option<Period> {
        CurrentPeriod::<T>::get().filter(|period| period.number == Self::period_number())
    }

    /// Turns to the period of this block, if it is a new one, and has the one before it swept. True if it is.
    pub(crate) fn turn_period() -> bool {
        if Self::running_period().is_some() {
            return false;
        }
        let randomness = T::Randomness::latest().map(|(randomness, _)| randomness);
        let period = Period { number: Self::period_number(), randomness };
        let ended = CurrentPeriod::<T>::mutate(|current| current.replace(period));
        let unfinished = Sweeping::<T>::take();
        // Whoever could not answer in all of a period is not judged for it, nor if there was no room to begin the search.
        let stopped = |ended: &Period| {
            StoppedIn::<T>::get() == Some(ended.number)
                || unfinished.as_ref().is_some_and(|sweep| sweep.cursor.is_none())
        };
        let stopped = ended.as_ref().is_some_and(stopped);
        if let Some(sweep) = unfinished {
            Self::deposit_event(Event::HeartbeatsUnjudged { period: sweep.period.number });
        }
        let Some(ended) = ended.filter(|ended| ended.number.checked_add(1) == Some(period.number)) else {
            return true;
        };
        if stopped {
            Self::deposit_event(Event::HeartbeatsUnjudged { period: ended.number });
        } else {
            Sweeping::<T>::put(Sweep { period: ended, cursor: None });
        }
        true
    }

    /// True if there are no transactions in this block, as while a migration runs or after it has failed.
    pub(crate) fn is_stopped() -> bool {
        <T as frame_system::Config>::MultiBlockMigrator::ongoing()
    }

    /// Notes that there were none in a block of this period.
    pub(crate) fn note_stop() {
        StoppedIn::<T>::put(Self::period_number());
    }

    /// True if the provider has to answer in `period`, and has not. An absent one is asked in every period.
    fn is_asked(who: &T::AccountId, stored: &Provider<T::AccountId>, period: &Period, absent: bool) -> bool {
        let drawn = |randomness| is_drawn(&randomness, who, period.number, T::HeartbeatOneIn::get());
        stored.status == Status::Active
            && stored.presence.due_from <= period.number
            && (absent || period.randomness.is_some_and(drawn))
    }

    /// True if the provider did not answer in a period that is over.
    fn has_missed(who: &T::AccountId, stored: &Provider<T::AccountId>, period: &Period) -> bool {
        Self::is_asked(who, stored, period, stored.presence.absent_since.is_some())
    }

    /// True if the provider is absent: if it is marked, or is about to be.
    fn counts_as_absent(who: &T::AccountId, stored: &Provider<T::AccountId>) -> bool {
        stored.presence.absent_since.is_some()
            || Sweeping::<T>::get().is_some_and(|sweep| Self::has_missed(who, stored, &sweep.period))
    }

    /// True for a provider that did not answer when it was asked last, and has not since.
    pub fn is_absent(provider: &T::AccountId) -> bool {
        Providers::<T>::get(provider).is_some_and(|stored| Self::counts_as_absent(provider, &stored))
    }

    /// The part of its block rewards that the provider's pool gets now.
    pub fn reward_part(provider: &T::AccountId) -> Permill {
        if Self::is_absent(provider) {
            T::AbsenceRewardCut::get().left_from_one()
        } else {
            Permill::one()
        }
    }

    /// The period in which the provider is asked for a heartbeat and has not answered.
    pub fn due_period(provider: &T::AccountId) -> Option<u32> {
        let period = Self::running_period()?;
        let stored = Providers::<T>::get(provider)?;
        let absent = Self::counts_as_absent(provider, &stored);
        Self::is_asked(provider, &stored, &period, absent).then_some(period.number)
    }

    /// Judges a provider for the period that is being swept, if it isn't yet. To be called before anything that changes
    /// whether the provider is asked.
    pub(crate) fn judge(who: &T::AccountId, stored: &mut Provider<T::AccountId>) {
        if let Some(sweep) = Sweeping::<T>::get() {
            Self::judge_for(&sweep.period, who, stored);
        }
    }

    /// Marks a provider as absent if it did not answer in `period`, which is over. True if so.
    fn judge_for(period: &Period, who: &T::AccountId, stored: &mut Provider<T::AccountId>) -> bool {
        if !Self::has_missed(who, stored, period) {
            return false;
        }
        let (presence, reputation) = (&mut stored.presence, &mut stored.reputation);
        presence.due_from = period.number.saturating_add(1);
        reputation.heartbeats_missed = reputation.heartbeats_missed.saturating_add(1);
        Self::deposit_event(Event::HeartbeatMissed { provider: who.clone(), period: period.number });
        if presence.absent_since.is_none() {
            presence.absent_since = Some(Self::now());
            Self::deposit_event(Event::AbsenceBegun { provider: who.clone() });
        }
        true
    }

    /// The provider can't answer in all of the period that runs: the next one is the first that counts. An absence goes
    /// on.
    pub(crate) fn excuse(stored: &mut Provider<T::AccountId>) {
        stored.presence.due_from = stored.presence.due_from.max(Self::next_period());
    }

    pub(crate) fn do_heartbeat(provider: T::AccountId, number: u32) -> DispatchResult {
        let period = Self::running_period().filter(|period| period.number == number);
        let period = period.ok_or(Error::<T>::NotAsked)?;
        Self::change(&provider, |stored| {
            Self::judge(&provider, stored);
            let returns = stored.presence.absent_since.is_some();
            ensure!(Self::is_asked(&provider, stored, &period, returns), Error::<T>::NotAsked);
            stored.presence = Presence {
                due_from: number.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?,
                absent_since: None,
            };
            let answered = &mut stored.reputation.heartbeats_answered;
            *answered = answered.saturating_add(1);
            Self::deposit_event(Event::HeartbeatAnswered { provider: provider.clone(), period: number });
            if returns {
                Self::deposit_event(Event::AbsenceEnded { provider: provider.clone() });
            }
            Ok(())
        })
    }

    /// Whether a heartbeat gets into the pool and into a block. Whoever sends rubbish has it refused here, and nothing is
    /// written; the signature, which costs the most, is looked at last.
    pub(crate) fn authorize_heartbeat(
        _: TransactionSource,
        provider: &T::AccountId,
        period: &u32,
        signature: &T::HeartbeatSignature,
    ) -> TransactionValidityWithRefund {
        let number = Self::period_number();
        ensure!(*period >= number, InvalidTransaction::Stale);
        ensure!(*period == number && Self::running_period().is_some(), InvalidTransaction::Future);
        let unasked = InvalidTransaction::Custom(NOT_ASKED);
        let stored = Providers::<T>::get(provider).ok_or(unasked)?;
        ensure!(stored.presence.due_from <= number, InvalidTransaction::Stale);
        ensure!(Self::due_period(provider) == Some(number), unasked);
        let signed = payload(&Self::genesis_hash(), provider, number);
        ensure!(signature.verify(&signed[..], &stored.operator), InvalidTransaction::BadProof);
        let ends_at = Self::next_period().saturating_mul(T::HeartbeatPeriod::get());
        let validity = ValidTransaction::with_tag_prefix("attune/heartbeat")
            .priority(PRIORITY)
            .and_provides((provider, number))
            .longevity(ends_at.saturating_sub(Self::now()).into())
            .propagate(true)
            .into();
        Ok((validity, Weight::zero()))
    }

    /// Names the chain in what operators sign.
    fn genesis_hash() -> [u8; 32] {
        frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero()).0
    }

    /// Looks for those who did not answer in the period before: as many providers as the weight allows, in the order of
    /// their accounts. A provider that registers behind the cursor has nothing to answer for.
    pub(crate) fn sweep(meter: &mut WeightMeter) {
        let idle = meter.try_consume(T::DbWeight::get().reads(1)).is_err() || !Sweeping::<T>::exists();
        if idle || meter.try_consume(T::WeightInfo::sweep()).is_err() {
            return;
        }
        let Some(mut sweep) = Sweeping::<T>::get() else { return };
        let ids = ProviderIds::<T>::get();
        let seen = sweep.cursor.as_ref().map_or(0, |last| ids.partition_point(|id| id <= last));
        let mut rest = ids.into_iter().skip(seen).peekable();
        for _ in 0..MAX_SWEPT_PER_BLOCK {
            if rest.peek().is_none() || meter.try_consume(T::WeightInfo::sweep_one()).is_err() {
                break;
            }
            let Some(who) = rest.next() else { break };
            Self::sweep_one(&sweep.period, &who);
            sweep.cursor = Some(who);
        }
        if rest.peek().is_some() {
            Sweeping::<T>::put(sweep);
        } else {
            Sweeping::<T>::kill();
        }
    }

    /// Looks at one provider.
    pub(crate) fn sweep_one(period: &Period, who: &T::AccountId) {
        let Some(mut stored) = Providers::<T>::get(who) else { return };
        if Self::judge_for(period, who, &mut stored) {
            Providers::<T>::insert(who, stored);
        }
    }
}
