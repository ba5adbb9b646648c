//! The cast. Everyone is of the preset's table of accounts, but for those who have nothing.

use attune_runtime::{genesis::accounts::ACCOUNTS, AccountId, ProviderStaking, Signature};
use core::cell::RefCell;
use sp_core::{sr25519, Pair};
use std::collections::BTreeMap;

/// Derivation paths of the providers' own accounts; all but the last are registered in the prepared state.
pub const STASHES: [&str; 6] =
    ["//Provider1", "//Provider2", "//Provider3", "//Provider4", "//Provider5", "//Provider6"];

/// Those who order jobs. The second one has little.
pub const CUSTOMERS: [&str; 3] = ["//Customer", "//Customer2", "//Dave"];

/// Those who delegate.
pub const DELEGATORS: [&str; 4] = ["//Delegator1", "//Delegator2", "//Delegator3", "//Ferdie"];

/// Who registers the prepared state's model.
pub const MODEL_OWNER: &str = "//Eve";

/// Has hardly more than the existential deposit in the prepared state.
pub const POOR: &str = "//Challenger";

/// Somebody with money and no part in anything.
pub const STRANGER: &str = "//Bob//stash";

/// The account of a path of the preset's table.
///
/// # Panics
/// If there is no such path: the paths are constants of this crate.
pub fn account(path: &str) -> AccountId {
    let entry = ACCOUNTS.iter().find(|(known, _)| *known == path);
    let (_, key) = entry.unwrap_or_else(|| panic!("{path} is not in the preset's table"));
    AccountId::from(*key)
}

/// Provider `index`, counted round the table.
pub fn stash(index: u8) -> AccountId {
    account(STASHES[usize::from(index) % STASHES.len()])
}

/// The operator key that belongs to provider `index`.
pub fn operator(index: u8) -> AccountId {
    account(&format!("{}//operator", STASHES[usize::from(index) % STASHES.len()]))
}

/// Customer `index`, counted round the table.
pub fn customer(index: u8) -> AccountId {
    account(CUSTOMERS[usize::from(index) % CUSTOMERS.len()])
}

/// Delegator `index`, counted round the table.
pub fn delegator(index: u8) -> AccountId {
    account(DELEGATORS[usize::from(index) % DELEGATORS.len()])
}

/// An account that exists nowhere.
pub fn nobody() -> AccountId {
    AccountId::from([0x5a; 32])
}

/// Somebody of the preset's table, who can sign.
pub fn somebody(index: u8) -> AccountId {
    AccountId::from(ACCOUNTS[usize::from(index) % ACCOUNTS.len()].1)
}

/// Anyone: the preset's table, somebody who doesn't exist, and the accounts of pools, which have no key.
pub fn anyone(index: u8) -> AccountId {
    let index = usize::from(index);
    match ACCOUNTS.get(index) {
        Some((_, key)) => AccountId::from(*key),
        None if index % 4 == 0 => nobody(),
        None => ProviderStaking::pool_account_of(&account(STASHES[index % STASHES.len()])),
    }
}

/// What `who` signs; nonsense for those who have no key.
pub fn sign(who: &AccountId, message: &[u8]) -> Signature {
    thread_local! {
        // To derive a key takes longer than to sign with it.
        static SECRETS: RefCell<BTreeMap<AccountId, sr25519::Pair>> = const { RefCell::new(BTreeMap::new()) };
    }
    let bytes: &[u8; 32] = who.as_ref();
    let Some((path, _)) = ACCOUNTS.iter().find(|(_, key)| key == bytes) else {
        return sr25519::Signature::from_raw([0x5a; 64]).into();
    };
    SECRETS.with_borrow_mut(|secrets| {
        let secret = secrets.entry(who.clone()).or_insert_with(|| {
            sr25519::Pair::from_string(path, None).expect("the table's paths are valid; qed")
        });
        secret.sign(message).into()
    })
}

/// True for the accounts of the cast's pools. They have no key, and must not sign.
pub fn is_pool(who: &AccountId) -> bool {
    STASHES.iter().any(|path| ProviderStaking::pool_account_of(&account(path)) == *who)
}

/// How a listing calls an account.
pub fn name(who: &AccountId) -> String {
    if *who == nobody() {
        return "nobody".into();
    }
    let bytes: &[u8; 32] = who.as_ref();
    if let Some((path, _)) = ACCOUNTS.iter().find(|(_, key)| key == bytes) {
        return (*path).into();
    }
    match STASHES.iter().find(|path| ProviderStaking::pool_account_of(&account(path)) == *who) {
        Some(path) => format!("pool of {path}"),
        None => who.to_string(),
    }
}
