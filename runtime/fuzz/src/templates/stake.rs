//! Stake comes, waits and goes.

use crate::{accounts, calls::staking::unlocked_at, draw::Draw, run::Run, view};
use attune_primitives::Balance;
use attune_runtime::{units::ATT, AccountId, Runtime};
use pallet_provider_staking::{Call, Delegations, PendingSlashes, SelfUnbonding, Unbonding};

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
    leave(&provider, run)?;
    if draw.rarely(4) || !run.wait_past(last_unlock(&provider))? {
        return Ok(());
    }
    clear(&provider, run)
}

/// A provider exits, and its delegators are moved out. True if it could exit.
pub(super) fn leave(provider: &AccountId, run: &mut Run<'_>) -> Result<bool, String> {
    let exits = run.signed(provider.clone(), Call::exit {}.into())?;
    for (owner, _) in view::delegators(provider) {
        run.signed(anybody(), Call::evict { provider: provider.clone(), owner }.into())?;
    }
    Ok(exits)
}

/// Everyone's stake that is free is paid out of an exiting provider's pool, and the pool is deleted.
pub(super) fn clear(provider: &AccountId, run: &mut Run<'_>) -> Result<(), String> {
    for owner in view::leaving(provider) {
        run.signed(anybody(), Call::evict { provider: provider.clone(), owner }.into())?;
    }
    run.signed(anybody(), Call::deregister { provider: provider.clone() }.into())?;
    Ok(())
}

fn anybody() -> AccountId {
    accounts::account(accounts::STRANGER)
}

/// The block by which everything on its way out of a pool is free.
pub(super) fn last_unlock(provider: &AccountId) -> u32 {
    let chunks = Unbonding::<Runtime>::iter_prefix_values(provider).flatten();
    let own = SelfUnbonding::<Runtime>::get(provider);
    let own = own.iter().map(|chunk| chunk.unlock_at);
    chunks.map(|chunk| chunk.unlock_at).chain(own).max().unwrap_or_else(crate::chain::now)
}

/// Waits until every slash of a provider can be applied, and has it done.
pub(super) fn apply_slashes(provider: &AccountId, run: &mut Run<'_>) -> Result<(), String> {
    let pending: Vec<_> = PendingSlashes::<Runtime>::iter_prefix(provider).collect();
    for (slash, pending) in pending {
        if run.wait_past(pending.apply_at)? {
            run.signed(anybody(), Call::apply_slash { provider: provider.clone(), slash }.into())?;
        }
    }
    Ok(())
}

/// Moves a delegation to another provider, waits until its lien can end, and settles it.
///
/// # Errors
/// A rule that is broken.
pub fn redelegate_and_settle(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let (from, to) = (draw.provider(), draw.provider());
    let Some((who, shares)) = view::delegators(&from).into_iter().next() else { return Ok(()) };
    let shares = shares / (u128::from(draw.byte() % 3) + 1);
    if !run.signed(who.clone(), Call::redelegate { from, to: to.clone(), shares }.into())? {
        return Ok(());
    }
    let lien = Delegations::<Runtime>::get(&to, &who).and_then(|delegation| delegation.lien);
    if let Some(lien) = lien.filter(|_| draw.byte() >= 64) {
        if run.wait_past(lien.until)? {
            run.signed(anybody(), Call::settle_lien { provider: to, delegator: who }.into())?;
        }
    }
    Ok(())
}

/// A provider earns, and what its delegators earned of it is turned into stake, claimed, or left.
///
/// # Errors
/// A rule that is broken.
pub fn income(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let provider = draw.provider();
    super::job::a_good_job(&provider, run)?;
    for (delegator, _) in view::delegators(&provider) {
        match draw.byte() % 4 {
            0 => {}
            1 => {
                run.signed(delegator, Call::claim_income { provider: provider.clone() }.into())?;
            }
            way => {
                if way == 2 {
                    let call = Call::set_auto_compound { provider: provider.clone(), enabled: true };
                    run.signed(delegator.clone(), call.into())?;
                }
                let who = if way == 2 { anybody() } else { delegator.clone() };
                run.signed(who, Call::compound { provider: provider.clone(), delegator }.into())?;
            }
        }
    }
    Ok(())
}
