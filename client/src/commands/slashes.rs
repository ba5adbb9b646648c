//! `attune slashes`: convictions between their verdict and their effect.
//!
//! A slash is booked at once and waits, so that a mistake can be undone; from its block on anyone carries it out, and the
//! customer of the job is compensated out of it. The chain does not do that by itself: somebody sends the transaction.

use anyhow::{bail, Result};
use attune_chain_client::{calls, types::PendingSlashInfo, AccountId, ChainEvent, Submitter, View};
use attune_primitives::{Balance, BlockNumber};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{hex, submit, submit_all};
use crate::{
    account::{self, SignerOptions},
    context::{at_best, Context},
    money,
    output::Table,
};

/// `attune slashes …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List slashes that wait for their time
    List(List),
    /// Carry out a slash whose time has come: the customer is compensated, the rest leaves the pool; anyone may
    Apply(Apply),
    /// Take the compensation that is owed to you because your account could not receive it
    Claim(Claim),
}

/// Options of `slashes list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only of this provider
    provider: Option<String>,
}

/// Options of `slashes apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The provider: an address, or a development key such as //Provider1
    provider: String,
    /// The slash's number (`attune slashes list`)
    slash: u64,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `slashes claim`.
#[derive(Debug, Args)]
pub struct Claim {
    /// For this customer, whoever signs [default: who signs]
    #[arg(long, value_name = "ACCOUNT")]
    customer: Option<String>,
    #[command(flatten)]
    signer: SignerOptions,
}

#[derive(Serialize)]
struct Applied {
    provider: AccountId,
    slash: u64,
    /// What the customer got, in planck.
    compensated: String,
    /// What the customer could not receive and can claim, in planck.
    owed: String,
    transaction: String,
    block: String,
}

#[derive(Serialize)]
struct Claimed {
    customer: AccountId,
    providers: Vec<AccountId>,
    /// In planck.
    paid: String,
}

/// Runs `attune slashes …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List(options) => list(context, &options).await,
        Command::Apply(options) => apply(context, options).await,
        Command::Claim(options) => {
            let named = options.customer.as_ref().map(|text| account::address(&context.profile, text));
            let submitter = context.submitter(&options.signer).await?;
            let customer = named.transpose()?.unwrap_or_else(|| submitter.id());
            claim(context, &submitter, customer).await
        }
    }
}

async fn list(context: &Context, options: &List) -> Result<()> {
    let of = options.provider.as_ref().map(|text| account::address(&context.profile, text)).transpose()?;
    let read = |view: View| async move {
        let providers = match of {
            Some(provider) => vec![provider],
            None => view.providers().await?.iter().map(|provider| provider.account).collect(),
        };
        let mut found = Vec::new();
        for provider in &providers {
            found.extend(view.pending_slashes(provider).await?);
        }
        Ok((found, view.number()))
    };
    let (found, now) = context.read(read).await?;
    context.output.print(&found, || table(&found, now).render("No slash is pending."))
}

/// Pending slashes as rows.
pub fn table(slashes: &[PendingSlashInfo], now: BlockNumber) -> Table {
    let mut table = Table::new(&["provider", "slash", "for", "takes", "can be applied"]);
    for slash in slashes {
        let cause = slash.job.map_or("an offence in consensus".to_string(), |job| format!("job {job}"));
        let when = match slash.apply_at {
            at if at <= now => "now".to_string(),
            at => format!("from block {at}, in {} blocks", at - now),
        };
        table.row(vec![
            account::show(&slash.provider),
            slash.slash.to_string(),
            cause,
            money::show_short(slash.amount),
            when,
        ]);
    }
    table
}

/// The block from which nothing pending keeps stake in a pool, if the slashes are applied as soon as they can be; `None`
/// if nothing is pending.
pub fn frozen_until(slashes: &[PendingSlashInfo], provider: &AccountId) -> Option<BlockNumber> {
    slashes.iter().filter(|slash| slash.provider == *provider).map(|slash| slash.apply_at).max()
}

/// As [`frozen_until`], for stake that is on its way out of the pool: a slash holds it only if it was booked before
/// `unlock_at`, `delay` blocks before it can be applied.
pub fn held_until(
    slashes: &[PendingSlashInfo],
    provider: &AccountId,
    unlock_at: BlockNumber,
    delay: BlockNumber,
) -> Option<BlockNumber> {
    let holds = |slash: &&PendingSlashInfo| {
        slash.provider == *provider && slash.apply_at.saturating_sub(delay) < unlock_at
    };
    slashes.iter().filter(holds).map(|slash| slash.apply_at).max()
}

async fn apply(context: &Context, options: Apply) -> Result<()> {
    let provider = account::address(&context.profile, &options.provider)?;
    let number = options.slash;
    let submitter = context.submitter(&options.signer).await?;
    let read = |view: View| async move {
        let pending = view.pending_slashes(&provider).await?;
        Ok((pending.into_iter().find(|slash| slash.slash == number), view.number()))
    };
    let (found, now) = at_best(submitter.chain(), read).await?;
    let name = account::show(&provider);
    let Some(found) = found else {
        bail!("no slash {number} of {name} is pending: it was applied, cancelled, or never there; see `attune slashes list`");
    };
    if now < found.apply_at {
        bail!(
            "slash {number} of {name} can still be cancelled; it can be applied from block {} on, now is block {now}",
            found.apply_at
        );
    }
    let call = calls::apply_slash(provider, number);
    let included = submit(context.progress, &submitter, &call).await?;
    let (compensated, owed) = included
        .events()?
        .into_iter()
        .find_map(|event| match event {
            ChainEvent::Slashed { slash, compensated, owed, .. } if slash == number => {
                Some((compensated, owed))
            }
            _ => None,
        })
        .unwrap_or_default();
    let applied = Applied {
        provider,
        slash: number,
        compensated: compensated.to_string(),
        owed: owed.to_string(),
        transaction: hex(&included.transaction),
        block: hex(&included.block),
    };
    context.output.print(&applied, || render_applied(&name, number, compensated, owed))
}

fn render_applied(provider: &str, slash: u64, compensated: Balance, owed: Balance) -> String {
    let mut text =
        format!("Slash {slash} of {provider} is applied: {} went to the customer.", money::show(compensated));
    if owed > 0 {
        text.push_str(&format!(
            " Its account could not receive {} more, which `attune slashes claim` pays out.",
            money::show(owed)
        ));
    }
    text
}

async fn claim(context: &Context, submitter: &Submitter, customer: AccountId) -> Result<()> {
    let read = |view: View| async move { Ok(view.owed_compensation(&customer).await?) };
    let owed = at_best(submitter.chain(), read).await?;
    let claim = |(provider, _): &(AccountId, Balance)| calls::claim_compensation(*provider, customer);
    submit_all(context.progress, submitter, &owed.iter().map(claim).collect::<Vec<_>>()).await?;
    let paid = owed.iter().fold(0, |sum: Balance, (_, amount)| sum.saturating_add(*amount));
    let providers = owed.iter().map(|(provider, _)| *provider).collect();
    let claimed = Claimed { customer, providers, paid: paid.to_string() };
    context.output.print(&claimed, || match owed.as_slice() {
        [] => format!(
            "No compensation is owed to {}. A slash compensates when it is applied: see `attune slashes list`.",
            account::show(&customer)
        ),
        _ => format!("{} of compensation are paid to {}.", money::show(paid), account::show(&customer)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stake_is_frozen_until_the_last_slash_of_its_own_pool() {
        let of = |provider: u8, apply_at| PendingSlashInfo {
            provider: AccountId::from([provider; 32]),
            slash: u64::from(apply_at),
            job: Some(1),
            amount: 1,
            apply_at,
        };
        let slashes = [of(1, 10), of(1, 30), of(2, 90)];
        assert_eq!(frozen_until(&slashes, &AccountId::from([1; 32])), Some(30));
        assert_eq!(frozen_until(&slashes, &AccountId::from([3; 32])), None);
        // With a delay of 10 blocks they were booked in blocks 0 and 20.
        let held = |unlock_at| held_until(&slashes, &AccountId::from([1; 32]), unlock_at, 10);
        assert_eq!((held(21), held(20), held(0)), (Some(30), Some(10), None));
        let shown = table(&slashes, 10).render("");
        assert!(shown.contains("now") && shown.contains("from block 30, in 20 blocks"), "{shown}");
    }
}
