//! Chain specifications: which chain a name means.
//!
//! The specifications that the node knows are made from the presets inside the runtime's Wasm, so that what they
//! hold is defined once, there. Any other chain comes from a file.

use crate::launch::Launch;
use attune_runtime::{genesis::MAINNET_PRESET, units};
use sc_chain_spec::GenesisConfigBuilderRuntimeCaller;
use sc_service::{ChainType, GenericChainSpec, Properties};
use serde_json::Value;
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What `--chain NAME` means: `dev`, `local`, or a file.
///
/// # Errors
/// If the binary was built without its Wasm runtime, the file can't be read as a chain specification, or the name is
/// `mainnet`, which has no accounts.
pub(crate) fn load(name: &str) -> Result<GenericChainSpec, String> {
    make(name, None, None)
}

/// What `export-chain-spec` writes: the chain `name`, with the runtime of a file in place of this program's own, and for
/// `mainnet` with the accounts of a file.
///
/// # Errors
/// As [`load`]; if a file can't be read; every mistake in the file with accounts; if the runtime refuses the genesis.
pub(crate) fn make(
    name: &str,
    runtime: Option<&Path>,
    genesis: Option<&Path>,
) -> Result<GenericChainSpec, String> {
    if let (true, Some(genesis)) = (name != "mainnet", genesis) {
        return Err(format!(
            "expected --genesis {} with --chain mainnet, found it with --chain {name:?}: the other chains have their \
             accounts",
            genesis.display()
        ));
    }
    match (name, genesis) {
        ("dev", _) => {
            from_preset("Attune Development", "attune_dev", ChainType::Development, DEV_RUNTIME_PRESET, runtime)
        }
        ("" | "local", _) => {
            from_preset("Attune Local", "attune_local", ChainType::Local, LOCAL_TESTNET_RUNTIME_PRESET, runtime)
        }
        ("mainnet", Some(genesis)) => network_of_value(genesis, runtime),
        ("mainnet", None) => Err("expected the accounts of a network: `mainnet` is a preset of constants, and has no validators, \
             no balances and no administrator of its own. To launch a network, write those into a file and make its chain \
             specification with `attune-node export-chain-spec --chain mainnet --genesis FILE --raw --output SPEC` \
             (docs/launch.md); to join one, take its specification. Then run with --chain SPEC"
            .into()),
        (path, _) => {
            if let Some(runtime) = runtime {
                return Err(format!(
                    "expected --runtime {} with --chain dev, local or mainnet, found it with {path:?}: a file has its runtime",
                    runtime.display()
                ));
            }
            GenericChainSpec::from_json_file(PathBuf::from(path)).map_err(|error| {
                format!(
                    "expected `dev`, `local` or a chain specification's file for --chain, found {path:?}: {error}"
                )
            })
        }
    }
}

/// The runtime of a file, or this program's own.
fn code(runtime: Option<&Path>) -> Result<Vec<u8>, String> {
    match runtime {
        Some(path) => fs::read(path)
            .map_err(|error| format!("expected a runtime as Wasm at {}: {error}", path.display())),
        None => attune_runtime::WASM_BINARY.map(<[u8]>::to_vec).ok_or_else(|| {
            "this binary was built without its Wasm runtime and can only run chains from files: \
             build it again without SKIP_WASM_BUILD, or name a runtime with --runtime"
                .into()
        }),
    }
}

/// A preset of the runtime `code`. It is asked here, so that what is no runtime is refused by name.
fn preset(code: &[u8], name: &str, runtime: Option<&Path>) -> Result<Value, String> {
    let caller: GenesisConfigBuilderRuntimeCaller = GenesisConfigBuilderRuntimeCaller::new(code);
    caller.get_named_preset(Some(&name.to_owned())).map_err(|error| {
        let which = runtime.map_or("this program's own".into(), |path| path.display().to_string());
        format!("expected a runtime with the preset {name:?}, found that the runtime ({which}) gives none: {error}")
    })
}

/// The specification of a chain that begins with one of the runtime's presets.
fn from_preset(
    name: &str,
    id: &str,
    kind: ChainType,
    preset_name: &str,
    runtime: Option<&Path>,
) -> Result<GenericChainSpec, String> {
    let code = code(runtime)?;
    let preset = preset(&code, preset_name, runtime)?;
    Ok(GenericChainSpec::builder(&code, None)
        .with_name(name)
        .with_id(id)
        .with_protocol_id(id)
        .with_chain_type(kind)
        .with_genesis_config_patch(preset)
        .with_properties(properties())
        .build())
}

/// The specification of a network with the constants of `mainnet` and the accounts of the file `genesis`.
fn network_of_value(genesis: &Path, runtime: Option<&Path>) -> Result<GenericChainSpec, String> {
    let text = fs::read_to_string(genesis)
        .map_err(|error| format!("expected the network's accounts at {}: {error}", genesis.display()))?;
    let launch: Launch = serde_json::from_str(&text).map_err(|error| {
        format!(
            "expected the network's accounts as docs/launch.md shows them in {}: {error}",
            genesis.display()
        )
    })?;
    let begin = launch.check().map_err(|problems| {
        format!("{} can't begin a network:\n  - {}", genesis.display(), problems.join("\n  - "))
    })?;
    let code = code(runtime)?;
    let mut patch = preset(&code, MAINNET_PRESET, runtime)?;
    sc_chain_spec::json_merge(&mut patch, begin.patch);
    // What the runtime refuses is refused now, and not when the first node starts.
    let caller: GenesisConfigBuilderRuntimeCaller = GenesisConfigBuilderRuntimeCaller::new(&code);
    caller
        .get_storage_for_patch(patch.clone())
        .map_err(|error| format!("the runtime refuses the network of {}: {error}", genesis.display()))?;
    Ok(GenericChainSpec::builder(&code, None)
        .with_name(&launch.name)
        .with_id(&launch.id)
        .with_protocol_id(&launch.id)
        .with_chain_type(ChainType::Live)
        .with_boot_nodes(begin.boot_nodes)
        .with_genesis_config_patch(patch)
        .with_properties(properties())
        .build())
}

/// What wallets show amounts and addresses by.
fn properties() -> Properties {
    let mut properties = Properties::new();
    properties.insert("tokenSymbol".into(), units::SYMBOL.into());
    properties.insert("tokenDecimals".into(), units::DECIMALS.into());
    properties.insert("ss58Format".into(), 42.into());
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_chain_spec::ChainSpec;
    use sp_runtime::BuildStorage;

    /// Tests that need the Wasm fail, rather than pass unseen, where it was not built.
    fn preset(name: &str) -> GenericChainSpec {
        load(name).expect("tests of chain specifications run without SKIP_WASM_BUILD")
    }

    #[test]
    fn every_known_chain_builds_its_genesis_from_the_wasm() {
        for name in ["dev", "local"] {
            let storage = preset(name).build_storage().expect("the preset is valid");
            assert!(!storage.top.is_empty());
        }
    }

    #[test]
    fn a_chain_specification_survives_its_file() {
        for name in ["dev", "local"] {
            let spec = preset(name);
            let json = spec.as_json(true).expect("can be written");
            let read = GenericChainSpec::<Option<()>>::from_json_bytes(json.clone().into_bytes())
                .expect("can be read");
            assert_eq!(read.as_json(true).expect("can be written again"), json);
            assert_eq!(read.id(), spec.id());
        }
    }

    #[test]
    fn an_unknown_chain_is_refused_with_what_was_expected() {
        let error = load("mainet").err().expect("there is no such file");
        assert!(error.contains("expected `dev`, `local`"), "{error}");
        assert!(error.contains("mainet"), "{error}");
    }

    #[test]
    fn mainnet_alone_says_what_it_lacks_and_what_to_do() {
        let error = load("mainnet").err().expect("it has no accounts");
        assert!(error.contains("no validators") && error.contains("--genesis FILE"), "{error}");
    }

    #[test]
    fn a_network_of_value_begins_with_its_own_accounts_and_sound_state() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("network.json");
        let network = crate::launch::good();
        fs::write(&file, network.to_string()).expect("can be written");
        let spec = make("mainnet", None, Some(&file)).expect("the file is right");
        assert_eq!(
            (spec.name(), spec.id(), spec.chain_type()),
            ("Example Network", "example", ChainType::Live)
        );
        let storage = spec.build_storage().expect("the runtime takes it");
        sp_io::TestExternalities::new(storage).execute_with(|| {
            use attune_runtime::{
                AccountId, Babe, Balances, JobEscrow, ProofOfTraining, ProviderStaking, Runtime, Session,
                Timing, ValidatorElection,
            };
            use sp_core::crypto::Ss58Codec;
            let sudo =
                AccountId::from_ss58check(network["sudo"].as_str().expect("a text")).expect("an address");
            assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(sudo.clone()));
            assert_eq!(Balances::free_balance(&sudo), 100_000_000_500_000_000_000);
            assert_eq!((Session::validators().len(), Babe::authorities().len()), (4, 4));
            assert_eq!(Timing::windows(), attune_runtime::timing::Windows::MAINNET);
            assert_eq!(Babe::slot_duration(), 6_000);
            ProviderStaking::do_try_state().expect("provider-staking");
            JobEscrow::do_try_state().expect("job-escrow");
            ProofOfTraining::do_try_state().expect("proof-of-training");
            ValidatorElection::do_try_state().expect("validator-election");
        });
    }

    #[test]
    fn a_network_with_a_mistake_is_refused_with_all_of_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("network.json");
        fs::write(&file, r#"{"name": "", "id": "x"}"#).expect("can be written");
        let error = make("mainnet", None, Some(&file)).err().expect("it has no validators");
        assert!(error.contains("network.json can't begin a network:\n  - name"), "{error}");
        assert!(error.contains("\n  - sudo is missing"), "{error}");
        fs::write(&file, r#"{"name": "X", "id": "x", "sodu": "5"}"#).expect("can be written");
        let error = make("mainnet", None, Some(&file)).err().expect("a word is unknown");
        assert!(error.contains("sodu"), "{error}");
        let error = make("local", None, Some(&file)).err().expect("local has its accounts");
        assert!(error.contains("found it with --chain \"local\""), "{error}");
    }

    #[test]
    fn a_chain_begins_with_the_runtime_of_a_file() {
        let previous =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/previous/attune-1.compact.compressed.wasm");
        let spec = make("local", Some(previous.as_ref()), None).expect("the file is a runtime");
        let storage = spec.build_storage().expect("it builds its genesis");
        let code = storage.top.get(&b":code"[..]).expect("a chain has code");
        assert_eq!(*code, fs::read(previous).expect("it was just read"));
        assert_eq!(spec.id(), "attune_local");
    }

    #[test]
    fn a_runtime_that_is_none_is_refused_by_its_path() {
        let missing = make("local", Some("/nowhere/x.wasm".as_ref()), None).err().expect("there is none");
        assert!(missing.contains("/nowhere/x.wasm"), "{missing}");
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = make("local", Some(this.as_ref()), None).err().expect("it is no Wasm");
        assert!(error.contains("expected a runtime with the preset") && error.contains(this), "{error}");
    }
}
