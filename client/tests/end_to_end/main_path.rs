//! The main job on a real network: three validators, three workers, one customer, and nothing but the `attune` command.

use crate::{
    stake::{
        a_provider_says_beforehand_what_it_changes, stake_that_moves_still_answers_for_its_old_provider,
    },
    support::{base_model, planck, rows_of, Network, ATT},
};
use attune_trainer::{dequantise::dequantise, BaseFormat};
use serde_json::Value;

#[test]
fn a_customer_gets_a_better_model_and_pays_for_verified_work_alone() {
    let network = Network::with_providers(3);
    let profile = &network.profile;
    everything_runs_once(&network);
    profile.ok(&["stake", "delegate", "//Provider1", "100", "--dev-key", "//Delegator1"]);

    let (train, held_out) =
        (rows_of("train.jsonl", 240, profile.path()), rows_of("held_out.jsonl", 48, profile.path()));
    let (train, held_out) = (train.display().to_string(), held_out.display().to_string());
    let customer_before = profile.total("//Customer");
    let stakes_before: Vec<u128> = (1..=3).map(|n| profile.total(&format!("//Provider{n}"))).collect();
    let data = ["--data", &train, "--held-out", &held_out, "--sequence-length", "128"];
    let training = ["--learning-rate", "3e-3", "--epochs", "2", "--batch", "4", "--rank", "8"];
    let terms =
        ["--milestones", "2", "--segments", "2", "--samples", "1", "--auditors", "2", "--theme", "words"];
    let who = ["--yes", "--dev-key", "//Customer"];
    let record = profile.json(&[&["train", "--model", "base"][..], &data, &training, &terms, &who].concat());

    the_record_says_what_happened(&network, &record);
    the_money_adds_up(&network, &record, customer_before, &stakes_before);
    the_adapter_comes_home_and_is_better(&network, &record, &held_out);
    nobody_else_gets_the_adapter(&network, &record);
    // On this network, as it is the first to have nothing left to do.
    stake_that_moves_still_answers_for_its_old_provider(&network);
    a_provider_says_beforehand_what_it_changes(&network);
}

fn everything_runs_once(network: &Network) {
    let status = network.profile.json(&["net", "status"]);
    assert_eq!(status["running"], Value::Bool(true), "{status}");
    let heights: Vec<u64> = ["alice", "bob", "charlie"]
        .map(|name| network.service(name)["height"]["finalized"].as_u64().unwrap())
        .into();
    assert!(heights.iter().all(|height| *height > 0), "{heights:?}");
    let again = network.profile.run(&["net", "up"]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("already running"));
    assert_eq!(network.profile.json(&["net", "status"])["services"][0]["pid"], status["services"][0]["pid"]);
}

fn the_record_says_what_happened(network: &Network, record: &Value) {
    assert_eq!(record["customer"], network.profile.address("//Customer"));
    assert_eq!(record["theme"], "words");
    let loss = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("no {name}: {record}"));
    assert!(loss("loss_after_micro") < loss("loss_before_micro"), "{record}");
    let audits = record["audits"].as_array().unwrap();
    // One segment of each of two milestones by both other providers.
    assert_eq!(audits.len(), 4, "{record}");
    for audit in audits {
        assert_eq!(audit["verdict"], "match");
        assert_ne!(audit["auditor"], record["provider"], "nobody audits itself");
    }
    let job = network.job(record["job"].as_u64().unwrap());
    assert_eq!(job["job"]["state"]["name"], "finalized");
    assert_eq!(job["job"]["milestones_paid"], 2);
    assert_eq!(planck(&job["job"]["escrow"]), 0, "all of the escrow is paid or returned");
    assert_eq!(planck(&job["job"]["audit_budget"]), 0, "all of the audit budget is paid or returned");
}

/// The customer paid the price, four audits and fees. The price went to the provider but for the delegator's share,
/// the audit fees to the auditors.
fn the_money_adds_up(network: &Network, record: &Value, customer_before: u128, stakes_before: &[u128]) {
    let profile = &network.profile;
    let job = network.job(record["job"].as_u64().unwrap());
    let price = planck(&record["price"]);
    let audit_fee = planck(&job["job"]["spec"]["audit_fee"]);
    assert!(price > 0 && audit_fee > 0);
    let spent = customer_before - profile.total("//Customer");
    let owed = price + 4 * audit_fee;
    assert!(spent >= owed && spent < owed + ATT, "the customer spent {spent}, owed {owed} and fees");
    let gained: u128 = (1..=3).map(|n| profile.total(&format!("//Provider{n}")) - stakes_before[n - 1]).sum();
    let delegator = profile.json(&["stake", "show", "//Delegator1"]);
    let claimable: u128 =
        delegator["delegations"].as_array().unwrap().iter().map(|d| planck(&d["claimable"])).sum();
    let received = gained + claimable;
    // Each payment's division may leave a planck behind.
    assert!(
        received <= owed && owed - received <= 64,
        "providers and delegators received {received} of {owed}"
    );
}

fn the_adapter_comes_home_and_is_better(network: &Network, record: &Value, held_out: &str) {
    let profile = &network.profile;
    let (job, out) = (record["job"].to_string(), profile.path().join("adapter"));
    let out = out.display().to_string();
    let exported = profile.json(&["export", &job, "--out", &out, "--dev-key", "//Customer"]);
    assert_eq!(exported["adapter"], record["adapter"]);
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        assert!(std::path::Path::new(&out).join(name).is_file(), "no {name}");
    }
    assert_eq!(record["mode"], serde_json::json!({ "name": "exact", "version": 1, "base": "w8" }));
    // The record's losses are of the base in 8 bits; what floats make of that one is the same but for rounding.
    let base = profile.path().join("exact-base");
    dequantise(&base_model(), BaseFormat::W8, &base).unwrap();
    let base = base.display().to_string();
    let models = ["--base", &base, "--adapter", &out, "--threads", "1"];
    let scores =
        profile.json(&[&["eval", "--data", held_out, "--sequence-length", "128"][..], &models].concat());
    for (side, name) in [("base", "loss_before_micro"), ("tuned", "loss_after_micro")] {
        let (measured, recorded) =
            (scores[side]["loss"].as_f64().unwrap(), record[name].as_f64().unwrap() / 1e6);
        assert!((measured - recorded).abs() < 1e-3, "{side}: measured {measured}, recorded {recorded}");
    }
    let asked =
        ["--prompt", "oyster cracker: a small dry usually round cracker. What is it?", "--max-tokens", "8"];
    let answers = profile.json(&[&["chat"][..], &models, &asked].concat());
    assert!(answers["base"].is_string() && answers["tuned"].is_string(), "{answers}");
}

fn nobody_else_gets_the_adapter(network: &Network, record: &Value) {
    // Another profile, whose store does not have it yet.
    let stranger = crate::support::Profile::new();
    let node = network.profile.json(&["net", "status"])["node_rpc"].as_str().unwrap().to_string();
    let out = stranger.path().join("adapter").display().to_string();
    let job = record["job"].to_string();
    let refused =
        stranger.fails(&["--node", &node, "export", &job, "--out", &out, "--dev-key", "//Delegator3"]);
    assert!(refused.contains("403") || refused.contains("not entitled"), "{refused}");
    assert!(!std::path::Path::new(&out).exists());
}
