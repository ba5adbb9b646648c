//! What the worker tells about itself while it runs: live progress of its jobs, and counters for Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex, PoisonError,
    },
    time::Instant,
};

use attune_chain_client::primitives::JobId;
use serde::Serialize;

use crate::engine::Step;

/// Most losses that are kept of a job; older ones are thinned out.
const MAX_LOSSES: usize = 4_096;

/// Live progress of one job.
#[derive(Clone, Debug, Serialize)]
pub struct JobProgress {
    /// The job.
    pub job: JobId,
    /// The segment that is being trained.
    pub segment: u32,
    /// Segments of the whole job.
    pub segments: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps of the whole job.
    pub steps: u64,
    /// Loss of the last step, in nats per token.
    pub loss: Option<f32>,
    /// Speed of this segment so far.
    pub tokens_per_second: f64,
    /// Estimated time to the end of training, in seconds.
    pub eta_seconds: Option<u64>,
    /// Losses so far, as step and loss.
    pub losses: Vec<(u64, f32)>,
    #[serde(skip)]
    since: Option<(Instant, u64, u64)>,
}

/// Progress and counters. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct Board {
    jobs: Mutex<BTreeMap<JobId, JobProgress>>,
    /// Number of the last finalized block that was looked at.
    pub finalized_block: AtomicU64,
    /// Segments trained since the start.
    pub segments_trained: AtomicU64,
    /// Segments audited since the start.
    pub segments_audited: AtomicU64,
    /// Audits since the start in which an input could not be fetched.
    pub audits_unavailable: AtomicU64,
    /// Transactions in finalized blocks since the start.
    pub transactions_finalized: AtomicU64,
    /// Transactions refused or lost since the start.
    pub transactions_failed: AtomicU64,
    /// Committed segments since the start whose files are gone.
    pub segments_lost: AtomicU64,
    /// Work items that failed since the start.
    pub work_failed: AtomicU64,
    /// Tokens that training saw since the start.
    pub tokens_trained: AtomicU64,
    /// Heartbeats that the provider was asked for and gave, as the chain counts them.
    pub heartbeats_answered: AtomicU64,
    /// Heartbeats that the provider was asked for and did not give, as the chain counts them.
    pub heartbeats_missed: AtomicU64,
    /// Delegators' incomes turned into stake since the start.
    pub incomes_compounded: AtomicU64,
    /// Liens of delegators charged or ended since the start.
    pub liens_settled: AtomicU64,
    /// Block since which the provider counts as absent; 0 while it counts as present.
    pub absent_since: AtomicU64,
}

impl Board {
    /// A segment begins.
    pub fn begin(&self, job: JobId, segment: u32, segments: u32, steps: u64) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = jobs.entry(job).or_insert_with(|| JobProgress {
            job,
            segment,
            segments,
            step: 0,
            steps,
            loss: None,
            tokens_per_second: 0.0,
            eta_seconds: None,
            losses: Vec::new(),
            since: None,
        });
        (entry.segment, entry.since) = (segment, None);
    }

    /// A step is done.
    pub fn step(&self, job: JobId, step: Step) {
        self.tokens_trained.fetch_add(step.tokens, Ordering::Relaxed);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = jobs.get_mut(&job) else { return };
        (entry.step, entry.loss) = (step.step, Some(step.loss));
        entry.losses.push((step.step, step.loss));
        if entry.losses.len() > MAX_LOSSES {
            let mut index = 0u32;
            entry.losses.retain(|_| {
                index = index.wrapping_add(1);
                index.is_multiple_of(2)
            });
        }
        // The first step of a segment warms caches up and sets the clock.
        let (start, first_step, tokens) = entry.since.get_or_insert((Instant::now(), step.step, 0));
        if step.step > *first_step {
            *tokens = tokens.saturating_add(step.tokens);
            let seconds = start.elapsed().as_secs_f64().max(1e-6);
            entry.tokens_per_second = *tokens as f64 / seconds;
            let per_step = seconds / (step.step - *first_step) as f64;
            entry.eta_seconds = Some((entry.steps.saturating_sub(step.step) as f64 * per_step).ceil() as u64);
        }
    }

    /// A job is over.
    pub fn end(&self, job: JobId) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// A job's progress; `None` if it was never trained here since the start.
    pub fn progress(&self, job: JobId) -> Option<JobProgress> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(&job).cloned()
    }

    /// Everything in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let counters = [
            ("segments_trained_total", "Segments trained.", &self.segments_trained),
            ("segments_audited_total", "Segments re-executed for audits.", &self.segments_audited),
            (
                "audits_unavailable_total",
                "Audits with an input that could not be fetched.",
                &self.audits_unavailable,
            ),
            (
                "transactions_finalized_total",
                "Transactions in finalized blocks.",
                &self.transactions_finalized,
            ),
            ("transactions_failed_total", "Transactions refused or lost.", &self.transactions_failed),
            (
                "segments_lost_total",
                "Committed segments whose files are gone: their jobs fail.",
                &self.segments_lost,
            ),
            ("work_failed_total", "Work items that failed.", &self.work_failed),
            ("tokens_trained_total", "Tokens seen by training.", &self.tokens_trained),
            (
                "heartbeats_answered_total",
                "Heartbeats given when asked, as the chain counts them.",
                &self.heartbeats_answered,
            ),
            (
                "heartbeats_missed_total",
                "Heartbeats not given when asked, as the chain counts them.",
                &self.heartbeats_missed,
            ),
            (
                "incomes_compounded_total",
                "Incomes of delegators turned into stake for them.",
                &self.incomes_compounded,
            ),
            ("liens_settled_total", "Liens of delegators charged or ended.", &self.liens_settled),
        ];
        let mut text = String::new();
        for (name, help, value) in counters {
            metric(
                &mut text,
                name,
                "counter",
                help,
                &[(String::new(), value.load(Ordering::Relaxed) as f64)],
            );
        }
        let absent = self.absent_since.load(Ordering::Relaxed) as f64;
        let help = "Block since which the provider counts as absent, 0 if it does not.";
        metric(&mut text, "absent_since_block", "gauge", help, &[(String::new(), absent)]);
        let block = self.finalized_block.load(Ordering::Relaxed) as f64;
        metric(
            &mut text,
            "finalized_block",
            "gauge",
            "Last finalized block looked at.",
            &[(String::new(), block)],
        );
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |value: &dyn Fn(&JobProgress) -> f64| -> Vec<(String, f64)> {
            jobs.values().map(|job| (format!("{{job=\"{}\"}}", job.job), value(job))).collect()
        };
        metric(&mut text, "job_step", "gauge", "Optimizer steps done.", &of(&|j| j.step as f64));
        metric(&mut text, "job_steps", "gauge", "Optimizer steps in all.", &of(&|j| j.steps as f64));
        let loss = of(&|j| j.loss.map_or(f64::NAN, f64::from));
        metric(&mut text, "job_loss", "gauge", "Loss of the last step, nats per token.", &loss);
        let speed = of(&|j| j.tokens_per_second);
        metric(&mut text, "job_tokens_per_second", "gauge", "Training speed.", &speed);
        text
    }
}

/// Writes one metric with its help and its values by labels.
pub(crate) fn metric(text: &mut String, name: &str, kind: &str, help: &str, values: &[(String, f64)]) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "# HELP attune_worker_{name} {help}\n# TYPE attune_worker_{name} {kind}");
    for (labels, value) in values {
        let _ = writeln!(text, "attune_worker_{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_follows_the_steps_and_estimates_the_rest() {
        let board = Board::default();
        assert!(board.progress(1).is_none());
        board.begin(1, 0, 2, 10);
        for step in 1..=4 {
            board.step(1, Step { step, loss: 1.0 / step as f32, tokens: 100 });
        }
        let progress = board.progress(1).unwrap();
        assert_eq!((progress.step, progress.losses.len()), (4, 4));
        assert!(progress.tokens_per_second > 0.0 && progress.eta_seconds.is_some());
        board.end(1);
        assert!(board.progress(1).is_none());
    }

    #[test]
    fn kept_losses_are_bounded() {
        let board = Board::default();
        board.begin(1, 0, 1, 20_000);
        (1..=20_000).for_each(|step| board.step(1, Step { step, loss: 1.0, tokens: 1 }));
        assert!(board.progress(1).unwrap().losses.len() <= MAX_LOSSES);
    }

    #[test]
    fn every_metric_has_help_and_type_and_a_value() {
        let board = Board::default();
        board.begin(3, 0, 1, 5);
        board.step(3, Step { step: 1, loss: 0.5, tokens: 7 });
        let text = board.prometheus();
        assert!(text.contains("attune_worker_tokens_trained_total 7\n"), "{text}");
        assert!(text.contains("attune_worker_job_loss{job=\"3\"} 0.5\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }
}
