//! Merkle trees with domain-separated leaves and nodes.
//!
//! A leaf is `H(0x00 ‖ data)`, a node `H(0x01 ‖ left ‖ right)`, and the root binds the number of leaves,
//! `H(0x02 ‖ count ‖ top)`, so that no node can pass for a leaf, and no tree for another of a different size. An odd
//! node at the end of a level moves up unchanged (as in RFC 6962), which is safe because the count is bound.

use alloc::vec::Vec;

use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

use crate::{hashing::blake2_256_parts, H256};

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];
const ROOT: &[u8] = &[2];

/// Hash of one leaf's bytes.
pub fn leaf_hash(data: &[u8]) -> H256 {
    blake2_256_parts(&[LEAF, data])
}

fn node_hash(left: &H256, right: &H256) -> H256 {
    blake2_256_parts(&[NODE, &left.0, &right.0])
}

fn bind_count(count: u64, top: &H256) -> H256 {
    blake2_256_parts(&[ROOT, &count.to_le_bytes(), &top.0])
}

fn level_up(level: &[H256]) -> Vec<H256> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node_hash(left, right),
            [single] => *single,
            _ => unreachable!("chunks(2) yields one or two items"),
        })
        .collect()
}

/// Root over leaf hashes made by [`leaf_hash`], in order. The root of no leaves is defined, and differs from all
/// others.
pub fn root(leaves: &[H256]) -> H256 {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_up(&level);
    }
    bind_count(leaves.len() as u64, &level.first().copied().unwrap_or_default())
}

/// Shows that one leaf stands at one place of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Proof {
    /// Place of the leaf, from 0.
    pub index: u64,
    /// Number of leaves of the tree.
    pub count: u64,
    /// Sibling hashes from the leaf upwards; levels on which the node moved up alone have none.
    pub siblings: Vec<H256>,
}

/// Proof that the leaf at `index` belongs to the tree over `leaves`; `None` if there is no such leaf.
pub fn prove(leaves: &[H256], index: usize) -> Option<Proof> {
    leaves.get(index)?;
    let (mut level, mut place, mut siblings) = (leaves.to_vec(), index, Vec::new());
    while level.len() > 1 {
        if let Some(sibling) = level.get(place ^ 1) {
            siblings.push(*sibling);
        }
        level = level_up(&level);
        place /= 2;
    }
    Some(Proof { index: index as u64, count: leaves.len() as u64, siblings })
}

/// True if `leaf` (a leaf hash) stands at `proof.index` of the tree of `proof.count` leaves with root `root`.
/// Work is bounded by 64 hashes, whatever the proof claims.
pub fn verify(root: &H256, leaf: &H256, proof: &Proof) -> bool {
    if proof.index >= proof.count {
        return false;
    }
    let (mut node, mut place, mut width) = (*leaf, proof.index, proof.count);
    let mut siblings = proof.siblings.iter();
    while width > 1 {
        let has_sibling = (place ^ 1) < width;
        if has_sibling {
            let Some(sibling) = siblings.next() else { return false };
            node = if place % 2 == 0 { node_hash(&node, sibling) } else { node_hash(sibling, &node) };
        }
        place /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none() && bind_count(proof.count, &node) == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<H256> {
        (0..count).map(|i| leaf_hash(&[i])).collect()
    }

    #[test]
    fn every_leaf_of_every_size_has_a_proof_that_verifies() {
        for count in 1..=33u8 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = prove(&leaves, index).expect("the index is in range, qed");
                assert!(verify(&root, leaf, &proof), "leaf {index} of {count}");
            }
        }
    }

    #[test]
    fn a_proof_does_not_verify_for_another_leaf_place_or_count() {
        let leaves = leaves(7);
        let root = root(&leaves);
        let proof = prove(&leaves, 3).expect("the index is in range, qed");
        assert!(!verify(&root, &leaves[2], &proof));
        assert!(!verify(&root, &leaves[3], &Proof { index: 2, ..proof.clone() }));
        assert!(!verify(&root, &leaves[3], &Proof { count: 8, ..proof.clone() }));
        let mut longer = proof.clone();
        longer.siblings.push(H256::zero());
        assert!(!verify(&root, &leaves[3], &longer));
    }

    #[test]
    fn a_node_cannot_pass_for_a_leaf() {
        let four = leaves(4);
        let two = [node_hash(&four[0], &four[1]), node_hash(&four[2], &four[3])];
        assert_ne!(root(&four), root(&two));
    }

    #[test]
    fn the_empty_tree_has_a_root_of_its_own() {
        assert_ne!(root(&[]), root(&[H256::zero()]));
    }
}
