//! Comments in policies that say why tests need not reach something:
//! `// test:allow(coverage, drop-element) REASON`.
//!
//! One at the end of a line is about what begins in that line, one on a line of its own about
//! what begins in the next line that is no comment.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::operator::Operator;

/// What stands before the codes.
const MARK: &str = "test:allow(";

/// The code of suppressions of clauses.
pub(crate) const COVERAGE: &str = "coverage";

/// The code that covers every mutant.
pub(crate) const MUTANT: &str = "mutant";

/// A comment that excuses nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct UnusedSuppression {
    /// The file of the policies.
    pub file: String,
    /// The line of the comment, from 1.
    pub line: usize,
    /// What it is meant to excuse.
    pub code: String,
    /// Why it does not.
    pub message: String,
}

/// The suppressions of one file, by the line that they are about, from 1.
#[derive(Debug, Default)]
pub(crate) struct Suppressions(BTreeMap<usize, Vec<Suppression>>);

#[derive(Debug)]
struct Suppression {
    /// The line of the comment.
    line: usize,
    code: String,
    reason: String,
}

impl Suppressions {
    pub(crate) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let mut waiting = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let (code, comment) = split(line);
            let own = comment.map(|c| suppressions(number, c)).unwrap_or_default();
            let about = found.0.entry(number).or_default();
            if code.trim().is_empty() {
                waiting.extend(own);
            } else {
                about.append(&mut waiting);
                about.extend(own);
            }
        }
        // What follows after the last line of code is about nothing.
        found.0.entry(usize::MAX).or_default().append(&mut waiting);
        found
    }

    /// Returns the suppressions that do nothing: of those that are looked at, all that are not
    /// used for what begins in the line that they are about.
    pub(crate) fn unused(
        &self,
        file: &str,
        is_looked_at: impl Fn(&str) -> bool,
        is_used: impl Fn(usize, &str) -> bool,
    ) -> Vec<UnusedSuppression> {
        let mut unused = Vec::new();
        for (about, Suppression { line, code, reason }) in
            self.0.iter().flat_map(|(about, own)| own.iter().map(move |own| (*about, own)))
        {
            let message = if !is_known(code) {
                format!("`{code}` is neither `{COVERAGE}` nor `{MUTANT}` nor a change of mutants")
            } else if !is_looked_at(code) {
                continue;
            } else if reason.is_empty() {
                format!("it says no reason: `// {MARK}{code}) REASON`")
            } else if is_used(about, code) {
                continue;
            } else {
                "it excuses nothing here".to_owned()
            };
            let (file, line, code) = (file.to_owned(), *line, code.clone());
            unused.push(UnusedSuppression { file, line, code, message });
        }
        unused
    }

    /// Returns why a code does not matter in a line; a suppression without a reason is none.
    pub(crate) fn reason(&self, line: Option<usize>, codes: &[&str]) -> Option<&str> {
        let own = self.0.get(&line?)?;
        let known = own.iter().find(|own| codes.contains(&own.code.as_str()));
        known.map(|known| known.reason.as_str()).filter(|reason| !reason.is_empty())
    }
}

impl UnusedSuppression {
    /// Returns a line about it.
    pub(crate) fn text(&self) -> String {
        let Self { file, line, code, message } = self;
        format!("{file}:{line}: test:allow({code}): {message}")
    }
}

fn is_known(code: &str) -> bool {
    [COVERAGE, MUTANT].contains(&code) || Operator::ALL.iter().any(|o| o.as_str() == code)
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

fn suppressions(line: usize, comment: &str) -> Vec<Suppression> {
    let listed = comment.trim_start().strip_prefix(MARK).and_then(|rest| rest.split_once(')'));
    let Some((codes, reason)) = listed else { return Vec::new() };
    let reason = reason.trim().to_owned();
    let of =
        |code: &str| Suppression { line, code: code.trim().to_owned(), reason: reason.clone() };
    codes.split(',').map(of).collect()
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

    #[test]
    fn what_excuses_nothing_is_told() {
        let text = "// test:allow(coverage) used\npermit (\n\
                    // test:allow(mutant, coverage) for later\nprincipal, // test:allow(covrage) x\n\
                    action, // test:allow(drop-policy)\n// test:allow(coverage) behind\n";
        let found = Suppressions::of(text);
        let unused = |looked_at: &str, used: usize| -> Vec<(usize, String)> {
            let unused = found.unused("a", |code| code == looked_at, |about, _| about == used);
            unused.into_iter().map(|unused| (unused.line, unused.code)).collect()
        };
        let told = |of: &[(usize, &str)]| -> Vec<(usize, String)> {
            of.iter().map(|(line, code)| (*line, (*code).to_owned())).collect()
        };
        assert_eq!(
            unused("coverage", 2),
            told(&[(3, "coverage"), (4, "covrage"), (6, "coverage")])
        );
        assert_eq!(unused("mutant", 4), told(&[(4, "covrage")]));
        assert_eq!(unused("drop-policy", 5), told(&[(4, "covrage"), (5, "drop-policy")]));
    }
}
