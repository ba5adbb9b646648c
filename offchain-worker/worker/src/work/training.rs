//! A provider's work: inputs into place, segment after segment, the adapter.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
};

use attune_chain_client::{
    primitives::JobId,
    quote,
    types::{JobInfo, ModelInfo},
    H256,
};
use attune_store::{ManifestLimits, Url};

use super::{artifact, blocking, disk, expect_root, random32, sort, Tools, WorkError, MAX_CHECKPOINT_BYTES};
use crate::{
    engine::{SegmentOutcome, Step, TrainError, Training, TrainingJob, Workbench},
    jobdir::{JobDir, ResultFile, SegmentFile},
};

impl Tools {
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
}

fn unusable(error: TrainError) -> WorkError {
    match error {
        TrainError::Inputs(reason) => WorkError::InputsUnusable(reason),
        other => WorkError::Train(other),
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
