//! From packed rows to tensors, and the order in which rows are taken.

use attune_primitives::permutation::Permutation;
use tch::{Device, Kind, Tensor};

use crate::{
    data::{Split, IGNORE},
    model::Rotary,
    spec::ModelSpec,
    Error, Result,
};

/// Rows of one forward pass.
pub struct Batch {
    /// `[rows, length]`, int64.
    pub tokens: Tensor,
    /// Rotary table of the positions, one per token.
    pub rotary: Rotary,
    /// Additive attention mask `[rows, 1, length, length]`: 0 within an example and not after, else minus infinity.
    pub mask: Tensor,
    /// Places that bear loss, as indices into the `rows * length` positions; int64.
    pub loss_places: Tensor,
    /// Targets at those places, int64.
    pub targets: Tensor,
    /// How many places bear loss.
    pub loss_tokens: u64,
    /// How many tokens are not padding.
    pub tokens_seen: u64,
}

/// Loss-bearing tokens, and tokens that are not padding, of one row. Padding is an example of length 1 without loss.
pub fn count_row(labels: &[i32], positions: &[i32]) -> (u64, u64) {
    let (mut loss, mut seen) = (0, 0);
    for (at, label) in labels.iter().enumerate() {
        let alone = positions[at] == 0 && positions.get(at + 1).is_none_or(|next| *next == 0);
        loss += u64::from(*label != IGNORE);
        seen += u64::from(*label != IGNORE || !alone);
    }
    (loss, seen)
}

/// Tokens, labels and positions of one row.
///
/// # Errors
/// The split has no such row.
pub fn row_of(split: &Split, row: usize) -> Result<(&[i32], &[i32], &[i32])> {
    let missing = || Error::Data(format!("row {row} is asked for; there are {} rows", split.rows));
    split.row(row).ok_or_else(missing)
}

impl Batch {
    /// The batch of the given rows of `split`.
    ///
    /// # Errors
    /// A row that the split does not have.
    pub fn new(spec: &ModelSpec, split: &Split, rows: &[usize]) -> Result<Self> {
        let length = split.sequence_length;
        let total = rows.len() * length;
        let mut tokens = Vec::with_capacity(total);
        let mut places = Vec::with_capacity(total);
        let mut targets = Vec::with_capacity(total);
        let mut positions = Vec::with_capacity(total);
        let mut mask = vec![f32::NEG_INFINITY; total * length];
        let (mut loss_tokens, mut tokens_seen) = (0, 0);
        for (index, row) in rows.iter().enumerate() {
            let (row_tokens, labels, row_positions) = row_of(split, *row)?;
            let (loss, seen) = count_row(labels, row_positions);
            loss_tokens += loss;
            tokens_seen += seen;
            tokens.extend(row_tokens.iter().map(|token| i64::from(*token)));
            positions.extend(row_positions.iter().map(|position| i64::from(*position)));
            let mut start = 0;
            for at in 0..length {
                if row_positions[at] == 0 {
                    start = at;
                }
                let line = (index * length + at) * length;
                mask[line + start..=line + at].fill(0.0);
                if labels[at] != IGNORE {
                    places.push((index * length + at) as i64);
                    targets.push(i64::from(labels[at]));
                }
            }
        }
        let (rows, length) = (rows.len() as i64, length as i64);
        Ok(Self {
            tokens: Tensor::f_from_slice(&tokens)?.f_reshape([rows, length])?,
            rotary: Rotary::new(spec, &Tensor::f_from_slice(&positions)?)?,
            mask: Tensor::f_from_slice(&mask)?.f_reshape([rows, 1, length, length])?,
            loss_places: int64(&places)?,
            targets: int64(&targets)?,
            loss_tokens,
            tokens_seen,
        })
    }
}

fn int64(values: &[i64]) -> Result<Tensor> {
    match values {
        [] => Ok(Tensor::f_zeros([0], (Kind::Int64, Device::Cpu))?),
        values => Ok(Tensor::f_from_slice(values)?),
    }
}

/// The order of the training rows: epoch after epoch, each a permutation of its own under the job's key. Place `i` of
/// the whole training is O(1), so a segment can be replayed without those before it.
pub struct RowOrder {
    key: [u8; 32],
    rows: u64,
    epoch: u64,
    permutation: Permutation,
}

impl RowOrder {
    /// The order of `rows` rows (at least 1) under `key`.
    pub fn new(key: &[u8; 32], rows: u64) -> Self {
        Self { key: *key, rows, epoch: 0, permutation: Permutation::for_epoch(key, 0, rows) }
    }

    /// The row at place `index` of the whole training.
    pub fn row(&mut self, index: u64) -> usize {
        let epoch = index / self.rows;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.permutation = Permutation::for_epoch(&self.key, epoch, self.rows);
        }
        self.permutation.index(index % self.rows) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_taken_once_per_epoch_and_the_key_decides_the_order() {
        let take = |key: u8| {
            let mut order = RowOrder::new(&[key; 32], 10);
            (0..20).map(|index| order.row(index)).collect::<Vec<_>>()
        };
        let one = take(1);
        for epoch in one.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(one[..10], one[10..], "each epoch has an order of its own");
        assert_ne!(one, take(2), "another key gives another order");
        let mut backwards = RowOrder::new(&[1; 32], 10);
        let reversed: Vec<_> = (0..20).rev().map(|index| backwards.row(index)).collect();
        assert!(reversed.iter().rev().eq(&one), "a place does not depend on those before it");
    }

    #[test]
    fn padding_is_not_counted() {
        let labels = [IGNORE, 5, IGNORE, IGNORE, IGNORE];
        assert_eq!(count_row(&labels, &[0, 1, 2, 0, 0]), (1, 3));
        assert_eq!(count_row(&[IGNORE; 3], &[0, 0, 1]), (0, 2));
    }
}
