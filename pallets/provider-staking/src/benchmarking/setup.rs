//! Providers, delegators and slashes for the benchmarks.
//!
//! A runtime may keep providers in a list sorted by stake, cut into bags of similar stake. A change of stake costs most
//! where a provider leaves a place between two others of its bag for one behind others in another bag, so such others are
//! registered: by [`registered_as`] for a provider without delegators, and by [`crowd`] wherever else it comes or goes.

use attune_primitives::{
    heartbeat::{is_drawn, payload},
    provider::{Hardware, ProviderProfile},
    traits::Providers as ProvidersApi,
    Balance, H256,
};
use frame_benchmarking::v2::*;
use frame_support::traits::{
    fungible::{Inspect, Mutate},
    Get,
};
use frame_system::Pallet as System;
use sp_arithmetic::Permill;

use super::BenchmarkHelper;
use crate::*;

/// An account that can pay for anything that the benchmarks do.
pub(super) fn funded<T: Config>(name: &'static str) -> T::AccountId {
    let who = account(name, 0, 0);
    let wealth = unit::<T>().saturating_mul(1_000_000);
    T::Currency::set_balance(&who, wealth);
    who
}

/// More than every minimum of the configuration.
pub(super) fn unit<T: Config>() -> Balance {
    T::MinSelfBond::get()
        .max(T::MinDelegation::get())
        .max(T::ProviderDeposit::get())
        .max(T::Currency::minimum_balance())
        .max(1_000)
}

pub(super) fn longest<const N: usize>() -> alloc::vec::Vec<u8> {
    alloc::vec![b'x'; N]
}

pub(super) fn profile() -> ProviderProfile {
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
pub(super) fn registered<T: Config>() -> T::AccountId {
    registered_as::<T>("provider", "operator")
}

/// What a provider puts into its own pool, in units.
pub(super) const OWN: Balance = 10;

/// Two providers with a stake of `units`. A registry that has hardly any room, as in tests of this pallet alone, goes
/// without: no list stands behind it.
pub(super) fn crowd<T: Config>(units: Balance) {
    for _ in 0..2 {
        // As many as there are: no other has this number.
        let number = ProviderIds::<T>::decode_len().and_then(|len| u32::try_from(len).ok());
        let number = number.unwrap_or_default();
        if number.saturating_add(4) >= T::MaxProviders::get() {
            return;
        }
        let (provider, operator) = (account("crowd", number, 0), account("crowd operator", number, 0));
        T::Currency::set_balance(&provider, unit::<T>().saturating_mul(1_000_000));
        let self_bond = unit::<T>().saturating_mul(units);
        Pallet::<T>::do_register(provider, profile(), Permill::from_percent(10), operator, self_bond)
            .expect("the provider is new and has the money, qed");
    }
}

/// A provider registers, and others with the same stake before and after it.
pub(super) fn registered_as<T: Config>(name: &'static str, key: &'static str) -> T::AccountId {
    crowd::<T>(OWN);
    let provider = registered_alone::<T>(name, key);
    crowd::<T>(OWN);
    provider
}

pub(super) fn registered_alone<T: Config>(name: &'static str, key: &'static str) -> T::AccountId {
    let provider = funded::<T>(name);
    let operator = account(key, 0, 0);
    Pallet::<T>::do_register(
        provider.clone(),
        profile(),
        Permill::from_percent(10),
        operator,
        unit::<T>().saturating_mul(OWN),
    )
    .expect("the provider is new and has the money, qed");
    provider
}

/// A delegator of `provider` who adds as much as its own bond, with income to claim.
pub(super) fn delegator<T: Config>(provider: &T::AccountId) -> T::AccountId {
    let who = funded::<T>("delegator");
    let stake = Pallet::<T>::stake_of(provider).div_euclid(unit::<T>()).saturating_add(OWN);
    crowd::<T>(stake);
    Pallet::<T>::do_delegate(who.clone(), provider.clone(), unit::<T>().saturating_mul(OWN))
        .expect("the provider is active and the delegator has the money, qed");
    crowd::<T>(stake);
    let income = unit::<T>().saturating_mul(100);
    T::Currency::mint_into(&Pallet::<T>::pool_account(provider), income)
        .expect("the pool account exists, qed");
    Pallet::<T>::note_income(provider, income, Permill::zero()).expect("the income has arrived, qed");
    who
}

pub(super) fn pass_unbonding<T: Config>() {
    let then = System::<T>::block_number() + T::UnbondingBlocks::get().into();
    System::<T>::set_block_number(then);
}

pub(super) fn pass_slash_delay<T: Config>() {
    let then = System::<T>::block_number() + T::SlashDelay::get().into();
    System::<T>::set_block_number(then);
}

/// A delegator of `to` whose stake came from `from`.
pub(super) fn redelegator<T: Config>(from: &T::AccountId, to: &T::AccountId) -> T::AccountId {
    let who = delegator::<T>(from);
    let shares = Delegations::<T>::get(from, &who).map(|d| d.shares).unwrap_or_default();
    Pallet::<T>::do_redelegate(who.clone(), from.clone(), to.clone(), shares)
        .expect("both providers are active and the delegator has the shares, qed");
    who
}

/// A pending slash that reaches every part of the pool of `provider` and has a reporter to pay. Returns its number.
pub(super) fn slashed<T: Config>(provider: &T::AccountId) -> SlashId {
    let who = delegator::<T>(provider);
    let shares = Delegations::<T>::get(provider, &who).map(|d| d.shares).unwrap_or_default();
    Pallet::<T>::do_undelegate(who, provider.clone(), shares.div_euclid(2))
        .expect("the delegator has the shares, qed");
    let left = Pallet::<T>::stake_of(provider).div_euclid(unit::<T>()).saturating_sub(1);
    crowd::<T>(left);
    Pallet::<T>::do_unbond_self(provider.clone(), unit::<T>()).expect("the self-bond is larger, qed");
    crowd::<T>(left);
    let id = NextSlashId::<T>::get();
    let reporter = funded::<T>("reporter");
    Pallet::<T>::slash_for_offence(provider, Permill::one(), Some(&reporter));
    id
}

/// As many slashes of `provider` as can be pending, but those that are. They are booked now, so that they hold nothing of
/// what is free by now, and whoever wants to know that has to look them up.
pub(super) fn later_slashes<T: Config>(provider: &T::AccountId) {
    let pending = Pools::<T>::get(provider).map(|pool| pool.pending_slashes).unwrap_or_default();
    for _ in pending..MAX_PENDING_SLASHES {
        Pallet::<T>::slash_for_offence(provider, Permill::from_parts(1), None);
    }
}

/// A provider that has missed a heartbeat before, in a period in which it is asked, while the one before it, in which it
/// was asked, too, is still to be swept.
pub(super) fn asked<T: Config>() -> (T::AccountId, u32) {
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

/// As [`asked`], but that the provider is not marked as absent yet: it is asked because it was drawn in the period that is
/// still to be swept, which has to be looked up.
pub(super) fn asked_as_about_to_be_absent<T: Config>() -> (T::AccountId, u32) {
    let (provider, period) = asked::<T>();
    Providers::<T>::mutate(&provider, |slot| {
        if let Some(stored) = slot.as_mut() {
            stored.presence.absent_since = None;
        }
    });
    Sweeping::<T>::mutate(|slot| {
        if let Some(sweep) = slot.as_mut() {
            let (number, one_in) = (sweep.period.number, T::HeartbeatOneIn::get());
            sweep.period.randomness = (0..=u8::MAX)
                .map(H256::repeat_byte)
                .find(|randomness| is_drawn(randomness, &provider, number, one_in));
        }
    });
    (provider, period)
}

/// The heartbeat that the provider's operator signs.
pub(super) fn signed_heartbeat<T: Config>(provider: &T::AccountId, period: u32) -> T::HeartbeatSignature {
    let genesis = System::<T>::block_hash(frame_system::pallet_prelude::BlockNumberFor::<T>::from(0u32)).0;
    T::BenchmarkHelper::sign(&payload(&genesis, provider, period))
}

pub(super) fn missed<T: Config>(provider: &T::AccountId) -> u32 {
    Providers::<T>::get(provider).map(|stored| stored.reputation.heartbeats_missed).unwrap_or_default()
}

/// A delegator of `provider` who has brought stake from a provider of its own, `source`, which has been slashed since: what
/// the lien takes and its end come with the next thing that the delegator does.
pub(super) fn in_debt<T: Config>(
    provider: &T::AccountId,
    source: &'static str,
    key: &'static str,
) -> T::AccountId {
    let from = registered_as::<T>(source, key);
    let who = redelegator::<T>(&from, provider);
    delegator::<T>(provider);
    let id = slashed::<T>(&from);
    pass_unbonding::<T>();
    Pallet::<T>::do_apply_slash(from.clone(), id).expect("its time has come, qed");
    later_slashes::<T>(&from);
    who
}

/// Providers like `provider` where its stake is now and where it will be after a change by `more` and less `less` units,
/// with a fifth of a delegation, the most that an offence takes, paid for a lien.
pub(super) fn crowd_around<T: Config>(provider: &T::AccountId, more: Balance, less: Balance) {
    let now = Pallet::<T>::stake_of(provider).div_euclid(unit::<T>());
    let then = now.saturating_add(more).saturating_sub(less).saturating_sub(OWN.div_euclid(5));
    crowd::<T>(now);
    crowd::<T>(then);
}
