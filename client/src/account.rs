//! Who signs, and who is meant.
//!
//! An account is named in one of three ways: by a key of the profile (`alice-wallet`), by its SS58 address, or by the
//! path of a well-known development key (`//Customer`). A development key signs only where `--dev-key` says so, and only
//! on chains of the type development or local.

use std::str::FromStr;

use anyhow::{bail, Context, Result};
use attune_chain_client::{
    keys::{self, Account, KeyStore},
    AccountId,
};
use clap::Args;

use crate::profile::Profile;

/// Who signs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who signs")]
#[group(required = true, multiple = false)]
pub struct SignerOptions {
    /// A key of this profile (`attune keys list`); its passphrase comes from ATTUNE_PASSPHRASE or is asked for
    #[arg(long, value_name = "NAME", env = "ATTUNE_ACCOUNT")]
    pub account: Option<String>,
    /// A well-known development key such as //Customer, on development and local chains only
    #[arg(long, value_name = "PATH")]
    pub dev_key: Option<String>,
}

/// Who signs, where nobody has to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who signs")]
#[group(multiple = false)]
pub struct MaybeSigner {
    /// A key of this profile (`attune keys list`)
    #[arg(long, value_name = "NAME", env = "ATTUNE_ACCOUNT")]
    account: Option<String>,
    /// A well-known development key such as //Customer, on development and local chains only
    #[arg(long, value_name = "PATH")]
    dev_key: Option<String>,
}

/// Opens the key that signs, if one is named.
///
/// # Errors
/// As [`signer`].
pub fn maybe_signer(profile: &Profile, options: &MaybeSigner) -> Result<Option<Account>> {
    let options = SignerOptions { account: options.account.clone(), dev_key: options.dev_key.clone() };
    match options {
        SignerOptions { account: None, dev_key: None } => Ok(None),
        options => signer(profile, &options).map(Some),
    }
}

/// Opens the key that signs.
///
/// # Errors
/// If there is no such key, or the passphrase does not open it.
pub fn signer(profile: &Profile, options: &SignerOptions) -> Result<Account> {
    match (&options.dev_key, &options.account) {
        (Some(path), _) => Ok(Account::dev(path)?),
        (None, Some(name)) => {
            let store = KeyStore::new(profile.keys());
            // First, so that a wrong name is not found out after a passphrase was typed.
            store.address(name)?.with_context(|| missing(name))?;
            let passphrase = keys::passphrase(&format!("Passphrase of {name}"))?;
            Ok(store.unlock(name, &passphrase)?)
        }
        (None, None) => {
            bail!("nobody is named to sign; add --account NAME, or --dev-key //NAME on a test network")
        }
    }
}

/// The account that a text means: an SS58 address, a development key's path, or a key's name.
///
/// # Errors
/// If it means none of them.
pub fn address(profile: &Profile, text: &str) -> Result<AccountId> {
    if text.starts_with("//") {
        return Ok(Account::dev(text)?.id());
    }
    if let Ok(id) = AccountId::from_str(text) {
        return Ok(id);
    }
    let known = KeyStore::new(profile.keys()).address(text).ok().flatten();
    known.with_context(|| missing(text))
}

fn missing(name: &str) -> String {
    format!(
        "{name:?} is neither a key of this profile (`attune keys list`), nor an address such as \
         5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY, nor a development key such as //Customer"
    )
}

/// An account as the artifact store wants it: it signs requests with the same key as transactions.
#[derive(Clone, Debug)]
pub struct RequestSigner(pub Account);

impl attune_store::Signer for RequestSigner {
    fn account(&self) -> [u8; 32] {
        self.0.id().0
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

/// The well-known development accounts that names are shown for, on test networks.
const KNOWN: [&str; 13] = [
    "//Alice",
    "//Customer",
    "//Customer2",
    "//Delegator1",
    "//Delegator2",
    "//Delegator3",
    "//Provider1",
    "//Provider2",
    "//Provider3",
    "//Provider4",
    "//Provider5",
    "//Provider6",
    "//Challenger",
];

/// An account as lists show it: the path of a development key if it is one, else the address.
pub fn show(id: &AccountId) -> String {
    static NAMES: std::sync::OnceLock<Vec<(AccountId, &str)>> = std::sync::OnceLock::new();
    let names = NAMES.get_or_init(|| {
        KNOWN.iter().filter_map(|path| Account::dev(path).ok().map(|account| (account.id(), *path))).collect()
    });
    match names.iter().find(|(known, _)| known == id) {
        Some((_, path)) => path.to_string(),
        None => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_path_and_by_address() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::open(Some(dir.path())).unwrap();
        let alice = address(&profile, "//Alice").unwrap();
        assert_eq!(alice.to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
        assert_eq!(address(&profile, &alice.to_string()).unwrap(), alice);
        assert_eq!(show(&alice), "//Alice");
        let error = address(&profile, "nobody").unwrap_err().to_string();
        assert!(error.contains("\"nobody\" is neither a key"), "{error}");
    }
}
