//! The report that a customer reads before paying, and the packing of what was checked.
//!
//! A check reads the whole data set once, notes every problem with its file and line (up to a limit, so that a file of
//! the wrong kind does not bury the reader), and counts what training will cost in tokens. Problems forbid training;
//! warnings don't. [`prepare`] is the same reading with the rows kept: it gives packed data, or the report's problems.

use super::{
    chat::Row,
    packed::{PackedData, Split, MAX_SEQUENCE_LENGTH, MAX_SPLIT_TOKENS},
    packing::{pack, Example, PackedRows},
    tokenizer::ChatTokenizer,
    DataError,
};
use serde::Serialize;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// The longest line of a data set, in bytes.
pub const MAX_LINE_BYTES: u64 = 16 << 20;
/// The upper ends of the histogram's buckets, in tokens; rows longer than the last share one more bucket.
const BUCKETS: [usize; 10] = [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192];

/// What a data set is checked against.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Tokens per packed row: the longest that one example may be.
    pub sequence_length: usize,
    /// The fewest rows to train on.
    pub min_train_rows: usize,
    /// The fewest rows to measure on.
    pub min_held_out_rows: usize,
    /// How many problems, and how many warnings, are listed; the rest are counted.
    pub max_listed: usize,
    /// Where no held-out file is given: one row in so many is taken out of the train file, chosen by its content. 0
    /// takes none.
    pub held_out_one_in: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions {
            sequence_length: 512,
            min_train_rows: 10,
            min_held_out_rows: 1,
            max_listed: 20,
            held_out_one_in: 10,
        }
    }
}

/// One thing that is wrong, or that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was given.
    pub file: String,
    /// The line, from 1; none where the whole file is meant.
    pub line: Option<u64>,
    /// What was expected, what was found, what to change.
    pub reason: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.file, self.reason),
            None => write!(formatter, "{}: {}", self.file, self.reason),
        }
    }
}

/// The longest row of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LongestRow {
    /// Its line, from 1.
    pub line: u64,
    /// Its length in tokens.
    pub tokens: usize,
}

/// How many rows have a length in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// The longest row that counts here, in tokens; none for the last bucket.
    pub up_to_tokens: Option<usize>,
    /// How many rows.
    pub rows: usize,
}

/// What is in one part of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// The file, as it was given; empty where there is none.
    pub file: String,
    /// Rows that are fit for training.
    pub rows: usize,
    /// Their tokens, without padding.
    pub tokens: usize,
    /// Those that bear loss.
    pub trained_tokens: usize,
    /// The longest of them.
    pub longest_row: LongestRow,
    /// Rows of `sequence_length` tokens after packing.
    pub packed_rows: usize,
    /// Lengths of the rows.
    pub histogram: Vec<Bucket>,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Tokens per packed row.
    pub sequence_length: usize,
    /// BLAKE3 of the tokenizer.json that counted.
    pub tokenizer_blake3: String,
    /// What is trained on.
    pub train: SplitReport,
    /// What is measured on.
    pub held_out: SplitReport,
    /// What forbids training, in the order of the files.
    pub problems: Vec<Problem>,
    /// How many problems there are, those not listed included.
    pub problem_count: usize,
    /// What deserves a look.
    pub warnings: Vec<Problem>,
    /// How many warnings there are, those not listed included.
    pub warning_count: usize,
}

impl CheckReport {
    /// Whether training may start.
    pub fn passed(&self) -> bool {
        self.problem_count == 0
    }

    /// [`DataError::Problems`] unless the data set passed.
    pub fn into_result(self) -> Result<CheckReport, DataError> {
        match self.problems.first() {
            Some(first) => Err(DataError::Problems { count: self.problem_count, first: first.to_string() }),
            None => Ok(self),
        }
    }
}

/// The files of a data set.
#[derive(Clone, Copy, Debug)]
pub struct DataFiles<'a> {
    /// JSONL to train on.
    pub train: &'a Path,
    /// JSONL to measure on; taken out of the train file where there is none.
    pub held_out: Option<&'a Path>,
}

/// A data set that passed, packed.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What [`check`] would have said.
    pub report: CheckReport,
    /// The rows for the trainer.
    pub data: PackedData,
}

/// Checks a data set. Fails only where a file cannot be read or an option cannot work; what is wrong *in* the files is
/// in the report.
pub fn check(
    files: DataFiles<'_>,
    tokenizer: &ChatTokenizer,
    options: &CheckOptions,
) -> Result<CheckReport, DataError> {
    Reading::run(files, tokenizer, options).map(|reading| reading.report)
}

/// Checks and packs a data set. Fails with [`DataError::Problems`] where [`check`] would list any.
pub fn prepare(
    files: DataFiles<'_>,
    tokenizer: &ChatTokenizer,
    options: &CheckOptions,
) -> Result<Prepared, DataError> {
    let reading = Reading::run(files, tokenizer, options)?;
    let report = reading.report.into_result()?;
    let pad = tokenizer.pad().id as i32;
    let split = |rows: &[GoodRow]| -> Split {
        let examples: Vec<Example> = rows.iter().map(|row| row.example.clone()).collect();
        pack(&examples, options.sequence_length, pad)
    };
    let data = PackedData {
        train: split(&reading.train),
        held_out: split(&reading.held_out),
        sequence_length: options.sequence_length,
        vocab_size: tokenizer.vocab_size(),
        tokenizer_blake3: tokenizer.blake3().to_string(),
    };
    Ok(Prepared { report, data })
}

/// One good row.
struct GoodRow {
    line: u64,
    hash: blake3::Hash,
    example: Example,
}

/// A data set while it is read.
struct Reading<'a> {
    tokenizer: &'a ChatTokenizer,
    options: &'a CheckOptions,
    report: CheckReport,
    train: Vec<GoodRow>,
    held_out: Vec<GoodRow>,
}

impl<'a> Reading<'a> {
    fn run(
        files: DataFiles<'_>,
        tokenizer: &'a ChatTokenizer,
        options: &'a CheckOptions,
    ) -> Result<Reading<'a>, DataError> {
        let length = options.sequence_length;
        if !(2..=MAX_SEQUENCE_LENGTH).contains(&length) {
            return Err(DataError::Option(format!(
                "the sequence length is {length}, expected 2 to {MAX_SEQUENCE_LENGTH}"
            )));
        }
        let report = CheckReport {
            sequence_length: length,
            tokenizer_blake3: tokenizer.blake3().to_string(),
            ..CheckReport::default()
        };
        let mut reading = Reading { tokenizer, options, report, train: Vec::new(), held_out: Vec::new() };
        reading.train = reading.file(files.train)?;
        match files.held_out {
            Some(path) => reading.held_out = reading.file(path)?,
            None => reading.take_held_out(),
        }
        let train_name = name(files.train);
        let held_out_name = files.held_out.map_or_else(|| train_name.clone(), name);
        reading.duplicates(&train_name, &held_out_name);
        reading.enough(&train_name, reading.train.len(), options.min_train_rows, "to train on");
        reading.enough(&held_out_name, reading.held_out.len(), options.min_held_out_rows, "to measure on");
        reading.report.train = reading.summary(train_name, &reading.train);
        reading.report.held_out = reading.summary(held_out_name, &reading.held_out);
        Ok(reading)
    }

    fn problem(&mut self, file: &str, line: Option<u64>, reason: String) {
        self.report.problem_count += 1;
        if self.report.problems.len() < self.options.max_listed.max(1) {
            self.report.problems.push(Problem { file: file.to_string(), line, reason });
        }
    }

    fn warning(&mut self, file: &str, line: Option<u64>, reason: String) {
        self.report.warning_count += 1;
        if self.report.warnings.len() < self.options.max_listed {
            self.report.warnings.push(Problem { file: file.to_string(), line, reason });
        }
    }

    /// Reads one file; the good rows come back, the others become problems.
    fn file(&mut self, path: &Path) -> Result<Vec<GoodRow>, DataError> {
        let file = File::open(path).map_err(DataError::io("open", path))?;
        let mut reader = BufReader::new(file);
        let (mut rows, mut tokens, mut number, mut seen) = (Vec::new(), 0usize, 0u64, 0u64);
        let file = name(path);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line);
            if read.map_err(DataError::io("read", path))? == 0 {
                break;
            }
            number += 1;
            if line.len() as u64 > MAX_LINE_BYTES {
                let reason = format!("the line is longer than {MAX_LINE_BYTES} bytes; the rest was not read");
                self.problem(&file, Some(number), reason);
                return Ok(rows);
            }
            let bytes = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
            let bytes = bytes.trim_ascii();
            if bytes.is_empty() {
                continue;
            }
            seen += 1;
            match self.row(&file, number, bytes) {
                Ok(row) => {
                    tokens += row.example.tokens.len();
                    rows.push(row);
                }
                Err(reason) => self.problem(&file, Some(number), reason),
            }
            // Packing at most doubles the tokens, as no two neighbouring rows fit into one.
            if tokens > MAX_SPLIT_TOKENS / 2 {
                let limit = MAX_SPLIT_TOKENS / 2;
                self.problem(&file, Some(number), format!("the file has more than {limit} tokens; split it"));
                return Ok(rows);
            }
        }
        if seen == 0 {
            self.problem(&file, None, "the file is empty: expected one JSON object per line".to_string());
        }
        Ok(rows)
    }

    /// One line: parsed, rendered, turned into tokens, measured.
    fn row(&mut self, file: &str, number: u64, bytes: &[u8]) -> Result<GoodRow, String> {
        let row = Row::parse(bytes)?;
        let texts: Vec<&str> = match &row {
            Row::Chat(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
            Row::Text(text) => vec![text],
        };
        let special = texts.into_iter().find_map(|text| self.tokenizer.special_token_in(text));
        if let Some(token) = special {
            let reason = format!("the text contains {token:?}, which the model reads as a special token");
            self.warning(file, Some(number), reason);
        }
        let example = self.tokenizer.example(&row).map_err(|error| error.to_string())?;
        let (length, limit) = (example.tokens.len(), self.options.sequence_length);
        if length > limit {
            return Err(format!(
                "the row is {length} tokens long, the limit is {limit}: shorten or split it"
            ));
        }
        if example.trained_tokens() == 0 {
            return Err("no token of the row bears loss: the chat template leaves the answer out".to_string());
        }
        Ok(GoodRow { line: number, hash: blake3::hash(format!("{row:?}").as_bytes()), example })
    }

    /// Takes one row in `held_out_one_in` out of the train part: those whose content hashes lowest, so that the choice
    /// depends neither on order nor on chance. Rows of the same content go together.
    fn take_held_out(&mut self) {
        let wanted = match self.options.held_out_one_in {
            0 => return,
            one_in => self.train.len() / one_in,
        };
        let mut hashes: Vec<[u8; 32]> = self.train.iter().map(|row| *row.hash.as_bytes()).collect();
        hashes.sort_unstable();
        let Some(limit) = wanted.checked_sub(1).and_then(|last| hashes.get(last)).copied() else { return };
        let (held_out, train) =
            std::mem::take(&mut self.train).into_iter().partition(|row| *row.hash.as_bytes() <= limit);
        (self.held_out, self.train) = (held_out, train);
    }

    /// Warns of rows that stand twice: a held-out row that is trained on measures memory, not skill.
    fn duplicates(&mut self, train_name: &str, held_out_name: &str) {
        let mut first: HashMap<[u8; 32], u64> = HashMap::new();
        let mut found = Vec::new();
        for row in &self.train {
            match first.get(row.hash.as_bytes()) {
                Some(line) => found.push((train_name, row.line, format!("the same row as line {line}"))),
                None => {
                    first.insert(*row.hash.as_bytes(), row.line);
                }
            }
        }
        for row in &self.held_out {
            if let Some(line) = first.get(row.hash.as_bytes()) {
                let reason = format!("this held-out row is also trained on ({train_name}:{line})");
                found.push((held_out_name, row.line, reason));
            }
        }
        for (file, line, reason) in found {
            self.warning(file, Some(line), reason);
        }
    }

    fn enough(&mut self, file: &str, rows: usize, needed: usize, purpose: &str) {
        if rows < needed {
            let reason = format!("{rows} good row(s) {purpose}, at least {needed} are needed");
            self.problem(file, None, reason);
        }
    }

    fn summary(&self, file: String, rows: &[GoodRow]) -> SplitReport {
        let lengths = || rows.iter().map(|row| row.example.tokens.len());
        let mut counts = [0usize; BUCKETS.len() + 1];
        for length in lengths() {
            counts[BUCKETS.partition_point(|upper| *upper < length)] += 1;
        }
        let last = counts.iter().rposition(|rows| *rows > 0).map_or(0, |index| index + 1);
        let histogram = counts[..last]
            .iter()
            .enumerate()
            .map(|(index, rows)| Bucket { up_to_tokens: BUCKETS.get(index).copied(), rows: *rows })
            .collect();
        let longest = rows.iter().max_by_key(|row| (row.example.tokens.len(), std::cmp::Reverse(row.line)));
        SplitReport {
            file,
            rows: rows.len(),
            tokens: lengths().sum(),
            trained_tokens: rows.iter().map(|row| row.example.trained_tokens()).sum(),
            longest_row: longest.map_or_else(LongestRow::default, |row| LongestRow {
                line: row.line,
                tokens: row.example.tokens.len(),
            }),
            packed_rows: PackedRows::plan(lengths(), self.options.sequence_length).rows.len(),
            histogram,
        }
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
