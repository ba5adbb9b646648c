//! Frozen weights (SPEC.md, section 3): int8 with a scale per output channel, and 4 bits that unfold to the same.
//!
//! The one idea: a 4-bit group has an integer multiplier, so that its values times the multiplier are int8 values of the
//! channel's own scale. Nothing after the unfolding can tell how a matrix was stored.

use alloc::{vec, vec::Vec};

use crate::{
    element::Operand,
    mantissa::{max_magnitude_bits, NotFinite, INFINITY_BITS},
    real::{int, pow2},
};

/// Inputs that share a multiplier in [`Packed4`].
pub const GROUP: usize = 32;

/// A frozen matrix `[outputs, inputs]`: weight (o, i) is `values[o, i] * scales[o]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// Output channels.
    pub outputs: usize,
    /// Inputs.
    pub inputs: usize,
    /// Integers in −127..=127, `[outputs, inputs]`.
    pub values: Vec<i8>,
    /// `[outputs]`
    pub scales: Vec<f32>,
}

impl Frozen {
    /// One output channel.
    pub fn row(&self, output: usize) -> Operand<'_, i8> {
        let values = &self.values[output * self.inputs..(output + 1) * self.inputs];
        Operand { values, scale: self.scales[output] }
    }

    /// The integers of each input, one vector `[outputs]` per input.
    pub fn columns(&self) -> Vec<Vec<i8>> {
        let column =
            |input| (0..self.outputs).map(|output| self.values[output * self.inputs + input]).collect();
        (0..self.inputs).map(column).collect()
    }

    /// Matrices of equal inputs, one above the other.
    pub fn stack(parts: &[Frozen]) -> Frozen {
        let mut all = Frozen { outputs: 0, inputs: parts[0].inputs, values: vec![], scales: vec![] };
        for part in parts {
            assert_eq!(part.inputs, all.inputs, "stacked matrices read the same input");
            all.outputs += part.outputs;
            all.values.extend(&part.values);
            all.scales.extend(&part.scales);
        }
        all
    }
}

/// A frozen matrix in 4 bits a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed4 {
    /// Output channels.
    pub outputs: usize,
    /// Inputs.
    pub inputs: usize,
    /// Nibbles + 8, two to a byte, low half first, `[outputs, ⌈inputs / 2⌉]`.
    pub nibbles: Vec<u8>,
    /// 1..=16, `[outputs, ⌈inputs / GROUP⌉]`.
    pub multipliers: Vec<u8>,
    /// `[outputs]`
    pub scales: Vec<f32>,
}

/// The largest magnitude of `row`.
fn largest(row: &[f32]) -> Result<f32, NotFinite> {
    match max_magnitude_bits(row.iter().copied()) {
        bits if bits < INFINITY_BITS => Ok(f32::from_bits(bits)),
        _ => Err(NotFinite),
    }
}

/// The scale of a channel whose largest magnitude is `m` and becomes `top`.
fn channel_scale(m: f32, top: f32) -> f32 {
    let scale = m / top;
    if m == 0.0 || scale < pow2(-100) {
        1.0
    } else {
        scale
    }
}

/// `weights` `[outputs, inputs]` in 8 bits.
///
/// # Errors
/// A weight is infinite or NaN.
pub fn quantise8(weights: &[f32], inputs: usize) -> Result<Frozen, NotFinite> {
    let (mut values, mut scales) = (Vec::with_capacity(weights.len()), vec![]);
    for row in weights.chunks(inputs) {
        let scale = channel_scale(largest(row)?, 127.0);
        values.extend(row.iter().map(|w| int(w / scale).clamp(-127, 127) as i8));
        scales.push(scale);
    }
    Ok(Frozen { outputs: scales.len(), inputs, values, scales })
}

/// `weights` `[outputs, inputs]` in 4 bits.
///
/// # Errors
/// A weight is infinite or NaN.
pub fn quantise4(weights: &[f32], inputs: usize) -> Result<Packed4, NotFinite> {
    let (mut nibbles, mut multipliers, mut scales) = (vec![], vec![], vec![]);
    for row in weights.chunks(inputs) {
        let m = largest(row)?;
        let scale = channel_scale(m, 112.0);
        let mut codes = Vec::with_capacity(inputs + 1);
        for group in row.chunks(GROUP) {
            let multiplier = match m {
                0.0 => 1,
                m => int((largest(group)? * 16.0) / m).clamp(1, 16),
            };
            let step = scale * multiplier as f32;
            codes.extend(group.iter().map(|w| (int(w / step).clamp(-7, 7) + 8) as u8));
            multipliers.push(multiplier as u8);
        }
        if codes.len() % 2 == 1 {
            codes.push(8);
        }
        nibbles.extend(codes.chunks(2).map(|pair| pair[0] | (pair[1] << 4)));
        scales.push(scale);
    }
    Ok(Packed4 { outputs: scales.len(), inputs, nibbles, multipliers, scales })
}

impl Packed4 {
    /// The matrix in 8 bits: nibble times multiplier, in −112..=112.
    pub fn unfold(&self) -> Frozen {
        let (bytes, groups) = (self.inputs.div_ceil(2), self.inputs.div_ceil(GROUP));
        let mut values = Vec::with_capacity(self.outputs * self.inputs);
        for output in 0..self.outputs {
            for input in 0..self.inputs {
                let byte = self.nibbles[output * bytes + input / 2];
                let nibble = i16::from((byte >> (4 * (input % 2))) & 15) - 8;
                let multiplier = i16::from(self.multipliers[output * groups + input / GROUP]);
                values.push((nibble * multiplier) as i8);
            }
        }
        Frozen { outputs: self.outputs, inputs: self.inputs, values, scales: self.scales.clone() }
    }
}
