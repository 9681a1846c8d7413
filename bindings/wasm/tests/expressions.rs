//! What stands in for `regex` in the module finds what `regex` finds.

#[path = "../module/regex/src/lib.rs"]
mod lean;

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
    let mut random = 1_u64;
    let mut matched = 0;
    for (expression, alphabet) in EXPRESSIONS {
        let ours = lean::Regex::new(expression)?;
        let theirs = regex::Regex::new(expression)?;
        let alphabet: Vec<char> = alphabet.chars().collect();
        let written = ["2026-11-23", "T09:30:00", ".001+0130", "Z", "1d2h3m4s5ms", "-1.50", ""];
        let texts = (0..20_000).map(|n| {
            let mut next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                usize::try_from(random >> 40).unwrap_or_default()
            };
            match written.get(n) {
                Some(text) => (*text).to_owned(),
                None => {
                    (0..next() % 14).filter_map(|_| alphabet.get(next() % alphabet.len())).collect()
                }
            }
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
