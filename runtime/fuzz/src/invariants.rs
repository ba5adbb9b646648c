//! What holds between any two calls, looked at from outside the pallets.

use crate::holds;
use attune_primitives::Balance;
use attune_runtime::{
    AuditRandomness, JobEscrow, ProofOfTraining, ProviderStaking, Runtime, System, ValidatorElection,
};

/// Checks everything.
///
/// # Errors
/// Says which rule is broken.
pub fn check() -> Result<(), String> {
    let wrong =
        |pallet: &str, error: sp_runtime::TryRuntimeError| format!("try_state of {pallet}: {error:?}");
    ProviderStaking::do_try_state().map_err(|error| wrong("provider-staking", error))?;
    JobEscrow::do_try_state().map_err(|error| wrong("job-escrow", error))?;
    ValidatorElection::do_try_state().map_err(|error| wrong("validator-election", error))?;
    ProofOfTraining::do_try_state().map_err(|error| wrong("proof-of-training", error))?;
    AuditRandomness::do_try_state().map_err(|error| wrong("audit randomness", error))?;
    check_issuance()?;
    holds::check()
}

/// The issuance is the sum of all balances, and what is on hold is reserved.
fn check_issuance() -> Result<(), String> {
    let mut sum: Balance = 0;
    for (who, info) in frame_system::Account::<Runtime>::iter() {
        let data = info.data;
        let total = data.free.checked_add(data.reserved).ok_or("the balance of an account overflows")?;
        sum = sum.checked_add(total).ok_or("the sum of all balances overflows")?;
        let held = pallet_balances::Holds::<Runtime>::get(&who);
        let held: Balance = held.iter().map(|hold| hold.amount).sum();
        if held > data.reserved {
            let who = crate::accounts::name(&who);
            return Err(format!("{who} has {held} on hold, and {} reserved", data.reserved));
        }
        if info.providers == 0 && info.sufficients == 0 && total > 0 {
            return Err(format!("{} has a balance, and no reason to exist", crate::accounts::name(&who)));
        }
    }
    for (who, _) in pallet_balances::Holds::<Runtime>::iter() {
        if !frame_system::Account::<Runtime>::contains_key(&who) {
            return Err(format!("{} has holds and no account", crate::accounts::name(&who)));
        }
    }
    let issued = pallet_balances::TotalIssuance::<Runtime>::get();
    if sum != issued {
        return Err(format!("the issuance is {issued}, the sum of all balances {sum}"));
    }
    Ok(())
}

/// What `who` has, free and reserved.
pub(crate) fn wealth(who: &attune_runtime::AccountId) -> (Balance, Balance) {
    let data = System::account(who).data;
    (data.free, data.reserved)
}
