//! The rules of the crate's documentation, one test each.

mod adversarial;
mod invariants;
mod lifecycle;
mod money;
mod views;
