//! What a fuzzing process tells the script that started it: one JSON object in a file, replaced about once a second.

use crate::run::Report;
use serde_json::{json, Value};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(1);

/// The figures of a report.
pub fn figures(report: &Report, seconds: f64) -> Value {
    let calls = report.calls.iter().map(|((pallet, call), tally)| {
        (format!("{pallet}.{call}"), json!({ "done": tally.done, "failed": tally.failed }))
    });
    let errors = report
        .errors
        .iter()
        .map(|((pallet, call, error), count)| (format!("{pallet}.{call}: {error}"), json!(count)));
    let full = report.full.iter().map(|((pallet, call), count)| (format!("{pallet}.{call}"), json!(count)));
    json!({
        "calls": report.dispatched(),
        "done": report.done(),
        "refused": report.refused,
        "blocks": report.blocks,
        "scenarios": report.scenarios,
        "seconds": seconds,
        "by_call": calls.collect::<serde_json::Map<_, _>>(),
        "up_to_weight": full.collect::<serde_json::Map<_, _>>(),
        "errors": errors.collect::<serde_json::Map<_, _>>(),
    })
}

/// Writes figures where the script looks for them.
#[derive(Debug)]
pub struct Progress {
    file: PathBuf,
    began: Instant,
    written: Option<Instant>,
}

impl Progress {
    /// To this file.
    pub fn new(file: PathBuf) -> Self {
        Self { file, began: Instant::now(), written: None }
    }

    /// Writes if it is time to, or if `last`.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn tell(&mut self, report: &Report, last: bool) -> io::Result<()> {
        if !last && self.written.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        self.written = Some(Instant::now());
        let figures = figures(report, self.began.elapsed().as_secs_f64());
        replace(&self.file, figures.to_string().as_bytes())
    }
}

/// Replaces a file at once, so that a reader never sees half of it.
fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, content)?;
    fs::rename(beside, file)
}
