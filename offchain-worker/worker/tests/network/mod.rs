//! A development node, three providers with workers of their own, and a customer with a small job.
//!
//! Or three validators with a chain specification of their own, for what a single node can't show.
//!
//! The node is the binary that `ATTUNE_NODE` names, or `attune-node` beside the test's own target folder.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use attune_chain_client::{
    calls,
    primitives::{job::*, provider::*, H256},
    types::{JobInfo, NewModel, Spec},
    Account, AccountId, Chain, ChainEvent, Submitter, Wait,
};
use attune_store::{FetchLimits, Fetcher, LocalStore, Url};
use attune_trainer::{
    arithmetic::EXACT_VERSION,
    data::{PackedData, Split, IGNORE},
    pretrain::{PretrainConfig, Pretraining},
    spec::ModelSpec,
};
use attune_worker::RequestSigner;

/// One token.
pub const ATT: u128 = 1_000_000_000_000;
/// Execution classes, which differ in their number of threads: an exact job doesn't care, a class-exact one does.
pub const CLASSES: [&str; 3] =
    ["cpu-torch2.11.0-avx2-t1-f32", "cpu-torch2.11.0-avx2-t2-f32", "cpu-torch2.11.0-avx2-t3-f32"];

/// A process that ends with the test.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let errors = file.try_clone().unwrap();
        Self(command.stdout(file).stderr(errors).stdin(Stdio::null()).spawn().unwrap())
    }

    /// kill -9: no chance to say goodbye.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    seconds: u64,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "expected {what} within {seconds} s");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Where the node's binary is.
pub fn node_binary() -> PathBuf {
    let found = std::env::var_os("ATTUNE_NODE").map(PathBuf::from).or_else(|| {
        let test = std::env::current_exe().ok()?;
        Some(test.ancestors().nth(2)?.join("attune-node"))
    });
    let path = found.unwrap_or_default();
    assert!(
        path.is_file(),
        "expected the node's binary at {}; build it with `cargo build -p attune-node`, or name it in ATTUNE_NODE",
        path.display()
    );
    path
}

/// A port that was free a moment ago, and another one at each call. Below those that Linux gives to outgoing connections,
/// one of which may be taken before who it was chosen for listens.
fn free_port() -> u16 {
    const RANGE: std::ops::Range<u32> = 10_000..32_768;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(7_919);
    let candidates = std::iter::repeat_with(|| {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(RANGE.start + next % (RANGE.end - RANGE.start)).unwrap()
    });
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(1_000).find(is_free).expect("one of a thousand ports is free")
}

/// A solo development node, or three validators.
pub struct Network {
    pub dir: tempfile::TempDir,
    pub url: String,
    pub chain: Chain,
    node: Process,
    ports: [u16; 2],
    others: Vec<(String, Process)>,
}

fn start_node(dir: &Path, [rpc, peers]: [u16; 2]) -> Process {
    let mut command = Command::new(node_binary());
    command.args(["--dev", "--base-path"]).arg(dir.join("node"));
    command.args(["--rpc-port", &rpc.to_string(), "--port", &peers.to_string()]);
    command.args(["--no-telemetry", "--no-prometheus", "--no-mdns"]);
    Process::start(&mut command, &dir.join("node.log"))
}

/// The network key of the first of three validators, and the name by which the others find it.
const FIRST_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const FIRST_PEER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

fn start_validator(dir: &Path, name: &str, spec: &Path, [rpc, peers]: [u16; 2], first: u16) -> Process {
    let mut command = Command::new(node_binary());
    command.arg("--chain").arg(spec).arg(format!("--{name}")).arg("--base-path").arg(dir.join(name));
    command.args(["--rpc-port", &rpc.to_string(), "--no-telemetry", "--no-prometheus", "--no-mdns"]);
    command.args(["--listen-addr", &format!("/ip4/127.0.0.1/tcp/{peers}")]);
    if peers == first {
        command.args(["--node-key", FIRST_KEY]);
    } else {
        command.arg("--unsafe-force-node-key-generation");
        command.args(["--bootnodes", &format!("/ip4/127.0.0.1/tcp/{first}/p2p/{FIRST_PEER}")]);
    }
    Process::start(&mut command, &dir.join(format!("{name}.log")))
}

async fn connect(url: &str) -> Chain {
    tokio::time::timeout(Duration::from_secs(60), Chain::connect_when_there(url))
        .await
        .expect("the node answers within a minute")
        .unwrap()
}

impl Network {
    /// Three validators, which begin with this chain specification.
    pub async fn three(dir: tempfile::TempDir, spec: &Path) -> Self {
        let first = [free_port(), free_port()];
        let node = start_validator(dir.path(), "alice", spec, first, first[1]);
        let others = ["bob", "charlie"].map(|name| {
            let ports = [free_port(), free_port()];
            let process = start_validator(dir.path(), name, spec, ports, first[1]);
            (format!("ws://127.0.0.1:{}", ports[0]), process)
        });
        let url = format!("ws://127.0.0.1:{}", first[0]);
        let chain = connect(&url).await;
        Self { dir, url, chain, node, ports: first, others: others.into() }
    }

    /// Connections to the other two of three validators.
    pub async fn other_chains(&self) -> Vec<Chain> {
        futures::future::join_all(self.others.iter().map(|(url, _)| connect(url))).await
    }

    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port()];
        let node = start_node(dir.path(), ports);
        let url = format!("ws://127.0.0.1:{}", ports[0]);
        let chain = connect(&url).await;
        Self { dir, url, chain, node, ports, others: Vec::new() }
    }

    /// Kills the node and starts it again with its database, on the same ports.
    pub fn restart_node(&mut self) {
        self.node.kill();
        self.node = start_node(self.dir.path(), self.ports);
    }

    pub fn submitter(&self, uri: &str) -> Submitter {
        Submitter::new(self.chain.clone(), Account::dev(uri).unwrap()).unwrap()
    }

    /// The folder of worker `number`.
    pub fn worker_dir(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("worker{number}"))
    }

    /// Starts the worker's binary for provider `number`, pinned to a class.
    pub fn worker(&self, number: u32, class: &str) -> Process {
        let dir = self.worker_dir(number);
        std::fs::create_dir_all(&dir).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_attune-worker"));
        command
            .args(["run", "--node", &self.url, "--class", class, "--base-dir"])
            .arg(&dir)
            .args(["--dev-key", &format!("//Provider{number}//operator")]);
        let log = self.dir.path().join(format!("worker{number}-{}.log", free_port()));
        Process::start(&mut command, &log)
    }

    /// Waits for the worker's endpoint.
    pub async fn endpoint(&self, number: u32) -> String {
        let path = self.worker_dir(number).join("endpoint");
        until("the worker's endpoint", 120, || async {
            std::fs::read_to_string(&path)
                .ok()
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        })
        .await
    }

    /// Registers provider `number` with its worker's endpoint and class.
    pub async fn register(&self, number: u32, class: &str) -> AccountId {
        let endpoint = self.endpoint(number).await;
        self.register_at(number, class, endpoint).await
    }

    /// Registers provider `number` with an endpoint and a class.
    pub async fn register_at(&self, number: u32, class: &str, endpoint: String) -> AccountId {
        let provider = self.submitter(&format!("//Provider{number}"));
        let operator = Account::dev(&format!("//Provider{number}//operator")).unwrap().id();
        let profile = ProviderProfile {
            name: format!("Provider {number}").into_bytes().try_into().unwrap(),
            endpoint: endpoint.into_bytes().try_into().unwrap(),
            class: class.as_bytes().to_vec().try_into().unwrap(),
            exact_version: EXACT_VERSION,
            hardware: Hardware {
                model: b"test".to_vec().try_into().unwrap(),
                accelerators: 0,
                memory_mib: 1,
            },
            price_per_gpu_hour: ATT,
            tokens_per_second: 1_000,
        };
        let call = calls::register_provider(profile, 100_000, operator, 1_000 * ATT);
        provider.submit(&call, Wait::Finalized).await.unwrap();
        provider.id()
    }

    pub async fn job(&self, id: u64) -> JobInfo {
        self.chain.finalized().await.unwrap().job(id).await.unwrap().expect("the job is not pruned yet")
    }
}

/// A customer with a model, data, and a store.
pub struct Customer {
    pub submitter: Submitter,
    pub fetcher: Fetcher,
    pub model: H256,
    pub spec: Spec,
}

impl Customer {
    /// Makes a tiny model and data, registers the model, and writes the specification of a job for one provider: two
    /// milestones of two segments of two steps.
    pub async fn new(
        network: &Network,
        provider: Option<AccountId>,
        auditors: u8,
        mode: ArithmeticMode,
    ) -> Self {
        let submitter = network.submitter("//Customer");
        let dir = network.dir.path().join("customer");
        let store = LocalStore::open(dir.join("store")).unwrap();
        let (model_dir, data_dir) = (dir.join("model"), dir.join("data"));
        // libtorch starts in a thread of its own: its settings belong to a thread.
        let place = model_dir.clone();
        std::thread::spawn(move || make_model(&place)).join().unwrap();
        let data = packed();
        data.write(&data_dir).unwrap();
        let (model, root) = (store.put_dir(&model_dir).unwrap(), store.put_dir(&data_dir).unwrap());
        let size = |id| store.manifest(id, &Default::default()).unwrap().total_bytes();
        let new_model = NewModel {
            name: "tiny".into(),
            architecture: "llama".into(),
            parameters: 1,
            artifact: H256(model.into()),
            artifact_bytes: size(&model),
            tokenizer: H256::zero(),
            licence: "Apache-2.0".into(),
        };
        let included = submitter.submit(&calls::register_model(new_model), Wait::Finalized).await.unwrap();
        let id = included
            .events()
            .unwrap()
            .into_iter()
            .find_map(|event| match event {
                ChainEvent::ModelRegistered { model, .. } => Some(model),
                _ => None,
            })
            .unwrap();
        let bytes = size(&root);
        let spec = specification(id, &data, H256(root.into()), bytes, provider, auditors, mode);
        spec.validate().unwrap();
        let signer = Arc::new(RequestSigner(submitter.account().clone()));
        let fetcher = Fetcher::new(store, signer, FetchLimits::default()).unwrap();
        Self { submitter, fetcher, model: H256(model.into()), spec }
    }

    /// Orders the job.
    pub async fn order(&self) -> u64 {
        let included = self
            .submitter
            .submit(&calls::create_job(self.spec.clone(), None), Wait::Finalized)
            .await
            .unwrap();
        let created = included.events().unwrap().into_iter().find_map(|event| match event {
            ChainEvent::JobCreated { job, .. } => Some(job),
            _ => None,
        });
        created.unwrap()
    }

    /// Uploads model and data to the provider's worker, once the worker lets the customer.
    pub async fn upload(&self, endpoint: &str) {
        let url: Url = endpoint.parse().unwrap();
        for root in [self.model, self.spec.data.root] {
            let id = root.0.into();
            until("the worker to take an upload", 60, || async {
                self.fetcher.push_dir(&id, &url, &|_| {}).await.ok()
            })
            .await;
        }
    }
}

fn make_model(dir: &Path) {
    let shape = ModelSpec {
        architecture: "LlamaForCausalLM".into(),
        vocab_size: 64,
        hidden_size: 32,
        intermediate_size: 48,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
        qkv_bias: false,
        max_position_embeddings: 32,
        eos_token_ids: vec![0],
        bos_token_id: None,
    };
    let config = PretrainConfig {
        seed: 3,
        steps: 1,
        warmup_steps: 0,
        batch_rows: 1,
        learning_rate: 1e-3,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
    };
    Pretraining::new(shape, config).unwrap().save(dir).unwrap();
}

/// Rows that count upwards: something to learn.
fn packed() -> PackedData {
    let length = 16usize;
    let split = |rows: usize, shift: usize| {
        let mut split = Split { rows, sequence_length: length, ..Split::default() };
        for row in 0..rows {
            for column in 0..length {
                let token = |column: usize| i32::try_from((row + shift + column) % 60 + 1).unwrap();
                split.tokens.push(token(column));
                split.labels.push(if column + 1 == length { IGNORE } else { token(column + 1) });
                split.positions.push(i32::try_from(column).unwrap());
            }
        }
        split
    };
    PackedData {
        train: split(12, 0),
        // Tokens that are trained on: what a few steps teach carries no further.
        held_out: split(4, 4),
        sequence_length: length,
        vocab_size: 64,
        tokenizer_blake3: "0".repeat(64),
    }
}

/// Exact arithmetic with a base in eight bits.
pub fn exact() -> ArithmeticMode {
    ArithmeticMode::Exact { version: EXACT_VERSION, base: BaseFormat::W8 }
}

/// Class-exact arithmetic.
pub fn class_exact(class: &str) -> ArithmeticMode {
    ArithmeticMode::ClassExact { class: class.as_bytes().to_vec().try_into().unwrap() }
}

/// A share of the price, without a dependency on the arithmetic crate: its encoding is that of a `u32`.
pub fn share<T: codec::Decode>(millionths: u32) -> T {
    T::decode(&mut &codec::Encode::encode(&millionths)[..]).unwrap()
}

fn specification(
    model: u32,
    data: &PackedData,
    root: H256,
    bytes: u64,
    provider: Option<AccountId>,
    auditors: u8,
    mode: ArithmeticMode,
) -> Spec {
    let milestone = || Milestone { segments: 2, share: share(500_000) };
    JobSpec {
        model,
        data: DataSpec {
            root,
            bytes,
            tokens: 12 * 16,
            rows: u32::try_from(data.train.rows).unwrap(),
            held_out_rows: u32::try_from(data.held_out.rows).unwrap(),
            sequence_length: 16,
        },
        method: Method::Lora { rank: 4, alpha: 8, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 10_000_000,
            schedule: Schedule::Cosine,
            warmup_steps: 1,
            micro_batch_rows: 4,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 1_000_000,
            weight_decay_micro: 0,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 10_000,
        },
        mode,
        engine_version: attune_trainer::ENGINE_VERSION,
        seed: 7,
        steps_per_segment: 2,
        milestones: vec![milestone(), milestone()].try_into().unwrap(),
        assurance: Assurance { samples: 1, auditors },
        theme: b"counting".to_vec().try_into().unwrap(),
        max_price: 10 * ATT,
        audit_fee: ATT / 10,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 60, start_blocks: 120, milestone_blocks: 300 },
        provider,
    }
}
