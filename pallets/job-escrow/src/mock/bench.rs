//! Sets up benchmarks in this runtime.

use attune_primitives::{BlockNumber, JobId, ModelId};
use frame_support::traits::fungible::Mutate;

use super::{AccountId, Balances, Inactive, System, ALICE, AUDITOR, CAROL, DAVE, EVE, WEALTH};
use crate::benchmarking::BenchmarkHelper;

/// The helper.
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
pub struct Bench;

impl BenchmarkHelper<AccountId> for Bench {
    fn fund(who: &AccountId) {
        Balances::set_balance(who, WEALTH);
    }
    fn model() -> ModelId {
        0
    }
    fn fill_providers() -> Vec<(AccountId, AccountId)> {
        [ALICE, CAROL, AUDITOR, DAVE, EVE].map(|provider| (provider, provider + 10)).to_vec()
    }
    fn deactivate(provider: &AccountId) {
        Inactive::insert(provider, ());
    }
    // Proof of training is a stand-in here and keeps nothing.
    fn fill_proofs(_: JobId) {}
    // Nor do these providers keep slashes.
    fn fill_slashes(_: &AccountId) {}
    fn set_block(block: BlockNumber) {
        System::set_block_number(block.into());
    }
}
