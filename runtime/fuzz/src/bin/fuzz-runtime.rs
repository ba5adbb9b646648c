//! The coverage-guided form: libFuzzer's program. `scripts/fuzz runtime` builds it and starts it; see there.
//!
//! Environment: `ATTUNE_FUZZ_CALLS` (how many calls to dispatch before it ends), `ATTUNE_FUZZ_PROGRESS` (a file for
//! figures); `ATTUNE_FUZZ_REPLAY` (a file to tell and run, instead of fuzzing), `ATTUNE_FUZZ_SHRINK_TO` (where to write a
//! smaller form of it that breaks a rule, too).

#![no_main]

use attune_runtime_fuzz::{
    mutate,
    progress::Progress,
    replay::replay,
    run::{run, Report},
    scenario::Scenario,
};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::{cell::RefCell, env, path::PathBuf};

/// What this process has done so far.
struct State {
    report: Report,
    wanted: Option<u64>,
    progress: Option<Progress>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State {
        report: Report::default(),
        wanted: env::var("ATTUNE_FUZZ_CALLS").ok().and_then(|count| count.parse().ok()),
        progress: env::var_os("ATTUNE_FUZZ_PROGRESS").map(|file| Progress::new(PathBuf::from(file))),
    });
}

fuzz_target!(init: started(), |bytes: &[u8]| {
    STATE.with_borrow_mut(|state| {
        if let Err(broken) = run(&Scenario::from_bytes(bytes), &mut state.report, &mut ()) {
            panic!("{broken}");
        }
        let enough = state.wanted.is_some_and(|wanted| state.report.dispatched() >= wanted);
        if let Some(progress) = &mut state.progress {
            if let Err(error) = progress.tell(&state.report, enough) {
                eprintln!("can't write the progress file: {error}");
            }
        }
        if enough {
            end(0);
        }
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, &mut |bytes, most| fuzzer_mutate(bytes, most, most))
});

/// Before the first scenario: if there is a file to replay, that is all that is done.
fn started() {
    if let Some(file) = env::var_os("ATTUNE_FUZZ_REPLAY") {
        let shrink_to = env::var_os("ATTUNE_FUZZ_SHRINK_TO").map(PathBuf::from);
        end(replay(&PathBuf::from(file), shrink_to.as_deref()));
    }
}

/// Ends the process at once: libFuzzer takes an ordinary exit for a finding.
fn end(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and touches no memory.
    unsafe { libc::_exit(code) }
}
