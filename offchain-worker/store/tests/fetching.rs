//! What a fetcher promises, against real servers and against peers that misbehave.

mod common;

use attune_store::{
    ArtifactId, FetchLimits, Fetcher, LocalStore, Manifest, ManifestEntry, ManifestLimits, Progress, Signer,
    StoreError, Url,
};
use common::*;
use std::{
    collections::BTreeSet,
    fs,
    slice::from_ref,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::io::AsyncWriteExt;

const MANY: u64 = 1 << 30;

#[tokio::test]
async fn an_artifact_makes_the_round_trip() {
    let server = Server::start().await;
    let content = bytes(1_500_000, 0);
    let id = server.offer(&content);
    let (_dir, fetcher) = new_fetcher();
    let seen = Mutex::new(Vec::new());
    let path =
        fetcher.fetch(&id, from_ref(&server.url), MANY, &|p| seen.lock().unwrap().push(p)).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    let seen = seen.into_inner().unwrap();
    assert!(seen.windows(2).all(|w| w[0].done_bytes < w[1].done_bytes), "progress grows: {seen:?}");
    assert_eq!(*seen.last().unwrap(), Progress { id, done_bytes: 1_500_000, total_bytes: 1_500_000 });
    assert_eq!(fetcher.fetch(&id, &[], MANY, &quiet).await.unwrap(), path, "what is stored needs no peer");
    assert_eq!(fetcher.store().usage().unwrap().unfinished_bytes, 0);
}

#[tokio::test]
async fn an_empty_artifact_makes_the_round_trip() {
    let server = Server::start().await;
    let id = server.offer(b"");
    let (_dir, fetcher) = new_fetcher();
    let path = fetcher.fetch(&id, from_ref(&server.url), 0, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), b"");
}

fn a_directory(server: &Server) -> (ArtifactId, Vec<(&'static str, Vec<u8>)>) {
    let files =
        vec![("config.json", b"{}".to_vec()), ("w/a.bin", bytes(400_000, 1)), ("w/b.bin", bytes(7, 2))];
    let source = server.dir.path().join("source");
    for (name, content) in &files {
        let path = source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    (server.store.put_dir(source).unwrap(), files)
}

#[tokio::test]
async fn a_directory_makes_the_round_trip() {
    let server = Server::start().await;
    let (id, files) = a_directory(&server);
    server.grants.allow_read(customer().account(), id).unwrap();
    let (dir, fetcher) = new_fetcher();
    let dest = dir.path().join("model");
    let last = Mutex::new(None);
    fetcher
        .fetch_dir(&id, from_ref(&server.url), &ManifestLimits::default(), &dest, &|p| {
            *last.lock().unwrap() = Some(p);
        })
        .await
        .unwrap();
    for (name, content) in files {
        assert_eq!(fs::read(dest.join(name)).unwrap(), content);
    }
    let last = last.into_inner().unwrap().unwrap();
    assert_eq!((last.done_bytes, last.total_bytes), (400_009, 400_009));
}

#[tokio::test]
async fn a_directory_is_gathered_from_peers_that_hold_parts_of_it() {
    let (one, two) = (Server::start().await, Server::start().await);
    let (id, _) = a_directory(&one);
    a_directory(&two);
    for server in [&one, &two] {
        server.grants.allow_read(customer().account(), id).unwrap();
    }
    one.store.remove(&ArtifactId::of(&bytes(400_000, 1))).unwrap();
    two.store.remove(&ArtifactId::of(b"{}")).unwrap();
    let (dir, fetcher) = new_fetcher();
    let peers = [one.url.clone(), two.url.clone()];
    let dest = dir.path().join("model");
    fetcher.fetch_dir(&id, &peers, &ManifestLimits::default(), &dest, &quiet).await.unwrap();
    assert_eq!(fs::read(dest.join("w/a.bin")).unwrap(), bytes(400_000, 1));
}

#[tokio::test]
async fn a_hostile_manifest_is_refused_before_its_files_are_asked_for() {
    let content = ArtifactId::of(b"x");
    let text = format!(
        "{{\"format\":\"attune-manifest-1\",\"files\":[{{\"path\":\"../../escaped\",\"size\":1,\"blake3\":\"{content}\"}}]}}"
    );
    let id = ArtifactId::of(text.as_bytes());
    let peer = RawPeer::with_bytes(text.into_bytes()).await;
    let (dir, fetcher) = new_fetcher();
    let dest = dir.path().join("a/b/out");
    let error = fetcher
        .fetch_dir(&id, from_ref(&peer.url), &ManifestLimits::default(), &dest, &quiet)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Manifest { .. }), "{error}");
    assert_eq!(peer.count(), 1);
    assert!(!dir.path().join("a").exists());
}

#[tokio::test]
async fn a_file_larger_than_its_manifest_says_is_refused_unread() {
    let peer_content = bytes(100_000, 3);
    let id = ArtifactId::of(&peer_content);
    let manifest = Manifest::new(
        vec![ManifestEntry { path: "a".into(), size: 10, blake3: id }],
        &ManifestLimits::default(),
    );
    let (dir, fetcher) = new_fetcher();
    let root = fetcher.store().put_bytes(&manifest.unwrap().to_bytes()).unwrap();
    let peer = RawPeer::with_bytes(peer_content).await;
    let error = fetcher
        .fetch_dir(&root, from_ref(&peer.url), &ManifestLimits::default(), dir.path().join("out"), &quiet)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("at most 10 are accepted"), "{error}");
    assert_eq!(fetcher.store().usage().unwrap().unfinished_bytes, 0);
}

/// A peer that closes each connection after `step` bytes of what is left.
async fn breaking_peer(content: Vec<u8>, step: usize) -> RawPeer {
    let content = Arc::new(content);
    RawPeer::start(move |_, head, mut stream| {
        let content = content.clone();
        async move {
            let (from, size) = (range_start(&head), content.len());
            let head = match from {
                0 => format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"),
                _ => format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{size}\r\n\r\n",
                    size - from,
                    size - 1
                ),
            };
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&content[from..size.min(from + step)]).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_interrupted_transfer_goes_on_where_it_ended() {
    let content = bytes(1_000_000, 4);
    let id = ArtifactId::of(&content);
    let peer = breaking_peer(content.clone(), 300_000).await;
    let (_dir, fetcher) = new_fetcher();
    let path = fetcher.fetch(&id, from_ref(&peer.url), MANY, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    let starts: Vec<usize> = peer.requests.lock().unwrap().iter().map(|head| range_start(head)).collect();
    assert_eq!(starts, [0, 300_000, 600_000, 900_000]);
}

#[tokio::test]
async fn a_later_process_goes_on_where_an_earlier_one_was_killed() {
    let content = bytes(1_000_000, 5);
    let id = ArtifactId::of(&content);
    let (_dir, fetcher) = new_fetcher();
    let peer = breaking_peer(content.clone(), 400_000).await;
    let once = FetchLimits { rounds: 1, min_bytes_per_window: u64::MAX, ..fetch_limits() };
    let first = Fetcher::new(fetcher.store().clone(), customer(), once).unwrap();
    let error = first.fetch(&id, from_ref(&peer.url), MANY, &quiet).await.unwrap_err();
    assert!(error.to_string().contains("400000 of 1000000"), "{error}");
    drop((first, peer));
    let reopened = LocalStore::open(fetcher.store().root()).unwrap();
    assert_eq!(reopened.usage().unwrap().unfinished_bytes, 400_000);
    let second = Fetcher::new(reopened, customer(), fetch_limits()).unwrap();
    let server = Server::start().await;
    server.offer(&content);
    let seen = Mutex::new(Vec::new());
    let path = second
        .fetch(&id, from_ref(&server.url), MANY, &|p| seen.lock().unwrap().push(p.done_bytes))
        .await
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert!(seen.into_inner().unwrap().iter().all(|done| *done > 400_000), "nothing is fetched twice");
}

#[tokio::test]
async fn a_server_that_stops_mid_way_is_replaced_by_the_next_peer() {
    let content = bytes(2_000_000, 6);
    let id = ArtifactId::of(&content);
    let broken = breaking_peer(content.clone(), 700_000).await;
    let good = Server::start().await;
    good.offer(&content);
    let (_dir, fetcher) = new_fetcher();
    let peers = [broken.url.clone(), good.url.clone()];
    let path = fetcher.fetch(&id, &peers, MANY, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert_eq!(broken.count(), 1);
    assert!(fetcher.bad_peers().is_empty(), "breaking off is no lie");
}

#[tokio::test]
async fn a_corrupted_peer_is_refused_reported_and_the_next_one_used() {
    let content = bytes(500_000, 7);
    let mut wrong = content.clone();
    wrong[250_000] ^= 1;
    let (id, found) = (ArtifactId::of(&content), ArtifactId::of(&wrong));
    let corrupted = RawPeer::with_bytes(wrong).await;
    let good = Server::start().await;
    good.offer(&content);
    let (_dir, fetcher) = new_fetcher();
    let peers = [corrupted.url.clone(), good.url.clone()];
    let path = fetcher.fetch(&id, &peers, MANY, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    let bad = fetcher.bad_peers();
    assert_eq!(bad.len(), 1);
    assert_eq!((&bad[0].peer, bad[0].asked, bad[0].found), (&corrupted.url, id, found));
    assert_eq!(corrupted.count(), 1);

    let other = good.offer(b"another artifact");
    fetcher.fetch(&other, &peers, MANY, &quiet).await.unwrap();
    assert_eq!(corrupted.count(), 1, "a proven bad peer is asked last");
}

#[tokio::test]
async fn with_only_corrupted_peers_nothing_is_stored() {
    let id = ArtifactId::of(b"what was asked for");
    let peer = RawPeer::with_bytes(b"what was sent".to_vec()).await;
    let (_dir, fetcher) = new_fetcher();
    let error = fetcher.fetch(&id, from_ref(&peer.url), MANY, &quiet).await.unwrap_err();
    let StoreError::NoPeer { failures, .. } = &error else { panic!("{error}") };
    assert!(failures[0].reason.contains("wrong bytes"), "{error}");
    assert!(!fetcher.store().has(&id));
    assert_eq!(fetcher.store().usage().unwrap().unfinished_bytes, 0);
}

#[tokio::test]
async fn a_good_peer_is_not_blamed_for_the_wrong_beginning_of_another() {
    let content = bytes(600_000, 8);
    let mut wrong = content.clone();
    wrong[5] ^= 1;
    let id = ArtifactId::of(&content);
    // The liar sends a wrong beginning and goes away; the good one would only complete it.
    let liar = breaking_peer(wrong, 200_000).await;
    let good = Server::start().await;
    good.offer(&content);
    let (_dir, fetcher) = new_fetcher();
    let path = fetcher.fetch(&id, &[liar.url.clone(), good.url.clone()], MANY, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert!(fetcher.bad_peers().is_empty(), "{:?}", fetcher.bad_peers());
}

#[tokio::test]
async fn a_wrong_partial_file_of_an_earlier_run_does_not_stop_a_fetch() {
    let content = bytes(10_000, 9);
    let server = Server::start().await;
    let id = server.offer(&content);
    for rubbish in [vec![1u8; 10_000], vec![1; 400], vec![1; 30_000]] {
        let (_dir, fetcher) = new_fetcher();
        fs::write(fetcher.store().root().join("partial").join(format!("{id}.part")), rubbish).unwrap();
        let path = fetcher.fetch(&id, from_ref(&server.url), MANY, &quiet).await.unwrap();
        assert_eq!(fs::read(path).unwrap(), content);
        assert!(fetcher.bad_peers().is_empty());
    }
}

#[tokio::test]
async fn a_finished_partial_file_needs_no_peer() {
    let content = bytes(10_000, 10);
    let id = ArtifactId::of(&content);
    let (_dir, fetcher) = new_fetcher();
    fs::write(fetcher.store().root().join("partial").join(format!("{id}.part")), &content).unwrap();
    let nobody = Url::parse("http://127.0.0.1:1").unwrap();
    let path = fetcher.fetch(&id, &[nobody], MANY, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
}

#[tokio::test]
async fn a_silent_or_trickling_peer_is_left_for_the_next_in_time() {
    let content = bytes(300_000, 11);
    let id = ArtifactId::of(&content);
    let silent = RawPeer::start(|_, _, stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let sent = content.clone();
    let trickling = RawPeer::start(move |_, _, mut stream| {
        let sent = sent.clone();
        async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len());
            let _ = stream.write_all(head.as_bytes()).await;
            for byte in sent {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    })
    .await;
    let good = Server::start().await;
    good.offer(&content);
    let (_dir, fetcher) = new_fetcher();
    let start = Instant::now();
    let peers = [silent.url.clone(), trickling.url.clone(), good.url.clone()];
    let path = fetcher.fetch(&id, &peers, MANY, &quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!((silent.count(), trickling.count()), (1, 1));
}

#[tokio::test]
async fn a_peer_that_lies_about_length_or_range_is_left_for_the_next() {
    let content = bytes(50_000, 12);
    let id = ArtifactId::of(&content);
    let answers: [&'static str; 5] = [
        "HTTP/1.1 200 OK\r\ncontent-length: 999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nabc",
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 5-6/7\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/9.9 what\r\n\r\n",
    ];
    for answer in answers {
        let liar = RawPeer::start(move |_, _, mut stream| async move {
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let good = Server::start().await;
        good.offer(&content);
        let (_dir, fetcher) = new_fetcher();
        let path = fetcher.fetch(&id, &[liar.url.clone(), good.url.clone()], 60_000, &quiet).await.unwrap();
        assert_eq!(fs::read(path).unwrap(), content, "{answer}");
    }
}

#[tokio::test]
async fn retries_are_bounded_and_every_peer_gets_a_reason() {
    let failing = RawPeer::start(|_, _, mut stream| async move {
        let _ =
            stream.write_all(b"HTTP/1.1 503 Busy\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let missing = RawPeer::start(|_, _, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\n\x1b[2J").await;
    })
    .await;
    let (_dir, fetcher) = new_fetcher();
    let id = ArtifactId::of(b"nowhere");
    let unusable = Url::parse("https://127.0.0.1:1").unwrap();
    let peers = [failing.url.clone(), missing.url.clone(), unusable.clone()];
    let error = fetcher.fetch(&id, &peers, MANY, &quiet).await.unwrap_err();
    let StoreError::NoPeer { failures, .. } = &error else { panic!("{error}") };
    assert!(failures[0].reason.contains("503") && failures[1].reason.contains("404"), "{error}");
    assert!(!error.to_string().contains('\x1b'), "a stranger's text cannot drive a terminal");
    assert_eq!((failing.count(), missing.count()), (2, 1));
    let error = fetcher.fetch(&id, &[unusable], MANY, &quiet).await.unwrap_err();
    assert!(matches!(error, StoreError::InvalidPeer { .. }), "{error}");
    let error = fetcher.fetch(&id, &[], MANY, &quiet).await.unwrap_err();
    assert!(matches!(error, StoreError::NoPeer { .. }), "{error}");
}

#[tokio::test]
async fn two_fetches_of_one_artifact_share_one_download() {
    let content = bytes(800_000, 13);
    let id = ArtifactId::of(&content);
    let peer = RawPeer::with_bytes(content.clone()).await;
    let (_dir, fetcher) = new_fetcher();
    let peers = [peer.url.clone()];
    let all = (0..6).map(|_| fetcher.fetch(&id, &peers, MANY, &quiet));
    let paths: Result<BTreeSet<_>, _> = futures::future::join_all(all).await.into_iter().collect();
    assert_eq!(paths.unwrap().len(), 1);
    assert_eq!(peer.count(), 1);
}

#[tokio::test]
async fn a_download_larger_than_the_disk_is_refused_before_it_starts() {
    let server = Server::start().await;
    let id = server.offer(&bytes(1000, 14));
    let (_dir, fetcher) = new_fetcher();
    let greedy = FetchLimits { reserve_bytes: u64::MAX / 2, ..fetch_limits() };
    let fetcher = Fetcher::new(fetcher.store().clone(), customer(), greedy).unwrap();
    let error = fetcher.fetch(&id, from_ref(&server.url), MANY, &quiet).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
}

#[tokio::test]
async fn an_upload_makes_the_round_trip_and_is_not_sent_twice() {
    let server = Server::start().await;
    let (dir, fetcher) = new_fetcher();
    let source = dir.path().join("data");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("train.bin"), bytes(900_000, 15)).unwrap();
    fs::write(source.join("test.bin"), bytes(90_000, 16)).unwrap();
    let id = fetcher.store().put_dir(&source).unwrap();
    let refused = fetcher.push_dir(&id, &server.url, &quiet).await.unwrap_err();
    assert!(matches!(refused, StoreError::PushRefused { .. }), "{refused}");
    assert!(refused.to_string().contains("no job of this account"), "{refused}");
    server.grants.allow_write(customer().account(), id, 1_000_000).unwrap();
    let done = Mutex::new(0);
    fetcher.push_dir(&id, &server.url, &|p| *done.lock().unwrap() = p.done_bytes).await.unwrap();
    assert_eq!(*done.lock().unwrap(), 990_000);
    let out = server.dir.path().join("out");
    server.store.materialize_dir(&id, &out, Default::default()).unwrap();
    assert_eq!(fs::read(out.join("train.bin")).unwrap(), bytes(900_000, 15));
    let before = server.store.list().unwrap();
    fetcher.push_dir(&id, &server.url, &quiet).await.unwrap();
    assert_eq!(server.store.list().unwrap(), before);
}

#[tokio::test]
async fn an_upload_that_nobody_takes_ends_with_a_reason() {
    let (_dir, fetcher) = new_fetcher();
    let id = fetcher.store().put_bytes(&bytes(3_000_000, 17)).unwrap();
    let silent = RawPeer::start(|_, _, stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let error = fetcher.push(&id, &silent.url, &quiet).await.unwrap_err();
    assert!(matches!(&error, StoreError::PushRefused { .. }), "{error}");
    let error = fetcher.push(&ArtifactId::of(b"none"), &silent.url, &quiet).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_large_upload_hears_why() {
    let server = Server::start().await;
    let (_dir, fetcher) = new_fetcher();
    let id = fetcher.store().put_bytes(&bytes(32 << 20, 18)).unwrap();
    for _ in 0..20 {
        let error = fetcher.push(&id, &server.url, &quiet).await.unwrap_err();
        assert!(error.to_string().contains("no job of this account"), "{error}");
    }
}
