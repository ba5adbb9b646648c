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
/// process group of its own: a Ctrl-C at the terminal does not reach it, and it outlives this program.
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
    let child = Command::new(&service.program)
        .args(&service.args)
        .current_dir(&service.folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(for_errors)
        .process_group(0)
        .spawn()
        .with_context(|| format!("running {}", service.program.display()))?;
    service.process = Some(ProcessId::of(child.id())?);
    Ok(child)
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
