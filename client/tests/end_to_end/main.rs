//! What a user does, with the `attune` command alone: bad input, and whole jobs on real networks.
//!
//! One program, so that the networks run beside each other: a job spends most of its time waiting for epochs and deadlines.

mod bad_input;
mod cheating;
mod main_path;
mod promises;
mod stake;
mod support;
mod troubles;
