//! Output: text for people, or one JSON object a line. Amounts are in planck in JSON, as text (they exceed 2^53).

use serde_json::{json, Value};
use subxt::error::{DispatchError, TransactionEventsError};

/// One ATT, in planck.
const ATT: u128 = 1_000_000_000_000;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Lines of text.
    Text,
    /// JSON lines.
    Json,
}

impl Output {
    /// Prints a result.
    pub(crate) fn say(self, text: &str, object: Value) {
        match self {
            Output::Text => println!("{text}"),
            Output::Json => println!("{object}"),
        }
    }

    /// Prints why the program stops, on standard error. Where a pallet refused the call: its error's name and what
    /// the metadata says about it.
    pub(crate) fn error(self, error: &anyhow::Error) -> std::process::ExitCode {
        let (text, object) = match pallet_error(error) {
            Some((pallet, name, docs)) => (
                format!("refused: {pallet}.{name}: {docs}"),
                json!({"pallet": pallet, "error": name, "docs": docs}),
            ),
            None => (format!("error: {}", reason(error)), json!({"error": reason(error)})),
        };
        match self {
            Output::Text => eprintln!("{text}"),
            Output::Json => eprintln!("{object}"),
        }
        std::process::ExitCode::FAILURE
    }
}

/// The error and its causes; subxt's errors name theirs already.
fn reason(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause if text.is_empty() => cause,
        cause => format!("{text}: {cause}"),
    })
}

/// Pallet, name and documentation of the pallet error that `error` is, if it is one.
fn pallet_error(error: &anyhow::Error) -> Option<(String, String, String)> {
    let failed = error.downcast_ref::<TransactionEventsError>()?;
    let TransactionEventsError::ExtrinsicFailed(DispatchError::Module(module)) = failed else { return None };
    let details = module.details().ok()?;
    let docs = details.variant.docs.join(" ").trim().to_owned();
    Some((details.pallet.name().to_owned(), details.variant.name.clone(), docs))
}

/// An amount of planck in ATT, without trailing zeros.
pub(crate) fn att(planck: u128) -> String {
    let text = format!("{}.{:012}", planck / ATT, planck % ATT);
    format!("{} ATT", text.trim_end_matches('0').trim_end_matches('.'))
}
