//! What workers do beside jobs, on live networks: they answer heartbeats, and compound income for delegators.
//!
//! Whom the chain asks for a heartbeat is drawn, one provider in six in each period of ten blocks. So the test waits for
//! what must come of it sooner or later: some of those with workers are asked and answer, some of those without are asked
//! and are absent. Three of each are enough that a period in which none of the three is asked has a chance of 0.58, and
//! all the periods of [`PATIENCE`] together less than one in a hundred thousand.

use std::path::{Path, PathBuf};

use attune_chain_client::{
    calls,
    primitives::BlockNumber,
    types::{BalanceInfo, DelegationInfo, ProviderInfo},
    Account, AccountId, View, Wait,
};

use crate::{
    network::{exact, until, Customer, Network, ATT, CLASSES},
    upgrade::export,
};

/// Slots of a second, so that a period takes ten.
const SLOT_MILLIS: u64 = 1_000;

/// For how many seconds chance may have it that nobody is asked.
const PATIENCE: u64 = 240;

/// The specification of the local network with short slots.
fn local_network(dir: &Path) -> PathBuf {
    let mut spec = export(dir, &[]);
    let timing = &mut spec["genesis"]["runtimeGenesis"]["patch"]["timing"];
    assert!(timing["slotMillis"].is_u64(), "{timing}");
    timing["slotMillis"] = SLOT_MILLIS.into();
    let path = dir.join("local.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    path
}

/// What the worker's key of provider `number` has.
async fn purse(view: &View, number: u32) -> BalanceInfo {
    let operator = Account::dev(&format!("//Provider{number}//operator")).unwrap().id();
    view.balance(&operator).await.unwrap()
}

/// These providers, as the chain has them.
async fn found(view: &View, providers: &[AccountId]) -> Vec<ProviderInfo> {
    let all = view.providers().await.unwrap();
    let wanted = all.into_iter().filter(|provider| providers.contains(&provider.account));
    let wanted: Vec<_> = wanted.collect();
    assert_eq!(wanted.len(), providers.len());
    wanted
}

/// Unbonds one ATT of the provider's own. Gives for how many blocks it is locked.
async fn lock_of_self_bond(network: &Network, number: u32) -> BlockNumber {
    let stash = network.submitter(&format!("//Provider{number}"));
    let done = stash.submit(&calls::unbond_self(ATT), Wait::Finalized).await.unwrap();
    let at = network.chain.client().at_block(done.block).await.unwrap().block_number();
    let view = network.chain.finalized().await.unwrap();
    let unbonding = view.unbonding(&stash.id(), &stash.id()).await.unwrap();
    let unlock_at = unbonding.last().expect("it has just begun to leave").unlock_at;
    unlock_at - u32::try_from(at).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_is_asked_for_is_answered_by_who_runs_and_whoever_is_gone_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let spec = local_network(dir.path());
    let network = &Network::three(dir, &spec).await;
    let mut workers: Vec<_> =
        (1..=4).map(|number| network.worker(number, CLASSES[number as usize % CLASSES.len()])).collect();
    let registrations = (1..=6).map(|number| async move {
        match number {
            1..=4 => network.register(number, CLASSES[0]).await,
            _ => network.register_at(number, CLASSES[0], "http://127.0.0.1:9".into()).await,
        }
    });
    let providers = futures::future::join_all(registrations).await;
    // The fourth stays registered and active, and its worker is gone. The last two never had one.
    workers.pop().expect("there are four").kill();
    let (running, gone) = providers.split_at(3);
    let before = network.chain.finalized().await.unwrap();
    assert!(found(&before, &providers).await.iter().all(|provider| provider.active));

    let (answered, absent) = until("an answer and an absence", PATIENCE, || async {
        let view = network.chain.finalized().await.unwrap();
        let answered = found(&view, running).await.iter().any(|one| one.reputation.heartbeats_answered > 0);
        let absent = found(&view, gone).await.into_iter().find(|one| one.absent_since.is_some());
        answered.then_some(view).zip(absent)
    })
    .await;
    assert_eq!(absent.reputation.heartbeats_answered, 0);
    assert!(absent.reputation.heartbeats_missed > 0 && absent.active, "{absent:?}");
    for one in found(&answered, gone).await {
        assert_eq!(one.reputation.heartbeats_answered, 0, "nobody answers for {}", one.account);
    }
    // On a machine that is busy with other things a worker may be late: then it answers in the next period.
    until("all with workers to be present", 60, || async {
        let view = network.chain.finalized().await.unwrap();
        found(&view, running).await.iter().all(|one| one.absent_since.is_none()).then_some(())
    })
    .await;
    for number in 1..=3 {
        let view = network.chain.finalized().await.unwrap();
        assert_eq!(purse(&view, number).await, purse(&before, number).await, "an answer costs nothing");
    }

    // Absence locks what leaves half as long again.
    let number = 1 + providers.iter().position(|one| *one == absent.account).expect("it is one of them");
    let number = u32::try_from(number).unwrap();
    let usual = before.constants().await.unwrap().unbonding_blocks;
    assert_eq!(lock_of_self_bond(network, number).await, usual + usual / 2);
    assert_eq!(lock_of_self_bond(network, 1).await, usual);

    // It is asked in every period until somebody answers.
    let _returned = network.worker(number, CLASSES[0]);
    let back = until("the absent provider to come back", 120, || async {
        let view = network.chain.finalized().await.unwrap();
        view.provider(&absent.account).await.unwrap().filter(|one| one.absent_since.is_none())
    })
    .await;
    assert!(back.reputation.heartbeats_answered > 0);
}

/// Pays the provider's pool: a customer cancels a job of 100 ATT that has begun. Its own operator begins it, and its worker
/// leaves it alone, because another version of the engine is asked for.
async fn pay_pool(network: &Network, provider: AccountId) {
    let mut customer = Customer::new(network, Some(provider), 1, exact()).await;
    customer.spec.engine_version += 1;
    customer.spec.max_price = 100 * ATT;
    let job = customer.order().await;
    let operator = network.submitter("//Provider1//operator");
    operator.submit(&calls::accept_job(job, 100 * ATT), Wait::Finalized).await.unwrap();
    operator.submit(&calls::start_job(job), Wait::Finalized).await.unwrap();
    customer.submitter.submit(&calls::cancel_job(job), Wait::Finalized).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn income_is_compounded_by_the_providers_worker_for_who_asked_for_it_and_costs_nobody_a_fee() {
    let network = Network::start().await;
    let _worker = network.worker(1, CLASSES[0]);
    let provider = network.register(1, CLASSES[0]).await;
    let (asks, leaves) = (network.submitter("//Delegator1"), network.submitter("//Delegator2"));
    for delegator in [&asks, &leaves] {
        delegator.submit(&calls::delegate(provider, 1_000 * ATT), Wait::Finalized).await.unwrap();
    }
    asks.submit(&calls::set_auto_compound(provider, true), Wait::Finalized).await.unwrap();
    let delegation = |who: AccountId| {
        let chain = network.chain.clone();
        async move {
            let found: Option<DelegationInfo> =
                chain.finalized().await.unwrap().delegation(&provider, &who).await.unwrap();
            found.expect("it delegates")
        }
    };
    let before = delegation(asks.id()).await;
    assert_eq!(before.claimable, 0);

    pay_pool(&network, provider).await;
    let income = delegation(leaves.id()).await.claimable;
    assert!(income > ATT, "the cancelled job has paid its provider's pool: {income}");
    let paid_out = purse(&network.chain.finalized().await.unwrap(), 1).await;
    let compounded = until("the worker to compound", 120, || async {
        let found = delegation(asks.id()).await;
        (found.worth > before.worth).then_some(found)
    })
    .await;
    assert_eq!(compounded.claimable, 0);
    // Both delegated the same, so both have earned the same. A planck is lost to rounding.
    assert!((income - 1..=income).contains(&(compounded.worth - before.worth)), "{compounded:?}");
    let view = network.chain.finalized().await.unwrap();
    assert_eq!(purse(&view, 1).await, paid_out, "the worker paid no fee");
    assert_eq!(delegation(leaves.id()).await.claimable, income, "who did not ask for it keeps its income");
}
