//! `attune chat`: a base model and its tuned form, side by side.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context as _, Result};
use attune_trainer::{
    data::{Message, Role},
    generate::Sampling,
    lora::Adapter,
};
use clap::Args;
use serde::Serialize;

use super::eval::{Loaded, ModelOptions};
use crate::{context::Context, output::clean};

/// Options of `chat`.
#[derive(Debug, Args)]
pub struct Options {
    /// The models and how to run them.
    #[command(flatten)]
    models: ModelOptions,
    /// Ask this and end; without it, a conversation on the terminal
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    max_tokens: usize,
    /// Draw tokens at this temperature; 0 takes the most probable ones
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Where the drawing starts; the same seed gives the same answer
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Serialize)]
struct Answers {
    prompt: String,
    base: String,
    tuned: Option<String>,
}

/// One side of the conversation.
struct Side<'a> {
    name: &'static str,
    adapter: Option<&'a Adapter>,
    messages: Vec<Message>,
}

/// Runs `attune chat`.
pub fn run(context: &Context, options: Options) -> Result<()> {
    let loaded = options.models.load(context)?;
    let beginning: Vec<Message> =
        options.system.iter().map(|text| Message::new(Role::System, text)).collect();
    let side = |name, adapter| Side { name, adapter, messages: beginning.clone() };
    let mut sides = vec![side("base", None)];
    if let Some(adapter) = &loaded.adapter {
        sides.push(side("tuned", Some(adapter)));
    }
    if let Some(prompt) = &options.prompt {
        return ask_once(context, &loaded, &options, &mut sides, prompt);
    }
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        context.progress.say("Ask something. /reset forgets the conversation, /quit ends it.");
    }
    loop {
        if is_terminal {
            eprint!("> ");
            std::io::stderr().flush().context("writing to the terminal")?;
        }
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).context("reading the terminal")? == 0 {
            return Ok(());
        }
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(()),
            "/reset" => sides.iter_mut().for_each(|side| side.messages = beginning.clone()),
            prompt => {
                // A conversation that outgrows the context ends this turn, not the program.
                if let Err(error) = ask_once(context, &loaded, &options, &mut sides, prompt) {
                    eprintln!("error: {error:#}");
                }
            }
        }
    }
}

fn ask_once(
    context: &Context,
    loaded: &Loaded,
    options: &Options,
    sides: &mut [Side<'_>],
    prompt: &str,
) -> Result<()> {
    let mut answers = Vec::new();
    for side in sides.iter_mut() {
        let answer = answer(loaded, options, side, prompt)?;
        answers.push((side.name, answer));
    }
    let of = |name: &str| answers.iter().find(|(side, _)| *side == name).map(|(_, answer)| answer.clone());
    let said = Answers { prompt: prompt.into(), base: of("base").unwrap_or_default(), tuned: of("tuned") };
    context.output.print(&said, || {
        let line = |(name, answer): &(&str, String)| format!("{name:<5} | {}\n", clean_lines(answer));
        answers.iter().map(line).collect()
    })
}

fn answer(loaded: &Loaded, options: &Options, side: &mut Side<'_>, prompt: &str) -> Result<String> {
    let mut messages = side.messages.clone();
    messages.push(Message::new(Role::User, prompt));
    let tokens: Vec<i64> = loaded.tokenizer.prompt(&messages)?.into_iter().map(i64::from).collect();
    let sampling = match options.temperature {
        0.0 => Sampling::Greedy,
        temperature => Sampling::Temperature { temperature, seed: options.seed },
    };
    let new = loaded.model.generate(&tokens, side.adapter, options.max_tokens, sampling, |_| true)?;
    let ids = new
        .into_iter()
        .map(i32::try_from)
        .collect::<Result<Vec<_>, _>>()
        .context("a token beyond the range")?;
    let text = loaded.tokenizer.decode(&ids, true)?.trim().to_string();
    messages.push(Message::new(Role::Assistant, text.clone()));
    side.messages = messages;
    Ok(text)
}

/// An answer of several lines, indented under its name.
fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n      | ")
}
