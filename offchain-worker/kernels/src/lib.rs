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
//! ```
//! use attune_kernels::*;
//!
//! // [2, 3] by the transpose of [2, 3], each row of the left operand and each column worth a scale.
//! let (left, right) = ([1i16, 2, 3, -4, 5, 6], [1i8, 0, 1, 2, -1, 0]);
//! let left = Left::new(&left, 2, 3, 3, Width::Wide);
//! let right = Right::int8(&right, 2, 3, 3, Layout::NK);
//! let epilogue = Epilogue::scaled(&[1.0, 0.5], &[2.0, 1.0]);
//! let mut out = [0.0; 4];
//! product(Isa::detect()?, &Threads::new(2)?, &left, &right, &epilogue, Output::rows(&mut out, 2));
//! assert_eq!(out, [8.0, 0.0, 2.0, -6.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Limitations:** the `avxvnni` path was compiled and its instructions read, but no machine that has it was at hand;
//! `neon` was run under an emulator only, which `scripts/test` does where there is one. A product with few rows (one,
//! say) is no faster than packing its right operand: weights that are used row by row want a kernel of another shape.
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
