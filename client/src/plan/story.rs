//! What happens with the money of a job, told before it is held.

use super::Plan;
use crate::{account, money};

/// The money of a plan, in the words in which the customer is asked.
pub fn money_story(plan: &Plan) -> String {
    let spec = &plan.spec;
    let milestones = spec.milestones.len();
    let (whose, on) = match &plan.sponsor {
        Some(sponsor) => (
            "your sponsor's".to_string(),
            format!("{}'s account, who pays for you; you pay this order's fee", account::show(sponsor)),
        ),
        None => ("your".to_string(), "your own account".to_string()),
    };
    let choice = match spec.timing.bidding_blocks {
        0 => "the first provider at or under the maximum gets the job".to_string(),
        blocks => format!("providers bid for {blocks} blocks, and the lowest bid gets the job"),
    };
    let handover = match plan.max_handovers {
        0 => "you chose the provider: if it fails, the job ends, and what is not paid comes back".to_string(),
        most => format!(
            "if a provider fails, another one goes on after the last paid milestone, at most {most} times, for what is \
             still held\n           and never more; this program (or `attune jobs watch`) sends it the inputs again"
        ),
    };
    format!(
        "What happens with the money:\n  \
         now      {} for training (at most), {} for audits and {} deposit are held on {on}\n  \
         then     {choice}; what it asks below the maximum is free again at once\n  \
         paid     per milestone, {milestones} of them, each only after {} auditor(s) re-executed \
         {} drawn segment(s) of it\n  \
         audits   {} per answered audit; what is not used comes back at the end\n  \
         failure  {handover}\n  \
         back     everything that is not paid, if no provider accepts or goes on, to {whose} account; a cheat also loses \
         its bond\n  \
         deposit  comes back when the finished job's entry is pruned (`attune jobs prune`)",
        money::show(spec.max_price),
        money::show(plan.audit_budget),
        money::show(plan.deposit),
        spec.assurance.auditors,
        spec.assurance.samples,
        money::show(spec.audit_fee),
    )
}
