//! Artifacts from and to peers.
//!
//! Peers are tried in turn. A download goes on where the last one ended, also with another peer and after a restart of
//! the process; bytes are hashed as they arrive. Because a plain hash judges only the whole, a wrong result of bytes from
//! several peers blames nobody: the download starts again with one peer alone, and then a wrong hash is that peer's.

mod download;
mod peer;
mod push;

use crate::{
    local::{blocking, Incoming},
    signing, ArtifactId, LocalStore, Manifest, ManifestLimits, Materialize, Signer, StoreError, Url,
};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::{sleep, Instant};

/// Proven bad peers that a fetcher remembers.
const MAX_BAD_PEERS: usize = 256;
/// How often a fetch looks whether another one of the same artifact has ended.
const BUSY_POLL: Duration = Duration::from_millis(50);

/// Bounds on what peers can make a fetcher do.
#[derive(Debug, Clone)]
pub struct FetchLimits {
    /// For a connection to stand.
    pub connect_timeout: Duration,
    /// From a request to the head of its answer.
    pub header_timeout: Duration,
    /// A peer must send `min_bytes_per_window` in each window of this length, or the next one is tried.
    pub window: Duration,
    /// See `window`.
    pub min_bytes_per_window: u64,
    /// For one whole fetch over all peers and retries.
    pub total_timeout: Duration,
    /// Rounds over all peers without progress before giving up.
    pub rounds: u32,
    /// Pause after the first round without progress; doubles each time.
    pub backoff_start: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Peers that are tried; further ones are ignored.
    pub max_peers: usize,
    /// How long to wait for another fetch of the same artifact in this store.
    pub busy_timeout: Duration,
    /// Bytes that a download must leave free on the disk.
    pub reserve_bytes: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(20),
            window: Duration::from_secs(10),
            min_bytes_per_window: 16 << 10,
            total_timeout: Duration::from_secs(6 * 3600),
            rounds: 4,
            backoff_start: Duration::from_millis(250),
            backoff_max: Duration::from_secs(10),
            max_peers: 16,
            busy_timeout: Duration::from_secs(600),
            reserve_bytes: 64 << 20,
        }
    }
}

/// How far a transfer is. For a directory it counts all files together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The artifact (for a directory, the directory).
    pub id: ArtifactId,
    /// Bytes that are here (or, uploading, there).
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// A peer that alone delivered wrong bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPeer {
    /// Its base address.
    pub peer: Url,
    /// What it was asked for.
    pub asked: ArtifactId,
    /// The hash of what it sent.
    pub found: ArtifactId,
    /// When.
    pub at: SystemTime,
}

/// Downloads into, and uploads from, one store, with one account's signature.
pub struct Fetcher {
    store: LocalStore,
    signer: Arc<dyn Signer>,
    client: reqwest::Client,
    limits: FetchLimits,
    bad: Mutex<VecDeque<BadPeer>>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("store", &self.store)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A fetcher. Redirects are not followed and proxies of the environment not used: a request is signed for one
    /// authority and goes there.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] if the HTTP client cannot be set up.
    pub fn new(store: LocalStore, signer: Arc<dyn Signer>, limits: FetchLimits) -> Result<Self, StoreError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("attune-store/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(limits.connect_timeout)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(5))
            .build()
            .map_err(|e| StoreError::Stopped(e.to_string()))?;
        Ok(Self { store, signer, client, limits, bad: Mutex::new(VecDeque::new()) })
    }

    /// The store that downloads go to.
    pub fn store(&self) -> &LocalStore {
        &self.store
    }

    /// Peers that alone delivered wrong bytes, oldest first. They are asked last from then on.
    pub fn bad_peers(&self) -> Vec<BadPeer> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Fetches one artifact into the store and gives its path there. At once if it is stored already.
    ///
    /// # Errors
    /// [`StoreError::NoPeer`] with one reason per peer, [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::InvalidPeer`] if no address can be used. What a peer offers above `max_bytes` is refused unread.
    pub async fn fetch(
        &self,
        id: &ArtifactId,
        peers: &[Url],
        max_bytes: u64,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<PathBuf, StoreError> {
        if let Ok(path) = self.store.get_path(id) {
            return Ok(path);
        }
        let peers = self.usable(peers)?;
        let deadline = Instant::now() + self.limits.total_timeout;
        if let Some(part) = self.claim(id).await? {
            download::run(self, id, peers, max_bytes, deadline, part, progress).await?;
        }
        self.store.get_path(id)
    }

    /// Fetches a directory and puts it at `dest` as hard links to the store. Peers need not hold all of it: each file is
    /// looked for at every peer.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`] and [`LocalStore::materialize_dir`]; [`StoreError::Manifest`] for a hostile manifest, before
    /// any of its files is asked for.
    pub async fn fetch_dir(
        &self,
        id: &ArtifactId,
        peers: &[Url],
        limits: &ManifestLimits,
        dest: impl AsRef<Path>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), StoreError> {
        let manifest = self.fetch_dir_into_store(id, peers, limits, progress).await?;
        let (store, dest) = (self.store.clone(), dest.as_ref().to_path_buf());
        blocking(move || store.materialize(&manifest, &dest, Materialize::Link)).await
    }

    /// As [`Fetcher::fetch_dir`], leaving the directory in the store.
    pub async fn fetch_dir_into_store(
        &self,
        id: &ArtifactId,
        peers: &[Url],
        limits: &ManifestLimits,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Manifest, StoreError> {
        self.fetch(id, peers, limits.max_manifest_bytes, &|_| {}).await?;
        let (store, root, bounds) = (self.store.clone(), *id, *limits);
        let manifest = blocking(move || store.manifest(&root, &bounds)).await?;
        let missing = manifest.files().iter().filter(|f| !self.store.has(&f.blake3));
        self.store.check_room(missing.map(|f| f.size).sum(), self.limits.reserve_bytes)?;
        let total_bytes = manifest.total_bytes();
        let mut before = 0u64;
        for entry in manifest.files() {
            let report = |p: Progress| {
                progress(Progress { id: *id, done_bytes: before.saturating_add(p.done_bytes), total_bytes });
            };
            self.fetch(&entry.blake3, peers, entry.size, &report).await?;
            before += entry.size;
            progress(Progress { id: *id, done_bytes: before, total_bytes });
        }
        Ok(manifest)
    }

    /// The partial file of an artifact, once nobody else holds it; `None` if somebody else finished it.
    async fn claim(&self, id: &ArtifactId) -> Result<Option<Incoming>, StoreError> {
        let start = Instant::now();
        loop {
            let (store, wanted) = (self.store.clone(), *id);
            if let Some(part) = blocking(move || Incoming::partial(&store, &wanted)).await? {
                if self.store.has(id) {
                    part.discard();
                    return Ok(None);
                }
                return Ok(Some(part));
            }
            if self.store.has(id) {
                return Ok(None);
            }
            if start.elapsed() > self.limits.busy_timeout {
                return Err(StoreError::Busy { id: *id, waited_secs: start.elapsed().as_secs() });
            }
            sleep(BUSY_POLL).await;
        }
    }

    /// Addresses with their audiences, the proven bad ones last. Unusable ones are left out unless all are.
    fn usable(&self, peers: &[Url]) -> Result<Vec<peer::Peer>, StoreError> {
        let mut usable = Vec::new();
        let mut refused = None;
        for url in peers {
            match signing::audience(url) {
                Ok(audience) => usable.push(peer::Peer { url: url.clone(), audience }),
                Err(e) => refused = Some(e),
            }
        }
        if let (true, Some(e)) = (usable.is_empty(), refused) {
            return Err(e);
        }
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        usable.sort_by_key(|peer| bad.iter().any(|b| b.peer == peer.url));
        usable.truncate(self.limits.max_peers);
        Ok(usable)
    }

    fn report_bad(&self, peer: &Url, asked: &ArtifactId, found: ArtifactId) {
        tracing::warn!(%peer, %asked, %found, "a peer delivered wrong bytes");
        let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        if bad.len() >= MAX_BAD_PEERS {
            bad.pop_front();
        }
        bad.push_back(BadPeer { peer: peer.clone(), asked: *asked, found, at: SystemTime::now() });
    }
}
