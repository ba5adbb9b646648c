//! What the chain says when it refuses a transaction, in words that help.

use std::fmt;

use subxt::error::DispatchError;

use crate::advice;

/// A transaction that was executed and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Pallet and call that were sent.
    pub call: String,
    /// Pallet of the error, such as `JobEscrow`; empty for an error of no pallet.
    pub pallet: String,
    /// Name of the error, such as `InvalidPrice`.
    pub error: String,
    /// What is wrong, and what to change.
    pub advice: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = if self.pallet.is_empty() { String::new() } else { format!("{}.", self.pallet) };
        write!(
            f,
            "expected the chain to accept {}, found it refused ({source}{}): {}",
            self.call, self.error, self.advice
        )
    }
}

impl std::error::Error for Rejection {}

impl Rejection {
    /// Puts a dispatch error into words.
    pub fn from_dispatch(call: &str, error: &DispatchError) -> Self {
        let (pallet, name, docs) = match error {
            DispatchError::Module(module) => match module.details() {
                Ok(details) => (
                    details.pallet.name().to_owned(),
                    details.variant.name.clone(),
                    details.variant.docs.join(" ").trim().to_owned(),
                ),
                Err(_) => (String::new(), module.details_string(), String::new()),
            },
            DispatchError::Token(token) => (String::new(), format!("{token:?}"), token.to_string()),
            other => (String::new(), variant_name(other), other.to_string()),
        };
        let advice = match advice::of(&pallet, &name) {
            Some(known) => known.to_owned(),
            None if docs.is_empty() => "the chain gives no further reason".to_owned(),
            None => docs,
        };
        Self { call: call.to_owned(), pallet, error: name, advice }
    }
}

fn variant_name(error: &DispatchError) -> String {
    let text = format!("{error:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
