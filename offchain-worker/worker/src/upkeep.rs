//! What a worker does beside jobs: it says that it runs when its provider is asked for a heartbeat, and for everybody it
//! pushes due things that no party of a job would push.
//!
//! Anyone may push them, so all workers see the same one at the same block, and all but the first would send for nothing.
//! Each has a place in an order that is another for every such thing ([`place`]), and waits as many blocks for each of
//! those before it as a transaction takes to get final; then it looks at the finalized state again, where the thing is
//! gone if somebody before it did it.

use attune_chain_client::{
    primitives::{hashing::blake2_256_parts, BlockNumber},
    types::PendingSlashInfo,
    AccountId,
};

use crate::{
    reconcile::Duty,
    view::{ChainView, Policy},
};

/// Blocks from a transaction's sending to its finality, with some to spare: what each place in the order costs.
const TURN_BLOCKS: BlockNumber = 4;
/// The last place: those behind it wait no longer. That many workers that are all away are a network that stands still.
const LAST_PLACE: BlockNumber = 16;

/// The answer to the chain's question whether this worker runs, while it stands.
pub fn heartbeat(chain: &ChainView) -> Option<Duty> {
    chain.heartbeat_due.map(|period| Duty::Heartbeat { period })
}

/// Slashes that are due, of other providers than this one: governance has not cancelled them in time, and until they are
/// applied their customers wait for the compensation and nobody withdraws from the pool.
pub fn slashes(chain: &ChainView, policy: &Policy) -> Vec<Duty> {
    let is_mine = |slash: &&PendingSlashInfo| {
        let wait = place(chain, slash).saturating_mul(TURN_BLOCKS);
        slash.provider != chain.me.account && chain.now >= slash.apply_at.saturating_add(wait)
    };
    let due = chain.slashes.iter().filter(|_| policy.push_others).filter(is_mine);
    due.map(|slash| Duty::ApplySlash { provider: slash.provider, slash: slash.slash }).collect()
}

/// This worker's place among those who can apply a slash, from 0.
fn place(chain: &ChainView, slash: &PendingSlashInfo) -> BlockNumber {
    let key = |account: &AccountId| {
        blake2_256_parts(&[b"attune:slash", &slash.provider.0, &slash.slash.to_le_bytes(), &account.0])
    };
    let mine = key(&chain.me.account);
    let before = chain
        .providers
        .iter()
        .filter(|other| other.active && other.account != slash.provider && key(&other.account) < mine);
    BlockNumber::try_from(before.count()).unwrap_or(LAST_PLACE).min(LAST_PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reconcile::{
            reconcile,
            tests::{chain, job, policy, provider},
        },
        view::LocalView,
    };
    use attune_chain_client::primitives::machine::JobState;

    use attune_chain_client::AccountId as AttuneAccount;

    const SLASHED: AccountId = account(77);

    /// An account by its number.
    const fn account(number: u8) -> AccountId {
        AttuneAccount([number; 32])
    }

    /// A chain without jobs at block 100, with a slash that is due at `apply_at`, seen by `me`, one of `count`.
    fn with_slash(apply_at: BlockNumber, me: u8, count: u8) -> ChainView {
        let mut chain = chain(job(JobState::Open));
        chain.jobs.clear();
        chain.providers = (0..count).map(|number| provider(account(number), account(number))).collect();
        chain.providers.push(provider(SLASHED, SLASHED));
        chain.me = provider(account(me), account(me));
        chain.slashes =
            vec![PendingSlashInfo { provider: SLASHED, slash: 3, job: None, amount: 5, apply_at }];
        chain
    }

    fn duties(chain: &ChainView) -> Vec<Duty> {
        reconcile(chain, &LocalView::default(), &policy())
    }

    const APPLY: Duty = Duty::ApplySlash { provider: SLASHED, slash: 3 };

    #[test]
    fn a_due_slash_is_applied_and_one_that_can_still_be_cancelled_is_not() {
        assert_eq!(duties(&with_slash(100, 1, 0)), [APPLY]);
        assert_eq!(duties(&with_slash(101, 1, 0)), []);
    }

    #[test]
    fn one_worker_begins_and_the_others_come_one_by_one_if_it_does_not() {
        let first_turn = |me: u8| -> BlockNumber {
            let mut chain = with_slash(100, me, 6);
            while duties(&chain).is_empty() {
                chain.now += 1;
            }
            chain.now
        };
        let mut turns: Vec<BlockNumber> = (0..6).map(first_turn).collect();
        turns.sort_unstable();
        assert_eq!(turns, [100, 104, 108, 112, 116, 120], "each has time to get final before the next");
        let order = |slash: u64| -> Vec<u8> {
            let at = |me: u8| {
                let mut chain = with_slash(100, me, 6);
                chain.slashes[0].slash = slash;
                place(&chain, &chain.slashes[0])
            };
            let mut all: Vec<u8> = (0..6).collect();
            all.sort_by_key(|me| at(*me));
            all
        };
        assert!((4..9).any(|slash| order(slash) != order(3)), "another slash, another order");
    }

    #[test]
    fn a_heartbeat_is_given_before_all_else_while_it_is_asked_for_and_once() {
        let mut asked = chain(job(JobState::Open));
        let beat = Duty::Heartbeat { period: 7 };
        assert!(!duties(&asked).contains(&beat));
        asked.heartbeat_due = Some(7);
        assert_eq!(duties(&asked).first(), Some(&beat));
        let sent = LocalView { under_way: [beat].into(), ..LocalView::default() };
        assert!(!reconcile(&asked, &sent, &policy()).contains(&beat));
        let refused = LocalView { not_before: [(beat, asked.now + 1)].into(), ..LocalView::default() };
        assert!(!reconcile(&asked, &refused, &policy()).contains(&beat), "a little later");
        asked.now += 1;
        assert!(reconcile(&asked, &refused, &policy()).contains(&beat), "tried again");
    }

    #[test]
    fn however_many_workers_are_away_a_slash_is_applied_in_the_end() {
        let mut late = with_slash(100, 200, 200);
        late.now = 100 + LAST_PLACE * TURN_BLOCKS;
        assert_eq!(duties(&late), [APPLY]);
    }

    #[test]
    fn nobody_pushes_its_own_slash_and_who_keeps_to_its_own_pushes_none() {
        let mut own = with_slash(50, 1, 0);
        own.slashes[0].provider = own.me.account;
        assert_eq!(duties(&own), []);
        let own_only = Policy { push_others: false, ..policy() };
        assert_eq!(reconcile(&with_slash(50, 1, 0), &LocalView::default(), &own_only), []);
    }

    #[test]
    fn what_failed_is_tried_again_later_and_what_is_under_way_is_not_sent_twice() {
        let chain = with_slash(100, 1, 0);
        let waits = LocalView { not_before: [(APPLY, 101)].into(), ..LocalView::default() };
        assert_eq!(reconcile(&chain, &waits, &policy()), []);
        let sent = LocalView { under_way: [APPLY].into(), ..LocalView::default() };
        assert_eq!(reconcile(&chain, &sent, &policy()), []);
    }
}
