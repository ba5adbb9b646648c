//! Arithmetic, as customers name it and as it is shown to everybody.
//!
//! In this form a dispute ends in a vote of a committee in either mode. What differs is who can be on it: in exact
//! arithmetic every provider who computes it, in class-exact arithmetic those of one execution class.

use attune_primitives::{
    job::{ArithmeticMode, BaseFormat},
    provider::ProviderProfile,
};
use attune_trainer::arithmetic::EXACT_VERSION;
use clap::ValueEnum;

use crate::output::clean_bytes;

/// What a customer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Exact arithmetic, in the version that this release computes.
    Exact(BaseFormat),
    /// Class-exact: in this execution class, or in the one that most providers are of.
    Class(Option<String>),
}

/// [`Wanted`] as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// The same bits on every machine; the frozen base model in 8 bits
    Exact,
    /// The same bits on every machine; the frozen base model in 4 bits
    ExactW4,
    /// libtorch's 32-bit floats: the same bits on machines of one execution class only
    Class,
}

impl Wanted {
    /// From the two options: a class alone asks for class-exact arithmetic.
    ///
    /// # Errors
    /// If a class is named for exact arithmetic, which has none.
    pub fn new(name: Option<Name>, class: Option<String>) -> anyhow::Result<Self> {
        match (name, class) {
            (Some(Name::Class), class) => Ok(Self::Class(class)),
            (None, Some(class)) => Ok(Self::Class(Some(class))),
            (Some(_), Some(_)) => anyhow::bail!(
                "exact arithmetic has no execution class: any provider who computes it gives the same bits; leave out \
                 --class, or take --arithmetic class"
            ),
            (None | Some(Name::Exact), None) => Ok(Self::Exact(BaseFormat::W8)),
            (Some(Name::ExactW4), None) => Ok(Self::Exact(BaseFormat::W4)),
        }
    }
}

/// The mode of exact arithmetic that this release orders.
pub fn exact(base: BaseFormat) -> ArithmeticMode {
    ArithmeticMode::Exact { version: EXACT_VERSION, base }
}

/// A mode in the words of a list.
pub fn show(mode: &ArithmeticMode) -> String {
    match mode {
        ArithmeticMode::Exact { version, base } => {
            let bits = match base {
                BaseFormat::W8 => 8,
                BaseFormat::W4 => 4,
            };
            format!("exact AX-{version}, {bits}-bit base")
        }
        ArithmeticMode::ClassExact { class } => format!("class-exact, {}", clean_bytes(class)),
    }
}

/// A mode, with what it promises.
pub fn describe(mode: &ArithmeticMode) -> String {
    let promise = match mode {
        ArithmeticMode::Exact { .. } => "the same bits on every machine",
        ArithmeticMode::ClassExact { .. } => "bit-equal within the class",
    };
    format!("{} ({promise}; disputes go to a committee)", show(mode))
}

/// The exact arithmetic that a provider computes: `AX-1`, or `-` for none.
pub fn exact_of(profile: &ProviderProfile) -> String {
    match profile.exact_version {
        0 => "-".into(),
        version => format!("AX-{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_is_what_is_asked_for_unless_a_class_is_named() {
        let class = || Some("c".to_string());
        assert_eq!(Wanted::new(None, None).unwrap(), Wanted::Exact(BaseFormat::W8));
        assert_eq!(Wanted::new(Some(Name::ExactW4), None).unwrap(), Wanted::Exact(BaseFormat::W4));
        assert_eq!(Wanted::new(None, class()).unwrap(), Wanted::Class(class()));
        assert_eq!(Wanted::new(Some(Name::Class), None).unwrap(), Wanted::Class(None));
        let refused = Wanted::new(Some(Name::Exact), class()).unwrap_err().to_string();
        assert!(refused.contains("leave out --class"), "{refused}");
    }

    #[test]
    fn a_mode_is_shown_with_what_it_promises() {
        assert_eq!(
            describe(&exact(BaseFormat::W8)),
            "exact AX-1, 8-bit base (the same bits on every machine; disputes go to a committee)"
        );
        let class = ArithmeticMode::ClassExact { class: b"c".to_vec().try_into().unwrap() };
        assert_eq!(
            describe(&class),
            "class-exact, c (bit-equal within the class; disputes go to a committee)"
        );
    }
}
