//! What can go wrong in the trainer, in the words of the person who has to put it right.

use std::path::{Path, PathBuf};

use crate::DeviceChoice;

/// The trainer's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that the trainer refuses or fails at. Each message names what was expected, what was found, and
/// what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be trained with.
    #[error("training configuration: {0}")]
    Config(String),
    /// A model directory whose shape is not supported or whose `config.json` cannot be read.
    #[error("model {}: {reason}", path.display())]
    Model {
        /// The file at fault.
        path: PathBuf,
        /// What was found and what is supported.
        reason: String,
    },
    /// A safetensors file that is damaged, or lacks a tensor, or holds one of another shape.
    #[error("weights {}: {reason}", path.display())]
    Weights {
        /// The file at fault.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// Packed data that do not fit the model or the configuration.
    #[error("packed data: {0}")]
    Data(String),
    /// A checkpoint that does not belong to this job, class, or place in the job.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The checkpoint's file.
        path: PathBuf,
        /// What the checkpoint says and what the session says.
        reason: String,
    },
    /// An adapter directory that cannot be applied to this model.
    #[error("adapter {}: {reason}", path.display())]
    Adapter {
        /// The file at fault.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// An execution class that is malformed or that this machine cannot run.
    #[error("execution class: {0}")]
    Class(String),
    /// A device that was asked for and cannot be trained on.
    #[error("device {choice}: {reason}")]
    Device {
        /// What was asked for.
        choice: DeviceChoice,
        /// What was found, and what to change.
        reason: String,
    },
    /// A GPU failed while it was in use.
    #[error(
        "the GPU failed: {0}. Nothing after the last checkpoint is kept; resume from there, on the CPU if it fails again"
    )]
    Cuda(#[from] attune_cuda::Error),
    /// Training left the numbers: a loss or a gradient that is not finite.
    #[error(
        "training stopped at step {step}: {what} is {value}. Lower the learning rate or check the data; nothing \
         after the last checkpoint is kept"
    )]
    NotFinite {
        /// The optimizer step, counted from 0.
        step: u64,
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A check of exact arithmetic failed; the fault is the same on every machine.
    #[error(
        "training stopped: {0}. Lower the learning rate or check the data; nothing after the last checkpoint is kept"
    )]
    Fault(attune_exact::fault::Fault),
    /// A check of exact arithmetic failed while the held-out loss was measured.
    #[error("the held-out loss cannot be measured: a value is infinite or NaN in {operator}. Lower the learning rate")]
    HeldOut {
        /// What failed.
        operator: attune_exact::fault::Operator,
    },
    /// The caller asked to stop; the segment is incomplete and is to be run again from its start.
    #[error("stopped on request at step {step}; resume from the last checkpoint")]
    Stopped {
        /// The next optimizer step that would have run, counted from 0.
        step: u64,
    },
    /// A file that could not be read or written.
    #[error("{action} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was being done, as "writing" or "reading".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A call into libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            " (the disk is full: free some space and go on; the previous file is untouched)"
        }
        _ => "",
    }
}

impl Error {
    /// An input or output error on `path`; `action` is "reading", "writing" and the like.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}
