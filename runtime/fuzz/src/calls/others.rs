//! Generators of calls of the SDK's pallets: what moves money past Attune's own, and what wraps calls.

use crate::{
    accounts, calls,
    draw::{existential_deposit, Draw},
    scenario::ARGUMENT_BYTES,
};
use attune_runtime::{
    configs::convenience::ProxyType, genesis::accounts::VALIDATORS, AccountId, RuntimeCall, SessionKeys,
};
use codec::Encode;
use pallet_balances::Call as Balances;
use sp_core::{ed25519, proof_of_possession::statement_of_ownership, sr25519, Pair};
use sp_runtime::MultiAddress;

fn transfer(draw: &mut Draw<'_>) -> (AccountId, MultiAddress<AccountId, ()>, u128) {
    let (from, to) = (draw.somebody(), draw.anyone());
    let value = draw.amount(existential_deposit(), &from);
    (from, to.into(), value)
}

pub(super) fn transfer_allow_death(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (from, dest, value) = transfer(draw);
    (from, Balances::transfer_allow_death { dest, value }.into())
}

pub(super) fn transfer_keep_alive(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (from, dest, value) = transfer(draw);
    (from, Balances::transfer_keep_alive { dest, value }.into())
}

pub(super) fn transfer_all(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let keep_alive = draw.rarely(2);
    let (from, dest, _) = transfer(draw);
    (from, Balances::transfer_all { dest, keep_alive }.into())
}

pub(super) fn burn(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let keep_alive = draw.rarely(2);
    let (from, _, value) = transfer(draw);
    (from, Balances::burn { value, keep_alive }.into())
}

/// Up to four of Attune's own calls or transfers, and who would make the first.
fn several(draw: &mut Draw<'_>) -> (AccountId, Vec<RuntimeCall>) {
    let count = usize::from(draw.byte() % 4);
    let rest = draw.rest();
    let mut who = None;
    let calls = (0..count).map(|place| {
        // Each call reads the bytes from another one on, and is chosen by the one before.
        let mut bytes = [0; ARGUMENT_BYTES];
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = rest.get((place * 3 + offset) % rest.len().max(1)).copied().unwrap_or_default();
        }
        let which = bytes[0];
        let table = if which >= 224 { &calls::OTHERS[..4] } else { calls::OWN };
        let calls::Work::Call(_, _, make) = table[usize::from(which) % table.len()].work else {
            unreachable!("both tables hold calls only")
        };
        let (natural, call) = make(&mut Draw::new(&bytes[1..]));
        who.get_or_insert(natural);
        call
    });
    let calls = calls.collect();
    (who.unwrap_or_else(|| accounts::customer(0)), calls)
}

pub(super) fn batch(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (who, calls) = several(draw);
    (who, pallet_utility::Call::batch { calls }.into())
}

pub(super) fn batch_all(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (who, calls) = several(draw);
    (who, pallet_utility::Call::batch_all { calls }.into())
}

pub(super) fn force_batch(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (who, calls) = several(draw);
    (who, pallet_utility::Call::force_batch { calls }.into())
}

fn proxy_type(byte: u8) -> ProxyType {
    [ProxyType::Any, ProxyType::NonTransfer, ProxyType::Work][usize::from(byte) % 3]
}

pub(super) fn add_proxy(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (who, delegate) = (draw.somebody(), draw.somebody());
    let proxy_type = proxy_type(draw.byte());
    let delay = u32::from(draw.rarely(8));
    (who, pallet_proxy::Call::add_proxy { delegate: delegate.into(), proxy_type, delay }.into())
}

pub(super) fn proxy(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let forced = draw.rarely(4).then_some(proxy_type(byte));
    let (natural, mut calls) = several(draw);
    let call =
        Box::new(calls.pop().unwrap_or_else(|| frame_system::Call::remark { remark: Vec::new() }.into()));
    let proxies =
        pallet_proxy::Proxies::<attune_runtime::Runtime>::iter().flat_map(|(real, (proxies, _))| {
            proxies.into_iter().map(move |proxy| (real.clone(), proxy.delegate))
        });
    let proxies: Vec<_> = proxies.collect();
    let (real, who) = match proxies.len() {
        0 => (natural, accounts::somebody(byte)),
        count => proxies[usize::from(byte) % count].clone(),
    };
    (who, pallet_proxy::Call::proxy { real: real.into(), force_proxy_type: forced, call }.into())
}

pub(super) fn set_keys(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = if draw.rarely(2) {
        draw.somebody()
    } else {
        VALIDATORS[usize::from(draw.byte()) % VALIDATORS.len()].stash.into()
    };
    let path = ["//Alice", "//Bob", "//Key1", "//Key2"][usize::from(draw.byte()) % 4];
    let babe = sr25519::Pair::from_string(path, None).expect("the path is valid; qed");
    let grandpa = ed25519::Pair::from_string(path, None).expect("the path is valid; qed");
    let keys = SessionKeys { babe: babe.public().into(), grandpa: grandpa.public().into() };
    let statement = statement_of_ownership(who.as_ref());
    let mut proof = (babe.sign(&statement), grandpa.sign(&statement)).encode();
    if draw.rarely(8) {
        proof.pop();
    }
    (who, pallet_session::Call::set_keys { keys, proof }.into())
}

pub(super) fn purge_keys(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = if draw.rarely(2) {
        draw.somebody()
    } else {
        VALIDATORS[usize::from(draw.byte()) % VALIDATORS.len()].stash.into()
    };
    (who, pallet_session::Call::purge_keys {}.into())
}
