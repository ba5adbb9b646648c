//! The CPU kernels of Attune's exact arithmetic.
//!
//! The one idea: **a reduction is an integer sum, so its order is free**. Any instruction set, tiling and number of
//! threads may be picked for speed, and the bits stay those of the plain definition.
//!
//! - [`Isa`] is the instruction set that a call runs on: detected, or forced by the environment variable
//!   `ATTUNE_KERNELS`.
//! - [`Threads`] is the pool that a call may spread over.
//! - [`product()`] multiplies mantissas by weights or by other mantissas, with scales, bias, a low-rank second product
//!   and a residual in one pass; [`Packed`] and [`block()`] are its parts, for who drives the loops (attention).
//!
//! Code map: `isa` chooses a path and enters it; `threads` hands out tasks; `product/` holds the operands
//! (`operands`), the panels that the right operand is packed into (`pack`), the loops over tiles (`drive`), what
//! happens to a sum before it is stored (`epilogue`), and one module per instruction set.
//!
//! **Invariant:** unsafe code stands only in the modules of an instruction set, in `isa`'s doors to them, in the
//! alignment of `pack`'s memory and in the writes of `epilogue` to disjoint tiles of one output.
//!
//! Why our own: rten-gemm 0.27, the best kept of the integer crates, takes 8-bit operands only, and its AVX2 path
//! saturates (`may_saturate`); 15-bit mantissas would need two of its products and an exact path that it lacks.

mod isa;
mod product;
pub mod rows;
mod threads;

pub use isa::{Isa, IsaError, ENVIRONMENT};
pub use product::{
    block, product, Column, Epilogue, Layout, Left, Output, Packed, Residual, Right, Second, Width,
};
pub use threads::{Threads, ThreadsError};
