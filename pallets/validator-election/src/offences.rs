//! What an offence in consensus costs. The proof has been checked, and its repetition refused, before this is called.

use attune_primitives::traits::Providers;
use frame_support::{dispatch::DispatchClass, pallet_prelude::*};
use sp_arithmetic::{PerThing, Rounding};
use sp_runtime::Perbill;
use sp_staking::{
    offence::{OffenceDetails, OffenceSeverity, OnOffenceHandler},
    SessionIndex,
};

use crate::*;

impl<T: Config> OnOffenceHandler<T::AccountId, (T::AccountId, ()), Weight> for Pallet<T> {
    /// `offenders` are all who are known for this offence at this time, with what it costs each of them now: the more
    /// there are, the more it costs all of them.
    fn on_offence(
        offenders: &[OffenceDetails<T::AccountId, (T::AccountId, ())>],
        fractions: &[Perbill],
        session: SessionIndex,
    ) -> Weight {
        let mut weight = Weight::zero();
        for (details, fraction) in offenders.iter().zip(fractions) {
            let (offender, ()) = &details.offender;
            Self::punish(offender, *fraction, session, details.reporters.first());
            weight = weight.saturating_add(<T as Config>::WeightInfo::punish());
        }
        // A report's own weight knows nothing of pools.
        frame_system::Pallet::<T>::register_extra_weight_unchecked(weight, DispatchClass::Mandatory);
        weight
    }
}

impl<T: Config> Pallet<T> {
    /// Slashes the offender by what `fraction` exceeds what its offences in the same session have cost so far, disables
    /// it while it is still a validator, and bars it from the elections to come.
    pub(crate) fn punish(
        offender: &T::AccountId,
        fraction: Perbill,
        session: SessionIndex,
        reporter: Option<&T::AccountId>,
    ) {
        let so_far = SlashedParts::<T>::get(session, offender);
        if fraction <= so_far {
            return;
        }
        SlashedParts::<T>::insert(session, offender, fraction);
        let part = rise(so_far, fraction);
        if T::Providers::provider(offender).is_some() {
            T::Providers::slash_for_offence(offender, part, reporter);
            Self::deposit_event(Event::OffenderSlashed { offender: offender.clone(), session, part });
        } else {
            Self::deposit_event(Event::OffenderWithoutPool { offender: offender.clone(), session, part });
        }
        Self::bar(offender);
        pallet_session::Pallet::<T>::report_offence(offender.clone(), OffenceSeverity(fraction));
    }

    fn bar(offender: &T::AccountId) {
        let until = pallet_session::CurrentIndex::<T>::get().saturating_add(T::BarSessions::get());
        Barred::<T>::mutate(|bars| {
            bars.retain(|bar| bar.offender != *offender);
            if bars.is_full() {
                // In the order of their ends: the first is nearest to being free.
                bars.remove(0);
            }
            if bars.try_push(Bar { offender: offender.clone(), until }).is_err() {
                frame_support::defensive!("a list that is not full takes one more");
            }
        });
        Self::deposit_event(Event::OffenderBarred { offender: offender.clone(), until });
    }

    /// Forgets what offences in `session` have cost: the history needed to report one has gone.
    pub(crate) fn forget_offences_of(session: SessionIndex) {
        // At most one entry for each validator of that session.
        let _ = SlashedParts::<T>::clear_prefix(session, T::MaxValidators::get(), None);
    }
}

/// What of the pool the second fraction takes beyond the first, rounded up. Both are parts of the pool as it was at the
/// offence; slashes wait before they are applied, so that it is still the same pool. Where one was applied at once the
/// second takes a little less than it could.
fn rise(so_far: Perbill, now: Perbill) -> Permill {
    let parts = now.deconstruct().saturating_sub(so_far.deconstruct());
    Permill::from_rational_with_rounding(parts, Perbill::ACCURACY, Rounding::Up).unwrap_or(Permill::one())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rise_is_what_was_not_slashed_yet_rounded_up() {
        let cases = [
            (0, 1_000_000_000, 1_000_000),
            (0, 250_000_000, 250_000),
            (0, 1, 1),
            (0, 900_001, 901),
            (250_000_000, 1_000_000_000, 750_000),
            (5, 5, 0),
            (7, 5, 0),
        ];
        for (so_far, now, expected) in cases {
            let rise = rise(Perbill::from_parts(so_far), Perbill::from_parts(now));
            assert_eq!(rise, Permill::from_parts(expected), "{so_far} to {now}");
        }
    }
}
