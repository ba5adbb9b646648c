//! Runs the benchmarks.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail, Context, Result};
use codec::{Decode, Encode};
use frame_benchmarking::{benchmarking, BenchmarkBatch, BenchmarkConfig, BenchmarkList, BenchmarkResult};
use sc_client_db::bench::BenchmarkingState;
use sc_executor::WasmExecutor;
use serde_json::Value;
use sp_core::{
    storage::Storage,
    traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode},
};
use sp_externalities::Extensions;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::traits::{BlakeTwo256, Hash};
use sp_state_machine::{BasicExternalities, StateMachine};

use crate::render::Cost;

/// What a runtime with benchmarks may ask its host.
type HostFunctions = (sp_io::SubstrateHostFunctions, benchmarking::HostFunctions);

/// The preset on whose genesis benchmarks run.
const PRESET: &str = "local_testnet";

struct Bench<'a> {
    executor: WasmExecutor<HostFunctions>,
    code: RuntimeCode<'a>,
}

/// The beginning of an answer.
struct First<Part>(Part);

impl<Part: Decode> Decode for First<Part> {
    fn decode<I: codec::Input>(input: &mut I) -> std::result::Result<Self, codec::Error> {
        Part::decode(input).map(First)
    }
}

impl Bench<'_> {
    /// The state of the first block.
    fn genesis(&self) -> Result<Storage> {
        let mut externalities = BasicExternalities::new_empty();
        let mut ask = |method: &str, input: Vec<u8>| {
            let (answer, _) =
                self.executor.call(&mut externalities, &self.code, method, &input, CallContext::Offchain);
            answer.map_err(|error| anyhow!("{method} failed: {error}"))
        };
        let mut preset = |name: Option<&str>| -> Result<Value> {
            let answer = ask("GenesisBuilder_get_preset", name.encode())?;
            let text = Option::<Vec<u8>>::decode(&mut answer.as_slice())?;
            let text = text.with_context(|| format!("there is no preset {name:?}"))?;
            Ok(serde_json::from_slice(&text)?)
        };
        let mut genesis = preset(None)?;
        merge(&mut genesis, preset(Some(PRESET))?);
        let answer = ask("GenesisBuilder_build_state", genesis.to_string().into_bytes().encode())?;
        std::result::Result::<(), String>::decode(&mut answer.as_slice())?
            .map_err(|error| anyhow!("the preset {PRESET} is refused: {error}"))?;
        Ok(externalities.into_storages())
    }

    /// Calls the runtime on `state`.
    fn call<Answer: Decode>(
        &self,
        state: &BenchmarkingState<BlakeTwo256>,
        method: &str,
        input: &[u8],
    ) -> Result<Answer> {
        let (mut overlay, mut extensions) = (Default::default(), Extensions::default());
        // Some benchmarks have the host sign.
        extensions.register(KeystoreExt::new(MemoryKeystore::new()));
        let answer = StateMachine::new(
            state,
            &mut overlay,
            &self.executor,
            method,
            input,
            &mut extensions,
            &self.code,
            CallContext::Offchain,
        )
        .execute()
        .map_err(|error| anyhow!("{method} failed: {error}"))?;
        Answer::decode(&mut answer.as_slice()).with_context(|| format!("{method} answered something else"))
    }

    /// Runs a benchmark `repeat` times.
    fn run(
        &self,
        state: &BenchmarkingState<BlakeTwo256>,
        config: &BenchmarkConfig,
    ) -> Result<Vec<BenchmarkResult>> {
        let answer: std::result::Result<Vec<BenchmarkBatch>, String> =
            self.call(state, "Benchmark_dispatch_benchmark", &config.encode())?;
        let batches = answer.map_err(|error| anyhow!("the benchmark failed: {error}"))?;
        Ok(batches.into_iter().flat_map(|batch| batch.results).collect())
    }
}

/// The cost of every benchmark of the runtime `code`, by pallet, in the order of the pallet's benchmarks.
///
/// # Errors
/// If the runtime has no benchmarks, one has components, or one fails.
pub(crate) fn all(code: &[u8], repeat: u32) -> Result<BTreeMap<String, Vec<Cost>>> {
    let fetcher = WrappedRuntimeCode(code.into());
    let hash = BlakeTwo256::hash(code).as_bytes().to_vec();
    let bench = Bench {
        executor: WasmExecutor::builder().build(),
        code: RuntimeCode { code_fetcher: &fetcher, heap_pages: None, hash },
    };
    let genesis = bench.genesis().context("the runtime builds no genesis")?;
    let state = |tracks| {
        BenchmarkingState::<BlakeTwo256>::new(genesis.clone(), None, false, tracks)
            .map_err(|error| anyhow!("no state could be made: {error}"))
    };
    let (timed, counted) = (state(false)?, state(true)?);
    // What is known of the storage follows the lists; it tells the sizes of proofs, which nobody needs.
    let First(lists): First<Vec<BenchmarkList>> = bench
        .call(&timed, "Benchmark_benchmark_metadata", &false.encode())
        .context("is the runtime built with the feature runtime-benchmarks?")?;

    let mut costs = BTreeMap::new();
    for list in lists {
        let pallet = String::from_utf8(list.pallet.clone()).context("a pallet's name is no text")?;
        let mut of_pallet = Vec::new();
        for benchmark in list.benchmarks {
            let name = String::from_utf8(benchmark.name.clone()).context("a benchmark's name is no text")?;
            if !benchmark.components.is_empty() {
                bail!("{pallet}::{name} has components: measure the worst case of the bound instead");
            }
            let config = |verify, internal_repeats| BenchmarkConfig {
                pallet: list.pallet.clone(),
                instance: list.instance.clone(),
                benchmark: benchmark.name.clone(),
                selected_components: Vec::new(),
                verify,
                internal_repeats,
            };
            let one = || -> Result<Cost> {
                bench.run(&timed, &config(true, 1))?;
                let counts = bench.run(&counted, &config(false, 1))?;
                let times = bench.run(&timed, &config(false, repeat))?;
                cost(&name, &counts, &times)
            };
            let cost = one().with_context(|| format!("{pallet}::{name}"))?;
            eprintln!("{pallet}::{name}: {} ns, {} reads, {} writes", cost.nanos, cost.reads, cost.writes);
            of_pallet.push(cost);
        }
        costs.insert(pallet, of_pallet);
    }
    Ok(costs)
}

/// Median time, and most reads and writes.
fn cost(name: &str, counts: &[BenchmarkResult], times: &[BenchmarkResult]) -> Result<Cost> {
    let mut nanos: Vec<u128> = times.iter().map(|result| result.extrinsic_time).collect();
    nanos.sort_unstable();
    let median = nanos.get(nanos.len() / 2).context("the benchmark gave no result")?;
    Ok(Cost {
        name: name.into(),
        nanos: u64::try_from(*median)?,
        reads: counts.iter().map(|result| result.reads).max().unwrap_or(0),
        writes: counts.iter().map(|result| result.writes).max().unwrap_or(0),
    })
}

/// Merges `patch` into `target` (RFC 7386, but that nothing is deleted: presets don't).
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}
