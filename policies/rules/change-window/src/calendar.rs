//! Moments, days of the week and times of day.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use stagedoor_rule_sdk::Extension;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }

            fn visit_i64<E: de::Error>(self, since: i64) -> Result<Moment, E> {
                Ok(Moment(since))
            }

            fn visit_u64<E: de::Error>(self, since: u64) -> Result<Moment, E> {
                i64::try_from(since).map(Moment).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                Moment::parse(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, value: A) -> Result<Moment, A::Error> {
                let Extension { function, argument, .. } =
                    Extension::deserialize(MapAccessDeserializer::new(value))?;
                if function != "datetime" {
                    return Err(de::Error::custom(format_args!("`{function}` is no time")));
                }
                self.visit_str(&argument)
            }
        }

        // What is not an integer is handed over too.
        deserializer.deserialize_i64(Written)
    }
}

impl Moment {
    /// Reads Cedar's forms: `2026-11-22`, `2026-11-22T19:30:00Z`, `…00.123Z`, `…00+0100`.
    fn parse(text: &str) -> Result<Self, String> {
        Self::read(text)
            .ok_or_else(|| format!("`{text}` is no time such as `2026-11-22T19:30:00Z`"))
    }

    fn read(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let days = days_since_1970(year, month, day)?;
        let Some(time) = time else { return Some(Self(days * DAY)) };
        let zone = time.bytes().position(|b| matches!(b, b'Z' | b'+' | b'-'))?;
        let (time, zone) = time.split_at_checked(zone)?;
        let (time, milliseconds) = match time.split_once('.') {
            Some((time, after)) => (time, number(after, 3)?),
            None => (time, 0),
        };
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let offset = match zone.split_at_checked(1)? {
            ("Z", "") => 0,
            (sign, digits) => {
                let (hours, minutes) = digits.split_at_checked(2)?;
                Offset::of(sign, number(hours, 2)?, number(minutes, 2)?)?.0
            }
        };
        let seconds = (hour * 60 + minute) * 60 + second;
        Some(Self(days * DAY + seconds * SECOND + milliseconds - offset))
    }

    /// Returns what a clock there shows.
    pub(crate) fn local(self, offset: Offset) -> (Weekday, TimeOfDay) {
        let local = self.0.saturating_add(offset.0);
        // 1970 began on a Thursday.
        let day = (local.div_euclid(DAY) + 3).rem_euclid(7);
        let minute = local.rem_euclid(DAY) / MINUTE;
        (Weekday::ALL.get(day as usize).copied().unwrap_or(Weekday::Mon), TimeOfDay(minute))
    }
}

/// Returns the days from 1970-01-01, in the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Reads numbers of so many digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut read = [0; N];
    for (number_read, digits) in read.iter_mut().zip(digits) {
        *number_read = number(parts.next()?, digits)?;
    }
    parts.next().is_none().then_some(read)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let read = |number, byte| Some(10 * number + i64::from(char::from(byte).to_digit(10)?));
    if text.len() == digits { text.bytes().try_fold(0, read) } else { None }
}

/// Milliseconds east of Greenwich.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Offset(i64);

impl Offset {
    fn of(sign: &str, hours: i64, minutes: i64) -> Option<Self> {
        let offset = (hours * 60 + minutes) * MINUTE;
        match sign {
            _ if hours > 23 || minutes > 59 => None,
            "+" => Some(Self(offset)),
            "-" => Some(Self(-offset)),
            _ => None,
        }
    }
}

impl TryFrom<String> for Offset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (sign, rest) = text.split_at_checked(1)?;
            let [hours, minutes] = numbers(rest, ':', [2, 2])?;
            Self::of(sign, hours, minutes)
        };
        read().ok_or_else(|| format!("`{text}` is no offset such as `+02:00`"))
    }
}

/// Minutes since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct TimeOfDay(i64);

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match numbers(&text, ':', [2, 2]) {
            // Midnight may stand at the end of a day.
            Some([24, 0]) => Ok(Self(24 * 60)),
            Some([hour @ 0..24, minute @ 0..60]) => Ok(Self(hour * 60 + minute)),
            _ => Err(format!("`{text}` is no time of day such as `09:00`")),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    pub(crate) fn before(self) -> Self {
        let before = (self as usize + 6) % 7;
        Self::ALL.get(before).copied().unwrap_or(self)
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mon => "Monday",
            Self::Tue => "Tuesday",
            Self::Wed => "Wednesday",
            Self::Thu => "Thursday",
            Self::Fri => "Friday",
            Self::Sat => "Saturday",
            Self::Sun => "Sunday",
        })
    }
}
