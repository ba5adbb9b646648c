//! A provider that submits a wrong result on a real network: it loses its bond and its pay, and the customer loses nothing.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        mpsc::{channel, Sender},
        Arc,
    },
    thread,
    time::Duration,
};

use crate::support::{planck, rows_of, Network, ATT};
use attune_chain_client::{Account, H256};
use attune_worker::{
    engine::{SegmentOutcome, Step, TrainError, Trainer, Training, TrainingJob},
    torch::TorchTrainer,
    Worker, WorkerConfig,
};
use serde_json::Value;

/// The real trainer, but for one bit of what it claims to have come out.
struct Cheat(TorchTrainer);

struct CheatingTraining {
    honest: Box<dyn Training>,
    /// True once a segment lies behind: from then on its claims are wrong, and fit each other.
    lies: bool,
}

impl CheatingTraining {
    fn claim(&self, mut root: H256) -> H256 {
        root.0[0] ^= u8::from(self.lies);
        root
    }
}

impl Trainer for Cheat {
    fn open(&self, job: &TrainingJob, checkpoint: Option<&Path>) -> Result<Box<dyn Training>, TrainError> {
        Ok(Box::new(CheatingTraining { honest: self.0.open(job, checkpoint)?, lies: checkpoint.is_some() }))
    }
}

impl Training for CheatingTraining {
    fn state_root(&self) -> Result<H256, TrainError> {
        Ok(self.claim(self.honest.state_root()?))
    }

    fn run_segment(
        &mut self,
        on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<SegmentOutcome, TrainError> {
        let honest = self.honest.run_segment(on_step)?;
        let start_root = self.claim(honest.start_root);
        self.lies = true;
        Ok(SegmentOutcome { start_root, end_root: self.claim(honest.end_root), ..honest })
    }

    fn save_checkpoint(&self, path: &Path) -> Result<(), TrainError> {
        self.honest.save_checkpoint(path)
    }

    fn export(&self, dir: &Path, base_model: &str) -> Result<(), TrainError> {
        self.honest.export(dir, base_model)
    }
}

/// A worker in this process, stopped with this.
struct CheatingWorker {
    url: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl CheatingWorker {
    fn start(operator: &'static str, node: String, folder: &Path) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = channel();
        let base_dir = folder.join("cheat");
        let thread = thread::spawn(move || run(operator, node, &base_dir, &ready, stopped));
        let url = is_ready.recv_timeout(Duration::from_secs(60)).expect("the worker binds its address");
        CheatingWorker { url, stop: Some(stop), thread: Some(thread) }
    }
}

fn run(
    operator: &str,
    node: String,
    base_dir: &Path,
    ready: &Sender<String>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let class = attune_trainer::ExecutionClass::detect(1).unwrap();
    let trainer = Cheat(TorchTrainer::pin(class).unwrap());
    let config = WorkerConfig {
        node,
        base_dir: base_dir.to_path_buf(),
        account: Account::dev(operator).unwrap(),
        bind: "127.0.0.1:0".parse().unwrap(),
        public_url: None,
        class: class.to_string(),
        price_floor: 0,
        max_jobs: 1,
        push_others: false,
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let worker = Worker::set_up(config, Arc::new(trainer), 1_000).await.unwrap();
        ready.send(worker.endpoint().to_string()).unwrap();
        worker.run(async { drop(stopped.await) }).await.unwrap();
    });
}

impl Drop for CheatingWorker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_provider_that_submits_a_wrong_result_loses_its_bond_and_its_pay() {
    // Two honest workers: one is drawn first, its mismatch makes the other one the committee.
    let network = Network::with_providers(2);
    let profile = &network.profile;
    let node = profile.json(&["net", "status"])["node_rpc"].as_str().unwrap().to_string();
    let cheat = CheatingWorker::start("//Provider3//operator", node, profile.path());
    network.register_at(3, &cheat.url);

    let train = rows_of("train.jsonl", 160, profile.path()).display().to_string();
    let held_out = rows_of("held_out.jsonl", 16, profile.path()).display().to_string();
    let customer_before = profile.total("//Customer");
    let provider_before = profile.total("//Provider3");
    let auditors_before: u128 = ["//Provider1", "//Provider2"].iter().map(|who| profile.total(who)).sum();
    let stake_before = stake(&network);
    let data = ["--data", &train, "--held-out", &held_out, "--sequence-length", "128"];
    let terms = [
        "--epochs",
        "1",
        "--milestones",
        "1",
        "--segments",
        "2",
        "--auditors",
        "1",
        "--provider",
        "//Provider3",
    ];
    let who = ["--yes", "--dev-key", "//Customer"];
    let said = profile.fails(&[&["train", "--model", "base"][..], &data, &terms, &who].concat());
    assert!(
        said.contains("a committee found that the provider's result is not what training gives"),
        "{said}"
    );
    assert!(said.contains("a slash of its bond is booked"), "{said}");

    let job = profile.json(&["jobs", "list", "--of", "//Customer"])[0].clone();
    assert_eq!(job["state"]["reason"], "WrongResult", "{job}");
    assert_eq!(job["state"]["party"], "provider");
    assert_eq!(job["milestones_paid"], 0);
    let bond = planck(&job["assignment"]["bond"]);
    assert!(bond > 0, "{job}");
    // A slash waits, in case it was a mistake: until then the stake is there, and nothing of it can leave.
    assert_eq!(stake(&network), stake_before);
    let pending = network.pending_slashes("//Provider3");
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(planck(&pending[0]["amount"]), bond, "the whole bond");
    assert_eq!(pending[0]["job"], job["id"]);
    let number = pending[0]["slash"].to_string();
    let early = profile.fails(&["slashes", "apply", "//Provider3", &number, "--dev-key", "//Customer2"]);
    assert!(early.contains("can still be cancelled; it can be applied from block"), "{early}");
    let spent = customer_before - profile.total("//Customer");
    assert!(spent >= 2 * planck(&job["spec"]["audit_fee"]), "not compensated yet: spent {spent}");
    network.wait_for_slashes("//Provider3");
    assert_eq!(stake_before - stake(&network), bond, "the whole bond is gone from the provider's stake");
    assert_eq!(profile.total("//Provider3"), provider_before, "no pay");
    let audit_fee = planck(&job["spec"]["audit_fee"]);
    let auditors_after: u128 = ["//Provider1", "//Provider2"].iter().map(|who| profile.total(who)).sum();
    assert_eq!(auditors_after - auditors_before, 2 * audit_fee, "both who re-executed are paid");
    // The bond made good what the audits cost; what is left are the fees of the customer's own transactions.
    let lost = customer_before - profile.total("//Customer");
    assert!(lost < ATT / 10, "the customer lost {lost} planck");
    let provider = profile.json(&["providers", "show", "//Provider3"]);
    assert_eq!(provider["reputation"]["jobs_failed"], 1);
    assert_eq!(profile.json(&["records", "list"]), Value::Array(Vec::new()), "a failed job has no record");
}

/// Stake of the cheating provider, in planck.
fn stake(network: &Network) -> u128 {
    let provider = network.profile.json(&["providers", "show", "//Provider3"]);
    planck(&provider["pool"]["self_bond"]) + planck(&provider["pool"]["active"]["balance"])
}
