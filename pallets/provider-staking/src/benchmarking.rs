//! A benchmark for each call, on its most expensive path.

use attune_primitives::{
    heartbeat::payload,
    provider::{Hardware, ProviderProfile},
    traits::Providers as ProvidersApi,
    Balance, H256,
};
use frame_benchmarking::v2::*;
use frame_support::{
    migrations::SteppedMigration,
    pallet_prelude::{StorageVersion, TransactionSource},
    traits::{
        fungible::{Inspect, Mutate},
        Authorize, EnsureOrigin, Get,
    },
    weights::WeightMeter,
};
use frame_system::{Pallet as System, RawOrigin};
use sp_arithmetic::{traits::Saturating, Permill};

use crate::{
    migrations::v2::{AddHeartbeats, OldProvider},
    *,
};

/// What benchmarks need of the neighbours.
pub trait BenchmarkHelper<AccountId, Signature> {
    /// An account whose key the host knows.
    fn operator() -> AccountId;
    /// Its signature.
    fn sign(message: &[u8]) -> Signature;
}

/// An account that can pay for anything that the benchmarks do.
fn funded<T: Config>(name: &'static str) -> T::AccountId {
    let who = account(name, 0, 0);
    let wealth = unit::<T>().saturating_mul(1_000_000);
    T::Currency::set_balance(&who, wealth);
    who
}

/// More than every minimum of the configuration.
fn unit<T: Config>() -> Balance {
    T::MinSelfBond::get()
        .max(T::MinDelegation::get())
        .max(T::ProviderDeposit::get())
        .max(T::Currency::minimum_balance())
        .max(1_000)
}

fn longest<const N: usize>() -> alloc::vec::Vec<u8> {
    alloc::vec![b'x'; N]
}

fn profile() -> ProviderProfile {
    ProviderProfile {
        name: longest::<64>().try_into().unwrap_or_default(),
        endpoint: longest::<128>().try_into().unwrap_or_default(),
        class: longest::<64>().try_into().unwrap_or_default(),
        exact_version: 1,
        hardware: Hardware {
            model: longest::<64>().try_into().unwrap_or_default(),
            accelerators: 8,
            memory_mib: 80_000,
        },
        price_per_gpu_hour: 1,
        tokens_per_second: 1,
    }
}

/// A registered provider.
fn registered<T: Config>() -> T::AccountId {
    registered_as::<T>("provider", "operator")
}

fn registered_as<T: Config>(name: &'static str, key: &'static str) -> T::AccountId {
    let provider = funded::<T>(name);
    let operator = account(key, 0, 0);
    Pallet::<T>::do_register(
        provider.clone(),
        profile(),
        Permill::from_percent(10),
        operator,
        unit::<T>().saturating_mul(10),
    )
    .expect("the provider is new and has the money, qed");
    provider
}

/// A delegator of `provider`, with income to claim.
fn delegator<T: Config>(provider: &T::AccountId) -> T::AccountId {
    let who = funded::<T>("delegator");
    Pallet::<T>::do_delegate(who.clone(), provider.clone(), unit::<T>().saturating_mul(10))
        .expect("the provider is active and the delegator has the money, qed");
    let income = unit::<T>().saturating_mul(100);
    T::Currency::mint_into(&Pallet::<T>::pool_account(provider), income)
        .expect("the pool account exists, qed");
    Pallet::<T>::note_income(provider, income, Permill::zero()).expect("the income has arrived, qed");
    who
}

fn pass_unbonding<T: Config>() {
    let then = System::<T>::block_number() + T::UnbondingBlocks::get().into();
    System::<T>::set_block_number(then);
}

fn pass_slash_delay<T: Config>() {
    let then = System::<T>::block_number() + T::SlashDelay::get().into();
    System::<T>::set_block_number(then);
}

/// A delegator of `to` whose stake came from `from`.
fn redelegator<T: Config>(from: &T::AccountId, to: &T::AccountId) -> T::AccountId {
    let who = delegator::<T>(from);
    let shares = Delegations::<T>::get(from, &who).map(|d| d.shares).unwrap_or_default();
    Pallet::<T>::do_redelegate(who.clone(), from.clone(), to.clone(), shares)
        .expect("both providers are active and the delegator has the shares, qed");
    who
}

/// A pending slash that reaches every part of the pool of `provider` and has a reporter to pay. Returns its number.
fn slashed<T: Config>(provider: &T::AccountId) -> SlashId {
    let who = delegator::<T>(provider);
    let shares = Delegations::<T>::get(provider, &who).map(|d| d.shares).unwrap_or_default();
    Pallet::<T>::do_undelegate(who, provider.clone(), shares.div_euclid(2))
        .expect("the delegator has the shares, qed");
    Pallet::<T>::do_unbond_self(provider.clone(), unit::<T>()).expect("the self-bond is larger, qed");
    let id = NextSlashId::<T>::get();
    let reporter = funded::<T>("reporter");
    Pallet::<T>::slash_for_offence(provider, Permill::one(), Some(&reporter));
    id
}

/// A provider that has missed a heartbeat before, in a period in which it is asked, while the one before it, in which it
/// was asked, too, is still to be swept.
fn asked<T: Config>() -> (T::AccountId, u32) {
    let provider = registered::<T>();
    let ended = Period { number: Pallet::<T>::next_period(), randomness: Some(H256::repeat_byte(1)) };
    let running = Period { number: ended.number.saturating_add(1), ..ended };
    System::<T>::set_block_number(running.number.saturating_mul(T::HeartbeatPeriod::get()).into());
    CurrentPeriod::<T>::put(running);
    Sweeping::<T>::put(Sweep { period: ended, cursor: None });
    Providers::<T>::mutate(&provider, |slot| {
        if let Some(stored) = slot.as_mut() {
            Operators::<T>::remove(&stored.operator);
            stored.operator = T::BenchmarkHelper::operator();
            Operators::<T>::insert(&stored.operator, &provider);
            stored.presence = Presence { due_from: ended.number, absent_since: Some(1) };
            stored.reputation.heartbeats_missed = 1;
        }
    });
    (provider, running.number)
}

/// The heartbeat that the provider's operator signs.
fn signed_heartbeat<T: Config>(provider: &T::AccountId, period: u32) -> T::HeartbeatSignature {
    let genesis = System::<T>::block_hash(frame_system::pallet_prelude::BlockNumberFor::<T>::from(0u32)).0;
    T::BenchmarkHelper::sign(&payload(&genesis, provider, period))
}

fn missed<T: Config>(provider: &T::AccountId) -> u32 {
    Providers::<T>::get(provider).map(|stored| stored.reputation.heartbeats_missed).unwrap_or_default()
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn register() {
        let who = funded::<T>("provider");
        let operator: T::AccountId = account("operator", 0, 0);
        #[extrinsic_call]
        _(
            RawOrigin::Signed(who.clone()),
            profile(),
            Permill::from_percent(10),
            operator,
            unit::<T>().saturating_mul(10),
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
        let before = Pallet::<T>::stake_of(&who);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), unit::<T>());
        assert_eq!(Pallet::<T>::stake_of(&who), before.saturating_add(unit::<T>()));
    }

    #[benchmark]
    fn unbond_self() {
        let who = registered::<T>();
        let before = Pallet::<T>::stake_of(&who);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), unit::<T>());
        assert_eq!(Pallet::<T>::stake_of(&who), before.saturating_sub(unit::<T>()));
    }

    #[benchmark]
    fn delegate() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        let before = Pallet::<T>::stake_of(&provider);
        #[extrinsic_call]
        _(RawOrigin::Signed(who), provider.clone(), unit::<T>());
        assert_eq!(Pallet::<T>::stake_of(&provider), before.saturating_add(unit::<T>()));
    }

    #[benchmark]
    fn undelegate() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), shares);
        assert!(!Delegations::<T>::contains_key(provider, who));
    }

    #[benchmark]
    fn withdraw() {
        let provider = registered::<T>();
        let who = delegator::<T>(&provider);
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        Pallet::<T>::do_undelegate(who.clone(), provider.clone(), shares)
            .expect("the delegator has the shares, qed");
        pass_unbonding::<T>();
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
        Pallet::<T>::do_exit(provider.clone()).expect("no bond is open, qed");
        pass_unbonding::<T>();
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
        let who = delegator::<T>(&provider);
        delegator::<T>(&other);
        let shares = Delegations::<T>::get(&provider, &who).map(|d| d.shares).unwrap_or_default();
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), provider.clone(), other.clone(), shares);
        assert!(!Delegations::<T>::contains_key(provider, &who));
        assert!(Delegations::<T>::get(other, who).is_some_and(|d| d.lien.is_some()));
    }

    #[benchmark]
    fn settle_lien() {
        let provider = registered::<T>();
        let other = registered_as::<T>("other provider", "other operator");
        let who = redelegator::<T>(&provider, &other);
        delegator::<T>(&other);
        let id = slashed::<T>(&provider);
        pass_unbonding::<T>();
        Pallet::<T>::do_apply_slash(provider, id).expect("its time has come, qed");
        let before = Pallet::<T>::stake_of(&other);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), other.clone(), who.clone());
        assert!(Delegations::<T>::get(&other, who).is_some_and(|d| d.lien.is_none()));
        assert!(Pallet::<T>::stake_of(&other) < before);
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
        let who = delegator::<T>(&provider);
        let before = Pallet::<T>::stake_of(&provider);
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
        let (provider, period) = asked::<T>();
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
