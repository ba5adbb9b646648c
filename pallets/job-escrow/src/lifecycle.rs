//! The calls of customers and providers: from the order to the start, and the ways out.

use attune_primitives::{
    job::{JobSpec, JobTiming, SpecError},
    machine::{self, Action, Facts, JobState, Phase},
    traits::{ProofOfTraining, Providers},
    Balance, BlockNumber, JobId,
};
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{Inspect, MutateHold},
        tokens::Precision,
        UnixTime,
    },
};
use sp_runtime::traits::UniqueSaturatedInto;

use crate::*;

pub(crate) type Result<Value> = core::result::Result<Value, DispatchError>;

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

    /// What the job's next state depends on besides its state.
    pub(crate) fn facts(job: &Job<T::AccountId>) -> Facts {
        Facts {
            all_verified: job.all_verified(),
            under_audit: job.is_under_audit(),
            awarded: false,
            reopens: Self::handover_shortfall(job).is_some(),
        }
    }

    /// The state to which `action` would move `job` now.
    pub(crate) fn foresee(job: &Job<T::AccountId>, action: Action) -> Result<JobState> {
        let after = machine::next(job.state, action, Self::facts(job), Self::now(), job.deadline);
        after.map_err(|error| Error::<T>::from(error).into())
    }

    /// Moves `job` by `action`; its deadline is the caller's to set.
    pub(crate) fn transition(job: &mut Job<T::AccountId>, action: Action) -> DispatchResult {
        job.state = Self::foresee(job, action)?;
        Ok(())
    }

    pub(crate) fn state_changed(id: JobId, from: JobState, job: &Job<T::AccountId>) {
        let deadline = if job.state.is_terminal() { 0 } else { job.deadline };
        Self::deposit_event(Event::StateChanged { job: id, from, to: job.state, deadline });
    }

    pub(crate) fn do_create(
        customer: T::AccountId,
        spec: JobSpec<T::AccountId>,
        sponsor: Option<T::AccountId>,
    ) -> DispatchResult {
        let funder = sponsor.clone().unwrap_or_else(|| customer.clone());
        Self::ensure_orderable(&customer, &funder, &spec)?;

        let audit_budget = Self::audit_budget(&spec).ok_or(Error::<T>::ArithmeticOverflow)?;
        let escrowed = spec.max_price.checked_add(audit_budget).ok_or(Error::<T>::ArithmeticOverflow)?;
        let deposit = T::JobDeposit::get();
        let sponsorship = match sponsor {
            Some(sponsor) => {
                let all = escrowed.checked_add(deposit).ok_or(Error::<T>::ArithmeticOverflow)?;
                Some(Self::charge_sponsor(&sponsor, &customer, all)?)
            }
            None => None,
        };
        T::Currency::hold(&HoldReason::Escrow.into(), &funder, escrowed)
            .and_then(|()| T::Currency::hold(&HoldReason::Deposit.into(), &funder, deposit))
            .map_err(|_| Error::<T>::InsufficientBalance)?;

        let id = NextJobId::<T>::get();
        NextJobId::<T>::put(id.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?);
        T::Proof::on_created(id, spec.model)?;
        let (state, wait) = match spec.timing.bidding_blocks {
            0 => (JobState::Open, spec.timing.open_blocks),
            bidding => (JobState::Bidding, bidding),
        };
        let deadline = Self::after(wait)?;
        let max_price = spec.max_price;
        let audit_fees = alloc::vec![0; spec.milestones.len()];
        let job = Job {
            customer: customer.clone(),
            funder: funder.clone(),
            sponsorship,
            escrow: max_price,
            audit_fees: BoundedVec::try_from(audit_fees).map_err(|_| Error::<T>::InvalidSegments)?,
            spec,
            state,
            deadline,
            assignment: None,
            audit_budget,
            deposit,
            spent: 0,
            spent_before: 0,
            milestones_committed: 0,
            milestones_verified: 0,
            milestones_paid: 0,
            paused_blocks: 0,
            handovers: 0,
            excluded: BoundedVec::new(),
            tranches: BoundedVec::new(),
            requested_at: Self::unix_millis(),
            closed_at: None,
        };
        Jobs::<T>::insert(id, job);
        Self::deposit_event(Event::JobCreated {
            job: id,
            customer,
            funder,
            max_price,
            audit_budget,
            state,
            deadline,
        });
        Ok(())
    }

    /// Checks an order before any money moves.
    fn ensure_orderable(
        customer: &T::AccountId,
        funder: &T::AccountId,
        spec: &JobSpec<T::AccountId>,
    ) -> DispatchResult {
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
        let JobTiming { bidding_blocks, open_blocks, start_blocks, milestone_blocks } = spec.timing;
        let longest = bidding_blocks.max(open_blocks).max(start_blocks).max(milestone_blocks);
        ensure!(longest <= T::MaxPhaseBlocks::get(), Error::<T>::InvalidTiming);
        ensure!(spec.audit_fee >= T::MinAuditFee::get(), Error::<T>::AuditFeeTooLow);
        ensure!(T::Proof::model_exists(spec.model), Error::<T>::UnknownModel);
        if let Some(chosen) = &spec.provider {
            let view = T::Providers::provider(chosen).ok_or(Error::<T>::UnknownProvider)?;
            let own = [customer, funder].into_iter().any(|who| who == chosen || *who == view.operator);
            ensure!(!own, Error::<T>::SelfDealing);
            ensure!(view.profile.computes(&spec.mode), Error::<T>::WrongArithmetic);
        }
        Ok(())
    }

    /// Fees of every first-round audit, and of [`Config::CommitteeReserve`] more for each milestone.
    fn audit_budget(spec: &JobSpec<T::AccountId>) -> Option<Balance> {
        Self::fees_of(spec.audits(), u32::try_from(spec.milestones.len()).ok()?, spec.audit_fee)
    }

    /// The same, of `audits` first-round audits in all at `fee` each.
    pub(crate) fn fees_of(audits: u32, milestones: u32, fee: Balance) -> Option<Balance> {
        let reserve = milestones.checked_mul(T::CommitteeReserve::get())?;
        fee.checked_mul(Balance::from(audits.checked_add(reserve)?))
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
        Self::conclude(id, job, Action::Decline)
    }

    pub(crate) fn do_cancel(customer: T::AccountId, id: JobId) -> DispatchResult {
        let mut job = Self::load(id)?;
        ensure!(job.customer == customer, Error::<T>::NotCustomer);
        match job.state {
            JobState::Cancelling | JobState::Disputed(Phase::Cancelling) => {
                return Err(Error::<T>::AlreadyCalledOff.into());
            }
            JobState::Submitted => return Err(Error::<T>::CannotCancelSubmitted.into()),
            JobState::Disputed(_) => return Err(Error::<T>::CannotCancelDisputed.into()),
            state if state.is_terminal() => return Err(Error::<T>::JobEnded.into()),
            _ => {}
        }
        // Foreseen before the fee is paid, so that a job that can't be cancelled pays none.
        if Self::foresee(&job, Action::Cancel)? == JobState::Cancelling {
            let from = job.state;
            Self::transition(&mut job, Action::Cancel)?;
            job.deadline = Self::after(T::AuditWindow::get())?;
            Self::state_changed(id, from, &job);
            Jobs::<T>::insert(id, job);
            return Ok(());
        }
        if job.state == JobState::Running {
            Self::pay_cancellation(id, &mut job)?;
        }
        Self::conclude(id, job, Action::Cancel)
    }

    pub(crate) fn do_enforce_deadline(id: JobId) -> DispatchResult {
        let mut job = Self::load(id)?;
        Self::foresee(&job, Action::DeadlinePassed)?;
        match job.state {
            JobState::Bidding => return Self::end_bidding(id, job),
            // The audits did not end in time. The customer has what it asked for, and pays for it as if they had.
            JobState::Cancelling => Self::pay_cancellation(id, &mut job)?,
            _ => {}
        }
        Self::conclude(id, job, Action::DeadlinePassed)
    }

    pub(crate) fn do_prune(id: JobId) -> DispatchResult {
        let job = Self::load(id)?;
        ensure!(Self::is_prunable(id, &job), Error::<T>::NotPrunable);
        T::Currency::release(&HoldReason::Deposit.into(), &job.funder, job.deposit, Precision::Exact)?;
        Self::credit_sponsor(&job, job.deposit);
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
