//! What stands in the files of a job: what was found, and the secrets that open what was committed to.

use std::collections::BTreeMap;

use attune_chain_client::{
    primitives::{
        proof::{SegmentCommitment, SegmentMetrics},
        trace,
    },
    AccountId, H256,
};
use serde::{Deserialize, Serialize};

/// What training one segment gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFile {
    /// The segment.
    pub segment: u32,
    /// State root at its end.
    #[serde(with = "hash_hex")]
    pub end_root: H256,
    /// The trace T, metrics not folded in.
    #[serde(with = "hash_hex")]
    pub trace: H256,
    /// What hides T in the commitment.
    #[serde(with = "bytes_hex")]
    pub nonce: [u8; 32],
    /// Address of the checkpoint at its end.
    #[serde(with = "hash_hex")]
    pub checkpoint: H256,
    /// Size of that checkpoint, in bytes.
    pub checkpoint_bytes: u64,
    /// Mean training loss, in millionths of a nat per token.
    pub train_loss_micro: u32,
    /// Tokens seen.
    pub tokens: u64,
    /// Held-out loss before any training; in segment 0 only.
    pub held_out_loss_before_micro: Option<u32>,
    /// Held-out loss at the end; at the end of a milestone only.
    pub held_out_loss_micro: Option<u32>,
    /// True for a verified segment of the provider that had the job before: written from the chain, so trace and nonce
    /// are not known (zero) and are never needed.
    #[serde(default)]
    pub inherited: bool,
}

impl SegmentFile {
    /// A verified segment of the provider that had the job before.
    pub fn inherited(segment: u32, commitment: &SegmentCommitment) -> Self {
        let metrics = &commitment.metrics;
        Self {
            segment,
            end_root: commitment.state_root,
            trace: H256::zero(),
            nonce: [0; 32],
            checkpoint: commitment.checkpoint,
            checkpoint_bytes: commitment.checkpoint_bytes,
            train_loss_micro: metrics.train_loss_micro,
            tokens: metrics.tokens,
            held_out_loss_before_micro: metrics.held_out_loss_before_micro,
            held_out_loss_micro: metrics.held_out_loss_micro,
            inherited: true,
        }
    }

    /// What is reported of the segment.
    pub fn metrics(&self) -> SegmentMetrics {
        SegmentMetrics {
            train_loss_micro: self.train_loss_micro,
            tokens: self.tokens,
            held_out_loss_before_micro: self.held_out_loss_before_micro,
            held_out_loss_micro: self.held_out_loss_micro,
        }
    }

    /// What is committed on chain.
    pub fn commitment(&self) -> SegmentCommitment {
        SegmentCommitment {
            state_root: self.end_root,
            trace_commitment: trace::commitment(self.trace, &self.nonce),
            checkpoint: self.checkpoint,
            checkpoint_bytes: self.checkpoint_bytes,
            metrics: self.metrics(),
        }
    }
}

/// Which data a job's folder holds, so that they can be deleted when the chain has forgotten the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsFile {
    /// Address of the packed data.
    #[serde(with = "hash_hex")]
    pub data: H256,
}

/// The exported adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFile {
    /// Its address (BLAKE3 of the manifest).
    #[serde(with = "hash_hex")]
    pub adapter: H256,
    /// Its size, in bytes.
    pub adapter_bytes: u64,
}

/// What auditing one segment gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictFile {
    /// The segment.
    pub segment: u32,
    /// State root at its end by our own re-execution; zero if an input could not be fetched.
    #[serde(with = "hash_hex")]
    pub end_root: H256,
    /// Our own T with our own metrics folded in; zero if an input could not be fetched.
    #[serde(with = "hash_hex")]
    pub trace: H256,
    /// What hides both in the commitment.
    #[serde(with = "bytes_hex")]
    pub salt: [u8; 32],
    /// How often the job had been handed over: what was found in one provider's attempt says nothing about the next one's,
    /// which may start from another state.
    #[serde(default)]
    pub attempt: u32,
}

impl VerdictFile {
    /// True if an input could not be fetched.
    pub fn is_unavailable(&self) -> bool {
        self.end_root.is_zero() && self.trace.is_zero()
    }

    /// What is committed on chain, by this provider.
    pub fn commitment(&self, auditor: &AccountId) -> H256 {
        trace::verdict_commitment(self.end_root, self.trace, auditor, &self.salt)
    }
}

/// A checkpoint of another provider that an auditor has in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The segment at whose end it was made.
    pub segment: u32,
    /// Its address.
    #[serde(with = "hash_hex")]
    pub checkpoint: H256,
}

/// All that is on disk about one job, except the inputs and the checkpoints themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFiles {
    /// Which data are here.
    pub inputs: Option<InputsFile>,
    /// Trained segments from 0 on, without gaps.
    pub segments: Vec<SegmentFile>,
    /// The exported adapter.
    pub result: Option<ResultFile>,
    /// Audited segments.
    pub verdicts: BTreeMap<u32, VerdictFile>,
    /// Checkpoints that an auditor keeps, by the segments that they end.
    pub kept: BTreeMap<u32, KeptFile>,
}

mod bytes_hex {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

mod hash_hex {
    use super::bytes_hex;
    use attune_chain_client::H256;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &H256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(value.0)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<H256, D::Error> {
        bytes_hex::deserialize(deserializer).map(H256)
    }
}
