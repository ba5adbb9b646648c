//! Deadlines and retentions as parameters of pallets, in blocks: each reads its field of
//! [`crate::timing::Windows`], which genesis has written.

use crate::{timing::EpochSlots, BlockNumber, Runtime, Timing};
use attune_primitives::job::MAX_MILESTONES;
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

/// The longest time from the draw of a milestone's audits to a conviction: audit, challenge and dispute, one after the
/// other.
pub struct ConvictionBlocks;

impl Get<BlockNumber> for ConvictionBlocks {
    fn get() -> BlockNumber {
        let windows = Timing::windows();
        windows.audit.saturating_add(windows.challenge).saturating_add(windows.dispute)
    }
}

/// How long a seal of randomness is kept: as long as a job can go on, so that a milestone is drawn and paid whenever that
/// becomes possible. The class of a job may be without auditors for weeks; its provider need not have done wrong.
pub struct KeepSeals;

impl Get<BlockNumber> for KeepSeals {
    fn get() -> BlockNumber {
        let windows = Timing::windows();
        let milestone = windows.max_phase.saturating_add(windows.audit);
        milestone.saturating_mul(MAX_MILESTONES).max(windows.unbonding)
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

/// How long a provider has to answer when it is asked for a heartbeat: an epoch's length, counted in blocks, so that there
/// is new randomness for about each. (Slots without a block make an epoch shorter in blocks: periods and epochs drift
/// apart, and nothing depends on where one stands in the other.)
pub struct HeartbeatPeriod;

impl Get<BlockNumber> for HeartbeatPeriod {
    fn get() -> BlockNumber {
        BlockNumber::try_from(EpochSlots::<Runtime>::get()).unwrap_or(BlockNumber::MAX)
    }
}

/// By how much self-bond that leaves in an absence is locked longer: half of unbonding.
pub struct AbsenceLock;

impl Get<BlockNumber> for AbsenceLock {
    fn get() -> BlockNumber {
        Timing::windows().unbonding.div_ceil(2)
    }
}
