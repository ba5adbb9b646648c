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
    SlashDelay => slash_delay,
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

/// The longest time from a deed to the conviction for it: audit, challenge and dispute, one after the other.
pub struct ConvictionBlocks;

impl Get<BlockNumber> for ConvictionBlocks {
    fn get() -> BlockNumber {
        let windows = Timing::windows();
        windows.audit.saturating_add(windows.challenge).saturating_add(windows.dispute)
    }
}

/// How long a rise of a commission is announced: unbonding, and half as long again. Who makes up his mind in that half is
/// out, money in hand, before the rise.
pub struct CommissionRiseDelay;

impl Get<BlockNumber> for CommissionRiseDelay {
    fn get() -> BlockNumber {
        let unbonding = Timing::windows().unbonding;
        unbonding.saturating_add(unbonding.div_ceil(2))
    }
}
