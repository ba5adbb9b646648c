//! Generators of job-escrow's calls.

use crate::{accounts, calls::staking, draw::Draw, view};
use attune_primitives::{
    job::{ArithmeticMode, Assurance, BaseFormat, JobSpec, JobTiming, Method, Milestone, MAX_MILESTONES},
    machine::JobState,
    testing, Balance, ModelId,
};
use attune_runtime::{
    units::{ATT, MILLI_ATT},
    AccountId, Runtime, RuntimeCall,
};
use frame_support::{
    traits::{ConstU32, Get},
    BoundedVec,
};
use pallet_job_escrow::{Call, Config};
use sp_runtime::Permill;

/// The least fee of an audit, in planck.
fn min_audit_fee() -> Balance {
    <<Runtime as Config>::MinAuditFee as Get<Balance>>::get()
}

/// A registered model, or one that isn't.
fn model(byte: u8) -> ModelId {
    let next = pallet_proof_of_training::NextModelId::<Runtime>::get();
    match byte {
        0..=239 => ModelId::from(byte / 64) % next.max(1),
        240..=251 => next,
        _ => ModelId::MAX,
    }
}

/// A job of two milestones of two segments, one audit each, that any provider of the prepared state can take.
pub(crate) fn plain_spec(model: ModelId) -> JobSpec<AccountId> {
    let all: BoundedVec<_, ConstU32<MAX_MILESTONES>> = milestones(&[(2, 40), (2, 60)]);
    JobSpec {
        model,
        mode: ArithmeticMode::ClassExact { class: staking::class(staking::CLASS) },
        theme: BoundedVec::truncate_from(b"Fuzz".to_vec()),
        max_price: 20 * ATT,
        audit_fee: 20 * MILLI_ATT,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 10, start_blocks: 10, milestone_blocks: 20 },
        ..testing::job_spec(all)
    }
}

/// Milestones of segments and percents.
fn milestones<const N: usize, B: Get<u32>>(parts: &[(u32, u32); N]) -> BoundedVec<Milestone, B> {
    let all = parts
        .iter()
        .map(|(segments, percent)| Milestone { segments: *segments, share: Permill::from_percent(*percent) });
    BoundedVec::truncate_from(all.collect())
}

/// What is ordered. Shapes that are plain for small bytes, and one broken rule at a time for large ones.
pub(crate) fn spec(draw: &mut Draw<'_>, customer: &AccountId) -> JobSpec<AccountId> {
    let mut spec = plain_spec(model(draw.byte()));
    spec.milestones = match draw.byte() % 8 {
        0..=2 => milestones(&[(1, 100)]),
        3 | 4 => milestones(&[(2, 40), (2, 60)]),
        5 => milestones(&[(1, 1), (3, 33), (1, 66)]),
        6 => milestones(&[(8, 100)]),
        _ => milestones(&[(1, 10), (1, 20), (1, 30), (1, 40)]),
    };
    match draw.byte() {
        0..=127 => {}
        byte @ 128..=219 => {
            spec.assurance = Assurance { samples: byte % 4 + 1, auditors: byte / 4 % 4 + 1 };
        }
        220..=227 => spec.milestones = milestones(&[(1, 50)]),
        228..=231 => spec.milestones = BoundedVec::default(),
        232..=235 => spec.assurance.samples = 0,
        236..=239 => spec.hyper.learning_rate_nano = 0,
        240..=243 => spec.data.rows = 0,
        244..=247 => spec.method = Method::Lora { rank: 0, alpha: 1, rank_stabilised: true },
        248..=251 => spec.milestones = milestones(&[(0, 50), (2, 50)]),
        _ => spec.timing.start_blocks = 0,
    }
    match draw.byte() {
        0..=159 => {}
        byte @ 160..=231 => {
            spec.mode = ArithmeticMode::Exact { version: u16::from(byte % 8 / 7) + 1, base: BaseFormat::W8 };
        }
        232..=243 => spec.mode = ArithmeticMode::ClassExact { class: staking::class(b"cpu-b") },
        244..=249 => spec.data.held_out_rows = 1,
        _ => spec.mode = ArithmeticMode::ClassExact { class: BoundedVec::default() },
    }
    spec.max_price = draw.amount(ATT / 4, customer);
    if draw.rarely(4) {
        spec.audit_fee = draw.amount(min_audit_fee(), customer);
    }
    match draw.byte() {
        0..=199 => {}
        byte @ 200..=239 => spec.provider = Some(accounts::stash(byte)),
        byte => spec.provider = Some(accounts::anyone(byte - 240)),
    }
    spec
}

/// The operator that takes the prepared state's jobs: one alone, so that the other providers can leave.
pub(super) fn worker() -> AccountId {
    accounts::operator(3)
}

/// Four jobs of the prepared state: open, assigned, and two that run.
pub(super) fn four_jobs() -> Vec<(AccountId, RuntimeCall)> {
    let create = |_| {
        let mut spec = plain_spec(0);
        spec.timing =
            JobTiming { bidding_blocks: 0, open_blocks: 40, start_blocks: 40, milestone_blocks: 40 };
        (accounts::customer(0), Call::create_job { spec, sponsor: None }.into())
    };
    let accept = |job| (worker(), Call::accept_job { job, price: 20 * ATT }.into());
    let start = |job| (worker(), Call::start_job { job }.into());
    (0..4).map(create).chain((1..4).map(accept)).chain((2..4).map(start)).collect()
}

pub(super) fn create_job(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let customer = match draw.byte() {
        byte @ 0..=231 => accounts::customer(byte),
        byte => accounts::somebody(byte - 232),
    };
    let mut spec = spec(draw, &customer);
    let span = draw.byte();
    if span >= 128 {
        let spans = [span, span.wrapping_mul(3)];
        let mut again = Draw::new(&spans);
        spec.timing.open_blocks = again.span();
        spec.timing.milestone_blocks = again.span();
    }
    if draw.rarely(3) {
        spec.timing.bidding_blocks = u32::from(draw.byte() % 8);
    }
    let (sponsor, customer) = match sponsorship(draw) {
        Some((sponsor, customer)) if !draw.rarely(4) => (Some(sponsor), customer),
        _ => (None, customer),
    };
    (customer, Call::create_job { spec, sponsor }.into())
}

pub(super) fn accept_job(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let job = draw.job_in(|state| *state == JobState::Open);
    let byte = draw.byte();
    let Some(stored) = view::job(job) else {
        return (draw.somebody(), Call::accept_job { job, price: ATT }.into());
    };
    let able = view::eligible(&stored.spec.mode, &stored.customer);
    let who = match able.len() {
        0 => draw.provider(),
        count => able[usize::from(byte) % count].clone(),
    };
    let most = stored.spec.max_price;
    let byte = draw.byte();
    let price = match byte {
        0..=99 => most,
        100..=179 => most / (Balance::from(byte % 16) + 1),
        180..=199 => most.saturating_add(1),
        200..=209 => 0,
        210..=229 => 1,
        _ => draw.amount(ATT, &who),
    };
    (view::operator_of(&who), Call::accept_job { job, price }.into())
}

/// A job in a state that fits, and the operator that works on it.
pub(super) fn job_at_work(draw: &mut Draw<'_>, fits: impl Fn(&JobState) -> bool) -> (u64, AccountId) {
    let job = draw.job_in(fits);
    let who = view::assigned_operator(job).unwrap_or_else(|| accounts::operator(draw.byte()));
    (job, who)
}

pub(super) fn start_job(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, who) = job_at_work(draw, |state| *state == JobState::Assigned);
    (who, Call::start_job { job }.into())
}

pub(super) fn decline_job(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, who) = job_at_work(draw, |state| *state == JobState::Assigned);
    (who, Call::decline_job { job }.into())
}

pub(super) fn cancel_job(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let job = draw.job_in(|state| !state.is_terminal());
    let who = view::job(job).map_or_else(|| accounts::customer(0), |stored| stored.customer);
    (who, Call::cancel_job { job }.into())
}

pub(super) fn enforce_deadline(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let now = crate::chain::now();
    let job = draw.job(|id| view::job(id).is_some_and(|job| !job.state.is_terminal() && job.deadline < now));
    (accounts::account(accounts::STRANGER), Call::enforce_deadline { job }.into())
}

pub(super) fn claim_owed(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let owed: Vec<_> = pallet_job_escrow::Owed::<Runtime>::iter_keys().collect();
    let (job, payee) = match owed.len() {
        0 => (draw.job(|_| true), draw.provider()),
        count => owed[usize::from(byte) % count].clone(),
    };
    (accounts::account(accounts::STRANGER), Call::claim_owed { job, payee }.into())
}

pub(super) fn prune_job(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let job = draw.job_in(|state| state.is_terminal());
    (accounts::account(accounts::STRANGER), Call::prune_job { job }.into())
}

/// A job on which providers bid, with the operator of one that may.
fn bidder(draw: &mut Draw<'_>) -> (u64, AccountId, Balance) {
    let job = draw.job_in(|state| *state == JobState::Bidding);
    let byte = draw.byte();
    let Some(stored) = view::job(job) else { return (job, draw.somebody(), ATT) };
    let able = view::eligible(&stored.spec.mode, &stored.customer);
    let who = match able.len() {
        0 => draw.provider(),
        count => able[usize::from(byte) % count].clone(),
    };
    (job, view::operator_of(&who), stored.spec.max_price)
}

pub(super) fn place_bid(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, who, most) = bidder(draw);
    let byte = draw.byte();
    let price = match byte {
        0..=99 => most,
        100..=223 => most / (Balance::from(byte % 16) + 1),
        224..=239 => most.saturating_add(1),
        240..=247 => 0,
        _ => 1,
    };
    (who, Call::place_bid { job, price }.into())
}

pub(super) fn withdraw_bid(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, who, _) = bidder(draw);
    let byte = draw.byte();
    let bids = pallet_job_escrow::Bids::<Runtime>::get(job);
    let who = match bids.len() {
        0 => who,
        count => view::operator_of(&bids[usize::from(byte) % count].provider),
    };
    (who, Call::withdraw_bid { job }.into())
}

pub(super) fn top_up(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let job = draw.job_in(|state| !state.is_terminal());
    let who = view::job(job).map_or_else(|| accounts::customer(0), |stored| stored.funder);
    let for_training = if draw.rarely(2) { draw.amount(ATT, &who) } else { 0 };
    let for_audits = draw.amount(min_audit_fee(), &who);
    (who, Call::top_up { job, for_training, for_audits }.into())
}

pub(super) fn sponsor(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = accounts::delegator(draw.byte());
    let customer = accounts::customer(draw.byte());
    let limit = draw.amount(ATT, &who);
    let per_job = draw.amount(ATT, &who);
    let expires_at = crate::chain::now().saturating_add(draw.span());
    (who, Call::sponsor { customer, limit, per_job, expires_at }.into())
}

/// A sponsorship: who pays for whom.
fn sponsorship(draw: &mut Draw<'_>) -> Option<(AccountId, AccountId)> {
    let byte = draw.byte();
    let all: Vec<_> = pallet_job_escrow::Sponsorships::<Runtime>::iter_keys().collect();
    let place = usize::from(byte).checked_rem(all.len())?;
    all.get(place).cloned()
}

pub(super) fn end_sponsorship(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (sponsor, customer) =
        sponsorship(draw).unwrap_or_else(|| (accounts::delegator(draw.byte()), accounts::customer(0)));
    let who = if draw.rarely(2) { customer.clone() } else { sponsor.clone() };
    (who, Call::end_sponsorship { sponsor, customer }.into())
}
