//! What counts as covered, and the formats of coverage.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use stagedoor_testing::coverage::{self, ClauseCoverage};
use stagedoor_testing::{Coverage, Options};

use crate::place::Place;

const SCHEMA: &str = "entity User { level: Long }; entity Doc { open: Bool, name?: String };
action read, write appliesTo { principal: User, resource: Doc };";

const POLICIES: &str = r#"@id("p<1>")
permit (principal is User, action == Action::"read", resource)
when { resource.open || (resource has name && resource.name == "a") }
unless { principal.level < 2 };
@id("never")
permit (principal, action == Action::"write", resource);
"#;

const FIXTURES: &str = r#"
fixtures:
  entities:
    - { uid: { type: User, id: low }, attrs: { level: 1 }, parents: [] }
    - { uid: { type: User, id: high }, attrs: { level: 2 }, parents: [] }
    - { uid: { type: Doc, id: open }, attrs: { open: true }, parents: [] }
    - { uid: { type: Doc, id: shut }, attrs: { open: false }, parents: [] }
    - { uid: { type: Doc, id: named }, attrs: { open: false, name: a }, parents: [] }
    - { uid: { type: Doc, id: other }, attrs: { open: false, name: b }, parents: [] }
cases:
"#;

/// Measures cases: principal, action, resource, decision.
fn measured(cases: &[[&str; 4]]) -> Result<Coverage> {
    let mut tests = FIXTURES.to_owned();
    for [principal, action, resource, decision] in cases {
        tests.push_str(&format!(
            "  - {{ name: c, principal: User::\"{principal}\", action: Action::\"{action}\", \
             resource: Doc::\"{resource}\", expect: {decision} }}\n"
        ));
    }
    let files = [("a.cedarschema", SCHEMA), ("a.cedar", POLICIES), ("a.test.yaml", &tests)];
    let place = Place::with(&files)?;
    Ok(place.suite()?.coverage(&Options::default())?)
}

fn clause<'c>(coverage: &'c Coverage, text: &str) -> Result<&'c ClauseCoverage> {
    let mut clauses = coverage.policies.iter().flat_map(|policy| &policy.clauses);
    clauses.find(|clause| clause.text == text).with_context(|| text.to_owned())
}

#[test]
fn a_clause_counts_where_it_matters() -> Result<()> {
    let low_open = ["low", "read", "open", "deny"];
    let high_open = ["high", "read", "open", "allow"];
    let high_shut = ["high", "read", "shut", "deny"];
    let counts = |cases: &[[&str; 4]], text: &str| -> Result<[u64; 4]> {
        let coverage = measured(cases)?;
        let ClauseCoverage { was_true, was_false, true_mattered, false_mattered, .. } =
            clause(&coverage, text)?;
        Ok([*was_true, *was_false, *true_mattered, *false_mattered])
    };
    // `unless` denies already, so that `resource.open` does not matter.
    assert_eq!(counts(&[low_open], "resource.open")?, [1, 0, 0, 0]);
    assert_eq!(counts(&[low_open], "principal.level < 2")?, [1, 0, 1, 0]);
    assert_eq!(counts(&[low_open, high_open], "principal.level < 2")?, [1, 1, 1, 1]);
    // What follows in `||` is not reached where the first holds.
    assert_eq!(counts(&[high_open], "resource has name")?, [0, 0, 0, 0]);
    // Were it true, reading the name would err: that is seen.
    assert_eq!(counts(&[high_shut], "resource has name")?, [0, 1, 0, 1]);
    assert_eq!(
        counts(&[["high", "read", "named", "allow"]], "resource.name == \"a\"")?,
        [1, 0, 1, 0]
    );
    Ok(())
}

#[test]
fn all_is_covered_or_told() -> Result<()> {
    let mut cases = vec![
        ["low", "read", "open", "deny"],
        ["high", "read", "open", "allow"],
        ["high", "read", "shut", "deny"],
        ["high", "read", "named", "allow"],
        ["high", "read", "other", "deny"],
    ];
    let coverage = measured(&cases)?;
    let told = coverage::text(&coverage).join("\n");
    // Only users ask, so that `principal is User` does not count.
    ensure!(told.contains("clauses covered: 4 of 6"), "{told}");
    ensure!(told.contains("never determined no decision"), "{told}");
    ensure!(told.contains("`action == Action::\"read\"` was never false"), "{told}");
    cases.extend([["high", "write", "shut", "allow"], ["low", "write", "open", "allow"]]);
    let coverage = measured(&cases)?;
    let told = coverage::text(&coverage).join("\n");
    ensure!(told.contains("policies that decided a request: 2 of 2 (100.0 %)"), "{told}");
    ensure!(told.contains("actions × types of principals asked for: 2 of 2"), "{told}");
    Ok(())
}

/// Reads a tracefile as `geninfo(1)` describes it: every line is `KEY:…`, counts add up.
#[test]
fn lcov_is_what_lcov_reads() -> Result<()> {
    let coverage = measured(&[["low", "read", "open", "deny"], ["high", "read", "open", "allow"]])?;
    let text = coverage::lcov(&coverage);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TN:stagedoor"));
    ensure!(text.ends_with("end_of_record\n"), "{text}");
    for line in lines.filter(|line| *line != "end_of_record") {
        let (key, value) = line.split_once(':').with_context(|| line.to_owned())?;
        let numbers = || value.split(',').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
        let mut add = |name, hit: bool| {
            *counts.entry(name).or_default() += u64::from(hit);
        };
        match key {
            "SF" => ensure!(value.ends_with("a.cedar"), "{line}"),
            "FN" => {
                add("FNF", value.split_once(',').is_some_and(|(n, _)| n.parse::<u64>().is_ok()))
            }
            "FNDA" => add("FNH", !value.starts_with("0,")),
            "BRDA" => {
                let cells: Vec<&str> = value.split(',').collect();
                let [line, block, branch, taken] = cells.as_slice() else { bail!("{value}") };
                for number in [line, block, branch] {
                    number.parse::<u64>()?;
                }
                add("BRF", true);
                add("BRH", *taken != "-" && *taken != "0");
            }
            "DA" => {
                let [_, hits] = numbers()?.try_into().map_err(|_| anyhow::anyhow!("{line}"))?;
                add("LF", true);
                add("LH", hits > 0);
            }
            sum => {
                let expected: u64 = value.parse()?;
                assert_eq!(counts.get(sum).copied().unwrap_or(0), expected, "{sum}: {text}");
            }
        }
    }
    assert_eq!(counts.get("FNH"), Some(&1), "{text}");
    Ok(())
}

#[test]
fn the_page_stands_alone_and_escapes() -> Result<()> {
    let html = coverage::html(&measured(&[["high", "read", "open", "allow"]])?);
    for told in ["p&lt;1&gt;", "class=\"half\" tabindex=\"0\"", "prefers-color-scheme: dark"] {
        ensure!(html.contains(told), "{told}: {html}");
    }
    ensure!(!html.contains("p<1>") && !html.contains("http:") && !html.contains("<script"));
    for tag in ["main", "details", "summary", "pre", "mark", "table", "dl"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        assert_eq!(html.matches(&open).count(), html.matches(&close).count(), "{tag}");
    }
    Ok(())
}

#[test]
fn a_suppression_that_excuses_nothing_is_told() -> Result<()> {
    let policies = POLICIES.replace(
        "@id(\"never\")",
        "// test:allow(coverage) It is about the line of the annotation.\n@id(\"never\")",
    );
    let policies =
        policies.replace("when {", "// test:allow(coverage) Documents are all shut.\nwhen {");
    let tests = format!(
        "{FIXTURES}  - {{ name: c, principal: User::\"high\", action: Action::\"read\", \
         resource: Doc::\"shut\", expect: deny }}\n"
    );
    let files = [("a.cedarschema", SCHEMA), ("a.cedar", &policies), ("a.test.yaml", &tests)];
    let suite = Place::with(&files)?.suite()?;
    let coverage = suite.coverage(&Options::default())?;
    let unused: Vec<usize> = coverage.unused_suppressions.iter().map(|own| own.line).collect();
    assert_eq!(unused, [6], "{:?}", coverage.unused_suppressions);
    let told = coverage::text(&coverage).join("\n");
    ensure!(told.contains("a.cedar:6: test:allow(coverage): it excuses nothing here"), "{told}");
    Ok(())
}
