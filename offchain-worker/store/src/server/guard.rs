//! Bounded bookkeeping: rates, slots and replays. All of it forgets, none of it grows with the number of strangers.

use super::Limits;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Token buckets, one per account that asked lately.
pub(super) struct RateTable {
    per_second: f64,
    burst: f64,
    max_accounts: usize,
    buckets: HashMap<[u8; 32], Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateTable {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            per_second: limits.requests_per_second.max(f64::MIN_POSITIVE),
            burst: limits.request_burst.max(1.0),
            max_accounts: limits.max_tracked_accounts.max(1),
            buckets: HashMap::new(),
        }
    }

    /// Takes one request of the account; or the seconds until one is free.
    pub(super) fn take(&mut self, account: &[u8; 32], now: Instant) -> Result<(), u64> {
        if !self.buckets.contains_key(account) && self.buckets.len() >= self.max_accounts {
            self.forget_the_longest_silent();
        }
        let bucket = self.buckets.entry(*account).or_insert(Bucket { tokens: self.burst, at: now });
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + gained).min(self.burst);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        // A float that is too large saturates at the integer's end, which is as good as "much later".
        Err(((1.0 - bucket.tokens) / self.per_second).ceil() as u64)
    }

    /// Makes room. The one who is forgotten gets a fresh burst, as any new account would.
    fn forget_the_longest_silent(&mut self) {
        if let Some(account) = self.buckets.iter().min_by_key(|(_, b)| b.at).map(|(a, _)| *a) {
            self.buckets.remove(&account);
        }
    }
}

/// Requests under way per account.
pub(super) struct AccountSlots {
    max: usize,
    taken: Mutex<HashMap<[u8; 32], usize>>,
}

impl AccountSlots {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), taken: Mutex::new(HashMap::new()) }
    }

    /// One slot of the account, given back on drop.
    pub(super) fn take(self: &Arc<Self>, account: &[u8; 32]) -> Option<AccountSlot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(*account).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AccountSlot { slots: Arc::clone(self), account: *account })
    }
}

/// A taken slot.
pub(super) struct AccountSlot {
    slots: Arc<AccountSlots>,
    account: [u8; 32],
}

impl Drop for AccountSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

/// Uploads that were admitted and whose signature would still be in time.
pub(super) struct ReplayCache {
    max: usize,
    seen: HashSet<[u8; 32]>,
    /// In the order of arrival: Unix time in milliseconds after which the signature is too old, and the message's hash.
    order: VecDeque<(u64, [u8; 32])>,
}

/// What the cache says of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// Not seen before; now it is.
    Fresh,
    /// Seen.
    Seen,
    /// No room to remember it, so it cannot be admitted.
    Full,
}

impl ReplayCache {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), seen: HashSet::new(), order: VecDeque::new() }
    }

    /// Remembers a message until `now_ms + lifetime_ms`, which must be no earlier than its signature's end.
    pub(super) fn admit(&mut self, message: [u8; 32], now_ms: u64, lifetime_ms: u64) -> Replay {
        while self.order.front().is_some_and(|(until, _)| *until < now_ms) {
            if let Some((_, old)) = self.order.pop_front() {
                self.seen.remove(&old);
            }
        }
        if self.seen.contains(&message) {
            return Replay::Seen;
        }
        if self.order.len() >= self.max {
            return Replay::Full;
        }
        self.seen.insert(message);
        self.order.push_back((now_ms.saturating_add(lifetime_ms), message));
        Replay::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_account_gets_its_burst_and_then_its_rate() {
        let limits = Limits {
            requests_per_second: 2.0,
            request_burst: 3.0,
            max_tracked_accounts: 2,
            ..Limits::default()
        };
        let mut table = RateTable::new(&limits);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(table.take(&[1; 32], start), Ok(()));
        }
        assert_eq!(table.take(&[1; 32], start), Err(1));
        assert_eq!(table.take(&[2; 32], start), Ok(()), "another account has its own rate");
        let later = start + Duration::from_millis(500);
        assert_eq!(table.take(&[1; 32], later), Ok(()));
        assert!(table.take(&[1; 32], later).is_err());
    }

    #[test]
    fn rates_are_remembered_for_a_bounded_number_of_accounts() {
        let limits = Limits { max_tracked_accounts: 4, ..Limits::default() };
        let mut table = RateTable::new(&limits);
        let start = Instant::now();
        for n in 0..100u8 {
            assert_eq!(table.take(&[n; 32], start + Duration::from_millis(n.into())), Ok(()));
        }
        assert_eq!(table.buckets.len(), 4);
        assert!(table.buckets.contains_key(&[99; 32]) && table.buckets.contains_key(&[96; 32]));
    }

    #[test]
    fn a_slot_comes_back_when_its_request_ends() {
        let slots = Arc::new(AccountSlots::new(2));
        let (a, b) = (slots.take(&[1; 32]), slots.take(&[1; 32]));
        assert!(a.is_some() && b.is_some() && slots.take(&[1; 32]).is_none());
        assert!(slots.take(&[2; 32]).is_some());
        drop(a);
        assert!(slots.take(&[1; 32]).is_some());
        drop(b);
        assert!(slots.taken.lock().unwrap().is_empty(), "silent accounts take no room");
    }

    #[test]
    fn a_replay_is_seen_until_its_signature_has_expired() {
        let mut cache = ReplayCache::new(2);
        assert_eq!(cache.admit([1; 32], 1000, 100), Replay::Fresh);
        assert_eq!(cache.admit([1; 32], 1100, 100), Replay::Seen);
        assert_eq!(cache.admit([2; 32], 1000, 100), Replay::Fresh);
        assert_eq!(
            cache.admit([3; 32], 1050, 100),
            Replay::Full,
            "a live entry is never given up for a new one"
        );
        assert_eq!(cache.admit([3; 32], 1101, 100), Replay::Fresh);
        assert_eq!(cache.order.len(), 1);
    }
}
