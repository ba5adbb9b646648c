//! A job's life: from the order to the record and away.

use crate::{accounts, calls, chain, draw::Draw, run::Run, view};
use attune_primitives::{
    job::{ArithmeticMode, BaseFormat},
    machine::{JobState, Phase},
    proof::Verdict,
    traits::EpochRandomness,
    BlockNumber, JobId, H256,
};
use attune_runtime::{AccountId, AuditRandomness, ProofOfTraining, Runtime, RuntimeCall};
use pallet_job_escrow::{Call as Escrow, Job};
use pallet_proof_of_training::{
    types::{Audit, Round, Stage},
    Call as Proof, CommittedAt, Draws, Models, NextModelId, Records, Results,
};
use pallet_provider_staking::Call as Staking;

/// How the parties of a driven job behave, by one byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Everyone does its work.
    Honest,
    /// Every auditor finds a mismatch.
    Condemning,
    /// Every auditor says that it could not get the inputs.
    Unavailable,
    /// Some find a match, some don't.
    Divided,
    /// Auditors never commit.
    SilentAuditors,
    /// Auditors commit and never reveal.
    NoReveal,
    /// The provider never opens its traces.
    HiddenTrace,
    /// The first round objects; the committee finds a match.
    Upheld,
    /// The first round objects; the committee never answers.
    SilentCommittee,
}

impl Manner {
    fn of(byte: u8) -> Self {
        match byte {
            0..=111 => Self::Honest,
            112..=135 => Self::Condemning,
            136..=151 => Self::Unavailable,
            152..=175 => Self::Divided,
            176..=191 => Self::SilentAuditors,
            192..=207 => Self::NoReveal,
            208..=223 => Self::HiddenTrace,
            224..=243 => Self::Upheld,
            _ => Self::SilentCommittee,
        }
    }

    /// Whether the auditors of a round never commit.
    fn keeps_silent(self, round: Round) -> bool {
        self == Self::SilentAuditors || (self == Self::SilentCommittee && round == Round::Committee)
    }

    fn verdict(self, segment: u32, auditor: &AccountId, in_committee: bool) -> Verdict {
        let bytes: &[u8; 32] = auditor.as_ref();
        match self {
            Self::Condemning => Verdict::Mismatch,
            Self::Unavailable => Verdict::Unavailable,
            Self::Divided => {
                view::VERDICTS[(usize::from(bytes[0]) + segment as usize) % view::VERDICTS.len()]
            }
            Self::Upheld | Self::SilentCommittee if !in_committee => Verdict::Mismatch,
            _ => Verdict::Match,
        }
    }
}

/// A byte of [`Manner::Condemning`].
const CONDEMNING: u8 = 112;
/// A byte of [`Manner::Unavailable`].
const UNAVAILABLE: u8 = 136;
/// A byte of [`Manner::HiddenTrace`].
const HIDDEN_TRACE: u8 = 208;

/// What comes next for a job.
enum Next {
    /// Somebody signs something.
    Act(AccountId, Box<RuntimeCall>),
    /// Nothing can happen until after this block.
    WaitPast(BlockNumber),
    /// There is nothing more to do.
    Nothing,
}

impl Next {
    fn act(who: AccountId, call: impl Into<RuntimeCall>) -> Self {
        Self::Act(who, Box::new(call.into()))
    }
}

/// Orders a plain job and drives it some way.
///
/// # Errors
/// A rule that is broken.
pub fn order_and_drive(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let customer = accounts::customer(draw.byte() % 64 / 60);
    let manner = draw.byte();
    let ways = draw.byte();
    let shape = draw.byte();
    let mut spec = if shape >= 128 {
        calls::spec(draw, &customer)
    } else {
        let mut spec = calls::plain_spec(0);
        spec.assurance.auditors = shape % 3 + 1;
        if shape >= 96 {
            spec.timing.bidding_blocks = 2;
        }
        if shape % 4 == 3 {
            spec.mode = ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 };
        }
        spec
    };
    let models = NextModelId::<Runtime>::get();
    if !Models::<Runtime>::contains_key(spec.model) {
        // The prepared one is gone, or never was: the newest that is left.
        spec.model = (0..models).rev().find(|id| Models::<Runtime>::contains_key(id)).unwrap_or_default();
        if !Models::<Runtime>::contains_key(spec.model) {
            let info = calls::model_info(draw.byte());
            run.signed(accounts::account(accounts::MODEL_OWNER), Proof::register_model { info }.into())?;
            spec.model = models;
        }
    }
    let job = pallet_job_escrow::NextJobId::<Runtime>::get();
    if run.signed(customer, Escrow::create_job { spec, sponsor: None }.into())? {
        drive(job, manner, acts(ways), run)?;
    }
    Ok(())
}

/// A provider with delegators, some of whom are leaving, takes a job that is worth more than its self-bond, and loses it.
///
/// # Errors
/// A rule that is broken.
pub fn offence(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let provider = draw.provider();
    let mut spec = calls::plain_spec(0);
    spec.provider = Some(provider.clone());
    // A plain job's bond is its price: some share of all that is free.
    spec.max_price = view::free_stake(&provider) / (u128::from(draw.byte() % 4) + 1);
    let job = pallet_job_escrow::NextJobId::<Runtime>::get();
    if !run.signed(accounts::customer(0), Escrow::create_job { spec, sponsor: None }.into())? {
        return Ok(());
    }
    drive(job, 0, 2, run)?;
    for (delegator, shares) in view::delegators(&provider) {
        let part = u128::from(draw.byte() % 4);
        let shares = shares / 3 * part;
        if part > 0 {
            let call = Staking::undelegate { provider: provider.clone(), shares };
            run.signed(delegator, call.into())?;
        }
    }
    let manner = match draw.byte() % 4 {
        0 => CONDEMNING,
        1 => HIDDEN_TRACE,
        // The provider does no more: it misses its milestone.
        2 => {
            let Some(stored) = view::job(job) else { return Ok(()) };
            if run.wait_past(stored.deadline)? {
                run.signed(anybody(), Escrow::enforce_deadline { job }.into())?;
            }
            return Ok(());
        }
        _ => UNAVAILABLE,
    };
    drive(job, manner, 64, run)?;
    super::stake::apply_slashes(&provider, run)?;
    for owner in view::leaving(&provider) {
        if run.wait_past(super::stake::last_unlock(&provider))? {
            run.signed(owner, Staking::withdraw { provider: provider.clone() }.into())?;
        }
    }
    Ok(())
}

/// A large job for `provider`, done well to its end.
pub(super) fn a_good_job(provider: &AccountId, run: &mut Run<'_>) -> Result<(), String> {
    let mut spec = calls::plain_spec(0);
    spec.provider = Some(provider.clone());
    spec.max_price = view::free_stake(provider) / 4;
    let job = pallet_job_escrow::NextJobId::<Runtime>::get();
    if run.signed(accounts::customer(0), Escrow::create_job { spec, sponsor: None }.into())? {
        drive(job, 0, 64, run)?;
    }
    Ok(())
}

/// Drives one of the last jobs some way.
///
/// # Errors
/// A rule that is broken.
pub fn drive_on(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let job = draw.job_in(|state| !state.is_terminal());
    let (manner, ways) = (draw.byte(), draw.byte());
    drive(job, manner, acts(ways), run)
}

/// How many acts a byte stands for: any number up to a short job's whole life.
pub(super) fn acts(byte: u8) -> u32 {
    u32::from(byte % 64) + 1
}

/// Plays up to `acts` acts or waits of a job.
pub(super) fn drive(job: JobId, manner: u8, acts: u32, run: &mut Run<'_>) -> Result<(), String> {
    let (manner, prefers_audits) = (Manner::of(manner), manner % 2 == 1);
    for _ in 0..acts {
        let Some(stored) = view::job(job) else { return Ok(()) };
        match next(job, &stored, manner, prefers_audits) {
            Next::Act(who, call) => {
                if !run.signed(who, *call)? {
                    return Ok(());
                }
            }
            Next::WaitPast(block) => {
                if !run.wait_past(block)? {
                    return Ok(());
                }
            }
            Next::Nothing => return Ok(()),
        }
    }
    Ok(())
}

/// Has the provider do its next work on a job, if it has any.
pub(super) fn work_on(id: JobId, run: &mut Run<'_>) -> Result<(), String> {
    match view::job(id).map(|job| work(id, &job)) {
        Some(Next::Act(who, call)) => run.signed(who, *call).map(|_| ()),
        _ => Ok(()),
    }
}

/// Has the auditors do their next work on a job, or waits until they can.
pub(super) fn audit_on(id: JobId, run: &mut Run<'_>) -> Result<(), String> {
    match audits(id, Manner::Honest) {
        Next::Act(who, call) => run.signed(who, *call).map(|_| ()),
        Next::WaitPast(block) => run.wait_past(block).map(|_| ()),
        Next::Nothing => Ok(()),
    }
}

fn anybody() -> AccountId {
    accounts::account(accounts::STRANGER)
}

/// What the parties do next.
fn next(id: JobId, job: &Job<AccountId>, manner: Manner, prefers_audits: bool) -> Next {
    let late = |deadline: BlockNumber| match chain::now() > deadline {
        true => Next::act(anybody(), Escrow::enforce_deadline { job: id }),
        false => Next::WaitPast(deadline),
    };
    match job.state {
        JobState::Open => match taker(id, job) {
            Some(provider) if chain::now() <= job.deadline => {
                let call = Escrow::accept_job { job: id, price: job.escrow };
                Next::act(view::operator_of(&provider), call)
            }
            _ => late(job.deadline),
        },
        JobState::Assigned => match view::assigned_operator(id) {
            Some(operator) if chain::now() <= job.deadline => {
                Next::act(operator, Escrow::start_job { job: id })
            }
            _ => late(job.deadline),
        },
        JobState::Bidding => {
            let bids = pallet_job_escrow::Bids::<Runtime>::get(id);
            if let Some(bid) =
                bids.first().filter(|_| manner == Manner::Divided && chain::now() <= job.deadline)
            {
                let operator = view::operator_of(&bid.provider);
                return Next::act(operator, Escrow::withdraw_bid { job: id });
            }
            match taker(id, job) {
                Some(provider) if bids.is_empty() && chain::now() <= job.deadline => {
                    let call = Escrow::place_bid { job: id, price: job.spec.max_price };
                    Next::act(view::operator_of(&provider), call)
                }
                _ => late(job.deadline),
            }
        }
        JobState::Running | JobState::Submitted | JobState::Cancelling | JobState::Disputed(_) => {
            let work = work(id, job);
            let audits = audits(id, manner);
            let (first, second) = if prefers_audits { (audits, work) } else { (work, audits) };
            match (first, second) {
                (act @ Next::Act(..), _) | (_, act @ Next::Act(..)) => act,
                (Next::WaitPast(block), _) | (_, Next::WaitPast(block)) if block < job.deadline => {
                    Next::WaitPast(block)
                }
                _ => late(job.deadline),
            }
        }
        _ => Next::Nothing,
    }
}

/// The provider that takes an open job: the chosen one, or another one each time, if it has the stake for a plain bond.
fn taker(id: JobId, job: &Job<AccountId>) -> Option<AccountId> {
    let mut able = view::eligible(&job.spec.mode, &job.customer);
    able.retain(|provider| {
        let chosen = job.spec.provider.as_ref().is_none_or(|chosen| chosen == provider);
        chosen && !job.excluded.contains(provider) && view::free_stake(provider) >= job.escrow
    });
    let count = JobId::try_from(able.len()).unwrap_or(JobId::MAX);
    let place = id.checked_rem(count).and_then(|place| usize::try_from(place).ok())?;
    able.into_iter().nth(place)
}

/// What the provider does next besides audits.
fn work(id: JobId, job: &Job<AccountId>) -> Next {
    let Some(operator) = view::assigned_operator(id) else { return Next::Nothing };
    let runs = matches!(job.state, JobState::Running | JobState::Disputed(Phase::Running));
    if !runs || chain::now() > job.deadline {
        return Next::Nothing;
    }
    let segment = ProofOfTraining::segments_committed(id);
    if segment < job.spec.segments() {
        let commitment = calls::commitment_for(id, segment);
        return Next::act(operator, Proof::commit_segment { job: id, segment, commitment });
    }
    if job.state == JobState::Running && !Results::<Runtime>::contains_key(id) {
        let call = Proof::submit_result { job: id, adapter: H256::repeat_byte(4), adapter_bytes: 1_000 };
        return Next::act(operator, call);
    }
    Next::Nothing
}

/// What is to be drawn, answered, opened or revealed next.
fn audits(id: JobId, manner: Manner) -> Next {
    let mut wait = Next::Nothing;
    for (milestone, committed_at) in CommittedAt::<Runtime>::iter_prefix(id) {
        if Draws::<Runtime>::contains_key(id, milestone) {
            continue;
        }
        let final_at = committed_at + chain::WINDOWS.finality_margin;
        let fresh = <AuditRandomness as EpochRandomness>::latest()
            .is_some_and(|(_, epoch_start)| epoch_start > committed_at && epoch_start >= final_at);
        if fresh {
            return Next::act(anybody(), Proof::draw_audits { job: id, milestone });
        }
        wait = Next::WaitPast(chain::now());
    }
    for (segment, audit) in view::audits(id) {
        match in_audit(id, segment, &audit, manner) {
            Next::Nothing => {}
            Next::WaitPast(block) => wait = Next::WaitPast(block),
            act => return act,
        }
    }
    wait
}

fn in_audit(id: JobId, segment: u32, audit: &Audit<AccountId>, manner: Manner) -> Next {
    if audit.stage == Stage::Passed {
        return Next::Nothing;
    }
    if chain::now() > audit.deadline {
        return Next::act(anybody(), Proof::enforce_audit_deadline { job: id, segment });
    }
    let act = match audit.stage {
        Stage::Committing if !manner.keeps_silent(audit.round) => {
            view::waiting(audit).find(|slot| slot.commitment.is_none()).map(|slot| {
                let verdict = manner.verdict(segment, &slot.auditor, slot.in_committee);
                let commitment = view::verdict_commitment(id, segment, &slot.auditor, verdict);
                (view::operator_of(&slot.auditor), Proof::commit_verdict { job: id, segment, commitment })
            })
        }
        Stage::Opening if manner != Manner::HiddenTrace => view::assigned_operator(id).map(|operator| {
            let trace = view::trace_of(id, segment);
            (operator, Proof::open_trace { job: id, segment, trace, nonce: view::NONCE })
        }),
        Stage::Revealing if manner != Manner::NoReveal => {
            view::waiting(audit).find(|slot| slot.verdict.is_none()).map(|slot| {
                let (end_root, trace) = view::answer_of(id, segment, slot);
                let call = Proof::reveal_verdict { job: id, segment, end_root, trace, salt: view::SALT };
                (view::operator_of(&slot.auditor), call)
            })
        }
        _ => None,
    };
    match act {
        Some((who, call)) => Next::act(who, call),
        None => Next::WaitPast(audit.deadline),
    }
}

/// Waits until a job's deadline is over, and has it enforced.
///
/// # Errors
/// A rule that is broken.
pub fn wait_for_deadline(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let id = draw.job_in(|state| !state.is_terminal());
    let Some(job) = view::job(id).filter(|job| !job.state.is_terminal()) else { return Ok(()) };
    if run.wait_past(job.deadline)? {
        run.signed(anybody(), Escrow::enforce_deadline { job: id }.into())?;
    }
    Ok(())
}

/// Waits until the deadline of an audit is over, and has it enforced.
///
/// # Errors
/// A rule that is broken.
pub fn wait_for_audit_deadline(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let job = draw.job(|id| view::audits(id).iter().any(|(_, audit)| audit.stage != Stage::Passed));
    let open = view::audits(job).into_iter().find(|(_, audit)| audit.stage != Stage::Passed);
    let Some((segment, audit)) = open else { return Ok(()) };
    if run.wait_past(audit.deadline)? {
        run.signed(anybody(), Proof::enforce_audit_deadline { job, segment }.into())?;
    }
    Ok(())
}

/// Waits until an ended job may be deleted, pays what it owes, and deletes it and its record.
///
/// # Errors
/// A rule that is broken.
pub fn clear_away(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let job = draw.job_in(|state| state.is_terminal());
    let Some(closed_at) = view::job(job).and_then(|job| job.closed_at) else { return Ok(()) };
    if !run.wait_past(closed_at + chain::WINDOWS.prune)? {
        return Ok(());
    }
    let payees: Vec<_> = pallet_job_escrow::Owed::<Runtime>::iter_key_prefix(job).collect();
    for payee in payees {
        run.signed(anybody(), Escrow::claim_owed { job, payee }.into())?;
    }
    run.signed(anybody(), Escrow::prune_job { job }.into())?;
    if let Some(record) = Records::<Runtime>::get(job) {
        if run.wait_past(record.finalized_at + chain::WINDOWS.record_retention)? {
            run.signed(record.customer, Proof::remove_record { record: job }.into())?;
        }
    }
    Ok(())
}

/// Registers a model and removes it or another one.
///
/// # Errors
/// A rule that is broken.
pub fn model_comes_and_goes(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let owner = accounts::account(accounts::MODEL_OWNER);
    let model = NextModelId::<Runtime>::get();
    run.signed(owner.clone(), Proof::register_model { info: calls::model_info(draw.byte()) }.into())?;
    if draw.rarely(2) {
        run.signed(
            owner,
            Proof::remove_model { model: model.saturating_sub(u32::from(draw.byte() % 2)) }.into(),
        )?;
    }
    Ok(())
}
