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

mod files;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use attune_chain_client::primitives::JobId;
use serde::{de::DeserializeOwned, Serialize};

pub use files::{InputsFile, JobFiles, KeptFile, ResultFile, SegmentFile, VerdictFile};

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

#[cfg(test)]
pub(crate) mod tests {
    use attune_chain_client::{primitives::trace, H256};

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
