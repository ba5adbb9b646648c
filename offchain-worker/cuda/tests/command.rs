//! The command `attune-gpu-check`, as scripts/gpu-check calls it.

use std::process::{Command, Output};

/// Without any GPU, on a machine that has some, too.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attune-gpu-check"));
    command.args(arguments).env("CUDA_VISIBLE_DEVICES", "").output().expect("the command was built, qed")
}

#[test]
fn a_machine_without_a_gpu_is_told_apart_from_one_whose_gpu_differs() {
    let Output { status, stderr, .. } = run(&["gpu"]);
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.starts_with("no GPU: expected "), "{said}");
}

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    for arguments in [&[][..], &["gpu", "first"], &["gpu", "0", "1", "2"], &["cubin"], &["host", "0"]] {
        let Output { status, stderr, .. } = run(arguments);
        assert_eq!(status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&stderr).starts_with("Usage: attune-gpu-check host"));
    }
}
