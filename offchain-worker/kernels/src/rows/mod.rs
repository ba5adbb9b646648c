//! The operators around the products: what happens to one row of reals at a time (SPEC.md, sections 2 and 4 to 7).
//!
//! The one idea: **plain loops, compiled once per instruction set**. An elementwise formula is written as the
//! specification has it, one rounding per operation, and the compiler makes vectors of it; Rust never fuses a
//! multiplication with an addition, so the bits are those of one lane. What a reduction needs is an integer: magnitudes
//! compare as their bits, and a real is rounded to an integer by adding 1.5 * 2^23, where a unit in the last place is 1.
//! Nothing here is unsafe and nothing names a vector.
//!
//! - [`quantise`]: rows as mantissas; [`columns`]: columns as mantissas, stored as they are or transposed.
//! - [`norm`], [`rotary`], [`attention`], [`activation`]: the operators of a block, forward and backward.
//! - [`loss`]: cross-entropy over the vocabulary. [`optimizer`]: the flat vectors of a step.
//! - [`parallel`]: the same over many rows, on the threads of a pool.
//!
//! A function takes the instruction set first, then what it reads, then what it writes. Lengths that do not agree are a
//! mistake of the caller and panic. [`NotFinite`] means that a check of the specification failed; the caller knows
//! which operator that was, except where two are fused: [`Failed`] tells. What was written before is then of no use.

pub mod activation;
pub mod attention;
pub mod columns;
mod lanes;
pub mod loss;
pub mod norm;
pub mod optimizer;
pub mod parallel;
pub mod quantise;
pub mod rotary;

pub use attune_exact::mantissa::NotFinite;

/// Which check failed where two operators of the specification's list are fused. The first of several is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failed {
    /// That of the operator itself.
    First,
    /// That of the one after it: the projection that takes a norm's output, the backward pass of the loss.
    Second,
}

/// Defines functions that run on the instruction set given as their first argument. The body is compiled for each of
/// them; what it calls must be `#[inline(always)]`, or it would be compiled for the oldest machine.
macro_rules! per_isa {
    ($(
        $(#[$attribute:meta])*
        pub fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),* $(,)?) -> $result:ty $body:block
    )*) => {$(
        $(#[$attribute])*
        pub fn $name<$life>(isa: $crate::Isa, $($argument: $type),*) -> $result {
            struct Call<$life> {
                $($argument: $type,)*
                result: &$life mut Option<$result>,
            }

            impl $crate::isa::Job for Call<'_> {
                #[inline(always)]
                fn run<K: $crate::product::Kernel<C>, const C: usize>(self, _: K) {
                    *self.result = Some(body($(self.$argument),*));
                }
            }

            #[inline(always)]
            fn body<$life>($($argument: $type),*) -> $result $body

            let mut result = None;
            isa.enter(Call { $($argument,)* result: &mut result });
            result.expect("a job that was entered has run; qed")
        }
    )*};
}

use per_isa;
