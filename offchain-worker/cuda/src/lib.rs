//! Exact arithmetic (`exact/SPEC.md`) on NVIDIA GPUs.
//!
//! The one idea: **one text, two compilers**. The kernels of `kernels/` are written as lists of phases between barriers
//! (`kernels/shim.cuh`). NVRTC makes a CUBIN of them for the GPU that is there ([`compile`]); a host compiler makes plain
//! loops of them, and every test that a GPU would pass runs on those, bit for bit against `attune-exact`.
//!
//! Map:
//! * [`Device`], [`Buffer`] - where kernels run, a GPU or the host's stand-in, and memory there.
//! * [`ops`] - the operators: shapes checked, a kernel started.
//! * [`compile`] - from the kernels' text to a CUBIN, kept on disk.
//! * [`engine`] - a whole optimizer step.
//! * [`check`] - every operator against the reference, for the tests and for `attune-gpu-check`.
//!
//! **Invariant:** no kernel meets a real but through the one-operation functions of `kernels/shim.cuh`; constants come from
//! `attune-exact` by their bits, through the build script.

mod buffer;
pub mod check;
pub mod compile;
mod device;
pub mod engine;
mod error;
pub mod ops;
mod params;

pub use buffer::{Buffer, Plain, View, ViewMut};
pub use device::{Device, KERNELS, MAX_THREADS};
pub use error::{Error, Result};
