//! The execution class: what must be equal on two machines for floating-point training to give equal bits.
//!
//! libtorch chooses its kernels at run time, from the processor's instruction set and the number of threads. Both
//! choices change the order of additions, and so the bits. A class names the choices, as in
//! `cpu-torch2.11.0-avx2-t2-f32`, and [`ExecutionClass::pin`] makes libtorch, oneDNN and MKL take them whatever else
//! the processor could do: a machine with AVX-512 can be in the `avx2` class, one without AVX2 cannot.

use std::{fmt, str::FromStr, sync::Mutex};

use crate::{Error, Result};

/// The libtorch version that this crate is built against; `tch` refuses to be built with another.
pub const TORCH_VERSION: &str = "2.11.0";
/// Most threads that a class may name.
pub const MAX_THREADS: u32 = 256;

/// The instruction set that all kernels are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// AVX2 with FMA: every x86-64 server since 2013, and the slower half of the market can still join.
    Avx2,
    /// AVX-512 (F, BW, CD, DQ, VL).
    Avx512,
}

impl InstructionSet {
    fn name(self) -> &'static str {
        match self {
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// True if this processor has the instruction set.
    fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512cd")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// The environment that holds libtorch's own kernels, oneDNN's and MKL's to this instruction set.
    fn environment(self) -> [(&'static str, &'static str); 3] {
        match self {
            Self::Avx2 => {
                [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_CBWR", "AVX2,STRICT")]
            }
            Self::Avx512 => [
                ("ATEN_CPU_CAPABILITY", "avx512"),
                ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"),
                ("MKL_CBWR", "AVX512,STRICT"),
            ],
        }
    }
}

/// A class of machines that give the same bits. Shown and parsed as `cpu-torch2.11.0-avx2-t2-f32`: device, libtorch
/// version, instruction set, threads, arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionClass {
    instruction_set: InstructionSet,
    threads: u32,
}

/// What this process is pinned to: libtorch reads its settings once, so they cannot change afterwards.
static PINNED: Mutex<Option<ExecutionClass>> = Mutex::new(None);

impl ExecutionClass {
    /// A class on this libtorch with `threads` threads.
    ///
    /// # Errors
    /// `threads` is 0 or above [`MAX_THREADS`].
    pub fn new(instruction_set: InstructionSet, threads: u32) -> Result<Self> {
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::Class(format!("{threads} threads; expected 1 to {MAX_THREADS}")));
        }
        Ok(Self { instruction_set, threads })
    }

    /// The class that most machines can join: AVX2, with `threads` threads.
    ///
    /// # Errors
    /// This machine has no AVX2, or `threads` is out of range.
    pub fn detect(threads: u32) -> Result<Self> {
        let class = Self::new(InstructionSet::Avx2, threads)?;
        class.check_machine()?;
        Ok(class)
    }

    /// The instruction set that kernels are held to.
    pub fn instruction_set(&self) -> InstructionSet {
        self.instruction_set
    }

    /// Threads of every parallel region.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Checks that this machine can run the class.
    ///
    /// # Errors
    /// The processor lacks the instruction set.
    pub fn check_machine(&self) -> Result<()> {
        if self.instruction_set.is_available() {
            return Ok(());
        }
        Err(Error::Class(format!(
            "{self} needs the instruction set {}, which this machine's processor lacks; take a class that it has",
            self.instruction_set.name()
        )))
    }

    /// Holds this process to the class. Call it before any other use of libtorch, best as the first thing in `main`:
    /// libtorch, oneDNN and MKL read their environment once. Calling it again with the same class is free.
    ///
    /// # Errors
    /// The machine cannot run the class; or the process is already pinned to another one; or libtorch had already
    /// started with other settings, which the error names.
    pub fn pin(&self) -> Result<()> {
        self.check_machine()?;
        let mut pinned = PINNED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(other) = *pinned {
            return if other == *self {
                Ok(())
            } else {
                Err(Error::Class(format!(
                    "this process is pinned to {other} and cannot run {self}; start another process for it"
                )))
            };
        }
        for (name, value) in self.instruction_set.environment() {
            std::env::set_var(name, value);
        }
        keep_memory();
        let threads = i32::try_from(self.threads).expect("threads are at most MAX_THREADS, qed");
        // oneDNN and MKL take their thread count from libtorch. The inter-op pool is not used by this crate; it can be
        // set only once in a process, before its first use, so it is left alone.
        tch::set_num_threads(threads);
        let found = tch::get_num_threads();
        if found != threads {
            return Err(Error::Class(format!(
                "libtorch runs {found} threads where {self} asks for {threads}; was it built without OpenMP?"
            )));
        }
        *pinned = Some(*self);
        Ok(())
    }

    /// The class that this process is pinned to, if it is.
    pub fn pinned() -> Option<Self> {
        *PINNED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Has the allocator keep large blocks for the next tensor instead of giving each back to the system: a step asks for
/// the same sizes again and again, and the pages of a fresh block are zeroed one fault at a time. No bit depends on it.
pub(crate) fn keep_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets the allocator's limits; 32 MiB is the largest threshold that it takes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

impl fmt::Display for ExecutionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu-torch{TORCH_VERSION}-{}-t{}-f32", self.instruction_set.name(), self.threads)
    }
}

impl FromStr for ExecutionClass {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |what: String| {
            Error::Class(format!(
                "{text:?}: {what}; expected a name such as cpu-torch{TORCH_VERSION}-avx2-t2-f32"
            ))
        };
        let parts: Vec<&str> = text.split('-').collect();
        let [device, torch, set, threads, arithmetic] = parts.as_slice() else {
            return Err(refuse(format!("{} parts", parts.len())));
        };
        if *device != "cpu" {
            return Err(refuse(format!("device {device:?}")));
        }
        if torch.strip_prefix("torch") != Some(TORCH_VERSION) {
            return Err(refuse(format!("{torch:?} where this trainer has torch{TORCH_VERSION}")));
        }
        let set = [InstructionSet::Avx2, InstructionSet::Avx512]
            .into_iter()
            .find(|known| known.name() == *set)
            .ok_or_else(|| refuse(format!("instruction set {set:?}")))?;
        let count = threads
            .strip_prefix('t')
            .filter(|digits| !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| refuse(format!("threads {threads:?}")))?;
        if *arithmetic != "f32" {
            return Err(refuse(format!("arithmetic {arithmetic:?}")));
        }
        Self::new(set, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_parsed_from_its_own_name() {
        for name in ["cpu-torch2.11.0-avx2-t2-f32", "cpu-torch2.11.0-avx512-t16-f32"] {
            assert_eq!(name.parse::<ExecutionClass>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_malformed_class_is_refused_with_its_bad_part() {
        for (name, part) in [
            ("cpu-torch2.10.0-avx2-t2-f32", "torch2.10.0"),
            ("cuda-torch2.11.0-avx2-t2-f32", "cuda"),
            ("cpu-torch2.11.0-sse-t2-f32", "sse"),
            ("cpu-torch2.11.0-avx2-t0-f32", "t0"),
            ("cpu-torch2.11.0-avx2-t02-f32", "t02"),
            ("cpu-torch2.11.0-avx2-t+2-f32", "t+2"),
            ("cpu-torch2.11.0-avx2-t2-bf16", "bf16"),
            ("cpu-torch2.11.0-avx2-t999-f32", "999"),
            ("cpu", "1 parts"),
        ] {
            let error = name.parse::<ExecutionClass>().expect_err(name).to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
