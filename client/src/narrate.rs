//! What happened to a job, as sentences for people. What only machines care about is left out.

use attune_chain_client::{json, types::AuditStage, AccountId, ChainEvent};
use attune_primitives::machine::Failure;

use crate::{account, commands::records::loss, money};

/// An event as a sentence; `None` for what another event of the same block says better.
pub fn sentence(event: &ChainEvent) -> Option<String> {
    use ChainEvent::*;
    Some(match event {
        JobAssigned { provider, price, bond, .. } => format!(
            "{} accepted at {} and put up a bond of {}",
            account::show(provider),
            money::show_short(*price),
            money::show_short(*bond)
        ),
        SegmentCommitted { segment, metrics, .. } => {
            let held_out = match metrics.held_out_loss_micro {
                Some(micro) => format!(", held-out loss {}", loss(Some(micro))),
                None => String::new(),
            };
            format!("segment {segment} committed: loss {}{held_out}", loss(Some(metrics.train_loss_micro)))
        }
        ResultSubmitted { adapter_bytes, .. } => format!("the adapter is named ({adapter_bytes} bytes)"),
        AuditsDrawn { milestone, segments, auditors, .. } => format!(
            "milestone {milestone}: segment {} drawn, to be re-executed by {}",
            join(segments.iter().map(u32::to_string)),
            join(auditors.iter().map(|(_, auditor)| account::show(auditor)))
        ),
        VerdictCommitted { segment, auditor, .. } => {
            format!("segment {segment}: {} re-executed it and committed to a verdict", account::show(auditor))
        }
        TraceOpened { segment, .. } => format!("segment {segment}: the provider opened its trace"),
        TraceMissed { segment, .. } => {
            format!("segment {segment}: the provider did not open its trace in time")
        }
        VerdictRevealed { segment, auditor, verdict, .. } => {
            format!("segment {segment}: {} says {}", account::show(auditor), json::verdict_name(*verdict))
        }
        AuditorMissed { segment, auditor, .. } => {
            format!("segment {segment}: {} did not answer in time", account::show(auditor))
        }
        AuditorsRedrawn { segment, auditors, .. } => {
            format!("segment {segment}: drawn anew: {}", accounts(auditors))
        }
        AuditorsExhausted { segment, .. } => {
            format!("segment {segment}: nobody is left who could re-execute it")
        }
        CommitteeDrawn { segment, auditors, .. } if auditors.is_empty() => {
            format!("segment {segment}: a mismatch, and nobody is left for a committee; those who answered decide")
        }
        CommitteeDrawn { segment, auditors, .. } => {
            format!("segment {segment}: a mismatch; a committee re-executes it: {}", accounts(auditors))
        }
        ProviderCondemned { segment, against, answered, .. } => {
            format!(
                "segment {segment}: {against} of {answered} found another result; the provider is condemned"
            )
        }
        ProviderUpheld { segment, against, answered, .. } => {
            format!("segment {segment}: only {against} of {answered} found another result; the provider is upheld")
        }
        AuditPassed { segment, .. } => format!("segment {segment}: audit passed"),
        MilestonePaid { milestone, provider, amount, .. } => {
            format!(
                "milestone {milestone} verified: {} paid to {}",
                money::show_short(*amount),
                account::show(provider)
            )
        }
        AuditorPaid { auditor, amount, .. } => {
            format!("{} paid to {} for its audit", money::show_short(*amount), account::show(auditor))
        }
        CancellationPaid { provider, amount, .. } => {
            format!("cancellation: {} paid to {}", money::show_short(*amount), account::show(provider))
        }
        PaymentOwed { payee, amount, .. } => {
            format!(
                "{} could not be paid to {} and can be claimed",
                money::show_short(*amount),
                account::show(payee)
            )
        }
        BondSlashed { provider, amount, .. } => format!(
            "{} is to lose {} of its bond: the slash is booked, waits in case it was a mistake, and then compensates \
             who paid for the job",
            account::show(provider),
            money::show_short(*amount)
        ),
        BidPlaced { provider, price, .. } => {
            format!("{} bids {}", account::show(provider), money::show_short(*price))
        }
        HandedOver { provider, failure, first_milestone, max_price, .. } => format!(
            "handed over: {}, so {} no longer has the job. Paid milestones stay; another provider goes on from \
             milestone {first_milestone} for at most {}",
            failure_cause(*failure),
            account::show(provider),
            money::show_short(*max_price)
        ),
        ToppedUp { for_training, for_audits, .. } => format!(
            "topped up: {} for training, {} for audits",
            money::show_short(*for_training),
            money::show_short(*for_audits)
        ),
        Refunded { funder, amount, .. } if *amount > 0 => {
            format!("{} that were held are free again for {}", money::show_short(*amount), account::show(funder))
        }
        OwedPaid { payee, amount, .. } => {
            format!("{} that were owed are paid to {}", money::show_short(*amount), account::show(payee))
        }
        RecordCreated { record, .. } => format!("training record {record} is on chain"),
        AuditMoved { segment, to: AuditStage::Opening, .. } => {
            format!("segment {segment}: all verdicts are committed, the provider's turn to open its trace")
        }
        _ => return None,
    })
}

/// What ended an attempt at a job, as half a sentence.
pub fn failure_cause(failure: Failure) -> &'static str {
    match failure {
        Failure::NotStarted => "the provider did not start in time (it vanished, or the inputs never came)",
        Failure::InputsUnusable => {
            "the provider declined: the inputs never came or don't fit the specification"
        }
        Failure::MissedMilestone => "the provider missed the deadline of a milestone",
        Failure::TraceNotOpened => "the provider did not open its trace to the auditors in time",
        Failure::WrongResult => "a committee found that the provider's result is not what training gives",
        Failure::NoAuditors => "no auditor re-executed a drawn segment",
        Failure::AuditsUnfinished => "audits or a dispute did not end in time",
    }
}

fn accounts(list: &[AccountId]) -> String {
    join(list.iter().map(account::show))
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_primitives::proof::Verdict;

    #[test]
    fn an_event_reads_as_a_sentence() {
        let auditor = attune_chain_client::Account::dev("//Provider2").unwrap().id();
        let revealed = ChainEvent::VerdictRevealed { job: 1, segment: 4, auditor, verdict: Verdict::Match };
        assert_eq!(sentence(&revealed).as_deref(), Some("segment 4: //Provider2 says match"));
        assert_eq!(sentence(&ChainEvent::MilestoneCommitted { job: 1, milestone: 0 }), None);
    }

    #[test]
    fn a_handover_says_why_who_and_what_comes_next() {
        let provider = attune_chain_client::Account::dev("//Provider2").unwrap().id();
        let handed_over = ChainEvent::HandedOver {
            job: 1,
            provider,
            failure: Failure::MissedMilestone,
            first_milestone: 1,
            max_price: 5 * money::ATT,
            deadline: 90,
        };
        assert_eq!(
            sentence(&handed_over).as_deref(),
            Some(
                "handed over: the provider missed the deadline of a milestone, so //Provider2 no longer has the job. \
                 Paid milestones stay; another provider goes on from milestone 1 for at most 5 ATT"
            )
        );
    }
}
