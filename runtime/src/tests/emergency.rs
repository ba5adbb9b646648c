//! Safe mode and pauses, for every call of the runtime.

use super::{
    chain,
    jobs::{account, commit, key, set_up, signed, spec, JOB},
    send, validate,
};
use crate::{
    configs::emergency::{NotStopped, SafeModeBlocks, GOES_ON, NEVER_PAUSED},
    units::ATT,
    JobEscrow, ProviderStaking, Runtime, RuntimeCall, RuntimeOrigin, SafeMode, System, TxPause,
};
use codec::Decode;
use frame_support::{
    assert_err, assert_noop, assert_ok,
    traits::{Contains, Get, GetCallMetadata, Hooks},
    BoundedVec,
};
use pallet_job_escrow::{Call as EscrowCall, Error as EscrowError, Jobs};
use pallet_tx_pause::Error as PauseError;
use sp_runtime::{traits::Dispatchable, transaction_validity::InvalidTransaction, DispatchError};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// One call of every kind, with whatever zeros decode to as its arguments, or a one and zeros.
pub(super) static EVERY_CALL: LazyLock<Vec<RuntimeCall>> = LazyLock::new(|| {
    let mut bytes = vec![0; 16_384];
    let mut calls = Vec::new();
    for (pallet, call) in (0..=u8::MAX).flat_map(|pallet| (0..=u8::MAX).map(move |call| (pallet, call))) {
        let made = [0, 1].into_iter().find_map(|first| {
            bytes[..3].copy_from_slice(&[pallet, call, first]);
            RuntimeCall::decode(&mut &bytes[..]).ok()
        });
        calls.extend(made);
    }
    calls
});

/// Pallet and name.
pub(super) fn named(call: &RuntimeCall) -> (&'static str, &'static str) {
    let call = call.get_call_metadata();
    (call.pallet_name, call.function_name)
}

/// The calls that are stopped now.
fn stopped() -> BTreeSet<(&'static str, &'static str)> {
    EVERY_CALL.iter().filter(|call| !NotStopped::contains(call)).map(named).collect()
}

fn full_name(pallet: &str, call: &str) -> pallet_tx_pause::RuntimeCallNameOf<Runtime> {
    let bounded = |name: &str| BoundedVec::truncate_from(name.as_bytes().to_vec());
    (bounded(pallet), bounded(call))
}

fn enter() {
    assert_ok!(SafeMode::force_enter(RuntimeOrigin::root()));
}

#[test]
fn zeros_make_a_call_of_every_kind() {
    let made: BTreeSet<_> = EVERY_CALL.iter().map(named).collect();
    let all: BTreeSet<_> = RuntimeCall::get_module_names()
        .iter()
        .flat_map(|pallet| RuntimeCall::get_call_names(pallet).iter().map(|call| (*pallet, *call)))
        .collect();
    let missing: Vec<_> = all.difference(&made).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_is_stopped_as_long_as_nothing_is_wrong() {
    chain("development").execute_with(|| assert_eq!(stopped(), BTreeSet::new()));
}

/// What safe mode stops of Attune's own calls and of the SDK's. A call that is new is stopped, and makes this test fail:
/// decide whether somebody loses money when it is, put it here or into `GOES_ON`, and say why in docs/economy.md.
const STOPPED: &[(&str, &[&str])] = &[
    ("Balances", &[]),
    // What has no deadline waits.
    ("JobEscrow", &["claim_owed", "create_job", "end_sponsorship", "prune_job", "sponsor"]),
    // Root's, whom no filter stops.
    ("MultiBlockMigrations", &[]),
    ("ProofOfTraining", &["register_model", "remove_model", "remove_record"]),
    (
        "ProviderStaking",
        &[
            "bond_more",
            "cancel_slash",
            "claim_compensation",
            "claim_income",
            "compound",
            "delegate",
            "deregister",
            "evict",
            "exit",
            "redelegate",
            "register",
            "set_auto_compound",
            "set_commission",
            "unbond_self",
            "unchill",
            "undelegate",
            "withdraw",
        ],
    ),
    ("Proxy", &["add_proxy", "create_pure", "kill_pure", "poke_deposit"]),
    (
        "System",
        // Root's pass as root.
        &[
            "authorize_upgrade",
            "authorize_upgrade_without_checks",
            "kill_prefix",
            "kill_storage",
            "remark",
            "remark_with_event",
            "set_code",
            "set_code_without_checks",
            "set_heap_pages",
            "set_storage",
        ],
    ),
    ("Treasury", &[]),
    ("ValidatorElection", &[]),
    ("VoterList", &[]),
];

#[test]
fn every_call_is_stopped_by_safe_mode_or_goes_on() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        enter();
        let mut found = BTreeMap::<_, BTreeSet<_>>::new();
        for (pallet, call) in stopped() {
            found.entry(pallet).or_default().insert(call);
        }
        let mut expected = BTreeMap::new();
        for (pallet, calls) in STOPPED {
            let calls = if calls.is_empty() { RuntimeCall::get_call_names(pallet) } else { calls };
            expected.insert(*pallet, calls.iter().copied().collect::<BTreeSet<_>>());
        }
        for pallet in RuntimeCall::get_module_names() {
            assert_eq!(found.get(pallet), expected.get(pallet), "{pallet}: stopped, and expected to be");
        }
    });
}

#[test]
fn both_lists_name_calls_that_exist() {
    for (pallet, calls) in GOES_ON.iter().chain(NEVER_PAUSED) {
        assert!(RuntimeCall::get_module_names().contains(pallet), "there is no pallet {pallet}");
        for call in calls.unwrap_or_default() {
            assert!(RuntimeCall::get_call_names(pallet).contains(call), "there is no {pallet}::{call}");
        }
    }
}

#[test]
fn a_running_job_goes_on_in_safe_mode_and_a_new_one_waits() {
    chain("development").execute_with(|| {
        set_up();
        assert_ok!(JobEscrow::create_job(signed("//Customer"), spec(), None));
        assert_ok!(JobEscrow::place_bid(key("//Provider1"), JOB, 5 * ATT));
        enter();
        let order = EscrowCall::create_job { spec: spec(), sponsor: None };
        assert_noop!(send(&account("//Customer"), order.clone().into()), InvalidTransaction::Call);

        let job = || Jobs::<Runtime>::get(JOB).expect("it lives");
        System::set_block_number(job().deadline + 1);
        let push = EscrowCall::enforce_deadline { job: JOB };
        assert_eq!(send(&account("//Eve"), push.into()), Ok((Ok(()), 0)));
        let start = EscrowCall::start_job { job: JOB };
        let (outcome, _) = send(&account("//Provider1//operator"), start.into()).expect("it is taken");
        assert_ok!(outcome);
        commit("//Provider1", 0..2);
        let cancel = EscrowCall::cancel_job { job: JOB };
        let (outcome, _) = send(&account("//Customer"), cancel.into()).expect("it is taken");
        assert_ok!(outcome);

        assert_ok!(SafeMode::force_exit(RuntimeOrigin::root()));
        let (outcome, _) = send(&account("//Customer"), order.into()).expect("it is taken");
        assert_ok!(outcome);
    });
}

#[test]
fn no_money_moves_in_safe_mode_and_nobody_pays_for_trying() {
    chain("development").execute_with(|| {
        set_up();
        assert_ok!(ProviderStaking::delegate(signed("//Bob"), account("//Provider1"), 10 * ATT));
        enter();
        let bob = account("//Bob");
        let transfer =
            pallet_balances::Call::transfer_keep_alive { dest: account("//Eve").into(), value: ATT };
        let calls: [RuntimeCall; 4] = [
            transfer.into(),
            pallet_provider_staking::Call::delegate { provider: account("//Provider2"), amount: ATT }.into(),
            pallet_provider_staking::Call::undelegate { provider: account("//Provider1"), shares: 1 }.into(),
            pallet_provider_staking::Call::claim_income { provider: account("//Provider1") }.into(),
        ];
        for call in calls {
            assert_eq!(validate(&bob, call.clone()), Err(InvalidTransaction::Call.into()));
            assert_noop!(send(&bob, call), InvalidTransaction::Call);
        }
    });
}

#[test]
fn what_a_batch_a_proxy_or_a_multisig_wraps_is_stopped_too() {
    chain("development").execute_with(|| {
        set_up();
        let any = crate::configs::convenience::ProxyType::Any;
        let add =
            pallet_proxy::Call::add_proxy { delegate: account("//Eve").into(), proxy_type: any, delay: 0 };
        assert_ok!(send(&account("//Bob"), add.into()).expect("it is taken").0);
        enter();
        let transfer: RuntimeCall =
            pallet_balances::Call::transfer_keep_alive { dest: account("//Dave").into(), value: ATT }.into();
        let before = crate::Balances::free_balance(account("//Dave"));
        let batch = pallet_utility::Call::batch_all { calls: vec![transfer.clone()] };
        let filtered: DispatchError = frame_system::Error::<Runtime>::CallFiltered.into();
        assert_eq!(send(&account("//Eve"), batch.into()).expect("it is taken").0, Err(filtered));
        let proxy = pallet_proxy::Call::proxy {
            real: account("//Bob").into(),
            force_proxy_type: None,
            call: Box::new(transfer.clone()),
        };
        assert_ok!(send(&account("//Eve"), proxy.into()).expect("it is taken").0);
        let alone = pallet_multisig::Call::as_multi_threshold_1 {
            other_signatories: vec![account("//Bob")],
            call: Box::new(transfer),
        };
        assert_eq!(send(&account("//Eve"), alone.into()).expect("it is taken").0, Err(filtered));
        assert_eq!(crate::Balances::free_balance(account("//Dave")), before);
    });
}

#[test]
fn the_administrator_enters_extends_and_ends_safe_mode_and_nobody_else_does() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        let outsider = || signed("//Eve");
        for call in [
            pallet_safe_mode::Call::<Runtime>::force_enter {},
            pallet_safe_mode::Call::force_extend {},
            pallet_safe_mode::Call::force_exit {},
        ] {
            assert_noop!(RuntimeCall::from(call).dispatch(outsider()), DispatchError::BadOrigin);
        }
        let closed = pallet_safe_mode::Error::<Runtime>::NotConfigured;
        assert_noop!(SafeMode::enter(outsider()), closed);
        enter();
        let closed = pallet_safe_mode::Error::<Runtime>::NotConfigured;
        assert_noop!(SafeMode::extend(outsider()), closed);
        let day = <SafeModeBlocks as Get<u32>>::get();
        assert_eq!(pallet_safe_mode::EnteredUntil::<Runtime>::get(), Some(1 + day));
        assert_ok!(SafeMode::force_extend(RuntimeOrigin::root()));
        assert_eq!(pallet_safe_mode::EnteredUntil::<Runtime>::get(), Some(1 + 2 * day));
        assert_ok!(SafeMode::force_exit(RuntimeOrigin::root()));
        assert_eq!(stopped(), BTreeSet::new());
    });
}

#[test]
fn safe_mode_ends_by_itself() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        enter();
        let until = pallet_safe_mode::EnteredUntil::<Runtime>::get().expect("it was entered");
        SafeMode::on_initialize(until);
        assert!(!stopped().is_empty());
        SafeMode::on_initialize(until + 1);
        assert_eq!(stopped(), BTreeSet::new());
    });
}

#[test]
fn on_mainnet_safe_mode_lasts_a_day() {
    chain("development").execute_with(|| {
        crate::timing::Deadlines::<Runtime>::put(crate::timing::Windows::MAINNET);
        assert_eq!(<SafeModeBlocks as Get<u32>>::get(), 14_400);
    });
}

#[test]
fn every_call_is_paused_alone_or_can_not_be_paused() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        let mut never = BTreeMap::<_, BTreeSet<_>>::new();
        for call in EVERY_CALL.iter() {
            let (pallet, name) = named(call);
            let full_name = full_name(pallet, name);
            match TxPause::pause(RuntimeOrigin::root(), full_name.clone()) {
                Ok(()) => {
                    assert_eq!(stopped(), [(pallet, name)].into());
                    let twice = TxPause::pause(RuntimeOrigin::root(), full_name.clone());
                    assert_err!(twice, PauseError::<Runtime>::IsPaused);
                    assert_ok!(TxPause::unpause(RuntimeOrigin::root(), full_name));
                }
                Err(error) => {
                    assert_eq!(error, PauseError::<Runtime>::Unpausable.into());
                    never.entry(pallet).or_default().insert(name);
                }
            }
            assert_eq!(stopped(), BTreeSet::new());
        }
        let all = |pallet| RuntimeCall::get_call_names(pallet).iter().copied().collect::<BTreeSet<_>>();
        let expected: BTreeMap<_, _> = ["Timestamp", "Sudo", "SafeMode", "TxPause", "Multisig"]
            .map(|pallet| (pallet, all(pallet)))
            .into_iter()
            .chain([("Proxy", ["proxy"].into()), ("ProviderStaking", ["heartbeat"].into())])
            .collect();
        assert_eq!(never, expected);
    });
}

#[test]
fn only_the_administrator_pauses_and_a_misspelt_name_is_told() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        let name = full_name("JobEscrow", "create_job");
        assert_noop!(TxPause::pause(signed("//Eve"), name.clone()), DispatchError::BadOrigin);
        assert_ok!(TxPause::pause(RuntimeOrigin::root(), name.clone()));
        assert_noop!(TxPause::unpause(signed("//Eve"), name), DispatchError::BadOrigin);
        for (pallet, call) in [("JobEscrow", "create_jobs"), ("Jobs", "create_job"), ("", "")] {
            let misspelt = TxPause::pause(RuntimeOrigin::root(), full_name(pallet, call));
            assert_noop!(misspelt, PauseError::<Runtime>::Unpausable);
        }
    });
}

#[test]
fn a_paused_call_is_refused_before_it_is_paid_for_and_root_still_makes_it() {
    chain("development").execute_with(|| {
        set_up();
        assert_ok!(TxPause::pause(RuntimeOrigin::root(), full_name("JobEscrow", "start_job")));
        let start: RuntimeCall = EscrowCall::start_job { job: JOB }.into();
        assert_noop!(send(&account("//Eve"), start.clone()), InvalidTransaction::Call);
        assert_ok!(TxPause::unpause(RuntimeOrigin::root(), full_name("JobEscrow", "start_job")));
        let (outcome, fee) = send(&account("//Eve"), start).expect("it is taken");
        assert_eq!(outcome, Err(EscrowError::<Runtime>::UnknownJob.into()));
        assert!(fee > 0);

        assert_ok!(TxPause::pause(RuntimeOrigin::root(), full_name("ValidatorElection", "set_inflation")));
        let per_year = sp_runtime::Permill::from_percent(1);
        let inflation: RuntimeCall = pallet_validator_election::Call::set_inflation { per_year }.into();
        assert_ok!(inflation.dispatch(RuntimeOrigin::root()));
    });
}
