//! Values of one place that pass some tests and fail others.
//!
//! Small models: for each kind of value there is a finite list of candidates that holds a value of
//! every kind that the tests can tell apart. Numbers: a constant, and the numbers beside it, since
//! tests cut the line at constants only. Addresses: networks either contain each other or share
//! nothing, so a part that is not covered by smaller networks begins where one of them begins or
//! right behind where one ends; ranges are candidates as well, since Cedar has them as values.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cedar_policy_core::ast::{Pattern, PatternElem};

use super::strings::{self, StringSearch};
use crate::atom::Predicate;
use crate::constant::{Constant, IpRange};
use crate::schema::ValueType;

/// What came of looking for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Solution {
    Value(Constant),
    Nothing,
    GaveUp,
}

/// Returns whether a test holds of a constant.
pub(super) fn holds(test: &Predicate, of: &Constant) -> bool {
    match (test, of) {
        (Predicate::IsTrue, Constant::Bool(value)) => *value,
        (Predicate::Equals(constant), of) => constant == of,
        (Predicate::AtMost(bound), Constant::Number(number)) => number <= bound,
        (Predicate::Like(pattern), Constant::String(text)) => pattern.wildcard_match(text),
        (Predicate::InRange(range), Constant::Ip(own)) => own.is_in(*range),
        (Predicate::IsIpv4, Constant::Ip(own)) => own.address.is_ipv4(),
        (Predicate::IsLoopback, Constant::Ip(own)) => own.is_loopback(),
        (Predicate::IsMulticast, Constant::Ip(own)) => own.is_multicast(),
        _ => false,
    }
}

/// Returns a value of which every test says what it must, and that is none of `avoided`.
pub(super) fn solve(
    ty: &ValueType,
    tests: &[(&Predicate, bool)],
    avoided: &BTreeSet<Constant>,
) -> Solution {
    let passes = |constant: &Constant| {
        !avoided.contains(constant)
            && tests.iter().all(|(test, wanted)| holds(test, constant) == *wanted)
    };
    let equal = tests.iter().find_map(|(test, wanted)| match test {
        Predicate::Equals(constant) if *wanted => Some(constant),
        _ => None,
    });
    if let Some(constant) = equal {
        return if passes(constant) {
            Solution::Value(constant.clone())
        } else {
            Solution::Nothing
        };
    }
    let candidates = match ty {
        ValueType::Bool => vec![Constant::Bool(false), Constant::Bool(true)],
        ValueType::Long | ValueType::Decimal | ValueType::Datetime | ValueType::Duration => {
            numbers(tests, avoided)
        }
        ValueType::Ip => addresses(tests, avoided),
        ValueType::String => return text(tests, avoided),
        _ => return Solution::GaveUp,
    };
    candidates.into_iter().find(passes).map_or(Solution::Nothing, Solution::Value)
}

fn numbers(tests: &[(&Predicate, bool)], avoided: &BTreeSet<Constant>) -> Vec<Constant> {
    let mut edges: BTreeSet<i64> = BTreeSet::new();
    let constants = tests.iter().filter_map(|(test, _)| match test {
        Predicate::Equals(Constant::Number(n)) | Predicate::AtMost(n) => Some(*n),
        _ => None,
    });
    let avoided = avoided.iter().filter_map(|constant| match constant {
        Constant::Number(n) => Some(*n),
        _ => None,
    });
    for n in constants.chain(avoided) {
        edges.extend([n.saturating_sub(1), n, n.saturating_add(1)]);
    }
    // The plainest comes first, the ends last.
    let mut numbers: Vec<i64> = vec![0];
    numbers.extend(edges);
    numbers.extend([i64::MIN, i64::MAX]);
    numbers.into_iter().map(Constant::Number).collect()
}

fn addresses(tests: &[(&Predicate, bool)], avoided: &BTreeSet<Constant>) -> Vec<Constant> {
    let v4 =
        |a, b, c, d, prefix| IpRange { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix };
    let v6 = |first, last, prefix| IpRange {
        address: IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last)),
        prefix,
    };
    // All addresses, and those that tests without constants tell apart.
    let mut ranges: BTreeSet<IpRange> = BTreeSet::from([
        v4(0, 0, 0, 0, 0),
        v4(127, 0, 0, 0, 8),
        v4(224, 0, 0, 0, 4),
        v6(0, 0, 0),
        v6(0, 1, 128),
        v6(0xff00, 0, 8),
    ]);
    ranges.extend(tests.iter().filter_map(|(test, _)| match test {
        Predicate::InRange(range) | Predicate::Equals(Constant::Ip(range)) => Some(*range),
        _ => None,
    }));
    let avoided = avoided.iter().filter_map(|constant| match constant {
        Constant::Ip(range) => Some(*range),
        _ => None,
    });
    ranges.extend(avoided);
    let mut found = vec![v4(192, 0, 2, 1, 32)];
    let excluded = ranges.len() as u128;
    for range in &ranges {
        let (first, last) = range.ends();
        let beside = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
        let singles = beside.into_iter().flatten();
        found.extend(singles.filter_map(|number| range.at(number, range.bits())));
        // The range itself, in more writings than can be excluded.
        let writings = (0..=excluded).filter_map(|n| first.checked_add(n)).filter(|n| *n <= last);
        found.extend(writings.filter_map(|number| range.at(number, range.prefix)));
    }
    found.into_iter().map(Constant::Ip).collect()
}

fn text(tests: &[(&Predicate, bool)], avoided: &BTreeSet<Constant>) -> Solution {
    let passes = |text: &str| {
        let constant = Constant::String(text.into());
        !avoided.contains(&constant)
            && tests.iter().all(|(test, wanted)| holds(test, &constant) == *wanted)
    };
    // Where nothing must match, some text that nobody named will do.
    for number in 0..3 {
        let plain = if number == 0 { "other".to_owned() } else { format!("other-{number}") };
        if passes(&plain) {
            return Solution::Value(Constant::String(plain.into()));
        }
    }
    // A pattern with its wildcards filled in.
    for (test, wanted) in tests {
        let Predicate::Like(pattern) = test else { continue };
        for filling in ["", "x", "other"].into_iter().filter(|_| *wanted) {
            let fill = |elem: &PatternElem| match elem {
                PatternElem::Char(c) => c.to_string(),
                PatternElem::Wildcard => filling.to_owned(),
            };
            let filled: String = pattern.iter().map(fill).collect();
            if passes(&filled) {
                return Solution::Value(Constant::String(filled.into()));
            }
        }
    }
    let mut patterns: Vec<(Pattern, bool)> = Vec::new();
    for (test, wanted) in tests {
        match test {
            Predicate::Like(pattern) => patterns.push((pattern.clone(), *wanted)),
            Predicate::Equals(Constant::String(text)) => {
                patterns.push((strings::exactly(text), *wanted));
            }
            _ => {}
        }
    }
    // Texts that cannot be meant anyway would only be carried along.
    let positive: Vec<Pattern> =
        patterns.iter().filter(|(_, wanted)| *wanted).map(|(p, _)| p.clone()).collect();
    patterns.retain(|(pattern, wanted)| {
        let fixed: Option<String> = pattern
            .iter()
            .map(|elem| match elem {
                PatternElem::Char(c) => Some(*c),
                PatternElem::Wildcard => None,
            })
            .collect();
        *wanted || fixed.is_none_or(|text| positive.iter().all(|p| p.wildcard_match(&text)))
    });
    for constant in avoided {
        if let Constant::String(text) = constant {
            patterns.push((strings::exactly(text), false));
        }
    }
    let given: Vec<(&Pattern, bool)> = patterns.iter().map(|(p, wanted)| (p, *wanted)).collect();
    match strings::text(&given) {
        StringSearch::Text(text) => Solution::Value(Constant::String(text)),
        StringSearch::Nothing => Solution::Nothing,
        StringSearch::GaveUp => Solution::GaveUp,
    }
}

/// Returns a value of a type that is none of `used`; nothing for types of which there are but few
/// values, or that are not kept as constants.
pub(crate) fn fresh(ty: &ValueType, used: &BTreeSet<Constant>) -> Option<Constant> {
    match ty {
        ValueType::Bool | ValueType::Entity(_) => None,
        ty => match solve(ty, &[], used) {
            Solution::Value(constant) => Some(constant),
            Solution::Nothing | Solution::GaveUp => None,
        },
    }
}

/// Returns a subset of the tests that no value passes either, and that is small.
pub(super) fn core<T: Copy>(tests: &[(T, &Predicate, bool)], ty: &ValueType) -> Vec<T> {
    let mut kept: Vec<(T, &Predicate, bool)> = tests.to_vec();
    let mut place = 0;
    while place < kept.len() {
        let without: Vec<(&Predicate, bool)> = kept
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != place)
            .map(|(_, (_, test, wanted))| (*test, *wanted))
            .collect();
        if solve(ty, &without, &BTreeSet::new()) == Solution::Nothing {
            kept.remove(place);
        } else {
            place += 1;
        }
    }
    kept.into_iter().map(|(lit, ..)| lit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of a small world against the candidates.
    #[test]
    fn candidates_leave_out_no_kind_of_number_or_address() {
        let range = |text| IpRange::parse(text).map(Predicate::InRange);
        let tests: Vec<Predicate> =
            ["10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.1", "10.0.0.0/29"]
                .into_iter()
                .filter_map(range)
                .chain([Predicate::IsLoopback, Predicate::IsIpv4])
                .chain(
                    ["10.0.0.0/31", "10.0.0.1/31"]
                        .iter()
                        .filter_map(|t| IpRange::parse(t))
                        .map(|r| Predicate::Equals(Constant::Ip(r))),
                )
                .collect();
        let mut world: Vec<IpRange> = Vec::new();
        for last in 0..12_u8 {
            for prefix in 27..=32 {
                world.push(IpRange { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), prefix });
            }
        }
        world.extend(
            ["127.0.0.1", "::1", "::2", "0.0.0.0/0"].iter().filter_map(|t| IpRange::parse(t)),
        );
        for bits in 0..1_u32 << tests.len() {
            let wanted: Vec<(&Predicate, bool)> =
                tests.iter().enumerate().map(|(n, test)| (test, bits >> n & 1 == 1)).collect();
            let exists = world
                .iter()
                .any(|own| wanted.iter().all(|(test, w)| holds(test, &Constant::Ip(*own)) == *w));
            let found = solve(&ValueType::Ip, &wanted, &BTreeSet::new());
            if exists {
                assert!(matches!(found, Solution::Value(_)), "{wanted:?}");
            }
        }
    }
}
