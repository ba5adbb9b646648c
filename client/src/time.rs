//! Spans and moments as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Shows a span by its two largest units: `1 h 05 min`, `2 min 10 s`, `4 s`.
pub fn show_span(span: Duration) -> String {
    let seconds = span.as_secs_f64().ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Shows Unix time in milliseconds as UTC: `2026-11-22 10:05:00 UTC`.
pub fn show_moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = civil((seconds / 86_400) as i64);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        of_day / 3_600,
        of_day % 3_600 / 60,
        of_day % 60
    )
}

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc() {
        assert_eq!(show_moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(show_moment(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(show_moment(1_795_340_712_345), "2026-11-22 09:45:12 UTC");
    }

    #[test]
    fn a_span_is_shown_by_its_two_largest_units() {
        assert_eq!(show_span(Duration::from_millis(3_200)), "4 s");
        assert_eq!(show_span(Duration::from_secs(130)), "2 min 10 s");
        assert_eq!(show_span(Duration::from_secs(3_900)), "1 h 05 min");
        assert_eq!(show_span(Duration::from_secs(90_000)), "1 d 01 h");
    }
}
