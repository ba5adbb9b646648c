//! What the authors say of their blocks in their logs: how long each took to build, and why building ended. A node tells
//! this nowhere else block by block.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result};

/// How a block was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) number: u64,
    pub(super) millis: u64,
    /// Why no more transactions were taken, in the words of `sc-basic-authorship`, such as `HitBlockWeightLimit`.
    pub(super) end: String,
}

/// The proposals of a node's log, by the hash that the block has with its seal, in hex without prefix.
///
/// # Errors
/// If the log cannot be read.
pub(super) fn proposals(log: &Path) -> Result<HashMap<String, Proposal>> {
    let text = fs::read(log).with_context(|| format!("reading the log {}", log.display()))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> HashMap<String, Proposal> {
    // Built under one hash, sealed under another.
    let mut built: HashMap<String, Proposal> = HashMap::new();
    let mut sealed = HashMap::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("Prepared block for proposing at ") {
            if let Some((hash, proposal)) = prepared(rest) {
                built.insert(hash, proposal);
            }
        } else if let Some((_, rest)) = line.split_once("Hash now 0x") {
            let hashes = rest.split_once(", previously 0x");
            let Some((now, before)) = hashes else { continue };
            if let Some(proposal) = built.remove(before.trim_end().trim_end_matches('.')) {
                sealed.insert(now.to_owned(), proposal);
            }
        }
    }
    sealed
}

/// `7 (12 ms) hash: 0x…; parent_hash: …; end: NoMoreTransactions; extrinsics_count: 1`
fn prepared(rest: &str) -> Option<(String, Proposal)> {
    let (number, rest) = rest.split_once(" (")?;
    let (millis, rest) = rest.split_once(" ms) hash: 0x")?;
    let (hash, rest) = rest.split_once(';')?;
    let (_, rest) = rest.split_once("end: ")?;
    let (end, _) = rest.split_once(';')?;
    let proposal =
        Proposal { number: number.parse().ok()?, millis: millis.parse().ok()?, end: end.to_owned() };
    Some((hash.to_owned(), proposal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_known_by_the_hash_of_the_sealed_block() {
        let text = "2026-01-01 00:00:00 🎁 Prepared block for proposing at 3 (441 ms) hash: 0xaa; parent_hash: 0x77…75; \
                    end: HitBlockWeightLimit; extrinsics_count: 812\n\
                    2026-01-01 00:00:00 🎁 Prepared block for proposing at 4 (1 ms) hash: 0xcc; parent_hash: 0x77…75; \
                    end: NoMoreTransactions; extrinsics_count: 1\n\
                    2026-01-01 00:00:00 🔖 Pre-sealed block for proposal at 3. Hash now 0xbb, previously 0xaa.    \n";
        let found = parse(text);
        let expected = Proposal { number: 3, millis: 441, end: "HitBlockWeightLimit".into() };
        assert_eq!(found.len(), 1, "the other was not sealed");
        assert_eq!(found.get("bb"), Some(&expected));
    }
}
