//! What is refused beyond the tables of calls by state (`table.rs`) and by origin (`origins.rs`).

use attune_primitives::{
    machine::{Failure, JobState},
    trace, H256,
};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, types::Stage, Error};

/// Commits milestone 0, draws it, and gives segment and auditors.
fn drawn() -> (u32, Vec<AccountId>) {
    commit_until(2);
    let segment = draw(0)[0];
    (segment, waiting(segment))
}

/// The same, with everyone's honest vote committed.
fn voted() -> (u32, Vec<AccountId>) {
    let (segment, auditors) = drawn();
    for auditor in &auditors {
        assert_ok!(commit_vote(segment, *auditor, Vote::Honest));
    }
    (segment, auditors)
}

#[test]
fn segments_that_are_not_drawn_are_refused() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, auditors) = drawn();
        let other = 1 - segment;
        assert_noop!(commit_vote(other, auditors[0], Vote::Honest), Error::<Test>::NotDrawn);
        assert_noop!(open(other), Error::<Test>::NotDrawn);
        assert_noop!(reveal_vote(other, auditors[0], Vote::Honest), Error::<Test>::NotDrawn);
        assert_noop!(enforce(other), Error::<Test>::NotDrawn);
    });
}

#[test]
fn an_auditor_cannot_reveal_what_it_did_not_commit() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, auditors) = drawn();
        assert_ok!(commit_vote(segment, auditors[0], Vote::WrongRoot));
        assert_ok!(commit_vote(segment, auditors[1], Vote::Honest));
        assert_ok!(open(segment));
        for vote in [Vote::Honest, Vote::WrongTrace, Vote::Unavailable] {
            assert_noop!(reveal_vote(segment, auditors[0], vote), Error::<Test>::VerdictDiffers);
        }
        let (root, found, _) = vote_parts(segment, Vote::WrongRoot);
        let other_salt =
            Proofs::reveal_verdict(signed(operator(auditors[0])), JOB, segment, root, found, [1; 32]);
        assert_noop!(other_salt, Error::<Test>::VerdictDiffers);
        assert_ok!(reveal_vote(segment, auditors[0], Vote::WrongRoot));
        assert_noop!(reveal_vote(segment, auditors[0], Vote::WrongRoot), Error::<Test>::AlreadyRevealed);
    });
}

#[test]
fn a_copied_commitment_cannot_be_revealed() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, auditors) = drawn();
        let (root, found, salt) = vote_parts(segment, Vote::Honest);
        let copied = trace::verdict_commitment(root, found, &auditors[0], &salt);
        // The copy comes first; it does not shut the maker out.
        assert_ok!(Proofs::commit_verdict(signed(operator(auditors[1])), JOB, segment, copied));
        assert_ok!(commit_vote(segment, auditors[0], Vote::Honest));
        assert_ok!(open(segment));
        assert_ok!(reveal_vote(segment, auditors[0], Vote::Honest));
        // Now all parts are public, and still the copy opens to nothing.
        assert_noop!(reveal_vote(segment, auditors[1], Vote::Honest), Error::<Test>::VerdictDiffers);
        time_out(segment);
        assert_eq!(Staking::counts(auditors[1]).missed, 1);
        assert_eq!(Escrow::fees_paid(JOB), vec![auditors[0]]);
    });
}

#[test]
fn a_commitment_cannot_be_changed() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, auditors) = drawn();
        assert_ok!(commit_vote(segment, auditors[0], Vote::Honest));
        let again = commit_vote(segment, auditors[0], Vote::WrongRoot);
        assert_noop!(again, Error::<Test>::AlreadyCommitted);
    });
}

#[test]
fn opening_a_wrong_trace_is_refused() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, _) = voted();
        let opening =
            |found, nonce| Proofs::open_trace(signed(operator(TRAINER)), JOB, segment, found, nonce);
        let (wrong, right) = (H256::repeat_byte(1), true_trace(segment));
        assert_noop!(opening(wrong, nonce(segment)), Error::<Test>::TraceDiffers);
        assert_noop!(opening(right, [250; 32]), Error::<Test>::TraceDiffers);
        assert_ok!(opening(right, nonce(segment)));
    });
}

#[test]
fn a_provider_that_does_not_open_in_time_loses() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, _) = voted();
        skip(OPEN_BLOCKS);
        assert_noop!(enforce(segment), Error::<Test>::TooEarly);
        skip(1);
        assert_noop!(open(segment), Error::<Test>::TooLate);
        assert_ok!(enforce(segment));
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::TraceNotOpened));
    });
}

#[test]
fn a_deadline_ends_a_stage_only_after_it_passed() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, auditors) = drawn();
        skip(COMMIT_BLOCKS);
        assert_noop!(enforce(segment), Error::<Test>::TooEarly);
        assert_ok!(commit_vote(segment, auditors[0], Vote::Honest));
        skip(1);
        assert_noop!(commit_vote(segment, auditors[1], Vote::Honest), Error::<Test>::TooLate);
        assert_ok!(enforce(segment));
        assert_ok!(open(segment));
        skip(REVEAL_BLOCKS + 1);
        assert_noop!(reveal_vote(segment, auditors[0], Vote::Honest), Error::<Test>::TooLate);
    });
}

#[test]
fn the_first_round_has_no_say_in_the_committees_round() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let first = waiting(segment);
        vote_all(segment, &[Vote::WrongRoot, Vote::Honest]);
        assert_noop!(commit_vote(segment, first[0], Vote::WrongRoot), Error::<Test>::NotAuditor);
        for auditor in waiting(segment) {
            assert_ok!(commit_vote(segment, auditor, Vote::Honest));
        }
        assert_eq!(stage(segment), Stage::Revealing, "the trace is open already");
        assert_noop!(reveal_vote(segment, first[0], Vote::WrongRoot), Error::<Test>::NotAuditor);
    });
}

#[test]
fn zeros_alone_are_unavailable_and_never_a_match() {
    // The provider commits to the zero root: revealing zeros is still not a match.
    ExtBuilder::default().build_and_execute(|| {
        for segment in 0..2 {
            let mut zero = honest(segment);
            zero.state_root = H256::zero();
            assert_ok!(Proofs::commit_segment(signed(operator(TRAINER)), JOB, segment, zero));
        }
        let segment = draw(0)[0];
        vote_all(segment, &[Vote::Unavailable, Vote::Unavailable]);
        assert!(matches!(Escrow::state(JOB), JobState::Disputed(_)));
    });
}

#[test]
fn an_operator_key_that_moves_on_takes_the_slot_with_it() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, auditors) = drawn();
        let old = operator(auditors[0]);
        Staking::add(auditors[0], 5_000, &class(), 100);
        let (root, found, salt) = vote_parts(segment, Vote::Honest);
        let commitment = trace::verdict_commitment(root, found, &auditors[0], &salt);
        let call = |who| Proofs::commit_verdict(signed(who), JOB, segment, commitment);
        assert_noop!(call(old), Error::<Test>::NotOperator);
        assert_ok!(call(5_000));
    });
}
