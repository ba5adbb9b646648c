//! Free ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Ports that were free a moment ago, all different. All are held until all are chosen.
///
/// # Errors
/// If the system has no free port left.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners =
        (0..count).map(bind).collect::<Result<Vec<_>, _>>().context("looking for free loopback ports")?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr().context("reading a port's number")?.port()))
        .collect()
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
