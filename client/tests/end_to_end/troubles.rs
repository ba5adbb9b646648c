//! What goes wrong on a real network, and that nothing is lost by it.

use std::time::Duration;

use crate::support::{planck, rows_of, wait_until, Network, Profile, ATT};
use attune_chain_client::{calls, Account, Chain, Submitter, Wait};
use serde_json::Value;

#[test]
fn whatever_goes_wrong_the_escrow_returns_and_no_work_is_done_twice() {
    let network = Network::up(3);
    for number in 1..=3 {
        network.register(number);
    }
    network.add_base_model();
    let orders = Orders::new(&network);
    stake_that_moves_still_answers_for_its_old_provider(&network);
    a_provider_says_beforehand_what_it_changes(&network);
    a_job_beyond_the_balance_is_not_ordered(&network, &orders);
    a_job_of_a_model_that_is_not_here_is_not_ordered(&network, &orders);
    a_job_under_every_quote_expires_and_the_escrow_returns(&network, &orders);
    nobody_but_the_customer_cancels(&network, &orders);
    a_sponsor_pays_within_its_limits_and_gets_back_what_is_left(&network, &orders);
    a_killed_worker_and_a_killed_node_go_on_where_they_were(&network, &orders);
    a_provider_that_vanishes_pays_with_its_bond(&network, &orders);
    a_job_whose_provider_vanishes_is_finished_by_another_one(&network, &orders);
}

/// Orders of the same small data set.
struct Orders {
    train: String,
    held_out: String,
}

impl Orders {
    fn new(network: &Network) -> Self {
        let path = network.profile.path();
        let file = |name, rows| rows_of(name, rows, path).display().to_string();
        Orders { train: file("train.jsonl", 240), held_out: file("held_out.jsonl", 16) }
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let data = ["--data", &self.train, "--held-out", &self.held_out, "--sequence-length", "128"];
        [&["train", "--yes", "--dev-key", "//Customer"][..], &data, more].concat()
    }
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

fn jobs(network: &Network) -> Vec<Value> {
    network.profile.json(&["jobs", "list"]).as_array().unwrap().clone()
}

fn a_job_beyond_the_balance_is_not_ordered(network: &Network, orders: &Orders) {
    let said = network.profile.fails(&orders.args(&["--model", "base", "--max-price", "5000000"]));
    assert!(
        said.contains("this job takes 5,000,") && said.contains("//Customer has") && said.contains("free"),
        "{said}"
    );
    assert!(jobs(network).is_empty());
}

fn a_job_of_a_model_that_is_not_here_is_not_ordered(network: &Network, orders: &Orders) {
    let said = network.profile.fails(&orders.args(&["--model", "nothing"]));
    assert!(said.contains("there is no model named \"nothing\""), "{said}");
    let elsewhere = Profile::new();
    let node = network.profile.json(&["net", "status"])["node_rpc"].as_str().unwrap().to_string();
    let said = elsewhere.fails(&orders.args(&["--model", "base", "--node", &node]));
    assert!(said.contains("are not in this profile; add them with `attune models add DIR`"), "{said}");
}

fn a_job_under_every_quote_expires_and_the_escrow_returns(network: &Network, orders: &Orders) {
    let before = network.profile.total("//Customer");
    let args = orders.args(&["--model", "base", "--max-price", "0.000001", "--open-blocks", "4"]);
    let said = network.profile.fails(&args);
    assert!(said.contains("No provider would accept at this maximum"), "said beforehand: {said}");
    assert!(said.contains("expired: no provider accepted in time"), "{said}");
    assert!(said.contains("raise --max-price"), "{said}");
    let balance = network.profile.json(&["balance", "//Customer"]);
    let escrow =
        balance["holds"].as_array().unwrap().iter().find(|hold| hold["reason"] == "JobEscrow.Escrow");
    assert!(escrow.is_none(), "{balance}");
    assert!(before - network.profile.total("//Customer") < ATT / 10, "fees alone are gone");
}

fn nobody_but_the_customer_cancels(network: &Network, orders: &Orders) {
    let args =
        orders.args(&["--model", "base", "--max-price", "0.000001", "--open-blocks", "1000", "--detach"]);
    let mut following = network.profile.command(&args).spawn().unwrap();
    wait_until("the second job", Duration::from_secs(60), || jobs(network).len() == 2);
    following.kill().unwrap();
    following.wait().unwrap();
    let id = jobs(network)[1]["id"].as_u64().unwrap();
    let said =
        network.profile.fails(&["jobs", "cancel", &id.to_string(), "--yes", "--dev-key", "//Customer2"]);
    assert!(said.contains("only its customer can cancel it"), "{said}");
    // Whoever leaves our client aside is refused by the chain.
    let node = network.profile.json(&["net", "status"])["node_rpc"].as_str().unwrap().to_string();
    let refused = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let stranger =
            Submitter::new(Chain::connect(&node).await.unwrap(), Account::dev("//Customer2").unwrap())
                .unwrap();
        stranger.submit(&calls::cancel_job(id), Wait::InBlock).await.unwrap_err()
    });
    assert!(matches!(refused, attune_chain_client::Error::Rejected(_)), "{refused}");
    let before = planck(&network.profile.json(&["balance", "//Customer"])["free"]);
    network.profile.ok(&["jobs", "cancel", &id.to_string(), "--yes", "--dev-key", "//Customer"]);
    assert!(
        planck(&network.profile.json(&["balance", "//Customer"])["free"]) > before,
        "the escrow is free again"
    );
    assert_eq!(network.job(id)["job"]["state"]["name"], "cancelled");
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

/// Orders a small job and returns once that has the inputs.
fn order(network: &Network, orders: &Orders, more: &[&str]) -> u64 {
    let terms = [
        "--model",
        "base",
        "--epochs",
        "6",
        "--batch",
        "4",
        "--milestones",
        "1",
        "--samples",
        "1",
        "--detach",
    ];
    let ordered = network.profile.json(&orders.args(&[&terms[..], more].concat()));
    ordered["job"]["id"].as_u64().unwrap()
}

fn commitments(network: &Network, id: u64) -> usize {
    network.job(id)["commitments"].as_array().unwrap().len()
}

fn a_killed_worker_and_a_killed_node_go_on_where_they_were(network: &Network, orders: &Orders) {
    let id = order(network, orders, &["--provider", "//Provider1", "--segments", "6"]);
    wait_until("a commitment", Duration::from_secs(120), || commitments(network, id) >= 1);
    network.kill("worker-1");
    network.profile.ok(&["net", "up"]);
    let after_worker = commitments(network, id);
    wait_until("a commitment of the restarted worker", Duration::from_secs(120), || {
        commitments(network, id) > after_worker || network.job(id)["job"]["state"]["name"] != "running"
    });
    // The node that this worker talks to.
    network.kill("alice");
    network.profile.ok(&["net", "up"]);
    network.wait_for_state(id, "finalized", Duration::from_secs(400));
    let record = network.profile.json(&["records", "show", &id.to_string()]);
    assert_eq!(record["steps"].as_u64().unwrap() % 6, 0, "six equal segments");
    assert!(record["audits"].as_array().unwrap().iter().all(|audit| audit["verdict"] == "match"), "{record}");
}

fn a_provider_that_vanishes_pays_with_its_bond(network: &Network, orders: &Orders) {
    let stake = || {
        let provider = network.profile.json(&["providers", "show", "//Provider2"]);
        planck(&provider["pool"]["self_bond"])
    };
    let (stake_before, customer_before) = (stake(), network.profile.total("//Customer"));
    let id =
        order(network, orders, &["--provider", "//Provider2", "--segments", "4", "--milestone-blocks", "12"]);
    network.wait_for_state(id, "running", Duration::from_secs(60));
    network.kill("worker-2");
    // Nobody follows the job; the other workers push its deadline.
    network.wait_for_state(id, "failed", Duration::from_secs(120));
    let job = network.job(id)["job"].clone();
    assert_eq!(job["state"]["reason"], "MissedMilestone", "{job}");
    let bond = planck(&job["assignment"]["bond"]);
    assert_eq!(stake(), stake_before, "the slash waits");
    network.apply_slashes("//Provider2");
    let slashed = stake_before - stake();
    assert!(slashed > 0 && slashed <= bond, "{slashed} of a bond of {bond}");
    assert_eq!(planck(&job["escrow"]), 0);
    assert!(customer_before - network.profile.total("//Customer") < ATT / 10, "fees alone are gone");
}

fn a_job_whose_provider_vanishes_is_finished_by_another_one(network: &Network, orders: &Orders) {
    let profile = &network.profile;
    // The worker that the test before has killed.
    profile.ok(&["net", "up"]);
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
    wait_until("another provider", Duration::from_secs(200), || {
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
