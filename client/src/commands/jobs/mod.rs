//! `attune jobs`: what was ordered, and what became of it.

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{calls, json, types::JobInfo, AccountId, Submitter, View};
use attune_primitives::JobId;
use clap::{Args, Subcommand};

use super::{records, send};
use crate::{
    account::{self, MaybeSigner, SignerOptions},
    context::{at_best, Context},
    follow::{self, Follower, Until},
    money,
    output::{clean_bytes, Table},
};

mod funds;
mod show;

/// `attune jobs …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List jobs
    List(List),
    /// Show one job: price, milestones, commitments, audits
    Show(Of),
    /// Follow a job until it ends; with the customer's key it also sends the inputs that a provider waits for
    Watch(Watch),
    /// Show who bids for a job in its bidding window
    Bids(Of),
    /// Call a job off; a running one costs a capped fee, and one under audit ends with its audits
    Cancel(funds::Cancel),
    /// Hold more money for a job: for training while it waits for a provider, for audits at any time
    TopUp(funds::TopUp),
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
    /// Only those that this account ordered, pays for, or trains (or trained before a handover)
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

/// Runs `attune jobs …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List(options) => list(context, &options).await,
        Command::Show(options) => show::show(context, options.job).await,
        Command::Bids(options) => show::bids(context, options.job).await,
        Command::Watch(options) => watch(context, options).await,
        Command::Cancel(options) => funds::cancel(context, options).await,
        Command::TopUp(options) => funds::top_up(context, options).await,
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
            funds::claim(context, &submitter).await
        }
    }
}

async fn list(context: &Context, options: &List) -> Result<()> {
    let of = options.of.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
    let mut jobs = context.read(|view| async move { Ok(view.jobs().await?) }).await?;
    if let Some(id) = of {
        jobs.retain(|job| concerns(job, &id));
    }
    context.output.print(&jobs, || {
        let mut table = Table::new(&[
            "job",
            "state",
            "theme",
            "customer",
            "paid by",
            "provider",
            "price",
            "milestones paid",
        ]);
        for job in &jobs {
            let provider = job.assignment.as_ref().map_or("-".into(), |a| account::show(&a.provider));
            let price = match &job.assignment {
                Some(assignment) => money::show_short(assignment.price),
                None => format!("at most {}", money::show_short(job.escrow)),
            };
            table.row(vec![
                job.id.to_string(),
                match job.handovers {
                    0 => json::state_name(job.state).into(),
                    count => format!("{} ({count} handed over)", json::state_name(job.state)),
                },
                clean_bytes(&job.spec.theme),
                account::show(&job.customer),
                if job.funder == job.customer { "itself".into() } else { account::show(&job.funder) },
                provider,
                price,
                format!("{} of {}", job.milestones_paid, job.spec.milestones.len()),
            ]);
        }
        table.render("There are no jobs. `attune train` orders one.")
    })
}

/// True if the account ordered the job, pays for it, trains it, or trained a part of it.
fn concerns(job: &JobInfo, account: &AccountId) -> bool {
    let trains = job.assignment.as_ref().is_some_and(|assignment| assignment.provider == *account);
    let trained = job.tranches.iter().any(|tranche| tranche.provider == *account);
    job.customer == *account || job.funder == *account || trains || trained || job.excluded.contains(account)
}

fn unknown(id: JobId) -> String {
    format!(
        "there is no job {id} (entries of finished jobs are pruned in time); see `attune jobs list` and \
         `attune records list`"
    )
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
