//! What stands in for `regex` in the module finds what `regex` finds, and what LALRPOP's lexer finds.

#[path = "../module/regex/src/lib.rs"]
mod lean;

use lalrpop_util::lexer::{Matcher, MatcherBuilder};

/// As LALRPOP writes those of a lexer: it asks for the longest match, and for the last of these.
const LEXER: [(&str, bool); 12] = [
    ("(?:\"((?:(?:\\\\[\0-\t\u{b}-\u{10ffff}])|[\0-!\\#-\\[\\]-\u{10ffff}]))*\")", false),
    ("(?:(?://)[\0-\t\u{b}\u{c}\u{e}-\u{10ffff}]*[\n\r]*)", true),
    ("[0-9]+", false),
    ("(?:[A-Z_a-z][0-9A-Z_a-z]*)", false),
    ("(?:\\?[A-Z_a-z][0-9A-Z_a-z]*)", false),
    (
        "[\t-\r \u{85}\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}]*",
        true,
    ),
    ("!", false),
    ("(?:!=)", false),
    ("(?:\\&\\&)", false),
    ("(?:::)", false),
    ("(?:in)", false),
    ("(?:is)", false),
];

/// Those of Cedar, with what their texts are made of.
const EXPRESSIONS: [(&str, &str); 9] = [
    ("^[_a-zA-Z][_a-zA-Z0-9]*$", "aZ_09: é"),
    ("^[_a-zA-Z][_a-zA-Z0-9]*(?:::[_a-zA-Z][_a-zA-Z0-9]*)*$", "a_0::::é"),
    (r"^(-?\d+)\.(\d+)$", "--059٣..x"),
    (r"^-?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?$", "-123dhmmss"),
    ("^([0-9]{4})-([0-9]{2})-([0-9]{2})", "0123456789------T"),
    ("^T([0-9]{2}):([0-9]{2}):([0-9]{2})", "T0123::::"),
    (r"^(\.([0-9]{3}))?(Z|((\+|-)([0-9]{2})([0-9]{2})))$", ".012Z+-"),
    (r"//[^\n\r]*", "//a\n\ré"),
    (r#""(\\.|[^"\\])*""#, "\"\"\\aé\n"),
];

#[test]
fn it_finds_what_regex_finds() -> anyhow::Result<()> {
    let mut next = numbers();
    let mut matched = 0;
    for (expression, alphabet) in EXPRESSIONS {
        let ours = lean::Regex::new(expression)?;
        let theirs = regex::Regex::new(expression)?;
        let alphabet: Vec<char> = alphabet.chars().collect();
        let written = ["2026-11-23", "T09:30:00", ".001+0130", "Z", "1d2h3m4s5ms", "-1.50", ""];
        let texts = (0..20_000).map(|n| match written.get(n) {
            Some(text) => (*text).to_owned(),
            None => text_of(&alphabet, &mut next),
        });
        for text in texts {
            assert_eq!(ours.is_match(&text), theirs.is_match(&text), "{expression} on {text:?}");
            let group = |n| {
                let ours = ours.captures(&text)?.get(n)?;
                Some((ours.start(), ours.end(), ours.as_str()))
            };
            for n in 0..theirs.captures_len() {
                let expected = theirs.captures(&text).and_then(|found| {
                    let found = found.get(n)?;
                    Some((found.start(), found.end(), found.as_str()))
                });
                assert_eq!(group(n), expected, "group {n} of {expression} on {text:?}");
            }
            matched += usize::from(theirs.is_match(&text));
            if theirs.is_match("") {
                continue;
            }
            let all: Vec<_> = ours.find_iter(&text).map(|found| found.as_str()).collect();
            let expected: Vec<_> = theirs.find_iter(&text).map(|found| found.as_str()).collect();
            assert_eq!(all, expected, "{expression} on {text:?}");
        }
    }
    assert!(matched > 20_000, "only {matched} texts have a match");
    Ok(())
}

#[test]
fn groups_are_extracted() -> anyhow::Result<()> {
    let date = lean::Regex::new("^([0-9]{4})-([0-9]{2})(x)?")?;
    let found = date.captures("2026-11-23").ok_or_else(|| anyhow::anyhow!("no match"))?;
    assert_eq!(found.extract(), ("2026-11", ["2026", "11", ""]));
    assert_eq!((&found[0], &found[2], &found[3]), ("2026-11", "11", ""));
    assert!(lean::Regex::new("(").is_err());
    Ok(())
}

#[test]
fn it_finds_the_tokens_that_lalrpop_finds() -> anyhow::Result<()> {
    let ours = lean::Expressions::new(LEXER.map(|(expression, _)| expression))?;
    let theirs = MatcherBuilder::new(LEXER)?;
    let alphabet: Vec<char> = "in is_9?::!=&&/ \n\r\t\u{a0}\u{3000}\"\\é\u{1}".chars().collect();
    let (mut next, mut tokens) = (numbers(), 0);
    for text in (0..50_000).map(|_| text_of(&alphabet, &mut next)) {
        let mut left = text.as_str();
        // A match of nothing is none, and ends LALRPOP's as well.
        let found = std::iter::from_fn(|| {
            let (length, expression) = ours.longest(left).filter(|(length, _)| *length > 0)?;
            let (token, after) = left.split_at_checked(length)?;
            left = after;
            Some((expression, token))
        });
        let is_told = |(expression, _): &(usize, &str)| {
            LEXER.get(*expression).is_some_and(|(_, skipped)| !skipped)
        };
        let found: Vec<_> = found.filter(is_told).collect();
        let matcher: Matcher<'_, '_, ()> = theirs.matcher(&text);
        let expected: Vec<_> =
            matcher.map_while(Result::ok).map(|(_, token, _)| (token.0, token.1)).collect();
        assert_eq!(found, expected, "{text:?}");
        tokens += found.len();
    }
    assert!(tokens > 20_000, "only {tokens} tokens");
    Ok(())
}

/// Returns numbers that are the same in every run.
fn numbers() -> impl FnMut() -> usize {
    let mut random = 1_u64;
    move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 40).unwrap_or_default()
    }
}

/// Returns up to thirteen characters of these.
fn text_of(alphabet: &[char], next: &mut impl FnMut() -> usize) -> String {
    (0..next() % 14).filter_map(|_| alphabet.get(next() % alphabet.len()).copied()).collect()
}
