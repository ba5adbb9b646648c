//! Upgrades: whatever the previous runtime has stored, this one can read.
//!
//! The previous runtime is run as a node runs it, from its Wasm in `runtime/previous`; what follows is run natively on the
//! state that it has made. The upgrade of a whole network under load is a test of the worker
//! (`offchain-worker/worker/tests/upgrade`).

use attune_runtime::{
    Executive, JobEscrow, MultiBlockMigrations, ProofOfTraining, ProviderStaking, Runtime, RuntimeEvent,
    System, ValidatorElection, VERSION, WASM_BINARY,
};
use codec::{Decode, Encode};
use frame_support::{
    migrations::MultiStepMigrator,
    traits::{GetStorageVersion, NoStorageVersionSet, PalletInfoAccess, PalletsInfoAccess, StorageVersion},
};
use sc_chain_spec::GenesisConfigBuilderRuntimeCaller;
use sc_executor::{RuntimeVersionOf, WasmExecutor};
use sp_core::traits::{RuntimeCode, WrappedRuntimeCode};
use sp_io::TestExternalities;
use std::collections::BTreeMap;

/// The runtime of the release before this one.
const PREVIOUS: &[u8] = include_bytes!("../../runtime/previous/attune-1.compact.compressed.wasm");

/// More blocks than any migration of a state as small as genesis takes.
const MAX_BLOCKS: u32 = 100;

/// The state that a runtime makes of one of its presets.
fn genesis(code: &[u8], preset: &str) -> TestExternalities {
    let runtime: GenesisConfigBuilderRuntimeCaller = GenesisConfigBuilderRuntimeCaller::new(code);
    TestExternalities::new(
        runtime.get_storage_for_named_preset(Some(&preset.to_owned())).expect("it has the preset"),
    )
}

/// This program's runtime.
fn ours() -> &'static [u8] {
    WASM_BINARY.expect("tests of upgrades run without SKIP_WASM_BUILD")
}

/// The number in a storage version.
trait Number {
    fn number(&self) -> u16;
}

impl Number for StorageVersion {
    fn number(&self) -> u16 {
        u16::decode(&mut self.encode().as_slice()).expect("a storage version is a number")
    }
}

impl Number for NoStorageVersionSet {
    fn number(&self) -> u16 {
        0
    }
}

/// A pallet's storage version, in the state at hand and in the code.
fn version_of<P: GetStorageVersion + PalletInfoAccess>() -> (&'static str, (u16, u16))
where
    P::InCodeStorageVersion: Number,
{
    (P::name(), (P::on_chain_storage_version().number(), P::in_code_storage_version().number()))
}

/// The storage versions of every pallet: in the state at hand, and in the code.
fn versions() -> BTreeMap<&'static str, (u16, u16)> {
    macro_rules! of {
        ($($pallet:ident)*) => { BTreeMap::from([$(version_of::<attune_runtime::$pallet>()),*]) };
    }
    let versions = of!(
        System Timing Timestamp Balances TransactionPayment Babe Session Grandpa AuditRandomness Historical Offences
        Authorship Utility Proxy Multisig Sudo Treasury ProviderStaking JobEscrow ProofOfTraining ValidatorElection
        VoterList MultiBlockMigrations SafeMode TxPause
    );
    for pallet in attune_runtime::AllPalletsWithSystem::infos() {
        assert!(versions.contains_key(pallet.name), "{}: add it to this list", pallet.name);
    }
    versions
}

/// What holds of every state.
fn check_state() {
    ProviderStaking::do_try_state().expect("provider-staking");
    JobEscrow::do_try_state().expect("job-escrow");
    ProofOfTraining::do_try_state().expect("proof-of-training");
    ValidatorElection::do_try_state().expect("validator-election");
    let owned: u128 = frame_system::Account::<Runtime>::iter()
        .map(|(_, account)| account.data.free + account.data.reserved)
        .sum();
    assert_eq!(
        owned,
        pallet_balances::TotalIssuance::<Runtime>::get(),
        "what accounts have is what was issued"
    );
}

#[test]
fn after_genesis_the_storage_versions_are_those_of_the_code() {
    for name in ["development", "local_testnet", "mainnet"] {
        genesis(ours(), name).execute_with(|| {
            for (pallet, (on_chain, in_code)) in versions() {
                assert_eq!(on_chain, in_code, "{name}: {pallet}");
            }
        });
    }
}

#[test]
fn the_previous_runtime_is_older_and_of_the_same_chain() {
    let version = |code: &[u8]| {
        let executor: WasmExecutor<sp_io::SubstrateHostFunctions> = WasmExecutor::builder().build();
        let fetcher = WrappedRuntimeCode(code.into());
        let hash = sp_io::hashing::blake2_256(code).to_vec();
        let code = RuntimeCode { code_fetcher: &fetcher, heap_pages: None, hash };
        let mut state = TestExternalities::new_empty();
        executor.runtime_version(&mut state.ext(), &code).expect("it is a runtime")
    };
    let (previous, this) = (version(PREVIOUS), version(ours()));
    assert_eq!(
        (&previous.spec_name, this.spec_version),
        (&VERSION.spec_name, VERSION.spec_version),
        "one chain, and the Wasm is that of the code"
    );
    assert!(
        previous.spec_version < VERSION.spec_version,
        "{} < {}",
        previous.spec_version,
        VERSION.spec_version
    );
}

#[test]
fn on_the_previous_runtimes_state_migrations_bring_every_pallet_to_its_storage_version() {
    for name in ["development", "local_testnet"] {
        genesis(PREVIOUS, name).execute_with(|| {
            System::set_block_number(1);
            let issued = pallet_balances::TotalIssuance::<Runtime>::get();
            let before = versions();
            Executive::execute_on_runtime_upgrade();
            let mut blocks = 0;
            while MultiBlockMigrations::ongoing() {
                blocks += 1;
                assert!(blocks < MAX_BLOCKS, "{name}: the migrations did not end");
                System::set_block_number(1 + blocks);
                MultiBlockMigrations::step();
            }
            let failed = System::events().into_iter().find(|record| {
                matches!(
                    record.event,
                    RuntimeEvent::MultiBlockMigrations(
                        pallet_migrations::Event::UpgradeFailed
                            | pallet_migrations::Event::MigrationFailed { .. }
                    )
                )
            });
            assert!(failed.is_none(), "{name}: {failed:?}");
            for (pallet, (on_chain, in_code)) in versions() {
                let (was, _) = before[pallet];
                assert_eq!(
                    on_chain, in_code,
                    "{name}: {pallet} was at storage version {was}: is its migration in the list?"
                );
            }
            check_state();
            assert_eq!(
                pallet_balances::TotalIssuance::<Runtime>::get(),
                issued,
                "{name}: nothing was made or lost"
            );
        });
    }
}
