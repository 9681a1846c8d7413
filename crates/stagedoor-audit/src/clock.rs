//! Times as records write them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns a time in RFC 3339, in UTC and to the microsecond.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let time = UNIX_EPOCH + Duration::from_micros(1_764_400_000_123_456);
/// assert_eq!(stagedoor_audit::rfc3339(time), "2025-11-29T07:06:40.123456Z");
/// ```
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let micros = u64::from(since.subsec_micros());
    // By hand: every record has one, and what formats in general takes many times as long.
    let mut text = String::with_capacity("2025-11-29T07:06:40.123456Z".len());
    let parts = [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (hour, 2, ':'),
        (minute, 2, ':'),
        (second, 2, '.'),
        (micros, 6, 'Z'),
    ];
    for (number, digits, mark) in parts {
        push_padded(&mut text, number, digits);
        text.push(mark);
    }
    text
}

/// Adds a number with at least so many digits.
fn push_padded(text: &mut String, number: u64, digits: u32) {
    let mut place = 10_u64.pow(digits.saturating_sub(1));
    while number / place >= 10 {
        place *= 10;
    }
    while place > 0 {
        let digit = u8::try_from(number / place % 10).unwrap_or_default();
        text.push(char::from(b'0' + digit));
        place /= 10;
    }
}

/// Returns the date of a day since 1970, after Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Returns the microseconds since 1970 of a time as [`rfc3339`] writes it; 0 of what is none.
pub(crate) fn micros(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| {
        time.get(range).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default()
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // After Howard Hinnant's `days_from_civil`; years from 1970 on.
    let shifted = if month <= 2 { year.saturating_sub(1) } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month + 2) / 5 + day.saturating_sub(1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).saturating_sub(719_468);
    let seconds = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    seconds * 1_000_000 + number(20..26)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{micros, rfc3339};

    #[test]
    fn times_are_read_as_they_are_written() {
        assert_eq!(micros("2025-11-29T07:06:40.123456Z"), 1_764_400_000_123_456);
        assert_eq!(micros("2000-02-29T00:00:00.000000Z"), 951_782_400_000_000);
        assert_eq!(micros("nonsense"), 0);
    }

    #[test]
    fn leap_days_and_ends_of_years_are_told() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_800, "10000-01-01T00:00:00.000000Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
