//! Weights: what a call costs is measured, not forgotten.

use crate::{weights, Runtime, RuntimeCall};
use attune_primitives::{
    job::{MAX_MILESTONES, MAX_SEGMENTS},
    H256,
};
use std::collections::BTreeSet;

use frame_support::{
    dispatch::GetDispatchInfo,
    traits::{Get, GetCallName},
    weights::{RuntimeDbWeight, Weight},
};

/// A pallet's calls, its benchmarks and its trait of weights.
macro_rules! pallet {
    ($pallet:ident, $folder:literal) => {
        (
            stringify!($pallet),
            $pallet::Call::<Runtime>::get_call_names(),
            include_str!(concat!("../../../pallets/", $folder, "/src/benchmarking.rs")),
            include_str!(concat!("../../../pallets/", $folder, "/src/weights.rs")),
        )
    };
}

#[test]
fn every_call_of_our_pallets_has_a_benchmark_and_a_weight() {
    let pallets = [
        pallet!(pallet_provider_staking, "provider-staking"),
        pallet!(pallet_job_escrow, "job-escrow"),
        pallet!(pallet_proof_of_training, "proof-of-training"),
        pallet!(pallet_validator_election, "validator-election"),
    ];
    for (pallet, calls, benchmarks, weights) in pallets {
        assert!(!calls.is_empty(), "{pallet} has calls");
        assert_eq!(
            weight_functions(weights),
            benchmarked(benchmarks),
            "{pallet}: what is declared is measured"
        );
        for call in calls {
            let benchmark = format!("#[benchmark]\n    fn {call}()");
            assert!(benchmarks.contains(&benchmark), "{pallet}::{call} has no benchmark of its name");
            let weight = format!("    fn {call}() -> Weight;");
            assert!(weights.contains(&weight), "{pallet}::{call} has no function in WeightInfo");
        }
    }
}

#[test]
fn what_every_block_does_for_randomness_is_measured() {
    let benchmarks = include_str!("../audit_randomness/benchmarking.rs");
    let weights = include_str!("../audit_randomness/weights.rs");
    assert_eq!(weight_functions(weights), BTreeSet::from(["collect", "seal"]));
    assert_eq!(weight_functions(weights), benchmarked(benchmarks));
}

/// The functions of a pallet's trait of weights.
fn weight_functions(source: &str) -> BTreeSet<&str> {
    source.lines().filter_map(|line| line.strip_prefix("    fn ")?.strip_suffix("() -> Weight;")).collect()
}

/// The benchmarks of a pallet.
fn benchmarked(source: &str) -> BTreeSet<&str> {
    let bodies = source.split("#[benchmark]\n    fn ").skip(1);
    bodies.filter_map(|body| body.split_once('(')).map(|(name, _)| name).collect()
}

/// A call whose branches differ is charged for the costliest: each has a benchmark, and this is what `.max` is for.
#[test]
fn a_call_is_charged_for_the_costliest_of_its_branches() {
    use pallet_job_escrow::{Call as Escrow, WeightInfo as _};
    use pallet_proof_of_training::{Call as Proofs, WeightInfo as _};
    type Jobs = weights::pallet_job_escrow::Measured<Runtime>;
    type Audits = weights::pallet_proof_of_training::Measured<Runtime>;

    let zero = H256::zero();
    let reveal =
        Proofs::reveal_verdict { job: 0, segment: 0, end_root: zero, trace: zero, salt: Default::default() };
    let table: [(RuntimeCall, &[Weight]); 3] = [
        (
            Escrow::enforce_deadline { job: 0 }.into(),
            &[Jobs::enforce_deadline(), Jobs::miss_milestone(), Jobs::end_bidding()],
        ),
        (reveal.into(), &[Audits::reveal_verdict(), Audits::draw_committee()]),
        (
            Proofs::enforce_audit_deadline { job: 0, segment: 0 }.into(),
            &[Audits::enforce_audit_deadline(), Audits::redraw_auditors()],
        ),
    ];
    for (call, branches) in table {
        let declared = call.get_dispatch_info().call_weight;
        for branch in branches {
            assert!(declared.all_gte(*branch), "{call:?}: {declared:?}, a branch costs {branch:?}");
        }
    }
}

/// What the costliest branch cannot do without, counted by hand: looking for further auditors reads every provider with its
/// pool, whether or not one is left to be drawn, and whoever ends a job deletes its proofs.
#[test]
fn a_call_that_may_end_a_job_is_charged_for_the_registry_and_the_proofs() {
    use pallet_job_escrow::WeightInfo as _;
    use pallet_proof_of_training::WeightInfo as _;
    type Jobs = weights::pallet_job_escrow::Measured<Runtime>;
    type Audits = weights::pallet_proof_of_training::Measured<Runtime>;

    let most = <<Runtime as pallet_provider_staking::Config>::MaxProviders as Get<u32>>::get();
    let registry = u64::from(most) * 2 + 1;
    // An audit of every segment; a draw and a mark of each milestone.
    let proofs = |milestones: u32| u64::from(MAX_SEGMENTS / MAX_MILESTONES * milestones + 2 * milestones);
    let (all, but_one) = (proofs(MAX_MILESTONES), proofs(MAX_MILESTONES - 1));
    let table = [
        ("draw_audits", Audits::draw_audits(), registry, 0),
        ("draw_committee", Audits::draw_committee(), registry, 0),
        ("redraw_auditors", Audits::redraw_auditors(), registry, 0),
        ("reveal_verdict", Audits::reveal_verdict(), registry, all),
        ("enforce_audit_deadline", Audits::enforce_audit_deadline(), registry, all),
        ("end_bidding", Jobs::end_bidding(), registry, 0),
        ("decline_job", Jobs::decline_job(), 0, but_one),
        ("cancel_job", Jobs::cancel_job(), 0, all),
        ("enforce_deadline", Jobs::enforce_deadline(), 0, all),
        ("miss_milestone", Jobs::miss_milestone(), 0, all),
    ];
    let database = <<Runtime as frame_system::Config>::DbWeight as Get<RuntimeDbWeight>>::get();
    for (name, weight, reads, writes) in table {
        let least = database.reads_writes(reads, writes);
        assert!(weight.all_gte(least), "{name}: {weight:?} is less than {reads} reads and {writes} writes");
    }
}
