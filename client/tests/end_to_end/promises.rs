//! What the economy promises around a job: stake that moves, notice of changes, sponsors, and another provider where one
//! vanishes.

use std::time::Duration;

use crate::{
    support::{planck, wait_until, Network, ATT},
    troubles::{jobs, order, three_providers, Orders},
};
use serde_json::Value;

#[test]
fn stake_sponsors_and_handovers_keep_what_was_promised() {
    let (network, orders) = three_providers();
    stake_that_moves_still_answers_for_its_old_provider(&network);
    a_provider_says_beforehand_what_it_changes(&network);
    a_sponsor_pays_within_its_limits_and_gets_back_what_is_left(&network, &orders);
    a_job_whose_provider_vanishes_is_finished_by_another_one(&network, &orders);
}

fn stake_that_moves_still_answers_for_its_old_provider(network: &Network) {
    let profile = &network.profile;
    let who = ["--dev-key", "//Delegator2"];
    profile.ok(&[&["stake", "delegate", "//Provider1", "50"][..], &who].concat());
    let moving = ["stake", "redelegate", "--from", "//Provider1", "--to", "//Provider3", "--all", "--yes"];
    profile.ok(&[&moving[..], &who].concat());
    let stake = profile.json(&["stake", "show", "//Delegator2"]);
    let moved = &stake["delegations"][0];
    assert_eq!(moved["provider"], profile.address("//Provider3"), "{stake}");
    assert_eq!(moved["lien"]["from"], profile.address("//Provider1"), "{stake}");
    let back = ["stake", "redelegate", "--from", "//Provider3", "--to", "//Provider1", "--all", "--yes"];
    let said = profile.fails(&[&back[..], &who].concat());
    assert!(said.contains("still answers for it until block"), "{said}");
    profile.ok(&[&["stake", "compound", "//Provider3", "--auto", "on"][..], &who].concat());
    let stake = profile.json(&["stake", "show", "//Delegator2"]);
    assert_eq!(stake["delegations"][0]["auto_compound"], true, "{stake}");
}

fn a_provider_says_beforehand_what_it_changes(network: &Network) {
    let profile = &network.profile;
    let show = || profile.json(&["providers", "show", "//Provider3"]);
    let who = ["--dev-key", "//Provider3"];
    let queued = profile.json(&[&["providers", "commission", "15"][..], &who].concat());
    assert_eq!(queued["commission_ppm"], 100_000, "a rise does not act at once: {queued}");
    assert_eq!(queued["commission_rise"][0], 150_000, "{queued}");
    profile.ok(&[&["providers", "commission", "10"][..], &who].concat());
    assert!(show()["commission_rise"].is_null(), "naming the present one takes the rise back");
    profile.ok(&[&["providers", "chill"][..], &who].concat());
    assert_eq!((&show()["active"], &show()["chilled"]), (&Value::Bool(false), &Value::Bool(true)));
    profile.ok(&[&["providers", "unchill"][..], &who].concat());
    assert_eq!((&show()["active"], &show()["chilled"]), (&Value::Bool(true), &Value::Bool(false)));
}

fn a_sponsor_pays_within_its_limits_and_gets_back_what_is_left(network: &Network, orders: &Orders) {
    let profile = &network.profile;
    let sponsor = ["--dev-key", "//Customer2"];
    let unsponsored =
        profile.fails(&orders.args(&["--model", "base", "--sponsor", "//Customer2", "--detach"]));
    assert!(unsponsored.contains("//Customer2 does not pay for //Customer"), "{unsponsored}");
    let add = |limit| {
        let terms = ["sponsor", "add", "//Customer", "--limit", limit, "--blocks", "1000", "--yes"];
        profile.ok(&[&terms[..], &sponsor].concat());
    };
    add("0.5");
    let dear = orders.args(&["--model", "base", "--max-price", "3", "--sponsor", "//Customer2"]);
    let said = profile.fails(&dear);
    assert!(said.contains("the sponsor pays at most 0.5 ATT for one"), "{said}");
    add("10000");
    let (customer, payer) = (profile.total("//Customer"), profile.total("//Customer2"));
    let known = jobs(network).len();
    // Under every quote, so that it stays open.
    let cheap = ["--model", "base", "--max-price", "0.000001", "--open-blocks", "1000", "--detach"];
    let args = orders.args(&[&cheap[..], &["--sponsor", "//Customer2"]].concat());
    let mut following = profile.command(&args).spawn().unwrap();
    wait_until("the sponsored job", Duration::from_secs(60), || jobs(network).len() == known + 1);
    following.kill().unwrap();
    following.wait().unwrap();
    let job = jobs(network)[known].clone();
    let id = job["id"].to_string();
    assert_eq!(job["funder"], profile.address("//Customer2"), "{job}");
    let given = profile.json(&["sponsor", "list", "//Customer"])[0].clone();
    assert!(planck(&given["used"]) > 0, "{given}");
    let more = ["jobs", "top-up", &id, "--audits", "2", "--yes"];
    let said = profile.fails(&[&more[..], &["--dev-key", "//Customer"]].concat());
    assert!(said.contains("//Customer2 pays for job"), "{said}");
    profile.ok(&[&more[..], &sponsor].concat());
    let held = |job: &Value| planck(&job["audit_budget"]);
    assert_eq!(held(&network.job(job["id"].as_u64().unwrap())["job"]) - held(&job), 2 * ATT);
    profile.ok(&["jobs", "cancel", &id, "--yes", "--dev-key", "//Customer"]);
    assert!(customer - profile.total("//Customer") < ATT / 10, "the customer paid fees alone");
    assert!(payer - profile.total("//Customer2") < ATT / 10, "the sponsor has back what it held");
    profile.ok(&[&["sponsor", "end", "--customer", "//Customer"][..], &sponsor].concat());
    assert_eq!(profile.json(&["sponsor", "list", "//Customer2"]), Value::Array(Vec::new()));
}

fn a_job_whose_provider_vanishes_is_finished_by_another_one(network: &Network, orders: &Orders) {
    let profile = &network.profile;
    // Nobody is chosen, so another provider may go on.
    let id = order(network, orders, &["--segments", "4", "--milestone-blocks", "45"]);
    network.wait_for_state(id, "running", Duration::from_secs(60));
    let trains = || network.job(id)["job"]["assignment"]["provider"].clone();
    let vanished = trains();
    let number = (1..=3)
        .find(|number| vanished == profile.address(&format!("//Provider{number}")))
        .unwrap_or_else(|| panic!("{vanished} is none of the three"));
    network.kill(&format!("worker-{number}"));
    // The customer's own program sends the inputs to whoever comes next.
    let watch = ["jobs", "watch", &id.to_string(), "--dev-key", "//Customer"].map(str::to_string);
    let watch: Vec<&str> = watch.iter().map(String::as_str).collect();
    let mut watching = profile.command(&watch).spawn().unwrap();
    // What is left is the price of the provider that vanished, and the others may ask more: the customer adds to it.
    // Refused only if one of them was quicker.
    wait_until("the handover", Duration::from_secs(200), || network.job(id)["job"]["handovers"] == 1);
    profile.run(&["jobs", "top-up", &id.to_string(), "--training", "1", "--yes", "--dev-key", "//Customer"]);
    wait_until("another provider", Duration::from_secs(100), || {
        let provider = trains();
        provider.is_string() && provider != vanished
    });
    // Back again, it may audit, but not take this job.
    profile.ok(&["net", "up"]);
    network.wait_for_state(id, "finalized", Duration::from_secs(500));
    assert!(watching.wait().unwrap().success(), "who watches a job that another one finishes ends well");
    let job = network.job(id)["job"].clone();
    assert_eq!(job["handovers"], 1, "{job}");
    assert!(job["excluded"].as_array().unwrap().contains(&vanished), "{job}");
    assert_eq!(job["milestones_paid"], 1, "{job}");
    let record = profile.json(&["records", "show", &id.to_string()]);
    assert_eq!(record["provider"], trains(), "{record}");
    assert_ne!(record["provider"], vanished, "{record}");
    let slashes = network.pending_slashes(&format!("//Provider{number}"));
    let slashed = slashes.iter().any(|slash| slash["job"] == id);
    let failed = &profile.json(&["providers", "show", &format!("//Provider{number}")])["reputation"];
    assert!(slashed || failed["jobs_failed"].as_u64() > Some(0), "{slashes:?} {failed}");
    let out = profile.path().join("handed-over").display().to_string();
    let exported = profile.json(&["export", &id.to_string(), "--out", &out, "--dev-key", "//Customer"]);
    assert_eq!(exported["adapter"], record["adapter"], "the adapter comes from who finished it");
}
