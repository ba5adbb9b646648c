//! What a worker does beside jobs: it says that it runs when its provider is asked for a heartbeat, and for everybody it
//! pushes due things that no party of a job would push.
//!
//! Anyone may push them, so all workers see the same one at the same block, and all but the first would send for nothing.
//! Each has a place in an order that is another for every such thing ([`place`]), and waits as many blocks for each of
//! those before it as a transaction takes to get final; then it looks at the finalized state again, where the thing is
//! gone if somebody before it did it.
//!
//! What is due to the delegators of its own provider no other worker pushes: income that they want compounded, and liens.
//! It is free of fees like all of this, and can wait, so it is sent only when nothing else is, a few at a time
//! ([`PoolSearch`], [`own_pool`]).

use std::collections::BTreeSet;

use attune_chain_client::{
    primitives::{hashing::blake2_256_parts, BlockNumber},
    types::PendingSlashInfo,
    AccountId,
};

use crate::{
    reconcile::{drawable, Duty},
    view::{ChainView, LocalView, Policy},
};

/// Blocks from a transaction's sending to its finality, with some to spare: what each place in the order costs.
const TURN_BLOCKS: BlockNumber = 4;
/// Blocks from one look at the own pool to the next.
const SEARCH_BLOCKS: BlockNumber = 20;
/// Most delegators that are served at a time. If every worker of 256 had so much to do at once, it would take about a
/// seventh of the blocks; a thousand delegators have their turn within nine hours of six-second blocks.
pub const MAX_SERVED: u32 = 4;
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

/// Draws of audits of other providers' jobs. A provider has its own work drawn at once, or it waits for its pay; one that has
/// something to hide does not, and without a draw nobody looks.
pub fn draws(chain: &ChainView, policy: &Policy) -> Vec<Duty> {
    let mut found = Vec::new();
    for (job, view) in chain.jobs.iter().filter(|_| policy.push_others) {
        let provider = view.job.assignment.as_ref().map(|assignment| assignment.provider);
        if !view.job.state.is_in_work() || provider == Some(chain.me.account) {
            continue;
        }
        // The latest seal was made when the epoch that runs began.
        let mixed = blake2_256_parts(&[b"attune:draw", &job.to_le_bytes(), &chain.me.account.0]);
        let wait = TURN_BLOCKS.saturating_add(BlockNumber::from(mixed.0[0]) % TURN_BLOCKS);
        if chain.epoch_from.is_some_and(|from| chain.now >= from.saturating_add(wait)) {
            found.extend(drawable(chain, view).map(|milestone| Duty::Draw { job: *job, milestone }));
        }
    }
    found
}

/// Where the search through the own provider's delegations stands. Nothing is lost when it is forgotten: it begins at the
/// front again, where what was done is not due any more.
#[derive(Debug, Default)]
pub struct PoolSearch {
    /// The delegator at which it goes on; the first if `None`.
    from: Option<AccountId>,
    /// First block at which it does.
    not_before: BlockNumber,
}

impl PoolSearch {
    /// Where to look now; `None` if it is not time, or something is on its way that others wait for.
    pub fn turn(&self, now: BlockNumber, under_way: &BTreeSet<Duty>) -> Option<Option<AccountId>> {
        let is_quiet = !under_way.iter().any(Duty::takes_nonce);
        (is_quiet && now >= self.not_before).then_some(self.from)
    }

    /// What was found from [`PoolSearch::turn`] on was pushed, or there was nothing: goes on at `next` later. Without this,
    /// the search looks at the same place again.
    pub fn go_on(&mut self, now: BlockNumber, next: Option<AccountId>) {
        *self = Self { from: next, not_before: now.saturating_add(SEARCH_BLOCKS) };
    }
}

/// What is due to delegators of this worker's provider, if nothing else is to be sent: a free transaction has the least
/// priority, and where blocks are full those of the same key that come after it would wait with it.
pub fn own_pool(chain: &ChainView, local: &LocalView, duties: &[Duty]) -> Vec<Duty> {
    if local.under_way.iter().chain(duties).any(Duty::takes_nonce) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for due in &chain.due {
        let delegator = due.delegator;
        // First the income: settling a lien pays it out.
        found.extend((due.income > 0).then_some(Duty::Compound { delegator }));
        found.extend(due.lien.then_some(Duty::SettleLien { delegator }));
    }
    found
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
    use crate::reconcile::{
        reconcile,
        tests::{chain, job, policy, provider, JOB},
    };
    use attune_chain_client::{primitives::machine::JobState, types::DueDelegationInfo};

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

    /// A chain without jobs, in whose own pool something is due to these delegators.
    fn with_due(due: &[(u8, u128, bool)]) -> ChainView {
        let mut chain = with_slash(BlockNumber::MAX, 1, 2);
        let info = |(number, income, lien)| DueDelegationInfo { delegator: account(number), income, lien };
        chain.due = due.iter().copied().map(info).collect();
        chain
    }

    fn compound(delegator: u8) -> Duty {
        Duty::Compound { delegator: account(delegator) }
    }

    fn settle(delegator: u8) -> Duty {
        Duty::SettleLien { delegator: account(delegator) }
    }

    #[test]
    fn what_is_due_to_delegators_is_pushed_and_income_before_the_lien_that_pays_it_out() {
        let chain = with_due(&[(5, 7, false), (6, 0, true), (7, 9, true)]);
        assert_eq!(duties(&chain), [compound(5), settle(6), compound(7), settle(7)]);
        assert_eq!(duties(&with_due(&[])), []);
    }

    #[test]
    fn delegators_wait_while_anything_else_is_to_be_sent_or_on_its_way() {
        let mut chain = with_due(&[(5, 7, false)]);
        chain.slashes[0].apply_at = 0;
        assert_eq!(duties(&chain), [APPLY]);
        let sent = |duty| LocalView { under_way: [duty].into(), ..LocalView::default() };
        assert_eq!(reconcile(&chain, &sent(APPLY), &policy()), []);
        chain.slashes.clear();
        let commit = Duty::CommitSegment { job: 1, segment: 0 };
        assert_eq!(reconcile(&chain, &sent(commit), &policy()), []);
        assert_eq!(reconcile(&chain, &sent(compound(6)), &policy()), [], "nor two handfuls at a time");
        // Training takes hours and no nonce, a heartbeat has none.
        for beside in [Duty::Train { job: 1, segment: 0 }, Duty::Heartbeat { period: 3 }] {
            assert_eq!(reconcile(&chain, &sent(beside), &policy()), [compound(5)]);
        }
        chain.heartbeat_due = Some(3);
        assert_eq!(duties(&chain), [Duty::Heartbeat { period: 3 }, compound(5)]);
    }

    #[test]
    fn jobs_come_before_delegators() {
        let mut order = job(JobState::Open);
        order.job.spec.provider = None;
        let mut chain = chain(order);
        assert_eq!(duties(&chain), [Duty::Accept { job: JOB }]);
        chain.due = with_due(&[(5, 7, false)]).due;
        assert_eq!(duties(&chain), [Duty::Accept { job: JOB }]);
        // What has failed and waits for its next try keeps nobody waiting.
        let failed = LocalView {
            not_before: [(Duty::Accept { job: JOB }, chain.now + 1)].into(),
            ..LocalView::default()
        };
        assert_eq!(reconcile(&chain, &failed, &policy()), [compound(5)]);
    }

    #[test]
    fn a_push_for_a_delegator_that_failed_is_tried_again_later_and_keeps_no_other_waiting() {
        let chain = with_due(&[(5, 7, false), (6, 7, false)]);
        let failed = LocalView { not_before: [(compound(5), chain.now + 1)].into(), ..LocalView::default() };
        assert_eq!(reconcile(&chain, &failed, &policy()), [compound(6)]);
    }

    #[test]
    fn the_search_goes_round_in_steps_and_waits_for_what_is_on_its_way() {
        let (nothing, next) = (BTreeSet::new(), Some(account(9)));
        let mut search = PoolSearch::default();
        assert_eq!(search.turn(0, &nothing), Some(None), "a worker that starts begins at the front");
        assert_eq!(search.turn(1, &nothing), Some(None), "and stays there until it has pushed");
        search.go_on(1, next);
        assert_eq!(search.turn(SEARCH_BLOCKS, &nothing), None);
        assert_eq!(search.turn(1 + SEARCH_BLOCKS, &nothing), Some(next));
        assert_eq!(search.turn(100, &[compound(5)].into()), None);
        assert_eq!(search.turn(100, &[Duty::CommitSegment { job: 1, segment: 0 }].into()), None);
        assert_eq!(search.turn(100, &[Duty::Train { job: 1, segment: 0 }].into()), Some(next));
        search.go_on(100, None);
        assert_eq!(search.turn(100 + SEARCH_BLOCKS, &nothing), Some(None), "round and round");
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
