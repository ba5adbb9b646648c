//! The Attune node: makes, checks and finalizes blocks, and answers questions about them.
//!
//! A thin shell around `sc-service`. The chain's rules are in the runtime, which travels inside the chain as
//! Wasm; here are the parts that a chain's rules leave open: consensus engines, network, database, RPC, command
//! line.
#![allow(clippy::result_large_err, reason = "the error type of sc_cli and sc_service is theirs")]

mod chain_spec;
mod cli;
mod command;
mod launch;
mod rpc;
mod service;
#[cfg(test)]
mod upgrade_tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run() {
        Ok(()) => ExitCode::SUCCESS,
        // As text: an error may be a list of them.
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
