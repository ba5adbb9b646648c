//! `attune eval`: loss and exact match on rows that were not trained on, without and with an adapter.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use attune_trainer::{
    data::{self, ChatTokenizer, CheckOptions, DataFiles, Role, Row, Split},
    evaluate::{exact_match, held_out_loss, Question},
    lora::Adapter,
    model::Model,
};
use clap::Args;
use serde::Serialize;

use crate::{
    context::Context,
    output::{clean, Table},
    profile::write_whole,
};

/// Rows of one forward pass when the loss is measured.
const LOSS_ROWS: usize = 4;

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct Options {
    /// The models and how to run them.
    #[command(flatten)]
    models: ModelOptions,
    /// JSONL with questions and known answers
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Use only the first so many rows
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Tokens of a packed row when the loss is measured [default: 512, or the model's context]
    #[arg(long, value_name = "TOKENS")]
    sequence_length: Option<usize>,
    /// Longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 64)]
    max_tokens: usize,
    /// Write the result to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How many answers to show side by side
    #[arg(long, default_value_t = 8)]
    show: usize,
}

/// A base model, and an adapter on it.
#[derive(Debug, Args)]
pub struct ModelOptions {
    /// Folder of the base model, in Hugging Face layout
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Folder of an adapter in PEFT layout
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Threads to compute with [default: half of the cores]
    #[arg(long)]
    threads: Option<u32>,
}

/// A model that answers.
pub struct Loaded {
    /// The base model.
    pub model: Model,
    /// The adapter on it.
    pub adapter: Option<Adapter>,
    /// Its tokenizer.
    pub tokenizer: ChatTokenizer,
}

impl ModelOptions {
    /// Pins libtorch to this machine's class and loads the models.
    ///
    /// # Errors
    /// If a folder is not what it should be, or the machine lacks the instruction set.
    pub fn load(&self, context: &Context) -> Result<Loaded> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(u32::try_from(cores.div_ceil(2)).unwrap_or(1));
        attune_trainer::ExecutionClass::detect(threads)?.pin()?;
        let bar = context.progress.spinner("loading the model");
        let tokenizer = ChatTokenizer::open(&self.base)?;
        let model = Model::load(&self.base)?;
        let adapter = match &self.adapter {
            Some(dir) => Some(load_adapter(&model, dir)?),
            None => None,
        };
        bar.finish_and_clear();
        Ok(Loaded { model, adapter, tokenizer })
    }
}

fn load_adapter(model: &Model, dir: &Path) -> Result<Adapter> {
    Ok(attune_trainer::peft::load(&model.spec, dir)?)
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    data: PathBuf,
    rows: usize,
    base: Scores,
    tuned: Option<Scores>,
    samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
struct Scores {
    /// Nats per loss-bearing token.
    loss: Option<f64>,
    perplexity: Option<f64>,
    /// Share of right answers, 0 to 1.
    exact_match: Option<f64>,
    right: usize,
    questions: usize,
}

#[derive(Debug, Serialize)]
struct Sample {
    question: String,
    expected: String,
    base: String,
    tuned: Option<String>,
}

/// A question as a person reads it, beside the one that the model is given.
struct Asked {
    text: String,
    question: Question,
}

/// Runs `attune eval`.
pub fn run(context: &Context, options: Options) -> Result<()> {
    let rows = read_rows(&options.data, options.limit)?;
    let loaded = options.models.load(context)?;
    let asked = questions(&rows, &loaded.tokenizer)?;
    let split = pack(&rows, &options, &loaded)?;
    let (base, base_answers) = measure(context, &loaded, None, &split, &asked, options.max_tokens)?;
    let tuned = match &loaded.adapter {
        Some(adapter) => Some(measure(context, &loaded, Some(adapter), &split, &asked, options.max_tokens)?),
        None => None,
    };
    let samples =
        asked.iter().zip(&base_answers).enumerate().take(options.show).map(|(index, (asked, base))| Sample {
            question: asked.text.clone(),
            expected: asked.question.expected.clone(),
            base: base.clone(),
            tuned: tuned.as_ref().and_then(|(_, answers)| answers.get(index).cloned()),
        });
    let samples = samples.collect();
    let report = Report {
        data: options.data,
        rows: rows.len(),
        base,
        tuned: tuned.map(|(scores, _)| scores),
        samples,
    };
    if let Some(path) = &options.save {
        let bytes = serde_json::to_vec_pretty(&report).context("turning the result into JSON")?;
        write_whole(path, &bytes)?;
    }
    context.output.print(&report, || render(&report))
}

/// Rows of a JSONL file. `data check` has the fuller report; here the first bad row ends it.
fn read_rows(path: &Path, limit: Option<usize>) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut rows = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if limit.is_some_and(|limit| rows.len() >= limit) {
            break;
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            let row = Row::parse(line);
            rows.push(row.map_err(|reason| anyhow::anyhow!("{}:{}: {reason}", path.display(), index + 1))?);
        }
    }
    if rows.is_empty() {
        bail!("{} has no rows: expected one JSON object per line", path.display());
    }
    Ok(rows)
}

/// Each conversation's last answer, asked for again. Text rows ask nothing.
fn questions(rows: &[Row], tokenizer: &ChatTokenizer) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for row in rows {
        let Row::Chat(messages) = row else { continue };
        let Some((answer, before)) = messages.split_last() else { continue };
        let prompt = tokenizer.prompt(before)?.into_iter().map(i64::from).collect();
        let text =
            before.iter().rev().find(|m| m.role == Role::User).map_or(String::new(), |m| m.content.clone());
        asked.push(Asked { text, question: Question { prompt, expected: answer.content.clone() } });
    }
    Ok(asked)
}

/// The rows packed as a job's held-out part is.
fn pack(rows: &[Row], options: &Options, loaded: &Loaded) -> Result<Split> {
    let context =
        usize::try_from(loaded.model.spec.max_position_embeddings).context("a context of negative length")?;
    let sequence_length = options.sequence_length.unwrap_or(512.min(context));
    if options.limit.is_some() {
        let examples = rows.iter().map(|row| loaded.tokenizer.example(row)).collect::<Result<Vec<_>, _>>()?;
        let pad = i32::try_from(loaded.tokenizer.pad().id).context("a padding token beyond the range")?;
        return Ok(data::pack(&examples, sequence_length, pad));
    }
    let check = CheckOptions {
        sequence_length,
        min_train_rows: 1,
        min_held_out_rows: 0,
        held_out_one_in: 0,
        ..CheckOptions::default()
    };
    let files = DataFiles { train: &options.data, held_out: None };
    Ok(data::prepare(files, &loaded.tokenizer, &check)?.data.train)
}

fn measure(
    context: &Context,
    loaded: &Loaded,
    adapter: Option<&Adapter>,
    split: &Split,
    asked: &[Asked],
    max_tokens: usize,
) -> Result<(Scores, Vec<String>)> {
    let name = if adapter.is_some() { "tuned" } else { "base" };
    let bar = context.progress.spinner(format!("{name}: loss on {} packed rows", split.rows));
    let loss = held_out_loss(&loaded.model, adapter, split, LOSS_ROWS)?;
    bar.finish_and_clear();
    let bar = context.progress.count(asked.len() as u64, format!("{name}: answering"));
    let questions: Vec<Question> = asked.iter().map(|asked| asked.question.clone()).collect();
    let decode = |tokens: &[i64]| -> Result<String, String> {
        let ids: Result<Vec<i32>, _> = tokens.iter().map(|id| i32::try_from(*id)).collect();
        let ids = ids.map_err(|_| "a token id beyond the range".to_string())?;
        loaded.tokenizer.decode(&ids, true).map_err(|e| e.to_string())
    };
    let found = exact_match(&loaded.model, adapter, &questions, max_tokens, decode, |done| {
        bar.set_position(done as u64)
    })?;
    bar.finish_and_clear();
    let scores = Scores {
        loss: loss.map(|loss| loss.loss),
        perplexity: loss.map(|loss| loss.perplexity()),
        exact_match: (!asked.is_empty()).then(|| found.share()),
        right: found.right,
        questions: asked.len(),
    };
    Ok((scores, found.answers))
}

fn render(report: &Report) -> String {
    let mut scores = Table::new(&["", "loss", "perplexity", "exact match"]);
    for (name, of) in [("base", Some(&report.base)), ("tuned", report.tuned.as_ref())] {
        let Some(of) = of else { continue };
        let number =
            |value: Option<f64>, places: usize| value.map_or("-".into(), |v| format!("{v:.places$}"));
        let share = of
            .exact_match
            .map_or("-".into(), |share| format!("{:.1} % ({} of {})", share * 100.0, of.right, of.questions));
        scores.row(vec![name.into(), number(of.loss, 4), number(of.perplexity, 2), share]);
    }
    let mut text = format!("{} rows of {}\n{}", report.rows, report.data.display(), scores.render(""));
    if !report.samples.is_empty() {
        let mut answers = Table::new(&["question", "right answer", "base says", "tuned says"]);
        for sample in &report.samples {
            let tuned = sample.tuned.as_deref().unwrap_or("-");
            answers.row([&sample.question, &sample.expected, &sample.base, tuned].map(shorten).to_vec());
        }
        text.push('\n');
        text.push_str(&answers.render(""));
    }
    text
}

/// A text that fits a table's cell.
fn shorten(text: impl AsRef<str>) -> String {
    const WIDTH: usize = 44;
    let text = clean(&text.as_ref().replace(['\n', '\r', '\t'], " "));
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
