//! Where a job stands, in words.

use anyhow::{bail, Result};
use attune_chain_client::types::JobInfo;
use attune_primitives::{
    machine::{Failure, JobState, Party, Phase},
    Balance,
};

use crate::{money, narrate};

/// What all providers of a job get for training if the present one finishes it, in planck.
fn training_cost(job: &JobInfo) -> Balance {
    let before = job.tranches.iter().fold(0u128, |sum, tranche| sum.saturating_add(tranche.paid));
    before.saturating_add(job.assignment.as_ref().map_or(0, |assignment| assignment.price))
}

/// Where a job stands, as a sentence.
pub fn sentence(job: &JobInfo) -> String {
    let price = job.assignment.as_ref().map_or(0, |assignment| assignment.price);
    match job.state {
        JobState::Bidding => format!(
            "bidding: until block {} providers bid {} or less, then the lowest bid wins",
            job.deadline,
            money::show(job.escrow)
        ),
        JobState::Open if job.handovers > 0 => format!(
            "handed over ({}): waiting for a provider that goes on from milestone {} for {} or less",
            times(job.handovers),
            job.first_milestone(),
            money::show(job.escrow)
        ),
        JobState::Open => format!("open, waiting for a provider at {} or less", money::show(job.escrow)),
        JobState::Assigned => {
            format!("a provider accepted at {} and waits for the inputs", money::show_short(price))
        }
        JobState::Running if job.handovers > 0 => {
            format!("running, with another provider from milestone {} on", job.first_milestone())
        }
        JobState::Running => "running".into(),
        JobState::Submitted => "trained and submitted; audits finish and the challenge window passes".into(),
        JobState::Disputed(Phase::Cancelling) => {
            "being cancelled, and disputed: an auditor found a mismatch, a committee re-executes the segment"
                .into()
        }
        JobState::Disputed(_) => {
            "disputed: an auditor found a mismatch, a committee re-executes the segment".into()
        }
        JobState::Cancelling => {
            "being cancelled: nothing more is trained; it ends when the audits of what is committed end"
                .into()
        }
        JobState::Finalized => {
            format!("finalized: verified, paid {} and recorded", money::show_short(training_cost(job)))
        }
        JobState::Cancelled => "cancelled by its customer".into(),
        JobState::Expired if job.handovers > 0 => format!(
            "expired: after {} no provider went on in time; what was not paid is back on {} account",
            handovers(job),
            payer(job)
        ),
        JobState::Expired => "expired: no provider accepted in time; all of the escrow is back".into(),
        JobState::Failed(failure) => format!("failed: {}", failure_sentence(job, failure)),
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".into(),
        count => format!("{count} times"),
    }
}

fn handovers(job: &JobInfo) -> String {
    match job.handovers {
        1 => "a handover".into(),
        count => format!("{count} handovers"),
    }
}

/// Whose account the money is on.
fn payer(job: &JobInfo) -> &'static str {
    if job.funder == job.customer {
        "the customer's"
    } else {
        "the sponsor's"
    }
}

fn failure_sentence(job: &JobInfo, failure: Failure) -> String {
    let slashed = match failure.party() {
        Some(Party::Provider) => {
            "a slash of its bond is booked (`attune slashes list` shows when it compensates you)"
        }
        _ => "nobody is slashed",
    };
    let cause = narrate::failure_cause(failure);
    format!("{cause}; {slashed}, and what was not paid is back on {} account", payer(job))
}

/// An error for a job that ended without a result, with what to do about it.
///
/// # Errors
/// Unless the job is finalized.
pub fn require_result(job: &JobInfo) -> Result<()> {
    let fix = match job.state {
        JobState::Finalized => return Ok(()),
        JobState::Expired if job.handovers > 0 => {
            "order it again with a higher --max-price, or when more providers take work (`attune providers list`)"
        }
        JobState::Expired => {
            "raise --max-price (`attune train --dry-run` shows what providers ask), or choose another provider or arithmetic"
        }
        JobState::Failed(Failure::InputsUnusable | Failure::NotStarted) => {
            "order it again and keep `attune train` or `attune jobs watch` running until the inputs are sent"
        }
        _ => "order it again; `attune providers list` shows who else could train",
    };
    bail!("job {} {}; {fix}", job.id, sentence(job))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::{assigned, job};
    use attune_chain_client::{types::PaidTranche, AccountId};
    use money::ATT;

    #[test]
    fn a_handed_over_job_says_where_it_goes_on_and_for_how_much() {
        let mut open = job(JobState::Open);
        assert_eq!(sentence(&open), "open, waiting for a provider at 10 ATT or less");
        (open.handovers, open.milestones_paid, open.escrow) = (2, 1, 6 * ATT);
        let said = sentence(&open);
        assert_eq!(
            said,
            "handed over (2 times): waiting for a provider that goes on from milestone 1 for 6 ATT or less"
        );
        open.state = JobState::Expired;
        let error = require_result(&open).unwrap_err().to_string();
        assert!(error.contains("after 2 handovers no provider went on in time"), "{error}");
    }

    #[test]
    fn the_price_of_a_finished_job_is_what_all_its_providers_got() {
        let mut finished = JobInfo { assignment: assigned(2, 9), ..job(JobState::Finalized) };
        let provider = AccountId::from([1; 32]);
        let paid = 2 * ATT;
        finished.tranches =
            vec![PaidTranche { provider, first_milestone: 0, last_milestone: 0, paid, started_at: 0 }];
        assert_eq!(sentence(&finished), "finalized: verified, paid 6 ATT and recorded");
        assert!(require_result(&finished).is_ok());
    }

    #[test]
    fn a_failed_job_says_whose_money_is_back_and_that_the_slash_waits() {
        let mut failed = job(JobState::Failed(Failure::WrongResult));
        let said = sentence(&failed);
        assert!(
            said.contains("a slash of its bond is booked") && said.contains("the customer's account"),
            "{said}"
        );
        (failed.funder, failed.state) =
            (AccountId::from([8; 32]), JobState::Failed(Failure::AuditsUnfinished));
        let said = sentence(&failed);
        assert!(said.contains("nobody is slashed") && said.contains("the sponsor's account"), "{said}");
    }
}
