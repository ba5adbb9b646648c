//! Attune's chain as workers, clients and gateways see it.
//!
//! - [`Chain`] is a connection that survives its node; [`View`] is the state at one block, in the types of [`types`].
//! - [`keys`] keeps accounts in encrypted files; [`Submitter`] sends the calls of [`calls`] for one account.
//! - [`ChainEvent`] is what happened in a block; [`Rejection`] is why the chain refused, with what to change.
//!
//! ```no_run
//! # async fn example() -> attune_chain_client::Result<()> {
//! use attune_chain_client::{calls, Account, Chain, Submitter, Wait};
//!
//! let chain = Chain::connect("ws://127.0.0.1:9944").await?;
//! let alice = Submitter::new(chain.clone(), Account::dev("//Alice")?)?;
//! let bob = Account::dev("//Bob")?.id();
//! alice.submit(&calls::transfer(bob, 1_000_000_000_000), Wait::Finalized).await?;
//! println!("{}", chain.finalized().await?.balance(&bob).await?.free);
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** nothing here knows a trainer, a disk layout or a screen.

mod advice;
pub mod api;
pub mod calls;
mod connection;
mod convert;
mod error;
mod events;
mod interruption;
pub mod json;
pub mod keys;
mod query;
pub mod quote;
mod rejection;
mod submit;
pub mod types;

pub use attune_primitives as primitives;
pub use connection::{Chain, ChainIdentity, Config, FinalizedBlocks};
pub use error::{Error, Result};
pub use events::ChainEvent;
pub use interruption::interruption;
pub use keys::{Account, KeyStore};
pub use query::{AtBlock, View};
pub use rejection::Rejection;
pub use submit::{send_authorised, Call, Included, Sent, Submitter, Wait, MORTAL_BLOCKS};

pub use attune_primitives::H256;
/// An account: 32 bytes, in text as SS58.
pub use subxt::utils::AccountId32 as AccountId;

/// Version of the runtime that this program was built for.
pub const BUILT_FOR_SPEC_VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use codec::Decode;

    #[test]
    fn the_version_is_that_of_the_metadata() {
        let bytes = include_bytes!("../metadata/attune.scale");
        let metadata = subxt::Metadata::decode(&mut &bytes[..]).unwrap();
        let value =
            metadata.pallet_by_name("System").unwrap().constant_by_name("Version").unwrap().value().to_vec();
        let (_, _, _, version) = <(String, String, u32, u32)>::decode(&mut &value[..]).unwrap();
        assert_eq!(version, super::BUILT_FOR_SPEC_VERSION);
    }
}
