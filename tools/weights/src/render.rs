//! The weight files: Rust that `scripts/weights` writes, with one line for each cost so that it can be read again.

use std::fmt::Write;

use anyhow::{Context, Result};

/// What one benchmark found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Of the benchmark, which is that of the weight function.
    pub(crate) name: String,
    /// Time of execution, without the database, in nanoseconds.
    pub(crate) nanos: u64,
    /// Different keys read.
    pub(crate) reads: u32,
    /// Different keys written.
    pub(crate) writes: u32,
}

/// The file of `pallet`.
pub(crate) fn file(pallet: &str, costs: &[Cost], repeat: u32) -> String {
    // A pallet that is no crate of its own is a module of the runtime.
    let path = if pallet.starts_with("pallet_") { pallet.into() } else { format!("crate::{pallet}") };
    let mut text = format!(
        "//! What the calls of `{pallet}` cost.\n\
         //!\n\
         //! Written by scripts/weights out of its benchmarks: don't edit. The median of {repeat} executions of the Wasm, on\n\
         //! {}.\n\
         \n\
         use core::marker::PhantomData;\n\
         use frame_support::weights::Weight;\n\
         \n\
         use super::cost;\n\
         \n\
         /// Measured weights, with the database of `T`.\n\
         pub struct Measured<T>(PhantomData<T>);\n\
         \n\
         #[rustfmt::skip]\n\
         impl<T: frame_system::Config> {path}::WeightInfo for Measured<T> {{\n",
        cpu()
    );
    for Cost { name, nanos, reads, writes } in costs {
        let nanos = with_underscores(*nanos);
        // Writing to a string can't fail.
        let _ = writeln!(text, "    fn {name}() -> Weight {{ cost::<T>({nanos}, {reads}, {writes}) }}");
    }
    text.push_str("}\n");
    text
}

/// The costs that such a file holds.
///
/// # Errors
/// If a line with a cost is not as [`file`] writes it.
pub(crate) fn parse(text: &str) -> Result<Vec<Cost>> {
    text.lines().filter(|line| line.contains("cost::<T>(")).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<Cost> {
    let read = || {
        let (name, rest) = line.trim().strip_prefix("fn ")?.split_once("()")?;
        let (_, arguments) = rest.split_once("cost::<T>(")?;
        let mut numbers =
            arguments.split_once(')')?.0.split(',').map(|number| number.trim().replace('_', ""));
        Some(Cost {
            name: name.into(),
            nanos: numbers.next()?.parse().ok()?,
            reads: numbers.next()?.parse().ok()?,
            writes: numbers.next()?.parse().ok()?,
        })
    };
    read().with_context(|| {
        format!("expected `fn NAME() -> Weight {{ cost::<T>(NANOSECONDS, READS, WRITES) }}`, found `{line}`")
    })
}

/// Digits in groups of three.
fn with_underscores(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// The processor's name, where the system tells it.
fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("an unknown processor".into(), |(_, name)| name.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_is_read_again() {
        let cost = |name: &str, nanos| Cost { name: name.into(), nanos, reads: 12, writes: 7 };
        let costs = [cost("create_job", 1_234_567), cost("top_up", 999), cost("sponsor", 100_000)];
        let text = file("pallet_job_escrow", &costs, 20);
        assert!(text.contains("cost::<T>(1_234_567, 12, 7)"), "{text}");
        assert_eq!(parse(&text).expect("it was just written"), costs);
    }

    #[test]
    fn a_line_that_was_edited_is_refused() {
        let error = parse("    fn top_up() -> Weight { cost::<T>(a lot, 1, 2) }").unwrap_err();
        assert!(error.to_string().contains("a lot"), "{error}");
    }
}
