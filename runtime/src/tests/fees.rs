//! Who gets the fees.

use super::{chain, ENDOWMENT};
use crate::{
    configs::money::SplitFees,
    genesis::accounts::{ALICE, VALIDATORS},
    units::ATT,
    AccountId, Balance, Balances, Runtime, RuntimeOrigin, System, Treasury,
};
use codec::Encode;
use frame_support::{
    assert_ok,
    traits::{
        fungible::{Balanced, Mutate},
        tokens::{Fortitude, Precision, Preservation},
        OnUnbalanced,
    },
};
use sp_consensus_babe::{
    digests::{PreDigest, SecondaryPlainPreDigest},
    BABE_ENGINE_ID,
};
use sp_runtime::{Digest, DigestItem, MultiAddress};

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
    SplitFees::on_unbalanced(fee);
}

/// What the treasury has.
fn treasury() -> Balance {
    Balances::free_balance(Treasury::account_id())
}

#[test]
fn fees_are_split_between_author_and_treasury_and_add_up() {
    chain("local_testnet").execute_with(|| {
        let (issued, before) = (pallet_balances::TotalIssuance::<Runtime>::get(), treasury());
        fee_in_a_block_of(Some(1));
        let author = Balances::free_balance(AccountId::from(VALIDATORS[1].stash)) - ENDOWMENT;
        let part = treasury() - before;
        assert_eq!((author, part), (FEE - FEE / 5, FEE / 5));
        assert_eq!(Balances::free_balance(AccountId::from(ALICE)), ENDOWMENT - FEE);
        assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), issued);
    });
}

#[test]
fn the_authors_part_of_a_fee_without_author_is_burned() {
    chain("local_testnet").execute_with(|| {
        let (issued, before) = (pallet_balances::TotalIssuance::<Runtime>::get(), treasury());
        fee_in_a_block_of(None);
        assert_eq!(treasury() - before, FEE / 5);
        assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), issued - (FEE - FEE / 5));
    });
}

#[test]
fn what_an_emptied_treasury_cannot_take_goes_to_the_author() {
    chain("local_testnet").execute_with(|| {
        <Balances as Mutate<AccountId>>::set_balance(&Treasury::account_id(), 0);
        let issued = pallet_balances::TotalIssuance::<Runtime>::get();
        fee_in_a_block_of(Some(1));
        assert_eq!(treasury(), 0);
        assert_eq!(Balances::free_balance(AccountId::from(VALIDATORS[1].stash)), ENDOWMENT + FEE);
        assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), issued);
    });
}

#[test]
fn only_the_administrator_spends_from_the_treasury() {
    chain("local_testnet").execute_with(|| {
        <Balances as Mutate<AccountId>>::set_balance(&Treasury::account_id(), 10 * ATT);
        System::set_block_number(1);
        let payee = AccountId::from([7; 32]);
        let spend = |origin| {
            Treasury::spend(origin, Box::new(()), 4 * ATT, Box::new(MultiAddress::Id(payee.clone())), None)
        };
        assert!(spend(RuntimeOrigin::signed(ALICE.into())).is_err());
        assert_ok!(spend(RuntimeOrigin::root()));
        assert_ok!(Treasury::payout(RuntimeOrigin::signed(payee.clone()), 0));
        assert_eq!(Balances::free_balance(&payee), 4 * ATT);
        assert_eq!(treasury(), 6 * ATT);
    });
}
