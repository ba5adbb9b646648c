//! # A fuzzer for the runtime
//!
//! Bytes become a scenario: up to 64 steps, each a call by some origin, a time jump, or a template that plays several
//! calls of one story (a job from its order to its record, a provider's way out). Scenarios run on the real runtime,
//! compiled natively: its genesis, its hooks, its transaction extensions and fees. Everything is a function of the
//! bytes, so that a finding can be replayed.
//!
//! ## What is checked
//! * After every call: no panic and no `defensive!`; a call that fails changes no balance but by its fee, and (in a sample)
//!   not a bit of the state.
//! * Of every call: it touches no more storage than its weight says. The different keys that a call of Attune's pallets
//!   reads and writes are counted, as the measurement of weights counts them, and compared with the reads and the writes of
//!   its weight functions, each by itself, and so are those that a call reads to authorise itself; of calls of other
//!   pallets, and of batches, the time that the keys take of the database must fit into the declared weight. A call that
//!   is sent as a transaction is made once before for this, without extensions, and forgotten. And where a call tells its
//!   actual weight (nearly none does), it is at most the declared one.
//! * Every few steps and at the end: `try_state` of Attune's pallets; the issuance is the sum of all balances; what is on
//!   hold is reserved; each hold of each account, by its reason, is what the pallets' books say, so that none is left behind.
//!
//! ## Three forms
//! * The tests: scenarios out of a seeded generator, every generator and template at work, in seconds.
//! * `scripts/fuzz runtime --calls N`: libFuzzer, guided by the coverage of the runtime's crates.
//! * `scripts/fuzz runtime --replay FILE`: one scenario, told step by step. The tests replay all of `regressions/`.
//!
//! ## To add a call
//! Write a generator in `calls/` and put it into the table there: one line. A test refuses a call of Attune's pallets
//! that has none. If its weight is not that of the one function of its name, say so in `weights::of`. If it can only succeed at the end of a story, let a template in `templates/` tell it.
//!
//! ## Limitations
//! Signatures are not checked: a signed transaction enters where its signature has been verified. Blocks carry one
//! constant VRF output, which the runtime does not verify either; the node does. Windows are shorter than in any preset.
//!
//! Times are not compared with weights, nor is what hooks touch. With a handful of providers, a weight for as many as
//! there may be is far above what its calls touch here: that benchmark has to be right by itself.

pub mod accounts;
pub mod calls;
pub mod chain;
pub mod dispatch;
pub mod draw;
mod holds;
pub mod invariants;
pub mod keys;
pub mod logging;
pub mod mutate;
pub mod progress;
pub mod random;
pub mod replay;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod tell;
pub mod templates;
pub mod view;
mod weights;
