//! Weights out of safetensors, one file or shards, mapped rather than read, and checked tensor by tensor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use attune_primitives::H256;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// A safetensors file in memory, its header checked.
pub struct WeightFile {
    path: PathBuf,
    map: Mmap,
}

impl WeightFile {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// The file cannot be read, or its header does not fit it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = fs::File::open(path).map_err(|source| Error::io("reading", path, source))?;
        // SAFETY: the map is read-only and private. Whoever truncates a model file under a running process kills that
        // process with SIGBUS, as with any mapped file; the worker keeps its artifacts where nobody else writes.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io("mapping", path, source))?;
        let opened = Self { path: path.to_path_buf(), map };
        opened.view()?;
        Ok(opened)
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn refuse(&self, reason: String) -> Error {
        Error::Weights { path: self.path.clone(), reason }
    }

    fn view(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.map).map_err(|error| {
            let bytes = self.map.len();
            self.refuse(format!(
                "not a whole safetensors file ({error}; {bytes} bytes). Fetch it again: it is cut short or damaged"
            ))
        })
    }

    /// The names of all tensors, sorted.
    ///
    /// # Errors
    /// As [`WeightFile::open`].
    pub fn names(&self) -> Result<BTreeSet<String>> {
        Ok(self.view()?.names().into_iter().map(str::to_owned).collect())
    }

    /// The string metadata of the header; empty if it has none.
    ///
    /// # Errors
    /// As [`WeightFile::open`].
    pub fn metadata(&self) -> Result<BTreeMap<String, String>> {
        let (_, metadata) =
            SafeTensors::read_metadata(&self.map).map_err(|error| self.refuse(error.to_string()))?;
        Ok(metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// A tensor's raw values.
    fn raw(&self, name: &str, shape: &[i64]) -> Result<RawTensor<'_>> {
        let view = self.view()?;
        let Ok(tensor) = view.tensor(name) else {
            return Err(self.refuse(format!("the tensor {name} is missing")));
        };
        if !tensor.shape().iter().map(|size| *size as i64).eq(shape.iter().copied()) {
            let found = tensor.shape();
            return Err(self.refuse(format!("the tensor {name} has shape {found:?}, expected {shape:?}")));
        }
        match tensor.dtype() {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => {
                Ok(RawTensor { dtype: tensor.dtype(), bytes: tensor.data() })
            }
            other => Err(self.refuse(format!("the tensor {name} is {other:?}, expected F32, F16 or BF16"))),
        }
    }

    /// A tensor as binary32, whatever of f32, f16 and bf16 it is stored in. Both widen without rounding.
    ///
    /// # Errors
    /// The tensor is missing, of another shape, or of another type.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let raw = self.raw(name, shape)?;
        let kind = match raw.dtype {
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            _ => Kind::Float,
        };
        Ok(Tensor::f_from_data_size(raw.bytes, shape, kind)?.f_to_kind(Kind::Float)?)
    }

    /// The values of a tensor as binary32; see [`WeightFile::tensor`].
    ///
    /// # Errors
    /// The tensor is missing, of another shape, or of another type.
    pub fn values(&self, name: &str, shape: &[i64]) -> Result<Vec<f32>> {
        Ok(self.raw(name, shape)?.widened())
    }
}

/// A tensor as its file has it.
struct RawTensor<'a> {
    dtype: Dtype,
    bytes: &'a [u8],
}

impl RawTensor<'_> {
    fn widened(&self) -> Vec<f32> {
        let halves = self.bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match self.dtype {
            Dtype::F16 => halves.map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
            Dtype::BF16 => halves.map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
            _ => {
                let words = self.bytes.chunks_exact(4);
                words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
        }
    }
}

/// All weights of a model directory.
pub struct Weights {
    files: Vec<WeightFile>,
    /// Where each tensor is: its index in `files`.
    places: BTreeMap<String, usize>,
    /// The file to blame for a missing tensor.
    root: PathBuf,
}

impl Weights {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// Neither is there, or a file is damaged, or the index names a file outside the directory.
    pub fn open(model_dir: &Path) -> Result<Self> {
        let index = model_dir.join("model.safetensors.index.json");
        if !index.exists() {
            let path = model_dir.join("model.safetensors");
            let file = WeightFile::open(&path)?;
            let places = file.names()?.into_iter().map(|name| (name, 0)).collect();
            return Ok(Self { files: vec![file], places, root: path });
        }
        let refuse = |reason| Error::Weights { path: index.clone(), reason };
        let bytes = fs::read(&index).map_err(|source| Error::io("reading", &index, source))?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|error| refuse(format!("not valid JSON: {error}")))?;
        let map = value["weight_map"].as_object().ok_or_else(|| refuse("weight_map is missing".into()))?;
        let mut shards = BTreeMap::new();
        let mut weights = Self { files: Vec::new(), places: BTreeMap::new(), root: index.clone() };
        for (name, shard) in map {
            let shard = shard.as_str().filter(|shard| is_plain_name(shard));
            let shard = shard.ok_or_else(|| refuse(format!("{name} is not in a file of this folder")))?;
            let place = match shards.get(shard) {
                Some(place) => *place,
                None => {
                    weights.files.push(WeightFile::open(&model_dir.join(shard))?);
                    shards.insert(shard.to_owned(), weights.files.len() - 1);
                    weights.files.len() - 1
                }
            };
            weights.places.insert(name.clone(), place);
        }
        Ok(weights)
    }

    /// Hash of all weight files in the order of their names: BLAKE3 over (length, bytes) of each. It names the base model.
    pub fn hash(&self) -> H256 {
        let mut files: Vec<&WeightFile> = self.files.iter().collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let mut hasher = blake3::Hasher::new_derive_key("attune trainer: weights of a base model, version 1");
        for file in files {
            hasher.update(&(file.map.len() as u64).to_le_bytes());
            hasher.update(&file.map);
        }
        H256(*hasher.finalize().as_bytes())
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    fn file_of(&self, name: &str) -> Result<&WeightFile> {
        self.places.get(name).and_then(|place| self.files.get(*place)).ok_or_else(|| Error::Weights {
            path: self.root.clone(),
            reason: format!("the tensor {name} is missing"),
        })
    }

    /// A tensor as binary32; see [`WeightFile::tensor`].
    ///
    /// # Errors
    /// The tensor is missing, of another shape, or of another type.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.file_of(name)?.tensor(name, shape)
    }

    /// The values of a tensor as binary32.
    ///
    /// # Errors
    /// The tensor is missing, of another shape, or of another type.
    pub fn values(&self, name: &str, shape: &[i64]) -> Result<Vec<f32>> {
        self.file_of(name)?.values(name, shape)
    }

    /// Refuses tensors that the model's shape has no use for: a bias that nobody adds would change every answer.
    ///
    /// # Errors
    /// Names the first tensor for which `expected` is false.
    pub fn refuse_others(&self, expected: impl Fn(&str) -> bool) -> Result<()> {
        match self.places.keys().find(|name| !expected(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Weights {
                path: self.root.clone(),
                reason: format!("the tensor {name} has no place in the shape that config.json describes"),
            }),
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\']) && name != "." && name != ".."
}
