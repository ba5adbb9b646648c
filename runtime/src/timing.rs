//! # Timing: slots, epochs and deadlines, fixed by genesis
//!
//! One Wasm serves every network, but a developer wants a block each second and a challenge window of seconds,
//! and a public network wants neither. So these lengths are not constants of the code: genesis writes them into
//! storage, and the other pallets read them as their parameters: [`SlotMillis`], [`HalfSlotMillis`],
//! [`EpochSlots`], and those in [`crate::configs::windows`].
//!
//! Where there is no chain to ask (a tool that prints metadata, a pallet's `integrity_test`), the answers are
//! mainnet's, which are also the defaults of genesis.
//!
//! ## Limitations
//!
//! They never change afterwards. Slot numbers are time divided by the length of a slot, and BABE counts epochs
//! in slots from the first one: a change would make both jump. There is therefore no call here.

pub use pallet::*;

use crate::configs::attune::MAX_REDRAWS;
use attune_primitives::BlockNumber;
use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// How long each party has, and how long things are kept. All in blocks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Windows {
    /// Until stake that was undelegated is free. Longer than everything that may end in a slash, and its delay.
    pub unbonding: BlockNumber,
    /// From a conviction until its slash can be applied, and can't be cancelled any more.
    pub slash_delay: BlockNumber,
    /// The longest that a job's specification may give to one of its states.
    pub max_phase: BlockNumber,
    /// From a job's submission until its audits must be over.
    pub audit: BlockNumber,
    /// From the last verified milestone until the job is final.
    pub challenge: BlockNumber,
    /// From an auditor's objection until the committee must have decided.
    pub dispute: BlockNumber,
    /// From a job's end until anyone may delete it.
    pub prune: BlockNumber,
    /// From the draw until an auditor must have committed to a verdict.
    pub verdict_commit: BlockNumber,
    /// From the last verdict's commitment until the provider must have opened its trace.
    pub open: BlockNumber,
    /// From the opened trace until auditors must have revealed.
    pub reveal: BlockNumber,
    /// How old a commitment must be to count as final.
    pub finality_margin: BlockNumber,
    /// From a training record's creation until its customer may delete it.
    pub record_retention: BlockNumber,
}

impl Windows {
    /// Mainnet's, for blocks of six seconds.
    pub const MAINNET: Self = Self {
        unbonding: 14 * DAY,
        // Over a weekend somebody looks.
        slash_delay: 2 * DAY,
        max_phase: 7 * DAY,
        audit: DAY,
        challenge: DAY,
        dispute: DAY,
        prune: 7 * DAY,
        verdict_commit: 2 * HOUR,
        open: HOUR,
        reveal: HOUR,
        finality_margin: 20,
        record_retention: 365 * DAY,
    };

    /// Those of the test presets: as short as a machine that trains and audits on its CPU can keep to.
    pub const TEST: Self = Self {
        unbonding: 1_500,
        slash_delay: 20,
        max_phase: 3_600,
        audit: 600,
        challenge: 10,
        dispute: 600,
        prune: 50,
        verdict_commit: 90,
        open: 30,
        reveal: 30,
        finality_margin: 4,
        record_retention: 100,
    };

    /// Whether the windows fit each other; the error says which don't.
    fn check(&self) -> Result<(), &'static str> {
        // Each stage may run into its deadline, which takes another block to enforce, in every redraw.
        let once = u64::from(self.verdict_commit) + u64::from(self.open) + u64::from(self.reveal) + 3;
        let longest_round = once * (u64::from(MAX_REDRAWS) + 1);
        let until_slashed = u64::from(self.audit)
            + u64::from(self.challenge)
            + u64::from(self.dispute)
            + u64::from(self.slash_delay);
        if u64::from(self.audit) <= longest_round || u64::from(self.dispute) <= longest_round {
            return Err(
                "audit and dispute must each be longer than verdictCommit + open + reveal with every redraw",
            );
        }
        if u64::from(self.unbonding) <= until_slashed {
            return Err("unbonding must be longer than audit + challenge + dispute + slashDelay: stake could leave before its slash");
        }
        if self.slash_delay == 0 {
            return Err("slashDelay must be at least 1: nobody could cancel a slash");
        }
        Ok(())
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::MAINNET
    }
}

/// Mainnet's slot, in milliseconds.
pub const MAINNET_SLOT_MILLIS: u64 = 6_000;
/// Mainnet's epoch, in slots: ten minutes.
pub const MAINNET_EPOCH_SLOTS: u64 = 100;

/// Blocks of six seconds in an hour.
const HOUR: BlockNumber = 600;
/// Blocks of six seconds in a day.
const DAY: BlockNumber = 24 * HOUR;

/// Storage, genesis and the parameters for other pallets.
#[frame_support::pallet]
pub mod pallet {
    use super::{Windows, MAINNET_EPOCH_SLOTS, MAINNET_SLOT_MILLIS};
    use core::marker::PhantomData;
    use frame_support::{pallet_prelude::*, traits::ConstU64};

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// Nothing to choose: the values are genesis's.
    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// Length of a slot, in milliseconds.
    #[pallet::storage]
    pub type SlotDuration<T> = StorageValue<_, u64, ValueQuery, ConstU64<MAINNET_SLOT_MILLIS>>;

    /// Length of an epoch, in slots. An epoch is also a session.
    #[pallet::storage]
    pub type EpochLength<T> = StorageValue<_, u64, ValueQuery, ConstU64<MAINNET_EPOCH_SLOTS>>;

    /// Deadlines and retentions, in blocks.
    #[pallet::storage]
    pub type Deadlines<T> = StorageValue<_, Windows, ValueQuery>;

    /// The lengths.
    #[pallet::genesis_config]
    pub struct GenesisConfig<T: Config> {
        /// Length of a slot, in milliseconds: even (the timestamp's minimum period is half of it), and at
        /// least 200.
        pub slot_millis: u64,
        /// Length of an epoch, in slots, at least 4: fewer leave no room between two changes of authorities.
        pub epoch_slots: u64,
        /// Deadlines and retentions, in blocks.
        pub windows: Windows,
        /// The runtime these values are for.
        #[serde(skip)]
        pub _config: PhantomData<T>,
    }

    impl<T: Config> Default for GenesisConfig<T> {
        fn default() -> Self {
            Self {
                slot_millis: MAINNET_SLOT_MILLIS,
                epoch_slots: MAINNET_EPOCH_SLOTS,
                windows: Windows::MAINNET,
                _config: PhantomData,
            }
        }
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            assert!(
                self.slot_millis >= 200 && self.slot_millis.is_multiple_of(2),
                "timing.slotMillis is {}: it must be even and at least 200",
                self.slot_millis
            );
            assert!(
                self.epoch_slots >= 4,
                "timing.epochSlots is {}: it must be at least 4",
                self.epoch_slots
            );
            if let Err(reason) = self.windows.check() {
                panic!("timing.windows: {reason}");
            }
            SlotDuration::<T>::put(self.slot_millis);
            EpochLength::<T>::put(self.epoch_slots);
            Deadlines::<T>::put(self.windows);
        }
    }

    /// The length of a slot in milliseconds, as a parameter of other pallets.
    pub struct SlotMillis<T>(PhantomData<T>);

    impl<T: Config> Get<u64> for SlotMillis<T> {
        fn get() -> u64 {
            if is_on_chain() {
                SlotDuration::<T>::get()
            } else {
                MAINNET_SLOT_MILLIS
            }
        }
    }

    /// Half a slot in milliseconds: the least time between two blocks, from which BABE takes the slot's length.
    pub struct HalfSlotMillis<T>(PhantomData<T>);

    impl<T: Config> Get<u64> for HalfSlotMillis<T> {
        fn get() -> u64 {
            SlotMillis::<T>::get() / 2
        }
    }

    /// The length of an epoch in slots, as a parameter of other pallets.
    pub struct EpochSlots<T>(PhantomData<T>);

    impl<T: Config> Get<u64> for EpochSlots<T> {
        fn get() -> u64 {
            if is_on_chain() {
                EpochLength::<T>::get()
            } else {
                MAINNET_EPOCH_SLOTS
            }
        }
    }

    impl<T: Config> Pallet<T> {
        /// Deadlines and retentions, in blocks.
        pub fn windows() -> Windows {
            if is_on_chain() {
                Deadlines::<T>::get()
            } else {
                Windows::MAINNET
            }
        }
    }

    /// Whether there is storage to read. Always, in Wasm.
    fn is_on_chain() -> bool {
        #[cfg(feature = "std")]
        return sp_externalities::with_externalities(|_| ()).is_some();
        #[cfg(not(feature = "std"))]
        true
    }
}
