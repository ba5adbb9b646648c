//! Who asks: the three headers of a signed request.

use super::{answer::Refusal, guard::Replay, Shared};
use crate::signing::{self, ACCOUNT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WINDOW_MS};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use std::sync::PoisonError;

/// An account that proved itself, and the hash of the text it signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proven {
    pub(super) account: [u8; 32],
    message: [u8; 32],
}

fn refuse(expected: &str, found: impl Into<String>, fix: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "not signed as it must be", expected, found, fix)
}

/// Checks headers, time and signature against each of the server's own authorities.
pub(super) fn authenticate(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Proven, Refusal> {
    let account: [u8; 32] = hex_header(headers, ACCOUNT_HEADER)?;
    let signature: [u8; 64] = hex_header(headers, SIGNATURE_HEADER)?;
    let written = single(headers, TIMESTAMP_HEADER)?;
    let timestamp_ms: u64 = written.parse().map_err(|_| {
        refuse("x-attune-timestamp in Unix milliseconds", written, "send the time as a whole number")
    })?;
    let now = signing::now_ms();
    if now.abs_diff(timestamp_ms) > WINDOW_MS {
        return Err(refuse(
            "a signature made within 60 s of this server's clock",
            format!("timestamp {timestamp_ms}, here it is {now}"),
            "sign again, and set your clock if it is off",
        ));
    }
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    for audience in &shared.config.audiences {
        let message = signing::message(method.as_str(), path, timestamp_ms, &account, audience);
        if shared.verifier.verify(&account, &message, &signature) {
            return Ok(Proven { account, message: *blake3::hash(&message).as_bytes() });
        }
    }
    Err(refuse(
        "a signature by the account over method, path, time, account and this server's host:port",
        "one that does not fit",
        "sign with the account's key for the address that you connect to, as it is published",
    ))
}

/// Admits a signed request once: for requests that change something.
pub(super) fn admit_once(shared: &Shared, proven: &Proven) -> Result<(), Refusal> {
    let now = signing::now_ms();
    // A signature dated 60 s ahead stays good for 120 s; one millisecond more for the edge.
    let lifetime_ms = 2 * WINDOW_MS + 1;
    let mut replays = shared.replays.lock().unwrap_or_else(PoisonError::into_inner);
    match replays.admit(proven.message, now, lifetime_ms) {
        Replay::Fresh => Ok(()),
        Replay::Seen => {
            Err(refuse("a signature that was not used before", "a used one", "sign every upload anew"))
        }
        Replay::Full => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many uploads",
            "fewer uploads within two minutes",
            "more than this server remembers",
            "try again later",
        )
        .retry_after(30)),
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| {
            refuse(
                &format!("{name} in ASCII"),
                "other bytes",
                "send digits only, see the documentation on signing",
            )
        }),
        (None, _) => Err(refuse(
            &format!("the header {name}"),
            "none",
            "sign the request: x-attune-account, x-attune-timestamp, x-attune-signature",
        )),
        _ => Err(refuse(&format!("one header {name}"), "several", "send it once")),
    }
}

fn hex_header<const N: usize>(headers: &HeaderMap, name: &str) -> Result<[u8; N], Refusal> {
    let text = single(headers, name)?;
    let mut bytes = [0u8; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        let found = format!("{:?}", text.chars().take(140).collect::<String>());
        refuse(&format!("{name} of {} hex digits", 2 * N), found, "write the bytes in hex, without 0x")
    })?;
    Ok(bytes)
}
