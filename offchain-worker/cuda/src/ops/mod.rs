//! Operators on a device's buffers: shapes are checked here, then a kernel is started. Each equals its namesake of
//! `attune-exact` bit for bit.
//!
//! A check that fails does not stop anything: it is noted ([`Faults`]) and read at the end of a step, so that the device
//! never waits. The lowest operator of the first sequence is what the specification reports, whatever ran after it.

mod attention;
mod columns;
mod flat;
mod loss;
mod product;
mod rows;

pub use attention::{ScoreGradient, Scores};
pub use columns::{ColumnsOut, Factor, Matrix, Tables};
pub use loss::{CrossEntropy, HeadGradient};
pub use product::{Causal, Epilogue, Operand, Scales, Second, Step, Target, PLAIN_FROM};
pub use rows::{Norm, NormBack, NormOut, Pieces, Strides, Swiglu, SwigluBack, Turn};

use crate::{
    buffer::{Buffer, View},
    device::{Device, MAX_THREADS},
    error::{Error, Result},
    params,
};

/// A word for each sequence that holds the lowest index of an operator whose check failed.
pub struct Faults {
    words: Buffer<u32>,
}

impl Faults {
    /// Of `sequences` sequences, at least 1.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(device: &Device, sequences: usize) -> Result<Self> {
        Ok(Self { words: device.upload(&vec![u32::MAX; sequences.max(1)])? })
    }

    /// A check of operator `code`, over rows of which `rows` make a sequence; 0 if all count for the first.
    pub fn check(&self, code: u32, rows: usize) -> Check<'_> {
        Check { words: self.words.all(), code, rows: rows as u32 }
    }

    /// The first sequence with a failed check, and its operator.
    ///
    /// # Errors
    /// The work so far failed.
    pub fn first(&self) -> Result<Option<(usize, u32)>> {
        let words = self.words.download()?;
        Ok(words.iter().position(|word| *word != u32::MAX).map(|at| (at, words[at])))
    }
}

/// Where an operator notes a check that fails.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    words: View<'a, u32>,
    code: u32,
    rows: u32,
}

impl Check<'_> {
    /// The same, of the sequences from `first` on.
    pub fn skip(self, first: usize) -> Self {
        Self { words: self.words.from(first), ..self }
    }

    /// The kernel's form, for `rows` rows.
    fn fault(&self, rows: usize) -> Result<params::Fault> {
        let sequences = if self.rows == 0 { 1 } else { rows.div_ceil(self.rows as usize) };
        at_least("words for faults", sequences, self.words.len)?;
        Ok(params::Fault { words: self.words.address, code: self.code, rows: self.rows })
    }

    /// The kernel's form, for tables of `sequences` sequences.
    fn of_sequences(&self, sequences: usize) -> Result<params::Fault> {
        at_least("words for faults", sequences, self.words.len)?;
        Ok(params::Fault { words: self.words.address, code: self.code, rows: 0 })
    }
}

/// The threads of a block that works on `elements`.
fn threads(device: &Device, elements: usize) -> u32 {
    device
        .threads()
        .unwrap_or_else(|| (elements.div_ceil(2).next_power_of_two() as u32).clamp(32, MAX_THREADS))
}

fn at_least(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if found < expected {
        return Err(Error::Shape { what, expected, found });
    }
    Ok(())
}

/// The elements from the first to behind the last of `rows` rows of `columns`, `stride` apart.
fn extent(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    (rows - 1) * stride + columns
}

fn address<T>(view: Option<View<'_, T>>) -> u64 {
    view.map_or(0, |view| view.address)
}
