//! The row kernels give the bits of the reference, on every instruction set that this machine has.
//!
//! The reference is `attune_exact`'s, element by element. Rows are random and adversarial: extremes, subnormals, zeros,
//! ties, one outlier, and NaN or infinity at any place.

mod attention;
mod block;
mod columns;
mod data;
mod loss;
mod optimizer;
mod parallel;
mod quantise;
