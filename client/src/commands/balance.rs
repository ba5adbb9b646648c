//! `attune balance`: an account's money.

use anyhow::Result;
use attune_chain_client::{types::BalanceInfo, AccountId, View};
use attune_primitives::JobId;
use clap::Args;
use serde::Serialize;

use crate::{account, context::Context, money, output::Facts};

/// Options of `balance`.
#[derive(Debug, Args)]
pub struct Options {
    /// Whose: a key of this profile, an address, or a development key such as //Customer
    #[arg(env = "ATTUNE_ACCOUNT")]
    account: String,
}

#[derive(Serialize)]
struct Shown {
    account: AccountId,
    #[serde(flatten)]
    balance: BalanceInfo,
    /// What settlement owes the account because it could not be paid, by job.
    owed: Vec<Owed>,
}

#[derive(Serialize)]
struct Owed {
    job: JobId,
    /// In planck.
    amount: String,
}

/// Runs `attune balance`.
pub async fn run(context: &Context, options: Options) -> Result<()> {
    let id = account::address(&context.profile, &options.account)?;
    let read = |view: View| async move { Ok((view.balance(&id).await?, view.owed(&id).await?)) };
    let (balance, owed) = context.read(read).await?;
    let shown = Shown {
        account: id,
        balance,
        owed: owed.iter().map(|(job, amount)| Owed { job: *job, amount: amount.to_string() }).collect(),
    };
    context.output.print(&shown, || {
        let mut facts = Facts::new();
        facts.add("account", id.to_string());
        facts.add("free", money::show(shown.balance.free));
        facts.add("held", money::show(shown.balance.held));
        for hold in &shown.balance.holds {
            facts.add(format!("  {}", hold.reason), money::show(hold.amount));
        }
        for (job, amount) in &owed {
            facts.add(
                format!("owed for job {job}"),
                format!("{} (`attune jobs claim`)", money::show(*amount)),
            );
        }
        facts.render()
    })
}
