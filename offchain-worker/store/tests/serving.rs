//! What a server promises, to friends and strangers.

mod common;

use attune_store::{
    router, signing, sr25519::Sr25519Verifier, Access, ArtifactId, Authorizer, Limits, Manifest,
    ManifestEntry, ManifestLimits, ServerConfig, Signer,
};
use common::*;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The status, after checking that a refusal says what it must.
async fn refused(request: reqwest::RequestBuilder) -> StatusCode {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    for key in ["error", "expected", "found", "fix"] {
        assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{status}: {body}");
    }
    status
}

fn address(server: &Server) -> String {
    format!("{}:{}", server.url.host_str().unwrap(), server.url.port().unwrap())
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let server = Server::start().await;
    let response = server.unsigned(Method::GET, "/v1/health").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "ok");
}

#[tokio::test]
async fn an_entitled_account_reads_the_whole_and_the_head() {
    let server = Server::start().await;
    let content = bytes(700_000, 1);
    let id = server.offer(&content);
    let response = server.request(Method::GET, &id).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["etag"], format!("\"{id}\"").as_str());
    assert_eq!(response.headers()["accept-ranges"], "bytes");
    assert_eq!(response.bytes().await.unwrap(), content);
    let response = server.request(Method::HEAD, &id).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-length"]),
        (StatusCode::OK, &"700000".parse().unwrap())
    );
    assert!(response.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_range_is_served_as_206_and_one_outside_as_416() {
    let server = Server::start().await;
    let content = bytes(1000, 2);
    let id = server.offer(&content);
    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=990-", 990, 1000), ("bytes=-7", 993, 1000)]
    {
        let response = server.request(Method::GET, &id).header("range", range).send().await.unwrap();
        assert_eq!(response.status(), 206, "{range}");
        let expected = format!("bytes {from}-{}/1000", to - 1);
        assert_eq!(response.headers()["content-range"], expected.as_str());
        assert_eq!(response.bytes().await.unwrap(), content[from..to]);
    }
    let request = server.request(Method::GET, &id).header("range", "bytes=1000-");
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-range"]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */1000".parse().unwrap())
    );
    assert_eq!(refused(server.request(Method::GET, &id).header("range", "bytes=2000-")).await, 416);
    let several = server.request(Method::GET, &id).header("range", "bytes=0-1,5-6").send().await.unwrap();
    assert_eq!(several.status(), 200);
}

#[tokio::test]
async fn an_unsigned_or_half_signed_request_is_refused() {
    let server = Server::start().await;
    let id = server.offer(b"secret");
    let path = format!("/v1/artifacts/{id}");
    let headers = signing::signed_headers(customer().as_ref(), "GET", &path, &server.audience, now_ms());
    assert_eq!(
        with_headers(server.unsigned(Method::GET, &path), &headers).send().await.unwrap().status(),
        200
    );
    assert_eq!(refused(server.unsigned(Method::GET, &path)).await, 401);
    for missing in 0..3 {
        let mut some = headers.to_vec();
        some.remove(missing);
        assert_eq!(refused(with_headers(server.unsigned(Method::GET, &path), &some)).await, 401);
    }
    for (at, bad) in [(0, "0x00"), (0, ""), (1, "now"), (1, "-1"), (2, "00"), (2, &"0".repeat(128))] {
        let mut bent = headers.to_vec();
        bent[at].1 = bad.to_owned();
        assert_eq!(
            refused(with_headers(server.unsigned(Method::GET, &path), &bent)).await,
            401,
            "{at} {bad}"
        );
    }
    let twice =
        with_headers(server.unsigned(Method::GET, &path), &headers).header(headers[0].0, &headers[0].1);
    assert_eq!(refused(twice).await, 401);
}

#[tokio::test]
async fn a_signature_is_good_for_its_method_path_account_and_server_only() {
    let server = Server::start().await;
    let (id, other) = (server.offer(b"one"), server.offer(b"two"));
    server.grants.allow_write(customer().account(), id, 100).unwrap();
    let path = format!("/v1/artifacts/{id}");
    let sign = |method: &str, path: &str, audience: &str, at: u64| {
        signing::signed_headers(customer().as_ref(), method, path, audience, at)
    };
    let cases = [
        sign("PUT", &path, &server.audience, now_ms()),
        sign("GET", &format!("/v1/artifacts/{other}"), &server.audience, now_ms()),
        sign("GET", &path, "127.0.0.1:1", now_ms()),
        sign("GET", &path, "", now_ms()),
    ];
    for headers in &cases {
        assert_eq!(refused(with_headers(server.unsigned(Method::GET, &path), headers)).await, 401);
    }
    let mut stolen = sign("GET", &path, &server.audience, now_ms());
    stolen[0].1 = hex::encode(stranger().account());
    assert_eq!(refused(with_headers(server.unsigned(Method::GET, &path), &stolen)).await, 401);
    let with_query = server.unsigned(Method::GET, &format!("{path}?x=1"));
    let signed = sign("GET", &path, &server.audience, now_ms());
    assert_eq!(refused(with_headers(with_query, &signed)).await, 401);
}

#[tokio::test]
async fn an_expired_or_future_signature_is_refused() {
    let server = Server::start().await;
    let id = server.offer(b"secret");
    let path = format!("/v1/artifacts/{id}");
    let ask = |at: u64| {
        let headers = signing::signed_headers(customer().as_ref(), "GET", &path, &server.audience, at);
        with_headers(server.unsigned(Method::GET, &path), &headers)
    };
    for at in [now_ms() - 61_000, now_ms() + 62_000, 0, u64::MAX] {
        assert_eq!(refused(ask(at)).await, 401, "{at}");
    }
    for at in [now_ms() - 50_000, now_ms() + 50_000] {
        assert_eq!(ask(at).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_account_that_no_job_entitles_is_refused_and_learns_nothing() {
    let server = Server::start().await;
    let id = server.offer(b"secret");
    let ask = |id: ArtifactId| {
        let path = format!("/v1/artifacts/{id}");
        let headers = signing::signed_headers(stranger().as_ref(), "GET", &path, &server.audience, now_ms());
        with_headers(server.unsigned(Method::GET, &path), &headers)
    };
    let there = ask(id).send().await.unwrap();
    let not_there = ask(ArtifactId::of(b"not stored")).send().await.unwrap();
    assert_eq!((there.status(), not_there.status()), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
    assert_eq!(there.text().await.unwrap(), not_there.text().await.unwrap());
    server.grants.allow_read(stranger().account(), id).unwrap();
    assert_eq!(ask(id).send().await.unwrap().status(), 200);
    server.grants.revoke(&stranger().account(), &id);
    assert_eq!(refused(ask(id)).await, 403);
    server.grants.allow_read_to_all(id).unwrap();
    assert_eq!(ask(id).send().await.unwrap().status(), 200);
    server.grants.revoke_all(&id);
    assert_eq!(refused(ask(id)).await, 403);
    assert_eq!(refused(server.request(Method::GET, &id)).await, 403);
}

#[tokio::test]
async fn an_artifact_that_is_not_here_is_404() {
    let server = Server::start().await;
    let id = ArtifactId::of(b"elsewhere");
    server.grants.allow_read(customer().account(), id).unwrap();
    assert_eq!(refused(server.request(Method::GET, &id)).await, 404);
}

#[tokio::test]
async fn no_path_leads_out_of_the_store() {
    let server = Server::start().await;
    for path in [
        "/v1/artifacts/..%2f..%2fetc%2fpasswd",
        "/v1/artifacts/abc",
        "/v1/artifacts/%ff",
        "/v1/artifacts/%00",
    ] {
        assert_eq!(refused(server.unsigned(Method::GET, path)).await, 400, "{path}");
    }
    for path in ["/", "/v1/artifacts", "/v1/artifacts/a/b", "/etc/passwd"] {
        assert_eq!(refused(server.unsigned(Method::GET, path)).await, 404, "{path}");
    }
    let id = server.offer(b"x");
    assert_eq!(refused(server.request(Method::DELETE, &id)).await, 405);
}

#[tokio::test]
async fn an_upload_is_taken_once_from_whom_it_is_allowed() {
    let server = Server::start().await;
    let content = bytes(600_000, 3);
    let id = ArtifactId::of(&content);
    assert_eq!(refused(server.request(Method::PUT, &id).body(content.clone())).await, 403);
    server.grants.allow_write(customer().account(), id, 600_000).unwrap();
    let response = server.request(Method::PUT, &id).body(content.clone()).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(server.store.read(&id, 1 << 20).unwrap(), content);
    let again = server.request(Method::PUT, &id).body(content).send().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(server.store.usage().unwrap().unfinished_bytes, 0);
}

#[tokio::test]
async fn a_replayed_upload_is_refused() {
    let server = Server::start().await;
    let id = ArtifactId::of(b"content");
    server.grants.allow_write(customer().account(), id, 100).unwrap();
    let path = format!("/v1/artifacts/{id}");
    let headers = signing::signed_headers(customer().as_ref(), "PUT", &path, &server.audience, now_ms());
    let put = || with_headers(server.unsigned(Method::PUT, &path), &headers).body("content");
    assert_eq!(put().send().await.unwrap().status(), 201);
    assert_eq!(refused(put()).await, 401);
    server.store.remove(&id).unwrap();
    assert_eq!(refused(put()).await, 401);
    assert!(!server.store.has(&id));
}

#[tokio::test]
async fn an_upload_of_other_bytes_is_refused_and_thrown_away() {
    let server = Server::start().await;
    let id = ArtifactId::of(b"announced");
    server.grants.allow_write(customer().account(), id, 100).unwrap();
    assert_eq!(refused(server.request(Method::PUT, &id).body("something")).await, 422);
    assert!(!server.store.has(&id));
    assert_eq!(server.store.usage().unwrap().unfinished_bytes, 0);
}

#[tokio::test]
async fn a_too_large_body_is_refused_before_it_is_read() {
    let server = Server::with_limits(Limits { max_body_bytes: 1000, ..test_limits() }).await;
    let content = bytes(1001, 4);
    let id = ArtifactId::of(&content);
    server.grants.allow_write(customer().account(), id, 1 << 20).unwrap();
    assert_eq!(refused(server.request(Method::PUT, &id).body(content.clone())).await, 413);
    // The grant is a bound too.
    let small = ArtifactId::of(b"12345");
    server.grants.allow_write(customer().account(), small, 4).unwrap();
    assert_eq!(refused(server.request(Method::PUT, &small).body("12345")).await, 403);
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>("12345")]);
    let unsized_body = reqwest::Body::wrap_stream(chunks);
    assert_eq!(refused(server.request(Method::PUT, &small).body(unsized_body)).await, 411);
    assert_eq!(server.store.list().unwrap(), []);
}

#[tokio::test]
async fn the_files_of_a_granted_directory_are_taken_in_the_sizes_of_its_manifest() {
    let server = Server::start().await;
    let (listed, stranger_file) = (ArtifactId::of(b"listed"), ArtifactId::of(b"not listed"));
    let entry = |size| vec![ManifestEntry { path: "a".into(), size, blake3: listed }];
    let manifest = Manifest::new(entry(6), &ManifestLimits::default()).unwrap();
    server.grants.allow_write(customer().account(), manifest.id(), 1000).unwrap();
    assert_eq!(
        refused(server.request(Method::PUT, &listed).body("listed")).await,
        403,
        "before its manifest"
    );
    let put = server.request(Method::PUT, &manifest.id()).body(manifest.to_bytes());
    assert_eq!(put.send().await.unwrap().status(), 201);
    assert_eq!(refused(server.request(Method::PUT, &listed).body("other size")).await, 403);
    assert_eq!(refused(server.request(Method::PUT, &stranger_file).body("not listed")).await, 403);
    assert_eq!(server.request(Method::PUT, &listed).body("listed").send().await.unwrap().status(), 201);
    assert_eq!(server.request(Method::GET, &listed).send().await.unwrap().status(), 200);

    let huge = Manifest::new(entry(2000), &ManifestLimits::default()).unwrap();
    server.grants.revoke_all(&manifest.id());
    server.store.remove(&listed).unwrap();
    server.grants.allow_write(customer().account(), huge.id(), 1000).unwrap();
    server.store.put_bytes(&huge.to_bytes()).unwrap();
    assert_eq!(refused(server.request(Method::PUT, &listed).body(vec![0; 2000])).await, 403);
}

#[tokio::test]
async fn an_account_that_asks_too_often_waits_and_others_do_not() {
    let limits = Limits { requests_per_second: 0.01, request_burst: 3.0, ..test_limits() };
    let server = Server::with_limits(limits).await;
    let id = server.offer(b"x");
    for _ in 0..3 {
        assert_eq!(server.request(Method::GET, &id).send().await.unwrap().status(), 200);
    }
    let response = server.request(Method::GET, &id).send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 10);
    server.grants.allow_read(stranger().account(), id).unwrap();
    let path = format!("/v1/artifacts/{id}");
    let headers = signing::signed_headers(stranger().as_ref(), "GET", &path, &server.audience, now_ms());
    let other = with_headers(server.unsigned(Method::GET, &path), &headers).send().await.unwrap();
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn a_peer_that_never_reads_loses_its_slot() {
    let limits = Limits { max_requests: 1, ..test_limits() };
    let server = Server::with_limits(limits).await;
    // More than the socket buffers of both sides take.
    let id = server.offer(&vec![0u8; 64 << 20]);
    let path = format!("/v1/artifacts/{id}");
    let headers = signing::signed_headers(customer().as_ref(), "GET", &path, &server.audience, now_ms());
    let mut lazy = TcpStream::connect(address(&server)).await.unwrap();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    lazy.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n").as_bytes()).await.unwrap();
    let mut first = [0u8; 12];
    lazy.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(refused(server.request(Method::GET, &id)).await, 503, "the only slot is taken");
    until("the slot is free again", || async {
        server.request(Method::HEAD, &id).send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_slow_request_head_is_cut_off() {
    let server = Server::start().await;
    let mut slow = TcpStream::connect(address(&server)).await.unwrap();
    slow.write_all(b"GET /v1/health HTTP/1.1\r\nx-slow: ").await.unwrap();
    let mut answer = Vec::new();
    // The server closes; it may say 408 first.
    timeout(DEADLINE, slow.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_silent_upload_is_cut_off_and_leaves_nothing() {
    let server = Server::start().await;
    let content = bytes(600_000, 5);
    let id = ArtifactId::of(&content);
    server.grants.allow_write(customer().account(), id, 600_000).unwrap();
    let path = format!("/v1/artifacts/{id}");
    let headers = signing::signed_headers(customer().as_ref(), "PUT", &path, &server.audience, now_ms());
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut slow = TcpStream::connect(address(&server)).await.unwrap();
    slow.write_all(
        format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 600000\r\n{lines}\r\n").as_bytes(),
    )
    .await
    .unwrap();
    slow.write_all(&content[..300_000]).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, slow.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    until("the staged bytes are gone", || async { server.store.usage().unwrap().unfinished_bytes == 0 })
        .await;
    assert!(!server.store.has(&id));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let long = "x".repeat(20 << 10);
    let request = server.unsigned(Method::GET, "/v1/health").header("x-long", long);
    assert_eq!(request.send().await.unwrap().status(), 431);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = Server::with_limits(Limits { max_connections: 1, ..test_limits() }).await;
    let idle = TcpStream::connect(address(&server)).await.unwrap();
    // The idle one holds the only place until its time for a request is over.
    let response = server.unsigned(Method::GET, "/v1/health").send().await.unwrap();
    assert_eq!(response.status(), 200);
    drop(idle);
}

#[tokio::test]
async fn an_authorizer_that_cannot_decide_is_a_503_with_a_time_to_come_back() {
    struct Offline;
    #[async_trait::async_trait]
    impl Authorizer for Offline {
        async fn may_read(&self, _: &[u8; 32], _: &ArtifactId) -> Access {
            Access::Unavailable { reason: "no node".into() }
        }
        async fn may_write(&self, _: &[u8; 32], _: &ArtifactId, _: u64) -> Access {
            std::future::pending().await
        }
    }
    let (_dir, store) = new_store();
    let id = store.put_bytes(b"x").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let audience = listener.local_addr().unwrap().to_string();
    let limits = Limits { authorize_timeout: Duration::from_millis(100), ..test_limits() };
    let config = ServerConfig { audiences: vec![audience.clone()], limits: limits.clone() };
    let app = router(store, Arc::new(Offline), Arc::new(Sr25519Verifier), config);
    let task = tokio::spawn(async move {
        attune_store::serve(listener, app, &limits, std::future::pending()).await.unwrap();
    });
    for method in ["GET", "PUT"] {
        let path = format!("/v1/artifacts/{id}");
        let headers = signing::signed_headers(customer().as_ref(), method, &path, &audience, now_ms());
        let url = format!("http://{audience}{path}");
        let request = client().request(method.parse().unwrap(), url).body("x");
        let response = with_headers(request, &headers).send().await.unwrap();
        assert_eq!(response.status(), 503, "{method}");
        assert!(response.headers().contains_key("retry-after"));
    }
    task.abort();
}

#[tokio::test]
async fn a_shutdown_lets_an_open_request_end() {
    let mut server = Server::start().await;
    let content = bytes(8 << 20, 6);
    let id = server.offer(&content);
    let mut response = server.request(Method::GET, &id).send().await.unwrap();
    let mut received = response.chunk().await.unwrap().unwrap().to_vec();
    server.shut_down();
    while let Some(piece) = response.chunk().await.unwrap() {
        received.extend_from_slice(&piece);
    }
    assert_eq!(received, content);
    timeout(DEADLINE, &mut server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(address(&server)).await.is_err());
}
