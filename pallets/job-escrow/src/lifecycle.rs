//! The calls of customers and providers: from the order to the start, and the ways out.

use attune_primitives::{
    job::{JobSpec, JobTiming, SpecError},
    machine::{self, Action, JobState},
    odds,
    traits::{Assignment, ProofOfTraining, Providers},
    Balance, BlockNumber, JobId,
};
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{Inspect, MutateHold},
        UnixTime,
    },
};
use sp_runtime::traits::UniqueSaturatedInto;

use crate::*;

type Result<Value> = core::result::Result<Value, DispatchError>;

impl<T: Config> Pallet<T> {
    /// The current block.
    pub(crate) fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().unique_saturated_into()
    }

    /// Unix time in milliseconds.
    fn unix_millis() -> u64 {
        T::UnixTime::now().as_millis().unique_saturated_into()
    }

    /// The block `blocks` from now.
    pub(crate) fn after(blocks: BlockNumber) -> Result<BlockNumber> {
        Self::now().checked_add(blocks).ok_or_else(|| Error::<T>::ArithmeticOverflow.into())
    }

    pub(crate) fn load(id: JobId) -> Result<Job<T::AccountId>> {
        Jobs::<T>::get(id).ok_or_else(|| Error::<T>::UnknownJob.into())
    }

    /// The job, if `operator` is the operator key of the provider that it is assigned to.
    fn load_for_operator(operator: &T::AccountId, id: JobId) -> Result<Job<T::AccountId>> {
        let job = Self::load(id)?;
        let provider = T::Providers::provider_of_operator(operator).ok_or(Error::<T>::NotAnOperator)?;
        let assigned = job.assignment.as_ref().is_some_and(|a| a.provider == provider);
        ensure!(assigned, Error::<T>::NotAssignedProvider);
        Ok(job)
    }

    /// Moves `job` by `action`; its deadline is the caller's to set.
    pub(crate) fn transition(job: &mut Job<T::AccountId>, action: Action) -> DispatchResult {
        job.state = machine::next(job.state, action, Self::now(), job.deadline).map_err(Error::<T>::from)?;
        Ok(())
    }

    pub(crate) fn state_changed(id: JobId, from: JobState, job: &Job<T::AccountId>) {
        let deadline = if job.state.is_terminal() { 0 } else { job.deadline };
        Self::deposit_event(Event::StateChanged { job: id, from, to: job.state, deadline });
    }

    pub(crate) fn do_create(customer: T::AccountId, spec: JobSpec<T::AccountId>) -> DispatchResult {
        spec.validate().map_err(|error| match error {
            SpecError::Segments => Error::<T>::InvalidSegments,
            SpecError::Shares => Error::<T>::InvalidShares,
            SpecError::Assurance => Error::<T>::InvalidAssurance,
            SpecError::SamplesAboveSegments => Error::<T>::SamplesAboveSegments,
            SpecError::Data => Error::<T>::InvalidData,
            SpecError::Method => Error::<T>::InvalidMethod,
            SpecError::HyperParameters => Error::<T>::InvalidHyperParameters,
            SpecError::Timing => Error::<T>::InvalidTiming,
            SpecError::Price => Error::<T>::InvalidPrice,
            SpecError::Arithmetic => Error::<T>::InvalidArithmetic,
        })?;
        let JobTiming { open_blocks, start_blocks, milestone_blocks } = spec.timing;
        let longest = open_blocks.max(start_blocks).max(milestone_blocks);
        ensure!(longest <= T::MaxPhaseBlocks::get(), Error::<T>::InvalidTiming);
        ensure!(spec.audit_fee >= T::MinAuditFee::get(), Error::<T>::AuditFeeTooLow);
        ensure!(T::Proof::model_exists(spec.model), Error::<T>::UnknownModel);
        if let Some(chosen) = &spec.provider {
            ensure!(*chosen != customer, Error::<T>::SelfDealing);
            let view = T::Providers::provider(chosen).ok_or(Error::<T>::UnknownProvider)?;
            ensure!(view.profile.computes(&spec.mode), Error::<T>::WrongArithmetic);
        }

        let audit_budget = Self::audit_budget(&spec).ok_or(Error::<T>::ArithmeticOverflow)?;
        let escrowed = spec.max_price.checked_add(audit_budget).ok_or(Error::<T>::ArithmeticOverflow)?;
        let deposit = T::JobDeposit::get();
        T::Currency::hold(&HoldReason::Escrow.into(), &customer, escrowed)
            .and_then(|()| T::Currency::hold(&HoldReason::Deposit.into(), &customer, deposit))
            .map_err(|_| Error::<T>::InsufficientBalance)?;

        let id = NextJobId::<T>::get();
        NextJobId::<T>::put(id.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?);
        T::Proof::on_created(id, spec.model)?;
        let deadline = Self::after(spec.timing.open_blocks)?;
        let max_price = spec.max_price;
        let job = Job {
            customer: customer.clone(),
            escrow: max_price,
            spec,
            state: JobState::Open,
            deadline,
            assignment: None,
            audit_budget,
            deposit,
            spent: 0,
            milestones_committed: 0,
            milestones_paid: 0,
            paused_blocks: 0,
            requested_at: Self::unix_millis(),
            closed_at: None,
        };
        Jobs::<T>::insert(id, job);
        Self::deposit_event(Event::JobCreated { job: id, customer, max_price, audit_budget, deadline });
        Ok(())
    }

    /// Fees of every first-round audit, and of [`Config::CommitteeReserve`] more for each milestone.
    fn audit_budget(spec: &JobSpec<T::AccountId>) -> Option<Balance> {
        let milestones = u32::try_from(spec.milestones.len()).ok()?;
        let reserve = milestones.checked_mul(T::CommitteeReserve::get())?;
        let audits = spec.audits().checked_add(reserve)?;
        spec.audit_fee.checked_mul(Balance::from(audits))
    }

    pub(crate) fn do_accept(operator: T::AccountId, id: JobId, price: Balance) -> DispatchResult {
        let mut job = Self::load(id)?;
        let provider = T::Providers::provider_of_operator(&operator).ok_or(Error::<T>::NotAnOperator)?;
        let view = T::Providers::provider(&provider).ok_or(Error::<T>::NotAnOperator)?;
        ensure!(provider != job.customer && operator != job.customer, Error::<T>::SelfDealing);
        ensure!(
            job.spec.provider.as_ref().is_none_or(|chosen| *chosen == provider),
            Error::<T>::NotChosenProvider
        );
        ensure!(view.profile.computes(&job.spec.mode), Error::<T>::WrongArithmetic);
        ensure!(price > 0 && price <= job.spec.max_price, Error::<T>::InvalidPrice);

        let from = job.state;
        Self::transition(&mut job, Action::Accept)?;
        let bond = Self::bond(&job.spec, price).ok_or(Error::<T>::ArithmeticOverflow)?;
        T::Providers::lock_bond(&provider, id, bond)?;

        let difference = job.escrow.checked_sub(price).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.escrow = price;
        Self::refund(id, &job.customer, difference)?;
        job.deadline = Self::after(job.spec.timing.start_blocks)?;
        job.assignment = Some(Assignment {
            provider: provider.clone(),
            price,
            commission: view.commission,
            hardware: view.profile.hardware,
            price_per_gpu_hour: view.profile.price_per_gpu_hour,
            bond,
            assigned_at: Self::now(),
            started_at: None,
        });
        Self::deposit_event(Event::JobAccepted { job: id, provider, price, bond, deadline: job.deadline });
        Self::state_changed(id, from, &job);
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    /// The bond of a job at `price`: what the odds of its worst milestone ask for, within the runtime's bounds.
    pub(crate) fn bond(spec: &JobSpec<T::AccountId>, price: Balance) -> Option<Balance> {
        let samples = u32::from(spec.assurance.samples);
        let segments = spec.milestones.iter().map(|m| m.segments).max()?;
        let least = T::MinBondShare::get().mul_ceil(price);
        let most = price.checked_mul(Balance::from(T::MaxBondMultiple::get()))?;
        Some(odds::required_bond(price, segments, samples)?.max(least).min(most))
    }

    pub(crate) fn do_start(operator: T::AccountId, id: JobId) -> DispatchResult {
        let mut job = Self::load_for_operator(&operator, id)?;
        let from = job.state;
        Self::transition(&mut job, Action::Start)?;
        job.deadline = Self::after(job.spec.timing.milestone_blocks)?;
        if let Some(assignment) = job.assignment.as_mut() {
            assignment.started_at = Some(Self::unix_millis());
        }
        Self::state_changed(id, from, &job);
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    pub(crate) fn do_decline(operator: T::AccountId, id: JobId) -> DispatchResult {
        let job = Self::load_for_operator(&operator, id)?;
        Self::close(id, job, Action::Decline)
    }

    pub(crate) fn do_cancel(customer: T::AccountId, id: JobId) -> DispatchResult {
        let mut job = Self::load(id)?;
        ensure!(job.customer == customer, Error::<T>::NotCustomer);
        if job.state == JobState::Running {
            // Checked before the fee is paid, so that a job that can't be cancelled pays none.
            machine::next(job.state, Action::Cancel, Self::now(), job.deadline).map_err(Error::<T>::from)?;
            ensure!(!job.is_under_audit(), Error::<T>::MilestoneUnderAudit);
            Self::pay_cancellation(id, &mut job)?;
        }
        Self::close(id, job, Action::Cancel)
    }

    pub(crate) fn do_enforce_deadline(id: JobId) -> DispatchResult {
        let job = Self::load(id)?;
        let all_verified = job.all_verified();
        Self::close(id, job, Action::DeadlinePassed { all_verified })
    }

    pub(crate) fn do_prune(id: JobId) -> DispatchResult {
        let job = Self::load(id)?;
        let closed_at = job.closed_at.ok_or(Error::<T>::NotPrunable)?;
        let prunable_from =
            closed_at.checked_add(T::PruneAfter::get()).ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(Self::now() >= prunable_from, Error::<T>::NotPrunable);
        ensure!(Owed::<T>::iter_prefix(id).next().is_none(), Error::<T>::NotPrunable);
        let deposit = HoldReason::Deposit.into();
        T::Currency::release(
            &deposit,
            &job.customer,
            job.deposit,
            frame_support::traits::tokens::Precision::Exact,
        )?;
        Jobs::<T>::remove(id);
        Self::deposit_event(Event::JobPruned { job: id });
        Ok(())
    }

    /// Free balance that `customer` needs to create a job of this specification, in planck; `None` if it overflows.
    pub fn cost_of(spec: &JobSpec<T::AccountId>) -> Option<Balance> {
        let escrowed = spec.max_price.checked_add(Self::audit_budget(spec)?)?;
        escrowed.checked_add(T::JobDeposit::get())?.checked_add(T::Currency::minimum_balance())
    }
}
