//! The trainer: models, data, LoRA, and training whose every step can be done again elsewhere with the same bits.
//!
//! The one idea: a [`session::Session`] is a pure function of its inputs (model directory, packed data, configuration,
//! execution class). It holds no clock, no random source and no thread count of its own choosing, so whoever has the
//! inputs and the checkpoint at a segment's start gets the same checkpoint at its end, and the same trace.
//!
//! Map:
//! - [`spec`], [`weights`]: a Hugging Face directory, read and checked.
//! - [`model`], [`generate`]: the forward pass, and answers with a key-value cache.
//! - [`lora`], [`peft`]: adapters, and the format in which the field exchanges them.
//! - [`batch`], [`block`], [`gradient`], [`loss`], [`optimizer`], [`schedule`], [`parameters`], [`random`]: what one optimizer step consists of.
//! - [`config`], [`arithmetic`], [`class`]: what fixes the result, and who can get the same bits.
//! - [`session`], [`state`], [`checkpoint`]: training in segments, state roots, and files to resume from.
//! - [`device`]: CPU or GPU, which leaves no mark on the result; [`compare`] proves it of a GPU.
//! - [`dequantise`]: the base model as exact arithmetic sees it, for others to compare with.
//! - [`evaluate`]: held-out loss and exact match. [`pretrain`]: a small base model from nothing.
//! - [`data`]: from JSONL to packed rows.
//!
//! **Invariant:** the trainer knows no chain: it takes hashes and numbers, and gives hashes and numbers.

pub mod arithmetic;
pub mod batch;
pub mod block;
pub mod checkpoint;
pub mod class;
pub mod compare;
pub mod config;
pub mod data;
pub mod dequantise;
pub mod device;
mod engine;
pub mod error;
pub mod evaluate;
pub mod files;
pub mod generate;
pub mod gradient;
pub mod lora;
pub mod loss;
pub mod model;
pub mod optimizer;
pub mod parameters;
pub mod peft;
pub mod pretrain;
pub mod random;
pub mod schedule;
pub mod session;
pub mod spec;
pub mod state;
pub mod weights;

pub use arithmetic::{Arithmetic, BaseFormat};
pub use class::ExecutionClass;
pub use config::TrainConfig;
pub use device::{DeviceChoice, Placement};
pub use error::{Error, Result};
pub use session::{SegmentReport, Session, SessionInputs, StepReport};

/// Version of the trainer's numerical behaviour. Two trainers of one version and one execution class give the same
/// bits; whatever changes a bit raises it.
pub const ENGINE_VERSION: u32 = 2;
