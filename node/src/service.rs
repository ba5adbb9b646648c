//! Puts the node together: client, pool, consensus, network, RPC.
//!
//! [`partial`] makes what every command needs; [`full`] adds what a running node needs. Blocks pass through
//! BABE's import (is the author entitled to the slot?), then GRANDPA's (does the authority set change?), then the
//! client's (does the runtime agree?).

use crate::rpc;
use attune_runtime::{opaque::Block, BlockNumber, Hash, RuntimeApi};
use sc_client_api::BlockBackend;
use sc_consensus_babe::{BabeBlockImport, BabeLink, BabeWorkerHandle, SlotProportion};
use sc_consensus_grandpa::{GrandpaBlockImport, LinkHalf, SharedVoterState};
use sc_executor::WasmExecutor;
use sc_network::{config::FullNetworkConfiguration, NetworkBackend};
use sc_service::{
    error::Error as ServiceError, BuildNetworkParams, Configuration, PartialComponents, SpawnTasksParams,
    TaskManager, WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryWorker};
use sc_transaction_pool::TransactionPoolHandle;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_consensus_babe::{
    inherents::{BabeCreateInherentDataProviders, InherentDataProvider as SlotInherent},
    SlotDuration,
};
use std::{sync::Arc, time::Duration};

/// The client: chain database and runtime executor.
type Client = sc_service::TFullClient<Block, RuntimeApi, WasmExecutor<sp_io::SubstrateHostFunctions>>;
/// The chain database.
type Backend = sc_service::TFullBackend<Block>;
/// Which of several heads to build on: the one of the longest chain.
type SelectChain = sc_consensus::LongestChain<Backend, Block>;
/// Imports blocks with GRANDPA's bookkeeping.
type GrandpaImport = GrandpaBlockImport<Backend, Block, Client, SelectChain>;
/// Makes the data that a block author puts into his block: time and slot.
type Inherents = BabeCreateInherentDataProviders<Block>;
/// Imports blocks with BABE's checks, then as [`GrandpaImport`].
type BlockImport = BabeBlockImport<Block, Client, GrandpaImport, Inherents, SelectChain>;
/// The transaction pool.
type Pool = TransactionPoolHandle<Block, Client>;

/// What [`partial`] makes.
type Partial =
    PartialComponents<Client, Backend, SelectChain, sc_consensus::DefaultImportQueue<Block>, Pool, Consensus>;

/// The consensus parts that a running node needs besides the import queue.
pub(crate) struct Consensus {
    block_import: BlockImport,
    babe_link: BabeLink<Block>,
    grandpa_link: LinkHalf<Block, Client, SelectChain>,
    /// BABE's request worker ends, and with it the node, when its last handle is dropped.
    babe_worker: BabeWorkerHandle<Block>,
    telemetry: Option<Telemetry>,
}

/// At least every so many blocks, the proof of finality is kept, so that others can catch up with it.
const JUSTIFICATION_PERIOD: BlockNumber = 512;

/// The part of a slot in which a block is built. The rest is for sending it round and importing it.
const PROPOSAL_PART_OF_SLOT: f32 = 0.5;

/// The longest time that GRANDPA assumes for a vote to reach everybody.
const MAX_GOSSIP_DURATION: Duration = Duration::from_millis(333);

/// How long GRANDPA gives a vote to reach everybody: a sixth of a slot, so that finality keeps up with short
/// slots, and no more than a world-wide network needs.
fn gossip_duration(slot: SlotDuration) -> Duration {
    (slot.as_duration() / 6).min(MAX_GOSSIP_DURATION)
}

/// Makes database, client, pool and import queue.
///
/// # Errors
/// If the database can't be opened, or the runtime in it doesn't answer.
pub(crate) fn partial(config: &Configuration) -> Result<Partial, ServiceError> {
    let telemetry = config
        .telemetry_endpoints
        .clone()
        .filter(|endpoints| !endpoints.is_empty())
        .map(|endpoints| -> Result<_, sc_telemetry::Error> {
            let worker = TelemetryWorker::new(16)?;
            let telemetry = worker.handle().new_telemetry(endpoints);
            Ok((worker, telemetry))
        })
        .transpose()?;

    let executor = sc_service::new_wasm_executor(&config.executor);
    let (client, backend, keystore_container, task_manager) =
        sc_service::new_full_parts::<Block, RuntimeApi, _>(
            config,
            telemetry.as_ref().map(|(_, telemetry)| telemetry.handle()),
            executor,
            Vec::new(),
        )?;
    let client = Arc::new(client);

    let telemetry = telemetry.map(|(worker, telemetry)| {
        task_manager.spawn_handle().spawn("telemetry", None, worker.run());
        telemetry
    });
    let telemetry_handle = || telemetry.as_ref().map(Telemetry::handle);

    let select_chain = sc_consensus::LongestChain::new(backend.clone());
    let transaction_pool = Arc::from(
        sc_transaction_pool::Builder::new(
            task_manager.spawn_essential_handle(),
            client.clone(),
            config.role.is_authority().into(),
        )
        .with_options(config.transaction_pool.clone())
        .with_prometheus(config.prometheus_registry())
        .build(),
    );

    let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
        client.clone(),
        JUSTIFICATION_PERIOD,
        &client,
        select_chain.clone(),
        telemetry_handle(),
    )?;
    let babe_config = sc_consensus_babe::configuration(&*client)?;
    let slot_duration = babe_config.slot_duration();
    let (block_import, babe_link) = sc_consensus_babe::block_import(
        babe_config,
        grandpa_import.clone(),
        client.clone(),
        inherents(slot_duration),
        select_chain.clone(),
        OffchainTransactionPoolFactory::new(transaction_pool.clone()),
    )?;
    let (import_queue, babe_worker) =
        sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
            link: babe_link.clone(),
            block_import: block_import.clone(),
            justification_import: Some(Box::new(grandpa_import)),
            client: client.clone(),
            slot_duration,
            spawner: &task_manager.spawn_essential_handle(),
            registry: config.prometheus_registry(),
            telemetry: telemetry_handle(),
        })?;

    Ok(PartialComponents {
        client,
        backend,
        task_manager,
        keystore_container,
        select_chain,
        import_queue,
        transaction_pool,
        other: Consensus { block_import, babe_link, grandpa_link, babe_worker, telemetry },
    })
}

/// The slot and the time of a block that is made now.
fn inherents(slot_duration: SlotDuration) -> Inherents {
    Arc::new(move |_, ()| async move {
        let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
        let slot = SlotInherent::from_timestamp_and_slot_duration(*timestamp, slot_duration);
        Ok((slot, timestamp))
    })
}

/// Makes and starts a node.
///
/// # Errors
/// As [`partial`], and if a port is taken or a consensus task can't start.
pub(crate) fn full<N: NetworkBackend<Block, Hash>>(
    config: Configuration,
) -> Result<TaskManager, ServiceError> {
    let PartialComponents {
        client,
        backend,
        mut task_manager,
        keystore_container,
        select_chain,
        import_queue,
        transaction_pool,
        other: Consensus { block_import, babe_link, grandpa_link, babe_worker, mut telemetry },
    } = partial(&config)?;
    let slot_duration = babe_link.config().slot_duration();
    task_manager.keep_alive(babe_worker);

    let metrics = N::register_notification_metrics(config.prometheus_registry());
    let mut net_config = FullNetworkConfiguration::<Block, Hash, N>::new(
        &config.network,
        config.prometheus_registry().cloned(),
    );
    let genesis_hash = client.block_hash(0)?.expect("a client has its genesis block from the start; qed");
    let grandpa_protocol = sc_consensus_grandpa::protocol_standard_name(&genesis_hash, &config.chain_spec);
    let (grandpa_peers, grandpa_notifications) = sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
        grandpa_protocol.clone(),
        metrics.clone(),
        net_config.peer_store_handle(),
    );
    net_config.add_notification_protocol(grandpa_peers);
    let warp_sync = Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
        backend.clone(),
        grandpa_link.shared_authority_set().clone(),
        Vec::new(),
    ));

    let (network, system_rpc_tx, tx_handler_controller, sync_service, _bitswap) =
        sc_service::build_network(BuildNetworkParams {
            config: &config,
            net_config,
            client: client.clone(),
            transaction_pool: transaction_pool.clone(),
            spawn_handle: task_manager.spawn_handle(),
            spawn_essential_handle: task_manager.spawn_essential_handle(),
            import_queue,
            block_announce_validator_builder: None,
            warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync)),
            block_relay: None,
            metrics,
            gap_sync_body_policy: None,
        })?;

    let role = config.role;
    let force_authoring = config.force_authoring;
    let with_grandpa = !config.disable_grandpa;
    let name = config.network.node_name.clone();
    let prometheus = config.prometheus_registry().cloned();

    let rpc_builder = {
        let client = client.clone();
        let pool = transaction_pool.clone();
        Box::new(move |_| rpc::module(client.clone(), pool.clone()).map_err(ServiceError::Application))
    };
    sc_service::spawn_tasks(SpawnTasksParams {
        config,
        client: client.clone(),
        backend,
        task_manager: &mut task_manager,
        keystore: keystore_container.keystore(),
        transaction_pool: transaction_pool.clone(),
        rpc_builder,
        network: network.clone(),
        system_rpc_tx,
        tx_handler_controller,
        sync_service: sync_service.clone(),
        telemetry: telemetry.as_mut(),
        tracing_execute_block: None,
    })?;
    let telemetry_handle = telemetry.as_ref().map(Telemetry::handle);

    if role.is_authority() {
        let proposer = sc_basic_authorship::ProposerFactory::new(
            task_manager.spawn_handle(),
            client.clone(),
            transaction_pool.clone(),
            prometheus.as_ref(),
            telemetry_handle.clone(),
        );
        let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
            keystore: keystore_container.keystore(),
            client,
            select_chain,
            env: proposer,
            block_import,
            sync_oracle: sync_service.clone(),
            justification_sync_link: sync_service.clone(),
            create_inherent_data_providers: inherents(slot_duration),
            force_authoring,
            backoff_authoring_blocks: Some(sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging::<
                BlockNumber,
            >::default()),
            babe_link,
            block_proposal_slot_portion: SlotProportion::new(PROPOSAL_PART_OF_SLOT),
            max_block_proposal_slot_portion: None,
            telemetry: telemetry_handle.clone(),
        })?;
        task_manager.spawn_essential_handle().spawn_blocking("babe", Some("block-authoring"), babe);
    }

    if with_grandpa {
        let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
            config: sc_consensus_grandpa::Config {
                gossip_duration: gossip_duration(slot_duration),
                justification_generation_period: JUSTIFICATION_PERIOD,
                observer_enabled: false,
                local_role: role,
                name: Some(name),
                // A node without authority follows the votes, but casts none.
                keystore: role.is_authority().then(|| keystore_container.keystore()),
                telemetry: telemetry_handle.clone(),
                protocol_name: grandpa_protocol,
            },
            link: grandpa_link,
            network,
            sync: sync_service,
            notification_service: grandpa_notifications,
            voting_rule: sc_consensus_grandpa::VotingRulesBuilder::default().build(),
            prometheus_registry: prometheus,
            shared_voter_state: SharedVoterState::empty(),
            telemetry: telemetry_handle,
            offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(transaction_pool),
        })?;
        task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
    }

    Ok(task_manager)
}

/// Takes back what the consensus engines remember of reverted blocks.
///
/// # Errors
/// If their data can't be read or written.
pub(crate) fn revert_consensus(
    client: Arc<Client>,
    backend: Arc<Backend>,
    blocks: BlockNumber,
) -> sc_cli::Result<()> {
    sc_consensus_babe::revert(client.clone(), backend, blocks)?;
    sc_consensus_grandpa::revert(client, blocks)?;
    Ok(())
}
