//! What happened in a block, typed, as far as those who watch jobs, stakes and records need it.

use attune_primitives::{
    machine::{Failure, JobState},
    proof::{SegmentMetrics, Verdict},
    Balance, BlockNumber, JobId, ModelId, RecordId,
};
use serde::Serialize;
use subxt::{error::EventsError, events::Event};

use crate::{
    api::{
        job_escrow::Event as Escrow, proof_of_training::Event as Proof, provider_staking::Event as Staking,
        Event as Root,
    },
    connection::Config,
    convert,
    error::{decode, request, Result},
    json,
    types::AuditStage,
    AccountId, H256,
};

/// Something that happened. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "fields are those of the pallets' events, which are documented there")]
pub enum ChainEvent {
    /// A provider registered.
    ProviderRegistered {
        provider: AccountId,
        operator: AccountId,
        #[serde(with = "json::balance")]
        self_bond: Balance,
    },
    /// A provider changed its profile.
    ProfileChanged { provider: AccountId },
    /// A delegator added stake.
    Delegated {
        provider: AccountId,
        delegator: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
        #[serde(with = "json::balance")]
        shares: u128,
    },
    /// A delegator's shares moved to unbonding.
    Undelegated {
        provider: AccountId,
        delegator: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
        unlock_at: BlockNumber,
    },
    /// Unbonded stake went back to its owner.
    Withdrawn {
        provider: AccountId,
        owner: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// Income of a job was shared.
    IncomeShared {
        provider: AccountId,
        #[serde(with = "json::balance")]
        to_provider: Balance,
        #[serde(with = "json::balance")]
        to_delegators: Balance,
    },
    /// A delegator got its income.
    IncomeClaimed {
        provider: AccountId,
        delegator: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// A slash was booked; it can be applied from a block on.
    SlashBooked {
        provider: AccountId,
        slash: u64,
        #[serde(with = "json::balance")]
        amount: Balance,
        apply_at: BlockNumber,
    },
    /// A slash was carried out.
    Slashed {
        provider: AccountId,
        slash: u64,
        #[serde(with = "json::balance")]
        compensated: Balance,
        #[serde(with = "json::balance")]
        owed: Balance,
    },
    /// A slash was cancelled by governance.
    SlashCancelled {
        provider: AccountId,
        slash: u64,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// Stake moved to another provider.
    Redelegated {
        from: AccountId,
        to: AccountId,
        delegator: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
        lien_until: BlockNumber,
    },
    /// A job was created.
    JobCreated {
        job: JobId,
        customer: AccountId,
        funder: AccountId,
        #[serde(with = "json::balance")]
        max_price: Balance,
        #[serde(with = "json::balance")]
        audit_budget: Balance,
        deadline: BlockNumber,
    },
    /// A provider bid for a job, or lowered its bid.
    BidPlaced {
        job: JobId,
        provider: AccountId,
        #[serde(with = "json::balance")]
        price: Balance,
    },
    /// An attempt failed, and the job waits for another provider.
    HandedOver {
        job: JobId,
        provider: AccountId,
        #[serde(with = "json::failure")]
        failure: Failure,
        first_milestone: u32,
        #[serde(with = "json::balance")]
        max_price: Balance,
        deadline: BlockNumber,
    },
    /// The funder raised the maximum price or the audit budget.
    ToppedUp {
        job: JobId,
        funder: AccountId,
        #[serde(with = "json::balance")]
        for_training: Balance,
        #[serde(with = "json::balance")]
        for_audits: Balance,
    },
    /// A job went from one state to another.
    JobStateChanged {
        job: JobId,
        #[serde(with = "json::state")]
        from: JobState,
        #[serde(with = "json::state")]
        to: JobState,
        deadline: BlockNumber,
    },
    /// A provider accepted a job.
    JobAssigned {
        job: JobId,
        provider: AccountId,
        #[serde(with = "json::balance")]
        price: Balance,
        #[serde(with = "json::balance")]
        bond: Balance,
    },
    /// A verified milestone was paid.
    MilestonePaid {
        job: JobId,
        milestone: u32,
        provider: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// An auditor was paid.
    AuditorPaid {
        job: JobId,
        auditor: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// The customer cancelled a running job and paid for it.
    CancellationPaid {
        job: JobId,
        provider: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// A payment could not be delivered and can be claimed.
    PaymentOwed {
        job: JobId,
        payee: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// A provider was convicted: a slash of its bond waits for its time.
    BondSlashed {
        job: JobId,
        provider: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// An owed payment was made.
    OwedPaid {
        job: JobId,
        payee: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// Money went back to who pays for the job.
    Refunded {
        job: JobId,
        funder: AccountId,
        #[serde(with = "json::balance")]
        amount: Balance,
    },
    /// A base model was registered.
    ModelRegistered {
        model: ModelId,
        owner: AccountId,
        #[serde(with = "json::hash")]
        artifact: H256,
    },
    /// The provider committed to a segment.
    SegmentCommitted {
        job: JobId,
        segment: u32,
        #[serde(with = "json::hash")]
        state_root: H256,
        #[serde(with = "json::metrics")]
        metrics: SegmentMetrics,
    },
    /// All segments of a milestone are committed.
    MilestoneCommitted { job: JobId, milestone: u32 },
    /// The provider submitted the adapter.
    ResultSubmitted {
        job: JobId,
        #[serde(with = "json::hash")]
        adapter: H256,
        adapter_bytes: u64,
    },
    /// Segments and auditors of a milestone were drawn.
    AuditsDrawn {
        job: JobId,
        milestone: u32,
        segments: Vec<u32>,
        auditors: Vec<(u32, AccountId)>,
        deadline: BlockNumber,
    },
    /// An auditor committed to its verdict.
    VerdictCommitted { job: JobId, segment: u32, auditor: AccountId },
    /// An audit moved on.
    AuditMoved { job: JobId, segment: u32, from: AuditStage, to: AuditStage, deadline: BlockNumber },
    /// The provider opened a trace.
    TraceOpened { job: JobId, segment: u32 },
    /// The provider did not open a trace in time.
    TraceMissed { job: JobId, segment: u32 },
    /// An auditor revealed its verdict.
    VerdictRevealed {
        job: JobId,
        segment: u32,
        auditor: AccountId,
        #[serde(with = "json::plain_verdict")]
        verdict: Verdict,
    },
    /// An auditor did not answer in time.
    AuditorMissed { job: JobId, segment: u32, auditor: AccountId },
    /// Nobody answered; others were drawn.
    AuditorsRedrawn { job: JobId, segment: u32, auditors: Vec<AccountId> },
    /// Nobody can audit.
    AuditorsExhausted { job: JobId, segment: u32 },
    /// An auditor found a mismatch: a committee decides.
    CommitteeDrawn { job: JobId, segment: u32, auditors: Vec<AccountId> },
    /// The votes condemned the provider.
    ProviderCondemned { job: JobId, segment: u32, against: u32, answered: u32 },
    /// The votes upheld the provider.
    ProviderUpheld { job: JobId, segment: u32, against: u32, answered: u32 },
    /// A segment's audit passed.
    AuditPassed { job: JobId, milestone: u32, segment: u32 },
    /// All audits of a milestone passed.
    MilestoneVerified { job: JobId, milestone: u32 },
    /// A job was finalized and recorded.
    RecordCreated { record: RecordId, customer: AccountId, provider: AccountId },
}

impl ChainEvent {
    /// The job that it is about, if it is about one.
    pub fn job(&self) -> Option<JobId> {
        use ChainEvent::*;
        match self {
            ProviderRegistered { .. }
            | ProfileChanged { .. }
            | Delegated { .. }
            | Undelegated { .. }
            | Withdrawn { .. }
            | IncomeShared { .. }
            | IncomeClaimed { .. }
            | SlashBooked { .. }
            | Slashed { .. }
            | SlashCancelled { .. }
            | Redelegated { .. }
            | ModelRegistered { .. } => None,
            RecordCreated { record, .. } => Some(*record),
            JobCreated { job, .. }
            | BidPlaced { job, .. }
            | HandedOver { job, .. }
            | ToppedUp { job, .. }
            | JobStateChanged { job, .. }
            | JobAssigned { job, .. }
            | MilestonePaid { job, .. }
            | AuditorPaid { job, .. }
            | CancellationPaid { job, .. }
            | PaymentOwed { job, .. }
            | BondSlashed { job, .. }
            | OwedPaid { job, .. }
            | Refunded { job, .. }
            | SegmentCommitted { job, .. }
            | MilestoneCommitted { job, .. }
            | ResultSubmitted { job, .. }
            | AuditsDrawn { job, .. }
            | VerdictCommitted { job, .. }
            | AuditMoved { job, .. }
            | TraceOpened { job, .. }
            | TraceMissed { job, .. }
            | VerdictRevealed { job, .. }
            | AuditorMissed { job, .. }
            | AuditorsRedrawn { job, .. }
            | AuditorsExhausted { job, .. }
            | CommitteeDrawn { job, .. }
            | ProviderCondemned { job, .. }
            | ProviderUpheld { job, .. }
            | AuditPassed { job, .. }
            | MilestoneVerified { job, .. } => Some(*job),
        }
    }
}

pub(crate) fn decode_all<'e>(
    events: impl Iterator<Item = std::result::Result<Event<'e, Config>, EventsError>>,
) -> Result<Vec<ChainEvent>> {
    let mut found = Vec::new();
    for event in events {
        let event = event.map_err(request("the events"))?;
        if matches!(event.pallet_name(), "ProviderStaking" | "JobEscrow" | "ProofOfTraining") {
            found.extend(known(event.decode_as::<Root>().map_err(decode("an event"))?));
        }
    }
    Ok(found)
}

fn known(event: Root) -> Option<ChainEvent> {
    match event {
        Root::ProviderStaking(event) => staking(event),
        Root::JobEscrow(event) => escrow(event),
        Root::ProofOfTraining(event) => proof(event),
        _ => None,
    }
}

fn staking(event: Staking) -> Option<ChainEvent> {
    Some(match event {
        Staking::Registered { provider, operator, self_bond, .. } => {
            ChainEvent::ProviderRegistered { provider, operator, self_bond }
        }
        Staking::ProfileChanged { provider } => ChainEvent::ProfileChanged { provider },
        Staking::Delegated { provider, delegator, amount, shares } => {
            ChainEvent::Delegated { provider, delegator, amount, shares }
        }
        Staking::Undelegated { provider, delegator, amount, unlock_at, .. } => {
            ChainEvent::Undelegated { provider, delegator, amount, unlock_at }
        }
        Staking::Withdrawn { provider, owner, amount } => ChainEvent::Withdrawn { provider, owner, amount },
        Staking::IncomeShared { provider, to_provider, to_delegators } => {
            ChainEvent::IncomeShared { provider, to_provider, to_delegators }
        }
        Staking::IncomeClaimed { provider, delegator, amount } => {
            ChainEvent::IncomeClaimed { provider, delegator, amount }
        }
        Staking::SlashBooked { provider, slash, amount, apply_at, .. } => {
            ChainEvent::SlashBooked { provider, slash, amount, apply_at }
        }
        Staking::Slashed { provider, slash, compensated, owed, .. } => {
            ChainEvent::Slashed { provider, slash, compensated, owed }
        }
        Staking::SlashCancelled { provider, slash, amount } => {
            ChainEvent::SlashCancelled { provider, slash, amount }
        }
        Staking::Redelegated { from, to, delegator, amount, lien_until, .. } => {
            ChainEvent::Redelegated { from, to, delegator, amount, lien_until }
        }
        _ => return None,
    })
}

fn escrow(event: Escrow) -> Option<ChainEvent> {
    Some(match event {
        Escrow::JobCreated { job, customer, funder, max_price, audit_budget, deadline, .. } => {
            ChainEvent::JobCreated { job, customer, funder, max_price, audit_budget, deadline }
        }
        Escrow::BidPlaced { job, provider, price } => ChainEvent::BidPlaced { job, provider, price },
        Escrow::HandedOver { job, provider, failure, first_milestone, max_price, deadline, .. } => {
            ChainEvent::HandedOver { job, provider, failure: failure.0, first_milestone, max_price, deadline }
        }
        Escrow::ToppedUp { job, funder, for_training, for_audits } => {
            ChainEvent::ToppedUp { job, funder, for_training, for_audits }
        }
        Escrow::StateChanged { job, from, to, deadline } => {
            ChainEvent::JobStateChanged { job, from: from.0, to: to.0, deadline }
        }
        Escrow::JobAccepted { job, provider, price, bond, .. } => {
            ChainEvent::JobAssigned { job, provider, price, bond }
        }
        Escrow::MilestonePaid { job, milestone, provider, amount } => {
            ChainEvent::MilestonePaid { job, milestone, provider, amount }
        }
        Escrow::AuditorPaid { job, auditor, amount } => ChainEvent::AuditorPaid { job, auditor, amount },
        Escrow::CancellationPaid { job, provider, amount } => {
            ChainEvent::CancellationPaid { job, provider, amount }
        }
        Escrow::PaymentOwed { job, payee, amount } => ChainEvent::PaymentOwed { job, payee, amount },
        Escrow::OwedPaid { job, payee, amount } => ChainEvent::OwedPaid { job, payee, amount },
        Escrow::Refunded { job, funder, amount } => ChainEvent::Refunded { job, funder, amount },
        Escrow::BondSlashed { job, provider, amount } => ChainEvent::BondSlashed { job, provider, amount },
        _ => return None,
    })
}

fn proof(event: Proof) -> Option<ChainEvent> {
    Some(match event {
        Proof::ModelRegistered { model, owner, artifact } => {
            ChainEvent::ModelRegistered { model, owner, artifact }
        }
        Proof::SegmentCommitted { job, segment, state_root, metrics } => {
            ChainEvent::SegmentCommitted { job, segment, state_root, metrics: metrics.0 }
        }
        Proof::MilestoneCommitted { job, milestone } => ChainEvent::MilestoneCommitted { job, milestone },
        Proof::ResultSubmitted { job, adapter, adapter_bytes } => {
            ChainEvent::ResultSubmitted { job, adapter, adapter_bytes }
        }
        Proof::AuditsDrawn { job, milestone, segments, auditors, deadline } => {
            ChainEvent::AuditsDrawn { job, milestone, segments, auditors, deadline }
        }
        Proof::VerdictCommitted { job, segment, auditor, .. } => {
            ChainEvent::VerdictCommitted { job, segment, auditor }
        }
        Proof::AuditMoved { job, segment, from, to, deadline } => ChainEvent::AuditMoved {
            job,
            segment,
            from: convert::stage(&from),
            to: convert::stage(&to),
            deadline,
        },
        Proof::TraceOpened { job, segment, .. } => ChainEvent::TraceOpened { job, segment },
        Proof::TraceMissed { job, segment } => ChainEvent::TraceMissed { job, segment },
        Proof::VerdictRevealed { job, segment, auditor, verdict } => {
            ChainEvent::VerdictRevealed { job, segment, auditor, verdict: verdict.0 }
        }
        Proof::AuditorMissed { job, segment, auditor } => ChainEvent::AuditorMissed { job, segment, auditor },
        Proof::AuditorsRedrawn { job, segment, auditors, .. } => {
            ChainEvent::AuditorsRedrawn { job, segment, auditors }
        }
        Proof::AuditorsExhausted { job, segment } => ChainEvent::AuditorsExhausted { job, segment },
        Proof::CommitteeDrawn { job, segment, auditors } => {
            ChainEvent::CommitteeDrawn { job, segment, auditors }
        }
        Proof::ProviderCondemned { job, segment, against, answered } => {
            ChainEvent::ProviderCondemned { job, segment, against, answered }
        }
        Proof::ProviderUpheld { job, segment, against, answered } => {
            ChainEvent::ProviderUpheld { job, segment, against, answered }
        }
        Proof::AuditPassed { job, milestone, segment } => ChainEvent::AuditPassed { job, milestone, segment },
        Proof::MilestoneVerified { job, milestone } => ChainEvent::MilestoneVerified { job, milestone },
        Proof::RecordCreated { record, customer, provider } => {
            ChainEvent::RecordCreated { record, customer, provider }
        }
        _ => return None,
    })
}
