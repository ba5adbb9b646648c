//! Tests of the reference: pinned functions, quantisation, every backward formula against binary64, whole steps, golden
//! vectors, and the agreement of `SPEC.md` with the code.

#[path = "../../golden/vectors.rs"]
mod vectors;

mod faults;
mod gradients;
mod mantissas;
mod pinned;
mod real;
mod real64;
mod referee;
mod reference;
mod steps;
mod weights;
