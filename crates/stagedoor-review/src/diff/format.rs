//! A comparison as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use stagedoor_core::is_unsafe;

use super::{Comparison, Direction, Meaning, PolicyChanges, Verdict};

/// Returns the comparison as Markdown, with no more than `rows` rows of each kind.
#[must_use]
pub fn markdown(comparison: &Comparison<'_>, meaning: Option<&Meaning>, rows: usize) -> String {
    let mut text = String::new();
    let (widened, narrowed) =
        (comparison.count(Direction::Widened), comparison.count(Direction::Narrowed));
    let asked = comparison.requests.len();
    let title = match meaning.map(|meaning| (meaning.verdict, meaning.undecided)) {
        _ if widened + narrowed > 0 => {
            format!("Access changes: {widened} requests widened, {narrowed} narrowed")
        }
        Some((Verdict::Widened, _)) => "Access is widened".to_owned(),
        Some((Verdict::Narrowed, _)) => "Access is narrowed".to_owned(),
        Some((Verdict::Both, _)) => "Access is widened and narrowed".to_owned(),
        Some((Verdict::Undecided, _)) => "Whether access changes is not decided".to_owned(),
        Some((Verdict::Equal, _)) => "Access does not change".to_owned(),
        None => "No request that was asked is decided differently".to_owned(),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "### {title}\n");
    let _ = match (asked, widened + narrowed) {
        (0, _) => Ok(()),
        (_, 0) => writeln!(text, "None of {asked} requests is decided differently."),
        _ => writeln!(text, "Of {asked} requests:\n"),
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
    if let Some(meaning) = meaning {
        text.push_str(&for_all(meaning, rows));
    }
    text.push_str(&changed(&comparison.policies));
    text
}

/// What holds for all requests.
fn for_all(meaning: &Meaning, rows: usize) -> String {
    let mut text = String::new();
    if meaning.rows.is_empty() {
        text.push_str("\nProved for all requests.\n");
        return text;
    }
    text.push_str("\nFor all requests:\n\n| | who, what, by which policies | for example, or why not |\n|---|---|---|\n");
    for row in meaning.rows.iter().take(rows) {
        let sign = match (row.proved, row.direction) {
            (false, _) => "**?** not decided",
            (true, Direction::Widened) => "**+** widened",
            (true, Direction::Narrowed) => "**−** narrowed",
        };
        let reasons: Vec<&str> = row.reasons.iter().map(String::as_str).collect();
        let example = row.example.clone().unwrap_or_else(|| reasons.join("; "));
        let cells = [row.in_words(), example].map(|cell| escaped(&cell));
        let _ = writeln!(text, "| {sign} | {} |", cells.join(" | "));
    }
    if let Some(hidden) = meaning.rows.get(rows..).filter(|hidden| !hidden.is_empty()) {
        let _ = writeln!(text, "\n… and {} rows more.", hidden.len());
    }
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
