//! What happened to a job, as sentences for people. What only machines care about is left out.

use attune_chain_client::{json, types::AuditStage, AccountId, ChainEvent};

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
        BondSlashed { provider, taken, compensated, burned, .. } => format!(
            "{} loses {} of its bond: {} to the customer, {} burned",
            account::show(provider),
            money::show_short(*taken),
            money::show_short(*compensated),
            money::show_short(*burned)
        ),
        Refunded { amount, .. } if *amount > 0 => {
            format!("{} of the escrow are back on the customer's account", money::show_short(*amount))
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
}
