//! A comparison as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use stagedoor_core::is_unsafe;

use super::{Comparison, Direction, PolicyChanges};

/// Returns the comparison as Markdown, with no more than `rows` rows.
#[must_use]
pub fn markdown(comparison: &Comparison<'_>, rows: usize) -> String {
    let mut text = String::new();
    let (widened, narrowed) =
        (comparison.count(Direction::Widened), comparison.count(Direction::Narrowed));
    let asked = comparison.requests.len();
    // Writing to a string does not fail.
    let _ = match widened + narrowed {
        0 => writeln!(
            text,
            "### Access does not change\n\nNone of {asked} requests is decided differently."
        ),
        _ => writeln!(
            text,
            "### Access changes: {widened} requests widened, {narrowed} narrowed\n\nOf {asked} requests:\n"
        ),
    };
    let all = comparison.rows();
    if !all.is_empty() {
        text.push_str("| | who | may | on | |\n|---|---|---|---|---|\n");
    }
    for row in all.iter().take(rows) {
        let sign = match row.direction {
            Direction::Widened => "**+** gains",
            Direction::Narrowed => "**−** loses",
        };
        let cells = [row.whom(), row.does(), row.about(), row.because()].map(|cell| escaped(&cell));
        let _ = writeln!(text, "| {sign} | {} |", cells.join(" | "));
    }
    if let Some(hidden) = all.get(rows..).filter(|hidden| !hidden.is_empty()) {
        let requests: usize = hidden.iter().map(|row| row.requests).sum();
        let _ = writeln!(text, "\n… and {} rows more ({requests} requests).", hidden.len());
    }
    text.push_str(&changed(&comparison.policies));
    text
}

fn changed(policies: &PolicyChanges) -> String {
    let words = [
        ("added", &policies.added),
        ("removed", &policies.removed),
        ("changed", &policies.changed),
    ];
    let parts: Vec<String> = words
        .into_iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(word, ids)| {
            let named = ids.iter().take(10).map(|id| escaped(id)).collect::<Vec<_>>().join(", ");
            let more = ids.len().saturating_sub(10);
            if more == 0 {
                format!("{word} {named}")
            } else {
                format!("{word} {named} and {more} more")
            }
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!("\nPolicies: {}.\n", parts.join("; ")) }
}

/// Escapes what Markdown, HTML or a table would take for its own, and mentions of people.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // Not `\@`: that still mentions.
            '@' => escaped.push_str("&#64;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '~' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c if is_unsafe(c) => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_do_nothing_in_markdown() {
        assert_eq!(
            escaped("a|b <img> @team [x](y) `c`\nd"),
            "a\\|b &lt;img&gt; &#64;team \\[x\\](y) \\`c\\` d"
        );
    }
}
