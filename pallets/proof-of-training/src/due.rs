//! What is due: a push that anyone may make, and that costs nothing if it does its work now.
//!
//! [`Call::draw_audits`] is for anyone, too, and costs nothing if it succeeds, but its fee is held until then: whether a draw
//! succeeds depends on all providers, which is too much to look at for nothing.

use attune_primitives::JobId;

use crate::*;

impl<T: Config> Pallet<T> {
    /// True if [`Call::enforce_audit_deadline`] would end the audit's stage now. It reads no more than the call does.
    pub fn is_audit_deadline_due(job: JobId, segment: u32) -> bool {
        Self::audit_past_deadline(job, segment).is_ok()
    }
}
