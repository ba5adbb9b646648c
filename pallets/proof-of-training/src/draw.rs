//! Drawing segments and auditors: pure functions of the randomness.
//!
//! Everything is drawn without replacement from a stream of 256-bit numbers, `H(tag ‖ seed ‖ counter)`, each taken
//! modulo the size of what is left. The sizes are below 2^128, so that the modulo shifts a chance by less than 2^-128.

use alloc::vec::Vec;

use attune_primitives::{hashing::blake2_256_parts, Balance, JobId, H256};
use sp_core::U256;

/// What a draw is for; two draws with a different purpose have nothing in common.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The segments of a milestone.
    Segments {
        /// The milestone.
        milestone: u32,
    },
    /// The auditors of a segment.
    Auditors {
        /// The segment.
        segment: u32,
        /// For the committee, not for the first round.
        in_committee: bool,
        /// How often the round was redrawn before.
        redraws: u32,
    },
}

/// The seed of one draw of one job.
pub(crate) fn seed(randomness: H256, job: JobId, purpose: Purpose) -> H256 {
    let (tag, place, redraws): (&[u8], u32, u32) = match purpose {
        Purpose::Segments { milestone } => (b"attune:draw:segments", milestone, 0),
        Purpose::Auditors { segment, in_committee: false, redraws } => {
            (b"attune:draw:auditors", segment, redraws)
        }
        Purpose::Auditors { segment, in_committee: true, redraws } => {
            (b"attune:draw:committee", segment, redraws)
        }
    };
    blake2_256_parts(&[tag, &randomness.0, &job.to_le_bytes(), &place.to_le_bytes(), &redraws.to_le_bytes()])
}

/// Number `counter` of the stream of `seed`, below `bound`; 0 if `bound` is 0.
fn number(seed: &H256, counter: u32, bound: u128) -> u128 {
    let hash = blake2_256_parts(&[b"attune:draw:number", &seed.0, &counter.to_le_bytes()]);
    let wide = U256::from_little_endian(&hash.0);
    wide.checked_rem(U256::from(bound)).unwrap_or_default().low_u128()
}

/// `samples` distinct segments of `[first, end)`, each set equally likely, in rising order; all of them if there are
/// not more.
pub(crate) fn segments(seed: &H256, first: u32, end: u32, samples: u8) -> Vec<u32> {
    let mut left: Vec<u32> = (first..end).collect();
    let mut drawn = Vec::new();
    for counter in 0..u32::from(samples) {
        if left.is_empty() {
            break;
        }
        let ticket = number(seed, counter, u128::try_from(left.len()).unwrap_or(u128::MAX));
        drawn.push(left.swap_remove(usize::try_from(ticket).unwrap_or(0)));
    }
    drawn.sort_unstable();
    drawn
}

/// Up to `count` distinct candidates, one after the other, each with a chance proportional to its stake among those
/// left. A candidate without stake is never drawn.
pub(crate) fn weighted<AccountId>(
    seed: &H256,
    mut candidates: Vec<(AccountId, Balance)>,
    count: u32,
) -> Vec<AccountId> {
    let mut drawn = Vec::new();
    for counter in 0..count {
        // Stakes are parts of the issuance, which fits; should they not, the tail of the list has no chance.
        let total = candidates.iter().fold(0u128, |sum, (_, stake)| sum.saturating_add(*stake));
        if total == 0 {
            break;
        }
        let mut ticket = number(seed, counter, total);
        let winner = candidates.iter().position(|(_, stake)| match ticket.checked_sub(*stake) {
            Some(rest) => {
                ticket = rest;
                false
            }
            None => true,
        });
        match winner {
            Some(place) => drawn.push(candidates.remove(place).0),
            None => break,
        }
    }
    drawn
}
