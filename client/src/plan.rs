//! From a customer's wishes to a job's specification, and what it will cost in money and time.
//!
//! Everything here is a pure function of the wishes, the packed data and what providers advertise, so that the numbers
//! which the customer agrees to can be checked without a chain.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{
    quote,
    types::{Constants, ProviderInfo, Spec},
    AccountId, ChainIdentity,
};
use attune_primitives::{
    job::{
        ArithmeticMode, Assurance, DataSpec, ExecutionClass, HyperParameters, JobSpec, JobTiming, Method,
        Milestone, Schedule, MAX_MILESTONES, MAX_SEGMENTS,
    },
    provider::ProviderProfile,
    Balance, ModelId,
};
use attune_trainer::ENGINE_VERSION;
use sp_arithmetic::Permill;

use crate::{
    account,
    arithmetic::{self, Wanted},
    money,
    output::clean_bytes,
};

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

/// The wished arithmetic, in which someone must train and someone else audit.
fn choose_mode(wishes: &Wishes, providers: &[ProviderInfo]) -> Result<ArithmeticMode> {
    let chosen = wishes.provider.map(|wanted| {
        let found = providers.iter().find(|provider| provider.account == wanted);
        found.with_context(|| format!("{wanted} is not a registered provider; see `attune providers list`"))
    });
    let chosen = chosen.transpose()?;
    let active: Vec<&ProviderProfile> =
        providers.iter().filter(|provider| provider.active).map(|provider| &provider.profile).collect();
    if active.is_empty() {
        bail!("no provider is registered that takes work; see `attune providers list`");
    }
    let mut classes: BTreeMap<&ExecutionClass, usize> = BTreeMap::new();
    for profile in &active {
        *classes.entry(&profile.class).or_default() += 1;
    }
    let mode = match &wishes.arithmetic {
        Wanted::Exact(base) => arithmetic::exact(*base),
        Wanted::Class(Some(name)) => {
            let bounded = name.clone().into_bytes().try_into();
            let class = bounded.map_err(|_| anyhow::anyhow!("an execution class has at most 64 bytes"))?;
            ArithmeticMode::ClassExact { class }
        }
        Wanted::Class(None) => {
            let of_most =
                || classes.iter().max_by_key(|(_, count)| **count).map(|(class, _)| (*class).clone());
            let class = chosen.map(|provider| provider.profile.class.clone()).or_else(of_most);
            ArithmeticMode::ClassExact { class: class.expect("someone is active, qed") }
        }
    };
    let able = active.iter().filter(|profile| profile.computes(&mode)).count();
    if able < 2 {
        bail!("{}", too_few(&mode, able, active.len(), &classes));
    }
    if let Some(provider) = chosen.filter(|provider| !provider.profile.computes(&mode)) {
        bail!(
            "{} doesn't compute {}; it is of class {} and computes {} of exact arithmetic. Choose another --provider, or \
             --arithmetic class",
            clean_bytes(&provider.profile.name),
            arithmetic::show(&mode),
            clean_bytes(&provider.profile.class),
            arithmetic::exact_of(&provider.profile)
        );
    }
    Ok(mode)
}

fn too_few(
    mode: &ArithmeticMode,
    able: usize,
    active: usize,
    classes: &BTreeMap<&ExecutionClass, usize>,
) -> String {
    let classes: Vec<String> =
        classes.iter().map(|(class, count)| format!("{} ({count})", clean_bytes(class))).collect();
    let other = match mode {
        ArithmeticMode::Exact { .. } => {
            "take --arithmetic class, or wait until more providers have a worker that computes it"
        }
        ArithmeticMode::ClassExact { .. } => "take another --class, or exact arithmetic, which has none",
    };
    format!(
        "{} is computed by {able} of {active} provider(s) that take work; one must train and at least one other audit: \
         {other}. Classes with providers: {}",
        arithmetic::show(mode),
        classes.join(", ")
    )
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

/// The money of a plan, in the words in which the customer is asked.
pub fn money_story(plan: &Plan) -> String {
    let spec = &plan.spec;
    let milestones = spec.milestones.len();
    let (whose, on) = match &plan.sponsor {
        Some(sponsor) => (
            "your sponsor's".to_string(),
            format!("{}'s account, who pays for you; you pay this order's fee", account::show(sponsor)),
        ),
        None => ("your".to_string(), "your own account".to_string()),
    };
    let choice = match spec.timing.bidding_blocks {
        0 => "the first provider at or under the maximum gets the job".to_string(),
        blocks => format!("providers bid for {blocks} blocks, and the lowest bid gets the job"),
    };
    let handover = match plan.max_handovers {
        0 => "you chose the provider: if it fails, the job ends, and what is not paid comes back".to_string(),
        most => format!(
            "if a provider fails, another one goes on after the last paid milestone, at most {most} times, for what is \
             still held\n           and never more; this program (or `attune jobs watch`) sends it the inputs again"
        ),
    };
    format!(
        "What happens with the money:\n  \
         now      {} for training (at most), {} for audits and {} deposit are held on {on}\n  \
         then     {choice}; what it asks below the maximum is free again at once\n  \
         paid     per milestone, {milestones} of them, each only after {} auditor(s) re-executed \
         {} drawn segment(s) of it\n  \
         audits   {} per answered audit; what is not used comes back at the end\n  \
         failure  {handover}\n  \
         back     everything that is not paid, if no provider accepts or goes on, to {whose} account; a cheat also loses \
         its bond\n  \
         deposit  comes back when the finished job's entry is pruned (`attune jobs prune`)",
        money::show(spec.max_price),
        money::show(plan.audit_budget),
        money::show(plan.deposit),
        spec.assurance.auditors,
        spec.assurance.samples,
        money::show(spec.audit_fee),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_chain_client::{
        types::{PoolInfo, Reputation},
        H256,
    };
    use attune_primitives::{job::BaseFormat, provider::Hardware};
    use money::ATT;

    fn provider(number: u8, class: &str, price_per_hour: Balance, tokens_per_second: u32) -> ProviderInfo {
        let bounded = |text: &str| text.as_bytes().to_vec().try_into().unwrap();
        ProviderInfo {
            account: AccountId::from([number; 32]),
            profile: ProviderProfile {
                name: bounded("p"),
                endpoint: b"http://127.0.0.1:1".to_vec().try_into().unwrap(),
                class: bounded(class),
                exact_version: 1,
                hardware: Hardware { model: bounded("cpu"), accelerators: 0, memory_mib: 8_192 },
                price_per_gpu_hour: price_per_hour,
                tokens_per_second,
            },
            commission_ppm: 0,
            operator: AccountId::from([number + 100; 32]),
            commission_rise: None,
            active: true,
            chilled: false,
            absent_since: None,
            reputation: Reputation::default(),
            registered_at: 0,
            pool: PoolInfo::default(),
        }
    }

    fn wishes() -> Wishes {
        Wishes {
            method: Method::Lora { rank: 8, alpha: 16, rank_stabilised: false },
            learning_rate_nano: 1_000_000,
            schedule: Schedule::Cosine,
            warmup_steps: None,
            micro_batch_rows: 4,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 1_000_000,
            weight_decay_micro: 0,
            length: Length::Epochs(2.0),
            milestones: 3,
            segments: 2,
            samples: 1,
            auditors: 2,
            seed: 1,
            theme: "test".into(),
            max_price: None,
            audit_fee: None,
            arithmetic: Wanted::Exact(BaseFormat::W8),
            provider: None,
            sponsor: None,
            bidding_blocks: 0,
            open_blocks: None,
            start_blocks: None,
            milestone_blocks: None,
        }
    }

    fn constants() -> Constants {
        Constants {
            job_deposit: 7,
            min_audit_fee: 5,
            max_phase_blocks: 10_000,
            max_bond_multiple: 10,
            min_bond_share_ppm: 500_000,
            committee_reserve: 3,
            challenge_window: 5,
            finality_margin: 2,
            max_handovers: 3,
            ..Constants::default()
        }
    }

    fn make(wishes: &Wishes, providers: &[ProviderInfo]) -> Result<Plan> {
        let data = DataSpec {
            root: H256([1; 32]),
            bytes: 1,
            tokens: 900,
            rows: 100,
            held_out_rows: 1,
            sequence_length: 10,
        };
        let chain = ChainIdentity {
            name: "x".into(),
            chain_type: "Local".into(),
            genesis: H256([0; 32]),
            block_millis: 2_000,
            epoch_slots: 10,
        };
        plan(wishes, 0, data, providers, &constants(), &chain)
    }

    #[test]
    fn the_whole_is_trained_in_equal_segments_at_least_as_long_as_wished() {
        let found = make(&wishes(), &[provider(1, "a", ATT, 100), provider(2, "a", ATT, 100)]).unwrap();
        // 2 epochs of 100 rows, 4 rows a step: 50 steps, in 6 segments: 9 each.
        assert_eq!((found.spec.steps_per_segment, found.steps), (9, 54));
        assert_eq!(found.tokens, 54 * 4 * 10);
        let shares: Vec<u32> = found.spec.milestones.iter().map(|m| m.share.deconstruct()).collect();
        assert_eq!(shares, [333_333, 333_333, 333_334]);
    }

    #[test]
    fn the_price_is_the_time_at_the_advertised_speed() {
        let found =
            make(&wishes(), &[provider(1, "a", 3_600 * ATT, 100), provider(2, "a", 7_200 * ATT, 200)])
                .unwrap();
        // 2,160 tokens: 21.6 s at 100 a second, half of that at 200.
        assert_eq!((found.quotes[0].price, found.quotes[0].seconds), (ATT * 216 / 10, 11));
        assert_eq!((found.quotes[1].price, found.quotes[1].seconds), (ATT * 216 / 10, 22));
        assert_eq!(found.spec.max_price, ATT * 27);
        assert_eq!(found.spec.audit_fee, ATT * 36 / 10, "a sixth of the price for one of six segments");
        // 3 milestones of 1 sample by 2 auditors, and 3 more audits in reserve for each milestone.
        assert_eq!(found.audit_budget, found.spec.audit_fee * (6 + 9));
        assert_eq!(found.held().unwrap(), found.spec.max_price + found.audit_budget + 7);
    }

    #[test]
    fn the_class_with_most_providers_is_taken() {
        let providers = [
            provider(1, "a", ATT, 1),
            provider(2, "b", ATT, 1),
            provider(3, "b", ATT, 1),
            provider(4, "c", ATT, 1),
        ];
        let of_class =
            |class: Option<&str>| Wishes { arithmetic: Wanted::Class(class.map(str::to_string)), ..wishes() };
        let found = make(&of_class(None), &providers).unwrap();
        assert_eq!(found.spec.mode, ArithmeticMode::ClassExact { class: b"b".to_vec().try_into().unwrap() });
        assert_eq!(found.quotes.len(), 2, "only providers of the class are asked");
        let error = make(&of_class(Some("a")), &providers).unwrap_err().to_string();
        assert!(error.contains("class-exact, a is computed by 1 of 4 provider(s)"), "{error}");
        assert!(error.contains("b (2)"), "{error}");
        let chosen = Wishes { provider: Some(AccountId::from([4; 32])), ..of_class(Some("b")) };
        let error = make(&chosen, &providers).unwrap_err().to_string();
        assert!(error.contains("p doesn't compute class-exact, b; it is of class c"), "{error}");
        assert!(make(&wishes(), &[]).unwrap_err().to_string().contains("no provider is registered"));
    }

    #[test]
    fn in_exact_arithmetic_providers_of_all_classes_quote() {
        let mut providers = [provider(1, "a", ATT, 1), provider(2, "b", ATT, 1), provider(3, "c", ATT, 1)];
        let found = make(&wishes(), &providers).unwrap();
        assert_eq!(found.spec.mode, ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 });
        assert_eq!(found.quotes.len(), 3);
        providers[0].profile.exact_version = 0;
        assert_eq!(make(&wishes(), &providers).unwrap().quotes.len(), 2);
        providers[1].profile.exact_version = 2;
        let error = make(&wishes(), &providers).unwrap_err().to_string();
        assert!(error.contains("exact AX-1, 8-bit base is computed by 1 of 3 provider(s)"), "{error}");
        assert!(error.contains("--arithmetic class") && error.contains("a (1), b (1), c (1)"), "{error}");
    }

    #[test]
    fn the_story_says_who_pays_and_what_happens_on_a_handover() {
        let two = [provider(1, "a", ATT, 1), provider(2, "a", ATT, 1)];
        let story = money_story(&make(&wishes(), &two).unwrap());
        assert!(story.contains("held on your own account"), "{story}");
        assert!(story.contains("the first provider at or under the maximum"), "{story}");
        assert!(story.contains("at most 3 times, for what is still held"), "{story}");
        let sponsored = Wishes { sponsor: Some(AccountId::from([8; 32])), bidding_blocks: 9, ..wishes() };
        let plan = make(&sponsored, &two).unwrap();
        assert_eq!(plan.spec.timing.bidding_blocks, 9);
        let story = money_story(&plan);
        assert!(
            story.contains(&format!("{}'s account, who pays for you", AccountId::from([8; 32]))),
            "{story}"
        );
        assert!(story.contains("providers bid for 9 blocks"), "{story}");
        let chosen = Wishes { provider: Some(AccountId::from([1; 32])), ..wishes() };
        let story = money_story(&make(&chosen, &two).unwrap());
        assert!(story.contains("you chose the provider: if it fails, the job ends"), "{story}");
    }

    #[test]
    fn wishes_out_of_range_are_named() {
        let two = [provider(1, "a", ATT, 1), provider(2, "a", ATT, 1)];
        for (wishes, part) in [
            (Wishes { milestones: 17, ..wishes() }, "--milestones is 17; expected 1 to 16"),
            (Wishes { segments: 0, ..wishes() }, "--segments is 0"),
            (Wishes { samples: 3, ..wishes() }, "--samples is above --segments"),
            (Wishes { micro_batch_rows: 0, ..wishes() }, "--batch"),
            (Wishes { length: Length::Epochs(-1.0), ..wishes() }, "steps; expected more than 0"),
            (Wishes { audit_fee: Some(4), ..wishes() }, "--audit-fee is 0.000000000004 ATT, below the least"),
            (Wishes { theme: "x".repeat(65), ..wishes() }, "--theme has 65 bytes"),
            (Wishes { provider: Some(AccountId::from([9; 32])), ..wishes() }, "is not a registered provider"),
            (
                Wishes { provider: Some(AccountId::from([1; 32])), bidding_blocks: 5, ..wishes() },
                "--bidding-blocks has no sense with --provider",
            ),
        ] {
            let error = make(&wishes, &two).expect_err(part).to_string();
            assert!(error.contains(part), "expected {part:?} in {error:?}");
        }
    }
}
