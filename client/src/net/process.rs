//! Processes by pid **and** start time. A pid alone is reused by strangers.

use std::{
    fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};
use rustix::process::{pidfd_open, pidfd_send_signal, Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// How often a process that should end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process that was started once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid.
    pub pid: i32,
    /// When it started, in the kernel's clock ticks since boot.
    pub start_ticks: u64,
    /// The boot that the ticks count from.
    pub boot_id: String,
}

impl ProcessId {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// If there is none, or `/proc` cannot be read.
    pub fn of(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("a pid beyond the kernel's range")?;
        match stat(pid)? {
            Some(stat) => Ok(ProcessId { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? }),
            None => bail!("process {pid} ended at once"),
        }
    }

    /// True if this very process still runs. A process that ended and was not reaped counts as ended.
    pub fn is_alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|id| id == self.boot_id);
        let found = stat(self.pid).ok().flatten();
        same_boot && found.is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.has_ended)
    }

    /// Asks the process to end (SIGTERM), waits up to `patience`, then kills it. True if it was running.
    ///
    /// # Errors
    /// If it belongs to somebody else, or outlives the kill by five seconds.
    pub fn stop(&self, patience: Duration) -> Result<bool> {
        if !self.signal(Signal::TERM)? {
            return Ok(false);
        }
        if self.wait_for_end(patience) {
            return Ok(true);
        }
        self.signal(Signal::KILL)?;
        if self.wait_for_end(Duration::from_secs(5)) {
            return Ok(true);
        }
        bail!("process {} did not end within 5 s of SIGKILL; look at it with `ps -p {}`", self.pid, self.pid)
    }

    /// Sends a signal; false if the process has ended.
    fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(e) => return Err(e).with_context(|| format!("opening process {}", self.pid)),
        };
        // The handle stays with whatever process it was opened on, so this look settles whose it is.
        if !self.is_alive() {
            return Ok(false);
        }
        match pidfd_send_signal(handle, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(e) => Err(e).with_context(|| format!("signalling process {}", self.pid)),
        }
    }

    fn wait_for_end(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }
}

struct Stat {
    has_ended: bool,
    start_ticks: u64,
}

fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // ESRCH: it ended between the opening and the reading.
        Err(e) if e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(3) => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("reading {path}")),
    };
    // The second field is the program's name in parentheses and may hold anything, so count from its end.
    let after_name = text.rfind(')').and_then(|at| text.get(at + 1..)).unwrap_or_default();
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let (Some(state), Some(Ok(start_ticks))) = (fields.first(), fields.get(19).map(|f| f.parse())) else {
        bail!("{path} is not as proc(5) describes it: {text:?}");
    };
    Ok(Some(Stat { has_ended: matches!(*state, "Z" | "X"), start_ticks }))
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).with_context(|| format!("reading {path}"))?.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn a_process_is_stopped_once() {
        let mut child = sleeper();
        let process = ProcessId::of(child.id()).unwrap();
        assert!(process.is_alive());
        assert!(process.stop(Duration::from_secs(10)).unwrap());
        assert!(!process.is_alive());
        assert!(!process.stop(Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
    }

    #[test]
    fn a_stranger_with_the_same_pid_is_left_alone() {
        let mut child = sleeper();
        let truth = ProcessId::of(child.id()).unwrap();
        let earlier = ProcessId { start_ticks: truth.start_ticks - 1, ..truth.clone() };
        let other_boot = ProcessId { boot_id: "another".into(), ..truth.clone() };
        for stranger in [earlier, other_boot] {
            assert!(!stranger.is_alive());
            assert!(!stranger.stop(Duration::from_millis(10)).unwrap());
        }
        assert!(truth.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ignores_the_request_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
            .unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        assert!(process.stop(Duration::from_millis(200)).unwrap());
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
