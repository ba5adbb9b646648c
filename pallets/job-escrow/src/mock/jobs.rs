//! Jobs in each state, for tests to begin from.

use attune_primitives::{
    job::{ArithmeticMode, Assurance, JobSpec, JobTiming, Milestone},
    machine::JobState,
    testing,
    traits::JobEscrow,
    Balance, BlockNumber, JobId,
};
use frame_support::assert_ok;
use sp_arithmetic::Permill;

use super::{neighbours::text, *};

/// Maximum price of [`spec`].
pub(crate) const MAX_PRICE: Balance = 10_001;
/// Audit fee of [`spec`].
pub(crate) const AUDIT_FEE: Balance = 50;
/// Audit budget of [`spec`]: 1 sample, 2 auditors and 3 in reserve, for each of 3 milestones.
pub(crate) const AUDIT_BUDGET: Balance = 15 * AUDIT_FEE;
/// Deadlines of [`spec`].
pub(crate) const BIDDING_BLOCKS: BlockNumber = 8;
pub(crate) const OPEN_BLOCKS: BlockNumber = 10;
pub(crate) const START_BLOCKS: BlockNumber = 15;
pub(crate) const MILESTONE_BLOCKS: BlockNumber = 20;

/// Three milestones of two segments, each for a third.
pub(crate) fn spec() -> JobSpec<AccountId> {
    let milestone = |parts| Milestone { segments: 2, share: Permill::from_parts(parts) };
    JobSpec {
        mode: ArithmeticMode::ClassExact { class: text("cpu-a") },
        assurance: Assurance { samples: 1, auditors: 2 },
        theme: text("tests"),
        max_price: MAX_PRICE,
        audit_fee: AUDIT_FEE,
        timing: JobTiming {
            bidding_blocks: 0,
            open_blocks: OPEN_BLOCKS,
            start_blocks: START_BLOCKS,
            milestone_blocks: MILESTONE_BLOCKS,
        },
        ..testing::job_spec([333_333, 333_333, 333_334].map(milestone))
    }
}

/// Price at which the helpers below accept.
pub(crate) const PRICE: Balance = 10_000;

/// Orders [`spec`].
pub(crate) fn create() -> JobId {
    order(spec())
}

/// Orders `spec` for [`CUSTOMER`].
pub(crate) fn order(spec: JobSpec<AccountId>) -> JobId {
    let id = NextJobId::<Test>::get();
    assert_ok!(Escrow::create_job(signed(CUSTOMER), spec, None));
    id
}

/// A job with a bidding window.
pub(crate) fn create_bidding() -> JobId {
    let mut spec = spec();
    spec.timing.bidding_blocks = BIDDING_BLOCKS;
    order(spec)
}

/// Lets the provider of `operator` take job `id` at `price` and start it.
pub(crate) fn take(id: JobId, operator: AccountId, price: Balance) {
    assert_ok!(Escrow::accept_job(signed(operator), id, price));
    assert_ok!(Escrow::start_job(signed(operator), id));
}

/// Lets the next milestone be committed and verified.
pub(crate) fn verify_next(id: JobId) {
    let milestone = job(id).milestones_committed;
    assert_ok!(Escrow::milestone_committed(id, milestone));
    assert_ok!(Escrow::milestone_verified(id, milestone));
}

/// A running job that the customer has called off while milestone 0 is under audit.
pub(crate) fn create_cancelling() -> JobId {
    let id = create_running();
    assert_ok!(Escrow::milestone_committed(id, 0));
    assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
    assert_eq!(state(id), JobState::Cancelling);
    id
}

/// An assigned job.
pub(crate) fn create_assigned() -> JobId {
    let id = create();
    assert_ok!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE));
    id
}

/// A running job.
pub(crate) fn create_running() -> JobId {
    let id = create_assigned();
    assert_ok!(Escrow::start_job(signed(ALICE_KEY), id));
    id
}

/// A submitted job with nothing verified.
pub(crate) fn create_submitted() -> JobId {
    let id = create_running();
    for milestone in 0..3 {
        assert_ok!(Escrow::milestone_committed(id, milestone));
    }
    assert_ok!(Escrow::submitted(id));
    id
}

/// A submitted job with everything verified.
pub(crate) fn create_verified() -> JobId {
    let id = create_submitted();
    for milestone in 0..3 {
        assert_ok!(Escrow::milestone_verified(id, milestone));
    }
    id
}
