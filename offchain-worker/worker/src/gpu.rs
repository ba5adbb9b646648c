//! What NVIDIA's driver reports, where there is one.
//!
//! Which of these GPUs trains, if one does, the trainer says: they are advertised beside the machine that trains and not as
//! that machine, since a training record must not name hardware that took no part.

use std::ffi::OsStr;

use nvml_wrapper::{error::NvmlError, Nvml};
use serde::{Deserialize, Serialize};

use crate::board::metric;

/// The driver's management library, as the driver installs it.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The GPUs of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// Version of the driver.
    pub driver: String,
    /// The GPUs, in the driver's order; at least one.
    pub devices: Vec<Gpu>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its name, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its memory, in MiB.
    pub memory_mib: u64,
}

/// The GPUs that this process can see; `None` on a machine without driver or GPU, which is nothing to speak of. A driver
/// that does not answer is logged and counts as none.
pub fn gpus() -> Option<Gpus> {
    read(OsStr::new(LIBRARY))
}

fn read(library: &OsStr) -> Option<Gpus> {
    match ask(library) {
        Ok(found) => Some(found).filter(|found| !found.devices.is_empty()),
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded) => None,
        Err(error) => {
            tracing::warn!(
                %error,
                "expected the NVIDIA driver to list its GPUs, found an error; going on without them. `nvidia-smi` tells \
                 more"
            );
            None
        }
    }
}

fn ask(library: &OsStr) -> Result<Gpus, NvmlError> {
    let nvml = Nvml::builder().lib_path(library).init()?;
    let device = |index: u32| -> Result<Gpu, NvmlError> {
        let device = nvml.device_by_index(index)?;
        Ok(Gpu { name: device.name()?, memory_mib: device.memory_info()?.total >> 20 })
    };
    let devices = (0..nvml.device_count()?).map(device).collect::<Result<_, _>>()?;
    Ok(Gpus { driver: nvml.sys_driver_version()?, devices })
}

impl Gpus {
    /// The GPUs in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let clean = |text: &str| text.replace(['\\', '"', '\n'], " ");
        let labels = |index: usize, gpu: &Gpu| {
            format!("{{gpu=\"{index}\",name=\"{}\",driver=\"{}\"}}", clean(&gpu.name), clean(&self.driver))
        };
        let values: Vec<(String, f64)> = self
            .devices
            .iter()
            .enumerate()
            .map(|(index, gpu)| (labels(index, gpu), gpu.memory_mib as f64))
            .collect();
        let mut text = String::new();
        metric(
            &mut text,
            "gpu_memory_mib",
            "gauge",
            "Memory of a GPU that the driver reports, in MiB.",
            &values,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_has_no_gpus_and_goes_on() {
        assert_eq!(read(OsStr::new("libno-such-driver.so.1")), None);
    }

    #[test]
    fn a_library_that_is_not_the_drivers_counts_as_no_gpus() {
        assert_eq!(read(OsStr::new("libc.so.6")), None);
    }

    #[test]
    fn each_gpu_is_a_metric_whatever_its_name() {
        let gpu = |name: &str| Gpu { name: name.into(), memory_mib: 81_559 };
        let gpus = Gpus { driver: "580.1".into(), devices: vec![gpu("H100"), gpu("odd \"name\"")] };
        let text = gpus.prometheus();
        let line = "attune_worker_gpu_memory_mib{gpu=\"0\",name=\"H100\",driver=\"580.1\"} 81559\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("gpu=\"1\",name=\"odd  name \""), "{text}");
    }
}
