//! What a check finds, by rule.

use super::{super::fixture, *};
use std::fs;

/// Rows with distinct questions, from `from`.
fn rows(from: usize, count: usize) -> String {
    let row = |index| {
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"q{index}\"}},\
                 {{\"role\":\"assistant\",\"content\":\"a\"}}]}}\n"
        )
    };
    (from..from + count).map(row).collect()
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(train: impl AsRef<[u8]>, held_out: impl AsRef<[u8]>) -> Files {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.jsonl"), train).unwrap();
        fs::write(dir.path().join("held_out.jsonl"), held_out).unwrap();
        Files { dir }
    }

    fn check(&self, options: &CheckOptions) -> CheckReport {
        let (train, held_out) = self.paths();
        check(DataFiles { train: &train, held_out: Some(&held_out) }, &fixture::tokenizer(), options).unwrap()
    }

    fn paths(&self) -> (std::path::PathBuf, std::path::PathBuf) {
        (self.dir.path().join("train.jsonl"), self.dir.path().join("held_out.jsonl"))
    }
}

fn options() -> CheckOptions {
    CheckOptions { sequence_length: 32, ..CheckOptions::default() }
}

#[test]
fn a_good_data_set_is_counted() {
    let report = Files::new(rows(10, 20), rows(50, 3)).check(&options());
    assert!(report.passed() && report.warning_count == 0, "{report:?}");
    // <|user|>q10<|end|>\n<|assistant|>a<|end|>\n: 10 tokens, of which two bear loss; three rows fit into 32.
    assert_eq!((report.train.rows, report.train.tokens, report.train.trained_tokens), (20, 200, 40));
    assert_eq!((report.train.packed_rows, report.held_out.packed_rows), (7, 1));
    assert_eq!(report.train.longest_row, LongestRow { line: 1, tokens: 10 });
    assert_eq!(report.train.histogram, [Bucket { up_to_tokens: Some(16), rows: 20 }]);
    serde_json::to_string(&report).unwrap();
}

#[test]
fn every_problem_has_its_line_and_the_list_is_bounded() {
    let mut bad = rows(10, 20);
    bad.push_str("{\"messages\": [\n\n");
    bad.push_str(&rows(10_000_000_000_000_000, 1).replace("\"q", "\"a much longer question "));
    let report = Files::new(&bad, rows(50, 1)).check(&options());
    let lines: Vec<Option<u64>> = report.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(21), Some(23)]);
    assert!(report.problems[0].reason.contains("malformed JSON"), "{report:?}");
    assert!(report.problems[1].reason.contains("tokens long, the limit is 32"), "{report:?}");
    assert!(report.problems[1].to_string().contains("train.jsonl:23: "));

    let report = Files::new("x\n".repeat(100), rows(50, 1)).check(&options());
    assert_eq!((report.problems.len(), report.problem_count), (20, 101));
    assert!(report.into_result().unwrap_err().to_string().contains("101 problem(s)"));
}

#[test]
fn an_empty_or_too_small_data_set_says_how_much_is_needed() {
    let report = Files::new("\n \n", rows(50, 1)).check(&options());
    assert!(report.problems[0].reason.contains("empty"), "{report:?}");
    let report = Files::new(rows(10, 9), rows(50, 1)).check(&options());
    assert_eq!(report.problem_count, 1);
    assert!(report.problems[0].reason.contains("9 good row(s) to train on, at least 10"), "{report:?}");
}

#[test]
fn a_row_in_both_parts_or_twice_is_a_warning() {
    let report = Files::new(rows(10, 20) + &rows(12, 1), rows(13, 1)).check(&options());
    assert!(report.passed());
    assert_eq!(report.warning_count, 2);
    assert!(report.warnings[0].reason.contains("the same row as line 3"), "{report:?}");
    assert!(report.warnings[1].reason.contains("also trained on"), "{report:?}");
}

#[test]
fn text_that_reads_as_a_special_token_is_a_warning() {
    let report = Files::new(rows(10, 20).replace("q11", "<|end|>"), rows(50, 1)).check(&options());
    assert!(report.warnings[0].reason.contains("special token"), "{report:?}");
    assert_eq!(report.warnings[0].line, Some(2));
}

#[test]
fn invalid_utf8_and_a_line_without_end_are_problems_of_their_line() {
    let mut bytes = rows(10, 20).into_bytes();
    bytes.extend(b"{\"text\":\"\xff\"}\r\n");
    bytes.extend(vec![b'a'; MAX_LINE_BYTES as usize + 2]);
    let report = Files::new(bytes, rows(50, 1)).check(&options());
    assert!(report.problems[0].reason.contains("invalid UTF-8"), "{report:?}");
    assert_eq!(report.problems[1].line, Some(22));
    assert!(report.problems[1].reason.contains("longer than"), "{report:?}");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    let text = "\u{feff}".to_string() + &rows(10, 20).replace('\n', "\r\n");
    assert!(Files::new(text, rows(50, 1)).check(&options()).passed());
}

#[test]
fn without_a_held_out_file_one_row_in_ten_is_taken_whatever_their_order() {
    let tokenizer = fixture::tokenizer();
    let lines = rows(10, 40);
    let mut reversed: Vec<&str> = lines.lines().rev().collect();
    reversed.push("");
    let taken = [lines.clone(), reversed.join("\n")].map(|text| {
        let files = Files::new(text, "");
        let train = files.paths().0;
        let prepared = prepare(DataFiles { train: &train, held_out: None }, &tokenizer, &options()).unwrap();
        assert_eq!((prepared.report.train.rows, prepared.report.held_out.rows), (36, 4));
        let row = prepared.data.held_out.row(0).unwrap();
        let mut tokens = row.0.to_vec();
        tokens.sort_unstable();
        tokens
    });
    assert_eq!(taken[0].len(), 32);
}

#[test]
fn what_was_checked_is_what_is_packed() {
    let files = Files::new(rows(10, 20), rows(50, 3));
    let (train, held_out) = files.paths();
    let pair = DataFiles { train: &train, held_out: Some(&held_out) };
    let tokenizer = fixture::tokenizer();
    let prepared = prepare(pair, &tokenizer, &options()).unwrap();
    assert_eq!(prepared.data.train.rows, prepared.report.train.packed_rows);
    assert_eq!(prepared.data.train.trained_tokens(), prepared.report.train.trained_tokens);
    assert_eq!(prepared.data.tokenizer_blake3, tokenizer.blake3());
    let out = tempfile::tempdir().unwrap();
    prepared.data.write(out.path()).unwrap();
    assert_eq!(PackedData::open(out.path()).unwrap(), prepared.data);
}

#[test]
fn problems_forbid_packing() {
    let files = Files::new("x", "y");
    let (train, held_out) = files.paths();
    let pair = DataFiles { train: &train, held_out: Some(&held_out) };
    let error = prepare(pair, &fixture::tokenizer(), &options()).unwrap_err().to_string();
    assert!(error.contains("train.jsonl:1: malformed JSON"), "{error}");
}

#[test]
fn a_missing_file_and_a_useless_length_are_errors() {
    let missing = Path::new("/nowhere/train.jsonl");
    let pair = DataFiles { train: missing, held_out: None };
    let tokenizer = fixture::tokenizer();
    assert!(check(pair, &tokenizer, &options()).unwrap_err().to_string().contains("/nowhere/train.jsonl"));
    let zero = CheckOptions { sequence_length: 1, ..options() };
    assert!(check(pair, &tokenizer, &zero).unwrap_err().to_string().contains("sequence length is 1"));
}

#[test]
fn the_example_data_set_is_fit_for_the_base_model_that_ships() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [train, held_out] =
        ["train.jsonl", "held_out.jsonl"].map(|name| root.join("examples/wordnet-categories").join(name));
    let tokenizer = ChatTokenizer::open(&root.join("models/attune-base")).unwrap();
    let files = DataFiles { train: &train, held_out: Some(&held_out) };
    let report = check(files, &tokenizer, &CheckOptions::default()).unwrap();
    assert!(report.passed() && report.warning_count == 0, "{report:?}");
    assert_eq!((report.train.rows, report.held_out.rows), (1980, 204));
}
