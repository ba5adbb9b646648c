//! The work of a provider and of an auditor: preparing inputs, training, exporting, re-executing.
//!
//! Each function does one piece, leaves its result in the job's folder, and can be done again from scratch if it was cut
//! off in the middle.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
};

use attune_chain_client::{
    primitives::{hashing::blake2_256_parts, proof::SegmentCommitment, trace, JobId},
    quote,
    types::{AuditInfo, JobInfo, ModelInfo},
    H256,
};
use attune_store::{ArtifactId, Fetcher, LocalStore, ManifestLimits, Materialize, StoreError, Url};

use crate::{
    board::Board,
    engine::{Engine, SegmentOutcome, Step, TrainError, Training, TrainingJob, Workbench},
    handover,
    jobdir::{InputsFile, JobDir, KeptFile, ResultFile, SegmentFile, VerdictFile},
    view::JobView,
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

    /// Puts a job's inputs into place and opens the training, which reads and checks all of them. The training stays
    /// open for its next segment: the first one, or the one after the `inherited` ones, verified segments of the job's
    /// earlier providers whose last checkpoint is in the store. A checkpoint of another state than the committed one is
    /// deleted, and those segments are to be trained again.
    ///
    /// # Errors
    /// [`WorkError::InputsUnusable`] if they don't fit the specification.
    pub async fn prepare_inputs(
        &self,
        job: JobInfo,
        model: ModelInfo,
        inherited: Vec<SegmentFile>,
    ) -> Result<(), WorkError> {
        self.place_inputs(&job, &model).await?;
        if let Some(last) = inherited.last().copied() {
            match self.open_inherited(&job, last).await {
                Ok(()) => {
                    let dir = self.dir(job.id);
                    return blocking(move || dir.inherit(&inherited).map_err(disk(dir.root()))).await;
                }
                Err(WorkError::Train(TrainError::Checkpoint(reason))) => {
                    tracing::warn!(job = job.id, reason, "the checkpoint to go on from is not usable");
                    // One that cannot be removed only takes up room.
                    let _ = self.store.remove(&artifact(&last.checkpoint));
                }
                Err(error) => return Err(error),
            }
        }
        let (training_job, id) = (self.training_job(&job), job.id);
        let opened = self.engine.run(move |bench| {
            let training = bench.trainer().open(&training_job, None)?;
            bench.keep(id, 0, training);
            Ok(())
        });
        opened.await.map_err(unusable)
    }

    /// Opens the training where the verified segments end, if the checkpoint is of the committed state.
    async fn open_inherited(&self, job: &JobInfo, last: SegmentFile) -> Result<(), WorkError> {
        let (training_job, id) = (self.training_job(job), job.id);
        let start = self.checkpoint_path(&last.checkpoint)?;
        let opened = self.engine.run(move |bench| {
            let training = bench.trainer().open(&training_job, Some(&start))?;
            expect_root(&*training, &last.end_root)?;
            bench.keep(id, last.segment.saturating_add(1), training);
            Ok(())
        });
        opened.await.map_err(unusable)
    }

    /// The checkpoint at the end of the last of these verified segments into the store.
    ///
    /// # Errors
    /// [`WorkError::Unavailable`] if no peer has it (the caller decides when to do without).
    pub async fn fetch_verified(&self, verified: &[SegmentFile], peers: &[Url]) -> Result<(), WorkError> {
        let Some(last) = verified.last() else { return Ok(()) };
        let max_bytes = last.checkpoint_bytes.min(MAX_CHECKPOINT_BYTES);
        let id = artifact(&last.checkpoint);
        self.fetcher.fetch(&id, peers, max_bytes, &|_| {}).await.map(|_| ()).map_err(sort)
    }

    /// Trains a segment and keeps its result: checkpoint in the store, then the segment's file. `before` is the segment
    /// before it. `stop` ends it early.
    ///
    /// # Errors
    /// [`WorkError`]; nothing is kept then, and the segment can be trained again.
    pub async fn train(
        &self,
        job: JobInfo,
        segment: u32,
        before: Option<SegmentFile>,
        stop: Arc<AtomicBool>,
    ) -> Result<SegmentFile, WorkError> {
        let (id, dir, training_job) = (job.id, self.dir(job.id), self.training_job(&job));
        self.board.begin(id, segment, job.spec.segments(), quote::steps(&job.spec));
        let aside = dir.checkpoint(segment);
        let start = before.map(|file| self.checkpoint_path(&file.checkpoint)).transpose()?;
        let (board, path) = (self.board.clone(), aside.clone());
        let outcome = self.engine.run(move |bench| {
            let mut training = open_at(bench, &training_job, id, segment, start.as_deref())?;
            if let Some(before) = before {
                expect_root(&*training, &before.end_root)?;
            }
            let outcome = training.run_segment(&mut |step: Step| {
                board.step(id, step);
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            training.save_checkpoint(&path)?;
            bench.keep(id, segment.saturating_add(1), training);
            Ok(outcome)
        });
        let kept = match outcome.await {
            Ok(outcome) => self.keep_segment(&dir, segment, outcome, &aside).await,
            Err(error) => Err(error.into()),
        };
        if kept.is_err() {
            // The open training is ahead of what is kept: the next try starts from the last checkpoint.
            let closed = self.engine.run(move |bench| {
                bench.close(id);
                Ok(())
            });
            closed.await?;
        }
        kept
    }

    async fn keep_segment(
        &self,
        dir: &JobDir,
        segment: u32,
        outcome: SegmentOutcome,
        checkpoint: &Path,
    ) -> Result<SegmentFile, WorkError> {
        let (store, dir, path) = (self.store.clone(), dir.clone(), checkpoint.to_owned());
        blocking(move || {
            let id = store.put_file(&path).map_err(WorkError::Store)?;
            let checkpoint_bytes = std::fs::metadata(&path).map_err(disk(&path))?.len();
            let file = SegmentFile {
                segment,
                end_root: outcome.end_root,
                trace: outcome.trace,
                nonce: random32()?,
                checkpoint: H256(id.into()),
                checkpoint_bytes,
                train_loss_micro: outcome.metrics.train_loss_micro,
                tokens: outcome.metrics.tokens,
                held_out_loss_before_micro: outcome.metrics.held_out_loss_before_micro,
                held_out_loss_micro: outcome.metrics.held_out_loss_micro,
                inherited: false,
            };
            dir.put_segment(&file).map_err(disk(dir.root()))?;
            // The store has it now; a copy that cannot be removed only takes up room.
            let _ = std::fs::remove_file(&path);
            Ok(file)
        })
        .await
    }

    fn checkpoint_path(&self, checkpoint: &H256) -> Result<PathBuf, WorkError> {
        self.store.get_path(&artifact(checkpoint)).map_err(WorkError::Store)
    }

    /// Exports the adapter of a job whose segments are all trained, and keeps its address.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn export(
        &self,
        job: JobInfo,
        last: SegmentFile,
        base_model: String,
    ) -> Result<ResultFile, WorkError> {
        let (id, dir, training_job) = (job.id, self.dir(job.id), self.training_job(&job));
        let start = self.checkpoint_path(&last.checkpoint)?;
        let (place, segments) = (dir.adapter(), job.spec.segments());
        let aside = place.clone();
        self.engine
            .run(move |bench| {
                let training = open_at(bench, &training_job, id, segments, Some(&start))?;
                expect_root(&*training, &last.end_root)?;
                training.export(&aside, &base_model)
            })
            .await?;
        let store = self.store.clone();
        blocking(move || {
            let adapter = store.put_dir(&place).map_err(WorkError::Store)?;
            let manifest = store.manifest(&adapter, &ManifestLimits::default()).map_err(WorkError::Store)?;
            let file = ResultFile { adapter: H256(adapter.into()), adapter_bytes: manifest.total_bytes() };
            dir.put_result(&file).map_err(disk(dir.root()))?;
            Ok(file)
        })
        .await
    }

    /// Re-executes a segment of another provider and keeps the verdict.
    ///
    /// # Errors
    /// [`WorkError::Unavailable`] if an input could not be fetched (the caller decides when to give up, see
    /// [`Tools::give_up`]); other errors are this machine's.
    pub async fn audit(
        &self,
        view: JobView,
        audit: AuditInfo,
        model: ModelInfo,
        peers: Vec<Url>,
    ) -> Result<VerdictFile, WorkError> {
        let (job, segment) = (&view.job, audit.segment);
        let start = self.fetch_inputs(&view, segment, &model, &peers).await?;
        self.place_inputs(job, &model).await?;
        let training_job = self.training_job(job);
        let start_root = before(&view, segment).map(|commitment| commitment.state_root);
        // What the next provider goes on from, should this one vanish.
        let inheritable = handover::inheritable(&job.spec, segment);
        let aside = self.dir(job.id).kept_checkpoint(segment);
        let keep = inheritable
            .then(|| commitment(&view, segment))
            .flatten()
            .map(|found| (found.state_root, aside.clone()));
        let outcome = self.engine.run(move |bench| {
            let mut training = bench.trainer().open(&training_job, start.as_deref())?;
            if let Some(root) = start_root {
                expect_root(&*training, &root)?;
            }
            let outcome = training.run_segment(&mut |_| ControlFlow::Continue(()))?;
            if let Some((_, place)) = keep.filter(|(root, _)| *root == outcome.end_root) {
                // The verdict stands without it.
                if let Err(error) = training.save_checkpoint(&place) {
                    tracing::warn!(%error, "the checkpoint at the end of an audited segment is not kept");
                }
            }
            Ok(outcome)
        });
        let (end_root, trace) = match outcome.await {
            Ok(outcome) => (outcome.end_root, trace::with_metrics(outcome.trace, &outcome.metrics)),
            // The provider says that it trained through this; nobody who does the work can.
            Err(TrainError::Diverged(reason)) => {
                tracing::warn!(
                    job = job.id,
                    segment,
                    reason,
                    "re-execution diverged where the provider's did not"
                );
                let mark =
                    blake2_256_parts(&[b"attune:diverged", &job.id.to_le_bytes(), &segment.to_le_bytes()]);
                (mark, mark)
            }
            // What the provider serves as the start is not what it committed to: the start is not to be had.
            Err(TrainError::Checkpoint(reason) | TrainError::Inputs(reason)) => {
                tracing::warn!(job = job.id, segment, reason, "the inputs of the audit are unusable");
                (H256::zero(), H256::zero())
            }
            Err(other) => return Err(other.into()),
        };
        if let Some(found) = commitment(&view, segment) {
            self.keep_made(job.id, segment, found.checkpoint, &aside).await?;
        }
        let file = VerdictFile { segment, end_root, trace, salt: random32()?, attempt: job.handovers };
        self.keep_verdict(job.id, file).await
    }

    /// Takes the checkpoint that an audit wrote aside into the store, if it is the one that was committed to, byte by
    /// byte; nobody would ask for another.
    async fn keep_made(
        &self,
        job: JobId,
        segment: u32,
        committed: H256,
        aside: &Path,
    ) -> Result<(), WorkError> {
        let (store, dir, path) = (self.store.clone(), self.dir(job), aside.to_owned());
        blocking(move || {
            if !path.is_file() {
                return Ok(());
            }
            let id = store.put_file(&path).map_err(WorkError::Store)?;
            // The store has it now; a copy that cannot be removed only takes up room.
            let _ = std::fs::remove_file(&path);
            if H256(id.into()) != committed {
                let _ = store.remove(&id);
                return Ok(());
            }
            dir.put_kept(&KeptFile { segment, checkpoint: committed }).map_err(disk(dir.root()))
        })
        .await
    }

    /// Keeps the checkpoint at the end of a segment of another provider, so that whoever goes on after that one can have
    /// it from here.
    ///
    /// # Errors
    /// [`WorkError::Unavailable`] if no peer has it.
    pub async fn keep_checkpoint(
        &self,
        view: &JobView,
        segment: u32,
        peers: &[Url],
    ) -> Result<(), WorkError> {
        let Some(found) = commitment(view, segment) else { return Ok(()) };
        let max_bytes = found.checkpoint_bytes.min(MAX_CHECKPOINT_BYTES);
        self.fetcher.fetch(&artifact(&found.checkpoint), peers, max_bytes, &|_| {}).await.map_err(sort)?;
        self.remember_kept(view.job.id, segment, found.checkpoint).await
    }

    async fn remember_kept(&self, job: JobId, segment: u32, checkpoint: H256) -> Result<(), WorkError> {
        let dir = self.dir(job);
        blocking(move || dir.put_kept(&KeptFile { segment, checkpoint }).map_err(disk(dir.root()))).await
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
        let (store, dir) = (self.store.clone(), self.dir(job));
        blocking(move || {
            let files = dir.load().map_err(disk(dir.root()))?;
            let checkpoints = files.segments.iter().map(|file| &file.checkpoint);
            let mut rubbish: Vec<ArtifactId> = checkpoints
                .chain(files.kept.values().map(|file| &file.checkpoint))
                .filter(|checkpoint| !used.contains(checkpoint))
                .map(artifact)
                .collect();
            let data = files.inputs.map(|inputs| inputs.data).filter(|data| !used.contains(data));
            let adapter = files.result.map(|result| result.adapter).filter(|_| !keep_adapter);
            for root in data.iter().chain(&adapter) {
                let root = artifact(root);
                let manifest = store.manifest(&root, &ManifestLimits::default());
                rubbish.extend(manifest.iter().flat_map(|found| found.files()).map(|entry| entry.blake3));
                rubbish.push(root);
            }
            for id in rubbish {
                // What is not there needs no removing; what cannot be removed only takes up room.
                let _ = store.remove(&id);
            }
            let cleaned = if keep_adapter { dir.tidy() } else { dir.remove() };
            cleaned.map_err(disk(dir.root()))
        })
        .await
    }

    /// Keeps the verdict that an input could not be fetched, in the job's `attempt` (how often it was handed over).
    ///
    /// # Errors
    /// [`WorkError::Disk`].
    pub async fn give_up(&self, job: JobId, segment: u32, attempt: u32) -> Result<VerdictFile, WorkError> {
        self.board.audits_unavailable.fetch_add(1, Ordering::Relaxed);
        let unavailable = H256::zero();
        let file =
            VerdictFile { segment, end_root: unavailable, trace: unavailable, salt: random32()?, attempt };
        self.keep_verdict(job, file).await
    }

    async fn keep_verdict(&self, job: JobId, file: VerdictFile) -> Result<VerdictFile, WorkError> {
        let dir = self.dir(job);
        blocking(move || dir.put_verdict(&file).map_err(disk(dir.root())).map(|()| file)).await
    }

    /// Model, data and start checkpoint into the store; gives the checkpoint's path, `None` for segment 0.
    async fn fetch_inputs(
        &self,
        view: &JobView,
        segment: u32,
        model: &ModelInfo,
        peers: &[Url],
    ) -> Result<Option<PathBuf>, WorkError> {
        let data = &view.job.spec.data;
        for (root, bytes) in [(model.artifact, model.artifact_bytes), (data.root, data.bytes)] {
            let limits = ManifestLimits {
                max_total_bytes: bytes.saturating_add(MANIFEST_BYTES),
                ..ManifestLimits::default()
            };
            let id = artifact(&root);
            self.fetcher.fetch_dir_into_store(&id, peers, &limits, &|_| {}).await.map_err(sort)?;
        }
        let Some(found) = before(view, segment) else {
            return if segment == 0 {
                Ok(None)
            } else {
                Err(WorkError::Missing(format!("segment {} is not committed", segment.saturating_sub(1))))
            };
        };
        let max_bytes = found.checkpoint_bytes.min(MAX_CHECKPOINT_BYTES);
        let id = artifact(&found.checkpoint);
        let path = self.fetcher.fetch(&id, peers, max_bytes, &|_| {}).await.map_err(sort)?;
        // So that it goes when the job does.
        self.remember_kept(view.job.id, segment.saturating_sub(1), found.checkpoint).await?;
        Ok(Some(path))
    }
}

/// The commitment to a segment.
fn commitment(view: &JobView, segment: u32) -> Option<&SegmentCommitment> {
    view.commitments.get(usize::try_from(segment).ok()?)
}

/// The commitment to the segment before this one.
fn before(view: &JobView, segment: u32) -> Option<&SegmentCommitment> {
    commitment(view, segment.checked_sub(1)?)
}

fn unusable(error: TrainError) -> WorkError {
    match error {
        TrainError::Inputs(reason) => WorkError::InputsUnusable(reason),
        other => WorkError::Train(other),
    }
}

fn sort(error: StoreError) -> WorkError {
    if error.is_local() {
        WorkError::Store(error)
    } else {
        WorkError::Unavailable(error)
    }
}

/// The job's training at the start of `segment`: the open one if it stands there, else a new one.
fn open_at(
    bench: &mut Workbench,
    job: &TrainingJob,
    id: JobId,
    segment: u32,
    checkpoint: Option<&Path>,
) -> Result<Box<dyn Training>, TrainError> {
    match bench.take(id, segment) {
        Some(training) => Ok(training),
        None => bench.trainer().open(job, checkpoint),
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
