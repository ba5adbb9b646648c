//! The name of an artifact.

use crate::StoreError;
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// BLAKE3-256 of an artifact's bytes; of a directory, of its manifest's bytes. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactId([u8; 32]);

impl ArtifactId {
    /// The id of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes of the hash, as a chain stores them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ArtifactId {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl From<ArtifactId> for [u8; 32] {
    fn from(id: ArtifactId) -> Self {
        id.0
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactId({self})")
    }
}

/// Reads exactly 64 hex digits, without prefix; upper case is accepted and written back in lower case.
impl FromStr for ArtifactId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0u8; 32];
        hex::decode_to_slice(text, &mut hash)
            .map_err(|_| StoreError::InvalidId { found: text.chars().take(80).collect() })?;
        Ok(Self(hash))
    }
}

impl Serialize for ArtifactId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ArtifactId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_blake3_of_the_bytes_and_reads_back() {
        let id = ArtifactId::of(b"abc");
        // The test vector of the BLAKE3 authors' command line tool for "abc".
        assert_eq!(id.to_string(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(id.to_string().parse::<ArtifactId>().unwrap(), id);
        assert_eq!(serde_json::from_str::<ArtifactId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn a_text_of_another_length_or_alphabet_is_no_id() {
        for text in ["", "00", "../../etc/passwd", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            assert!(text.parse::<ArtifactId>().is_err(), "{text}");
        }
        assert!(format!("0x{}", "0".repeat(64)).parse::<ArtifactId>().is_err());
    }
}
