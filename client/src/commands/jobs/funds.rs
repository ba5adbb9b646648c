//! What moves a job's money from outside: calling it off, adding to it, taking what it owes.

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{calls, types::JobInfo, Call, Submitter, View};
use attune_primitives::{machine::JobState, Balance, JobId};
use clap::{ArgGroup, Args};
use serde::Serialize;

use super::unknown;
use crate::{
    account::{self, SignerOptions},
    commands::{send, submit, submit_all},
    context::{at_best, Context},
    follow, money,
};

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

/// Options of `jobs top-up`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("sums").args(["training", "audits"]).required(true).multiple(true)))]
pub struct TopUp {
    /// The job's number
    job: JobId,
    /// Added to the most that a provider may ask, in ATT; only while the job waits for a provider
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    training: Option<Balance>,
    /// Added to what is held for audits, in ATT; as long as the job lives
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    audits: Option<Balance>,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    signer: SignerOptions,
}

#[derive(Serialize)]
struct Claimed {
    jobs: Vec<JobId>,
    /// In planck.
    paid: String,
}

/// Calls a job off.
pub(super) async fn cancel(context: &Context, options: Cancel) -> Result<()> {
    let submitter = context.submitter(&options.signer).await?;
    let id = options.job;
    let read = |view: View| async move { view.job(id).await?.with_context(|| unknown(id)) };
    let job = at_best(submitter.chain(), read).await?;
    if job.customer != submitter.id() {
        bail!("job {} belongs to {}; only its customer can cancel it", job.id, account::show(&job.customer));
    }
    if !context.confirm(&cancel_question(&job)?, options.yes)? {
        bail!("not cancelled");
    }
    submit(context.progress, &submitter, &calls::cancel_job(id)).await?;
    let after = at_best(submitter.chain(), read).await?;
    context.output.print(&after, || cancelled(&after, freed(&job, &after)))
}

/// What cancelling costs and when it is over, as a question.
fn cancel_question(job: &JobInfo) -> Result<String> {
    let id = job.id;
    let to = if job.funder == job.customer { "comes back" } else { "goes back to the sponsor" };
    Ok(match job.state {
        JobState::Bidding | JobState::Open | JobState::Assigned if job.milestones_paid == 0 => {
            format!("Cancel job {id}? All of the escrow {to}.")
        }
        JobState::Bidding | JobState::Open | JobState::Assigned => {
            format!("Cancel job {id}? Verified milestones stay paid, all that is still held {to}.")
        }
        JobState::Running if job.milestones_committed > job.milestones_paid => format!(
            "Cancel job {id}, which runs, with a milestone under audit? Nothing more is trained; it is cancelled when \
             those audits end, and what they verify is paid. Then a capped fee goes to the provider, and the rest {to}."
        ),
        JobState::Running => format!(
            "Cancel job {id}, which runs? Verified milestones stay paid, a capped fee goes to the provider, the \
             rest {to}."
        ),
        JobState::Cancelling => bail!(
            "job {id} is being cancelled already; it ends with the audits of what is committed, at the latest after \
             block {}",
            job.deadline
        ),
        _ => bail!(
            "job {id} is {}; only jobs that wait for a provider, are assigned or run can be cancelled",
            follow::sentence(job)
        ),
    })
}

/// What the job held and holds no more, but for what it paid meanwhile. The deposit is held until it is pruned.
fn freed(before: &JobInfo, after: &JobInfo) -> Balance {
    let held = |job: &JobInfo| job.escrow.saturating_add(job.audit_budget);
    let paid = after.spent.saturating_sub(before.spent);
    held(before).saturating_sub(held(after)).saturating_sub(paid)
}

fn cancelled(job: &JobInfo, freed: Balance) -> String {
    match job.state {
        JobState::Cancelling => format!(
            "Job {} is being cancelled: nothing more is trained. It ends when the audits of its committed milestones end, \
             at the latest after block {}; `attune jobs watch {}` follows it.",
            job.id, job.deadline, job.id
        ),
        _ => format!("Job {} is cancelled; {} are free again.", job.id, money::show(freed)),
    }
}

/// Adds to a job's money.
pub(super) async fn top_up(context: &Context, options: TopUp) -> Result<()> {
    let submitter = context.submitter(&options.signer).await?;
    let (id, signer) = (options.job, submitter.id());
    let (training, audits) = (options.training.unwrap_or(0), options.audits.unwrap_or(0));
    let read = |view: View| async move {
        Ok((view.job(id).await?.with_context(|| unknown(id))?, view.balance(&signer).await?.free))
    };
    let (job, free) = at_best(submitter.chain(), read).await?;
    if job.funder != signer {
        bail!("{} pays for job {id}, and only that account can add to it", account::show(&job.funder));
    }
    if job.state.is_terminal() {
        bail!("job {id} has ended: {}", follow::sentence(&job));
    }
    if training > 0 && !job.state.awaits_provider() {
        bail!(
            "a provider has job {id}, so its price stands; leave --training out, only --audits can be added to while it is {}",
            attune_chain_client::json::state_name(job.state)
        );
    }
    let sum = training.checked_add(audits).context("the amounts are too large to add up; lower them")?;
    if sum > free {
        bail!("that takes {}, but {} are free on the account; add less", money::show(sum), money::show(free));
    }
    let question = format!(
        "Hold {} more for job {id}: {} for training (then at most {}), {} for audits (then {})?",
        money::show(sum),
        money::show(training),
        money::show(job.escrow.saturating_add(training)),
        money::show(audits),
        money::show(job.audit_budget.saturating_add(audits))
    );
    if !context.confirm(&question, options.yes)? {
        bail!("nothing was added");
    }
    let done = format!(
        "Job {id} holds {} more: {} for training, {} for audits. What is not spent comes back.",
        money::show(sum),
        money::show(training),
        money::show(audits)
    );
    send(context, &submitter, &calls::top_up(id, training, audits), done).await
}

/// Claims what settlement owes the signer, job by job.
pub(super) async fn claim(context: &Context, submitter: &Submitter) -> Result<()> {
    let id = submitter.id();
    let owed = at_best(submitter.chain(), |view| async move { Ok(view.owed(&id).await?) }).await?;
    let claims: Vec<Call> = owed.iter().map(|(job, _)| calls::claim_owed(*job, id)).collect();
    submit_all(context.progress, submitter, &claims).await?;
    let paid = owed.iter().fold(0, |sum: Balance, (_, amount)| sum.saturating_add(*amount));
    let claimed = Claimed { jobs: owed.iter().map(|(job, _)| *job).collect(), paid: paid.to_string() };
    context.output.print(&claimed, || match owed.as_slice() {
        [] => "Nothing is owed to this account. (Compensation out of slashes: `attune slashes claim`.)"
            .to_string(),
        _ => format!("{} that were owed are paid.", money::show(paid)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::job;

    #[test]
    fn cancelling_says_what_it_costs_and_when_it_ends() {
        let mut job = job(JobState::Open);
        assert!(cancel_question(&job).unwrap().contains("All of the escrow comes back"));
        job.funder = attune_chain_client::AccountId::from([9; 32]);
        assert!(cancel_question(&job).unwrap().contains("goes back to the sponsor"));
        (job.state, job.milestones_committed) = (JobState::Running, 1);
        assert!(cancel_question(&job).unwrap().contains("cancelled when those audits end"));
        job.milestones_paid = 1;
        assert!(cancel_question(&job).unwrap().contains("a capped fee"));
        job.state = JobState::Cancelling;
        assert!(cancel_question(&job).unwrap_err().to_string().contains("being cancelled already"));
        assert!(cancelled(&job, 0).contains("is being cancelled"));
        job.state = JobState::Submitted;
        assert!(cancel_question(&job).unwrap_err().to_string().contains("only jobs that wait"));
        job.state = JobState::Cancelled;
        assert!(cancelled(&job, money::ATT).contains("1 ATT are free again"));
    }
}
