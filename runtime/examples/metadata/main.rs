//! Writes the runtime's metadata to a file, for the typed client, and its hash into the runtime's source, for wallets.
//!
//! ```text
//! SKIP_WASM_BUILD=1 cargo run -p attune-runtime --example metadata -- chain-client/metadata/attune.scale
//! ```

mod digest;

use attune_runtime::{configs::system::Ss58Prefix, units, Runtime, METADATA_VERSION, VERSION};
use merkleized_metadata::ExtraInfo;
use std::{env, error::Error, fs, path::PathBuf};

/// Where the runtime reads the hash when it is compiled.
const HASH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metadata_hash/committed.rs");

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("expected the path of the file to write, found nothing")?;
    let metadata = Runtime::metadata_at_version(METADATA_VERSION)
        .ok_or("the runtime doesn't make metadata of the version that it names")?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, &*metadata).map_err(|error| format!("can't write {}: {error}", path.display()))?;
    println!("{} bytes of metadata V{METADATA_VERSION} in {}", metadata.len(), path.display());

    let hashed = Runtime::metadata_at_version(digest::VERSION)
        .ok_or("the runtime doesn't make metadata of the version that wallets hash")?;
    let extra = ExtraInfo {
        spec_version: VERSION.spec_version,
        spec_name: VERSION.spec_name.to_string(),
        base58_prefix: Ss58Prefix::get(),
        decimals: units::DECIMALS.try_into()?,
        token_symbol: units::SYMBOL.into(),
    };
    let hash: String = digest::digest(&hashed, extra)?.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(HASH, format!("sp_core::hex2array!(\"{hash}\")\n"))
        .map_err(|error| format!("can't write {HASH}: {error}"))?;
    println!("its hash, {hash}, in {HASH}");
    Ok(())
}
