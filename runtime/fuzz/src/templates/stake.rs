//! Stake comes, waits and goes.

use crate::{accounts, calls::staking::unlocked_at, draw::Draw, run::Run, view};
use attune_primitives::Balance;
use attune_runtime::{units::ATT, AccountId, Runtime};
use pallet_provider_staking::{Call, Unbonding};

/// Delegates, takes some or all of it out again, and withdraws when it is free.
///
/// # Errors
/// A rule that is broken.
pub fn delegate_and_leave(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let provider = draw.provider();
    let who = accounts::delegator(draw.byte());
    let amount = Balance::from(draw.byte()) * ATT + Balance::from(draw.byte());
    run.signed(who.clone(), Call::delegate { provider: provider.clone(), amount }.into())?;
    let all = view::shares(&provider, &who);
    let shares = match draw.byte() {
        0..=127 => all,
        byte => all / (u128::from(byte % 4) + 2),
    };
    if !run.signed(who.clone(), Call::undelegate { provider: provider.clone(), shares }.into())? {
        return Ok(());
    }
    if draw.byte() >= 64 && run.wait_past(unlocked_at())? {
        run.signed(who, Call::withdraw { provider }.into())?;
    }
    Ok(())
}

/// Has a provider leave: it exits, everyone else is moved out, and once all is free the pool is deleted.
///
/// # Errors
/// A rule that is broken.
pub fn exit_provider(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let provider = draw.provider();
    run.signed(provider.clone(), Call::exit {}.into())?;
    let anybody = accounts::account(accounts::STRANGER);
    for (owner, _) in view::delegators(&provider) {
        run.signed(anybody.clone(), Call::evict { provider: provider.clone(), owner }.into())?;
    }
    if draw.rarely(4) || !run.wait_past(last_unlock(&provider))? {
        return Ok(());
    }
    for owner in view::leaving(&provider) {
        run.signed(anybody.clone(), Call::evict { provider: provider.clone(), owner }.into())?;
    }
    run.signed(anybody, Call::deregister { provider }.into())?;
    Ok(())
}

/// The block by which everything on its way out of a pool is free.
fn last_unlock(provider: &AccountId) -> u32 {
    let chunks = Unbonding::<Runtime>::iter_prefix_values(provider).flatten();
    chunks.map(|chunk| chunk.unlock_at).max().unwrap_or_else(crate::chain::now)
}
