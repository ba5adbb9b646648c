//! The packed rows of a micro-batch, as exact arithmetic takes them.

use crate::{
    batch::row_of,
    data::{Split, IGNORE},
    Result,
};

/// One packed row.
pub(super) struct Sequence<'a> {
    /// Token ids, `[T]`.
    pub(super) tokens: &'a [i32],
    /// Position of each token within its document, `[T]`.
    pub(super) positions: &'a [i32],
    /// For each token, where its document starts in the row, `[T]`.
    pub(super) starts: Vec<usize>,
    /// For each token, where its document ends in the row, `[T]`.
    pub(super) ends: Vec<usize>,
    /// The loss-bearing places, and what should follow there.
    pub(super) targets: Vec<(usize, usize)>,
}

impl<'a> Sequence<'a> {
    /// Row `row` of `split`.
    ///
    /// # Errors
    /// The split has no such row.
    pub(super) fn new(split: &'a Split, row: usize) -> Result<Self> {
        let (tokens, labels, positions) = row_of(split, row)?;
        let mut starts = vec![0; tokens.len()];
        for at in 1..tokens.len() {
            starts[at] = if positions[at] == 0 { at } else { starts[at - 1] };
        }
        let mut ends = vec![tokens.len(); tokens.len()];
        for at in (1..tokens.len()).rev() {
            ends[at - 1] = if positions[at] == 0 { at } else { ends[at] };
        }
        let bearing = labels.iter().enumerate().filter(|(_, label)| **label != IGNORE);
        // Labels are token ids, which packing has checked to be within the vocabulary.
        let targets = bearing.map(|(at, label)| (at, *label as usize)).collect();
        Ok(Self { tokens, positions, starts, ends, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_targets_of_a_row_are_found() {
        let split = Split {
            tokens: vec![5, 6, 7, 8, 9, 0],
            labels: vec![IGNORE, 7, IGNORE, 9, IGNORE, IGNORE],
            positions: vec![0, 1, 2, 0, 1, 0],
            rows: 1,
            sequence_length: 6,
        };
        let row = Sequence::new(&split, 0).unwrap();
        assert_eq!(row.starts, [0, 0, 0, 3, 3, 5]);
        assert_eq!(row.ends, [3, 3, 3, 5, 5, 6]);
        assert_eq!(row.targets, [(1, 7), (3, 9)]);
        assert!(Sequence::new(&split, 1).is_err());
    }
}
