//! From subxt's generated types to ours. Types of `attune_primitives` need no conversion: the generated code uses them
//! as they are (`substitute_type` in [`crate::api`]); here is what the pallets define themselves.

use attune_primitives::{BlockNumber, JobId, ModelId};

use crate::{
    api::runtime_types::{
        attune_primitives::traits::Assignment,
        attune_runtime::page_api::types::AccountOverview,
        pallet_job_escrow::types::{Bid, Job, Sponsorship},
        pallet_proof_of_training::types::{Audit, Draw, Model, Round, Slot, Stage, TrainingResult},
        pallet_provider_staking::types::{
            Bucket, Cause, Delegation, PendingSlash, Pool, Provider, Status, UnbondingChunk,
        },
    },
    json::text,
    types::{
        AssignmentInfo, AuditInfo, AuditStage, BidInfo, BucketInfo, DelegationInfo, DrawInfo, JobInfo,
        LienInfo, ModelInfo, PendingSlashInfo, PoolInfo, ProviderInfo, Reputation, ResultInfo, SlotInfo,
        SponsorshipInfo, StakesInfo, UnbondingInfo,
    },
    AccountId,
};

/// Unit of a pool's income per share.
const INCOME_SCALE: u128 = 1_000_000_000_000_000_000_000_000;
/// Shares and balance that nobody owns and that set the first price of a share.
const VIRTUAL_SHARES: u128 = 1_000;
const VIRTUAL_BALANCE: u128 = 1;

pub(crate) fn job(id: JobId, job: Job<AccountId>) -> JobInfo {
    JobInfo {
        id,
        customer: job.customer,
        funder: job.funder,
        spec: job.spec.0,
        state: job.state.0,
        deadline: job.deadline,
        assignment: job.assignment.map(assignment),
        escrow: job.escrow,
        audit_budget: job.audit_budget,
        spent: job.spent,
        deposit: job.deposit,
        milestones_paid: job.milestones_paid,
        milestones_committed: job.milestones_committed,
        handovers: job.handovers,
        excluded: job.excluded.0,
        tranches: job.tranches.0.into_iter().map(|tranche| tranche.0).collect(),
        requested_at: job.requested_at,
        closed_at: job.closed_at,
    }
}

fn assignment(found: Assignment<AccountId>) -> AssignmentInfo {
    AssignmentInfo {
        provider: found.provider,
        first_milestone: found.first_milestone,
        price: found.price,
        commission_ppm: found.commission.0,
        hardware: found.hardware.0,
        price_per_gpu_hour: found.price_per_gpu_hour,
        bond: found.bond,
        assigned_at: found.assigned_at,
        started_at: found.started_at,
    }
}

/// `now` decides whether a queued rise of the commission has come into force: the chain books it when it next looks.
pub(crate) fn provider(
    account: AccountId,
    found: Provider<AccountId>,
    pool: PoolInfo,
    now: BlockNumber,
) -> ProviderInfo {
    let done = found.reputation;
    let (due, queued) = match found.rise {
        Some(rise) if rise.from_block <= now => (Some(rise.to.0), None),
        Some(rise) => (None, Some((rise.to.0, rise.from_block))),
        None => (None, None),
    };
    ProviderInfo {
        account,
        profile: found.profile.0,
        commission_ppm: due.unwrap_or(found.commission.0),
        commission_rise: queued,
        operator: found.operator,
        active: matches!(found.status, Status::Active),
        chilled: matches!(found.status, Status::Chilled),
        reputation: Reputation {
            jobs_finished: done.jobs_finished,
            jobs_failed: done.jobs_failed,
            audits_answered: done.audits_answered,
            audits_missed: done.audits_missed,
            audits_overruled: done.audits_overruled,
            heartbeats_answered: done.heartbeats_answered,
            heartbeats_missed: done.heartbeats_missed,
        },
        absent_since: found.presence.absent_since,
        registered_at: found.registered_at,
        pool,
    }
}

fn bucket(found: &Bucket) -> BucketInfo {
    BucketInfo { balance: found.balance, shares: found.shares }
}

pub(crate) fn pool(found: Pool) -> PoolInfo {
    PoolInfo {
        self_bond: found.self_bond,
        active: bucket(&found.active),
        unbonding: bucket(&found.unbonding),
        locked: found.locked,
        pending_slashes: found.pending_slashes,
        delegators: found.delegators,
        income_per_share: found.income_per_share,
        reserved_income: found.reserved_income,
    }
}

pub(crate) fn delegation(
    provider: AccountId,
    delegator: AccountId,
    found: Delegation<AccountId>,
    pool: &PoolInfo,
) -> DelegationInfo {
    let grown = pool.income_per_share.saturating_sub(found.income_checkpoint);
    DelegationInfo {
        provider,
        delegator,
        shares: found.shares,
        worth: worth(&pool.active, found.shares),
        claimable: scaled(found.shares, grown, INCOME_SCALE),
        auto_compound: found.auto_compound,
        lien: found.lien.map(|lien| LienInfo { from: lien.from, amount: lien.amount, until: lien.until }),
    }
}

pub(crate) fn pending_slash(
    provider: AccountId,
    slash: u64,
    found: &PendingSlash<AccountId>,
) -> PendingSlashInfo {
    let job = match found.cause {
        Cause::Job(job) => Some(job),
        Cause::Offence => None,
    };
    PendingSlashInfo { provider, slash, job, amount: found.amount, apply_at: found.apply_at }
}

pub(crate) fn sponsorship(sponsor: AccountId, customer: AccountId, found: &Sponsorship) -> SponsorshipInfo {
    SponsorshipInfo {
        sponsor,
        customer,
        limit: found.limit,
        used: found.used,
        per_job: found.per_job,
        expires_at: found.expires_at,
    }
}

pub(crate) fn bid(found: &Bid<AccountId>) -> BidInfo {
    BidInfo { provider: found.provider, price: found.price }
}

pub(crate) fn unbonding(
    provider: AccountId,
    owner: AccountId,
    found: &UnbondingChunk,
    pool: &PoolInfo,
) -> UnbondingInfo {
    UnbondingInfo { provider, owner, worth: worth(&pool.unbonding, found.shares), unlock_at: found.unlock_at }
}

pub(crate) fn stakes(account: AccountId, found: AccountOverview) -> StakesInfo {
    let mut stakes = StakesInfo::default();
    // A provider's pool is its own, whether or not something of it is on its way out.
    let own = found.provider.map(|_| account);
    stakes.pools = found.stakes.iter().map(|stake| stake.provider).chain(own).collect();
    stakes.pools.sort();
    stakes.pools.dedup();
    for stake in found.stakes {
        let provider = stake.provider;
        stakes.delegations.extend(stake.delegation.map(|found| DelegationInfo {
            provider,
            delegator: account,
            shares: found.shares,
            worth: found.worth,
            claimable: found.pending_income,
            auto_compound: found.auto_compound,
            lien: found.lien.map(|lien| LienInfo { from: lien.from, amount: lien.amount, until: lien.until }),
        }));
        stakes.unbonding.extend(stake.unbonding.chunks.into_iter().map(|chunk| UnbondingInfo {
            provider,
            owner: account,
            worth: chunk.worth,
            unlock_at: chunk.unlock_at,
        }));
        if stake.owed_compensation > 0 {
            stakes.owed_compensation.push((provider, stake.owed_compensation));
        }
    }
    stakes
}

/// What shares of a bucket are worth, as the pallet computes it. For display: the chain pays by its own computation.
fn worth(bucket: &BucketInfo, shares: u128) -> u128 {
    if shares >= bucket.shares {
        return bucket.balance;
    }
    let all = bucket.shares.saturating_add(VIRTUAL_SHARES);
    scaled(shares, bucket.balance.saturating_add(VIRTUAL_BALANCE), all).min(bucket.balance)
}

/// `value * numerator / denominator`, rounded down, through 256 bits; saturates.
fn scaled(value: u128, numerator: u128, denominator: u128) -> u128 {
    use subxt::config::substrate::U256;
    let product = U256::from(value).saturating_mul(U256::from(numerator));
    let quotient = product.checked_div(U256::from(denominator)).unwrap_or_default();
    u128::try_from(quotient).unwrap_or(u128::MAX)
}

pub(crate) fn model(id: ModelId, found: Model<AccountId>) -> ModelInfo {
    let info = found.info;
    ModelInfo {
        id,
        name: text(&info.name.0),
        architecture: text(&info.architecture.0),
        parameters: info.parameters,
        artifact: info.artifact,
        artifact_bytes: info.artifact_bytes,
        tokenizer: info.tokenizer,
        licence: text(&info.licence.0),
        owner: found.owner,
        live_jobs: found.live_jobs,
    }
}

pub(crate) fn result(found: TrainingResult) -> ResultInfo {
    ResultInfo {
        adapter: found.adapter,
        adapter_bytes: found.adapter_bytes,
        submitted_at: found.submitted_at,
    }
}

pub(crate) fn draw(milestone: u32, found: Draw) -> DrawInfo {
    DrawInfo { milestone, drawn_at: BlockNumber::from(found.drawn_at), segments: found.segments.0 }
}

pub(crate) fn stage(found: &Stage) -> AuditStage {
    match found {
        Stage::Committing => AuditStage::Committing,
        Stage::Opening => AuditStage::Opening,
        Stage::Revealing => AuditStage::Revealing,
        Stage::Passed => AuditStage::Passed,
    }
}

fn slot(found: Slot<AccountId>) -> SlotInfo {
    SlotInfo {
        auditor: found.auditor,
        commitment: found.commitment,
        verdict: found.verdict.map(|verdict| verdict.0),
        in_committee: found.in_committee,
        missed: found.missed,
    }
}

pub(crate) fn audit(job: JobId, segment: u32, found: Audit) -> AuditInfo {
    AuditInfo {
        job,
        segment,
        milestone: found.milestone,
        stage: stage(&found.stage),
        committee: matches!(found.round, Round::Committee),
        deadline: found.deadline,
        redraws: found.redraws,
        trace: found.trace,
        slots: found.slots.0.into_iter().map(slot).collect(),
    }
}

/// `JobEscrow.Escrow` from a generated reason, whose `Debug` form is `JobEscrow(Escrow)`.
pub(crate) fn reason(found: &impl std::fmt::Debug) -> String {
    let text = format!("{found:?}");
    match text.split_once('(') {
        Some((pallet, rest)) => format!("{pallet}.{}", rest.trim_end_matches(')')),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_are_worth_the_whole_bucket_and_none_nothing() {
        let bucket = BucketInfo { balance: 999, shares: 1_000_000 };
        assert_eq!(worth(&bucket, 1_000_000), 999);
        assert_eq!(worth(&bucket, 0), 0);
        // (999 + 1) * 500,000 / (1,000,000 + 1,000) = 499.5...
        assert_eq!(worth(&bucket, 500_000), 499);
    }

    #[test]
    fn scaling_does_not_overflow_on_the_way() {
        assert_eq!(scaled(u128::MAX, 2, 4), u128::MAX / 2);
        assert_eq!(scaled(u128::MAX, 2, 1), u128::MAX);
        assert_eq!(scaled(1, 1, 0), 0);
    }
}
