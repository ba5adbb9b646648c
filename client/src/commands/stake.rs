//! `attune stake`: what token holders do.

use anyhow::{bail, Result};
use attune_chain_client::{
    calls,
    types::{Constants, DelegationInfo, LienInfo, PendingSlashInfo, StakesInfo, UnbondingInfo},
    AccountId, View,
};
use attune_primitives::BlockNumber;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{send, slashes};
use crate::{
    account::{self, SignerOptions},
    context::{at_best, Context},
    money,
    output::Table,
};

/// `attune stake …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put tokens behind a provider: share its income, and its slashes
    Delegate(Amount),
    /// Start taking tokens back; they can be slashed until they can be withdrawn
    Undelegate(Amount),
    /// Take out what has waited long enough
    Withdraw(Of),
    /// Take a delegator's share of a provider's income
    Claim(Of),
    /// Move stake to another provider without waiting; for a time it still answers for the old one
    Redelegate(Redelegate),
    /// Turn income into more stake, now or by itself from now on
    Compound(Compound),
    /// End or charge what moved stake still answers for at its old provider; anyone may
    SettleLien(SettleLien),
    /// Show what an account has delegated, its income, its liens, what is on its way out, and slashes that hold it up
    Show(Show),
}

/// Options of `stake redelegate`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("how much").args(["amount", "all"]).required(true)))]
pub struct Redelegate {
    /// The provider that the stake leaves
    #[arg(long, value_name = "PROVIDER")]
    from: String,
    /// The provider that it goes to
    #[arg(long, value_name = "PROVIDER")]
    to: String,
    /// How much, in ATT
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    amount: Option<u128>,
    /// All that is delegated there
    #[arg(long)]
    all: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `stake compound`.
#[derive(Debug, Args)]
pub struct Compound {
    /// The provider: an address, or a development key such as //Provider1
    provider: String,
    /// Compound for this delegator, which has set --auto on, in place of who signs
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "auto")]
    delegator: Option<String>,
    /// Compound nothing now; let it happen by itself from now on (the provider's worker does it, for nothing), or no more
    #[arg(long, value_enum)]
    auto: Option<Switch>,
    #[command(flatten)]
    signer: SignerOptions,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Anyone may.
    On,
    /// Nobody else may.
    Off,
}

/// Options of `stake settle-lien`.
#[derive(Debug, Args)]
pub struct SettleLien {
    /// The provider that the stake moved to
    provider: String,
    /// Whose stake [default: who signs]
    #[arg(long, value_name = "ACCOUNT")]
    delegator: Option<String>,
    #[command(flatten)]
    signer: SignerOptions,
}

/// A provider and an amount.
#[derive(Debug, Args)]
pub struct Amount {
    /// The provider: an address, or a development key such as //Provider1
    provider: String,
    /// How much, in ATT
    #[arg(value_parser = money::parse_positive)]
    amount: u128,
    #[command(flatten)]
    signer: SignerOptions,
}

/// A provider.
#[derive(Debug, Args)]
pub struct Of {
    /// The provider: an address, or a development key such as //Provider1
    provider: String,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `stake show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Whose: a key of this profile, an address, or a development key
    #[arg(env = "ATTUNE_ACCOUNT")]
    account: String,
}

#[derive(Serialize)]
struct Stake {
    account: AccountId,
    delegations: Vec<DelegationInfo>,
    unbonding: Vec<UnbondingInfo>,
    /// Slashes of the pools that hold this account's stake; nothing is withdrawn from those pools while they wait.
    pending_slashes: Vec<PendingSlashInfo>,
}

/// Runs `attune stake …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Delegate(options) => {
            let provider = account::address(&context.profile, &options.provider)?;
            let submitter = context.submitter(&options.signer).await?;
            let done = format!("Delegated {} to {}.", money::show(options.amount), account::show(&provider));
            send(context, &submitter, &calls::delegate(provider, options.amount), done).await
        }
        Command::Undelegate(options) => undelegate(context, options).await,
        Command::Withdraw(Of { provider, signer }) => {
            let provider = account::address(&context.profile, &provider)?;
            let submitter = context.submitter(&signer).await?;
            let done = format!("Withdrew what had waited long enough at {}.", account::show(&provider));
            send(context, &submitter, &calls::withdraw(provider), done).await
        }
        Command::Claim(Of { provider, signer }) => {
            let provider = account::address(&context.profile, &provider)?;
            let submitter = context.submitter(&signer).await?;
            let done = format!("Claimed the income from {}.", account::show(&provider));
            send(context, &submitter, &calls::claim_income(provider), done).await
        }
        Command::Redelegate(options) => redelegate(context, options).await,
        Command::Compound(options) => compound(context, options).await,
        Command::SettleLien(SettleLien { provider, delegator, signer }) => {
            let provider = account::address(&context.profile, &provider)?;
            let named =
                delegator.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
            let submitter = context.submitter(&signer).await?;
            let delegator = named.unwrap_or_else(|| submitter.id());
            let done = format!(
                "The lien of {}'s stake at {} is settled; `attune stake show` shows what is left of it.",
                account::show(&delegator),
                account::show(&provider)
            );
            send(context, &submitter, &calls::settle_lien(provider, delegator), done).await
        }
        Command::Show(options) => show(context, &options).await,
    }
}

/// Moves stake, after it has said what that means.
async fn redelegate(context: &Context, options: Redelegate) -> Result<()> {
    let (from, to) = (
        account::address(&context.profile, &options.from)?,
        account::address(&context.profile, &options.to)?,
    );
    if from == to {
        bail!("--from and --to are both {}; name another provider to move to", account::show(&to));
    }
    let submitter = context.submitter(&options.signer).await?;
    let id = submitter.id();
    let read = |view: View| async move {
        let pending = [view.pending_slashes(&from).await?, view.pending_slashes(&to).await?].concat();
        let there = view.delegation(&to, &id).await?;
        Ok((view.delegation(&from, &id).await?, there, pending, view.constants().await?, view.number()))
    };
    let (delegation, there, pending, constants, now) = at_best(submitter.chain(), read).await?;
    let Some(delegation) = delegation else {
        bail!("{} has delegated nothing to {}", submitter.account().name(), account::show(&from));
    };
    for provider in [from, to] {
        if let Some(block) = slashes::frozen_until(&pending, &provider) {
            bail!(
                "a slash of {} is pending, and until it is applied (from block {block} on anyone may, `attune slashes \
                 apply`) no stake moves from or to it",
                account::show(&provider)
            );
        }
    }
    for lien in [delegation.lien, there.and_then(|delegation| delegation.lien)].into_iter().flatten() {
        if lien.until > now {
            bail!(
                "stake that came from {} still answers for it until block {}; move it when that has ended",
                account::show(&lien.from),
                lien.until
            );
        }
    }
    let amount = if options.all { delegation.worth } else { options.amount.unwrap_or(delegation.worth) };
    let shares = checked_shares(amount, &delegation)?;
    context.progress.say(lien_rule(amount, &from, &to, &constants, now));
    if !context.confirm("Move this stake?", options.yes)? {
        bail!("nothing was moved");
    }
    let done = format!(
        "Moved {} from {} to {}; it earns there at once.",
        money::show(amount),
        account::show(&from),
        account::show(&to)
    );
    send(context, &submitter, &calls::redelegate(from, to, shares), done).await
}

/// What moved stake answers for, before it moves.
fn lien_rule(
    amount: u128,
    from: &AccountId,
    to: &AccountId,
    constants: &Constants,
    now: BlockNumber,
) -> String {
    let (old, new) = (account::show(from), account::show(to));
    format!(
        "{} go from {old} to {new}, without the wait of unbonding.\n  \
         at once  they share {new}'s income, and its slashes\n  \
         lien     for {} blocks, until block {}, they also answer for {old}: what a delegation there loses by a slash, they \
         lose too\n  \
         bound    until then they can't leave {new} or move on; while a slash of {old} is pending, that lasts longer",
        money::show(amount),
        constants.unbonding_blocks,
        now.saturating_add(constants.unbonding_blocks)
    )
}

async fn compound(context: &Context, options: Compound) -> Result<()> {
    let provider = account::address(&context.profile, &options.provider)?;
    let named =
        options.delegator.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
    let submitter = context.submitter(&options.signer).await?;
    let name = account::show(&provider);
    let (call, done) = match options.auto {
        Some(Switch::On) => (
            calls::set_auto_compound(provider, true),
            format!("From now on your income from {name} becomes stake there by itself: its worker, or anyone, sees to it."),
        ),
        Some(Switch::Off) => (
            calls::set_auto_compound(provider, false),
            format!("Nobody else may turn your income from {name} into stake any more."),
        ),
        None => {
            let delegator = named.unwrap_or_else(|| submitter.id());
            let whose = account::show(&delegator);
            (
                calls::compound(provider, delegator),
                format!("{whose}'s income from {name} is stake there now."),
            )
        }
    };
    send(context, &submitter, &call, done).await
}

/// The chain counts shares; people count tokens.
async fn undelegate(context: &Context, options: Amount) -> Result<()> {
    let provider = account::address(&context.profile, &options.provider)?;
    let submitter = context.submitter(&options.signer).await?;
    let id = submitter.id();
    let read = |view: View| async move { Ok(view.delegation(&provider, &id).await?) };
    let Some(delegation) = at_best(submitter.chain(), read).await? else {
        bail!("{} has delegated nothing to {}", submitter.account().name(), account::show(&provider));
    };
    let shares = checked_shares(options.amount, &delegation)?;
    let done = format!(
        "{} are on their way out of {}'s pool; `attune stake show` says when they can be withdrawn.",
        money::show(options.amount),
        account::show(&provider)
    );
    send(context, &submitter, &calls::undelegate(provider, shares), done).await
}

/// The shares that are worth `amount`.
fn checked_shares(amount: u128, delegation: &DelegationInfo) -> Result<u128> {
    if amount > delegation.worth {
        bail!(
            "{} is more than the {} that are delegated to {}; take at most that",
            money::show(amount),
            money::show(delegation.worth),
            account::show(&delegation.provider)
        );
    }
    Ok(shares_for(amount, delegation))
}

/// The shares that are worth `amount`, rounded up to a share, never more than there are.
fn shares_for(amount: u128, delegation: &DelegationInfo) -> u128 {
    if amount >= delegation.worth {
        return delegation.shares;
    }
    use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Rounding};
    let exact = multiply_by_rational_with_rounding(delegation.shares, amount, delegation.worth, Rounding::Up);
    exact.map_or(delegation.shares, |shares| shares.min(delegation.shares))
}

async fn show(context: &Context, options: &Show) -> Result<()> {
    let account = account::address(&context.profile, &options.account)?;
    let read = |view: View| async move {
        let StakesInfo { delegations, unbonding, pools, .. } = view.stakes(&account).await?;
        let mut pending_slashes = Vec::new();
        for pool in pools {
            pending_slashes.extend(view.pending_slashes(&pool).await?);
        }
        let delay = view.constants().await?.slash_delay;
        Ok((Stake { account, delegations, unbonding, pending_slashes }, delay, view.number()))
    };
    let (stake, delay, now) = context.read(read).await?;
    context.output.print(&stake, || render(&stake, delay, now))
}

/// `slash_delay` and `now` in blocks.
fn render(stake: &Stake, slash_delay: BlockNumber, now: BlockNumber) -> String {
    let mut table = Table::new(&["provider", "delegated", "income to claim", "compounds", "lien"]);
    for delegation in &stake.delegations {
        table.row(vec![
            account::show(&delegation.provider),
            money::show(delegation.worth),
            money::show(delegation.claimable),
            if delegation.auto_compound { "by anyone" } else { "by yourself" }.into(),
            delegation.lien.map_or("-".into(), |lien| show_lien(&lien, now)),
        ]);
    }
    let mut text = table.render("Nothing is delegated.\n");
    if !stake.unbonding.is_empty() {
        let mut table = Table::new(&["provider", "on its way out", "can be withdrawn"]);
        for chunk in &stake.unbonding {
            let pending = &stake.pending_slashes;
            let frozen = slashes::held_until(pending, &chunk.provider, chunk.unlock_at, slash_delay);
            table.row(vec![
                account::show(&chunk.provider),
                money::show(chunk.worth),
                when_out(chunk.unlock_at, frozen, now),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render(""));
    }
    if !stake.pending_slashes.is_empty() {
        text.push_str("\nPending slashes; until they are applied, what was bound when they were booked stays in these pools:\n");
        text.push_str(&slashes::table(&stake.pending_slashes, now).render(""));
    }
    text
}

fn show_lien(lien: &LienInfo, now: BlockNumber) -> String {
    let from = account::show(&lien.from);
    match lien.until {
        at if at <= now => format!("for {from}, can end now (`attune stake settle-lien`)"),
        at => format!("for {from} until block {at}"),
    }
}

/// When stake that is on its way out can be withdrawn, given a pending slash of its pool.
fn when_out(unlock_at: BlockNumber, frozen_until: Option<BlockNumber>, now: BlockNumber) -> String {
    let at = unlock_at.max(frozen_until.unwrap_or(0));
    match frozen_until {
        Some(block) if block >= unlock_at && block > now => {
            format!(
                "frozen by a slash until block {block}, in {} blocks, and the slash is applied",
                block - now
            )
        }
        Some(_) if at <= now => "frozen until the pool's slash is applied (`attune slashes apply`)".into(),
        _ if at <= now => "now".into(),
        _ => format!("at block {at}, in {} blocks", at - now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_worth_the_amount() {
        let of = |shares, worth| DelegationInfo {
            provider: AccountId::from([0; 32]),
            delegator: AccountId::from([1; 32]),
            shares,
            worth,
            claimable: 0,
            auto_compound: false,
            lien: None,
        };
        assert_eq!(shares_for(50, &of(1_000, 100)), 500);
        assert_eq!(shares_for(100, &of(1_000, 100)), 1_000);
        assert_eq!(shares_for(1, &of(1_000, 3)), 334, "a part of a share counts as one");
        assert_eq!(shares_for(u128::MAX / 2, &of(u128::MAX, u128::MAX)), u128::MAX / 2);
    }
    #[test]
    fn a_pending_slash_holds_up_what_could_be_withdrawn() {
        assert_eq!(when_out(10, None, 10), "now");
        assert_eq!(when_out(12, None, 10), "at block 12, in 2 blocks");
        assert!(when_out(5, Some(30), 10).starts_with("frozen by a slash until block 30, in 20 blocks"));
        assert!(when_out(5, Some(9), 10).starts_with("frozen until the pool's slash is applied"));
        assert_eq!(when_out(40, Some(30), 10), "at block 40, in 30 blocks");
    }

    #[test]
    fn a_move_says_what_the_stake_answers_for_and_until_when() {
        let constants = Constants { unbonding_blocks: 100, ..Constants::default() };
        let (from, to) = (AccountId::from([1; 32]), AccountId::from([2; 32]));
        let said = lien_rule(5 * money::ATT, &from, &to, &constants, 20);
        assert!(said.contains("5 ATT") && said.contains("until block 120"), "{said}");
        let lien = LienInfo { from, amount: 1, until: 120 };
        assert_eq!(show_lien(&lien, 119), format!("for {from} until block 120"));
        assert!(show_lien(&lien, 120).contains("can end now"));
    }

    #[test]
    fn stake_shows_its_liens_and_slashes() {
        let (account, provider, old) =
            (AccountId::from([1; 32]), AccountId::from([2; 32]), AccountId::from([3; 32]));
        let delegation = DelegationInfo {
            provider,
            delegator: account,
            shares: 1,
            worth: money::ATT,
            claimable: 0,
            auto_compound: true,
            lien: Some(LienInfo { from: old, amount: 1, until: 70 }),
        };
        let slash = PendingSlashInfo { provider, slash: 4, job: Some(9), amount: 1, apply_at: 60 };
        let stake = Stake {
            account,
            delegations: vec![delegation],
            unbonding: vec![UnbondingInfo { provider, owner: account, worth: 1, unlock_at: 5 }],
            pending_slashes: vec![slash],
        };
        let shown = render(&stake, 56, 10);
        for part in ["by anyone", "until block 70", "frozen by a slash until block 60", "job 9"] {
            assert!(shown.contains(part), "expected {part:?} in {shown}");
        }
    }
}
