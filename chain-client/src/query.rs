//! Reading the chain's state at one block.
//!
//! Whatever a [`View`] gives belongs to the same block. Lists are read whole: the chain bounds them by deposits, and
//! this form of the client is meant for thousands of entries, not for millions.

use attune_primitives::{
    page::{Page, MAX_PAGE},
    proof::SegmentCommitment,
    BlockNumber, JobId, ModelId, RecordId,
};
use subxt::{client::OnlineClientAtBlockImpl, ext::scale_decode::DecodeAsType, view_functions::Payload};

use crate::{
    api::{self, runtime_types::frame_support::view_functions::ViewFunctionId},
    connection::{Chain, Config},
    convert,
    error::{decode, request, Error, Result},
    events::{self, ChainEvent},
    types::{
        AuditInfo, BalanceInfo, BidInfo, CommitmentInfo, Constants, DelegationInfo, DrawInfo,
        DueDelegationInfo, HoldInfo, JobInfo, ModelInfo, PendingSlashInfo, PoolInfo, ProviderInfo,
        RecordInfo, ResultInfo, SponsorshipInfo, StakesInfo, UnbondingInfo,
    },
    AccountId, H256,
};

/// subxt's client at one block.
pub type AtBlock = subxt::client::ClientAtBlock<Config, OnlineClientAtBlockImpl<Config>>;

/// The state at one block.
#[derive(Clone)]
pub struct View {
    chain: Chain,
    at: AtBlock,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("number", &self.number()).field("hash", &self.hash()).finish()
    }
}

/// One value of storage; `None` if there is none and the item has no default.
macro_rules! fetch {
    ($view:expr, $what:expr, $address:expr, $keys:expr) => {{
        let found = $view.at.storage().try_fetch($address, $keys).await.map_err(request($what))?;
        found.map(|value| value.decode()).transpose().map_err(request($what))?
    }};
}

/// All values of a storage map under a prefix of keys, each with its decoded keys.
macro_rules! fetch_all {
    ($view:expr, $what:expr, $address:expr, $prefix:expr) => {{
        let mut entries = $view.at.storage().iter($address, $prefix).await.map_err(request($what))?;
        let mut all = Vec::new();
        while let Some(entry) = entries.next().await {
            let entry = entry.map_err(request($what))?;
            let keys = entry.key().and_then(|key| key.decode()).map_err(request($what))?;
            all.push((keys, entry.value().decode().map_err(request($what))?));
        }
        all
    }};
}

macro_rules! constant {
    ($view:expr, $address:expr) => {
        $view.at.constants().entry($address).map_err(request("a constant of the runtime"))?
    };
}

/// Half of a view function's id: the pallet's part, then the function's.
const ID_HALF: usize = 16;

impl View {
    /// Calls a view function. subxt 0.51 sends the arguments, and reads the answer, without the length and the result that
    /// the chain's API wraps around them; so this takes subxt's types and its check of them, and calls that API itself.
    async fn view_function<P: Payload>(&self, what: &'static str, payload: P) -> Result<P::ReturnType> {
        let functions = self.at.view_functions();
        functions.validate(&payload).map_err(request(what))?;
        let encoded = functions.encode_args(&payload).map_err(request(what))?;
        let (prefix, rest) = encoded.split_at(ID_HALF);
        let (suffix, arguments) = rest.split_at(ID_HALF);
        let id = ViewFunctionId {
            prefix: prefix.try_into().map_err(decode(what))?,
            suffix: suffix.try_into().map_err(decode(what))?,
        };
        let api = api::runtime_apis().runtime_view_function();
        let call = api.execute_view_function(id, arguments.to_vec());
        let answer = self.at.runtime_apis().call(call).await.map_err(request(what))?;
        let answer =
            answer.map_err(|error| Error::Request { what, reason: format!("refused: {error:?}") })?;
        let metadata = self.at.metadata_ref();
        let (pallet, function) = (payload.pallet_name(), payload.function_name());
        let found = metadata.pallet_by_name(pallet).and_then(|found| found.view_function_by_name(function));
        let found = found.ok_or_else(|| Error::Decode { what, reason: format!("no {pallet}.{function}") })?;
        P::ReturnType::decode_as_type(&mut &answer[..], found.output_ty(), metadata.types())
            .map_err(decode(what))
    }

    pub(crate) fn new(chain: Chain, at: AtBlock) -> Self {
        Self { chain, at }
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// subxt's client at this block, for what this crate has no function for.
    pub fn raw(&self) -> &AtBlock {
        &self.at
    }

    /// The block's number. Saturates at `u32::MAX`, which no chain of ours reaches.
    pub fn number(&self) -> BlockNumber {
        u32::try_from(self.at.block_number()).unwrap_or(u32::MAX)
    }

    /// The block's hash.
    pub fn hash(&self) -> H256 {
        self.at.block_hash()
    }

    /// Version of the runtime that the chain has after this block.
    pub fn spec_version(&self) -> u32 {
        self.at.spec_version()
    }

    /// True from the block in which the chain got a new runtime to the one in which the last of its migrations ends:
    /// what is stored then may have the old form, the new one, or some of both, and no block takes a transaction. Whoever
    /// acts on state waits.
    ///
    /// # Errors
    /// [`crate::Error::Request`].
    pub async fn is_upgrading(&self) -> Result<bool> {
        const WHAT: &str = "whether the chain is being upgraded";
        // The runtime that migrations were last run for: an upgrade's own block still has the one before.
        let migrated_to = fetch!(self, WHAT, api::storage().system().last_runtime_upgrade(), ());
        if migrated_to.is_none_or(|migrated| migrated.spec_version != self.spec_version()) {
            return Ok(true);
        }
        // By name: a runtime without stepped migrations has nothing to wait for.
        const MIGRATIONS: &str = "MultiBlockMigrations";
        if self.at.metadata_ref().pallet_by_name(MIGRATIONS).is_none() {
            return Ok(false);
        }
        let cursor = subxt::dynamic::storage::<(), subxt::dynamic::Value>(MIGRATIONS, "Cursor");
        Ok(self.at.storage().try_fetch(cursor, ()).await.map_err(request(WHAT))?.is_some())
    }

    /// Unix time of the block, in milliseconds.
    ///
    /// # Errors
    /// [`crate::Error::Request`], [`crate::Error::Decode`]; so do all reads below.
    pub async fn timestamp(&self) -> Result<u64> {
        Ok(fetch!(self, "the time", api::storage().timestamp().now(), ()).unwrap_or_default())
    }

    /// What happened in this block, as far as [`ChainEvent`] knows it.
    pub async fn events(&self) -> Result<Vec<ChainEvent>> {
        let found = self.at.events().fetch().await.map_err(request("the block's events"))?;
        events::decode_all(found.iter())
    }

    /// All jobs, by id.
    pub async fn jobs(&self) -> Result<Vec<JobInfo>> {
        let all = fetch_all!(self, "the jobs", api::storage().job_escrow().jobs(), ());
        let mut jobs: Vec<JobInfo> = all.into_iter().map(|((id,), job)| convert::job(id, job)).collect();
        jobs.sort_by_key(|job| job.id);
        Ok(jobs)
    }

    /// A job.
    pub async fn job(&self, id: JobId) -> Result<Option<JobInfo>> {
        Ok(fetch!(self, "a job", api::storage().job_escrow().jobs(), (id,)).map(|job| convert::job(id, job)))
    }

    /// The bids for a job that is in its bidding window, the best first.
    pub async fn bids(&self, job: JobId) -> Result<Vec<BidInfo>> {
        let found = fetch!(self, "the bids", api::storage().job_escrow().bids(), (job,));
        let mut bids: Vec<BidInfo> =
            found.map(|all| all.0.iter().map(convert::bid).collect()).unwrap_or_default();
        bids.sort_by_key(|bid| bid.price);
        Ok(bids)
    }

    /// All sponsorships that an account gives or has.
    pub async fn sponsorships(&self, account: &AccountId) -> Result<Vec<SponsorshipInfo>> {
        let all = fetch_all!(self, "the sponsorships", api::storage().job_escrow().sponsorships(), ());
        let own =
            all.into_iter().filter(|((sponsor, customer), _)| sponsor == account || customer == account);
        Ok(own.map(|((sponsor, customer), found)| convert::sponsorship(sponsor, customer, &found)).collect())
    }

    /// The slashes of a provider that wait for their time, by their numbers.
    pub async fn pending_slashes(&self, provider: &AccountId) -> Result<Vec<PendingSlashInfo>> {
        let address = api::storage().provider_staking().pending_slashes();
        let all = fetch_all!(self, "the pending slashes", address, (*provider,));
        let mut found: Vec<PendingSlashInfo> =
            all.iter().map(|((_, slash), found)| convert::pending_slash(*provider, *slash, found)).collect();
        found.sort_by_key(|slash| slash.slash);
        Ok(found)
    }

    /// What settlement owes an account that could not receive it: by job, in planck.
    pub async fn owed(&self, account: &AccountId) -> Result<Vec<(JobId, u128)>> {
        let (mut owed, mut before) = (Vec::new(), None);
        loop {
            let call = api::view_functions().job_escrow().owed_to(*account, before, MAX_PAGE);
            let page = self.view_function("what is owed", call).await?;
            owed.extend(page.items.into_iter().map(|owed| (owed.job, owed.amount)));
            before = page.next;
            if before.is_none() {
                return Ok(owed);
            }
        }
    }

    /// The compensation out of slashes that a customer could not receive: by provider, in planck.
    pub async fn owed_compensation(&self, customer: &AccountId) -> Result<Vec<(AccountId, u128)>> {
        Ok(self.stakes(customer).await?.owed_compensation)
    }

    /// What an account has in the pools of all providers, in one answer of the chain.
    pub async fn stakes(&self, account: &AccountId) -> Result<StakesInfo> {
        let call = api::runtime_apis().attune_api().account_overview(*account, Vec::new());
        let found = self.at.runtime_apis().call(call).await.map_err(request("an account's stake"))?;
        Ok(convert::stakes(*account, found))
    }

    /// All providers, by account.
    pub async fn providers(&self) -> Result<Vec<ProviderInfo>> {
        let all = fetch_all!(self, "the providers", api::storage().provider_staking().providers(), ());
        let mut providers = Vec::with_capacity(all.len());
        for ((account,), provider) in all {
            let pool = self.pool(&account).await?.unwrap_or_default();
            providers.push(convert::provider(account, provider, pool, self.number()));
        }
        providers.sort_by_key(|provider| provider.account);
        Ok(providers)
    }

    /// A provider.
    pub async fn provider(&self, account: &AccountId) -> Result<Option<ProviderInfo>> {
        let found = fetch!(self, "a provider", api::storage().provider_staking().providers(), (*account,));
        let Some(provider) = found else { return Ok(None) };
        let pool = self.pool(account).await?.unwrap_or_default();
        Ok(Some(convert::provider(*account, provider, pool, self.number())))
    }

    /// The provider whose operator key this is.
    pub async fn provider_of_operator(&self, operator: &AccountId) -> Result<Option<AccountId>> {
        Ok(fetch!(self, "an operator", api::storage().provider_staking().operators(), (*operator,)))
    }

    /// The period in which a provider is asked for a heartbeat and has not answered.
    pub async fn heartbeat_due(&self, provider: &AccountId) -> Result<Option<u32>> {
        let call = api::view_functions().provider_staking().heartbeat_due(*provider);
        self.view_function("whether a heartbeat is due", call).await
    }

    /// The delegations to a provider with something that anyone may push for nothing, from `from` on (the first if
    /// `None`), at most `limit` of them. A page may be empty and not the last: the chain looks at a bounded number of
    /// delegations for each.
    pub async fn due_delegations(
        &self,
        provider: &AccountId,
        from: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<DueDelegationInfo, AccountId>> {
        let call = api::view_functions().provider_staking().due_delegations(*provider, from, limit);
        let page = self.view_function("what is due in a pool", call).await?;
        let items = page.items.into_iter().map(|due| DueDelegationInfo {
            delegator: due.delegator,
            income: due.income,
            lien: due.lien,
        });
        Ok(Page { items: items.collect(), next: page.next })
    }

    /// The stake behind a provider.
    pub async fn pool(&self, provider: &AccountId) -> Result<Option<PoolInfo>> {
        let found = fetch!(self, "a pool", api::storage().provider_staking().pools(), (*provider,));
        Ok(found.map(convert::pool))
    }

    /// What an account has delegated to a provider.
    pub async fn delegation(
        &self,
        provider: &AccountId,
        delegator: &AccountId,
    ) -> Result<Option<DelegationInfo>> {
        let address = api::storage().provider_staking().delegations();
        let Some(found) = fetch!(self, "a delegation", address, (*provider, *delegator)) else {
            return Ok(None);
        };
        let pool = self.pool(provider).await?.unwrap_or_default();
        Ok(Some(convert::delegation(*provider, *delegator, found, &pool)))
    }

    /// Everyone who has delegated to a provider.
    pub async fn delegations_to(&self, provider: &AccountId) -> Result<Vec<DelegationInfo>> {
        let address = api::storage().provider_staking().delegations();
        let all = fetch_all!(self, "the delegations", address, (*provider,));
        let pool = self.pool(provider).await?.unwrap_or_default();
        Ok(all.into_iter().map(|((_, who), d)| convert::delegation(*provider, who, d, &pool)).collect())
    }

    /// Everything that an account has delegated.
    pub async fn delegations_of(&self, delegator: &AccountId) -> Result<Vec<DelegationInfo>> {
        Ok(self.stakes(delegator).await?.delegations)
    }

    /// Stake of an account on its way out of a provider's pool, the provider's own self-bond too.
    pub async fn unbonding(&self, provider: &AccountId, owner: &AccountId) -> Result<Vec<UnbondingInfo>> {
        if provider == owner {
            let address = api::storage().provider_staking().self_unbonding();
            let chunks = fetch!(self, "unbonding self-bond", address, (*provider,)).map(|found| found.0);
            let chunks = chunks.unwrap_or_default().into_iter();
            let info =
                |worth, unlock_at| UnbondingInfo { provider: *provider, owner: *owner, worth, unlock_at };
            return Ok(chunks.map(|chunk| info(chunk.amount, chunk.unlock_at)).collect());
        }
        let address = api::storage().provider_staking().unbonding();
        let Some(chunks) = fetch!(self, "unbonding stake", address, (*provider, *owner)) else {
            return Ok(Vec::new());
        };
        let pool = self.pool(provider).await?.unwrap_or_default();
        Ok(chunks.0.into_iter().map(|chunk| convert::unbonding(*provider, *owner, &chunk, &pool)).collect())
    }

    /// All base models, by id.
    pub async fn models(&self) -> Result<Vec<ModelInfo>> {
        let all = fetch_all!(self, "the models", api::storage().proof_of_training().models(), ());
        let mut models: Vec<ModelInfo> =
            all.into_iter().map(|((id,), model)| convert::model(id, model)).collect();
        models.sort_by_key(|model| model.id);
        Ok(models)
    }

    /// A base model.
    pub async fn model(&self, id: ModelId) -> Result<Option<ModelInfo>> {
        let found = fetch!(self, "a model", api::storage().proof_of_training().models(), (id,));
        Ok(found.map(|model| convert::model(id, model)))
    }

    /// The base model with these files.
    pub async fn model_by_artifact(&self, artifact: H256) -> Result<Option<ModelInfo>> {
        let address = api::storage().proof_of_training().model_by_artifact();
        match fetch!(self, "a model", address, (artifact,)) {
            Some(id) => self.model(id).await,
            None => Ok(None),
        }
    }

    /// All training records, by id.
    pub async fn records(&self) -> Result<Vec<RecordInfo>> {
        let all = fetch_all!(self, "the records", api::storage().proof_of_training().records(), ());
        let mut records: Vec<RecordInfo> =
            all.into_iter().map(|(_, record)| RecordInfo { record: record.0 }).collect();
        records.sort_by_key(|info| info.record.job);
        Ok(records)
    }

    /// A training record; its id is that of its job.
    pub async fn record(&self, id: RecordId) -> Result<Option<RecordInfo>> {
        let found = fetch!(self, "a record", api::storage().proof_of_training().records(), (id,));
        Ok(found.map(|record| RecordInfo { record: record.0 }))
    }

    /// What the provider of a job has committed to, by segment. Empty once the job is closed.
    pub async fn commitments(&self, job: JobId) -> Result<Vec<SegmentCommitment>> {
        let found = fetch!(self, "the commitments", api::storage().proof_of_training().commitments(), (job,));
        Ok(found.map(|all| all.0.into_iter().map(|c| c.0).collect()).unwrap_or_default())
    }

    /// As [`View::commitments`], each with its segment's number, for output.
    pub async fn numbered_commitments(&self, job: JobId) -> Result<Vec<CommitmentInfo>> {
        let all = self.commitments(job).await?;
        Ok((0u32..).zip(all).map(|(segment, commitment)| CommitmentInfo { segment, commitment }).collect())
    }

    /// The submitted result of a job that is not closed.
    pub async fn result(&self, job: JobId) -> Result<Option<ResultInfo>> {
        let found = fetch!(self, "a result", api::storage().proof_of_training().results(), (job,));
        Ok(found.map(convert::result))
    }

    /// The block in which all segments of a milestone were committed.
    pub async fn committed_at(&self, job: JobId, milestone: u32) -> Result<Option<BlockNumber>> {
        let address = api::storage().proof_of_training().committed_at();
        Ok(fetch!(self, "a milestone's commitment", address, (job, milestone)))
    }

    /// What was drawn of a job's milestones. Empty once the job is closed.
    pub async fn draws(&self, job: JobId) -> Result<Vec<DrawInfo>> {
        let all = fetch_all!(self, "the draws", api::storage().proof_of_training().draws(), (job,));
        let mut draws: Vec<DrawInfo> =
            all.into_iter().map(|((_, milestone), draw)| convert::draw(milestone, draw)).collect();
        draws.sort_by_key(|draw| draw.milestone);
        Ok(draws)
    }

    /// The audits of a job, by segment. Empty once the job is closed.
    pub async fn audits(&self, job: JobId) -> Result<Vec<AuditInfo>> {
        let all = fetch_all!(self, "the audits", api::storage().proof_of_training().audits(), (job,));
        let mut audits: Vec<AuditInfo> =
            all.into_iter().map(|((_, segment), audit)| convert::audit(job, segment, audit)).collect();
        audits.sort_by_key(|audit| audit.segment);
        Ok(audits)
    }

    /// The latest audit randomness, and the first block of the epoch that made it; `None` on a young chain.
    pub async fn randomness(&self) -> Result<Option<(H256, BlockNumber)>> {
        Ok(fetch!(self, "the audit randomness", api::storage().audit_randomness().sealed(), ()))
    }

    /// The number that the next job gets.
    pub async fn next_job(&self) -> Result<JobId> {
        Ok(fetch!(self, "the next job", api::storage().job_escrow().next_job_id(), ()).unwrap_or_default())
    }

    /// The first block of the epoch that runs; `None` before there is any.
    pub async fn epoch_from(&self) -> Result<Option<BlockNumber>> {
        let starts = fetch!(self, "the epoch's first block", api::storage().babe().epoch_start(), ());
        Ok(starts.map(|(_, now)| now))
    }

    /// An account's money. An unknown account has none.
    pub async fn balance(&self, account: &AccountId) -> Result<BalanceInfo> {
        let what = "a balance";
        let data = fetch!(self, what, api::storage().system().account(), (*account,)).map(|info| info.data);
        // A pallet more or less changes what a hold can be for, and so the type; each reason is decoded by its name.
        let holds = fetch!(self, what, api::storage().balances().holds().unvalidated(), (*account,));
        let holds: Vec<HoldInfo> = holds
            .map(|all| all.0)
            .unwrap_or_default()
            .into_iter()
            .map(|hold| HoldInfo { reason: convert::reason(&hold.id), amount: hold.amount })
            .collect();
        let (free, held) = data.map_or((0, 0), |data| (data.free, data.reserved));
        Ok(BalanceInfo { free, held, holds })
    }

    /// What the runtime fixes.
    pub async fn constants(&self) -> Result<Constants> {
        let (staking, escrow, proof) = (
            api::constants().provider_staking(),
            api::constants().job_escrow(),
            api::constants().proof_of_training(),
        );
        Ok(Constants {
            existential_deposit: constant!(self, api::constants().balances().existential_deposit()),
            min_self_bond: constant!(self, staking.min_self_bond()),
            min_delegation: constant!(self, staking.min_delegation()),
            provider_deposit: constant!(self, staking.provider_deposit()),
            unbonding_blocks: constant!(self, staking.unbonding_blocks()),
            slash_delay: constant!(self, staking.slash_delay()),
            delegator_loss_cap_ppm: constant!(self, staking.delegator_loss_cap()).0,
            commission_rise_delay: constant!(self, staking.commission_rise_delay()),
            max_handovers: constant!(self, escrow.max_handovers()),
            max_bids: constant!(self, escrow.max_bids()),
            sponsorship_deposit: constant!(self, escrow.sponsorship_deposit()),
            job_deposit: constant!(self, escrow.job_deposit()),
            min_audit_fee: constant!(self, escrow.min_audit_fee()),
            max_phase_blocks: constant!(self, escrow.max_phase_blocks()),
            min_bond_share_ppm: constant!(self, escrow.min_bond_share()).0,
            max_bond_multiple: constant!(self, escrow.max_bond_multiple()),
            cancellation_fee_ppm: constant!(self, escrow.cancellation_fee()).0,
            prune_after: constant!(self, escrow.prune_after()),
            committee_reserve: constant!(self, escrow.committee_reserve()),
            audit_window: constant!(self, escrow.audit_window()),
            challenge_window: constant!(self, escrow.challenge_window()),
            dispute_window: constant!(self, escrow.dispute_window()),
            model_deposit: constant!(self, proof.model_deposit()),
            verdict_commit_blocks: constant!(self, proof.verdict_commit_blocks()),
            open_blocks: constant!(self, proof.open_blocks()),
            reveal_blocks: constant!(self, proof.reveal_blocks()),
            finality_margin: constant!(self, proof.finality_margin()),
            record_retention: constant!(self, proof.record_retention()),
        })
    }
}
