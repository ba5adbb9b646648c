//! Free ports on the loopback interface.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

use anyhow::{bail, Result};

/// Below the ports that Linux gives to outgoing connections: one of those may be taken, by any program that connects to
/// anywhere, before the node that it was chosen for listens.
const RANGE: Range<u16> = 10_000..32_768;

/// Ports that were free a moment ago, all different, from a place on that is found by chance. All are held until all are chosen.
///
/// # Errors
/// If there are not so many free ports.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let start = RandomState::new().hash_one(count) % u64::from(RANGE.end - RANGE.start);
    let start = RANGE.start + u16::try_from(start).unwrap_or_default();
    let bind = |port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?));
    let held: Vec<(u16, TcpListener)> =
        (start..RANGE.end).chain(RANGE.start..start).filter_map(bind).take(count).collect();
    if held.len() < count {
        bail!(
            "expected {count} free loopback ports from {} to {}, found {}: end programs that listen there",
            RANGE.start,
            RANGE.end - 1,
            held.len()
        );
    }
    Ok(held.iter().map(|(port, _)| *port).collect())
}

/// True if nobody listens on the port now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_free() {
        // Between the two another program may take one of them: not five times in a row.
        let all_free = |_| free_ports(12).unwrap().iter().all(|port| is_free(*port));
        assert!((0..5).any(all_free));
        let mut ports = free_ports(12).unwrap();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 12);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
