//! Where kernels run: a GPU, or the host's stand-in for one.
//!
//! The one idea: both take the same kernel names, grids, parameters and buffers, so everything above this module is tested
//! on a machine without a GPU, and a GPU only changes where the same text runs. All work of a device is in order, on one
//! stream; only a download waits for it.

use std::{
    collections::HashMap,
    ffi::{c_char, c_void, CString},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::Arc,
};

use cudarc::driver::{result as driver, sys, CudaContext, CudaFunction, CudaStream, DevicePtr};

use crate::{
    buffer::{Buffer, Memory, Plain},
    compile::{arch_name, cached, OLDEST},
    error::{Error, Result},
    params::Params,
};

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

extern "C" {
    fn attune_shim_launch(
        name: *const c_char,
        size: u64,
        grid: *const u32,
        threads: u32,
        params: *const c_void,
    ) -> i32;
}

/// A device; a copy is the same one.
#[derive(Clone)]
pub struct Device(pub(crate) Arc<Inner>);

pub(crate) enum Inner {
    Host(Host),
    Cuda(Cuda),
}

/// How the stand-in runs kernels.
#[derive(Default)]
pub(crate) struct Host {
    threads: Option<u32>,
    plain: bool,
}

pub(crate) struct Cuda {
    pub(crate) stream: Arc<CudaStream>,
    functions: HashMap<&'static str, CudaFunction>,
    name: String,
    capability: (i32, i32),
}

impl Cuda {
    /// Makes this device that of the thread, without asking for errors of earlier work as [`CudaContext::bind_to_thread`]
    /// does: those are for whoever uses the device.
    pub(crate) fn bind(&self) {
        // SAFETY: the context lives as long as the stream, which holds it.
        let _ = unsafe { driver::ctx::set_current(self.stream.context().cu_ctx()) };
    }
}

pub(crate) fn refused(what: &'static str) -> impl Fn(cudarc::driver::DriverError) -> Error {
    move |error| Error::Driver { what, message: error.to_string() }
}

/// Does what calls CUDA for the first time. The libraries' functions are looked up when they are first called, and a
/// missing one is a panic of cudarc's; here it is an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
        Err(Error::Library(text.unwrap_or_else(|| "no reason is given".to_string())))
    })
}

/// Lets the driver keep what is freed for the next allocation, until the program ends: it would go back at each wait
/// otherwise, and a step allocates the same again and again. Where that is refused, steps are slower and no worse.
fn keep_memory(context: &CudaContext) {
    if !context.has_async_alloc() {
        return;
    }
    let mut most = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device is the context's, the pool its own, and the attribute is a number of 64 bits.
    let _ = unsafe {
        driver::device::get_default_mem_pool(context.cu_device())
            .and_then(|pool| driver::mem_pool::set_attribute(pool, threshold, (&raw mut most).cast()))
    };
}

impl Device {
    /// The host's stand-in: the same kernels as loops, slow, for tests.
    pub fn host() -> Self {
        Self(Arc::new(Inner::Host(Host::default())))
    }

    /// The stand-in with blocks of so many threads (a power of two from 32 to 256) where a kernel leaves the choice, and
    /// with products by `dp4a` in place of tensor cores if `plain`. No choice moves a bit.
    pub fn host_with(threads: u32, plain: bool) -> Self {
        assert!(
            threads.is_power_of_two() && (32..=MAX_THREADS).contains(&threads),
            "{threads} threads of a block"
        );
        Self(Arc::new(Inner::Host(Host { threads: Some(threads), plain })))
    }

    /// Threads of a block, where they are not a kernel's own choice.
    pub(crate) fn threads(&self) -> Option<u32> {
        match &*self.0 {
            Inner::Host(host) => host.threads,
            Inner::Cuda(_) => None,
        }
    }

    /// Whether products leave the tensor cores alone.
    pub(crate) fn plain_products(&self) -> bool {
        matches!(&*self.0, Inner::Host(Host { plain: true, .. }))
    }

    /// How many GPUs there are.
    ///
    /// # Errors
    /// There is no driver, or it refuses.
    pub fn count() -> Result<usize> {
        // SAFETY: it only opens a library and closes it again.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoDriver);
        }
        guarded(|| {
            driver::init().map_err(|error| match error.0 {
                sys::CUresult::CUDA_ERROR_NO_DEVICE => Error::NoDevice { wanted: 0, found: 0 },
                // What the toolkit brings to link against is no driver.
                sys::CUresult::CUDA_ERROR_STUB_LIBRARY => Error::NoDriver,
                _ => Error::Driver { what: "to start", message: error.to_string() },
            })?;
            let count = CudaContext::device_count().map_err(refused("to count its GPUs"))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
    }

    /// GPU `ordinal`, its kernels compiled or taken from the folder `cache`.
    ///
    /// # Errors
    /// There is no driver, no such GPU or no compiler; GPU or driver are too old; or the driver refuses.
    pub fn cuda(ordinal: usize, cache: Option<PathBuf>) -> Result<Self> {
        let found = match Self::count() {
            Err(Error::NoDevice { found, .. }) => found,
            counted => counted?,
        };
        if ordinal >= found {
            return Err(Error::NoDevice { wanted: ordinal, found });
        }
        guarded(|| {
            let device = Self::open(ordinal, cache)?;
            device.try_out()?;
            Ok(device)
        })
    }

    /// Uses memory and a kernel once, so that what does not work is known before a training.
    fn try_out(&self) -> Result<()> {
        let (mut sum, one) = (self.upload(&[1.0f32; 3])?, self.upload(&[2.0f32; 3])?);
        self.add(sum.all_mut(), one.all())?;
        match sum.download()?[..] == [3.0; 3] {
            true => Ok(()),
            false => Err(Error::Driver { what: "a sum", message: "1 + 2 is not 3 there".to_string() }),
        }
    }

    fn open(ordinal: usize, cache: Option<PathBuf>) -> Result<Self> {
        let context = CudaContext::new(ordinal).map_err(refused("a context"))?;
        // SAFETY: all work is on one stream, so no event has to order it.
        unsafe { context.disable_event_tracking() };
        let capability = context.compute_capability().map_err(refused("its compute capability"))?;
        if capability < OLDEST {
            return Err(Error::TooOld { major: capability.0, minor: capability.1 });
        }
        let cubin = cached(&arch_name(capability), cache.as_deref())?;
        let module = context
            .load_module(cudarc::nvrtc::Ptx::from_binary(cubin))
            .map_err(refused("to load the kernels"))?;
        let function = |name: &&'static str| {
            module.load_function(name).map(|function| (*name, function)).map_err(refused("a kernel"))
        };
        let functions = KERNELS.iter().map(function).collect::<Result<_>>()?;
        let name = context.name().map_err(refused("its name"))?;
        let stream = context.new_stream().map_err(refused("a stream"))?;
        keep_memory(&context);
        Ok(Self(Arc::new(Inner::Cuda(Cuda { stream, functions, name, capability }))))
    }

    /// What it is, for people.
    pub fn name(&self) -> String {
        match &*self.0 {
            Inner::Host(_) => "host".to_string(),
            Inner::Cuda(cuda) => format!("{} ({})", cuda.name, arch_name(cuda.capability)),
        }
    }

    /// Its name as the driver has it, such as `NVIDIA H100 80GB HBM3`.
    pub fn model(&self) -> String {
        match &*self.0 {
            Inner::Host(_) => "host".to_string(),
            Inner::Cuda(cuda) => cuda.name.clone(),
        }
    }

    /// Its memory in bytes; 0 for the host's stand-in, which has none of its own.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn memory_bytes(&self) -> Result<u64> {
        match &*self.0 {
            Inner::Host(_) => Ok(0),
            Inner::Cuda(cuda) => {
                let bytes = cuda.stream.context().total_mem().map_err(refused("the size of its memory"))?;
                Ok(bytes as u64)
            }
        }
    }

    /// Whether it is a GPU.
    pub fn is_gpu(&self) -> bool {
        matches!(&*self.0, Inner::Cuda(_))
    }

    /// Room for `len` numbers, all zero.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn zeros<T: Plain>(&self, len: usize) -> Result<Buffer<T>> {
        let bytes = (len * size_of::<T>()).max(1);
        let (memory, address) = match &*self.0 {
            Inner::Host(_) => {
                let mut memory = vec![0u64; bytes.div_ceil(8)];
                let address = memory.as_mut_ptr() as u64;
                (Memory::Host(memory), address)
            }
            Inner::Cuda(cuda) => {
                let memory = cuda.stream.alloc_zeros::<u8>(bytes).map_err(refused("memory"))?;
                let (address, _guard) = memory.device_ptr(&cuda.stream);
                drop(_guard);
                (Memory::Cuda(memory), address)
            }
        };
        Ok(Buffer::new(self.clone(), address, len, memory))
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn upload<T: Plain>(&self, values: &[T]) -> Result<Buffer<T>> {
        let mut buffer = self.zeros(values.len())?;
        buffer.set(values)?;
        Ok(buffer)
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// The work failed.
    pub fn synchronize(&self) -> Result<()> {
        match &*self.0 {
            Inner::Host(_) => Ok(()),
            Inner::Cuda(cuda) => cuda.stream.synchronize().map_err(refused("to finish")),
        }
    }

    /// Starts a kernel.
    ///
    /// # Safety
    /// Every address in `params` is that of memory of this device, as large as the kernel takes it to be.
    pub(crate) unsafe fn launch<P: Params>(
        &self,
        name: &'static str,
        grid: [usize; 3],
        threads: u32,
        params: &P,
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        for (blocks, most) in grid.into_iter().zip([i32::MAX as usize, 65_535, 65_535]) {
            if blocks > most {
                return Err(Error::TooLarge { what: "blocks of a kernel", most, found: blocks });
            }
        }
        let grid = grid.map(|blocks| blocks as u32);
        match &*self.0 {
            Inner::Host(_) => {
                let text = CString::new(name).expect("a kernel's name holds no zero byte, qed");
                let params = std::ptr::from_ref(params).cast();
                // SAFETY: the shim copies `size` bytes if that is what the kernel takes; the rest is the caller's promise.
                match unsafe {
                    attune_shim_launch(text.as_ptr(), size_of::<P>() as u64, grid.as_ptr(), threads, params)
                } {
                    0 => Ok(()),
                    _ => Err(Error::Kernel { name }),
                }
            }
            Inner::Cuda(cuda) => {
                let function = cuda.functions.get(name).ok_or(Error::Kernel { name })?;
                let mut arguments = [std::ptr::from_ref(params).cast_mut().cast::<c_void>()];
                cuda.stream.context().bind_to_thread().map_err(refused("this thread"))?;
                // SAFETY: the kernel takes one argument, a struct whose size the host's tests check.
                unsafe {
                    driver::launch_kernel(
                        function.cu_function(),
                        (grid[0], grid[1], grid[2]),
                        (threads, 1, 1),
                        0,
                        cuda.stream.cu_stream(),
                        &mut arguments,
                    )
                }
                .map_err(refused("a kernel"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_for_want_of_a_symbol_is_an_error_and_anything_else_passes() {
        let error = guarded::<()>(|| panic!("Missing symbol {}", "cuInit")).unwrap_err().to_string();
        assert!(error.contains("lack something: Missing symbol cuInit; update the driver"), "{error}");
        assert!(guarded::<()>(|| panic!("at all")).unwrap_err().to_string().contains("at all"));
        assert_eq!(guarded(|| Ok(3)).unwrap(), 3);
        let refused = guarded::<()>(|| Err(Error::NoDevice { wanted: 2, found: 1 }));
        assert!(matches!(refused, Err(Error::NoDevice { wanted: 2, found: 1 })));
    }

    #[test]
    fn a_device_that_works_passes_its_trial() {
        Device::host().try_out().unwrap();
    }
}
