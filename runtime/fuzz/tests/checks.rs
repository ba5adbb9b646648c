//! The checks see what they are for: each rule is broken by hand in the storage, and must be told.

use attune_runtime::{Balances, ProviderStaking, Runtime, RuntimeHoldReason};
use attune_runtime_fuzz::{accounts, chain, invariants, scenario::Start};
use frame_support::{
    assert_ok,
    traits::{
        fungible::{Mutate, MutateHold},
        Get,
    },
};

/// What the checks say after `broken` on the prepared state.
fn after(broken: impl FnOnce()) -> String {
    chain::on_a_fresh_chain(Start::Prepared, || {
        assert_ok!(invariants::check());
        broken();
        invariants::check().expect_err("the rule is broken")
    })
}

#[test]
fn an_issuance_that_is_not_the_sum_of_all_balances_is_told() {
    let said = after(|| pallet_balances::TotalIssuance::<Runtime>::mutate(|issued| *issued += 1));
    assert!(said.starts_with("the issuance is"), "{said}");
}

#[test]
fn a_hold_on_what_is_not_reserved_is_told() {
    let said = after(|| {
        frame_system::Account::<Runtime>::mutate(accounts::customer(0), |info| {
            info.data.reserved -= 1;
            info.data.free += 1;
        });
    });
    assert!(said.contains("on hold"), "{said}");
}

#[test]
fn a_book_of_provider_staking_that_does_not_add_up_is_told() {
    let said = after(|| {
        pallet_provider_staking::Pools::<Runtime>::mutate(accounts::stash(3), |pool| {
            pool.as_mut().expect("the provider is registered").locked += 1;
        });
    });
    assert!(said.starts_with("try_state of provider-staking"), "{said}");
}

#[test]
fn an_escrow_that_is_not_on_hold_is_told() {
    let said = after(|| {
        pallet_job_escrow::Jobs::<Runtime>::mutate(0, |job| {
            job.as_mut().expect("the job is open").escrow += 1;
        });
    });
    assert!(said.starts_with("try_state of job-escrow"), "{said}");
}

#[test]
fn proofs_of_no_job_are_told() {
    let said = after(|| pallet_proof_of_training::OpenDisputes::<Runtime>::insert(3, 1));
    assert!(said.starts_with("try_state of proof-of-training"), "{said}");
}

#[test]
fn a_hold_that_belongs_to_nothing_is_told() {
    let deposit: RuntimeHoldReason = pallet_proof_of_training::HoldReason::ModelDeposit.into();
    let said = after(|| {
        assert_ok!(Balances::hold(&deposit, &accounts::account(accounts::STRANGER), 7));
    });
    assert!(said.contains("has 7 on hold for ProofOfTraining(ModelDeposit), the books say 0"), "{said}");
}

#[test]
fn a_hold_left_on_the_account_of_a_pool_that_is_gone_is_told() {
    let stake: RuntimeHoldReason = pallet_provider_staking::HoldReason::Pool.into();
    let said = after(|| {
        // Nobody has registered with this account in the prepared state.
        let gone = ProviderStaking::pool_account_of(&accounts::stash(5));
        let ed = <<Runtime as pallet_balances::Config>::ExistentialDeposit as Get<u128>>::get();
        assert_ok!(Balances::mint_into(&gone, 2 * ed));
        assert_ok!(Balances::hold(&stake, &gone, ed));
    });
    assert!(said.starts_with("pool of //Provider6 has"), "{said}");
    assert!(said.contains("on hold for ProviderStaking(Pool), the books say 0"), "{said}");
}

#[test]
fn a_deposit_for_session_keys_that_nobody_has_is_told() {
    let keys: RuntimeHoldReason = pallet_session::HoldReason::Keys.into();
    let said = after(|| {
        assert_ok!(Balances::hold(&keys, &accounts::customer(2), 7));
    });
    assert!(said.contains("has 7 on hold for Session(Keys), the books say 0"), "{said}");
}
