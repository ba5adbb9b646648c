//! The crate's error type: what was expected, what was found, what to change.

use crate::{keys::KeyError, rejection::Rejection};

/// Everything that can go wrong between a program and the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of a node cannot be used.
    #[error("expected a node address like ws://127.0.0.1:9944 or wss://host, found {found:?} ({reason}); correct the address")]
    Address {
        /// The address.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No node answers.
    #[error("expected a node at {url}, found none ({reason}); start it (`attune net up` for a local network) or correct the address")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The node runs a runtime that this program was not built for, and what was asked for has another form there.
    #[error("expected a runtime whose interface is that of version {ours}, found {found}; use the release of this program that belongs to the chain's runtime, or wait until the chain is upgraded to this one's")]
    Incompatible {
        /// Version of the runtime that this program was built for.
        ours: String,
        /// What the node runs.
        found: String,
    },
    /// A development key on a chain where it would be worth something.
    #[error("expected a key of your own on the chain {chain:?} (type {chain_type}), found the well-known development key {key}; make one with `attune keys new`")]
    DevKey {
        /// Name of the chain.
        chain: String,
        /// Its type, as the node tells it.
        chain_type: String,
        /// The derivation.
        key: String,
    },
    /// A request to the node failed.
    #[error("expected the node to answer ({what}), found: {reason}; check the node's log, and try again")]
    Request {
        /// What was asked.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// Bytes of the chain do not decode.
    #[error("expected {what} in the form that this program knows, found: {reason}; the program and the node's runtime are of different releases")]
    Decode {
        /// What was to be decoded.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// The chain executed the transaction and refused it. The fee is paid, nothing else has changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The transaction pool refused the transaction. Nothing has changed, no fee is paid.
    #[error("expected the node to take the transaction {call}, found: {reason}; {fix}")]
    Refused {
        /// Pallet and call.
        call: String,
        /// The node's words.
        reason: String,
        /// What to change.
        fix: &'static str,
    },
    /// It is not known whether the transaction got into a block: the node was lost, or dropped it.
    #[error("expected to see the transaction {call} in a block, found: {reason}; look at the chain's state before sending it again")]
    FateUnknown {
        /// Pallet and call.
        call: String,
        /// What happened.
        reason: String,
    },
    /// Waiting took longer than the caller allowed.
    #[error("expected {what} within {seconds} s, found nothing; check that the network makes and finalizes blocks")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
    },
    /// A key could not be read.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the connection or the node is at fault, so that the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Request { .. }
                | Self::FateUnknown { .. }
                | Self::TimedOut { .. }
        )
    }

    /// Whether the chain's runtime and this program are of different releases, so that the same request succeeds once
    /// either of them is upgraded.
    pub fn is_of_another_release(&self) -> bool {
        matches!(self, Self::Incompatible { .. })
    }

    /// The rejection by a pallet with this error name, if that is what this is.
    pub fn rejected_with(&self, pallet: &str, error: &str) -> bool {
        matches!(self, Self::Rejected(rejection) if rejection.pallet == pallet && rejection.error == error)
    }
}

/// Wraps any subxt error as a failed request, and tells a runtime of another release from a failing node.
pub(crate) fn request<E: Into<subxt::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| {
        let reason = error.into().to_string();
        if reason.contains("not compatible with the live chain") {
            let ours = crate::BUILT_FOR_SPEC_VERSION.to_string();
            Error::Incompatible { ours, found: format!("another form of {what}") }
        } else {
            Error::Request { what, reason }
        }
    }
}

/// Wraps an error of decoding.
pub(crate) fn decode<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Decode { what, reason: error.to_string() }
}
