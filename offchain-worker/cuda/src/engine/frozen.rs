//! Frozen weights in a device's memory.

use attune_exact::{
    model::{Model, Shape},
    weights::{Frozen, Packed4},
};

use crate::{
    buffer::{Buffer, View},
    device::Device,
    error::Result,
    ops::Operand,
};

/// A frozen matrix `[outputs, inputs]` with one scale per output channel.
pub struct Matrix {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    values: Values,
    pub(super) scales: Buffer<f32>,
}

enum Values {
    W8(Buffer<i8>),
    W4 { nibbles: Buffer<u8>, multipliers: Buffer<u8> },
}

impl Matrix {
    /// In 8 bits: `values` `[scales.len(), inputs]`.
    ///
    /// # Errors
    /// There is no memory.
    pub fn w8(device: &Device, values: &[i8], scales: &[f32], inputs: usize) -> Result<Self> {
        let values = Values::W8(device.upload(values)?);
        Ok(Self { outputs: scales.len(), inputs, values, scales: device.upload(scales)? })
    }

    /// In 4 bits, laid out as in [`Packed4`].
    ///
    /// # Errors
    /// There is no memory.
    pub fn w4(
        device: &Device,
        (nibbles, multipliers): (&[u8], &[u8]),
        scales: &[f32],
        inputs: usize,
    ) -> Result<Self> {
        let values =
            Values::W4 { nibbles: device.upload(nibbles)?, multipliers: device.upload(multipliers)? };
        Ok(Self { outputs: scales.len(), inputs, values, scales: device.upload(scales)? })
    }

    /// The reference's matrix.
    ///
    /// # Errors
    /// There is no memory.
    pub fn of(device: &Device, frozen: &Frozen) -> Result<Self> {
        Self::w8(device, &frozen.values, &frozen.scales, frozen.inputs)
    }

    /// The reference's matrix in 4 bits.
    ///
    /// # Errors
    /// There is no memory.
    pub fn of4(device: &Device, packed: &Packed4) -> Result<Self> {
        Self::w4(device, (&packed.nibbles, &packed.multipliers), &packed.scales, packed.inputs)
    }

    /// As the right operand of y = x Wᵀ.
    pub(super) fn outputs(&self) -> Operand<'_> {
        match &self.values {
            Values::W8(values) => Operand::w8(values.all(), self.outputs, self.inputs),
            Values::W4 { nibbles, multipliers } => {
                Operand::w4(nibbles.all(), multipliers.all(), self.outputs, self.inputs)
            }
        }
    }

    /// As the right operand of dx = dy W.
    pub(super) fn inputs(&self) -> Operand<'_> {
        self.outputs().transposed()
    }

    /// The integers of a matrix in 8 bits.
    pub(super) fn values(&self) -> View<'_, i8> {
        match &self.values {
            Values::W8(values) => values.all(),
            Values::W4 { .. } => unreachable!("embedding and output projection are always held in 8 bits"),
        }
    }
}

/// One block.
pub struct Layer {
    /// `[H]`
    pub input_norm: Buffer<f32>,
    /// q, k, v, one above the other.
    pub qkv: Matrix,
    /// `[query + 2 kv]`, for shapes that have it.
    pub qkv_bias: Option<Buffer<f32>>,
    /// `[H, query]`
    pub output: Matrix,
    /// `[H]`
    pub post_norm: Buffer<f32>,
    /// gate, up, one above the other.
    pub gate_up: Matrix,
    /// `[H, I]`
    pub down: Matrix,
}

/// A frozen model.
pub struct Weights {
    /// Its shape.
    pub shape: Shape,
    /// `[V, H]`, in 8 bits.
    pub embedding: Matrix,
    /// In order.
    pub layers: Vec<Layer>,
    /// `[H]`
    pub norm: Buffer<f32>,
    /// `[V, H]` in 8 bits, where it is not the embedding.
    pub head: Option<Matrix>,
}

impl Weights {
    /// The reference's model.
    ///
    /// # Errors
    /// There is no memory.
    pub fn of(device: &Device, model: &Model) -> Result<Self> {
        let layer = |block: &attune_exact::model::Block| {
            Ok(Layer {
                input_norm: device.upload(&block.input_norm)?,
                qkv: Matrix::of(device, &block.qkv)?,
                qkv_bias: block.qkv_bias.as_ref().map(|bias| device.upload(bias)).transpose()?,
                output: Matrix::of(device, &block.output)?,
                post_norm: device.upload(&block.post_norm)?,
                gate_up: Matrix::of(device, &block.gate_up)?,
                down: Matrix::of(device, &block.down)?,
            })
        };
        Ok(Self {
            shape: model.shape.clone(),
            embedding: Matrix::of(device, &model.embedding)?,
            layers: model.blocks.iter().map(layer).collect::<Result<_>>()?,
            norm: device.upload(&model.final_norm)?,
            head: model.head.as_ref().map(|head| Matrix::of(device, head)).transpose()?,
        })
    }

    pub(super) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}
