//! What a provider's worker tells those whom a job entitles.

use std::time::Duration;

use anyhow::{anyhow, Context as _, Result};
use attune_chain_client::keys::Account;
use attune_primitives::JobId;
use attune_store::{signing, Url};
use serde::{Deserialize, Serialize};

use crate::{account::RequestSigner, time::now_ms};

/// How far a worker is with a job.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct WorkerProgress {
    /// Optimizer steps done.
    pub step: u64,
    /// Training loss of the latest step, in nats per token.
    pub loss: Option<f64>,
    /// Its speed.
    pub tokens_per_second: Option<f64>,
    /// Seconds of training left.
    pub eta_seconds: Option<f64>,
}

/// Asks the worker at `endpoint` how far it is with a job.
///
/// # Errors
/// If it does not answer within three seconds, refuses, or answers something else.
pub async fn progress(endpoint: &str, job: JobId, account: &Account) -> Result<WorkerProgress> {
    let peer =
        Url::parse(endpoint).with_context(|| format!("the endpoint {endpoint:?} is not an address"))?;
    let path = format!("/v1/jobs/{job}/progress");
    let url = peer.join(&path).with_context(|| format!("the endpoint {endpoint:?} takes no path"))?;
    let signer = RequestSigner(account.clone());
    let headers = signing::signed_headers(&signer, "GET", &path, &signing::audience(&peer)?, now_ms());
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(3))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("making an HTTP client")?;
    let mut request = client.get(url.as_str());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.map_err(|e| anyhow!("asking {url}: {e}"))?;
    answer.json().await.with_context(|| format!("{url} did not answer as a worker does"))
}
