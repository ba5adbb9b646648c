//! Files that are there whole or not at all, with canonical bytes.
//!
//! A checkpoint is named by the hash of its bytes, so the same tensors must give the same bytes: the `safetensors`
//! crate orders metadata by a random hash, therefore the header is written here, keys sorted and data in the order of
//! names. Reading goes through the crate, which checks every offset.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{Error, Result};

/// One tensor to write: its name, type, shape, and bytes in little-endian order.
pub struct TensorBytes<'a> {
    /// Name within the file.
    pub name: &'a str,
    /// Type as safetensors names it: `F32`, `BF16`.
    pub dtype: &'static str,
    /// Shape, outermost dimension first.
    pub shape: &'a [i64],
    /// The values, `dtype` in little-endian order.
    pub bytes: &'a [u8],
}

/// Where a file is written before it gets its name: beside it, as `NAME.partial`.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    path.with_file_name(name)
}

/// Writes a file aside, syncs it, and renames it to `path`. On failure (a full disk) the former `path` is untouched and
/// the partial file is removed.
///
/// # Errors
/// Whatever the operating system says, with the path.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let partial = partial_path(path);
    let result = (|| {
        let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&partial)?);
        write(&mut file)?;
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        fs::rename(&partial, path)?;
        // The rename is durable once the folder is.
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => fs::File::open(parent)?.sync_all(),
            None => fs::File::open(".")?.sync_all(),
        }
    })();
    result.map_err(|source| {
        // The first error is the one to report; a partial file that cannot be removed is overwritten next time.
        let _ = fs::remove_file(&partial);
        Error::io("writing", path, source)
    })
}

/// Writes tensors, sorted by name, and string metadata as one safetensors file with canonical bytes.
///
/// # Errors
/// As [`write_whole`].
pub fn write_safetensors(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[TensorBytes<'_>],
) -> Result<()> {
    let mut sorted: Vec<&TensorBytes<'_>> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.name);
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert("__metadata__", json!(metadata));
    }
    let mut offset = 0usize;
    for tensor in &sorted {
        let end = offset + tensor.bytes.len();
        let entry = json!({"data_offsets": [offset, end], "dtype": tensor.dtype, "shape": tensor.shape});
        header.insert(tensor.name, entry);
        offset = end;
    }
    let mut header = serde_json::to_vec(&header).expect("strings and numbers are always JSON, qed");
    header.resize(header.len().next_multiple_of(8), b' ');
    write_whole(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        sorted.iter().try_for_each(|tensor| out.write_all(tensor.bytes))
    })
}

/// Writes `value` as indented JSON with a final newline.
///
/// # Errors
/// As [`write_whole`].
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).expect("a JSON value is always JSON, qed");
    text.push(b'\n');
    write_whole(path, |out| out.write_all(&text))
}

/// Creates a folder and its parents.
///
/// # Errors
/// With the path.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::io("creating", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_leaves_the_former_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.safetensors");
        fs::write(&path, b"former").unwrap();
        std::os::unix::fs::symlink("/dev/full", partial_path(&path)).unwrap();
        let error = write_whole(&path, |out| out.write_all(&[0; 4096])).expect_err("/dev/full is full");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(error.to_string().contains("checkpoint.safetensors"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"former");
        assert!(!partial_path(&path).exists());
    }

    #[test]
    fn the_same_tensors_give_the_same_bytes_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let tensor = |name, bytes| TensorBytes { name, dtype: "F32", shape: &[1], bytes };
        let metadata: BTreeMap<String, String> = (0..9).map(|i| (format!("k{i}"), i.to_string())).collect();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        write_safetensors(&one, &metadata, &[tensor("a", &[1; 4]), tensor("b", &[2; 4])]).unwrap();
        write_safetensors(&two, &metadata, &[tensor("b", &[2; 4]), tensor("a", &[1; 4])]).unwrap();
        let bytes = fs::read(&one).unwrap();
        assert_eq!(bytes, fs::read(&two).unwrap());
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("b").unwrap().data(), &[2; 4]);
    }
}
