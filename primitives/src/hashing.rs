//! The one hash function that the chain checks: BLAKE2b-256.

use blake2::{digest::consts::U32, Blake2b, Digest};

use crate::H256;

/// BLAKE2b with a 256-bit digest over `data` (RFC 7693), as Substrate's `blake2_256`.
pub fn blake2_256(data: &[u8]) -> H256 {
    blake2_256_parts(&[data])
}

/// BLAKE2b-256 over the concatenation of `parts`. The caller makes the concatenation unambiguous, by fixed lengths
/// or by a domain tag.
pub fn blake2_256_parts(parts: &[&[u8]]) -> H256 {
    let mut hasher = Blake2b::<U32>::new();
    for part in parts {
        hasher.update(part);
    }
    let mut bytes = [0u8; 32];
    bytes.copy_from_slice(&hasher.finalize());
    H256(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_substrates_blake2_256() {
        assert_eq!(
            blake2_256(b"").0[..4],
            [0x0e, 0x57, 0x51, 0xc0],
            "BLAKE2b-256 of the empty string starts 0e5751c0"
        );
    }

    #[test]
    fn parts_hash_like_their_concatenation() {
        assert_eq!(blake2_256_parts(&[b"ab", b"", b"c"]), blake2_256(b"abc"));
    }
}
