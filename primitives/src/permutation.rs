//! The data order: a keyed permutation of `0..n` in constant memory.
//!
//! A balanced Feistel network over the smallest even number of bits that holds `n`, walked until the value falls into
//! the range (cycle walking; Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Any index is O(1): an
//! auditor who replays segment 40 needs nothing of segments 0 to 39.

use crate::hashing::blake2_256_parts;

const ROUNDS: u8 = 6;

/// A permutation of `0..n` fixed by its key.
#[derive(Clone, Debug)]
pub struct Permutation {
    key: [u8; 32],
    n: u64,
    half_bits: u32,
}

impl Permutation {
    /// The permutation of `0..n` under `key`.
    pub fn new(key: &[u8; 32], n: u64) -> Self {
        let bits = 64u32.saturating_sub(n.saturating_sub(1).leading_zeros()).max(2);
        Self { key: *key, n, half_bits: bits.div_ceil(2) }
    }

    /// The permutation of epoch `epoch`: each pass over the data has an order of its own under the same job key.
    pub fn for_epoch(key: &[u8; 32], epoch: u64, n: u64) -> Self {
        Self::new(&blake2_256_parts(&[b"attune:order:epoch", key, &epoch.to_le_bytes()]).0, n)
    }

    /// Where index `i` goes. An `i` outside `0..n` (and every `i` when `n` is 0) is returned unchanged.
    pub fn index(&self, i: u64) -> u64 {
        if i >= self.n {
            return i;
        }
        // The network permutes a domain of at most 4n values, so a walk meets the range again after 4 steps on
        // average; it always ends, because the cycle of `i` contains `i` itself.
        let mut value = self.network(i);
        while value >= self.n {
            value = self.network(value);
        }
        value
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            let mixed = left ^ (self.round_function(round, right) & mask);
            (left, right) = (right, mixed);
        }
        (left << self.half_bits) | right
    }

    fn round_function(&self, round: u8, right: u64) -> u64 {
        let hash = blake2_256_parts(&[b"attune:order", &self.key, &[round], &right.to_le_bytes()]);
        u64::from_le_bytes([
            hash.0[0], hash.0[1], hash.0[2], hash.0[3], hash.0[4], hash.0[5], hash.0[6], hash.0[7],
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    #[test]
    fn every_index_is_hit_exactly_once() {
        for n in [1u64, 2, 3, 4, 5, 16, 17, 100, 1000, 1025] {
            let order = Permutation::new(&[7; 32], n);
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let place = order.index(i) as usize;
                assert!(!seen[place], "n = {n}: {place} is hit twice");
                seen[place] = true;
            }
        }
    }

    #[test]
    fn another_key_or_epoch_gives_another_order() {
        let order = |p: Permutation| (0..64).map(|i| p.index(i)).collect::<Vec<_>>();
        let base = order(Permutation::for_epoch(&[1; 32], 0, 64));
        assert_ne!(base, order(Permutation::for_epoch(&[2; 32], 0, 64)));
        assert_ne!(base, order(Permutation::for_epoch(&[1; 32], 1, 64)));
    }

    #[test]
    fn the_order_is_pinned() {
        let order = Permutation::new(&[0; 32], 8);
        let first: Vec<u64> = (0..8).map(|i| order.index(i)).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..8).collect::<Vec<_>>());
        assert_eq!(first, PINNED, "the data order is part of the protocol: a change is a new version");
    }

    const PINNED: [u64; 8] = [1, 0, 2, 7, 3, 6, 5, 4];
}
