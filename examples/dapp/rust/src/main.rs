//! What a page about Attune does, with plain subxt: lists providers, open jobs and somebody's stake, orders a small job
//! after saying what that holds, waits until it is final, reads it back, and cancels it.
//!
//! `#[subxt]` below turns the metadata file into types when this is compiled; no node is needed for that.

mod job;
mod page;
mod say;
mod view;

use anyhow::{bail, Context, Result};
use clap::Parser;
use say::{att, Output};
use serde_json::json;
use std::str::FromStr;
use subxt::{config::SubstrateConfig, tx::Payload, OnlineClient, OnlineClientAtBlock};
use subxt_signer::{sr25519::Keypair, SecretUri};

// The macro reads the file behind Cargo's back; with this, a change of it compiles the program again.
const _: &[u8] = include_bytes!("../../../../chain-client/metadata/attune.scale");

#[allow(missing_docs, unreachable_pub, clippy::all)]
#[subxt::subxt(runtime_metadata_path = "../../../chain-client/metadata/attune.scale")]
mod attune {}

use attune::runtime_types::{
    attune_primitives::job::{Assurance, JobSpec},
    attune_runtime::page_api::types::JobOverview,
    pallet_job_escrow::views::JobShape,
};

type Client = OnlineClient<SubstrateConfig>;
/// The chain's state at one block: what is read there fits together.
type At = OnlineClientAtBlock<SubstrateConfig>;
type Events = subxt::extrinsics::ExtrinsicEvents<SubstrateConfig>;
type AccountId = subxt::utils::AccountId32;

/// Lists what there is; with an account, also orders a job and cancels it.
#[derive(Parser)]
struct Arguments {
    /// The node's address.
    #[arg(long, default_value = "ws://127.0.0.1:9944")]
    url: String,
    /// Whose stake is shown: any address; no key is needed to read.
    #[arg(long)]
    holder: Option<AccountId>,
    /// Who orders: a development key such as //Alice. Real keys stay in a wallet or a key file, never in arguments.
    #[arg(long)]
    account: Option<String>,
    /// The base model; the one that was registered last if none is given.
    #[arg(long)]
    model: Option<u32>,
    /// Registers a model entry to order with (for an empty development chain; holds a deposit).
    #[arg(long)]
    register_model: bool,
    /// Leaves the job open instead of cancelling it.
    #[arg(long)]
    keep: bool,
    /// How results are printed; JSON is one object a line.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let output = arguments.output;
    match run(arguments).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => output.error(&error),
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { url, holder, account, model, register_model, keep, output } = arguments;
    let client = Client::from_url(&url).await.with_context(|| format!("no node answers at {url}"))?;
    // The latest final block; `send` gives a later one.
    let mut at = client.at_current_block().await?;
    if !attune::is_codegen_valid_for(at.metadata_ref()) {
        bail!("the node's runtime is not the one of the metadata file: build with the file of its release");
    }
    page::list_providers(&at, output).await?;
    page::list_open_jobs(&at, output).await?;
    if let Some(holder) = holder {
        page::list_stakes(&at, holder, output).await?;
    }
    let Some(account) = account else { return Ok(()) };
    let signer = dev_signer(&account)?;
    if register_model {
        let register = attune::tx().proof_of_training().register_model(job::placeholder_model());
        (_, at) = send(&client, &at, &register, &signer).await?;
    }
    let model = match model {
        Some(model) => model,
        None => latest_model(&at).await?,
    };

    let min_audit_fee = at.constants().entry(attune::constants().job_escrow().min_audit_fee())?;
    let spec = job::small_job(model, min_audit_fee);
    say_what_it_holds(&at, &spec, output).await?;
    let create = attune::tx().job_escrow().create_job(spec, None);
    let (events, at) = send(&client, &at, &create, &signer).await?;
    let created = events.find_first::<attune::job_escrow::events::JobCreated>();
    let created = created.context("create_job succeeded without JobCreated")??;
    output.say(
        &format!("JobCreated: job {} open until block {}", created.job, created.deadline),
        json!({"event": "JobCreated", "job": created.job, "customer": created.customer.to_string(),
            "max_price": created.max_price.to_string(), "audit_budget": created.audit_budget.to_string(),
            "deadline": created.deadline}),
    );
    show_job(&at, created.job, output).await?;
    show_balance(&at, &signer, output).await?;
    if keep {
        return Ok(());
    }

    let (events, at) =
        send(&client, &at, &attune::tx().job_escrow().cancel_job(created.job), &signer).await?;
    // Escrow and audit budget come back at once; the deposit does when the job's entry is pruned.
    for refund in events.find::<attune::job_escrow::events::Refunded>() {
        let refund = refund?;
        output.say(
            &format!("Refunded: {} of job {}", att(refund.amount), refund.job),
            json!({"event": "Refunded", "job": refund.job, "funder": refund.funder.to_string(),
                "amount": refund.amount.to_string()}),
        );
    }
    show_job(&at, created.job, output).await?;
    show_balance(&at, &signer, output).await
}

/// Signs with the nonce of `at`, sends, and waits until a final block holds the transaction: gives its events, and the
/// state after it. A refusal by a pallet is an error with its name.
async fn send(client: &Client, at: &At, call: &impl Payload, signer: &Keypair) -> Result<(Events, At)> {
    let sent = at.transactions().sign_and_submit_then_watch_default(call, signer).await?;
    let included = sent.wait_for_finalized().await?;
    let events = included.wait_for_success().await?;
    Ok((events, client.at_block(included.block_hash()).await?))
}

/// One job as it stands, and what happened to it so far.
async fn show_job(at: &At, id: u64, output: Output) -> Result<()> {
    let call = attune::runtime_apis().attune_api().job_overview(id);
    let found = at.runtime_apis().call(call).await?;
    let found = found.with_context(|| format!("there is no job {id}; an ended one may have been pruned"))?;
    let JobOverview { info, money, timeline, .. } = found;
    let (state, deadline) = (format!("{:?}", info.state), info.deadline);
    let until = deadline.map_or("none".to_owned(), |block| block.to_string());
    // A step's name is that of its variant.
    let name = |step: String| step.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    let steps: Vec<String> = timeline.iter().map(|entry| name(format!("{:?}", entry.step))).collect();
    output.say(
        &format!("job {id}: {state}, deadline {until}; so far {}", steps.join(", ")),
        json!({"job": id, "state": state, "customer": info.customer.to_string(),
            "escrow": money.escrow.to_string(), "audit_budget": money.audit_budget.to_string(),
            "deadline": deadline, "timeline": steps}),
    );
    Ok(())
}

/// What is free and what is on hold on an account.
async fn show_balance(at: &At, signer: &Keypair, output: Output) -> Result<()> {
    let account = signer.public_key().to_account_id();
    let data = at.storage().fetch(attune::storage().system().account(), (account,)).await?.decode()?.data;
    output.say(
        &format!("balance of {account}: {} free, {} on hold", att(data.free), att(data.reserved)),
        json!({"balance": account.to_string(), "free": data.free.to_string(), "held": data.reserved.to_string()}),
    );
    Ok(())
}

/// Says what `create_job` will put on hold: price, audits and deposit. The chain works it out, by its own rules.
async fn say_what_it_holds(at: &At, spec: &JobSpec<AccountId>, output: Output) -> Result<()> {
    let shape = JobShape {
        max_price: spec.max_price,
        audit_fee: spec.audit_fee,
        milestones: spec.milestones.0.iter().map(|milestone| milestone.segments).collect(),
        assurance: Assurance { samples: spec.assurance.samples, auditors: spec.assurance.auditors },
    };
    let call = attune::view_functions().job_escrow().quote(shape);
    let quote = match view::call(at, call).await? {
        Ok(quote) => quote,
        Err(refusal) => bail!("a job of this shape would be refused: {refusal:?}"),
    };
    output.say(
        &format!(
            "will hold {}: {} price, {} audits, {} deposit",
            att(quote.on_hold),
            att(quote.escrow),
            att(quote.audit_budget),
            att(quote.deposit)
        ),
        json!({"will_hold": quote.on_hold.to_string(), "max_price": quote.escrow.to_string(),
            "audit_budget": quote.audit_budget.to_string(), "deposit": quote.deposit.to_string()}),
    );
    Ok(())
}

/// The base model that was registered last.
async fn latest_model(at: &At) -> Result<u32> {
    let call = attune::view_functions().proof_of_training().models_page(None, 1);
    let page = view::call(at, call).await?;
    page.items.first().map(|model| model.id).context(
        "no base model is registered: register one (`attune models add FOLDER`), or on a development chain take \
         --register-model",
    )
}

/// A development key, which is public knowledge. A program for real money asks a wallet or reads an encrypted key file.
fn dev_signer(path: &str) -> Result<Keypair> {
    if !path.starts_with("//") {
        bail!("--account is not a development key such as //Alice"); // and is not repeated: it may be a secret
    }
    Ok(Keypair::from_uri(&SecretUri::from_str(path)?)?)
}
