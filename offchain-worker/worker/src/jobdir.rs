//! What the worker keeps on disk about a job.
//!
//! ```text
//! <base>/jobs/<id>/model, data        the inputs, as hard links into the store
//!                  inputs.json        which data they are
//!                  segment-<k>.json   what training segment k gave: roots, T, nonce, metrics, checkpoint
//!                  segment-<k>.safetensors   the checkpoint at its end
//!                  adapter/, result.json     the adapter in PEFT layout and its address
//!                  verdict-<k>.json   what auditing segment k gave: root, T, salt
//!                  kept-<k>.json      the address of another provider's checkpoint that an auditor keeps
//! ```
//!
//! The one rule: **a file is written, synced and renamed before the transaction that rests on it is sent.** The nonce
//! behind a commitment and the salt behind a verdict exist nowhere else; a worker that lost them could never open.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use attune_chain_client::{
    primitives::{
        proof::{SegmentCommitment, SegmentMetrics},
        trace, JobId,
    },
    AccountId, H256,
};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

/// What training one segment gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFile {
    /// The segment.
    pub segment: u32,
    /// State root at its end.
    #[serde(with = "hash_hex")]
    pub end_root: H256,
    /// The trace T, metrics not folded in.
    #[serde(with = "hash_hex")]
    pub trace: H256,
    /// What hides T in the commitment.
    #[serde(with = "bytes_hex")]
    pub nonce: [u8; 32],
    /// Address of the checkpoint at its end.
    #[serde(with = "hash_hex")]
    pub checkpoint: H256,
    /// Size of that checkpoint, in bytes.
    pub checkpoint_bytes: u64,
    /// Mean training loss, in millionths of a nat per token.
    pub train_loss_micro: u32,
    /// Tokens seen.
    pub tokens: u64,
    /// Held-out loss before any training; in segment 0 only.
    pub held_out_loss_before_micro: Option<u32>,
    /// Held-out loss at the end; at the end of a milestone only.
    pub held_out_loss_micro: Option<u32>,
    /// True for a verified segment of the provider that had the job before: written from the chain, so trace and nonce
    /// are not known (zero) and are never needed.
    #[serde(default)]
    pub inherited: bool,
}

impl SegmentFile {
    /// A verified segment of the provider that had the job before.
    pub fn inherited(segment: u32, commitment: &SegmentCommitment) -> Self {
        let metrics = &commitment.metrics;
        Self {
            segment,
            end_root: commitment.state_root,
            trace: H256::zero(),
            nonce: [0; 32],
            checkpoint: commitment.checkpoint,
            checkpoint_bytes: commitment.checkpoint_bytes,
            train_loss_micro: metrics.train_loss_micro,
            tokens: metrics.tokens,
            held_out_loss_before_micro: metrics.held_out_loss_before_micro,
            held_out_loss_micro: metrics.held_out_loss_micro,
            inherited: true,
        }
    }

    /// What is reported of the segment.
    pub fn metrics(&self) -> SegmentMetrics {
        SegmentMetrics {
            train_loss_micro: self.train_loss_micro,
            tokens: self.tokens,
            held_out_loss_before_micro: self.held_out_loss_before_micro,
            held_out_loss_micro: self.held_out_loss_micro,
        }
    }

    /// What is committed on chain.
    pub fn commitment(&self) -> SegmentCommitment {
        SegmentCommitment {
            state_root: self.end_root,
            trace_commitment: trace::commitment(self.trace, &self.nonce),
            checkpoint: self.checkpoint,
            checkpoint_bytes: self.checkpoint_bytes,
            metrics: self.metrics(),
        }
    }
}

/// Which data a job's folder holds, so that they can be deleted when the chain has forgotten the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsFile {
    /// Address of the packed data.
    #[serde(with = "hash_hex")]
    pub data: H256,
}

/// The exported adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFile {
    /// Its address (BLAKE3 of the manifest).
    #[serde(with = "hash_hex")]
    pub adapter: H256,
    /// Its size, in bytes.
    pub adapter_bytes: u64,
}

/// What auditing one segment gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictFile {
    /// The segment.
    pub segment: u32,
    /// State root at its end by our own re-execution; zero if an input could not be fetched.
    #[serde(with = "hash_hex")]
    pub end_root: H256,
    /// Our own T with our own metrics folded in; zero if an input could not be fetched.
    #[serde(with = "hash_hex")]
    pub trace: H256,
    /// What hides both in the commitment.
    #[serde(with = "bytes_hex")]
    pub salt: [u8; 32],
    /// How often the job had been handed over: what was found in one provider's attempt says nothing about the next one's,
    /// which may start from another state.
    #[serde(default)]
    pub attempt: u32,
}

impl VerdictFile {
    /// True if an input could not be fetched.
    pub fn is_unavailable(&self) -> bool {
        self.end_root.is_zero() && self.trace.is_zero()
    }

    /// What is committed on chain, by this provider.
    pub fn commitment(&self, auditor: &AccountId) -> H256 {
        trace::verdict_commitment(self.end_root, self.trace, auditor, &self.salt)
    }
}

/// A checkpoint of another provider that an auditor has in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The segment at whose end it was made.
    pub segment: u32,
    /// Its address.
    #[serde(with = "hash_hex")]
    pub checkpoint: H256,
}

/// All that is on disk about one job, except the inputs and the checkpoints themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFiles {
    /// Which data are here.
    pub inputs: Option<InputsFile>,
    /// Trained segments from 0 on, without gaps.
    pub segments: Vec<SegmentFile>,
    /// The exported adapter.
    pub result: Option<ResultFile>,
    /// Audited segments.
    pub verdicts: BTreeMap<u32, VerdictFile>,
    /// Checkpoints that an auditor keeps, by the segments that they end.
    pub kept: BTreeMap<u32, KeptFile>,
}

/// The folder of one job.
#[derive(Clone, Debug)]
pub struct JobDir {
    root: PathBuf,
}

impl JobDir {
    /// The folder of this job under the worker's base folder.
    pub fn new(base: &Path, job: JobId) -> Self {
        Self { root: base.join("jobs").join(job.to_string()) }
    }

    /// The jobs that have a folder.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn all(base: &Path) -> io::Result<Vec<JobId>> {
        let listing = match fs::read_dir(base.join("jobs")) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut jobs = Vec::new();
        for entry in listing {
            jobs.extend(entry?.file_name().to_str().and_then(|name| name.parse::<JobId>().ok()));
        }
        jobs.sort_unstable();
        Ok(jobs)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the base model is put.
    pub fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    /// Where the packed data are put.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where the adapter is exported to.
    pub fn adapter(&self) -> PathBuf {
        self.root.join("adapter")
    }

    /// Where an auditor writes the checkpoint at the end of a segment that it re-executed, before the store has it.
    pub fn kept_checkpoint(&self, segment: u32) -> PathBuf {
        self.root.join(format!("kept-{segment}.safetensors"))
    }

    /// The checkpoint at the end of a segment.
    pub fn checkpoint(&self, segment: u32) -> PathBuf {
        self.root.join(format!("segment-{segment}.safetensors"))
    }

    /// The folder, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.root)
    }

    /// Reads what is there. A file that does not parse counts as not there: it was never renamed into place by us, and
    /// what rests on it is done again.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn load(&self) -> io::Result<JobFiles> {
        let mut files = JobFiles {
            inputs: read(&self.root.join("inputs.json"))?,
            result: read(&self.root.join("result.json"))?,
            ..JobFiles::default()
        };
        let listing = match fs::read_dir(&self.root) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(error),
        };
        let mut segments = BTreeMap::new();
        for entry in listing {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(segment) = numbered(name, "segment-") {
                if let Some(file) = read::<SegmentFile>(&path)?.filter(|file| file.segment == segment) {
                    segments.insert(segment, file);
                }
            } else if let Some(segment) = numbered(name, "verdict-") {
                if let Some(file) = read::<VerdictFile>(&path)?.filter(|file| file.segment == segment) {
                    files.verdicts.insert(segment, file);
                }
            } else if let Some(segment) = numbered(name, "kept-") {
                if let Some(file) = read::<KeptFile>(&path)?.filter(|file| file.segment == segment) {
                    files.kept.insert(segment, file);
                }
            }
        }
        files.segments = (0u32..).map_while(|segment| segments.remove(&segment)).collect();
        Ok(files)
    }

    /// Keeps which data are here.
    ///
    /// # Errors
    /// As [`JobDir::put_segment`].
    pub fn put_inputs(&self, file: &InputsFile) -> io::Result<()> {
        self.write("inputs.json", file)
    }

    /// Keeps what training a segment gave.
    ///
    /// # Errors
    /// If the disk cannot be written; the folder is then as before.
    pub fn put_segment(&self, file: &SegmentFile) -> io::Result<()> {
        self.write(&format!("segment-{}.json", file.segment), file)
    }

    /// Replaces what is here of the training by the verified segments of earlier providers. Files of later segments go
    /// first, and the exported adapter's address: they rest on what is replaced.
    ///
    /// # Errors
    /// If the disk refuses. Cut off in the middle, it leaves a prefix that can be trained on or inherited again.
    pub fn inherit(&self, verified: &[SegmentFile]) -> io::Result<()> {
        self.create()?;
        let mut stale = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if numbered(name, "segment-").is_some() || name == "result.json" {
                stale.push(path);
            }
        }
        for path in stale {
            fs::remove_file(path)?;
        }
        verified.iter().try_for_each(|file| self.put_segment(file))
    }

    /// Keeps the exported adapter's address.
    ///
    /// # Errors
    /// As [`JobDir::put_segment`].
    pub fn put_result(&self, file: &ResultFile) -> io::Result<()> {
        self.write("result.json", file)
    }

    /// Keeps what auditing a segment gave.
    ///
    /// # Errors
    /// As [`JobDir::put_segment`].
    pub fn put_verdict(&self, file: &VerdictFile) -> io::Result<()> {
        self.write(&format!("verdict-{}.json", file.segment), file)
    }

    /// Remembers that the store holds a checkpoint of this job for others.
    ///
    /// # Errors
    /// As [`JobDir::put_segment`].
    pub fn put_kept(&self, file: &KeptFile) -> io::Result<()> {
        self.write(&format!("kept-{}.json", file.segment), file)
    }

    /// Deletes all but the adapter and its address: what is left of a finished job.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn tidy(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            if path == self.adapter() || path == self.root.join("result.json") {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Deletes the folder.
    ///
    /// # Errors
    /// If the disk refuses; a folder that is not there is fine.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        self.create()?;
        let bytes = serde_json::to_vec_pretty(value).expect("integers and strings always serialise; qed");
        replace_file(&self.root.join(name), &bytes)
    }
}

/// Writes aside, syncs, renames, and syncs the folder, so that the name holds either the old bytes or all of the new.
///
/// # Errors
/// If the disk cannot be written; the old file is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let written = fs::File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&aside, path)) {
        let _ = fs::remove_file(&aside);
        return Err(error);
    }
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn numbered(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.strip_suffix(".json")?.parse().ok()
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "ignoring a damaged file");
                Ok(None)
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

mod bytes_hex {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

mod hash_hex {
    use super::bytes_hex;
    use attune_chain_client::H256;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &H256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(value.0)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<H256, D::Error> {
        bytes_hex::deserialize(deserializer).map(H256)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn segment(segment: u32) -> SegmentFile {
        let byte = u8::try_from(segment).unwrap_or(0).wrapping_add(1);
        SegmentFile {
            segment,
            end_root: H256::repeat_byte(byte),
            trace: H256::repeat_byte(byte.wrapping_add(100)),
            nonce: [byte; 32],
            checkpoint: H256::repeat_byte(byte.wrapping_add(50)),
            checkpoint_bytes: 10,
            train_loss_micro: 3,
            tokens: 4,
            held_out_loss_before_micro: None,
            held_out_loss_micro: Some(5),
            inherited: false,
        }
    }

    #[test]
    fn what_was_kept_is_read_back_without_what_follows_a_gap() {
        let base = tempfile::tempdir().unwrap();
        let dir = JobDir::new(base.path(), 7);
        assert_eq!(dir.load().unwrap(), JobFiles::default());
        for number in [0, 1, 3] {
            dir.put_segment(&segment(number)).unwrap();
        }
        let verdict = VerdictFile {
            segment: 9,
            end_root: H256::zero(),
            trace: H256::zero(),
            salt: [4; 32],
            attempt: 0,
        };
        dir.put_verdict(&verdict).unwrap();
        let kept = KeptFile { segment: 4, checkpoint: H256::repeat_byte(6) };
        dir.put_kept(&kept).unwrap();
        let result = ResultFile { adapter: H256::repeat_byte(8), adapter_bytes: 2 };
        dir.put_result(&result).unwrap();
        let files = dir.load().unwrap();
        assert_eq!(files.kept, BTreeMap::from([(4, kept)]));
        assert_eq!(files.segments, [segment(0), segment(1)]);
        assert_eq!(files.result, Some(result));
        assert!(files.verdicts[&9].is_unavailable());
        assert_eq!(JobDir::all(base.path()).unwrap(), [7]);
    }

    #[test]
    fn a_tidied_folder_keeps_the_adapter_only() {
        let base = tempfile::tempdir().unwrap();
        let dir = JobDir::new(base.path(), 7);
        dir.put_segment(&segment(0)).unwrap();
        dir.put_inputs(&InputsFile { data: H256::repeat_byte(1) }).unwrap();
        let result = ResultFile { adapter: H256::repeat_byte(8), adapter_bytes: 2 };
        dir.put_result(&result).unwrap();
        for folder in [dir.model(), dir.data(), dir.adapter()] {
            fs::create_dir_all(folder).unwrap();
        }
        dir.tidy().unwrap();
        assert_eq!(dir.load().unwrap(), JobFiles { result: Some(result), ..JobFiles::default() });
        assert!(dir.adapter().is_dir() && !dir.model().exists() && !dir.data().exists());
        dir.remove().unwrap();
        dir.remove().unwrap();
        assert!(JobDir::all(base.path()).unwrap().is_empty());
    }

    #[test]
    fn inherited_segments_replace_what_was_trained_here_and_what_rests_on_it() {
        let base = tempfile::tempdir().unwrap();
        let dir = JobDir::new(base.path(), 7);
        (0..4).for_each(|number| dir.put_segment(&segment(number)).unwrap());
        dir.put_result(&ResultFile { adapter: H256::repeat_byte(8), adapter_bytes: 2 }).unwrap();
        let verdict = VerdictFile {
            segment: 9,
            end_root: H256::zero(),
            trace: H256::zero(),
            salt: [4; 32],
            attempt: 1,
        };
        dir.put_verdict(&verdict).unwrap();
        let verified = [0, 1].map(|number| SegmentFile::inherited(number, &segment(number).commitment()));
        dir.inherit(&verified).unwrap();
        let files = dir.load().unwrap();
        assert_eq!((&files.segments[..], files.result), (&verified[..], None));
        assert_eq!(files.verdicts[&9], verdict, "verdicts are about others' work");
        assert!(verified.iter().all(|file| file.inherited && file.nonce == [0; 32]));
        assert_eq!(verified[1].end_root, segment(1).end_root);
    }

    #[test]
    fn files_of_the_release_before_handovers_are_read() {
        let mut old = serde_json::to_value(segment(0)).unwrap();
        old.as_object_mut().unwrap().remove("inherited").unwrap();
        assert_eq!(serde_json::from_value::<SegmentFile>(old).unwrap(), segment(0));
    }

    #[test]
    fn a_half_written_file_counts_as_not_there() {
        let base = tempfile::tempdir().unwrap();
        let dir = JobDir::new(base.path(), 7);
        dir.put_segment(&segment(0)).unwrap();
        fs::write(dir.root().join("segment-1.json"), b"{\"segment\": 1").unwrap();
        fs::write(dir.root().join("segment-2.tmp"), b"{").unwrap();
        assert_eq!(dir.load().unwrap().segments, [segment(0)]);
    }

    #[test]
    fn the_commitment_opens_with_the_kept_trace_and_nonce() {
        let file = segment(0);
        assert_eq!(file.commitment().trace_commitment, trace::commitment(file.trace, &file.nonce));
        assert_eq!(file.commitment().metrics, file.metrics());
    }
}
