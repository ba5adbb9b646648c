//! The hash of the metadata, for wallets that can't trust what they are told.
//!
//! A Ledger or a Polkadot Vault shows a transaction before it signs. To decode it they need metadata, which they get from
//! the very computer that they don't trust. So they make the hash of it, as RFC 78 says, and sign it with the
//! transaction; the runtime puts its own into what it verifies, and another hash makes another signature. The
//! metadata's types, the token's symbol and decimals, the prefix of addresses and the version of the runtime are in it.
//!
//! The hash is a file in the repository, written with the metadata by `--example metadata`, and a test makes it again. The
//! SDK's way, `CheckMetadataHash` of `frame-metadata-hash-extension` with the feature `metadata-hash` of the builder of
//! Wasm, compiles an executor of Wasm for the build script and the runtime twice, and leaves the native build, in which
//! tests run, without a hash. On the wire and in the metadata this extension is the same as that one. A hash that is out
//! of date can do no harm: the wallet's signature is then refused.

use crate::RuntimeCall;
use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::pallet_prelude::Weight;
use scale_info::TypeInfo;
use sp_runtime::{
    impl_tx_ext_default, traits::TransactionExtension, transaction_validity::TransactionValidityError,
};

/// The hash of this runtime's metadata (RFC 78).
pub const METADATA_HASH: [u8; 32] = include!("committed.rs");

/// Whether a transaction has signed the hash of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Mode {
    /// It has not.
    Disabled,
    /// It has.
    Enabled,
}

/// Puts [`METADATA_HASH`] into what the signature is over, if the transaction says so. One byte in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CheckMetadataHash {
    /// What the transaction says.
    pub mode: Mode,
}

impl TransactionExtension<RuntimeCall> for CheckMetadataHash {
    type Implicit = Option<[u8; 32]>;
    type Pre = ();
    type Val = ();

    const IDENTIFIER: &'static str = "CheckMetadataHash";

    fn implicit(&self) -> Result<Self::Implicit, TransactionValidityError> {
        Ok(match self.mode {
            Mode::Disabled => None,
            Mode::Enabled => Some(METADATA_HASH),
        })
    }

    fn weight(&self, _: &RuntimeCall) -> Weight {
        Weight::zero()
    }

    impl_tx_ext_default!(RuntimeCall; validate prepare);
}
