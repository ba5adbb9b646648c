//! The neighbours: staking, escrow, randomness and clock. Their state lies in storage, so that a refused call rolls
//! it back too. Jobs move only by `attune_primitives::machine::next`, as in the real escrow.

use std::{collections::BTreeMap, time::Duration};

use attune_primitives::{
    job::{ArithmeticMode, ExecutionClass, JobSpec},
    machine::{self, Action, Facts, Failure, JobState, Phase},
    proof::{Tranche, Tranches},
    provider::{ProviderProfile, ProviderView},
    traits::{Assignment, AuditOutcome, EpochRandomness, JobEscrow, JobView, ProofOfTraining, Providers},
    Balance, BlockNumber, JobId, H256,
};
use codec::{Decode, Encode};
use frame_support::{assert_ok, pallet_prelude::*, storage_alias, traits::UnixTime};
use sp_runtime::{DispatchError, DispatchResult, Permill};

use super::{hardware, AccountId, Proofs, System};

/// Six seconds a block.
pub struct Clock;

impl UnixTime for Clock {
    fn now() -> Duration {
        Duration::from_secs(6 * u64::from(System::block_number()))
    }
}

#[storage_alias]
type Seals = StorageValue<Neighbours, Vec<(H256, BlockNumber)>, ValueQuery>;

/// Randomness as the test sets it.
pub struct Beacon;

impl Beacon {
    /// Seals an epoch that began at `epoch_start`.
    pub(crate) fn set(randomness: H256, epoch_start: BlockNumber) {
        let mut seals = Seals::get();
        seals.push((randomness, epoch_start));
        Seals::put(seals);
    }
}

impl EpochRandomness for Beacon {
    fn latest() -> Option<(H256, BlockNumber)> {
        Seals::get().last().copied()
    }

    fn seals() -> u32 {
        u32::try_from(Seals::get().len()).expect("tests are short, qed")
    }

    fn first_since(from: u32, since: BlockNumber, most: u32) -> Option<(H256, BlockNumber)> {
        let seals = Seals::get();
        let searched = seals.iter().skip(from.try_into().ok()?).take(most.try_into().ok()?);
        searched.copied().find(|(_, epoch_start)| *epoch_start >= since)
    }
}

#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct MockProvider {
    pub(crate) operator: AccountId,
    pub(crate) class: ExecutionClass,
    pub(crate) stake: Balance,
    pub(crate) active: bool,
}

/// Counted audits of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Counts {
    pub(crate) answered: u32,
    pub(crate) missed: u32,
    pub(crate) overruled: u32,
}

#[storage_alias]
type Registry = StorageValue<Neighbours, BTreeMap<AccountId, MockProvider>, ValueQuery>;
#[storage_alias]
type AuditCounts = StorageMap<Neighbours, Twox64Concat, AccountId, Counts, ValueQuery>;
#[storage_alias]
type FeesPaid = StorageMap<Neighbours, Twox64Concat, JobId, Vec<AccountId>, ValueQuery>;
/// True if another provider may go on when a job fails.
#[storage_alias]
pub(crate) type Reopens = StorageValue<Neighbours, bool, ValueQuery>;
#[storage_alias]
pub(crate) type Jobs = StorageMap<Neighbours, Twox64Concat, JobId, MockJob>;

/// Provider staking.
pub struct Staking;

impl Staking {
    pub(crate) fn add(provider: AccountId, operator: AccountId, class: &ExecutionClass, stake: Balance) {
        let entry = MockProvider { operator, class: class.clone(), stake, active: true };
        Registry::mutate(|all| all.insert(provider, entry));
    }

    pub(crate) fn set_active(provider: AccountId, active: bool) {
        Registry::mutate(|all| all.get_mut(&provider).expect("the provider exists, qed").active = active);
    }

    #[cfg(feature = "runtime-benchmarks")]
    pub(crate) fn ruin_all_but(spared: &[AccountId]) {
        Registry::mutate(|all| {
            all.iter_mut()
                .filter(|(id, _)| !spared.contains(id))
                .for_each(|(_, provider)| provider.stake = 0);
        });
    }

    pub(crate) fn counts(provider: AccountId) -> Counts {
        AuditCounts::get(provider)
    }
}

impl Providers<AccountId> for Staking {
    fn provider_of_operator(operator: &AccountId) -> Option<AccountId> {
        Registry::get().into_iter().find(|(_, p)| p.operator == *operator).map(|(id, _)| id)
    }
    fn provider(provider: &AccountId) -> Option<ProviderView<AccountId>> {
        let entry = Registry::get().remove(provider)?;
        let profile = ProviderProfile {
            name: Default::default(),
            endpoint: Default::default(),
            class: entry.class,
            exact_version: 0,
            hardware: hardware(),
            price_per_gpu_hour: 7,
            tokens_per_second: 1,
        };
        Some(ProviderView { profile, commission: Permill::zero(), operator: entry.operator })
    }
    fn active_for(mode: &ArithmeticMode) -> Vec<(AccountId, Balance)> {
        let of_mode = |p: &MockProvider| *mode == ArithmeticMode::ClassExact { class: p.class.clone() };
        let all = Registry::get().into_iter();
        all.filter(|(_, p)| p.active && of_mode(p)).map(|(id, p)| (id, p.stake)).collect()
    }
    fn pool_account(provider: &AccountId) -> AccountId {
        *provider
    }
    fn lock_bond(_: &AccountId, _: JobId, _: Balance) -> DispatchResult {
        Ok(())
    }
    fn release_bond(_: &AccountId, _: JobId) {}
    fn slash_bond(_: &AccountId, _: JobId, _: Permill, _: &AccountId, _: Balance) -> Balance {
        0
    }
    fn slash_for_offence(_: &AccountId, _: Permill, _: Option<&AccountId>) {}
    fn note_income(_: &AccountId, _: Balance, _: Permill) -> DispatchResult {
        Ok(())
    }
    fn note_audit(provider: &AccountId, outcome: AuditOutcome) {
        AuditCounts::mutate(provider, |counts| match outcome {
            AuditOutcome::Answered => counts.answered += 1,
            AuditOutcome::Missed => counts.missed += 1,
            AuditOutcome::Overruled => counts.overruled += 1,
        });
    }
    fn note_job(_: &AccountId, _: bool) {}
}

#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct MockJob {
    pub(crate) customer: AccountId,
    pub(crate) funder: AccountId,
    pub(crate) spec: JobSpec<AccountId>,
    pub(crate) state: JobState,
    pub(crate) deadline: BlockNumber,
    pub(crate) assignment: Option<Assignment<AccountId>>,
    /// Milestones whose segments are all committed.
    pub(crate) committed: u32,
    /// Milestones in the order in which they were verified.
    pub(crate) verified: Vec<u32>,
    /// What others trained before.
    pub(crate) tranches: Tranches<AccountId>,
}

impl MockJob {
    /// Milestones that are verified with all before them.
    fn paid(&self) -> u32 {
        (0..self.committed).take_while(|milestone| self.verified.contains(milestone)).count() as u32
    }

    fn facts(&self) -> Facts {
        let all_verified = self.verified.len() == self.spec.milestones.len();
        Facts {
            all_verified,
            under_audit: self.committed > self.paid(),
            awarded: false,
            // Nothing is left for another provider once all is verified.
            reopens: Reopens::get() && !all_verified,
        }
    }
}

/// Job escrow.
pub struct Escrow;

impl Escrow {
    /// Adds a running job of `customer`, assigned to `provider`.
    pub(crate) fn start(id: JobId, customer: AccountId, provider: AccountId, spec: JobSpec<AccountId>) {
        spec.validate().expect("the test's specification is valid, qed");
        assert_ok!(Proofs::on_created(id, spec.model));
        let job = MockJob {
            customer,
            funder: customer,
            spec,
            state: JobState::Running,
            deadline: 100_000,
            assignment: Some(Self::assignment(provider, 0)),
            committed: 0,
            verified: Vec::new(),
            tranches: Default::default(),
        };
        Jobs::insert(id, job);
    }

    fn assignment(provider: AccountId, first_milestone: u32) -> Assignment<AccountId> {
        Assignment {
            provider,
            first_milestone,
            price: 900,
            commission: Permill::zero(),
            hardware: hardware(),
            price_per_gpu_hour: 7,
            bond: 500,
            assigned_at: System::block_number(),
            started_at: Some(4_000 + u64::from(first_milestone)),
        }
    }

    /// Takes the job from its provider and lets others bid, as before anybody had it.
    pub(crate) fn put_out_to_tender(id: JobId) {
        Self::change(id, |job| (job.state, job.assignment) = (JobState::Bidding, None));
    }

    /// `provider` accepts an open job.
    pub(crate) fn accept(id: JobId, provider: AccountId) {
        Self::change(id, |job| job.deadline = System::block_number() + job.spec.timing.milestone_blocks);
        assert_ok!(Self::act(id, Action::Accept));
        Self::change(id, |job| {
            let assigned = Self::assignment(provider, job.paid());
            job.assignment = Some(Assignment { started_at: None, ..assigned });
        });
    }

    /// `provider` goes on with a job that was handed over.
    pub(crate) fn go_on(id: JobId, provider: AccountId) {
        Self::accept(id, provider);
        assert_ok!(Self::act(id, Action::Start));
        Self::change(id, |job| job.assignment = Some(Self::assignment(provider, job.paid())));
    }

    fn change(id: JobId, change: impl FnOnce(&mut MockJob)) {
        Jobs::mutate(id, |job| change(job.as_mut().expect("the job exists, qed")));
    }

    /// Undoes a failed attempt as the real escrow does. Each paid milestone cost 100.
    fn hand_over(id: JobId, mut job: MockJob) -> DispatchResult {
        let (paid, assignment) = (job.paid(), job.assignment.take().ok_or("nobody has the job")?);
        if paid > assignment.first_milestone {
            let tranche = Tranche {
                provider: assignment.provider,
                first_milestone: assignment.first_milestone,
                last_milestone: paid - 1,
                paid: 100 * Balance::from(paid - assignment.first_milestone),
                started_at: assignment.started_at.ok_or("it was not started")?,
            };
            job.tranches.try_push(tranche).map_err(|_| "too many tranches")?;
        }
        job.committed = paid;
        job.verified = (0..paid).collect();
        Jobs::insert(id, job);
        Proofs::on_handover(id, &Self::job(id).ok_or("no such job")?, paid)
    }

    pub(crate) fn state(id: JobId) -> JobState {
        Jobs::get(id).expect("the job exists, qed").state
    }

    pub(crate) fn fees_paid(id: JobId) -> Vec<AccountId> {
        FeesPaid::get(id)
    }

    pub(crate) fn act(id: JobId, action: Action) -> DispatchResult {
        let mut job = Jobs::get(id).ok_or("no such job")?;
        let failure = machine::failure(job.state, action, job.facts());
        job.state = machine::next(job.state, action, job.facts(), System::block_number(), job.deadline)
            .map_err(|_| DispatchError::Other("the state refuses"))?;
        Jobs::insert(id, job.clone());
        if job.state == JobState::Open && failure.is_some() {
            return Self::hand_over(id, job);
        }
        if job.state.is_terminal() {
            Proofs::on_closed(id, &Self::job(id).ok_or("no such job")?)?;
        }
        Ok(())
    }

    /// The deadline of the job's state is over, and nobody has pushed it.
    pub(crate) fn be_late(id: JobId) {
        Self::change(id, |job| job.deadline = System::block_number() - 1);
    }

    /// Lets the deadline of the job's state pass.
    pub(crate) fn pass_deadline(id: JobId) {
        Self::be_late(id);
        assert_ok!(Self::act(id, Action::DeadlinePassed));
    }

    /// A job that is being cancelled ends with the audits of what is committed.
    fn end_cancelling(id: JobId) -> DispatchResult {
        let job = Jobs::get(id).ok_or("no such job")?;
        match job.state {
            JobState::Cancelling if !job.facts().under_audit => Self::act(id, Action::AuditsOver),
            _ => Ok(()),
        }
    }
}

impl JobEscrow<AccountId> for Escrow {
    fn job(id: JobId) -> Option<JobView<AccountId>> {
        let MockJob { customer, funder, spec, state, assignment, tranches, .. } = Jobs::get(id)?;
        Some(JobView { customer, funder, spec, state, assignment, tranches, requested_at: 3_000 })
    }
    fn milestone_committed(id: JobId, _: u32) -> DispatchResult {
        Jobs::try_mutate(id, |job| {
            let job = job.as_mut().ok_or("no such job")?;
            match job.state {
                JobState::Running => {
                    ensure!(System::block_number() <= job.deadline, "the deadline is over");
                    job.deadline = System::block_number() + job.spec.timing.milestone_blocks;
                }
                // Its clock stands still.
                JobState::Disputed(Phase::Running) => {}
                _ => return Err("the job is not running".into()),
            }
            job.committed += 1;
            Ok(())
        })
    }
    fn submitted(id: JobId) -> DispatchResult {
        Self::act(id, Action::Submit)
    }
    fn milestone_verified(id: JobId, index: u32) -> DispatchResult {
        Jobs::try_mutate(id, |job| {
            let job = job.as_mut().ok_or("no such job")?;
            ensure!(!job.verified.contains(&index), "the milestone was verified before");
            job.verified.push(index);
            Ok::<_, DispatchError>(())
        })?;
        Self::end_cancelling(id)
    }
    fn pay_auditor(id: JobId, _: u32, auditor: &AccountId) -> DispatchResult {
        ensure!(!Self::state(id).is_terminal(), "a closed job pays nobody");
        FeesPaid::append(id, *auditor);
        Ok(())
    }
    fn disputed(id: JobId) -> DispatchResult {
        match Self::state(id) {
            JobState::Disputed(_) => Ok(()),
            _ => Self::act(id, Action::Dispute),
        }
    }
    fn upheld(id: JobId) -> DispatchResult {
        Self::act(id, Action::Uphold)?;
        Self::end_cancelling(id)
    }
    fn fail(id: JobId, failure: Failure) -> DispatchResult {
        Self::act(id, Action::Fail(failure))
    }
}
