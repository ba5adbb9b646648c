//! `attune data`: what is wrong with a data set, and what it will cost in tokens, before anyone pays.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use attune_trainer::{
    data::{self, ChatTokenizer, CheckOptions, CheckReport, DataError, DataFiles, Prepared},
    spec::ModelSpec,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    context::Context,
    output::{clean, Facts},
};

/// The row length that is chosen unless the model's context is shorter, in tokens.
const USUAL_LENGTH: usize = 512;

/// `attune data …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a data set: every problem with its line, and how many tokens there are
    Check(Check),
    /// Check a data set and write it as the packed file that providers train on
    Pack(Pack),
}

/// A data set and the model that it is for.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// JSONL to train on: chat, instruction or text rows
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// JSONL to measure on, never trained on [default: one row in ten of the data]
    #[arg(long, value_name = "FILE")]
    pub held_out: Option<PathBuf>,
    /// Tokens of a packed row, and so the longest that one example may be [default: 512, or the model's context]
    #[arg(long, value_name = "TOKENS")]
    pub sequence_length: Option<usize>,
}

/// Options of `data check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Folder of the base model, in Hugging Face layout
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    #[command(flatten)]
    data: DataOptions,
}

/// Options of `data pack`.
#[derive(Debug, Args)]
pub struct Pack {
    #[command(flatten)]
    check: Check,
    /// Folder to write packed.safetensors to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Packed<'a> {
    path: PathBuf,
    report: &'a CheckReport,
}

/// Runs `attune data …`.
pub fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Check(options) => {
            let (tokenizer, check) = open(&options.base, &options.data)?;
            let bar = context.progress.spinner("reading the data set");
            let report = data::check(options.data.files(), &tokenizer, &check);
            bar.finish_and_clear();
            let report = report?;
            context.output.print(&report, || render(&report))?;
            fail_on_problems(&report)
        }
        Command::Pack(options) => {
            let prepared = prepare(context, &options.check.base, &options.check.data)?;
            let path = prepared.data.write(&options.out)?;
            let packed = Packed { path: path.clone(), report: &prepared.report };
            context
                .output
                .print(&packed, || format!("{}\nwritten to {}", render(&prepared.report), path.display()))
        }
    }
}

impl DataOptions {
    fn files(&self) -> DataFiles<'_> {
        DataFiles { train: &self.data, held_out: self.held_out.as_deref() }
    }
}

/// Checks and packs a data set for the model in `base`.
///
/// # Errors
/// If the data set has problems: all that are listed are printed on stderr first.
pub fn prepare(context: &Context, base: &Path, options: &DataOptions) -> Result<Prepared> {
    let (tokenizer, check) = open(base, options)?;
    let bar = context.progress.spinner("reading and packing the data set");
    let prepared = data::prepare(options.files(), &tokenizer, &check);
    bar.finish_and_clear();
    match prepared {
        // The error has the first problem only; the reader wants all of them.
        Err(DataError::Problems { .. }) => {
            let report = data::check(options.files(), &tokenizer, &check)?;
            context.progress.say(render_problems(&report).trim_end());
            fail_on_problems(&report)?;
            bail!("the data set changed while it was read; leave it alone and try again")
        }
        other => Ok(other?),
    }
}

fn open(base: &Path, options: &DataOptions) -> Result<(ChatTokenizer, CheckOptions)> {
    let spec = ModelSpec::read(base)?;
    let tokenizer = ChatTokenizer::open(base)?;
    let context = usize::try_from(spec.max_position_embeddings).context("a context of negative length")?;
    let sequence_length = options.sequence_length.unwrap_or(USUAL_LENGTH.min(context));
    if sequence_length > context {
        bail!("--sequence-length is {sequence_length}, but the model's context is {context} tokens; take at most that");
    }
    Ok((tokenizer, CheckOptions { sequence_length, ..CheckOptions::default() }))
}

fn fail_on_problems(report: &CheckReport) -> Result<()> {
    let Some(first) = report.problems.first() else { return Ok(()) };
    bail!(
        "the data set has {} problem(s), so nothing can be trained on it; the first: {first}",
        report.problem_count
    )
}

/// A report as text.
pub fn render(report: &CheckReport) -> String {
    let mut facts = Facts::new();
    for (name, part) in [("to train on", &report.train), ("to measure on", &report.held_out)] {
        if part.rows == 0 {
            continue;
        }
        facts.add(
            name,
            format!(
                "{} rows, {} tokens ({} bear loss), packed into {} rows of {}; the longest has {} (line {})",
                part.rows,
                part.tokens,
                part.trained_tokens,
                part.packed_rows,
                report.sequence_length,
                part.longest_row.tokens,
                part.longest_row.line
            ),
        );
    }
    let mut text = facts.render();
    text.push_str(&render_problems(report));
    if report.passed() {
        text.push_str("The data set is fit for training.\n");
    }
    text
}

fn render_problems(report: &CheckReport) -> String {
    let mut text = String::new();
    for (kind, listed, count) in [
        ("problem", &report.problems, report.problem_count),
        ("warning", &report.warnings, report.warning_count),
    ] {
        for problem in listed {
            text.push_str(&format!("{kind}: {}\n", clean(&problem.to_string())));
        }
        if count > listed.len() {
            text.push_str(&format!("{} more {kind}s are not listed\n", count - listed.len()));
        }
    }
    text
}
