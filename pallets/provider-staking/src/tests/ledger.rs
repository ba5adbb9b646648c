//! A plain ledger, to compare the pallet with: every owner's amount is a number of its own, a slash goes through all of
//! them, and nothing is a share of anything. It follows the acts that the pallet accepts. Numbers are real, so that the
//! difference is the pallet's rounding, and that is bounded by a few planck for each act.

use std::collections::BTreeMap;

use attune_primitives::{Balance, BlockNumber};
use sp_arithmetic::Permill;

use super::invariants::{slash_id, Act, CUSTOMER, PAYER};
use crate::{mock::*, *};

/// The most that rounding may have moved an amount by, for each act, in planck.
const PLANCK_PER_ACT: f64 = 2.0;
/// What a slash takes of delegations at most.
const CAP: f64 = 0.2;

/// Amounts and the blocks at which they are free.
type Leaving = Vec<(u32, f64)>;

#[derive(Default)]
struct Book {
    own: f64,
    own_leaving: Leaving,
    active: BTreeMap<AccountId, f64>,
    leaving: BTreeMap<AccountId, Leaving>,
    income: BTreeMap<AccountId, f64>,
}

/// Stake at one provider that answers for another.
struct Tie {
    from: AccountId,
    /// What it is worth where it is.
    value: f64,
    /// What was moved.
    moved: f64,
    /// What of it the old provider's slashes have left since it last paid.
    left: f64,
}

#[derive(Default)]
pub(super) struct Ledger {
    books: BTreeMap<AccountId, Book>,
    /// By provider and delegator.
    ties: BTreeMap<(AccountId, AccountId), Tie>,
    free: BTreeMap<AccountId, f64>,
    /// The delegations that a booked offence was worked out from.
    answering: BTreeMap<SlashId, f64>,
    acts: u32,
}

/// What has to be known from before an act.
#[derive(Default)]
pub(super) struct Foreseen {
    slash: Option<(SlashId, PendingSlash<AccountId>)>,
    /// Stake that unlocks later is held.
    free_until: BlockNumber,
    /// The provider whose self-bond leaves is absent.
    absent: bool,
}

fn real(amount: Balance) -> f64 {
    u64::try_from(amount).expect("amounts are small in these tests, qed") as f64
}

fn ratio(part: Permill) -> f64 {
    f64::from(part.deconstruct()) / 1e6
}

fn sum(leaving: &Leaving) -> f64 {
    leaving.iter().map(|(_, amount)| amount).sum()
}

/// Takes out what unlocks up to block `until`.
fn take_due(leaving: &mut Leaving, until: BlockNumber) -> f64 {
    let due = leaving.iter().filter(|(at, _)| *at <= until).map(|(_, amount)| amount).sum();
    leaving.retain(|(at, _)| *at > until);
    due
}

/// What unlocks in this block or before is free of the provider's slashes: it was not bound any more when the first of
/// those that are pending was booked.
fn free_until(provider: AccountId) -> BlockNumber {
    let booked =
        PendingSlashes::<Test>::iter_prefix_values(provider).map(|slash| slash.apply_at - SLASH_DELAY);
    booked.chain([block()]).min().expect("there is this block at least, qed")
}

/// Scales what leaves by `left`.
fn scale(leaving: &mut Leaving, left: f64) {
    for (_, amount) in leaving {
        *amount *= left;
    }
}

impl Ledger {
    /// The state of the chain as it is.
    pub(super) fn new() -> Self {
        let mut ledger = Self::default();
        for (id, pool) in Pools::<Test>::iter() {
            let mut book = Book { own: real(pool.self_bond), ..Default::default() };
            let chunks = SelfUnbonding::<Test>::get(id);
            book.own_leaving = chunks.iter().map(|chunk| (chunk.unlock_at, real(chunk.amount))).collect();
            for (who, delegation) in Delegations::<Test>::iter_prefix(id) {
                let worth = |shares| real(pool.active.worth(shares).expect("it has them, qed"));
                book.active.insert(who, worth(delegation.shares));
                book.income.insert(who, real(Staking::pending_income(&id, &who)));
                if let Some(lien) = delegation.lien {
                    let old = Pools::<Test>::get(lien.from).expect("the old pool waits, qed");
                    let tie = Tie {
                        from: lien.from,
                        value: worth(lien.shares),
                        moved: real(lien.amount),
                        left: old.survival as f64 / lien.survival as f64,
                    };
                    ledger.ties.insert((id, who), tie);
                }
            }
            for (who, chunks) in Unbonding::<Test>::iter_prefix(id) {
                let worth = |shares| real(pool.unbonding.worth(shares).expect("it has them, qed"));
                let leaving = chunks.iter().map(|chunk| (chunk.unlock_at, worth(chunk.shares))).collect();
                book.leaving.insert(who, leaving);
            }
            ledger.books.insert(id, book);
        }
        let queued = SlashQueue::<Test>::iter_values().flatten();
        ledger.answering = queued.map(|queued| (queued.id, real(queued.delegated))).collect();
        ledger.free = (1..=9).map(|who| (who, real(free(who)))).collect();
        ledger
    }

    pub(super) fn foresee(&self, act: &Act) -> Foreseen {
        match act {
            Act::ApplySlash { provider, nth } => {
                let id = slash_id(*provider, *nth);
                let slash = PendingSlashes::<Test>::get(provider, id).map(|slash| (id, slash));
                Foreseen { slash, ..Default::default() }
            }
            Act::Withdraw { provider, .. } | Act::Evict { provider, .. } => {
                Foreseen { free_until: free_until(*provider), ..Default::default() }
            }
            Act::UnbondSelf { who, .. } | Act::Exit { who } => {
                Foreseen { absent: Staking::is_absent(who), ..Default::default() }
            }
            _ => Foreseen::default(),
        }
    }

    fn book(&mut self, provider: AccountId) -> &mut Book {
        self.books.get_mut(&provider).expect("the pallet accepted an act on this pool, qed")
    }

    fn pay(&mut self, who: AccountId, amount: f64) {
        *self.free.entry(who).or_default() += amount;
    }

    fn pay_income(&mut self, provider: AccountId, who: AccountId) {
        let income = self.book(provider).income.remove(&who).unwrap_or_default();
        self.pay(who, income);
    }

    /// A tie pays what it has to.
    fn settle(&mut self, provider: AccountId, who: AccountId) {
        let gone = Delegations::<Test>::get(provider, who).is_none_or(|d| d.lien.is_none());
        let Some(tie) = self.ties.get_mut(&(provider, who)) else { return };
        let lost = tie.value * (1.0 - tie.left);
        tie.value -= lost;
        tie.left = 1.0;
        if gone {
            self.ties.remove(&(provider, who));
        }
        *self.book(provider).active.entry(who).or_default() -= lost;
    }

    /// Takes `part` of a delegation out, and returns it.
    fn take(&mut self, provider: AccountId, who: AccountId, part: f64) -> f64 {
        self.pay_income(provider, who);
        let mut amount = part * self.book(provider).active[&who];
        self.settle(provider, who);
        let active = &mut self.book(provider).active;
        if Delegations::<Test>::contains_key(provider, who) {
            *active.entry(who).or_default() -= amount;
        } else {
            amount = active.remove(&who).unwrap_or_default();
        }
        amount
    }

    fn put(&mut self, provider: AccountId, who: AccountId, amount: f64) {
        *self.book(provider).active.entry(who).or_default() += amount;
    }

    fn leave(&mut self, provider: AccountId, who: AccountId, amount: f64) {
        self.book(provider).leaving.entry(who).or_default().push((block() + UNBONDING_BLOCKS, amount));
    }

    fn withdraw(&mut self, provider: AccountId, who: AccountId, until: BlockNumber) {
        let book = self.book(provider);
        let due = if who == provider {
            take_due(&mut book.own_leaving, until)
        } else {
            book.leaving.get_mut(&who).map(|leaving| take_due(leaving, until)).unwrap_or_default()
        };
        self.pay(who, due);
    }

    /// Writes down an act that the pallet has accepted.
    pub(super) fn write(&mut self, act: &Act, foreseen: Foreseen) {
        self.acts += 1;
        match act.clone() {
            Act::Register { who, self_bond } => {
                self.books.insert(who, Book { own: real(self_bond), ..Default::default() });
                self.pay(who, -real(self_bond + DEPOSIT + EXISTENTIAL));
            }
            Act::BondMore { who, amount } => {
                self.book(who).own += real(amount);
                self.pay(who, -real(amount));
            }
            Act::UnbondSelf { who, amount } => self.own_leaves(who, real(amount), foreseen.absent),
            Act::Exit { who } => {
                let all = self.book(who).own;
                self.own_leaves(who, all, foreseen.absent);
            }
            Act::Delegate { who, provider, amount } => {
                self.pay_income(provider, who);
                self.settle(provider, who);
                self.put(provider, who, real(amount));
                self.pay(who, -real(amount));
            }
            Act::Undelegate { who, provider, part } => {
                let amount = self.take(provider, who, ratio(part));
                self.leave(provider, who, amount);
            }
            Act::Redelegate { who, from, to, part } => self.redelegate(who, from, to, ratio(part)),
            Act::SettleLien { provider, who } => {
                if self.ties[&(provider, who)].left < 1.0 {
                    self.pay_income(provider, who);
                }
                self.settle(provider, who);
            }
            Act::Withdraw { who, provider } => self.withdraw(provider, who, foreseen.free_until),
            Act::Claim { who, provider } => self.pay_income(provider, who),
            Act::Compound { provider, who, .. } => {
                let income = self.book(provider).income.remove(&who).unwrap_or_default();
                self.put(provider, who, income);
            }
            Act::Evict { provider, owner } => {
                let delegates = self.book(provider).active.contains_key(&owner);
                self.withdraw(provider, owner, foreseen.free_until);
                if delegates {
                    let amount = self.take(provider, owner, 1.0);
                    self.leave(provider, owner, amount);
                }
            }
            Act::Deregister { provider } => {
                self.books.remove(&provider);
                // The dust of the divisions of income was nobody's, so that no book has it.
                let remainder = events().into_iter().find_map(|event| match event {
                    Event::Deregistered { remainder, .. } => Some(remainder),
                    _ => None,
                });
                let remainder = remainder.expect("the pallet told of it, qed");
                assert!(remainder >= EXISTENTIAL, "{remainder}");
                self.pay(provider, real(DEPOSIT + remainder));
            }
            Act::Offence { provider, .. } => {
                let booked = SlashQueue::<Test>::get(provider).last().map(|queued| queued.id);
                let once = self.books.contains_key(&provider).then(|| self.answering(provider).1);
                if let Some((id, once)) = booked.zip(once) {
                    self.answering.entry(id).or_insert(once);
                }
            }
            Act::ApplySlash { provider, .. } => {
                let (id, slash) = foreseen.slash.expect("the pallet found it, qed");
                self.slash(provider, id, slash);
            }
            Act::Earn { provider, amount, commission } => {
                self.earn(provider, real(amount), ratio(commission))
            }
            _ => {}
        }
    }

    fn own_leaves(&mut self, who: AccountId, amount: f64, absent: bool) {
        let book = self.book(who);
        book.own -= amount;
        let longer = if absent { ABSENCE_LOCK } else { 0 };
        book.own_leaving.push((block() + UNBONDING_BLOCKS + longer, amount));
        book.own_leaving.sort_by_key(|(at, _)| *at);
    }

    fn redelegate(&mut self, who: AccountId, from: AccountId, to: AccountId, part: f64) {
        let amount = self.take(from, who, part);
        self.pay_income(to, who);
        // What was there before is free of its tie, or the pallet would have refused.
        if let Some(before) = self.ties.remove(&(to, who)) {
            let lost = before.value * (1.0 - before.left);
            *self.book(to).active.entry(who).or_default() -= lost;
        }
        self.put(to, who, amount);
        self.ties.insert((to, who), Tie { from, value: amount, moved: amount, left: 1.0 });
    }

    fn earn(&mut self, provider: AccountId, amount: f64, commission: f64) {
        let book = self.book(provider);
        let delegated = book.active.values().sum::<f64>();
        let stake = book.own + delegated;
        let mut shared = 0.0;
        if delegated > 0.0 {
            for (who, active) in &book.active {
                let part = amount * (1.0 - commission) * active / stake;
                *book.income.entry(*who).or_default() += part;
                shared += part;
            }
        }
        self.pay(PAYER, -amount);
        self.pay(provider, amount - shared);
    }

    /// The delegations of a provider, here and where they are tied.
    fn answering(&self, provider: AccountId) -> (f64, f64) {
        let book = &self.books[&provider];
        let here = book.active.values().sum::<f64>() + book.leaving.values().map(sum).sum::<f64>();
        let moved = self.ties.values().filter(|tie| tie.from == provider).map(|tie| tie.moved).sum::<f64>();
        (here, here + moved)
    }

    fn slash(&mut self, provider: AccountId, id: SlashId, slash: PendingSlash<AccountId>) {
        let (here, answering) = self.answering(provider);
        let once = self.answering.remove(&id).unwrap_or_default();
        let book = self.book(provider);
        let amount = real(slash.amount);
        let own = amount.min(book.own);
        book.own -= own;
        let own_leaving = (amount - own).min(sum(&book.own_leaving));
        let mut left = own_leaving;
        for (_, chunk) in book.own_leaving.iter_mut().rev() {
            let part = left.min(*chunk);
            *chunk -= part;
            left -= part;
        }

        let shared_by = if slash.cause == Cause::Offence { answering.max(once) } else { here };
        let rate = if shared_by < 0.5 { 0.0 } else { ((amount - own - own_leaving) / shared_by).min(CAP) };
        for active in book.active.values_mut() {
            *active *= 1.0 - rate;
        }
        for leaving in book.leaving.values_mut() {
            scale(leaving, 1.0 - rate);
        }
        for ((at, _), tie) in &mut self.ties {
            if tie.from == provider {
                tie.left *= 1.0 - rate;
            }
            if *at == provider {
                tie.value *= 1.0 - rate;
            }
        }
        let most = slash.compensation.as_ref().map_or(0.0, |compensation| real(compensation.most));
        self.pay(CUSTOMER, (own + own_leaving).min(most));
        if let Some(reporter) = slash.reporter.filter(|reporter| *reporter != provider) {
            self.pay(reporter, (own + own_leaving) * 0.05);
        }
    }

    /// The pallet says the same, but for rounding.
    pub(super) fn check(&self, act: &Act) {
        let bound = PLANCK_PER_ACT * f64::from(self.acts) + 5.0;
        let near = |what: &str, whose: AccountId, found: Balance, expected: f64| {
            let found = real(found);
            assert!(
                (found - expected).abs() <= bound,
                "{act:?}: {what} of {whose}: {found}, by the ledger {expected} ± {bound}"
            );
        };
        for (id, book) in &self.books {
            let pool = Pools::<Test>::get(id).expect("the ledger has no pool that the pallet has not, qed");
            near("self-bond", *id, pool.self_bond, book.own);
            near("unbonding self-bond", *id, pool.self_unbonding, sum(&book.own_leaving));
            near("active stake", *id, pool.active.balance, book.active.values().sum());
            for who in 1..=9 {
                let active = Delegations::<Test>::get(id, who).map(|d| d.shares).unwrap_or_default();
                let leaving = Unbonding::<Test>::get(id, who).iter().map(|chunk| chunk.shares).sum();
                let worth = |bucket: Bucket, shares| bucket.worth(shares).expect("it has them, qed");
                let of = |map: &BTreeMap<AccountId, f64>| map.get(&who).copied().unwrap_or_default();
                near("delegation", who, worth(pool.active, active), of(&book.active));
                near("income", who, Staking::pending_income(id, &who), of(&book.income));
                let expected = book.leaving.get(&who).map(sum).unwrap_or_default();
                near("unbonding", who, worth(pool.unbonding, leaving), expected);
            }
        }
        for (who, expected) in &self.free {
            near("free balance", *who, free(*who), *expected);
        }
    }
}
