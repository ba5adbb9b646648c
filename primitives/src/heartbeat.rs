//! Heartbeats: a provider whose worker runs says so when it is asked, and not more often.
//!
//! Time is cut into periods, and the chain draws for each of them who is to answer. Drawn is by a hash, so that neither a
//! list is stored nor a provider chooses; chain and worker compute the same. The operator signs [`payload`], and nothing
//! else of the transaction: it pays no fee and has no nonce, so what makes a signature good for one heartbeat alone is
//! that chain, provider and period are in it.

use alloc::vec::Vec;

use codec::Encode;

use crate::{hashing::blake2_256, H256};

/// Separates what is signed here from whatever else an operator key signs. Raise its number when the fields change.
pub const SIGNING_DOMAIN: &[u8; 18] = b"attune/heartbeat/1";

/// Separates the draw from every other use of the hash.
const DRAW_DOMAIN: &[u8; 23] = b"attune/heartbeat-draw/1";

/// What the operator of `provider` signs to answer in `period`: the domain, the hash of the chain's genesis block, the
/// provider's account and the number of the period (little-endian). All of them have fixed lengths.
pub fn payload<AccountId: Encode>(genesis: &[u8; 32], provider: &AccountId, period: u32) -> Vec<u8> {
    (SIGNING_DOMAIN, genesis, provider, period).encode()
}

/// True if `provider` is drawn in `period`, which is one provider in `one_in` on average. `randomness` is the period's,
/// as the chain has stored it. With `one_in` of 1 everybody is drawn, with 0 nobody.
pub fn is_drawn<AccountId: Encode>(
    randomness: &H256,
    provider: &AccountId,
    period: u32,
    one_in: u32,
) -> bool {
    let hash = blake2_256(&(DRAW_DOMAIN, randomness.0, period, provider).encode());
    let mut head = [0u8; 8];
    head.copy_from_slice(&hash.0[..8]);
    u64::MAX.checked_div(one_in.into()).is_some_and(|bound| u64::from_le_bytes(head) <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENESIS: [u8; 32] = [1; 32];
    const PROVIDER: [u8; 32] = [2; 32];

    #[test]
    fn the_signed_bytes_are_the_domain_and_the_fields_one_after_the_other() {
        let mut expected = b"attune/heartbeat/1".to_vec();
        expected.extend([1; 32]);
        expected.extend([2; 32]);
        expected.extend([7, 1, 0, 0]);
        assert_eq!(payload(&GENESIS, &PROVIDER, 263), expected);
    }

    #[test]
    fn no_two_heartbeats_have_the_same_bytes() {
        let one = payload(&GENESIS, &PROVIDER, 7);
        assert_ne!(one, payload(&[9; 32], &PROVIDER, 7), "another chain");
        assert_ne!(one, payload(&GENESIS, &[9; 32], 7), "another provider");
        assert_ne!(one, payload(&GENESIS, &PROVIDER, 8), "another period");
    }

    #[test]
    fn one_in_six_is_drawn_and_every_period_draws_others() {
        let drawn = |randomness: u8, period: u32| {
            (0..6_000u32).filter(|who| is_drawn(&H256([randomness; 32]), who, period, 6)).collect::<Vec<_>>()
        };
        let first = drawn(1, 1);
        assert!((850..1_150).contains(&first.len()), "{} of 6,000", first.len());
        assert_ne!(first, drawn(1, 2), "another period");
        assert_ne!(first, drawn(2, 1), "other randomness");
        assert_eq!(first, drawn(1, 1), "a draw can be repeated");
    }

    #[test]
    fn one_in_one_is_everybody_and_one_in_none_is_nobody() {
        let drawn = |one_in| (0..100u32).filter(|who| is_drawn(&H256([3; 32]), who, 1, one_in)).count();
        assert_eq!((drawn(1), drawn(0)), (100, 0));
    }
}
