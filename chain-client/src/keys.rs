//! Accounts and the files that keep their keys.
//!
//! A key file is JSON that anyone may copy: the secret in it is sealed with XChaCha20-Poly1305 under a key that scrypt
//! makes from a passphrase. The passphrase comes from the environment ([`PASSPHRASE_VARIABLE`]) or from the terminal,
//! never from an argument, which other users of the machine could read. An [`Account`] never prints its key.
//!
//! Well-known development keys (`//Alice`) have no file: whoever asks for one says so ([`Account::dev`]), and
//! [`crate::Chain::check_dev_key`] refuses them on every chain that is not a development or local one.

use std::{
    fmt, fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use chacha20poly1305::{
    aead::{Aead, KeyInit, Payload},
    XChaCha20Poly1305, XNonce,
};
use serde::{Deserialize, Serialize};
use subxt_signer::{bip39::Mnemonic, sr25519, SecretUri};
use zeroize::Zeroizing;

use crate::AccountId;

/// Environment variable that holds the passphrase of key files.
pub const PASSPHRASE_VARIABLE: &str = "ATTUNE_PASSPHRASE";

const FORMAT: u32 = 1;
/// scrypt with N = 2^15, r = 8, p = 1: 32 MiB and about a tenth of a second for each guess.
const LOG_N: u8 = 15;
const BLOCK_SIZE: u32 = 8;
const PARALLELISM: u32 = 1;
/// The most that a file may ask for: 1 GiB.
const MAX_LOG_N: u8 = 20;
const MAX_NAME_BYTES: usize = 64;

/// Why a key could not be made, stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret is not in a form that is known. The secret itself is not shown.
    #[error("expected a secret phrase of 12 or 24 words, or a 0x seed of 32 bytes, found something else ({reason}); check it for typing errors")]
    Secret {
        /// What is wrong with it, without the secret.
        reason: String,
    },
    /// A name cannot be a file name.
    #[error(
        "expected a key name of 1 to 64 letters, digits, '-' or '_', found {found:?}; choose another name"
    )]
    Name {
        /// The name.
        found: String,
    },
    /// There is no such key.
    #[error("expected a key named {name:?} in {}, found none; `attune keys list` shows the keys, `attune keys new {name}` makes one", .dir.display())]
    Missing {
        /// The name.
        name: String,
        /// The folder of the key files.
        dir: PathBuf,
    },
    /// There is such a key already.
    #[error("expected no key named {name:?} in {}, found one; choose another name, or move that file away", .dir.display())]
    Exists {
        /// The name.
        name: String,
        /// The folder of the key files.
        dir: PathBuf,
    },
    /// A file is not a key file.
    #[error("expected a key file at {}, found {reason}; restore it from a copy", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The passphrase does not open the file.
    #[error("expected the passphrase of {}, found another one (or a damaged file); try again", .path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// No passphrase could be had.
    #[error("expected a passphrase in {PASSPHRASE_VARIABLE} or a terminal to ask for it, found neither ({reason}); set {PASSPHRASE_VARIABLE}")]
    NoPassphrase {
        /// What failed.
        reason: String,
    },
    /// A new passphrase was empty or typed differently the second time.
    #[error("expected the same passphrase twice, at least one character long, found {found}; try again")]
    NewPassphrase {
        /// What came.
        found: &'static str,
    },
    /// The operating system refused something.
    #[error("expected to {action} {}, found: {source}; check the path and its permissions", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// An account that can sign.
#[derive(Clone)]
pub struct Account {
    name: String,
    keypair: sr25519::Keypair,
    is_dev: bool,
}

/// The key stays out of logs.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("id", &self.id().to_string())
            .finish_non_exhaustive()
    }
}

impl Account {
    /// A well-known development account, from a derivation such as `//Alice` or `//Alice//stash`.
    ///
    /// # Errors
    /// [`KeyError::Secret`] unless the text starts with `//`.
    pub fn dev(uri: &str) -> Result<Self, KeyError> {
        if !uri.starts_with("//") {
            return Err(KeyError::Secret { reason: "a development key starts with //".into() });
        }
        Ok(Self { is_dev: true, ..Self::derive(uri, uri)? })
    }

    /// An account from a secret phrase (with an optional `//derivation`) or a 0x seed. A derivation alone, or nothing,
    /// would mean the well-known development phrase, and is refused.
    ///
    /// # Errors
    /// [`KeyError::Secret`].
    pub fn from_secret(name: &str, secret: &str) -> Result<Self, KeyError> {
        if secret.trim().is_empty() || secret.trim().starts_with('/') {
            return Err(KeyError::Secret { reason: "no phrase and no seed".into() });
        }
        Self::derive(name, secret)
    }

    fn derive(name: &str, secret: &str) -> Result<Self, KeyError> {
        let refuse = |reason: String| KeyError::Secret { reason };
        let uri = SecretUri::from_str(secret.trim()).map_err(|error| refuse(error.to_string()))?;
        let keypair = sr25519::Keypair::from_uri(&uri).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { name: name.to_owned(), keypair, is_dev: false })
    }

    /// The name under which it was unlocked; for a development account, its derivation.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The account on chain.
    pub fn id(&self) -> AccountId {
        self.keypair.public_key().to_account_id()
    }

    /// True for a well-known development account.
    pub fn is_dev(&self) -> bool {
        self.is_dev
    }

    /// The account's sr25519 signature (context `substrate`) over a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.keypair.sign(message).0
    }

    /// The key pair, as subxt takes it.
    pub fn keypair(&self) -> &sr25519::Keypair {
        &self.keypair
    }
}

/// What a key file shows without a passphrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyEntry {
    /// Name of the key.
    pub name: String,
    /// Its account.
    pub address: AccountId,
    /// The file.
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: u32,
    address: AccountId,
    kdf: Kdf,
    cipher: String,
    nonce: String,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    log_n: u8,
    r: u32,
    p: u32,
    salt: String,
}

/// A folder of key files, one `NAME.json` each.
#[derive(Clone, Debug)]
pub struct KeyStore {
    dir: PathBuf,
}

impl KeyStore {
    /// The store in this folder, which is made (for its owner only) when the first key is stored.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All keys, by name. A folder that does not exist has none.
    ///
    /// # Errors
    /// [`KeyError::Io`]; [`KeyError::File`] for a `.json` that is no key file.
    pub fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        let listing = match fs::read_dir(&self.dir) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io("list", &self.dir)(source)),
        };
        let mut entries = Vec::new();
        for item in listing {
            let path = item.map_err(io("list", &self.dir))?.path();
            if path.extension().is_some_and(|e| e == "json") {
                let file = read_file(&path)?;
                let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                entries.push(KeyEntry { name, address: file.address, path });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Makes a new key and stores it. Gives the account and its 12-word phrase, which is the only other way back to
    /// the key: show it once, to its owner.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Name`], [`KeyError::Io`].
    pub fn create(&self, name: &str, passphrase: &str) -> Result<(Account, Zeroizing<String>), KeyError> {
        let mut entropy = Zeroizing::new([0u8; 16]);
        fill_random(entropy.as_mut_slice())?;
        let mnemonic = Mnemonic::from_entropy(entropy.as_slice())
            .map_err(|error| KeyError::Secret { reason: error.to_string() })?;
        let phrase = Zeroizing::new(mnemonic.to_string());
        let account = self.import(name, &phrase, passphrase)?;
        Ok((account, phrase))
    }

    /// Stores a key whose secret phrase or seed is known.
    ///
    /// # Errors
    /// [`KeyError::Secret`], [`KeyError::Exists`], [`KeyError::Name`], [`KeyError::Io`].
    pub fn import(&self, name: &str, secret: &str, passphrase: &str) -> Result<Account, KeyError> {
        let path = self.path(name)?;
        let account = Account::from_secret(name, secret)?;
        if path.exists() {
            return Err(KeyError::Exists { name: name.to_owned(), dir: self.dir.clone() });
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(io("make", &self.dir))?;
        let file = seal(&account.id(), secret.trim(), passphrase)?;
        let bytes = serde_json::to_vec_pretty(&file).expect("strings and integers always serialise; qed");
        // `create_new` also loses the race against another process politely.
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("create", &path))?;
        out.write_all(&bytes).and_then(|()| out.sync_all()).map_err(io("write", &path))?;
        Ok(account)
    }

    /// Opens a key with its passphrase.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::WrongPassphrase`], [`KeyError::File`].
    pub fn unlock(&self, name: &str, passphrase: &str) -> Result<Account, KeyError> {
        let path = self.path(name)?;
        if !path.exists() {
            return Err(KeyError::Missing { name: name.to_owned(), dir: self.dir.clone() });
        }
        unlock_file(&path, passphrase)
    }

    /// The account of a key, without its passphrase; `None` if there is no such key.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::File`], [`KeyError::Io`].
    pub fn address(&self, name: &str) -> Result<Option<AccountId>, KeyError> {
        let path = self.path(name)?;
        path.exists().then(|| read_file(&path).map(|file| file.address)).transpose()
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(allowed) {
            return Err(KeyError::Name { found: name.to_owned() });
        }
        Ok(self.dir.join(format!("{name}.json")))
    }
}

/// Opens one key file wherever it lies.
///
/// # Errors
/// [`KeyError::WrongPassphrase`], [`KeyError::File`], [`KeyError::Io`].
pub fn unlock_file(path: &Path, passphrase: &str) -> Result<Account, KeyError> {
    let file = read_file(path)?;
    let secret = open(path, &file, passphrase)?;
    let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let account = Account::from_secret(&name, &secret)?;
    if account.id() != file.address {
        return Err(KeyError::File { path: path.to_owned(), reason: "a key of another account".into() });
    }
    Ok(account)
}

/// The passphrase of an existing key: from [`PASSPHRASE_VARIABLE`], or else asked for on the terminal.
///
/// # Errors
/// [`KeyError::NoPassphrase`].
pub fn passphrase(prompt: &str) -> Result<Zeroizing<String>, KeyError> {
    match std::env::var(PASSPHRASE_VARIABLE) {
        Ok(found) => Ok(Zeroizing::new(found)),
        Err(_) => rpassword::prompt_password(format!("{prompt}: "))
            .map(Zeroizing::new)
            .map_err(|error| KeyError::NoPassphrase { reason: error.to_string() }),
    }
}

/// A passphrase for a new key: as [`passphrase`], but asked for twice and never empty.
///
/// # Errors
/// [`KeyError::NoPassphrase`], [`KeyError::NewPassphrase`].
pub fn new_passphrase(prompt: &str) -> Result<Zeroizing<String>, KeyError> {
    let first = passphrase(prompt)?;
    if first.is_empty() {
        return Err(KeyError::NewPassphrase { found: "an empty one" });
    }
    if std::env::var_os(PASSPHRASE_VARIABLE).is_none() && *passphrase(&format!("{prompt}, again"))? != *first
    {
        return Err(KeyError::NewPassphrase { found: "two different ones" });
    }
    Ok(first)
}

fn read_file(path: &Path) -> Result<KeyFile, KeyError> {
    let bytes = fs::read(path).map_err(io("read", path))?;
    let refuse = |reason: String| KeyError::File { path: path.to_owned(), reason };
    let file: KeyFile = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    if file.version != FORMAT || file.cipher != "xchacha20poly1305" || file.kdf.name != "scrypt" {
        return Err(refuse(format!("version {}, {} with {}", file.version, file.cipher, file.kdf.name)));
    }
    if file.kdf.log_n > MAX_LOG_N || file.kdf.r > 2 * BLOCK_SIZE || file.kdf.p > 4 {
        return Err(refuse("a passphrase hash that would take more than 1 GiB".into()));
    }
    Ok(file)
}

fn cipher(kdf: &Kdf, passphrase: &str) -> Result<XChaCha20Poly1305, String> {
    let salt = hex::decode(&kdf.salt).map_err(|error| format!("salt: {error}"))?;
    let params = scrypt::Params::new(kdf.log_n, kdf.r, kdf.p, 32).map_err(|error| error.to_string())?;
    let mut key = Zeroizing::new([0u8; 32]);
    scrypt::scrypt(passphrase.as_bytes(), &salt, &params, key.as_mut_slice())
        .map_err(|error| error.to_string())?;
    Ok(XChaCha20Poly1305::new(key.as_slice().into()))
}

/// The address is authenticated with the secret, so that nobody can put another one into the file.
fn seal(address: &AccountId, secret: &str, passphrase: &str) -> Result<KeyFile, KeyError> {
    let (mut salt, mut nonce) = ([0u8; 16], [0u8; 24]);
    fill_random(&mut salt)?;
    fill_random(&mut nonce)?;
    let kdf =
        Kdf { name: "scrypt".into(), log_n: LOG_N, r: BLOCK_SIZE, p: PARALLELISM, salt: hex::encode(salt) };
    let sealed = cipher(&kdf, passphrase).and_then(|cipher| {
        cipher
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: secret.as_bytes(), aad: &address.0 })
            .map_err(|error| error.to_string())
    });
    let ciphertext = sealed.map_err(|reason| KeyError::Secret { reason })?;
    Ok(KeyFile {
        version: FORMAT,
        address: *address,
        kdf,
        cipher: "xchacha20poly1305".into(),
        nonce: hex::encode(nonce),
        ciphertext: hex::encode(ciphertext),
    })
}

fn open(path: &Path, file: &KeyFile, passphrase: &str) -> Result<Zeroizing<String>, KeyError> {
    let refuse = |reason: String| KeyError::File { path: path.to_owned(), reason };
    let nonce: [u8; 24] = hex::decode(&file.nonce)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| refuse("a nonce that is not 24 bytes in hex".into()))?;
    let ciphertext = hex::decode(&file.ciphertext).map_err(|error| refuse(format!("ciphertext: {error}")))?;
    let cipher = cipher(&file.kdf, passphrase).map_err(refuse)?;
    let opened = cipher
        .decrypt(XNonce::from_slice(&nonce), Payload { msg: &ciphertext, aad: &file.address.0 })
        .map_err(|_| KeyError::WrongPassphrase { path: path.to_owned() })?;
    String::from_utf8(opened).map(Zeroizing::new).map_err(|_| refuse("a secret that is not text".into()))
}

fn fill_random(bytes: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(bytes).map_err(|error| KeyError::Secret { reason: format!("no random bytes: {error}") })
}

fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> KeyError + 'a {
    move |source| KeyError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_comes_back_with_its_passphrase_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path().join("keys"));
        assert_eq!(store.list().unwrap(), []);
        let (made, phrase) = store.create("payer", "correct horse").unwrap();
        assert_eq!(phrase.split_whitespace().count(), 12);
        let unlocked = store.unlock("payer", "correct horse").unwrap();
        assert_eq!(unlocked.id(), made.id());
        assert_eq!(store.address("payer").unwrap(), Some(made.id()));
        assert!(matches!(store.unlock("payer", "wrong"), Err(KeyError::WrongPassphrase { .. })));
        assert_eq!(Account::from_secret("x", &phrase).unwrap().id(), made.id());
        assert_eq!(store.list().unwrap().len(), 1);
    }

    #[test]
    fn a_key_file_shows_no_secret_and_belongs_to_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path());
        let (account, phrase) = store.create("payer", "p").unwrap();
        let path = dir.path().join("payer.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(phrase.split_whitespace().all(|word| !text.contains(&format!(" {word}"))));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{account:?}").contains("secret"));
    }

    #[test]
    fn an_address_in_a_key_file_cannot_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path());
        let (account, _) = store.create("payer", "p").unwrap();
        let path = dir.path().join("payer.json");
        let other = Account::dev("//Bob").unwrap().id();
        let text = fs::read_to_string(&path).unwrap().replace(&account.id().to_string(), &other.to_string());
        fs::write(&path, text).unwrap();
        assert!(matches!(store.unlock("payer", "p"), Err(KeyError::WrongPassphrase { .. })));
    }

    #[test]
    fn a_key_is_never_overwritten_and_a_name_never_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path());
        let seed = format!("0x{}", "07".repeat(32));
        store.import("payer", &seed, "p").unwrap();
        assert!(matches!(store.import("payer", &seed, "p"), Err(KeyError::Exists { .. })));
        for name in ["", "..", "a/b", "a.json", "ä"] {
            assert!(matches!(store.unlock(name, "p"), Err(KeyError::Name { .. })), "{name}");
        }
        assert!(matches!(store.unlock("other", "p"), Err(KeyError::Missing { .. })));
    }

    #[test]
    fn a_bad_secret_is_refused_without_being_shown() {
        for secret in ["", "//Alice", "abandon abandon", "0x12", "correct horse battery staple"] {
            let error = Account::from_secret("x", secret).map(|a| a.id()).unwrap_err().to_string();
            assert!(secret.is_empty() || !error.contains(secret), "{error}");
        }
        assert!(Account::dev("bottom drive").is_err());
    }

    #[test]
    fn development_accounts_are_those_of_substrate() {
        let alice = Account::dev("//Alice").unwrap();
        assert_eq!(alice.id().to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
        assert!(alice.is_dev());
    }
}
