use super::*;
use crate::{Manifest, ManifestLimits};
use std::{
    os::unix::fs::{symlink, MetadataExt, PermissionsExt},
    sync::Barrier,
};
use tempfile::TempDir;

fn store() -> (TempDir, LocalStore) {
    let dir = TempDir::new().unwrap();
    let store = LocalStore::open(dir.path().join("store")).unwrap();
    (dir, store)
}

fn tree(root: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root.to_path_buf()
}

/// Files that are neither artifacts nor asked to be kept.
fn leftovers(store: &LocalStore) -> usize {
    entries(&store.staging_dir()).unwrap().len() + entries(&store.root().join("partial")).unwrap().len()
}

fn age(path: &Path, by: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn a_stored_file_is_named_by_its_hash_and_read_only() {
    let (dir, store) = store();
    let path = dir.path().join("model");
    fs::write(&path, vec![7u8; 3 * PIECE_BYTES + 1]).unwrap();
    let id = store.put_file(&path).unwrap();
    assert_eq!(id, ArtifactId::of(&vec![7u8; 3 * PIECE_BYTES + 1]));
    let stored = store.get_path(&id).unwrap();
    assert_eq!(fs::read(&stored).unwrap(), fs::read(&path).unwrap());
    assert_eq!(fs::metadata(&stored).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(store.put_file(&path).unwrap(), id);
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.usage().unwrap().artifact_bytes, 3 * PIECE_BYTES as u64 + 1);
    assert_eq!(leftovers(&store), 0);
    store.verify(&id).unwrap();
    store.remove(&id).unwrap();
    assert!(!store.has(&id));
    assert!(matches!(store.remove(&id), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.get_path(&id), Err(StoreError::NotFound { .. })));
}

#[test]
fn an_empty_file_and_an_empty_folder_are_artifacts() {
    let (dir, store) = store();
    let id = store.put_bytes(b"").unwrap();
    assert_eq!(store.read(&id, 0).unwrap(), b"");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let id = store.put_dir(&empty).unwrap();
    store.materialize_dir(&id, dir.path().join("out"), Materialize::Link).unwrap();
    assert!(dir.path().join("out").is_dir());
}

#[test]
fn a_folder_or_a_missing_file_is_no_file() {
    let (dir, store) = store();
    assert!(matches!(store.put_file(dir.path()), Err(StoreError::WrongKind { found: "a folder", .. })));
    assert!(matches!(store.put_file(dir.path().join("none")), Err(StoreError::Io { .. })));
}

#[test]
fn a_directory_comes_back_as_it_was() {
    let (dir, store) = store();
    let files: &[(&str, &[u8])] = &[("config.json", b"{}"), ("a/b/weights", &[1; 70_000]), ("a/empty", b"")];
    let source = tree(&dir.path().join("source"), files);
    let id = store.put_dir(&source).unwrap();
    assert_eq!(store.put_dir(&source).unwrap(), id);
    for (name, how) in [("linked", Materialize::Link), ("copied", Materialize::Copy)] {
        let dest = dir.path().join("deep").join(name);
        store.materialize_dir(&id, &dest, how).unwrap();
        for (file, bytes) in files {
            assert_eq!(fs::read(dest.join(file)).unwrap(), *bytes);
        }
        assert_eq!(store.put_dir(&dest).unwrap(), id);
        store.materialize_dir(&id, &dest, how).expect("doing it again is no error");
    }
    let config = store.get_path(&ArtifactId::of(b"{}")).unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&config), inode(&dir.path().join("deep/linked/config.json")));
    assert_ne!(inode(&config), inode(&dir.path().join("deep/copied/config.json")));
    fs::write(dir.path().join("deep/copied/config.json"), b"mine").unwrap();
    store.verify(&ArtifactId::of(b"{}")).unwrap();
}

#[test]
fn a_destination_that_holds_something_else_is_left_alone() {
    let (dir, store) = store();
    let id = store.put_dir(tree(&dir.path().join("source"), &[("a", b"1"), ("b", b"2")])).unwrap();
    let cases: &[&[(&str, &[u8])]] =
        &[&[("a", b"1")], &[("a", b"1"), ("b", b"x")], &[("a", b"1"), ("b", b"2"), ("c", b"3")]];
    for (n, files) in cases.iter().enumerate() {
        let dest = tree(&dir.path().join(n.to_string()), files);
        let error = store.materialize_dir(&id, &dest, Materialize::Link).unwrap_err();
        assert!(matches!(error, StoreError::DestinationInUse { .. }), "{error}");
        assert_eq!(entries(&dest).unwrap().len(), files.len());
    }
}

#[test]
fn a_directory_with_a_missing_or_damaged_file_is_not_materialised_at_all() {
    let (dir, store) = store();
    let id = store.put_dir(tree(&dir.path().join("source"), &[("a", b"1"), ("b", b"2")])).unwrap();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let b = ArtifactId::of(b"2");
    let stored = store.get_path(&b).unwrap();
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&stored, b"3").unwrap();
    let error = store.materialize_dir(&id, place.join("out"), Materialize::Link).unwrap_err();
    assert!(matches!(error, StoreError::Mismatch { expected, .. } if expected == b), "{error}");
    assert!(!store.has(&b), "a damaged artifact is not kept");
    let error = store.materialize_dir(&id, place.join("out"), Materialize::Link).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { id } if id == b), "{error}");
    assert_eq!(entries(&place).unwrap().len(), 0);
}

#[test]
fn links_and_special_files_are_refused_by_name() {
    let (dir, store) = store();
    let source = tree(&dir.path().join("source"), &[("a", b"1")]);
    symlink("/etc/passwd", source.join("link")).unwrap();
    let error = store.put_dir(&source).unwrap_err();
    assert!(matches!(&error, StoreError::WrongKind { path, .. } if path.ends_with("link")), "{error}");
    fs::remove_file(source.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    assert!(matches!(store.put_dir(&source), Err(StoreError::WrongKind { .. })));
    fs::remove_file(source.join("socket")).unwrap();
    store.put_dir(&source).unwrap();
}

#[test]
fn a_directory_beyond_the_limits_is_refused() {
    let (dir, store) = store();
    let source = tree(&dir.path().join("source"), &[("a", b"12"), ("b", b"34")]);
    let limits =
        |max_files, max_total_bytes| ManifestLimits { max_files, max_total_bytes, max_manifest_bytes: 4096 };
    assert!(store.put_dir_limited(&source, &limits(1, 100)).is_err());
    assert!(matches!(store.put_dir_limited(&source, &limits(2, 3)), Err(StoreError::TooLarge { .. })));
    store.put_dir_limited(&source, &limits(2, 4)).unwrap();
}

#[test]
fn a_hostile_manifest_writes_nothing_outside_its_destination() {
    let (dir, store) = store();
    let content = store.put_bytes(b"owned").unwrap();
    for path in ["../escaped", "/tmp/attune-escaped", "a/../../escaped"] {
        let text = format!(
            "{{\"format\":\"attune-manifest-1\",\"files\":[{{\"path\":\"{path}\",\"size\":5,\"blake3\":\"{content}\"}}]}}"
        );
        let id = store.put_bytes(text.as_bytes()).unwrap();
        let error = store.materialize_dir(&id, dir.path().join("out"), Materialize::Copy).unwrap_err();
        assert!(matches!(error, StoreError::Manifest { .. }), "{error}");
    }
    assert!(!dir.path().join("escaped").exists() && !dir.path().join("out").exists());
    let lying = Manifest::new(
        vec![crate::ManifestEntry { path: "a".into(), size: 6, blake3: content }],
        &ManifestLimits::default(),
    );
    let id = store.put_bytes(&lying.unwrap().to_bytes()).unwrap();
    assert!(matches!(
        store.materialize_dir(&id, dir.path().join("out"), Materialize::Copy),
        Err(StoreError::Manifest { .. })
    ));
}

#[test]
fn many_writers_of_the_same_content_leave_one_artifact() {
    let (dir, store) = store();
    let path = dir.path().join("file");
    fs::write(&path, vec![9u8; 2 * PIECE_BYTES]).unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let own_handle = LocalStore::open(store.root()).unwrap();
                start.wait();
                let id = own_handle.put_file(&path).unwrap();
                own_handle.verify(&id).unwrap();
            });
        }
    });
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(leftovers(&store), 0);
}

#[test]
fn a_full_disk_says_so_and_leaves_nothing_half_written() {
    let (dir, store) = store();
    let kept = store.put_bytes(b"last checkpoint").unwrap();
    let path = dir.path().join("file");
    fs::write(&path, vec![5u8; 4 * PIECE_BYTES]).unwrap();
    store.fill_disk_after(Some(2 * PIECE_BYTES as u64 + 17));
    let error = store.put_file(&path).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    let source = tree(&dir.path().join("source"), &[("big", &vec![6u8; 4 * PIECE_BYTES])]);
    assert!(matches!(store.put_dir(source), Err(StoreError::DiskFull { .. })));
    let mut part = Incoming::partial(&store, &ArtifactId::of(b"x")).unwrap().unwrap();
    part.write(&vec![1; 2 * PIECE_BYTES]).unwrap();
    assert!(matches!(part.write(&vec![1; PIECE_BYTES]), Err(StoreError::DiskFull { .. })));
    drop(part);
    assert_eq!(leftovers(&store), 0);
    assert_eq!(store.list().unwrap().iter().map(|a| a.id).collect::<Vec<_>>(), [kept]);
    store.verify(&kept).unwrap();
    store.fill_disk_after(None);
    store.put_file(&path).expect("with room again it works");
}

#[test]
fn room_is_checked_before_a_transfer() {
    let (_dir, store) = store();
    store.check_room(1, 0).unwrap();
    let error = store.check_room(u64::MAX - 1, 0).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { free_bytes: Some(_), .. }), "{error}");
    assert!(store.check_room(0, u64::MAX).is_err());
}

#[test]
fn a_damaged_artifact_is_found_and_removed() {
    let (_dir, store) = store();
    let id = store.put_bytes(b"right").unwrap();
    let path = store.get_path(&id).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, b"wrong").unwrap();
    assert!(matches!(store.read(&id, 100), Err(StoreError::Mismatch { .. })));
    assert!(!store.has(&id));
    assert_eq!(store.put_bytes(b"right").unwrap(), id);
    store.verify(&id).unwrap();
}

#[test]
fn a_read_is_bounded() {
    let (_dir, store) = store();
    let id = store.put_bytes(b"12345").unwrap();
    assert!(matches!(store.read(&id, 4), Err(StoreError::TooLarge { found_bytes: 5, .. })));
    assert_eq!(store.read(&id, 5).unwrap(), b"12345");
}

#[test]
fn what_a_crashed_writer_left_is_cleared_and_a_live_writer_is_not() {
    let (_dir, store) = store();
    let crashed = store.staging_dir().join("in-crashed");
    let fresh = store.staging_dir().join("in-fresh");
    let old_part = store.part_path(&ArtifactId::of(b"old"));
    let young_part = store.part_path(&ArtifactId::of(b"young"));
    for path in [&crashed, &fresh, &old_part, &young_part] {
        fs::write(path, b"half").unwrap();
    }
    let mut live = Incoming::staged(&store).unwrap();
    live.write(b"live").unwrap();
    let live_path =
        entries(&store.staging_dir()).unwrap().into_iter().find(|p| *p != crashed && *p != fresh).unwrap();
    age(&crashed, STALE_STAGING * 2);
    age(&live_path, STALE_STAGING * 2);
    age(&old_part, STALE_PARTIAL * 2);
    age(&young_part, STALE_PARTIAL / 2);
    LocalStore::open(store.root()).unwrap();
    assert!(!crashed.exists() && !old_part.exists());
    assert!(fresh.exists() && young_part.exists() && live_path.exists());
    live.commit(&store, &ArtifactId::of(b"live"), "a test").unwrap();
}

#[test]
fn a_partial_download_goes_on_and_has_one_writer() {
    let (_dir, store) = store();
    let id = ArtifactId::of(b"hello world");
    let mut part = Incoming::partial(&store, &id).unwrap().unwrap();
    part.write(b"hello ").unwrap();
    assert!(Incoming::partial(&store, &id).unwrap().is_none(), "it is held");
    drop(part);
    let mut part = Incoming::partial(&store, &id).unwrap().unwrap();
    assert_eq!(part.len(), 6);
    part.write(b"world").unwrap();
    part.commit(&store, &id, "a test").unwrap();
    assert_eq!(store.read(&id, 100).unwrap(), b"hello world");
    assert_eq!(leftovers(&store), 0);
}

#[test]
fn wrong_bytes_never_get_a_name() {
    let (_dir, store) = store();
    let id = ArtifactId::of(b"right");
    let mut part = Incoming::partial(&store, &id).unwrap().unwrap();
    part.write(b"wrong").unwrap();
    assert!(matches!(part.commit(&store, &id, "a test"), Err(StoreError::Mismatch { .. })));
    assert!(!store.has(&id));
    assert_eq!(leftovers(&store), 0);
    let mut part = Incoming::partial(&store, &id).unwrap().unwrap();
    part.write(b"wrong").unwrap();
    part.restart().unwrap();
    part.write(b"right").unwrap();
    part.commit(&store, &id, "a test").unwrap();
}
