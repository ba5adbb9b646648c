//! A job seen from outside while it runs.
//!
//! The chain says what is settled, block by finalized block; the provider's worker says, to those whom the job entitles,
//! how far it is between two blocks. A follower that signs for the customer also does the customer's part: it sends the
//! model and the data to the provider as soon as there is one, and pushes deadlines and draws that everybody else let pass.

mod words;

use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{
    calls, json, types::JobInfo, AccountId, Call, Chain, Error, Submitter, View, Wait, H256,
};
use attune_primitives::{machine::JobState, BlockNumber, JobId};
use indicatif::ProgressBar;

use crate::{
    artifacts::Artifacts,
    context::{is_transient, Context},
    narrate,
    output::{clean, clean_bytes},
    patience::Patience,
    progress::{say_above, Progress},
    remote::{self, WorkerProgress},
    time::show_span,
};

pub use words::{require_result, sentence};

/// How often the provider's worker is asked how far it is.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How many blocks a passed deadline is left to those whose duty it is, before the follower pushes it.
const GRACE_BLOCKS: BlockNumber = 4;
/// The same for a draw that could be made: the provider's takes some blocks to be final, and then the other workers' turns
/// begin.
const DRAW_GRACE_BLOCKS: BlockNumber = 10;
/// How often the progress is said where there is no bar.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// When to stop following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The job has ended.
    End,
    /// A provider has the inputs.
    InputsSent,
}

/// How far a job is, from all sources.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    segments: u32,
    loss_micro: Option<u32>,
    passed_audits: usize,
    open_audits: usize,
    worker: Option<WorkerProgress>,
}

/// Follows one job.
pub struct Follower<'a> {
    context: &'a Context,
    chain: Chain,
    job: JobId,
    signer: Option<&'a Submitter>,
    artifacts: Artifacts,
    model: Option<H256>,
    bar: ProgressBar,
    seen: Seen,
    /// Who has the inputs, and since which block it has the job: every assignment needs them anew.
    inputs_with: Option<(AccountId, BlockNumber)>,
    said_at: std::time::Instant,
    said: String,
    upload_failures: u32,
    /// How long the milestone that could be drawn has been left alone.
    undrawn: Patience<u32>,
}

impl<'a> Follower<'a> {
    /// A follower of `job`. With a `signer` it does the customer's part, if that is the job's customer.
    ///
    /// # Errors
    /// If the profile's store cannot be opened.
    pub fn new(
        context: &'a Context,
        chain: Chain,
        job: JobId,
        signer: Option<&'a Submitter>,
    ) -> Result<Self> {
        Ok(Follower {
            context,
            chain,
            job,
            signer,
            artifacts: Artifacts::open(&context.profile)?,
            model: None,
            bar: context.progress.steps(0),
            seen: Seen::default(),
            inputs_with: None,
            said_at: std::time::Instant::now(),
            said: String::new(),
            upload_failures: 0,
            undrawn: Patience::new(DRAW_GRACE_BLOCKS),
        })
    }

    /// Follows the job until it ends, or as far as `until` says, and gives its last state.
    ///
    /// # Errors
    /// If there is no such job, or the node's answers cannot be read.
    pub async fn follow(mut self, until: Until) -> Result<JobInfo> {
        let mut blocks = self.blocks();
        let mut ask = tokio::time::interval(ASK_EVERY);
        ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let view = self.chain.finalized().await?;
        let mut job = self.job_at(&view).await?;
        self.say_state(&job);
        self.look(&view, &job).await?;
        loop {
            if job.state.is_terminal() || (until == Until::InputsSent && self.has_inputs(&job)) {
                self.bar.finish_and_clear();
                return Ok(job);
            }
            tokio::select! {
                Some(view) = blocks.recv() => match self.block(&view, &mut job).await {
                    // A node that is away for a moment costs the news of a block, not the follower.
                    Err(error) if is_transient(&error) => tracing::warn!("{error:#}"),
                    done => done?,
                },
                _ = ask.tick() => self.ask_worker(&job).await,
            }
            self.show(&job);
        }
    }

    /// Takes in one finalized block.
    async fn block(&mut self, view: &View, job: &mut JobInfo) -> Result<()> {
        let (before, handovers) = (job.state, job.handovers);
        *job = self.job_at(view).await?;
        self.say_events(view).await?;
        if job.handovers != handovers {
            // What was seen belongs to the attempt that has ended.
            (self.seen, self.upload_failures) = (Seen::default(), 0);
        }
        if job.state != before {
            self.say_state(job);
        }
        self.look(view, job).await
    }

    /// Finalized blocks, read by a task of their own: reading must not be dropped half way when the tick comes first.
    fn blocks(&self) -> tokio::sync::mpsc::Receiver<View> {
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let mut blocks = self.chain.finalized_blocks();
        tokio::spawn(async move { while sender.send(blocks.next().await).await.is_ok() {} });
        receiver
    }

    async fn job_at(&self, view: &View) -> Result<JobInfo> {
        let found = view.job(self.job).await?;
        found.with_context(|| {
            format!("there is no job {} (finished jobs are pruned in time); see `attune jobs list`", self.job)
        })
    }

    /// Looks at what has changed in a block, and does the customer's part.
    async fn look(&mut self, view: &View, job: &JobInfo) -> Result<()> {
        if job.state.is_in_work() {
            let commitments = view.commitments(self.job).await?;
            self.seen.segments = u32::try_from(commitments.len()).unwrap_or(u32::MAX);
            self.seen.loss_micro = commitments.last().map(|last| last.metrics.train_loss_micro);
            let audits = view.audits(self.job).await?;
            self.seen.passed_audits =
                audits.iter().filter(|a| a.stage == attune_chain_client::types::AuditStage::Passed).count();
            self.seen.open_audits = audits.len() - self.seen.passed_audits;
        }
        if job.state == JobState::Assigned && !self.has_sent_inputs(job) {
            self.send_inputs(view, job).await?;
        }
        self.push_draw(view, job).await?;
        self.push_deadline(view, job).await
    }

    fn has_sent_inputs(&self, job: &JobInfo) -> bool {
        self.inputs_with.is_some() && self.inputs_with == assignment_key(job)
    }

    fn has_inputs(&self, job: &JobInfo) -> bool {
        match job.state {
            JobState::Bidding | JobState::Open => false,
            JobState::Assigned => self.has_sent_inputs(job),
            _ => true,
        }
    }

    /// Sends model and data to the provider, if this is the customer and has them. A failure is said and tried again at
    /// the next block: the provider may still be starting up.
    async fn send_inputs(&mut self, view: &View, job: &JobInfo) -> Result<()> {
        let Some(signer) = self.signer.filter(|signer| signer.id() == job.customer) else { return Ok(()) };
        let Some(assignment) = &job.assignment else { return Ok(()) };
        let Some(provider) = view.provider(&assignment.provider).await? else { return Ok(()) };
        let endpoint = clean_bytes(&provider.profile.endpoint);
        let model = match self.model {
            Some(model) => model,
            None => {
                view.model(job.spec.model)
                    .await?
                    .context("the job's model is gone from the registry")?
                    .artifact
            }
        };
        self.model = Some(model);
        for (artifact, what) in [(model, "the model"), (job.spec.data.root, "the data")] {
            if !self.artifacts.has(&artifact) {
                bail!(
                    "{what} ({}) is not in this profile, so it cannot be sent to the provider; run this command in the \
                     profile that ordered the job, or cancel it with `attune jobs cancel {}`",
                    json::hex(&artifact),
                    self.job
                );
            }
            let sent = self
                .artifacts
                .send(signer.account(), &endpoint, &artifact, what, self.context.progress)
                .await;
            if let Err(error) = sent {
                self.upload_failures += 1;
                // The provider's worker opens its doors a moment after the block in which it accepted.
                if self.upload_failures == 3 {
                    self.say(format!("  {error:#}; trying again until the provider's time to start is over"));
                }
                return Ok(());
            }
        }
        self.inputs_with = assignment_key(job);
        self.say(format!("  model and data are with {}", clean_bytes(&provider.profile.name)));
        Ok(())
    }

    /// Ends a state whose deadline has passed. Before a provider is bound nobody else cares; afterwards its worker does,
    /// so it gets some blocks' grace.
    async fn push_deadline(&self, view: &View, job: &JobInfo) -> Result<()> {
        let grace = if job.state.awaits_provider() { 0 } else { GRACE_BLOCKS };
        let (Some(signer), false) = (self.signer, job.state.is_terminal()) else { return Ok(()) };
        if view.number() <= job.deadline.saturating_add(grace) {
            return Ok(());
        }
        push(signer, &calls::enforce_deadline(self.job)).await
    }

    /// Has a milestone's audits drawn that its provider has left alone for some blocks: one that cheats would rather not
    /// have them drawn. Free of fees when it succeeds.
    async fn push_draw(&mut self, view: &View, job: &JobInfo) -> Result<()> {
        let Some(signer) = self.signer else { return Ok(()) };
        let drawable = self.drawable(view, job).await?;
        match self.undrawn.over(drawable, view.number()) {
            Some(milestone) => push(signer, &calls::draw_audits(self.job, milestone)).await,
            None => Ok(()),
        }
    }

    /// The first committed milestone that is not drawn, if there is randomness from after its commitment was final.
    async fn drawable(&self, view: &View, job: &JobInfo) -> Result<Option<u32>> {
        if !job.state.is_in_work() || self.seen.segments == 0 {
            return Ok(None);
        }
        let draws = view.draws(self.job).await?;
        for milestone in 0..u32::try_from(job.spec.milestones.len()).unwrap_or(0) {
            if draws.iter().any(|draw| draw.milestone == milestone) {
                continue;
            }
            let Some(committed_at) = view.committed_at(self.job, milestone).await? else { return Ok(None) };
            let final_at = committed_at.saturating_add(view.constants().await?.finality_margin);
            let from = view.randomness().await?.map(|(_, from)| from);
            return Ok(from.filter(|from| *from > committed_at && *from >= final_at).map(|_| milestone));
        }
        Ok(None)
    }

    async fn ask_worker(&mut self, job: &JobInfo) {
        let (Some(signer), JobState::Running, Some(assignment)) = (self.signer, job.state, &job.assignment)
        else {
            return;
        };
        let Ok(view) = self.chain.finalized().await else { return };
        let Ok(Some(provider)) = view.provider(&assignment.provider).await else { return };
        let endpoint = String::from_utf8_lossy(&provider.profile.endpoint).into_owned();
        // A worker that does not answer is no news: the chain's numbers go on.
        self.seen.worker = remote::progress(&endpoint, self.job, signer.account()).await.ok();
    }

    async fn say_events(&self, view: &View) -> Result<()> {
        for event in view.events().await? {
            if event.job() != Some(self.job) {
                continue;
            }
            if let Some(sentence) = narrate::sentence(&event) {
                self.say(format!("  block {:>4}  {}", view.number(), clean(&sentence)));
            }
        }
        Ok(())
    }

    fn say_state(&self, job: &JobInfo) {
        self.say(format!("job {}: {}", self.job, sentence(job)));
    }

    fn say(&self, text: String) {
        say_above(self.context.progress, &self.bar, text);
    }

    /// Redraws the bar, or says a line from time to time where there is none.
    fn show(&mut self, job: &JobInfo) {
        let spec = &job.spec;
        let total = u64::from(spec.segments()) * u64::from(spec.steps_per_segment);
        let committed = u64::from(self.seen.segments) * u64::from(spec.steps_per_segment);
        let step = self.seen.worker.map_or(0, |worker| worker.step).max(committed).min(total);
        self.bar.set_length(total);
        self.bar.set_position(step);
        let message = self.message(job);
        self.bar.set_message(message.clone());
        let line = format!("  {step} of {total} steps  {message}");
        if self.context.progress == Progress::Lines
            && self.said_at.elapsed() >= SAY_EVERY
            && line != self.said
        {
            self.said_at = std::time::Instant::now();
            self.context.progress.say(&line);
            self.said = line;
        }
    }

    fn message(&self, job: &JobInfo) -> String {
        let mut parts = Vec::new();
        let live = self.seen.worker.and_then(|worker| worker.loss);
        let committed = self.seen.loss_micro.map(|micro| f64::from(micro) / 1e6);
        if let Some(loss) = live.or(committed) {
            parts.push(format!("loss {loss:.4}"));
        }
        if let Some(speed) = self.seen.worker.and_then(|worker| worker.tokens_per_second) {
            parts.push(format!("{speed:.0} tokens/s"));
        }
        parts.push(format!("{} of {} milestones paid", job.milestones_paid, job.spec.milestones.len()));
        let audits = self.seen.passed_audits + self.seen.open_audits;
        if audits > 0 {
            parts.push(format!("{} of {audits} audits passed", self.seen.passed_audits));
        }
        match job.state {
            JobState::Running => {
                if let Some(eta) = self.seen.worker.and_then(|worker| worker.eta_seconds) {
                    parts.push(format!(
                        "trained in {}",
                        show_span(Duration::from_secs_f64(eta.clamp(0.0, 1e9)))
                    ));
                }
            }
            JobState::Submitted => parts.push("audits and the challenge window are left".into()),
            JobState::Cancelling => parts.push("cancelled as soon as the audits end".into()),
            _ => {}
        }
        parts.join(", ")
    }
}

/// What tells one assignment of a job from another.
fn assignment_key(job: &JobInfo) -> Option<(AccountId, BlockNumber)> {
    job.assignment.as_ref().map(|assignment| (assignment.provider, assignment.assigned_at))
}

/// Sends a push that anyone may make.
async fn push(signer: &Submitter, call: &Call) -> Result<()> {
    match signer.submit(call, Wait::Finalized).await {
        Ok(_) => Ok(()),
        // Somebody else was faster, or the node is away for a moment: the next block shows it.
        Err(Error::Rejected(_) | Error::Refused { .. }) => Ok(()),
        Err(error) if error.is_transient() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::money::ATT;
    use attune_chain_client::types::{AssignmentInfo, Spec};
    use attune_primitives::{job::*, testing};
    use sp_arithmetic::Permill;

    /// A job of two milestones in a state, of an account that pays for itself.
    pub(crate) fn job(state: JobState) -> JobInfo {
        let half = Milestone { segments: 2, share: Permill::from_percent(50) };
        let mut spec: Spec = testing::job_spec([half, half]);
        spec.max_price = 10 * ATT;
        JobInfo {
            id: 3,
            customer: AccountId::from([1; 32]),
            funder: AccountId::from([1; 32]),
            spec,
            state,
            deadline: 40,
            assignment: None,
            escrow: 10 * ATT,
            audit_budget: 4,
            spent: 0,
            deposit: 0,
            milestones_paid: 0,
            handovers: 0,
            excluded: Vec::new(),
            tranches: Vec::new(),
            milestones_committed: 0,
            requested_at: 0,
            closed_at: None,
        }
    }

    pub(crate) fn assigned(provider: u8, assigned_at: BlockNumber) -> Option<AssignmentInfo> {
        Some(AssignmentInfo {
            provider: AccountId::from([provider; 32]),
            first_milestone: 0,
            price: 4 * ATT,
            commission_ppm: 0,
            hardware: attune_primitives::provider::Hardware {
                model: Default::default(),
                accelerators: 0,
                memory_mib: 1,
            },
            price_per_gpu_hour: 1,
            bond: 1,
            assigned_at,
            started_at: None,
        })
    }

    #[test]
    fn every_assignment_needs_the_inputs_anew() {
        let with = |assignment| assignment_key(&JobInfo { assignment, ..job(JobState::Assigned) });
        assert_eq!(with(None), None);
        assert_eq!(with(assigned(1, 5)), with(assigned(1, 5)));
        assert_ne!(with(assigned(1, 5)), with(assigned(2, 9)), "another provider");
        assert_ne!(with(assigned(1, 5)), with(assigned(1, 9)), "the same provider once more");
    }
}
