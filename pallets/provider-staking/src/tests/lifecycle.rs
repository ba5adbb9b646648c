//! How providers come, change and go.

use attune_primitives::{
    job::{ArithmeticMode, BaseFormat, ExecutionClass},
    provider::ProviderProfile,
    traits::{AuditOutcome, Providers as ProvidersApi},
};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

fn register(who: AccountId, operator: AccountId, self_bond: u128) -> sp_runtime::DispatchResult {
    Staking::register(signed(who), profile(), Permill::zero(), operator, self_bond)
}

#[test]
fn registering_holds_self_bond_and_deposit() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        assert_eq!(held_in_pool(), 5_000);
        assert_eq!(Balances::balance_on_hold(&HoldReason::Deposit.into(), &ALICE), DEPOSIT);
        assert_eq!(free(ALICE), WEALTH - 5_000 - DEPOSIT - EXISTENTIAL);
        assert_eq!(Staking::provider_of_operator(&ALICE_KEY), Some(ALICE));
        assert_eq!(Staking::stake_of(&ALICE), 5_000);
        assert_eq!(
            events(),
            [Event::Registered {
                provider: ALICE,
                operator: ALICE_KEY,
                commission: Permill::from_percent(10),
                self_bond: 5_000
            }]
        );
    });
}

#[test]
fn registering_needs_the_least_self_bond() {
    ExtBuilder::build_and_execute(|| {
        assert_noop!(register(ALICE, ALICE_KEY, MIN_SELF_BOND - 1), Refused::SelfBondTooLow);
        assert_ok!(register(ALICE, ALICE_KEY, MIN_SELF_BOND));
    });
}

#[test]
fn registering_needs_the_money() {
    ExtBuilder::build_and_execute(|| {
        for self_bond in [WEALTH, WEALTH - DEPOSIT, WEALTH - DEPOSIT - EXISTENTIAL] {
            assert!(
                frame_support::storage::with_storage_layer(|| register(ALICE, ALICE_KEY, self_bond)).is_err(),
                "{self_bond} of {WEALTH} leaves no existential deposit"
            );
        }
        assert_ok!(register(ALICE, ALICE_KEY, WEALTH - DEPOSIT - 2 * EXISTENTIAL));
    });
}

#[test]
fn an_operator_key_acts_for_one_provider_and_is_nobodys_stash() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        assert_noop!(register(BOB, BOB, MIN_SELF_BOND), Refused::OperatorIsStash);
        assert_noop!(register(BOB, ALICE_KEY, MIN_SELF_BOND), Refused::OperatorInUse);
        assert_noop!(register(BOB, ALICE, MIN_SELF_BOND), Refused::OperatorInUse);
        assert_ok!(register(BOB, BOB_KEY, MIN_SELF_BOND));
        assert_noop!(Staking::set_operator(signed(BOB), ALICE_KEY), Refused::OperatorInUse);
    });
}

#[test]
fn an_operator_key_cannot_register_as_a_provider() {
    ExtBuilder::build_and_execute(|| {
        assert_ok!(register(ALICE, BOB, MIN_SELF_BOND));
        assert_noop!(register(BOB, BOB_KEY, MIN_SELF_BOND), Refused::AccountIsOperator);
    });
}

#[test]
fn nobody_registers_twice() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        assert_noop!(register(ALICE, 13, MIN_SELF_BOND), Refused::AlreadyRegistered);
    });
}

#[test]
fn the_registry_is_bounded() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=u64::from(MAX_PROVIDERS) {
            assert_ok!(register(who, who + 10, MIN_SELF_BOND));
        }
        assert_noop!(register(9, 19, MIN_SELF_BOND), Refused::TooManyProviders);
    });
}

#[test]
fn an_empty_or_unreadable_profile_is_refused() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        let mut unnamed = profile();
        unnamed.name = Default::default();
        let mut unreachable = profile();
        unreachable.endpoint = Default::default();
        let mut classless = profile();
        classless.class = Default::default();
        let mut not_text = profile();
        not_text.name = vec![0xff, 0xfe].try_into().expect("two bytes fit, qed");
        for bad in [unnamed, unreachable, classless, not_text] {
            assert_noop!(Staking::set_profile(signed(ALICE), bad), Refused::BadProfile);
        }
        let mut other = profile();
        other.price_per_gpu_hour = 7;
        assert_ok!(Staking::set_profile(signed(ALICE), other.clone()));
        assert_eq!(Staking::provider(&ALICE).map(|view| view.profile), Some(other));
    });
}

#[test]
fn a_new_operator_key_replaces_the_old_one() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        assert_ok!(Staking::set_operator(signed(ALICE), 13));
        assert_eq!(Staking::provider_of_operator(&ALICE_KEY), None);
        assert_eq!(Staking::provider_of_operator(&13), Some(ALICE));
        assert_ok!(register(BOB, ALICE_KEY, MIN_SELF_BOND));
    });
}

#[test]
fn only_a_provider_changes_itself() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        for who in [DAVE, ALICE_KEY] {
            assert_noop!(Staking::set_profile(signed(who), profile()), Refused::NotAProvider);
            assert_noop!(Staking::set_operator(signed(who), 13), Refused::NotAProvider);
            assert_noop!(Staking::set_commission(signed(who), Permill::zero()), Refused::NotAProvider);
            assert_noop!(Staking::bond_more(signed(who), 1), Refused::NotAProvider);
            assert_noop!(Staking::unbond_self(signed(who), 1), Refused::NotAProvider);
            assert_noop!(Staking::exit(signed(who)), Refused::NotAProvider);
            assert_noop!(Staking::chill(signed(who)), Refused::NotAProvider);
            assert_noop!(Staking::unchill(signed(who)), Refused::NotAProvider);
        }
    });
}

#[test]
fn a_provider_with_a_locked_bond_cannot_exit() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        lock(7, 0);
        assert_noop!(Staking::exit(signed(ALICE)), Refused::HasOpenBonds);
        Staking::release_bond(&ALICE, 7);
        assert_ok!(Staking::exit(signed(ALICE)));
    });
}

#[test]
fn an_exiting_provider_takes_nothing_new_and_does_not_come_back() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 500);
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_noop!(Staking::delegate(signed(EVE), ALICE, 500), Refused::NotActive);
        assert_noop!(Staking::bond_more(signed(ALICE), 500), Refused::NotActive);
        assert_noop!(Staking::lock_bond(&ALICE, 1, 0), Refused::NotActive);
        assert_noop!(Staking::exit(signed(ALICE)), Refused::AlreadyExiting);
        assert!(Staking::active_for(&ArithmeticMode::ClassExact { class: profile().class }).is_empty());
        assert_eq!(pool().self_unbonding, 5_000);
    });
}

#[test]
fn an_exited_provider_is_deleted_and_gets_everything_back() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 500);
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::PoolNotEmpty);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::PoolNotEmpty);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
        assert_eq!((free(ALICE), free(DAVE)), (WEALTH, WEALTH));
        assert_eq!(free(Staking::pool_account(&ALICE)), 0);
        assert_eq!(Staking::provider_of_operator(&ALICE_KEY), None);
        register_alice(MIN_SELF_BOND);
    });
}

#[test]
fn an_active_provider_cannot_be_deleted_nor_its_delegators_evicted() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 500);
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::NotExiting);
        assert_noop!(Staking::evict(signed(ZOE), ALICE, DAVE), Refused::NotExiting);
        assert_noop!(Staking::deregister(signed(ZOE), BOB), Refused::NotAProvider);
    });
}

#[test]
fn anyone_may_move_idle_delegators_out_of_an_exiting_pool() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 5_000);
        earn(1_000, Permill::zero());
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_ok!(Staking::evict(signed(ZOE), ALICE, DAVE));
        assert_eq!(free(DAVE), WEALTH - 5_000 + 500, "its income was paid on the way");
        assert_noop!(Staking::evict(signed(ZOE), ALICE, DAVE), Refused::NothingToEvict);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ZOE), ALICE, DAVE));
        assert_ok!(Staking::evict(signed(ZOE), ALICE, ALICE));
        assert_eq!(free(DAVE), WEALTH + 500);
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
        assert_eq!(free(ALICE), WEALTH + 500);
    });
}

#[test]
fn only_active_providers_who_compute_the_arithmetic_with_the_least_self_bond_are_listed() {
    ExtBuilder::build_and_execute(|| {
        let of_class = |class: &ExecutionClass| ArithmeticMode::ClassExact { class: class.clone() };
        let class = of_class(&profile().class);
        let exact = |version| ArithmeticMode::Exact { version, base: BaseFormat::W4 };
        register_bob();
        register_alice(2_000);
        delegate(DAVE, 300);
        assert_eq!(Staking::active_for(&class), [(ALICE, 2_300), (BOB, MIN_SELF_BOND)]);
        let mut other = profile();
        other.class = b"gpu".to_vec().try_into().expect("the class is short, qed");
        assert_ok!(Staking::set_profile(signed(BOB), other.clone()));
        assert_eq!(Staking::active_for(&class), [(ALICE, 2_300)]);
        assert_eq!(Staking::active_for(&of_class(&other.class)), [(BOB, MIN_SELF_BOND)]);
        assert_eq!(Staking::active_for(&exact(1)), [(ALICE, 2_300), (BOB, MIN_SELF_BOND)]);
        assert!(Staking::active_for(&exact(2)).is_empty());
        assert_ok!(Staking::set_profile(signed(BOB), ProviderProfile { exact_version: 0, ..other.clone() }));
        assert_eq!(Staking::active_for(&exact(1)), [(ALICE, 2_300)]);
        assert!(Staking::active_for(&exact(0)).is_empty(), "0 is no version");
        slash(1_001);
        assert!(Staking::active_for(&class).is_empty(), "999 is below the least self-bond");
        assert_noop!(Staking::lock_bond(&ALICE, 1, 1), Refused::SelfBondTooLow);
        assert_ok!(Staking::bond_more(signed(ALICE), 1));
        assert_eq!(Staking::active_for(&class), [(ALICE, 1_300)]);
    });
}

#[test]
fn reputation_counts_what_happened() {
    ExtBuilder::build_and_execute(|| {
        register_alice(MIN_SELF_BOND);
        Staking::note_job(&ALICE, true);
        Staking::note_job(&ALICE, false);
        Staking::note_job(&ALICE, true);
        Staking::note_audit(&ALICE, AuditOutcome::Answered);
        Staking::note_audit(&ALICE, AuditOutcome::Missed);
        Staking::note_audit(&ALICE, AuditOutcome::Overruled);
        Staking::note_audit(&ALICE, AuditOutcome::Overruled);
        Staking::note_job(&BOB, true);
        let seen = Providers::<Test>::get(ALICE).expect("Alice is registered, qed").reputation;
        let expected = Reputation {
            jobs_finished: 2,
            jobs_failed: 1,
            audits_answered: 1,
            audits_missed: 1,
            audits_overruled: 2,
            ..Default::default()
        };
        assert_eq!(seen, expected);
        assert!(!Providers::<Test>::contains_key(BOB));
    });
}
