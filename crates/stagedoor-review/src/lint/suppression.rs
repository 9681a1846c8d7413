//! Suppressions: `// lint:allow(CODE, …) REASON` before or in a policy, `// lint:allow-file(…)`
//! for all of a file.

use std::collections::HashMap;
use std::ops::Range;

use stagedoor_core::Engine;

use crate::comment::comments;

use super::codes::LintCode;
use super::finding::{LintFinding, LintPlace};

const MARK: &str = "lint:allow";

/// One suppression.
struct Suppression<'e> {
    file: &'e str,
    line: usize,
    code: String,
    reason: &'e str,
    /// The lines of the policy that it is for; all of the file if none.
    lines: Option<Range<usize>>,
    used: bool,
}

/// Marks the findings that are suppressed, and adds those about suppressions.
pub(super) fn apply(engine: &Engine, findings: &mut Vec<LintFinding>) {
    let mut spans: HashMap<&str, Vec<Range<usize>>> = HashMap::new();
    let marked: Vec<(&str, &str)> =
        engine.sources().filter(|(_, text)| text.contains(MARK)).collect();
    if marked.is_empty() {
        return;
    }
    for policy in engine.policies() {
        spans.entry(policy.file()).or_default().extend(policy.span());
    }
    let mut suppressions = Vec::new();
    for (name, text) in marked {
        of_file(name, text, spans.remove(name).unwrap_or_default(), &mut suppressions);
    }
    let about = SuppressionIndex::of(&suppressions);
    for finding in findings.iter_mut() {
        let suppressing = about.finding(finding);
        if let Some(suppression) = suppressing.and_then(|number| suppressions.get_mut(number)) {
            suppression.used = true;
            finding.suppressed = Some(suppression.reason.to_owned());
        }
    }
    findings.extend(suppressions.iter().flat_map(Suppression::findings));
}

/// The first suppression by its number, for each code and what it is about.
struct SuppressionIndex(HashMap<(String, SuppressedPlace), usize>);

#[derive(PartialEq, Eq, Hash)]
enum SuppressedPlace {
    Line(String, usize),
    File(String),
    /// What has no place, such as an action, is suppressed for all files.
    Anywhere,
}

impl SuppressionIndex {
    fn of(suppressions: &[Suppression<'_>]) -> Self {
        let mut about = HashMap::new();
        for (number, suppression) in suppressions.iter().enumerate() {
            let file = || suppression.file.to_owned();
            let places = match suppression.lines.clone() {
                Some(lines) => lines.map(|line| SuppressedPlace::Line(file(), line)).collect(),
                None => vec![SuppressedPlace::File(file()), SuppressedPlace::Anywhere],
            };
            for place in places {
                about.entry((suppression.code.clone(), place)).or_insert(number);
            }
        }
        Self(about)
    }

    /// Returns the number of the first suppression of a finding.
    fn finding(&self, finding: &LintFinding) -> Option<usize> {
        let LintPlace { file, line, .. } = &finding.place;
        let places = match (file.clone(), *line) {
            (Some(file), Some(line)) => {
                vec![SuppressedPlace::Line(file.clone(), line), SuppressedPlace::File(file)]
            }
            (Some(file), None) => vec![SuppressedPlace::File(file)],
            (None, _) => vec![SuppressedPlace::Anywhere],
        };
        let of = |place| self.0.get(&(finding.code.id().to_owned(), place)).copied();
        places.into_iter().filter_map(of).min()
    }
}

impl Suppression<'_> {
    fn findings(&self) -> Vec<LintFinding> {
        let place =
            || LintPlace { policy: None, file: Some(self.file.to_owned()), line: Some(self.line) };
        let mut findings = Vec::new();
        if !self.used {
            let message = match self.code.parse::<LintCode>() {
                Ok(code) => format!("`{code}` is not found here: the suppression does nothing"),
                Err(unknown) => unknown.to_string(),
            };
            findings.push(LintFinding::new(LintCode::UnusedSuppression, place(), message));
        }
        if self.reason.is_empty() {
            let message = format!("why is `{}` all right here?", self.code);
            let help = format!("write `// {MARK}({}) REASON`", self.code);
            let finding = LintFinding::new(LintCode::UnexplainedSuppression, place(), message);
            findings.push(finding.with_help(help));
        }
        findings
    }
}

fn of_file<'e>(
    name: &'e str,
    text: &'e str,
    mut spans: Vec<Range<usize>>,
    found: &mut Vec<Suppression<'e>>,
) {
    spans.sort_unstable_by_key(|span| span.start);
    spans.dedup();
    let line_of = Lines::of(text);
    for (at, comment) in comments(text) {
        let Some(rest) = comment.trim_start_matches('/').trim().strip_prefix(MARK) else {
            continue;
        };
        let (whole_file, rest) = match rest.strip_prefix("-file") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (codes, reason) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((codes, reason)) => (codes, reason.trim_start_matches([':', '-', ' ']).trim()),
            None => ("", rest.trim()),
        };
        let next = spans.partition_point(|span| span.end <= at);
        // Behind a policy, on its last line, a comment is for that one.
        let before = next.checked_sub(1).and_then(|before| spans.get(before));
        let before = before.filter(|span| line_of.number(span.end) == line_of.number(at));
        let lines = match (whole_file, before.or(spans.get(next))) {
            (true, _) => None,
            (false, Some(span)) => Some(line_of.number(span.start)..line_of.number(span.end) + 1),
            // After the last policy there is none that it could be for.
            (false, None) => Some(0..0),
        };
        for code in codes.split(',') {
            let code = code.trim().to_owned();
            let (line, lines) = (line_of.number(at), lines.clone());
            found.push(Suppression { file: name, line, code, reason, lines, used: false });
        }
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}
