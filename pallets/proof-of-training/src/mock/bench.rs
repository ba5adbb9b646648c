//! Sets up benchmarks in this runtime.

use attune_primitives::{
    job::{ExecutionClass, JobSpec},
    BlockNumber, JobId, H256,
};
use frame_support::traits::fungible::Mutate;

use super::{operator, AccountId, Balances, Beacon, Escrow, Staking, System, JOB};
use crate::benchmarking::BenchmarkHelper;

/// The helper.
pub struct Bench;

impl BenchmarkHelper<AccountId> for Bench {
    fn fund(who: &AccountId) {
        Balances::set_balance(who, 1_000_000);
    }
    fn fill_providers(class: &ExecutionClass) -> Vec<(AccountId, AccountId)> {
        let providers: Vec<_> = (100..164).map(|provider| (provider, operator(provider))).collect();
        for (provider, operator) in &providers {
            Staking::add(*provider, *operator, class, 100);
        }
        providers
    }
    fn ruin_all_but(spared: &[AccountId]) {
        Staking::ruin_all_but(spared);
    }
    // Slashes are not among what these neighbours do.
    fn fill_slashes(_: &AccountId) {}
    fn running_job(customer: &AccountId, provider: &AccountId, spec: JobSpec<AccountId>) -> JobId {
        Escrow::start(JOB, *customer, *provider, spec);
        JOB
    }
    fn set_randomness(randomness: H256, epoch_start: BlockNumber) {
        Beacon::set(randomness, epoch_start);
    }
    fn set_block(block: BlockNumber) {
        System::set_block_number(block);
    }
}
