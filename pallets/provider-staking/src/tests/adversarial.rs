//! What somebody would try.

use attune_primitives::traits::Providers as ProvidersApi;
use frame_support::{
    assert_noop, assert_ok,
    traits::{fungible::Mutate, tokens::Preservation},
};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn a_first_depositor_cannot_inflate_shares() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(EVE, MIN_DELEGATION);
        // A gift to the pool account is no stake: it changes no share's price.
        let account = Staking::pool_account(&ALICE);
        assert_ok!(<Balances as Mutate<_>>::transfer(&EVE, &account, 500_000, Preservation::Preserve));
        // Nor can the attacker leave a single share behind to meet the victim with.
        assert_noop!(Staking::undelegate(signed(EVE), ALICE, shares(EVE) - 1), Refused::DelegationTooLow);
        delegate(DAVE, 10_007);
        assert_eq!(worth(DAVE), 10_007);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH);
        assert_eq!(worth(EVE), MIN_DELEGATION);
    });
}

#[test]
fn rounding_cannot_be_farmed_by_going_in_and_out() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 100_003);
        slash(14_567);
        let before = worth(DAVE);
        for round in 0..30u128 {
            delegate(EVE, 100 + round * 7);
            let worth_in = worth(EVE);
            assert!(worth_in <= 100 + round * 7);
            undelegate_all(EVE);
            pass_blocks(UNBONDING_BLOCKS);
            assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        }
        assert!(free(EVE) <= WEALTH, "{}", free(EVE));
        assert!(worth(DAVE) >= before);
    });
}

#[test]
fn a_flash_delegation_gets_nothing_of_earlier_income() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        earn(10_000, Permill::zero());
        delegate(EVE, 900_000);
        assert_eq!(Staking::pending_income(&ALICE, &EVE), 0);
        assert_noop!(Staking::claim_income(signed(EVE), ALICE), Refused::NothingToClaim);
        assert_eq!(Staking::pending_income(&ALICE, &DAVE), 5_000);
        undelegate_all(EVE);
        assert_eq!(free(EVE), WEALTH - 900_000);
    });
}

#[test]
fn a_flash_delegation_before_an_expected_income_is_bound_and_slashable_for_all_of_unbonding() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        delegate(DAVE, 10_000);
        delegate(EVE, 20_000);
        earn(8_000, Permill::zero());
        // It has its part, as the stake that it is, and no more.
        assert_eq!(Staking::pending_income(&ALICE, &EVE), 4_000);
        assert_eq!(Staking::pending_income(&ALICE, &DAVE), 2_000);
        undelegate_all(EVE);
        pass_blocks(UNBONDING_BLOCKS - 1);
        assert_noop!(Staking::withdraw(signed(EVE), ALICE), Refused::NothingToWithdraw);
        offend(Permill::from_percent(90), None);
        assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        assert_eq!(free(EVE), WEALTH + 4_000 - 4_000);
    });
}

#[test]
fn leaving_before_a_slash_does_not_escape_it() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 5_000);
        lock(1, 2_000);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::StakeBacksBonds);
        // Free by its time, but what would be left could not pay.
        let id = book(1, Permill::one(), ZOE, 0);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::StakeBacksBonds);
        pass_blocks(SLASH_DELAY);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::StakeBacksBonds);
        assert_ok!(Staking::apply_slash(signed(DAVE), ALICE, id));
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH - 1_000);
    });
}

#[test]
fn one_small_slash_after_the_other_holds_nobody_for_longer_than_one_delay() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        register_bob();
        delegate(DAVE, 5_000);
        delegate(EVE, 5_000);
        let eve = shares(EVE);
        assert_ok!(Staking::redelegate(signed(EVE), ALICE, BOB, eve));
        undelegate_all(DAVE);
        // The provider sees to it that a slash of one is always pending.
        let mut pending = Vec::new();
        let mut book_one = |job| {
            lock(job, 1);
            pending.push(book(job, Permill::one(), ZOE, 0));
            pending.clone()
        };
        pass_blocks(UNBONDING_BLOCKS - 1);
        let first = book_one(1)[0];
        pass_blocks(SLASH_DELAY - 1);
        let second = book_one(2)[1];
        pass_blocks(1);
        // The first was booked while both were bound.
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::SlashPending);
        assert_noop!(Staking::settle_lien(signed(ZOE), BOB, EVE), Refused::LienOpen);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, first));
        assert_eq!(pool().pending_slashes, 1);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, EVE));
        assert_eq!(free(DAVE), WEALTH);
        // The second takes what it was booked for all the same.
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, second));
        assert_eq!(last_taken().from, [1, 0, 0, 0]);
    });
}

#[test]
fn a_provider_that_reports_itself_gains_nothing_out_of_its_delegators_loss() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 100_000);
        Staking::slash_for_offence(&ALICE, Permill::from_percent(10), Some(&ZOE));
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, 0));
        assert_eq!(last_taken().from, [1_000, 0, 9_100, 0]);
        assert_eq!(free(ZOE), WEALTH + 50);
    });
}

#[test]
fn a_provider_that_is_its_own_customer_gains_nothing_out_of_its_delegators_loss() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 100_000);
        // Zoe and the auditors are Alice under other names: what the audits have cost is still theirs.
        lock(1, 21_000);
        let taken = convict(1, Permill::one(), ZOE, 20_000);
        assert_eq!(taken.from, [1_000, 0, 20_000, 0]);
        assert_eq!(taken.to, [1_000, 0, 0, 20_000]);
    });
}

#[test]
fn who_leaves_free_of_an_offence_leaves_the_others_no_more_to_pay() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        for who in [DAVE, EVE, ZOE] {
            delegate(who, 10_000);
        }
        let eve = shares(EVE);
        assert_ok!(Staking::redelegate(signed(EVE), ALICE, BOB, eve));
        undelegate_all(ZOE);
        pass_blocks(UNBONDING_BLOCKS);
        // 1,550, of which the provider pays 1,000 and a planck in 54 of the 30,000 the rest. Zoe and Eve are free by now.
        Staking::slash_for_offence(&ALICE, Permill::from_percent(5), None);
        assert_ok!(Staking::withdraw(signed(ZOE), ALICE));
        assert_ok!(Staking::settle_lien(signed(DAVE), BOB, EVE));
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(DAVE), ALICE, 0));
        assert_eq!(last_taken().from, [1_000, 0, 184, 0]);
        assert_eq!((worth(DAVE), free(ZOE)), (9_816, WEALTH));
    });
}

#[test]
fn a_provider_leaves_no_part_of_a_pending_slash_to_its_delegators() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 10_000);
        assert_ok!(Staking::unbond_self(signed(ALICE), 4_000));
        pass_blocks(UNBONDING_BLOCKS);
        Staking::slash_for_offence(&ALICE, Permill::from_percent(10), None);
        assert_noop!(Staking::withdraw(signed(ALICE), ALICE), Refused::SlashPending);
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, 0));
        assert_eq!(last_taken().from, [1_000, 500, 0, 0]);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
    });
}

#[test]
fn a_slash_that_an_earlier_runtime_booked_holds_everything_until_it_is_gone() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        delegate(DAVE, 5_000);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        lock(1, 1);
        let old = book(1, Permill::one(), ZOE, 0);
        SlashQueue::<Test>::remove(ALICE);
        lock(2, 1);
        let new = book(2, Permill::one(), ZOE, 0);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::SlashPending);
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, old));
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, new));
    });
}

#[test]
fn a_delegator_that_leaves_before_and_one_that_leaves_after_an_offence_pay_the_same() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        for who in [DAVE, EVE, 6] {
            delegate(who, 10_000);
        }
        // Dave leaves before the offence, Eve when she hears of it, and the third stays.
        undelegate_all(DAVE);
        pass_blocks(1);
        Staking::slash_for_offence(&ALICE, Permill::from_percent(10), None);
        undelegate_all(EVE);
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, 0));
        // A tenth of 31,000; the provider pays 1,000 of it.
        assert_eq!(last_taken().from, [1_000, 0, 700, 1_400]);
        pass_blocks(UNBONDING_BLOCKS);
        for who in [DAVE, EVE] {
            assert_ok!(Staking::withdraw(signed(who), ALICE));
            assert_eq!(free(who), WEALTH - 700);
        }
        assert_eq!(worth(6), 9_300);
    });
}

#[test]
fn one_that_left_long_before_an_offence_pays_nothing() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 10_000);
        delegate(EVE, 10_000);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        offend(Permill::one(), None);
        assert_eq!((free(DAVE), worth(EVE)), (WEALTH, 8_000));
    });
}

#[test]
fn a_newcomer_does_not_pay_for_what_was_before_it() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 10_000);
        offend(Permill::one(), None);
        delegate(EVE, 10_000);
        // A planck is the rounding of shares that have lost.
        assert_eq!((worth(DAVE), worth(EVE)), (8_000, 9_999));
        Staking::slash_for_offence(&ALICE, Permill::one(), None);
        assert_noop!(Staking::delegate(signed(6), ALICE, 10_000), Refused::SlashPending);
    });
}

#[test]
fn a_provider_does_not_hide_its_self_bond_behind_the_delegators_cap() {
    ExtBuilder::build_and_execute(|| {
        register_alice(50_000);
        delegate(DAVE, 10_000);
        // Unbonding self-bond is no delegation: it is lost before any.
        assert_ok!(Staking::unbond_self(signed(ALICE), 49_000));
        assert_eq!(offend(Permill::from_percent(80), None).from, [1_000, 47_000, 0, 0]);
        assert_eq!(worth(DAVE), 10_000);
    });
}

#[test]
fn a_slash_larger_than_the_self_bond_stops_at_the_delegators_cap() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 10_000);
        lock(1, 3_000);
        assert_noop!(Staking::lock_bond(&ALICE, 2, 1), Refused::NotEnoughStake);
        assert_eq!(convict(1, Permill::one(), ZOE, 3_000).from, [1_000, 0, 2_000, 0]);
        assert_eq!((worth(DAVE), free(ZOE)), (8_000, WEALTH + 1_000));
        // Without a self-bond it gets no more work on its delegators' account alone.
        assert_noop!(Staking::lock_bond(&ALICE, 3, 1), Refused::SelfBondTooLow);
    });
}

#[test]
fn a_slash_during_unbonding_reaches_every_part_that_leaves() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 8_000);
        let quarter = shares(DAVE) / 4;
        for _ in 0..3 {
            assert_ok!(Staking::undelegate(signed(DAVE), ALICE, quarter));
            pass_blocks(2);
        }
        assert_eq!(offend(Permill::one(), None).from, [1_000, 0, 400, 1_200]);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!((free(DAVE), worth(DAVE)), (WEALTH - 8_000 + 4_800, 1_600));
    });
}

#[test]
fn hops_do_not_shake_a_slash_off() {
    ExtBuilder::build_and_execute(|| {
        const CAROL: AccountId = 3;
        register_alice(1_000);
        register_bob();
        assert_ok!(Staking::register(signed(CAROL), profile(), Permill::zero(), 13, MIN_SELF_BOND));
        delegate(DAVE, 10_000);
        let at = |provider| {
            let delegation = Delegations::<Test>::get(provider, DAVE).expect("it is there, qed");
            let pool = Pools::<Test>::get(provider).expect("it is registered, qed");
            (delegation.shares, pool.active.worth(delegation.shares).expect("it has them, qed"))
        };
        // An offence that nobody knows of yet; Dave does, and hops.
        assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, shares(DAVE)));
        for (to, shares) in [(CAROL, at(BOB).0), (ALICE, at(BOB).0), (CAROL, at(BOB).0 / 2)] {
            assert_noop!(Staking::redelegate(signed(DAVE), BOB, to, shares), Refused::LienOpen);
        }
        assert_noop!(Staking::undelegate(signed(DAVE), BOB, at(BOB).0), Refused::LienOpen);
        // Nor does a second delegation to Bob wash it, whether by money or by another move.
        assert_ok!(Staking::delegate(signed(DAVE), CAROL, 1_000));
        let other = at(CAROL).0;
        assert_noop!(Staking::redelegate(signed(DAVE), CAROL, BOB, other), Refused::LienOpen);
        pass_blocks(UNBONDING_BLOCKS - 1);
        Staking::slash_for_offence(&ALICE, Permill::one(), None);
        // In the last moment it is known. The lien's time passes, and it stays.
        pass_blocks(SLASH_DELAY);
        assert_noop!(Staking::redelegate(signed(DAVE), BOB, CAROL, at(BOB).0), Refused::LienOpen);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, 0));
        // It can go on, and pays on the way, for all that it asks to take along.
        assert_noop!(Staking::redelegate(signed(DAVE), BOB, CAROL, at(BOB).0), Refused::NotEnoughShares);
        assert_ok!(Staking::redelegate(signed(DAVE), BOB, CAROL, at(BOB).0 / 5 * 4));
        assert!(!Delegations::<Test>::contains_key(BOB, DAVE));
        assert_eq!(at(CAROL).1, 1_000 + 8_000);
    });
}

#[test]
fn the_last_delegator_to_hop_away_still_pays() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        delegate(DAVE, 10_000);
        assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, shares(DAVE)));
        // Nobody is left with Alice. The offence is measured by what answers for her.
        assert_eq!(offend(Permill::from_percent(20), None).from, [1_000, 0, 0, 0]);
        assert_eq!(Staking::lien_due(&BOB, &DAVE), 1_200);
    });
}

#[test]
fn a_commission_rug_is_announced_and_small() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        let of_a_job_now = || Staking::provider(&ALICE).expect("Alice is registered, qed").commission;
        assert_noop!(Staking::set_commission(signed(ALICE), Permill::one()), Refused::CommissionRiseTooHigh);
        assert_ok!(Staking::set_commission(signed(ALICE), Permill::from_percent(20)));
        assert_eq!(of_a_job_now(), Permill::from_percent(10));
        // To cut and come back is no way round: that is another rise.
        assert_ok!(Staking::set_commission(signed(ALICE), Permill::zero()));
        assert_ok!(Staking::set_commission(signed(ALICE), Permill::from_percent(10)));
        assert_eq!(of_a_job_now(), Permill::zero());
        // Nor to leave and come back: the delegators are gone by then.
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_noop!(Staking::deregister(signed(ALICE), ALICE), Refused::PoolNotEmpty);
    });
}

#[test]
fn a_provider_cannot_deregister_in_the_middle_of_a_job() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        lock(1, 1_000);
        assert_noop!(Staking::exit(signed(ALICE)), Refused::HasOpenBonds);
        assert_noop!(Staking::deregister(signed(ALICE), ALICE), Refused::NotExiting);
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_noop!(Staking::exit(signed(ALICE)), Refused::HasOpenBonds);
        assert_noop!(Staking::unbond_self(signed(ALICE), 4_001), Refused::SelfBondTooLow);
        assert_ok!(Staking::unbond_self(signed(ALICE), 4_000));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_eq!(convict(1, Permill::one(), ZOE, 1_000).from, [1_000, 0, 0, 0]);
    });
}

#[test]
fn two_jobs_do_not_lock_the_same_stake() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 5_000);
        lock(1, 1_500);
        assert_noop!(Staking::lock_bond(&ALICE, 2, 501), Refused::NotEnoughStake);
        lock(2, 500);
        let first = convict(1, Permill::one(), ZOE, 10_000);
        let second = convict(2, Permill::one(), ZOE, 10_000);
        assert_eq!((first.from, second.from), ([1_000, 0, 500, 0], [0, 0, 500, 0]));
    });
}

#[test]
fn dust_is_nobodys_gain() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 333);
        delegate(EVE, 777);
        for _ in 0..50 {
            earn(1, Permill::zero());
        }
        // A planck of income at a time, none of which can be divided: it all went to the provider.
        assert_eq!(Staking::pending_income(&ALICE, &DAVE) + Staking::pending_income(&ALICE, &EVE), 0);
        for _ in 0..20 {
            slash(3);
            assert_ok!(Staking::bond_more(signed(ALICE), 3));
        }
        assert_eq!((worth(DAVE), worth(EVE)), (333, 777));
        // Shares that are worth less than a planck buy nothing on their way out.
        assert_noop!(Staking::undelegate(signed(DAVE), ALICE, shares(DAVE) - 1), Refused::DelegationTooLow);
        for _ in 0..7 {
            assert_ok!(Staking::undelegate(signed(EVE), ALICE, 999));
            pass_blocks(1);
        }
        undelegate_all(EVE);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert!(free(EVE) <= WEALTH && free(EVE) >= WEALTH - 8, "{}", free(EVE));
        assert!(free(EVE) + free(DAVE) <= 2 * WEALTH);
    });
}

#[test]
fn no_call_is_open_to_an_unsigned_origin_nor_a_signed_one_to_root() {
    use frame_support::{dispatch::GetDispatchInfo, traits::UnfilteredDispatchable};
    use sp_runtime::DispatchError;
    ExtBuilder::build_and_execute(|| {
        let (some, who) = (Permill::zero(), ALICE);
        let calls = [
            Call::<Test>::register { profile: profile(), commission: some, operator: 11, self_bond: 1_000 },
            Call::set_profile { profile: profile() },
            Call::set_operator { operator: 11 },
            Call::set_commission { commission: some },
            Call::bond_more { amount: 1 },
            Call::unbond_self { amount: 1 },
            Call::delegate { provider: who, amount: 1 },
            Call::undelegate { provider: who, shares: 1 },
            Call::withdraw { provider: who },
            Call::claim_income { provider: who },
            Call::exit {},
            Call::evict { provider: who, owner: who },
            Call::deregister { provider: who },
            Call::apply_slash { provider: who, slash: 0 },
            Call::claim_compensation { provider: who, customer: who },
            Call::redelegate { from: who, to: BOB, shares: 1 },
            Call::settle_lien { provider: who, delegator: who },
            Call::set_auto_compound { provider: who, enabled: true },
            Call::compound { provider: who, delegator: who },
            Call::chill {},
            Call::unchill {},
        ];
        let refused = Err(DispatchError::BadOrigin.into());
        for call in calls {
            assert!(call.get_dispatch_info().call_weight.ref_time() > 25_000_000, "{call:?}");
            for origin in [frame_system::RawOrigin::None, frame_system::RawOrigin::Root] {
                assert_eq!(call.clone().dispatch_bypass_filter(origin.into()), refused, "{call:?}");
            }
        }
        let cancel = Call::<Test>::cancel_slash { provider: who, slash: 0 };
        for origin in [frame_system::RawOrigin::None, frame_system::RawOrigin::Signed(ALICE)] {
            assert_eq!(cancel.clone().dispatch_bypass_filter(origin.into()), refused);
        }
    });
}

#[test]
fn a_pool_slashed_to_nothing_locks_nobody_in() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let fortune = 10_000_000_000_000;
        assert_ok!(<Balances as Mutate<_>>::mint_into(&DAVE, fortune));
        delegate(DAVE, fortune);
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, shares(DAVE) / 2));
        delegate(EVE, 1_000);
        earn(1_000, Permill::zero());
        // A fifth each time: nothing but offence after offence gets there.
        let mut slashes = 0;
        while Providers::<Test>::get(ALICE).is_some_and(|p| p.status == Status::Active) {
            offend(Permill::one(), None);
            slashes += 1;
        }
        assert!((60..70).contains(&slashes), "{slashes}");
        assert!(events().contains(&Event::ExitBegun { provider: ALICE, ruined: true }));
        assert!(held_in_pool() < fortune / 1_000_000 + 10, "{}", held_in_pool());
        assert_noop!(Staking::delegate(signed(ZOE), ALICE, 1_000), Refused::NotActive);
        // The income from before the slash is still theirs.
        let due = Staking::pending_income(&ALICE, &EVE);
        let before = free(EVE);
        undelegate_all(EVE);
        assert_eq!(free(EVE), before + due);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        if Unbonding::<Test>::contains_key(ALICE, EVE) {
            assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        }
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
    });
}

#[test]
fn a_dead_delegator_cannot_keep_a_pool_alive() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        // Dave leaves the chain but for its stake.
        assert_ok!(<Balances as Mutate<_>>::transfer(&DAVE, &ZOE, free(DAVE), Preservation::Expendable));
        assert_eq!(free(DAVE), 0);
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_ok!(Staking::evict(signed(ALICE), ALICE, DAVE));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ALICE), ALICE, DAVE));
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_ok!(Staking::deregister(signed(ALICE), ALICE));
        assert_eq!((free(ALICE), free(DAVE)), (WEALTH, 1_000));
    });
}

#[test]
fn a_provider_cannot_pull_its_self_bond_from_under_its_bonds() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        lock(1, 4_000);
        assert_noop!(Staking::unbond_self(signed(ALICE), 1_001), Refused::StakeBacksBonds);
        assert_ok!(Staking::unbond_self(signed(ALICE), 1_000));
    });
}

#[test]
fn a_gift_to_the_pool_account_is_nobodys_stake_and_goes_to_the_provider_in_the_end() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let account = Staking::pool_account(&ALICE);
        assert_ok!(<Balances as Mutate<_>>::transfer(&ZOE, &account, 123, Preservation::Preserve));
        assert_eq!(Staking::stake_of(&ALICE), 1_000);
        assert_ok!(Staking::exit(signed(ALICE)));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_ok!(Staking::deregister(signed(ALICE), ALICE));
        assert_eq!(free(ALICE), WEALTH + 123);
    });
}

#[test]
fn pool_accounts_of_two_providers_differ() {
    ExtBuilder::build_and_execute(|| {
        assert_ne!(Staking::pool_account(&ALICE), Staking::pool_account(&BOB));
    });
}
