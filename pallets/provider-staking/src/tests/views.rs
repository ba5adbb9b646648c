//! What pages are told is what the calls then do.

use attune_primitives::page::MAX_PAGE;
use frame_support::{assert_noop, assert_ok};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

fn info() -> ProviderInfo<AccountId> {
    Staking::provider_info(ALICE).expect("Alice is registered in this test, qed")
}

fn clock(owner: AccountId) -> UnbondingClock {
    Staking::unbonding_clock(ALICE, owner).expect("Alice is registered in this test, qed")
}

#[test]
fn of_whom_nobody_knows_there_is_no_answer() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        assert_eq!(Staking::provider_info(ZOE), None);
        assert_eq!(Staking::pool_info(ZOE), None);
        assert_eq!(Staking::delegation_info(ALICE, ZOE), None);
        assert_eq!(Staking::delegation_info(ZOE, ALICE), None);
        assert_eq!(Staking::unbonding_clock(ZOE, ALICE), None);
        assert_eq!(Staking::slashes_of(ZOE), []);
        assert_eq!(Staking::preview_delegation(ZOE, 100), Err(DelegationRefusal::NotAProvider));
        assert_eq!(clock(ZOE), UnbondingClock { chunks: vec![], due: 0, obstacle: None });
    });
}

#[test]
fn the_bond_room_is_the_largest_bond_that_can_be_locked() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 2_000);
        lock(1, 300);
        // The self-bond and a fifth of the delegations, less what is locked.
        let found = info();
        assert_eq!((found.stake, found.locked, found.bond_room, found.open_jobs), (3_000, 300, 1_100, 1));
        assert_noop!(Staking::do_lock_bond(&ALICE, 2, 1_101), Refused::NotEnoughStake);
        lock(2, 1_100);
        assert_eq!(info().bond_room, 0);
    });
}

#[test]
fn who_takes_no_work_has_no_bond_room() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        assert!(info().takes_work && info().takes_stake);
        assert_ok!(Staking::chill(signed(ALICE)));
        let found = info();
        assert_eq!((found.status, found.takes_work, found.takes_stake), (Status::Chilled, false, false));
        assert_eq!(found.bond_room, 0);
    });
}

#[test]
fn a_queued_rise_is_shown_until_it_is_the_commission() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        assert_ok!(Staking::set_commission(signed(ALICE), Permill::from_percent(15)));
        let rise = CommissionRise { to: Permill::from_percent(15), from_block: 1 + COMMISSION_RISE_DELAY };
        assert_eq!((info().commission, info().rise), (Permill::from_percent(10), Some(rise)));
        pass_blocks(COMMISSION_RISE_DELAY);
        assert_eq!((info().commission, info().rise), (Permill::from_percent(15), None));
    });
}

#[test]
fn pages_of_providers_follow_each_other_and_end() {
    ExtBuilder::build_and_execute(|| {
        register_bob();
        register_alice(1_000);
        assert_ok!(Staking::register(signed(3), profile(), Permill::zero(), 13, 1_000));
        let accounts = |page: &attune_primitives::page::Page<ProviderInfo<AccountId>, AccountId>| {
            page.items.iter().map(|info| info.provider).collect::<Vec<_>>()
        };
        let first = Staking::providers_page(None, 2);
        assert_eq!((accounts(&first), first.next), (vec![ALICE, BOB], Some(3)));
        let second = Staking::providers_page(first.next, 2);
        assert_eq!((accounts(&second), second.next), (vec![3], None));
        assert_eq!(Staking::providers_page(Some(4), 2).items, []);
        // Nobody has the account 0: the list begins with whoever comes after it. A limit of 0 counts as 1, and one above
        // the most as the most.
        let one = Staking::providers_page(Some(0), 0);
        assert_eq!((accounts(&one), one.next), (vec![ALICE], Some(BOB)));
        assert_eq!(Staking::providers_page(None, MAX_PAGE + 1).items.len(), 3);
        assert_eq!(first.items[0], info());
    });
}

#[test]
fn a_share_is_worth_less_after_a_slash_and_the_pool_says_so() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let pool = || Staking::pool_info(ALICE).expect("Alice is registered, qed");
        assert_eq!(pool().share_value, 1_000_000_000_000);
        delegate(DAVE, 10_000);
        assert_eq!(pool().share_value, 1_000_000_000_000);
        slash(2_000);
        assert_eq!((pool().self_bond, pool().delegated, pool().locked), (0, 9_000, 0));
        assert_eq!(pool().account, Staking::pool_account_of(&ALICE));
        let worth = Staking::delegation_info(ALICE, DAVE).expect("Dave delegates, qed").worth;
        assert_eq!((worth, pool().shares), (9_000, shares(DAVE)));
        // 9,001 planck stand behind 10,001,000 shares, with those that nobody owns.
        assert_eq!(pool().share_value, 1_000_000_000_000_000 * 9_001 / 10_001_000);
    });
}

#[test]
fn the_pending_income_is_what_a_claim_pays() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        earn(1_000, Permill::from_percent(10));
        let pending = Staking::delegation_info(ALICE, DAVE).expect("Dave delegates, qed").pending_income;
        assert!(pending > 0);
        let before = free(DAVE);
        assert_ok!(Staking::claim_income(signed(DAVE), ALICE));
        assert_eq!(free(DAVE) - before, pending);
        assert_eq!(Staking::delegation_info(ALICE, DAVE).expect("Dave delegates, qed").pending_income, 0);
    });
}

#[test]
fn the_clock_runs_down_and_then_a_withdrawal_pays_what_was_due() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, shares(DAVE) / 3));
        pass_blocks(4);
        undelegate_all(DAVE);
        let part = |worth, unlock_at, blocks_left| UnbondingPart { worth, unlock_at, blocks_left };
        assert_eq!(clock(DAVE).chunks, [part(1_000, 21, 16), part(2_000, 25, 20)]);
        assert_eq!((clock(DAVE).due, clock(DAVE).obstacle), (0, None));
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::NothingToWithdraw);
        pass_blocks(16);
        assert_eq!(clock(DAVE).chunks, [part(1_000, 21, 0), part(2_000, 25, 4)]);
        assert_eq!(clock(DAVE).due, 1_000);
        let before = free(DAVE);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE) - before, 1_000);
        assert_eq!(clock(DAVE).chunks, [part(2_000, 25, 4)]);
    });
}

#[test]
fn a_providers_own_stake_has_a_clock_of_its_own() {
    ExtBuilder::build_and_execute(|| {
        register_alice(3_000);
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        pass_blocks(UNBONDING_BLOCKS);
        let found = clock(ALICE);
        assert_eq!(found.chunks, [UnbondingPart { worth: 500, unlock_at: 21, blocks_left: 0 }]);
        assert_eq!((found.due, found.obstacle), (500, None));
    });
}

#[test]
fn a_pending_slash_stops_the_clock_and_the_answer_says_until_when() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        undelegate_all(DAVE);
        lock(1, 400);
        pass_blocks(UNBONDING_BLOCKS - 1);
        let slash = book(1, Permill::one(), ZOE, 100);
        let until = UNBONDING_BLOCKS + SLASH_DELAY;
        pass_blocks(1);
        assert_eq!(clock(DAVE).obstacle, Some(Obstacle::SlashPending { until }));
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::SlashPending);

        let [waiting] = &Staking::slashes_of(ALICE)[..] else { panic!("one slash is pending") };
        assert_eq!((waiting.slash, waiting.pending.amount, waiting.is_due), (slash, 400, false));
        assert_eq!(Staking::preview_delegation(ALICE, 500), Err(DelegationRefusal::SlashPending));
        pass_blocks(SLASH_DELAY);
        assert!(Staking::slashes_of(ALICE)[0].is_due);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, slash));
        assert_eq!((clock(DAVE).due, clock(DAVE).obstacle), (3_000, None));
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
    });
}

#[test]
fn bonds_that_the_rest_does_not_cover_keep_a_withdrawal_back() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 5_000);
        lock(1, 2_000);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_eq!((clock(DAVE).due, clock(DAVE).obstacle), (5_000, Some(Obstacle::BacksBonds)));
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::StakeBacksBonds);
        Staking::do_release_bond(&ALICE, 1);
        assert_eq!(clock(DAVE).obstacle, None);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
    });
}

#[test]
fn a_lien_says_what_it_owes_and_when_it_can_end() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        delegate(DAVE, 5_000);
        assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, shares(DAVE)));
        let lien = || {
            let found = Staking::delegation_info(BOB, DAVE).expect("Dave delegates to Bob, qed");
            found.lien.expect("the lien is open, qed")
        };
        assert_eq!((lien().from, lien().amount, lien().until), (ALICE, 5_000, 21));
        assert_eq!((lien().due, lien().can_end), (0, false));
        offend(Permill::one(), None);
        assert_eq!(lien().due, Staking::lien_due(&BOB, &DAVE));
        assert!(lien().due > 0);
        pass_blocks(UNBONDING_BLOCKS);
        assert!(lien().can_end);
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        assert_eq!(Staking::delegation_info(BOB, DAVE).expect("he still delegates, qed").lien, None);
    });
}

#[test]
fn a_preview_is_what_the_delegation_then_buys() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 10_007);
        slash(1_500);
        assert_ok!(Staking::bond_more(signed(ALICE), 2_000));
        let preview = Staking::preview_delegation(ALICE, 777).expect("Alice takes stake, qed");
        delegate(EVE, 777);
        assert_eq!((preview.shares, preview.worth), (shares(EVE), worth(EVE)));

        let least = MIN_DELEGATION;
        let refused = |amount| Staking::preview_delegation(ALICE, amount);
        assert_eq!(refused(least - 1), Err(DelegationRefusal::TooLow { least }));
        assert_eq!(refused(0), Err(DelegationRefusal::TooLow { least }));
        assert_eq!(refused(u128::MAX), Err(DelegationRefusal::TooHigh));
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_eq!(refused(777), Err(DelegationRefusal::NotActive));
    });
}
