//! The `attune` command: reads the command line, runs it, and turns what comes of it into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    attune_client::cli::main()
}
