//! The rules of the crate's documentation, one test each.

mod adversarial;
mod commission;
mod invariants;
mod ledger;
mod lifecycle;
mod money;
mod moves;
mod slashing;
mod views;
