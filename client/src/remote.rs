//! What a provider's worker tells those whom a job entitles.

use std::time::Duration;

use anyhow::{anyhow, bail, Context as _, Result};
use attune_chain_client::keys::Account;
use attune_primitives::JobId;
use attune_store::{signing, Url};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

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
    decoded(answer).await.with_context(|| format!("{url} did not answer as a worker does"))
}

/// The most that a worker's answer may be long, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Reads an answer in JSON, and no more of it than there can be: a worker is a stranger.
///
/// # Errors
/// If it is longer than 64 KiB, breaks off, or is something else.
pub async fn decoded<T: DeserializeOwned>(mut answer: reqwest::Response) -> Result<T> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_ANSWER {
            bail!("expected at most {MAX_ANSWER} bytes, found more");
        }
    }
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// What is read of an answer with `times` times this body.
    async fn read(body: &'static [u8], times: usize) -> Result<WorkerProgress> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            // It goes on for as long as anybody reads.
            (0..times).take_while(|_| stream.write_all(body).is_ok()).count()
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let read = decoded(client.get(url).send().await.unwrap()).await;
        drop(client);
        let written = tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
        assert!(written.saturating_mul(body.len()) < 64 << 20, "it was read for ever");
        read
    }

    #[tokio::test]
    async fn an_answer_is_read_only_as_far_as_it_can_go() {
        let body = br#"{"step": 3, "loss": null, "tokens_per_second": null, "eta_seconds": null}"#;
        assert_eq!(read(body, 1).await.unwrap().step, 3);
        let said = format!("{:#}", read(&[b' '; 1 << 16], 1 << 12).await.unwrap_err());
        assert!(said.contains("at most 65536 bytes"), "{said}");
    }
}
