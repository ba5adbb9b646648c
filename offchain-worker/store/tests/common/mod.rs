//! A real server on a free loopback port, peers that misbehave by hand, and keys.

// Each test binary uses a part of this.
#![allow(dead_code)]

use attune_store::{
    router, serve, signing, sr25519::Sr25519Signer, sr25519::Sr25519Verifier, ArtifactId, FetchLimits,
    Fetcher, Grants, Limits, LocalStore, ServerConfig, Signer, Url,
};
use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn customer() -> Arc<Sr25519Signer> {
    Arc::new(Sr25519Signer::from_seed(&[1; 32]))
}

pub(crate) fn stranger() -> Arc<Sr25519Signer> {
    Arc::new(Sr25519Signer::from_seed(&[2; 32]))
}

pub(crate) fn bytes(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|n| (n as u8).wrapping_mul(31) ^ (n >> 8) as u8 ^ salt).collect()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

pub(crate) fn new_store() -> (TempDir, LocalStore) {
    let dir = TempDir::new().unwrap();
    let store = LocalStore::open(dir.path().join("store")).unwrap();
    (dir, store)
}

pub(crate) fn test_limits() -> Limits {
    Limits {
        reserve_bytes: 0,
        header_timeout: Duration::from_millis(1000),
        idle_timeout: Duration::from_millis(1500),
        authorize_timeout: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// A server that runs as a worker runs it.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) store: LocalStore,
    pub(crate) grants: Arc<Grants>,
    pub(crate) url: Url,
    pub(crate) audience: String,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with_limits(test_limits()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let (dir, store) = new_store();
        Self::over(dir, store, limits).await
    }

    pub(crate) async fn over(dir: TempDir, store: LocalStore, limits: Limits) -> Self {
        let grants = Arc::new(Grants::new(store.clone(), 100));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let audience = signing::audience(&url).unwrap();
        let config = ServerConfig { audiences: vec![audience.clone()], limits: limits.clone() };
        let app = router(store.clone(), grants.clone(), Arc::new(Sr25519Verifier), config);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            serve(listener, app, &limits, async {
                let _ = stopped.await;
            })
            .await
            .unwrap();
        });
        Self { dir, store, grants, url, audience, stop: Some(stop), task }
    }

    /// Stores bytes and lets the customer read them.
    pub(crate) fn offer(&self, content: &[u8]) -> ArtifactId {
        let id = self.store.put_bytes(content).unwrap();
        self.grants.allow_read(customer().account(), id).unwrap();
        id
    }

    pub(crate) fn shut_down(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// A signed request; `change` may bend its parts before it is sent.
    pub(crate) fn request(&self, method: reqwest::Method, id: &ArtifactId) -> reqwest::RequestBuilder {
        let path = format!("/v1/artifacts/{id}");
        let headers =
            signing::signed_headers(customer().as_ref(), method.as_str(), &path, &self.audience, now_ms());
        with_headers(self.unsigned(method, &path), &headers)
    }

    pub(crate) fn unsigned(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        client().request(method, self.url.join(path).unwrap())
    }
}

pub(crate) fn with_headers(
    request: reqwest::RequestBuilder,
    headers: &[(&'static str, String)],
) -> reqwest::RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap()
}

pub(crate) fn fetch_limits() -> FetchLimits {
    FetchLimits {
        header_timeout: Duration::from_millis(1500),
        window: Duration::from_millis(1000),
        min_bytes_per_window: 1000,
        total_timeout: Duration::from_secs(20),
        rounds: 2,
        backoff_start: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        reserve_bytes: 0,
        ..FetchLimits::default()
    }
}

/// A fetcher of the customer's with a store of its own.
pub(crate) fn new_fetcher() -> (TempDir, Fetcher) {
    let (dir, store) = new_store();
    (dir, Fetcher::new(store, customer(), fetch_limits()).unwrap())
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A peer written by hand: for each connection it reads one request and lets `script` answer.
pub(crate) struct RawPeer {
    pub(crate) url: Url,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl RawPeer {
    pub(crate) async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, String, TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = read_head(&mut stream).await;
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(head.clone());
                    seen.len() - 1
                };
                tokio::spawn(script(number, head, stream));
            }
        });
        Self { url, requests, task }
    }

    /// A peer that answers every request with the whole of these bytes.
    pub(crate) async fn with_bytes(content: Vec<u8>) -> Self {
        let content = Arc::new(content);
        Self::start(move |_, _, mut stream| {
            let content = content.clone();
            async move {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len());
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&content).await;
            }
        })
        .await
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0u8; 1];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The first byte that a request asks for.
pub(crate) fn range_start(head: &str) -> usize {
    head.lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned))
        .and_then(|range| range.trim_end_matches('-').parse().ok())
        .unwrap_or(0)
}

pub(crate) fn quiet(_: attune_store::Progress) {}
