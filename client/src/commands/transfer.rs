//! `attune transfer`: tokens from one account to another.

use anyhow::Result;
use attune_chain_client::calls;
use clap::Args;

use super::send;
use crate::{
    account::{self, SignerOptions},
    context::Context,
    money,
};

/// Options of `transfer`.
#[derive(Debug, Args)]
pub struct Options {
    /// Who receives: an address, a key of this profile, or a development key
    to: String,
    /// How much, in ATT
    #[arg(value_parser = money::parse_positive)]
    amount: u128,
    #[command(flatten)]
    signer: SignerOptions,
}

/// Runs `attune transfer`.
pub async fn run(context: &Context, options: Options) -> Result<()> {
    let to = account::address(&context.profile, &options.to)?;
    let submitter = context.submitter(&options.signer).await?;
    let what = format!("Sent {} to {to}.", money::show(options.amount));
    send(context, &submitter, &calls::transfer(to, options.amount), what).await
}
