//! The requests themselves.

use super::{
    answer::Refusal,
    auth::{self, Proven},
    guard::AccountSlot,
    Access, Shared,
};
use crate::{
    local::{self, Incoming, PIECE_BYTES},
    ArtifactId, StoreError,
};
use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{rejection::PathRejection, Path, Request, State},
    http::{header, request::Parts, HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    Json,
};
use futures::StreamExt;
use serde_json::json;
use std::{
    io::SeekFrom,
    ops::RangeInclusive,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

/// Bounds of [`linger`].
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 << 20;

/// What a request holds until its last byte has gone.
struct Held {
    _slot: OwnedSemaphorePermit,
    _account_slot: AccountSlot,
}

pub(super) async fn health() -> Response {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })).into_response()
}

pub(super) async fn no_route(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no such address",
        "/v1/health or /v1/artifacts/{id}",
        cut(uri.path()),
        "correct the path",
    )
}

pub(super) async fn no_method(method: Method) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no such method here",
        "GET, HEAD or PUT of an artifact, GET of /v1/health",
        cut(method.as_str()),
        "use one of them",
    )
}

/// GET and HEAD.
pub(super) async fn get_artifact(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (id, proven, held) = admit(&shared, id, &method, &uri, &headers)?;
    allow(&shared, shared.authorizer.may_read(&proven.account, &id)).await?;
    let store = shared.store.clone();
    let (file, size) = blocking(move || store.open_artifact(&id)).await?;
    let etag = format!("\"{id}\"");
    let range = match wanted_range(&headers, &etag, size) {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
        Wanted::Outside => return Err(outside(size)),
    };
    let (start, length) = match &range {
        Some(range) => (*range.start(), range.end() - range.start() + 1),
        None => (0, size),
    };
    let mut response = Response::builder()
        .status(if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, etag)
        .header(header::CACHE_CONTROL, "private, immutable")
        .header(header::CONTENT_LENGTH, length);
    if range.is_some() {
        let last = start + length - 1;
        response = response.header(header::CONTENT_RANGE, format!("bytes {start}-{last}/{size}"));
    }
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        send_file(file, start, length, Instant::now() + shared.config.limits.transfer_timeout, held)
    };
    Ok(response.body(body).expect("all header values are ASCII made here; qed"))
}

pub(super) async fn put_artifact(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let taken = take_upload(&shared, id, &parts, &mut body).await;
    if !matches!(taken, Ok((StatusCode::CREATED, _))) {
        tokio::spawn(linger(body));
    }
    taken.map(|(status, id)| (status, Json(json!({ "id": id }))).into_response())
}

/// 201 for an upload that was taken, 200 for one that was there.
async fn take_upload(
    shared: &Arc<Shared>,
    id: Result<Path<String>, PathRejection>,
    parts: &Parts,
    body: &mut BodyDataStream,
) -> Result<(StatusCode, ArtifactId), Refusal> {
    let (id, proven, _held) = admit(shared, id, &parts.method, &parts.uri, &parts.headers)?;
    let limits = &shared.config.limits;
    let length = content_length(&parts.headers)?;
    if length > limits.max_body_bytes {
        return Err(too_large(limits.max_body_bytes, length));
    }
    allow(shared, shared.authorizer.may_write(&proven.account, &id, length)).await?;
    auth::admit_once(shared, &proven)?;
    if shared.store.has(&id) {
        return Ok((StatusCode::OK, id));
    }
    shared.store.check_room(length, limits.reserve_bytes).map_err(|e| Refusal::from_store(&e))?;
    timeout(limits.transfer_timeout, receive(shared, &id, length, body))
        .await
        .map_err(|_| too_slow("the upload to end in time"))??;
    tracing::info!(%id, bytes = length, account = %hex::encode(proven.account), "took an upload");
    Ok((StatusCode::CREATED, id))
}

/// Reads on for a moment after an answer that came before the body's end. Closing at once would make the system reset
/// the connection, and the peer, still sending, would lose the answer that says why.
async fn linger(mut body: BodyDataStream) {
    let reading = async {
        let mut thrown_away = 0;
        while let Some(Ok(piece)) = body.next().await {
            thrown_away += piece.len();
            if thrown_away > LINGER_BYTES {
                break;
            }
        }
    };
    let _ = timeout(LINGER_TIME, reading).await;
}

/// The checks that every artifact request passes before the authorizer is asked.
fn admit(
    shared: &Arc<Shared>,
    id: Result<Path<String>, PathRejection>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(ArtifactId, Proven, Held), Refusal> {
    let slot = Arc::clone(&shared.slots).try_acquire_owned().map_err(|_| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!("fewer than {} requests at once", shared.config.limits.max_requests),
            "more",
            "try again soon or use another peer",
        )
        .retry_after(1)
    })?;
    let text = id.map_or_else(|_| "other bytes".into(), |Path(text)| text);
    let id = text.parse::<ArtifactId>().map_err(|_| {
        Refusal::bad_request("an artifact id of 64 hex digits", cut(&text), "ask for /v1/artifacts/{id}")
    })?;
    let proven = auth::authenticate(shared, method, uri, headers)?;
    let mut rates = shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
    rates.take(&proven.account, Instant::now()).map_err(|secs| {
        too_many(format!("at most {} requests a second", shared.config.limits.requests_per_second), secs)
    })?;
    drop(rates);
    let account_slot = shared.account_slots.take(&proven.account).ok_or_else(|| {
        too_many(format!("at most {} requests at once", shared.config.limits.max_requests_per_account), 1)
    })?;
    Ok((id, proven, Held { _slot: slot, _account_slot: account_slot }))
}

async fn allow(shared: &Shared, asked: impl std::future::Future<Output = Access>) -> Result<(), Refusal> {
    let unavailable = |reason: String| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "access cannot be decided now",
            "an answer on who may use this artifact",
            reason,
            "try again soon or use another peer",
        )
        .retry_after(2)
    };
    match timeout(shared.config.limits.authorize_timeout, asked).await {
        Ok(Access::Allowed) => Ok(()),
        Ok(Access::Denied { reason }) => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "not yours",
            "an account that a job entitles to this artifact",
            reason,
            "use the account of the job's customer, provider or drawn auditor",
        )),
        Ok(Access::Unavailable { reason }) => Err(unavailable(reason)),
        Err(_) => Err(unavailable("no answer in time".into())),
    }
}

/// Streams a part of a file. The request's slots are given back with the last byte, or when the peer goes away.
fn send_file(file: std::fs::File, start: u64, length: u64, deadline: Instant, held: Held) -> Body {
    let file = tokio::fs::File::from_std(file);
    let state = (file, length, start, false, held);
    Body::from_stream(futures::stream::try_unfold(state, move |state| async move {
        let (mut file, left, start, mut sought, held) = state;
        if left == 0 {
            return Ok(None);
        }
        if Instant::now() > deadline {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
        }
        if !sought {
            file.seek(SeekFrom::Start(start)).await?;
            sought = true;
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES)));
        (&mut file).take(left.min(PIECE_BYTES as u64)).read_buf(&mut piece).await?;
        if piece.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - piece.len() as u64;
        Ok(Some((Bytes::from(piece), (file, left, start, sought, held))))
    }))
}

/// Takes a body of a known length into the store.
async fn receive(
    shared: &Shared,
    id: &ArtifactId,
    length: u64,
    body: &mut BodyDataStream,
) -> Result<(), Refusal> {
    let limits = &shared.config.limits;
    let store = shared.store.clone();
    let mut incoming = blocking(move || Incoming::staged(&store)).await?;
    let mut pending: Vec<u8> = Vec::new();
    let mut received = 0u64;
    loop {
        let next =
            timeout(limits.idle_timeout, body.next()).await.map_err(|_| too_slow("more of the body"))?;
        let ended = next.is_none();
        if let Some(piece) = next {
            let piece = piece
                .map_err(|e| Refusal::bad_request("the whole body", cut(&e.to_string()), "send it again"))?;
            received += piece.len() as u64;
            if received > length {
                return Err(too_large(length, received));
            }
            pending.extend_from_slice(&piece);
        }
        if pending.len() >= PIECE_BYTES || (ended && !pending.is_empty()) {
            let bytes = std::mem::take(&mut pending);
            incoming = blocking(move || incoming.write(&bytes).map(|()| incoming)).await?;
        }
        if ended {
            break;
        }
    }
    let (store, id) = (shared.store.clone(), *id);
    blocking(move || incoming.commit(&store, &id, "an upload")).await
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(RangeInclusive<u64>),
    Outside,
}

/// One range is honoured; several, another unit or a malformed header mean the whole, as RFC 9110 allows.
fn wanted_range(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    if headers.get(header::IF_RANGE).is_some_and(|v| v.as_bytes() != etag.as_bytes()) {
        return Wanted::Whole;
    }
    let text = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let Some((first, last)) =
        text.and_then(|t| t.trim().strip_prefix("bytes=")).and_then(|t| t.split_once('-'))
    else {
        return Wanted::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim()) {
        (Ok(first), "") if first < size => Wanted::Part(first..=size - 1),
        (Ok(_), "") => Wanted::Outside,
        (Ok(first), last) => match last.parse::<u64>() {
            Ok(last) if last < first => Wanted::Whole,
            Ok(_) if first >= size => Wanted::Outside,
            Ok(last) => Wanted::Part(first..=last.min(size - 1)),
            Err(_) => Wanted::Whole,
        },
        (Err(_), last) if first.trim().is_empty() => match last.parse::<u64>() {
            Ok(0) => Wanted::Outside,
            Ok(_) if size == 0 => Wanted::Outside,
            Ok(suffix) => Wanted::Part(size.saturating_sub(suffix)..=size - 1),
            Err(_) => Wanted::Whole,
        },
        _ => Wanted::Whole,
    }
}

fn content_length(headers: &HeaderMap) -> Result<u64, Refusal> {
    headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).ok_or_else(
        || {
            Refusal::new(
                StatusCode::LENGTH_REQUIRED,
                "length missing",
                "a Content-Length header",
                "none",
                "send the size with the upload",
            )
        },
    )
}

/// File work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    local::blocking(work).await.map_err(|e| Refusal::from_store(&e))
}

fn outside(size: u64) -> Refusal {
    Refusal::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range outside the artifact",
        format!("a range within {size} bytes"),
        "one that starts after the end",
        "ask for less, or for the whole",
    )
    .header(header::CONTENT_RANGE, format!("bytes */{size}"))
}

fn too_large(max: u64, found: u64) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too large",
        format!("at most {max} bytes"),
        format!("{found} bytes"),
        "send less, or ask the server's owner for a higher limit",
    )
}

fn too_many(expected: String, secs: u64) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", expected, "more", "slow down")
        .retry_after(secs)
}

fn too_slow(expected: &str) -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "too slow", expected, "nothing for too long", "send it again")
}

fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(range: &str, size: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        wanted_range(&headers, "\"e\"", size)
    }

    #[test]
    fn one_range_is_read_as_rfc_9110_says() {
        assert_eq!(wanted("bytes=0-0", 10), Wanted::Part(0..=0));
        assert_eq!(wanted("bytes=3-", 10), Wanted::Part(3..=9));
        assert_eq!(wanted("bytes=3-99", 10), Wanted::Part(3..=9));
        assert_eq!(wanted("bytes=-4", 10), Wanted::Part(6..=9));
        assert_eq!(wanted("bytes=-99", 10), Wanted::Part(0..=9));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(wanted(outside, 10), Wanted::Outside, "{outside}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Outside);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Outside);
        for whole in ["bytes=5-3", "bytes=a-b", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-x"] {
            assert_eq!(wanted(whole, 10), Wanted::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_not_used() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=3-".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(wanted_range(&headers, "\"e\"", 10), Wanted::Whole);
        headers.insert(header::IF_RANGE, "\"e\"".parse().unwrap());
        assert_eq!(wanted_range(&headers, "\"e\"", 10), Wanted::Part(3..=9));
    }
}
