//! The threads that a kernel may spread over.
//!
//! Whoever calls takes part: a pool of `count` has `count - 1` threads of its own, and the caller works as the last
//! one, so that a short kernel is under way before the others have woken up. Tasks are claimed from one counter,
//! which balances them when cores differ in speed. Who ran a task has no influence on what it writes.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A pool of threads with a fixed count.
pub struct Threads {
    pool: Option<ThreadPool>,
    count: usize,
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// No threads cannot do any work.
    #[error("expected at least one thread, found 0; give the number of cores that the worker may use")]
    Zero,
    /// The system refused a thread.
    #[error("expected {count} threads, but the system refused one: {source}; ask for fewer or raise the limit (ulimit -u)")]
    Refused {
        /// How many were asked for.
        count: usize,
        /// What the pool said.
        source: rayon::ThreadPoolBuildError,
    },
}

impl Threads {
    /// A pool of `count` threads, the caller's own among them.
    ///
    /// # Errors
    /// `count` is 0, or the system refuses a thread.
    pub fn new(count: usize) -> Result<Threads, ThreadsError> {
        let own = count.checked_sub(1).ok_or(ThreadsError::Zero)?;
        if own == 0 {
            return Ok(Threads::single());
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(own)
            .thread_name(|index| format!("kernel-{index}"))
            .build()
            .map_err(|source| ThreadsError::Refused { count, source })?;
        Ok(Threads { pool: Some(pool), count })
    }

    /// The caller's thread alone.
    pub fn single() -> Threads {
        Threads { pool: None, count: 1 }
    }

    /// How many threads work on a kernel, the caller's own among them.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Calls `run` once with each of `0..tasks`, on whichever thread is free, and returns when all are done.
    ///
    /// # Panics
    /// If one of the calls panics.
    pub fn for_each(&self, tasks: usize, run: impl Fn(usize) + Sync) {
        let Some(pool) = self.pool.as_ref().filter(|_| tasks > 1) else {
            return (0..tasks).for_each(run);
        };
        let next = AtomicUsize::new(0);
        let work = || loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            run(task);
        };
        pool.in_place_scope(|scope| {
            for _ in 1..self.count.min(tasks) {
                scope.spawn(|_| work());
            }
            work();
        });
    }
}
