//! Artifacts on local disk.
//!
//! ```text
//! root/objects/ab/abcd…   finished artifacts, read-only, named by their hash
//! root/staging/…          writes under way; whatever is here after a crash is rubbish
//! root/partial/abcd….part interrupted downloads, kept so that they can go on
//! ```
//!
//! A file under `objects` is complete: bytes go to `staging` or `partial`, are hashed on the way, synced, and only then
//! renamed. Two writers of the same content each write their own file and the last rename wins with equal bytes. Several
//! processes may share a root; who writes a file holds its lock, so that nobody clears it away.
//!
//! All calls block on the disk. In async code run them through `tokio::task::spawn_blocking`.

mod incoming;
mod tree;

pub(crate) use incoming::Incoming;
pub use tree::Materialize;

use crate::{ArtifactId, StoreError};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Reads and writes go in pieces of this many bytes.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;
/// A staging file whose writer is gone is cleared after this time.
const STALE_STAGING: Duration = Duration::from_secs(60);
/// An interrupted download that nobody went on with is cleared after this time.
const STALE_PARTIAL: Duration = Duration::from_secs(7 * 24 * 3600);

/// One stored artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactInfo {
    /// Its name.
    pub id: ArtifactId,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored.
    pub stored_at: SystemTime,
}

/// What a store takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// Finished artifacts.
    pub artifacts: u64,
    /// Their bytes. Hard links from materialised directories share them.
    pub artifact_bytes: u64,
    /// Bytes of interrupted downloads and writes under way.
    pub unfinished_bytes: u64,
    /// Bytes that the file system still has for this user.
    pub free_bytes: u64,
}

/// A folder of artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Test only: bytes after which every write meets a full disk.
    #[cfg(test)]
    disk_full_after: std::sync::Mutex<Option<u64>>,
}

impl LocalStore {
    /// Opens or makes a store, and clears what crashed writers left behind.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::DiskFull`] if the folders cannot be made.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let given = root.as_ref();
        make_dir(given)?;
        let root = given.canonicalize().map_err(|e| StoreError::io("resolve", given, e))?;
        for name in ["objects", "staging", "partial"] {
            make_dir(&root.join(name))?;
        }
        let store = Self {
            inner: Arc::new(Inner {
                root,
                #[cfg(test)]
                disk_full_after: std::sync::Mutex::new(None),
            }),
        };
        clear_stale(&store.staging_dir(), STALE_STAGING)?;
        clear_stale(&store.inner.root.join("partial"), STALE_PARTIAL)?;
        Ok(store)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Stores a copy of a file. Storing what is there already writes nothing.
    ///
    /// # Errors
    /// [`StoreError::WrongKind`] if it is no regular file, [`StoreError::SourceChanged`] if something writes to it
    /// meanwhile, [`StoreError::DiskFull`].
    pub fn put_file(&self, path: impl AsRef<Path>) -> Result<ArtifactId, StoreError> {
        let path = path.as_ref();
        // Opening a pipe would wait for its writer, so look first.
        if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return Err(no_file(path));
        }
        let file = File::open(path).map_err(|e| StoreError::io("open", path, e))?;
        self.put_open_file(path, file).map(|(id, _)| id)
    }

    /// Stores bytes.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<ArtifactId, StoreError> {
        let id = ArtifactId::of(bytes);
        if !self.has(&id) {
            let mut incoming = Incoming::staged(self)?;
            incoming.write(bytes)?;
            incoming.commit(self, &id, "memory")?;
        }
        Ok(id)
    }

    /// Hashes first and copies only what is new, so that storing again needs no room.
    pub(crate) fn put_open_file(&self, path: &Path, mut file: File) -> Result<(ArtifactId, u64), StoreError> {
        let reading = |e| StoreError::io("read", path, e);
        if !file.metadata().map_err(reading)?.is_file() {
            return Err(no_file(path));
        }
        let (id, size) = hash_reader(&mut file).map_err(reading)?;
        if self.has(&id) {
            return Ok((id, size));
        }
        file.seek(SeekFrom::Start(0)).map_err(reading)?;
        let mut incoming = Incoming::staged(self)?;
        let mut piece = vec![0u8; PIECE_BYTES];
        loop {
            let n = read_piece(&mut file, &mut piece).map_err(reading)?;
            if n == 0 {
                break;
            }
            if incoming.len() + n as u64 > size {
                return Err(StoreError::SourceChanged { path: path.to_path_buf() });
            }
            incoming.write(&piece[..n])?;
        }
        match incoming.commit(self, &id, "a file") {
            Err(StoreError::Mismatch { .. }) => Err(StoreError::SourceChanged { path: path.to_path_buf() }),
            other => other.map(|()| (id, size)),
        }
    }

    /// Whether the artifact is stored.
    pub fn has(&self, id: &ArtifactId) -> bool {
        self.object_path(id).is_file()
    }

    /// The stored file. It is read-only and must stay so; it lives until [`LocalStore::remove`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn get_path(&self, id: &ArtifactId) -> Result<PathBuf, StoreError> {
        let path = self.object_path(id);
        if path.is_file() {
            Ok(path)
        } else {
            Err(StoreError::NotFound { id: *id })
        }
    }

    /// Opens an artifact for reading and gives its length in bytes. The open file outlives a `remove`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn open_artifact(&self, id: &ArtifactId) -> Result<(File, u64), StoreError> {
        let path = self.object_path(id);
        let opened = File::open(&path).and_then(|file| file.metadata().map(|m| (file, m.len())));
        opened.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound { id: *id },
            _ => StoreError::io("open", &path, e),
        })
    }

    /// Reads a small artifact whole and checks its hash.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above `max_bytes`; as [`LocalStore::verify`] for bytes that changed on disk.
    pub fn read(&self, id: &ArtifactId, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let (file, size) = self.open_artifact(id)?;
        if size > max_bytes {
            return Err(StoreError::TooLarge {
                what: format!("artifact {id}"),
                max_bytes,
                found_bytes: size,
            });
        }
        let mut bytes = Vec::new();
        file.take(size)
            .read_to_end(&mut bytes)
            .map_err(|e| StoreError::io("read", &self.object_path(id), e))?;
        match ArtifactId::of(&bytes) {
            found if found == *id => Ok(bytes),
            found => Err(self.drop_damaged(id, found)),
        }
    }

    /// Reads an artifact back from disk and checks its hash.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the disk no longer holds the right bytes. The damaged file is removed, so that it is
    /// neither served nor used and can be fetched again.
    pub fn verify(&self, id: &ArtifactId) -> Result<(), StoreError> {
        let (mut file, _) = self.open_artifact(id)?;
        let (found, _) =
            hash_reader(&mut file).map_err(|e| StoreError::io("read", &self.object_path(id), e))?;
        if found == *id {
            return Ok(());
        }
        Err(self.drop_damaged(id, found))
    }

    fn drop_damaged(&self, id: &ArtifactId, found: ArtifactId) -> StoreError {
        let path = self.object_path(id);
        tracing::error!(%id, %found, path = %path.display(), "a stored artifact is damaged; removing it");
        let _ = fs::remove_file(&path);
        StoreError::Mismatch { expected: *id, found, origin: format!("the disk ({})", path.display()) }
    }

    /// Removes one artifact. Of a directory it removes the manifest alone: its files may belong to others too, name
    /// them one by one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        let path = self.object_path(id);
        fs::remove_file(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound { id: *id },
            _ => StoreError::io("remove", &path, e),
        })
    }

    /// All finished artifacts, in the order of their ids.
    pub fn list(&self) -> Result<Vec<ArtifactInfo>, StoreError> {
        let mut found = Vec::new();
        for shelf in entries(&self.inner.root.join("objects"))? {
            for path in entries(&shelf)? {
                let id = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
                // A file may be removed between being listed and being looked at.
                if let (Some(id), Ok(metadata)) = (id, fs::metadata(&path)) {
                    let stored_at = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push(ArtifactInfo { id, size: metadata.len(), stored_at });
                }
            }
        }
        found.sort_by_key(|info| info.id);
        Ok(found)
    }

    /// Counts artifacts and bytes.
    pub fn usage(&self) -> Result<DiskUsage, StoreError> {
        let artifacts = self.list()?;
        let mut unfinished_bytes = 0;
        for dir in [self.staging_dir(), self.inner.root.join("partial")] {
            for path in entries(&dir)? {
                unfinished_bytes += fs::metadata(path).map_or(0, |m| m.len());
            }
        }
        Ok(DiskUsage {
            artifacts: artifacts.len() as u64,
            artifact_bytes: artifacts.iter().map(|a| a.size).sum(),
            unfinished_bytes,
            free_bytes: free_bytes(&self.inner.root)
                .map_err(|e| StoreError::io("measure", &self.inner.root, e))?,
        })
    }

    /// Fails early if `needed_bytes` more would leave less than `reserve_bytes` free.
    pub(crate) fn check_room(&self, needed_bytes: u64, reserve_bytes: u64) -> Result<(), StoreError> {
        let root = &self.inner.root;
        let free = free_bytes(root).map_err(|e| StoreError::io("measure", root, e))?;
        if needed_bytes.saturating_add(reserve_bytes) > free {
            let needed_bytes = needed_bytes.saturating_add(reserve_bytes);
            return Err(StoreError::DiskFull { path: root.clone(), needed_bytes, free_bytes: Some(free) });
        }
        Ok(())
    }

    fn object_path(&self, id: &ArtifactId) -> PathBuf {
        let name = id.to_string();
        self.inner.root.join("objects").join(&name[..2]).join(name)
    }

    fn staging_dir(&self) -> PathBuf {
        self.inner.root.join("staging")
    }

    fn part_path(&self, id: &ArtifactId) -> PathBuf {
        self.inner.root.join("partial").join(format!("{id}.part"))
    }

    #[cfg(test)]
    pub(crate) fn fill_disk_after(&self, bytes: Option<u64>) {
        *self.inner.disk_full_after.lock().unwrap() = bytes;
    }
}

fn no_file(path: &Path) -> StoreError {
    StoreError::WrongKind {
        path: path.to_path_buf(),
        expected: "a regular file",
        found: if path.is_dir() { "a folder" } else { "something else" },
        fix: "name a file, or store a folder as a directory",
    }
}

/// Bytes that the file system of `path` has left for this user.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Runs file work on the threads that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(StoreError::Stopped(stopped.to_string())),
    }
}

/// Fills `piece` as far as the source goes; 0 only at its end.
fn read_piece(source: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match source.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Hash and length of the rest of a file.
fn hash_reader(source: &mut impl Read) -> io::Result<(ArtifactId, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0u8; PIECE_BYTES];
    loop {
        match read_piece(source, &mut piece)? {
            0 => return Ok((ArtifactId::from(*hasher.finalize().as_bytes()), hasher.count())),
            n => hasher.update(&piece[..n]),
        };
    }
}

/// Makes a folder that only this user reads: data sets in it are private.
fn make_dir(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| StoreError::io("make the folder", path, e))
}

/// Makes a rename or a new name in a folder survive a power cut.
fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| StoreError::io("sync", path, e))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let reading = |e| StoreError::io("list", dir, e);
    fs::read_dir(dir).map_err(reading)?.map(|entry| entry.map(|e| e.path()).map_err(reading)).collect()
}

/// Removes files that nobody has locked and nobody wrote to for `age`.
fn clear_stale(dir: &Path, age: Duration) -> Result<(), StoreError> {
    for path in entries(dir)? {
        let Ok(file) = File::open(&path) else { continue };
        let old = file
            .metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|past| past >= age));
        if old && file.try_lock().is_ok() {
            tracing::info!(path = %path.display(), "clearing what an interrupted writer left");
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
