//! A local network of real processes: validators and workers on this machine, on free loopback ports.
//!
//! The one idea: **the record is written before anything depends on it, and names each process by pid and start time**.
//! So `net down` stops exactly what `net up` started, also when `net up` was killed half way, and never a stranger that
//! has come to own a pid. Everything is under one folder:
//!
//! ```text
//! net/record.json        what was started: commands, ports, pids with start times
//! net/lock               held while `net up` or `net down` is at work
//! net/<name>/            one folder per process: its data and its log
//! ```
//!
//! `net up` is idempotent: what runs is left alone, what died is started again by its recorded command, with the same
//! ports and data. `net down` keeps the data, so that the next `net up` goes on with the same chain; `net down --delete`
//! removes it.

mod down;
mod launch;
pub mod logs;
pub mod ports;
pub mod process;
pub mod record;
pub mod rpc;
mod up;

pub use down::{down, Stopped};
pub use record::{NetRecord, Role, Service};
pub use up::{up, Outcome, UpOptions};
