//! Packed data: the file that a trainer trains on.
//!
//! A packed data set is a folder with one file, `packed.safetensors`, of six `I32` tensors: `train.tokens`,
//! `train.labels`, `train.positions` and the same three under `held_out.`, each of shape `[rows, sequence_length]`.
//!
//! - `labels[t]` is the target *for position t*, already shifted: the token at `t + 1` where that token bears loss and
//!   belongs to the same example, else [`IGNORE`].
//! - `positions` starts again at 0 with each example of a row; attention never crosses such a boundary.
//! - Padding is an example of length 1: position 0, label [`IGNORE`].
//!
//! Everything in the file can be derived again by whoever has the text and the tokenizer, and the bytes are canonical
//! (the same input gives the same file), so a hash of the file names the data set. Whoever opens it trusts nothing:
//! every rule above is checked before a trainer sees a number.

use super::{DataError, IGNORE};
use serde_json::{json, Value};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// The name of the one file in a packed data set's folder.
pub const FILE_NAME: &str = "packed.safetensors";
/// The version of the format, as its metadata names it.
pub const FORMAT: &str = "attune-packed-1";
/// The longest row, in tokens.
pub const MAX_SEQUENCE_LENGTH: usize = 131_072;
/// The largest vocabulary, in tokens.
pub const MAX_VOCAB_SIZE: usize = 1 << 20;
/// The most tokens in one split, padding included: 512 Mi, that is 6 GiB of file.
pub const MAX_SPLIT_TOKENS: usize = 1 << 29;
/// The longest header, in bytes. A true one has fewer than a thousand.
const MAX_HEADER_BYTES: u64 = 65_536;
const TENSORS: [&str; 3] = ["tokens", "labels", "positions"];
const SPLITS: [&str; 2] = ["train", "held_out"];

/// Rows of one length: the train part or the held-out part. Each vector holds `rows * sequence_length` values, row by
/// row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Token ids, `[rows, sequence_length]`.
    pub tokens: Vec<i32>,
    /// The target of each position, or [`IGNORE`]; `[rows, sequence_length]`.
    pub labels: Vec<i32>,
    /// The place of each token within its example, from 0; `[rows, sequence_length]`.
    pub positions: Vec<i32>,
    /// How many rows there are. 0 is allowed for a held-out part only.
    pub rows: usize,
    /// Tokens per row, padding included.
    pub sequence_length: usize,
}

impl Split {
    /// The three `[sequence_length]` slices (tokens, labels, positions) of one row, or `None` past the end.
    pub fn row(&self, row: usize) -> Option<(&[i32], &[i32], &[i32])> {
        if row >= self.rows {
            return None;
        }
        let range = row * self.sequence_length..(row + 1) * self.sequence_length;
        Some((self.tokens.get(range.clone())?, self.labels.get(range.clone())?, self.positions.get(range)?))
    }

    /// How many positions bear loss.
    pub fn trained_tokens(&self) -> usize {
        self.labels.iter().filter(|label| **label != IGNORE).count()
    }

    /// The first broken rule, in words, or `Ok`.
    fn validate(&self, name: &str, sequence_length: usize, vocab_size: usize) -> Result<(), String> {
        if self.sequence_length != sequence_length {
            let found = self.sequence_length;
            return Err(format!("{name} has rows of {found} tokens, the data set has {sequence_length}"));
        }
        let total = self.rows.checked_mul(sequence_length).filter(|total| *total <= MAX_SPLIT_TOKENS);
        let Some(total) = total else {
            return Err(format!(
                "{name} has {} rows of {sequence_length}, more than the limit of {MAX_SPLIT_TOKENS} tokens",
                self.rows
            ));
        };
        for (part, values) in TENSORS.iter().zip([&self.tokens, &self.labels, &self.positions]) {
            if values.len() != total {
                let found = values.len();
                return Err(format!("{name}.{part} has {found} values, expected {total} (rows × length)"));
            }
        }
        (0..self.rows).try_for_each(|row| self.validate_row(name, row, vocab_size))
    }

    /// The rules within one row: ids in the vocabulary, positions that start at 0 and step by 1, labels that name the
    /// next token of the same example.
    fn validate_row(&self, name: &str, row: usize, vocab_size: usize) -> Result<(), String> {
        let (tokens, labels, positions) = self.row(row).ok_or("a row is out of range")?;
        for column in 0..tokens.len() {
            let at = || format!("{name} row {row} column {column}");
            let (token, label, position) = (tokens[column], labels[column], positions[column]);
            if usize::try_from(token).map_or(true, |id| id >= vocab_size) {
                return Err(format!("{}: token {token} is outside the vocabulary of {vocab_size}", at()));
            }
            let continues = column > 0 && positions[column - 1].checked_add(1) == Some(position);
            if position != 0 && !continues {
                return Err(format!(
                    "{}: position {position} neither starts an example nor continues one",
                    at()
                ));
            }
            if label == IGNORE {
                continue;
            }
            let next = tokens.get(column + 1).copied();
            let same_example = positions.get(column + 1).copied() == position.checked_add(1);
            if !same_example || next != Some(label) {
                return Err(format!("{}: label {label} is not the next token of the same example", at()));
            }
        }
        Ok(())
    }
}

/// A packed data set in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedData {
    /// What is trained on; at least one row.
    pub train: Split,
    /// What is only measured on; may be empty.
    pub held_out: Split,
    /// Tokens per row, in both parts.
    pub sequence_length: usize,
    /// Every token id is below this.
    pub vocab_size: usize,
    /// BLAKE3 of the `tokenizer.json` that made the tokens, as 64 lower-case hex digits.
    pub tokenizer_blake3: String,
}

impl PackedData {
    /// Reads and checks the packed data set in the folder `dir`.
    ///
    /// Fails when the file is absent, is larger than the format allows, or breaks any rule of the format.
    pub fn open(dir: &Path) -> Result<PackedData, DataError> {
        let path = dir.join(FILE_NAME);
        let mut file = fs::File::open(&path).map_err(DataError::io("open", &path))?;
        PackedData::read(&mut file).map_err(|error| match error {
            ReadError::Io(source) => DataError::Io { action: "read", path, source },
            ReadError::Invalid(reason) => DataError::Packed { path, reason },
        })
    }

    /// Checks every rule of the format on data in memory. The error says what was expected and found.
    pub fn validate(&self) -> Result<(), String> {
        if self.sequence_length == 0 || self.sequence_length > MAX_SEQUENCE_LENGTH {
            let found = self.sequence_length;
            return Err(format!("the sequence length is {found}, expected 1 to {MAX_SEQUENCE_LENGTH}"));
        }
        if self.vocab_size == 0 || self.vocab_size > MAX_VOCAB_SIZE {
            return Err(format!(
                "the vocabulary size is {}, expected 1 to {MAX_VOCAB_SIZE}",
                self.vocab_size
            ));
        }
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if self.tokenizer_blake3.len() != 64 || !self.tokenizer_blake3.bytes().all(is_hex) {
            return Err("tokenizer_blake3 is not 64 lower-case hex digits".into());
        }
        if self.train.rows == 0 {
            return Err("the train part has no rows, expected at least one".into());
        }
        self.train.validate("train", self.sequence_length, self.vocab_size)?;
        self.held_out.validate("held_out", self.sequence_length, self.vocab_size)
    }

    /// Writes the data set as `dir/packed.safetensors`, creating `dir`. The file is written aside, synced and renamed,
    /// so a reader sees all of it or none. The same data gives the same bytes.
    pub fn write(&self, dir: &Path) -> Result<PathBuf, DataError> {
        let path = dir.join(FILE_NAME);
        self.validate().map_err(|reason| DataError::Packed { path: path.clone(), reason })?;
        fs::create_dir_all(dir).map_err(DataError::io("create", dir))?;
        let aside = dir.join(format!(".{FILE_NAME}.{}", std::process::id()));
        let written = self.write_to(&aside).and_then(|()| fs::rename(&aside, &path));
        if let Err(source) = written {
            // The half-written file is of no use to anyone; the first error is the one to report.
            let _ = fs::remove_file(&aside);
            return Err(DataError::Io { action: "write", path, source });
        }
        Ok(path)
    }

    /// The six tensors in the order of the file.
    fn tensors(&self) -> [(String, &Split, &Vec<i32>); 6] {
        let [train, held_out] = [&self.train, &self.held_out];
        let name = |split: usize, part: usize| format!("{}.{}", SPLITS[split], TENSORS[part]);
        [
            (name(0, 0), train, &train.tokens),
            (name(0, 1), train, &train.labels),
            (name(0, 2), train, &train.positions),
            (name(1, 0), held_out, &held_out.tokens),
            (name(1, 1), held_out, &held_out.labels),
            (name(1, 2), held_out, &held_out.positions),
        ]
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        // Sorted keys, whatever order serde_json's own map has in this build.
        let mut header = BTreeMap::new();
        header.insert(
            "__metadata__".to_string(),
            json!({
                "format": FORMAT,
                "sequence_length": self.sequence_length.to_string(),
                "tokenizer_blake3": self.tokenizer_blake3,
                "vocab_size": self.vocab_size.to_string(),
            }),
        );
        let mut offset = 0usize;
        for (name, split, values) in self.tensors() {
            let end = offset + values.len() * 4;
            let shape = [split.rows, split.sequence_length];
            header.insert(name, json!({"data_offsets": [offset, end], "dtype": "I32", "shape": shape}));
            offset = end;
        }
        let mut header = serde_json::to_vec(&header)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = std::io::BufWriter::new(fs::File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, _, values) in self.tensors() {
            for value in values {
                file.write_all(&value.to_le_bytes())?;
            }
        }
        file.into_inner().map_err(|error| error.into_error())?.sync_all()
    }

    fn read(file: &mut fs::File) -> Result<PackedData, ReadError> {
        let size = file.metadata()?.len();
        let mut length = [0u8; 8];
        file.read_exact(&mut length)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES || header_bytes.saturating_add(8) > size {
            return invalid(format!("the header claims {header_bytes} bytes of a file of {size}"));
        }
        let mut header = vec![0u8; header_bytes as usize];
        file.read_exact(&mut header)?;
        let header: Value = match serde_json::from_slice(&header) {
            Ok(header) => header,
            Err(error) => return invalid(format!("the header is not JSON: {error}")),
        };
        let metadata = |key: &str| header["__metadata__"][key].as_str();
        if metadata("format") != Some(FORMAT) {
            return invalid(format!("the format is {:?}, expected \"{FORMAT}\"", metadata("format")));
        }
        let number = |key: &str| metadata(key).and_then(|text| text.parse::<usize>().ok());
        let (Some(sequence_length), Some(vocab_size)) = (number("sequence_length"), number("vocab_size"))
        else {
            return invalid("the metadata lacks sequence_length or vocab_size".to_string());
        };
        let Some(tokenizer_blake3) = metadata("tokenizer_blake3").map(str::to_owned) else {
            return invalid("the metadata lacks tokenizer_blake3".to_string());
        };
        if sequence_length == 0 || sequence_length > MAX_SEQUENCE_LENGTH {
            return invalid(format!(
                "the sequence length is {sequence_length}, expected 1 to {MAX_SEQUENCE_LENGTH}"
            ));
        }
        let mut remaining = size - 8 - header_bytes;
        let mut splits = [Split::default(), Split::default()];
        let mut offset = 0u64;
        for (split, name) in splits.iter_mut().zip(SPLITS) {
            split.sequence_length = sequence_length;
            for part in TENSORS {
                let full = format!("{name}.{part}");
                let (rows, bytes) = tensor_shape(&header[full.as_str()], &full, sequence_length, offset)?;
                if part == "tokens" {
                    split.rows = rows;
                }
                if rows != split.rows || bytes > remaining {
                    return invalid(format!("{full} does not fit the other tensors or the file"));
                }
                let values = read_values(file, bytes)?;
                match part {
                    "tokens" => split.tokens = values,
                    "labels" => split.labels = values,
                    _ => split.positions = values,
                }
                remaining -= bytes;
                offset += bytes;
            }
        }
        if remaining != 0 {
            return invalid(format!("{remaining} bytes follow the last tensor"));
        }
        let [train, held_out] = splits;
        let data = PackedData { train, held_out, sequence_length, vocab_size, tokenizer_blake3 };
        match data.validate() {
            Ok(()) => Ok(data),
            Err(reason) => invalid(reason),
        }
    }
}

/// Why a file could not be read; the caller adds its path.
enum ReadError {
    Io(std::io::Error),
    Invalid(String),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        ReadError::Io(error)
    }
}

fn invalid<T>(reason: String) -> Result<T, ReadError> {
    Err(ReadError::Invalid(reason))
}

/// Checks one tensor's entry in the header: type, shape `[rows, sequence_length]`, and that it starts at `offset`, as
/// the canonical order has it. Returns rows and bytes.
fn tensor_shape(
    entry: &Value,
    name: &str,
    sequence_length: usize,
    offset: u64,
) -> Result<(usize, u64), ReadError> {
    if entry["dtype"].as_str() != Some("I32") {
        return invalid(format!("{name} is missing or not of type I32"));
    }
    let shape: Option<Vec<u64>> =
        entry["shape"].as_array().and_then(|shape| shape.iter().map(Value::as_u64).collect());
    let rows = match shape.as_deref() {
        Some([rows, length]) if *length == sequence_length as u64 => *rows,
        _ => {
            let found = &entry["shape"];
            return invalid(format!("{name} has shape {found}, expected [rows, {sequence_length}]"));
        }
    };
    let total = rows.checked_mul(sequence_length as u64).filter(|total| *total <= MAX_SPLIT_TOKENS as u64);
    let Some(total) = total else {
        return invalid(format!("{name} has {rows} rows, more than {MAX_SPLIT_TOKENS} tokens"));
    };
    let bytes = total * 4;
    let offsets = (entry["data_offsets"][0].as_u64(), entry["data_offsets"][1].as_u64());
    if offsets != (Some(offset), Some(offset + bytes)) {
        return invalid(format!("{name} does not lie at bytes {offset} to {}", offset + bytes));
    }
    Ok((rows as usize, bytes))
}

/// Reads little-endian `i32`s; `bytes` is already known to fit the file and the limits.
fn read_values(file: &mut fs::File, bytes: u64) -> Result<Vec<i32>, ReadError> {
    let mut raw = vec![0u8; bytes as usize];
    file.read_exact(&mut raw)?;
    Ok(raw
        .chunks_exact(4)
        .map(|chunk| i32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 0: an example of four tokens and one of two without loss. Row 1: an example of two, padding, one of two.
    fn valid() -> PackedData {
        PackedData {
            train: Split {
                tokens: vec![1, 5, 6, 2, 1, 7, 8, 2, 0, 0, 1, 9],
                labels: vec![-100, 6, 2, -100, -100, -100, 2, -100, -100, -100, 9, -100],
                positions: vec![0, 1, 2, 3, 0, 1, 0, 1, 0, 0, 0, 1],
                rows: 2,
                sequence_length: 6,
            },
            held_out: Split {
                tokens: vec![1, 5, 6, 2, 0, 0],
                labels: vec![-100, 6, 2, -100, -100, -100],
                positions: vec![0, 1, 2, 3, 0, 0],
                rows: 1,
                sequence_length: 6,
            },
            sequence_length: 6,
            vocab_size: 10,
            tokenizer_blake3: "ab".repeat(32),
        }
    }

    fn reason(data: &PackedData) -> String {
        data.validate().expect_err("the data breaks a rule")
    }

    #[test]
    fn written_data_reads_back_equal_and_the_bytes_are_canonical() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = valid();
        let first = data.write(one.path()).unwrap();
        let second = data.write(two.path()).unwrap();
        assert_eq!(PackedData::open(one.path()).unwrap(), data);
        assert_eq!(fs::read(&first).unwrap(), fs::read(second).unwrap());
        assert_eq!(fs::read_dir(one.path()).unwrap().count(), 1, "nothing is left aside");
        let bytes = fs::read(first).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("train.tokens").unwrap().shape(), [2, 6]);
        assert_eq!(tensors.tensor("held_out.labels").unwrap().dtype(), safetensors::Dtype::I32);
    }

    #[test]
    fn an_empty_held_out_part_is_allowed_and_an_empty_train_part_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = valid();
        data.held_out = Split { sequence_length: 6, ..Split::default() };
        data.write(dir.path()).unwrap();
        assert_eq!(PackedData::open(dir.path()).unwrap().held_out.rows, 0);
        data.train = Split { sequence_length: 6, ..Split::default() };
        assert!(reason(&data).contains("no rows"));
    }

    #[test]
    fn a_token_outside_the_vocabulary_is_refused() {
        for bad in [10, -1, i32::MAX, i32::MIN] {
            let mut data = valid();
            data.train.tokens[1] = bad;
            assert!(reason(&data).contains("outside the vocabulary"), "{bad}");
        }
    }

    #[test]
    fn a_position_that_neither_starts_nor_continues_is_refused() {
        for bad in [2, -1, i32::MAX, i32::MIN] {
            let mut data = valid();
            data.train.positions[6] = bad;
            assert!(reason(&data).contains("neither starts"), "{bad}");
        }
    }

    #[test]
    fn a_label_must_be_the_next_token_of_the_same_example() {
        let mut wrong_token = valid();
        wrong_token.train.labels[1] = 7;
        assert!(reason(&wrong_token).contains("not the next token"));
        let mut across = valid();
        across.train.labels[3] = 1;
        assert!(reason(&across).contains("not the next token"), "a label may not cross a boundary");
        let mut last = valid();
        last.train.labels[5] = 8;
        assert!(reason(&last).contains("not the next token"), "a row's last position has no target");
    }

    #[test]
    fn vectors_that_do_not_fit_the_shape_are_refused() {
        let mut short = valid();
        short.train.labels.pop();
        assert!(reason(&short).contains("expected 12"));
        let mut huge = valid();
        huge.train.rows = usize::MAX;
        assert!(reason(&huge).contains("more than the limit"));
    }

    /// Writes the sample with its bytes changed, and opens it.
    fn open_changed(change: impl FnOnce(&mut Vec<u8>)) -> DataError {
        let dir = tempfile::tempdir().unwrap();
        let path = valid().write(dir.path()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        PackedData::open(dir.path()).expect_err("the file is broken")
    }

    fn replace(bytes: &mut [u8], from: &str, to: &str) {
        assert_eq!(from.len(), to.len(), "the header keeps its length");
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }

    #[test]
    fn a_broken_file_is_refused_with_its_reason() {
        type Change = Box<dyn FnOnce(&mut Vec<u8>)>;
        let cases: Vec<(Change, &str)> = vec![
            (Box::new(|bytes| bytes.truncate(bytes.len() - 4)), "does not fit"),
            (Box::new(|bytes| bytes.extend([0; 4])), "follow the last tensor"),
            (Box::new(|bytes| bytes.truncate(3)), "read"),
            (Box::new(|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes())), "header claims"),
            (Box::new(|bytes| bytes[8] = b'x'), "not JSON"),
            (Box::new(|bytes| replace(bytes, "attune-packed-1", "attune-packed-9")), "format"),
            (Box::new(|bytes| replace(bytes, "I32", "F32")), "not of type I32"),
            (Box::new(|bytes| replace(bytes, "[2,6]", "[9,6]")), "does not lie"),
            (Box::new(|bytes| replace(bytes, "[2,6]", "[6,2]")), "has shape"),
            (Box::new(|bytes| replace(bytes, "\"vocab_size\":\"10\"", "\"vocab_size\":\"-1\"")), "lacks"),
            (Box::new(|bytes| replace(bytes, "abab", "ABAB")), "hex digits"),
        ];
        for (change, expected) in cases {
            let error = open_changed(change).to_string();
            assert!(error.contains(expected), "expected {expected:?} in {error:?}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = PackedData::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("packed.safetensors"), "{error}");
    }
}
