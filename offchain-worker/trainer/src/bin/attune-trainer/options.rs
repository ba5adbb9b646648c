//! Options that several commands have. Each stands only on commands that heed it.

use attune_trainer::{Arithmetic, DeviceChoice, ExecutionClass};
use clap::Args;

/// What to compute in.
#[derive(Args)]
pub(crate) struct ArithmeticOptions {
    /// ax1-w8 or ax1-w4 (exact, the same bits on every machine; eight- or four-bit base), float (libtorch's binary32), or an
    /// execution class such as cpu-torch2.11.0-avx2-t2-f32.
    #[arg(long, default_value = "ax1-w8")]
    arithmetic: String,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Args, Clone, Copy)]
pub(crate) struct Threads {
    /// Threads. Exact arithmetic gives the same bits with any number of them.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: u32,
}

/// What to compute on.
#[derive(Args)]
pub(crate) struct DeviceOption {
    /// auto (the first GPU where exact arithmetic can use it, else the CPU), cpu, cuda, or cuda:N for GPU N from 0. Exact
    /// arithmetic gives the same bits on all of them; binary32 is computed on the CPU.
    #[arg(long, env = "ATTUNE_DEVICE", default_value_t)]
    pub(crate) device: DeviceChoice,
}

impl ArithmeticOptions {
    /// The arithmetic; libtorch is pinned to it where it computes.
    pub(crate) fn arithmetic(&self) -> anyhow::Result<Arithmetic> {
        let arithmetic = match self.arithmetic.as_str() {
            "float" => Arithmetic::Float(ExecutionClass::detect(self.threads.threads)?),
            name => name.parse()?,
        };
        if let Arithmetic::Float(class) = arithmetic {
            class.pin()?;
        }
        Ok(arithmetic)
    }

    pub(crate) fn count(&self) -> usize {
        self.threads.threads as usize
    }
}

impl Threads {
    /// Pins libtorch to this machine's class.
    pub(crate) fn pin(self) -> anyhow::Result<()> {
        Ok(ExecutionClass::detect(self.threads)?.pin()?)
    }
}
