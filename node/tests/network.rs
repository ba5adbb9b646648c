//! Real nodes, as processes: they make blocks, agree, and remember.

mod common;

use common::{from_hex, wait_for, wait_until, Node};
use serde_json::json;

/// A little-endian number at the front of some bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[test]
fn a_single_development_node_finalizes_blocks_in_the_slots_of_its_genesis() {
    let node = Node::start(&["--dev", "--tmp"]);
    let config = node.call("state_call", json!(["BabeApi_configuration", "0x"]));
    let config = from_hex(config.as_str().expect("bytes"));
    assert_eq!((number(&config[..8]), number(&config[8..16])), (1_000, 10), "slot in ms, epoch in slots");

    wait_until("five final blocks", || node.finalized() >= 5);
    let time = |at: u64| {
        let hash = node.call("chain_getBlockHash", json!([at]));
        let key = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb";
        number(&from_hex(
            node.call("state_getStorage", json!([key, hash])).as_str().expect("the time is stored"),
        ))
    };
    // A busy machine may miss slots; a block is never in a slot of another length.
    let slots = (1..5).map(|at| time(at + 1) / 1_000 - time(at) / 1_000).collect::<Vec<_>>();
    assert!(slots.iter().all(|slots| *slots >= 1), "{slots:?}");
}

#[test]
fn audit_randomness_comes_with_the_third_epoch_and_names_the_second() {
    let node = Node::start(&["--dev", "--tmp"]);
    let sealed = wait_for("a sealed epoch", || {
        let best = node.best();
        let sealed = node.stored("AuditRandomness", "Sealed");
        assert!(sealed.is_none() || best > 2, "a seal at block {best}");
        sealed
    });
    let (randomness, epoch_start) = sealed.split_at(32);
    assert_ne!(randomness, [0; 32]);
    let starts = node.stored("Babe", "EpochStart").expect("the epoch has changed");
    // Unless another epoch has ended between the two questions, the seal is that of the previous epoch.
    let (previous, current) = (number(&starts[..4]), number(&starts[4..]));
    let epoch_start = number(epoch_start);
    assert!(
        epoch_start > 1 && epoch_start <= previous && previous < current,
        "{epoch_start} {previous} {current}"
    );
}

#[test]
fn three_local_validators_finalize_one_chain() {
    let alice = Node::start(&["--chain", "local", "--alice", "--tmp"]);
    let bootnode = alice.address();
    let others = ["--bob", "--charlie"]
        .map(|name| Node::start(&["--chain", "local", name, "--tmp", "--bootnodes", &bootnode]));
    let nodes = [&alice, &others[0], &others[1]];

    wait_until("three nodes that know each other", || {
        nodes.iter().all(|node| node.call("system_health", json!([]))["peers"] == 2)
    });
    wait_until("five blocks that all hold final", || nodes.iter().all(|node| node.finalized() >= 5));
    let hashes = nodes.map(|node| node.call("chain_getBlockHash", json!([5])));
    assert!(hashes[0].is_string() && hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn a_node_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_str().expect("the path is text");
    let arguments = ["--dev", "--base-path", path];

    let node = Node::start(&arguments);
    wait_until("three final blocks", || node.finalized() >= 3);
    let hash = node.call("chain_getBlockHash", json!([3]));
    node.stop();

    let node = Node::start(&arguments);
    assert_eq!(node.call("chain_getBlockHash", json!([3])), hash);
    let final_at_start = node.finalized();
    assert!(final_at_start >= 3);
    wait_until("more final blocks", || node.finalized() > final_at_start);
}
