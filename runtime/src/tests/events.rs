//! Events keep their shapes: other programs read them by index, name, and the order and types of fields.

use crate::event_shapes::{text, COMMAND};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.md");

#[test]
fn events_have_the_committed_shapes() {
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_else(|error| panic!("{COMMITTED}: {error}"));
    let current = text();
    let lines = committed.lines().zip(current.lines());
    let first = lines.filter(|(was, is)| was != is).map(|(was, is)| format!("was  {was}\nis   {is}")).next();
    assert!(
        committed == current,
        "events have changed, and with them what other programs read. If it is meant, write them again with\n{COMMAND}\n\
         and say so in CHANGELOG.md. The first difference:\n{}",
        first.unwrap_or_else(|| "one of them is longer".into())
    );
}

#[test]
fn the_text_has_every_event_with_its_fields_and_their_types() {
    let text = text();
    for expected in [
        "## 41 JobEscrow",
        "| 0 | `JobCreated` | `job: u64`, `customer: AccountId32`, `funder: AccountId32`, `max_price: u128`",
        "| `Permill` | `u32` |",
        "| `JobState` | 0 `Bidding`, 1 `Open`",
        "| `Phase` | 0 `Running`",
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    assert!(!text.contains('?'), "a type is not known in\n{text}");
}
