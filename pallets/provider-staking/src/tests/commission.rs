//! Commission, pauses, and what is told of a provider.

use attune_primitives::traits::Providers as ProvidersApi;
use frame_support::{assert_noop, assert_ok};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

fn percent(parts: u32) -> Permill {
    Permill::from_percent(parts)
}

fn set(parts: u32) -> sp_runtime::DispatchResult {
    Staking::set_commission(signed(ALICE), percent(parts))
}

fn commission() -> Permill {
    Staking::provider(&ALICE).expect("Alice is registered in this test, qed").commission
}

fn rise() -> Option<CommissionRise> {
    Providers::<Test>::get(ALICE).and_then(|provider| provider.rise)
}

#[test]
fn a_cut_of_the_commission_acts_at_once() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        assert_noop!(set(10), Refused::CommissionUnchanged);
        assert_ok!(set(9));
        assert_eq!(commission(), percent(9));
        assert_eq!(
            events().last(),
            Some(&Event::CommissionLowered { provider: ALICE, commission: percent(9) })
        );
    });
}

#[test]
fn a_rise_of_the_commission_acts_only_after_delegators_could_be_out() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        delegate(DAVE, 1_000);
        assert_ok!(set(15));
        let from_block = 1 + COMMISSION_RISE_DELAY;
        let queued = Event::CommissionRiseQueued { provider: ALICE, to: percent(15), from_block };
        assert_eq!(events().last(), Some(&queued));
        assert_eq!(commission(), percent(10));
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        pass_blocks(COMMISSION_RISE_DELAY - UNBONDING_BLOCKS - 1);
        assert_eq!(commission(), percent(10), "Dave is gone, money in hand, and it has not risen");
        pass_blocks(1);
        assert_eq!(commission(), percent(15), "nobody had to write it down");
        assert_noop!(set(15), Refused::CommissionUnchanged);
    });
}

#[test]
fn a_rise_is_bounded_and_one_waits_at_a_time() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        assert_noop!(set(21), Refused::CommissionRiseTooHigh);
        assert_ok!(set(20));
        assert_noop!(set(21), Refused::CommissionRisePending);
        assert_noop!(set(20), Refused::CommissionRisePending);
        pass_blocks(COMMISSION_RISE_DELAY - 1);
        assert_noop!(set(30), Refused::CommissionRisePending);
        pass_blocks(1);
        assert_ok!(set(30));
        assert_eq!((commission(), rise().map(|rise| rise.to)), (percent(20), Some(percent(30))));
    });
}

#[test]
fn a_queued_rise_is_made_smaller_or_withdrawn_by_setting_less() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        assert_ok!(set(20));
        let announced = rise().expect("it was queued, qed");
        pass_blocks(3);
        assert_ok!(set(15));
        assert_eq!(rise(), Some(CommissionRise { to: percent(15), ..announced }), "its time stays");
        assert_ok!(set(10));
        assert_eq!(events().last(), Some(&Event::CommissionRiseCancelled { provider: ALICE }));
        assert_eq!((commission(), rise()), (percent(10), None));
        assert_ok!(set(20));
        assert_ok!(set(5));
        pass_blocks(2 * COMMISSION_RISE_DELAY);
        assert_eq!((commission(), rise()), (percent(5), None));
        // A cut after a rise has come cuts from there.
        assert_ok!(set(12));
        pass_blocks(COMMISSION_RISE_DELAY);
        assert_ok!(set(11));
        assert_eq!((commission(), rise()), (percent(11), None));
    });
}

#[test]
fn a_chilled_provider_takes_nothing_new_and_keeps_what_it_has() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 500);
        lock(1, 1_000);
        assert_noop!(Staking::unchill(signed(ALICE)), Refused::NotChilled);
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_noop!(Staking::chill(signed(ALICE)), Refused::NotActive);
        assert!(!Staking::takes_work(&ALICE));
        assert_noop!(Staking::lock_bond(&ALICE, 2, 1), Refused::NotActive);
        assert_noop!(Staking::delegate(signed(EVE), ALICE, 500), Refused::NotActive);
        assert_noop!(Staking::evict(signed(ZOE), ALICE, DAVE), Refused::NotExiting);
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::NotExiting);
        assert_noop!(Staking::exit(signed(ALICE)), Refused::HasOpenBonds);
        earn(1_100, Permill::zero());
        assert_ok!(Staking::claim_income(signed(DAVE), ALICE));
        assert_ok!(Staking::bond_more(signed(ALICE), 100));
        Staking::release_bond(&ALICE, 1);
        assert_ok!(Staking::unchill(signed(ALICE)));
        assert!(Staking::takes_work(&ALICE));
        delegate(EVE, 500);
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_noop!(Staking::unchill(signed(ALICE)), Refused::NotChilled);
        assert_noop!(Staking::chill(signed(ALICE)), Refused::NotActive);
    });
}

/// What `act` tells of stakes: how often, and whether it is true.
fn told_by(name: &str, times: u32, act: impl FnOnce() -> sp_runtime::DispatchResult) {
    let before = times_told();
    assert_eq!(act(), Ok(()), "{name}");
    assert_eq!(times_told() - before, times, "{name}");
    check_told();
}

#[test]
fn each_change_of_stake_is_told_once() {
    ExtBuilder::build_and_execute(|| {
        told_by("register", 1, || {
            register_alice(5_000);
            Ok(())
        });
        told_by("register another", 1, || {
            register_bob();
            Ok(())
        });
        told_by("bond_more", 1, || Staking::bond_more(signed(ALICE), 100));
        told_by("unbond_self", 1, || Staking::unbond_self(signed(ALICE), 100));
        told_by("delegate", 1, || Staking::delegate(signed(DAVE), ALICE, 5_000));
        told_by("undelegate", 1, || Staking::undelegate(signed(DAVE), ALICE, shares(DAVE) / 5));
        told_by("redelegate: both", 2, || Staking::redelegate(signed(DAVE), ALICE, BOB, shares(DAVE) / 2));
        told_by("income", 0, || {
            earn(5_000, Permill::zero());
            Ok(())
        });
        told_by("compound", 1, || Staking::compound(signed(DAVE), ALICE, DAVE));
        told_by("lock and convict", 0, || {
            lock(1, 4_500);
            book(1, Permill::one(), ZOE, 0);
            Ok(())
        });
        pass_blocks(SLASH_DELAY);
        told_by("apply_slash, below the least self-bond", 1, || Staking::apply_slash(signed(ZOE), ALICE, 0));
        assert!(!Staking::takes_work(&ALICE));
        told_by("bond_more, above it again", 1, || Staking::bond_more(signed(ALICE), 5_000));
        Staking::slash_for_offence(&ALICE, Permill::one(), None);
        pass_blocks(SLASH_DELAY);
        told_by("apply_slash", 1, || Staking::apply_slash(signed(ZOE), ALICE, 1));
        told_by("settle_lien", 1, || Staking::settle_lien(signed(ZOE), BOB, DAVE));
        told_by("chill", 1, || Staking::chill(signed(BOB)));
        told_by("unchill", 1, || Staking::unchill(signed(BOB)));
        told_by("set_commission", 0, || Staking::set_commission(signed(ALICE), Permill::zero()));
        pass_blocks(UNBONDING_BLOCKS);
        told_by("withdraw", 0, || Staking::withdraw(signed(DAVE), ALICE));
        told_by("exit", 1, || Staking::exit(signed(ALICE)));
        told_by("evict", 1, || Staking::evict(signed(ZOE), ALICE, DAVE));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ZOE), ALICE, DAVE));
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        told_by("deregister", 1, || Staking::deregister(signed(ZOE), ALICE));
    });
}
