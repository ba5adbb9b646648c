//! A store over HTTP.
//!
//! A request passes, in this order and each step cheaper than what it protects: a free slot, a well-formed id, a
//! signature, the account's rate, the account's own slots, the authorizer. Nothing is read from disk, and no body is
//! taken, before all of them agree; whether an artifact exists is not told to those who may not read it.

mod answer;
mod auth;
mod guard;
mod handlers;
mod listen;

pub(crate) use answer::ErrorBody;
pub use listen::serve;

use crate::{ArtifactId, LocalStore, Verifier};
use async_trait::async_trait;
use axum::{routing::get, Router};
use guard::{AccountSlots, RateTable, ReplayCache};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Semaphore;

/// An authorizer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Go on.
    Allowed,
    /// No; the reason is shown to the asker.
    Denied {
        /// Why, and what would change it.
        reason: String,
    },
    /// It cannot be decided now, for example without a node; the asker may try again.
    Unavailable {
        /// Why not.
        reason: String,
    },
}

/// Says whom an artifact is for. Asked once per request, after the signature was checked.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Whether the account may read the artifact (a directory's files are asked for one by one).
    async fn may_read(&self, account: &[u8; 32], artifact: &ArtifactId) -> Access;
    /// Whether the account may store `size_bytes` bytes under this name.
    async fn may_write(&self, account: &[u8; 32], artifact: &ArtifactId, size_bytes: u64) -> Access;
}

/// Bounds on what strangers can make a server do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one upload.
    pub max_body_bytes: u64,
    /// Open connections; more wait in the system's queue.
    pub max_connections: usize,
    /// Requests under way; more get 503.
    pub max_requests: usize,
    /// Requests under way per account; more get 429.
    pub max_requests_per_account: usize,
    /// Requests per second and account in the long run; more get 429.
    pub requests_per_second: f64,
    /// Requests that an account may make at once after a pause.
    pub request_burst: f64,
    /// Accounts whose rate is remembered; beyond it the longest silent is forgotten.
    pub max_tracked_accounts: usize,
    /// Uploads remembered against replay; when full, uploads get 503 until the oldest expire.
    pub max_replay_entries: usize,
    /// Bytes of a request's head (method, path and headers); more get 431.
    pub max_header_bytes: usize,
    /// For a request's head to arrive; also how long a connection may sit between requests.
    pub header_timeout: Duration,
    /// For the authorizer to answer.
    pub authorize_timeout: Duration,
    /// For the next bytes to move, either way.
    pub idle_timeout: Duration,
    /// For one whole transfer; a fetcher goes on by range afterwards.
    pub transfer_timeout: Duration,
    /// Bytes that uploads must leave free on the disk, for the owner's own checkpoints.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 16 << 30,
            max_connections: 256,
            max_requests: 64,
            max_requests_per_account: 16,
            requests_per_second: 50.0,
            request_burst: 500.0,
            max_tracked_accounts: 4096,
            max_replay_entries: 65_536,
            max_header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            authorize_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            transfer_timeout: Duration::from_secs(3600),
            reserve_bytes: 256 << 20,
        }
    }
}

/// What a server is told about itself.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// The authorities (`host:port`, lower case) under which peers reach this server: that of the endpoint it publishes,
    /// and that of the address it listens on if they differ. A request signed for another authority is refused.
    /// [`signing::audience`](crate::signing::audience) makes one from an address.
    pub audiences: Vec<String>,
    /// Bounds.
    pub limits: Limits,
}

/// What all requests share.
struct Shared {
    store: LocalStore,
    authorizer: Arc<dyn Authorizer>,
    verifier: Arc<dyn Verifier>,
    config: ServerConfig,
    slots: Arc<Semaphore>,
    account_slots: Arc<AccountSlots>,
    rates: Mutex<RateTable>,
    replays: Mutex<ReplayCache>,
}

/// The routes of a store. Run them with [`serve`], which also bounds connections, head sizes and slow peers; another
/// server must do that itself.
pub fn router(
    store: LocalStore,
    authorizer: Arc<dyn Authorizer>,
    verifier: Arc<dyn Verifier>,
    config: ServerConfig,
) -> Router {
    let limits = &config.limits;
    let shared = Arc::new(Shared {
        slots: Arc::new(Semaphore::new(limits.max_requests.min(Semaphore::MAX_PERMITS))),
        account_slots: Arc::new(AccountSlots::new(limits.max_requests_per_account)),
        rates: Mutex::new(RateTable::new(limits)),
        replays: Mutex::new(ReplayCache::new(limits.max_replay_entries)),
        store,
        authorizer,
        verifier,
        config,
    });
    Router::new()
        .route("/v1/health", get(handlers::health))
        .route(
            "/v1/artifacts/{id}",
            get(handlers::get_artifact).head(handlers::get_artifact).put(handlers::put_artifact),
        )
        .fallback(handlers::no_route)
        .method_not_allowed_fallback(handlers::no_method)
        .with_state(shared)
}
