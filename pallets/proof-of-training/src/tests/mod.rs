//! Tests, named by the rule that they hold.

mod adversarial;
mod draws;
mod handover;
mod invariants;
mod lifecycle;
mod money;
mod origins;
mod table;
mod views;
