//! Weights: what a call costs is measured, not forgotten.

use crate::Runtime;
use frame_support::traits::GetCallName;

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
