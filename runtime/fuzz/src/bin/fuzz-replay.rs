//! Tells and runs one scenario: `scripts/fuzz runtime --replay FILE`. Exit code 0 if every rule holds, 1 if one is broken.

use attune_runtime_fuzz::{scenario::Scenario, shrink, tell};
use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (file, shrinks) = match arguments.as_slice() {
        [file] => (file, false),
        [flag, file] if flag == "--shrink" => (file, true),
        _ => {
            eprintln!(
                "expected [--shrink] FILE, found {arguments:?}; use scripts/fuzz, whose --help tells more"
            );
            return ExitCode::from(2);
        }
    };
    let read =
        fs::read(file).map_err(|error| error.to_string()).and_then(|content| Scenario::from_file(&content));
    let scenario = match read {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("can't read {file}: {error}");
            return ExitCode::from(2);
        }
    };
    let scenario = if shrinks { shrink::shrink(scenario) } else { scenario };
    println!("{}", scenario.to_text(&[]));
    match tell::tell(&scenario) {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            println!("BROKEN: {broken}");
            ExitCode::FAILURE
        }
    }
}
