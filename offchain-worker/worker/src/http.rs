//! What the worker serves besides artifacts.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/advertisement` | [`Advertisement`](crate::advert::Advertisement), unsigned |
//! | `GET /v1/jobs/{id}/progress` | [`JobProgress`](crate::board::JobProgress); signed, for the job's parties |
//! | `GET /metrics` | Prometheus text, unsigned |
//!
//! Artifacts and `/v1/health` are `attune_store`'s. A signed request carries the same three headers there and here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use attune_chain_client::primitives::JobId;
use attune_store::{
    signing::{message, ACCOUNT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WINDOW_MS},
    sr25519::Sr25519Verifier,
    Verifier,
};
use axum::{
    extract::{Path, State},
    http::{header, HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
    Json, Router,
};
use serde_json::json;

use crate::{advert::Advertisement, board::Board, gpu::Gpus};

/// What the handlers share.
#[derive(Debug)]
pub struct Public {
    /// What is advertised.
    pub advertisement: Advertisement,
    /// The authorities (`host:port`) under which requests are signed for this server.
    pub audiences: Vec<String>,
    /// Progress and counters.
    pub board: Arc<Board>,
    /// Who may see which job's progress.
    pub watchers: RwLock<BTreeMap<JobId, BTreeSet<[u8; 32]>>>,
}

/// The routes.
pub fn router(public: Arc<Public>) -> Router {
    Router::new()
        .route("/v1/advertisement", get(advertisement))
        .route("/v1/jobs/{id}/progress", get(progress))
        .route("/metrics", get(metrics))
        .with_state(public)
}

async fn advertisement(State(public): State<Arc<Public>>) -> Json<Advertisement> {
    Json(public.advertisement.clone())
}

async fn metrics(State(public): State<Arc<Public>>) -> Response {
    let mut text = public.board.prometheus();
    text.extend(public.advertisement.gpus.iter().map(Gpus::prometheus));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn progress(
    State(public): State<Arc<Public>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let Some(account) = signer(&public, path, &headers) else {
        return refusal(
            StatusCode::UNAUTHORIZED,
            "not signed as it must be",
            "x-attune-account, x-attune-timestamp and x-attune-signature for this server, made within 60 s",
            "sign the request with the account's key for the address that you connect to",
        );
    };
    let job = id.parse::<JobId>().ok();
    let watchers = public.watchers.read().unwrap_or_else(PoisonError::into_inner);
    let is_watcher =
        job.and_then(|job| watchers.get(&job)).is_some_and(|accounts| accounts.contains(&account));
    drop(watchers);
    if !is_watcher {
        return refusal(
            StatusCode::FORBIDDEN,
            "not for this account",
            "the job's customer, auditor or provider, while this worker has the job",
            "sign with the key that ordered the job, and ask the worker that trains it",
        );
    }
    match job.and_then(|job| public.board.progress(job)) {
        Some(progress) => Json(progress).into_response(),
        None => refusal(
            StatusCode::NOT_FOUND,
            "no progress yet",
            "a job that is being trained",
            "ask again once the job runs",
        ),
    }
}

/// The account that signed the request for one of this server's authorities.
fn signer(public: &Public, path: &str, headers: &HeaderMap) -> Option<[u8; 32]> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (mut account, mut signature) = ([0u8; 32], [0u8; 64]);
    hex::decode_to_slice(text(ACCOUNT_HEADER)?, &mut account).ok()?;
    hex::decode_to_slice(text(SIGNATURE_HEADER)?, &mut signature).ok()?;
    let timestamp_ms: u64 = text(TIMESTAMP_HEADER)?.parse().ok()?;
    if now_ms().abs_diff(timestamp_ms) > WINDOW_MS {
        return None;
    }
    let is_good = public.audiences.iter().any(|audience| {
        let signed = message("GET", path, timestamp_ms, &account, audience);
        Sr25519Verifier.verify(&account, &signed, &signature)
    });
    is_good.then_some(account)
}

fn refusal(status: StatusCode, error: &str, expected: &str, fix: &str) -> Response {
    let body = json!({ "error": error, "expected": expected, "found": "something else", "fix": fix });
    (status, Json(body)).into_response()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |passed| u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{advert::machine, engine::Step};
    use attune_chain_client::Account;
    use attune_store::signing::signed_headers;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    fn public(watcher: [u8; 32]) -> Arc<Public> {
        let board = Arc::new(Board::default());
        board.begin(5, 0, 2, 10);
        board.step(5, Step { step: 1, loss: 0.5, tokens: 3 });
        Arc::new(Public {
            advertisement: Advertisement {
                class: "c".into(),
                exact_version: 1,
                hardware: machine(),
                gpus: None,
                endpoint: "http://127.0.0.1:1".into(),
                tokens_per_second: 9,
                version: "0".into(),
                engine_version: 1,
                operator: "o".into(),
            },
            audiences: vec!["127.0.0.1:1".into()],
            board,
            watchers: RwLock::new(BTreeMap::from([(5, BTreeSet::from([watcher]))])),
        })
    }

    async fn ask(public: &Arc<Public>, account: &Account, path: &str, audience: &str, at: u64) -> StatusCode {
        let signer = crate::RequestSigner(account.clone());
        let mut request = Request::get(path);
        for (name, value) in signed_headers(&signer, "GET", path, audience, at) {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        router(public.clone()).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn progress_is_shown_to_a_party_that_signs_and_to_nobody_else() {
        let (alice, bob) = (Account::dev("//Alice").unwrap(), Account::dev("//Bob").unwrap());
        let public = public(alice.id().0);
        let (path, here) = ("/v1/jobs/5/progress", "127.0.0.1:1");
        assert_eq!(ask(&public, &alice, path, here, now_ms()).await, StatusCode::OK);
        assert_eq!(ask(&public, &bob, path, here, now_ms()).await, StatusCode::FORBIDDEN);
        assert_eq!(ask(&public, &alice, "/v1/jobs/6/progress", here, now_ms()).await, StatusCode::FORBIDDEN);
        assert_eq!(ask(&public, &alice, path, "127.0.0.1:2", now_ms()).await, StatusCode::UNAUTHORIZED);
        let old = now_ms() - 2 * WINDOW_MS;
        assert_eq!(ask(&public, &alice, path, here, old).await, StatusCode::UNAUTHORIZED);
        let unsigned = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(
            router(public.clone()).oneshot(unsigned).await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }

    #[tokio::test]
    async fn advertisement_and_metrics_are_public() {
        let public = public([0; 32]);
        for path in ["/v1/advertisement", "/metrics"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            assert_eq!(
                router(public.clone()).oneshot(request).await.unwrap().status(),
                StatusCode::OK,
                "{path}"
            );
        }
    }
}
