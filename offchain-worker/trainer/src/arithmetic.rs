//! The arithmetic of a training: what must be equal for two machines to get equal bits.
//!
//! In exact arithmetic (`exact/SPEC.md`) that is the specification's version and the form of the frozen weights, and
//! nothing of the machine. In binary32 through libtorch it is a whole [`ExecutionClass`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, ExecutionClass, Result};

/// Version of the specification of exact arithmetic that this trainer follows, the 1 of AX-1.
pub const EXACT_VERSION: u16 = 1;

/// How the frozen weights of exact arithmetic are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseFormat {
    /// Eight bits, one scale per output channel.
    W8,
    /// Four bits in groups of 32, one multiplier per group and one scale per output channel.
    W4,
}

impl BaseFormat {
    /// All of them.
    pub const ALL: [BaseFormat; 2] = [BaseFormat::W8, BaseFormat::W4];

    fn name(self) -> &'static str {
        match self {
            Self::W8 => "w8",
            Self::W4 => "w4",
        }
    }
}

/// The arithmetic of a training. Shown and parsed as `ax1-w8`, or as the name of an execution class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// The same bits on every machine.
    Exact(BaseFormat),
    /// libtorch's binary32: the same bits on machines of one class. The process is pinned to it.
    Float(ExecutionClass),
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(base) => write!(f, "ax{EXACT_VERSION}-{}", base.name()),
            Self::Float(class) => class.fmt(f),
        }
    }
}

impl FromStr for Arithmetic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(base) = BaseFormat::ALL.into_iter().find(|base| Self::Exact(*base).to_string() == text) {
            return Ok(Self::Exact(base));
        }
        if text.starts_with("ax") {
            return Err(Error::Class(format!(
                "{text:?} is not an arithmetic of this trainer; it computes {} and {}",
                Self::Exact(BaseFormat::W8),
                Self::Exact(BaseFormat::W4)
            )));
        }
        text.parse().map(Self::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arithmetic_is_parsed_from_its_own_name() {
        for name in ["ax1-w8", "ax1-w4", "cpu-torch2.11.0-avx2-t2-f32"] {
            assert_eq!(name.parse::<Arithmetic>().unwrap().to_string(), name);
        }
        for (name, part) in [("ax2-w8", "ax1-w8 and ax1-w4"), ("ax1-w2", "ax1-w2"), ("cpu", "1 parts")] {
            let error = name.parse::<Arithmetic>().expect_err(name).to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
