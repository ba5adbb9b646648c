//! The lists of a page: providers, open jobs, an account's stake. Each comes by the runtime API `AttuneApi`, page by page,
//! with all that the page shows; nothing is worked out here.

use crate::{
    attune::{self, runtime_types::pallet_provider_staking::views::Obstacle},
    say::{att, Output},
    AccountId, At,
};
use anyhow::Result;
use serde_json::json;

/// How many entries a page of a list asks for; the chain gives no more than 50.
const PAGE: u32 = 20;

/// Every registered provider, with its price, what stands behind it, and what it can still take on.
pub(crate) async fn list_providers(at: &At, output: Output) -> Result<()> {
    let mut from = None;
    loop {
        let call = attune::runtime_apis().attune_api().providers(from, PAGE);
        let page = at.runtime_apis().call(call).await?;
        for found in page.items {
            let profile = found.profile;
            let name = String::from_utf8_lossy(&profile.name.0).into_owned();
            let gpus = profile.hardware.accelerators;
            output.say(
                &format!(
                    "provider {name} ({}): {} per GPU hour, {gpus} GPUs, {} at stake, takes bonds up to {}",
                    found.provider,
                    att(profile.price_per_gpu_hour),
                    att(found.stake),
                    att(found.bond_room)
                ),
                json!({"provider": found.provider.to_string(), "name": name, "gpus": gpus,
                    "price_per_gpu_hour": profile.price_per_gpu_hour.to_string(),
                    "stake": found.stake.to_string(), "bond_room": found.bond_room.to_string(),
                    "commission_millionths": found.commission.0, "status": format!("{:?}", found.status)}),
            );
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}

/// Every job that still waits for a provider, the newest first.
pub(crate) async fn list_open_jobs(at: &At, output: Output) -> Result<()> {
    let mut before = None;
    loop {
        let call = attune::runtime_apis().attune_api().open_jobs(before, PAGE);
        let page = at.runtime_apis().call(call).await?;
        for found in page.items {
            // These two are there for every job that waits.
            let (most, deadline) = (found.most.unwrap_or_default(), found.deadline.unwrap_or_default());
            let state = format!("{:?}", found.state);
            output.say(
                &format!("open job {}: {state}, at most {}, until block {deadline}", found.job, att(most)),
                json!({"open_job": found.job, "state": state, "customer": found.customer.to_string(),
                    "most": most.to_string(), "segments": found.segments, "deadline": deadline}),
            );
        }
        before = page.next;
        if before.is_none() {
            return Ok(());
        }
    }
}

/// What an account has in providers' pools: what it is worth, what can be claimed, and when the rest is free.
pub(crate) async fn list_stakes(at: &At, holder: AccountId, output: Output) -> Result<()> {
    let call = attune::runtime_apis().attune_api().account_overview(holder, Vec::new());
    for stake in at.runtime_apis().call(call).await?.stakes {
        let (worth, pending) = stake.delegation.map_or((0, 0), |found| (found.worth, found.pending_income));
        output.say(
            &format!("stake with {}: {} worth, {} to claim", stake.provider, att(worth), att(pending)),
            json!({"stake": stake.provider.to_string(), "worth": worth.to_string(),
                "pending_income": pending.to_string()}),
        );
        // The clock: a part is free at its block, unless something keeps all of it back.
        let obstacle = match stake.unbonding.obstacle {
            None => None,
            Some(Obstacle::SlashPending { until }) => Some(format!("a slash waits until block {until}")),
            Some(Obstacle::BacksBonds) => Some("it backs open jobs".to_owned()),
        };
        for part in stake.unbonding.chunks {
            let (worth, at, left) = (att(part.worth), part.unlock_at, part.blocks_left);
            let held_up = obstacle.as_ref().map(|why| format!("; but {why}")).unwrap_or_default();
            output.say(
                &format!("on its way out: {worth}, free at block {at}, in {left} blocks{held_up}"),
                json!({"unbonding": stake.provider.to_string(), "worth": part.worth.to_string(),
                    "unlock_at": at, "blocks_left": left, "obstacle": obstacle}),
            );
        }
    }
    Ok(())
}
