//! What a page about Attune does, with plain subxt: lists providers and open jobs, orders a small job after saying what
//! that holds, waits until it is final, reads it back, and cancels it.
//!
//! `#[subxt]` below turns the metadata file into types when this is compiled; no node is needed for that.

mod job;
mod say;

use anyhow::{bail, Context, Result};
use clap::Parser;
use say::{att, Output};
use serde_json::json;
use std::str::FromStr;
use subxt::{config::SubstrateConfig, tx::Payload, OnlineClient, OnlineClientAtBlock};
use subxt_signer::{sr25519::Keypair, SecretUri};

#[allow(missing_docs, unreachable_pub, clippy::all)]
#[subxt::subxt(runtime_metadata_path = "../../../chain-client/metadata/attune.scale")]
mod attune {}

use attune::runtime_types::{
    attune_primitives::{job::JobSpec, machine::JobState},
    pallet_job_escrow::types::Job,
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
    /// Who orders: a development key such as //Alice. Real keys stay in a wallet or a key file, never in arguments.
    #[arg(long)]
    account: Option<String>,
    /// The base model; the first registered one if none is given.
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
    let Arguments { url, account, model, register_model, keep, output } = arguments;
    let client = Client::from_url(&url).await.with_context(|| format!("no node answers at {url}"))?;
    // The latest final block; `send` gives a later one.
    let mut at = client.at_current_block().await?;
    if !attune::is_codegen_valid_for(at.metadata_ref()) {
        bail!("the node's runtime is not the one of the metadata file: build with the file of its release");
    }
    list_providers(&at, output).await?;
    list_open_jobs(&at, output).await?;
    let Some(account) = account else { return Ok(()) };
    let signer = dev_signer(&account)?;
    if register_model {
        let register = attune::tx().proof_of_training().register_model(job::placeholder_model());
        (_, at) = send(&client, &at, &register, &signer).await?;
    }
    let model = match model {
        Some(model) => model,
        None => first_model(&at).await?,
    };

    let min_audit_fee = at.constants().entry(attune::constants().job_escrow().min_audit_fee())?;
    let spec = job::small_job(model, min_audit_fee);
    say_what_it_holds(&at, &spec, output)?;
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

/// Every registered provider, with its price and what stands behind it.
async fn list_providers(at: &At, output: Output) -> Result<()> {
    let mut providers = at.storage().iter(attune::storage().provider_staking().providers(), ()).await?;
    while let Some(entry) = providers.next().await {
        let entry = entry?;
        let ((account,), provider) = (entry.key()?.decode()?, entry.value().decode()?);
        let pools = attune::storage().provider_staking().pools();
        let pool = at.storage().fetch(pools, (account,)).await?.decode()?;
        // What answers for new jobs: self-bond and delegations, without stake that is on its way out.
        let stake = pool.self_bond.saturating_add(pool.active.balance);
        let name = String::from_utf8_lossy(&provider.profile.name.0).into_owned();
        let price = provider.profile.price_per_gpu_hour;
        output.say(
            &format!("provider {name} ({account}): {} per GPU hour, {} at stake", att(price), att(stake)),
            json!({"provider": account.to_string(), "name": name, "price_per_gpu_hour": price.to_string(),
                "stake": stake.to_string(), "status": format!("{:?}", provider.status)}),
        );
    }
    Ok(())
}

/// Every job that still waits for a provider.
async fn list_open_jobs(at: &At, output: Output) -> Result<()> {
    let mut jobs = at.storage().iter(attune::storage().job_escrow().jobs(), ()).await?;
    while let Some(entry) = jobs.next().await {
        let entry = entry?;
        let ((id,), job) = (entry.key()?.decode()?, entry.value().decode()?);
        if matches!(job.state, JobState::Open) {
            say_job("open job", id, &job, output);
        }
    }
    Ok(())
}

/// One job as it stands.
async fn show_job(at: &At, id: u64, output: Output) -> Result<()> {
    let job = at.storage().fetch(attune::storage().job_escrow().jobs(), (id,)).await?.decode()?;
    say_job("job", id, &job, output);
    Ok(())
}

fn say_job(what: &str, id: u64, job: &Job<AccountId>, output: Output) {
    let state = format!("{:?}", job.state);
    output.say(
        &format!("{what} {id}: {state}, at most {}, deadline {}", att(job.spec.max_price), job.deadline),
        json!({what.replace(' ', "_"): id, "state": state, "customer": job.customer.to_string(),
            "max_price": job.spec.max_price.to_string(), "escrow": job.escrow.to_string(),
            "audit_budget": job.audit_budget.to_string(), "deadline": job.deadline}),
    );
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

/// Says what `create_job` will put on hold: price, audits and deposit.
fn say_what_it_holds(at: &At, spec: &JobSpec<AccountId>, output: Output) -> Result<()> {
    let escrow = attune::constants().job_escrow();
    let deposit = at.constants().entry(escrow.job_deposit())?;
    let reserve = at.constants().entry(escrow.committee_reserve())?;
    // Every first-round audit, and the committee's reserve, of each milestone.
    let audits = u32::from(spec.assurance.samples) * u32::from(spec.assurance.auditors) + reserve;
    let milestones = u128::try_from(spec.milestones.0.len())?;
    let audit_budget = spec.audit_fee * u128::from(audits) * milestones;
    let held = spec.max_price + audit_budget + deposit;
    output.say(
        &format!(
            "will hold {}: {} price, {} audits, {} deposit",
            att(held),
            att(spec.max_price),
            att(audit_budget),
            att(deposit)
        ),
        json!({"will_hold": held.to_string(), "max_price": spec.max_price.to_string(),
            "audit_budget": audit_budget.to_string(), "deposit": deposit.to_string()}),
    );
    Ok(())
}

/// The base model with the smallest number.
async fn first_model(at: &At) -> Result<u32> {
    let mut models = at.storage().iter(attune::storage().proof_of_training().models(), ()).await?;
    let mut ids = Vec::new();
    while let Some(entry) = models.next().await {
        ids.push(entry?.key()?.decode()?.0);
    }
    ids.into_iter().min().context(
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
