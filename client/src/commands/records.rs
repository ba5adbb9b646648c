//! `attune records`: what is known for ever about finished trainings.

use anyhow::{Context as _, Result};
use attune_chain_client::{
    json,
    types::{Record, RecordInfo},
};
use attune_primitives::{job::Method, RecordId};
use clap::{Args, Subcommand};

use crate::{
    account, arithmetic,
    context::Context,
    money,
    output::{clean_bytes, Facts, Table},
    time,
};

/// `attune records …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List training records
    List,
    /// Show one training record
    Show(Show),
}

/// Options of `records show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The record's number, which is its job's
    record: RecordId,
}

/// Runs `attune records …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => {
            let records = context.read(|view| async move { Ok(view.records().await?) }).await?;
            context.output.print(&records, || list(&records))
        }
        Command::Show(Show { record }) => {
            let found = context.read(|view| async move { Ok(view.record(record).await?) }).await?;
            let info =
                found.with_context(|| format!("there is no record {record}; see `attune records list`"))?;
            context.output.print(&info, || render(&info.record))
        }
    }
}

fn list(records: &[RecordInfo]) -> String {
    let mut table = Table::new(&[
        "record",
        "theme",
        "customer",
        "provider",
        "ended",
        "tokens",
        "loss before",
        "loss after",
        "price",
    ]);
    for RecordInfo { record } in records {
        table.row(vec![
            record.job.to_string(),
            clean_bytes(&record.theme),
            account::show(&record.customer),
            account::show(&record.provider),
            time::show_moment(record.ended_at),
            record.tokens.to_string(),
            loss(record.loss_before_micro),
            loss(record.loss_after_micro),
            money::show_short(record.price),
        ]);
    }
    table.render("No training has finished yet.")
}

/// A record as text.
pub fn render(record: &Record) -> String {
    let Method::Lora { rank, alpha, rank_stabilised } = record.method;
    let mut facts = Facts::new();
    facts.add("record", record.job.to_string());
    facts.add("theme", clean_bytes(&record.theme));
    facts.add("customer", account::show(&record.customer));
    facts.add("provider", account::show(&record.provider));
    facts.add("requested", time::show_moment(record.requested_at));
    facts.add("started", time::show_moment(record.started_at));
    facts.add("ended", time::show_moment(record.ended_at));
    facts.add("machine", clean_bytes(&record.hardware.model));
    facts.add("price", money::show(record.price));
    facts.add("price per GPU hour", money::show(record.price_per_gpu_hour));
    facts.add("base model", record.model.to_string());
    facts.add(
        "method",
        format!("LoRA, rank {rank}, alpha {alpha}{}", if rank_stabilised { ", rank-stabilised" } else { "" }),
    );
    facts.add("arithmetic", arithmetic::describe(&record.mode));
    facts.add("trained", format!("{} steps, {} tokens", record.steps, record.tokens));
    facts.add(
        "held-out loss",
        format!("{} before, {} after", loss(record.loss_before_micro), loss(record.loss_after_micro)),
    );
    facts.add("data", json::hex(&record.data_root));
    facts.add("specification", json::hex(&record.spec_hash));
    facts.add("trace root", json::hex(&record.trace_root));
    facts.add("final state root", json::hex(&record.final_state_root));
    facts.add("adapter", format!("{} ({} bytes)", json::hex(&record.adapter), record.adapter_bytes));
    for audit in &record.audits {
        let verdict = audit.verdict.map_or("no answer", json::verdict_name);
        facts.add(
            format!("audit of segment {}", audit.segment),
            format!("{verdict} by {}", account::show(&audit.auditor)),
        );
    }
    facts.render()
}

/// Millionths of a nat as a loss.
pub fn loss(micro: Option<u32>) -> String {
    micro.map_or("-".into(), |micro| format!("{:.4}", f64::from(micro) / 1e6))
}
