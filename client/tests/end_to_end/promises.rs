//! What the economy promises around a job: sponsors, and another provider where one vanishes.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    support::{planck, wait_until, Network, ATT},
    troubles::{jobs, order, three_providers, Orders},
};
use serde_json::Value;

#[test]
fn sponsors_and_handovers_keep_what_was_promised() {
    let (network, orders) = three_providers();
    a_sponsor_pays_within_its_limits_and_gets_back_what_is_left(&network, &orders);
    a_job_whose_provider_vanishes_is_finished_by_another_one(&network, &orders);
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

/// The first provider is paid for the first milestone and vanishes in the second, with its disk. An auditor has the
/// checkpoint at the end of the first one, and the provider that goes on has it from there.
fn a_job_whose_provider_vanishes_is_finished_by_another_one(network: &Network, orders: &Orders) {
    let profile = &network.profile;
    let providers: [&'static str; 3] = ["//Provider1", "//Provider2", "//Provider3"];
    let who = |address: &Value| {
        let of = |name: &&&str| *address == profile.address(name);
        *providers.iter().find(of).unwrap_or_else(|| panic!("{address} is none of the three"))
    };
    let worker = |provider: &str| provider.replace("//Provider", "worker-");
    let before = Wealth::of(network, &providers);
    // Nobody is chosen, so another provider may go on.
    let terms = ["--milestones", "2", "--segments", "2", "--auditors", "1", "--milestone-blocks", "75"];
    let id = order(network, orders, &[&terms[..], &["--epochs", "16"]].concat());
    let show = || network.job(id);
    network.wait_for_state(id, "running", Duration::from_secs(60));
    let vanished = who(&show()["job"]["assignment"]["provider"]);
    wait_until("the first milestone", Duration::from_secs(200), || {
        show()["commitments"].as_array().unwrap().len() >= 2
    });
    // So that it is still at the second milestone when the first one is paid.
    let slowed_down = network.slow_down(&worker(vanished));
    wait_until("the first payment", Duration::from_secs(300), || show()["job"]["milestones_paid"] == 1);
    let at = show();
    assert_eq!(at["job"]["state"]["name"], "running", "it is not done: {at}");
    let auditor = who(&at["audits"][0]["slots"][0]["auditor"]);
    let next = *providers.iter().find(|name| ![vanished, auditor].contains(name)).unwrap();
    wait_until("the auditor's copy", Duration::from_secs(60), || kept(network, &worker(auditor), id));
    drop(slowed_down);
    network.kill(&worker(vanished));
    // The one that audited has the checkpoint already; the other one has to get it.
    let mut fees = BTreeMap::<&str, u128>::new();
    let mut say = |what: &str, provider: &'static str| {
        let had = profile.total(provider);
        profile.ok(&["providers", what, "--dev-key", provider]);
        *fees.entry(provider).or_default() += had - profile.total(provider);
    };
    say("chill", auditor);
    let trained_before = network.counter(&worker(next), "segments_trained_total");
    // The customer's own program sends the inputs to whoever comes next.
    let watch = ["jobs", "watch", &id.to_string(), "--dev-key", "//Customer"].map(str::to_string);
    let watch: Vec<&str> = watch.iter().map(String::as_str).collect();
    let mut watching = profile.command(&watch).spawn().unwrap();
    // What is left is the price of the provider that vanished, and the others may ask more: the customer adds to it.
    // Refused only if one of them was quicker.
    wait_until("the handover", Duration::from_secs(250), || show()["job"]["handovers"] == 1);
    // Nor can it audit for who goes on.
    say("chill", vanished);
    profile.run(&["jobs", "top-up", &id.to_string(), "--training", "1", "--yes", "--dev-key", "//Customer"]);
    wait_until("another provider", Duration::from_secs(100), || {
        show()["job"]["assignment"]["provider"] == profile.address(next)
    });
    say("unchill", auditor);
    network.wait_for_state(id, "finalized", Duration::from_secs(500));
    assert!(watching.wait().unwrap().success(), "who watches a job that another one finishes ends well");

    let job = show()["job"].clone();
    assert_eq!((&job["handovers"], &job["milestones_paid"]), (&1.into(), &2.into()), "{job}");
    assert!(job["excluded"].as_array().unwrap().contains(&profile.address(vanished).into()), "{job}");
    let trained = network.counter(&worker(next), "segments_trained_total") - trained_before;
    assert_eq!(trained, 2, "it went on behind the paid milestone, and trained nothing again");
    let record = profile.json(&["records", "show", &id.to_string()]);
    assert_eq!(record["provider"], profile.address(next), "{record}");
    // Its own slash comes by itself.
    network.wait_for_slashes(vanished);
    let both = [vanished, next];
    the_work_of_both_is_in_the_record_and_each_was_paid_for_its_own(network, &before, &fees, id, both);
    let failed = &profile.json(&["providers", "show", vanished])["reputation"];
    assert_eq!(failed["jobs_failed"], 1, "{failed}");
    let out = profile.path().join("handed-over").display().to_string();
    let exported = profile.json(&["export", &id.to_string(), "--out", &out, "--dev-key", "//Customer"]);
    assert_eq!(exported["adapter"], record["adapter"], "the adapter comes from who finished it");
}

/// True once a worker has the checkpoint at the end of the job's first milestone of two segments.
fn kept(network: &Network, worker: &str, job: u64) -> bool {
    let log = network.service(worker)["log"].as_str().map(std::path::PathBuf::from).unwrap();
    log.with_file_name("data").join(format!("jobs/{job}/kept-1.json")).is_file()
}

/// What everybody had before a job.
struct Wealth {
    customer: u128,
    providers: Vec<(String, u128)>,
    claimable: u128,
    pools: Vec<(String, u128)>,
}

impl Wealth {
    fn of(network: &Network, providers: &[&str]) -> Self {
        let profile = &network.profile;
        let pool = |name: &str| {
            let pool = &profile.json(&["providers", "show", name])["pool"];
            planck(&pool["self_bond"]) + planck(&pool["active"]["balance"])
        };
        let stake = profile.json(&["stake", "show", "//Delegator2"]);
        let delegations = stake["delegations"].as_array().unwrap();
        Wealth {
            customer: profile.total("//Customer"),
            providers: providers.iter().map(|name| (name.to_string(), profile.total(name))).collect(),
            claimable: delegations.iter().map(|found| planck(&found["claimable"])).sum(),
            pools: providers.iter().map(|name| (name.to_string(), pool(name))).collect(),
        }
    }
}

/// Two tranches, one for each provider and its milestone. What the customer lost is what the two and the auditors got, less
/// what the bond of the first one made good at most.
fn the_work_of_both_is_in_the_record_and_each_was_paid_for_its_own(
    network: &Network,
    before: &Wealth,
    fees: &BTreeMap<&str, u128>,
    id: u64,
    [first, second]: [&str; 2],
) {
    let profile = &network.profile;
    let record = profile.json(&["records", "show", &id.to_string()]);
    let tranches = record["tranches"].as_array().unwrap();
    assert_eq!(tranches.len(), 2, "{record}");
    for (milestone, (tranche, who)) in (0u64..).zip(tranches.iter().zip([first, second])) {
        assert_eq!(tranche["provider"], profile.address(who), "{record}");
        let milestones = (tranche["first_milestone"].as_u64(), tranche["last_milestone"].as_u64());
        assert_eq!(milestones, (Some(milestone), Some(milestone)), "{record}");
    }
    let paid = [&tranches[0], &tranches[1]].map(|tranche| planck(&tranche["paid"]));
    assert!(paid.iter().all(|paid| *paid > 0), "{record}");
    assert_eq!(planck(&record["price"]), paid.iter().sum::<u128>(), "{record}");
    let job = network.job(id)["job"].clone();
    assert_eq!(
        (planck(&job["escrow"]), planck(&job["audit_budget"])),
        (0, 0),
        "nothing is left behind: {job}"
    );

    let names: Vec<&str> = before.providers.iter().map(|(name, _)| name.as_str()).collect();
    let after = Wealth::of(network, &names);
    let audits = record["audits"].as_array().unwrap();
    assert_eq!(audits.len(), 2, "one of each milestone: {record}");
    let fee = planck(&job["spec"]["audit_fee"]);
    // Operators pay the fees of the job's transactions, so that what a provider gains is its pay, to the planck, but for
    // who shares it with a delegator.
    let mut from_delegators = after.claimable - before.claimable;
    for ((name, had), (_, has)) in before.providers.iter().zip(&after.providers) {
        let audited = audits.iter().filter(|audit| audit["auditor"] == profile.address(name)).count();
        let trained: u128 =
            [first, second].iter().zip(paid).filter(|(who, _)| **who == name).map(|(_, paid)| paid).sum();
        let (earned, has) = (trained + fee * audited as u128, has + fees.get(name.as_str()).unwrap_or(&0));
        if name == "//Provider3" {
            let shared = std::mem::take(&mut from_delegators);
            assert!(earned >= has - had + shared && earned - (has - had + shared) <= 64, "{name}: {record}");
        } else {
            assert_eq!(has - had, earned, "{name}: {record}");
        }
    }
    assert_eq!(from_delegators, 0);
    let lost: u128 = before.pools.iter().zip(&after.pools).map(|((_, had), (_, has))| had - has).sum();
    assert!(lost > 0, "the bond of who vanished pays for it");
    let spent = before.customer - after.customer;
    let owed = paid.iter().sum::<u128>() + 2 * fee;
    assert!(spent + lost >= owed && spent < owed + ATT, "spent {spent} of {owed}, at most {lost} made good");
}
