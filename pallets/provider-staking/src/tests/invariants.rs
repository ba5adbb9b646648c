//! Random sequences of calls: whatever happens, the books agree with the money, and no token comes from nowhere.

use attune_primitives::{traits::Providers as ProvidersApi, Balance, JobId};
use frame_support::{storage::with_storage_layer, traits::fungible::Mutate};
use proptest::prelude::*;
use sp_arithmetic::Permill;

use crate::{mock::*, *};

#[derive(Clone, Debug)]
enum Act {
    Register { who: AccountId, self_bond: Balance },
    SetOperator { who: AccountId, operator: AccountId },
    BondMore { who: AccountId, amount: Balance },
    UnbondSelf { who: AccountId, amount: Balance },
    Delegate { who: AccountId, provider: AccountId, amount: Balance },
    Undelegate { who: AccountId, provider: AccountId, part: Permill },
    Withdraw { who: AccountId, provider: AccountId },
    Claim { who: AccountId, provider: AccountId },
    Exit { who: AccountId },
    Evict { provider: AccountId, owner: AccountId },
    Deregister { provider: AccountId },
    Lock { provider: AccountId, job: JobId, amount: Balance },
    Release { provider: AccountId, job: JobId },
    Slash { provider: AccountId, job: JobId, part: Permill, compensation: Balance },
    Earn { provider: AccountId, amount: Balance, commission: Permill },
    Pass { blocks: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    let provider = 1..=3u64;
    let who = 1..=6u64;
    let amount = prop_oneof![0..50u128, 50..5_000u128, 5_000..600_000u128];
    let part = (0..=1_000_000u32).prop_map(Permill::from_parts);
    let job = 0..4u64;
    prop_oneof![
        2 => (provider.clone(), 900..300_000u128)
            .prop_map(|(who, self_bond)| Act::Register { who, self_bond }),
        1 => (who.clone(), 10..16u64).prop_map(|(who, operator)| Act::SetOperator { who, operator }),
        1 => (who.clone(), amount.clone()).prop_map(|(who, amount)| Act::BondMore { who, amount }),
        1 => (who.clone(), amount.clone()).prop_map(|(who, amount)| Act::UnbondSelf { who, amount }),
        5 => (who.clone(), provider.clone(), amount.clone())
            .prop_map(|(who, provider, amount)| Act::Delegate { who, provider, amount }),
        4 => (who.clone(), provider.clone(), prop_oneof![part.clone(), Just(Permill::one())])
            .prop_map(|(who, provider, part)| Act::Undelegate { who, provider, part }),
        3 => (who.clone(), provider.clone()).prop_map(|(who, provider)| Act::Withdraw { who, provider }),
        2 => (who.clone(), provider.clone()).prop_map(|(who, provider)| Act::Claim { who, provider }),
        2 => provider.clone().prop_map(|who| Act::Exit { who }),
        2 => (provider.clone(), who.clone()).prop_map(|(provider, owner)| Act::Evict { provider, owner }),
        3 => provider.clone().prop_map(|provider| Act::Deregister { provider }),
        3 => (provider.clone(), job.clone(), amount.clone())
            .prop_map(|(provider, job, amount)| Act::Lock { provider, job, amount }),
        2 => (provider.clone(), job.clone()).prop_map(|(provider, job)| Act::Release { provider, job }),
        3 => (provider.clone(), job, prop_oneof![part.clone(), Just(Permill::one())], amount.clone()).prop_map(
            |(provider, job, part, compensation)| Act::Slash { provider, job, part, compensation }
        ),
        3 => (provider, amount, part)
            .prop_map(|(provider, amount, commission)| Act::Earn { provider, amount, commission }),
        4 => (1..25u32).prop_map(|blocks| Act::Pass { blocks }),
    ]
}

/// Does one act as a transaction; true if it was not refused.
fn perform(act: &Act) -> bool {
    with_storage_layer(|| match act.clone() {
        Act::Register { who, self_bond } => {
            Staking::register(signed(who), profile(), Permill::from_percent(5), who + 10, self_bond)
        }
        Act::SetOperator { who, operator } => Staking::set_operator(signed(who), operator),
        Act::BondMore { who, amount } => Staking::bond_more(signed(who), amount),
        Act::UnbondSelf { who, amount } => Staking::unbond_self(signed(who), amount),
        Act::Delegate { who, provider, amount } => Staking::delegate(signed(who), provider, amount),
        Act::Undelegate { who, provider, part } => {
            let all = Delegations::<Test>::get(provider, who).map(|d| d.shares).unwrap_or_default();
            Staking::undelegate(signed(who), provider, part.mul_floor(all))
        }
        Act::Withdraw { who, provider } => Staking::withdraw(signed(who), provider),
        Act::Claim { who, provider } => Staking::claim_income(signed(who), provider),
        Act::Exit { who } => Staking::exit(signed(who)),
        Act::Evict { provider, owner } => Staking::evict(signed(9), provider, owner),
        Act::Deregister { provider } => Staking::deregister(signed(9), provider),
        Act::Lock { provider, job, amount } => Staking::lock_bond(&provider, job, amount),
        Act::Release { provider, job } => {
            Staking::release_bond(&provider, job);
            Ok(())
        }
        Act::Slash { provider, job, part, compensation } => {
            let slashed = Staking::slash_bond(&provider, job, part, &8, compensation);
            assert_eq!(slashed.taken, slashed.compensated + slashed.burned);
            assert!(slashed.compensated <= compensation);
            Ok(())
        }
        Act::Earn { provider, amount, commission } => {
            // The escrow sends what a customer (7) paid, and keeps it if the income is refused.
            <Balances as Mutate<_>>::transfer(
                &7,
                &Staking::pool_account(&provider),
                amount,
                frame_support::traits::tokens::Preservation::Preserve,
            )?;
            Staking::note_income(&provider, amount, commission)
        }
        Act::Pass { blocks } => {
            pass_blocks(blocks);
            Ok(())
        }
    })
    .is_ok()
}

/// Moves everyone out of every pool, and deletes it: nobody is ever locked in.
fn wind_up() {
    for provider in ProviderIds::<Test>::get() {
        for (job, _) in Bonds::<Test>::iter_prefix(provider).collect::<Vec<_>>() {
            Staking::release_bond(&provider, job);
        }
        let _ = Staking::exit(signed(provider));
        // What was on its way out when the exit came, the delegations, and then these.
        for _ in 0..3 {
            pass_blocks(UNBONDING_BLOCKS);
            for owner in 1..=9 {
                let _ = with_storage_layer(|| Staking::evict(signed(9), provider, owner));
            }
        }
        assert_eq!(Staking::deregister(signed(9), provider), Ok(()), "{:?}", Pools::<Test>::get(provider));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_keeps_the_books(acts in proptest::collection::vec(act(), 1..80)) {
        new_test_ext().execute_with(|| {
            for act in &acts {
                let issued = Balances::total_issuance();
                perform(act);
                prop_assert_eq!(Staking::do_try_state(), Ok(()), "after {:?}", act);
                let after = Balances::total_issuance();
                prop_assert!(after <= issued, "{act:?} made money");
                prop_assert!(after == issued || matches!(act, Act::Slash { .. }), "{act:?} burned money");
            }
            wind_up();
            prop_assert_eq!(Staking::do_try_state(), Ok(()));
            prop_assert_eq!(Delegations::<Test>::iter().count() + Unbonding::<Test>::iter().count(), 0);
            Ok(())
        })?;
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

#[test]
fn the_random_acts_reach_every_rule() {
    // A sequence generator that only meets refusals would prove nothing.
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut done = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let acts = proptest::collection::vec(act(), 80)
            .new_tree(&mut runner)
            .expect("the strategy has no filter, qed")
            .current();
        new_test_ext().execute_with(|| {
            for act in &acts {
                if perform(act) {
                    let name = format!("{act:?}");
                    done.insert(name.split(' ').next().unwrap_or_default().to_owned());
                }
            }
        });
    }
    assert_eq!(done.len(), 16, "{done:?}");
}
