//! The upgrade of a running network: three validators begin with the previous runtime, and get this one while everybody
//! goes on with what they do.
//!
//! What has to hold: blocks and finality go on; no job, no stake and no planck is lost; every transaction of the load is
//! either in a block or refused with an error; the state is that of the new runtime; a worker that runs from before the
//! upgrade until after it finishes its job, and is paid.
//!
//! A runtime may change what a worker reads. Then the worker, which is of the new release, waits until the chain is, too;
//! the test sees which of the two it is and sets its job going before the upgrade or after it.

use std::{
    path::Path,
    process::Command,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

use attune_chain_client::{
    api, calls,
    primitives::{
        hashing::blake2_256,
        job::{JobTiming, Milestone},
        machine::JobState,
    },
    types::{DelegationInfo, JobInfo},
    Account, AccountId, Call, Chain, ChainEvent, Error, Submitter, View, Wait,
};
use serde_json::Value;

use crate::network::{exact, node_binary, share, until, Customer, Network, ATT, CLASSES};

/// The runtime of the release before this one.
const PREVIOUS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtime/previous/attune-1.compact.compressed.wasm");

/// Slots of a second, as on a development network: the upgrade takes as many blocks as ever, and the test less time.
const SLOT_MILLIS: u64 = 1_000;

/// The end of the key under which each pallet keeps its storage version.
const STORAGE_VERSION: &str = "4e7b9012096b41c4eb3aaf947f6ea429";

#[tokio::test(flavor = "multi_thread")]
async fn a_network_under_load_is_upgraded_and_loses_no_job_and_no_balance() {
    let dir = tempfile::tempdir().unwrap();
    let spec = previous_network(dir.path());
    let new = NewRuntime::of_the_node(dir.path());
    let network = Network::three(dir, &spec).await;
    let chain = &network.chain;
    let before = chain.finalized().await.unwrap().spec_version();
    assert!(before < new.spec_version, "the network begins with the previous runtime: {before}");
    let issued = issuance(&chain.finalized().await.unwrap()).await;

    let _workers: Vec<_> = (1..).zip(CLASSES).map(|(number, class)| network.worker(number, class)).collect();
    let load = Load::start(&network).await;
    let providers = register_providers(&network).await;
    let mut customer = Customer::new(&network, Some(providers[0]), 2, exact()).await;
    // One milestone: waiting for the randomness of one more epoch would show nothing else.
    let whole = Milestone { segments: 2, share: share(1_000_000) };
    customer.spec.milestones = vec![whole].try_into().unwrap();
    customer.spec.validate().unwrap();
    let trained = customer.order().await;
    let works_before = chain.finalized().await.unwrap().providers().await.is_ok();
    if works_before {
        begin_training(&network, &customer, trained).await;
    }
    let staker = Staker::make(&network, providers[4], providers[5]).await;
    let at_rest = JobsAtRest::make(&network, &customer, &providers).await;
    let claimable = staker.claimable(chain).await;
    assert!(claimable > 0, "the cancelled job has paid its provider's pool");
    let known = Snapshot::take(&chain.finalized().await.unwrap(), &at_rest).await;
    assert_eq!(known.issued, issued);

    new.authorize_and_apply(&network).await;
    let upgraded_at = until("the upgrade and its migrations", 60, || async {
        let view = chain.finalized().await.unwrap();
        let is_done = view.spec_version() == new.spec_version && !view.is_upgrading().await.unwrap();
        is_done.then_some(view)
    })
    .await;
    assert_eq!(Snapshot::take(&upgraded_at, &at_rest).await, known, "what nobody touched is as it was");
    new.check_storage_versions(&upgraded_at).await;
    let decoded = upgraded_at.providers().await.expect("every provider's entry decodes");
    assert_eq!(decoded.len(), providers.len());

    if !works_before {
        begin_training(&network, &customer, trained).await;
    }
    assert_eq!(staker.claim().await, claimable);
    staker.end_sponsorship(chain).await;
    at_rest.end(&network, &customer).await;
    // Its audits may have to be drawn a second time, where many networks share the machine.
    let ended = until("the job to end", 500, || async {
        let job = network.job(trained).await;
        job.state.is_terminal().then_some(job)
    })
    .await;
    assert_eq!((ended.state, ended.milestones_paid), (JobState::Finalized, 1), "trained, audited, paid");
    let view = chain.finalized().await.unwrap();
    assert!(view.record(trained).await.unwrap().is_some());

    load.stop_and_check(upgraded_at.number()).await;
    let view = chain.finalized().await.unwrap();
    assert_eq!(issuance(&view).await, issued, "nothing was made or lost");
    all_agree(&network, &view).await;
}

/// The specification of the local network with the previous runtime and short slots.
fn previous_network(dir: &Path) -> std::path::PathBuf {
    let mut spec = export(dir, &["--runtime", PREVIOUS]);
    let timing = &mut spec["genesis"]["runtimeGenesis"]["patch"]["timing"];
    assert!(timing["slotMillis"].is_u64(), "{timing}");
    timing["slotMillis"] = SLOT_MILLIS.into();
    let path = dir.join("previous.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    path
}

/// What the node exports of the chain `local`.
pub fn export(dir: &Path, more: &[&str]) -> Value {
    let path = dir.join("exported.json");
    let output = Command::new(node_binary())
        .args(["export-chain-spec", "--chain", "local", "--output"])
        .arg(&path)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    hex::decode(text.trim_start_matches("0x")).unwrap()
}

/// The runtime that the node's binary carries.
struct NewRuntime {
    code: Vec<u8>,
    spec_version: u32,
    /// Keys and values.
    storage_versions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl NewRuntime {
    fn of_the_node(dir: &Path) -> Self {
        let spec = export(dir, &["--raw"]);
        let top = spec["genesis"]["raw"]["top"].as_object().unwrap();
        let code = top[&format!("0x{}", hex::encode(":code"))].as_str().unwrap();
        let storage_versions: Vec<_> = top
            .iter()
            .filter(|(key, _)| key.ends_with(STORAGE_VERSION))
            .map(|(key, value)| (from_hex(key), from_hex(value.as_str().unwrap())))
            .collect();
        assert!(storage_versions.len() > 3, "each of our pallets with a layout has one");
        Self {
            code: from_hex(code),
            spec_version: attune_chain_client::BUILT_FOR_SPEC_VERSION,
            storage_versions,
        }
    }

    /// The administrator agrees to the code by its hash, and somebody else brings it.
    async fn authorize_and_apply(&self, network: &Network) {
        let agreed = calls::authorize_upgrade(blake2_256(&self.code));
        network.submitter("//Alice").submit(&agreed, Wait::Finalized).await.unwrap();
        let anyone = network.submitter("//Customer2");
        // Not waited for: the events of its block are the old runtime's, and the block's state has the new one.
        anyone.send(&calls::apply_upgrade(self.code.clone())).await.unwrap();
    }

    async fn check_storage_versions(&self, view: &View) {
        for (key, expected) in &self.storage_versions {
            let found = view.raw().storage().fetch_raw(key.clone()).await.unwrap_or_default();
            assert_eq!(found, *expected, "the storage version under {}", hex::encode(key));
        }
    }
}

/// Providers 1 to 3 have workers; 4 to 6 are driven by the test.
async fn register_providers(network: &Network) -> Vec<AccountId> {
    let registrations = (1..=6).map(|number| async move {
        let index = usize::try_from(number - 1).unwrap();
        match CLASSES.get(index) {
            Some(class) => network.register(number, class).await,
            None => network.register_at(number, CLASSES[0], "http://127.0.0.1:9".into()).await,
        }
    });
    futures::future::join_all(registrations).await
}

/// Gives the worker its inputs and waits until it has committed to something.
async fn begin_training(network: &Network, customer: &Customer, job: u64) {
    until("the job to be assigned", 60, || async {
        (network.job(job).await.state != JobState::Open).then_some(())
    })
    .await;
    customer.upload(&network.endpoint(1).await).await;
    until("the first commitment", 120, || async {
        let view = network.chain.finalized().await.unwrap();
        (!view.commitments(job).await.unwrap().is_empty()).then_some(())
    })
    .await;
}

/// Jobs that stand in their states while the chain is upgraded.
struct JobsAtRest {
    jobs: Vec<(u64, JobState)>,
}

impl JobsAtRest {
    /// One that is open, one assigned, one running, one cancelled while it ran.
    async fn make(network: &Network, customer: &Customer, providers: &[AccountId]) -> Self {
        let wanted =
            [(3, JobState::Open), (4, JobState::Assigned), (5, JobState::Running), (4, JobState::Cancelled)];
        // One submitter per account: what an account sends at the same time must take turns.
        let operators = [4, 5, 6].map(|number| network.submitter(&format!("//Provider{number}//operator")));
        let operators = &operators;
        let make = |(index, state): (usize, JobState)| async move {
            (Self::make_one(customer, providers[index], &operators[index - 3], state).await, state)
        };
        Self { jobs: futures::future::join_all(wanted.map(make)).await }
    }

    async fn make_one(
        customer: &Customer,
        provider: AccountId,
        operator: &Submitter,
        state: JobState,
    ) -> u64 {
        let mut spec = customer.spec.clone();
        spec.provider = Some(provider);
        spec.timing =
            JobTiming { bidding_blocks: 0, open_blocks: 900, start_blocks: 900, milestone_blocks: 900 };
        let price = spec.max_price;
        // Each step is another account's, which must find the one before: so it is final first.
        let created =
            customer.submitter.submit(&calls::create_job(spec, None), Wait::Finalized).await.unwrap();
        let is_created = |event| match event {
            ChainEvent::JobCreated { job, .. } => Some(job),
            _ => None,
        };
        let job = created.events().unwrap().into_iter().find_map(is_created).unwrap();
        if state != JobState::Open {
            operator.submit(&calls::accept_job(job, price), Wait::Finalized).await.unwrap();
        }
        if !matches!(state, JobState::Open | JobState::Assigned) {
            operator.submit(&calls::start_job(job), Wait::Finalized).await.unwrap();
        }
        if state == JobState::Cancelled {
            customer.submitter.submit(&calls::cancel_job(job), Wait::Finalized).await.unwrap();
        }
        job
    }

    /// After the upgrade each can still be ended, and its escrow goes back.
    async fn end(&self, network: &Network, customer: &Customer) {
        for (job, state) in &self.jobs {
            if !state.is_terminal() {
                customer.submitter.submit(&calls::cancel_job(*job), Wait::Finalized).await.unwrap();
            }
        }
        until("the jobs to be cancelled", 60, || async {
            for (job, _) in &self.jobs {
                if network.job(*job).await.state != JobState::Cancelled {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

/// A delegator with income that it does not claim, stake on its way out, stake that it has moved to another provider, and a
/// customer that it sponsors.
struct Staker {
    account: Submitter,
    provider: AccountId,
}

impl Staker {
    async fn make(network: &Network, provider: AccountId, other: AccountId) -> Self {
        let staker = Self { account: network.submitter("//Delegator1"), provider };
        staker.account.submit(&calls::delegate(provider, 100 * ATT), Wait::Finalized).await.unwrap();
        let shares = staker.delegation(&network.chain).await.shares;
        let expires_at = u32::MAX;
        for call in [
            calls::undelegate(provider, shares / 4),
            calls::redelegate(provider, other, shares / 4),
            calls::sponsor(sponsored(), 3 * ATT, ATT, expires_at),
        ] {
            staker.account.submit(&call, Wait::Finalized).await.unwrap();
        }
        staker
    }

    /// Its sponsorship can still be ended, and gives back what it holds.
    async fn end_sponsorship(&self, chain: &Chain) {
        let held = || async {
            let view = chain.finalized().await.unwrap();
            view.balance(&self.account.id()).await.unwrap().held
        };
        let before = held().await;
        let end = calls::end_sponsorship(self.account.id(), sponsored());
        self.account.submit(&end, Wait::Finalized).await.unwrap();
        assert!(held().await < before, "{before}");
    }

    async fn delegation(&self, chain: &Chain) -> DelegationInfo {
        let view = chain.finalized().await.unwrap();
        view.delegation(&self.provider, &self.account.id()).await.unwrap().expect("it has delegated")
    }

    /// The income that waits for it.
    async fn claimable(&self, chain: &Chain) -> u128 {
        self.delegation(chain).await.claimable
    }

    /// Takes the income; gives what came.
    async fn claim(&self) -> u128 {
        let included =
            self.account.submit(&calls::claim_income(self.provider), Wait::Finalized).await.unwrap();
        let claimed = included.events().unwrap().into_iter().find_map(|event| match event {
            ChainEvent::IncomeClaimed { amount, .. } => Some(amount),
            _ => None,
        });
        claimed.expect("there was something to claim")
    }
}

/// Who is sponsored.
fn sponsored() -> AccountId {
    Account::dev("//Dave//sponsored").unwrap().id()
}

/// What nobody touches while the chain is upgraded.
#[derive(Debug, PartialEq)]
struct Snapshot {
    jobs: Vec<String>,
    stakes: Vec<String>,
    issued: u128,
}

impl Snapshot {
    async fn take(view: &View, at_rest: &JobsAtRest) -> Self {
        let mut jobs = Vec::new();
        for (job, state) in &at_rest.jobs {
            let job: JobInfo = view.job(*job).await.unwrap().expect("no job is lost");
            assert_eq!(job.state, *state);
            jobs.push(format!("{job:?}"));
        }
        let delegator = Account::dev("//Delegator1").unwrap().id();
        let [provider, other] = ["//Provider5", "//Provider6"].map(|name| Account::dev(name).unwrap().id());
        let moved = view.delegation(&other, &delegator).await.unwrap().unwrap();
        assert!(moved.lien.is_some(), "moved stake answers for its old provider: {moved:?}");
        let sponsorships = view.sponsorships(&delegator).await.unwrap();
        assert_eq!(sponsorships.len(), 1, "{sponsorships:?}");
        let stakes = vec![
            format!("{:?}", view.delegation(&provider, &delegator).await.unwrap().unwrap()),
            format!("{:?}", view.unbonding(&provider, &delegator).await.unwrap()),
            format!("{:?}", view.balance(&provider).await.unwrap().held),
            format!("{:?}", view.balance(&delegator).await.unwrap().held),
            format!("{moved:?}"),
            format!("{sponsorships:?}"),
        ];
        assert_ne!(stakes[1], "[]", "stake is on its way out");
        Self { jobs, stakes, issued: issuance(view).await }
    }
}

/// What was issued; it has to be what all accounts have.
async fn issuance(view: &View) -> u128 {
    let storage = view.raw().storage();
    let issued = storage.fetch(api::storage().balances().total_issuance(), ()).await.unwrap();
    let mut owned = 0;
    let mut accounts = storage.iter(api::storage().system().account(), ()).await.unwrap();
    while let Some(entry) = accounts.next().await {
        let account = entry.unwrap().value().decode().unwrap();
        owned += account.data.free + account.data.reserved;
    }
    let issued: u128 = issued.decode().unwrap();
    assert_eq!(owned, issued, "what accounts have is what was issued");
    issued
}

/// All three validators have the same final chain.
async fn all_agree(network: &Network, view: &View) {
    for chain in network.other_chains().await {
        until("the other validators", 60, || async {
            (chain.finalized().await.unwrap().number() >= view.number()).then_some(())
        })
        .await;
        let theirs = chain.client().at_block(u64::from(view.number())).await.unwrap().block_hash();
        assert_eq!(theirs, view.hash(), "block {}", view.number());
    }
}

/// Accounts that pay and delegate without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    chain: Chain,
    payers: Vec<(AccountId, tokio::task::JoinHandle<Tally>)>,
    delegator: (AccountId, tokio::task::JoinHandle<Tally>),
}

/// What became of a sender's transactions.
#[derive(Debug, Default)]
struct Tally {
    /// Sum of those that are in a final block.
    moved: u128,
    /// The blocks before which each of them began.
    included_from: Vec<u32>,
    /// Why the others are in none.
    refused: Vec<String>,
}

impl Load {
    async fn start(network: &Network) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let payers = ["//Bob", "//Charlie", "//Dave", "//Eve", "//Ferdie"].map(|name| {
            let to = Account::dev(&format!("{name}//recipient")).unwrap().id();
            let sender = network.submitter(name);
            let call = move |amount| calls::transfer(to, amount);
            (to, tokio::spawn(send_until(stop.clone(), sender, call)))
        });
        // A provider of its own, so that no income mixes with what it delegates.
        let provider = Account::dev("//Provider6").unwrap().id();
        let sender = network.submitter("//Delegator2");
        let id = sender.id();
        let call = move |amount| calls::delegate(provider, amount);
        let delegating = tokio::spawn(send_until(stop.clone(), sender, call));
        Self { stop, chain: network.chain.clone(), payers: payers.into(), delegator: (id, delegating) }
    }

    /// Every payee has what was paid to it, and every delegation is on hold.
    async fn stop_and_check(self, upgraded_at: u32) {
        self.stop.store(true, Ordering::Relaxed);
        let view = |at: &Chain| {
            let at = at.clone();
            async move { at.finalized().await.unwrap() }
        };
        let check = |tally: &Tally, who: &AccountId| {
            let (early, late): (Vec<u32>, Vec<u32>) =
                tally.included_from.iter().partition(|from| **from < upgraded_at);
            println!("{who}: {} before, {} after, refused {:?}", early.len(), late.len(), tally.refused);
            assert!(
                !early.is_empty() && !late.is_empty(),
                "{who}: before the upgrade and after it: {tally:?}"
            );
        };
        for (to, paying) in self.payers {
            let tally = paying.await.unwrap();
            check(&tally, &to);
            assert_eq!(view(&self.chain).await.balance(&to).await.unwrap().total(), tally.moved, "{tally:?}");
        }
        let (who, delegating) = self.delegator;
        let tally = delegating.await.unwrap();
        check(&tally, &who);
        let delegated = view(&self.chain).await.delegations_of(&who).await.unwrap();
        let worth: u128 = delegated.iter().map(|delegation| delegation.worth).sum();
        // Shares are rounded down, once for each delegation.
        let least = tally.moved - u128::try_from(tally.included_from.len()).unwrap();
        assert!((least..=tally.moved).contains(&worth), "{worth} of {tally:?}");
    }
}

/// Sends one transaction after the other, and finds out of each what became of it: the account's nonce says whether it is in
/// a block, whatever the node said.
async fn send_until(stop: Arc<AtomicBool>, sender: Submitter, call: impl Fn(u128) -> Call) -> Tally {
    let mut tally = Tally::default();
    let chain = sender.chain().clone();
    let id = sender.id();
    let nonce = async || {
        until("a transaction's fate", 90, || async {
            (chain.is_settled(&id).await.ok()? && !chain.finalized().await.ok()?.is_upgrading().await.ok()?)
                .then_some(())
        })
        .await;
        let view = chain.finalized().await.unwrap();
        (view.raw().transactions().account_nonce(&id).await.unwrap(), view.number())
    };
    let (mut known, mut from) = nonce().await;
    while !stop.load(Ordering::Relaxed) {
        // Each another amount: none can pass for another.
        let amount = ATT + u128::from(known);
        let said = sender.submit(&call(amount), Wait::Finalized).await;
        let (now, number) = nonce().await;
        match (now - known, said) {
            (1, Ok(_) | Err(Error::FateUnknown { .. })) => {
                tally.moved += amount;
                tally.included_from.push(from);
            }
            // The delegations begin before there is a provider to delegate to.
            (1, Err(Error::Rejected(refused))) => tally.refused.push(refused.to_string()),
            (0, Err(error)) => tally.refused.push(error.to_string()),
            (more, said) => panic!("{more} transactions in blocks, of one that was said to be {said:?}"),
        }
        (known, from) = (now, number);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tally
}
