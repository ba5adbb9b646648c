//! Chain specifications: which chain a name means.
//!
//! The specifications that the node knows are made from the presets inside the runtime's Wasm, so that what they
//! hold is defined once, there. Any other chain comes from a file.

use attune_runtime::units;
use sc_service::{ChainType, GenericChainSpec, Properties};
use std::path::PathBuf;

/// What `--chain NAME` means: `dev`, `local`, or a file.
///
/// # Errors
/// If the binary was built without its Wasm runtime, or the file can't be read as a chain specification.
pub(crate) fn load(name: &str) -> Result<GenericChainSpec, String> {
    match name {
        "dev" => from_preset("Attune Development", "attune_dev", ChainType::Development, "development"),
        "" | "local" => from_preset("Attune Local", "attune_local", ChainType::Local, "local_testnet"),
        path => GenericChainSpec::from_json_file(PathBuf::from(path)).map_err(|error| {
            format!("expected `dev`, `local` or a chain specification's file for --chain, found {path:?}: {error}")
        }),
    }
}

/// The specification of a chain that begins with one of the runtime's presets.
fn from_preset(name: &str, id: &str, kind: ChainType, preset: &str) -> Result<GenericChainSpec, String> {
    let wasm = attune_runtime::WASM_BINARY.ok_or(
        "this binary was built without its Wasm runtime and can only run chains from files: \
         build it again without SKIP_WASM_BUILD",
    )?;
    Ok(GenericChainSpec::builder(wasm, None)
        .with_name(name)
        .with_id(id)
        .with_protocol_id(id)
        .with_chain_type(kind)
        .with_genesis_config_preset_name(preset)
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
}
