//! From a customer's wishes to a job's specification, and what it will cost in money and time.
//!
//! Everything here is a pure function of the wishes, the packed data and what providers advertise, so that the numbers
//! which the customer agrees to can be checked without a chain.

mod mode;
mod story;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{
    quote,
    types::{Constants, ProviderInfo, Spec},
    AccountId, ChainIdentity,
};
use attune_primitives::{
    job::{
        ArithmeticMode, Assurance, DataSpec, HyperParameters, JobSpec, JobTiming, Method, Milestone,
        Schedule, MAX_MILESTONES, MAX_SEGMENTS,
    },
    Balance, ModelId,
};
use attune_trainer::ENGINE_VERSION;
use sp_arithmetic::Permill;

use crate::{
    arithmetic::{self, Wanted},
    money,
    output::clean_bytes,
};

pub use story::money_story;

use mode::choose_mode;

/// Millionths in one.
const WHOLE: u32 = 1_000_000;
/// How far above the cheapest quote the default maximum price is, in percent.
const PRICE_MARGIN_PERCENT: u128 = 25;
/// Shortest default time for a provider to accept, to start, and to train a milestone.
const MIN_OPEN: Duration = Duration::from_secs(120);
const MIN_START: Duration = Duration::from_secs(300);
const MIN_MILESTONE: Duration = Duration::from_secs(300);
/// How much longer than estimated a milestone may take by default.
const MILESTONE_FACTOR: f64 = 5.0;

/// What a customer wants.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How the model is tuned.
    pub method: Method,
    /// Peak learning rate, in units of 1e-9.
    pub learning_rate_nano: u64,
    /// How the learning rate moves after the warm-up.
    pub schedule: Schedule,
    /// Steps of warm-up; a twentieth of all steps if none are given.
    pub warmup_steps: Option<u32>,
    /// Packed rows of one forward pass.
    pub micro_batch_rows: u16,
    /// Forward passes of one optimizer step.
    pub gradient_accumulation: u16,
    /// Largest global norm of the gradient, in units of 1e-6; 0 for no clipping.
    pub max_gradient_norm_micro: u32,
    /// Decoupled weight decay, in units of 1e-6.
    pub weight_decay_micro: u32,
    /// How long to train.
    pub length: Length,
    /// Parts of the work that are paid for one by one.
    pub milestones: u32,
    /// Segments of each milestone.
    pub segments: u32,
    /// Segments drawn from each milestone.
    pub samples: u8,
    /// Auditors of each drawn segment.
    pub auditors: u8,
    /// Seed.
    pub seed: u64,
    /// What the training is about.
    pub theme: String,
    /// The most to pay for training, in planck; a quarter above the cheapest quote if none is given.
    pub max_price: Option<Balance>,
    /// Pay of one auditor for one segment, in planck; what the re-execution costs at the dearest price if none is given.
    pub audit_fee: Option<Balance>,
    /// The arithmetic.
    pub arithmetic: Wanted,
    /// The only provider that may accept.
    pub provider: Option<AccountId>,
    /// Who pays in place of the customer.
    pub sponsor: Option<AccountId>,
    /// How long providers bid before the lowest bid wins, in blocks; 0 for the first quote that fits.
    pub bidding_blocks: u32,
    /// How long the job waits for a provider, in blocks.
    pub open_blocks: Option<u32>,
    /// How long the provider may take to fetch the inputs and start, in blocks.
    pub start_blocks: Option<u32>,
    /// How long the provider may take for each milestone, in blocks.
    pub milestone_blocks: Option<u32>,
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Passes over the training rows.
    Epochs(f64),
    /// Optimizer steps.
    Steps(u32),
}

/// What one provider would ask and how long it would take.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Quote {
    /// The provider.
    pub provider: AccountId,
    /// Its name.
    pub name: String,
    /// Its price for this job, in planck, from what it advertises.
    pub price: Balance,
    /// How long it trains, in seconds, at the speed that it advertises.
    pub seconds: u64,
}

/// A job, ready to be ordered, with its estimate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The specification.
    pub spec: Spec,
    /// Quotes, cheapest first.
    pub quotes: Vec<Quote>,
    /// Optimizer steps in all.
    pub steps: u32,
    /// Tokens that pass through the model, padding included.
    pub tokens: u64,
    /// Held for audits, in planck; what is not used comes back.
    pub audit_budget: Balance,
    /// Deposit for the job's entry, in planck; comes back when the entry is pruned.
    pub deposit: Balance,
    /// Who pays in place of the customer.
    pub sponsor: Option<AccountId>,
    /// How often the job may be handed over to another provider; 0 if the customer chose the provider.
    pub max_handovers: u32,
    /// How long training takes at the cheapest provider that would accept.
    pub training: Duration,
    /// How long it takes from the order to the record, about.
    pub whole: Duration,
}

impl Plan {
    /// What leaves the free balance of who pays when the job is ordered, in planck; fees of the transaction aside.
    ///
    /// # Errors
    /// If the sum does not fit.
    pub fn held(&self) -> Result<Balance> {
        let sum =
            self.spec.max_price.checked_add(self.audit_budget).and_then(|sum| sum.checked_add(self.deposit));
        sum.context(
            "the price and the audit budget are too large to add up; lower --max-price or --audit-fee",
        )
    }
}

/// Draws up the job.
///
/// # Errors
/// If too few providers compute the arithmetic to train and audit, a number is outside its range, or the price is beyond reach.
pub fn plan(
    wishes: &Wishes,
    model: ModelId,
    data: DataSpec,
    providers: &[ProviderInfo],
    constants: &Constants,
    chain: &ChainIdentity,
) -> Result<Plan> {
    let mode = choose_mode(wishes, providers)?;
    let steps_per_segment = steps_per_segment(wishes, data.rows)?;
    let segments = wishes.milestones * wishes.segments;
    let steps =
        steps_per_segment.checked_mul(segments).context("more steps than a job can have; train for less")?;
    let mut spec = draft(wishes, model, data, mode.clone(), steps_per_segment, steps)?;
    let able = || providers.iter().filter(|provider| provider.active && provider.profile.computes(&mode));
    let may_accept =
        |provider: &&ProviderInfo| wishes.provider.is_none_or(|wanted| wanted == provider.account);
    let mut quotes: Vec<Quote> =
        able().filter(may_accept).filter_map(|provider| quote(&spec, provider)).collect();
    quotes.sort_by_key(|quote| (quote.price, quote.seconds));
    let cheapest = quotes.first().with_context(|| no_offer(&mode))?.clone();
    let slowest = quotes.iter().map(|quote| quote.seconds).max().unwrap_or(cheapest.seconds);
    let dearest = able().filter_map(|provider| quote(&spec, provider)).map(|quote| quote.price).max();
    let of_a_segment = dearest
        .map(|price| price.div_ceil(u128::from(segments)).max(constants.min_audit_fee))
        .map(money::round_up);
    let with_margin = cheapest.price.saturating_mul(100 + PRICE_MARGIN_PERCENT).div_ceil(100);
    spec.max_price = wishes.max_price.unwrap_or(money::round_up(with_margin));
    spec.audit_fee =
        wishes.audit_fee.or(of_a_segment).context("no auditor's price is known; give --audit-fee")?;
    if spec.audit_fee < constants.min_audit_fee {
        let (found, least) = (money::show(spec.audit_fee), money::show(constants.min_audit_fee));
        bail!(
            "--audit-fee is {found}, below the least of this chain, {least}; auditors can't refuse, so they get at \
             least that"
        );
    }
    spec.timing = timing(wishes, slowest, constants, chain);
    spec.validate()
        .map_err(|error| anyhow::anyhow!("the job cannot be ordered like this: {}", spec_advice(error)))?;
    let audits =
        u128::from(spec.audits()) + u128::from(constants.committee_reserve) * u128::from(wishes.milestones);
    let audit_budget =
        spec.audit_fee.checked_mul(audits).context("the audit fee is too large; lower --audit-fee")?;
    let training = Duration::from_secs(cheapest.seconds);
    let whole = whole_time(wishes, training, constants, chain);
    let tokens = attune_chain_client::quote::tokens(&spec);
    Ok(Plan {
        spec,
        quotes,
        steps,
        tokens,
        audit_budget,
        deposit: constants.job_deposit,
        sponsor: wishes.sponsor,
        max_handovers: if wishes.provider.is_some() { 0 } else { constants.max_handovers },
        training,
        whole,
    })
}

/// The job but for its price and timing, which follow from the rest.
fn draft(
    wishes: &Wishes,
    model: ModelId,
    data: DataSpec,
    mode: ArithmeticMode,
    steps_per_segment: u32,
    steps: u32,
) -> Result<Spec> {
    Ok(JobSpec {
        model,
        data,
        method: wishes.method,
        hyper: HyperParameters {
            learning_rate_nano: wishes.learning_rate_nano,
            schedule: wishes.schedule,
            warmup_steps: wishes.warmup_steps.unwrap_or(steps / 20),
            micro_batch_rows: wishes.micro_batch_rows,
            gradient_accumulation: wishes.gradient_accumulation,
            max_gradient_norm_micro: wishes.max_gradient_norm_micro,
            weight_decay_micro: wishes.weight_decay_micro,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 10_000,
        },
        mode,
        engine_version: ENGINE_VERSION,
        seed: wishes.seed,
        steps_per_segment,
        milestones: milestones(wishes)
            .try_into()
            .map_err(|_| anyhow::anyhow!("--milestones is above {MAX_MILESTONES}"))?,
        assurance: Assurance { samples: wishes.samples, auditors: wishes.auditors },
        theme: wishes.theme.as_bytes().to_vec().try_into().map_err(|_| theme_too_long(&wishes.theme))?,
        max_price: 1,
        audit_fee: 1,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 1, start_blocks: 1, milestone_blocks: 1 },
        provider: wishes.provider,
    })
}

/// What a provider would ask for the job by what it advertises; `None` if it advertises no speed.
fn quote(spec: &Spec, provider: &ProviderInfo) -> Option<Quote> {
    Some(Quote {
        provider: provider.account,
        name: clean_bytes(&provider.profile.name),
        price: quote::price(spec, 0, &provider.profile, 0)?,
        seconds: quote::seconds(spec, provider.profile.tokens_per_second)?,
    })
}

fn no_offer(mode: &ArithmeticMode) -> String {
    format!("no provider that computes {} and may accept advertises its speed", arithmetic::show(mode))
}

/// Steps of one segment, so that the whole is at least as long as wished.
fn steps_per_segment(wishes: &Wishes, rows: u32) -> Result<u32> {
    let in_range = |what: &str, value: u32, most: u32| match value {
        0 => bail!("{what} is 0; expected 1 to {most}"),
        value if value > most => bail!("{what} is {value}; expected 1 to {most}"),
        _ => Ok(()),
    };
    in_range("--milestones", wishes.milestones, MAX_MILESTONES)?;
    in_range("--segments", wishes.segments, MAX_SEGMENTS / wishes.milestones)?;
    let rows_per_step = u32::from(wishes.micro_batch_rows) * u32::from(wishes.gradient_accumulation);
    if rows_per_step == 0 {
        bail!("--batch and --accumulate must be at least 1");
    }
    let steps = match wishes.length {
        Length::Steps(steps) => f64::from(steps),
        Length::Epochs(epochs) => f64::from(rows) * epochs / f64::from(rows_per_step),
    };
    let per_segment = (steps / f64::from(wishes.milestones * wishes.segments)).ceil();
    if !(1.0..=f64::from(u32::MAX / MAX_SEGMENTS)).contains(&per_segment) {
        bail!("the length gives {steps} steps; expected more than 0 and fewer than 33 million");
    }
    Ok(per_segment as u32)
}

/// Equal shares; the last one takes what rounding leaves.
fn milestones(wishes: &Wishes) -> Vec<Milestone> {
    let share = WHOLE / wishes.milestones;
    let of = |number: u32| if number == wishes.milestones { WHOLE - share * (number - 1) } else { share };
    let numbers = 1..=wishes.milestones;
    numbers.map(|n| Milestone { segments: wishes.segments, share: Permill::from_parts(of(n)) }).collect()
}

fn theme_too_long(theme: &str) -> anyhow::Error {
    anyhow::anyhow!("--theme has {} bytes; at most 64 are kept on chain", theme.len())
}

fn timing(wishes: &Wishes, slowest_seconds: u64, constants: &Constants, chain: &ChainIdentity) -> JobTiming {
    let blocks = |span: Duration| {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let blocks = u32::try_from(millis.div_ceil(chain.block_millis.max(1))).unwrap_or(u32::MAX);
        blocks.min(constants.max_phase_blocks)
    };
    let of_milestone = slowest_seconds as f64 * MILESTONE_FACTOR / f64::from(wishes.milestones.max(1));
    let milestone = Duration::from_secs_f64(of_milestone.clamp(0.0, 1e9)).max(MIN_MILESTONE);
    JobTiming {
        bidding_blocks: wishes.bidding_blocks,
        open_blocks: wishes.open_blocks.unwrap_or(blocks(MIN_OPEN)),
        start_blocks: wishes.start_blocks.unwrap_or(blocks(MIN_START)),
        milestone_blocks: wishes.milestone_blocks.unwrap_or(blocks(milestone)),
    }
}

/// From the order to the record: training, then the last milestone's audit (randomness of an epoch that begins after
/// the commitment is final: one and a half epochs on average; re-execution; three transactions one after the other),
/// then the challenge window.
fn whole_time(wishes: &Wishes, training: Duration, constants: &Constants, chain: &ChainIdentity) -> Duration {
    let segments = (wishes.milestones * wishes.segments).max(1);
    let acceptance = u64::from(wishes.bidding_blocks) + 6;
    let audit = u64::from(constants.finality_margin) + chain.epoch_slots * 3 / 2 + 9;
    let blocks = acceptance + audit + u64::from(constants.challenge_window);
    training + training / segments + Duration::from_millis(blocks.saturating_mul(chain.block_millis))
}

fn spec_advice(error: attune_primitives::job::SpecError) -> &'static str {
    use attune_primitives::job::SpecError::*;
    match error {
        Segments => "there must be 1 to 128 segments in all; change --milestones or --segments",
        Shares => "the milestones' shares don't add up to the whole price",
        Assurance => "--samples must be 1 to 8 and --auditors 1 to 4",
        SamplesAboveSegments => {
            "--samples is above --segments; a milestone's audit cannot draw more than it has"
        }
        Data => "the data set is empty or its rows are too long",
        Method => "--rank must be 1 to 1024 and --alpha at least 1",
        HyperParameters => "the learning rate, batch and steps must be above 0",
        Timing => {
            "every time span must be at least one block, and --bidding-blocks has no sense with --provider: leave one of \
             them out"
        }
        Price => "--max-price must be above 0",
        Arithmetic => "--class is empty",
    }
}
