//! What the figures say: spreads, the limits of a block, and which of them was the one that counted. All of it is computed
//! from what was measured; nothing is read or sent here.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use super::{
    blocks::{Block, Cost, Limits},
    usage::Cores,
};

const PICOS_PER_SECOND: f64 = 1e12;
const PICOS_PER_MILLI: f64 = 1e9;
const PICOS_PER_MICRO: f64 = 1e6;

/// The part of a slot in which a node builds (`PROPOSAL_PART_OF_SLOT` of our node), what the slot worker gives the
/// proposer of it, and what the proposer gives to transactions.
const BUILDING_PART: f64 = 0.5 * 0.98 * 0.9;
/// The part of that time in which the proposer of a full block goes on trying whether a transaction still fits: what it
/// takes to build one says little about what it takes to execute one.
const SOFT_PART: f64 = 0.5;

/// The ceiling in the design: 6 s blocks, 2 s of execution, three quarters of it for ordinary transactions, and of a
/// transaction only its call and the base weight.
const DESIGN_SLOT_SECONDS: f64 = 6.0;
const DESIGN_EXECUTION_SECONDS: f64 = 2.0;
const NORMAL_PART: f64 = 0.75;

/// A machine is taken to be busy above this part of its cores.
const BUSY: f64 = 0.9;
/// A block is taken to be full above this part of a limit.
const FULL: f64 = 0.95;

/// A window of one kind of transaction, as measured.
pub(super) struct Window {
    pub(super) kind: &'static str,
    pub(super) limits: Limits,
    pub(super) cost: Cost,
    /// The block before the first that counts, whose time begins the window, and the blocks that count.
    pub(super) before: Block,
    pub(super) blocks: Vec<Block>,
    /// Blocks that were built in the window and are not in the final chain.
    pub(super) lost_blocks: usize,
    /// From being best to being final, in milliseconds, of each block.
    pub(super) finality_millis: Vec<f64>,
    /// Under way, taken by a node but in no block, and ready in a node's pool: samples.
    pub(super) under_way: Vec<f64>,
    pub(super) waiting: Vec<f64>,
    pub(super) ready: Vec<f64>,
    pub(super) target: u64,
    pub(super) pool_limits: [String; 2],
    pub(super) pool_full: u64,
    pub(super) refused: u64,
    pub(super) refusal: Option<String>,
    pub(super) ran_out: bool,
    /// Milliseconds that a node took on average to check and import a block of another.
    pub(super) import_millis: Option<f64>,
    /// Of the nodes in their order, and at the end of the generator.
    pub(super) cores: Cores,
}

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0,
            _ => *values.get(middle)?,
        };
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }

    fn json(spread: Option<Self>) -> Value {
        spread.map_or(Value::Null, |s| json!({ "median": s.median, "min": s.least, "max": s.most }))
    }
}

/// What kept more transactions from being included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// Blocks were full by weight.
    Weight,
    /// Blocks were full by bytes.
    Length,
    /// Authors had no more time.
    Deadline,
    /// Transactions were with the nodes, but not ready where the next block was built.
    Pool,
    /// The nodes did not take transactions as fast as blocks took them: each checks the signature of each.
    Checks,
    /// There was nothing left to send.
    Generator,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::Weight => "block weight",
            Self::Length => "block length",
            Self::Deadline => "authorship deadline",
            Self::Pool => "transactions not ready at the author",
            Self::Checks => "signature checks on arrival",
            Self::Generator => "generator",
        }
    }
}

impl Window {
    /// True for the first block of an epoch: the change of session is booked as a whole block.
    fn turns_session(&self, block: &Block) -> bool {
        block.mandatory + self.transaction() > self.limits.block
    }

    /// Blocks that could take transactions.
    fn ordinary(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| !self.turns_session(block))
    }

    /// Weight of a transaction with all that comes on top.
    fn transaction(&self) -> u64 {
        self.cost.with_extensions + self.limits.base
    }

    fn seconds(&self) -> f64 {
        let last = self.blocks.last().map_or(self.before.millis, |block| block.millis);
        last.saturating_sub(self.before.millis) as f64 / 1_000.0
    }

    /// Slots that the window spans, of which each could have a block.
    fn slots(&self) -> usize {
        let slots = (self.seconds() * 1_000.0 / self.limits.slot_millis as f64).round();
        // At most some thousands, and not negative.
        slots as usize
    }

    fn succeeded(&self) -> u64 {
        self.blocks.iter().map(|block| block.succeeded).sum()
    }

    fn per_second(&self) -> f64 {
        self.succeeded() as f64 / self.seconds().max(f64::EPSILON)
    }

    fn weight_fill(&self) -> Option<Spread> {
        Spread::of(self.ordinary().map(|block| block.normal as f64 / self.limits.normal as f64))
    }

    fn length_fill(&self) -> Option<Spread> {
        Spread::of(self.ordinary().map(|block| block.length as f64 / self.limits.length as f64))
    }

    /// Most transactions of a block, by its weight and by its length.
    fn most(&self) -> [u64; 2] {
        [self.limits.normal / self.transaction().max(1), self.limits.length / self.cost.length.max(1)]
    }

    /// In a second, if each block but the first of each epoch holds `of_block`.
    fn sustained(&self, of_block: u64) -> f64 {
        let epoch = self.limits.epoch_slots.max(1) as f64;
        of_block as f64 * (epoch - 1.0) / epoch / (self.limits.slot_millis as f64 / 1_000.0)
    }

    /// Why building ended, and how often, in blocks that could take transactions.
    fn ends(&self) -> BTreeMap<&str, usize> {
        let mut ends = BTreeMap::new();
        for block in self.ordinary() {
            let end = block.proposal.as_ref().map_or("unknown", |proposal| proposal.end.as_str());
            *ends.entry(end).or_default() += 1;
        }
        ends
    }

    fn limit(&self) -> Limit {
        let ends = self.ends();
        let most = ends.iter().max_by_key(|(_, count)| **count).map_or("unknown", |(end, _)| *end);
        let is_full = |fill: Option<Spread>| fill.is_some_and(|fill| fill.median >= FULL);
        let median =
            |samples: &[f64]| Spread::of(samples.iter().copied()).map_or(0.0, |spread| spread.median);
        let of_block =
            Spread::of(self.ordinary().map(|block| block.succeeded as f64)).map_or(0.0, |s| s.median);
        match most {
            "HitBlockWeightLimit" => Limit::Weight,
            "HitBlockSizeLimit" => Limit::Length,
            "HitDeadline" => Limit::Deadline,
            // A log that is not understood: the blocks themselves say whether they were full.
            _ if is_full(self.weight_fill()) => Limit::Weight,
            _ if is_full(self.length_fill()) => Limit::Length,
            _ if self.ran_out => Limit::Generator,
            // Enough for another block lay with the nodes, and the author had it not.
            _ if median(&self.waiting) > of_block => Limit::Pool,
            _ => Limit::Checks,
        }
    }

    /// The part of the machine's cores that was in use.
    fn busy(&self) -> f64 {
        self.cores.machine / self.cores.all.max(f64::EPSILON)
    }

    /// Milliseconds in which an author may take transactions.
    fn building_millis(&self) -> f64 {
        self.limits.slot_millis as f64 * BUILDING_PART
    }

    fn proposals(&self) -> Option<Spread> {
        Spread::of(self.ordinary().filter_map(|block| Some(block.proposal.as_ref()?.millis as f64)))
    }

    /// In one sentence or two, what the limit was and what shows it.
    fn why(&self) -> String {
        let ordinary = self.ordinary().count();
        let ends: Vec<String> = self.ends().iter().map(|(end, count)| format!("{end} {count}")).collect();
        let fill = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.median * 100.0);
        let mut text = format!(
            "{}: of {ordinary} blocks that could take transactions, building ended by {}; median fill {:.1} % by weight, \
             {:.1} % by length.",
            self.limit().name(),
            ends.join(", "),
            fill(self.weight_fill()),
            fill(self.length_fill()),
        );
        let empty = self.slots().saturating_sub(self.blocks.len());
        if empty > 0 {
            text += &format!(" {empty} of {} slots had no block.", self.slots());
        }
        let own: f64 = self.cores.processes.iter().sum();
        let cores = format!(
            "{:.1} of {:.0} cores were busy, {:.1} of them with other programs",
            self.cores.machine,
            self.cores.all,
            (self.cores.machine - own).max(0.0)
        );
        text += &if self.busy() >= BUSY {
            format!(" The machine had nothing left: {cores}.")
        } else {
            format!(" The machine had room: {cores}.")
        };
        if let Some(millis) = self.import_millis {
            let declared =
                self.ordinary().map(|block| (block.normal + block.mandatory) as f64 / PICOS_PER_MILLI);
            let declared = Spread::of(declared).map_or(0.0, |spread| spread.median);
            text += &format!(
                " To check and import a block of another took a node {millis:.0} ms on average; the median block declares \
                 {declared:.0} ms of execution."
            );
        }
        if self.refused > 0 {
            let reason = self.refusal.as_deref().unwrap_or("unknown");
            text += &format!(" {} transactions were refused, the first because: {reason}.", self.refused);
        }
        text
    }

    /// Everything, for a program.
    pub(super) fn json(&self) -> Value {
        let [by_weight, by_length] = self.most();
        let cores = &self.cores;
        let (generator, nodes) =
            cores.processes.split_last().map_or((0.0, &[][..]), |(last, nodes)| (*last, nodes));
        let samples = |samples: &[f64]| Spread::json(Spread::of(samples.iter().copied()));
        let blocks = self.blocks.iter().map(|block| {
            json!({
                "number": block.number, "millis": block.millis, "transactions": block.succeeded,
                "failed": block.failed, "normal_ref_time": block.normal, "mandatory_ref_time": block.mandatory,
                "bytes": block.length, "turns_session": self.turns_session(block),
                "proposal_ms": block.proposal.as_ref().map(|proposal| proposal.millis),
                "end": block.proposal.as_ref().map(|proposal| &proposal.end),
            })
        });
        json!({
            "kind": self.kind,
            "seconds": self.seconds(),
            "included_and_final": self.succeeded(),
            "failed": self.blocks.iter().map(|block| block.failed).sum::<u64>(),
            "per_second": self.per_second(),
            "per_block": Spread::json(Spread::of(self.ordinary().map(|block| block.succeeded as f64))),
            "blocks": self.blocks.len(),
            "blocks_that_turn_the_session": self.blocks.len() - self.ordinary().count(),
            "slots": self.slots(),
            "lost_blocks": self.lost_blocks,
            "finality_ms": samples(&self.finality_millis),
            "weight_fill": Spread::json(self.weight_fill()),
            "length_fill": Spread::json(self.length_fill()),
            "proposal_ms": Spread::json(self.proposals()),
            "proposal_deadline_ms": self.building_millis(),
            "proposal_ms_in_which_a_full_block_is_tried_on": self.building_millis() * SOFT_PART,
            "import_ms_mean": self.import_millis,
            "ends": self.ends(),
            "transaction": {
                "call_ref_time": self.cost.call,
                "with_extensions_ref_time": self.cost.with_extensions,
                "with_base_ref_time": self.transaction(),
                "bytes": self.cost.length,
            },
            "limits": {
                "slot_ms": self.limits.slot_millis,
                "normal_ref_time": self.limits.normal,
                "block_ref_time": self.limits.block,
                "normal_bytes": self.limits.length,
                "per_block_by_weight": by_weight,
                "per_block_by_length": by_length,
                "per_second_by_weight": self.sustained(by_weight),
                "per_second_by_length": self.sustained(by_length),
            },
            "pool": {
                "limits": self.pool_limits,
                "kept_under_way": self.target,
                "under_way": samples(&self.under_way),
                "taken_by_a_node": samples(&self.waiting),
                "ready_at_a_node": samples(&self.ready),
                "refused_as_full": self.pool_full,
                "refused": self.refused,
            },
            "cores": { "nodes": nodes, "generator": generator, "machine": cores.machine, "of": cores.all },
            "limited_by": self.limit().name(),
            "why": self.why(),
            "by_block": blocks.collect::<Vec<_>>(),
        })
    }

    /// Everything, for a person.
    pub(super) fn table(&self) -> String {
        let spread = |spread: Option<Spread>, unit: &str, digits: usize| {
            spread.map_or("not known".to_owned(), |s| {
                format!("{:.digits$}{unit} ({:.digits$} to {:.digits$})", s.median, s.least, s.most)
            })
        };
        let percent = |fill: Option<Spread>| {
            let scale =
                |s: Spread| Spread { median: s.median * 1e2, least: s.least * 1e2, most: s.most * 1e2 };
            spread(fill.map(scale), " %", 1)
        };
        let samples = |samples: &[f64], unit| spread(Spread::of(samples.iter().copied()), unit, 0);
        let [by_weight, by_length] = self.most();
        let micros = |picos: u64| picos as f64 / PICOS_PER_MICRO;
        let nodes: Vec<String> = self.cores.processes.iter().map(|cores| format!("{cores:.2}")).collect();
        let (generator, nodes) =
            nodes.split_last().map_or(("0", &[][..]), |(last, nodes)| (last.as_str(), nodes));
        let turning = self.blocks.len() - self.ordinary().count();
        let rows = [
            ("included and final", format!("{} in {:.0} s", self.succeeded(), self.seconds())),
            ("per second", format!("{:.1}", self.per_second())),
            ("per block", samples(&self.ordinary().map(|b| b.succeeded as f64).collect::<Vec<_>>(), "")),
            (
                "blocks",
                format!(
                    "{}, and {turning} that turned the session and took none, in {} slots",
                    self.blocks.len() - turning,
                    self.slots()
                ),
            ),
            ("lost to forks", format!("{} blocks", self.lost_blocks)),
            ("final after", samples(&self.finality_millis, " ms")),
            ("fill by weight", percent(self.weight_fill())),
            ("fill by length", percent(self.length_fill())),
            (
                "building a block",
                format!(
                    "{}; deadline {:.0} ms; a full block is tried on for up to {:.0} ms",
                    spread(self.proposals(), " ms", 0),
                    self.building_millis(),
                    self.building_millis() * SOFT_PART
                ),
            ),
            ("under way", format!("{}; asked for {}", samples(&self.under_way, ""), self.target)),
            (
                "ready at a node",
                format!("{}; pool {}", samples(&self.ready, ""), self.pool_limits.join(", ")),
            ),
            (
                "cores",
                format!(
                    "nodes {}, generator {generator}; all programs together {:.2} of {:.0}, which they share",
                    nodes.join(" "),
                    self.cores.machine,
                    self.cores.all
                ),
            ),
            (
                "a transaction",
                format!(
                    "{:.0} µs = call {:.0} + extensions {:.0} + base {:.0}; {} bytes",
                    micros(self.transaction()),
                    micros(self.cost.call),
                    micros(self.cost.with_extensions.saturating_sub(self.cost.call)),
                    micros(self.limits.base),
                    self.cost.length
                ),
            ),
            ("most by weight", format!("{by_weight} a block, {:.1} a second", self.sustained(by_weight))),
            ("most by length", format!("{by_length} a block, {:.1} a second", self.sustained(by_length))),
            ("limited by", self.why()),
        ];
        let lines = rows.map(|(name, value)| format!("  {name:<19}{value}"));
        format!("\n{}\n{}", self.kind, lines.join("\n"))
    }
}

/// The derived ceiling of the design beside ours.
pub(super) struct Ceiling {
    /// Of a transfer.
    pub(super) cost: Cost,
    pub(super) limits: Limits,
}

impl Ceiling {
    /// Transfers in a second, of `weight` picoseconds each.
    fn per_second(&self, weight: u64, execution_seconds: f64, slot_seconds: f64) -> f64 {
        (execution_seconds * PICOS_PER_SECOND / weight.max(1) as f64).floor() / slot_seconds
    }

    /// Each step from the design's figure to ours: what it takes as given, and transfers in a second.
    fn steps(&self) -> [(String, f64); 4] {
        let bare = self.cost.call + self.limits.base;
        let whole = self.cost.with_extensions + self.limits.base;
        let normal = DESIGN_EXECUTION_SECONDS * NORMAL_PART;
        let (ours, slot) =
            (self.limits.normal as f64 / PICOS_PER_SECOND, self.limits.slot_millis as f64 / 1_000.0);
        let epoch = self.limits.epoch_slots.max(1);
        let micros = |picos: u64| picos as f64 / PICOS_PER_MICRO;
        let sustained = self.per_second(whole, ours, slot) * (epoch - 1) as f64 / epoch as f64;
        [
            (
                format!(
                    "{DESIGN_SLOT_SECONDS} s blocks with {DESIGN_EXECUTION_SECONDS} s of execution, {normal} s of it for \
                     ordinary transactions; call and base, {:.0} µs",
                    micros(bare)
                ),
                self.per_second(bare, normal, DESIGN_SLOT_SECONDS),
            ),
            (
                format!("with what the extensions around the call declare, {:.0} µs", micros(whole)),
                self.per_second(whole, normal, DESIGN_SLOT_SECONDS),
            ),
            (
                format!("in our blocks of {slot} s, with {ours} s for ordinary transactions"),
                self.per_second(whole, ours, slot),
            ),
            (format!("without the first block of each epoch of {epoch} slots, which takes none"), sustained),
        ]
    }

    pub(super) fn json(&self) -> Value {
        let steps = self
            .steps()
            .into_iter()
            .map(|(given, rate)| json!({ "given": given, "transfers_per_second": rate }));
        steps.collect()
    }

    pub(super) fn table(&self) -> String {
        let lines = self.steps().map(|(given, rate)| format!("  {rate:>7.0}  {given}"));
        format!("\nderived ceiling of transfers, per second\n{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::node_log::Proposal, *};

    const LIMITS: Limits = Limits {
        slot_millis: 2_000,
        epoch_slots: 10,
        block: 500_000_000_000,
        normal: 375_000_000_000,
        base: 100_000_000,
        length: 3_932_160,
    };

    fn block(number: u64, succeeded: u64, end: &str) -> Block {
        Block {
            number,
            millis: number * 2_000,
            succeeded,
            failed: 0,
            normal: succeeded * 500_000_000,
            mandatory: 1_000_000_000,
            length: succeeded * 150,
            proposal: Some(Proposal { number, millis: 441, end: end.into() }),
        }
    }

    fn window(blocks: Vec<Block>, waiting: f64, ran_out: bool) -> Window {
        Window {
            kind: "transfers",
            limits: LIMITS,
            cost: Cost { call: 100_000_000, with_extensions: 400_000_000, length: 150 },
            before: block(blocks[0].number - 1, 0, "NoMoreTransactions"),
            blocks,
            lost_blocks: 0,
            finality_millis: vec![3_000.0],
            under_way: vec![1_000.0],
            waiting: vec![waiting],
            ready: vec![waiting],
            target: 1_000,
            pool_limits: ["8192 transactions".into(), "20480 KiB".into()],
            pool_full: 0,
            refused: 0,
            refusal: None,
            ran_out,
            import_millis: Some(300.0),
            cores: Cores { processes: vec![0.5, 0.5, 0.5, 0.1], machine: 1.7, all: 4.0 },
        }
    }

    #[test]
    fn a_spread_is_median_least_and_most() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }

    #[test]
    fn the_session_block_counts_in_time_and_not_per_block() {
        let mut turning = block(2, 0, "NoMoreTransactions");
        turning.mandatory = LIMITS.block;
        let window = window(vec![block(1, 700, "HitBlockWeightLimit"), turning], 2_000.0, false);
        assert_eq!(window.ordinary().count(), 1);
        assert_eq!(window.per_second(), 175.0);
        assert_eq!(window.limit(), Limit::Weight);
    }

    #[test]
    fn what_limits_is_what_the_blocks_and_the_pool_show() {
        let of = |transactions, end, waiting, ran_out| {
            window(vec![block(1, transactions, end)], waiting, ran_out).limit()
        };
        assert_eq!(of(750, "HitBlockWeightLimit", 2_000.0, false), Limit::Weight);
        assert_eq!(of(700, "HitBlockSizeLimit", 2_000.0, false), Limit::Length);
        assert_eq!(of(300, "HitDeadline", 2_000.0, false), Limit::Deadline);
        assert_eq!(of(300, "NoMoreTransactions", 2_000.0, false), Limit::Pool);
        assert_eq!(of(300, "NoMoreTransactions", 20.0, false), Limit::Checks);
        assert_eq!(of(300, "NoMoreTransactions", 20.0, true), Limit::Generator);
        assert_eq!(of(750, "unknown", 20.0, false), Limit::Weight, "full, whatever the log says");
    }

    #[test]
    fn limits_of_a_block_are_the_quotients() {
        let window = window(vec![block(1, 700, "HitBlockWeightLimit")], 0.0, false);
        assert_eq!(window.most(), [750, 26_214]);
        assert_eq!(window.sustained(750), 337.5);
    }

    /// The figure that the design names, from what it takes a transfer to weigh.
    #[test]
    fn the_ceiling_begins_with_that_of_the_design() {
        let cost = Cost { call: 96_738_000, with_extensions: 400_000_000, length: 150 };
        let limits = Limits { base: 108_157_000, ..LIMITS };
        let steps = Ceiling { cost, limits }.steps();
        assert_eq!(steps[0].1.round(), 1_220.0);
        assert!(steps[1].1 < steps[0].1 && steps[3].1 < steps[2].1);
    }
}
