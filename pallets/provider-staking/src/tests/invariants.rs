//! Random sequences of calls: whatever happens, the books agree with the money and with a plain ledger, and no token
//! comes from nowhere or goes nowhere.

use attune_primitives::{traits::Providers as ProvidersApi, Balance, JobId};
use frame_support::{
    storage::with_storage_layer,
    traits::{fungible::Mutate, tokens::Preservation},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use sp_arithmetic::Permill;

use super::ledger::Ledger;
use crate::{mock::*, *};

/// Pays what jobs cost.
pub(super) const PAYER: AccountId = 7;
/// Is compensated.
pub(super) const CUSTOMER: AccountId = 8;

#[derive(Clone, Debug)]
pub(super) enum Act {
    Register { who: AccountId, self_bond: Balance },
    SetOperator { who: AccountId, operator: AccountId },
    SetCommission { who: AccountId, commission: Permill },
    BondMore { who: AccountId, amount: Balance },
    UnbondSelf { who: AccountId, amount: Balance },
    Delegate { who: AccountId, provider: AccountId, amount: Balance },
    Undelegate { who: AccountId, provider: AccountId, part: Permill },
    Redelegate { who: AccountId, from: AccountId, to: AccountId, part: Permill },
    SettleLien { provider: AccountId, who: AccountId },
    Withdraw { who: AccountId, provider: AccountId },
    Claim { who: AccountId, provider: AccountId },
    SetAutoCompound { who: AccountId, provider: AccountId, enabled: bool },
    Compound { caller: AccountId, provider: AccountId, who: AccountId },
    Chill { who: AccountId },
    Unchill { who: AccountId },
    Exit { who: AccountId },
    Evict { provider: AccountId, owner: AccountId },
    Deregister { provider: AccountId },
    Lock { provider: AccountId, job: JobId, amount: Balance },
    Release { provider: AccountId, job: JobId },
    Slash { provider: AccountId, job: JobId, part: Permill, compensation: Balance },
    Offence { provider: AccountId, part: Permill, reporter: Option<AccountId> },
    ApplySlash { provider: AccountId, nth: usize },
    CancelSlash { provider: AccountId, nth: usize },
    Earn { provider: AccountId, amount: Balance, commission: Permill },
    Beat { provider: AccountId },
    Pass { blocks: u32 },
}
/// How many kinds of acts there are.
const KINDS: usize = 27;

pub(super) fn act() -> impl Strategy<Value = Act> {
    let provider = || 1..=3u64;
    let who = || 1..=6u64;
    let amount = || prop_oneof![0..50u128, 50..5_000u128, 5_000..600_000u128];
    let any_part = || (0..=1_000_000u32).prop_map(Permill::from_parts);
    let part = move || prop_oneof![any_part(), Just(Permill::one())];
    let job = || 0..4u64;
    let stake = prop_oneof![
        2 => (provider(), 900..300_000u128).prop_map(|(who, self_bond)| Act::Register { who, self_bond }),
        1 => (who(), 10..16u64).prop_map(|(who, operator)| Act::SetOperator { who, operator }),
        2 => (provider(), (0..200_000u32).prop_map(Permill::from_parts))
            .prop_map(|(who, commission)| Act::SetCommission { who, commission }),
        1 => (who(), amount()).prop_map(|(who, amount)| Act::BondMore { who, amount }),
        2 => (who(), amount()).prop_map(|(who, amount)| Act::UnbondSelf { who, amount }),
        7 => (who(), provider(), amount())
            .prop_map(|(who, provider, amount)| Act::Delegate { who, provider, amount }),
        4 => (who(), provider(), part())
            .prop_map(|(who, provider, part)| Act::Undelegate { who, provider, part }),
        7 => (who(), provider(), provider(), part())
            .prop_map(|(who, from, to, part)| Act::Redelegate { who, from, to, part }),
        7 => (provider(), who()).prop_map(|(provider, who)| Act::SettleLien { provider, who }),
        7 => (who(), provider()).prop_map(|(who, provider)| Act::Withdraw { who, provider }),
    ];
    let income = prop_oneof![
        2 => (who(), provider()).prop_map(|(who, provider)| Act::Claim { who, provider }),
        1 => (who(), provider(), any::<bool>())
            .prop_map(|(who, provider, enabled)| Act::SetAutoCompound { who, provider, enabled }),
        6 => (who(), provider(), who())
            .prop_map(|(caller, provider, who)| Act::Compound { caller, provider, who }),
        4 => (provider(), amount(), any_part())
            .prop_map(|(provider, amount, commission)| Act::Earn { provider, amount, commission }),
    ];
    let leave = prop_oneof![
        1 => provider().prop_map(|who| Act::Chill { who }),
        2 => provider().prop_map(|who| Act::Unchill { who }),
        1 => provider().prop_map(|who| Act::Exit { who }),
        6 => provider().prop_map(|provider| Act::Beat { provider }),
        12 => (provider(), who()).prop_map(|(provider, owner)| Act::Evict { provider, owner }),
        4 => provider().prop_map(|provider| Act::Deregister { provider }),
    ];
    let slash = prop_oneof![
        4 => (provider(), job(), amount())
            .prop_map(|(provider, job, amount)| Act::Lock { provider, job, amount }),
        2 => (provider(), job()).prop_map(|(provider, job)| Act::Release { provider, job }),
        4 => (provider(), job(), part(), amount()).prop_map(
            |(provider, job, part, compensation)| Act::Slash { provider, job, part, compensation }
        ),
        2 => (provider(), part(), proptest::option::of(who()))
            .prop_map(|(provider, part, reporter)| Act::Offence { provider, part, reporter }),
        8 => (provider(), 0..2usize).prop_map(|(provider, nth)| Act::ApplySlash { provider, nth }),
        2 => (provider(), 0..2usize).prop_map(|(provider, nth)| Act::CancelSlash { provider, nth }),
    ];
    let pass = prop_oneof![2 => 1..6u32, 1 => 6..25u32].prop_map(|blocks| Act::Pass { blocks });
    prop_oneof![8 => stake, 4 => income, 4 => leave, 5 => slash, 4 => pass]
}

/// How every sequence begins: three providers, each with three delegators.
fn opening() -> Vec<Act> {
    let register = (1..=3).map(|who| Act::Register { who, self_bond: 20_000 });
    let pairs = (1..=3).flat_map(|provider| (4..=6).map(move |who| (provider, who)));
    let delegate = pairs.map(|(provider, who)| Act::Delegate { who, provider, amount: 30_000 });
    register.chain(delegate).collect()
}

/// `part` of the shares that `who` has at `provider`.
fn shares_at(provider: AccountId, who: AccountId, part: Permill) -> u128 {
    let all = Delegations::<Test>::get(provider, who).map(|d| d.shares).unwrap_or_default();
    part.mul_floor(all)
}

/// The number of a pending slash of `provider`; one that isn't if there are fewer.
pub(super) fn slash_id(provider: AccountId, nth: usize) -> SlashId {
    let mut ids = PendingSlashes::<Test>::iter_prefix(provider).map(|(id, _)| id).collect::<Vec<_>>();
    ids.sort_unstable();
    ids.get(nth).copied().unwrap_or(SlashId::MAX)
}

/// Does one act as a transaction; true if it was not refused.
fn perform(act: &Act) -> bool {
    with_storage_layer(|| match act.clone() {
        Act::Register { who, self_bond } => {
            Staking::register(signed(who), profile(), Permill::from_percent(5), who + 10, self_bond)
        }
        Act::SetOperator { who, operator } => Staking::set_operator(signed(who), operator),
        Act::SetCommission { who, commission } => Staking::set_commission(signed(who), commission),
        Act::BondMore { who, amount } => Staking::bond_more(signed(who), amount),
        Act::UnbondSelf { who, amount } => Staking::unbond_self(signed(who), amount),
        Act::Delegate { who, provider, amount } => Staking::delegate(signed(who), provider, amount),
        Act::Undelegate { who, provider, part } => {
            Staking::undelegate(signed(who), provider, shares_at(provider, who, part))
        }
        Act::Redelegate { who, from, to, part } => {
            Staking::redelegate(signed(who), from, to, shares_at(from, who, part))
        }
        Act::SettleLien { provider, who } => Staking::settle_lien(signed(9), provider, who),
        Act::Withdraw { who, provider } => Staking::withdraw(signed(who), provider),
        Act::Claim { who, provider } => Staking::claim_income(signed(who), provider),
        Act::SetAutoCompound { who, provider, enabled } => {
            Staking::set_auto_compound(signed(who), provider, enabled)
        }
        Act::Compound { caller, provider, who } => Staking::compound(signed(caller), provider, who),
        Act::Chill { who } => Staking::chill(signed(who)),
        Act::Unchill { who } => Staking::unchill(signed(who)),
        Act::Exit { who } => Staking::exit(signed(who)),
        Act::Evict { provider, owner } => Staking::evict(signed(9), provider, owner),
        Act::Deregister { provider } => Staking::deregister(signed(9), provider),
        Act::Lock { provider, job, amount } => Staking::lock_bond(&provider, job, amount),
        Act::Release { provider, job } => {
            Staking::release_bond(&provider, job);
            Ok(())
        }
        Act::Slash { provider, job, part, compensation } => {
            let bond = Bonds::<Test>::get(provider, job).unwrap_or_default();
            let booked = Staking::slash_bond(&provider, job, part, &CUSTOMER, compensation);
            assert_eq!(booked, part.mul_ceil(bond));
            Ok(())
        }
        Act::Offence { provider, part, reporter } => {
            Staking::slash_for_offence(&provider, part, reporter.as_ref());
            Ok(())
        }
        Act::ApplySlash { provider, nth } => {
            Staking::apply_slash(signed(9), provider, slash_id(provider, nth))
        }
        Act::CancelSlash { provider, nth } => {
            Staking::cancel_slash(frame_system::RawOrigin::Root.into(), provider, slash_id(provider, nth))
        }
        Act::Earn { provider, amount, commission } => {
            // The escrow sends what a customer paid, and keeps it if the income is refused.
            let account = Staking::pool_account(&provider);
            <Balances as Mutate<_>>::transfer(&PAYER, &account, amount, Preservation::Preserve)?;
            Staking::note_income(&provider, amount, commission)
        }
        Act::Beat { provider } => {
            let key = Providers::<Test>::get(provider).map_or(provider, |stored| stored.operator);
            submit(heartbeat_by(key, provider, period()))
                .map(|_| ())
                .map_err(|_| Error::<Test>::NotAsked.into())
        }
        Act::Pass { blocks } => {
            run_to(block() + blocks);
            Ok(())
        }
    })
    .is_ok()
}

/// What the events of the last act say was burned.
fn burned() -> Balance {
    let burned = events().into_iter().map(|event| match event {
        Event::Slashed { remainder, .. } => remainder,
        Event::LienCharged { amount, .. } => amount,
        _ => 0,
    });
    burned.sum()
}

/// Does one act, and checks the books, the issuance to the planck, what was told, and the ledger.
fn perform_and_check(act: &Act, ledger: &mut Ledger) -> bool {
    let done = perform_and_count(act, ledger);
    check_books(act, ledger);
    done
}

fn check_books(act: &Act, ledger: &Ledger) {
    assert_eq!(Staking::do_try_state(), Ok(()), "after {act:?}");
    check_told();
    ledger.check(act);
}

/// Does one act, and counts what there is of the token.
fn perform_and_count(act: &Act, ledger: &mut Ledger) -> bool {
    System::reset_events();
    let issued = Balances::total_issuance();
    let foreseen = ledger.foresee(act);
    let done = perform(act);
    if done {
        ledger.write(act, foreseen);
    }
    assert_eq!(Balances::total_issuance(), issued - burned(), "{act:?}");
    done
}

/// Moves everyone out of every pool, and deletes it: nobody is ever locked in.
fn wind_up() {
    let providers = ProviderIds::<Test>::get();
    for provider in &providers {
        for (job, _) in Bonds::<Test>::iter_prefix(provider).collect::<Vec<_>>() {
            Staking::release_bond(provider, job);
        }
        let _ = Staking::exit(signed(*provider));
    }
    // What was on its way out when the exit came, the delegations when their liens end, and then these.
    for _ in 0..4 {
        pass_blocks(UNBONDING_BLOCKS);
        for provider in &providers {
            for (id, _) in PendingSlashes::<Test>::iter_prefix(provider).collect::<Vec<_>>() {
                assert_eq!(Staking::apply_slash(signed(9), *provider, id), Ok(()));
            }
        }
        for (provider, owner) in providers.iter().flat_map(|p| (1..=9).map(move |owner| (*p, owner))) {
            let _ = with_storage_layer(|| Staking::evict(signed(9), provider, owner));
        }
    }
    for provider in providers {
        assert_eq!(Staking::deregister(signed(9), provider), Ok(()), "{:?}", Pools::<Test>::get(provider));
    }
    assert_eq!(Staking::do_try_state(), Ok(()));
    assert_eq!(Delegations::<Test>::iter().count() + Unbonding::<Test>::iter().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_keeps_the_books(acts in proptest::collection::vec(act(), 1..100)) {
        new_test_ext().execute_with(|| {
            let mut ledger = Ledger::new();
            for act in opening().iter().chain(&acts) {
                perform_and_check(act, &mut ledger);
            }
            wind_up();
        });
    }

    #[test]
    fn shares_are_never_worth_more_than_the_bucket(
        balance in 0..10u128.pow(24),
        parts in proptest::collection::vec(1..10u128.pow(24), 1..8),
        cut in (0..=1_000_000u32).prop_map(Permill::from_parts),
    ) {
        let mut bucket = Bucket::default();
        let mut owned = Vec::new();
        for part in &parts {
            owned.push(bucket.put(*part).expect("ordinary amounts don't overflow, qed"));
        }
        bucket.balance = cut.mul_floor(bucket.balance).min(balance);
        let worths = owned.iter().map(|shares| bucket.worth(*shares).expect("nobody has more than all, qed"));
        prop_assert!(worths.sum::<u128>() <= bucket.balance);
        for shares in owned {
            bucket.take(shares).expect("everyone can leave, qed");
        }
        prop_assert_eq!(bucket, Bucket::default());
    }
}

/// `count` acts, the same each time.
fn acts(runner: &mut TestRunner, count: usize) -> Vec<Act> {
    let tree = proptest::collection::vec(act(), count).new_tree(runner);
    tree.expect("the strategy has no filter, qed").current()
}

#[test]
fn ten_thousand_random_operations_make_and_lose_no_planck() {
    let mut runner = TestRunner::deterministic();
    let (mut done, mut wound_up) = (0, 1);
    new_test_ext().execute_with(|| {
        let mut ledger = Ledger::new();
        while done < 10_000 {
            for act in opening().into_iter().chain(acts(&mut runner, 200)) {
                if perform_and_count(&act, &mut ledger) && !events().is_empty() {
                    done += 1;
                    if done % 10 == 0 {
                        check_books(&act, &ledger);
                    }
                }
            }
            // Where everything was slashed away, somebody has to bring money. The rounding of many short lives is
            // forgotten with it.
            if done > 1_000 * wound_up {
                wind_up();
                wound_up += 1;
            }
            for who in 1..=7 {
                <Balances as Mutate<_>>::set_balance(&who, free(who).max(WEALTH));
            }
            ledger = Ledger::new();
        }
        wind_up();
    });
}

#[test]
fn the_random_acts_reach_every_rule() {
    // A sequence generator that only meets refusals would prove nothing.
    let mut runner = TestRunner::deterministic();
    let mut done = std::collections::BTreeMap::<String, u32>::new();
    let mut charged = 0;
    for _ in 0..200 {
        let acts = acts(&mut runner, 150);
        new_test_ext().execute_with(|| {
            for act in opening().iter().chain(&acts) {
                if perform(act) {
                    let name = format!("{act:?}");
                    *done.entry(name.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
            // Random acts hardly ever empty a pool, so that it could be deleted.
            wind_up();
            let deleted = events().iter().filter(|event| matches!(event, Event::Deregistered { .. })).count();
            *done.entry("Deregister".to_owned()).or_default() += u32::try_from(deleted).unwrap_or_default();
            charged += events().iter().filter(|event| matches!(event, Event::LienCharged { .. })).count();
        });
    }
    assert_eq!(done.len(), KINDS, "{done:?}");
    assert!(done.values().all(|times| *times >= 10) && charged >= 10, "{done:?}, {charged} liens charged");
}
