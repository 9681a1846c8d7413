//! Times of RFC 3339 as Cedar's `datetime` takes them.
//!
//! Cedar takes seconds with three digits of a fraction or none, and an offset without colon.
//! The specification's own example, `2025-06-27T18:03-07:00`, is none of these.

/// Returns a time in Cedar's form; `None` if it is none of RFC 3339 (whose seconds may be
/// missing here). Fractions beyond the millisecond, which Cedar's times do not have, are cut.
pub(crate) fn normalize(text: &str) -> Option<String> {
    let Some((date, rest)) = text.split_once(['T', 't']) else {
        return Some(text.to_owned());
    };
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at_checked(zone_at)?;
    let (whole, fraction) = match time.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (time, None),
    };
    let whole = match whole.matches(':').count() {
        1 if fraction.is_none() => format!("{whole}:00"),
        2 => whole.to_owned(),
        _ => return None,
    };
    let fraction = match fraction {
        None => String::new(),
        Some(digits) => {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let milliseconds: String = digits.chars().chain("00".chars()).take(3).collect();
            format!(".{milliseconds}")
        }
    };
    let zone = match zone {
        "Z" | "z" => "Z".to_owned(),
        offset => offset.replacen(':', "", 1),
    };
    Some(format!("{date}T{whole}{fraction}{zone}"))
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn times_of_rfc_3339_become_cedars() {
        let cases = [
            ("2025-06-27", Some("2025-06-27")),
            ("2025-06-27T18:03-07:00", Some("2025-06-27T18:03:00-0700")),
            ("2025-06-27T18:03:00Z", Some("2025-06-27T18:03:00Z")),
            ("2025-06-27t18:03:00.5z", Some("2025-06-27T18:03:00.500Z")),
            ("2025-06-27T18:03:00.123456+01:30", Some("2025-06-27T18:03:00.123+0130")),
            ("2025-06-27T18:03:00-0700", Some("2025-06-27T18:03:00-0700")),
            ("2025-06-27T18:03:00", None),
            ("2025-06-27T18:03.5Z", None),
            ("2025-06-27T18Z", None),
            ("2025-06-27T18:03:00.Z", None),
        ];
        for (given, expected) in cases {
            assert_eq!(normalize(given).as_deref(), expected, "{given}");
        }
    }
}
