//! The crate's error type: what was expected, what was found, what to change.

use crate::ArtifactId;
use std::{io, path::Path, path::PathBuf};

/// Why one peer did not deliver an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFailure {
    /// The peer's base address.
    pub peer: String,
    /// What it answered or did, in words.
    pub reason: String,
}

impl std::fmt::Display for PeerFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.peer, self.reason)
    }
}

/// Everything that can go wrong with an artifact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A text is not an artifact id.
    #[error("expected an artifact id of 64 hexadecimal digits, found {found:?}; copy the id whole")]
    InvalidId {
        /// The text, cut to a length that fits a log line.
        found: String,
    },
    /// The store does not hold the artifact.
    #[error("expected artifact {id} in the store, found none; fetch it from a peer first")]
    NotFound {
        /// The missing artifact.
        id: ArtifactId,
    },
    /// Bytes that claim a name hash to another one.
    #[error("expected bytes with BLAKE3 {expected} from {origin}, found {found}; they were thrown away, use another source")]
    Mismatch {
        /// The name that was asked for.
        expected: ArtifactId,
        /// The hash of what came.
        found: ArtifactId,
        /// Where the bytes came from.
        origin: String,
    },
    /// A manifest is not canonical or is hostile.
    #[error("expected a directory manifest with {expected}, found {found}; ask for the directory to be packed again")]
    Manifest {
        /// The rule.
        expected: String,
        /// What breaks it.
        found: String,
    },
    /// A path holds something that an artifact cannot represent.
    #[error("expected {expected} at {path}, found {found}; {fix}")]
    WrongKind {
        /// The offending path.
        path: PathBuf,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
        /// What to change.
        fix: &'static str,
    },
    /// The destination of a directory exists and holds something else.
    #[error("expected {path} to be free or to hold exactly artifact {id}, found {found}; remove it or choose another destination")]
    DestinationInUse {
        /// The destination.
        path: PathBuf,
        /// The directory that was to go there.
        id: ArtifactId,
        /// The first difference.
        found: String,
    },
    /// A file changed while it was being read into the store.
    #[error("expected {path} to stay as it is while it is stored, found it changed; store it again when nothing writes to it")]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// The file system is full, or too full for what was asked. Nothing half-written is left behind.
    #[error("expected room for {needed_bytes} bytes on the disk of {path}, found {}; free some space or move the store to a larger disk", found_bytes(.free_bytes))]
    DiskFull {
        /// The store's folder or the file that was being written.
        path: PathBuf,
        /// Bytes that were to be written (for a failed write, of that write alone).
        needed_bytes: u64,
        /// Bytes that were free, where the file system says.
        free_bytes: Option<u64>,
    },
    /// An artifact is larger than the caller accepts.
    #[error("expected {what} of at most {max_bytes} bytes, found {found_bytes}; raise the limit if that size is meant")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit in bytes.
        max_bytes: u64,
        /// The size in bytes (at least).
        found_bytes: u64,
    },
    /// Another process or task writes the same artifact and did not finish in time.
    #[error("expected to be the only one fetching artifact {id}, found another fetch that holds it for over {waited_secs} s; wait for it or end that process")]
    Busy {
        /// The artifact.
        id: ArtifactId,
        /// How long this side waited, in seconds.
        waited_secs: u64,
    },
    /// A peer's address cannot be used.
    #[error(
        "expected a peer address like http://host:port, found {found:?} ({reason}); correct the address"
    )]
    InvalidPeer {
        /// The address.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No peer delivered the artifact.
    #[error("expected artifact {id} from one of {} peers, found none that delivered it [{}]; check that a peer is up and that your account is entitled to it", .failures.len(), join(.failures))]
    NoPeer {
        /// The artifact.
        id: ArtifactId,
        /// One reason per peer.
        failures: Vec<PeerFailure>,
    },
    /// A peer did not take an upload.
    #[error("expected {peer} to take artifact {id}, found: {reason}; check the peer and that your account may upload there")]
    PushRefused {
        /// The peer.
        peer: String,
        /// The artifact.
        id: ArtifactId,
        /// What it answered, in words.
        reason: String,
    },
    /// More grants than the caller's bound.
    #[error("expected at most {max} grants, found one more; revoke the grants of jobs that are over")]
    TooManyGrants {
        /// The bound.
        max: usize,
    },
    /// The operating system refused a file operation.
    #[error("expected to {action} {path}, found: {source}; check the path and its permissions")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A background thread of the runtime ended before its work was done.
    #[error(
        "expected file work to finish, found it stopped: {0}; try again, the runtime may be shutting down"
    )]
    Stopped(String),
}

impl StoreError {
    /// An I/O error in its place; a full disk or quota becomes [`StoreError::DiskFull`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::io_sized(action, path, source, 0)
    }

    /// As [`StoreError::io`], for a write of `bytes`.
    pub(crate) fn io_sized(action: &'static str, path: &Path, source: io::Error, bytes: u64) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_path_buf(),
                needed_bytes: bytes,
                free_bytes: path.parent().and_then(|p| crate::local::free_bytes(p).ok()),
            },
            _ => Self::Io { action, path: path.to_path_buf(), source },
        }
    }

    pub(crate) fn manifest(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Manifest { expected: expected.into(), found: found.into() }
    }

    /// Whether the fault lies on this machine, so that another peer cannot help.
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::Io { .. }
                | Self::Busy { .. }
                | Self::DestinationInUse { .. }
                | Self::Stopped(_)
        )
    }
}

fn found_bytes(free: &Option<u64>) -> String {
    free.map_or_else(|| "a full disk".into(), |n| format!("{n} free"))
}

fn join(failures: &[PeerFailure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
