//! Packing: examples into rows of one length.
//!
//! Short examples share a row, so that a step wastes little on padding. The rule is first-fit over a bounded window:
//! examples are taken in the order of the file; each goes into the first open row that has room; when none has, a new
//! row is opened; when more than [`WINDOW`] rows are open, the oldest is closed. No example is split or reordered
//! within its row, and the result is a function of its input alone.

use super::{packed::Split, IGNORE};

/// How many rows are open at a time. Larger packs a little denser and costs time per example.
pub const WINDOW: usize = 64;

/// One example as tokens: what the model sees, and which of them it is trained to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Token ids, in order.
    pub tokens: Vec<i32>,
    /// Whether each token bears loss; as long as `tokens`.
    pub trained: Vec<bool>,
}

impl Example {
    /// Tokens that bear loss. The first token is never predicted, so it never counts.
    pub fn trained_tokens(&self) -> usize {
        self.trained.iter().skip(1).filter(|trained| **trained).count()
    }

    /// The label of each position: the next token where it bears loss, else [`IGNORE`].
    pub fn labels(&self) -> Vec<i32> {
        let next = self.tokens.iter().zip(&self.trained).skip(1);
        let labels = next.map(|(token, trained)| if *trained { *token } else { IGNORE });
        labels.chain([IGNORE]).take(self.tokens.len()).collect()
    }
}

/// Which examples share which row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedRows {
    /// For each row, the indices of its examples, in order.
    pub rows: Vec<Vec<usize>>,
}

/// One row while it is filled.
struct Open {
    examples: Vec<usize>,
    used: usize,
}

impl PackedRows {
    /// Decides the rows from the examples' lengths in tokens. Every length must be at most `sequence_length`; one that
    /// is longer or empty is left out, so the caller checks first.
    pub fn plan(lengths: impl IntoIterator<Item = usize>, sequence_length: usize) -> PackedRows {
        let mut closed = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        for (index, length) in lengths.into_iter().enumerate() {
            if length == 0 || length > sequence_length {
                continue;
            }
            match open.iter_mut().find(|row| row.used + length <= sequence_length) {
                Some(row) => {
                    row.examples.push(index);
                    row.used += length;
                }
                None => open.push(Open { examples: vec![index], used: length }),
            }
            if open.len() > WINDOW {
                closed.push(open.remove(0).examples);
            }
        }
        closed.extend(open.into_iter().map(|row| row.examples));
        PackedRows { rows: closed }
    }
}

/// Packs examples into a [`Split`]: rows of `sequence_length` tokens, the rest of a row filled with `pad`.
pub fn pack(examples: &[Example], sequence_length: usize, pad: i32) -> Split {
    let plan = PackedRows::plan(examples.iter().map(|example| example.tokens.len()), sequence_length);
    let total = plan.rows.len() * sequence_length;
    let mut split = Split {
        tokens: Vec::with_capacity(total),
        labels: Vec::with_capacity(total),
        positions: Vec::with_capacity(total),
        rows: plan.rows.len(),
        sequence_length,
    };
    for (row, indices) in plan.rows.iter().enumerate() {
        for example in indices.iter().map(|index| &examples[*index]) {
            split.tokens.extend(&example.tokens);
            split.labels.extend(example.labels());
            split.positions.extend((0..).take(example.tokens.len()));
        }
        let end = (row + 1) * sequence_length;
        split.tokens.resize(end, pad);
        split.labels.resize(end, IGNORE);
        split.positions.resize(end, 0);
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example(tokens: &[i32], trained: &[bool]) -> Example {
        Example { tokens: tokens.to_vec(), trained: trained.to_vec() }
    }

    #[test]
    fn a_label_is_the_next_token_where_that_token_bears_loss() {
        let example = example(&[1, 2, 3, 4], &[true, false, true, true]);
        assert_eq!(example.labels(), [IGNORE, 3, 4, IGNORE]);
        assert_eq!(example.trained_tokens(), 2);
    }

    #[test]
    fn an_example_goes_into_the_first_row_with_room() {
        let plan = PackedRows::plan([6, 5, 4, 3, 2], 10);
        assert_eq!(plan.rows, [vec![0, 2], vec![1, 3, 4]]);
    }

    #[test]
    fn no_more_rows_than_the_window_are_open() {
        // One short row, then enough full rows to push it out of the window, then one that would have fitted it.
        let lengths = [5].into_iter().chain(vec![10; WINDOW]).chain([5]);
        let plan = PackedRows::plan(lengths, 10);
        assert_eq!(plan.rows[0], [0]);
        assert_eq!(plan.rows.last().unwrap(), &[WINDOW + 1]);
    }

    #[test]
    fn padding_is_an_example_of_one_token_without_loss() {
        let split = pack(&[example(&[5, 6], &[false, true])], 4, 9);
        assert_eq!(split.tokens, [5, 6, 9, 9]);
        assert_eq!(split.labels, [6, IGNORE, IGNORE, IGNORE]);
        assert_eq!(split.positions, [0, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn packing_keeps_every_token_and_every_rule(
            lengths in proptest::collection::vec(1usize..=16, 1..200),
            seed in 0i32..1000,
        ) {
            let examples: Vec<Example> = lengths
                .iter()
                .enumerate()
                .map(|(index, length)| Example {
                    tokens: (0..*length as i32).map(|token| (seed + token * 7 + index as i32) % 50).collect(),
                    trained: (0..*length).map(|token| (token + index) % 3 != 0).collect(),
                })
                .collect();
            let train = pack(&examples, 16, 0);
            let trained: usize = examples.iter().map(Example::trained_tokens).sum();
            prop_assert_eq!(train.trained_tokens(), trained);
            let starts = train.positions.iter().filter(|position| **position == 0).count();
            let padding = train.tokens.len() - lengths.iter().sum::<usize>();
            prop_assert_eq!(starts, examples.len() + padding);
            let data = crate::data::PackedData {
                held_out: Split { sequence_length: 16, ..Split::default() },
                train,
                sequence_length: 16,
                vocab_size: 50,
                tokenizer_blake3: "0".repeat(64),
            };
            prop_assert_eq!(data.validate(), Ok(()));
        }
    }
}
