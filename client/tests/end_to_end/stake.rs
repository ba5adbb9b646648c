//! What people who stake on a provider can rely on: stake that moves answers for where it was, and changes have their notice.

use crate::support::Network;
use serde_json::Value;

pub(crate) fn stake_that_moves_still_answers_for_its_old_provider(network: &Network) {
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

pub(crate) fn a_provider_says_beforehand_what_it_changes(network: &Network) {
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
