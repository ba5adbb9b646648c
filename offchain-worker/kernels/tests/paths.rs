//! Which path runs, and on which threads, is said and kept.

use attune_kernels::{Isa, Threads, ThreadsError, ENVIRONMENT};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};

/// One test, because the environment is the whole process's.
#[test]
fn a_path_is_chosen_by_name_or_refused_with_the_names_there_are() {
    let available = Isa::available();
    assert_eq!(available.last().map(|isa| isa.name()), Some("portable"));
    for isa in &available {
        assert_eq!(Isa::from_name(isa.name()), Ok(*isa));
        std::env::set_var(ENVIRONMENT, isa.name());
        assert_eq!(Isa::detect(), Ok(*isa));
    }
    for absent in ["sse9", "", "AVX2"] {
        std::env::set_var(ENVIRONMENT, absent);
        let error = Isa::detect().expect_err("no machine has it");
        assert_eq!(error.found, absent);
        assert!(available.iter().all(|isa| error.available.contains(isa.name())), "{error}");
    }
    std::env::remove_var(ENVIRONMENT);
    assert_eq!(Isa::detect(), Ok(available[0]));
}

#[test]
fn every_task_is_done_once_on_any_number_of_threads() {
    for count in [1, 2, 3, 8] {
        let threads = Threads::new(count).expect("eight threads");
        assert_eq!(threads.count(), count);
        for tasks in [0, 1, 2, 7, 1000] {
            let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            threads.for_each(tasks, |task| {
                done[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        }
    }
    assert!(matches!(Threads::new(0), Err(ThreadsError::Zero)));
}

#[test]
fn a_task_may_hand_out_tasks() {
    let threads = Threads::new(3).expect("three threads");
    let sum = AtomicUsize::new(0);
    threads.for_each(5, |outer| {
        threads.for_each(7, |inner| {
            sum.fetch_add(outer * 7 + inner, Ordering::Relaxed);
        });
    });
    assert_eq!(sum.into_inner(), (0..35).sum());
}

#[test]
fn a_panic_in_a_task_reaches_the_caller() {
    let threads = Threads::new(2).expect("two threads");
    let caught = catch_unwind(AssertUnwindSafe(|| threads.for_each(10, |task| assert_ne!(task, 7))));
    assert!(caught.is_err());
    threads.for_each(10, |_| {});
}
