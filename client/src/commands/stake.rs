//! `attune stake`: what token holders do.

use anyhow::{bail, Result};
use attune_chain_client::{
    calls,
    types::{DelegationInfo, UnbondingInfo},
    AccountId, View,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::send;
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
    /// Show what an account has delegated, its income, and what is on its way out
    Show(Show),
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
        Command::Show(options) => show(context, &options).await,
    }
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
    if options.amount > delegation.worth {
        bail!(
            "{} is more than the {} that are delegated to {}; take at most that",
            money::show(options.amount),
            money::show(delegation.worth),
            account::show(&provider)
        );
    }
    let shares = shares_for(options.amount, &delegation);
    let done = format!(
        "{} are on their way out of {}'s pool; `attune stake show` says when they can be withdrawn.",
        money::show(options.amount),
        account::show(&provider)
    );
    send(context, &submitter, &calls::undelegate(provider, shares), done).await
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
        let delegations = view.delegations_of(&account).await?;
        let mut unbonding = Vec::new();
        for provider in view.providers().await? {
            unbonding.extend(view.unbonding(&provider.account, &account).await?);
        }
        Ok((Stake { account, delegations, unbonding }, view.number()))
    };
    let (stake, now) = context.read(read).await?;
    context.output.print(&stake, || {
        let mut table = Table::new(&["provider", "delegated", "income to claim"]);
        for delegation in &stake.delegations {
            let (worth, income) = (money::show(delegation.worth), money::show(delegation.claimable));
            table.row(vec![account::show(&delegation.provider), worth, income]);
        }
        let mut text = table.render("Nothing is delegated.\n");
        if !stake.unbonding.is_empty() {
            let mut table = Table::new(&["provider", "on its way out", "can be withdrawn"]);
            for chunk in &stake.unbonding {
                let when = match chunk.unlock_at {
                    at if at <= now => "now".to_string(),
                    at => format!("at block {at}, in {} blocks", at - now),
                };
                table.row(vec![account::show(&chunk.provider), money::show(chunk.worth), when]);
            }
            text.push('\n');
            text.push_str(&table.render(""));
        }
        text
    })
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
        };
        assert_eq!(shares_for(50, &of(1_000, 100)), 500);
        assert_eq!(shares_for(100, &of(1_000, 100)), 1_000);
        assert_eq!(shares_for(1, &of(1_000, 3)), 334, "a part of a share counts as one");
        assert_eq!(shares_for(u128::MAX / 2, &of(u128::MAX, u128::MAX)), u128::MAX / 2);
    }
}
