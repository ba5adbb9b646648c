//! Accounts at the edge of their existence.

use super::job;
use crate::{
    accounts, calls, chain,
    draw::{existential_deposit, Draw},
    run::Run,
    view,
};
use attune_runtime::{units::ATT, Runtime, RuntimeCall};
use pallet_balances::Call as Balances;
use pallet_job_escrow::{Call as Escrow, NextJobId, Owed};
use pallet_proof_of_training::{
    types::{Audit, Stage},
    Call as Proof,
};

/// The manner of a driven job in which everyone does its work.
const HONEST: u8 = 0;

/// Everything that is free, to somebody else.
fn empty() -> RuntimeCall {
    let dest = accounts::account(accounts::MODEL_OWNER).into();
    Balances::transfer_all { dest, keep_alive: false }.into()
}

/// Somebody gives away all that is free: whoever pays it later finds an account that can't receive a small amount, or
/// none at all.
///
/// # Errors
/// A rule that is broken.
pub fn give_all_away(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let who = match draw.byte() % 4 {
        0 => draw.provider(),
        1 => accounts::customer(draw.byte()),
        2 => accounts::delegator(draw.byte()),
        _ => view::operator_of(&draw.provider()),
    };
    run.signed(who, empty())?;
    Ok(())
}

/// A job so small that neither its provider nor its customer, who give away all else, can receive what they get; later
/// somebody sends them enough, and they are paid what they are owed.
///
/// # Errors
/// A rule that is broken.
pub fn tiny_job(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let customer = accounts::customer(draw.byte());
    let provider = draw.provider();
    let mut spec = calls::plain_spec(0);
    spec.max_price = existential_deposit() / (u128::from(draw.byte() % 4) + 1);
    spec.provider = Some(provider.clone());
    let (manner, ways, who_empties) = (draw.byte(), draw.byte(), draw.byte() % 4);
    let job = NextJobId::<Runtime>::get();
    if !run.signed(customer.clone(), Escrow::create_job { spec, sponsor: None }.into())? {
        return Ok(());
    }
    job::drive(job, manner, 2, run)?;
    if who_empties != 3 {
        run.signed(provider.clone(), empty())?;
    }
    if who_empties >= 2 {
        run.signed(customer, empty())?;
    }
    job::drive(job, manner, 24 + job::acts(ways), run)?;
    let payees: Vec<_> = Owed::<Runtime>::iter_key_prefix(job).collect();
    let anybody = accounts::account(accounts::STRANGER);
    for payee in payees {
        if draw.byte() < 192 {
            let call = Balances::transfer_allow_death { dest: payee.clone().into(), value: ATT };
            run.signed(anybody.clone(), call.into())?;
        }
        run.signed(anybody.clone(), Escrow::claim_owed { job, payee }.into())?;
    }
    let closed_at = view::job(job).and_then(|job| job.closed_at);
    if let Some(closed_at) = closed_at.filter(|_| draw.byte() >= 128) {
        if run.wait_past(closed_at + chain::WINDOWS.prune)? {
            run.signed(anybody, Escrow::prune_job { job }.into())?;
        }
    }
    Ok(())
}

/// An auditor answers and leaves before the other one has; its fee finds no pool. Once its time has come the pool is
/// gone, the audit ends, and the fee is owed and claimed.
///
/// # Errors
/// A rule that is broken.
pub fn auditor_leaves(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let mut spec = calls::plain_spec(0);
    spec.assurance.auditors = 2;
    spec.timing.milestone_blocks = 40;
    spec.milestones[0].segments = 1;
    spec.milestones[1].segments = 3;
    let job = NextJobId::<Runtime>::get();
    if !run.signed(accounts::customer(0), Escrow::create_job { spec, sponsor: None }.into())? {
        return Ok(());
    }
    let answered = |audit: &Audit<_>| {
        let slot = view::waiting(audit).find(|slot| slot.verdict.is_some());
        slot.filter(|_| audit.stage == Stage::Revealing).map(|slot| slot.auditor.clone())
    };
    job::drive(job, HONEST, 2, run)?;
    // The first milestone; the other one is left to commit to while everyone waits.
    job::work_on(job, run)?;
    let mut found = None;
    for _ in 0..32 {
        job::audit_on(job, run)?;
        found = view::audits(job).iter().find_map(|(segment, audit)| Some((*segment, answered(audit)?)));
        if found.is_some() {
            break;
        }
    }
    let Some((segment, auditor)) = found else { return Ok(()) };
    let anybody = accounts::account(accounts::STRANGER);
    if !super::stake::leave(&auditor, run)? {
        return Ok(());
    }
    let free_at = super::stake::last_unlock(&auditor);
    while chain::now() < free_at {
        let Some(stored) = view::job(job) else { return Ok(()) };
        let next = free_at.min(stored.deadline);
        if chain::now() >= next {
            // The provider shows that it lives: a milestone committed moves the deadline on.
            for _ in 0..3 {
                job::work_on(job, run)?;
            }
            if view::job(job).is_none_or(|stored| stored.deadline <= chain::now()) {
                return Ok(());
            }
        } else if !run.wait_past(next - 1)? {
            return Ok(());
        }
    }
    super::stake::clear(&auditor, run)?;
    if draw.rarely(2) {
        run.signed(auditor.clone(), empty())?;
    }
    run.signed(anybody.clone(), Proof::enforce_audit_deadline { job, segment }.into())?;
    if draw.byte() < 192 {
        run.signed(anybody, Escrow::claim_owed { job, payee: auditor }.into())?;
    }
    Ok(())
}
