//! What the pallet stores.

use attune_primitives::Balance;
use frame_support::pallet_prelude::*;
use sp_runtime::traits::Convert;
use sp_staking::SessionIndex;

/// A session that has ended and whose rewards are not all paid.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct UnpaidSession {
    /// The session.
    pub session: SessionIndex,
    /// What the session mints if each of its slots had a block by a provider, in planck. Frozen at the session's end.
    pub pot: Balance,
    /// What of the pot may still be minted, in planck.
    pub left: Balance,
    /// How many slots the session had.
    pub slots: u32,
}

/// A bar from being elected.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Bar<AccountId> {
    /// Who.
    pub offender: AccountId,
    /// First session for which it may be elected again.
    pub until: SessionIndex,
}

/// What an offender is identified by besides its account: nothing. Slashes reach the pool as it is when they are
/// booked, so no picture of the stake at the time of the offence is kept.
pub struct NoIdentification;

impl<AccountId> Convert<AccountId, Option<()>> for NoIdentification {
    fn convert(_: AccountId) -> Option<()> {
        Some(())
    }
}
