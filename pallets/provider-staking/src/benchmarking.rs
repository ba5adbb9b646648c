//! A benchmark for each call, on its most expensive path.

use attune_primitives::{
    provider::{Hardware, ProviderProfile},
    traits::Providers as ProvidersApi,
    Balance,
};
use frame_benchmarking::v2::*;
use frame_support::traits::{
    fungible::{Inspect, Mutate},
    Get,
};
use frame_system::{Pallet as System, RawOrigin};
use sp_arithmetic::{traits::Saturating, Permill};

use crate::*;

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
        _(RawOrigin::Signed(who.clone()), provider.clone(), who);
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

    impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Test);
}
