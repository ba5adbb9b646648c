//! `attune providers`: who trains, at what price; and being one.

use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{
    calls,
    types::{PendingSlashInfo, ProviderInfo},
    Submitter, View,
};
use attune_primitives::{
    provider::{Hardware, ProviderProfile},
    BlockNumber,
};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::{send, slashes, submit};
use crate::{
    account::{self, SignerOptions},
    arithmetic,
    context::{at_best, Context},
    money,
    output::{clean_bytes, Facts, Table},
    remote,
};

/// `attune providers …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List providers: arithmetic, price, speed, stake, reputation
    List,
    /// Show one provider
    Show(Show),
    /// Register as a provider: your account holds the stake, your worker's key does the work
    Register(Register),
    /// Publish what your worker advertises now, and another name or price
    SetProfile(SetProfile),
    /// Let another key do the work
    SetOperator(SetOperator),
    /// Change your commission: a cut acts at once, a rise waits so that delegators can leave before it
    Commission(Commission),
    /// Take no new jobs and no new stake for now; open jobs go on
    Chill(Signed),
    /// Take new jobs and new stake again
    Unchill(Signed),
    /// Add to your self-bond
    Bond(Amount),
    /// Start taking self-bond back; it can be slashed until it can be withdrawn
    Unbond(Amount),
    /// Stop being a provider: no new jobs, the self-bond is on its way out
    Exit(Signed),
}

/// Options of `providers show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The provider: an address, or a development key such as //Provider1
    provider: String,
}

/// Options of `providers register`.
#[derive(Debug, Args)]
pub struct Register {
    /// Where your worker is reached; arithmetic, hardware, speed and public address are read there
    #[arg(long, value_name = "URL")]
    worker: String,
    /// The worker's key: an address, a key of this profile, or a development key [default: as the worker says]
    #[arg(long, value_name = "ACCOUNT")]
    operator: Option<String>,
    /// Name shown to customers and delegators
    #[arg(long)]
    name: String,
    /// What you ask for an hour of one GPU (or of the machine where there is none), in ATT
    #[arg(long, value_name = "ATT", value_parser = money::parse)]
    price_per_hour: u128,
    /// Your own stake, in ATT: the first to be slashed
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    self_bond: u128,
    /// The share of the income that you keep before delegators share the rest, in percent
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = parse_percent)]
    commission: u32,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `providers set-profile`.
#[derive(Debug, Args)]
pub struct SetProfile {
    /// Where your worker is reached
    #[arg(long, value_name = "URL")]
    worker: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another price of an hour, in ATT
    #[arg(long, value_name = "ATT", value_parser = money::parse)]
    price_per_hour: Option<u128>,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `providers set-operator`.
#[derive(Debug, Args)]
pub struct SetOperator {
    /// The key that does the work from now on
    operator: String,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `providers commission`.
#[derive(Debug, Args)]
pub struct Commission {
    /// The new commission, in percent
    #[arg(value_parser = parse_percent)]
    commission: u32,
    #[command(flatten)]
    signer: SignerOptions,
}

/// An amount of one's own.
#[derive(Debug, Args)]
pub struct Amount {
    /// How much, in ATT
    #[arg(value_parser = money::parse_positive)]
    amount: u128,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Who signs.
#[derive(Debug, Args)]
pub struct Signed {
    #[command(flatten)]
    signer: SignerOptions,
}

/// What a worker says about itself at `GET /v1/advertisement`.
#[derive(Clone, Debug, Deserialize)]
pub struct Advertisement {
    /// Execution class of class-exact jobs.
    pub class: String,
    /// Version of exact arithmetic; 0 for a worker that doesn't compute it.
    #[serde(default)]
    pub exact_version: u16,
    /// The machine.
    pub hardware: AdvertisedHardware,
    /// Where it serves artifacts.
    pub endpoint: String,
    /// Its measured speed.
    pub tokens_per_second: u32,
    /// Its key's account, in SS58.
    #[serde(default)]
    pub operator: Option<String>,
}

/// The machine of an [`Advertisement`].
#[derive(Clone, Debug, Deserialize)]
pub struct AdvertisedHardware {
    /// Model of the accelerator, or of the CPU.
    pub model: String,
    /// Number of accelerators; 0 for a CPU.
    pub accelerators: u16,
    /// Memory, in MiB.
    pub memory_mib: u32,
}

/// Runs `attune providers …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Show(options) => show(context, &options).await,
        Command::Register(options) => register(context, options).await,
        Command::SetProfile(options) => set_profile(context, options).await,
        Command::SetOperator(SetOperator { operator, signer }) => {
            let operator = account::address(&context.profile, &operator)?;
            let submitter = context.submitter(&signer).await?;
            let done = format!("{operator} does the work from now on.");
            send(context, &submitter, &calls::set_operator(operator), done).await
        }
        Command::Commission(options) => commission(context, options).await,
        Command::Chill(Signed { signer }) => {
            let submitter = context.submitter(&signer).await?;
            let done = "Chilled: no new jobs and no new stake come; open jobs go on. `attune providers unchill` ends it.";
            send(context, &submitter, &calls::chill(), done.to_string()).await
        }
        Command::Unchill(Signed { signer }) => {
            let submitter = context.submitter(&signer).await?;
            send(context, &submitter, &calls::unchill(), "New jobs and new stake can come again.".to_string())
                .await
        }
        Command::Bond(Amount { amount, signer }) => {
            let submitter = context.submitter(&signer).await?;
            let done = format!("Added {} to the self-bond.", money::show(amount));
            send(context, &submitter, &calls::bond_more(amount), done).await
        }
        Command::Unbond(Amount { amount, signer }) => {
            let submitter = context.submitter(&signer).await?;
            let done = format!("{} of the self-bond are on their way out.", money::show(amount));
            send(context, &submitter, &calls::unbond_self(amount), done).await
        }
        Command::Exit(Signed { signer }) => {
            let submitter = context.submitter(&signer).await?;
            let done = "Left: no new jobs come, and the self-bond is on its way out.".to_string();
            send(context, &submitter, &calls::exit_provider(), done).await
        }
    }
}

async fn list(context: &Context) -> Result<()> {
    let providers = context.read(|view| async move { Ok(view.providers().await?) }).await?;
    context.output.print(&providers, || {
        let mut table = Table::new(&[
            "provider",
            "name",
            "exact",
            "class",
            "machine",
            "per hour",
            "tokens/s",
            "own stake",
            "delegated",
            "jobs",
            "audits",
        ]);
        for provider in &providers {
            let profile = &provider.profile;
            let reputation = &provider.reputation;
            table.row(vec![
                account::show(&provider.account),
                clean_bytes(&profile.name),
                arithmetic::exact_of(profile),
                clean_bytes(&profile.class),
                machine(&profile.hardware),
                money::show_short(profile.price_per_gpu_hour),
                profile.tokens_per_second.to_string(),
                money::show_short(provider.pool.self_bond),
                money::show_short(provider.pool.active.balance),
                format!(
                    "{} of {}",
                    reputation.jobs_finished,
                    reputation.jobs_finished + reputation.jobs_failed
                ),
                reputation.audits_answered.to_string(),
            ]);
        }
        table.render("No provider is registered. `attune providers register` makes you one.")
    })
}

async fn show(context: &Context, options: &Show) -> Result<()> {
    let id = account::address(&context.profile, &options.provider)?;
    let read = |view: View| async move {
        Ok((view.provider(&id).await?, view.pending_slashes(&id).await?, view.number()))
    };
    let (found, pending_slashes, now) = context.read(read).await?;
    let provider =
        found.with_context(|| format!("{id} is not a registered provider; see `attune providers list`"))?;
    let shown = Shown { provider, pending_slashes };
    context.output.print(&shown, || render(&shown, now))
}

/// A provider with what hangs over it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    provider: ProviderInfo,
    pending_slashes: Vec<PendingSlashInfo>,
}

fn render(shown: &Shown, now: BlockNumber) -> String {
    let mut text = facts(&shown.provider).render();
    if !shown.pending_slashes.is_empty() {
        text.push_str("\nPending slashes; until they are applied no stake leaves the pool:\n");
        text.push_str(&slashes::table(&shown.pending_slashes, now).render(""));
    }
    text
}

/// Sets the commission, and says what the chain made of it: a cut, or a rise that waits.
async fn commission(context: &Context, options: Commission) -> Result<()> {
    let submitter = context.submitter(&options.signer).await?;
    let id = submitter.id();
    submit(context.progress, &submitter, &calls::set_commission(options.commission)).await?;
    let found = at_best(submitter.chain(), |view| async move { Ok(view.provider(&id).await?) }).await?;
    let provider = found.with_context(|| format!("{id} is no provider any more"))?;
    context.output.print(&provider, || match provider.commission_rise {
        None => format!("The commission is {} for jobs from now on.", show_ppm(provider.commission_ppm)),
        Some(rise) => format!("The commission is {}.", with_rise(provider.commission_ppm, Some(rise))),
    })
}

/// A commission with the rise that waits.
fn with_rise(commission_ppm: u32, rise: Option<(u32, BlockNumber)>) -> String {
    let present = show_ppm(commission_ppm);
    match rise {
        None => present,
        Some((to, from)) => format!("{present}, and {} for jobs from block {from} on", show_ppm(to)),
    }
}

fn facts(provider: &ProviderInfo) -> Facts {
    let (profile, pool, reputation) = (&provider.profile, &provider.pool, &provider.reputation);
    let mut facts = Facts::new();
    facts.add("provider", account::show(&provider.account));
    facts.add("address", provider.account.to_string());
    facts.add("name", clean_bytes(&profile.name));
    let takes_work = match (provider.active, provider.chilled) {
        (true, _) => "yes",
        (false, true) => "no, it is chilled: it has chosen to pause",
        (false, false) => "no, it is leaving",
    };
    facts.add("takes work", takes_work);
    facts.add("endpoint", clean_bytes(&profile.endpoint));
    facts.add(
        "exact arithmetic",
        match profile.exact_version {
            0 => "none: class-exact jobs only".to_string(),
            _ => format!("{} (the same bits on every machine)", arithmetic::exact_of(profile)),
        },
    );
    facts.add("class", format!("{} (for class-exact jobs)", clean_bytes(&profile.class)));
    facts.add("machine", machine(&profile.hardware));
    facts.add("speed", format!("{} tokens/s by its own measurement", profile.tokens_per_second));
    facts.add("price", format!("{} per GPU hour", money::show(profile.price_per_gpu_hour)));
    facts.add("commission", with_rise(provider.commission_ppm, provider.commission_rise));
    facts.add("operator", account::show(&provider.operator));
    facts.add("own stake", money::show(pool.self_bond));
    facts.add("delegated", format!("{} by {} delegators", money::show(pool.active.balance), pool.delegators));
    facts.add("on its way out", money::show(pool.unbonding.balance));
    facts.add("bonds and pending slashes", money::show(pool.locked));
    facts.add("jobs", format!("{} finished, {} failed", reputation.jobs_finished, reputation.jobs_failed));
    facts.add(
        "audits",
        format!(
            "{} answered, {} missed, {} overruled",
            reputation.audits_answered, reputation.audits_missed, reputation.audits_overruled
        ),
    );
    let presence = match provider.absent_since {
        None => String::new(),
        Some(block) => format!("; absent since block {block}: its block rewards are cut until it answers"),
    };
    facts.add(
        "heartbeats",
        format!(
            "{} answered, {} missed{presence}",
            reputation.heartbeats_answered, reputation.heartbeats_missed
        ),
    );
    facts
}

async fn register(context: &Context, options: Register) -> Result<()> {
    let advertisement = advertisement(&options.worker).await?;
    let operator = match (&options.operator, &advertisement.operator) {
        (Some(named), _) => named,
        (None, Some(said)) => said,
        (None, None) => {
            bail!("the worker at {} does not say its key; add --operator ACCOUNT", options.worker)
        }
    };
    let operator = account::address(&context.profile, operator)?;
    let profile = profile(&options.name, options.price_per_hour, &advertisement)?;
    let submitter = context.submitter(&options.signer).await?;
    if operator == submitter.id() {
        bail!(
            "the operator is the account that holds the stake; take a key of its own for the \
             worker, which lies on a machine on the network"
        );
    }
    check_balance(&submitter, options.self_bond).await?;
    let exact = arithmetic::exact_of(&profile);
    let done = format!(
        "Registered {:?}: exact arithmetic {}, class {}, {} tokens/s, {} an hour, own stake {}, commission {}.",
        options.name,
        exact,
        advertisement.class,
        advertisement.tokens_per_second,
        money::show(options.price_per_hour),
        money::show(options.self_bond),
        show_ppm(options.commission)
    );
    let call = calls::register_provider(profile, options.commission, operator, options.self_bond);
    send(context, &submitter, &call, done).await
}

async fn check_balance(submitter: &Submitter, self_bond: u128) -> Result<()> {
    let id = submitter.id();
    let read = |view: View| async move { Ok((view.constants().await?, view.balance(&id).await?)) };
    let (constants, balance) = at_best(submitter.chain(), read).await?;
    if self_bond < constants.min_self_bond {
        bail!(
            "a self-bond of {} is below the least, {}; raise --self-bond",
            money::show(self_bond),
            money::show(constants.min_self_bond)
        );
    }
    let needed = self_bond.saturating_add(constants.provider_deposit);
    if needed > balance.free {
        bail!(
            "registering takes {} (self-bond and a deposit of {}), but {} has {} free; lower --self-bond or \
             send it tokens",
            money::show(needed),
            money::show(constants.provider_deposit),
            submitter.account().name(),
            money::show(balance.free)
        );
    }
    Ok(())
}

async fn set_profile(context: &Context, options: SetProfile) -> Result<()> {
    let advertisement = advertisement(&options.worker).await?;
    let submitter = context.submitter(&options.signer).await?;
    let id = submitter.id();
    let read = |view: View| async move { Ok(view.provider(&id).await?) };
    let Some(known) = at_best(submitter.chain(), read).await? else {
        bail!(
            "{} is not a registered provider; `attune providers register` makes it one",
            submitter.account().name()
        );
    };
    let name = options.name.unwrap_or_else(|| String::from_utf8_lossy(&known.profile.name).into_owned());
    let price = options.price_per_hour.unwrap_or(known.profile.price_per_gpu_hour);
    let profile = profile(&name, price, &advertisement)?;
    send(context, &submitter, &calls::set_profile(profile), "The profile is published.".to_string()).await
}

/// Asks a worker what it advertises.
///
/// # Errors
/// If it does not answer, or not as a worker does.
pub async fn advertisement(worker: &str) -> Result<Advertisement> {
    let url = format!("{}/v1/advertisement", worker.trim_end_matches('/'));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("making an HTTP client")?;
    let answer = client.get(&url).send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.with_context(|| format!("asking the worker at {url}; does it run?"))?;
    remote::decoded(answer).await.with_context(|| format!("{url} did not answer as a worker does"))
}

fn profile(name: &str, price_per_hour: u128, advertisement: &Advertisement) -> Result<ProviderProfile> {
    let hardware = &advertisement.hardware;
    Ok(ProviderProfile {
        name: bounded("the name", name)?,
        endpoint: bounded("the worker's endpoint", &advertisement.endpoint)?,
        class: bounded("the worker's class", &advertisement.class)?,
        exact_version: advertisement.exact_version,
        hardware: Hardware {
            model: bounded("the machine's model", shortened(&hardware.model, 64))?,
            accelerators: hardware.accelerators,
            memory_mib: hardware.memory_mib,
        },
        price_per_gpu_hour: price_per_hour,
        tokens_per_second: advertisement.tokens_per_second,
    })
}

fn bounded<T: TryFrom<Vec<u8>>>(what: &str, text: &str) -> Result<T> {
    let bytes = text.as_bytes().to_vec();
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| anyhow::anyhow!("{what} has {length} bytes, more than the chain keeps; shorten it"))
}

/// The beginning of a text, at most so many bytes, cut between characters.
fn shortened(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

fn machine(hardware: &Hardware) -> String {
    let model = clean_bytes(&hardware.model);
    let memory = hardware.memory_mib / 1_024;
    match hardware.accelerators {
        0 => format!("{model}, {memory} GiB"),
        count => format!("{count} x {model}, {memory} GiB"),
    }
}

/// Millionths as percent.
pub fn show_ppm(ppm: u32) -> String {
    format!("{} %", f64::from(ppm) / 10_000.0)
}

/// A percentage as millionths, at most four decimals.
fn parse_percent(text: &str) -> Result<u32, String> {
    let refuse = || format!("{text:?} is not a percentage from 0 to 100");
    let percent: f64 = text.trim().trim_end_matches('%').trim().parse().map_err(|_| refuse())?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(refuse());
    }
    Ok((percent * 10_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_in_millionths() {
        assert_eq!(parse_percent("10"), Ok(100_000));
        assert_eq!(parse_percent("0.5 %"), Ok(5_000));
        assert_eq!(parse_percent("100"), Ok(1_000_000));
        for bad in ["", "-1", "101", "NaN", "ten"] {
            assert!(parse_percent(bad).is_err(), "{bad:?}");
        }
        assert_eq!(show_ppm(5_000), "0.5 %");
    }

    #[test]
    fn a_rise_of_the_commission_says_from_which_block() {
        assert_eq!(with_rise(100_000, None), "10 %");
        assert_eq!(with_rise(100_000, Some((150_000, 77))), "10 %, and 15 % for jobs from block 77 on");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(shortened("abc", 64), "abc");
        assert_eq!(shortened("aéé", 4), "aé");
    }
}
