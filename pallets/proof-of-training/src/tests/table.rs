//! Every call in every state of a job, at every point of a milestone's audit, before and after the audit's deadline: each has
//! one expected result, written down here, and what is refused changes nothing. How the states and points are reached is in
//! `table/reach.rs`.

pub(super) mod reach;

use std::collections::BTreeSet;

use attune_primitives::{
    machine::{Failure, JobState, Phase},
    JobId, H256,
};
use frame_support::{
    assert_ok,
    storage::{with_transaction, TransactionOutcome},
    traits::{GetCallName, UnfilteredDispatchable},
};
use scale_info::{TypeDef, TypeInfo};
use sp_runtime::{DispatchError, DispatchResult, StateVersion};

use crate::{mock::*, types::Stage, Call, Error};
use reach::{reach, Past, Place, Point, POINTS};

type Refused = Error<Test>;

/// An auditor, as the current round of the audit sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The first whom the round waits for, or waited for.
    First,
    /// The second one.
    Second,
    /// A provider that has no say in it: it was in an earlier round, or missed it, or was not drawn.
    Other,
}

/// The pallet's calls, made by whoever may make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    RegisterModel,
    RemoveModel,
    CommitSegment,
    SubmitResult,
    DrawAudits,
    CommitVerdict(Who),
    OpenTrace,
    RevealVerdict(Who),
    Enforce,
    RemoveRecord,
}
use Act::*;
use Who::*;

const ACTS: [Act; 14] = [
    RegisterModel,
    RemoveModel,
    CommitSegment,
    SubmitResult,
    DrawAudits,
    CommitVerdict(First),
    CommitVerdict(Second),
    CommitVerdict(Other),
    OpenTrace,
    RevealVerdict(First),
    RevealVerdict(Second),
    RevealVerdict(Other),
    Enforce,
    RemoveRecord,
];

impl Act {
    /// The call with its right contents, for `job` and its drawn segment, or the one that was drawn, and who makes it.
    pub(super) fn call(self, job: JobId, segment: u32) -> (AccountId, Call<Test>) {
        let trainer = operator(trainer());
        match self {
            RegisterModel => (STRANGER, Call::register_model { info: model_info(2) }),
            RemoveModel => (STRANGER, Call::remove_model { model: 0 }),
            CommitSegment => {
                let next = Proofs::segments_committed(JOB);
                (trainer, Call::commit_segment { job, segment: next, commitment: honest(next) })
            }
            SubmitResult => {
                (trainer, Call::submit_result { job, adapter: H256::repeat_byte(3), adapter_bytes: 77 })
            }
            DrawAudits => (STRANGER, Call::draw_audits { job, milestone: reach::MILESTONE }),
            CommitVerdict(who) => {
                let auditor = auditor(segment, who);
                let (commitment, _) = votes(segment, auditor);
                (operator(auditor), Call::commit_verdict { job, segment, commitment })
            }
            OpenTrace => {
                let (trace, nonce) = (true_trace(segment), nonce(segment));
                (trainer, Call::open_trace { job, segment, trace, nonce })
            }
            RevealVerdict(who) => {
                let auditor = auditor(segment, who);
                let (_, (end_root, trace, salt)) = votes(segment, auditor);
                (operator(auditor), Call::reveal_verdict { job, segment, end_root, trace, salt })
            }
            Enforce => (STRANGER, Call::enforce_audit_deadline { job, segment }),
            RemoveRecord => (CUSTOMER, Call::remove_record { record: job }),
        }
    }
}

/// An honest vote: its commitment, and what that is made of.
fn votes(segment: u32, auditor: AccountId) -> (H256, (H256, H256, [u8; 32])) {
    let (root, trace, salt) = vote_parts(segment, Vote::Honest);
    (attune_primitives::trace::verdict_commitment(root, trace, &auditor, &salt), (root, trace, salt))
}

/// The auditor that `who` means; any provider where there is no audit.
pub(super) fn auditor(segment: u32, who: Who) -> AccountId {
    let Some(audit) = crate::Audits::<Test>::get(JOB, segment) else {
        return 20;
    };
    let current: Vec<_> = audit.waiting().map(|slot| slot.auditor).collect();
    let former = audit.slots.iter().map(|slot| slot.auditor).find(|auditor| !current.contains(auditor));
    match who {
        First => current[0],
        Second => current[1],
        Other => former
            .or_else(|| (20..28).find(|auditor| !current.contains(auditor)))
            .expect("eight are more than a round, qed"),
    }
}

/// Makes a call as a transaction does: a call that fails changes nothing.
fn dispatch(origin: RuntimeOrigin, call: Call<Test>) -> DispatchResult {
    RuntimeCall::Proofs(call).dispatch_bypass_filter(origin).map(|_| ()).map_err(|refused| refused.error)
}

/// Makes a call and takes it back; checks that it gives `expected`, that it changed nothing if it is refused, and the
/// invariants after it.
pub(super) fn check(origin: RuntimeOrigin, call: Call<Test>, expected: DispatchResult, told: &str) {
    let root = || sp_io::storage::root(StateVersion::V1);
    let outcome = with_transaction(|| {
        let before = root();
        let result = dispatch(origin, call);
        assert_eq!(result, expected, "{told}");
        assert_eq!(root() == before, result.is_err(), "{told}: what it changed");
        assert_eq!(Proofs::do_try_state(), Ok(()), "{told}");
        TransactionOutcome::Rollback(result)
    });
    assert_eq!(outcome, expected);
}

fn no(error: Refused) -> DispatchResult {
    Err(error.into())
}

/// What a state means for what has no part in the audits' course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody works on the job: no audit goes on, and the model is in use.
    Waits,
    /// Audits go on as [`audit_call`] says, and the model is in use.
    InWork,
    /// No audit goes on, and the model is not in use.
    Ended,
}

/// A state of a job, what was before it, and what the provider's calls give.
struct Row {
    place: Place,
    standing: Standing,
    commit: DispatchResult,
    submit: DispatchResult,
}

/// Every state of a job; where what was before it changes a result, more than once.
fn rows() -> Vec<Row> {
    use Error::*;
    use JobState::*;
    use Past::*;
    use Standing::*;

    let row = |past, state, standing, commit, submit| Row {
        place: Place { past, state },
        standing,
        commit,
        submit,
    };
    let nobodys = |past, state, standing| row(past, state, standing, no(NotAssigned), no(NotAssigned));
    let idle = |past, state, standing| row(past, state, standing, no(JobNotRunning), no(JobNotRunning));
    vec![
        nobodys(New, Bidding, Waits),
        nobodys(New, Open, Waits),
        idle(New, Assigned, Waits),
        row(New, Running, InWork, Ok(()), no(SegmentsMissing)),
        nobodys(New, Expired, Ended),
        nobodys(New, Cancelled, Ended),
        idle(New, Failed(Failure::NotStarted), Ended),
        idle(New, Failed(Failure::InputsUnusable), Ended),
        // Training goes on in a dispute; the submission waits for its end.
        row(Begun, Running, InWork, Ok(()), no(SegmentsMissing)),
        row(Begun, Disputed(Phase::Running), InWork, Ok(()), no(JobNotRunning)),
        row(Complete, Running, InWork, no(UnknownSegment), Ok(())),
        row(Complete, Disputed(Phase::Running), InWork, no(UnknownSegment), no(JobNotRunning)),
        idle(Begun, Submitted, InWork),
        idle(Begun, Disputed(Phase::Submitted), InWork),
        idle(Begun, Cancelling, InWork),
        idle(Begun, Disputed(Phase::Cancelling), InWork),
        idle(Begun, Finalized, Ended),
        idle(Begun, Cancelled, Ended),
        idle(Begun, Failed(Failure::MissedMilestone), Ended),
        idle(Begun, Failed(Failure::TraceNotOpened), Ended),
        idle(Begun, Failed(Failure::WrongResult), Ended),
        idle(Begun, Failed(Failure::NoAuditors), Ended),
        idle(Begun, Failed(Failure::AuditsUnfinished), Ended),
        // The job's deadline is over and nobody has pushed it: audits go on, the provider is too late.
        row(Late, Running, InWork, no(UnknownSegment), Err(DispatchError::Other("the state refuses"))),
        row(Late, Disputed(Phase::Running), InWork, no(UnknownSegment), no(JobNotRunning)),
        idle(Late, Submitted, InWork),
        idle(Late, Disputed(Phase::Submitted), InWork),
        nobodys(HandedOver, Open, Waits),
        idle(HandedOver, Assigned, Waits),
        row(HandedOver, Running, InWork, Ok(()), no(SegmentsMissing)),
        nobodys(HandedOver, Expired, Ended),
        nobodys(HandedOver, Cancelled, Ended),
        idle(HandedOver, Failed(Failure::NotStarted), Ended),
        idle(HandedOver, Failed(Failure::InputsUnusable), Ended),
    ]
}

/// What a call of the audits gives at `point` while the job is in work, up to the audit's deadline or `late`.
fn audit_call(point: Point, act: Act, late: bool) -> DispatchResult {
    use Error::*;
    use Point::*;

    let each = |act: fn(Who) -> Act, first| {
        vec![(act(First), first), (act(Second), Ok(())), (act(Other), no(NotAuditor))]
    };
    // What this stage asks for, and what each of it gives in time.
    let asked = match point {
        Untouched | Partial | Committed | Drawable | Passed | Upheld => vec![],
        Drawn | Redrawn | Committee => each(CommitVerdict, Ok(())),
        OneVoted | CommitteeOneVoted => each(CommitVerdict, no(AlreadyCommitted)),
        Opening => vec![(OpenTrace, Ok(()))],
        Revealing | RedrawnRevealing | CommitteeRevealing => each(RevealVerdict, Ok(())),
        OneRevealed | CommitteeOneRevealed => each(RevealVerdict, no(AlreadyRevealed)),
    };
    let in_time = asked.iter().find(|(asked, _)| *asked == act).map(|(_, result)| *result);
    match (point, act) {
        (Untouched | Partial, DrawAudits) => no(MilestoneNotCommitted),
        (Committed, DrawAudits) => no(RandomnessTooOld),
        (Drawable, DrawAudits) => Ok(()),
        (_, DrawAudits) => no(AlreadyDrawn),
        (Untouched | Partial | Committed | Drawable, _) => no(NotDrawn),
        (Passed | Upheld, _) => no(WrongStage),
        (_, Enforce) if late => Ok(()),
        (_, Enforce) => no(TooEarly),
        _ => match in_time {
            Some(_) if late => no(TooLate),
            Some(result) => result,
            None => no(WrongStage),
        },
    }
}

impl Row {
    fn expected(&self, point: Point, act: Act, late: bool) -> DispatchResult {
        use Error::*;

        match (act, self.standing) {
            (RegisterModel, _) => Ok(()),
            (RemoveModel, Standing::Ended) => Ok(()),
            (RemoveModel, _) => no(ModelInUse),
            (CommitSegment, _) => self.commit,
            (SubmitResult, _) => self.submit,
            (RemoveRecord, _) if self.place.state != JobState::Finalized => no(UnknownRecord),
            (RemoveRecord, _) if late => Ok(()),
            (RemoveRecord, _) => no(TooEarly),
            (_, Standing::InWork) => audit_call(self.place.point_left(point), act, late),
            (_, Standing::Waits | Standing::Ended) => no(JobNotLive),
        }
    }
}

/// The names of an enum's variants.
fn variants<T: TypeInfo>() -> BTreeSet<String> {
    let TypeDef::Variant(def) = T::type_info().type_def else {
        panic!("it is an enum");
    };
    def.variants.iter().map(|variant| variant.name.into()).collect()
}

/// The name of a variant without what is in it.
fn name(variant: &impl std::fmt::Debug) -> String {
    format!("{variant:?}").split('(').next().expect("a split has a first part, qed").into()
}

#[test]
fn every_call_in_every_state_and_at_every_point_of_an_audit_does_what_they_allow_and_nothing_else() {
    let (mut states, mut phases, mut failures) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut stages, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut in_work = BTreeSet::new();
    for row in rows() {
        let place = row.place;
        let points: Vec<_> = POINTS.into_iter().filter(|point| place.meets(*point)).collect();
        assert!(!points.is_empty(), "{place:?} is never reached");
        states.insert(name(&place.state));
        match place.state {
            JobState::Disputed(phase) => drop(phases.insert(name(&phase))),
            JobState::Failed(failure) => drop(failures.insert(name(&failure))),
            _ => {}
        }
        for (point, late) in points.into_iter().flat_map(|point| [(point, false), (point, true)]) {
            reach::job().build_and_execute(|| {
                let segment = reach(place, point);
                assert_eq!(Escrow::state(JOB), place.state, "{place:?}, {point:?}");
                if let Some(audit) = crate::Audits::<Test>::get(JOB, segment) {
                    stages.insert(name(&audit.stage));
                }
                if row.standing == Standing::InWork {
                    in_work.insert(place.point_left(point));
                }
                if late {
                    // All deadlines of audits are over, and the record was kept long enough; not those of the job.
                    skip(1_000);
                }
                for act in ACTS {
                    let (who, call) = act.call(JOB, segment);
                    names.insert(call.get_call_name());
                    let expected = row.expected(point, act, late);
                    let told = format!("{place:?}, {point:?}, late {late}, {act:?}");
                    if act == Enforce {
                        let due = Proofs::is_audit_deadline_due(JOB, segment);
                        assert_eq!(due, expected.is_ok(), "{told}: whether it costs nothing");
                    }
                    check(signed(who), call, expected, &told);
                }
            });
        }
    }
    assert_eq!(states, variants::<JobState>(), "a state has no row");
    assert_eq!(phases, variants::<Phase>(), "a disputed state has no row");
    assert_eq!(failures, variants::<Failure>(), "a failure has no row");
    assert_eq!(in_work, POINTS.into(), "a point is never looked at while the job is in work");
    assert_eq!(stages, variants::<Stage>(), "a stage has no point");
    assert_eq!(names, Call::<Test>::get_call_names().iter().copied().collect(), "a call has no act");
}

#[test]
fn unknown_jobs_models_and_records_are_refused() {
    ExtBuilder::default().build_and_execute(|| {
        for act in ACTS {
            let (who, call) = act.call(JOB + 1, 0);
            let (call, expected) = match act {
                RegisterModel => continue,
                RemoveModel => (Call::remove_model { model: 7 }, no(Error::UnknownModel)),
                RemoveRecord => (call, no(Error::UnknownRecord)),
                _ => (call, no(Error::UnknownJob)),
            };
            check(signed(who), call, expected, &format!("{act:?}"));
        }
        assert_ok!(commit(0));
    });
}
