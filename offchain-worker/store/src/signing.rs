//! Signed requests.
//!
//! A request carries three headers: [`ACCOUNT_HEADER`] (the account's 32-byte public key in hex), [`TIMESTAMP_HEADER`]
//! (Unix time in milliseconds) and [`SIGNATURE_HEADER`] (64 bytes in hex) over [`message`], which names the method, the
//! path, the time, the account and the **audience**: the host and port that the client meant. So a signature is good
//! for one request to one server within [`WINDOW_MS`], and a server that receives it cannot use it elsewhere. The path
//! holds the artifact's hash, so an upload's bytes are covered too.
//!
//! The text is wrapped in `<Bytes>` as wallets wrap what is not a transaction, so that no signature given here can be
//! passed off as one over an extrinsic, and a browser's wallet can sign a request too.

use crate::{StoreError, Url};

/// Header with the account: 64 hex digits.
pub const ACCOUNT_HEADER: &str = "x-attune-account";
/// Header with the Unix time in milliseconds.
pub const TIMESTAMP_HEADER: &str = "x-attune-timestamp";
/// Header with the signature: 128 hex digits.
pub const SIGNATURE_HEADER: &str = "x-attune-signature";
/// How far a request's time may be from the server's, either way, in milliseconds.
pub const WINDOW_MS: u64 = 60_000;

/// Signs requests with an account's key.
pub trait Signer: Send + Sync {
    /// The account: its public key.
    fn account(&self) -> [u8; 32];
    /// The account's signature over a message.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Checks signatures of accounts.
pub trait Verifier: Send + Sync {
    /// Whether `signature` is the account's over `message`.
    fn verify(&self, account: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
}

/// The bytes that are signed. `path` includes a query if there is one; none of the parts may hold a line break, which
/// no HTTP method, path or authority can.
pub fn message(method: &str, path: &str, timestamp_ms: u64, account: &[u8; 32], audience: &str) -> Vec<u8> {
    let account = hex::encode(account);
    format!("<Bytes>attune-request-v1\n{method}\n{path}\n{timestamp_ms}\n{account}\n{audience}</Bytes>")
        .into_bytes()
}

/// The three headers of a signed request, as name and value.
pub fn signed_headers(
    signer: &dyn Signer,
    method: &str,
    path: &str,
    audience: &str,
    timestamp_ms: u64,
) -> [(&'static str, String); 3] {
    let account = signer.account();
    let signature = signer.sign(&message(method, path, timestamp_ms, &account, audience));
    [
        (ACCOUNT_HEADER, hex::encode(account)),
        (TIMESTAMP_HEADER, timestamp_ms.to_string()),
        (SIGNATURE_HEADER, hex::encode(signature)),
    ]
}

/// The audience of a peer's address: `host:port` in lower case, with the scheme's port where none is written. A server
/// lists its own in [`ServerConfig::audiences`](crate::ServerConfig::audiences).
///
/// # Errors
/// [`StoreError::InvalidPeer`] for anything that is not plain `http` with a host.
pub fn audience(peer: &Url) -> Result<String, StoreError> {
    let refuse = |reason| StoreError::InvalidPeer { found: peer.to_string(), reason };
    if peer.scheme() != "http" {
        return Err(refuse("only plain http is spoken here; run TLS in a tunnel"));
    }
    if !peer.username().is_empty() || peer.password().is_some() {
        return Err(refuse("credentials do not belong in a peer's address"));
    }
    let host = peer.host_str().ok_or_else(|| refuse("it names no host"))?;
    let port = peer.port_or_known_default().ok_or_else(|| refuse("it names no port"))?;
    Ok(format!("{}:{port}", host.to_ascii_lowercase()))
}

/// Now, as Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_request_changes_the_message() {
        let base = message("GET", "/a", 1, &[1; 32], "h:1");
        for other in [
            message("PUT", "/a", 1, &[1; 32], "h:1"),
            message("GET", "/b", 1, &[1; 32], "h:1"),
            message("GET", "/a", 2, &[1; 32], "h:1"),
            message("GET", "/a", 1, &[2; 32], "h:1"),
            message("GET", "/a", 1, &[1; 32], "h:2"),
        ] {
            assert_ne!(base, other);
        }
        // 32 bytes is what a long extrinsic's hash has: a request is never that short.
        assert!(base.len() > 32 && base.starts_with(b"<Bytes>") && base.ends_with(b"</Bytes>"));
    }

    #[test]
    fn an_audience_is_host_and_port() {
        let of = |text: &str| audience(&Url::parse(text).unwrap());
        assert_eq!(of("http://Example.org").unwrap(), "example.org:80");
        assert_eq!(of("http://127.0.0.1:9977/x").unwrap(), "127.0.0.1:9977");
        assert_eq!(of("http://[::1]:9977").unwrap(), "[::1]:9977");
        for bad in ["https://example.org", "http://user:pw@example.org", "file:///etc/passwd"] {
            assert!(matches!(of(bad), Err(StoreError::InvalidPeer { .. })), "{bad}");
        }
    }
}
