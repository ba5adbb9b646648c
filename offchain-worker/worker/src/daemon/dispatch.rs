//! From a duty to what is done about it: a transaction that is sent, or work that is begun.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{atomic::Ordering, Arc},
    time::Duration,
};

use attune_chain_client::{
    calls, json::text, primitives::heartbeat, send_authorised, AccountId, Call, Submitter, Wait,
};
use attune_store::Url;

use super::{Shared, State};
use crate::{
    handover,
    reconcile::{self, Duty},
    view::{ChainView, Inputs, JobView, LocalView},
    work::WorkError,
};

/// Longest pause after failures, in blocks.
const MAX_PAUSE: u32 = 32;
/// Blocks that a heartbeat may take until it is final; then the chain is asked whether it still waits for one.
const HEARTBEAT_WAIT_BLOCKS: u32 = 6;
/// Tries to fetch an audit's inputs before the verdict is that they are unavailable.
const FETCH_TRIES: u32 = 3;

/// Begins a duty. False if its transaction did not get into the node's pool.
pub(super) async fn perform(
    shared: &Arc<Shared>,
    submitter: &Submitter,
    view: &ChainView,
    local: &LocalView,
    duty: Duty,
) -> bool {
    if let Duty::Heartbeat { period } = duty {
        begin_heartbeat(shared, submitter, view, period);
        return true;
    }
    if let Some(call) = call_of(shared, view, local, duty) {
        shared.state().under_way.insert(duty);
        tracing::info!(?duty, "sending");
        match submitter.send(&call).await {
            Ok(sent) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let result = sent.wait(Wait::Finalized).await.map(|_| ());
                    finish_transaction(&shared, duty, result);
                });
            }
            Err(error) => {
                finish_transaction(shared, duty, Err(error));
                return false;
            }
        }
        return true;
    }
    let block_millis = submitter.chain().identity().block_millis;
    if let Some(work) = work_of(shared, view, local, block_millis, duty) {
        shared.state().under_way.insert(duty);
        tracing::info!(?duty, "working");
        let shared = shared.clone();
        tokio::spawn(async move {
            let result = work.await;
            finish_work(&shared, duty, result);
        });
    }
    true
}

fn finish_transaction(shared: &Shared, duty: Duty, result: attune_chain_client::Result<()>) {
    let board = &shared.tools.board;
    let mut state = shared.state();
    state.under_way.remove(&duty);
    match result {
        Ok(()) => {
            board.transactions_finalized.fetch_add(1, Ordering::Relaxed);
            state.failures.remove(&duty);
            state.not_before.remove(&duty);
            match duty {
                Duty::Compound { .. } => board.incomes_compounded.fetch_add(1, Ordering::Relaxed),
                Duty::SettleLien { .. } => board.liens_settled.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
            tracing::info!(?duty, "finalized");
        }
        Err(error) => {
            board.transactions_failed.fetch_add(1, Ordering::Relaxed);
            // Whether it got into a block is not known: nothing is sent before that is settled.
            if error.is_transient() {
                state.is_settled = false;
                state.unsettled = state.unsettled.wrapping_add(1);
            }
            state.postpone(duty);
            tracing::warn!(?duty, %error, "the transaction failed");
        }
    }
    drop(state);
    shared.wake.notify_one();
}

fn finish_work(shared: &Shared, duty: Duty, result: Result<(), WorkError>) {
    let mut state = shared.state();
    state.under_way.remove(&duty);
    match result {
        Ok(()) => {
            state.failures.remove(&duty);
            state.not_before.remove(&duty);
            if let Duty::PrepareInputs { job } = duty {
                state.inputs.insert(job, Inputs::Ready);
            }
        }
        Err(WorkError::InputsUnusable(reason)) => {
            tracing::warn!(?duty, reason, "the job's inputs are unusable");
            state.inputs.extend(duty.job().map(|job| (job, Inputs::Unusable(reason))));
        }
        Err(error) => {
            shared.tools.board.work_failed.fetch_add(1, Ordering::Relaxed);
            state.postpone(duty);
            tracing::warn!(?duty, %error, "work failed; it is tried again later");
        }
    }
    drop(state);
    shared.wake.notify_one();
}

impl State {
    /// Tries again after a pause that doubles with each failure.
    fn postpone(&mut self, duty: Duty) {
        let failures = self.failures.entry(duty).or_default();
        *failures = failures.saturating_add(1);
        let pause = 1u32.checked_shl(*failures - 1).unwrap_or(MAX_PAUSE).min(MAX_PAUSE);
        self.not_before.insert(duty, self.now.saturating_add(pause));
    }
}

/// The transaction of a duty; `None` for work.
fn call_of(shared: &Shared, view: &ChainView, local: &LocalView, duty: Duty) -> Option<Call> {
    let files = || local.jobs.get(&duty.job()?).map(|job| &job.files);
    let trained = |segment: u32| files()?.segments.get(usize::try_from(segment).ok()?);
    Some(match duty {
        Duty::Accept { job } => {
            calls::accept_job(job, reconcile::price(view, &shared.policy, view.jobs.get(&job)?)?)
        }
        Duty::Bid { job } => {
            calls::place_bid(job, reconcile::price(view, &shared.policy, view.jobs.get(&job)?)?)
        }
        Duty::Start { job } => calls::start_job(job),
        Duty::Decline { job } => calls::decline_job(job),
        Duty::CommitSegment { job, segment } => {
            calls::commit_segment(job, segment, trained(segment)?.commitment())
        }
        Duty::SubmitResult { job } => {
            let result = files()?.result?;
            calls::submit_result(job, result.adapter, result.adapter_bytes)
        }
        Duty::Draw { job, milestone } => calls::draw_audits(job, milestone),
        Duty::OpenTrace { job, segment } => {
            let file = trained(segment)?;
            calls::open_trace(job, segment, file.trace, file.nonce)
        }
        Duty::CommitVerdict { job, segment } => {
            let verdict = files()?.verdicts.get(&segment)?;
            calls::commit_verdict(job, segment, verdict.commitment(&view.me.account))
        }
        Duty::RevealVerdict { job, segment } => {
            let verdict = files()?.verdicts.get(&segment)?;
            calls::reveal_verdict(job, segment, verdict.end_root, verdict.trace, verdict.salt)
        }
        Duty::PushDeadline { job, .. } => calls::enforce_deadline(job),
        Duty::PushAuditDeadline { job, segment, .. } => calls::enforce_audit_deadline(job, segment),
        Duty::ApplySlash { provider, slash } => calls::apply_slash(provider, slash),
        Duty::Compound { delegator } => calls::compound(view.me.account, delegator),
        Duty::SettleLien { delegator } => calls::settle_lien(view.me.account, delegator),
        Duty::PrepareInputs { .. }
        | Duty::Train { .. }
        | Duty::Export { .. }
        | Duty::Audit { .. }
        | Duty::KeepCheckpoint { .. }
        | Duty::Heartbeat { .. }
        | Duty::Tidy { .. }
        | Duty::Forget { .. } => return None,
    })
}

/// Answers that this worker runs. Beside the other transactions: it has no nonce, so it neither waits for them nor keeps
/// them waiting.
fn begin_heartbeat(shared: &Arc<Shared>, submitter: &Submitter, view: &ChainView, period: u32) {
    let duty = Duty::Heartbeat { period };
    shared.state().under_way.insert(duty);
    tracing::info!(period, "asked for a heartbeat; answering");
    let chain = submitter.chain().clone();
    let signed = heartbeat::payload(&chain.identity().genesis.0, &view.me.account.0, period);
    let call = calls::heartbeat(view.me.account, period, submitter.account().sign(&signed));
    let patience = Duration::from_millis(chain.identity().block_millis).saturating_mul(HEARTBEAT_WAIT_BLOCKS);
    let shared = shared.clone();
    tokio::spawn(async move {
        let answered = async { send_authorised(&chain, &call).await?.wait(Wait::Finalized).await };
        let result = tokio::time::timeout(patience, answered).await;
        let mut state = shared.state();
        state.under_way.remove(&duty);
        // The chain says whether it got there: as long as it asks, this is tried again.
        match result {
            Ok(Ok(_)) => {
                state.failures.remove(&duty);
                state.not_before.remove(&duty);
                tracing::info!(period, "the heartbeat is finalized");
            }
            Ok(Err(error)) => {
                state.postpone(duty);
                tracing::warn!(period, %error, "the heartbeat failed");
            }
            Err(_) => {
                state.postpone(duty);
                tracing::warn!(
                    period,
                    blocks = HEARTBEAT_WAIT_BLOCKS,
                    "the heartbeat is not in a finalized block yet"
                );
            }
        }
        drop(state);
        shared.wake.notify_one();
    });
}

type Work = Pin<Box<dyn Future<Output = Result<(), WorkError>> + Send>>;

/// The work of a duty; `None` for transactions, and for jobs that are gone meanwhile.
fn work_of(
    shared: &Arc<Shared>,
    view: &ChainView,
    local: &LocalView,
    block_millis: u64,
    duty: Duty,
) -> Option<Work> {
    let tools = shared.tools.clone();
    if let Duty::Forget { job } | Duty::Tidy { job } = duty {
        tools.board.end(job);
        let others = view.jobs.values().filter(|other| other.job.id != job && !other.job.state.is_terminal());
        // Two orders of the same thing have the same data, and the same checkpoints.
        let used = others.flat_map(|other| {
            let checkpoints = other.commitments.iter().map(|commitment| commitment.checkpoint);
            checkpoints.chain([other.job.spec.data.root])
        });
        let used = used.chain(view.models.iter().map(|model| model.artifact));
        let (used, keep_adapter) = (used.collect(), matches!(duty, Duty::Tidy { .. }));
        return Some(Box::pin(async move { tools.clean_up(job, used, keep_adapter).await }));
    }
    let id = duty.job()?;
    let found = view.jobs.get(&id)?.clone();
    let files = local.jobs.get(&id).map(|job| job.files.clone()).unwrap_or_default();
    let model = view.model(found.job.spec.model)?.clone();
    let job = found.job.clone();
    Some(match duty {
        Duty::PrepareInputs { .. } => {
            let mine = local.jobs.get(&job.id).cloned().unwrap_or_default();
            let must_inherit = handover::must_inherit(&found, &mine);
            let verified = handover::verified(&found).filter(|_| must_inherit).unwrap_or_default();
            let failures = shared.state().failures.get(&duty).copied().unwrap_or(0);
            let peers = peers(view, &found);
            Box::pin(async move {
                let inherited = match tools.fetch_verified(&verified, &peers).await {
                    Err(WorkError::Unavailable(error)) if failures.saturating_add(1) >= FETCH_TRIES => {
                        tracing::warn!(
                            job = job.id,
                            %error,
                            "nobody has the checkpoint to go on from; the verified segments are trained again"
                        );
                        Vec::new()
                    }
                    other => {
                        other?;
                        verified
                    }
                };
                tools.prepare_inputs(job, model, inherited).await
            })
        }
        Duty::Train { segment, .. } => {
            let stop = shared.state().stops.entry(job.id).or_default().clone();
            let before =
                segment.checked_sub(1).and_then(|at| files.segments.get(usize::try_from(at).ok()?).copied());
            let verified = handover::verified(&found).unwrap_or_default();
            Box::pin(async move {
                let trained = tools.train(job, segment, before, stop).await?;
                let known = usize::try_from(segment).ok().and_then(|at| verified.get(at));
                if let Some(known) = known.filter(|known| known.end_root != trained.end_root) {
                    tracing::error!(
                        job = found.job.id,
                        segment,
                        expected = ?known.end_root,
                        found = ?trained.end_root,
                        "training a verified segment again gave another state than was committed: either it was \
                         never trained as it should have been, or this machine computes wrongly. The job is not \
                         trained further; it goes on if a restarted worker finds the committed checkpoint at a peer"
                    );
                }
                tools.board.segments_trained.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        }
        Duty::Export { .. } => {
            let last = *files.segments.last()?;
            Box::pin(async move { tools.export(job, last, model.name).await.map(|_| ()) })
        }
        Duty::Audit { segment, .. } => {
            let audit = found.audits.iter().find(|audit| audit.segment == segment)?.clone();
            let failures = shared.state().failures.get(&duty).copied().unwrap_or(0);
            let peers = peers(view, &found);
            // Half of the time to answer, or of what is left of it, is for the inputs; the other half for the re-execution.
            let left = audit.deadline.saturating_sub(view.now);
            let half = view.constants.verdict_commit_blocks.div_euclid(2);
            let blocks = u64::from(left.saturating_sub(half).max(left.div_euclid(2)));
            let patience = Duration::from_millis(block_millis.saturating_mul(blocks));
            Box::pin(async move {
                match tools.audit(found, audit, model, peers, patience).await {
                    Err(error)
                        if matches!(error, WorkError::Slow(_))
                            || matches!(error, WorkError::Unavailable(_))
                                && failures.saturating_add(1) >= FETCH_TRIES =>
                    {
                        tracing::warn!(job = job.id, segment, %error, "an input of the audit cannot be had");
                        tools.give_up(job.id, segment, job.handovers).await?;
                    }
                    other => {
                        other?;
                    }
                }
                tools.board.segments_audited.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        }
        Duty::KeepCheckpoint { segment, .. } => {
            let peers = peers(view, &found);
            Box::pin(async move { tools.keep_checkpoint(&found, segment, &peers).await })
        }
        _ => return None,
    })
}

/// Who may have a job's artifacts: its provider first, then those who had it before, the last one first, then its
/// auditors.
fn peers(view: &ChainView, job: &JobView) -> Vec<Url> {
    let auditors = job.audits.iter().flat_map(|audit| audit.slots.iter().map(|slot| slot.auditor));
    let former = job.job.tranches.iter().rev().map(|tranche| tranche.provider);
    let mut seen = BTreeSet::from([view.me.account]);
    let accounts: Vec<AccountId> = job
        .provider()
        .into_iter()
        .chain(former)
        .chain(auditors)
        .filter(|account| seen.insert(*account))
        .collect();
    let endpoints = accounts
        .iter()
        .filter_map(|account| view.provider(account))
        .map(|provider| text(&provider.profile.endpoint));
    endpoints.filter_map(|endpoint| endpoint.parse().ok()).collect()
}
