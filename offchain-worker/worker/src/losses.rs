//! Files that a provider cannot do without, and that are gone.
//!
//! A segment's file holds the nonce behind its commitment, and nothing can make that again. A provider that lost the
//! files of committed segments can neither go on with the training nor open a trace: all that is left is to wait for the
//! deadline that ends the job. [`crate::reconcile`] does so by doing nothing, so somebody has to say it.

use std::collections::BTreeMap;

use attune_chain_client::primitives::{proof::SegmentCommitment, JobId};

use crate::{
    jobdir::SegmentFile,
    view::{ChainView, JobView, LocalJob, LocalView},
};

/// How much of a job is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Segments committed on chain.
    pub committed: u32,
    /// Segments whose files are here, from 0 on without a gap, and are those that were committed.
    pub on_disk: u32,
    /// The first segment that this provider committed; those before it were verified for others.
    pub first: u32,
}

impl Loss {
    /// What is gone of a job that this provider trains; `None` if nothing is.
    pub fn of(view: &JobView, mine: &LocalJob) -> Option<Self> {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (first, committed) = (view.first_segment(), count(view.commitments.len()));
        // A file made by training again holds another nonce. Of segments verified for others none is needed.
        let is_gone = |(file, commitment): &(&SegmentFile, &SegmentCommitment)| {
            file.segment >= first && file.commitment() != **commitment
        };
        let mut pairs = mine.files.segments.iter().zip(&view.commitments);
        let on_disk =
            pairs.position(|pair| is_gone(&pair)).map_or_else(|| count(mine.files.segments.len()), count);
        (committed > first && on_disk < committed).then_some(Self { committed, on_disk, first })
    }

    /// Segments that can't be opened any more.
    pub fn segments(&self) -> u32 {
        self.committed.saturating_sub(self.on_disk.max(self.first))
    }
}

/// What is gone of all jobs that this provider trains and that are not over.
pub fn losses(chain: &ChainView, local: &LocalView) -> BTreeMap<JobId, Loss> {
    let own = chain
        .jobs
        .values()
        .filter(|view| view.provider() == Some(chain.me.account) && view.job.state.is_in_work());
    // A job whose folder could not be read is not known to have lost anything.
    own.filter_map(|view| Some((view.job.id, Loss::of(view, local.jobs.get(&view.job.id)?)?))).collect()
}

/// What changed between two looks.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Jobs of which something is gone since.
    pub lost: Vec<(JobId, Loss)>,
    /// Jobs of which nothing is gone any more, or that are over.
    pub settled: Vec<JobId>,
}

/// What is to be said about the losses `now` to somebody who was told those `before`: each job once.
pub fn news(before: &BTreeMap<JobId, Loss>, now: &BTreeMap<JobId, Loss>) -> News {
    News {
        lost: now
            .iter()
            .filter(|(job, _)| !before.contains_key(job))
            .map(|(job, loss)| (*job, *loss))
            .collect(),
        settled: before.keys().filter(|job| !now.contains_key(job)).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reconcile::tests::{by_other, chain, committed, handed_over, inherited, job, local, JOB},
        view::Inputs,
    };
    use attune_chain_client::primitives::machine::JobState;

    #[test]
    fn files_of_committed_segments_that_are_gone_are_noticed_in_every_live_state() {
        let gone = Loss { committed: 3, on_disk: 1, first: 0 };
        assert_eq!(gone.segments(), 2);
        for (state, found) in [
            (JobState::Running, Some(gone)),
            (JobState::Submitted, Some(gone)),
            (JobState::Cancelling, Some(gone)),
            (JobState::Cancelled, None),
            (JobState::Finalized, None),
        ] {
            let chain = chain(committed(job(state), 3));
            assert_eq!(losses(&chain, &local(Inputs::Ready, 1)).get(&JOB).copied(), found, "{state:?}");
            assert!(losses(&chain, &local(Inputs::Ready, 3)).is_empty(), "{state:?}: nothing is gone");
            assert!(
                losses(&chain, &local(Inputs::Ready, 4)).is_empty(),
                "{state:?}: not all is committed yet"
            );
        }
        let others = chain(by_other(committed(job(JobState::Running), 3)));
        assert!(losses(&others, &local(Inputs::Missing, 0)).is_empty(), "another provider's files");
    }

    #[test]
    fn a_loss_is_said_once_and_again_only_if_it_comes_back() {
        let nothing = BTreeMap::new();
        let gone = losses(&chain(committed(job(JobState::Running), 2)), &local(Inputs::Ready, 1));
        let loss = Loss { committed: 2, on_disk: 1, first: 0 };
        assert_eq!(news(&nothing, &gone), News { lost: vec![(JOB, loss)], settled: vec![] });
        assert_eq!(news(&gone, &gone), News { lost: vec![], settled: vec![] });
        assert_eq!(news(&gone, &nothing), News { lost: vec![], settled: vec![JOB] });
    }

    #[test]
    fn verified_segments_of_earlier_providers_are_never_a_loss() {
        for trained in 0..=3 {
            let chain = chain(handed_over(JobState::Running, 2));
            assert!(losses(&chain, &inherited(Inputs::Ready, trained)).is_empty(), "{trained} inherited");
            assert!(losses(&chain, &local(Inputs::Ready, trained)).is_empty(), "{trained} trained again");
        }
        // An own one that is gone, or is another, is a loss; of those before none counts.
        let chain = chain(handed_over(JobState::Running, 3));
        assert!(losses(&chain, &inherited(Inputs::Ready, 3)).is_empty());
        let loss = losses(&chain, &inherited(Inputs::Ready, 2))[&JOB];
        assert_eq!((loss, loss.segments()), (Loss { committed: 3, on_disk: 2, first: 2 }, 1));
        assert_eq!(losses(&chain, &local(Inputs::Ready, 0))[&JOB].segments(), 1);
        let mut other = inherited(Inputs::Ready, 4);
        other.jobs.get_mut(&JOB).unwrap().files.segments[2].nonce = [0xee; 32];
        assert_eq!(losses(&chain, &other)[&JOB], loss, "a file that is not the committed one");
    }
}
