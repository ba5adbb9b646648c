//! Bytes on their way into the store.

use super::{hash_reader, make_dir, sync_dir, LocalStore};
use crate::{ArtifactId, StoreError};
use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A file that is being written aside and hashed on the way. Dropped without [`Incoming::commit`], a staged one is
/// removed; a partial download stays so that it can go on. The file is locked as long as this value lives.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    path: PathBuf,
    hasher: blake3::Hasher,
    keep: bool,
    #[cfg(test)]
    room: Option<u64>,
}

impl Incoming {
    /// A new file of its own name.
    pub(crate) fn staged(store: &LocalStore) -> Result<Self, StoreError> {
        let dir = store.staging_dir();
        let making = |e| StoreError::io("make a file in", &dir.join("new"), e);
        let (file, temporary) =
            tempfile::Builder::new().prefix("in-").tempfile_in(&dir).map_err(making)?.into_parts();
        file.try_lock().map_err(|e| making(e.into()))?;
        let path = temporary.keep().map_err(|e| making(e.error))?;
        Ok(Self::new(store, file, path, blake3::Hasher::new(), false))
    }

    /// The partial download of an artifact, with what is there hashed again. `None` while another writer holds it.
    pub(crate) fn partial(store: &LocalStore, id: &ArtifactId) -> Result<Option<Self>, StoreError> {
        let path = store.part_path(id);
        let opening = |e| StoreError::io("open", &path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(opening)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(opening(e)),
        }
        // Whoever held it before may have renamed or removed it while this side opened it.
        let inode = file.metadata().map_err(opening)?.ino();
        if !fs::metadata(&path).is_ok_and(|m| m.ino() == inode) {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        if file.metadata().map_err(opening)?.len() > 0 {
            hasher = rehash(&mut file).map_err(opening)?;
        }
        Ok(Some(Self::new(store, file, path, hasher, true)))
    }

    fn new(_store: &LocalStore, file: File, path: PathBuf, hasher: blake3::Hasher, keep: bool) -> Self {
        Self {
            file,
            path,
            hasher,
            keep,
            #[cfg(test)]
            room: *_store.inner.disk_full_after.lock().unwrap(),
        }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.hasher.count()
    }

    /// Appends bytes. After an error the file is removed on drop: on a full disk nothing half-written stays.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Err(e) = self.write_disk(bytes) {
            self.keep = false;
            return Err(StoreError::io_sized("write", &self.path, e, bytes.len() as u64));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    fn write_disk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        #[cfg(test)]
        if let Some(room) = self.room {
            // Like a real disk: what fits is written, then the error comes.
            let fits = room.saturating_sub(self.hasher.count()).min(bytes.len() as u64) as usize;
            self.file.write_all(&bytes[..fits])?;
            if fits < bytes.len() {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            return Ok(());
        }
        self.file.write_all(bytes)
    }

    /// Throws away what is there and starts at byte 0.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        let truncating = |e| StoreError::io("truncate", &self.path, e);
        self.file.set_len(0).map_err(truncating)?;
        self.file.seek(SeekFrom::Start(0)).map_err(truncating)?;
        self.hasher = blake3::Hasher::new();
        Ok(())
    }

    /// The hash of the bytes so far.
    pub(crate) fn id(&self) -> ArtifactId {
        ArtifactId::from(*self.hasher.finalize().as_bytes())
    }

    /// Removes the file.
    pub(crate) fn discard(mut self) {
        self.keep = false;
    }

    /// Syncs the bytes and gives them their name.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if they have another hash; the file is then removed. `origin` says where the bytes came from.
    pub(crate) fn commit(
        mut self,
        store: &LocalStore,
        expected: &ArtifactId,
        origin: &str,
    ) -> Result<(), StoreError> {
        // Until the rename has worked, an error removes the file: after a full disk nothing half-written stays.
        self.keep = false;
        let found = self.id();
        if found != *expected {
            return Err(StoreError::Mismatch { expected: *expected, found, origin: origin.into() });
        }
        let target = store.object_path(expected);
        let shelf = target.parent().expect("an object lies in a folder of two digits; qed");
        self.file
            .sync_all()
            .and_then(|()| self.file.set_permissions(Permissions::from_mode(0o444)))
            .map_err(|e| StoreError::io("sync", &self.path, e))?;
        if !shelf.is_dir() {
            make_dir(shelf)?;
            sync_dir(shelf.parent().expect("shelves lie in the objects folder; qed"))?;
        }
        fs::rename(&self.path, &target).map_err(|e| StoreError::io("rename to", &target, e))?;
        self.keep = true;
        sync_dir(shelf)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Hashes a file from its start and leaves the position at its end.
fn rehash(file: &mut File) -> std::io::Result<blake3::Hasher> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut *file)?;
    Ok(hasher)
}

/// Hash and length of the file at a path.
pub(super) fn hash_path(path: &Path) -> Result<(ArtifactId, u64), StoreError> {
    File::open(path).and_then(|mut file| hash_reader(&mut file)).map_err(|e| StoreError::io("read", path, e))
}
