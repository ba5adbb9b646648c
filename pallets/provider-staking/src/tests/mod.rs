//! The rules of the crate's documentation, one test each.

mod absence;
mod adversarial;
mod commission;
mod compounding;
mod heartbeats;
mod invariants;
mod ledger;
mod lifecycle;
mod migrations;
mod money;
mod moves;
mod slashing;
mod views;
