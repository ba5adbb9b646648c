//! Which instruction set a call runs on.
//!
//! A program is built once, for the oldest machine of its kind, and looks at run time what else there is. Every path
//! yields the same bits, so the choice is one of speed alone; tests run all that a machine has in one process.

use crate::product::portable::Portable;
use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::product::{avx2, avx512};

#[cfg(target_arch = "aarch64")]
use crate::product::neon;

/// The environment variable that forces a path by its name.
pub const ENVIRONMENT: &str = "ATTUNE_KERNELS";

/// One of the paths that this machine can run. There is no way to make one that it cannot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(Path);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// Why a path could not be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a kernel path that this machine has ({available}), found '{found}'; set {ENVIRONMENT} to one of them, or unset it to have the fastest chosen")]
pub struct IsaError {
    /// The name asked for.
    pub found: String,
    /// The names that this machine has, the fastest first.
    pub available: String,
}

/// Work that is compiled once for each instruction set.
///
/// `run` must be `#[inline(always)]`, and so must be whatever it calls that ought to be vectorised: a function of its
/// own would be compiled for the oldest machine.
pub(crate) trait Job {
    /// Does the work with the tiles of one instruction set.
    fn run<K: crate::product::Kernel<C>, const C: usize>(self, kernel: K);
}

impl Isa {
    /// The fastest path of this machine, or the one that `ATTUNE_KERNELS` names.
    ///
    /// # Errors
    /// `ATTUNE_KERNELS` names a path that this machine does not have.
    pub fn detect() -> Result<Isa, IsaError> {
        match std::env::var_os(ENVIRONMENT) {
            Some(name) => Isa::from_name(&name.to_string_lossy()),
            None => Ok(Isa::available()[0]),
        }
    }

    /// The path of this name: `portable`, `avx2`, `avxvnni`, `avx512vnni` or `neon`.
    ///
    /// # Errors
    /// There is no such path, or not on this machine.
    pub fn from_name(name: &str) -> Result<Isa, IsaError> {
        let available = Isa::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| IsaError {
            found: name.to_owned(),
            available: available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// All paths of this machine, the fastest first; never empty.
    pub fn available() -> Vec<Isa> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            // Both VNNI paths use AVX2 for what is not a product.
            let avx2 = is_x86_feature_detected!("avx2");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 && is_x86_feature_detected!("avx512vnni") {
                paths.push(Isa(Path::Avx512Vnni));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                paths.push(Isa(Path::AvxVnni));
            }
            if avx2 {
                paths.push(Isa(Path::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            paths.push(Isa(Path::Neon));
        }
        paths.push(Isa(Path::Portable));
        paths
    }

    /// The name that [`Isa::from_name`] and `ATTUNE_KERNELS` know it by.
    pub fn name(self) -> &'static str {
        match self.0 {
            Path::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Path::AvxVnni => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Vnni => "avx512vnni",
            #[cfg(target_arch = "aarch64")]
            Path::Neon => "neon",
        }
    }

    /// Runs a job with this path's instructions switched on.
    pub(crate) fn enter<J: Job>(self, job: J) {
        match self.0 {
            Path::Portable => job.run(Portable),
            // SAFETY (all below): `Isa::available` is the only place that makes these, after it has seen that the
            // machine has every feature that the door enables.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { avx2::enter(job) },
            #[cfg(target_arch = "x86_64")]
            Path::AvxVnni => unsafe { avx2::enter_vnni(job) },
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Vnni => unsafe { avx512::enter(job) },
            #[cfg(target_arch = "aarch64")]
            Path::Neon => unsafe { neon::enter(job) },
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
