//! # Audit randomness: what nobody knew when a provider committed
//!
//! Audits are drawn with randomness that must not have been known to anybody when the commitment became final.
//! BABE gives every block a VRF output, which its author alone can work out beforehand. This pallet chains the
//! outputs of all blocks of an epoch and seals the chain when the epoch ends, together with the number of the
//! epoch's first block. Whoever committed before that block could not know the result, unless every author of
//! the epoch was with him.
//!
//! ## Rules
//!
//! - One seal per epoch, written in the first block of the next one, over the outputs of every block of the
//!   epoch. The chain goes on from seal to seal, so that no entropy is lost.
//! - An epoch without a single output makes no seal: the previous one stays. (With VRF outputs in primary and in
//!   secondary slots, as genesis sets it, every block has one.)
//! - The very first epoch makes no seal: nothing can have been committed before it began. So the first two
//!   epochs of a chain have no randomness.
//! - Seals are kept for [`Config::KeepSeals`] blocks, as long as a job can go on, by their index, so that what is drawn
//!   with the first seal after a commitment is drawn with that one whenever it is drawn: who could wait for a later one
//!   could choose.
//!
//! ## Why not `pallet_babe::NextRandomness`
//!
//! It holds outputs of primary slots only, of which a ten-slot epoch may have none (with c = 1/4, one epoch in
//! eighteen), and then it is a function of its predecessor: known an epoch early. What is worse, as of version
//! 50 `pallet_babe` takes into it only *full* segments of 256 outputs; the open segment is left where it is. An
//! epoch with fewer primary slots than that adds nothing, and with epochs of 10 or 100 slots the value is
//! computable from genesis on for dozens of epochs. [`SealSegmentAtEpochEnd`] closes the open segment just
//! before the epoch changes, so that BABE's own randomness, which elects the block authors, is fresh too.
//!
//! ## Limitations
//!
//! The author of an epoch's last block knows the seal a slot before the others, and can withhold the block: one
//! bit of influence for each of his blocks in a row at the epoch's end, paid with the block. This is the known
//! weakness of VRF chains. On a network with a single validator, that validator knows everything.

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod try_state;
mod weights;

pub use pallet::*;
pub use weights::WeightInfo;

use attune_primitives::{traits::EpochRandomness, BlockNumber};
use codec::Decode;
use core::marker::PhantomData;
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;
use pallet_session::ShouldEndSession;
use sp_consensus_babe::{digests::PreDigest, BABE_ENGINE_ID};
use sp_core::H256;
use sp_runtime::traits::{BlakeTwo256, Hash, Saturating};

/// Storage and hooks.
#[frame_support::pallet]
pub mod pallet {
    use super::WeightInfo as _;
    use frame_support::{pallet_prelude::*, weights::Weight};
    use frame_system::pallet_prelude::*;
    use sp_core::H256;

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// Reads BABE's storage.
    #[pallet::config]
    pub trait Config: frame_system::Config + pallet_babe::Config {
        /// How long a seal is kept, in blocks, from the beginning of its epoch on: as long as anything may wait to be drawn.
        type KeepSeals: Get<BlockNumberFor<Self>>;
        /// What the hooks cost.
        type WeightInfo: super::WeightInfo;
    }

    /// The chain of outputs of the epoch that runs. Goes on from the last seal.
    #[pallet::storage]
    pub type Collecting<T> = StorageValue<_, H256, ValueQuery>;

    /// How many outputs of the epoch that runs are in [`Collecting`]. Back to nothing at each epoch's end.
    #[pallet::storage]
    pub type Collected<T> = StorageValue<_, u32, ValueQuery>;

    /// The latest seal, and the first block of the epoch whose outputs made it.
    #[pallet::storage]
    pub type Sealed<T> = StorageValue<_, (H256, BlockNumberFor<T>)>;

    /// How many seals there have been, which is the index of the next one in [`Seals`]. An earlier runtime did not count.
    #[pallet::storage]
    pub type SealCount<T> = StorageValue<_, u32, ValueQuery>;

    /// Seals by index, as [`Sealed`] has the latest. Removed when they are older than [`Config::KeepSeals`].
    #[pallet::storage]
    pub type Seals<T> = StorageMap<_, Twox64Concat, u32, (H256, BlockNumberFor<T>)>;

    /// Index of the oldest entry of [`Seals`].
    #[pallet::storage]
    pub type OldestSeal<T> = StorageValue<_, u32, ValueQuery>;

    /// The weights of this pallet: those it builds on have some of their own.
    type Costs<T> = <T as Config>::WeightInfo;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        /// On the first block of an epoch, seals the one that has ended.
        ///
        /// Runs after the session pallet, so that BABE has already turned to the new epoch.
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            let (ended_epoch_start, epoch_start) = pallet_babe::EpochStart::<T>::get();
            if epoch_start != now {
                return Costs::<T>::collect();
            }
            Self::seal(ended_epoch_start, now);
            Costs::<T>::collect().saturating_add(Costs::<T>::seal())
        }

        /// Takes in the block's output.
        ///
        /// Runs after BABE's own, which works it out.
        fn on_finalize(_: BlockNumberFor<T>) {
            if super::block_has_output::<T>() {
                Self::collect_output();
            }
        }
    }
}

/// Separates this hash from every other use of blake2b-256.
const DOMAIN: &[u8; 24] = b"attune/audit-randomness\0";

impl<T: Config> Pallet<T> {
    /// Chains the VRF output of this block.
    fn collect_output() {
        if let Some(output) = pallet_babe::AuthorVrfRandomness::<T>::get() {
            Collecting::<T>::mutate(|chain| *chain = chain_output(*chain, output));
            Collected::<T>::mutate(|count| *count = count.saturating_add(1));
        }
    }

    /// Ends the collection of the epoch that began at `epoch_start`.
    fn seal(epoch_start: BlockNumberFor<T>, now: BlockNumberFor<T>) {
        let collected = Collected::<T>::take();
        let is_first_epoch = epoch_start == BlockNumberFor::<T>::from(0u32);
        if collected > 0 && !is_first_epoch {
            Self::remember(Collecting::<T>::get(), epoch_start);
            Self::forget_old(now);
        }
    }

    /// Takes in a seal of the epoch that began at `epoch_start`.
    pub(crate) fn remember(randomness: H256, epoch_start: BlockNumberFor<T>) {
        let seal = (randomness, epoch_start);
        Sealed::<T>::put(seal);
        let index = SealCount::<T>::get();
        // There are 2^32 epochs in thousands of years.
        if let Some(next) = index.checked_add(1) {
            Seals::<T>::insert(index, seal);
            SealCount::<T>::put(next);
        }
    }

    /// Removes up to two seals that are too old, which is one more than came.
    fn forget_old(now: BlockNumberFor<T>) {
        for _ in 0..2 {
            let oldest = OldestSeal::<T>::get();
            let is_old = |(_, epoch_start): (H256, BlockNumberFor<T>)| {
                now.saturating_sub(epoch_start) > T::KeepSeals::get()
            };
            if !Seals::<T>::get(oldest).is_some_and(is_old) {
                return;
            }
            Seals::<T>::remove(oldest);
            OldestSeal::<T>::put(oldest.saturating_add(1));
        }
    }
}

/// Whether the block's author gave a VRF output with his claim of the slot. BABE keeps an older block's output
/// when there is none, so its storage doesn't tell.
fn block_has_output<T: Config>() -> bool {
    let digest = frame_system::Pallet::<T>::digest();
    let claim = digest
        .logs
        .iter()
        .filter_map(|log| log.as_pre_runtime())
        .find(|(engine, _)| *engine == BABE_ENGINE_ID)
        .and_then(|(_, mut claim)| PreDigest::decode(&mut claim).ok());
    claim.is_some_and(|claim| claim.vrf_signature().is_some())
}

/// The next link: blake2b-256 over the domain, the chain so far and the output.
fn chain_output(chain: H256, output: [u8; 32]) -> H256 {
    let mut input = [0u8; 24 + 32 + 32];
    input[..24].copy_from_slice(DOMAIN);
    input[24..56].copy_from_slice(chain.as_bytes());
    input[56..].copy_from_slice(&output);
    BlakeTwo256::hash(&input)
}

impl<T: Config> EpochRandomness for Pallet<T>
where
    BlockNumberFor<T>: Into<BlockNumber>,
{
    fn latest() -> Option<(H256, BlockNumber)> {
        Sealed::<T>::get().map(|(randomness, epoch_start)| (randomness, epoch_start.into()))
    }

    fn seals() -> u32 {
        SealCount::<T>::get()
    }

    fn first_since(from: u32, since: BlockNumber, most: u32) -> Option<(H256, BlockNumber)> {
        let indices = from..from.saturating_add(most);
        // Seals that are forgotten or yet to come end the search: the first after them need not be the first.
        let mut kept =
            indices.map_while(Seals::<T>::get).map(|(randomness, start)| (randomness, start.into()));
        kept.find(|(_, epoch_start)| *epoch_start >= since)
    }
}

/// Ends sessions when BABE's epochs end, and closes BABE's open segment of VRF outputs first, so that the
/// epoch's randomness takes it in. See the module's essay.
pub struct SealSegmentAtEpochEnd<T>(PhantomData<T>);

impl<T: Config> ShouldEndSession<BlockNumberFor<T>> for SealSegmentAtEpochEnd<T> {
    fn should_end_session(now: BlockNumberFor<T>) -> bool {
        let ends = <pallet_babe::Pallet<T> as ShouldEndSession<_>>::should_end_session(now);
        if ends {
            let open = pallet_babe::SegmentIndex::<T>::get();
            if pallet_babe::UnderConstruction::<T>::decode_len(open).unwrap_or(0) > 0 {
                pallet_babe::SegmentIndex::<T>::put(open.saturating_add(1));
            }
        }
        ends
    }
}
