//! Comments in policies that say why tests need not reach something:
//! `// test:allow(coverage, drop-element) REASON`.
//!
//! One at the end of a line is about what begins in that line, one on a line of its own about
//! what begins in the next line that is no comment.

use std::collections::BTreeMap;

/// What stands before the codes.
const MARK: &str = "test:allow(";

/// The code that covers every mutant.
pub(crate) const MUTANT: &str = "mutant";

/// The suppressions of one file, by the line that they are about, from 1.
#[derive(Debug, Default)]
pub(crate) struct Suppressions(BTreeMap<usize, Vec<(String, String)>>);

impl Suppressions {
    pub(crate) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let mut waiting = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let (code, comment) = split(line);
            let own = comment.map(suppressions).unwrap_or_default();
            let about = found.0.entry(number).or_default();
            if code.trim().is_empty() {
                waiting.extend(own);
            } else {
                about.append(&mut waiting);
                about.extend(own);
            }
        }
        found
    }

    /// Returns why a code does not matter in a line; a suppression without a reason is none.
    pub(crate) fn reason(&self, line: Option<usize>, codes: &[&str]) -> Option<&str> {
        let own = self.0.get(&line?)?;
        let known = own.iter().find(|(code, _)| codes.contains(&code.as_str()));
        known.map(|(_, reason)| reason.as_str()).filter(|reason| !reason.is_empty())
    }
}

/// Splits a line at its comment, minding strings.
fn split(line: &str) -> (&str, Option<&str>) {
    let mut in_string = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '/' if !in_string && line.get(at..).is_some_and(|rest| rest.starts_with("//")) => {
                return (line.get(..at).unwrap_or_default(), line.get(at + 2..));
            }
            _ => {}
        }
    }
    (line, None)
}

fn suppressions(comment: &str) -> Vec<(String, String)> {
    let listed = comment.trim_start().strip_prefix(MARK).and_then(|rest| rest.split_once(')'));
    let Some((codes, reason)) = listed else { return Vec::new() };
    let reason = reason.trim().to_owned();
    codes.split(',').map(|code| (code.trim().to_owned(), reason.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_is_about_its_line_or_the_next() {
        let text = "// test:allow(coverage) above\n// words\npermit (principal, // test:allow(a, b) here\n\"// test:allow(c) text\" // test:allow(d)\n";
        let found = Suppressions::of(text);
        for (line, code, reason) in [
            (3, "coverage", Some("above")),
            (1, "coverage", None),
            (3, "a", Some("here")),
            (3, "b", Some("here")),
            (4, "c", None),
            // Without a reason it does not count.
            (4, "d", None),
        ] {
            assert_eq!(found.reason(Some(line), &[code]), reason, "{line} {code}");
        }
    }
}
