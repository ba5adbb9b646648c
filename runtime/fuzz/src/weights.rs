//! Whether a call touches no more storage than its weight says.
//!
//! A declared weight is one number, in which a forgotten read drowns in the time. So for the calls of Attune's pallets the
//! keys that the call really touched are compared with the reads and the writes of its weight functions, one by one, as
//! `runtime/src/weights` has them. Which functions make up a call's weight is in [`of`], and compared with the pallet's
//! own declaration each time.
//!
//! Calls of other pallets declare what the SDK has measured; the time that their keys take of the database must fit into
//! it, at least.

use crate::keys::{count, Touched};
use attune_runtime::{
    configs::windows::FinalityMargin, AllPalletsWithSystem, Runtime, RuntimeCall, RuntimeOrigin,
};
use core::cell::Cell;
use frame_support::{
    dispatch::{DispatchResultWithPostInfo, GetDispatchInfo},
    pallet_prelude::TransactionSource,
    storage::{transactional::TRANSACTION_LEVEL_KEY, StoragePrefixedMap},
    traits::{Authorize, Get, GetCallMetadata, OriginTrait, StorageInfoTrait, WhitelistedStorageKeys},
    weights::{constants::WEIGHT_REF_TIME_PER_NANOS, RuntimeDbWeight, Weight},
};
use sp_core::storage::well_known_keys;
use sp_runtime::traits::Dispatchable;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// The weight files, by the name of the pallet in the runtime.
const FILES: [(&str, &str); 4] = [
    ("ProviderStaking", include_str!("../../src/weights/pallet_provider_staking.rs")),
    ("JobEscrow", include_str!("../../src/weights/pallet_job_escrow.rs")),
    ("ProofOfTraining", include_str!("../../src/weights/pallet_proof_of_training.rs")),
    ("ValidatorElection", include_str!("../../src/weights/pallet_validator_election.rs")),
];

/// Calls whose benchmark is made by an account that the measurement leaves out, as whoever pays for a transaction has been
/// read and written before: `whitelisted_caller`.
const CALLER_IS_LEFT_OUT: [&str; 3] = ["register_model", "remove_model", "remove_record"];

/// What a weight function says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    nanos: u64,
    reads: u64,
    writes: u64,
}

impl Cost {
    /// As the runtime's weight files count it.
    fn weight(self) -> Weight {
        let time = self.nanos.saturating_mul(WEIGHT_REF_TIME_PER_NANOS);
        Weight::from_parts(time, 0).saturating_add(database().reads_writes(self.reads, self.writes))
    }
}

fn database() -> RuntimeDbWeight {
    <Runtime as frame_system::Config>::DbWeight::get()
}

/// The weight functions by pallet and name.
static COSTS: LazyLock<BTreeMap<(&str, &str), Cost>> = LazyLock::new(|| {
    let lines = FILES.iter().flat_map(|(pallet, text)| text.lines().map(move |line| (*pallet, line)));
    lines
        .filter(|(_, line)| line.contains("cost::<T>("))
        .map(|(pallet, line)| {
            let (name, cost) = parse(line).unwrap_or_else(|| {
                panic!("expected `fn NAME() -> Weight {{ cost::<T>(NANOSECONDS, READS, WRITES) }}`, found `{line}`")
            });
            ((pallet, name), cost)
        })
        .collect()
});

fn parse(line: &str) -> Option<(&str, Cost)> {
    let (name, rest) = line.trim().strip_prefix("fn ")?.split_once("()")?;
    let (_, arguments) = rest.split_once("cost::<T>(")?;
    let mut numbers =
        arguments.split_once(')')?.0.split(',').map(|number| number.trim().replace('_', "").parse().ok());
    Some((name, Cost { nanos: numbers.next()??, reads: numbers.next()??, writes: numbers.next()?? }))
}

/// The paths that the weight of a call of Attune's pallets is the largest of; none if the call is not Attune's.
///
/// # Errors
/// Names a weight function that no file has.
fn of(pallet: &str, call: &str) -> Result<Vec<Cost>, String> {
    if FILES.iter().all(|(known, _)| *known != pallet) {
        return Ok(Vec::new());
    }
    let paths: &[&str] = match call {
        "enforce_deadline" => &["enforce_deadline", "miss_milestone", "end_bidding"],
        "reveal_verdict" => &["reveal_verdict", "draw_committee"],
        "enforce_audit_deadline" => &["enforce_audit_deadline", "redraw_auditors"],
        _ => &[call],
    };
    let cost = |path: &&str| {
        let known = COSTS.get(&(pallet, *path));
        let mut cost = *known.ok_or_else(|| format!("there is no weight function {path} of {pallet}"))?;
        if call == "draw_audits" {
            // Each seal that could be the one it is drawn with: `seals_searched`.
            let margin: u32 = FinalityMargin::get();
            cost.reads = cost.reads.saturating_add(u64::from(margin)).saturating_add(2);
        }
        Ok(cost)
    };
    paths.iter().map(cost).collect()
}

/// Keys that every block touches anyway, or that never leave the memory: what the measurement of weights leaves out, and
/// what the filters of calls read, which the extension that takes the fee declares.
static LEFT_OUT: LazyLock<BTreeSet<Vec<u8>>> = LazyLock::new(|| {
    let mut keys: BTreeSet<Vec<u8>> =
        AllPalletsWithSystem::whitelisted_storage_keys().into_iter().map(|known| known.key).collect();
    keys.insert(TRANSACTION_LEVEL_KEY.to_vec());
    keys.insert(well_known_keys::EXTRINSIC_INDEX.to_vec());
    keys.insert(well_known_keys::INTRABLOCK_ENTROPY.to_vec());
    keys.insert(pallet_safe_mode::EnteredUntil::<Runtime>::hashed_key().to_vec());
    keys
});

fn is_left_out(key: &[u8]) -> bool {
    LEFT_OUT.contains(key) || key.starts_with(&pallet_tx_pause::PausedCalls::<Runtime>::final_prefix())
}

thread_local! {
    static FULL: Cell<Option<(&'static str, &'static str)>> = const { Cell::new(None) };
}

/// The call that was last dispatched, once, if it read and wrote as many keys as a path of its weight is for.
pub(crate) fn take_full() -> Option<(&'static str, &'static str)> {
    FULL.take()
}

/// Dispatches `call` and compares the keys that it touches with its weight.
///
/// # Errors
/// Says what it read and wrote, and what its weight is for.
pub(crate) fn dispatch(
    call: RuntimeCall,
    origin: RuntimeOrigin,
) -> Result<DispatchResultWithPostInfo, String> {
    let (metadata, declared) = (call.get_call_metadata(), call.get_dispatch_info().call_weight);
    let (pallet, name) = (metadata.pallet_name, metadata.function_name);
    let paths = of(pallet, name)?;
    let caller = origin.as_signer().map(frame_system::Account::<Runtime>::hashed_key_for);
    let caller = caller.filter(|_| paths.is_empty() || CALLER_IS_LEFT_OUT.contains(&name));
    let (result, mut touched) = count(|| call.dispatch(origin));
    leave_out(&mut touched, caller.as_ref());
    check(&format!("{pallet}.{name}"), &paths, declared, &touched)?;
    let is_full = paths.iter().any(|path| (path.reads, path.writes) == numbers(&touched));
    FULL.set(is_full.then_some((pallet, name)));
    Ok(result)
}

/// Has a call authorise itself, if it is one that can, and compares the keys that this touches with its weight. True if it
/// is authorised.
///
/// # Errors
/// As [`dispatch`].
pub(crate) fn authorize(call: &RuntimeCall) -> Result<bool, String> {
    let metadata = call.get_call_metadata();
    let name = format!("authorize_{}", metadata.function_name);
    let (answer, mut touched) = count(|| call.authorize(TransactionSource::External));
    let Some(answer) = answer else { return Ok(false) };
    leave_out(&mut touched, None);
    let paths = of(metadata.pallet_name, &name)?;
    check(&format!("{}.{name}", metadata.pallet_name), &paths, call.weight_of_authorize(), &touched)?;
    Ok(answer.is_ok())
}

/// How many keys were read, and how many written.
fn numbers(touched: &Touched) -> (u64, u64) {
    let number = |keys: &BTreeSet<Vec<u8>>| u64::try_from(keys.len()).unwrap_or(u64::MAX);
    (number(&touched.reads), number(&touched.writes))
}

fn leave_out(touched: &mut Touched, caller: Option<&Vec<u8>>) {
    for keys in [&mut touched.reads, &mut touched.writes] {
        keys.retain(|key| !is_left_out(key) && caller != Some(key));
    }
}

fn check(name: &str, paths: &[Cost], declared: Weight, touched: &Touched) -> Result<(), String> {
    let (reads, writes) = numbers(touched);
    let most = paths.iter().map(|path| path.weight()).reduce(|most, weight| most.max(weight));
    if most.is_some_and(|most| most != declared) {
        return Err(format!(
            "{name} declares {declared:?}, its weight functions {most:?}: see weights::of of the fuzzer"
        ));
    }
    let fits = if paths.is_empty() {
        database().reads_writes(reads, writes).ref_time() <= declared.ref_time()
    } else {
        paths.iter().any(|path| reads <= path.reads && writes <= path.writes)
    };
    if fits {
        return Ok(());
    }
    let weighed = paths.iter().map(|path| format!("{} and {}", path.reads, path.writes)).collect::<Vec<_>>();
    let weighed = if paths.is_empty() { format!("{declared:?}") } else { weighed.join(", or ") };
    Err(format!(
        "{name} reads {reads} keys and writes {writes}, its weight is for {weighed}; reads: {}; writes: {}",
        named(&touched.reads),
        named(&touched.writes)
    ))
}

/// Keys by the storage that they are of, with how many there are of each.
fn named(keys: &BTreeSet<Vec<u8>>) -> String {
    let known = AllPalletsWithSystem::storage_info();
    let mut counts = BTreeMap::<String, u32>::new();
    for key in keys {
        let info = known.iter().find(|info| key.starts_with(&info.prefix));
        let name = info.map_or_else(
            || format!("0x{}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            |info| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                format!("{}.{}", text(&info.pallet_name), text(&info.storage_name))
            },
        );
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_function_is_read_from_its_file() {
        let functions: usize = FILES.iter().map(|(_, text)| text.matches("-> Weight {").count()).sum();
        assert_eq!(COSTS.len(), functions);
        let line = "    fn top_up() -> Weight { cost::<T>(189_132, 4, 3) }";
        assert_eq!(parse(line), Some(("top_up", Cost { nanos: 189_132, reads: 4, writes: 3 })));
    }

    /// What is said of a call that reads 3 keys and writes 2, if its weight is for `paths` and declared like that.
    fn said(paths: &[Cost]) -> Result<(), String> {
        let keys = |count: u8| (0..count).map(|number| vec![number]).collect();
        let declared = paths.iter().map(|path| path.weight()).reduce(|most, weight| most.max(weight));
        check("call", paths, declared.unwrap_or_default(), &Touched { reads: keys(3), writes: keys(2) })
    }

    #[test]
    fn a_call_fits_one_path_of_its_weight_in_reads_and_in_writes() {
        let cost = |reads, writes| Cost { nanos: 1_000_000, reads, writes };
        assert_eq!(said(&[cost(3, 2)]), Ok(()));
        for low in [cost(2, 9), cost(9, 1)] {
            let told = said(&[low]).expect_err("it is too low in one of both");
            assert!(told.starts_with("call reads 3 keys and writes 2, its weight is for"), "{told}");
            assert_eq!(said(&[low, cost(3, 2)]), Ok(()));
        }
        // Neither path is enough, though the largest of both numbers is.
        assert!(said(&[cost(2, 9), cost(9, 1)]).is_err());
    }

    #[test]
    fn a_weight_that_is_made_otherwise_than_the_table_says_is_told() {
        let cost = Cost { nanos: 5, reads: 3, writes: 2 };
        let told = check("call", &[cost], cost.weight().saturating_mul(2), &Touched::default());
        assert!(told.is_err_and(|told| told.contains("its weight functions")));
    }

    #[test]
    fn a_call_of_another_pallet_has_to_declare_the_time_of_its_keys() {
        let touched = Touched { reads: [vec![1]].into(), writes: [vec![1]].into() };
        let needed = database().reads_writes(1, 1);
        assert_eq!(check("call", &[], needed, &touched), Ok(()));
        assert!(check("call", &[], needed.saturating_sub(Weight::from_parts(1, 0)), &touched).is_err());
    }
}
