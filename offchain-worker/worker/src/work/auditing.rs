//! An auditor's work: re-executing a segment, the verdict, and the checkpoint that is kept for others.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use attune_chain_client::{
    primitives::{hashing::blake2_256_parts, proof::SegmentCommitment, trace, JobId},
    types::{AuditInfo, ModelInfo},
    H256,
};
use attune_store::{ManifestLimits, Url};
use tokio::time::timeout;

use super::{
    artifact, blocking, disk, expect_root, random32, sort, Tools, WorkError, MANIFEST_BYTES,
    MAX_CHECKPOINT_BYTES,
};
use crate::{
    engine::TrainError,
    handover,
    jobdir::{KeptFile, VerdictFile},
    view::JobView,
};

impl Tools {
    /// Re-executes a segment of another provider and keeps the verdict.
    ///
    /// # Errors
    /// [`WorkError::Unavailable`] if an input could not be fetched and [`WorkError::Slow`] if not within `patience`: who
    /// serves byte by byte must not keep an auditor from its verdict. The caller decides when to give up, see
    /// [`Tools::give_up`]. Other errors are this machine's.
    pub async fn audit(
        &self,
        view: JobView,
        audit: AuditInfo,
        model: ModelInfo,
        peers: Vec<Url>,
        patience: Duration,
    ) -> Result<VerdictFile, WorkError> {
        let (job, segment) = (&view.job, audit.segment);
        let fetched = timeout(patience, self.fetch_inputs(&view, segment, &model, &peers)).await;
        let start = fetched.map_err(|_| WorkError::Slow(patience))??;
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
