//! The rows of a comparison.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

/// One engine at one number of grants.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) engine: String,
    pub(crate) face: &'static str,
    pub(crate) n: usize,
    pub(crate) ns_per_decision: f64,
    pub(crate) wrong: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_rss_mib: Option<f64>,
}

impl Row {
    pub(crate) fn new(
        engine: impl Into<String>,
        face: &'static str,
        n: usize,
        ns_per_decision: f64,
        wrong: usize,
    ) -> Self {
        let (load_ms, peak_rss_mib) = (None, None);
        Self { engine: engine.into(), face, n, ns_per_decision, wrong, load_ms, peak_rss_mib }
    }
}

/// Returns the rows as a table, with what plain Cedar takes as a multiple of each.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>8}  {:<30}{:>14}{:>14}{:>8}{:>12}{:>11}\n",
        "policies", "engine", "ns/decision", "plain Cedar", "wrong", "load ms", "peak MiB"
    );
    let figure = |figure: Option<f64>| figure.map_or("-".to_owned(), |f| format!("{f:.1}"));
    for row in rows {
        let plain = rows.iter().find(|o| o.engine == "plain-cedar" && o.n == row.n);
        let ratio =
            plain.map(|plain| format!("{:.1}x", plain.ns_per_decision / row.ns_per_decision));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>8}  {:<30}{:>14.0}{:>14}{:>8}{:>12}{:>11}",
            row.n,
            row.engine,
            row.ns_per_decision,
            ratio.unwrap_or_else(|| "-".to_owned()),
            row.wrong,
            figure(row.load_ms),
            figure(row.peak_rss_mib)
        );
    }
    text
}

/// Returns the rows as a Markdown table: engines down, numbers of grants across.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let sizes: BTreeSet<usize> = rows.iter().map(|row| row.n).collect();
    let mut text = String::from("| engine |");
    for n in &sizes {
        let _ = write!(text, " {n} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(sizes.len()));
    text.push('\n');
    for engine in engines(rows) {
        let _ = write!(text, "| `{engine}` |");
        for n in &sizes {
            let row = rows.iter().find(|row| row.engine == engine && row.n == *n);
            let _ = write!(text, " {} |", row.map_or(String::new(), |r| time(r.ns_per_decision)));
        }
        text.push('\n');
    }
    text
}

/// Returns the names of the engines, each once, in the order of the rows.
pub(crate) fn engines(rows: &[Row]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.engine.as_str()) {
            names.push(&row.engine);
        }
    }
    names
}

/// Returns a time with its unit.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e5 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns if ns < 1e8 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.0} ms", ns / 1e6),
    }
}
