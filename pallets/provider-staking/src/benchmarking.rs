//! A benchmark for each call, on its most expensive path.

mod setup;

use attune_primitives::H256;
use frame_benchmarking::v2::*;
use frame_support::{
    migrations::SteppedMigration,
    pallet_prelude::{StorageVersion, TransactionSource},
    traits::{Authorize, EnsureOrigin, Get, Hooks},
    weights::WeightMeter,
};
use frame_system::{Pallet as System, RawOrigin};
use sp_arithmetic::{traits::Saturating, Permill};

use crate::{
    migrations::v2::{AddHeartbeats, OldProvider},
    *,
};
use setup::*;

/// What benchmarks need of the neighbours.
pub trait BenchmarkHelper<AccountId, Signature> {
    /// An account whose key the host knows.
    fn operator() -> AccountId;
    /// Its signature.
    fn sign(message: &[u8]) -> Signature;
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn register() {
        crowd::<T>(OWN);
        let who = funded::<T>("provider");
        let operator: T::AccountId = account("operator", 0, 0);
        #[extrinsic_call]
        _(
            RawOrigin::Signed(who.clone()),
            profile(),
            Permill::from_percent(10),
            operator,
            unit::<T>().saturating_mul(OWN),
        );
        assert!(Providers::<T>::contains_key(who));
    }

    #[benchmark]
    fn set_profile() {
        let who = registered::<T>();
        let mut other = profile();
        other.price_per_gpu_hour = 2;
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), other.clone());
        assert_eq!(Providers::<T>::get(who).map(|p| p.profile), Some(other));
    }

    #[benchmark]
    fn set_operator() {
        let who = registered::<T>();
        let operator: T::AccountId = account("other operator", 0, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), operator.clone());
        assert_eq!(Operators::<T>::get(operator), Some(who));
    }

    #[benchmark]
    fn set_commission() {
        let who = registered::<T>();
        let to = Permill::from_percent(10).saturating_add(T::MaxCommissionRise::get());
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), to);
        assert_eq!(Providers::<T>::get(who).and_then(|p| p.rise).map(|rise| rise.to), Some(to));
    }

    #[benchmark]
    fn bond_more() {
        let who = registered::<T>();
        let (before, amount) = (Pallet::<T>::stake_of(&who), unit::<T>().saturating_mul(OWN));
        crowd::<T>(OWN.saturating_mul(2));
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), amount);
        assert_eq!(Pallet::<T>::stake_of(&who), before.saturating_add(amount));
    }

    #[benchmark]
    fn unbond_self() {
        let who = registered::<T>();
        let half = OWN.div_euclid(2);
        let (before, amount) = (Pallet::<T>::stake_of(&who), unit::<T>().saturating_mul(half));
        crowd::<T>(half);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), amount);
        assert_eq!(Pallet::<T>::stake_of(&who), before.saturating_sub(amount));
    }

    #[benchmark]
    fn delegate() {
        let provider = registered::<T>();
        let who = in_debt::<T>(&provider, "source", "source operator");
        let (before, amount) = (Pallet::<T>::stake_of(&provider), unit::<T>().saturating_mul(OWN));
        crowd_around::<T>(&provider, OWN, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), amount);
        assert!(Pallet::<T>::stake_of(&provider) > before);
        assert!(Delegations::<T>::get(&provider, who).is_some_and(|d| d.lien.is_none()));
    }

    #[benchmark]
    fn undelegate() {
        let provider = registered::<T>();
        let who = in_debt::<T>(&provider, "source", "source operator");
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        crowd_around::<T>(&provider, 0, OWN);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), shares.div_euclid(2));
        assert!(Delegations::<T>::get(&provider, &who).is_some_and(|d| d.lien.is_none()));
        assert!(Unbonding::<T>::contains_key(provider, who));
    }

    #[benchmark]
    fn withdraw() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        Pallet::<T>::do_undelegate(who.clone(), provider.clone(), shares)
            .expect("the delegator has the shares, qed");
        pass_unbonding::<T>();
        later_slashes::<T>(&provider);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone());
        assert!(!Unbonding::<T>::contains_key(provider, who));
    }

    #[benchmark]
    fn claim_income() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone());
        assert_eq!(Pallet::<T>::pending_income(&provider, &who), 0);
    }

    #[benchmark]
    fn exit() {
        let who = registered::<T>();
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert_eq!(Providers::<T>::get(who).map(|p| p.status), Some(Status::Exiting));
    }

    #[benchmark]
    fn evict() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        Pallet::<T>::do_undelegate(who.clone(), provider.clone(), shares.div_euclid(2))
            .expect("the delegator has the shares, qed");
        in_debt::<T>(&provider, "source", "source operator");
        Pallet::<T>::do_exit(provider.clone()).expect("no bond is open, qed");
        pass_unbonding::<T>();
        later_slashes::<T>(&provider);
        #[extrinsic_call]
        _(RawOrigin::Signed(provider.clone()), provider.clone(), who.clone());
        assert!(!Delegations::<T>::contains_key(provider, who));
    }

    #[benchmark]
    fn deregister() {
        let provider = registered::<T>();
        Pallet::<T>::do_exit(provider.clone()).expect("no bond is open, qed");
        pass_unbonding::<T>();
        Pallet::<T>::do_withdraw(provider.clone(), provider.clone()).expect("the time is over, qed");
        let caller: T::AccountId = account("caller", 0, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(caller), provider.clone());
        assert!(!Providers::<T>::contains_key(provider));
    }

    #[benchmark]
    fn cancel_slash() -> Result<(), BenchmarkError> {
        let provider = registered::<T>();
        let id = slashed::<T>(&provider);
        later_slashes::<T>(&provider);
        let origin = T::SlashCancelOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, provider.clone(), id);
        assert!(!PendingSlashes::<T>::contains_key(provider, id));
        Ok(())
    }

    #[benchmark]
    fn apply_slash() {
        let provider = registered::<T>();
        let id = slashed::<T>(&provider);
        later_slashes::<T>(&provider);
        pass_slash_delay::<T>();
        let caller: T::AccountId = account("caller", 0, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(caller), provider.clone(), id);
        assert!(!PendingSlashes::<T>::contains_key(&provider, id));
        assert!(!SelfUnbonding::<T>::contains_key(provider));
    }

    #[benchmark]
    fn claim_compensation() {
        let provider = registered::<T>();
        let customer = funded::<T>("customer");
        // As if it could not have received it before.
        let amount = unit::<T>();
        Pools::<T>::mutate(&provider, |slot| {
            if let Some(pool) = slot.as_mut() {
                pool.self_bond = pool.self_bond.saturating_sub(amount);
                pool.owed = amount;
            }
        });
        OwedCompensation::<T>::insert(&provider, &customer, amount);
        let caller: T::AccountId = account("caller", 0, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(caller), provider.clone(), customer.clone());
        assert!(!OwedCompensation::<T>::contains_key(provider, customer));
    }

    #[benchmark]
    fn redelegate() {
        let provider = registered::<T>();
        let other = registered_as::<T>("other provider", "other operator");
        let who = in_debt::<T>(&provider, "source", "source operator");
        in_debt::<T>(&other, "other source", "other source operator");
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        crowd_around::<T>(&provider, 0, OWN);
        crowd_around::<T>(&other, OWN, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), other.clone(), shares.div_euclid(2));
        assert!(Delegations::<T>::get(provider, &who).is_some_and(|d| d.lien.is_none()));
        assert!(Delegations::<T>::get(other, who).is_some_and(|d| d.lien.is_some()));
    }

    #[benchmark]
    fn settle_lien() {
        let provider = registered::<T>();
        let who = in_debt::<T>(&provider, "source", "source operator");
        let before = Pallet::<T>::stake_of(&provider);
        crowd_around::<T>(&provider, 0, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), who.clone());
        assert!(Delegations::<T>::get(&provider, who).is_some_and(|d| d.lien.is_none()));
        assert!(Pallet::<T>::stake_of(&provider) < before);
    }

    #[benchmark]
    fn set_auto_compound() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), true);
        assert!(Delegations::<T>::get(provider, who).is_some_and(|d| d.auto_compound));
    }

    #[benchmark]
    fn compound() {
        let provider = registered::<T>();
        let who = in_debt::<T>(&provider, "source", "source operator");
        let before = Pallet::<T>::stake_of(&provider);
        let income = Pallet::<T>::pending_income(&provider, &who).div_euclid(unit::<T>());
        crowd_around::<T>(&provider, income, 0);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), who.clone());
        assert!(Pallet::<T>::stake_of(&provider) > before);
    }

    #[benchmark]
    fn chill() {
        let who = registered::<T>();
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert_eq!(Providers::<T>::get(who).map(|p| p.status), Some(Status::Chilled));
    }

    #[benchmark]
    fn unchill() {
        let who = registered::<T>();
        Pallet::<T>::do_chill(who.clone()).expect("it is active, qed");
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert_eq!(Providers::<T>::get(who).map(|p| p.status), Some(Status::Active));
    }

    #[benchmark]
    fn heartbeat() {
        let (provider, period) = asked::<T>();
        let signature = signed_heartbeat::<T>(&provider, period);
        #[extrinsic_call]
        _(RawOrigin::Authorized, provider.clone(), period, signature);
        assert_eq!(missed::<T>(&provider), 2);
        assert_eq!(Pallet::<T>::due_period(&provider), None);
    }

    #[benchmark]
    fn authorize_heartbeat() -> Result<(), BenchmarkError> {
        let (provider, period) = asked_as_about_to_be_absent::<T>();
        let signature = signed_heartbeat::<T>(&provider, period);
        let call = Call::<T>::heartbeat { provider, period, signature };
        #[block]
        {
            call.authorize(TransactionSource::External)
                .ok_or("the call is authorised")?
                .map_err(|_| "the heartbeat is valid")?;
        }
        Ok(())
    }

    #[benchmark]
    fn begin_block() {
        asked::<T>();
        let now = System::<T>::block_number();
        #[block]
        {
            Pallet::<T>::on_initialize(now);
        }
        assert!(!StoppedIn::<T>::exists());
    }

    #[benchmark]
    fn note_stop() {
        asked::<T>();
        #[block]
        {
            Pallet::<T>::note_stop();
        }
        assert!(StoppedIn::<T>::exists());
    }

    #[benchmark]
    fn turn_period() {
        let (_, period) = asked::<T>();
        let next = period.saturating_add(1);
        Sweeping::<T>::mutate(|slot| {
            if let Some(search) = slot.as_mut() {
                search.cursor = Some(account("provider", 0, 0));
            }
        });
        System::<T>::set_block_number(next.saturating_mul(T::HeartbeatPeriod::get()).into());
        #[block]
        {
            Pallet::<T>::turn_period();
        }
        assert_eq!(CurrentPeriod::<T>::get().map(|running| running.number), Some(next));
        assert_eq!(Sweeping::<T>::get().map(|search| search.period.number), Some(period));
    }

    #[benchmark]
    fn sweep() {
        asked::<T>();
        let mut ids = (0..T::MaxProviders::get())
            .map(|index| account("other provider", index, 0))
            .collect::<alloc::vec::Vec<T::AccountId>>();
        ids.sort();
        let cursor = ids.last().cloned();
        ProviderIds::<T>::put(frame_support::BoundedVec::truncate_from(ids));
        Sweeping::<T>::mutate(|slot| {
            if let Some(search) = slot.as_mut() {
                search.cursor = cursor;
            }
        });
        #[block]
        {
            Pallet::<T>::sweep(&mut WeightMeter::new());
        }
        assert!(!Sweeping::<T>::exists());
    }

    #[benchmark]
    fn sweep_one() {
        let (provider, period) = asked::<T>();
        let ended = Period { number: period.saturating_sub(1), randomness: Some(H256::repeat_byte(1)) };
        #[block]
        {
            Pallet::<T>::sweep_one(&ended, &provider);
        }
        assert_eq!(missed::<T>(&provider), 2);
    }

    #[benchmark]
    fn migrate_provider() -> Result<(), BenchmarkError> {
        let who = registered::<T>();
        let stored = Providers::<T>::get(&who).ok_or("it is registered")?;
        let key = Providers::<T>::hashed_key_for(&who);
        frame_support::storage::unhashed::put(&key, &OldProvider::from(stored.clone()));
        StorageVersion::new(1).put::<Pallet<T>>();
        #[block]
        {
            AddHeartbeats::<T>::step(None, &mut WeightMeter::new())
                .map_err(|_| "there is as much weight as it wants")?;
        }
        assert_eq!(StorageVersion::get::<Pallet<T>>(), 2);
        assert_eq!(Providers::<T>::get(&who).map(|found| found.deposit), Some(stored.deposit));
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Test);
}
