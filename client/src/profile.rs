//! The profile folder: `$ATTUNE_HOME`, else `$XDG_DATA_HOME/attune`, else `~/.local/share/attune`.
//!
//! ```text
//! keys/     key files, encrypted (the only part that cannot be made again)
//! store/    models, packed data sets and adapters by content
//! models/   base models laid out as folders, hard-linked from the store
//! net/      the local network of `attune net up`: its record, its nodes' and workers' folders, its logs
//! ```

use std::{
    env, fs,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, Context, Result};

/// The folder of one user.
#[derive(Clone, Debug)]
pub struct Profile {
    root: PathBuf,
}

impl Profile {
    /// The profile that the environment names, or `given`.
    ///
    /// # Errors
    /// If neither `ATTUNE_HOME`, `XDG_DATA_HOME` nor `HOME` is set.
    pub fn open(given: Option<&Path>) -> Result<Self> {
        let from_env = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = given
            .map(Path::to_path_buf)
            .or_else(|| from_env("XDG_DATA_HOME").map(|dir| dir.join("attune")))
            .or_else(|| from_env("HOME").map(|dir| dir.join(".local/share/attune")))
            .ok_or_else(|| {
                anyhow!("no profile folder: HOME is not set; name one with --home or ATTUNE_HOME")
            })?;
        // Children run in folders of their own: a relative path would mean another one there.
        let root = std::path::absolute(&root).with_context(|| format!("resolving {}", root.display()))?;
        Ok(Profile { root })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Key files.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Artifacts by content.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Base models laid out as folders.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The local network.
    pub fn net(&self) -> PathBuf {
        self.root.join("net")
    }
}

/// Makes a folder and those above it, readable by this user alone.
///
/// # Errors
/// If it cannot be made; the error names it.
pub fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("making the folder {}", path.display()))
}

/// Writes a file aside, syncs it, and renames it: a reader sees the old content or the new one, never a part.
///
/// # Errors
/// If the disk is full or the folder cannot be written; the old file is then untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        let mut aside = tempfile::NamedTempFile::new_in(folder)?;
        aside.write_all(bytes)?;
        aside.as_file().sync_all()?;
        aside.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    written().with_context(|| format!("writing {} (the file that was there is untouched)", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");
        let error = write_whole(&dir.path().join("absent/state.json"), b"x").unwrap_err();
        assert!(error.to_string().contains("absent/state.json"), "{error}");
    }
}
