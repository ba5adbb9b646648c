//! The Attune runtime: the chain's state transition function.
//!
//! This crate composes; it decides little. Rules of money and of proof live in the pallets, shared types in
//! `attune-primitives`. What is decided here: which pallets run and with which parameters ([`configs`]), how
//! time is cut into slots and epochs ([`timing`]), where the randomness of audits comes from
//! ([`audit_randomness`]), what the first block holds ([`genesis`]), and what may be asked from outside
//! ([`apis`]).
//!
//! The same code is built twice: natively, for tests and for tools that need the types, and as Wasm, which is
//! what a chain runs. A node never executes the native build.

#![cfg_attr(not(feature = "std"), no_std)]
// The runtime API macro nests deeply.
#![recursion_limit = "256"]

extern crate alloc;

// First, for the macros that it defines.
#[cfg(feature = "runtime-benchmarks")]
#[macro_use]
pub mod benchmarks;

pub mod apis;
pub mod audit_randomness;
mod composition;
pub mod configs;
pub mod genesis;
pub mod timing;
pub mod weights;

#[cfg(test)]
mod tests;

use alloc::{borrow::Cow, vec::Vec};
use sp_runtime::{
    generic, impl_opaque_keys,
    traits::{BlakeTwo256, IdentifyAccount, Verify},
    MultiAddress, MultiSignature,
};
use sp_version::{runtime_version, RuntimeVersion};

pub use apis::RuntimeApi;
pub use composition::*;

/// The runtime as Wasm, made by the build script.
#[cfg(feature = "std")]
mod wasm {
    // Generated.
    #![allow(missing_docs, unreachable_pub, dead_code)]

    include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));
}

/// The runtime as Wasm: what a chain specification takes. `None` in a build with `SKIP_WASM_BUILD`.
#[cfg(feature = "std")]
pub const WASM_BINARY: Option<&[u8]> = wasm::WASM_BINARY;

/// The number of a block; the genesis block is 0.
pub type BlockNumber = u32;
/// A signature of a transaction: sr25519, ed25519 or ECDSA.
pub type Signature = MultiSignature;
/// An account: 32 bytes, in text as SS58 with prefix 42.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// An amount of the token, in plancks: 10^12 of them are one [`units::ATT`].
pub type Balance = u128;
/// How many transactions an account has sent.
pub type Nonce = u32;
/// A hash of the chain: blake2b-256.
pub type Hash = sp_core::H256;
/// The header of a block.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// The destination of a transfer, as transactions name it.
pub type Address = MultiAddress<AccountId, ()>;
/// A block with typed transactions.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// A transaction as it travels.
pub type UncheckedExtrinsic =
    generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TransactionExtensions>;
/// What a transaction signs besides its call: chain, version, lifetime, nonce and tip.
pub type TransactionExtensions = (
    frame_system::AuthorizeCall<Runtime>,
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckEra<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
    pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
    frame_system::WeightReclaim<Runtime>,
);
/// Executes blocks: dispatches to every pallet in the order of their indices.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    Runtime,
    AllPalletsWithSystem,
>;

/// Types of the node, which handles blocks without knowing the calls in them.
pub mod opaque {
    use super::{BlakeTwo256, BlockNumber};
    use sp_runtime::{generic, OpaqueExtrinsic};

    /// A block whose transactions are bytes.
    pub type Block = generic::Block<generic::Header<BlockNumber, BlakeTwo256>, OpaqueExtrinsic>;
}

impl_opaque_keys! {
    /// The keys with which a validator takes part in consensus.
    pub struct SessionKeys {
        /// Signs blocks and their VRF outputs.
        pub babe: Babe,
        /// Signs finality votes.
        pub grandpa: Grandpa,
    }
}

/// The version of the metadata that the typed client is made from: the newest that subxt reads.
pub const METADATA_VERSION: u32 = 16;

/// Amounts of the token, in plancks.
pub mod units {
    use super::Balance;

    /// The token's symbol.
    pub const SYMBOL: &str = "ATT";
    /// How many decimal places one token has.
    pub const DECIMALS: u32 = 12;
    /// One token.
    pub const ATT: Balance = 1_000_000_000_000;
    /// A thousandth of a token.
    pub const MILLI_ATT: Balance = ATT / 1_000;
    /// A millionth of a token.
    pub const MICRO_ATT: Balance = ATT / 1_000_000;
}

/// Which runtime this is, and which transactions and keys it understands.
#[runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: Cow::Borrowed("attune"),
    impl_name: Cow::Borrowed("attune"),
    authoring_version: 1,
    spec_version: 1,
    impl_version: 1,
    apis: apis::RUNTIME_API_VERSIONS,
    transaction_version: 1,
    system_version: 1,
};
