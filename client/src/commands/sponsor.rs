//! `attune sponsor`: paying for somebody else's jobs, within limits.
//!
//! A sponsor puts nothing aside beforehand but a deposit: each job of the customer then holds its money on the sponsor's
//! account, and what the job does not spend is free again there.

use anyhow::{bail, Result};
use attune_chain_client::{
    calls,
    types::{Constants, SponsorshipInfo},
    AccountId, View,
};
use attune_primitives::{Balance, BlockNumber};
use clap::{ArgGroup, Args, Subcommand};

use super::send;
use crate::{
    account::{self, SignerOptions},
    context::{at_best, Context},
    money,
    output::Table,
};

/// `attune sponsor …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pay for a customer's jobs, up to a limit; again with other numbers, it changes the limits
    Add(Add),
    /// List whom an account pays for, and who pays for it
    List(List),
    /// Pay for no further jobs of a customer, or decline a sponsor; jobs that were ordered go on
    End(End),
}

/// Options of `sponsor add`.
#[derive(Debug, Args)]
pub struct Add {
    /// Whose jobs you pay for: a key of this profile, an address, or a development key
    customer: String,
    /// The most that all its jobs together may hold and spend, in ATT; what comes back makes room again
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    limit: Balance,
    /// The most that one job may hold (training, audits and deposit), in ATT [default: the limit]
    #[arg(long, value_name = "ATT", value_parser = money::parse_positive)]
    per_job: Option<Balance>,
    /// For how many blocks from now on it may order
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u32).range(1..))]
    blocks: BlockNumber,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Options of `sponsor list`.
#[derive(Debug, Args)]
pub struct List {
    /// Whose: a key of this profile, an address, or a development key
    #[arg(env = "ATTUNE_ACCOUNT")]
    account: String,
}

/// Options of `sponsor end`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("sides").args(["customer", "sponsor"]).required(true).multiple(true)))]
pub struct End {
    /// The customer [default: who signs]
    #[arg(long, value_name = "ACCOUNT")]
    customer: Option<String>,
    /// The sponsor [default: who signs]
    #[arg(long, value_name = "ACCOUNT")]
    sponsor: Option<String>,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Runs `attune sponsor …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add(options) => add(context, options).await,
        Command::List(options) => list(context, &options).await,
        Command::End(options) => end(context, options).await,
    }
}

async fn add(context: &Context, options: Add) -> Result<()> {
    let customer = account::address(&context.profile, &options.customer)?;
    let submitter = context.submitter(&options.signer).await?;
    let id = submitter.id();
    if customer == id {
        bail!(
            "{} is the account that signs; it pays for its own jobs without this",
            account::show(&customer)
        );
    }
    let read = |view: View| async move {
        let given = view.sponsorships(&id).await?;
        let present = given.into_iter().find(|found| found.sponsor == id && found.customer == customer);
        Ok((present, view.constants().await?, view.balance(&id).await?.free, view.number()))
    };
    let (present, constants, free, now) = at_best(submitter.chain(), read).await?;
    let per_job = options.per_job.unwrap_or(options.limit);
    if per_job > options.limit {
        bail!(
            "--per-job is {}, more than the --limit of {} for all jobs together; lower it",
            money::show(per_job),
            money::show(options.limit)
        );
    }
    let expires_at = now.saturating_add(options.blocks);
    let wish = SponsorshipInfo {
        sponsor: id,
        customer,
        limit: options.limit,
        used: present.map_or(0, |found| found.used),
        per_job,
        expires_at,
    };
    context.progress.say(terms(&wish, present.as_ref(), &constants, free));
    if !context.confirm("Sponsor this customer?", options.yes)? {
        bail!("nothing was changed");
    }
    let done = format!(
        "{} may order jobs of {} in all on your account until block {expires_at}: `attune train --sponsor {id}`.",
        account::show(&customer),
        money::show(options.limit)
    );
    send(context, &submitter, &calls::sponsor(customer, options.limit, per_job, expires_at), done).await
}

/// What a sponsor agrees to.
fn terms(
    wish: &SponsorshipInfo,
    present: Option<&SponsorshipInfo>,
    constants: &Constants,
    free: Balance,
) -> String {
    let customer = account::show(&wish.customer);
    let deposit = match present {
        Some(_) => "the deposit is there already".to_string(),
        None => {
            format!(
                "{} deposit are held now, until the sponsorship ends",
                money::show(constants.sponsorship_deposit)
            )
        }
    };
    let mut text = format!(
        "{customer} may order jobs that hold at most {} each and {} together ({} are used), until block {}.\n  \
         {deposit}\n  \
         each job holds its price, its audits and its deposit on your account when {customer} orders it, without asking \
         you again\n  \
         what a job does not spend is free again on your account, and makes room for another one",
        money::show(wish.per_job),
        money::show(wish.limit),
        money::show(wish.used),
        wish.expires_at
    );
    if wish.limit.saturating_sub(wish.used) > free {
        text.push_str(&format!(
            "\n  you have {} free: a job that takes more is refused until you add tokens",
            money::show(free)
        ));
    }
    text
}

/// Refuses a job of `amount` that a sponsorship has no room for.
///
/// # Errors
/// With the limit that is in the way.
pub fn require_room(given: &SponsorshipInfo, amount: Balance, now: BlockNumber) -> Result<()> {
    let left = given.limit.saturating_sub(given.used);
    let amount_shown = money::show(amount);
    if now > given.expires_at {
        bail!("the sponsorship ended at block {}; ask for a longer one", given.expires_at);
    }
    if amount > given.per_job {
        bail!(
            "the job holds {amount_shown}, and the sponsor pays at most {} for one; order a smaller one, or ask for more",
            money::show(given.per_job)
        );
    }
    if amount > left {
        bail!(
            "the job holds {amount_shown}, and {} are left of the sponsor's limit; wait for refunds, or ask for more",
            money::show(left)
        );
    }
    Ok(())
}

async fn list(context: &Context, options: &List) -> Result<()> {
    let account = account::address(&context.profile, &options.account)?;
    let read = |view: View| async move { Ok((view.sponsorships(&account).await?, view.number())) };
    let (found, now) = context.read(read).await?;
    context.output.print(&found, || render(&found, now))
}

fn render(found: &[SponsorshipInfo], now: BlockNumber) -> String {
    let mut table = Table::new(&["sponsor", "customer", "limit", "used", "for one job", "orders until"]);
    for given in found {
        let until = match given.expires_at {
            at if at < now => format!("over since block {at}"),
            at => format!("block {at}, {} blocks", at - now),
        };
        table.row(vec![
            account::show(&given.sponsor),
            account::show(&given.customer),
            money::show_short(given.limit),
            money::show_short(given.used),
            money::show_short(given.per_job),
            until,
        ]);
    }
    table.render("This account pays for nobody else, and nobody for it. `attune sponsor add` changes that.")
}

async fn end(context: &Context, options: End) -> Result<()> {
    let named = |text: &Option<String>| -> Result<Option<AccountId>> {
        text.as_ref().map(|text| account::address(&context.profile, text)).transpose()
    };
    let (sponsor, customer) = (named(&options.sponsor)?, named(&options.customer)?);
    let submitter = context.submitter(&options.signer).await?;
    let (sponsor, customer) =
        (sponsor.unwrap_or_else(|| submitter.id()), customer.unwrap_or_else(|| submitter.id()));
    let done = format!(
        "{} pays for no further jobs of {}; what was ordered goes on, and the deposit is back.",
        account::show(&sponsor),
        account::show(&customer)
    );
    send(context, &submitter, &calls::end_sponsorship(sponsor, customer), done).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::ATT;

    fn given() -> SponsorshipInfo {
        SponsorshipInfo {
            sponsor: AccountId::from([1; 32]),
            customer: AccountId::from([2; 32]),
            limit: 10 * ATT,
            used: 4 * ATT,
            per_job: 8 * ATT,
            expires_at: 50,
        }
    }

    #[test]
    fn a_job_has_room_up_to_each_of_the_three_limits() {
        assert!(require_room(&given(), 6 * ATT, 50).is_ok());
        for (amount, now, part) in [
            (6 * ATT + 1, 50, "6 ATT are left"),
            (9 * ATT, 50, "at most 8 ATT for one"),
            (ATT, 51, "ended at block 50"),
        ] {
            let error = require_room(&given(), amount, now).expect_err(part).to_string();
            assert!(error.contains(part), "expected {part:?} in {error:?}");
        }
    }

    #[test]
    fn a_sponsor_is_told_the_limits_the_deposit_and_what_it_lacks() {
        let constants = Constants { sponsorship_deposit: 2 * ATT, ..Constants::default() };
        let first = terms(&given(), None, &constants, 5 * ATT);
        for part in ["at most 8 ATT each and 10 ATT together", "2 ATT deposit", "you have 5 ATT free"] {
            assert!(first.contains(part), "expected {part:?} in {first:?}");
        }
        let again = terms(&given(), Some(&given()), &constants, 6 * ATT);
        assert!(again.contains("the deposit is there already") && !again.contains("you have"), "{again}");
    }
}
