//! Amounts of the token, between what people write (`12.5`, `12.5 ATT`) and what the chain counts (planck).

use attune_primitives::Balance;

/// The token's symbol.
pub const SYMBOL: &str = "ATT";
/// Decimal places of one token.
pub const DECIMALS: usize = 12;
/// One token, in planck.
pub const ATT: Balance = 1_000_000_000_000;

/// Reads an amount in tokens, such as `12.5` or `12.5 ATT`, exactly.
///
/// # Errors
/// A sentence that says what was expected, for anything that is not a decimal number of at most 12 places, or that
/// does not fit.
pub fn parse(text: &str) -> Result<Balance, String> {
    let refuse = |why: &str| {
        Err(format!(
            "{text:?} is not an amount of {SYMBOL}: {why}; write for example 12.5 (12 decimals at most)"
        ))
    };
    let number = text.trim();
    let number = number.strip_suffix(SYMBOL).unwrap_or(number).trim().replace('_', "");
    let (whole, places) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() && places.is_empty() {
        return refuse("it holds no digits");
    }
    if !whole.bytes().chain(places.bytes()).all(|b| b.is_ascii_digit()) {
        return refuse("only digits and one decimal point are allowed");
    }
    if places.len() > DECIMALS {
        return refuse("it has more than 12 decimals");
    }
    let digits = format!("{whole}{places:0<DECIMALS$}");
    match digits.parse() {
        Ok(planck) => Ok(planck),
        Err(_) => refuse("it is too large"),
    }
}

/// As [`parse`], refusing zero.
///
/// # Errors
/// As [`parse`].
pub fn parse_positive(text: &str) -> Result<Balance, String> {
    match parse(text)? {
        0 => Err(format!("{text:?} is nothing; write an amount above 0, for example 12.5")),
        planck => Ok(planck),
    }
}

/// Shows an amount with its symbol, without trailing zeros: `12.5 ATT`.
pub fn show(planck: Balance) -> String {
    format!("{} {SYMBOL}", show_bare(planck))
}

/// Shows an amount without its symbol.
pub fn show_bare(planck: Balance) -> String {
    let (whole, places) = (planck / ATT, planck % ATT);
    let places = format!("{places:0DECIMALS$}");
    let places = places.trim_end_matches('0');
    let whole = group(whole);
    if places.is_empty() {
        whole
    } else {
        format!("{whole}.{places}")
    }
}

/// The least amount that lists show: a ten-thousandth of a token, in planck.
const STEP: Balance = ATT / 10_000;

/// An amount rounded up to four decimals, for offers that people read.
pub fn round_up(planck: Balance) -> Balance {
    planck.div_ceil(STEP).saturating_mul(STEP)
}

/// Shows an amount rounded down to four decimals, for lists that people read.
pub fn show_short(planck: Balance) -> String {
    let rounded = planck / STEP * STEP;
    if rounded == 0 && planck > 0 {
        return show(planck);
    }
    show(rounded)
}

/// The difference of two balances with its sign: `+12.5 ATT`.
pub fn show_change(before: Balance, after: Balance) -> String {
    let sign = if after < before { "-" } else { "+" };
    format!("{sign}{}", show_short(before.abs_diff(after)))
}

/// Digits in groups of three: `1,000,000`.
fn group(number: Balance) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_exactly() {
        assert_eq!(parse("12.5"), Ok(12_500_000_000_000));
        assert_eq!(parse("12.5 ATT"), Ok(12_500_000_000_000));
        assert_eq!(parse("0.000000000001"), Ok(1));
        assert_eq!(parse(".5"), Ok(ATT / 2));
        assert_eq!(parse("1_000"), Ok(1_000 * ATT));
        assert_eq!(parse("340282366920938463463374607.431768211455"), Ok(Balance::MAX));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in [
            "",
            ".",
            "-1",
            "1e3",
            "1.0000000000001",
            "1.2.3",
            "ATT",
            "340282366920938463463374607.431768211456",
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was read");
        }
        assert!(parse_positive("0.0").is_err());
    }

    #[test]
    fn an_amount_is_shown_as_it_is_read() {
        for planck in [0, 1, ATT, ATT / 2, 1_234_567 * ATT + 890_000_000_000, Balance::MAX] {
            assert_eq!(parse(&show(planck).replace(',', "")), Ok(planck));
        }
        assert_eq!(show(1_234_567 * ATT + ATT / 2), "1,234,567.5 ATT");
        assert_eq!(show_short(ATT + 123_456_789), "1.0001 ATT");
        assert_eq!([0, 1, STEP, STEP + 1].map(round_up), [0, STEP, STEP, 2 * STEP]);
        assert_eq!(show_change(2 * ATT, ATT), "-1 ATT");
    }
}
