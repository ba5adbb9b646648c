//! Trainable numbers in one flat tensor.
//!
//! The one idea: all trainable tensors, sorted by name, lie one behind the other in a single vector, and each tensor
//! that the forward pass uses is a view of its part. So gradients, moments, clipping, hashing and saving are single
//! passes over contiguous memory, and "canonical order" is simply the order in memory.

use tch::Tensor;

use crate::{model::FLOAT, Result};

#[cfg(not(target_endian = "little"))]
compile_error!("canonical bytes are little-endian; this target would have to swap them");

/// Where one tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The tensor's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its first element within the flat vector.
    pub offset: i64,
    /// Its number of elements.
    pub count: i64,
}

/// Named trainable tensors over one flat vector.
pub struct Parameters {
    slots: Vec<Slot>,
    flat: Tensor,
    leaves: Vec<Tensor>,
}

impl Parameters {
    /// Takes in initial values; the order of `initial` does not matter. Names must differ.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn new(mut initial: Vec<(String, Tensor)>) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        initial.sort_by(|left, right| left.0.cmp(&right.0));
        let mut slots = Vec::with_capacity(initial.len());
        let mut offset = 0;
        let mut values = Vec::with_capacity(initial.len());
        for (name, tensor) in &initial {
            let count =
                i64::try_from(tensor.numel()).expect("a tensor in memory has fewer than 2^63 elements, qed");
            slots.push(Slot { name: name.clone(), shape: tensor.size(), offset, count });
            values.push(tensor.f_reshape([count])?);
            offset += count;
        }
        let flat = Tensor::f_cat(&values, 0)?;
        let leaf = |slot: &Slot| -> Result<Tensor> {
            let view = flat.f_narrow(0, slot.offset, slot.count)?.f_view(&slot.shape[..])?;
            Ok(view.f_detach()?.f_set_requires_grad(true)?)
        };
        let leaves = slots.iter().map(leaf).collect::<Result<_>>()?;
        Ok(Self { slots, flat, leaves })
    }

    /// Where each tensor lies, sorted by name.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// All values, `[total]`. What is written here is what the next forward pass uses.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// The tensors, in the order of [`Parameters::slots`].
    pub fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }

    /// The tensor called `name`.
    pub fn leaf(&self, name: &str) -> Option<&Tensor> {
        let place = self.slots.binary_search_by(|slot| slot.name.as_str().cmp(name)).ok()?;
        self.leaves.get(place)
    }

    /// A vector of zeros of the size of all values.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn zeros(&self) -> Result<Tensor> {
        Ok(Tensor::f_zeros(self.flat.size(), FLOAT)?)
    }

    /// The gradients of `loss` (one element), `[total]`.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn gradient(&self, loss: &Tensor) -> Result<Tensor> {
        let gradients = Tensor::f_run_backward(&[loss], &self.leaves, false, false)?;
        let _no_grad = tch::no_grad_guard();
        let flat = gradients.iter().map(|g| g.f_reshape([-1])).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_cat(&flat, 0)?)
    }
}

/// The values of a contiguous binary32 tensor.
pub fn values(tensor: &Tensor) -> &[f32] {
    assert!(
        tensor.is_contiguous() && tensor.kind() == tch::Kind::Float,
        "a contiguous binary32 tensor is expected"
    );
    // SAFETY: the tensor is contiguous, so its memory holds `numel` values from `data_ptr` on, which libtorch aligns to
    // 64 bytes. The borrow keeps the tensor alive. Nothing in this crate writes to a tensor while it is borrowed here:
    // writing methods take the tensor mutably or run after the slice's last use, in the one thread that owns it.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr() as *const f32, tensor.numel()) }
}

/// A tensor of the given values, `[values]`.
///
/// # Errors
/// A failure of libtorch.
pub fn tensor(values: &[f32]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?)
}

/// The bytes of binary32 values in little-endian order.
pub fn bytes(values: &[f32]) -> &[u8] {
    // SAFETY: any f32 is four valid bytes, and this target is little-endian (checked above).
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) }
}
