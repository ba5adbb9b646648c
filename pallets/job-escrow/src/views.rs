//! What a page asks about jobs and their money, answered in one call: the answers of the view functions, and how they are
//! worked out. Nothing here changes anything.
//!
//! **Paging.** Jobs lie in a hashed map, so they have no order of their own; but their ids are handed out in order. A
//! page goes through the ids from a cursor downwards, so the newest jobs come first, and looks at no more than
//! [`attune_primitives::page::MAX_LOOKUPS`] ids for one answer, however few of them fit. The cursor of the next page is in the answer.

use alloc::vec::Vec;

use attune_primitives::{
    job::{ArithmeticMode, Assurance, Theme, MAX_AUDITORS, MAX_MILESTONES, MAX_SAMPLES, MAX_SEGMENTS},
    machine::JobState,
    page::{newest_first, page_size, Page},
    Balance, BlockNumber, JobId, ModelId,
};
use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::traits::{fungible::Inspect, Get};
use scale_info::TypeInfo;

use crate::*;

/// Which jobs a page lists. What is `None` fits any.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct JobFilter<AccountId> {
    /// Where they stand.
    pub states: Option<JobStates>,
    /// Who ordered them.
    pub customer: Option<AccountId>,
    /// To whom they are assigned now.
    pub provider: Option<AccountId>,
}

/// Groups of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum JobStates {
    /// Bidding or open: a provider may still come.
    AwaitingProvider,
    /// A provider has it, and it has not ended.
    InHand,
    /// It has ended and is not pruned yet.
    Ended,
}

impl JobStates {
    /// True if `state` belongs to the group.
    pub fn has(self, state: JobState) -> bool {
        match self {
            Self::AwaitingProvider => state.awaits_provider(),
            Self::InHand => !state.awaits_provider() && !state.is_terminal(),
            Self::Ended => state.is_terminal(),
        }
    }
}

/// A job, as a list shows it. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct JobInfo<AccountId> {
    /// Its id.
    pub job: JobId,
    /// Who ordered.
    pub customer: AccountId,
    /// Who pays: the customer or its sponsor.
    pub funder: AccountId,
    /// Where it stands.
    pub state: JobState,
    /// Last block on which the parties may act; `None` once it has ended.
    pub deadline: Option<BlockNumber>,
    /// Block of the end; `None` while it lives.
    pub closed_at: Option<BlockNumber>,
    /// Base model.
    pub model: ModelId,
    /// What the training is about.
    pub theme: Theme,
    /// Arithmetic, and so who can take it.
    pub mode: ArithmeticMode,
    /// Segments of the whole job.
    pub segments: u32,
    /// Optimizer steps of one segment.
    pub steps_per_segment: u32,
    /// How many milestones it has.
    pub milestones: u32,
    /// Those of them whose segments are all committed.
    pub milestones_committed: u32,
    /// Those of them that are verified and paid.
    pub milestones_paid: u32,
    /// The most that a provider may ask now; `None` unless it waits for one.
    pub most: Option<Balance>,
    /// What one audit pays.
    pub audit_fee: Balance,
    /// The only provider that may take it.
    pub chosen: Option<AccountId>,
    /// The provider that has it, or had it when it ended.
    pub provider: Option<AccountId>,
    /// The price that was frozen when it was assigned.
    pub price: Option<Balance>,
    /// How often it was handed over.
    pub handovers: u32,
    /// Unix time of the request, in milliseconds.
    pub requested_at: u64,
}

/// A job's money, in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct JobMoney<AccountId> {
    /// On whose account it is on hold.
    pub funder: AccountId,
    /// For training, not yet paid.
    pub escrow: Balance,
    /// For audits, not yet paid.
    pub audit_budget: Balance,
    /// The deposit, which goes back when the job is pruned.
    pub deposit: Balance,
    /// Paid, or owed, to providers and auditors so far.
    pub spent: Balance,
    /// Payments that their payees could not receive: paid by `claim_owed`. At most the first 256.
    pub owed: Vec<(AccountId, Balance)>,
    /// Last block on which the parties may act; `None` once it has ended.
    pub deadline: Option<BlockNumber>,
    /// First block at which it can be pruned, if nothing is owed; `None` while it lives.
    pub prunable_from: Option<BlockNumber>,
}

/// A bid, and whether it stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BidInfo<AccountId> {
    /// Who bids.
    pub provider: AccountId,
    /// What it asks, in planck.
    pub price: Balance,
    /// False if the provider takes no work by now: its bid comes after all that stand.
    pub stands: bool,
}

/// What a price means for a provider. Amounts are in planck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Terms {
    /// The most that it may ask.
    pub most: Balance,
    /// What it locks of its pool as the bond.
    pub bond: Balance,
    /// The first milestone that it would train.
    pub first_milestone: u32,
}

/// Why nobody can ask a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum TermsRefusal {
    /// There is no such job.
    UnknownJob,
    /// The job waits for no provider.
    NotAwaitingProvider,
    /// The price is 0, or above the most that may be asked.
    Price {
        /// The most, in planck.
        most: Balance,
    },
    /// The bond is more than the token's arithmetic holds.
    Overflow,
}

/// What shapes a job's cost.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct JobShape {
    /// The most that training may cost, in planck.
    pub max_price: Balance,
    /// What one audit pays, in planck.
    pub audit_fee: Balance,
    /// Segments of each milestone, in order.
    pub milestones: Vec<u32>,
    /// How much is audited.
    pub assurance: Assurance,
}

/// What a job costs to order, in planck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Quote {
    /// On hold for training: the maximum price.
    pub escrow: Balance,
    /// On hold for audits.
    pub audit_budget: Balance,
    /// On hold for as long as the job is stored.
    pub deposit: Balance,
    /// All of it together.
    pub on_hold: Balance,
    /// What the account needs free to order: that, and the existential deposit, which stays. Fees come on top.
    pub needed: Balance,
    /// The bond that a provider locks if it asks the maximum price.
    pub bond: Balance,
}

/// What is wrong with a job's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum ShapeRefusal {
    /// The maximum price is 0.
    Price,
    /// The audit fee is too low.
    AuditFee {
        /// The least one, in planck.
        least: Balance,
    },
    /// There is no milestone, or there are too many.
    Milestones {
        /// The most.
        most: u32,
    },
    /// A milestone has fewer segments than samples are drawn from it, or all have too many together.
    Segments {
        /// The most of all together.
        most: u32,
    },
    /// No sample or no auditor, or too many.
    Assurance {
        /// The most samples of a milestone.
        samples: u8,
        /// The most auditors of a segment.
        auditors: u8,
    },
    /// The sum is more than the token's arithmetic holds.
    Overflow,
}

/// A sponsorship, and what is left of it. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SponsorshipInfo<AccountId> {
    /// Who pays.
    pub sponsor: AccountId,
    /// For whom.
    pub customer: AccountId,
    /// The most that all jobs together may hold and spend.
    pub limit: Balance,
    /// What they hold and have spent.
    pub used: Balance,
    /// The most that a new job may hold: what is left of both limits; 0 once it has expired.
    pub left_for_a_job: Balance,
    /// The most that one job may hold when it is created.
    pub per_job: Balance,
    /// Last block on which a job may be created.
    pub expires_at: BlockNumber,
}

/// A payment that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct OwedInfo {
    /// The job that owes it.
    pub job: JobId,
    /// How much, in planck.
    pub amount: Balance,
}

/// Most entries of [`JobMoney::owed`].
const MAX_OWED: usize = 256;

impl<T: Config> Pallet<T> {
    pub(crate) fn view_job(id: JobId) -> Option<JobInfo<T::AccountId>> {
        let job = Jobs::<T>::get(id)?;
        let live = !job.state.is_terminal();
        let spec = &job.spec;
        Some(JobInfo {
            job: id,
            state: job.state,
            deadline: live.then_some(job.deadline),
            closed_at: job.closed_at,
            model: spec.model,
            theme: spec.theme.clone(),
            mode: spec.mode.clone(),
            segments: spec.segments(),
            steps_per_segment: spec.steps_per_segment,
            milestones: u32::try_from(spec.milestones.len()).unwrap_or(u32::MAX),
            milestones_committed: job.milestones_committed,
            milestones_paid: job.milestones_paid,
            most: job.state.awaits_provider().then_some(job.escrow),
            audit_fee: spec.audit_fee,
            chosen: spec.provider.clone(),
            provider: job.assignment.as_ref().map(|assignment| assignment.provider.clone()),
            price: job.assignment.as_ref().map(|assignment| assignment.price),
            handovers: job.handovers,
            requested_at: job.requested_at,
            customer: job.customer,
            funder: job.funder,
        })
    }

    /// Jobs that fit `filter`, newest first.
    pub fn view_jobs(
        filter: &JobFilter<T::AccountId>,
        before: Option<JobId>,
        limit: u32,
    ) -> Page<JobInfo<T::AccountId>, JobId> {
        let next = NextJobId::<T>::get();
        newest_first(before.unwrap_or(next).min(next), limit, |id| {
            Self::view_job(id).filter(|info| {
                filter.states.is_none_or(|states| states.has(info.state))
                    && filter.customer.as_ref().is_none_or(|customer| info.customer == *customer)
                    && filter.provider.as_ref().is_none_or(|who| info.provider.as_ref() == Some(who))
            })
        })
    }

    pub(crate) fn view_money(id: JobId) -> Option<JobMoney<T::AccountId>> {
        let job = Jobs::<T>::get(id)?;
        let live = !job.state.is_terminal();
        Some(JobMoney {
            funder: job.funder,
            escrow: job.escrow,
            audit_budget: job.audit_budget,
            deposit: job.deposit,
            spent: job.spent,
            owed: Owed::<T>::iter_prefix(id).take(MAX_OWED).collect(),
            deadline: live.then_some(job.deadline),
            prunable_from: job.closed_at.map(|closed| closed.saturating_add(T::PruneAfter::get())),
        })
    }

    pub(crate) fn view_bids(id: JobId) -> Vec<BidInfo<T::AccountId>> {
        let Some(job) = Jobs::<T>::get(id) else { return Vec::new() };
        let bids = Bids::<T>::get(id);
        let mut fallen: Vec<_> = bids.to_vec();
        let standing = Self::ranked(bids, &job);
        fallen.retain(|bid| !standing.contains(bid));
        fallen.sort_by_key(|bid| bid.price);
        let info = |stands| move |Bid { provider, price }| BidInfo { provider, price, stands };
        standing.into_iter().map(info(true)).chain(fallen.into_iter().map(info(false))).collect()
    }

    pub(crate) fn view_terms(id: JobId, price: Balance) -> Result<Terms, TermsRefusal> {
        let job = Jobs::<T>::get(id).ok_or(TermsRefusal::UnknownJob)?;
        if !job.state.awaits_provider() {
            return Err(TermsRefusal::NotAwaitingProvider);
        }
        let (most, first_milestone) = (job.escrow, job.milestones_paid);
        if price == 0 || price > most {
            return Err(TermsRefusal::Price { most });
        }
        let bond = Self::bond(&job.spec, first_milestone, price).ok_or(TermsRefusal::Overflow)?;
        Ok(Terms { most, bond, first_milestone })
    }

    /// The rules are those of `JobSpec::validate` and of `create_job`, for the part of a specification that costs money.
    pub(crate) fn view_quote(shape: &JobShape) -> Result<Quote, ShapeRefusal> {
        let JobShape { max_price, audit_fee, milestones, assurance: Assurance { samples, auditors } } = shape;
        let count = u32::try_from(milestones.len()).unwrap_or(u32::MAX);
        if *max_price == 0 {
            return Err(ShapeRefusal::Price);
        }
        let least = T::MinAuditFee::get();
        if *audit_fee < least {
            return Err(ShapeRefusal::AuditFee { least });
        }
        if !(1..=MAX_MILESTONES).contains(&count) {
            return Err(ShapeRefusal::Milestones { most: MAX_MILESTONES });
        }
        if !(1..=MAX_SAMPLES).contains(samples) || !(1..=MAX_AUDITORS).contains(auditors) {
            return Err(ShapeRefusal::Assurance { samples: MAX_SAMPLES, auditors: MAX_AUDITORS });
        }
        let all = milestones.iter().try_fold(0u32, |sum, segments| sum.checked_add(*segments));
        let fits = all.is_some_and(|all| all <= MAX_SEGMENTS);
        if !fits || milestones.iter().any(|segments| *segments < u32::from(*samples)) {
            return Err(ShapeRefusal::Segments { most: MAX_SEGMENTS });
        }

        let audits = u32::from(*samples).checked_mul(u32::from(*auditors)).and_then(|a| a.checked_mul(count));
        let audits = audits.ok_or(ShapeRefusal::Overflow)?;
        let largest = milestones.iter().copied().max().unwrap_or_default();
        let cost = || {
            let audit_budget = Self::fees_of(audits, count, *audit_fee)?;
            let deposit = T::JobDeposit::get();
            let on_hold = max_price.checked_add(audit_budget)?.checked_add(deposit)?;
            let needed = on_hold.checked_add(T::Currency::minimum_balance())?;
            let bond = Self::bond_of(largest, u32::from(*samples), *max_price)?;
            Some(Quote { escrow: *max_price, audit_budget, deposit, on_hold, needed, bond })
        };
        cost().ok_or(ShapeRefusal::Overflow)
    }

    pub(crate) fn view_sponsorship(
        sponsor: T::AccountId,
        customer: T::AccountId,
    ) -> Option<SponsorshipInfo<T::AccountId>> {
        let found = Sponsorships::<T>::get(&sponsor, &customer)?;
        Some(Self::sponsorship_left(sponsor, customer, &found))
    }

    fn sponsorship_left(
        sponsor: T::AccountId,
        customer: T::AccountId,
        found: &Sponsorship,
    ) -> SponsorshipInfo<T::AccountId> {
        // A sponsor that adds to its own jobs may have gone beyond its own limit: then nothing is left.
        let left = found.limit.checked_sub(found.used).map(|left| left.min(found.per_job));
        let lives = Self::now() <= found.expires_at;
        SponsorshipInfo {
            sponsor,
            customer,
            limit: found.limit,
            used: found.used,
            left_for_a_job: left.filter(|_| lives).unwrap_or_default(),
            per_job: found.per_job,
            expires_at: found.expires_at,
        }
    }

    pub(crate) fn view_sponsorships(
        sponsor: &T::AccountId,
        after: Option<T::AccountId>,
        limit: u32,
    ) -> Page<SponsorshipInfo<T::AccountId>, T::AccountId> {
        let mut all = match after {
            Some(after) => {
                let key = Sponsorships::<T>::hashed_key_for(sponsor, after);
                Sponsorships::<T>::iter_prefix_from(sponsor, key)
            }
            None => Sponsorships::<T>::iter_prefix(sponsor),
        };
        let items: Vec<_> = all
            .by_ref()
            .take(page_size(limit))
            .map(|(customer, found)| Self::sponsorship_left(sponsor.clone(), customer, &found))
            .collect();
        let more = all.next().is_some();
        let next = items.last().filter(|_| more).map(|last| last.customer.clone());
        Page { items, next }
    }

    /// What is owed to `payee`, by job, newest first.
    pub fn view_owed(payee: &T::AccountId, before: Option<JobId>, limit: u32) -> Page<OwedInfo, JobId> {
        let next = NextJobId::<T>::get();
        newest_first(before.unwrap_or(next).min(next), limit, |job| {
            let amount = Owed::<T>::get(job, payee);
            (amount > 0).then_some(OwedInfo { job, amount })
        })
    }
}
