//! Weights: what a call costs is measured, not forgotten.

use crate::{weights, Runtime, RuntimeCall};
use attune_primitives::H256;
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
        for call in calls {
            let benchmark = format!("#[benchmark]\n    fn {call}()");
            assert!(benchmarks.contains(&benchmark), "{pallet}::{call} has no benchmark of its name");
            let weight = format!("    fn {call}() -> Weight;");
            assert!(weights.contains(&weight), "{pallet}::{call} has no function in WeightInfo");
        }
    }
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

/// Whether or not further auditors are left to be drawn, looking for them reads every provider with its pool.
#[test]
fn an_audit_that_may_draw_is_charged_for_reading_the_largest_registry() {
    use pallet_proof_of_training::WeightInfo as _;
    type Audits = weights::pallet_proof_of_training::Measured<Runtime>;

    let most = <<Runtime as pallet_provider_staking::Config>::MaxProviders as Get<u32>>::get();
    let registry = <<Runtime as frame_system::Config>::DbWeight as Get<RuntimeDbWeight>>::get()
        .reads(u64::from(most) * 2 + 1);
    for weight in [
        Audits::draw_audits(),
        Audits::reveal_verdict(),
        Audits::draw_committee(),
        Audits::enforce_audit_deadline(),
        Audits::redraw_auditors(),
    ] {
        assert!(weight.all_gte(registry), "{weight:?} does not cover {registry:?}");
    }
}
