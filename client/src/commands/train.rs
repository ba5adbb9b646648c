//! `attune train`: from a data set to a followed job.

use std::{path::PathBuf, time::Duration};

use anyhow::{anyhow, bail, Context as _, Result};
use attune_chain_client::{
    calls, json,
    types::{JobInfo, ModelInfo},
    AccountId, Call, ChainEvent, Submitter, View, H256,
};
use attune_primitives::{
    job::{ArithmeticMode, DataSpec, Method, Schedule},
    Balance, JobId,
};
use attune_trainer::data::Prepared;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    data::{self, DataOptions},
    jobs, models, sponsor, submit,
};
use crate::{
    account::{self, SignerOptions},
    arithmetic::{self, Wanted},
    artifacts::Artifacts,
    context::{at_best, Context},
    follow::{Follower, Until},
    money,
    output::{Facts, Table},
    plan::{self, Length, Plan, Wishes},
    time::show_span,
};

/// Options of `train`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The base model: its number or name (`attune models list`); its files must be here (`attune models add`)
    #[arg(long, value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    method: MethodOptions,
    #[command(flatten)]
    terms: Terms,
    /// Show price, time and terms, and order nothing
    #[arg(long)]
    dry_run: bool,
    /// Don't ask before ordering
    #[arg(long, short)]
    yes: bool,
    /// Return as soon as a provider has the inputs, instead of following the job to its end
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    signer: SignerOptions,
}

/// How the model is tuned.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Training")]
struct MethodOptions {
    /// Rank of the LoRA adapters
    #[arg(long, default_value_t = 16)]
    rank: u16,
    /// Scale of the LoRA adapters: their output is multiplied by alpha / rank [default: twice the rank]
    #[arg(long)]
    alpha: Option<u16>,
    /// Divide alpha by the root of the rank instead (rsLoRA)
    #[arg(long)]
    rslora: bool,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", default_value = "2e-4", value_parser = parse_rate)]
    learning_rate: u64,
    /// How the learning rate moves after the warm-up
    #[arg(long, value_enum, default_value = "cosine")]
    schedule: ScheduleName,
    /// Steps of linear warm-up [default: one in twenty]
    #[arg(long, value_name = "STEPS")]
    warmup: Option<u32>,
    /// Packed rows of one forward pass
    #[arg(long, value_name = "ROWS", default_value_t = 4)]
    batch: u16,
    /// Forward passes of one optimizer step
    #[arg(long, value_name = "PASSES", default_value_t = 1)]
    accumulate: u16,
    /// Largest norm of the gradient; 0 for no clipping
    #[arg(long, value_name = "NORM", default_value = "1", value_parser = parse_millionths)]
    max_gradient_norm: u32,
    /// Decoupled weight decay
    #[arg(long, default_value = "0", value_parser = parse_millionths)]
    weight_decay: u32,
    /// Passes over the data
    #[arg(long, default_value_t = 3.0, conflicts_with = "steps")]
    epochs: f64,
    /// Optimizer steps, in place of epochs
    #[arg(long)]
    steps: Option<u32>,
    /// Seed of the adapter and of the data's order
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Price, proof and time.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Terms")]
struct Terms {
    /// What the training is about, for the public record (at most 64 bytes)
    #[arg(long, default_value = "")]
    theme: String,
    /// The most to pay for training, in ATT [default: a quarter above the cheapest provider's price]
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    max_price: Option<Balance>,
    /// What one auditor gets for re-executing one segment, in ATT [default: its cost at the dearest provider's price]
    #[arg(long, value_name = "ATT", value_parser = money::parse)]
    audit_fee: Option<Balance>,
    /// Parts of the work that are verified and paid one by one
    #[arg(long, default_value_t = 2)]
    milestones: u32,
    /// Segments of each milestone: the units that are committed and audited
    #[arg(long, default_value_t = 4)]
    segments: u32,
    /// Segments that are drawn from each milestone and re-executed
    #[arg(long, default_value_t = 1)]
    samples: u8,
    /// Auditors of each drawn segment
    #[arg(long, default_value_t = 2)]
    auditors: u8,
    /// Arithmetic of the training, and so who can train and audit it [default: exact; class where --class names one]
    #[arg(long, value_enum)]
    arithmetic: Option<arithmetic::Name>,
    /// Execution class of the provider and its auditors in class-exact arithmetic [default: the one that most providers
    /// are of]
    #[arg(long)]
    class: Option<String>,
    /// The only provider that may accept
    #[arg(long, value_name = "ACCOUNT")]
    provider: Option<String>,
    /// Who pays in your place: an account that sponsors you (`attune sponsor list`)
    #[arg(long, value_name = "ACCOUNT")]
    sponsor: Option<String>,
    /// Blocks in which providers bid before the lowest bid gets the job; 0: the first one at or under the maximum gets it
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    bidding_blocks: u32,
    /// Blocks that the job waits for a provider [default: two minutes]
    #[arg(long, value_name = "BLOCKS")]
    open_blocks: Option<u32>,
    /// Blocks that the provider may take to fetch the inputs [default: five minutes]
    #[arg(long, value_name = "BLOCKS")]
    start_blocks: Option<u32>,
    /// Blocks that the provider may take for each milestone [default: five times the estimate, at least five minutes]
    #[arg(long, value_name = "BLOCKS")]
    milestone_blocks: Option<u32>,
}

/// [`Schedule`] as the command line names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleName {
    Constant,
    Linear,
    Cosine,
}

/// What `train` prints before it asks.
#[derive(Serialize)]
struct Estimate<'a> {
    model: &'a ModelInfo,
    spec_hash: String,
    train_rows: usize,
    held_out_rows: usize,
    steps: u32,
    tokens: u64,
    quotes: &'a [plan::Quote],
    max_price: String,
    audit_budget: String,
    deposit: String,
    held: String,
    /// Who pays, if it is not the customer.
    sponsor: Option<AccountId>,
    max_handovers: u32,
    training_seconds: u64,
    whole_seconds: u64,
}

/// What `train --detach` prints.
#[derive(Serialize)]
struct Detached {
    job: JobInfo,
    inputs_sent: bool,
}

/// Runs `attune train`.
pub async fn run(context: &Context, options: Options) -> Result<()> {
    let wishes = wishes(context, &options)?;
    let submitter = context.submitter(&options.signer).await?;
    let name = &options.model;
    let model = at_best(submitter.chain(), |view| async move { models::find(&view, name).await }).await?;
    let artifacts = Artifacts::open(&context.profile)?;
    let Some(base) = artifacts.model_dir(&model.artifact)? else {
        bail!(
            "the files of model {} ({}) are not in this profile; add them with `attune models add DIR`, so that they can be \
             sent to a provider and your data be tokenized",
            model.id,
            model.name
        );
    };
    let prepared = prepare(context, &options.data, base).await?;
    let data = store_data(&artifacts, &prepared, &model)?;
    let read = |view: View| async move { Ok((view.providers().await?, view.constants().await?)) };
    let (providers, constants) = at_best(submitter.chain(), read).await?;
    let plan = plan::plan(&wishes, model.id, data, &providers, &constants, submitter.chain().identity())?;
    show(context, &options, &plan, &prepared, &model)?;
    if options.dry_run {
        return Ok(());
    }
    check_balance(&submitter, &plan, constants.existential_deposit).await?;
    if !context.confirm("Order this job?", options.yes)? {
        bail!("nothing was ordered");
    }
    let job = order(context, &submitter, &plan).await?;
    context.progress.say(format!(
        "Ordered job {job}. Until a provider has the inputs, this program must run; if it ends, go on with \
         `attune jobs watch {job}`."
    ));
    let until = if options.detach { Until::InputsSent } else { Until::End };
    let chain = submitter.chain().clone();
    let ended = Follower::new(context, chain, job, Some(&submitter))?.follow(until).await;
    let job = ended.with_context(|| {
        format!("the job goes on without this program; `attune jobs watch {job}` follows it")
    })?;
    if !options.detach || job.state.is_terminal() {
        return jobs::print_end(context, &job).await;
    }
    let detached = Detached { job, inputs_sent: true };
    context.output.print(&detached, || {
        format!(
            "Job {id} is on its way: the model and the data are with its provider, so this machine may be switched off.\n\
             `attune jobs watch {id}` follows it. If another provider has to go on, it needs the inputs again: run that \
             command then, with the key that ordered.",
            id = detached.job.id
        )
    })
}

fn wishes(context: &Context, options: &Options) -> Result<Wishes> {
    let (method, terms) = (&options.method, &options.terms);
    let provider =
        terms.provider.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
    let sponsor = terms.sponsor.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
    let alpha = match method.alpha {
        Some(alpha) => alpha,
        None => method.rank.checked_mul(2).context("--rank is too large; expected at most 1024")?,
    };
    Ok(Wishes {
        method: Method::Lora { rank: method.rank, alpha, rank_stabilised: method.rslora },
        learning_rate_nano: method.learning_rate,
        schedule: match method.schedule {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Linear => Schedule::Linear,
            ScheduleName::Cosine => Schedule::Cosine,
        },
        warmup_steps: method.warmup,
        micro_batch_rows: method.batch,
        gradient_accumulation: method.accumulate,
        max_gradient_norm_micro: method.max_gradient_norm,
        weight_decay_micro: method.weight_decay,
        length: method.steps.map_or(Length::Epochs(method.epochs), Length::Steps),
        milestones: terms.milestones,
        segments: terms.segments,
        samples: terms.samples,
        auditors: terms.auditors,
        seed: method.seed,
        theme: terms.theme.clone(),
        max_price: terms.max_price,
        audit_fee: terms.audit_fee,
        arithmetic: Wanted::new(terms.arithmetic, terms.class.clone())?,
        provider,
        sponsor,
        bidding_blocks: terms.bidding_blocks,
        open_blocks: terms.open_blocks,
        start_blocks: terms.start_blocks,
        milestone_blocks: terms.milestone_blocks,
    })
}

async fn prepare(context: &Context, options: &DataOptions, base: PathBuf) -> Result<Prepared> {
    let (context, options) = (context.clone(), options.clone());
    let prepared = tokio::task::spawn_blocking(move || data::prepare(&context, &base, &options)).await;
    prepared.map_err(|e| anyhow!("packing the data was interrupted: {e}"))?
}

fn store_data(artifacts: &Artifacts, prepared: &Prepared, model: &ModelInfo) -> Result<DataSpec> {
    let tokenizer = format!("0x{}", prepared.data.tokenizer_blake3);
    if tokenizer != json::hex(&model.tokenizer) {
        bail!(
            "the tokenizer of the files here has hash {tokenizer}, model {} is registered with {}; fetch the model's \
             files again",
            model.id,
            json::hex(&model.tokenizer)
        );
    }
    let stored = artifacts.add_data(&prepared.data)?;
    let count = |what: &str, number: usize| {
        u32::try_from(number).with_context(|| format!("more {what} than a job can have"))
    };
    Ok(DataSpec {
        root: H256(stored.root.0),
        bytes: stored.bytes,
        tokens: u64::try_from(prepared.report.train.tokens).context("more tokens than a job can have")?,
        rows: count("rows", prepared.data.train.rows)?,
        held_out_rows: count("held-out rows", prepared.data.held_out.rows)?,
        sequence_length: count("tokens in a row", prepared.data.sequence_length)?,
    })
}

/// Shows what the job is, what it costs, how long it takes, and what happens with the money.
fn show(
    context: &Context,
    options: &Options,
    plan: &Plan,
    prepared: &Prepared,
    model: &ModelInfo,
) -> Result<()> {
    let held = plan.held()?;
    let estimate = Estimate {
        model,
        spec_hash: json::hex(&plan.spec.hash()),
        train_rows: prepared.report.train.rows,
        held_out_rows: prepared.report.held_out.rows,
        steps: plan.steps,
        tokens: plan.tokens,
        quotes: &plan.quotes,
        max_price: plan.spec.max_price.to_string(),
        audit_budget: plan.audit_budget.to_string(),
        deposit: plan.deposit.to_string(),
        held: held.to_string(),
        sponsor: plan.sponsor,
        max_handovers: plan.max_handovers,
        training_seconds: plan.training.as_secs(),
        whole_seconds: plan.whole.as_secs(),
    };
    let text = || {
        let spec = &plan.spec;
        let mut facts = Facts::new();
        facts.add("model", format!("{} (model {}, {} parameters)", model.name, model.id, model.parameters));
        facts.add(
            "data",
            format!("{} rows to train on, {} to measure on", estimate.train_rows, estimate.held_out_rows),
        );
        facts.add(
            "training",
            format!(
                "{} steps in {} milestones of {} segments, {} tokens",
                plan.steps, options.terms.milestones, options.terms.segments, plan.tokens
            ),
        );
        facts.add("arithmetic", arithmetic::describe(&spec.mode));
        facts.add(
            "time",
            format!(
                "about {} of training, about {} to the record{}",
                show_span(plan.training),
                show_span(plan.whole),
                match spec.mode {
                    ArithmeticMode::Exact { .. } => "",
                    ArithmeticMode::ClassExact { .. } =>
                        " (providers measure their speed in exact arithmetic)",
                }
            ),
        );
        let mut quotes = Table::new(&["provider", "name", "asks about", "trains about", ""]);
        for quote in &plan.quotes {
            let verdict = if quote.price <= spec.max_price { "would accept" } else { "above your maximum" };
            quotes.row(vec![
                account::show(&quote.provider),
                quote.name.clone(),
                money::show_short(quote.price),
                show_span(Duration::from_secs(quote.seconds)),
                verdict.into(),
            ]);
        }
        let mut text = format!("{}\n{}\n{}\n", facts.render(), quotes.render(""), plan::money_story(plan));
        if plan.quotes.iter().all(|quote| quote.price > spec.max_price) {
            text.push_str(
                "\nNo provider would accept at this maximum: the job would expire, and the escrow return. Raise \
                 --max-price.\n",
            );
        }
        text
    };
    match options.dry_run {
        true => context.output.print(&estimate, text),
        // What is asked about belongs to the question, not to the result.
        false => {
            context.progress.say(text().trim_end());
            Ok(())
        }
    }
}

fn create(plan: &Plan) -> Call {
    calls::create_job(plan.spec.clone(), plan.sponsor)
}

/// Refuses what the chain would refuse, with numbers: whether the customer, or its sponsor, can pay for the job.
async fn check_balance(submitter: &Submitter, plan: &Plan, existential_deposit: Balance) -> Result<()> {
    let fee = submitter.fee(&create(plan)).await?;
    let held = plan.held()?;
    let own = if plan.sponsor.is_some() { 0 } else { held };
    let needed = own.saturating_add(fee).saturating_add(existential_deposit);
    let id = submitter.id();
    let free = at_best(submitter.chain(), |view| async move { Ok(view.balance(&id).await?) }).await?.free;
    let name = submitter.account().name();
    if needed > free && plan.sponsor.is_some() {
        bail!(
            "the sponsor pays for the job, but the fee of the order is your own: that takes {}, and {name} has {} free; \
             send it tokens",
            money::show(needed),
            money::show(free)
        );
    }
    if needed > free {
        bail!(
            "this job takes {} (at most {} for training, {} for audits, {} deposit, fees), but {name} has {} free; lower \
             --max-price or --audit-fee, train for less, or send it tokens",
            money::show(needed),
            money::show(plan.spec.max_price),
            money::show(plan.audit_budget),
            money::show(plan.deposit),
            money::show(free)
        );
    }
    match plan.sponsor {
        Some(sponsor) => check_sponsor(submitter, sponsor, held).await,
        None => Ok(()),
    }
}

async fn check_sponsor(submitter: &Submitter, sponsor: AccountId, held: Balance) -> Result<()> {
    let id = submitter.id();
    let read = |view: View| async move {
        let given = view.sponsorships(&id).await?.into_iter().find(|found| found.sponsor == sponsor);
        Ok((given, view.balance(&sponsor).await?.free, view.number()))
    };
    let (given, free, now) = at_best(submitter.chain(), read).await?;
    let name = account::show(&sponsor);
    let Some(given) = given.filter(|given| given.customer == id) else {
        bail!("{name} does not pay for {}; `attune sponsor list` shows who does", submitter.account().name());
    };
    sponsor::require_room(&given, held, now).with_context(|| format!("{name} can't pay for this job"))?;
    if held > free {
        bail!(
            "this job takes {}, but the sponsor {name} has {} free; ask it to add tokens, or lower --max-price",
            money::show(held),
            money::show(free)
        );
    }
    Ok(())
}

/// Orders the job and waits until the order is final, so that its number stays.
async fn order(context: &Context, submitter: &Submitter, plan: &Plan) -> Result<JobId> {
    let included = submit(context.progress, submitter, &create(plan)).await?;
    let created = included.events()?.into_iter().find_map(|event| match event {
        ChainEvent::JobCreated { job, .. } => Some(job),
        _ => None,
    });
    created.context("the order is in a block, but no job came of it; see `attune jobs list`")
}

/// A learning rate in units of 1e-9.
fn parse_rate(text: &str) -> Result<u64, String> {
    let refuse =
        || format!("{text:?} is not a learning rate; expected a number from 1e-9 to 1, such as 2e-4");
    let rate: f64 = text.parse().map_err(|_| refuse())?;
    let nano = (rate * 1e9).round();
    if !(1.0..=1e9).contains(&nano) {
        return Err(refuse());
    }
    Ok(nano as u64)
}

/// A number in units of 1e-6.
fn parse_millionths(text: &str) -> Result<u32, String> {
    let refuse = || format!("{text:?} is not a number from 0 to 4000");
    let number: f64 = text.parse().map_err(|_| refuse())?;
    if !(0.0..=4_000.0).contains(&number) {
        return Err(refuse());
    }
    Ok((number * 1e6).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learning_rate_is_read_in_its_unit() {
        assert_eq!(parse_rate("2e-4"), Ok(200_000));
        assert_eq!(parse_rate("1"), Ok(1_000_000_000));
        for bad in ["0", "-1", "2", "1e-10", "NaN", "fast"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_millionths("0.01"), Ok(10_000));
        assert!(parse_millionths("-0.1").is_err());
    }
}
