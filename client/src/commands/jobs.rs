//! `attune jobs`: what was ordered, and what became of it.

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{
    calls, json,
    types::{AuditInfo, CommitmentInfo, DrawInfo, JobInfo, ResultInfo},
    Submitter, View, Wait,
};
use attune_primitives::{machine::JobState, Balance, JobId};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{records, send, submit};
use crate::{
    account::{self, MaybeSigner, SignerOptions},
    arithmetic,
    context::{at_best, Context},
    follow::{self, Follower, Until},
    money,
    output::{clean_bytes, Facts, Table},
};

/// `attune jobs …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List jobs
    List(List),
    /// Show one job: price, milestones, commitments, audits
    Show(Of),
    /// Follow a job until it ends; with the customer's key it also sends the inputs that a provider waits for
    Watch(Watch),
    /// Call a job off; a running one costs a capped fee
    Cancel(Cancel),
    /// End a state whose deadline has passed, such as an open job that nobody accepted; anyone may
    Enforce(Signed),
    /// Delete a finished job's entry; its deposit goes back to the customer; anyone may
    Prune(Signed),
    /// Take what settlement owes you because you could not be paid
    Claim(Claim),
}

/// Options of `jobs list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only those of this customer or provider
    #[arg(long, value_name = "ACCOUNT")]
    of: Option<String>,
}

/// A job.
#[derive(Debug, Args)]
pub struct Of {
    /// The job's number
    job: JobId,
}

/// Options of `jobs watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// The job's number
    job: JobId,
    #[command(flatten)]
    signer: MaybeSigner,
}

/// Options of `jobs cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The job's number
    job: JobId,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    signer: SignerOptions,
}

/// A job, and who signs.
#[derive(Debug, Args)]
pub struct Signed {
    /// The job's number
    job: JobId,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `jobs claim`.
#[derive(Debug, Args)]
pub struct Claim {
    #[command(flatten)]
    signer: SignerOptions,
}

#[derive(Serialize)]
struct Details {
    job: JobInfo,
    commitments: Vec<CommitmentInfo>,
    draws: Vec<DrawInfo>,
    audits: Vec<AuditInfo>,
    result: Option<ResultInfo>,
}

#[derive(Serialize)]
struct Claimed {
    jobs: Vec<JobId>,
    /// In planck.
    paid: String,
}

/// Runs `attune jobs …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List(options) => list(context, &options).await,
        Command::Show(options) => show(context, options.job).await,
        Command::Watch(options) => watch(context, options).await,
        Command::Cancel(options) => cancel(context, options).await,
        Command::Enforce(Signed { job, signer }) => {
            let submitter = context.submitter(&signer).await?;
            require_passed_deadline(&submitter, job).await?;
            send(
                context,
                &submitter,
                &calls::enforce_deadline(job),
                format!("Job {job}'s deadline is enforced."),
            )
            .await
        }
        Command::Prune(Signed { job, signer }) => {
            let submitter = context.submitter(&signer).await?;
            send(context, &submitter, &calls::prune_job(job), format!("Job {job}'s entry is deleted.")).await
        }
        Command::Claim(Claim { signer }) => {
            let submitter = context.submitter(&signer).await?;
            claim(context, &submitter).await
        }
    }
}

/// Claims what settlement owes the signer, job by job.
async fn claim(context: &Context, submitter: &Submitter) -> Result<()> {
    let id = submitter.id();
    let owed = at_best(submitter.chain(), |view| async move { Ok(view.owed(&id).await?) }).await?;
    let mut paid: Balance = 0;
    for (job, amount) in &owed {
        submit(context.progress, submitter, &calls::claim_owed(*job, submitter.id()), Wait::InBlock).await?;
        paid = paid.saturating_add(*amount);
    }
    let claimed = Claimed { jobs: owed.iter().map(|(job, _)| *job).collect(), paid: paid.to_string() };
    context.output.print(&claimed, || match owed.as_slice() {
        [] => "Nothing is owed to this account.".to_string(),
        _ => format!("{} that were owed are paid.", money::show(paid)),
    })
}

async fn list(context: &Context, options: &List) -> Result<()> {
    let of = options.of.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
    let mut jobs = context.read(|view| async move { Ok(view.jobs().await?) }).await?;
    if let Some(id) = of {
        jobs.retain(|job| job.customer == id || job.assignment.as_ref().is_some_and(|a| a.provider == id));
    }
    context.output.print(&jobs, || {
        let mut table =
            Table::new(&["job", "state", "theme", "customer", "provider", "price", "milestones paid"]);
        for job in &jobs {
            let provider = job.assignment.as_ref().map_or("-".into(), |a| account::show(&a.provider));
            let price = match &job.assignment {
                Some(assignment) => money::show_short(assignment.price),
                None => format!("at most {}", money::show_short(job.spec.max_price)),
            };
            table.row(vec![
                job.id.to_string(),
                json::state_name(job.state).into(),
                clean_bytes(&job.spec.theme),
                account::show(&job.customer),
                provider,
                price,
                format!("{} of {}", job.paid(), job.spec.milestones.len()),
            ]);
        }
        table.render("There are no jobs. `attune train` orders one.")
    })
}

async fn show(context: &Context, id: JobId) -> Result<()> {
    let read = |view: View| async move {
        let details = Details {
            job: view.job(id).await?.with_context(|| unknown(id))?,
            commitments: view.numbered_commitments(id).await?,
            draws: view.draws(id).await?,
            audits: view.audits(id).await?,
            result: view.result(id).await?,
        };
        Ok((details, view.number()))
    };
    let (details, now) = context.read(read).await?;
    context.output.print(&details, || render(&details, now))
}

fn unknown(id: JobId) -> String {
    format!(
        "there is no job {id} (entries of finished jobs are pruned in time); see `attune jobs list` and \
         `attune records list`"
    )
}

fn render(details: &Details, now: u32) -> String {
    let job = &details.job;
    let mut facts = Facts::new();
    facts.add("job", job.id.to_string());
    facts.add("state", follow::sentence(job));
    if !job.state.is_terminal() {
        let left = job.deadline.saturating_sub(now);
        facts.add("deadline", format!("block {} ({left} blocks left)", job.deadline));
    }
    facts.add("theme", clean_bytes(&job.spec.theme));
    facts.add("customer", account::show(&job.customer));
    if let Some(assignment) = &job.assignment {
        facts.add("provider", account::show(&assignment.provider));
        facts.add("price", money::show(assignment.price));
        facts.add("provider's bond", money::show(assignment.bond));
    }
    facts.add("arithmetic", arithmetic::describe(&job.spec.mode));
    facts.add("held for training", money::show(job.escrow));
    facts.add("held for audits", money::show(job.audit_budget));
    facts.add("specification", json::hex(&job.spec.hash()));
    for (index, milestone) in (0u32..).zip(&job.spec.milestones) {
        let state = match index {
            index if job.is_paid(index) => "verified and paid",
            index if index < job.milestones_committed => "committed, being audited",
            _ => "not committed yet",
        };
        let share = f64::from(milestone.share.deconstruct()) / 10_000.0;
        facts.add(
            format!("milestone {index}"),
            format!("{} segments, {share:.1} % of the price: {state}", milestone.segments),
        );
    }
    let mut text = facts.render();
    if !details.commitments.is_empty() {
        let mut table = Table::new(&["segment", "loss", "held-out loss", "tokens", "state root"]);
        for CommitmentInfo { segment, commitment } in &details.commitments {
            let metrics = &commitment.metrics;
            table.row(vec![
                segment.to_string(),
                records::loss(Some(metrics.train_loss_micro)),
                records::loss(metrics.held_out_loss_micro),
                metrics.tokens.to_string(),
                json::hex(&commitment.state_root),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render(""));
    }
    if !details.audits.is_empty() {
        let mut table = Table::new(&["segment", "stage", "auditor", "answer"]);
        for audit in &details.audits {
            for slot in &audit.slots {
                let answer = match (slot.verdict, slot.commitment, slot.missed) {
                    (Some(verdict), ..) => json::verdict_name(verdict).into(),
                    (None, _, true) => "did not answer".to_string(),
                    (None, Some(_), false) => "committed".into(),
                    (None, None, false) => "drawn".into(),
                };
                let stage = format!("{:?}", audit.stage).to_lowercase();
                table.row(vec![audit.segment.to_string(), stage, account::show(&slot.auditor), answer]);
            }
        }
        text.push('\n');
        text.push_str(&table.render(""));
    }
    text
}

async fn watch(context: &Context, options: Watch) -> Result<()> {
    let signer = account::maybe_signer(&context.profile, &options.signer)?;
    let chain = context.chain().await?;
    let submitter = signer.map(|signer| Submitter::new(chain.clone(), signer)).transpose()?;
    let job = Follower::new(context, chain, options.job, submitter.as_ref())?.follow(Until::End).await?;
    print_end(context, &job).await
}

/// Prints what became of a job that has ended: its record, or an error.
///
/// # Errors
/// If it ended without a result.
pub async fn print_end(context: &Context, job: &JobInfo) -> Result<()> {
    follow::require_result(job)?;
    let record = context.chain().await?.finalized().await?.record(job.id).await?;
    let record = record.with_context(|| format!("job {} is finalized, but has no record", job.id))?;
    context.output.print(&record, || {
        format!(
            "{}\n`attune export {} --out DIR` fetches the adapter.\n",
            records::render(&record.record),
            job.id
        )
    })
}

async fn cancel(context: &Context, options: Cancel) -> Result<()> {
    let submitter = context.submitter(&options.signer).await?;
    let (id, customer) = (options.job, submitter.id());
    let read = |view: View| async move { Ok((view.job(id).await?, view.balance(&customer).await?)) };
    let (job, before) = at_best(submitter.chain(), read).await?;
    let job = job.with_context(|| unknown(id))?;
    if job.customer != submitter.id() {
        bail!("job {} belongs to {}; only its customer can cancel it", job.id, account::show(&job.customer));
    }
    let question = match job.state {
        JobState::Open | JobState::Assigned => format!("Cancel job {}? All of the escrow comes back.", job.id),
        JobState::Running => format!(
            "Cancel job {}, which runs? Verified milestones stay paid, a capped fee goes to the provider, the \
             rest comes back.",
            job.id
        ),
        _ => bail!("job {} is {}; only open, assigned and running jobs can be cancelled", job.id, follow::sentence(&job)),
    };
    if !context.confirm(&question, options.yes)? {
        bail!("not cancelled");
    }
    submit(context.progress, &submitter, &calls::cancel_job(options.job), Wait::InBlock).await?;
    let (job, after) = at_best(submitter.chain(), read).await?;
    let job = job.with_context(|| unknown(options.job))?;
    context.output.print(&job, || {
        format!(
            "Job {} is cancelled; {} are free again.",
            job.id,
            money::show(after.free.saturating_sub(before.free))
        )
    })
}

/// The chain would refuse too, but cannot say how long there is left.
async fn require_passed_deadline(submitter: &Submitter, id: JobId) -> Result<()> {
    let read = |view: View| async move { Ok((view.job(id).await?, view.number())) };
    let (job, now) = at_best(submitter.chain(), read).await?;
    let job = job.with_context(|| unknown(id))?;
    if job.state.is_terminal() {
        bail!("job {id} has ended: {}", follow::sentence(&job));
    }
    if now <= job.deadline {
        bail!("job {id}'s deadline is block {}, now is block {now}; wait for it", job.deadline);
    }
    Ok(())
}
