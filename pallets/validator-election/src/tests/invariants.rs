//! Random sessions: whatever happens, rewards stay within the cap, and there is always somebody to make blocks.

use attune_primitives::Balance;
use frame_support::{assert_ok, weights::Weight};
use frame_system::RawOrigin;
use proptest::prelude::*;
use sp_runtime::Perbill;

use crate::{mock::*, *};

#[derive(Clone, Debug)]
enum Act {
    Stake { who: AccountId, stake: Balance },
    Keys { who: AccountId },
    Purge { who: AccountId },
    Chill { who: AccountId },
    Offend { who: AccountId, percent: u32 },
    SetInflation { parts: u32 },
    Refuse { refuses: bool },
    Blocks { count: u32, payments: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let who = 1..=7u64;
    prop_oneof![
        4 => (who.clone(), 1..5_000u128).prop_map(|(who, stake)| Act::Stake { who, stake }),
        3 => who.clone().prop_map(|who| Act::Keys { who }),
        1 => who.clone().prop_map(|who| Act::Purge { who }),
        2 => who.clone().prop_map(|who| Act::Chill { who }),
        2 => (who, 1..=100u32).prop_map(|(who, percent)| Act::Offend { who, percent }),
        1 => (0..=120_000u32).prop_map(|parts| Act::SetInflation { parts }),
        1 => any::<bool>().prop_map(|refuses| Act::Refuse { refuses }),
        6 => (1..25u32, 0..4u64).prop_map(|(count, payments)| Act::Blocks { count, payments }),
    ]
}

/// Whether the next validators have another one with keys among them.
fn others_have_keys(who: AccountId) -> bool {
    pallet_session::QueuedKeys::<Test>::get()
        .iter()
        .any(|(other, _)| *other != who && Session::load_keys(other).is_some())
}

/// Does what it says. What is refused changes nothing.
fn play(act: Act) {
    match act {
        Act::Stake { who, stake } => set_stake(who, stake),
        Act::Keys { who } => set_keys(who),
        // If the last one with keys purged them, nobody could go on.
        Act::Purge { who } if !others_have_keys(who) => {}
        Act::Purge { who } => {
            let _ = Session::purge_keys(RawOrigin::Signed(who).into());
        }
        Act::Chill { who } => chill(who),
        Act::Offend { who, percent } => {
            offence(&[who], Perbill::from_percent(percent), Session::current_index());
        }
        Act::SetInflation { parts } => {
            let _ = Election::set_inflation(RawOrigin::Root.into(), Permill::from_parts(parts));
        }
        Act::Refuse { refuses } => RefusesIncome::set(refuses),
        Act::Blocks { count, payments } => {
            let weight = <() as WeightInfo>::poll()
                .saturating_add(<() as WeightInfo>::pay_one().saturating_mul(payments));
            for turn in 0..count {
                let validators = Session::validators();
                assert!(!validators.is_empty(), "there is somebody to make a block");
                let turn = usize::try_from(turn).expect("few blocks") % validators.len();
                block_with_weight(validators[turn], if payments == 3 { Weight::MAX } else { weight });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rewards_never_exceed_the_cap_and_the_chain_never_lacks_a_validator(
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        ExtBuilder::build_and_execute(|| {
            let before = issuance();
            for act in acts {
                play(act);
                assert_ok!(Election::do_try_state());
                assert!(
                    Session::validators().len() <= usize::try_from(MAX_VALIDATORS).expect("small"),
                    "no more validators than seats"
                );
            }
            let whole_sessions = u128::from(Session::current_index());
            // Issuance grows by what was minted before, and by existential deposits of the mock's pools.
            let cap = inflation::session_pot(issuance(), MaxInflation::get(), SESSION_MILLIS).expect("fits");
            let deposits = EXISTENTIAL * u128::try_from(Pools::get().len()).expect("few");
            assert!(issuance() - before <= whole_sessions * cap + deposits);
            let incomes: Balance = Incomes::get().iter().map(|(_, reward, _)| reward).sum();
            assert_eq!(issuance() - before - incomes, deposits, "each planck that was minted is some pool's income");
        });
    }
}
