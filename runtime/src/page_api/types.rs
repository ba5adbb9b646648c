//! The answers. Amounts are in planck.

use crate::{AccountId, Balance, BlockNumber, RuntimeHoldReason};
use alloc::vec::Vec;
use attune_primitives::{machine::JobState, page::Page, JobId, H256};
use codec::{Decode, Encode};
use pallet_job_escrow::{BidInfo, JobInfo, JobMoney, OwedInfo};
use pallet_proof_of_training::views::{JobProgress, RecordInfo};
use pallet_provider_staking::{DelegationInfo, PoolInfo, ProviderInfo, SlashInfo, UnbondingClock};
use pallet_validator_election::ValidatorInfo;
use scale_info::TypeInfo;

/// A job, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct JobOverview {
    /// What it is and where it stands.
    pub info: JobInfo<AccountId>,
    /// Its money.
    pub money: JobMoney<AccountId>,
    /// The bids of its bidding window, those first that would win.
    pub bids: Vec<BidInfo<AccountId>>,
    /// How far the training is; empty once the job has ended.
    pub progress: JobProgress<AccountId>,
    /// Its life so far, in order.
    pub timeline: Vec<TimelineEntry>,
    /// What is known for ever about it; `None` unless it is finalized.
    pub record: Option<RecordInfo<AccountId>>,
}

/// A step of a job's life, and when it was, where the chain keeps that: some steps it knows by their block, some by their
/// time, and of some only that they were.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct TimelineEntry {
    /// What happened.
    pub step: Step,
    /// The block.
    pub block: Option<BlockNumber>,
    /// Unix time, in milliseconds.
    pub unix_millis: Option<u64>,
}

/// A step of a job's life.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum Step {
    /// The customer ordered it. Known by its time.
    Requested {
        /// Who ordered.
        customer: AccountId,
        /// The most that training could cost when it was ordered.
        max_price: Balance,
    },
    /// A provider that has it no more began with it; its milestones follow. Known by its time.
    FormerAttempt {
        /// The provider.
        provider: AccountId,
        /// The first milestone that it was paid for.
        first_milestone: u32,
        /// The last one.
        last_milestone: u32,
        /// What it was paid for them.
        paid: Balance,
    },
    /// Attempts failed, and the job went to the next provider.
    HandedOver {
        /// How often, with attempts in which nothing was verified.
        times: u32,
        /// Who may not take it again.
        excluded: Vec<AccountId>,
    },
    /// A provider has it. Known by its block.
    Assigned {
        /// The provider.
        provider: AccountId,
        /// What it gets for all milestones from `first_milestone` on.
        price: Balance,
        /// Its bond.
        bond: Balance,
        /// The first milestone that it trains.
        first_milestone: u32,
    },
    /// The provider had the inputs and began. Known by its time.
    Started,
    /// All segments of a milestone were committed. Known by its block while the job lives.
    Committed {
        /// The milestone.
        milestone: u32,
    },
    /// A milestone's audits were drawn. Known by its block.
    Drawn {
        /// The milestone.
        milestone: u32,
        /// The drawn segments.
        segments: Vec<u32>,
    },
    /// Audits of a milestone passed; all that were drawn, or some so far.
    Audited {
        /// The milestone.
        milestone: u32,
        /// Segments whose audit passed.
        passed: u32,
        /// Segments that were drawn.
        drawn: u32,
    },
    /// A milestone was paid: it and all before it are verified.
    Paid {
        /// The milestone.
        milestone: u32,
    },
    /// The provider submitted the adapter. Known by its time.
    Submitted {
        /// Content address of the adapter.
        adapter: H256,
    },
    /// An auditor found a mismatch, and a committee is deciding.
    Disputed {
        /// Audits that it decides.
        audits: u32,
    },
    /// The customer called the job off; it ends with the audits that go on.
    CalledOff,
    /// The job ended: finalized, cancelled, expired, or failed for the reason in the state. Known by its block.
    Ended {
        /// How.
        state: JobState,
    },
}

/// A provider, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ProviderOverview {
    /// What it offers.
    pub info: ProviderInfo<AccountId>,
    /// The stake behind it.
    pub pool: PoolInfo<AccountId>,
    /// Its own stake on its way out.
    pub self_unbonding: UnbondingClock,
    /// Slashes that wait for their time.
    pub slashes: Vec<SlashInfo<AccountId>>,
    /// Its part in making blocks in this session; `None` if it is no validator now.
    pub validator: Option<ValidatorInfo<AccountId>>,
}

/// Everything that an account has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct AccountOverview {
    /// Not on hold. The existential deposit, and what is frozen, can't be spent.
    pub free: Balance,
    /// On hold, for all reasons together, and reserved by proxies and multisigs.
    pub reserved: Balance,
    /// What of free and reserved is frozen together.
    pub frozen: Balance,
    /// What is on hold, by reason.
    pub holds: Vec<Hold>,
    /// What it offers, if it is a provider.
    pub provider: Option<ProviderInfo<AccountId>>,
    /// The provider whose operator key it is.
    pub operates: Option<AccountId>,
    /// Its stake in other providers' pools, and what of its own is on its way out.
    pub stakes: Vec<Stake>,
    /// What settlement owes it, by job; the newest. More of it: `JobEscrow.owed_to` from `next` on.
    pub owed: Page<OwedInfo, JobId>,
}

/// Money on hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Hold {
    /// Why.
    pub reason: RuntimeHoldReason,
    /// How much.
    pub amount: Balance,
}

/// What an account has in one pool.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Stake {
    /// The provider.
    pub provider: AccountId,
    /// The delegation, with its pending income and lien; `None` if it has none.
    pub delegation: Option<DelegationInfo<AccountId>>,
    /// What is on its way out, and when it is free.
    pub unbonding: UnbondingClock,
    /// Compensation out of a slash that it could not receive.
    pub owed_compensation: Balance,
}

/// How the books agree with the money.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Solvency {
    /// All of the token.
    pub issuance: Balance,
    /// How many pools there are.
    pub pools: u32,
    /// What they hold by their books: stake, and compensation that is owed.
    pub booked: Balance,
    /// What is on hold on their accounts.
    pub held: Balance,
    /// Delegators' income that is not claimed yet, by the books. It is free on the pools' accounts.
    pub unclaimed_income: Balance,
    /// Pools whose books and money differ. None: anything else is a fault of the chain.
    pub differing: Vec<PoolBooks>,
}

/// The books of a pool beside its money.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PoolBooks {
    /// The provider.
    pub provider: AccountId,
    /// Stake and owed compensation by the books.
    pub booked: Balance,
    /// What is on hold on the pool's account.
    pub held: Balance,
    /// Unclaimed income by the books.
    pub unclaimed_income: Balance,
    /// What is free on the pool's account: that income, and the existential deposit.
    pub free: Balance,
}

/// The books of a job beside its funder's money.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct EscrowBooks {
    /// The job.
    pub job: JobId,
    /// On whose account its money is on hold.
    pub funder: AccountId,
    /// Escrow, audit budget and owed payments of this job.
    pub booked_escrow: Balance,
    /// Its deposit.
    pub booked_deposit: Balance,
    /// What is on hold as escrow on the funder's account, for all of its jobs.
    pub held_escrow: Balance,
    /// What is on hold as deposits there, for all of its jobs and sponsorships.
    pub held_deposit: Balance,
}
