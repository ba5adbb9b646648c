//! Generators of provider-staking's calls.

use crate::{accounts, chain, draw::Draw, view};
use attune_primitives::{
    heartbeat::payload,
    job::ExecutionClass,
    provider::{Hardware, ProviderProfile},
};
use attune_runtime::{
    configs::windows::HeartbeatPeriod, units::ATT, AccountId, ProviderStaking, Runtime, RuntimeCall, System,
};
use frame_support::{traits::Get, BoundedVec};
use pallet_provider_staking::{
    Call, Config, Delegation, Delegations, OwedCompensation, PendingSlashes, Pools, SlashId, Unbonding,
};
use sp_runtime::Permill;

/// The execution class of most providers.
pub(crate) const CLASS: &[u8] = b"cpu-a";
/// Another one.
const OTHER_CLASS: &[u8] = b"cpu-b";

/// A class as a profile and a specification have it.
pub(crate) fn class(name: &[u8]) -> ExecutionClass {
    BoundedVec::truncate_from(name.to_vec())
}

/// A profile that the pallet takes.
fn plain_profile(name: &[u8], exact_version: u16) -> ProviderProfile {
    ProviderProfile {
        name: BoundedVec::truncate_from(b"A provider".to_vec()),
        endpoint: BoundedVec::truncate_from(b"http://localhost:1".to_vec()),
        class: class(name),
        exact_version,
        hardware: Hardware {
            model: BoundedVec::truncate_from(b"CPU".to_vec()),
            accelerators: 0,
            memory_mib: 1_024,
        },
        price_per_gpu_hour: ATT,
        tokens_per_second: 100,
    }
}

fn profile(draw: &mut Draw<'_>) -> ProviderProfile {
    let byte = draw.byte();
    let mut profile =
        plain_profile(if byte % 8 == 7 { OTHER_CLASS } else { CLASS }, u16::from(byte % 4 != 3));
    match byte {
        240..=243 => profile.endpoint = BoundedVec::default(),
        244..=247 => profile.name = BoundedVec::truncate_from(b"\n".to_vec()),
        248..=251 => profile.class = class(&[0xff; 64]),
        252.. => profile.hardware.model = BoundedVec::truncate_from(vec![0xff]),
        _ => {}
    }
    profile
}

fn min_self_bond() -> u128 {
    <<Runtime as Config>::MinSelfBond as Get<u128>>::get()
}

fn min_delegation() -> u128 {
    <<Runtime as Config>::MinDelegation as Get<u128>>::get()
}

/// Five providers of different kinds and three delegations.
pub(super) fn preparation() -> Vec<(AccountId, RuntimeCall)> {
    let register = |index: u8, exact_version, percent| {
        let call = Call::register {
            profile: plain_profile(CLASS, exact_version),
            commission: Permill::from_percent(percent),
            operator: accounts::operator(index),
            self_bond: min_self_bond() * (u128::from(index) + 1),
        };
        (accounts::stash(index), call.into())
    };
    let delegate = |delegator: u8, provider: u8, amount| {
        let call = Call::delegate { provider: accounts::stash(provider), amount };
        (accounts::delegator(delegator), call.into())
    };
    vec![
        register(0, 1, 10),
        register(1, 1, 0),
        register(2, 1, 50),
        register(3, 0, 100),
        register(4, 1, 5),
        delegate(0, 0, 300 * ATT),
        delegate(1, 0, 77 * ATT + 7),
        delegate(2, 1, 1_000 * ATT),
    ]
}

/// A stash that is not registered, if there is one.
fn newcomer(draw: &mut Draw<'_>) -> AccountId {
    let byte = draw.byte();
    if byte >= 224 {
        return accounts::somebody(byte - 224);
    }
    let known = view::providers();
    let free = (0..6)
        .map(accounts::stash)
        .chain((0..2).map(accounts::customer))
        .chain((0..2).map(accounts::delegator));
    let free: Vec<_> = free.filter(|id| !known.contains(id)).collect();
    free[usize::from(byte) % free.len()].clone()
}

pub(super) fn register(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = newcomer(draw);
    let profile = profile(draw);
    let commission = draw.permill();
    let byte = draw.byte();
    let own = (0..6).find(|index| accounts::stash(*index) == who).map(accounts::operator);
    let operator = if byte < 200 {
        own.unwrap_or_else(|| accounts::anyone(byte % 30))
    } else {
        accounts::anyone(byte - 200)
    };
    let self_bond = draw.amount(min_self_bond(), &who);
    (who, Call::register { profile, commission, operator, self_bond }.into())
}

pub(super) fn set_profile(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (draw.provider(), Call::set_profile { profile: profile(draw) }.into())
}

pub(super) fn set_operator(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = draw.provider();
    (who, Call::set_operator { operator: draw.anyone() }.into())
}

pub(super) fn set_commission(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = draw.provider();
    (who, Call::set_commission { commission: draw.permill() }.into())
}

pub(super) fn bond_more(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = draw.provider();
    let amount = draw.amount(min_self_bond(), &who);
    (who, Call::bond_more { amount }.into())
}

pub(super) fn unbond_self(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = draw.provider();
    let above = Pools::<Runtime>::get(&who).map_or(0, |pool| pool.self_bond.saturating_sub(min_self_bond()));
    let byte = draw.byte();
    let amount = match byte {
        0..=99 => above / (u128::from(byte % 10) + 1),
        100..=149 => above,
        150..=179 => view::free_stake(&who),
        180..=199 => above + 1,
        _ => draw.amount(ATT, &who),
    };
    (who, Call::unbond_self { amount }.into())
}

pub(super) fn delegate(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = if draw.rarely(8) { draw.somebody() } else { accounts::delegator(draw.byte()) };
    let provider = draw.provider();
    let amount = draw.amount(min_delegation(), &who);
    (who, Call::delegate { provider, amount }.into())
}

/// A delegator of `provider`, if it has one.
fn delegator_of(provider: &AccountId, draw: &mut Draw<'_>) -> AccountId {
    let byte = draw.byte();
    let all = view::delegators(provider);
    match all.len() {
        0 => accounts::delegator(byte),
        count => all[usize::from(byte) % count].0.clone(),
    }
}

pub(super) fn undelegate(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let provider = draw.provider();
    let who = delegator_of(&provider, draw);
    let all = view::shares(&provider, &who);
    let byte = draw.byte();
    let shares = match byte {
        0..=63 => all,
        64..=159 => all / (u128::from(byte % 16) + 2),
        160..=175 => all.saturating_sub(1),
        176..=191 => all.saturating_add(1),
        192..=207 => 1,
        // Leaves about the least delegation, on either side.
        208..=239 => all.saturating_sub(min_delegation() * 1_000).saturating_add(u128::from(byte % 2)),
        240..=247 => 0,
        _ => u128::MAX,
    };
    (who, Call::undelegate { provider, shares }.into())
}

/// Somebody with stake on its way out of the pool of `provider`, if there is one.
fn leaver_of(provider: &AccountId, draw: &mut Draw<'_>) -> AccountId {
    let byte = draw.byte();
    let all = view::leaving(provider);
    match all.len() {
        0 => delegator_of(provider, draw),
        count => all[usize::from(byte) % count].clone(),
    }
}

/// A provider of whose pool somebody leaves, if there is one.
fn left_provider(draw: &mut Draw<'_>) -> AccountId {
    let byte = draw.byte();
    let left: Vec<_> = Unbonding::<Runtime>::iter_keys().map(|(provider, _)| provider).collect();
    match left.len() {
        0 => draw.provider(),
        count => left[usize::from(byte) % count].clone(),
    }
}

pub(super) fn withdraw(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let provider = left_provider(draw);
    (leaver_of(&provider, draw), Call::withdraw { provider }.into())
}

pub(super) fn claim_income(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let provider = draw.provider();
    (delegator_of(&provider, draw), Call::claim_income { provider }.into())
}

pub(super) fn exit(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (draw.provider(), Call::exit {}.into())
}

/// A provider that leaves, if there is one.
fn exiting(draw: &mut Draw<'_>) -> AccountId {
    let mut leaving = view::providers();
    leaving.retain(|id| {
        pallet_provider_staking::Providers::<Runtime>::get(id)
            .is_some_and(|stored| stored.status == pallet_provider_staking::Status::Exiting)
    });
    let byte = draw.byte();
    match leaving.len() {
        0 => draw.provider(),
        count => leaving[usize::from(byte) % count].clone(),
    }
}

pub(super) fn evict(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let provider = exiting(draw);
    let owner = if draw.rarely(2) { leaver_of(&provider, draw) } else { delegator_of(&provider, draw) };
    (accounts::account(accounts::STRANGER), Call::evict { provider, owner }.into())
}

pub(super) fn deregister(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (accounts::account(accounts::STRANGER), Call::deregister { provider: exiting(draw) }.into())
}

/// The block after which everything that delegators take out of a pool now is free.
pub(crate) fn unlocked_at() -> u32 {
    chain::now() + chain::WINDOWS.unbonding
}

/// A slash that waits, if there is one; rarely one that doesn't.
fn pending_slash(draw: &mut Draw<'_>) -> (AccountId, SlashId) {
    let byte = draw.byte();
    let pending: Vec<_> = PendingSlashes::<Runtime>::iter_keys().collect();
    match pending.len() {
        count if count > 0 && byte < 240 => pending[usize::from(byte) % count].clone(),
        _ => (draw.provider(), SlashId::from(byte)),
    }
}

pub(super) fn cancel_slash(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (provider, slash) = pending_slash(draw);
    (provider.clone(), Call::cancel_slash { provider, slash }.into())
}

pub(super) fn apply_slash(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (provider, slash) = pending_slash(draw);
    (accounts::account(accounts::STRANGER), Call::apply_slash { provider, slash }.into())
}

pub(super) fn claim_compensation(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let owed: Vec<_> = OwedCompensation::<Runtime>::iter_keys().collect();
    let (provider, customer) = match owed.len() {
        0 => (draw.provider(), accounts::customer(byte)),
        count => owed[usize::from(byte) % count].clone(),
    };
    (accounts::account(accounts::STRANGER), Call::claim_compensation { provider, customer }.into())
}

pub(super) fn redelegate(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let from = draw.provider();
    let who = delegator_of(&from, draw);
    let to = draw.provider();
    let all = view::shares(&from, &who);
    let byte = draw.byte();
    let shares = match byte {
        0..=95 => all,
        96..=223 => all / (u128::from(byte % 8) + 2),
        224..=239 => all.saturating_add(1),
        240..=247 => 0,
        _ => u128::MAX,
    };
    (who, Call::redelegate { from, to, shares }.into())
}

/// A delegation, with a lien if there is one.
fn delegation(draw: &mut Draw<'_>, fits: impl Fn(&Delegation<AccountId>) -> bool) -> (AccountId, AccountId) {
    let byte = draw.byte();
    let all: Vec<_> = Delegations::<Runtime>::iter().collect();
    let fitting: Vec<_> = all.iter().filter(|(_, _, delegation)| fits(delegation)).collect();
    let from: Vec<_> = if fitting.is_empty() { all.iter().collect() } else { fitting };
    match from.len() {
        0 => (draw.provider(), accounts::delegator(byte)),
        count => {
            let (provider, who, _) = from[usize::from(byte) % count];
            (provider.clone(), who.clone())
        }
    }
}

pub(super) fn settle_lien(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (provider, delegator) = delegation(draw, |delegation| delegation.lien.is_some());
    (accounts::account(accounts::STRANGER), Call::settle_lien { provider, delegator }.into())
}

pub(super) fn set_auto_compound(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (provider, who) = delegation(draw, |_| true);
    (who, Call::set_auto_compound { provider, enabled: !draw.rarely(4) }.into())
}

pub(super) fn compound(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (provider, delegator) = delegation(draw, |delegation| delegation.auto_compound);
    let who = if draw.rarely(4) { accounts::account(accounts::STRANGER) } else { delegator.clone() };
    (who, Call::compound { provider, delegator }.into())
}

pub(super) fn chill(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (draw.provider(), Call::chill {}.into())
}

pub(super) fn unchill(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let mut chilled = view::providers();
    chilled.retain(|id| {
        pallet_provider_staking::Providers::<Runtime>::get(id)
            .is_some_and(|stored| stored.status == pallet_provider_staking::Status::Chilled)
    });
    let who = match chilled.len() {
        0 => draw.provider(),
        count => chilled[usize::from(byte) % count].clone(),
    };
    (who, Call::unchill {}.into())
}

/// A heartbeat of a provider that is asked for one, if there is any, signed by its operator; now and then one that is
/// for another period or another chain, or that somebody else has signed.
pub(super) fn heartbeat(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let mut asked = view::providers();
    asked.retain(|id| ProviderStaking::due_period(id).is_some());
    let provider = match asked.len() {
        0 => draw.provider(),
        count => asked[usize::from(byte) % count].clone(),
    };
    let running = chain::now() / <HeartbeatPeriod as Get<u32>>::get();
    let period = match draw.byte() {
        0..=223 => running,
        224..=235 => running.saturating_sub(1),
        236..=247 => running + 1,
        wild => u32::MAX - u32::from(wild),
    };
    let genesis = if draw.rarely(16) { [9; 32] } else { System::block_hash(0).0 };
    let signer = if draw.rarely(16) { draw.somebody() } else { view::operator_of(&provider) };
    let signature = accounts::sign(&signer, &payload(&genesis, &provider, period));
    (signer, Call::heartbeat { provider, period, signature }.into())
}
