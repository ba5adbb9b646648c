//! Sending: keeps so many transactions under way that blocks can be full, and no more than a pool keeps.
//!
//! Under way is what was sent and is in no block of the best chain. What the best chain holds is read off its blocks, with
//! care for forks: a block that is replaced gives its transactions back.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, Mutex,
    },
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};
use attune_chain_client::{Chain, Config, H256};
use futures::{stream::FuturesUnordered, StreamExt};
use subxt::{config::RpcConfigFor, rpcs::methods::LegacyRpcMethods};
use tokio::task::JoinHandle;

/// Requests that wait for an answer of one node at a time.
const IN_FLIGHT: usize = 64;
/// How long a sender with nothing to do, or with a full pool before it, waits.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a transaction is offered to a full pool.
const OFFERS: u32 = 200;

pub(super) type Rpc = LegacyRpcMethods<RpcConfigFor<Config>>;

/// The methods of a node.
pub(super) fn rpc(chain: &Chain) -> Rpc {
    LegacyRpcMethods::new(chain.rpc().clone())
}

/// True for a transaction, false for what the author himself puts into a block. `encoded` begins with its length.
pub(super) fn is_transaction(encoded: &[u8]) -> bool {
    // The two lowest bits say how many bytes the length has; of what follows, the two highest say what it is.
    let length_bytes = match encoded.first().map(|first| first & 0b11) {
        Some(0) => 1,
        Some(1) => 2,
        Some(2) => 4,
        _ => return false,
    };
    encoded.get(length_bytes).is_some_and(|version| version & 0b1100_0000 != 0)
}

/// What is known while transactions are sent.
#[derive(Default)]
pub(super) struct Feed {
    /// Handed to a node, or about to be.
    sent: AtomicU64,
    /// Checked by a node and taken into its pool.
    taken: AtomicU64,
    /// In the best chain.
    included: AtomicU64,
    /// Offers that a pool had no room for.
    pool_full: AtomicU64,
    /// Transactions that a node refused for another reason.
    refused: AtomicU64,
    refusal: Mutex<Option<String>>,
    /// True if a sender had nothing left to send.
    ran_out: AtomicBool,
    stop: AtomicBool,
    /// When each block was first seen as the best one, and when as final.
    best: Mutex<BTreeMap<u64, Instant>>,
    finalized: Mutex<BTreeMap<u64, Instant>>,
}

impl Feed {
    /// Sent, and in no block yet.
    pub(super) fn under_way(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.included.load(Ordering::Relaxed))
    }

    /// Of these, those that a node has checked and taken.
    pub(super) fn waiting(&self) -> u64 {
        self.taken.load(Ordering::Relaxed).saturating_sub(self.included.load(Ordering::Relaxed))
    }

    pub(super) fn included(&self) -> u64 {
        self.included.load(Ordering::Relaxed)
    }

    pub(super) fn pool_full(&self) -> u64 {
        self.pool_full.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// What a node said of the first transaction that it refused.
    pub(super) fn refusal(&self) -> Option<String> {
        lock(&self.refusal).clone()
    }

    pub(super) fn ran_out(&self) -> bool {
        self.ran_out.load(Ordering::Relaxed)
    }

    pub(super) fn best_number(&self) -> Option<u64> {
        lock(&self.best).keys().next_back().copied()
    }

    pub(super) fn finalized_number(&self) -> Option<u64> {
        lock(&self.finalized).keys().next_back().copied()
    }

    /// How long the block took from being best to being final.
    pub(super) fn finality(&self, number: u64) -> Option<Duration> {
        let best = lock(&self.best).get(&number).copied()?;
        // Of several blocks that become final at once, the node tells of the last.
        let (_, finalized) = lock(&self.finalized).range(number..).next().map(|(n, at)| (*n, *at))?;
        Some(finalized.saturating_duration_since(best))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Transactions being sent. Dropped, no more are.
pub(super) struct Feeding {
    pub(super) feed: Arc<Feed>,
    senders: Vec<JoinHandle<()>>,
    followers: Vec<JoinHandle<Result<()>>>,
}

impl Feeding {
    /// Sends to each of `chains` what stands in its place in `transactions`, so that about `target` are under way.
    pub(super) fn start(chains: &[Chain], transactions: Vec<Vec<Vec<u8>>>, target: u64) -> Result<Self> {
        let feed = Arc::new(Feed::default());
        let first = chains.first().context("there is no node to send to")?.clone();
        let followers = vec![
            tokio::spawn(follow_best(first.clone(), feed.clone())),
            tokio::spawn(follow_finalized(first, feed.clone())),
        ];
        let sender = |(chain, queue)| tokio::spawn(send(rpc(chain), queue, feed.clone(), target));
        let senders = chains.iter().zip(transactions).map(sender).collect();
        Ok(Self { feed, senders, followers })
    }

    /// Fails if a block could not be followed, since then nobody knows what is under way.
    pub(super) async fn check(&mut self) -> Result<()> {
        for follower in &mut self.followers {
            if follower.is_finished() {
                return follower.await.context("a task that follows blocks panicked")?;
            }
        }
        Ok(())
    }

    /// Sends no more, and waits until what was sent is with the nodes.
    pub(super) async fn stop(&mut self) {
        self.feed.stop.store(true, Ordering::Relaxed);
        for sender in self.senders.drain(..) {
            // It only counts; a panic of it has been printed.
            let _ = sender.await;
        }
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.senders.iter().for_each(JoinHandle::abort);
        self.followers.iter().for_each(JoinHandle::abort);
    }
}

async fn send(rpc: Rpc, queue: Vec<Vec<u8>>, feed: Arc<Feed>, target: u64) {
    let mut queue = queue.into_iter();
    let mut flying = FuturesUnordered::new();
    loop {
        let stops = feed.stop.load(Ordering::Relaxed);
        while !stops && flying.len() < IN_FLIGHT && feed.under_way() < target {
            let Some(transaction) = queue.next() else {
                feed.ran_out.store(true, Ordering::Relaxed);
                break;
            };
            feed.sent.fetch_add(1, Ordering::Relaxed);
            flying.push(offer(&rpc, transaction, &feed));
        }
        if stops && flying.is_empty() {
            return;
        }
        tokio::select! {
            Some(()) = flying.next(), if !flying.is_empty() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Offers a transaction to a node until its pool takes it.
async fn offer(rpc: &Rpc, transaction: Vec<u8>, feed: &Feed) {
    for _ in 0..OFFERS {
        match rpc.author_submit_extrinsic(&transaction).await {
            Ok(_) => {
                feed.taken.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(error) if is_pool_full(&error.to_string()) => {
                feed.pool_full.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE * 10).await;
            }
            Err(error) => {
                feed.sent.fetch_sub(1, Ordering::Relaxed);
                feed.refused.fetch_add(1, Ordering::Relaxed);
                lock(&feed.refusal).get_or_insert_with(|| error.to_string());
                return;
            }
        }
    }
    feed.sent.fetch_sub(1, Ordering::Relaxed);
    feed.refused.fetch_add(1, Ordering::Relaxed);
    lock(&feed.refusal).get_or_insert_with(|| format!("no room in the pool, {OFFERS} times"));
}

/// `author_submitExtrinsic` answers with 1016 where the pool has no room.
fn is_pool_full(error: &str) -> bool {
    error.contains("1016") || error.contains("Immediately Dropped")
}

async fn follow_best(chain: Chain, feed: Arc<Feed>) -> Result<()> {
    let rpc = rpc(&chain);
    let mut blocks = chain.client().stream_best_blocks().await?;
    let mut best = BestChain::default();
    while let Some(block) = blocks.next().await {
        let block = block?;
        lock(&feed.best).entry(block.number()).or_insert_with(Instant::now);
        let (mut number, mut hash, mut news) = (block.number(), block.hash(), Vec::new());
        while best.needs(number, hash) {
            let details = rpc.chain_get_block(Some(hash)).await?.context("a best block is gone")?;
            let body = details.block.extrinsics.iter().filter(|bytes| is_transaction(&bytes.0)).count();
            news.push((number, hash, u64::try_from(body)?));
            // The block that was best at the start is no part of what is counted.
            if best.is_empty() && news.len() == 1 {
                news[0].2 = 0;
                break;
            }
            (number, hash) = (
                number.checked_sub(1).context("the chain has two first blocks")?,
                details.block.header.parent_hash,
            );
        }
        feed.included.store(best.extend(news), Ordering::Relaxed);
    }
    bail!("the node ended the stream of best blocks")
}

async fn follow_finalized(chain: Chain, feed: Arc<Feed>) -> Result<()> {
    let mut heads = rpc(&chain).chain_subscribe_finalized_heads().await?;
    while let Some(header) = heads.next().await {
        lock(&feed.finalized).entry(header?.number).or_insert_with(Instant::now);
    }
    bail!("the node ended the stream of final blocks")
}

/// The best chain since the first block that was told: number, hash and transactions of each block.
#[derive(Default)]
struct BestChain(Vec<(u64, H256, u64)>);

impl BestChain {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if the block is not in the chain, and not below its start.
    fn needs(&self, number: u64, hash: H256) -> bool {
        self.0.first().is_none_or(|(start, ..)| number > *start)
            && !self.0.iter().rev().any(|(_, known, _)| *known == hash)
    }

    /// Puts blocks on top, newest first, in place of those that they replace; gives the number of transactions in all.
    fn extend(&mut self, newest_first: Vec<(u64, H256, u64)>) -> u64 {
        if let Some((lowest, ..)) = newest_first.last() {
            self.0.retain(|(number, ..)| number < lowest);
            self.0.extend(newest_first.into_iter().rev());
        }
        self.0.iter().map(|(_, _, transactions)| transactions).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_authors_put_into_blocks_is_no_transaction() {
        assert!(!is_transaction(&[0x0c, 0x04, 0x01, 0x02]), "bare, version 4");
        assert!(!is_transaction(&[0x0c, 0x05, 0x01, 0x02]), "bare, version 5");
        assert!(is_transaction(&[0x0c, 0x84, 0x01, 0x02]), "signed");
        assert!(is_transaction(&[0x35, 0x02, 0x84, 0x00]), "signed, with a length of two bytes");
        assert!(is_transaction(&[0x0c, 0x45, 0x00, 0x02]), "general");
        assert!(!is_transaction(&[]));
    }

    #[test]
    fn a_block_that_is_replaced_gives_its_transactions_back() {
        let hash = H256::repeat_byte;
        let mut best = BestChain::default();
        assert!(best.needs(5, hash(5)));
        assert_eq!(best.extend(vec![(5, hash(5), 0)]), 0);
        assert_eq!(best.extend(vec![(7, hash(7), 20), (6, hash(6), 10)]), 30);
        assert!(!best.needs(6, hash(6)), "known");
        assert!(!best.needs(5, hash(55)), "below the start");
        assert!(best.needs(7, hash(77)), "another block of that number");
        assert_eq!(best.extend(vec![(8, hash(88), 3), (7, hash(77), 2)]), 15);
        assert_eq!(best.extend(Vec::new()), 15);
    }

    #[test]
    fn finality_counts_from_the_first_sight_to_the_next_final_block() {
        let feed = Feed::default();
        let start = Instant::now();
        lock(&feed.best).insert(3, start);
        assert_eq!(feed.finality(3), None);
        lock(&feed.finalized).insert(4, start + Duration::from_secs(2));
        assert_eq!(feed.finality(3), Some(Duration::from_secs(2)));
    }
}
