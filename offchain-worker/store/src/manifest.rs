//! Directories as artifacts.
//!
//! A manifest lists a directory's files with size and hash. Its bytes are **canonical**: one directory has one manifest,
//! so it has one id, on every machine. A manifest that comes from elsewhere is hostile until it has been read by
//! [`Manifest::from_bytes`], which accepts exactly what [`Manifest::to_bytes`] writes and nothing that could leave the
//! destination folder. Times, owners, permissions and empty folders are not represented.

use crate::{ArtifactId, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Version of the layout; part of the bytes and so of the id.
const FORMAT: &str = "attune-manifest-1";
const MAX_PATH_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 255;
const MAX_DEPTH: usize = 16;

/// What the reader of a directory accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestLimits {
    /// Files in one directory.
    pub max_files: usize,
    /// Bytes of all files together.
    pub max_total_bytes: u64,
    /// Bytes of the manifest itself.
    pub max_manifest_bytes: u64,
}

impl Default for ManifestLimits {
    /// 10,000 files, 256 GiB, and a manifest of 8 MiB: larger than any model in use with LoRA.
    fn default() -> Self {
        Self { max_files: 10_000, max_total_bytes: 256 << 30, max_manifest_bytes: 8 << 20 }
    }
}

/// One file of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// Relative path with `/` between names.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Hash of the file's bytes.
    pub blake3: ArtifactId,
}

/// A directory's files, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    files: Vec<ManifestEntry>,
}

impl Manifest {
    /// Sorts and checks the entries of a directory.
    pub fn new(mut files: Vec<ManifestEntry>, limits: &ManifestLimits) -> Result<Self, StoreError> {
        files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let manifest = Self { format: FORMAT.into(), files };
        manifest.check(limits)?;
        Ok(manifest)
    }

    /// Reads a manifest that anyone may have written. Only canonical bytes are accepted.
    pub fn from_bytes(bytes: &[u8], limits: &ManifestLimits) -> Result<Self, StoreError> {
        let length = bytes.len() as u64;
        if length > limits.max_manifest_bytes {
            return Err(StoreError::manifest(
                format!("at most {} bytes", limits.max_manifest_bytes),
                format!("{length} bytes"),
            ));
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|e| StoreError::manifest("valid JSON of its format", e.to_string()))?;
        manifest.check(limits)?;
        if manifest.to_bytes() != bytes {
            return Err(StoreError::manifest("canonical bytes", "the same content written differently"));
        }
        Ok(manifest)
    }

    /// Whether bytes start like a manifest; tells a directory from a file without parsing it whole.
    pub fn looks_like(bytes: &[u8]) -> bool {
        bytes.starts_with(format!("{{\"format\":\"{FORMAT}\"").as_bytes())
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers always serialise; qed")
    }

    /// The directory's id.
    pub fn id(&self) -> ArtifactId {
        ArtifactId::of(&self.to_bytes())
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[ManifestEntry] {
        &self.files
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, f| sum.saturating_add(f.size))
    }

    fn check(&self, limits: &ManifestLimits) -> Result<(), StoreError> {
        if self.format != FORMAT {
            return Err(StoreError::manifest(
                format!("format {FORMAT:?}"),
                format!("{:?}", cut(&self.format)),
            ));
        }
        if self.files.len() > limits.max_files {
            return Err(StoreError::manifest(
                format!("at most {} files", limits.max_files),
                format!("{} files", self.files.len()),
            ));
        }
        let total = self.total_bytes();
        if total > limits.max_total_bytes {
            return Err(StoreError::manifest(
                format!("at most {} bytes of files", limits.max_total_bytes),
                format!("{total} bytes"),
            ));
        }
        for entry in &self.files {
            check_path(&entry.path)?;
        }
        for pair in self.files.windows(2) {
            if pair[0].path.as_bytes() >= pair[1].path.as_bytes() {
                return Err(StoreError::manifest(
                    "strictly ascending paths",
                    format!("{:?} before {:?}", cut(&pair[0].path), cut(&pair[1].path)),
                ));
            }
        }
        self.check_no_file_is_a_folder()
    }

    fn check_no_file_is_a_folder(&self) -> Result<(), StoreError> {
        let names: HashSet<&str> = self.files.iter().map(|f| f.path.as_str()).collect();
        for entry in &self.files {
            for (at, _) in entry.path.match_indices('/') {
                if names.contains(&entry.path[..at]) {
                    return Err(StoreError::manifest(
                        "paths that are either a file or a folder",
                        format!("{:?} as both", cut(&entry.path[..at])),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Refuses every path that could leave the folder it is written to, or that means different things on different systems.
fn check_path(path: &str) -> Result<(), StoreError> {
    let refuse = |expected: &str| Err(StoreError::manifest(expected, format!("{:?}", cut(path))));
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return refuse("paths of 1 to 1024 bytes");
    }
    if path.starts_with('/') {
        return refuse("relative paths");
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("paths without control characters and backslashes");
    }
    if path.split('/').count() > MAX_DEPTH {
        return refuse("paths of at most 16 names");
    }
    for name in path.split('/') {
        if name.is_empty() || name == "." || name == ".." {
            return refuse("paths without empty names, \".\" and \"..\"");
        }
        if name.len() > MAX_NAME_BYTES {
            return refuse("names of at most 255 bytes");
        }
    }
    Ok(())
}

/// Shortens a hostile text so that it fits a log line.
fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, size: u64) -> ManifestEntry {
        ManifestEntry { path: path.into(), size, blake3: ArtifactId::of(path.as_bytes()) }
    }

    fn raw(paths: &[&str]) -> Vec<u8> {
        let files = paths.iter().map(|p| entry(p, 1)).collect();
        Manifest { format: FORMAT.into(), files }.to_bytes()
    }

    #[test]
    fn one_directory_has_one_manifest() {
        let limits = ManifestLimits::default();
        let a = Manifest::new(vec![entry("b", 2), entry("a/c", 1), entry("a.txt", 0)], &limits).unwrap();
        let b = Manifest::new(vec![entry("a.txt", 0), entry("b", 2), entry("a/c", 1)], &limits).unwrap();
        assert_eq!(a.id(), b.id());
        assert_eq!(a.total_bytes(), 3);
        assert!(Manifest::looks_like(&a.to_bytes()));
        assert_eq!(Manifest::from_bytes(&a.to_bytes(), &limits).unwrap(), a);
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_refused() {
        let long_name = "n".repeat(256);
        let long_path = vec!["d".repeat(200); 6].join("/");
        let deep = vec!["d"; 17].join("/");
        let hostile = [
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "",
            "a\\b",
            "a\0b",
            "a\nb",
            &long_name,
            &long_path,
            &deep,
        ];
        for path in hostile {
            let error = Manifest::from_bytes(&raw(&[path]), &ManifestLimits::default()).unwrap_err();
            assert!(matches!(error, StoreError::Manifest { .. }), "{path:?}: {error}");
        }
    }

    #[test]
    fn duplicates_disorder_and_files_that_are_folders_are_refused() {
        for paths in [&["a", "a"][..], &["b", "a"], &["a", "a/b"], &["a", "a-b", "a/b"]] {
            assert!(Manifest::from_bytes(&raw(paths), &ManifestLimits::default()).is_err(), "{paths:?}");
        }
        assert!(Manifest::from_bytes(&raw(&["a", "a-b", "b/a"]), &ManifestLimits::default()).is_ok());
    }

    #[test]
    fn only_canonical_bytes_are_read() {
        let limits = ManifestLimits::default();
        let good = String::from_utf8(raw(&["a"])).unwrap();
        assert!(Manifest::from_bytes(good.as_bytes(), &limits).is_ok());
        for bad in [
            format!(" {good}"),
            good.replace("\"size\":1", "\"size\": 1"),
            good.replace("\"size\":1", "\"size\":1,\"link\":\"/etc/passwd\""),
            good.replace("attune-manifest-1", "attune-manifest-2"),
            good.replace("\"path\":\"a\"", "\"path\":\"\\u0061\""),
            good.replace("\"size\":1", "\"size\":-1"),
            good.replace("\"size\":1", "\"size\":1,\"size\":1"),
        ] {
            assert!(Manifest::from_bytes(bad.as_bytes(), &limits).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_on_files_bytes_and_length_hold() {
        let limits = ManifestLimits { max_files: 2, max_total_bytes: 10, max_manifest_bytes: 400 };
        assert!(Manifest::new(vec![entry("a", 5), entry("b", 5)], &limits).is_ok());
        assert!(Manifest::new(vec![entry("a", 5), entry("b", 6)], &limits).is_err());
        assert!(Manifest::new(vec![entry("a", u64::MAX), entry("b", u64::MAX)], &limits).is_err());
        assert!(Manifest::new(vec![entry("a", 1), entry("b", 1), entry("c", 1)], &limits).is_err());
        assert!(Manifest::from_bytes(&raw(&["a"; 1]), &limits).is_ok());
        assert!(Manifest::from_bytes(&vec![b' '; 401], &limits).is_err());
    }
}
