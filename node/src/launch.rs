//! What begins a network of value: the accounts that the `mainnet` preset leaves open.
//!
//! The runtime's preset holds the constants; who is there at the first block is up to those who launch the network, and
//! comes from a file of theirs ([`Launch`]). A mistake in it can't be mended later: the first block is what every node agrees
//! on. So everything is checked before, and everything that is wrong is said at once.
//!
//! ```json
//! {
//!   "name": "Example Network",
//!   "id": "example",
//!   "sudo": "5F…",
//!   "balances": [{ "account": "5F…", "att": "1000000" }],
//!   "validators": [{ "stash": "5F…", "babe": "5F…", "grandpa": "5F…" }],
//!   "bootNodes": ["/dns/node.example/tcp/30333/p2p/12D3Koo…"]
//! }
//! ```

use attune_runtime::{
    configs::{consensus::MaxAuthorities, money::ExistentialDeposit},
    genesis::{accounts, MAINNET_MIN_VALIDATORS},
    units::{ATT, DECIMALS, SYMBOL},
    AccountId, Balance,
};
use sc_network::config::MultiaddrWithPeerId;
use serde::Deserialize;
use serde_json::{json, Value};
use sp_core::{
    crypto::{Ss58Codec, DEV_PHRASE},
    ecdsa, ed25519, sr25519, Pair,
};
use sp_runtime::traits::IdentifyAccount;
use std::collections::{BTreeMap, BTreeSet};

/// The names from which everybody's tools derive development keys, besides those of the test presets.
const DEVELOPERS: [&str; 8] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "One", "Two"];

/// The file with the accounts of a network of value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Launch {
    /// The network's name, for people.
    pub(crate) name: String,
    /// The network's name, for folders and protocols: small letters, digits and `_`.
    pub(crate) id: String,
    /// The administrator.
    sudo: Option<String>,
    /// What accounts have at the beginning.
    #[serde(default)]
    balances: Vec<Endowment>,
    /// Who makes the first blocks.
    #[serde(default)]
    validators: Vec<Validator>,
    /// Where new nodes find the network.
    #[serde(default)]
    boot_nodes: Vec<String>,
}

/// What an account has at the beginning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endowment {
    /// The account, as SS58.
    account: String,
    /// The amount, in ATT, with up to twelve places.
    att: String,
}

/// A validator of the first sessions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Validator {
    /// The account that has the seat, and later becomes the provider.
    stash: String,
    /// Its sr25519 key for blocks, as SS58 or hex.
    babe: String,
    /// Its ed25519 key for finality, as SS58 or hex.
    grandpa: String,
}

/// What a network begins with, checked.
#[derive(Debug)]
pub(crate) struct Genesis {
    /// To be merged over the preset.
    pub(crate) patch: Value,
    /// Where new nodes find the network.
    pub(crate) boot_nodes: Vec<MultiaddrWithPeerId>,
}

impl Launch {
    /// Checks everything.
    ///
    /// # Errors
    /// Every mistake, one sentence each.
    pub(crate) fn check(&self) -> Result<Genesis, Vec<String>> {
        let mut check = Check { problems: Vec::new(), known: known_keys() };
        check.names(self);
        let balances = check.balances(&self.balances);
        let keys = check.validators(&self.validators, &balances);
        let sudo = check.sudo(self.sudo.as_deref(), &balances);
        let boot_nodes = check.boot_nodes(&self.boot_nodes);
        if !check.problems.is_empty() {
            return Err(check.problems);
        }
        let patch = json!({
            "balances": { "balances": balances.into_iter().collect::<Vec<_>>() },
            "session": { "keys": keys },
            "sudo": { "key": sudo },
        });
        Ok(Genesis { patch, boot_nodes })
    }
}

/// The mistakes so far.
struct Check {
    problems: Vec<String>,
    known: BTreeMap<[u8; 32], String>,
}

impl Check {
    fn problem(&mut self, sentence: impl Into<String>) {
        self.problems.push(sentence.into());
    }

    fn names(&mut self, launch: &Launch) {
        if launch.name.trim().is_empty() {
            self.problem("name is empty: give the network one that people know it by");
        }
        let is_fit = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if launch.id.is_empty() || !launch.id.chars().all(is_fit) {
            self.problem(format!("id is {:?}: it must be of small letters, digits and _", launch.id));
        }
        if ["attune_dev", "attune_local"].contains(&launch.id.as_str()) {
            self.problem(format!("id is {:?}, which is a test network's: choose another", launch.id));
        }
    }

    fn balances(&mut self, endowments: &[Endowment]) -> BTreeMap<AccountId, Balance> {
        let mut balances = BTreeMap::new();
        let mut issued: Option<Balance> = Some(0);
        for (index, Endowment { account, att }) in endowments.iter().enumerate() {
            let what = format!("balances[{index}]");
            let Some(account) = self.account(&format!("{what}.account"), account) else { continue };
            let Some(amount) = planck(att) else {
                self.problem(format!(
                    "{what}.att is {att:?}: expected an amount of {SYMBOL} with up to {DECIMALS} places, such as \"1000.5\""
                ));
                continue;
            };
            if amount < ExistentialDeposit::get() {
                self.problem(format!(
                    "{what} gives {account} {att} {SYMBOL}, less than an account must hold (0.001): give more, or leave it out"
                ));
            }
            // Said once: what comes after it is too much as well.
            if let Some(sum) = issued {
                issued = sum.checked_add(amount);
                if issued.is_none() {
                    self.problem(format!("{what}: all balances together are more than the chain can count"));
                }
            }
            if balances.insert(account.clone(), amount).is_some() {
                self.problem(format!("{what} names {account} again: give each account one balance"));
            }
        }
        balances
    }

    /// Stash twice, as the session takes account and validator, and keys.
    fn validators(
        &mut self,
        validators: &[Validator],
        balances: &BTreeMap<AccountId, Balance>,
    ) -> Vec<(AccountId, AccountId, Value)> {
        let (least, most) = (MAINNET_MIN_VALIDATORS, MaxAuthorities::get());
        let count = u32::try_from(validators.len()).unwrap_or(u32::MAX);
        if count < least {
            self.problem(format!(
                "{} given, and at least {least} are needed: of fewer none may fail, or finality stops",
                match count {
                    0 => "no validators are".to_owned(),
                    1 => "1 validator is".to_owned(),
                    _ => format!("{count} validators are"),
                }
            ));
        }
        if count > most {
            self.problem(format!("{count} validators are given, and at most {most} have seats"));
        }
        let mut seen: BTreeMap<([u8; 32], &str), usize> = BTreeMap::new();
        let mut keys = Vec::new();
        for (index, validator) in validators.iter().enumerate() {
            let what = |field: &str| format!("validators[{index}].{field}");
            let stash = self.account(&what("stash"), &validator.stash);
            let babe = self.key::<sr25519::Public>(&what("babe"), &validator.babe, "an sr25519 key");
            let grandpa = self.key::<ed25519::Public>(&what("grandpa"), &validator.grandpa, "an ed25519 key");
            let (Some(stash), Some(babe), Some(grandpa)) = (stash, babe, grandpa) else { continue };
            for (bytes, field) in [(stash.clone().into(), "stash"), (babe.0, "babe"), (grandpa.0, "grandpa")]
            {
                if let Some(other) = seen.insert((bytes, field), index) {
                    self.problem(format!(
                        "{} is also that of validators[{other}]: two machines with one key sign against each other, and \
                         lose their stake",
                        what(field)
                    ));
                }
            }
            if !balances.contains_key(&stash) {
                self.problem(format!(
                    "{} {stash} has no balance: it could not pay for becoming a provider; add it to balances",
                    what("stash")
                ));
            }
            let session_keys = json!({ "babe": babe.to_ss58check(), "grandpa": grandpa.to_ss58check() });
            keys.push((stash.clone(), stash, session_keys));
        }
        keys
    }

    fn sudo(&mut self, sudo: Option<&str>, balances: &BTreeMap<AccountId, Balance>) -> Option<AccountId> {
        let Some(sudo) = sudo else {
            self.problem(
                "sudo is missing: the administrator cancels slashes, sets inflation and upgrades the network, and can't be \
                 named later; give its account",
            );
            return None;
        };
        let sudo = self.account("sudo", sudo)?;
        if !balances.contains_key(&sudo) {
            self.problem(format!(
                "sudo {sudo} has no balance: it could not pay for a transaction; add it to balances"
            ));
        }
        Some(sudo)
    }

    fn boot_nodes(&mut self, addresses: &[String]) -> Vec<MultiaddrWithPeerId> {
        let mut boot_nodes = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            match address.parse() {
                Ok(address) => boot_nodes.push(address),
                Err(error) => self.problem(format!(
                    "bootNodes[{index}] is {address:?}: expected an address like \
                     /dns/node.example/tcp/30333/p2p/12D3Koo… ({error})"
                )),
            }
        }
        boot_nodes
    }

    fn account(&mut self, what: &str, text: &str) -> Option<AccountId> {
        let account = AccountId::from_ss58check(text).ok().or_else(|| from_hex(text).map(AccountId::from));
        let Some(account) = account else {
            self.problem(format!("{what} is {text:?}: expected an account as SS58 (it begins with 5)"));
            return None;
        };
        self.refuse_known(what, account.clone().into());
        Some(account)
    }

    fn key<K: Ss58Codec + From<[u8; 32]> + AsRef<[u8]>>(
        &mut self,
        what: &str,
        text: &str,
        kind: &str,
    ) -> Option<K> {
        let key = K::from_ss58check(text).ok().or_else(|| from_hex(text).map(K::from));
        let Some(key) = key else {
            self.problem(format!("{what} is {text:?}: expected {kind} as SS58 or as 64 hex digits after 0x"));
            return None;
        };
        if let Ok(bytes) = <[u8; 32]>::try_from(key.as_ref()) {
            self.refuse_known(what, bytes);
        }
        Some(key)
    }

    fn refuse_known(&mut self, what: &str, key: [u8; 32]) {
        if let Some(path) = self.known.get(&key).cloned() {
            self.problem(format!(
                "{what} is the development key {path}, whose secret everybody knows: make one of your own with \
                 `attune-node key generate`"
            ));
        }
    }
}

/// Every well-known development key, in every scheme, and the accounts of those keys; by what it is derived from.
fn known_keys() -> BTreeMap<[u8; 32], String> {
    let mut paths = BTreeSet::from([String::new()]);
    for name in DEVELOPERS {
        for suffix in ["", "//stash", "//operator"] {
            paths.insert(format!("//{name}{suffix}"));
        }
    }
    paths.extend(accounts::ACCOUNTS.iter().map(|(path, _)| (*path).to_owned()));
    paths.extend(accounts::VALIDATORS.iter().map(|validator| validator.name.to_owned()));
    let mut known = BTreeMap::new();
    for path in paths {
        let secret = format!("{DEV_PHRASE}{path}");
        const PROOF: &str = "the phrase and its derivations are valid; qed";
        let sr25519 = sr25519::Pair::from_string(&secret, None).expect(PROOF).public().0;
        let ed25519 = ed25519::Pair::from_string(&secret, None).expect(PROOF).public().0;
        let ecdsa = ecdsa::Pair::from_string(&secret, None).expect(PROOF).public();
        let ecdsa = sp_runtime::MultiSigner::from(ecdsa).into_account().into();
        let shown = if path.is_empty() { "of the development phrase itself".to_owned() } else { path };
        for key in [sr25519, ed25519, ecdsa] {
            known.insert(key, shown.clone());
        }
    }
    known
}

/// 32 bytes as hex digits after `0x`.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    sp_core::bytes::from_hex(text.starts_with("0x").then_some(text)?).ok()?.try_into().ok()
}

/// An amount of ATT in planck; `None` if it is none.
fn planck(att: &str) -> Option<Balance> {
    let (whole, part) = att.split_once('.').unwrap_or((att, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    let places = usize::try_from(DECIMALS).ok()?;
    let is_fit = !whole.is_empty() && is_number(whole) && is_number(part) && part.len() <= places;
    if !is_fit || att.ends_with('.') {
        return None;
    }
    let whole = whole.parse::<Balance>().ok()?.checked_mul(ATT)?;
    let part = format!("{part:0<places$}").parse::<Balance>().ok()?;
    whole.checked_add(part)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::good;
