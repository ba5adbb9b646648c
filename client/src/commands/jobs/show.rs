//! One job in all its parts.

use anyhow::{Context as _, Result};
use attune_chain_client::{
    json,
    types::{AuditInfo, BidInfo, CommitmentInfo, DrawInfo, JobInfo, ResultInfo},
    View,
};
use attune_primitives::{machine::JobState, BlockNumber, JobId};
use serde::Serialize;

use super::unknown;
use crate::{
    account, arithmetic,
    commands::records,
    context::Context,
    follow, money,
    output::{clean_bytes, Facts, Table},
};

#[derive(Serialize)]
struct Details {
    job: JobInfo,
    commitments: Vec<CommitmentInfo>,
    draws: Vec<DrawInfo>,
    audits: Vec<AuditInfo>,
    result: Option<ResultInfo>,
    /// Bids of the bidding window, the lowest first.
    bids: Vec<BidInfo>,
}

/// Shows a job.
pub(super) async fn show(context: &Context, id: JobId) -> Result<()> {
    let read = |view: View| async move {
        let details = Details {
            job: view.job(id).await?.with_context(|| unknown(id))?,
            commitments: view.numbered_commitments(id).await?,
            draws: view.draws(id).await?,
            audits: view.audits(id).await?,
            result: view.result(id).await?,
            bids: view.bids(id).await?,
        };
        Ok((details, view.number()))
    };
    let (details, now) = context.read(read).await?;
    context.output.print(&details, || render(&details, now))
}

/// Shows the bids for a job.
pub(super) async fn bids(context: &Context, id: JobId) -> Result<()> {
    let read = |view: View| async move {
        Ok((view.job(id).await?.with_context(|| unknown(id))?, view.bids(id).await?, view.number()))
    };
    let (job, bids, now) = context.read(read).await?;
    context.output.print(&bids, || render_bids(&job, &bids, now))
}

fn render_bids(job: &JobInfo, bids: &[BidInfo], now: BlockNumber) -> String {
    match job.state {
        JobState::Bidding => format!(
            "{}\n{} blocks are left; the larger stake wins among equal bids.\n",
            bid_table(bids),
            job.deadline.saturating_sub(now)
        ),
        _ => format!(
            "Job {} takes no bids, it is {}. `attune train --bidding-blocks N` orders a job with a bidding window.",
            job.id,
            follow::sentence(job)
        ),
    }
}

fn bid_table(bids: &[BidInfo]) -> String {
    let mut table = Table::new(&["bidder", "asks"]);
    for bid in bids {
        table.row(vec![account::show(&bid.provider), money::show(bid.price)]);
    }
    table.render("Nobody has bid yet.\n")
}

fn render(details: &Details, now: BlockNumber) -> String {
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
    let funder = match job.funder == job.customer {
        true => "the customer".to_string(),
        false => format!("{}, its sponsor", account::show(&job.funder)),
    };
    facts.add("paid by", funder);
    if let Some(assignment) = &job.assignment {
        facts.add("provider", account::show(&assignment.provider));
        facts.add("price", money::show(assignment.price));
        facts.add("provider's bond", money::show(assignment.bond));
    }
    if job.handovers > 0 {
        facts.add("handed over", format!("{} time(s)", job.handovers));
    }
    for tranche in &job.tranches {
        facts.add(
            "trained before",
            format!(
                "milestones {} to {} by {}, paid {}",
                tranche.first_milestone,
                tranche.last_milestone,
                account::show(&tranche.provider),
                money::show(tranche.paid)
            ),
        );
    }
    for provider in &job.excluded {
        facts.add("may not take it", account::show(provider));
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
    if job.state == JobState::Bidding {
        text.push('\n');
        text.push_str(&bid_table(&details.bids));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::job;
    use attune_chain_client::{types::PaidTranche, AccountId};
    use money::ATT;

    fn details(job: JobInfo) -> Details {
        Details { job, commitments: vec![], draws: vec![], audits: vec![], result: None, bids: vec![] }
    }

    #[test]
    fn a_job_shows_who_bids_and_how_long() {
        let mut details = details(job(JobState::Bidding));
        assert!(render(&details, 1).contains("Nobody has bid yet"));
        details.bids = vec![BidInfo { provider: AccountId::from([5; 32]), price: 3 * ATT }];
        let shown = render(&details, 1);
        assert!(shown.contains("3 ATT") && shown.contains(&AccountId::from([5; 32]).to_string()), "{shown}");
        assert!(
            render_bids(&details.job, &details.bids, details.job.deadline - 4).contains("4 blocks are left")
        );
        assert!(render_bids(&job(JobState::Running), &[], 1).contains("takes no bids"));
    }

    #[test]
    fn a_handed_over_job_shows_who_trained_before_and_who_pays() {
        let mut job = job(JobState::Open);
        let (before, sponsor) = (AccountId::from([6; 32]), AccountId::from([7; 32]));
        (job.handovers, job.milestones_paid, job.funder) = (1, 1, sponsor);
        job.excluded = vec![before];
        job.tranches = vec![PaidTranche {
            provider: before,
            first_milestone: 0,
            last_milestone: 0,
            paid: 2 * ATT,
            started_at: 0,
        }];
        let shown = render(&details(job), 1);
        assert!(shown.contains(&format!("milestones 0 to 0 by {before}, paid 2 ATT")), "{shown}");
        assert!(shown.contains(&format!("{sponsor}, its sponsor")), "{shown}");
        assert!(shown.contains("goes on from milestone 1"), "{shown}");
    }
}
