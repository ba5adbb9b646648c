//! Content-addressed artifacts: models, packed data sets, checkpoints and adapters, named by the BLAKE3 of their bytes.
//!
//! The one idea: **a name is a hash, so nobody has to be trusted for the bytes**. Any peer may serve an artifact;
//! whoever fetches it hashes the stream, throws away what does not match, and asks the next peer. What peers *are*
//! trusted with is who may read, and that is asked per request, from a signature by an account's key.
//!
//! - [`ArtifactId`] names one file; a directory is named by the id of its canonical [`Manifest`].
//! - [`LocalStore`] keeps artifacts on local disk. Every write goes aside, is synced, and is then renamed, so that a
//!   name that exists holds all of its bytes, also after a crash or on a full disk.
//! - [`router`] and [`serve`] offer a store over HTTP to those whom an [`Authorizer`] admits; [`Grants`] is an
//!   authorizer that keeps its answers in memory.
//! - [`Fetcher`] downloads from peers, resuming by range, and [`Fetcher::push_dir`] uploads.
//!
//! The HTTP interface, version 1 (every artifact request is signed, see [`signing`]):
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/artifacts/{id}` | 200, or 206 for one `Range`; 416 for a range outside the artifact |
//! | `HEAD /v1/artifacts/{id}` | the same headers without the bytes |
//! | `PUT /v1/artifacts/{id}` | 201, or 200 when the artifact was there; 422 for bytes of another hash |
//! | `GET /v1/health` | 200, unsigned |
//!
//! An error's body is JSON: `{"error", "expected", "found", "fix"}`.
//!
//! A provider's side and an auditor's, in one process:
//!
//! ```
//! use attune_store::{signing, sr25519::*, *};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::create_dir(folder.path().join("checkpoint"))?;
//! # std::fs::write(folder.path().join("checkpoint/state"), b"bits")?;
//! let auditor = Arc::new(Sr25519Signer::from_seed(&[7; 32]));
//!
//! let store = LocalStore::open(folder.path().join("provider"))?;
//! let checkpoint = store.put_dir(folder.path().join("checkpoint"))?;
//! let grants = Arc::new(Grants::new(store.clone(), 1000));
//! grants.allow_read(auditor.account(), checkpoint)?;
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
//! let config = ServerConfig { audiences: vec![signing::audience(&url)?], ..Default::default() };
//! let limits = config.limits.clone();
//! let app = router(store, grants, Arc::new(Sr25519Verifier), config);
//! tokio::spawn(async move { serve(listener, app, &limits, std::future::pending()).await });
//!
//! let store = LocalStore::open(folder.path().join("auditor"))?;
//! let fetcher = Fetcher::new(store, auditor, FetchLimits::default())?;
//! let dest = folder.path().join("fetched");
//! fetcher.fetch_dir(&checkpoint, &[url], &ManifestLimits::default(), &dest, &|_| {}).await?;
//! assert_eq!(std::fs::read(dest.join("state"))?, b"bits");
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** this crate knows no chain and no other crate of the project. Whoever uses it brings the keys
//! ([`Signer`], [`Verifier`]) and says whom a job entitles ([`Authorizer`]).
//!
//! **Limitations:** plain HTTP only. Signatures keep strangers out, and hashes keep wrong bytes out, but neither hides
//! the bytes from whoever watches the wire: across an untrusted network run it inside a tunnel (WireGuard, SSH).

mod error;
mod fetch;
mod grants;
mod id;
mod local;
mod manifest;
mod server;
pub mod signing;
pub mod sr25519;

pub use error::{PeerFailure, StoreError};
pub use fetch::{BadPeer, FetchLimits, Fetcher, Progress};
pub use grants::Grants;
pub use id::ArtifactId;
pub use local::{ArtifactInfo, DiskUsage, LocalStore, Materialize};
pub use manifest::{Manifest, ManifestEntry, ManifestLimits};
pub use server::{router, serve, Access, Authorizer, Limits, ServerConfig};
pub use signing::{Signer, Verifier};

/// A peer's base address, such as `http://10.0.0.7:9977`.
pub use reqwest::Url;
