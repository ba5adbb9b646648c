//! Tells and runs one file: `scripts/fuzz runtime --replay FILE`.

use crate::{scenario::Scenario, shrink, tell};
use std::{
    fs,
    panic::{catch_unwind, set_hook},
    path::Path,
};

/// Runs the scenario of a file and prints it step by step; first makes it smaller, if it breaks a rule and there is a
/// file to write the smaller form to. Gives the exit code: 0 if every rule holds, 1 if one is broken, 2 if the file is
/// no scenario.
pub fn replay(file: &Path, shrink_to: Option<&Path>) -> i32 {
    let read =
        fs::read(file).map_err(|error| error.to_string()).and_then(|content| Scenario::from_file(&content));
    let mut scenario = match read {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("can't read {}: {error}", file.display());
            return 2;
        }
    };
    if let Some(to) = shrink_to {
        scenario = shrink::shrink(scenario);
        if let Err(error) = fs::write(to, scenario.to_text(&[])) {
            eprintln!("can't write {}: {error}", to.display());
            return 2;
        }
    }
    println!("{}", scenario.to_text(&[]));
    // libFuzzer's own hook ends the process before anything can be said.
    set_hook(Box::new(|panic| println!("{panic}")));
    match catch_unwind(|| tell::tell(&scenario)) {
        Ok(Ok(())) => 0,
        Ok(Err(broken)) => {
            println!("BROKEN: {broken}");
            1
        }
        Err(_) => {
            println!("BROKEN: the runtime panicked");
            1
        }
    }
}
