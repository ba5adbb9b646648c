//! How each pallet is set up, by concern. The reason of a value stands beside it.

pub mod attune;
pub mod consensus;
pub mod convenience;
pub mod election;
pub mod emergency;
pub mod money;
pub mod system;
pub mod upgrades;
pub mod windows;
