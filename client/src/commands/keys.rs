//! `attune keys`: keys that sign, in encrypted files of the profile.

use std::io::{IsTerminal, Read};

use anyhow::{Context as _, Result};
use attune_chain_client::{
    keys::{self, KeyStore},
    AccountId,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{account, context::Context, output::Table};

/// `attune keys …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new key; shows its secret phrase once
    New(Named),
    /// Store a key whose secret phrase or seed you have; it is asked for, or read from standard input
    Import(Named),
    /// List the keys of this profile
    List,
    /// Show an account's address
    Address(Named),
}

/// A key by name.
#[derive(Debug, Args)]
pub struct Named {
    /// The key's name: letters, digits, - and _
    name: String,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    address: AccountId,
}

/// Runs `attune keys …`.
pub fn run(context: &Context, command: Command) -> Result<()> {
    let store = KeyStore::new(context.profile.keys());
    match command {
        Command::New(Named { name }) => {
            let passphrase = keys::new_passphrase(&format!("New passphrase for {name}"))?;
            let (account, phrase) = store.create(&name, &passphrase)?;
            // Also with --quiet: it is shown now or never.
            eprintln!(
                "The secret phrase of {name}, shown this once. Write it down: it is the only way back to the key if \
                 the file or its passphrase is lost, and whoever reads it owns the account.\n\n    {}\n",
                phrase.as_str()
            );
            print(context, Shown { name, address: account.id() })
        }
        Command::Import(Named { name }) => {
            let secret = read_secret()?;
            let passphrase = keys::new_passphrase(&format!("New passphrase for {name}"))?;
            let account = store.import(&name, &secret, &passphrase)?;
            print(context, Shown { name, address: account.id() })
        }
        Command::List => {
            let entries = store.list()?;
            context.output.print(&entries, || {
                let mut table = Table::new(&["name", "address", "file"]);
                for entry in &entries {
                    let file = entry.path.display().to_string();
                    table.row(vec![entry.name.clone(), entry.address.to_string(), file]);
                }
                table.render("There are no keys in this profile. `attune keys new NAME` makes one.")
            })
        }
        Command::Address(Named { name }) => {
            let address = account::address(&context.profile, &name)?;
            print(context, Shown { name, address })
        }
    }
}

fn print(context: &Context, shown: Shown) -> Result<()> {
    context.output.print(&shown, || shown.address.to_string())
}

/// A secret never comes from an argument, which other users of the machine can read.
fn read_secret() -> Result<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("Secret phrase or seed: ")
            .context("reading the secret from the terminal");
    }
    let mut text = String::new();
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut text)
        .context("reading the secret from standard input")?;
    Ok(text)
}
