//! One request to one peer.

use super::Fetcher;
use crate::{server::ErrorBody, signing, ArtifactId, Url};
use reqwest::{header, Method, RequestBuilder, Response, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
/// Characters of a peer's own words that get into our messages.
const MAX_REASON_CHARS: usize = 300;

/// A peer's address and the authority that requests to it are signed for.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) url: Url,
    pub(super) audience: String,
}

/// Why a request did not do.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may work later; the peer may have said when.
    Later { reason: String, wait: Option<Duration> },
    /// Asking this peer again is no use.
    Never { reason: String },
    /// It has no bytes where the request wants to go on.
    OutOfRange { reason: String },
}

impl Failure {
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), wait: None }
    }

    pub(super) fn never(reason: impl Into<String>) -> Self {
        Self::Never { reason: reason.into() }
    }
}

/// A signed request for an artifact.
pub(super) fn request(fetcher: &Fetcher, peer: &Peer, method: Method, id: &ArtifactId) -> RequestBuilder {
    let path = format!("/v1/artifacts/{id}");
    let mut url = peer.url.clone();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    let headers = signing::signed_headers(
        fetcher.signer.as_ref(),
        method.as_str(),
        &path,
        &peer.audience,
        signing::now_ms(),
    );
    let request = fetcher.client.request(method, url);
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Sends a request without a body and waits for the head of a successful answer.
pub(super) async fn send(request: RequestBuilder, within: Duration) -> Result<Response, Failure> {
    match timeout(within, request.send()).await {
        Err(_) => Err(Failure::later(format!("no answer within {} s", within.as_secs_f32()))),
        Ok(Err(e)) => Err(Failure::later(describe(&e))),
        Ok(Ok(response)) if response.status().is_success() => Ok(response),
        Ok(Ok(response)) => Err(refusal(response, within).await),
    }
}

/// Reads a refusal: what the peer says, and whether asking again makes sense.
pub(super) async fn refusal(mut response: Response, within: Duration) -> Failure {
    let status = response.status();
    let wait = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok())
        .map(Duration::from_secs);
    let mut bytes = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_REFUSAL_BYTES {
                break;
            }
        }
    };
    let _ = timeout(within, read).await;
    let said = match serde_json::from_slice::<ErrorBody>(&bytes) {
        Ok(b) => format!("{}: expected {}, found {}; {}", b.error, b.expected, b.found, b.fix),
        Err(_) => "no reason given".into(),
    };
    let reason = format!("{status}, {}", clean(&said));
    let again = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Failure::OutOfRange { reason };
    }
    if again && status != StatusCode::INSUFFICIENT_STORAGE {
        Failure::Later { reason, wait }
    } else {
        Failure::Never { reason }
    }
}

/// An error with its causes: reqwest's own words stop at "error sending request".
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    clean(&text)
}

/// A stranger's text, fit for a log line.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect()
}
