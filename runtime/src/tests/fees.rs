//! Who gets the fees.

use super::{chain, ENDOWMENT};
use crate::{
    configs::money::FeesToAuthor,
    genesis::accounts::{ALICE, VALIDATORS},
    AccountId, Balance, Balances, Runtime, System,
};
use codec::Encode;
use frame_support::traits::{
    fungible::Balanced,
    tokens::{Fortitude, Precision, Preservation},
    OnUnbalanced,
};
use sp_consensus_babe::{
    digests::{PreDigest, SecondaryPlainPreDigest},
    BABE_ENGINE_ID,
};
use sp_runtime::{Digest, DigestItem};

/// A fee in these tests, in plancks.
const FEE: Balance = 12_345;

/// Takes a fee from Alice and hands it out, in a block of Bob's or of nobody's.
fn fee_in_a_block_of(author: Option<u32>) {
    let logs = author.map(|authority_index| {
        let claim = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index, slot: 1.into() });
        DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())
    });
    System::initialize(&1, &Default::default(), &Digest { logs: logs.into_iter().collect() });
    let fee = <Balances as Balanced<AccountId>>::withdraw(
        &ALICE.into(),
        FEE,
        Precision::Exact,
        Preservation::Preserve,
        Fortitude::Polite,
    )
    .expect("Alice has enough");
    FeesToAuthor::on_unbalanced(fee);
}

#[test]
fn fees_go_to_the_author_of_the_block() {
    chain("local_testnet").execute_with(|| {
        let issued = pallet_balances::TotalIssuance::<Runtime>::get();
        fee_in_a_block_of(Some(1));
        assert_eq!(Balances::free_balance(AccountId::from(ALICE)), ENDOWMENT - FEE);
        assert_eq!(Balances::free_balance(AccountId::from(VALIDATORS[1].stash)), ENDOWMENT + FEE);
        assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), issued);
    });
}

#[test]
fn a_fee_that_has_no_author_to_go_to_is_burned() {
    chain("local_testnet").execute_with(|| {
        let issued = pallet_balances::TotalIssuance::<Runtime>::get();
        fee_in_a_block_of(None);
        assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), issued - FEE);
    });
}
