//! What was stored before is what is stored after.

use attune_primitives::provider::{Hardware, ProviderProfile};
use codec::{Decode, DecodeAll, Encode};
use frame_support::{
    migrations::{SteppedMigration, SteppedMigrationError},
    pallet_prelude::StorageVersion,
    storage::{unhashed, StoragePrefixedMap},
    traits::GetStorageVersion,
    weights::{Weight, WeightMeter},
};
use sp_arithmetic::Permill;

use super::absence::register_many;
use crate::{
    migrations::v2::{AddHeartbeats, OldProvider},
    mock::*,
    *,
};

type Migration = AddHeartbeats<Test>;
type Old = OldProvider<AccountId>;

/// Stores all providers as version 1 did.
fn turn_back() {
    for (who, stored) in Providers::<Test>::iter().collect::<Vec<_>>() {
        unhashed::put(&Providers::<Test>::hashed_key_for(who), &Old::from(stored));
    }
    StorageVersion::new(1).put::<Staking>();
}

/// Weight for so many providers.
fn weight_for(count: u64) -> Weight {
    <() as WeightInfo>::migrate_provider().saturating_mul(count)
}

/// Everything that is stored but the providers and the version.
fn everything_else() -> Vec<(Vec<u8>, Vec<u8>)> {
    let providers = Providers::<Test>::final_prefix().to_vec();
    let version = StorageVersion::storage_key::<Staking>().to_vec();
    let (mut found, mut key) = (Vec::new(), Vec::new());
    while let Some(next) = sp_io::storage::next_key(&key) {
        if !next.starts_with(&providers) && next != version {
            found.push((next.clone(), unhashed::get_raw(&next).expect("the key is there, qed")));
        }
        key = next;
    }
    found
}

/// Alice, with every field set, and Bob, who leaves.
fn two_providers() {
    run_to(25);
    register_alice(10_000);
    register_bob();
    delegate(DAVE, 5_000);
    assert!(Staking::set_commission(signed(ALICE), Permill::from_percent(15)).is_ok());
    Providers::<Test>::mutate(ALICE, |slot| {
        let seen = &mut slot.as_mut().expect("Alice is registered, qed").reputation;
        *seen = Reputation {
            jobs_finished: 1,
            jobs_failed: 2,
            audits_answered: 3,
            audits_missed: 4,
            audits_overruled: 5,
            ..Default::default()
        };
    });
    assert!(Staking::exit(signed(BOB)).is_ok());
}

#[test]
fn heartbeats_are_added_and_all_else_of_a_provider_is_kept() {
    ExtBuilder::build_and_execute(|| {
        two_providers();
        let expected = [ALICE, BOB].map(|who| {
            let mut stored = Providers::<Test>::get(who).expect("it is registered, qed");
            stored.presence = Presence { due_from: period() + 1 + GRACE_PERIODS, absent_since: None };
            stored
        });
        turn_back();
        let (before, others) = (Migration::before(), everything_else());
        assert_eq!(before.len(), 2);
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        assert_eq!([ALICE, BOB].map(|who| Providers::<Test>::get(who).expect("it is there")), expected);
        assert_eq!(Staking::on_chain_storage_version(), 2);
        assert_eq!(everything_else(), others, "nothing else is touched");
        assert_eq!(Migration::compare(before), Ok(()));
    });
}

/// Bob as version 1 of the storage wrote him, byte by byte and without any of today's types: the fields of runtime version
/// 1's `Provider`, in its order.
fn bob_of_version_1() -> Vec<u8> {
    let text =
        |text: &str| [&[u8::try_from(text.len() * 4).expect("it is short, qed")], text.as_bytes()].concat();
    [
        // The profile: name, endpoint, class, exact version; hardware: model, accelerators, MiB; price, tokens per second.
        text("Bob"),
        text("http://bob:9000"),
        text("gpu-b"),
        vec![0x02, 0x01],
        text("H100"),
        vec![0x08, 0x00],
        vec![0x00, 0x40, 0x01, 0x00],
        vec![0xd2, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x39, 0x30, 0x00, 0x00],
        // The commission, 7 %, and a rise to 12 % from block 77 on.
        vec![0x70, 0x11, 0x01, 0x00],
        vec![0x01, 0xc0, 0xd4, 0x01, 0x00, 0x4d, 0x00, 0x00, 0x00],
        // The operator, account 12, and the status: chilled.
        vec![12, 0, 0, 0, 0, 0, 0, 0],
        vec![0x01],
        // Jobs finished and failed; audits answered, missed and overruled.
        vec![101, 0, 0, 0, 102, 0, 0, 0, 103, 0, 0, 0, 104, 0, 0, 0, 105, 0, 0, 0],
        // Registered in block 3; the deposit, 50.
        vec![0x03, 0x00, 0x00, 0x00],
        vec![50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat()
}

#[test]
fn a_provider_is_what_version_1_wrote_field_by_field() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        register_bob();
        assert!(Staking::chill(signed(BOB)).is_ok());
        unhashed::put_raw(&Providers::<Test>::hashed_key_for(BOB), &bob_of_version_1());
        StorageVersion::new(1).put::<Staking>();
        assert_eq!(Providers::<Test>::get(BOB), None, "it is not in today's form");
        assert!(!Staking::takes_work(&BOB), "and its status is read all the same");
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        let bytes = |text: &str| text.as_bytes().to_vec();
        let expected = Provider {
            profile: ProviderProfile {
                name: bytes("Bob").try_into().expect("it is short, qed"),
                endpoint: bytes("http://bob:9000").try_into().expect("it is short, qed"),
                class: bytes("gpu-b").try_into().expect("it is short, qed"),
                exact_version: 258,
                hardware: Hardware {
                    model: bytes("H100").try_into().expect("it is short, qed"),
                    accelerators: 8,
                    memory_mib: 81_920,
                },
                price_per_gpu_hour: 1_234,
                tokens_per_second: 12_345,
            },
            commission: Permill::from_percent(7),
            rise: Some(CommissionRise { to: Permill::from_percent(12), from_block: 77 }),
            operator: BOB_KEY,
            status: Status::Chilled,
            reputation: Reputation {
                jobs_finished: 101,
                jobs_failed: 102,
                audits_answered: 103,
                audits_missed: 104,
                audits_overruled: 105,
                heartbeats_answered: 0,
                heartbeats_missed: 0,
            },
            presence: Presence { due_from: period() + 1 + GRACE_PERIODS, absent_since: None },
            registered_at: 3,
            deposit: 50,
        };
        assert_eq!(Providers::<Test>::get(BOB), Some(expected));
    });
}

#[test]
fn a_migration_that_runs_out_of_weight_goes_on_where_it_stopped() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        register_many(10);
        turn_back();
        let before = Migration::before();
        let (mut cursor, mut steps) = (None, 0);
        loop {
            cursor = Migration::step(cursor, &mut WeightMeter::with_limit(weight_for(3)))
                .expect("there is weight for three");
            steps += 1;
            let left = Migration::before().len();
            assert_eq!(left, 10usize.saturating_sub(3 * steps), "after step {steps}");
            if cursor.is_none() {
                break;
            }
            assert_eq!(Staking::on_chain_storage_version(), 1, "it is not done");
        }
        assert_eq!(steps, 4);
        assert!(Migration::max_steps().is_some_and(|most| most >= 4));
        assert_eq!(Migration::compare(before), Ok(()));
    });
}

#[test]
fn each_step_translates_one_provider_at_least_or_says_what_it_takes() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        register_many(4);
        turn_back();
        let required = weight_for(1);
        let little = &mut WeightMeter::with_limit(required - Weight::from_parts(1, 0));
        assert_eq!(
            Migration::step(None, little),
            Err(SteppedMigrationError::InsufficientWeight { required })
        );
        assert_eq!(Migration::before().len(), 4);
        let mut cursor = None;
        for left in [3, 2, 1, 0] {
            cursor = Migration::step(cursor, &mut WeightMeter::with_limit(required)).expect("it is enough");
            assert!(cursor.is_some());
            assert_eq!(Migration::before().len(), left);
        }
        assert_eq!(Migration::step(cursor, &mut WeightMeter::with_limit(required)), Ok(None));
        assert_eq!(Staking::on_chain_storage_version(), 2);
    });
}

#[test]
fn to_migrate_twice_is_to_migrate_once() {
    ExtBuilder::build_and_execute(|| {
        two_providers();
        turn_back();
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        let after = Providers::<Test>::iter().collect::<Vec<_>>();
        run_to(60);
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        // Even if the version is lost, what is translated is not taken for what is not.
        StorageVersion::new(1).put::<Staking>();
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        assert_eq!(Providers::<Test>::iter().collect::<Vec<_>>(), after);
    });
}

#[test]
fn a_chain_that_began_with_heartbeats_has_nothing_to_migrate() {
    ExtBuilder::build_and_execute(|| {
        StorageVersion::new(2).put::<Staking>();
        run_to(1);
        register_alice(10_000);
        let before = (presence(), everything_else());
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        assert_eq!((presence(), everything_else()), before);
    });
}

#[test]
fn whoever_asks_in_the_middle_of_the_migration_finds_the_same_stakes() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        let all = register_many(6);
        assert!(Staking::chill(signed(all[5])).is_ok());
        let work = |who: &AccountId| Staking::takes_work(who);
        let before = all.iter().map(work).collect::<Vec<_>>();
        turn_back();
        let mut cursor = None;
        loop {
            assert_eq!(all.iter().map(work).collect::<Vec<_>>(), before);
            cursor =
                Migration::step(cursor, &mut WeightMeter::with_limit(weight_for(1))).expect("it is enough");
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(all.iter().map(work).collect::<Vec<_>>(), before);
    });
}

#[test]
fn after_the_migration_nobody_is_asked_until_the_time_of_grace_is_over() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        turn_back();
        assert_eq!(Migration::step(None, &mut WeightMeter::new()), Ok(None));
        run_to((GRACE_PERIODS + 1) * PERIOD - 1);
        assert_eq!((Staking::due_period(&ALICE), heartbeats()), (None, (0, 0)));
        next_period();
        assert_eq!(Staking::due_period(&ALICE), Some(GRACE_PERIODS + 1));
        assert_eq!(heartbeats(), (0, 0));
    });
}

#[test]
fn neither_form_can_be_taken_for_the_other() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        let new = Providers::<Test>::get(ALICE).expect("Alice is registered, qed");
        let old = Old::from(new.clone());
        assert!(Provider::<AccountId>::decode(&mut old.encode().as_slice()).is_err());
        assert!(Old::decode_all(&mut new.encode().as_slice()).is_err());
    });
}
