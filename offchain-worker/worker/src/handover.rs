//! Going on with a job that another provider had before.
//!
//! The chain keeps the commitments of the verified milestones. Whoever goes on needs the state at their end: the
//! checkpoint of the last verified segment, from the providers before or from the auditors of that milestone, who keep it
//! ([`to_keep`]); or, where nobody has it any more, by training those segments again. Either way the files of the verified segments stand before its own, and none of them is ever
//! committed or opened by it.
//!
//! The rules for files that are here already, of a job that comes back:
//! - of verified segments: kept if the state at their end is the committed one, else never built on ([`forked`]);
//! - of segments committed in this attempt: must be those behind the commitments, see [`crate::losses`];
//! - of later segments: kept if what they rest on is kept. Training is deterministic, so they are what training again
//!   would give.

use attune_chain_client::{
    primitives::machine::{JobState, Phase},
    types::{AuditStage, Spec},
    AccountId,
};

use crate::{
    jobdir::SegmentFile,
    view::{JobView, LocalJob},
};

/// The verified segments of earlier providers, as files of this one; `None` if the chain does not show all of them.
pub fn verified(view: &JobView) -> Option<Vec<SegmentFile>> {
    let count = usize::try_from(view.first_segment()).ok()?;
    let commitments = view.commitments.get(..count)?;
    Some((0u32..).zip(commitments).map(|(segment, found)| SegmentFile::inherited(segment, found)).collect())
}

/// The first verified segment whose file here ends in another state than the committed one: nothing can be built on it.
pub fn forked(view: &JobView, mine: &LocalJob) -> Option<u32> {
    let pairs = mine.files.segments.iter().zip(&view.commitments);
    let verified = pairs.take(usize::try_from(view.first_segment()).unwrap_or(usize::MAX));
    verified.into_iter().find(|(file, found)| file.end_root != found.state_root).map(|(file, _)| file.segment)
}

/// True if verified segments of earlier providers are missing here, or are others. Never once this provider has committed
/// a segment: inheriting replaces files, and those hold its nonces.
pub fn must_inherit(view: &JobView, mine: &LocalJob) -> bool {
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let first = view.first_segment();
    let is_usable = count(mine.files.segments.len()) >= first && forked(view, mine).is_none();
    count(view.commitments.len()) <= first && !is_usable
}

/// True if a provider could have to go on from the end of a segment: at the end of every milestone but the last.
pub fn inheritable(spec: &Spec, segment: u32) -> bool {
    let next = segment.saturating_add(1);
    next < spec.segments() && spec.milestone_of(segment) != spec.milestone_of(next)
}

/// The segment whose checkpoint this auditor is to keep and does not have: the end of the latest milestone that it audited,
/// once it has done its work there. A provider that vanishes takes its own copy with it.
pub fn to_keep(view: &JobView, mine: &LocalJob, me: &AccountId) -> Option<u32> {
    let state = view.job.state;
    let is_open = state.awaits_provider() || matches!(state, JobState::Assigned | JobState::Running);
    if !(is_open || state == JobState::Disputed(Phase::Running)) || view.provider() == Some(*me) {
        return None;
    }
    let own = view.audits.iter().filter(|audit| audit.slot(me).is_some());
    let milestone = own.clone().map(|audit| audit.milestone).max()?;
    let (_, end) = view.job.spec.milestone_segments(milestone)?;
    let last = end.checked_sub(1)?;
    // Where its own re-execution ends there, that gives it.
    let has_verdict =
        |segment| mine.files.verdicts.get(segment).is_some_and(|file| file.attempt == view.job.handovers);
    let is_done = own
        .filter(|audit| audit.milestone == milestone)
        .all(|audit| audit.stage != AuditStage::Committing || has_verdict(&audit.segment));
    let commitment = view.commitments.get(usize::try_from(last).ok()?)?;
    let has_it = mine.files.kept.get(&last).is_some_and(|kept| kept.checkpoint == commitment.checkpoint);
    (inheritable(&view.job.spec, last) && is_done && !has_it).then_some(last)
}
