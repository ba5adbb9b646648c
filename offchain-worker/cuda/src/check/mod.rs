//! Every operator of a device against the reference, bit for bit.
//!
//! The one idea: one list of comparisons for the host's stand-in and for a GPU. The tests run it on the first,
//! `attune-gpu-check` on both, so that what passes without a GPU is what is asked of one.

mod attention;
mod columns;
mod data;
mod flat;
mod loss;
mod products;
mod rows;
mod steps;

use std::fmt;

pub use data::Source;

use crate::{device::Device, error::Error};

/// Why a comparison failed.
#[derive(Debug)]
pub enum Failed {
    /// The device did.
    Device(Error),
    /// A value differs.
    Different {
        /// Which of the results.
        what: String,
        /// Its place.
        at: usize,
        /// The reference's value.
        expected: String,
        /// The device's value.
        found: String,
    },
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Different { what, at, expected, found } => {
                write!(f, "{what}: expected {expected} at {at}, found {found}")
            }
        }
    }
}

impl std::error::Error for Failed {}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

/// The number of values that were the same.
pub type Compared = Result<usize, Failed>;

/// One comparison.
pub struct Comparison {
    /// What is compared.
    pub name: &'static str,
    /// Compares on random and on hard inputs; the seed picks the random ones.
    pub run: fn(&Device, &mut Source) -> Compared,
}

/// All comparisons.
pub const ALL: &[Comparison] = &[
    Comparison { name: "mantissas of rows", run: rows::quantise },
    Comparison { name: "mantissas of columns", run: columns::quantise },
    Comparison { name: "norm", run: rows::norm },
    Comparison { name: "norm, backwards", run: rows::norm_backward },
    Comparison { name: "rotation", run: rows::rotate },
    Comparison { name: "embedding", run: rows::embed },
    Comparison { name: "SwiGLU", run: rows::swiglu },
    Comparison { name: "SwiGLU, backwards", run: rows::swiglu_backward },
    Comparison { name: "products with 8-bit weights", run: products::w8 },
    Comparison { name: "products with 4-bit weights", run: products::w4 },
    Comparison { name: "products of mantissas", run: products::m16 },
    Comparison { name: "deep products", run: products::deep },
    Comparison { name: "products with all of the epilogue", run: products::epilogue },
    Comparison { name: "batched products", run: products::batched },
    Comparison { name: "attention", run: attention::forward },
    Comparison { name: "attention, backwards", run: attention::backward },
    Comparison { name: "cross-entropy", run: loss::forward },
    Comparison { name: "cross-entropy, backwards", run: loss::backward },
    Comparison { name: "head and cross-entropy in chunks of rows", run: loss::chunked },
    Comparison { name: "norm of the gradient", run: flat::norm },
    Comparison { name: "AdamW, clipping, sums", run: flat::update },
    Comparison { name: "faults", run: rows::faults },
    Comparison { name: "optimizer steps", run: steps::steps },
    Comparison { name: "optimizer steps, logits and scores in chunks", run: steps::cut },
    Comparison { name: "optimizer steps, grouped heads, bias, scaled rotation", run: steps::grouped },
    Comparison { name: "optimizer steps, a high rank", run: steps::deep },
    Comparison { name: "optimizer steps, 4-bit weights", run: steps::packed },
    Comparison { name: "faults of steps", run: steps::faults },
];

/// The bits of a number.
trait Bits: Copy + fmt::Debug {
    fn same(self, other: Self) -> bool;
}

impl Bits for f32 {
    fn same(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Bits for $type {
            fn same(self, other: Self) -> bool {
                self == other
            }
        }
    )*};
}
integers!(i16, u32, i64);

/// Compares all values of one result.
fn same<T: Bits>(what: &str, expected: &[T], found: &[T]) -> Compared {
    let different = |at: usize, expected: String, found: String| {
        Err(Failed::Different { what: what.to_string(), at, expected, found })
    };
    if expected.len() != found.len() {
        return different(0, format!("{} values", expected.len()), format!("{}", found.len()));
    }
    match expected.iter().zip(found).position(|(expected, found)| !expected.same(*found)) {
        Some(at) => different(at, format!("{:?}", expected[at]), format!("{:?}", found[at])),
        None => Ok(expected.len()),
    }
}

/// Compares something that is not a row of numbers.
fn equal<T: PartialEq + fmt::Debug>(what: &str, expected: &T, found: &T) -> Compared {
    if expected == found {
        return Ok(1);
    }
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    Err(Failed::Different { what: what.to_string(), at: 0, expected, found })
}
