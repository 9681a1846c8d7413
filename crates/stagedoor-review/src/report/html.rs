//! The page.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stagedoor_core::{Effect, PolicyInfo};
use stagedoor_testing::html::{escaped, spelled_out};

use super::{AccessCell, AccessMatrix, AccessMatrixRow, AccessReport, PolicyReach, Verdict};
use crate::lint::{LintFinding, LintLevel};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page shows the text of no more policies than this.
const POLICIES: usize = 2_000;
/// Nor more findings.
const FINDINGS: usize = 1_000;

/// Returns the page.
pub(super) fn page(report: &AccessReport<'_>) -> String {
    let mut cells = Cells::default();
    let matrices: String = report
        .matrices
        .iter()
        .enumerate()
        .map(|(number, matrix)| grid(number, matrix, &mut cells))
        .collect();
    let title = escaped(report.title);
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let data = embedded(&json!({ "cells": cells.all }));
    let (summary, findings, policies) = (summary(report), findings(report), policies(report));
    format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>{title}</h1>
<nav aria-label="Sections"><a href="#access">Access</a><a href="#findings">Findings</a><a href="#policies">Policies</a></nav>
</header>
<main id="main">
{summary}
<section id="access" aria-label="Access">
{matrices}</section>
{findings}
{policies}
</main>
<dialog id="cell" aria-labelledby="cell-title">
<form method="dialog"><button class="close" aria-label="Close">×</button></form>
<p class="verdict"></p>
<h2 id="cell-title"></h2>
<div class="body"></div>
</dialog>
<script type="application/json" id="data">{data}</script>
<script>{SCRIPT}</script>
</body>
</html>
"##
    )
}

/// The cells that are not all alike, each once.
#[derive(Default)]
struct Cells<'m> {
    numbers: HashMap<&'m AccessCell, usize>,
    all: Vec<&'m AccessCell>,
}

impl<'m> Cells<'m> {
    fn number(&mut self, cell: &'m AccessCell) -> usize {
        let next = self.all.len();
        let number = *self.numbers.entry(cell).or_insert(next);
        if number == next {
            self.all.push(cell);
        }
        number
    }
}

fn summary(report: &AccessReport<'_>) -> String {
    let policies = || report.engines.iter().flat_map(|engine| engine.policies());
    let permits = policies().filter(|policy| policy.effect() == Effect::Permit).count();
    let forbids = policies().count() - permits;
    let count = |level: LintLevel| report.lint.open().filter(|f| f.level == level).count();
    let mut cards = vec![
        (permits.to_string(), "permits", ""),
        (forbids.to_string(), "forbids", ""),
        (
            count(LintLevel::Error).to_string(),
            "errors",
            if count(LintLevel::Error) > 0 { "bad" } else { "" },
        ),
        (
            count(LintLevel::Warning).to_string(),
            "warnings",
            if count(LintLevel::Warning) > 0 { "odd" } else { "" },
        ),
    ];
    if let Some(coverage) = report.coverage {
        cards.push((percent(coverage), "of clauses covered", ""));
    }
    let mut text = "<ul class=\"cards\">".to_owned();
    for (number, what, class) in cards {
        // Writing to a string does not fail.
        let _ = write!(text, "<li class=\"{class}\"><b>{number}</b> {what}</li>");
    }
    for engine in report.engines {
        let revision = engine.revision();
        let short = revision.get(..12).unwrap_or(revision);
        let _ = write!(text, "<li class=\"revision\"><b>{}</b> revision</li>", escaped(short));
    }
    text.push_str("</ul>");
    text
}

fn percent(coverage: &[PolicyReach]) -> String {
    let covered: usize = coverage.iter().map(|reach| reach.covered).sum();
    let all: usize = coverage.iter().map(|reach| reach.clauses).sum();
    (covered * 100).checked_div(all).map_or_else(|| "–".to_owned(), |share| format!("{share} %"))
}

fn grid<'m>(number: usize, matrix: &'m AccessMatrix, cells: &mut Cells<'m>) -> String {
    let mut text = String::new();
    let title = escaped(&matrix.title);
    let columns_are = escaped(&matrix.columns_are);
    let _ = write!(
        text,
        r#"<div class="matrix" id="m{number}"><h2>{title}</h2>
<p class="note">{}</p>
<div class="filters" hidden><label>Who <input type="search" class="who" placeholder="group or user"></label><label>{columns_are} <input type="search" class="what" placeholder="{columns_are}"></label><label>Show <select class="shown"><option value="">everything</option><option value="a">allowed</option><option value="c">conditional</option><option value="ac">allowed or conditional</option></select></label><label>Order <select class="order"><option value="">as listed</option><option value="most">most access first</option></select></label><span class="count" role="status"></span></div>
<p class="legend"><span class="a">✓</span> allowed <span class="c">◐</span> conditional <span class="d">·</span> denied</p>
<div class="scroll" role="region" aria-label="{title}" tabindex="0"><table><thead><tr class="groups"><td></td>"#,
        escaped(&matrix.note)
    );
    for (group, length) in runs(matrix) {
        let _ = write!(text, "<th colspan=\"{length}\" scope=\"colgroup\">{}</th>", escaped(group));
    }
    text.push_str("</tr><tr class=\"names\"><td></td>");
    for column in &matrix.columns {
        let _ = write!(text, "<th scope=\"col\"><span>{}</span></th>", escaped(&column.name));
    }
    text.push_str("</tr></thead><tbody>\n");
    for (row, alike) in merged(&matrix.rows) {
        let name = escaped(&row.name);
        let _ = write!(text, "<tr><th scope=\"row\" data-who=\"{name}\">{name}");
        if !alike.is_empty() {
            let names: Vec<String> = alike.iter().map(|row| escaped(&row.name)).collect();
            let _ = write!(
                text,
                "<details class=\"alike\"><summary>and {} alike</summary>{}</details>",
                alike.len(),
                names.join(", ")
            );
        }
        text.push_str("</th>");
        for cell in &row.cells {
            let (class, sign, word) = match cell.verdict {
                Verdict::Allow => ("a", "✓", "allowed"),
                Verdict::Conditional => ("c", "◐", "conditional"),
                Verdict::Deny => ("d", "·", "denied"),
            };
            let known = cells.number(cell);
            let _ = write!(
                text,
                "<td><button class=\"{class}\" data-cell=\"{known}\" tabindex=\"-1\" aria-label=\"{word}\">{sign}</button></td>"
            );
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>");
    if matrix.left_out > 0 {
        let _ = write!(text, "<p class=\"note\">{} rows more are left out.</p>", matrix.left_out);
    }
    text.push_str("</div>\n");
    text
}

/// Returns the rows that differ, each with those that have the same cells.
fn merged(rows: &[AccessMatrixRow]) -> Vec<(&AccessMatrixRow, Vec<&AccessMatrixRow>)> {
    let mut merged: Vec<(&AccessMatrixRow, Vec<&AccessMatrixRow>)> = Vec::new();
    let mut places: HashMap<&[AccessCell], usize> = HashMap::new();
    for row in rows {
        let next = merged.len();
        let place = *places.entry(row.cells.as_slice()).or_insert(next);
        match merged.get_mut(place) {
            Some((_, alike)) => alike.push(row),
            None => merged.push((row, Vec::new())),
        }
    }
    merged
}

/// Returns columns of one group that stand side by side.
fn runs(matrix: &AccessMatrix) -> Vec<(&str, usize)> {
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for column in &matrix.columns {
        match runs.last_mut() {
            Some((group, length)) if *group == column.group => *length += 1,
            _ => runs.push((&column.group, 1)),
        }
    }
    runs
}

fn findings(report: &AccessReport<'_>) -> String {
    let mut text = "<section id=\"findings\"><h2>Findings</h2>".to_owned();
    let all = &report.lint.findings;
    if all.is_empty() {
        text.push_str("<p>Nothing was found.</p>");
    }
    text.push_str("<ul class=\"findings\">");
    all.iter().take(FINDINGS).for_each(|finding| text.push_str(&of_finding(finding)));
    text.push_str("</ul>");
    if all.len() > FINDINGS {
        let _ = write!(text, "<p>{} more are left out.</p>", all.len() - FINDINGS);
    }
    text.push_str("</section>");
    text
}

fn of_finding(finding: &LintFinding) -> String {
    let level = finding.level.as_str();
    let state = if finding.suppressed.is_some() { " suppressed" } else { "" };
    let policy = finding.place.policy.as_ref();
    let policy = policy.map(|id| link_to(id)).unwrap_or_default();
    let extra = match (&finding.suppressed, &finding.help) {
        (Some(reason), _) => format!("<p class=\"why\">Suppressed: {}</p>", escaped(reason)),
        (None, Some(help)) => format!("<p class=\"why\">{}</p>", escaped(help)),
        (None, None) => String::new(),
    };
    format!(
        "<li class=\"{level}{state}\"><span class=\"level\">{level}</span> <b>{}</b> {policy} {}{extra}</li>\n",
        finding.code.id(),
        escaped(&finding.message)
    )
}

fn policies(report: &AccessReport<'_>) -> String {
    let reach: HashMap<&str, &PolicyReach> =
        report.coverage.into_iter().flatten().map(|reach| (reach.policy.as_str(), reach)).collect();
    let mut text = "<section id=\"policies\"><h2>Policies</h2>\n".to_owned();
    // Those that cells lead to come before the rest, if not all have room.
    let used: BTreeSet<&str> = report
        .matrices
        .iter()
        .flat_map(|matrix| &matrix.rows)
        .flat_map(|row| &row.cells)
        .flat_map(|cell| &cell.policies)
        .map(String::as_str)
        .collect();
    let mut shown: Vec<PolicyInfo<'_>> =
        report.engines.iter().flat_map(|engine| engine.policies()).collect();
    let count = shown.len();
    if count > POLICIES {
        shown.sort_by_key(|policy| !used.contains(policy.id()));
        shown.truncate(POLICIES);
    }
    for policy in shown {
        text.push_str(&of_policy(policy, reach.get(policy.id()).copied()));
    }
    if count > POLICIES {
        let _ = write!(text, "<p>{} more are left out.</p>", count - POLICIES);
    }
    text.push_str("</section>");
    text
}

fn of_policy(policy: PolicyInfo<'_>, reach: Option<&PolicyReach>) -> String {
    let effect = match policy.effect() {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    };
    let line = policy.line().map(|line| format!(":{line}")).unwrap_or_default();
    let place = escaped(&format!("{}{line}", policy.file()));
    let doc = policy.annotation("doc").map(|doc| format!("<p>{}</p>", escaped(doc)));
    let missed = reach.map(|reach| reach.missed.clone()).unwrap_or_default();
    let reach = reach.map(|reach| {
        let class = if reach.covered < reach.clauses { "odd" } else { "" };
        format!(
            "<span class=\"reach {class}\">{} of {} clauses covered</span>",
            reach.covered, reach.clauses
        )
    });
    let missed: String = missed.iter().map(|lack| format!("<li>{}</li>", escaped(lack))).collect();
    let missed = match missed.is_empty() {
        true => missed,
        false => format!("<ul class=\"missed\">{missed}</ul>"),
    };
    format!(
        "<article class=\"{effect}\" id=\"{}\" tabindex=\"-1\"><h3>{} <span class=\"effect\">{effect}</span> {}</h3>{}<p class=\"place\">{place}</p><pre>{}</pre>{missed}</article>\n",
        anchor(policy.id()),
        escaped(policy.id()),
        reach.unwrap_or_default(),
        doc.unwrap_or_default(),
        escaped(policy.text())
    )
}

fn link_to(id: &str) -> String {
    format!("<a href=\"#{}\">{}</a>", anchor(id), escaped(id))
}

/// Returns the anchor of a policy: ids may be any text.
fn anchor(id: &str) -> String {
    let mut anchor = "policy-".to_owned();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            anchor.push(char::from(byte));
        } else {
            let _ = write!(anchor, "_{byte:02x}");
        }
    }
    anchor
}

/// Returns the hash by which the content security policy knows a text.
fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

/// Returns JSON that cannot end the element that it stands in.
fn embedded(json: &serde_json::Value) -> String {
    spelled_out(&json.to_string().replace('<', "\\u003c"), |c| format!("\\u{:04x}", u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let json = embedded(&json!({"a": "</script><script>\u{202e}"}));
        assert_eq!(json, r#"{"a":"\u003c/script>\u003cscript>\u202e"}"#);
        assert_eq!(anchor("a b\"_é"), "policy-a_20b_22_5f_c3_a9");
    }
}
