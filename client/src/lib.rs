//! The `attune` command, as a library with a thin binary.
//!
//! The one idea: **a command is a reader of the chain and a signer of transactions, and keeps no truth of its own.**
//! What is on disk (keys, copies of models and packed data, the record of a local network) can be thrown away and made
//! again, except the keys; so every command can be interrupted and run again.
//!
//! Map:
//! * [`cli`] - the grammar of the command line, and which command runs what.
//! * [`context`] - what every command has: the profile folder, the node, the way to print.
//! * [`commands`] - one file per command.
//! * [`net`] - a local network of processes: started, recorded, stopped.
//! * [`output`], [`progress`], [`money`], [`time`] - tables and JSON on stdout, bars on stderr, amounts and spans.
//! * [`account`] - who signs. [`arithmetic`] - the arithmetic of a job, as it is named and shown.
//! * [`artifacts`] - models, data sets and adapters by content, to and from providers.
//! * [`plan`] - from a customer's wishes to a job's specification, with its estimate of price and time.
//! * [`follow`], [`narrate`], [`remote`] - a job seen from outside while it runs; what its worker says.
//!
//! Results go to stdout, everything else (progress, questions, warnings) to stderr. An error says what was expected,
//! what was found and what to change, and the exit status is then not zero.

pub mod account;
pub mod arithmetic;
pub mod artifacts;
pub mod cli;
pub mod commands;
pub mod context;
pub mod follow;
pub mod money;
pub mod narrate;
pub mod net;
pub mod output;
pub mod patience;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod remote;
pub mod time;
