//! The worker: one daemon per machine that trains, audits and serves artifacts.
//!
//! It holds a provider's operator key, follows finalized blocks, and derives at each of them what is to be done from the
//! chain and from its own files ([`reconcile()`]); so it can be killed at any point and goes on where it was.
//!
//! - [`reconcile`] is the whole logic, as a pure function of a [`view::ChainView`] and a [`view::LocalView`].
//! - [`daemon::Worker`] follows the chain and performs the duties: transactions in order, work in [`work`].
//! - [`engine`] is the thread that trains, behind the trait [`engine::Trainer`]; [`torch`] is the real trainer.
//! - [`jobdir`] is what is kept on disk, [`access`] who may have which artifact, [`http`] what else is served,
//!   [`board`] live progress and metrics, [`advert`] the machine and its speed, [`gpu`] what NVIDIA's driver
//!   reports, [`losses`] files that are gone, [`upkeep`] what is done for everybody, [`config`] the settings.

pub mod access;
pub mod advert;
pub mod board;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod gpu;
pub mod handover;
pub mod http;
pub mod jobdir;
pub mod losses;
pub mod reconcile;
#[cfg(test)]
pub(crate) mod testing;
pub mod torch;
pub mod upkeep;
pub mod view;
pub mod work;

pub use config::{Settings, WorkerConfig};
pub use daemon::Worker;

use attune_chain_client::Account;

/// Signs HTTP requests with an account of the chain.
#[derive(Clone, Debug)]
pub struct RequestSigner(
    /// The account.
    pub Account,
);

impl attune_store::Signer for RequestSigner {
    fn account(&self) -> [u8; 32] {
        self.0.id().0
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}
