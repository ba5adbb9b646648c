//! Starting a recorded process, and waiting until it is ready.

use std::{
    fs::OpenOptions,
    future::Future,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};

use super::{logs, ports, process::ProcessId, record::Service, rpc};
use crate::profile::make_private_dir;

/// Lines of a log that an error shows.
const SHOWN_LINES: usize = 20;
/// How often a process that should become ready is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts the service's process by its recorded command and records its pid and start time in `service`. It is in a
/// session of its own: neither a Ctrl-C at the terminal nor the terminal's end reaches it, and it outlives this program.
/// It has its log and nothing else of what this program or its caller has open: whoever reads this program's output to
/// its end does not wait for the network.
///
/// # Errors
/// If a port is taken, or the program cannot be run.
pub(super) fn spawn(service: &mut Service) -> Result<Child> {
    if let Some(port) = service.ports.iter().find(|port| !ports::is_free(**port)) {
        bail!(
            "{} listens on port {port}, which another program has taken; end that program, or drop this network's \
             data with `attune net down --delete` and run `attune net up` again: it then chooses other ports",
            service.name
        );
    }
    make_private_dir(&service.folder)?;
    let open = || OpenOptions::new().create(true).append(true).open(&service.log);
    let log = open().with_context(|| format!("opening the log {}", service.log.display()))?;
    let for_errors = log.try_clone().context("sharing the log")?;
    let mut command = Command::new(&service.program);
    command
        .args(&service.args)
        .current_dir(&service.folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(for_errors);
    // SAFETY: between fork and exec only system calls are made; they neither allocate nor take a lock.
    unsafe { command.pre_exec(leave_the_caller) };
    let child = command.spawn().with_context(|| format!("running {}", service.program.display()))?;
    service.process = Some(ProcessId::of(child.id())?);
    Ok(child)
}

/// Begins a session, and has every open file but standard input, output and error closed by the exec that follows.
fn leave_the_caller() -> std::io::Result<()> {
    rustix::process::setsid()?;
    // SAFETY: the call only sets a flag on this process's own files. A kernel without it (before 5.11) leaves them open.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// Waits until `is_ready` says so. `what` words what is waited for.
///
/// # Errors
/// If the process ends first or `deadline` passes; the error shows the end of its log.
pub(super) async fn wait_until<F>(
    service: &Service,
    what: &str,
    deadline: Instant,
    is_ready: impl Fn() -> F,
) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    loop {
        let found = is_ready().await;
        if let Ok(true) = found {
            return Ok(());
        }
        if !service.is_alive() {
            bail!("{} ended before {what}; the end of its log:\n{}", service.name, end_of_log(service));
        }
        if Instant::now() >= deadline {
            let reason = found.err().map(|e| format!(" ({e:#})")).unwrap_or_default();
            bail!(
                "{}: {what} took too long{reason}; the end of its log:\n{}",
                service.name,
                end_of_log(service)
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until a validator has peers (if it should have any) and has finalized a block.
pub(super) async fn wait_for_finality(service: &Service, has_peers: bool, deadline: Instant) -> Result<()> {
    // A network that goes on with old data has final blocks already; a new one shows that it works.
    let first = std::cell::OnceCell::new();
    wait_until(service, "it finalized a block", deadline, || async {
        let height = rpc::height(&service.url).await?;
        Ok(height.finalized > *first.get_or_init(|| height.finalized) && (height.peers > 0 || !has_peers))
    })
    .await
}

/// Waits until a worker advertises itself.
pub(super) async fn wait_for_worker(service: &Service, deadline: Instant) -> Result<()> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(3))
        .build()
        .context("making an HTTP client")?;
    let url = format!("{}/v1/advertisement", service.url);
    wait_until(service, "it advertised itself", deadline, || async {
        Ok(client.get(&url).send().await.with_context(|| format!("asking {url}"))?.status().is_success())
    })
    .await
}

fn end_of_log(service: &Service) -> String {
    let shown = logs::tail(&service.log, SHOWN_LINES).unwrap_or_else(|e| format!("{e:#}"));
    format!("{shown}\n(the whole log: {})", service.log.display())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::{
        io::{fcntl_setfd, FdFlags},
        process::{getsid, Pid},
    };

    use super::*;
    use crate::net::Role;

    #[test]
    fn a_daemon_has_its_own_session_and_none_of_the_callers_files() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("sleeper");
        let mut service = Service {
            name: "sleeper".into(),
            role: Role::Worker,
            program: "/bin/sleep".into(),
            args: vec!["600".into()],
            log: folder.join("log"),
            folder,
            url: "http://127.0.0.1:1".into(),
            ports: Vec::new(),
            operator: None,
            process: None,
        };
        // As a shell hands a pipe on: open across exec.
        let (mut reader, writer) = std::io::pipe().unwrap();
        fcntl_setfd(&writer, FdFlags::empty()).unwrap();
        let mut child = spawn(&mut service).unwrap();
        drop(writer);
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(reader.read(&mut [0]).unwrap()));
        let end = receive.recv_timeout(Duration::from_secs(20));
        let pid = Pid::from_child(&child);
        let session = getsid(Some(pid)).unwrap();
        assert!(service.process.as_ref().unwrap().stop(Duration::from_secs(5)).unwrap());
        child.wait().unwrap();
        assert_eq!(end, Ok(0), "the pipe ends while the daemon runs");
        assert_eq!(session, pid);
    }
}
