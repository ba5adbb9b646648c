//! Memory of a device.
//!
//! The one idea: a buffer owns memory, a view borrows some of it; kernels only take views, so a buffer that a kernel writes is
//! borrowed alone, as with slices.

use std::{marker::PhantomData, ops::Range};

use cudarc::driver::CudaSlice;

use crate::{
    device::{refused, Device, Inner},
    error::{Error, Result},
};

/// A number that lies in a device's memory.
///
/// # Safety
/// Any bytes make a value, and the type has neither padding nor pointers.
pub unsafe trait Plain: Copy + Default + PartialEq + std::fmt::Debug + 'static {}
// SAFETY: plain numbers.
unsafe impl Plain for i8 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for i16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for i64 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}

/// Whose memory it is.
pub(crate) enum Memory {
    Host(Vec<u64>),
    Cuda(CudaSlice<u8>),
}

/// Numbers in a device's memory.
pub struct Buffer<T> {
    device: Device,
    address: u64,
    len: usize,
    memory: Memory,
    of: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    pub(crate) fn new(device: Device, address: u64, len: usize, memory: Memory) -> Self {
        Self { device, address, len, memory, of: PhantomData }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, to read.
    pub fn all(&self) -> View<'_, T> {
        View { address: self.address, len: self.len, of: PhantomData }
    }

    /// All of them, to write.
    pub fn all_mut(&mut self) -> ViewMut<'_, T> {
        ViewMut { address: self.address, len: self.len, of: PhantomData }
    }

    /// Overwrites all of them.
    ///
    /// # Errors
    /// `values` are not as many; or the copy fails.
    pub fn set(&mut self, values: &[T]) -> Result<()> {
        if values.len() != self.len {
            return Err(Error::Shape { what: "upload", expected: self.len, found: values.len() });
        }
        // SAFETY: `Plain` values are readable as bytes.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
        match (&mut self.memory, &*self.device.0) {
            // SAFETY: the memory is at least as large, and its own.
            (Memory::Host(memory), _) => unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.as_mut_ptr().cast(), bytes.len());
            },
            (Memory::Cuda(memory), Inner::Cuda(cuda)) if !bytes.is_empty() => {
                cuda.stream.memcpy_htod(bytes, memory).map_err(refused("an upload"))?;
                cuda.stream.synchronize().map_err(refused("an upload"))?;
            }
            (Memory::Cuda(_), _) => {}
        }
        Ok(())
    }

    /// Makes all of them zero.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn clear(&mut self) -> Result<()> {
        match (&mut self.memory, &*self.device.0) {
            (Memory::Host(memory), _) => memory.fill(0),
            (Memory::Cuda(memory), Inner::Cuda(cuda)) => {
                cuda.stream.memset_zeros(memory).map_err(refused("to clear memory"))?;
            }
            (Memory::Cuda(_), Inner::Host(_)) => {}
        }
        Ok(())
    }

    /// A copy of all of them, once the work so far is done.
    ///
    /// # Errors
    /// The work or the copy failed.
    pub fn download(&self) -> Result<Vec<T>> {
        let mut values = vec![T::default(); self.len];
        // SAFETY: any bytes make `Plain` values.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), self.len * size_of::<T>())
        };
        match (&self.memory, &*self.device.0) {
            // SAFETY: the memory is at least as large.
            (Memory::Host(memory), _) => unsafe {
                std::ptr::copy_nonoverlapping(memory.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len());
            },
            (Memory::Cuda(memory), Inner::Cuda(cuda)) if !bytes.is_empty() => {
                cuda.stream
                    .memcpy_dtoh(&memory.slice(..bytes.len()), bytes)
                    .map_err(refused("a download"))?;
                cuda.stream.synchronize().map_err(refused("a download"))?;
            }
            (Memory::Cuda(_), _) => {}
        }
        Ok(values)
    }
}

impl<T> Drop for Buffer<T> {
    /// Makes the device that of this thread, which may be another than all that used the memory: the driver frees in the
    /// thread's own context. Where that is refused, the free that follows is, and the device says so when it is used next.
    fn drop(&mut self) {
        if let Inner::Cuda(cuda) = &*self.device.0 {
            cuda.bind();
        }
    }
}

/// Some numbers of a buffer, to read.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    pub(crate) address: u64,
    pub(crate) len: usize,
    of: PhantomData<&'a T>,
}

/// Some numbers of a buffer, to write.
pub struct ViewMut<'a, T> {
    pub(crate) address: u64,
    pub(crate) len: usize,
    of: PhantomData<&'a mut T>,
}

impl<T: Plain> View<'_, T> {
    /// A part.
    ///
    /// # Panics
    /// `range` leaves the view.
    pub fn range(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        Self {
            address: self.address + (range.start * size_of::<T>()) as u64,
            len: range.len(),
            of: PhantomData,
        }
    }

    /// From `start` on.
    ///
    /// # Panics
    /// `start` lies behind the view.
    pub fn from(self, start: usize) -> Self {
        self.range(start..self.len)
    }
}

impl<T: Plain> ViewMut<'_, T> {
    /// A part.
    ///
    /// # Panics
    /// `range` leaves the view.
    pub fn range(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        Self {
            address: self.address + (range.start * size_of::<T>()) as u64,
            len: range.len(),
            of: PhantomData,
        }
    }

    /// From `start` on.
    ///
    /// # Panics
    /// `start` lies behind the view.
    pub fn from(self, start: usize) -> Self {
        let end = self.len;
        self.range(start..end)
    }

    /// The same, for a shorter time.
    pub fn again(&mut self) -> ViewMut<'_, T> {
        ViewMut { address: self.address, len: self.len, of: PhantomData }
    }
}
