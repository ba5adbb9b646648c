//! Training behind a trait, and the one thread that does it.
//!
//! [`Trainer`] is what the worker needs of a trainer; [`crate::torch::TorchTrainer`] is the real one, and a test can
//! wrap it to see what becomes of a cheat. libtorch keeps per-thread settings and a session is not meant to move between threads, so an
//! [`Engine`] owns a single thread: work queues up there in order, training and audits alike. A panic in a work item
//! loses the sessions and that item, not the daemon.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    panic::{catch_unwind, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{mpsc, Arc},
    thread,
};

use attune_chain_client::{
    primitives::{proof::SegmentMetrics, JobId},
    types::Spec,
    H256,
};
use tokio::sync::oneshot;

use crate::advert::{machine, Machine};

/// Why training did not go on. What follows depends on whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The model or the data don't fit the specification: the customer's to put right.
    #[error("inputs: {0}")]
    Inputs(String),
    /// Training left the numbers. Everybody who re-executes it finds the same.
    #[error("{0}")]
    Diverged(String),
    /// A checkpoint does not belong to this job and segment.
    #[error("{0}")]
    Checkpoint(String),
    /// The caller asked to stop in the middle of a segment.
    #[error("stopped on request")]
    Stopped,
    /// This machine is at fault: a full disk, memory, a GPU, libtorch. Worth another try.
    #[error("{0}")]
    Machine(String),
}

/// What is to be trained.
#[derive(Clone, Debug)]
pub struct TrainingJob {
    /// Folder of the base model, in Hugging Face layout.
    pub model_dir: PathBuf,
    /// Folder of the packed data.
    pub data_dir: PathBuf,
    /// The specification.
    pub spec: Spec,
}

/// How far a segment is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Optimizer steps done since the start of the job.
    pub step: u64,
    /// Mean loss of the last one, in nats per token.
    pub loss: f32,
    /// Tokens that the last one read, padding included.
    pub tokens: u64,
}

/// What one segment gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOutcome {
    /// State root at its start.
    pub start_root: H256,
    /// State root at its end.
    pub end_root: H256,
    /// The trace T, metrics not folded in.
    pub trace: H256,
    /// What is reported.
    pub metrics: SegmentMetrics,
}

/// Opens trainings.
pub trait Trainer: Send + Sync + 'static {
    /// Opens a training at its start, or where a checkpoint ends.
    ///
    /// # Errors
    /// [`TrainError`].
    fn open(&self, job: &TrainingJob, checkpoint: Option<&Path>) -> Result<Box<dyn Training>, TrainError>;

    /// The machine that trains, as it is advertised and stands in training records.
    fn machine(&self) -> Machine {
        machine()
    }
}

/// An open training. Lives on the engine's thread.
pub trait Training {
    /// The root over the state as it is now.
    ///
    /// # Errors
    /// [`TrainError::Machine`].
    fn state_root(&self) -> Result<H256, TrainError>;

    /// Trains the next segment. `on_step` is called after each step and may stop the segment.
    ///
    /// # Errors
    /// [`TrainError`]; the training cannot go on then, open it again.
    fn run_segment(
        &mut self,
        on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<SegmentOutcome, TrainError>;

    /// Writes a checkpoint of the state as it is now.
    ///
    /// # Errors
    /// [`TrainError::Machine`].
    fn save_checkpoint(&self, path: &Path) -> Result<(), TrainError>;

    /// Writes the adapter in PEFT layout into a folder.
    ///
    /// # Errors
    /// [`TrainError::Machine`].
    fn export(&self, dir: &Path, base_model: &str) -> Result<(), TrainError>;
}

/// What work items see.
pub struct Workbench {
    trainer: Arc<dyn Trainer>,
    open: HashMap<JobId, (u32, Box<dyn Training>)>,
}

impl Workbench {
    /// The trainer.
    pub fn trainer(&self) -> &dyn Trainer {
        &*self.trainer
    }

    /// Takes the job's open training if it stands at the start of `segment`; any other one is closed.
    pub fn take(&mut self, job: JobId, segment: u32) -> Option<Box<dyn Training>> {
        self.open.remove(&job).filter(|(at, _)| *at == segment).map(|(_, training)| training)
    }

    /// Keeps a job's training open at the start of `segment`.
    pub fn keep(&mut self, job: JobId, segment: u32, training: Box<dyn Training>) {
        self.open.insert(job, (segment, training));
    }

    /// Closes a job's training.
    pub fn close(&mut self, job: JobId) {
        self.open.remove(&job);
    }
}

type Item = Box<dyn FnOnce(&mut Workbench) + Send>;

/// The thread that trains. Clones share it; it ends with the last clone.
#[derive(Clone)]
pub struct Engine {
    queue: mpsc::Sender<Item>,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start(trainer: Arc<dyn Trainer>) -> std::io::Result<Self> {
        let (queue, items) = mpsc::channel::<Item>();
        thread::Builder::new().name("engine".into()).spawn(move || {
            let mut bench = Workbench { trainer, open: HashMap::new() };
            for item in items {
                if catch_unwind(AssertUnwindSafe(|| item(&mut bench))).is_err() {
                    // What a panic left half done is not to be trusted.
                    bench.open.clear();
                }
            }
        })?;
        Ok(Self { queue })
    }

    /// Runs a work item on the thread, after those that wait there.
    ///
    /// # Errors
    /// What the item gives; [`TrainError::Machine`] if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Workbench) -> Result<T, TrainError> + Send + 'static,
    ) -> Result<T, TrainError> {
        let (reply, answer) = oneshot::channel();
        let item: Item = Box::new(move |bench| {
            let _ = reply.send(work(bench));
        });
        let gone = |_| TrainError::Machine("the trainer stopped unexpectedly; its log says why".into());
        self.queue.send(item).map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Trainer for Nothing {
        fn open(&self, _: &TrainingJob, _: Option<&Path>) -> Result<Box<dyn Training>, TrainError> {
            Err(TrainError::Inputs("nothing".into()))
        }
    }

    #[tokio::test]
    async fn a_panic_loses_its_item_and_not_the_engine() {
        let engine = Engine::start(Arc::new(Nothing)).unwrap();
        let lost = engine.run::<()>(|_| panic!("on purpose")).await;
        assert!(matches!(lost, Err(TrainError::Machine(_))));
        assert_eq!(engine.run(|_| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn items_run_in_the_order_in_which_they_came() {
        let engine = Engine::start(Arc::new(Nothing)).unwrap();
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let items = (0..20).map(|i| {
            let seen = seen.clone();
            engine.run(move |_| {
                seen.lock().unwrap().push(i);
                Ok(())
            })
        });
        for done in futures::future::join_all(items).await {
            done.unwrap();
        }
        assert_eq!(*seen.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }
}
