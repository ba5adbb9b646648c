//! What the pallet stores. A pool is two buckets of shares and a self-bond, so that a slash is a handful of
//! subtractions however many delegators there are.

use attune_primitives::{provider::ProviderProfile, Balance, BlockNumber, JobId, H256};
use frame_support::pallet_prelude::*;
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

/// Shares that nobody owns, and that stand in every bucket beside one planck that nobody owns. They set the first
/// price of a share (1,000 shares a planck) and keep a first depositor from setting it.
pub const VIRTUAL_SHARES: u128 = 1_000;
/// The planck behind [`VIRTUAL_SHARES`].
pub const VIRTUAL_BALANCE: Balance = 1;
/// Unit of [`Pool::income_per_share`].
pub const INCOME_SCALE: u128 = 1_000_000_000_000_000_000_000_000;
/// A bucket whose shares are worth less than one part in this many of their first price is ruined.
pub const RUIN_FACTOR: u128 = 1_000_000;
/// Unit of [`Pool::survival`].
pub const SURVIVAL_SCALE: u128 = 1_000_000_000_000_000_000;

/// Names a slash. No two slashes ever have the same, in whichever pool.
pub type SlashId = u64;

/// Whether a provider takes new work and new stake.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Status {
    /// It does.
    Active,
    /// It pauses, by its own choice: no new job, nobody else's new stake. It can go back.
    Chilled,
    /// It leaves: no new job, no new stake; what it has begun goes on. There is no way back.
    Exiting,
}

/// What a provider has done so far. Counters only, no judgement.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Reputation {
    /// Jobs that ended verified and paid.
    pub jobs_finished: u32,
    /// Jobs that failed by this provider's fault.
    pub jobs_failed: u32,
    /// Audits answered with the majority.
    pub audits_answered: u32,
    /// Audits never answered.
    pub audits_missed: u32,
    /// Audits answered against a committee's finding.
    pub audits_overruled: u32,
    /// Heartbeats that it was asked for and gave.
    pub heartbeats_answered: u32,
    /// Heartbeats that it was asked for and did not give.
    pub heartbeats_missed: u32,
}

/// Whether a provider answers when it is asked for a heartbeat.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Presence {
    /// The first period that it has still to answer for, if it is asked in it. Those before it are answered, or missed and
    /// counted, or the provider could not have answered in all of them.
    pub due_from: u32,
    /// Block at which it began to count as absent; `None` while it counts as present.
    pub absent_since: Option<BlockNumber>,
}

/// A period of heartbeats. It is fixed who is asked in it before it begins.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Period {
    /// Which: its first block is this many times the length of a period.
    pub number: u32,
    /// Draws who is asked; `None` while the chain has no randomness: nobody is drawn then.
    pub randomness: Option<H256>,
}

/// The search for those who did not answer in a period that is over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Sweep<AccountId> {
    /// The period.
    pub period: Period,
    /// The provider that was looked at last; `None` if none was.
    pub cursor: Option<AccountId>,
}

/// A rise of a commission that waits until delegators had the time to leave.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct CommissionRise {
    /// The commission that it rises to.
    pub to: Permill,
    /// First block of the new commission.
    pub from_block: BlockNumber,
}

/// A registered provider.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Provider<AccountId> {
    /// What it says about itself.
    pub profile: ProviderProfile,
    /// The share of its income that it keeps before delegators share the rest, as it was when it was last written:
    /// what counts is [`Provider::commission_at`].
    pub commission: Permill,
    /// A rise that is queued, or that is due and not yet written into `commission`.
    pub rise: Option<CommissionRise>,
    /// The worker's hot key.
    pub operator: AccountId,
    /// Whether it takes new work.
    pub status: Status,
    /// What it has done so far.
    pub reputation: Reputation,
    /// Whether it answers when it is asked for a heartbeat.
    pub presence: Presence,
    /// Block of the registration.
    pub registered_at: BlockNumber,
    /// What it deposited for its registration, in planck.
    pub deposit: Balance,
}

impl<AccountId> Provider<AccountId> {
    /// The commission of a job that is accepted in block `now`.
    pub fn commission_at(&self, now: BlockNumber) -> Permill {
        match self.rise {
            Some(rise) if rise.from_block <= now => rise.to,
            _ => self.commission,
        }
    }
}

/// Stake of many owners, divided by shares.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Bucket {
    /// What the shares are worth together, in planck.
    pub balance: Balance,
    /// All shares. Zero shares have a zero balance.
    pub shares: u128,
}

impl Bucket {
    /// Shares that `amount` buys, rounded down; `None` on overflow.
    pub fn shares_for(&self, amount: Balance) -> Option<u128> {
        let shares = self.shares.checked_add(VIRTUAL_SHARES)?;
        let balance = self.balance.checked_add(VIRTUAL_BALANCE)?;
        multiply_by_rational_with_rounding(amount, shares, balance, Rounding::Down)
    }

    /// What `shares` are worth, rounded down, in planck. The last shares are worth all that is left; `None` if there
    /// are not so many shares.
    pub fn worth(&self, shares: u128) -> Option<Balance> {
        let left = self.shares.checked_sub(shares)?;
        if left == 0 {
            return Some(self.balance);
        }
        let all = self.shares.checked_add(VIRTUAL_SHARES)?;
        let balance = self.balance.checked_add(VIRTUAL_BALANCE)?;
        multiply_by_rational_with_rounding(shares, balance, all, Rounding::Down)
            .map(|worth| worth.min(self.balance))
    }

    /// Puts `amount` in and returns the shares that it bought. Buys none if the amount is too small for one; the
    /// amount is then left to the others.
    pub fn put(&mut self, amount: Balance) -> Option<u128> {
        let bought = self.shares_for(amount)?;
        self.balance = self.balance.checked_add(amount)?;
        self.shares = self.shares.checked_add(bought)?;
        Some(bought)
    }

    /// Takes `shares` out and returns what they were worth.
    pub fn take(&mut self, shares: u128) -> Option<Balance> {
        let amount = self.worth(shares)?;
        self.balance = self.balance.checked_sub(amount)?;
        self.shares = self.shares.checked_sub(shares)?;
        Some(amount)
    }

    /// True if a slash has taken (almost) all: new money would meet shares by the million that are worth nothing.
    pub fn is_ruined(&self) -> bool {
        let bound = self.balance.checked_add(VIRTUAL_BALANCE).and_then(|b| b.checked_mul(RUIN_FACTOR));
        match bound.and_then(|b| b.checked_mul(VIRTUAL_SHARES)) {
            Some(bound) => self.shares > bound,
            None => false,
        }
    }
}

/// The stake behind one provider. Everything in it is on hold on the provider's pool account.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Pool {
    /// The provider's own stake, the first to be slashed, in planck.
    pub self_bond: Balance,
    /// Self-bond on its way out, the second to be slashed, in planck.
    pub self_unbonding: Balance,
    /// Stake of the delegators.
    pub active: Bucket,
    /// Delegators' stake on its way out; slashed like the active stake until it is withdrawn.
    pub unbonding: Bucket,
    /// Sum of the bonds of open jobs and of the pending slashes, in planck.
    pub locked: Balance,
    /// Number of open bonds.
    pub bonds: u32,
    /// Number of pending slashes.
    pub pending_slashes: u32,
    /// Compensation that customers could not receive yet, in planck. On hold beside the stake, and no part of it.
    pub owed: Balance,
    /// What of one delegated planck the slashes have left since the pool began, in parts of [`SURVIVAL_SCALE`].
    pub survival: u128,
    /// Sum of the open liens of stake that was redelegated from here, in planck as they were moved. The money is in
    /// other pools.
    pub moved: Balance,
    /// Number of delegators.
    pub delegators: u32,
    /// Income of one active share since the pool began, in planck / [`INCOME_SCALE`].
    pub income_per_share: u128,
    /// Delegators' income that is not claimed yet, with the dust of its division, in planck. Free on the pool account.
    pub reserved_income: Balance,
}

impl Pool {
    /// The pool of a provider that has just registered with `self_bond`.
    pub fn new(self_bond: Balance) -> Self {
        Self {
            self_bond,
            self_unbonding: 0,
            active: Bucket::default(),
            unbonding: Bucket::default(),
            locked: 0,
            bonds: 0,
            pending_slashes: 0,
            owed: 0,
            survival: SURVIVAL_SCALE,
            moved: 0,
            delegators: 0,
            income_per_share: 0,
            reserved_income: 0,
        }
    }

    /// Self-bond and delegations, in planck: what earns.
    pub fn stake(&self) -> Option<Balance> {
        self.self_bond.checked_add(self.active.balance)
    }

    /// All stake in the pool, in planck.
    pub fn total(&self) -> Option<Balance> {
        self.own()?.checked_add(self.delegated()?)
    }

    /// The provider's stake, with what is on its way out, in planck.
    pub fn own(&self) -> Option<Balance> {
        self.self_bond.checked_add(self.self_unbonding)
    }

    /// The delegators' stake, with what is on its way out, in planck.
    pub fn delegated(&self) -> Option<Balance> {
        self.active.balance.checked_add(self.unbonding.balance)
    }

    /// What new bonds can be locked on, in planck: what one slash can take of the stake that is not leaving, where a
    /// slash takes at most `cap` of delegators' stake.
    pub fn backing(&self, cap: Permill) -> Option<Balance> {
        self.self_bond.checked_add(cap.mul_floor(self.active.balance))
    }

    /// What one slash can take, in planck.
    pub fn coverage(&self, cap: Permill) -> Option<Balance> {
        self.own()?.checked_add(cap.mul_floor(self.delegated()?))
    }

    /// Income of `shares` since the accumulator stood at `checkpoint`, rounded down, in planck.
    pub fn income_since(&self, shares: u128, checkpoint: u128) -> Option<Balance> {
        let grown = self.income_per_share.checked_sub(checkpoint)?;
        multiply_by_rational_with_rounding(shares, grown, INCOME_SCALE, Rounding::Down)
    }
}

/// What one delegator has in one pool.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Delegation<AccountId> {
    /// Its shares of the active bucket; never 0.
    pub shares: u128,
    /// The pool's income per share when the delegator was last paid.
    pub income_checkpoint: u128,
    /// True if anyone may turn the delegator's income into shares.
    pub auto_compound: bool,
    /// What a part of the shares still answers for in the pool that it came from.
    pub lien: Option<Lien<AccountId>>,
}

/// Redelegated stake answers for its old provider for as long as unbonding stake would.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Lien<AccountId> {
    /// The old provider.
    pub from: AccountId,
    /// What was moved, in planck: its part of [`Pool::moved`].
    pub amount: Balance,
    /// The shares of the new pool that answer; they can't leave it before the lien ends.
    pub shares: u128,
    /// [`Pool::survival`] of the old pool when the lien was last settled.
    pub survival: u128,
    /// First block at which the lien can end.
    pub until: BlockNumber,
}

/// What a slash is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Cause {
    /// The provider failed this job.
    Job(JobId),
    /// An offence in consensus.
    Offence,
}

/// Who is compensated first from a slash.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Compensation<AccountId> {
    /// The customer of the job.
    pub customer: AccountId,
    /// The most that it gets, in planck.
    pub most: Balance,
}

/// A slash that was booked and has not acted yet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PendingSlash<AccountId> {
    /// What for.
    pub cause: Cause,
    /// What it is to take, in planck; for an offence with what the liens of redelegated stake are to pay of it.
    pub amount: Balance,
    /// Who gets a part of it first.
    pub compensation: Option<Compensation<AccountId>>,
    /// Who reported the offence and gets its reward.
    pub reporter: Option<AccountId>,
    /// First block at which anyone may apply it, and it can't be cancelled any more.
    pub apply_at: BlockNumber,
}

/// What a pending slash holds, and whom it concerns.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct QueuedSlash {
    /// Its number.
    pub id: SlashId,
    /// The block in which it was booked.
    pub booked: BlockNumber,
    /// The delegations that an offence's amount was worked out from, in planck, with what had been moved away and was still
    /// tied: who leaves before the slash acts, because it was free by then, leaves the others no more to pay. 0 for a job.
    pub delegated: Balance,
}

/// Self-bond on its way out. In planck, not in shares: its one owner is the first to be slashed anyway.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct SelfChunk {
    /// What is left of it, in planck; never 0.
    pub amount: Balance,
    /// First block at which it can be withdrawn.
    pub unlock_at: BlockNumber,
}

/// Stake on its way out.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct UnbondingChunk {
    /// Its shares of the unbonding bucket; never 0.
    pub shares: u128,
    /// First block at which it can be withdrawn.
    pub unlock_at: BlockNumber,
}
