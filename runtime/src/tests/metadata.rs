//! The metadata that the typed client is made from.

use crate::{Runtime, METADATA_VERSION};

/// The metadata in the repository, which the client is compiled against.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chain-client/metadata/attune.scale");

#[test]
fn the_committed_metadata_is_this_runtimes() {
    let committed = std::fs::read(COMMITTED).unwrap_or_else(|error| panic!("{COMMITTED}: {error}"));
    let current = Runtime::metadata_at_version(METADATA_VERSION).expect("the runtime makes this version");
    assert!(
        committed == *current,
        "the runtime has changed since its metadata was committed; write it again with\n\
         SKIP_WASM_BUILD=1 cargo run -p attune-runtime --example metadata -- chain-client/metadata/attune.scale"
    );
}
