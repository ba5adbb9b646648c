//! The trace T: a hash chain over what training did, step by step, and its hiding commitment.
//!
//! T starts from the state root at the segment's start and takes in, for every optimizer step, the bits of the loss
//! and the hash of the gradient. Whoever did not do the work does not know T, and the commitment hides it until the
//! provider opens it; that is what keeps an auditor from copying the public end root (DESIGN section 4).

use codec::Encode;

use crate::{hashing::blake2_256_parts, proof::SegmentMetrics, H256};

/// T before the first step of a segment that starts from the state `start_root`.
pub fn start(start_root: H256) -> H256 {
    blake2_256_parts(&[b"attune:trace:start", &start_root.0])
}

/// T after one optimizer step. `loss_bits` are the IEEE-754 bits of the step's mean loss in binary32,
/// `gradient_hash` is the hash of the accumulated gradient before clipping, in canonical bytes.
pub fn step(previous: H256, loss_bits: u32, gradient_hash: H256) -> H256 {
    blake2_256_parts(&[b"attune:trace:step", &previous.0, &loss_bits.to_le_bytes(), &gradient_hash.0])
}

/// T after an evaluation on the held-out part that gave a mean loss of `loss_bits` (IEEE-754 bits, binary32).
pub fn evaluation(previous: H256, loss_bits: u32) -> H256 {
    blake2_256_parts(&[b"attune:trace:evaluation", &previous.0, &loss_bits.to_le_bytes()])
}

/// T with the metrics that the provider reported folded in, so that a false report is a mismatch like any other.
/// The chain folds in the metrics that it stored; an auditor folds in its own.
pub fn with_metrics(trace: H256, metrics: &SegmentMetrics) -> H256 {
    blake2_256_parts(&[b"attune:trace:metrics", &trace.0, &metrics.encode()])
}

/// Hiding commitment to T: `nonce` is 32 random bytes that the provider keeps until it opens.
pub fn commitment(trace: H256, nonce: &[u8; 32]) -> H256 {
    blake2_256_parts(&[b"attune:trace:commitment", &trace.0, nonce])
}

/// An auditor's commitment to what it found: the end root and T (metrics folded in) of its own re-execution, bound to
/// the auditor (its SCALE-encoded account) so that nobody can replay it. The chain checks the revealed parts against it.
pub fn verdict_commitment(end_root: H256, trace: H256, auditor: &impl Encode, salt: &[u8; 32]) -> H256 {
    blake2_256_parts(&[b"attune:verdict", &end_root.0, &trace.0, salt, &auditor.encode()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_of_a_step_changes_the_trace() {
        let (a, b) = (H256::repeat_byte(1), H256::repeat_byte(2));
        let base = step(a, 7, b);
        assert_ne!(base, step(b, 7, b));
        assert_ne!(base, step(a, 8, b));
        assert_ne!(base, step(a, 7, a));
    }

    #[test]
    fn a_false_metric_changes_the_trace() {
        let honest = SegmentMetrics { train_loss_micro: 5, ..Default::default() };
        let false_report = SegmentMetrics { train_loss_micro: 4, ..Default::default() };
        assert_ne!(with_metrics(H256::zero(), &honest), with_metrics(H256::zero(), &false_report));
    }

    #[test]
    fn a_verdict_is_bound_to_its_auditor() {
        let (root, trace, salt) = (H256::repeat_byte(1), H256::repeat_byte(2), [3; 32]);
        assert_ne!(
            verdict_commitment(root, trace, &1u64, &salt),
            verdict_commitment(root, trace, &2u64, &salt)
        );
    }
}
