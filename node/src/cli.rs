//! The command line, as clap reads it.

use sc_cli::{
    BuildSpecCmd, ChainInfoCmd, CheckBlockCmd, ExportBlocksCmd, ExportChainSpecCmd, ExportStateCmd,
    ImportBlocksCmd, KeySubcommand, PurgeChainCmd, RevertCmd, RunCmd,
};
use std::path::PathBuf;

/// The command line.
#[derive(Debug, clap::Parser)]
pub(crate) struct Cli {
    /// What to do; runs the node if nothing is named.
    #[command(subcommand)]
    pub(crate) subcommand: Option<Subcommand>,

    /// How to run the node.
    #[clap(flatten)]
    pub(crate) run: RunCmd,
}

/// What `export-chain-spec` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportChainSpec {
    /// Which chain, in which form, and to where.
    #[clap(flatten)]
    pub(crate) export: ExportChainSpecCmd,

    /// Begin with this runtime (Wasm, compressed or not) in place of the node's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) runtime: Option<PathBuf>,

    /// With `--chain mainnet`: the validators, balances and administrator of the network, as JSON (docs/launch.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
}

/// Everything but running the node.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Make, show and store keys.
    #[command(subcommand)]
    Key(KeySubcommand),

    /// Write the chain specification (the older command; `export-chain-spec` does the same).
    BuildSpec(BuildSpecCmd),

    /// Write the chain specification as JSON, plain or raw: of a preset, of a network of your own, with any runtime.
    ExportChainSpec(ExportChainSpec),

    /// Check a block again.
    CheckBlock(CheckBlockCmd),

    /// Write blocks to a file.
    ExportBlocks(ExportBlocksCmd),

    /// Write the state at a block as a chain specification.
    ExportState(ExportStateCmd),

    /// Read blocks from a file.
    ImportBlocks(ImportBlocksCmd),

    /// Delete the chain's database.
    PurgeChain(PurgeChainCmd),

    /// Take back the latest blocks that are not final.
    Revert(RevertCmd),

    /// Show what the database holds.
    ChainInfo(ChainInfoCmd),
}
