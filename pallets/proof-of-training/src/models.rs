//! The model registry: whoever registers a base model leaves a deposit, and gets it back when the model is removed.
//! A model stays while a job that is not closed uses it.

use attune_primitives::{JobId, ModelId};
use frame_support::{
    ensure,
    traits::{
        tokens::{fungible::MutateHold, Precision},
        Get,
    },
};
use sp_runtime::{DispatchError, DispatchResult};

use crate::{
    types::{Model, ModelInfo},
    Config, Error, Event, HoldReason, ModelByArtifact, Models, NextModelId, Pallet,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_register_model(owner: T::AccountId, info: ModelInfo) -> DispatchResult {
        ensure!(
            !info.name.is_empty()
                && !info.architecture.is_empty()
                && info.parameters > 0
                && info.artifact_bytes > 0,
            Error::<T>::IncompleteModel
        );
        ensure!(!ModelByArtifact::<T>::contains_key(info.artifact), Error::<T>::ModelExists);
        let deposit = T::ModelDeposit::get();
        T::Currency::hold(&HoldReason::ModelDeposit.into(), &owner, deposit)?;
        let id = NextModelId::<T>::try_mutate(|next| {
            let id = *next;
            *next = id.checked_add(1).ok_or(Error::<T>::TooManyModels)?;
            Ok::<_, DispatchError>(id)
        })?;
        ModelByArtifact::<T>::insert(info.artifact, id);
        Self::deposit_event(Event::ModelRegistered {
            model: id,
            owner: owner.clone(),
            artifact: info.artifact,
        });
        Models::<T>::insert(id, Model { info, owner, deposit, live_jobs: 0 });
        Ok(())
    }

    pub(crate) fn do_remove_model(owner: &T::AccountId, id: ModelId) -> DispatchResult {
        let model = Models::<T>::get(id).ok_or(Error::<T>::UnknownModel)?;
        ensure!(model.owner == *owner, Error::<T>::NotModelOwner);
        ensure!(model.live_jobs == 0, Error::<T>::ModelInUse);
        // Best effort: whatever of the deposit is still there goes back, and the model goes in any case.
        T::Currency::release(&HoldReason::ModelDeposit.into(), owner, model.deposit, Precision::BestEffort)?;
        ModelByArtifact::<T>::remove(model.info.artifact);
        Models::<T>::remove(id);
        Self::deposit_event(Event::ModelRemoved { model: id, owner: owner.clone() });
        Ok(())
    }

    /// Counts a new job of `model`.
    pub(crate) fn use_model(_job: JobId, model: ModelId) -> DispatchResult {
        Models::<T>::try_mutate(model, |model| {
            let model = model.as_mut().ok_or(Error::<T>::UnknownModel)?;
            model.live_jobs = model.live_jobs.checked_add(1).ok_or(Error::<T>::TooManyJobs)?;
            Ok(())
        })
    }

    /// Counts down when a job of `model` is closed.
    pub(crate) fn free_model(model: ModelId) {
        Models::<T>::mutate_extant(model, |model| model.live_jobs = model.live_jobs.saturating_sub(1));
    }
}
