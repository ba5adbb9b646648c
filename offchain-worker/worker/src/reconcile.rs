//! What to do next, as a pure function of what the chain shows and what is on disk.
//!
//! The one idea: **the worker has no memory of its own.** At every finalized block it looks at the chain and at its
//! files and derives what is missing: a segment that is not trained, a commitment that is not on chain, a verdict that
//! is not revealed. Killed at any point, it derives the same again, so it resumes without a journal; what the chain
//! already has is never sent again, and what is under way is in [`LocalView::under_way`].
//!
//! A transaction is sent at most once as long as it may still get into a block: before the first one after a start the
//! daemon waits until the node has no transaction of its key outside finalized blocks.

use std::collections::BTreeSet;

use attune_chain_client::{
    primitives::{
        hashing::blake2_256_parts,
        machine::{JobState, Phase},
        Balance, BlockNumber, JobId,
    },
    quote,
    types::{AuditInfo, AuditStage},
    AccountId,
};

use crate::{
    handover,
    losses::Loss,
    upkeep,
    view::{ChainView, Inputs, JobView, LocalJob, LocalView, Policy},
};

/// Blocks before the start's deadline at which a job without inputs is given back.
const DECLINE_MARGIN: BlockNumber = 3;
/// Blocks after a deadline at which others may push it, to which up to the same number is added by chance.
const OTHERS_WAIT: BlockNumber = 8;
/// Most blocks that a worker holds back so that another one can accept a job first.
const MAX_ACCEPT_WAIT: BlockNumber = 5;

/// One thing to do, once: a transaction or a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Accept a job.
    Accept {
        /// The job.
        job: JobId,
    },
    /// Bid for a job.
    Bid {
        /// The job.
        job: JobId,
    },
    /// Put a job's inputs into place and check them.
    PrepareInputs {
        /// The job.
        job: JobId,
    },
    /// Start a job.
    Start {
        /// The job.
        job: JobId,
    },
    /// Give a job back.
    Decline {
        /// The job.
        job: JobId,
    },
    /// Train a segment.
    Train {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
    },
    /// Commit to a trained segment.
    CommitSegment {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
    },
    /// Export the adapter.
    Export {
        /// The job.
        job: JobId,
    },
    /// Submit the adapter.
    SubmitResult {
        /// The job.
        job: JobId,
    },
    /// Draw the audits of a milestone.
    Draw {
        /// The job.
        job: JobId,
        /// The milestone.
        milestone: u32,
    },
    /// Open a segment's trace.
    OpenTrace {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
    },
    /// Re-execute a segment of another provider.
    Audit {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
    },
    /// Keep a checkpoint of another provider for who may have to go on from it.
    KeepCheckpoint {
        /// The job.
        job: JobId,
        /// The segment that it ends.
        segment: u32,
    },
    /// Commit to what re-execution found.
    CommitVerdict {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
    },
    /// Reveal what was committed to.
    RevealVerdict {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
    },
    /// Push a job's passed deadline.
    PushDeadline {
        /// The job.
        job: JobId,
        /// The deadline, so that a later one of the same job is another duty.
        deadline: BlockNumber,
    },
    /// Push an audit's passed deadline.
    PushAuditDeadline {
        /// The job.
        job: JobId,
        /// The segment.
        segment: u32,
        /// The deadline.
        deadline: BlockNumber,
    },
    /// Say that this worker runs: its provider is asked.
    Heartbeat {
        /// The period in which it is asked.
        period: u32,
    },
    /// Apply a slash that is due, of another provider.
    ApplySlash {
        /// Whose stake it takes.
        provider: AccountId,
        /// Its number.
        slash: u64,
    },
    /// Turn a delegator's income from this worker's provider into stake, as the delegator asked for.
    Compound {
        /// Whose income.
        delegator: AccountId,
    },
    /// Charge, or end, the lien on a delegation to this worker's provider.
    SettleLien {
        /// Whose delegation.
        delegator: AccountId,
    },
    /// Delete all that is kept of a finished job but the adapter.
    Tidy {
        /// The job.
        job: JobId,
    },
    /// Delete all that is kept of a job that is over.
    Forget {
        /// The job.
        job: JobId,
    },
}

impl Duty {
    /// The job that it is about; `None` if it is about none.
    pub fn job(&self) -> Option<JobId> {
        match *self {
            Duty::Accept { job }
            | Duty::Bid { job }
            | Duty::PrepareInputs { job }
            | Duty::Start { job }
            | Duty::Decline { job }
            | Duty::Train { job, .. }
            | Duty::CommitSegment { job, .. }
            | Duty::Export { job }
            | Duty::SubmitResult { job }
            | Duty::Draw { job, .. }
            | Duty::OpenTrace { job, .. }
            | Duty::Audit { job, .. }
            | Duty::KeepCheckpoint { job, .. }
            | Duty::CommitVerdict { job, .. }
            | Duty::RevealVerdict { job, .. }
            | Duty::PushDeadline { job, .. }
            | Duty::PushAuditDeadline { job, .. }
            | Duty::Tidy { job }
            | Duty::Forget { job } => Some(job),
            Duty::Heartbeat { .. }
            | Duty::ApplySlash { .. }
            | Duty::Compound { .. }
            | Duty::SettleLien { .. } => None,
        }
    }

    /// True if it is a transaction that others of the same key wait for.
    pub fn takes_nonce(&self) -> bool {
        !matches!(
            self,
            Duty::PrepareInputs { .. }
                | Duty::Train { .. }
                | Duty::Export { .. }
                | Duty::Audit { .. }
                | Duty::KeepCheckpoint { .. }
                | Duty::Heartbeat { .. }
                | Duty::Tidy { .. }
                | Duty::Forget { .. }
        )
    }

    /// True if it is a push for a delegator of this worker's provider.
    pub fn is_for_delegator(&self) -> bool {
        matches!(self, Duty::Compound { .. } | Duty::SettleLien { .. })
    }
}

/// What to do now, in the order in which transactions must reach the chain.
pub fn reconcile(chain: &ChainView, local: &LocalView, policy: &Policy) -> Vec<Duty> {
    let mut duties: Vec<Duty> = upkeep::heartbeat(chain).into_iter().collect();
    for view in chain.jobs.values() {
        let nothing = LocalJob::default();
        let mine = local.jobs.get(&view.job.id).unwrap_or(&nothing);
        let is_provider = view.provider() == Some(chain.me.account);
        match view.job.state {
            JobState::Open => {
                let accepted = accept(chain, local, policy, view, &duties);
                duties.extend(accepted);
            }
            JobState::Bidding => {
                let placed = bid(chain, local, policy, view, &duties);
                duties.extend(placed);
            }
            JobState::Assigned if is_provider => duties.extend(begin(chain, view, mine)),
            JobState::Running | JobState::Submitted | JobState::Cancelling | JobState::Disputed(_) => {
                if is_provider {
                    train(chain.now, view, mine, local, &mut duties);
                    prove(chain, view, mine, &mut duties);
                }
                audit(chain, view, mine, &mut duties);
            }
            JobState::Assigned
            | JobState::Finalized
            | JobState::Cancelled
            | JobState::Expired
            | JobState::Failed(_) => {}
        }
        let kept = handover::to_keep(view, mine, &chain.me.account);
        duties.extend(kept.map(|segment| Duty::KeepCheckpoint { job: view.job.id, segment }));
        push_deadlines(chain, policy, view, is_provider, &mut duties);
    }
    duties.extend(upkeep::slashes(chain, policy));
    duties.extend(upkeep::draws(chain, policy));
    duties.extend(local.jobs.iter().filter_map(|(job, mine)| clean_up(chain, *job, mine)));
    let is_open = |duty: &Duty| {
        !local.under_way.contains(duty) && local.not_before.get(duty).is_none_or(|block| *block <= chain.now)
    };
    duties.retain(is_open);
    let for_delegators = upkeep::own_pool(chain, local, &duties);
    duties.extend(for_delegators.into_iter().filter(is_open));
    duties
}

/// A job that is over needs no files: its inputs are the customer's business again. Only the adapter of a finished job is
/// kept by who trained it, for its customer, as long as the record is on chain.
fn clean_up(chain: &ChainView, job: JobId, mine: &LocalJob) -> Option<Duty> {
    let view = chain.jobs.get(&job);
    if view.is_some_and(|view| !view.job.state.is_terminal()) {
        return None;
    }
    // A node that is behind does not know the job yet. Its nonces are here and nowhere else.
    if job >= chain.next_job {
        return None;
    }
    let trained_here = match (view, chain.records.get(&job)) {
        (Some(view), _) => view.job.state == JobState::Finalized && view.provider() == Some(chain.me.account),
        (None, Some(record)) => record.record.provider == chain.me.account,
        (None, None) => false,
    };
    if !trained_here {
        return Some(Duty::Forget { job });
    }
    let is_tidy = mine.files.segments.is_empty() && mine.files.inputs.is_none();
    (!is_tidy).then_some(Duty::Tidy { job })
}

/// What this provider asks for what is left of a job that it can do; `None` if it cannot or may not.
pub fn price(chain: &ChainView, policy: &Policy, view: &JobView) -> Option<Balance> {
    let (job, me) = (&view.job, &chain.me);
    let fits = policy.computes(&job.spec.mode)
        && me.profile.computes(&job.spec.mode)
        && job.spec.engine_version == policy.engine_version
        && job.spec.provider.is_none_or(|chosen| chosen == me.account);
    let is_own = [job.customer, job.funder].iter().any(|who| *who == me.account || *who == me.operator);
    if !fits || is_own || !me.active || job.excluded.contains(&me.account) {
        return None;
    }
    quote::price(&job.spec, job.first_milestone(), &me.profile, policy.price_floor)
        .filter(|price| *price <= job.escrow)
}

/// True if this provider can take one more job, at its quote: the stake covers the bond, and it trains few enough. A bid
/// counts like a job, as it may win.
fn has_room(chain: &ChainView, local: &LocalView, policy: &Policy, view: &JobView, duties: &[Duty]) -> bool {
    let (job, me) = (&view.job, &chain.me);
    let bond = price(chain, policy, view)
        .and_then(|price| quote::bond(&job.spec, job.first_milestone(), price, &chain.constants));
    // The chain would refuse a bond above the free stake, for a fee.
    if bond.is_none_or(|bond| bond > me.pool.unlocked(&chain.constants)) {
        return false;
    }
    let is_busy = |other: &&JobView| match other.job.state {
        JobState::Assigned | JobState::Running | JobState::Disputed(Phase::Running) => {
            other.provider() == Some(me.account)
        }
        JobState::Bidding => {
            other.job.id != job.id && other.bids.iter().any(|bid| bid.provider == me.account)
        }
        _ => false,
    };
    let taken: BTreeSet<JobId> = chain.jobs.values().filter(is_busy).map(|other| other.job.id).collect();
    let others = local.under_way.iter().chain(duties).filter(|duty| duty.job() != Some(job.id));
    let taking = others.filter(|duty| matches!(duty, Duty::Accept { .. } | Duty::Bid { .. }));
    let busy = taking.filter_map(Duty::job).chain(taken).collect::<BTreeSet<JobId>>().len();
    busy < usize::try_from(policy.max_jobs).unwrap_or(usize::MAX) && chain.now <= job.deadline
}

/// Bidding: one bid, at the quote. It is the least that this provider asks, so it is never lowered.
fn bid(
    chain: &ChainView,
    local: &LocalView,
    policy: &Policy,
    view: &JobView,
    duties: &[Duty],
) -> Option<Duty> {
    let has_bid = view.bids.iter().any(|bid| bid.provider == chain.me.account);
    // Where all places are taken, only a lower bid than the dearest gets one; the chain would refuse it for a fee.
    let most = usize::try_from(chain.constants.max_bids).unwrap_or(usize::MAX);
    let dearest = view.bids.iter().map(|bid| bid.price).max().filter(|_| view.bids.len() >= most);
    let is_too_dear =
        dearest.is_some_and(|dearest| price(chain, policy, view).is_none_or(|own| own >= dearest));
    (!has_bid && !is_too_dear && has_room(chain, local, policy, view, duties))
        .then_some(Duty::Bid { job: view.job.id })
}

fn accept(
    chain: &ChainView,
    local: &LocalView,
    policy: &Policy,
    view: &JobView,
    duties: &[Duty],
) -> Option<Duty> {
    let job = &view.job;
    if !has_room(chain, local, policy, view, duties) {
        return None;
    }
    // All idle workers see the job at the same block, and all but one would pay a fee for nothing: each waits for its
    // place in an order of its own for every job.
    let place =
        |account: &AccountId| blake2_256_parts(&[b"attune:accept", &job.id.to_le_bytes(), &account.0]);
    let mine = place(&chain.me.account);
    let before = chain.providers.iter().filter(|other| {
        other.active
            && other.profile.computes(&job.spec.mode)
            && !job.excluded.contains(&other.account)
            && place(&other.account) < mine
    });
    let wait = match job.spec.provider {
        Some(_) => 0,
        None => BlockNumber::try_from(before.count()).unwrap_or(MAX_ACCEPT_WAIT).min(MAX_ACCEPT_WAIT),
    };
    // However it came to be open: by its order, after a bidding window, or by a handover.
    let open_since = job.deadline.saturating_sub(job.spec.timing.open_blocks);
    (chain.now >= open_since.saturating_add(wait)).then_some(Duty::Accept { job: job.id })
}

/// Assigned: wait for the inputs, check them, start or give the job back.
fn begin(chain: &ChainView, view: &JobView, mine: &LocalJob) -> Option<Duty> {
    let job = view.job.id;
    if chain.now > view.job.deadline {
        return None;
    }
    match mine.inputs {
        // Nobody has the checkpoint to go on from, and what is here is not what was verified.
        Inputs::Ready if handover::forked(view, mine).is_some() => Some(Duty::Decline { job }),
        Inputs::Ready => Some(Duty::Start { job }),
        Inputs::Unusable(_) => Some(Duty::Decline { job }),
        _ if chain.now.saturating_add(DECLINE_MARGIN) >= view.job.deadline => Some(Duty::Decline { job }),
        Inputs::Arrived => Some(Duty::PrepareInputs { job }),
        Inputs::Missing => None,
    }
}

/// Running: train what is not trained, commit what is not committed, then export and submit.
fn train(now: BlockNumber, view: &JobView, mine: &LocalJob, local: &LocalView, duties: &mut Vec<Duty>) {
    if !matches!(view.job.state, JobState::Running | JobState::Disputed(Phase::Running)) {
        return;
    }
    let job = view.job.id;
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (segments, trained, committed) =
        (view.job.spec.segments(), count(mine.files.segments.len()), count(view.commitments.len()));
    if Loss::of(view, mine).is_some() {
        return;
    }
    // After a restart the inputs are put into place again, which also tries to get the verified checkpoint.
    let is_forked = handover::forked(view, mine).is_some();
    if is_forked && mine.inputs != Inputs::Arrived {
        return;
    }
    if trained < segments || is_forked {
        match mine.inputs {
            Inputs::Ready => duties.push(Duty::Train { job, segment: trained }),
            Inputs::Arrived => duties.push(Duty::PrepareInputs { job }),
            Inputs::Missing | Inputs::Unusable(_) => {}
        }
    }
    if is_forked {
        return;
    }
    // Commitments build on each other, and the result on all of them: after one that has to wait, all wait.
    let waits = |segment: &u32| {
        let duty = Duty::CommitSegment { job, segment: *segment };
        local.not_before.get(&duty).is_some_and(|block| *block > now)
    };
    let sendable = (committed..trained.min(segments)).take_while(|segment| !waits(segment));
    let sent = duties.len();
    duties.extend(sendable.map(|segment| Duty::CommitSegment { job, segment }));
    let all_sent = committed.saturating_add(count(duties.len().saturating_sub(sent))) == segments;
    if trained < segments {
        return;
    }
    if mine.files.result.is_none() {
        duties.push(Duty::Export { job });
        return;
    }
    if view.result.is_none() && view.job.state == JobState::Running && all_sent {
        duties.push(Duty::SubmitResult { job });
    }
}

/// Milestones of a job whose audits can be drawn.
pub(crate) fn drawable<'a>(chain: &'a ChainView, view: &'a JobView) -> impl Iterator<Item = u32> + 'a {
    let waiting = view.committed_at.iter().filter(|(milestone, committed_at)| {
        let is_drawn = view.draws.iter().any(|draw| draw.milestone == **milestone);
        let final_at = committed_at.saturating_add(chain.constants.finality_margin);
        let is_fresh = chain.randomness_from.is_some_and(|from| from > **committed_at && from >= final_at);
        !is_drawn && is_fresh
    });
    waiting.map(|(milestone, _)| *milestone)
}

/// The provider's part in audits: draw them, open traces.
fn prove(chain: &ChainView, view: &JobView, mine: &LocalJob, duties: &mut Vec<Duty>) {
    let job = view.job.id;
    duties.extend(drawable(chain, view).map(|milestone| Duty::Draw { job, milestone }));
    for audit in view.audits.iter().filter(|audit| audit.stage == AuditStage::Opening) {
        let Ok(index) = usize::try_from(audit.segment) else { continue };
        // Only what this provider committed to can be opened; another file would be refused.
        let is_known = mine.files.segments.get(index).is_some_and(|file| {
            audit.segment >= view.first_segment() && view.commitments.get(index) == Some(&file.commitment())
        });
        if chain.now <= audit.deadline && is_known {
            duties.push(Duty::OpenTrace { job, segment: audit.segment });
        }
    }
}

/// The auditor's part: re-execute, commit, and reveal once the trace is open.
fn audit(chain: &ChainView, view: &JobView, mine: &LocalJob, duties: &mut Vec<Duty>) {
    let (job, me) = (view.job.id, &chain.me.account);
    for audit in view.audits.iter().filter(|audit| chain.now <= audit.deadline) {
        let Some(slot) = audit.waiting().find(|slot| slot.auditor == *me) else { continue };
        let segment = audit.segment;
        let verdict = mine.files.verdicts.get(&segment).filter(|file| file.attempt == view.job.handovers);
        match audit.stage {
            AuditStage::Committing if slot.commitment.is_none() => duties.push(match verdict {
                Some(_) => Duty::CommitVerdict { job, segment },
                None => Duty::Audit { job, segment },
            }),
            // Only what was committed to can be revealed; another file would be refused.
            AuditStage::Revealing
                if slot.verdict.is_none()
                    && audit.trace.is_some()
                    && verdict.is_some_and(|file| slot.commitment == Some(file.commitment(me))) =>
            {
                duties.push(Duty::RevealVerdict { job, segment });
            }
            _ => {}
        }
    }
}

/// Passed deadlines: at once by whom the next state serves, later by anyone.
fn push_deadlines(
    chain: &ChainView,
    policy: &Policy,
    view: &JobView,
    is_provider: bool,
    duties: &mut Vec<Duty>,
) {
    let job = &view.job;
    if job.state.is_terminal() {
        return;
    }
    let would_win = view.bids.first().is_some_and(|bid| bid.provider == chain.me.account);
    let is_party = is_provider || would_win || view.is_auditor(&chain.me.account);
    let patience = if is_party {
        0
    } else {
        let mixed = blake2_256_parts(&[b"attune:push", &job.id.to_le_bytes(), &chain.me.account.0]);
        OTHERS_WAIT.saturating_add(BlockNumber::from(mixed.0[0]) % OTHERS_WAIT)
    };
    let may_push = is_party || policy.push_others;
    let is_over = |deadline: BlockNumber| may_push && chain.now > deadline.saturating_add(patience);
    // A provider does not push what ends its own job at its own fault; others do.
    let hurts_me = is_provider && matches!(job.state, JobState::Running);
    if is_over(job.deadline) && !hurts_me {
        duties.push(Duty::PushDeadline { job: job.id, deadline: job.deadline });
    }
    let live = job.state.is_in_work();
    let pushable = |audit: &&AuditInfo| {
        audit.stage != AuditStage::Passed
            && is_over(audit.deadline)
            && !(is_provider && audit.stage == AuditStage::Opening)
    };
    if live {
        duties.extend(view.audits.iter().filter(pushable).map(|audit| Duty::PushAuditDeadline {
            job: job.id,
            segment: audit.segment,
            deadline: audit.deadline,
        }));
    }
}

#[cfg(test)]
pub(crate) mod tests;
