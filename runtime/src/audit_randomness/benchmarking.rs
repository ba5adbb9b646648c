//! A benchmark for each thing that the hooks do, on its most expensive path.

use alloc::vec;

use frame_benchmarking::v2::*;
use frame_support::traits::{Get, Hooks};
use frame_system::Pallet as System;
use sp_consensus_babe::BABE_ENGINE_ID;
use sp_core::H256;
use sp_runtime::{traits::One, DigestItem, Saturating};

use super::*;

/// The claim of a secondary slot with a VRF output, of 32 bytes, and its proof, of 64: encoded, as nothing in a runtime can
/// make one.
fn claim() -> DigestItem {
    const SECONDARY_VRF: u8 = 3;
    let mut encoded = vec![SECONDARY_VRF];
    encoded.resize(1 + 4 + 8 + 32 + 64, 0);
    DigestItem::PreRuntime(BABE_ENGINE_ID, encoded)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn collect() {
        System::<T>::deposit_log(claim());
        pallet_babe::AuthorVrfRandomness::<T>::put(Some([7; 32]));
        let now = System::<T>::block_number();
        let before = Collected::<T>::get();
        pallet_babe::EpochStart::<T>::put((now, now.saturating_add(One::one())));
        #[block]
        {
            Pallet::<T>::on_initialize(now);
            Pallet::<T>::on_finalize(now);
        }
        assert_eq!(Collected::<T>::get(), before.saturating_add(1));
    }

    #[benchmark]
    fn seal() {
        let ended = BlockNumberFor::<T>::from(1u32);
        let now = T::KeepSeals::get().saturating_add(10u32.into());
        for _ in 0..3 {
            Pallet::<T>::remember(H256::repeat_byte(1), ended);
        }
        let oldest = OldestSeal::<T>::get();
        Collected::<T>::put(1);
        Collecting::<T>::put(H256::repeat_byte(2));
        pallet_babe::EpochStart::<T>::put((ended, now));
        System::<T>::set_block_number(now);
        #[block]
        {
            Pallet::<T>::on_initialize(now);
        }
        assert_eq!(OldestSeal::<T>::get(), oldest.saturating_add(2));
        assert_eq!(Collected::<T>::get(), 0);
    }
}
