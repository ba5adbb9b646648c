//! `attune-corpus`: from text to what `attune-pretrain` needs, a tokenizer and packed rows.
//!
//! The one idea: a base model starts as text, and each step from there is a command that gives the same bytes again.
//! `tokenizer` trains a byte-level BPE on rows of JSONL and writes it in Hugging Face layout with a chat template;
//! `pack` turns the same rows into packed data. Unlike a customer's data set, every token of a corpus bears loss, and a
//! row longer than the context is cut into pieces. `prepare` checks and packs a data set as a customer's is, for
//! benchmarks and for work on the trainer without a chain.

use anyhow::{bail, ensure, Context, Result};
use attune_trainer::data::{pack, prepare, ChatTokenizer, CheckOptions, DataFiles, Example, PackedData, Row};
use clap::{Parser, Subcommand};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};
use tokenizers::{
    decoders::DecoderWrapper,
    models::bpe::{BpeTrainerBuilder, BPE},
    normalizers::NormalizerWrapper,
    pre_tokenizers::{byte_level::ByteLevel, PreTokenizerWrapper},
    processors::PostProcessorWrapper,
    AddedToken, TokenizerBuilder,
};

/// The special tokens, with ids from 0: padding, end of turn and text, and who speaks.
const SPECIAL: [&str; 5] = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];
const TEMPLATE: &str =
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + \
    '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
/// Bytes of one line; a corpus is made by a script of ours, so this only guards against a wrong file.
const MAX_LINE_BYTES: usize = 16 << 20;

#[derive(Parser)]
#[command(version, about = "Makes a tokenizer and packed rows out of a text corpus")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a byte-level BPE tokenizer and write tokenizer.json and tokenizer_config.json
    Tokenizer {
        /// JSONL files of rows ({"text": ...} or {"messages": ...})
        #[arg(long, required = true)]
        rows: Vec<PathBuf>,
        /// Size of the vocabulary, special tokens included
        #[arg(long, default_value_t = 4096)]
        vocab_size: usize,
        /// Longest text in tokens, as tokenizer_config.json names it
        #[arg(long, default_value_t = 512)]
        context: usize,
        /// Folder to write to
        #[arg(long)]
        out: PathBuf,
    },
    /// Pack rows for pre-training: every token bears loss
    Pack {
        /// JSONL files of rows
        #[arg(long, required = true)]
        rows: Vec<PathBuf>,
        /// Folder with tokenizer.json and tokenizer_config.json
        #[arg(long)]
        tokenizer: PathBuf,
        /// Tokens per packed row
        #[arg(long, default_value_t = 512)]
        sequence_length: usize,
        /// One row in so many is held out, chosen by its content
        #[arg(long, default_value_t = 100)]
        held_out_one_in: u64,
        /// Folder to write packed.safetensors to
        #[arg(long)]
        out: PathBuf,
    },
    /// Check and pack a data set as a customer's: loss on the assistant's tokens only. Prints the report as JSON
    Prepare {
        /// JSONL to train on
        #[arg(long)]
        train: PathBuf,
        /// JSONL to measure on; taken out of the train file where there is none
        #[arg(long)]
        held_out: Option<PathBuf>,
        /// Folder with tokenizer.json and tokenizer_config.json
        #[arg(long)]
        tokenizer: PathBuf,
        /// Tokens per packed row
        #[arg(long, default_value_t = 512)]
        sequence_length: usize,
        /// Folder to write packed.safetensors to
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Tokenizer { rows, vocab_size, context, out } => {
            train_tokenizer(&rows, vocab_size, context, &out)
        }
        Command::Pack { rows, tokenizer, sequence_length, held_out_one_in, out } => {
            pack_rows(&rows, &tokenizer, sequence_length, held_out_one_in, &out)
        }
        Command::Prepare { train, held_out, tokenizer, sequence_length, out } => {
            let files = DataFiles { train: &train, held_out: held_out.as_deref() };
            let options = CheckOptions { sequence_length, ..CheckOptions::default() };
            let prepared = prepare(files, &ChatTokenizer::open(&tokenizer)?, &options)?;
            prepared.data.write(&out)?;
            println!("{}", serde_json::to_string_pretty(&prepared.report)?);
            Ok(())
        }
    }
}

/// Every row of the files, in order.
fn read_rows(files: &[PathBuf]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for path in files {
        let file = fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
            let place = || format!("{}:{}", path.display(), index + 1);
            let line = line.with_context(place)?;
            ensure!(line.len() <= MAX_LINE_BYTES, "{}: longer than {MAX_LINE_BYTES} bytes", place());
            if line.trim_ascii().is_empty() {
                continue;
            }
            match Row::parse(&line) {
                Ok(row) => rows.push(row),
                Err(reason) => bail!("{}: {reason}", place()),
            }
        }
    }
    ensure!(!rows.is_empty(), "there are no rows in the files");
    Ok(rows)
}

/// The texts of a row, without the special tokens between them.
fn texts(row: &Row) -> Vec<&str> {
    match row {
        Row::Chat(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
        Row::Text(text) => vec![text],
    }
}

fn train_tokenizer(files: &[PathBuf], vocab_size: usize, context: usize, out: &Path) -> Result<()> {
    ensure!(vocab_size >= 256 + SPECIAL.len(), "a byte-level vocabulary has at least 261 tokens");
    let rows = read_rows(files)?;
    let special = SPECIAL.map(|text| AddedToken::from(text, true)).to_vec();
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocab_size)
        .min_frequency(2)
        .special_tokens(special)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    // No spaces are put before a text, and offsets keep their white space: a text's tokens are the text's alone.
    let level = ByteLevel::new(false, false, true);
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::new()
    .with_model(BPE::default())
    .with_normalizer(None)
    .with_pre_tokenizer(Some(level.into()))
    .with_post_processor(Some(level.into()))
    .with_decoder(Some(level.into()))
    .build()
    .map_err(|error| anyhow::anyhow!("building the tokenizer: {error}"))?;
    let sequences = rows.iter().flat_map(texts).map(str::to_owned);
    tokenizer
        .train(&mut trainer, sequences)
        .map_err(|error| anyhow::anyhow!("training the tokenizer: {error}"))?;
    let text =
        tokenizer.to_string(false).map_err(|error| anyhow::anyhow!("writing the tokenizer: {error}"))?;
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": null,
        "eos_token": SPECIAL[1],
        "pad_token": SPECIAL[0],
        "unk_token": null,
        "additional_special_tokens": SPECIAL[2..],
        "clean_up_tokenization_spaces": false,
        "model_max_length": context,
        "chat_template": TEMPLATE,
    });
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    fs::write(out.join("tokenizer.json"), text)?;
    fs::write(out.join("tokenizer_config.json"), format!("{config:#}\n"))?;
    let found = ChatTokenizer::open(out)?;
    println!("{} tokens, blake3 {}", found.vocab_size(), found.blake3());
    Ok(())
}

fn pack_rows(
    files: &[PathBuf],
    tokenizer: &Path,
    sequence_length: usize,
    held_out_one_in: u64,
    out: &Path,
) -> Result<()> {
    ensure!(sequence_length >= 2, "the sequence length is {sequence_length}, expected at least 2");
    ensure!(held_out_one_in >= 2, "one row in {held_out_one_in} held out leaves nothing to train on");
    let tokenizer = ChatTokenizer::open(tokenizer)?;
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for row in read_rows(files)? {
        let hash = blake3::hash(format!("{row:?}").as_bytes());
        let number = hash.as_bytes()[..8].iter().fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        let part = if number % held_out_one_in == 0 { &mut held_out } else { &mut train };
        let tokens = tokenizer.example(&row)?.tokens;
        for piece in tokens.chunks(sequence_length).filter(|piece| piece.len() > 1) {
            part.push(Example { tokens: piece.to_vec(), trained: vec![true; piece.len()] });
        }
    }
    let pad = i32::try_from(tokenizer.pad().id)?;
    let data = PackedData {
        train: pack(&train, sequence_length, pad),
        held_out: pack(&held_out, sequence_length, pad),
        sequence_length,
        vocab_size: tokenizer.vocab_size(),
        tokenizer_blake3: tokenizer.blake3().to_string(),
    };
    let path = data.write(out)?;
    for (name, split) in [("train", &data.train), ("held out", &data.held_out)] {
        println!("{name}: {} rows, {} tokens with loss", split.rows, split.trained_tokens());
    }
    println!("{}", path.display());
    Ok(())
}
