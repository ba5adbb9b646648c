//! How busy processes and the machine are, out of `/proc`, and what nodes count, out of their Prometheus metrics.

use std::{fs, time::Instant};

use anyhow::{Context, Result};

use super::network::Node;

/// Ticks of `/proc` in a second: what Linux shows user space on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time used up to a moment.
pub(super) struct Usage {
    at: Instant,
    /// Ticks of each process, in the order in which they were asked for.
    processes: Vec<u64>,
    /// Ticks of all cores together: busy, and all.
    machine: (u64, u64),
}

/// Cores in use on average between two moments.
pub(super) struct Cores {
    pub(super) processes: Vec<f64>,
    /// By everything on the machine.
    pub(super) machine: f64,
    /// That the machine has.
    pub(super) all: f64,
}

impl Usage {
    /// Up to now, of the processes `pids`.
    pub(super) fn now(pids: &[u32]) -> Result<Self> {
        let read = |path: String| fs::read_to_string(&path).with_context(|| format!("reading {path}"));
        let processes = pids.iter().map(|pid| {
            let text = read(format!("/proc/{pid}/stat"))?;
            process_ticks(&text).with_context(|| format!("/proc/{pid}/stat is {text:?}"))
        });
        let text = read("/proc/stat".into())?;
        Ok(Self {
            at: Instant::now(),
            processes: processes.collect::<Result<_>>()?,
            machine: machine_ticks(&text).context("/proc/stat has no line of all cores")?,
        })
    }

    /// What was in use from `self` to `later`.
    pub(super) fn until(&self, later: &Self) -> Cores {
        let seconds = later.at.duration_since(self.at).as_secs_f64().max(f64::EPSILON);
        let cores =
            |before: u64, after: u64| after.saturating_sub(before) as f64 / TICKS_PER_SECOND / seconds;
        let processes = self.processes.iter().zip(&later.processes);
        Cores {
            processes: processes.map(|(before, after)| cores(*before, *after)).collect(),
            machine: cores(self.machine.0, later.machine.0),
            all: cores(self.machine.1, later.machine.1),
        }
    }
}

/// User and system time of a line of `/proc/PID/stat`. The name before them may hold anything, brackets included.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    fields.next()??.checked_add(fields.next()??)
}

/// Busy and all ticks of the first line of `/proc/stat`. Idle are the fourth and fifth field; those after the eighth are
/// counted in the others already.
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    Some((all.checked_sub(*ticks.get(3)?)?.checked_sub(*ticks.get(4)?)?, all))
}

/// What a node counts.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    /// Transactions that could go into a block, as the node sees it.
    pub(super) ready: f64,
    /// Blocks of others that it checked and imported, and the seconds that this took.
    pub(super) imported: (f64, f64),
}

impl Counters {
    /// A node's, now.
    pub(super) async fn of(node: &Node) -> Result<Self> {
        let port = node.option("--prometheus-port").context("the node's command names no Prometheus port")?;
        let url = format!("http://127.0.0.1:{port}/metrics");
        let asking = || format!("asking {url}");
        let text = reqwest::get(&url).await.with_context(asking)?.text().await.with_context(asking)?;
        Ok(Self {
            ready: metric(&text, "substrate_ready_transactions_number").unwrap_or_default(),
            imported: (
                metric(&text, "substrate_block_verification_and_import_time_count").unwrap_or_default(),
                metric(&text, "substrate_block_verification_and_import_time_sum").unwrap_or_default(),
            ),
        })
    }
}

/// The value of a metric that stands once in the text, with whatever labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let rest = lines.find(|rest| rest.starts_with(['{', ' ']))?;
    rest.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_user_and_system_time_also_behind_an_odd_name() {
        let line = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 700 40 5 6 20 0";
        assert_eq!(process_ticks(line), Some(740));
    }

    #[test]
    fn the_machine_is_busy_with_all_but_idling_and_waiting() {
        assert_eq!(machine_ticks("cpu  10 20 30 1000 500 1 2 3 99 99\ncpu0 1"), Some((66, 1_566)));
        assert_eq!(machine_ticks("intr 1"), None);
    }

    #[test]
    fn a_metric_is_found_with_and_without_labels() {
        let text = "# HELP a_b x\na_b_c 9\na_b{chain=\"local\"} 1.5\nplain 3\n";
        assert_eq!(metric(text, "a_b"), Some(1.5));
        assert_eq!(metric(text, "plain"), Some(3.0));
        assert_eq!(metric(text, "gone"), None);
    }
}
