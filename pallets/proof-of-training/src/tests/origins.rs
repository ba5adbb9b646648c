//! Every call from every origin: each has one expected result, written down here, at a moment at which the call is in order.

use attune_primitives::machine::JobState;
use frame_support::{
    assert_ok,
    traits::{fungible::Mutate, GetCallName},
};
use sp_runtime::{DispatchError, DispatchResult};

use super::table::{
    auditor, check,
    reach::{self, reach, Past, Place, Point},
    Act, Who,
};
use crate::{mock::*, Call, Error};

/// A call, when it is in order, and what it gives each of [`signers`].
struct Row {
    act: Act,
    past: Past,
    state: JobState,
    point: Point,
    expected: [DispatchResult; 8],
}

/// A stranger, the customer, the trainer and its operator, an auditor and its operator, and a provider that is neither trainer nor
/// auditor, and its operator.
fn signers(segment: u32) -> [AccountId; 8] {
    let (auditor, other) = (auditor(segment, Who::First), auditor(segment, Who::Other));
    [STRANGER, CUSTOMER, TRAINER, operator(TRAINER), auditor, operator(auditor), other, operator(other)]
}

fn rows() -> Vec<Row> {
    use Error::*;

    let ok: DispatchResult = Ok(());
    let no = |error: Error<Test>| -> DispatchResult { Err(error.into()) };
    let row = |act, past, state, point, expected| Row { act, past, state, point, expected };
    let anyone = [ok; 8];
    let only = |place: usize, error| {
        let refused = no(error);
        let expected: [DispatchResult; 8] =
            std::array::from_fn(|index| if index == place { ok } else { refused });
        expected
    };
    let not_operator = no(NotOperator);
    // The accounts of the providers themselves are no operators, either.
    let operators = |trainer, auditor, other| {
        let not = not_operator;
        [not, not, not, trainer, not, auditor, not, other]
    };
    let trainer_only = operators(ok, no(NotAssigned), no(NotAssigned));
    let auditor_only = operators(no(NotAuditor), ok, no(NotAuditor));
    use {Act::*, JobState::*, Past::*, Point::*};
    vec![
        // Whoever calls registers for itself, and pays.
        row(RegisterModel, Begun, Running, Drawn, anyone),
        row(RemoveModel, Begun, JobState::Cancelled, Drawn, only(0, NotModelOwner)),
        row(CommitSegment, Begun, Running, Drawn, trainer_only),
        row(SubmitResult, Complete, Running, Drawn, trainer_only),
        row(DrawAudits, Begun, Running, Drawable, anyone),
        row(CommitVerdict(Who::First), Begun, Running, Drawn, auditor_only),
        row(OpenTrace, Begun, Running, Opening, trainer_only),
        row(RevealVerdict(Who::First), Begun, Running, Revealing, auditor_only),
        row(Enforce, Begun, Running, Drawn, anyone),
        row(RemoveRecord, Begun, Finalized, Passed, only(1, NotCustomer)),
    ]
}

#[test]
fn every_call_from_every_origin() {
    let mut named = Vec::new();
    for Row { act, past, state, point, expected } in rows() {
        reach::job().build_and_execute(|| {
            let segment = reach(Place { past, state }, point);
            if matches!(act, Act::Enforce | Act::RemoveRecord) {
                // The stage's deadline is over, and the record was kept long enough.
                skip(1_000);
            }
            let call = || act.call(JOB, segment).1;
            named.push(call().get_call_name());
            for (signer, expected) in signers(segment).into_iter().zip(expected) {
                // For the deposit of a model.
                assert_ok!(Balances::mint_into(&signer, 1_000));
                check(signed(signer), call(), expected, &format!("{act:?} by {signer}"));
            }
            for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
                let told = format!("{act:?} by {origin:?}");
                check(origin, call(), Err(DispatchError::BadOrigin), &told);
            }
        });
    }
    named.sort_unstable();
    let mut all = Call::<Test>::get_call_names().to_vec();
    all.sort_unstable();
    assert_eq!(named, all, "a call has no row, or two");
}
