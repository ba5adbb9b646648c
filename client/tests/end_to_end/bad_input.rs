//! What people get wrong, and what they are told. Nothing here needs a network.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{base_model, rows_of, Profile};

/// Copies the shipped base model, so that a test can damage it.
fn copy_of_base(profile: &Profile) -> PathBuf {
    let copy = profile.path().join("base");
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(base_model()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}

fn check(profile: &Profile, base: &Path, data: &Path) -> String {
    let (base, data) = (base.display().to_string(), data.display().to_string());
    let output = profile.run(&["data", "check", "--base", &base, "--data", &data, "--sequence-length", "64"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn check_text(text: &str) -> String {
    let profile = Profile::new();
    let data = profile.path().join("data.jsonl");
    fs::write(&data, text).unwrap();
    check(&profile, &base_model(), &data)
}

const GOOD: &str =
    r#"{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"plant"}]}"#;

#[test]
fn malformed_jsonl_is_named_by_line_and_reason() {
    let said = check_text(&format!("{GOOD}\n{{\"messages\": [\n{GOOD}\n[1]\n"));
    assert!(said.contains("data.jsonl:2: malformed JSON at column"), "{said}");
    assert!(said.contains("data.jsonl:4: expected a JSON object, found"), "{said}");
}

#[test]
fn an_empty_or_too_small_data_set_is_refused() {
    assert!(check_text("").contains("the file is empty"));
    assert!(check_text(GOOD).contains("to train on"));
}

#[test]
fn a_row_longer_than_the_context_is_named_by_line() {
    let long = format!(
        r#"{{"messages":[{{"role":"user","content":"{}"}},{{"role":"assistant","content":"plant"}}]}}"#,
        "word ".repeat(200)
    );
    let said = check_text(&format!("{GOOD}\n{long}\n"));
    assert!(said.contains("data.jsonl:2: "), "{said}");
    assert!(said.contains("64"), "the limit is named: {said}");
}

#[test]
fn a_sequence_beyond_the_models_context_is_refused() {
    let profile = Profile::new();
    let data = rows_of("train.jsonl", 20, profile.path()).display().to_string();
    let base = base_model().display().to_string();
    let said =
        profile.fails(&["data", "check", "--base", &base, "--data", &data, "--sequence-length", "100000"]);
    assert!(said.contains("--sequence-length is 100000, but the model's context is"), "{said}");
}

#[test]
fn an_unknown_model_shape_is_named() {
    let profile = Profile::new();
    let base = copy_of_base(&profile);
    let config = fs::read_to_string(base.join("config.json")).unwrap();
    fs::write(base.join("config.json"), config.replace("LlamaForCausalLM", "MambaForCausalLM")).unwrap();
    let said = check(&profile, &base, &rows_of("train.jsonl", 20, profile.path()));
    assert!(said.contains("MambaForCausalLM") && said.contains("LlamaForCausalLM"), "{said}");
}

#[test]
fn a_missing_or_wrong_tokenizer_is_named() {
    let profile = Profile::new();
    let base = copy_of_base(&profile);
    let data = rows_of("train.jsonl", 20, profile.path());
    fs::write(base.join("tokenizer.json"), "{}").unwrap();
    assert!(check(&profile, &base, &data).contains("tokenizer"));
    fs::remove_file(base.join("tokenizer.json")).unwrap();
    let said = check(&profile, &base, &data);
    assert!(said.contains("tokenizer.json"), "{said}");
}

#[test]
fn corrupt_safetensors_are_named() {
    let profile = Profile::new();
    let base = copy_of_base(&profile);
    let weights = base.join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let base = base.display().to_string();
    let said = profile.fails(&["chat", "--base", &base, "--prompt", "hello"]);
    assert!(said.contains("model.safetensors"), "{said}");
}

#[test]
fn a_node_that_is_not_there_is_named_with_what_to_do() {
    let profile = Profile::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = profile.fails(&["--node", &url, "jobs", "list"]);
    assert!(said.contains(&url) && said.contains("attune net up"), "{said}");
}

#[test]
fn an_amount_or_account_that_is_none_is_refused_before_anything_is_sent() {
    let profile = Profile::new();
    let output = profile.run(&["transfer", "//Alice", "1,5", "--dev-key", "//Customer"]);
    assert_eq!(output.status.code(), Some(2), "a mistake on the command line");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not an amount of ATT"));
    let said = profile.fails(&["transfer", "nobody", "1", "--dev-key", "//Customer"]);
    assert!(said.contains("\"nobody\" is neither a key of this profile"), "{said}");
    let said = profile.fails(&["transfer", "//Alice", "1", "--account", "nobody"]);
    assert!(said.contains("nobody") && said.contains("attune keys"), "{said}");
}

#[test]
fn errors_are_json_where_results_are() {
    let profile = Profile::new();
    let said = profile.fails(&["--output", "json", "net", "logs", "alice"]);
    let error: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(error["error"].as_str().unwrap().contains("there is no local network"), "{error}");
}

#[test]
fn a_network_that_is_not_there_is_no_trouble_to_stop() {
    let profile = Profile::new();
    assert!(profile.ok(&["net", "down"]).contains("Nothing was running"));
    assert_eq!(profile.json(&["net", "status"])["running"], false);
}

#[test]
fn a_node_that_does_not_start_is_shown_with_the_end_of_its_log() {
    let profile = Profile::new();
    // A node that knows how to make its key and then fails.
    let program = profile.path().join("attune-node");
    let peer = format!("12D3Koo{}", "W".repeat(45));
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = key ]; then echo {peer}; exit 0; fi\necho the disk is gone >&2; exit 1\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said =
        profile.fails(&["net", "up", "--workers", "0", "--node-program", &program.display().to_string()]);
    assert!(
        said.contains("ended before it finalized a block") && said.contains("the disk is gone"),
        "{said}"
    );
    assert_eq!(profile.json(&["net", "status"])["running"], false);
}

#[test]
fn keys_are_made_imported_and_listed_without_a_terminal() {
    let profile = Profile::new();
    let run = |args: &[&str], stdin: &str| {
        use std::{io::Write, process::Stdio};
        let mut command = profile.command(args);
        command.env("ATTUNE_PASSPHRASE", "a long passphrase").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let made = run(&["keys", "new", "wallet"], "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let phrase = String::from_utf8_lossy(&made.stderr)
        .lines()
        .map(str::trim)
        .find(|line| {
            line.split(' ').count() == 12 && line.bytes().all(|b| b.is_ascii_lowercase() || b == b' ')
        })
        .expect("the phrase is shown once")
        .to_string();
    let imported = run(&["keys", "import", "again"], &phrase);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let keys = profile.json(&["keys", "list"]);
    assert_eq!(keys.as_array().unwrap().len(), 2);
    assert_eq!(keys[0]["address"], keys[1]["address"]);
    let file = fs::read_to_string(keys[0]["path"].as_str().unwrap()).unwrap();
    assert!(
        phrase.split(' ').all(|word| !file.contains(&format!(" {word} "))),
        "the phrase is not in the file"
    );
    let again = run(&["keys", "new", "wallet"], "");
    assert_eq!(again.status.code(), Some(1), "a key is never overwritten");
}
