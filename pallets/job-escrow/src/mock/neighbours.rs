//! Stand-ins for provider staking and proof of training, and what they were told.

use attune_primitives::{
    job::{ArithmeticMode, ExecutionClass},
    machine::JobState,
    provider::{Hardware, ProviderProfile, ProviderView},
    traits::{AuditOutcome, JobEscrow, JobView, ProofOfTraining, Providers},
    Balance, JobId, ModelId,
};
use frame_support::{
    assert_ok, storage_alias,
    traits::{
        fungible::Mutate,
        tokens::{Fortitude, Precision, Preservation},
    },
    Blake2_128Concat,
};
use sp_arithmetic::Permill;
use sp_runtime::{DispatchError, DispatchResult};

use super::*;

/// Bonds by provider and job.
#[storage_alias]
pub(crate) type Bonds = StorageMap<Mock, Blake2_128Concat, (AccountId, JobId), Balance>;
/// Income that arrived for a provider.
#[storage_alias]
type Income = StorageMap<Mock, Blake2_128Concat, AccountId, Balance>;
/// Jobs that a provider finished and failed.
#[storage_alias]
type Reputation = StorageMap<Mock, Blake2_128Concat, AccountId, (u32, u32)>;
/// True while no income can be booked.
#[storage_alias]
pub(crate) type IncomeRefused = StorageValue<Mock, bool>;
/// The state in which proof of training was told that a job closed, and how often.
#[storage_alias]
type Closed = StorageMap<Mock, Blake2_128Concat, JobId, (JobState, u32)>;
/// True while no record can be written.
#[storage_alias]
pub(crate) type RecordRefused = StorageValue<Mock, bool>;

/// The milestones with which proof of training was told to go on after handovers.
#[storage_alias]
type HandedOver = StorageMap<Mock, Blake2_128Concat, JobId, Vec<u32>>;
/// Stakes other than [`STAKE`].
#[storage_alias]
pub(crate) type Stakes = StorageMap<Mock, Blake2_128Concat, AccountId, Balance>;
/// Providers that take no work.
#[storage_alias]
pub(crate) type Inactive = StorageMap<Mock, Blake2_128Concat, AccountId, ()>;
/// Providers that have left.
#[storage_alias]
pub(crate) type Gone = StorageMap<Mock, Blake2_128Concat, AccountId, ()>;

fn stake_of(provider: AccountId) -> Balance {
    Stakes::get(provider).unwrap_or(STAKE)
}

/// Stands in for provider staking: six providers, each with [`STAKE`].
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
pub struct Registry;

pub(super) fn text<S: frame_support::traits::Get<u32>>(text: &str) -> frame_support::BoundedVec<u8, S> {
    text.as_bytes().to_vec().try_into().expect("the texts of the mock are short, qed")
}

fn class_of(provider: AccountId) -> Option<ExecutionClass> {
    match provider {
        _ if Gone::contains_key(provider) => None,
        ALICE | CAROL | AUDITOR | DAVE | EVE => Some(text("cpu-a")),
        BOB => Some(text("cpu-b")),
        _ => None,
    }
}

impl Providers<AccountId> for Registry {
    fn provider_of_operator(operator: &AccountId) -> Option<AccountId> {
        operator.checked_sub(10).filter(|provider| class_of(*provider).is_some())
    }

    fn provider(provider: &AccountId) -> Option<ProviderView<AccountId>> {
        let profile = ProviderProfile {
            name: text("someone"),
            endpoint: text("http://127.0.0.1:1"),
            class: class_of(*provider)?,
            exact_version: u16::from(*provider != BOB),
            hardware: Hardware { model: text("EPYC"), accelerators: 0, memory_mib: 1 },
            price_per_gpu_hour: 7,
            tokens_per_second: 1,
        };
        Some(ProviderView { profile, commission: Permill::from_percent(5), operator: provider + 10 })
    }

    fn active_for(mode: &ArithmeticMode) -> Vec<(AccountId, Balance)> {
        let able = |id: &AccountId| Self::provider(id).is_some_and(|view| view.profile.computes(mode));
        let active = (1..10).filter(|id| !Inactive::contains_key(id));
        active.filter(able).map(|id| (id, stake_of(id))).collect()
    }

    fn pool_account(provider: &AccountId) -> AccountId {
        provider + 1_000
    }

    fn lock_bond(provider: &AccountId, job: JobId, amount: Balance) -> DispatchResult {
        let locked: Balance =
            Bonds::iter().filter(|((who, _), _)| who == provider).map(|(_, bond)| bond).sum();
        if Inactive::contains_key(provider) {
            return Err(DispatchError::Other("the provider takes no work"));
        }
        if locked + amount > stake_of(*provider) {
            return Err(DispatchError::Other("the stake is too low"));
        }
        Bonds::insert((*provider, job), amount);
        Ok(())
    }

    fn release_bond(provider: &AccountId, job: JobId) {
        Bonds::remove((*provider, job));
    }

    fn slash_bond(
        provider: &AccountId,
        job: JobId,
        part: Permill,
        customer: &AccountId,
        compensation: Balance,
    ) -> Balance {
        let taken = part.mul_ceil(Bonds::take((*provider, job)).unwrap_or_default());
        let compensated = taken.min(compensation);
        let pool = Self::pool_account(provider);
        assert_ok!(<Balances as Mutate<_>>::transfer(&pool, customer, compensated, Preservation::Preserve));
        let burned = taken - compensated;
        assert_ok!(Balances::burn_from(
            &pool,
            burned,
            Preservation::Preserve,
            Precision::Exact,
            Fortitude::Force
        ));
        taken
    }

    fn slash_for_offence(_: &AccountId, _: Permill, _: Option<&AccountId>) {}

    fn note_income(provider: &AccountId, amount: Balance, commission: Permill) -> DispatchResult {
        if class_of(*provider).is_none() {
            return Err(DispatchError::Other("no such provider"));
        }
        assert_eq!(commission, Permill::from_percent(5), "the commission of the assignment");
        if IncomeRefused::get().unwrap_or_default() {
            return Err(DispatchError::Other("no income can be booked"));
        }
        Income::mutate(provider, |sum| *sum = Some(sum.unwrap_or_default() + amount));
        Ok(())
    }

    fn note_audit(_: &AccountId, _: AuditOutcome) {}

    fn note_job(provider: &AccountId, finished: bool) {
        let (yes, no) = reputation(*provider);
        Reputation::insert(provider, if finished { (yes + 1, no) } else { (yes, no + 1) });
    }
}

/// Stands in for proof of training: one model.
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
pub struct Verifier;

impl ProofOfTraining<AccountId> for Verifier {
    fn model_exists(model: ModelId) -> bool {
        model == 0
    }

    fn on_handover(id: JobId, job: &JobView<AccountId>, first: u32) -> DispatchResult {
        assert_eq!((job.state, job.assignment.is_none()), (JobState::Open, true));
        assert_eq!(Escrow::job(id).as_ref(), Some(job), "the job is stored before it is told");
        HandedOver::append(id, first);
        Ok(())
    }

    fn on_closed(id: JobId, job: &JobView<AccountId>) -> Result<(), DispatchError> {
        assert!(job.state.is_terminal());
        assert_eq!(Escrow::job(id).as_ref(), Some(job), "the job is stored before it is told");
        if RecordRefused::get().unwrap_or_default() {
            return Err(DispatchError::Other("no record can be written"));
        }
        let times = Closed::get(id).map(|(_, times)| times).unwrap_or_default();
        Closed::insert(id, (job.state, times + 1));
        Ok(())
    }
}

pub(crate) fn income(provider: AccountId) -> Balance {
    Income::get(provider).unwrap_or_default()
}

/// Finished and failed jobs.
pub(crate) fn reputation(provider: AccountId) -> (u32, u32) {
    Reputation::get(provider).unwrap_or_default()
}

/// The milestones with which proof of training was told to go on.
pub(crate) fn handed_over(id: JobId) -> Vec<u32> {
    HandedOver::get(id).unwrap_or_default()
}

/// The terminal state that proof of training was told, exactly once.
pub(crate) fn closed_as(id: JobId) -> Option<JobState> {
    let (state, times) = Closed::get(id)?;
    assert_eq!(times, 1, "a job closes once");
    Some(state)
}
