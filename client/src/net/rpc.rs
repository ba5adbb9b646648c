//! The few questions that starting a network asks of a node, over JSON-RPC by HTTP. No metadata is needed for them, so
//! they also reach a node of another runtime.

use std::time::Duration;

use anyhow::{anyhow, bail, Context, Result};
use serde_json::{json, Value};

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Height {
    /// Number of the best block.
    pub best: u32,
    /// Number of the latest final block.
    pub finalized: u32,
    /// Peers that the node is connected to.
    pub peers: u32,
}

/// Asks a node how far it is. `url` is its `ws://` address.
///
/// # Errors
/// If it does not answer within three seconds, or not as a node does.
pub async fn height(url: &str) -> Result<Height> {
    let best = number(&call(url, "chain_getHeader", json!([])).await?)?;
    let head = call(url, "chain_getFinalizedHead", json!([])).await?;
    let finalized = number(&call(url, "chain_getHeader", json!([head])).await?)?;
    let health = call(url, "system_health", json!([])).await?;
    let peers = health["peers"].as_u64().and_then(|p| u32::try_from(p).ok());
    Ok(Height {
        best,
        finalized,
        peers: peers.ok_or_else(|| anyhow!("system_health without peers: {health}"))?,
    })
}

fn number(header: &Value) -> Result<u32> {
    let text = header["number"].as_str().ok_or_else(|| anyhow!("a header without a number: {header}"))?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u32::from_str_radix(digits, 16).with_context(|| format!("a header's number is {text:?}"))
}

async fn call(url: &str, method: &str, params: Value) -> Result<Value> {
    let url = url.replacen("ws://", "http://", 1);
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(3))
        .build()
        .context("making an HTTP client")?;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = client.post(&url).json(&body).send().await.with_context(|| format!("asking {url}"))?;
    let mut answer: Value = answer.json().await.with_context(|| format!("reading the answer of {url}"))?;
    if let Some(error) = answer.get("error") {
        bail!("{method} at {url}: {error}");
    }
    Ok(answer["result"].take())
}
