//! What the worker sees of the chain at one finalized block, and what it knows of itself. Plain data, so that
//! [`crate::reconcile`] can be a pure function and a test can write any situation down.

use std::collections::{BTreeMap, BTreeSet};

use attune_chain_client::{
    json::text,
    primitives::{
        job::ArithmeticMode, machine::JobState, proof::SegmentCommitment, Balance, BlockNumber, JobId,
    },
    types::{
        AuditInfo, BidInfo, Constants, DrawInfo, DueDelegationInfo, JobInfo, ModelInfo, PendingSlashInfo,
        ProviderInfo, RecordInfo, ResultInfo,
    },
    AccountId, Result, View,
};

use crate::{jobdir::JobFiles, reconcile::Duty};

/// Pools whose pending slashes are read at one block. A pool has at most 32 of them.
pub const MAX_SLASHED_POOLS: usize = 8;

/// A job with what proof-of-training keeps about it while it is alive.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The job.
    pub job: JobInfo,
    /// Bids, the best first; in the bidding window only.
    pub bids: Vec<BidInfo>,
    /// Committed segments; after a handover those of the verified milestones first.
    pub commitments: Vec<SegmentCommitment>,
    /// The submitted result.
    pub result: Option<ResultInfo>,
    /// Blocks in which milestones were committed.
    pub committed_at: BTreeMap<u32, BlockNumber>,
    /// Draws.
    pub draws: Vec<DrawInfo>,
    /// Audits.
    pub audits: Vec<AuditInfo>,
}

impl JobView {
    /// The assigned provider.
    pub fn provider(&self) -> Option<AccountId> {
        self.job.assignment.as_ref().map(|assignment| assignment.provider)
    }

    /// The first segment that the present provider, or the next one, trains for pay: those before it are verified work
    /// of providers who had the job before.
    pub fn first_segment(&self) -> u32 {
        self.job.spec.milestone_segments(self.job.first_milestone()).map_or(0, |(start, _)| start)
    }

    /// True if an account trained verified milestones of the job before it was handed over.
    pub fn was_provider(&self, account: &AccountId) -> bool {
        self.job.tranches.iter().any(|tranche| tranche.provider == *account)
    }

    /// True if an account has a place in one of the job's audits.
    pub fn is_auditor(&self, account: &AccountId) -> bool {
        self.audits.iter().any(|audit| audit.slot(account).is_some())
    }
}

/// The chain at one finalized block, as far as a worker needs it.
#[derive(Clone, Debug)]
pub struct ChainView {
    /// The block's number.
    pub now: BlockNumber,
    /// The provider that this worker acts for.
    pub me: ProviderInfo,
    /// All providers, in the order of their accounts.
    pub providers: Vec<ProviderInfo>,
    /// All jobs that the chain still has.
    pub jobs: BTreeMap<JobId, JobView>,
    /// The number that the next job gets. This state knows nothing of those from it on.
    pub next_job: JobId,
    /// Records of jobs that the chain no longer has, among those asked for.
    pub records: BTreeMap<JobId, RecordInfo>,
    /// Base models.
    pub models: Vec<ModelInfo>,
    /// Slashes that wait for their time: of [`MAX_SLASHED_POOLS`] pools at a time.
    pub slashes: Vec<PendingSlashInfo>,
    /// Of the delegations to this worker's provider some with something to push; none at most blocks
    /// ([`crate::upkeep::PoolSearch`]).
    pub due: Vec<DueDelegationInfo>,
    /// The period in which this worker's provider is asked for a heartbeat and has not answered.
    pub heartbeat_due: Option<u32>,
    /// First block of the epoch that made the latest audit randomness.
    pub randomness_from: Option<BlockNumber>,
    /// First block of the epoch that runs; the latest audit randomness was made in it.
    pub epoch_from: Option<BlockNumber>,
    /// What the runtime fixes.
    pub constants: Constants,
}

impl ChainView {
    /// Reads it; `me` is the worker's provider, `known` the jobs that it keeps something of. `None` if the provider is not
    /// registered.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn read(
        view: &View,
        me: &AccountId,
        known: &BTreeSet<JobId>,
        constants: &Constants,
    ) -> Result<Option<Self>> {
        let providers = view.providers().await?;
        let Some(me) = providers.iter().find(|provider| provider.account == *me).cloned() else {
            return Ok(None);
        };
        let mut jobs = BTreeMap::new();
        for job in view.jobs().await? {
            let id = job.id;
            jobs.insert(id, read_job(view, job).await?);
        }
        let mut records = BTreeMap::new();
        for job in known.iter().filter(|job| !jobs.contains_key(job)) {
            records.extend(view.record(*job).await?.map(|record| (*job, record)));
        }
        let heartbeat_due = view.heartbeat_due(&me.account).await?;
        let mut slashes = Vec::new();
        for account in slashed_pools(&providers, view.number()) {
            slashes.extend(view.pending_slashes(&account).await?);
        }
        Ok(Some(Self {
            now: view.number(),
            me,
            providers,
            jobs,
            next_job: view.next_job().await?,
            slashes,
            due: Vec::new(),
            heartbeat_due,
            records,
            models: view.models().await?,
            randomness_from: view.randomness().await?.map(|(_, from)| from),
            epoch_from: view.epoch_from().await?,
            constants: constants.clone(),
        }))
    }

    /// A base model.
    pub fn model(&self, id: u32) -> Option<&ModelInfo> {
        self.models.iter().find(|model| model.id == id)
    }

    /// A provider.
    pub fn provider(&self, account: &AccountId) -> Option<&ProviderInfo> {
        self.providers.iter().find(|provider| provider.account == *account)
    }
}

/// The pools whose pending slashes are looked at now: those that have any (their number stands in the pool, which is read
/// anyway), and where these are too many, others at every block.
fn slashed_pools(providers: &[ProviderInfo], now: BlockNumber) -> Vec<AccountId> {
    let with_slashes = providers.iter().filter(|provider| provider.pool.pending_slashes > 0);
    let all: Vec<AccountId> = with_slashes.map(|provider| provider.account).collect();
    let start = usize::try_from(now).unwrap_or(0).wrapping_mul(MAX_SLASHED_POOLS);
    let turned = (0..all.len().min(MAX_SLASHED_POOLS)).map(|offset| start.wrapping_add(offset));
    turned.filter_map(|at| all.get(at.checked_rem(all.len())?).copied()).collect()
}

async fn read_job(view: &View, job: JobInfo) -> Result<JobView> {
    let id = job.id;
    let mut found = JobView {
        job,
        bids: Vec::new(),
        commitments: Vec::new(),
        result: None,
        committed_at: BTreeMap::new(),
        draws: Vec::new(),
        audits: Vec::new(),
    };
    if found.job.state == JobState::Bidding {
        found.bids = view.bids(id).await?;
    }
    // Before the first start there is nothing yet, after the end nothing any more; while a job waits for the next
    // provider, what is verified stays.
    let is_handed_over = !found.job.state.is_terminal() && found.job.milestones_paid > 0;
    if !found.job.state.is_in_work() && !is_handed_over {
        return Ok(found);
    }
    found.commitments = view.commitments(id).await?;
    if found.commitments.is_empty() {
        return Ok(found);
    }
    let segments = u32::try_from(found.commitments.len()).unwrap_or(u32::MAX);
    for milestone in 0..u32::try_from(found.job.spec.milestones.len()).unwrap_or(0) {
        let is_committed =
            found.job.spec.milestone_segments(milestone).is_some_and(|(_, end)| end <= segments);
        if is_committed {
            found.committed_at.extend(view.committed_at(id, milestone).await?.map(|at| (milestone, at)));
        }
    }
    if !found.committed_at.is_empty() {
        found.draws = view.draws(id).await?;
        found.result = view.result(id).await?;
    }
    if !found.draws.is_empty() {
        found.audits = view.audits(id).await?;
    }
    Ok(found)
}

/// Whether a job's inputs are here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Inputs {
    /// Not all of them are in the store.
    #[default]
    Missing,
    /// They are in the store and wait to be put into place and checked.
    Arrived,
    /// They are in place and fit the specification.
    Ready,
    /// They don't fit the specification.
    Unusable(String),
}

/// What the worker has of one job.
#[derive(Clone, Debug, Default)]
pub struct LocalJob {
    /// Its inputs.
    pub inputs: Inputs,
    /// What is on disk.
    pub files: JobFiles,
}

/// What the worker knows of itself.
#[derive(Clone, Debug, Default)]
pub struct LocalView {
    /// Jobs that it has something of.
    pub jobs: BTreeMap<JobId, LocalJob>,
    /// What is under way: transactions that are not finalized yet, and work.
    pub under_way: BTreeSet<Duty>,
    /// What failed, and the block from which it may be tried again.
    pub not_before: BTreeMap<Duty, BlockNumber>,
}

/// What the worker's owner decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The execution class that this process is pinned to.
    pub class: String,
    /// The version of exact arithmetic that the trainer computes.
    pub exact_version: u16,
    /// The version of the trainer's numerical behaviour.
    pub engine_version: u32,
    /// Never asks for less than this for a job, in planck.
    pub price_floor: Balance,
    /// Most jobs that it trains at a time; 0 to audit only.
    pub max_jobs: u32,
    /// Pushes passed deadlines of jobs that it is no party to, some blocks after the parties could have.
    pub push_others: bool,
}

impl Policy {
    /// True if this process can train and audit in `mode`, whatever the provider's profile says.
    pub fn computes(&self, mode: &ArithmeticMode) -> bool {
        match mode {
            ArithmeticMode::ClassExact { class } => text(class) == self.class,
            ArithmeticMode::Exact { version, .. } => *version == self.exact_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::tests::{provider, ME};
    use attune_chain_client::AccountId as Account;

    #[test]
    fn pools_without_slashes_cost_no_read_and_of_very_many_with_some_each_has_its_turn() {
        let pool = |number: u8, pending_slashes| {
            let mut found = provider(Account([number; 32]), ME);
            found.pool.pending_slashes = pending_slashes;
            found
        };
        let few = [pool(1, 0), pool(2, 1), pool(3, 0), pool(4, 32)];
        assert_eq!(slashed_pools(&few, 7), [2, 4].map(|number| Account([number; 32])));
        assert_eq!(slashed_pools(&few[..1], 7), []);
        let many: Vec<ProviderInfo> = (0..100).map(|number| pool(number, 1)).collect();
        let seen: Vec<Vec<Account>> = (0..13).map(|now| slashed_pools(&many, now)).collect();
        assert!(seen.iter().all(|found| found.len() == MAX_SLASHED_POOLS));
        let distinct: BTreeSet<Account> = seen.into_iter().flatten().collect();
        assert_eq!(distinct.len(), 100, "all of them within 13 blocks");
    }
}
