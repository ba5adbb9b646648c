//! A real file system that is full. Mounting a small one needs root; the same rule is held without root by the store's
//! unit tests, which make writes fail as a full disk does.

mod common;

use attune_store::{ArtifactId, FetchLimits, Fetcher, LocalStore, Signer, StoreError};
use common::*;
use reqwest::Method;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    slice::from_ref,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const DISK_BYTES: usize = 4 << 20;

/// A file system of 4 MiB, unmounted on drop.
struct SmallDisk {
    mount: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mount = dir.path().join("disk");
        fs::create_dir(&mount).unwrap();
        let options = format!("size={DISK_BYTES},mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&mount).output();
        if done.is_ok_and(|out| out.status.success()) {
            return Some(Self { mount, _dir: dir });
        }
        eprintln!("skipped: mounting a small tmpfs needs root");
        None
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(self.mount.join("store")).unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

fn assert_says_full(error: &StoreError) {
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
}

fn assert_holds_only(store: &LocalStore, kept: &ArtifactId) {
    assert_eq!(store.list().unwrap().iter().map(|a| a.id).collect::<Vec<_>>(), [*kept]);
    assert_eq!(store.usage().unwrap().unfinished_bytes, 0);
    store.verify(kept).unwrap();
}

fn big_file(dir: &Path) -> PathBuf {
    let path = dir.join("big");
    fs::write(&path, bytes(DISK_BYTES + 1, 1)).unwrap();
    path
}

#[test]
fn a_put_on_a_full_disk_says_so_and_keeps_what_was_there() {
    let Some(disk) = SmallDisk::mount() else { return };
    let outside = TempDir::new().unwrap();
    let store = disk.store();
    let kept = store.put_bytes(&bytes(1 << 20, 0)).unwrap();
    assert_says_full(&store.put_file(big_file(outside.path())).unwrap_err());
    assert_holds_only(&store, &kept);
    assert_says_full(&store.put_dir(outside.path()).unwrap_err());
    assert_holds_only(&store, &kept);
    let copied = store.put_dir({
        let small = outside.path().join("small");
        fs::create_dir(&small).unwrap();
        fs::write(small.join("a"), bytes(2 << 20, 3)).unwrap();
        small
    });
    let error = store
        .materialize_dir(&copied.unwrap(), disk.mount.join("out"), attune_store::Materialize::Copy)
        .unwrap_err();
    assert_says_full(&error);
    assert!(!disk.mount.join("out").exists());
    assert_eq!(fs::read_dir(&disk.mount).unwrap().count(), 1, "nothing but the store is left");
}

#[tokio::test]
async fn a_fetch_to_a_full_disk_says_so_and_keeps_what_was_there() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.store();
    let kept = store.put_bytes(b"last checkpoint").unwrap();
    let server = Server::start().await;
    let id = server.offer(&bytes(DISK_BYTES - 100_000, 1));
    let fetcher =
        Fetcher::new(store.clone(), customer(), FetchLimits { reserve_bytes: 0, ..fetch_limits() }).unwrap();
    // Room is there when the download starts, and is taken by somebody else meanwhile.
    let fill = disk.mount.join("other");
    let progress = |_| {
        let _ = fs::write(&fill, bytes(DISK_BYTES, 2));
    };
    let error = fetcher.fetch(&id, from_ref(&server.url), 1 << 30, &progress).await.unwrap_err();
    assert_says_full(&error);
    assert_holds_only(&store, &kept);
    fs::remove_file(&fill).unwrap();
    // A test beside this one that starts a program holds all files for a moment, removed ones as well.
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = fetcher.fetch(&id, from_ref(&server.url), 1 << 30, &quiet).await {
        assert!(Instant::now() < deadline, "with room again it works: {error}");
        assert_says_full(&error);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_upload_to_a_full_disk_is_a_507() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.store();
    let kept = store.put_bytes(b"last checkpoint").unwrap();
    let server = Server::over(TempDir::new().unwrap(), store.clone(), test_limits()).await;
    let content = bytes(DISK_BYTES, 3);
    let id = ArtifactId::of(&content);
    server.grants.allow_write(customer().account(), id, 1 << 30).unwrap();
    let response = server.request(Method::PUT, &id).body(content).send().await.unwrap();
    assert_eq!(response.status(), 507);
    assert_holds_only(&store, &kept);
}
