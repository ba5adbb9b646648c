//! Deadlines and retentions as parameters of pallets, in blocks: each reads its field of
//! [`crate::timing::Windows`], which genesis has written.

use crate::{BlockNumber, Timing};
use frame_support::traits::Get;

/// One type per field.
macro_rules! windows {
    ($($name:ident => $field:ident),* $(,)?) => {$(
        #[doc = concat!("[`crate::timing::Windows::", stringify!($field), "`].")]
        pub struct $name;

        impl Get<BlockNumber> for $name {
            fn get() -> BlockNumber {
                Timing::windows().$field
            }
        }
    )*};
}

windows! {
    UnbondingBlocks => unbonding,
    MaxPhaseBlocks => max_phase,
    AuditWindow => audit,
    ChallengeWindow => challenge,
    DisputeWindow => dispute,
    PruneAfter => prune,
    VerdictCommitBlocks => verdict_commit,
    OpenBlocks => open,
    RevealBlocks => reveal,
    FinalityMargin => finality_margin,
    RecordRetention => record_retention,
}
