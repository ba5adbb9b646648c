//! Where a training runs: on the CPU, or on a GPU.
//!
//! The one idea: in exact arithmetic the device leaves no mark on the result, so it is a choice of whoever runs the
//! trainer and no part of the training. Binary32 is only the same within its execution class, and in this form every
//! class is one of CPUs.

use std::{env, fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;

use crate::{Arithmetic, Error, Result};

/// The GPU that is taken when nobody names one.
const FIRST: usize = 0;

/// A device to train on. Shown and parsed as `auto`, `cpu`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
// The hidden choice is for tests of other crates; whoever matches on the others is to hear of a new one.
#[allow(clippy::manual_non_exhaustive)]
pub enum DeviceChoice {
    /// The first GPU where it can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number, from 0, in CUDA's order.
    Cuda(usize),
    /// The GPU's kernels, compiled for the host: slow, and for tests. No text names it.
    #[doc(hidden)]
    HostKernels,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::HostKernels => write!(f, "the host's stand-in for a GPU"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(FIRST)),
            _ => (text.strip_prefix("cuda:").and_then(number).flatten().map(Self::Cuda))
                .ok_or_else(|| format!("expected auto, cpu, cuda or a GPU such as cuda:1, found {text:?}")),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A GPU that trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number, from 0, in CUDA's order.
    pub number: usize,
    /// Its name, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
}

/// Where a training runs, and why there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The GPU; none on the CPU.
    pub gpu: Option<Gpu>,
    /// Why, in words.
    pub reason: String,
}

impl Placement {
    /// The device alone, in words.
    pub fn device(&self) -> String {
        match &self.gpu {
            Some(Gpu { number, name, .. }) => format!("GPU {number}, {name}"),
            None => "CPU".to_string(),
        }
    }

    fn cpu(reason: impl Into<String>) -> Self {
        Self { gpu: None, reason: reason.into() }
    }

    /// On the CPU, since the GPU that would have been taken cannot be used.
    pub(crate) fn refused(error: &attune_cuda::Error) -> Self {
        Self::cpu(format!("no GPU can be used: {error}"))
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device(), self.reason)
    }
}

impl DeviceChoice {
    /// Where a training in `arithmetic` would run now. A GPU is opened to find out, and closed again.
    ///
    /// # Errors
    /// The GPU that is asked for cannot be used, or not in this arithmetic: the error says what was found.
    pub fn place(self, arithmetic: Arithmetic) -> Result<Placement> {
        Ok(self.open(arithmetic)?.1)
    }

    /// The device, none for the CPU.
    pub(crate) fn open(self, arithmetic: Arithmetic) -> Result<(Option<attune_cuda::Device>, Placement)> {
        if self == Self::HostKernels {
            let placement = Placement::cpu("the GPU's kernels, compiled for the host");
            return Ok((Some(attune_cuda::Device::host()), placement));
        }
        self.choose(arithmetic, open_gpu)
    }

    /// The rule. `open` opens a GPU.
    fn choose<D>(
        self,
        arithmetic: Arithmetic,
        open: impl FnOnce(usize) -> attune_cuda::Result<(D, Gpu)>,
    ) -> Result<(Option<D>, Placement)> {
        let refuse = |reason: String| Error::Device { choice: self, reason };
        let here = |(device, gpu), reason: &str| {
            Ok((Some(device), Placement { gpu: Some(gpu), reason: reason.to_string() }))
        };
        match (self, arithmetic) {
            (Self::Cpu | Self::HostKernels, _) => Ok((None, Placement::cpu("as asked for"))),
            (Self::Auto, Arithmetic::Float(_)) => {
                let reason = "binary32 is computed on the CPU in this form, exact arithmetic on GPUs too";
                Ok((None, Placement::cpu(reason)))
            }
            (Self::Cuda(_), Arithmetic::Float(class)) => Err(refuse(format!(
                "expected exact arithmetic, found {class}, which is computed on the CPU in this form; take --device cpu, or \
                 --arithmetic ax1-w8"
            ))),
            (Self::Auto, Arithmetic::Exact(_)) => match open(FIRST) {
                Ok(found) => here(found, "found by itself"),
                Err(error) => Ok((None, Placement::refused(&error))),
            },
            (Self::Cuda(number), Arithmetic::Exact(_)) => match open(number) {
                Ok(found) => here(found, "as asked for"),
                Err(error) => Err(refuse(error.to_string())),
            },
        }
    }
}

/// Where compiled kernels are kept: `cubin` in ATTUNE_CACHE, or in the user's own cache.
fn cubins() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own =
        || Some(folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?.join("attune"));
    Some(folder("ATTUNE_CACHE").or_else(own)?.join("cubin"))
}

fn open_gpu(number: usize) -> attune_cuda::Result<(attune_cuda::Device, Gpu)> {
    let device = match attune_cuda::Device::cuda(number, cubins()) {
        // A folder that cannot be written costs some seconds of compiling, no more.
        Err(attune_cuda::Error::Cache { .. }) => attune_cuda::Device::cuda(number, None)?,
        opened => opened?,
    };
    let gpu = Gpu { number, name: device.model(), memory_bytes: device.memory_bytes()? };
    Ok((device, gpu))
}

#[cfg(test)]
mod tests {
    use attune_cuda::Error as CudaError;

    use super::*;
    use crate::BaseFormat;

    const EXACT: Arithmetic = Arithmetic::Exact(BaseFormat::W8);

    fn float() -> Arithmetic {
        "cpu-torch2.11.0-avx2-t2-f32".parse().unwrap()
    }

    fn gpu(number: usize) -> attune_cuda::Result<(usize, Gpu)> {
        Ok((number, Gpu { number, name: "a GPU".into(), memory_bytes: 1 }))
    }

    fn none(wanted: usize) -> attune_cuda::Result<(usize, Gpu)> {
        Err(CudaError::NoDevice { wanted, found: 1 })
    }

    fn untouched(_: usize) -> attune_cuda::Result<(usize, Gpu)> {
        panic!("no GPU is to be opened")
    }

    #[test]
    fn a_device_is_parsed_from_its_own_name_and_nothing_else_is() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(12)] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        let host = DeviceChoice::HostKernels.to_string();
        for text in ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda0", "host", &host] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("cuda:1") && error.contains(&format!("{text:?}")), "{error}");
        }
        assert_eq!(serde_json::from_str::<DeviceChoice>("\"cuda:3\"").unwrap(), DeviceChoice::Cuda(3));
        assert!(serde_json::from_str::<DeviceChoice>("\"host\"").is_err());
    }

    #[test]
    fn auto_takes_the_first_gpu_for_exact_arithmetic_and_else_the_cpu_with_a_reason() {
        let (device, placement) = DeviceChoice::Auto.choose(EXACT, gpu).unwrap();
        assert_eq!(device, Some(0));
        assert_eq!(placement.to_string(), "GPU 0, a GPU (found by itself)");
        let (device, placement) = DeviceChoice::Auto.choose(EXACT, none).unwrap();
        assert_eq!((device, &placement.gpu), (None, &None));
        assert!(placement.to_string().contains("expected GPU 0, found 1"), "{placement}");
        let (device, placement) = DeviceChoice::Auto.choose(float(), untouched).unwrap();
        assert_eq!(device, None);
        assert!(placement.to_string().contains("binary32 is computed on the CPU"), "{placement}");
    }

    #[test]
    fn a_gpu_that_is_asked_for_is_taken_or_the_error_says_what_was_found() {
        assert_eq!(DeviceChoice::Cuda(3).choose(EXACT, gpu).unwrap().0, Some(3));
        let error = DeviceChoice::Cuda(3).choose(EXACT, none).unwrap_err().to_string();
        assert!(error.starts_with("device cuda:3: expected GPU 3, found 1"), "{error}");
        let error = DeviceChoice::Cuda(0).choose(float(), untouched).unwrap_err().to_string();
        assert!(error.contains("found cpu-torch2.11.0-avx2-t2-f32, which is computed on the CPU"), "{error}");
    }

    #[test]
    fn the_cpu_is_taken_as_asked_for() {
        for arithmetic in [EXACT, float()] {
            let (device, placement) = DeviceChoice::Cpu.choose(arithmetic, untouched).unwrap();
            assert_eq!((device, placement.to_string().as_str()), (None, "CPU (as asked for)"));
        }
    }
}
