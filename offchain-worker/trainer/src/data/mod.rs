//! Data: from a customer's JSONL to packed rows of tokens.
//!
//! The one idea: everything that depends on text is settled *before* a job exists. A data set is read, checked, turned
//! into tokens by the base model's own tokenizer and chat template, packed into rows of one fixed length, and written as
//! one canonical file ([`packed`]). The job names that file by its hash; the provider and every auditor train on the
//! same integers and never see a tokenizer.
//!
//! - [`packed`]: the file that trainers read, [`PackedData`].
//! - [`tokenizer`]: `tokenizer.json` and the chat template of a Hugging Face directory, [`ChatTokenizer`].
//! - [`chat`]: JSONL rows (chat, instruction, text) and what can be wrong with each.
//! - [`packing`]: examples into rows, boundaries respected.
//! - [`check`]: the report that a customer reads before paying, and [`prepare`], which packs what was checked.

pub mod chat;
pub mod check;
pub mod packed;
pub mod packing;
pub mod tokenizer;

#[cfg(test)]
pub(crate) mod fixture;

use std::path::{Path, PathBuf};

pub use chat::{Message, Role, Row};
pub use check::{check, prepare, CheckOptions, CheckReport, DataFiles, Prepared, Problem, SplitReport};
pub use packed::{PackedData, Split};
pub use packing::{pack, Example, PackedRows};
pub use tokenizer::ChatTokenizer;

/// The label of a position that bears no loss; the value that PyTorch's cross entropy ignores.
pub const IGNORE: i32 = -100;

/// What can go wrong between a data set's files and its packed rows.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be read, written or renamed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, as a verb: "read", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A packed file is not what its format says.
    #[error("{path} is not valid packed data: {reason}")]
    Packed {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A tokenizer or chat template is missing or unusable.
    #[error("the tokenizer in {path} cannot be used: {reason}")]
    Tokenizer {
        /// The folder or file.
        path: PathBuf,
        /// What was expected, what was found, what to change.
        reason: String,
    },
    /// The chat template failed on a conversation.
    #[error("the chat template cannot render this conversation: {0}")]
    Template(String),
    /// The data set has problems; the report names each with its line.
    #[error("the data set has {count} problem(s); the first: {first}")]
    Problems {
        /// How many problems were found.
        count: usize,
        /// The first one, with file and line.
        first: String,
    },
    /// An option has a value that cannot work.
    #[error("{0}")]
    Option(String),
}

impl DataError {
    /// A [`DataError::Io`] for `map_err`.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> DataError + 'a {
        move |source| DataError::Io { action, path: path.to_path_buf(), source }
    }
}
