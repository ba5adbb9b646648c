//! Who may have which artifact: derived from the chain at every finalized block.
//!
//! - The customer of a job that is assigned to this provider may upload the model and the data, read the checkpoints of
//!   paid milestones, and the adapter once the job is finalized.
//! - A training record outlives its job's entry: as long as it is on chain, its customer and its provider may read the
//!   adapter.
//! - Whoever is drawn to audit a job (provider account and operator key) may read model, data and checkpoints of it,
//!   from the provider and from every other auditor alike.
//! - The provider that goes on with a job after a handover (account and operator key) may read the checkpoints of verified
//!   segments, from every provider that trained milestones of it and from every auditor. Who trained milestones of a job
//!   keeps serving them, to its customer and its auditors too, as long as the job lives.
//! - Everybody else is refused.

use std::collections::{BTreeMap, BTreeSet};

use attune_chain_client::{
    primitives::{machine::JobState, JobId},
    AccountId, H256,
};
use attune_store::{ArtifactId, Grants, StoreError};

use crate::view::{ChainView, JobView, LocalView};

/// What a manifest may add to the bytes of its files.
const MANIFEST_BYTES: u64 = 1 << 20;

/// What an account may do with an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read it.
    Read,
    /// Upload it, of at most so many bytes, and read it.
    Write {
        /// The bound, in bytes.
        max_bytes: u64,
    },
}

/// Rights by account and artifact.
pub type Rights = BTreeMap<([u8; 32], ArtifactId), Right>;

fn artifact(hash: &H256) -> ArtifactId {
    ArtifactId::from(hash.0)
}

/// Everybody's rights now.
pub fn rights(chain: &ChainView, local: &LocalView) -> Rights {
    let mut rights = Rights::new();
    for view in chain.jobs.values() {
        let is_provider = view.provider() == Some(chain.me.account);
        if is_provider {
            of_customer(chain, local, view, &mut rights);
        }
        let was_provider = view.was_provider(&chain.me.account);
        if was_provider && !is_provider {
            of_paid_checkpoints(view, &mut rights);
        }
        if is_provider || was_provider || view.is_auditor(&chain.me.account) {
            of_auditors(chain, view, &mut rights);
            of_next_provider(chain, view, &mut rights);
        }
    }
    // The records in view are those of jobs that the chain has pruned.
    let recorded = chain.records.values().map(|info| &info.record);
    for record in recorded.filter(|record| record.provider == chain.me.account) {
        for account in [&record.customer, &record.provider] {
            grant(&mut rights, account, &record.adapter, Right::Read);
        }
    }
    rights
}

fn grant(rights: &mut Rights, account: &AccountId, hash: &H256, right: Right) {
    let entry = rights.entry((account.0, artifact(hash))).or_insert(right);
    if let (Right::Write { max_bytes }, Right::Write { max_bytes: more }) = (*entry, right) {
        *entry = Right::Write { max_bytes: max_bytes.max(more) };
    } else if matches!(right, Right::Write { .. }) {
        *entry = right;
    }
}

fn of_customer(chain: &ChainView, local: &LocalView, view: &JobView, rights: &mut Rights) {
    let (job, customer) = (&view.job, &view.job.customer);
    if !job.state.is_terminal() {
        if let Some(model) = chain.model(job.spec.model) {
            let max_bytes = model.artifact_bytes.saturating_add(MANIFEST_BYTES);
            grant(rights, customer, &model.artifact, Right::Write { max_bytes });
        }
        let max_bytes = job.spec.data.bytes.saturating_add(MANIFEST_BYTES);
        grant(rights, customer, &job.spec.data.root, Right::Write { max_bytes });
    }
    of_paid_checkpoints(view, rights);
    let result = local.jobs.get(&job.id).and_then(|mine| mine.files.result);
    if let (JobState::Finalized, Some(result)) = (job.state, result) {
        for account in [customer, &chain.me.account] {
            grant(rights, account, &result.adapter, Right::Read);
        }
    }
}

/// A checkpoint holds the adapter as it was: it is the customer's once its milestone is verified and paid.
fn of_paid_checkpoints(view: &JobView, rights: &mut Rights) {
    let job = &view.job;
    for (segment, commitment) in (0u32..).zip(&view.commitments) {
        if job.spec.milestone_of(segment).is_some_and(|milestone| job.is_paid(milestone)) {
            grant(rights, &job.customer, &commitment.checkpoint, Right::Read);
        }
    }
}

/// Who goes on with a job needs what is verified of it; model and data it has from the customer.
fn of_next_provider(chain: &ChainView, view: &JobView, rights: &mut Rights) {
    let Some(next) = view.provider() else { return };
    let operator = chain.provider(&next).map(|provider| provider.operator);
    let verified = usize::try_from(view.first_segment()).unwrap_or(0);
    for commitment in view.commitments.iter().take(verified) {
        for account in operator.iter().chain([&next]) {
            grant(rights, account, &commitment.checkpoint, Right::Read);
        }
    }
}

fn of_auditors(chain: &ChainView, view: &JobView, rights: &mut Rights) {
    let drawn: BTreeSet<AccountId> =
        view.audits.iter().flat_map(|audit| audit.slots.iter().map(|slot| slot.auditor)).collect();
    let operators =
        drawn.iter().filter_map(|auditor| chain.provider(auditor)).map(|provider| provider.operator);
    let accounts: BTreeSet<AccountId> = operators.chain(drawn.iter().copied()).collect();
    let model = chain.model(view.job.spec.model).map(|model| model.artifact);
    for account in &accounts {
        let inputs = model.iter().chain([&view.job.spec.data.root]);
        for hash in inputs.chain(view.commitments.iter().map(|commitment| &commitment.checkpoint)) {
            grant(rights, account, hash, Right::Read);
        }
    }
}

/// Who may see a job's live progress: its customer, its auditors, its provider.
pub fn watchers(chain: &ChainView) -> BTreeMap<JobId, BTreeSet<[u8; 32]>> {
    let mut watchers = BTreeMap::new();
    for view in chain.jobs.values().filter(|view| view.provider() == Some(chain.me.account)) {
        let mut accounts = BTreeSet::from([view.job.customer.0, chain.me.account.0, chain.me.operator.0]);
        for slot in view.audits.iter().flat_map(|audit| &audit.slots) {
            accounts.insert(slot.auditor.0);
            accounts.extend(chain.provider(&slot.auditor).map(|provider| provider.operator.0));
        }
        watchers.insert(view.job.id, accounts);
    }
    watchers
}

/// Brings a table of grants from `before` to `after`.
///
/// # Errors
/// [`StoreError::TooManyGrants`]; what fits is granted.
pub fn apply(grants: &Grants, before: &Rights, after: &Rights) -> Result<(), StoreError> {
    for ((account, root), right) in before {
        if after.get(&(*account, *root)) != Some(right) {
            grants.revoke(account, root);
        }
    }
    for ((account, root), right) in after {
        if before.get(&(*account, *root)) != Some(right) {
            match right {
                Right::Read => grants.allow_read(*account, *root)?,
                Right::Write { max_bytes } => grants.allow_write(*account, *root, *max_bytes)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::tests::{
        audited, by_other, chain, committed, handed_over, job, local, pruned, slot, with_result, CUSTOMER,
        JOB, ME, OTHER, OTHER_OPERATOR,
    };
    use crate::{jobdir::tests::segment, view::Inputs};
    use attune_chain_client::types::AuditStage;

    const MODEL: H256 = H256([9; 32]);
    const DATA: H256 = H256([2; 32]);

    fn of(rights: &Rights, account: AccountId) -> BTreeMap<ArtifactId, Right> {
        let own = rights.iter().filter(|((who, _), _)| *who == account.0);
        own.map(|((_, what), right)| (*what, *right)).collect()
    }

    fn checkpoint(number: u32) -> ArtifactId {
        artifact(&segment(number).checkpoint)
    }

    #[test]
    fn a_customer_may_upload_to_its_provider_and_only_while_the_job_lives() {
        for (state, may) in [
            (JobState::Open, false),
            (JobState::Assigned, true),
            (JobState::Running, true),
            (JobState::Cancelled, false),
        ] {
            let found = rights(&chain(job(state)), &local(Inputs::Missing, 0));
            let own = of(&found, CUSTOMER);
            assert_eq!(matches!(own.get(&artifact(&MODEL)), Some(Right::Write { .. })), may, "{state:?}");
            let bound = Right::Write { max_bytes: 1_000 + MANIFEST_BYTES };
            assert_eq!(own.get(&artifact(&DATA)) == Some(&bound), may, "{state:?}");
        }
        assert!(rights(&chain(by_other(job(JobState::Assigned))), &local(Inputs::Missing, 0)).is_empty());
    }

    #[test]
    fn a_customer_reads_checkpoints_of_paid_milestones_and_the_adapter_of_a_finalized_job_only() {
        let mut view = committed(job(JobState::Running), 4);
        let mine = with_result(local(Inputs::Ready, 4));
        let adapter = artifact(&mine.jobs[&JOB].files.result.unwrap().adapter);
        let own = of(&rights(&chain(view.clone()), &mine), CUSTOMER);
        assert!(!own.contains_key(&checkpoint(0)) && !own.contains_key(&adapter));
        view.job.milestones_paid = 1;
        let own = of(&rights(&chain(view.clone()), &mine), CUSTOMER);
        assert!(
            own.contains_key(&checkpoint(1))
                && !own.contains_key(&checkpoint(2))
                && !own.contains_key(&adapter)
        );
        view.job.state = JobState::Finalized;
        let own = of(&rights(&chain(view), &mine), CUSTOMER);
        assert_eq!(own.get(&adapter), Some(&Right::Read));
    }

    #[test]
    fn an_adapter_outlives_its_jobs_entry_for_the_records_customer_and_provider_only() {
        let mine = with_result(local(Inputs::Missing, 0));
        let adapter = artifact(&mine.jobs[&JOB].files.result.unwrap().adapter);
        let after = pruned(ME);
        let found = rights(&after, &mine);
        let expected = [CUSTOMER, ME].map(|account| ((account.0, adapter), Right::Read));
        assert_eq!(found, Rights::from(expected), "the adapter, to the two of them, and nothing else");
        // The same as while the entry was there.
        let before = rights(&chain(job(JobState::Finalized)), &mine);
        assert!(expected.iter().all(|(key, right)| before.get(key) == Some(right)));
        assert!(rights(&pruned(OTHER), &mine).is_empty(), "an auditor serves no adapter");
    }

    #[test]
    fn drawn_auditors_and_their_operators_read_what_they_need_and_nobody_else_does() {
        let view = audited(committed(job(JobState::Running), 2), AuditStage::Committing, vec![slot(OTHER)]);
        let found = rights(&chain(view), &local(Inputs::Ready, 2));
        for account in [OTHER, OTHER_OPERATOR] {
            let own = of(&found, account);
            assert_eq!(own.len(), 4, "model, data and two checkpoints");
            assert!(own.values().all(|right| *right == Right::Read));
        }
        assert!(of(&found, AccountId::from([99; 32])).is_empty());
        // Nobody is drawn: nobody but the customer has a right.
        let found = rights(&chain(committed(job(JobState::Running), 2)), &local(Inputs::Ready, 2));
        assert!(found.keys().all(|(account, _)| *account == CUSTOMER.0));
    }

    #[test]
    fn who_goes_on_with_a_job_reads_its_verified_checkpoints_from_who_had_it_before() {
        let mut view = by_other(handed_over(JobState::Assigned, 3));
        view.job.tranches[0].provider = ME;
        let found = rights(&chain(view.clone()), &local(Inputs::Missing, 3));
        for account in [OTHER, OTHER_OPERATOR, CUSTOMER] {
            let expected = [0, 1].map(|number| (checkpoint(number), Right::Read));
            assert_eq!(of(&found, account), BTreeMap::from(expected), "the verified ones and nothing else");
        }
        // Who never trained it serves nothing.
        let mut bystander = view.clone();
        bystander.job.tranches[0].provider = AccountId::from([99; 32]);
        assert!(rights(&chain(bystander), &local(Inputs::Missing, 3)).is_empty());
        // While nobody has the job, nobody but the customer reads.
        view.job.state = JobState::Open;
        view.job.assignment = None;
        let found = rights(&chain(view), &local(Inputs::Missing, 3));
        assert!(found.keys().all(|(account, _)| *account == CUSTOMER.0));
    }

    #[test]
    fn an_auditor_serves_the_other_auditors() {
        let view =
            audited(by_other(committed(job(JobState::Running), 2)), AuditStage::Committing, vec![slot(ME)]);
        let found = rights(&chain(view), &local(Inputs::Missing, 0));
        assert_eq!(of(&found, ME).len(), 4);
    }

    #[test]
    fn rights_that_end_are_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = attune_store::LocalStore::open(dir.path()).unwrap();
        let id = store.put_bytes(b"x").unwrap();
        let grants = Grants::new(store, 10);
        let before = Rights::from([(([1; 32], id), Right::Read)]);
        apply(&grants, &Rights::new(), &before).unwrap();
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(attune_store::Authorizer::may_read(&grants, &[1; 32], &id))
        };
        assert_eq!(ask(), attune_store::Access::Allowed);
        apply(&grants, &before, &Rights::new()).unwrap();
        assert_ne!(ask(), attune_store::Access::Allowed);
    }
}
