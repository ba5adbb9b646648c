//! `attune export`: the adapter in the customer's hands.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{json, types::Record, AccountId, View};
use attune_primitives::JobId;
use clap::Args;
use serde::Serialize;

use crate::{
    account::{self, SignerOptions},
    artifacts::Artifacts,
    context::Context,
};

/// The two files of the PEFT layout.
const PEFT_FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// How long a job's customer goes on asking for the adapter.
const DOORS_PATIENCE: Duration = Duration::from_secs(15);

/// Options of `export`.
#[derive(Debug, Args)]
pub struct Options {
    /// The job's number, which is its record's
    job: JobId,
    /// Folder to write the adapter to; it must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    signer: SignerOptions,
}

#[derive(Serialize)]
struct Exported {
    job: JobId,
    adapter: String,
    folder: PathBuf,
    /// The base model's folder in this profile, if its files are here.
    base: Option<PathBuf>,
}

/// Runs `attune export`.
pub async fn run(context: &Context, options: Options) -> Result<()> {
    let signer = account::signer(&context.profile, &options.signer)?;
    let read = |view: View| async move {
        let record = record_of(&view, options.job).await?;
        let (endpoints, model) = (endpoints(&view, &record.provider).await?, view.model(record.model).await?);
        Ok((record, endpoints, model))
    };
    let (record, endpoints, model) = context.read(read).await?;
    let artifacts = Artifacts::open(&context.profile)?;
    let out =
        std::path::absolute(&options.out).with_context(|| format!("resolving {}", options.out.display()))?;
    let patience = if signer.id() == record.customer { DOORS_PATIENCE } else { Duration::ZERO };
    let deadline = Instant::now() + patience;
    // The provider's worker opens its doors a moment after the block that finalizes the job.
    while let Err(error) =
        artifacts.fetch_adapter(&signer, &endpoints, &record.adapter, &out, context.progress).await
    {
        if Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    require_peft(&out)?;
    let base = match model {
        Some(model) => artifacts.model_dir(&model.artifact)?,
        None => None,
    };
    let exported = Exported { job: options.job, adapter: json::hex(&record.adapter), folder: out, base };
    context.output.print(&exported, || render(&exported))
}

/// The record of a finished job. Before a job is verified and paid, its adapter is the provider's own.
async fn record_of(view: &View, job: JobId) -> Result<Record> {
    if let Some(info) = view.record(job).await? {
        return Ok(info.record);
    }
    match view.job(job).await? {
        Some(info) => bail!(
            "job {job} has no adapter to fetch: it is {}; an adapter can be fetched once its job is finalized",
            crate::follow::sentence(&info)
        ),
        None => bail!("there is no job or record {job}; see `attune jobs list` and `attune records list`"),
    }
}

/// The provider's endpoint first, then everybody else's: the hash says whether what they have is the right thing.
async fn endpoints(view: &View, provider: &AccountId) -> Result<Vec<String>> {
    let mut providers = view.providers().await?;
    providers.sort_by_key(|other| other.account != *provider);
    Ok(providers.iter().map(|other| json::text(&other.profile.endpoint)).collect())
}

fn require_peft(folder: &Path) -> Result<()> {
    for name in PEFT_FILES {
        if !folder.join(name).is_file() {
            bail!("the adapter has no {name}: its hash is right, so what the provider submitted is no PEFT adapter");
        }
    }
    Ok(())
}

fn render(exported: &Exported) -> String {
    let base = exported.base.as_ref().map_or("BASE".to_string(), |dir| dir.display().to_string());
    let folder = exported.folder.display();
    format!(
        "The adapter is in {folder}\n\n\
         attune chat --base {base} --adapter {folder}\n\n\
         In Python: PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base:?}), {:?})\n",
        exported.folder.display().to_string()
    )
}
