//! The page of figures, `benches/FIGURES.md`: what one run measured, and the command that does it again.

use std::fmt::Write as _;

use crate::report::{self, Row};
use crate::threads::{self, Scaling};

/// Engines whose growth the page tells.
const GROWING: [&str; 4] =
    ["stagedoor-requests", "stagedoor-handles", "node-stagedoor-decider", "node-stagedoor-batch"];

/// Engines whose loading the page tells.
const LOADED: [&str; 3] = ["stagedoor", "stagedoor-links", "plain-cedar"];

/// Returns the page.
pub(crate) fn page(rows: &[Row], scaling: &[(usize, Scaling)], command: &str) -> String {
    let wrong: usize = rows.iter().map(|row| row.wrong).sum();
    let mut text = format!(
        "# Figures\n\n\
         Written by `{command}`: processor time a decision, by the number of grants; {wrong} answers \
         were wrong.\n\
         [What the rows are, and how they are measured](README.md).\n\n\
         {}\n\
         ![Time of a decision by the number of grants](compare.svg)\n",
        report::markdown(rows)
    );
    let (Some(few), Some(many)) =
        (scaling.iter().map(|(n, _)| n).min(), scaling.iter().map(|(n, _)| n).max())
    else {
        return text;
    };
    let find = |engine: &str, n: usize| rows.iter().find(|row| row.engine == engine && row.n == n);
    let _ = write!(
        text,
        "\n## How it grows\n\nFrom {few} to {many} grants a decision takes so many times as long:\n\n\
         | engine | times |\n|---|---|\n"
    );
    for engine in GROWING {
        if let (Some(first), Some(last)) = (find(engine, *few), find(engine, *many)) {
            let times = last.ns_per_decision / first.ns_per_decision;
            let _ = writeln!(text, "| `{engine}` | {times:.2} |");
        }
    }
    let _ = write!(
        text,
        "\n## How long loading takes\n\n| {many} grants | load | memory at the peak |\n|---|---|---|\n"
    );
    for engine in LOADED {
        if let Some(&Row { load_ms: Some(load), peak_rss_mib: Some(peak), .. }) =
            find(engine, *many)
        {
            let _ = writeln!(text, "| `{engine}` | {:.1} s | {peak:.0} MiB |", load / 1e3);
        }
    }
    let _ = write!(text, "\n## Two threads\n\n```text{}```\n", threads::table(scaling));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let mut rows = vec![
            Row::new("plain-cedar", "rust", 10, 57_400.0, 0),
            Row::new("stagedoor-requests", "rust", 10, 500.0, 0),
            Row::new("plain-cedar", "rust", 1_000, 3_700_000.0, 0),
            Row::new("stagedoor-requests", "rust", 1_000, 750.0, 0),
        ];
        for row in &mut rows {
            (row.load_ms, row.peak_rss_mib) = (Some(1_250.0), Some(209.4));
        }
        rows
    }

    fn headings(page: &str) -> Vec<&str> {
        page.lines().filter(|line| line.starts_with('#')).collect()
    }

    #[test]
    fn a_page_tells_what_was_measured_and_how() {
        let scaling = [10, 1_000].map(|n| (n, Scaling { wall: 1.5, cpu: 1.75 }));
        let page = page(&rows(), &scaling, "compare --n 10,1000");
        for told in [
            "Written by `compare --n 10,1000`: ",
            "; 0 answers were wrong.",
            "| `plain-cedar` | 57.4 µs | 3.7 ms |",
            "| `stagedoor-requests` | 1.50 |",
            "| `plain-cedar` | 1.2 s | 209 MiB |",
            "    1000  1.50x by the clock, 1.75x by processor time",
        ] {
            assert!(page.contains(told), "{told}\n{page}");
        }
        // The page that is in the repository is one that this writes.
        assert_eq!(headings(include_str!("../FIGURES.md")), headings(&page));
    }
}
