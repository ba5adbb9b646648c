//! What can go wrong between a program and its GPU.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no CUDA driver on this machine.
    #[error(
        "expected NVIDIA's driver (libcuda.so), found none: install the driver, or train on the CPU; in a container, \
         start it with access to the GPU"
    )]
    NoDriver,
    /// A library of CUDA lacks a function that is called.
    #[error(
        "expected NVIDIA's driver and run-time compiler of CUDA 13.0 or later, found libraries that lack something: {0}; \
         update the driver"
    )]
    Library(String),
    /// There is no NVRTC.
    #[error(
        "expected NVIDIA's run-time compiler (libnvrtc.so, CUDA 13.0), found none: install CUDA's nvrtc package, or put \
         its folder on LD_LIBRARY_PATH"
    )]
    NoCompiler,
    /// There is no GPU of that number.
    #[error(
        "expected GPU {wanted}, found {found} of them, counted from 0: choose another, or check nvidia-smi"
    )]
    NoDevice {
        /// Which one was asked for.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The GPU is too old.
    #[error("expected a GPU of compute capability 7.5 or later, found {major}.{minor}: use a newer GPU, or the CPU")]
    TooOld {
        /// Of its compute capability.
        major: i32,
        /// Of its compute capability.
        minor: i32,
    },
    /// The driver refused a call.
    #[error("the CUDA driver refused {what}: {message}")]
    Driver {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        message: String,
    },
    /// The kernels did not compile.
    #[error("the kernels did not compile for {arch}: {log}")]
    Compile {
        /// The architecture, as `sm_90`.
        arch: String,
        /// What the compiler said.
        log: String,
    },
    /// The cache of compiled kernels cannot be written.
    #[error("cannot keep compiled kernels in {}: {source}; make it writable or name another folder", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Operands do not fit each other.
    #[error("{what}: expected {expected}, found {found}; pass buffers of the sizes that the shapes say")]
    Shape {
        /// Of which operator.
        what: &'static str,
        /// What it needs.
        expected: usize,
        /// What it was given.
        found: usize,
    },
    /// Something is larger than a kernel can count.
    #[error("{what}: expected at most {most}, found {found}; split the work")]
    TooLarge {
        /// What is.
        what: &'static str,
        /// The most that works.
        most: usize,
        /// What it was given.
        found: usize,
    },
    /// The kernels compiled for the host know no such kernel, or other parameters of it.
    #[error("kernel {name} and its parameters in Rust differ: correct `params` or `kernels/`")]
    Kernel {
        /// Its name.
        name: &'static str,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
