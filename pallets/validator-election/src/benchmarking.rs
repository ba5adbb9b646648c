//! A benchmark for the call and for each thing that a hook does, on its most expensive path.

use alloc::vec::Vec;

use attune_primitives::Balance;
use frame_benchmarking::v2::*;
use frame_support::{
    pallet_prelude::*,
    traits::fungible::{Inspect, Mutate},
    weights::WeightMeter,
};
use sp_runtime::Perbill;
use sp_staking::offence::OffenceSeverity;

use crate::*;

/// Sets up what benchmarks need of the neighbours.
pub trait BenchmarkHelper<AccountId> {
    /// Registers a provider with a pool in which there is stake of its own and of a delegator.
    fn provider() -> AccountId;
    /// Registers a provider between others, with a pool that has every part which a slash reaches and as many pending
    /// slashes as there may be, so that another one acts at once.
    fn offender() -> AccountId;
    /// Gives `who` an account.
    fn fund(who: &AccountId);
}

/// As many sessions wait as the queue takes, the oldest with one more validator than is paid.
fn full_queue<T: Config>(provider: &T::AccountId) {
    // The pot is a part of what is issued: without tokens there would be no reward to pay.
    let rich: T::AccountId = account("rich", 0, 0);
    let wealth: Balance = <T as Config>::Currency::minimum_balance().saturating_mul(1_000_000_000_000);
    <T as Config>::Currency::set_balance(&rich, wealth);
    Inflation::<T>::put(T::MaxInflation::get());
    for session in 0..T::MaxUnpaidSessions::get() {
        Counted::<T>::put(session);
        Points::<T>::insert(session, provider, 1);
        Points::<T>::insert(session, account::<T::AccountId>("other", session, 0), 1);
        Pallet::<T>::freeze(session);
    }
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn set_inflation() -> Result<(), BenchmarkError> {
        let origin = T::GovernanceOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, T::MaxInflation::get());
        assert_eq!(Inflation::<T>::get(), T::MaxInflation::get());
        Ok(())
    }

    #[benchmark]
    fn note_author() {
        let author: T::AccountId = account("author", 0, 0);
        Counted::<T>::put(7);
        Points::<T>::insert(7, &author, 1);
        #[block]
        {
            Pallet::<T>::count_block(author.clone());
        }
        assert_eq!(Points::<T>::get(7, &author), 2);
    }

    #[benchmark]
    fn poll() {
        let mut meter = WeightMeter::with_limit(Weight::MAX);
        #[block]
        {
            Pallet::<T>::pay(&mut meter);
        }
        assert!(Unpaid::<T>::get().is_empty());
    }

    #[benchmark]
    fn pay_one() {
        let provider = T::BenchmarkHelper::provider();
        full_queue::<T>(&provider);
        let _ = Points::<T>::clear_prefix(0, u32::MAX, None);
        Points::<T>::insert(0, &provider, 1);
        let before = <T as Config>::Currency::total_issuance();
        #[block]
        {
            Pallet::<T>::pay_one();
        }
        assert!(<T as Config>::Currency::total_issuance() > before);
    }

    #[benchmark]
    fn punish() {
        let offender = T::BenchmarkHelper::offender();
        let until = T::BarSessions::get();
        for other in 0..T::MaxValidators::get() {
            let offender = account("barred", other, 0);
            let _ = Barred::<T>::try_append(Bar { offender, until });
        }
        let reporter: T::AccountId = account("reporter", 0, 0);
        T::BenchmarkHelper::fund(&reporter);
        // It is a validator still, the last of them, and as many others as may be are disabled for less: one of these
        // makes room for it.
        let last = T::MaxValidators::get().saturating_sub(1);
        let others = (0..last).map(|other| account::<T::AccountId>("validator", other, 0));
        let validators: Vec<_> = others.chain([offender.clone()]).collect();
        pallet_session::Validators::<T>::put(validators);
        let disabled = (0..last.div_euclid(3)).map(|index| (index, OffenceSeverity(Perbill::zero())));
        pallet_session::DisabledValidators::<T>::put(disabled.collect::<Vec<_>>());
        #[block]
        {
            Pallet::<T>::punish(&offender, Perbill::one(), 0, Some(&reporter));
        }
        assert_eq!(SlashedParts::<T>::get(0, &offender), Perbill::one());
        let disabled = pallet_session::DisabledValidators::<T>::get();
        assert!(disabled.contains(&(last, OffenceSeverity(Perbill::one()))));
    }

    // The mock's runtime has all that the benchmarks ask for.
    impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Test);
}
