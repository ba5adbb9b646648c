//! Whole jobs on a development node: an honest one in exact arithmetic with a worker that is killed in between, a
//! cheat in class-exact arithmetic, and one that is trained while the chain is upgraded. And what workers do beside jobs.

#[allow(unreachable_pub, reason = "a module of one test")]
mod network;
#[allow(unreachable_pub, reason = "what another module of this test uses")]
mod upgrade;
mod upkeep;

use std::{ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use attune_chain_client::{
    calls,
    primitives::{
        machine::{Failure, JobState},
        proof::Verdict,
        H256,
    },
    Account, Wait,
};
use attune_store::{FetchLimits, Fetcher, LocalStore};
use attune_worker::{
    engine::{SegmentOutcome, Step, TrainError, Trainer, Training, TrainingJob},
    torch::TorchTrainer,
    RequestSigner, Worker, WorkerConfig,
};
use network::{class_exact, exact, until, Customer, Network, CLASSES};

/// The states in which a job is alive.
fn is_over(state: JobState) -> bool {
    state.is_terminal()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_trained_audited_paid_and_recorded_although_its_worker_is_killed_twice() {
    let network = Network::start().await;
    // Three workers of three classes: in exact arithmetic each can audit what any other trained.
    let mut workers: Vec<_> =
        (1..).zip(CLASSES).map(|(number, class)| network.worker(number, class)).collect();
    let provider = network.register(1, CLASSES[0]).await;
    network.register(2, CLASSES[1]).await;
    network.register(3, CLASSES[2]).await;
    let customer = Customer::new(&network, Some(provider), 2, exact()).await;
    let before = network.chain.finalized().await.unwrap().balance(&customer.submitter.id()).await.unwrap();
    let job = customer.order().await;
    until("the job to be assigned", 60, || async {
        (network.job(job).await.state != JobState::Open).then_some(())
    })
    .await;
    // Killed while it waits for the inputs.
    workers[0].kill();
    workers[0] = network.worker(1, CLASSES[0]);
    customer.upload(&network.endpoint(1).await).await;
    until("the first commitment", 120, || async {
        let view = network.chain.finalized().await.unwrap();
        (!view.commitments(job).await.unwrap().is_empty()).then_some(())
    })
    .await;
    // Killed while it trains and commits.
    workers[0].kill();
    workers[0] = network.worker(1, CLASSES[0]);
    let ended = until("the job to end", 300, || async {
        let job = network.job(job).await;
        is_over(job.state).then_some(job)
    })
    .await;
    assert_eq!(ended.state, JobState::Finalized);
    assert_eq!(ended.milestones_paid, 2);

    let view = network.chain.finalized().await.unwrap();
    let record = view.record(job).await.unwrap().expect("a finalized job has a record").record;
    assert_eq!((record.customer, record.provider, record.steps), (customer.submitter.id(), provider, 8));
    // One segment of each milestone, by both other providers.
    assert_eq!(record.audits.len(), 4);
    assert!(record
        .audits
        .iter()
        .all(|entry| entry.verdict == Some(Verdict::Match) && entry.auditor != provider));
    let (loss_before, loss_after) = (record.loss_before_micro.unwrap(), record.loss_after_micro.unwrap());
    assert!(loss_after < loss_before, "training helps: {loss_before} to {loss_after}");
    let price = ended.assignment.unwrap().price;
    assert_eq!(record.price, price);
    let after = view.balance(&customer.submitter.id()).await.unwrap();
    let paid = before.total() - after.total();
    let fees = paid - price - 4 * customer.spec.audit_fee;
    assert!(fees < network::ATT, "the customer pays price and audits, and small fees: {fees}");

    // The adapter is the customer's.
    let place = network.dir.path().join("adapter");
    let peers = [network.endpoint(1).await.parse().unwrap()];
    let id = record.adapter.0.into();
    until("the adapter", 30, || async {
        customer.fetcher.fetch_dir(&id, &peers, &Default::default(), &place, &|_| {}).await.ok()
    })
    .await;
    assert!(place.join("adapter_model.safetensors").is_file());

    // It stays so when nothing but the record is left of the job, for a worker that never saw anything else, too.
    let closed_at = ended.closed_at.expect("a finalized job was closed");
    let prunable = closed_at + view.constants().await.unwrap().prune_after;
    until("the job to be prunable", 120, || async {
        (network.chain.finalized().await.unwrap().number() > prunable).then_some(())
    })
    .await;
    customer.submitter.submit(&calls::prune_job(job), Wait::Finalized).await.unwrap();
    let view = network.chain.finalized().await.unwrap();
    assert!(view.job(job).await.unwrap().is_none() && view.record(job).await.unwrap().is_some());
    workers[0].kill();
    workers[0] = network.worker(1, CLASSES[0]);
    let fetch = async |uri: &str| {
        let peers = [network.endpoint(1).await.parse().unwrap()];
        // A store of its own: what is there already would not be asked for.
        let place = tempfile::tempdir().unwrap();
        let store = LocalStore::open(place.path().join("store")).unwrap();
        let signer = Arc::new(RequestSigner(Account::dev(uri).unwrap()));
        let fetcher = Fetcher::new(store, signer, FetchLimits::default()).unwrap();
        fetcher.fetch_dir(&id, &peers, &Default::default(), place.path().join("adapter"), &|_| {}).await
    };
    until("the adapter of a pruned job", 60, || async { fetch("//Customer").await.ok() }).await;
    fetch("//Provider1").await.expect("the provider is entitled, too");
    fetch("//Bob").await.expect_err("nobody else is");
}

/// Trains as it should and reports another state.
struct Cheat(TorchTrainer);

struct CheatTraining(Box<dyn Training>);

impl Trainer for Cheat {
    fn open(&self, job: &TrainingJob, checkpoint: Option<&Path>) -> Result<Box<dyn Training>, TrainError> {
        Ok(Box::new(CheatTraining(self.0.open(job, checkpoint)?)))
    }
}

impl Training for CheatTraining {
    fn state_root(&self) -> Result<H256, TrainError> {
        self.0.state_root().map(lie)
    }

    fn run_segment(
        &mut self,
        on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<SegmentOutcome, TrainError> {
        self.0
            .run_segment(on_step)
            .map(|outcome| SegmentOutcome { end_root: lie(outcome.end_root), ..outcome })
    }

    fn save_checkpoint(&self, path: &Path) -> Result<(), TrainError> {
        self.0.save_checkpoint(path)
    }

    fn export(&self, dir: &Path, base_model: &str) -> Result<(), TrainError> {
        self.0.export(dir, base_model)
    }
}

fn lie(mut root: H256) -> H256 {
    root.0[0] ^= 1;
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_reports_a_wrong_result_in_its_class_loses_its_bond_and_its_pay() {
    let network = Network::start().await;
    let class = CLASSES[0];
    let _honest: Vec<_> = (2..=4).map(|number| network.worker(number, class)).collect();
    let config = WorkerConfig {
        node: network.url.clone(),
        base_dir: network.worker_dir(1),
        account: Account::dev("//Provider1//operator").unwrap(),
        bind: "127.0.0.1:0".parse().unwrap(),
        public_url: None,
        class: class.into(),
        price_floor: 0,
        max_jobs: 1,
        push_others: true,
    };
    let trainer = Arc::new(Cheat(TorchTrainer::pin(class.parse().unwrap()).unwrap()));
    let cheat = Worker::set_up(config, trainer, 1_000).await.unwrap();
    let endpoint = cheat.endpoint().to_owned();
    let cheating = tokio::spawn(cheat.run(std::future::pending()));
    let provider = network.register(1, class).await;
    for number in 2..=4 {
        network.register(number, class).await;
    }
    let stake = network.chain.finalized().await.unwrap().pool(&provider).await.unwrap().unwrap().self_bond;
    let customer = Customer::new(&network, Some(provider), 1, class_exact(class)).await;
    let job = customer.order().await;
    until("the job to be assigned", 60, || async {
        (network.job(job).await.state != JobState::Open).then_some(())
    })
    .await;
    customer.upload(&endpoint).await;
    let ended = until("the job to end", 300, || async {
        let job = network.job(job).await;
        is_over(job.state).then_some(job)
    })
    .await;
    assert!(!cheating.is_finished(), "the cheating worker is still there");
    assert_eq!(ended.state, JobState::Failed(Failure::WrongResult));
    assert_eq!(ended.milestones_paid, 0);
    let bond = ended.assignment.unwrap().bond;
    let view = network.chain.finalized().await.unwrap();
    let slash = match view.pending_slashes(&provider).await.unwrap()[..] {
        [slash] => slash,
        ref other => panic!("expected one slash that waits, found {other:?}"),
    };
    assert_eq!((slash.job, slash.amount), (Some(job), bond));
    let pool = || async { network.chain.finalized().await.unwrap().pool(&provider).await.unwrap().unwrap() };
    let waiting = pool().await;
    assert_eq!((waiting.self_bond, waiting.locked), (stake, bond), "the slash waits, and the stake with it");
    until("an honest worker to apply the slash", 240, || async {
        let view = network.chain.finalized().await.unwrap();
        let waiting = view.pending_slashes(&provider).await.unwrap();
        assert!(!waiting.is_empty() || view.number() >= slash.apply_at, "not before its time");
        waiting.is_empty().then_some(())
    })
    .await;
    let left = pool().await;
    assert_eq!((left.self_bond, left.locked), (stake - bond, 0));
    let view = network.chain.finalized().await.unwrap();
    let done = view.provider(&provider).await.unwrap().unwrap().reputation;
    assert_eq!((done.jobs_finished, done.jobs_failed), (0, 1));
    assert!(view.record(job).await.unwrap().is_none());
    cheating.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_its_node() {
    let mut network = Network::start().await;
    let mut blocks = network.chain.finalized_blocks();
    let first = blocks.next().await.number();
    network.restart_node();
    let later = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            let number = blocks.next().await.number();
            if number > first + 2 {
                return number;
            }
        }
    });
    later.await.expect("the restarted node's finalized blocks go on");
    let (alice, bob) = (network.submitter("//Alice"), Account::dev("//Bob").unwrap().id());
    let balance = |view: attune_chain_client::View| async move { view.balance(&bob).await.unwrap().free };
    let before = balance(network.chain.finalized().await.unwrap()).await;
    alice.submit(&calls::transfer(bob, network::ATT), Wait::Finalized).await.unwrap();
    assert_eq!(balance(network.chain.finalized().await.unwrap()).await, before + network::ATT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_says_what_to_change_and_nonces_never_collide() {
    let network = Network::start().await;
    let customer = network.submitter("//Customer");
    let refused = customer.submit(&calls::prune_job(77), Wait::InBlock).await.unwrap_err();
    assert!(refused.rejected_with("JobEscrow", "UnknownJob"), "{refused}");
    assert!(refused.to_string().contains("attune jobs list"), "{refused}");
    let bob = Account::dev("//Bob").unwrap().id();
    let sends = (0..20).map(|_| {
        let (customer, call) = (customer.clone(), calls::transfer(bob, network::ATT));
        tokio::spawn(async move { customer.submit(&call, Wait::InBlock).await.map(|_| ()) })
    });
    for sent in futures::future::join_all(sends).await {
        sent.unwrap().unwrap();
    }
}
