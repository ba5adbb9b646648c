//! What goes wrong on a real network, and that nothing is lost by it.

use std::time::Duration;

use crate::support::{planck, rows_of, wait_until, Network, Profile, ATT};
use attune_chain_client::{calls, Account, Chain, Submitter, Wait};
use serde_json::Value;

#[test]
fn whatever_goes_wrong_the_escrow_returns_and_no_work_is_done_twice() {
    let (network, orders) = three_providers();
    a_job_beyond_the_balance_is_not_ordered(&network, &orders);
    a_job_of_a_model_that_is_not_here_is_not_ordered(&network, &orders);
    a_job_under_every_quote_expires_and_the_escrow_returns(&network, &orders);
    nobody_but_the_customer_cancels(&network, &orders);
    a_killed_worker_and_a_killed_node_go_on_where_they_were(&network, &orders);
    a_provider_that_vanishes_pays_with_its_bond(&network, &orders);
}

/// A network with a base model and three registered providers, and what to order there.
pub(crate) fn three_providers() -> (Network, Orders) {
    let network = Network::with_providers(3);
    let orders = Orders::new(&network);
    (network, orders)
}

/// Orders of the same small data set.
pub(crate) struct Orders {
    train: String,
    held_out: String,
}

impl Orders {
    fn new(network: &Network) -> Self {
        let path = network.profile.path();
        let file = |name, rows| rows_of(name, rows, path).display().to_string();
        Orders { train: file("train.jsonl", 240), held_out: file("held_out.jsonl", 16) }
    }

    pub(crate) fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let data = ["--data", &self.train, "--held-out", &self.held_out, "--sequence-length", "128"];
        [&["train", "--yes", "--dev-key", "//Customer"][..], &data, more].concat()
    }
}

pub(crate) fn jobs(network: &Network) -> Vec<Value> {
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
        stranger.submit(&calls::cancel_job(id), Wait::Finalized).await.unwrap_err()
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

/// Orders a small job and returns once that has the inputs.
pub(crate) fn order(network: &Network, orders: &Orders, more: &[&str]) -> u64 {
    let terms = ["--model", "base", "--batch", "4", "--samples", "1", "--detach"];
    let ordered = network.profile.json(&orders.args(&[&terms[..], more].concat()));
    ordered["job"]["id"].as_u64().unwrap()
}

fn commitments(network: &Network, id: u64) -> usize {
    network.job(id)["commitments"].as_array().unwrap().len()
}

fn a_killed_worker_and_a_killed_node_go_on_where_they_were(network: &Network, orders: &Orders) {
    let id = order(
        network,
        orders,
        &["--provider", "//Provider1", "--milestones", "1", "--segments", "6", "--epochs", "6"],
    );
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
    let terms = ["--epochs", "6", "--milestones", "1", "--segments", "4", "--milestone-blocks", "12"];
    let id = order(network, orders, &[&["--provider", "//Provider2"][..], &terms].concat());
    network.wait_for_state(id, "running", Duration::from_secs(60));
    network.kill("worker-2");
    // Nobody follows the job; the other workers push its deadline.
    network.wait_for_state(id, "failed", Duration::from_secs(120));
    let job = network.job(id)["job"].clone();
    assert_eq!(job["state"]["reason"], "MissedMilestone", "{job}");
    let bond = planck(&job["assignment"]["bond"]);
    assert_eq!(stake(), stake_before, "the slash waits");
    network.wait_for_slashes("//Provider2");
    let slashed = stake_before - stake();
    assert!(slashed > 0 && slashed <= bond, "{slashed} of a bond of {bond}");
    assert_eq!(planck(&job["escrow"]), 0);
    assert!(customer_before - network.profile.total("//Customer") < ATT / 10, "fees alone are gone");
}
