//! A scenario as bytes, which a fuzzer changes, and as text, which people read and which stays true when calls are
//! added.
//!
//! Bytes: a head of [`HEAD_BYTES`], then records of [`STEP_BYTES`] each, so that a change in one step leaves the others
//! as they are. Text: one line a step, `name bytes-in-hex`; what follows a `#` is a comment.

use crate::calls;
use core::fmt::Write;

/// Bytes of the head: the state to start from, and how transactions are paid.
pub const HEAD_BYTES: usize = 2;
/// Bytes of a step: what kind it is, which of the kind, and its parameters.
pub const STEP_BYTES: usize = 12;
/// Bytes of a step's parameters. The first one says who.
pub const ARGUMENT_BYTES: usize = STEP_BYTES - 2;
/// Most steps of a scenario.
pub const MAX_STEPS: usize = 64;
/// Longest scenario, in bytes.
pub const MAX_BYTES: usize = HEAD_BYTES + MAX_STEPS * STEP_BYTES;

/// The state that a scenario starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Providers, delegations, a model, jobs in several states, and randomness for draws.
    Prepared,
    /// The first block after genesis.
    Genesis,
}

/// One step: an operation and its parameters.
#[derive(Clone, Copy)]
pub struct Step {
    /// What is done.
    pub operation: &'static calls::Operation,
    /// With which parameters.
    pub arguments: [u8; ARGUMENT_BYTES],
}

impl core::fmt::Debug for Step {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{} {}", self.operation.name(), to_hex(&self.arguments))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.operation.name() == other.operation.name() && self.arguments == other.arguments
    }
}

/// What is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where it starts.
    pub start: Start,
    /// True if transactions go through the runtime's extensions and pay fees; false if calls are dispatched bare.
    pub pays_fees: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads bytes. Any bytes are a scenario: what is missing is 0, what is too much is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let head = |place: usize| bytes.get(place).copied().unwrap_or_default();
        let records = bytes.get(HEAD_BYTES..).unwrap_or_default().chunks(STEP_BYTES).take(MAX_STEPS);
        let step = |record: &[u8]| {
            let mut whole = [0; STEP_BYTES];
            whole[..record.len()].copy_from_slice(record);
            let mut arguments = [0; ARGUMENT_BYTES];
            arguments.copy_from_slice(&whole[2..]);
            Step { operation: calls::operation(whole[0], whole[1]), arguments }
        };
        Self {
            start: if head(0) % 8 == 7 { Start::Genesis } else { Start::Prepared },
            pays_fees: head(1) % 2 == 1,
            steps: records.map(step).collect(),
        }
    }

    /// The bytes from which this scenario is read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = if self.start == Start::Genesis { 7 } else { 0 };
        let mut bytes = vec![start, u8::from(self.pays_fees)];
        for step in &self.steps {
            bytes.extend(calls::place(step.operation));
            bytes.extend(step.arguments);
        }
        bytes
    }

    /// Writes the text form, with a comment after each step.
    pub fn to_text(&self, comments: &[String]) -> String {
        let mut text = format!(
            "start {}\nfees {}\n",
            if self.start == Start::Genesis { "genesis" } else { "prepared" },
            if self.pays_fees { "yes" } else { "no" }
        );
        for (place, step) in self.steps.iter().enumerate() {
            let comment = comments.get(place).map_or(String::new(), |comment| format!("  # {comment}"));
            // Writing to a string does not fail.
            let _ = writeln!(text, "{step:?}{comment}");
        }
        text
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut scenario = Self { start: Start::Prepared, pays_fees: false, steps: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(name), value) = (words.next(), words.next()) else { continue };
            let wrong = |what: String| format!("line {}: {what}", number + 1);
            match (name, value) {
                ("start", Some("prepared")) => scenario.start = Start::Prepared,
                ("start", Some("genesis")) => scenario.start = Start::Genesis,
                ("fees", Some("yes")) => scenario.pays_fees = true,
                ("fees", Some("no")) => scenario.pays_fees = false,
                _ => {
                    let operation = calls::named(name).ok_or_else(|| {
                        wrong(format!("expected `start`, `fees` or the name of a step, found '{name}'"))
                    })?;
                    let arguments = from_hex(value.unwrap_or_default()).ok_or_else(|| {
                        wrong(format!(
                            "expected {ARGUMENT_BYTES} bytes in hex after '{name}', found '{value:?}'"
                        ))
                    })?;
                    scenario.steps.push(Step { operation, arguments });
                }
            }
        }
        Ok(scenario)
    }

    /// Reads a file's content: the text form if it begins like one, else bytes.
    ///
    /// # Errors
    /// As [`Scenario::from_text`].
    pub fn from_file(content: &[u8]) -> Result<Self, String> {
        match core::str::from_utf8(content) {
            Ok(text) if text.starts_with("start ") => Self::from_text(text),
            _ => Ok(Self::from_bytes(content)),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; ARGUMENT_BYTES]> {
    let mut bytes = [0; ARGUMENT_BYTES];
    if text.len() != 2 * ARGUMENT_BYTES || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}
