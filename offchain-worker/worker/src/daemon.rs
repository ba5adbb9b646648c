//! The daemon: follows finalized blocks, asks [`reconcile`] what to do, and does it.
//!
//! Transactions are sent from one place, one after the other, so that they reach the chain in the order in which they
//! build on each other; waiting for blocks and all work happen in tasks of their own. A duty is under way from the
//! moment it is begun until its result is on disk or its transaction is finalized; the view of the chain is read after
//! the list of what is under way, so that nothing can fall between the two.

mod dispatch;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
};

use anyhow::{bail, Context, Result};
use attune_chain_client::{
    primitives::{provider::ProviderProfile, BlockNumber, JobId},
    types::Constants,
    AccountId, Chain, Submitter,
};
use attune_store::{
    signing::audience, sr25519::Sr25519Verifier, FetchLimits, Fetcher, Grants, LocalStore, ServerConfig, Url,
};
use attune_trainer::arithmetic::EXACT_VERSION;
use tokio::{net::TcpListener, sync::Notify};

use crate::{
    access::{self, Rights},
    advert::Advertisement,
    board::Board,
    config::WorkerConfig,
    engine::{Engine, Trainer},
    gpu,
    http::{self, Public},
    jobdir::{replace_file, JobDir},
    losses::{self, Loss},
    reconcile::{reconcile, Duty},
    upkeep::{PoolSearch, MAX_SERVED},
    view::{ChainView, Inputs, LocalJob, LocalView, Policy},
    work::Tools,
    RequestSigner,
};

/// Most grants at a time.
const MAX_GRANTS: usize = 200_000;

/// A worker that is set up: it serves HTTP and is ready to follow the chain.
pub struct Worker {
    shared: Arc<Shared>,
    listener: TcpListener,
    server: ServerConfig,
}

struct Shared {
    config: WorkerConfig,
    policy: Policy,
    tools: Tools,
    grants: Arc<Grants>,
    public: Arc<Public>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    now: BlockNumber,
    under_way: BTreeSet<Duty>,
    not_before: BTreeMap<Duty, BlockNumber>,
    failures: BTreeMap<Duty, u32>,
    inputs: BTreeMap<JobId, Inputs>,
    stops: BTreeMap<JobId, Arc<AtomicBool>>,
    rights: Rights,
    losses: BTreeMap<JobId, Loss>,
    absent_since: Option<BlockNumber>,
    pool_search: PoolSearch,
    is_settled: bool,
    /// How often the fate of a transaction became unknown.
    unsettled: u64,
    is_unregistered: bool,
    /// What was said last about the chain's runtime.
    waits_for: Option<String>,
    greeted: Option<(AccountId, ProviderProfile)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Opens the folder and the store, starts the training thread, binds the HTTP address, and writes the endpoint to
    /// `<base>/endpoint`.
    ///
    /// # Errors
    /// If the folder, the address or the public URL cannot be used.
    pub async fn set_up(
        config: WorkerConfig,
        trainer: Arc<dyn Trainer>,
        tokens_per_second: u32,
    ) -> Result<Self> {
        let base = &config.base_dir;
        std::fs::create_dir_all(base).with_context(|| format!("expected to make {}", base.display()))?;
        let store = LocalStore::open(base.join("store"))?;
        let signer = Arc::new(RequestSigner(config.account.clone()));
        let fetcher = Arc::new(Fetcher::new(store.clone(), signer, FetchLimits::default())?);
        let listener = listen(base, config.bind).await?;
        let address = listener.local_addr().context("expected the address that is served on")?;
        let endpoint = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let url: Url = endpoint
            .parse()
            .with_context(|| format!("expected a URL as --public-url, found {endpoint:?}"))?;
        let audiences = BTreeSet::from([audience(&url)?, address.to_string()]);
        let audiences: Vec<String> = audiences.into_iter().collect();
        replace_file(&base.join("endpoint"), format!("{endpoint}\n").as_bytes())
            .with_context(|| format!("expected to write {}", base.join("endpoint").display()))?;
        let board = Arc::new(Board::default());
        let advertisement = Advertisement {
            class: config.class.clone(),
            exact_version: EXACT_VERSION,
            hardware: trainer.machine(),
            gpus: gpu::gpus(),
            endpoint,
            tokens_per_second,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine_version: attune_trainer::ENGINE_VERSION,
            operator: config.account.id().to_string(),
        };
        for gpu in advertisement.gpus.iter().flat_map(|gpus| &gpus.devices) {
            tracing::info!(name = gpu.name, memory_mib = gpu.memory_mib, "the driver reports a GPU");
        }
        let public = Arc::new(Public {
            advertisement,
            audiences: audiences.clone(),
            board: board.clone(),
            watchers: Default::default(),
        });
        let policy = Policy {
            class: config.class.clone(),
            exact_version: EXACT_VERSION,
            engine_version: attune_trainer::ENGINE_VERSION,
            price_floor: config.price_floor,
            max_jobs: config.max_jobs,
            push_others: config.push_others,
        };
        let engine = Engine::start(trainer).context("expected a thread to train on")?;
        let grants = Arc::new(Grants::new(store.clone(), MAX_GRANTS));
        let tools = Tools { base: base.clone(), store, fetcher, engine, board };
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { config, policy, tools, grants, public, state, wake: Notify::new() });
        Ok(Self { shared, listener, server: ServerConfig { audiences, ..ServerConfig::default() } })
    }

    /// Where this worker is reached.
    pub fn endpoint(&self) -> &str {
        &self.shared.public.advertisement.endpoint
    }

    /// Runs until `shutdown` resolves. A node that is away is waited for.
    ///
    /// # Errors
    /// If the node's runtime is of another release, the key is a development key on a real chain, or the folder belongs
    /// to another chain.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let Self { shared, listener, server } = self;
        let router = attune_store::router(
            shared.tools.store.clone(),
            shared.grants.clone(),
            Arc::new(Sr25519Verifier),
            server.clone(),
        )
        .merge(http::router(shared.public.clone()));
        let close = Arc::new(Notify::new());
        let closed = close.clone();
        let serving = tokio::spawn(async move {
            attune_store::serve(listener, router, &server.limits, async move { closed.notified().await })
                .await
        });
        tracing::info!(
            endpoint = shared.public.advertisement.endpoint,
            class = shared.config.class,
            "serving"
        );
        let ended = tokio::select! {
            ended = follow(&shared) => ended,
            () = shutdown => Ok(()),
        };
        tracing::info!("stopping");
        for stop in shared.state().stops.values() {
            stop.store(true, Ordering::Relaxed);
        }
        close.notify_one();
        serving
            .await
            .context("expected the HTTP server to end")?
            .context("expected the HTTP server to end")?;
        ended
    }
}

/// Binds the address. With port 0, the port of the last start is taken if it is still free, so that the endpoint in the
/// provider's profile stays true across restarts.
async fn listen(base: &Path, bind: SocketAddr) -> Result<TcpListener> {
    let last =
        std::fs::read_to_string(base.join("port")).ok().and_then(|text| text.trim().parse::<u16>().ok());
    if let (0, Some(port)) = (bind.port(), last) {
        if let Ok(listener) = TcpListener::bind(SocketAddr::new(bind.ip(), port)).await {
            return Ok(listener);
        }
        tracing::warn!(port, "the port of the last start is taken; serving on another one");
    }
    let listener = TcpListener::bind(bind)
        .await
        .with_context(|| format!("expected to serve on {bind}, found it refused; choose another --bind"))?;
    let port = listener.local_addr().context("expected the address that is served on")?.port();
    replace_file(&base.join("port"), format!("{port}\n").as_bytes())
        .with_context(|| format!("expected to write {}", base.join("port").display()))?;
    Ok(listener)
}

/// Connects and goes round for ever.
async fn follow(shared: &Arc<Shared>) -> Result<()> {
    let account = shared.config.account.clone();
    tracing::info!(node = shared.config.node, operator = %account.id(), "waiting for the node");
    let chain = Chain::connect_when_there(&shared.config.node).await?;
    claim_folder(shared, &chain)?;
    let submitter = Submitter::new(chain.clone(), account)?;
    tracing::info!(chain = chain.identity().name, "connected");
    let waker = shared.clone();
    let mut blocks = chain.finalized_blocks();
    let following = tokio::spawn(async move {
        loop {
            blocks.next().await;
            waker.wake.notify_one();
        }
    });
    // What the runtime fixes, and the version of that runtime.
    let mut constants = None;
    let ended = loop {
        match round(shared, &submitter, &mut constants).await {
            Ok(()) => {}
            // Nothing that this worker can mend, and no reason to end: it goes on serving what it has, and works again
            // once the chain is upgraded, or somebody starts the worker of the chain's release in its place.
            Err(error) if error.is_of_another_release() => wait_for_release(shared, error.to_string()),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "could not look at the chain; trying again at the next block");
            }
            Err(error) => break Err(error.into()),
        }
        shared.wake.notified().await;
    };
    following.abort();
    ended
}

/// Says, whenever it changes, what of the chain's runtime keeps this worker from working.
fn wait_for_release(shared: &Shared, reason: String) {
    let mut state = shared.state();
    if state.waits_for.as_ref() != Some(&reason) {
        tracing::error!(
            reason,
            "can't work with the chain's runtime; serving what is here, and looking again at each block"
        );
        state.waits_for = Some(reason);
    }
}

/// A base folder belongs to one chain: job ids of another one mean other jobs.
fn claim_folder(shared: &Shared, chain: &Chain) -> Result<()> {
    let path = shared.tools.base.join("chain");
    let genesis = hex::encode(chain.identity().genesis.0);
    match std::fs::read_to_string(&path) {
        Ok(known) if known.trim() == genesis => Ok(()),
        Ok(known) => bail!(
            "expected the chain with genesis {} in {}, found a node of {genesis}; use another --base-dir for this chain",
            known.trim(),
            shared.tools.base.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            replace_file(&path, format!("{genesis}\n").as_bytes())
                .with_context(|| format!("expected to write {}", path.display()))
        },
        Err(error) => Err(error).with_context(|| format!("expected to read {}", path.display())),
    }
}

/// Looks at chain and disk once, and begins what is to be done.
async fn round(
    shared: &Arc<Shared>,
    submitter: &Submitter,
    known_constants: &mut Option<(u32, Constants)>,
) -> attune_chain_client::Result<()> {
    let under_way = shared.state().under_way.clone();
    let chain = submitter.chain();
    // Asked before the state is looked at: what this finds in a block, the state then has, so that nothing is sent twice.
    let (mut is_settled, unsettled) = {
        let state = shared.state();
        (state.is_settled, state.unsettled)
    };
    if !is_settled {
        is_settled = chain.is_settled(&submitter.id()).await?;
        if !is_settled {
            tracing::info!("transactions of this key are still on their way; waiting for them");
        }
        let mut state = shared.state();
        // Another one may have been lost meanwhile.
        is_settled &= state.unsettled == unsettled;
        state.is_settled = is_settled;
    }
    let finalized = chain.finalized().await?;
    shared.tools.board.finalized_block.store(u64::from(finalized.number()), Ordering::Relaxed);
    if finalized.is_upgrading().await? {
        tracing::info!(
            version = finalized.spec_version(),
            "the chain is being upgraded; waiting for its migrations"
        );
        return Ok(());
    }
    let version = finalized.spec_version();
    let constants = match known_constants.take() {
        Some((known, constants)) if known == version => constants,
        other => {
            if let Some((before, _)) = other {
                tracing::info!(before, now = version, "the chain has a new runtime");
            }
            finalized.constants().await?
        }
    };
    let constants = &known_constants.insert((version, constants)).1;
    let me = finalized.provider_of_operator(&submitter.id()).await?;
    let known: BTreeSet<JobId> = JobDir::all(&shared.tools.base).unwrap_or_default().into_iter().collect();
    let view = match me {
        Some(me) => ChainView::read(&finalized, &me, &known, constants).await?,
        None => None,
    };
    let Some(mut view) = view else {
        let mut state = shared.state();
        if !state.is_unregistered {
            state.is_unregistered = true;
            tracing::warn!(operator = %submitter.id(), "no provider has this operator key yet; waiting for one to register");
        }
        return Ok(());
    };
    let turn = shared.state().pool_search.turn(view.now, &under_way);
    let mut searched = None;
    if let Some(from) = turn {
        let page = finalized.due_delegations(&view.me.account, from, MAX_SERVED).await?;
        view.due = page.items;
        searched = Some(page.next);
    }
    greet(shared, &view);
    let local = look_at_disk(shared, &view, known, under_way);
    tell_losses(shared, &view, &local);
    tell_presence(shared, &view);
    open_doors(shared, &view, &local);
    shared.state().waits_for = None;
    let duties = reconcile(&view, &local, &shared.policy);
    // Not if one was lost while the state was read.
    let is_settled = is_settled && shared.state().is_settled;
    let others_first = duties.iter().any(|duty| duty.takes_nonce() && !duty.is_for_delegator());
    if let Some(next) = searched.filter(|_| is_settled && !others_first) {
        shared.state().pool_search.go_on(view.now, next);
    }
    for duty in duties {
        // A heartbeat has no nonce: nothing that is on its way stands before it.
        if !is_settled && !matches!(duty, Duty::Heartbeat { .. }) {
            continue;
        }
        if !dispatch::perform(shared, submitter, &view, &local, duty).await {
            // What follows may build on it; the next round looks again.
            break;
        }
    }
    Ok(())
}

/// Says, whenever it changes, which provider this is, and whether its profile is what this worker is.
fn greet(shared: &Shared, view: &ChainView) {
    let now = (view.me.account, view.me.profile.clone());
    let mut state = shared.state();
    state.now = view.now;
    if state.greeted.as_ref() == Some(&now) {
        return;
    }
    state.is_unregistered = false;
    state.greeted = Some(now);
    drop(state);
    tracing::info!(provider = %view.me.account, "working for this provider");
    let advertised = &shared.public.advertisement;
    let profile = &view.me.profile;
    let text = attune_chain_client::json::text;
    for (what, on_chain, here) in [
        ("endpoint", text(&profile.endpoint), advertised.endpoint.clone()),
        ("execution class", text(&profile.class), advertised.class.clone()),
        (
            "version of exact arithmetic",
            profile.exact_version.to_string(),
            advertised.exact_version.to_string(),
        ),
    ] {
        if on_chain != here {
            tracing::warn!(
                what,
                on_chain,
                here,
                "the provider's profile differs from this worker; set it with `attune providers set-profile`"
            );
        }
    }
}

/// What is here of the jobs that concern this worker.
fn look_at_disk(
    shared: &Shared,
    view: &ChainView,
    known: BTreeSet<JobId>,
    under_way: BTreeSet<Duty>,
) -> LocalView {
    let tools = &shared.tools;
    let mut local = LocalView { under_way, ..LocalView::default() };
    let concerns = view.jobs.values().filter(|job| {
        !job.job.state.is_terminal()
            && (job.provider() == Some(view.me.account) || job.is_auditor(&view.me.account))
    });
    let jobs: BTreeSet<JobId> = concerns.map(|job| job.job.id).chain(known).collect();
    for job in jobs {
        let files = match tools.dir(job).load() {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(job, %error, "cannot read the job's folder");
                continue;
            }
        };
        local.jobs.insert(job, LocalJob { inputs: inputs(shared, view, job), files });
    }
    let mut state = shared.state();
    local.not_before = state.not_before.clone();
    // A job that ended, was called off, or went to another provider needs no more training here.
    let me = view.me.account;
    let is_own = |job: &JobId| {
        let found = view.jobs.get(job);
        found.is_some_and(|found| found.job.state.is_bonded() && found.provider() == Some(me))
    };
    let is_trained =
        |job: &JobId| is_own(job) && view.jobs.get(job).is_some_and(|found| !found.job.state.is_called_off());
    for (job, stop) in &state.stops {
        if !is_trained(job) {
            stop.store(true, Ordering::Relaxed);
            let (engine, job) = (tools.engine.clone(), *job);
            tokio::spawn(async move {
                let closed = engine.run(move |bench| {
                    bench.close(job);
                    Ok(())
                });
                // An engine that is gone has nothing open.
                let _ = closed.await;
            });
        }
    }
    // A job that comes back is looked at anew.
    state.inputs.retain(|job, _| is_own(job));
    state.stops.retain(|job, _| is_trained(job));
    local
}

fn inputs(shared: &Shared, view: &ChainView, job: JobId) -> Inputs {
    if let Some(known) = shared.state().inputs.get(&job) {
        return known.clone();
    }
    let Some(found) = view.jobs.get(&job).filter(|found| found.provider() == Some(view.me.account)) else {
        return Inputs::Missing;
    };
    let roots = view.model(found.job.spec.model).map(|model| [model.artifact, found.job.spec.data.root]);
    let has_all = roots.is_some_and(|roots| roots.iter().all(|root| shared.tools.has_dir(root)));
    if has_all && !found.job.state.is_terminal() {
        Inputs::Arrived
    } else {
        Inputs::Missing
    }
}

/// Says once that files of committed segments are gone: from then on the worker can only wait for the job's end.
fn tell_losses(shared: &Shared, view: &ChainView, local: &LocalView) {
    let now = losses::losses(view, local);
    let mut state = shared.state();
    let news = losses::news(&state.losses, &now);
    state.losses = now;
    drop(state);
    for (job, loss) in news.lost {
        shared.tools.board.segments_lost.fetch_add(u64::from(loss.segments()), Ordering::Relaxed);
        let Loss { committed, on_disk, first } = loss;
        tracing::error!(
            job,
            folder = %shared.tools.dir(job).root().display(),
            deadline = view.jobs.get(&job).map(|found| found.job.deadline),
            "files of committed segments are gone: expected segment-{first}.json to segment-{}.json as they \
             were committed, found those before segment {on_disk}. They hold nonces that nothing can make \
             again, so the job is not trained further and these segments' traces cannot be opened: it fails at its deadline for a part of its bond, or \
             for all of it once auditors ask for a trace. Put the files back from a backup, and the worker goes on at \
             the next block",
            committed.saturating_sub(1),
        );
    }
    for job in news.settled {
        tracing::info!(job, "nothing that is needed of this job is missing any more");
    }
}

/// Says when the provider begins and ceases to count as absent.
fn tell_presence(shared: &Shared, view: &ChainView) {
    let (board, me) = (&shared.tools.board, &view.me);
    board.heartbeats_answered.store(u64::from(me.reputation.heartbeats_answered), Ordering::Relaxed);
    board.heartbeats_missed.store(u64::from(me.reputation.heartbeats_missed), Ordering::Relaxed);
    board.absent_since.store(me.absent_since.map_or(0, u64::from), Ordering::Relaxed);
    let before = std::mem::replace(&mut shared.state().absent_since, me.absent_since);
    match (before, me.absent_since) {
        (None, Some(block)) => tracing::warn!(
            provider = %me.account,
            "this provider counts as absent since block {block}: it did not answer when it was asked for a heartbeat. \
             Block rewards are cut and self-bond that leaves is locked longer until the next answer, which this worker \
             gives as soon as it can"
        ),
        (Some(_), None) => tracing::info!(provider = %me.account, "this provider counts as present again"),
        _ => {}
    }
}

/// Gives and takes back rights.
fn open_doors(shared: &Shared, view: &ChainView, local: &LocalView) {
    let rights = access::rights(view, local);
    let mut state = shared.state();
    if let Err(error) = access::apply(&shared.grants, &state.rights, &rights) {
        tracing::error!(%error, "not everybody can be served");
    }
    state.rights = rights;
    drop(state);
    *shared.public.watchers.write().unwrap_or_else(PoisonError::into_inner) = access::watchers(view);
}
