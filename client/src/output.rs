//! Results on stdout: tables for people, JSON for programs.
//!
//! Texts that others chose (names, themes, endpoints) pass through [`clean`] before they reach a terminal: a provider's
//! name must not be able to move the cursor.

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences.
    Table,
    /// One JSON document.
    Json,
}

impl Format {
    /// Prints a result: `value` as JSON, or what `human` says. A reader that has gone away is no error.
    ///
    /// # Errors
    /// If stdout cannot be written for another reason, such as a full disk behind a redirection.
    pub fn print<T: Serialize>(self, value: &T, human: impl FnOnce() -> String) -> Result<()> {
        let mut text = match self {
            Format::Table => human(),
            Format::Json => serde_json::to_string_pretty(value).context("turning the result into JSON")?,
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e).context("writing to stdout"),
            _ => Ok(()),
        }
    }
}

/// Removes what could steer a terminal: control characters, and marks that reverse the reading direction.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Bytes of a text that should be UTF-8, cleaned.
pub fn clean_bytes(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes))
}

/// Rows under headings, columns as wide as their widest cell.
#[derive(Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings and no rows.
    pub fn new(headings: &[&str]) -> Self {
        Table { headings: headings.iter().map(|h| h.to_string()).collect(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.headings.len());
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// The table as text, or `empty` if it has no rows.
    pub fn render(&self, empty: &str) -> String {
        if self.rows.is_empty() {
            return empty.to_string();
        }
        let width_of = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].width());
            cells.chain([self.headings[column].width()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width_of).collect();
        let mut text = String::new();
        for row in std::iter::once(&self.headings).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&pad(cell, *width));
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values, one per line, values aligned.
#[derive(Debug, Default)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// No facts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The facts as text.
    pub fn render(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
        self.0.iter().map(|(name, value)| format!("{}  {}\n", pad(name, width), clean(value))).collect()
    }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        let mut table = Table::new(&["name"]);
        table.row(vec!["\x1b]0;owned\x07".into()]);
        assert!(!table.render("").contains('\x1b'));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["a", "number"]);
        table.row(vec!["日本".into(), "1".into()]);
        table.row(vec!["x".into(), "22".into()]);
        assert_eq!(table.render(""), "a     number\n日本  1\nx     22\n");
        assert_eq!(Table::new(&["a"]).render("nothing yet"), "nothing yet");
    }
}
