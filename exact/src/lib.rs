//! AX-1: exact arithmetic for LoRA fine-tuning, the reference of `SPEC.md`.
//!
//! The same bits on every processor, whatever the number of threads or the tiling. Two rules make that so: a reduction is an
//! integer sum or a maximum, and an elementwise formula is evaluated one IEEE-754 operation at a time, in the written order.
//! This crate is plain loops in the order of the specification: the oracle that fast kernels are compared with bit for bit,
//! and the referee that recomputes one element of a disputed step on the chain. It is not fast.
//!
//! Map:
//! * [`real`], [`real64`] - pinned functions in binary32 and scalars in binary64.
//! * [`mantissa`] - vectors as integers with one scale, and exact sums.
//! * [`weights`] - frozen matrices in 8 and in 4 bits.
//! * [`element`] - every formula once: one output element from its operands. What the referee calls.
//! * [`norm`], [`rotary`], [`projection`], [`attention`], [`activation`], [`loss`] - operators, forwards and backwards.
//! * [`optimizer`], [`schedule`] - the norm of the gradient, clipping, AdamW, the learning rate.
//! * [`model`] - shape, frozen weights, the flat order of an adapter.
//! * [`pass`], [`mod@step`] - a sequence forwards and backwards; a whole optimizer step.
//! * [`fault`] - the one name of a check that failed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod activation;
pub mod attention;
pub mod element;
pub mod fault;
pub mod loss;
pub mod mantissa;
pub mod model;
pub mod norm;
pub mod optimizer;
pub mod pass;
pub mod projection;
pub mod real;
pub mod real64;
pub mod rotary;
pub mod schedule;
pub mod step;
pub mod weights;

/// The version of the specification.
pub const VERSION: &str = "AX-1";
