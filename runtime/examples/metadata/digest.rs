//! The hash of a runtime's metadata as wallets make it (RFC 78). Used by the example and by the runtime's test.

use codec::Decode;
use frame_metadata::RuntimeMetadataPrefixed;
use merkleized_metadata::{generate_metadata_digest, ExtraInfo};

/// The version of the metadata that wallets hash.
pub(crate) const VERSION: u32 = 15;

/// The hash of `metadata`, encoded in version [`VERSION`], with what wallets show besides.
///
/// # Errors
/// It is no metadata of that version.
pub(crate) fn digest(metadata: &[u8], extra: ExtraInfo) -> Result<[u8; 32], String> {
    let decoded = RuntimeMetadataPrefixed::decode(&mut &metadata[..])
        .map_err(|error| format!("no metadata: {error}"))?;
    Ok(generate_metadata_digest(&decoded.1, extra)?.hash())
}
