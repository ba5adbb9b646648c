//! Generators of validator-election's calls.

use crate::{accounts, draw::Draw};
use attune_runtime::{AccountId, RuntimeCall};
use pallet_validator_election::Call;

pub(super) fn set_inflation(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (accounts::account(accounts::STRANGER), Call::set_inflation { per_year: draw.permill() }.into())
}
