//! The rows of a comparison.

use std::fmt::Write as _;

use serde::Serialize;

/// One engine at one number of grants.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) engine: &'static str,
    pub(crate) face: &'static str,
    pub(crate) n: usize,
    pub(crate) ns_per_decision: f64,
    pub(crate) wrong: usize,
    pub(crate) load_ms: f64,
    pub(crate) peak_rss_mib: f64,
}

/// Returns the rows as a table, with what plain Cedar takes as a multiple of each.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>8}  {:<22}{:>14}{:>14}{:>8}{:>12}{:>11}\n",
        "grants", "engine", "ns/decision", "plain Cedar", "wrong", "load ms", "peak MiB"
    );
    for row in rows {
        let plain = rows.iter().find(|other| other.engine == "plain-cedar" && other.n == row.n);
        let ratio = plain.map_or(f64::NAN, |plain| plain.ns_per_decision / row.ns_per_decision);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>8}  {:<22}{:>14.0}{:>13.1}x{:>8}{:>12.1}{:>11.0}",
            row.n, row.engine, row.ns_per_decision, ratio, row.wrong, row.load_ms, row.peak_rss_mib
        );
    }
    text
}
