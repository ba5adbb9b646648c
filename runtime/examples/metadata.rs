//! Writes the runtime's metadata to a file, for the typed client.
//!
//! ```text
//! SKIP_WASM_BUILD=1 cargo run -p attune-runtime --example metadata -- chain-client/metadata/attune.scale
//! ```

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("expected the path of the file to write, found nothing")?;
    let metadata = attune_runtime::Runtime::metadata_at_version(attune_runtime::METADATA_VERSION)
        .ok_or("the runtime doesn't make metadata of the version that it names")?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, &*metadata).map_err(|error| format!("can't write {}: {error}", path.display()))?;
    println!(
        "{} bytes of metadata V{} in {}",
        metadata.len(),
        attune_runtime::METADATA_VERSION,
        path.display()
    );
    Ok(())
}
