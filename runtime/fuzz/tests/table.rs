//! The table of calls is whole, and bytes, text and steps are the same thing.

use attune_primitives::traits::EpochRandomness;
use attune_runtime::{RuntimeCall, System};
use attune_runtime_fuzz::{
    calls::{self, Work},
    chain,
    draw::Draw,
    logging, mutate,
    random::Random,
    scenario::{Scenario, Start, MAX_BYTES, STEP_BYTES},
};
use frame_support::traits::GetCallMetadata;
use std::collections::BTreeSet;

/// Pallets of the SDK, of the runtime's own timing and randomness: their calls are not Attune's.
const NOT_OURS: &[&str] = &[
    "System",
    "Timing",
    "Timestamp",
    "Balances",
    "TransactionPayment",
    "Babe",
    "Authorship",
    "Session",
    "Grandpa",
    "AuditRandomness",
    "Utility",
    "Proxy",
    "Multisig",
    "Historical",
    "Offences",
    "Treasury",
    "VoterList",
    "SafeMode",
    "TxPause",
    "MultiBlockMigrations",
];

#[test]
fn every_call_of_attunes_pallets_has_a_generator() {
    let ours =
        RuntimeCall::get_module_names().iter().filter(|name| !NOT_OURS.contains(name) && **name != "Sudo");
    let expected: BTreeSet<_> = ours
        .flat_map(|pallet| RuntimeCall::get_call_names(pallet).iter().map(|call| (*pallet, *call)))
        .collect();
    let found: BTreeSet<_> = calls::OWN
        .iter()
        .filter_map(|operation| match operation.work {
            Work::Call(pallet, call, _) => Some((pallet, call)),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty(), "write generators for these, and a row in calls::OWN each: {missing:?}");
    let gone: Vec<_> = found.difference(&expected).collect();
    assert!(gone.is_empty(), "these are not calls of the runtime any more: {gone:?}");
}

#[test]
fn every_generator_makes_the_call_of_its_row() {
    let mut random = Random::new(1);
    for operation in calls::OWN.iter().chain(calls::OTHERS) {
        let Work::Call(pallet, call, make) = operation.work else {
            panic!("{} is no call", operation.name())
        };
        for start in [Start::Prepared, Start::Genesis] {
            for _ in 0..50 {
                let bytes = random.scenario(1);
                let made = chain::on_a_fresh_chain(start, || make(&mut Draw::new(&bytes)).1);
                let metadata = made.get_call_metadata();
                assert_eq!((metadata.pallet_name, metadata.function_name), (pallet, call));
            }
        }
    }
}

#[test]
fn a_scenario_is_the_same_as_bytes_and_as_text() {
    let mut random = Random::new(2);
    for _ in 0..200 {
        let scenario = Scenario::from_bytes(&random.scenario(20));
        assert_eq!(Scenario::from_bytes(&scenario.to_bytes()), scenario);
        let comments = vec!["said # so".to_string(); 20];
        assert_eq!(Scenario::from_text(&scenario.to_text(&comments)), Ok(scenario.clone()));
        assert_eq!(Scenario::from_file(scenario.to_text(&[]).as_bytes()), Ok(scenario.clone()));
        assert_eq!(Scenario::from_file(&scenario.to_bytes()), Ok(scenario));
    }
}

#[test]
fn text_that_is_no_scenario_is_refused_with_its_line() {
    let refused = Scenario::from_text("start prepared\nJobEscrow.no_such_call 00000000000000000000\n");
    assert!(refused.is_err_and(|error| error.starts_with("line 2: expected")));
    let refused = Scenario::from_text("start prepared\nTime.pass 00\n");
    assert!(refused.is_err_and(|error| error.contains("expected 10 bytes")));
}

#[test]
fn what_a_scenario_writes_is_forgotten() {
    let block = || chain::on_a_fresh_chain(Start::Prepared, System::block_number);
    let before = block();
    chain::on_a_fresh_chain(Start::Prepared, || chain::advance(5, 2));
    assert_eq!(block(), before);
}

#[test]
fn code_that_can_not_be_reached_is_noticed_when_it_is() {
    logging::listen();
    assert_eq!(logging::take(), None);
    #[allow(clippy::let_unit_value, reason = "the macro is a statement")]
    {
        frame_support::defensive!("this is a test");
    }
    let said = logging::take().expect("the listener heard it");
    assert!(said.contains("this is a test"), "{said}");
    assert_eq!(logging::take(), None);
}

#[test]
fn a_mutation_stays_within_bounds_and_on_whole_steps() {
    let mut random = Random::new(3);
    let mut data = vec![0; MAX_BYTES];
    let mut size = 0;
    let mut longest = 0;
    for _ in 0..20_000 {
        let seed = u32::try_from(random.number() >> 32).expect("32 bits are left");
        let mut inner = |bytes: &mut [u8], most: usize| {
            assert_eq!(bytes.len(), STEP_BYTES);
            bytes[0] ^= 1;
            most - 1
        };
        size = mutate::mutate(&mut data, size, MAX_BYTES, seed, &mut inner);
        longest = longest.max(size);
        assert!(size <= MAX_BYTES && (size - 2) % STEP_BYTES == 0, "{size}");
    }
    assert!(longest > MAX_BYTES / 2, "scenarios grow: {longest}");
}

#[test]
fn the_script_gives_libfuzzer_the_length_of_the_longest_scenario() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/python/fuzz.py");
    let script = std::fs::read_to_string(script).expect("the script is in the repository");
    assert!(
        script.contains(&format!("\nMAX_BYTES = {MAX_BYTES}\n")),
        "scripts/python/fuzz.py: MAX_BYTES is {MAX_BYTES}"
    );
}

#[test]
fn every_hook_of_a_block_is_run() {
    chain::on_a_fresh_chain(Start::Prepared, || {
        assert!(System::inherents_applied(), "on_poll comes after the inherents");
        let before =
            (System::block_number(), attune_runtime::Timestamp::get(), attune_runtime::Babe::current_slot());
        chain::advance(3, 0);
        let after =
            (System::block_number(), attune_runtime::Timestamp::get(), attune_runtime::Babe::current_slot());
        assert_eq!(after.0, before.0 + 3);
        assert_eq!(after.1, before.1 + 3 * attune_runtime::Babe::slot_duration());
        assert_eq!(u64::from(after.2), u64::from(before.2) + 3);
        // Session, BABE and the audits' randomness turn the epoch.
        let epoch = attune_runtime::Babe::epoch_index();
        let session = attune_runtime::Session::current_index();
        let sealed = <attune_runtime::AuditRandomness as EpochRandomness>::latest();
        chain::advance(u32::try_from(chain::EPOCH_SLOTS).expect("an epoch is short"), 0);
        assert_eq!(attune_runtime::Babe::epoch_index(), epoch + 1);
        assert_eq!(attune_runtime::Session::current_index(), session + 1);
        assert_ne!(<attune_runtime::AuditRandomness as EpochRandomness>::latest(), sealed);
        // Slots without a block pass, too.
        let slot = attune_runtime::Babe::current_slot();
        chain::advance(1, 9);
        assert_eq!(u64::from(attune_runtime::Babe::current_slot()), u64::from(slot) + 10);
    });
}
