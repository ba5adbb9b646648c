//! The rules of the crate's documentation, one test each.

mod adversarial;
mod commission;
mod heartbeats;
mod invariants;
mod ledger;
mod lifecycle;
mod migrations;
mod money;
mod moves;
mod slashing;
