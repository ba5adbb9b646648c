//! `attune models`: base models on the chain, and their files here.

use std::path::PathBuf;

use anyhow::{anyhow, bail, Context as _, Result};
use attune_chain_client::{
    calls,
    types::{ModelInfo, NewModel},
    View,
};
use attune_primitives::ModelId;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{send, submit};
use crate::{
    account::{self, SignerOptions},
    artifacts::Artifacts,
    context::{at_best, Context},
    output::Table,
};

/// `attune models …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the base models that jobs can name
    List,
    /// Check a Hugging Face directory, keep its files here, and register it on chain if nobody has
    Add(Add),
    /// Take a model of yours off the registry
    Remove(Remove),
}

/// Options of `models add`.
#[derive(Debug, Args)]
pub struct Add {
    /// Folder with config.json, *.safetensors and tokenizer.json
    dir: PathBuf,
    /// Name shown to customers [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
    /// Licence of the weights, as an SPDX expression
    #[arg(long, value_name = "SPDX")]
    licence: String,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `models remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The model's number
    model: ModelId,
    #[command(flatten)]
    signer: SignerOptions,
}

#[derive(Serialize)]
struct Added {
    model: ModelInfo,
    registered_now: bool,
    folder: Option<PathBuf>,
}

/// Runs `attune models …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Add(options) => add(context, options).await,
        Command::Remove(Remove { model, signer }) => {
            let submitter = context.submitter(&signer).await?;
            send(
                context,
                &submitter,
                &calls::remove_model(model),
                format!("Model {model} is off the registry."),
            )
            .await
        }
    }
}

async fn list(context: &Context) -> Result<()> {
    let models = context.read(|view| async move { Ok(view.models().await?) }).await?;
    let artifacts = Artifacts::open(&context.profile)?;
    context.output.print(&models, || {
        let mut table =
            Table::new(&["model", "name", "architecture", "parameters", "size", "licence", "owner", "here"]);
        for model in &models {
            table.row(vec![
                model.id.to_string(),
                model.name.clone(),
                model.architecture.clone(),
                model.parameters.to_string(),
                format!("{:.1} MB", model.artifact_bytes as f64 / 1e6),
                model.licence.clone(),
                account::show(&model.owner),
                if artifacts.has(&model.artifact) { "yes" } else { "no" }.into(),
            ]);
        }
        table.render("No model is registered. `attune models add DIR` registers one.")
    })
}

async fn add(context: &Context, options: Add) -> Result<()> {
    let submitter = context.submitter(&options.signer).await?;
    let artifacts = Artifacts::open(&context.profile)?;
    let bar = context.progress.spinner("checking the model and storing its files");
    let (of_thread, dir) = (artifacts.clone(), options.dir.clone());
    let stored = tokio::task::spawn_blocking(move || of_thread.add_model(&dir)).await;
    bar.finish_and_clear();
    let stored = stored.map_err(|e| anyhow!("checking the model was interrupted: {e}"))??;
    let by_artifact = |view: View| async move { Ok(view.model_by_artifact(stored.artifact).await?) };
    let known = at_best(submitter.chain(), by_artifact).await?;
    let registered_now = known.is_none();
    let model = match known {
        Some(model) => model,
        None => {
            let name = match (options.name, options.dir.canonicalize()) {
                (Some(name), _) => name,
                (None, Ok(dir)) => {
                    dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
                }
                (None, Err(e)) => return Err(e).context("resolving the model's folder"),
            };
            let new = NewModel {
                name: within("--name", name, 64)?,
                architecture: within("the architecture", stored.architecture, 32)?,
                parameters: stored.parameters,
                artifact: stored.artifact,
                artifact_bytes: stored.bytes,
                tokenizer: stored.tokenizer,
                licence: within("--licence", options.licence, 64)?,
            };
            submit(context.progress, &submitter, &calls::register_model(new)).await?;
            let found = at_best(submitter.chain(), by_artifact).await?;
            found.context(
                "the model was registered, but the best chain does not have it; try `attune models list`",
            )?
        }
    };
    let folder = artifacts.model_dir(&model.artifact)?;
    let added = Added { model, registered_now, folder };
    context.output.print(&added, || {
        let how = if registered_now { "is registered as" } else { "was registered already, as" };
        format!("{} {how} model {}.", added.model.name, added.model.id)
    })
}

fn within(what: &str, text: String, most: usize) -> Result<String> {
    if text.len() > most {
        bail!("{what} is {:?} with {} bytes; the chain keeps at most {most}", text, text.len());
    }
    Ok(text)
}

/// The model that a text means: its number, or its name if only one has it.
///
/// # Errors
/// If there is none, or several of that name.
pub async fn find(view: &View, text: &str) -> Result<ModelInfo> {
    if let Ok(id) = text.parse::<ModelId>() {
        return view
            .model(id)
            .await?
            .with_context(|| format!("there is no model {id}; see `attune models list`"));
    }
    let mut named: Vec<ModelInfo> =
        view.models().await?.into_iter().filter(|model| model.name == text).collect();
    match (named.pop(), named.len()) {
        (Some(model), 0) => Ok(model),
        (None, _) => bail!("there is no model named {text:?}; see `attune models list`"),
        (Some(_), others) => bail!("{} models are named {text:?}; name one by its number", others + 1),
    }
}
