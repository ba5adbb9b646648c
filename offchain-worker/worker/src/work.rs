//! The work of a provider and of an auditor: preparing inputs, training, exporting, re-executing.
//!
//! Each function does one piece, leaves its result in the job's folder, and can be done again from scratch if it was cut
//! off in the middle.

mod auditing;
mod training;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use attune_chain_client::{
    primitives::JobId,
    types::{JobInfo, ModelInfo},
    H256,
};
use attune_store::{ArtifactId, Fetcher, LocalStore, ManifestLimits, Materialize, StoreError};

use crate::{
    board::Board,
    engine::{Engine, TrainError, Training, TrainingJob},
    jobdir::{InputsFile, JobDir},
};

/// What a manifest may add to the bytes of its files.
const MANIFEST_BYTES: u64 = 1 << 20;
/// The largest checkpoint that is fetched: adapters of the largest rank on large models stay far below.
const MAX_CHECKPOINT_BYTES: u64 = 64 << 30;

/// Why a piece of work failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The inputs don't fit the specification.
    #[error("{0}")]
    InputsUnusable(String),
    /// A peer did not deliver an input.
    #[error(transparent)]
    Unavailable(StoreError),
    /// The peers deliver an input too slowly.
    #[error("expected the inputs within {} s, and they are not here yet", .0.as_secs())]
    Slow(Duration),
    /// The store is at fault.
    #[error(transparent)]
    Store(StoreError),
    /// Training failed.
    #[error(transparent)]
    Train(TrainError),
    /// The disk is at fault.
    #[error("expected to write {path}, found: {source}; check the disk")]
    Disk {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What was expected of the chain or of this machine is not there.
    #[error("{0}")]
    Missing(String),
}

impl From<TrainError> for WorkError {
    fn from(error: TrainError) -> Self {
        Self::Train(error)
    }
}

/// What all work needs. Clones share everything.
#[derive(Clone)]
pub struct Tools {
    /// The worker's folder.
    pub base: PathBuf,
    /// The artifacts.
    pub store: LocalStore,
    /// Downloads, signed by the operator key.
    pub fetcher: Arc<Fetcher>,
    /// The training thread.
    pub engine: Engine,
    /// Progress and counters.
    pub board: Arc<Board>,
}

fn artifact(hash: &H256) -> ArtifactId {
    ArtifactId::from(hash.0)
}

fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> WorkError + '_ {
    move |source| WorkError::Disk { path: path.to_owned(), source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkError> + Send + 'static,
) -> Result<T, WorkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(WorkError::Missing(format!("file work stopped: {error}"))),
    }
}

fn random32() -> Result<[u8; 32], WorkError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| WorkError::Missing(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

impl Tools {
    /// The folder of a job.
    pub fn dir(&self, job: JobId) -> JobDir {
        JobDir::new(&self.base, job)
    }

    /// True if a directory with all of its files is in the store.
    pub fn has_dir(&self, root: &H256) -> bool {
        let id = artifact(root);
        self.store.has(&id)
            && self
                .store
                .manifest(&id, &ManifestLimits::default())
                .is_ok_and(|manifest| manifest.files().iter().all(|entry| self.store.has(&entry.blake3)))
    }

    fn training_job(&self, job: &JobInfo) -> TrainingJob {
        let dir = self.dir(job.id);
        TrainingJob { model_dir: dir.model(), data_dir: dir.data(), spec: job.spec.clone() }
    }

    /// Puts model and data of the store into the job's folder.
    async fn place_inputs(&self, job: &JobInfo, model: &ModelInfo) -> Result<(), WorkError> {
        let (store, dir) = (self.store.clone(), self.dir(job.id));
        let (model, data) = (artifact(&model.artifact), artifact(&job.spec.data.root));
        blocking(move || {
            dir.put_inputs(&InputsFile { data: H256(data.into()) }).map_err(disk(dir.root()))?;
            for (id, place) in [(model, dir.model()), (data, dir.data())] {
                store.materialize_dir(&id, place, Materialize::Link).map_err(WorkError::Store)?;
            }
            Ok(())
        })
        .await
    }

    fn checkpoint_path(&self, checkpoint: &H256) -> Result<PathBuf, WorkError> {
        self.store.get_path(&artifact(checkpoint)).map_err(WorkError::Store)
    }

    /// Deletes what is kept of a job: its folder, its checkpoints and its data (unless another job uses them, see
    /// `used`), and its adapter unless that is to stay. The base model stays in the store for the next job.
    ///
    /// # Errors
    /// [`WorkError::Disk`].
    pub async fn clean_up(
        &self,
        job: JobId,
        used: BTreeSet<H256>,
        keep_adapter: bool,
    ) -> Result<(), WorkError> {
        let (store, dir, base) = (self.store.clone(), self.dir(job), self.base.clone());
        blocking(move || {
            let files = dir.load().map_err(disk(dir.root()))?;
            let checkpoints = files.segments.iter().map(|file| &file.checkpoint);
            let mut rubbish: Vec<ArtifactId> = checkpoints
                .chain(files.kept.values().map(|file| &file.checkpoint))
                .filter(|checkpoint| !used.contains(checkpoint))
                .map(artifact)
                .collect();
            let data = files.inputs.map(|inputs| inputs.data).filter(|data| !used.contains(data));
            let adapter_made = files.result.map(|result| result.adapter);
            let adapter = adapter_made.filter(|_| !keep_adapter);
            for root in data.iter().chain(&adapter) {
                let root = artifact(root);
                let manifest = store.manifest(&root, &ManifestLimits::default());
                rubbish.extend(manifest.iter().flat_map(|found| found.files()).map(|entry| entry.blake3));
                rubbish.push(root);
            }
            // A file may be another's, too: the configuration of an adapter is the same for all of the same terms, and what
            // a customer lists as its data may be a file of the base model.
            let mut used = used;
            used.extend(adapter_made.filter(|_| keep_adapter));
            let keep = kept_by_others(&store, &base, job, &used).map_err(disk(&base))?;
            rubbish.retain(|id| !keep.contains(id));
            for id in rubbish {
                // What is not there needs no removing; what cannot be removed only takes up room.
                let _ = store.remove(&id);
            }
            let cleaned = if keep_adapter { dir.tidy() } else { dir.remove() };
            cleaned.map_err(disk(dir.root()))
        })
        .await
    }
}

/// All that must stay in the store when `job` is cleaned up: `used`, what other jobs' folders name, and the files of those
/// that are directories.
///
/// # Errors
/// If a job's folder can't be read: what it names could not be kept.
fn kept_by_others(
    store: &LocalStore,
    base: &Path,
    job: JobId,
    used: &BTreeSet<H256>,
) -> io::Result<BTreeSet<ArtifactId>> {
    let mut roots = used.clone();
    for other in JobDir::all(base)?.into_iter().filter(|other| *other != job) {
        let files = JobDir::new(base, other).load()?;
        roots.extend(files.segments.iter().map(|file| file.checkpoint));
        roots.extend(files.kept.values().map(|file| file.checkpoint));
        roots.extend(files.result.map(|result| result.adapter));
    }
    let mut keep = BTreeSet::new();
    for root in roots.iter().map(artifact) {
        let manifest = store.manifest(&root, &ManifestLimits::default());
        keep.extend(manifest.iter().flat_map(|found| found.files()).map(|entry| entry.blake3));
        keep.insert(root);
    }
    Ok(keep)
}

fn sort(error: StoreError) -> WorkError {
    if error.is_local() {
        WorkError::Store(error)
    } else {
        WorkError::Unavailable(error)
    }
}

fn expect_root(training: &dyn Training, expected: &H256) -> Result<(), TrainError> {
    let found = training.state_root()?;
    if found == *expected {
        return Ok(());
    }
    Err(TrainError::Checkpoint(format!(
        "expected a checkpoint of state {expected:?}, found one of state {found:?}; fetch it again from another peer"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_what_is_used_are_kept_whoever_else_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        let store = LocalStore::open(base.join("store")).unwrap();
        let model = base.join("model");
        std::fs::create_dir(&model).unwrap();
        std::fs::write(model.join("weights"), b"weights").unwrap();
        let root = store.put_dir(&model).unwrap();
        let weights = store.put_file(model.join("weights")).unwrap();
        // A hostile customer's data, with the model's weights among them.
        let checkpoint = store.put_bytes(b"another job's checkpoint").unwrap();
        let used = BTreeSet::from([H256(root.into()), H256(checkpoint.into())]);
        let keep = kept_by_others(&store, base, 7, &used).unwrap();
        assert_eq!(keep, BTreeSet::from([root, weights, checkpoint]));
        assert_eq!(kept_by_others(&store, base, 7, &BTreeSet::new()).unwrap(), BTreeSet::new());
        // What a folder names that can't be read is not known to be nobody's.
        std::fs::create_dir_all(base.join("jobs/8/result.json")).unwrap();
        assert!(kept_by_others(&store, base, 7, &used).is_err());
        assert!(kept_by_others(&store, base, 8, &used).is_ok(), "its own is read by who cleans it up");
    }
}
