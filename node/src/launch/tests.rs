//! Each mistake in the file is refused by name.

use super::*;

/// A key that nobody knows.
fn secret(index: usize, role: &str) -> String {
    format!(
        "0x{}//{role}",
        sp_core::bytes::to_hex(&sp_io::hashing::blake2_256(&[u8::try_from(index).unwrap()]), false)
            .trim_start_matches("0x")
    )
}

fn sr(index: usize, role: &str) -> String {
    sr25519::Pair::from_string(&secret(index, role), None).unwrap().public().to_ss58check()
}

fn ed(index: usize, role: &str) -> String {
    ed25519::Pair::from_string(&secret(index, role), None).unwrap().public().to_ss58check()
}

/// A file without a mistake: four validators, and more than 2^64 planck.
pub(crate) fn good() -> Value {
    let validators: Vec<Value> = (0..4)
        .map(|index| json!({ "stash": sr(index, "stash"), "babe": sr(index, "babe"), "grandpa": ed(index, "grandpa") }))
        .collect();
    let mut balances = vec![json!({ "account": sr(9, "sudo"), "att": "100000000.5" })];
    balances.extend((0..4).map(|index| json!({ "account": sr(index, "stash"), "att": "2000" })));
    json!({
        "name": "Example Network",
        "id": "example",
        "sudo": sr(9, "sudo"),
        "balances": balances,
        "validators": validators,
        "bootNodes": [],
    })
}

fn check(file: Value) -> Result<Genesis, String> {
    let launch: Launch = serde_json::from_value(file).unwrap();
    launch.check().map_err(|problems| problems.join("\n"))
}

/// Checks a file with one mistake; gives the one sentence about it.
fn refusal(spoil: impl FnOnce(&mut Value)) -> String {
    let mut file = good();
    spoil(&mut file);
    let refused = check(file).expect_err("the mistake is seen");
    assert_eq!(refused.lines().count(), 1, "one mistake, one sentence: {refused}");
    refused
}

#[test]
fn a_file_without_a_mistake_is_taken() {
    let begin = check(good()).unwrap();
    assert_eq!(begin.patch["session"]["keys"].as_array().unwrap().len(), 4);
    assert_eq!(begin.patch["sudo"]["key"], sr(9, "sudo"));
    let text = begin.patch.to_string();
    assert!(text.contains("100000000500000000000"), "{text}");
}

#[test]
fn a_network_without_validators_or_with_too_few_is_refused() {
    let refused = refusal(|file| file["validators"] = json!([]));
    assert!(refused.contains("no validators are given, and at least 4 are needed"), "{refused}");
    let refused = refusal(|file| {
        file["validators"].as_array_mut().unwrap().pop();
    });
    assert!(refused.contains("3 validators are given, and at least 4 are needed"), "{refused}");
}

#[test]
fn more_validators_than_seats_are_refused() {
    let refused = refusal(|file| {
        for index in 10..107 {
            let stash = sr(index, "stash");
            file["balances"].as_array_mut().unwrap().push(json!({ "account": stash, "att": "1" }));
            file["validators"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "stash": stash, "babe": sr(index, "babe"), "grandpa": ed(index, "grandpa") }));
        }
    });
    assert!(refused.contains("101 validators are given, and at most 100 have seats"), "{refused}");
}

#[test]
fn keys_that_two_validators_share_are_refused() {
    for field in ["stash", "babe", "grandpa"] {
        let refused = refusal(|file| file["validators"][2][field] = file["validators"][0][field].clone());
        assert!(
            refused.contains(&format!("validators[2].{field} is also that of validators[0]")),
            "{refused}"
        );
    }
}

#[test]
fn a_development_key_is_refused_wherever_it_stands() {
    let dev = |path: &str| sr25519::Pair::from_string(path, None).unwrap().public().to_ss58check();
    let dev_ed = |path: &str| ed25519::Pair::from_string(path, None).unwrap().public().to_ss58check();
    let endow = |file: &mut Value, account: String| {
        file["balances"].as_array_mut().unwrap().push(json!({ "account": account, "att": "1" }));
    };
    let mut refusals = vec![
        ("//Bob", refusal(|file| file["validators"][0]["babe"] = json!(dev("//Bob")))),
        ("//Bob", refusal(|file| file["validators"][0]["grandpa"] = json!(dev_ed("//Bob")))),
    ];
    for path in ["//Alice", "//Ferdie//stash", "//Provider3", "//Provider3//operator", "//Customer"] {
        refusals.push((path, refusal(|file| endow(file, dev(path)))));
        refusals.push((path, refusal(|file| endow(file, dev_ed(path)))));
    }
    refusals.push(("development phrase", refusal(|file| endow(file, dev(DEV_PHRASE)))));
    for (path, refused) in refusals {
        assert!(refused.contains("is the development key") && refused.contains(path), "{path}: {refused}");
    }
    let mut file = good();
    file["sudo"] = json!(dev("//Alice"));
    let refused = check(file).unwrap_err();
    assert!(refused.contains("sudo is the development key //Alice"), "{refused}");
}

#[test]
fn balances_that_no_account_can_hold_are_refused() {
    let refused = refusal(|file| file["balances"][1]["att"] = json!("0.000999999999"));
    assert!(refused.contains("less than an account must hold (0.001)"), "{refused}");
    for amount in ["", "1.", ".5", "-1", "1e3", "1,000", "0.0000000000001", "340282366920938463463374608"] {
        let mut file = good();
        file["balances"][0]["att"] = json!(amount);
        let refused = check(file).unwrap_err();
        assert!(
            refused.contains("balances[0].att is") && refused.contains("expected an amount of ATT"),
            "{refused}"
        );
    }
    let refused = refusal(|file| {
        file["balances"][0]["att"] = json!("340282366920938463463374600");
        file["balances"][1]["att"] = json!("340282366920938463463374600");
    });
    assert!(refused.contains("more than the chain can count"), "{refused}");
    let refused = refusal(|file| {
        let again = file["balances"][0].clone();
        file["balances"].as_array_mut().unwrap().push(again);
    });
    assert!(refused.contains("again: give each account one balance"), "{refused}");
}

#[test]
fn a_network_without_an_administrator_is_refused() {
    let refused = refusal(|file| {
        file.as_object_mut().unwrap().remove("sudo");
    });
    assert!(refused.contains("sudo is missing"), "{refused}");
}

#[test]
fn whoever_has_an_office_needs_a_balance_for_its_transactions() {
    let refused = refusal(|file| file["sudo"] = json!(sr(20, "poor")));
    assert!(refused.contains("sudo") && refused.contains("has no balance"), "{refused}");
    let refused = refusal(|file| file["validators"][1]["stash"] = json!(sr(20, "poor")));
    assert!(refused.contains("validators[1].stash") && refused.contains("has no balance"), "{refused}");
}

#[test]
fn names_and_addresses_that_a_network_cannot_use_are_refused() {
    let refused = refusal(|file| file["name"] = json!(" "));
    assert!(refused.contains("name is empty"), "{refused}");
    for id in ["", "Example", "my-net", "../x"] {
        let refused = refusal(|file| file["id"] = json!(id));
        assert!(refused.contains("small letters, digits and _"), "{refused}");
    }
    let refused = refusal(|file| file["id"] = json!("attune_local"));
    assert!(refused.contains("a test network's"), "{refused}");
    let refused = refusal(|file| file["bootNodes"] = json!(["/dns/node.example/tcp/30333"]));
    assert!(refused.contains("bootNodes[0]"), "{refused}");
    let refused = refusal(|file| file["validators"][0]["babe"] = json!("5notakey"));
    assert!(refused.contains("validators[0].babe is \"5notakey\": expected an sr25519 key"), "{refused}");
}

#[test]
fn every_mistake_is_said_at_once() {
    let refused = check(json!({ "name": "", "id": "X" })).unwrap_err();
    assert_eq!(refused.lines().count(), 4, "name, id, validators, sudo: {refused}");
}
