//! Directories in and out of the store.

use super::{entries, incoming::hash_path, make_dir, sync_dir, LocalStore};
use crate::{ArtifactId, Manifest, ManifestEntry, ManifestLimits, StoreError};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path},
};

/// How a directory's files get to their destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Materialize {
    /// Hard links where the file system allows, else copies. Takes no room; the files are read-only and must stay as
    /// they are, since the store holds the same ones.
    #[default]
    Link,
    /// Copies that may be changed afterwards.
    Copy,
}

impl LocalStore {
    /// Stores a directory: every file, then the manifest, whose id names the directory. Uses [`ManifestLimits::default`].
    ///
    /// # Errors
    /// [`StoreError::WrongKind`] for links and special files, [`StoreError::Manifest`] for names or sizes beyond the
    /// limits, [`StoreError::DiskFull`].
    pub fn put_dir(&self, path: impl AsRef<Path>) -> Result<ArtifactId, StoreError> {
        self.put_dir_limited(path, &ManifestLimits::default())
    }

    /// As [`LocalStore::put_dir`] with limits of the caller's.
    pub fn put_dir_limited(
        &self,
        path: impl AsRef<Path>,
        limits: &ManifestLimits,
    ) -> Result<ArtifactId, StoreError> {
        let root = path.as_ref();
        let mut names = Vec::new();
        walk(root, root, limits.max_files, &mut names)?;
        let mut files = Vec::with_capacity(names.len());
        let mut total = 0u64;
        for name in names {
            let full = root.join(&name);
            // Between the walk and now the file may have become a link.
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&full)
                .map_err(|e| StoreError::io("open", &full, e))?;
            total = total.saturating_add(file.metadata().map_or(0, |m| m.len()));
            if total > limits.max_total_bytes {
                return Err(StoreError::TooLarge {
                    what: format!("a directory {}", root.display()),
                    max_bytes: limits.max_total_bytes,
                    found_bytes: total,
                });
            }
            let (blake3, size) = self.put_open_file(&full, file)?;
            files.push(ManifestEntry { path: name, size, blake3 });
        }
        self.put_bytes(&Manifest::new(files, limits)?.to_bytes())
    }

    /// Reads a stored directory's manifest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::Manifest`] if the artifact is no manifest or a hostile one.
    pub fn manifest(&self, id: &ArtifactId, limits: &ManifestLimits) -> Result<Manifest, StoreError> {
        Manifest::from_bytes(&self.read(id, limits.max_manifest_bytes)?, limits)
    }

    /// Puts a stored directory at `dest`, all of it or nothing: it is built beside `dest` and renamed. Every file's
    /// hash is checked on the way, so a damaged disk is found here and not in a training result. A `dest` that
    /// already holds exactly this directory is left as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] naming the missing file, [`StoreError::Mismatch`] for a damaged one,
    /// [`StoreError::DestinationInUse`], [`StoreError::DiskFull`].
    pub fn materialize_dir(
        &self,
        id: &ArtifactId,
        dest: impl AsRef<Path>,
        how: Materialize,
    ) -> Result<(), StoreError> {
        self.materialize(&self.manifest(id, &ManifestLimits::default())?, dest.as_ref(), how)
    }

    /// As [`LocalStore::materialize_dir`], of a manifest that was read within the caller's limits.
    pub(crate) fn materialize(
        &self,
        manifest: &Manifest,
        dest: &Path,
        how: Materialize,
    ) -> Result<(), StoreError> {
        if dest.symlink_metadata().is_ok() && !is_empty_dir(dest) {
            return same_dir(manifest, dest);
        }
        let parent = match dest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        make_dir(parent)?;
        let aside = tempfile::Builder::new()
            .prefix(".attune-aside-")
            .tempdir_in(parent)
            .map_err(|e| StoreError::io("make a folder in", parent, e))?;
        // The temporary folder removes itself if anything below fails.
        for entry in manifest.files() {
            self.place(entry, aside.path(), how)?;
        }
        sync_tree(aside.path())?;
        match fs::rename(aside.path(), dest) {
            Ok(()) => {
                let _ = aside.keep();
                sync_dir(parent)
            }
            // Somebody else was faster.
            Err(_) if dest.is_dir() => same_dir(manifest, dest),
            Err(e) => Err(StoreError::io("rename to", dest, e)),
        }
    }

    fn place(&self, entry: &ManifestEntry, aside: &Path, how: Materialize) -> Result<(), StoreError> {
        self.verify(&entry.blake3)?;
        let source = self.get_path(&entry.blake3)?;
        let size = fs::metadata(&source).map_err(|e| StoreError::io("read", &source, e))?.len();
        if size != entry.size {
            return Err(StoreError::manifest(
                format!("the true size of {:?}, {size} bytes", entry.path),
                format!("{} bytes", entry.size),
            ));
        }
        let target = aside.join(&entry.path);
        if let Some(folder) = target.parent() {
            make_dir(folder)?;
        }
        if how == Materialize::Link && fs::hard_link(&source, &target).is_ok() {
            return Ok(());
        }
        copy_file(&source, &target, entry.size)
    }
}

/// Copies with permissions of a new file, not with the store's read-only ones.
fn copy_file(source: &Path, target: &Path, size: u64) -> Result<(), StoreError> {
    let mut from = File::open(source).map_err(|e| StoreError::io("open", source, e))?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(|e| StoreError::io("make", target, e))?;
    std::io::copy(&mut from, &mut to)
        .and_then(|_| to.sync_all())
        .map_err(|e| StoreError::io_sized("write", target, e, size))
}

/// Relative paths of all regular files below a folder; links and special files are refused by name.
fn walk(root: &Path, dir: &Path, max_files: usize, found: &mut Vec<String>) -> Result<(), StoreError> {
    for path in entries(dir)? {
        let kind = path.symlink_metadata().map_err(|e| StoreError::io("read", &path, e))?.file_type();
        if kind.is_dir() {
            walk(root, &path, max_files, found)?;
        } else if kind.is_file() {
            found.push(relative(root, &path)?);
            if found.len() > max_files {
                return Err(StoreError::manifest(format!("at most {max_files} files"), "more of them"));
            }
        } else {
            return Err(StoreError::WrongKind {
                path,
                expected: "regular files and folders",
                found: if kind.is_symlink() { "a symbolic link" } else { "a special file" },
                fix: "replace links by what they point to (cp -rL) and leave special files out",
            });
        }
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> Result<String, StoreError> {
    let below = path.strip_prefix(root).expect("the walk starts at the root and only goes down; qed");
    let names = below.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().map(|names| names.join("/")).ok_or_else(|| StoreError::WrongKind {
        path: path.to_path_buf(),
        expected: "names in UTF-8",
        found: "other bytes",
        fix: "rename the file",
    })
}

fn is_empty_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir()) && entries(path).is_ok_and(|e| e.is_empty())
}

/// Whether a folder holds exactly what the manifest lists.
fn same_dir(manifest: &Manifest, dest: &Path) -> Result<(), StoreError> {
    let in_use = |found: String| {
        Err(StoreError::DestinationInUse { path: dest.to_path_buf(), id: manifest.id(), found })
    };
    if !dest.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return in_use("something that is no folder".into());
    }
    let mut names = Vec::new();
    match walk(dest, dest, manifest.files().len(), &mut names) {
        Ok(()) => {}
        Err(StoreError::Manifest { .. }) => return in_use("more files than it has".into()),
        Err(StoreError::WrongKind { path, .. }) => return in_use(format!("{} too", path.display())),
        Err(e) => return Err(e),
    }
    names.sort();
    if !names.iter().eq(manifest.files().iter().map(|f| &f.path)) {
        return in_use("other files".into());
    }
    for entry in manifest.files() {
        if hash_path(&dest.join(&entry.path))? != (entry.blake3, entry.size) {
            return in_use(format!("another {:?}", entry.path));
        }
    }
    Ok(())
}

/// Syncs the folders of a tree whose files are synced already.
fn sync_tree(dir: &Path) -> Result<(), StoreError> {
    for path in entries(dir)? {
        if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            sync_tree(&path)?;
        }
    }
    sync_dir(dir)
}
