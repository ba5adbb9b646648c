//! `attune net down`.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;

use super::record::{lock, NetRecord, Service};

/// How long a process may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(15);

/// What `down` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// Names of the processes that were running and are stopped.
    pub stopped: Vec<String>,
    /// True if the network's data was deleted too.
    pub deleted: bool,
}

/// Stops exactly the processes that `up` recorded in `folder` and that still run. With `delete` their data, logs and
/// record go too. A network that is not there is no error.
///
/// # Errors
/// If a process cannot be stopped, or the data not be deleted.
pub fn down(folder: &Path, delete: bool) -> Result<Stopped> {
    if !folder.exists() {
        return Ok(Stopped { stopped: Vec::new(), deleted: false });
    }
    let lock = lock(folder)?;
    let record = NetRecord::read(folder)?;
    let services: Vec<&Service> = record.iter().flat_map(|record| &record.services).collect();
    let stopped = stop_all(&services)?;
    if delete {
        fs::remove_dir_all(folder).with_context(|| format!("deleting {}", folder.display()))?;
    }
    drop(lock);
    Ok(Stopped { stopped, deleted: delete })
}

/// Stops services, all at once, and gives the names of those that were running.
///
/// # Errors
/// The first that cannot be stopped; the others are stopped all the same.
pub(super) fn stop_all(services: &[&Service]) -> Result<Vec<String>> {
    let stop = |service: &Service| -> Result<Option<String>> {
        let Some(process) = &service.process else { return Ok(None) };
        let was_running = process.stop(PATIENCE).with_context(|| format!("stopping {}", service.name))?;
        Ok(was_running.then(|| service.name.clone()))
    };
    let outcomes: Vec<Result<Option<String>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = services.iter().map(|service| scope.spawn(move || stop(service))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread that stops a process panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    Ok(outcomes.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}
