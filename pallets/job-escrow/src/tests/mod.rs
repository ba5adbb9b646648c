//! The rules of the crate's documentation, one test each.

mod adversarial;
mod bidding;
mod cancelling;
mod handover;
mod invariants;
mod lifecycle;
mod money;
mod sponsors;
mod table;
mod views;
