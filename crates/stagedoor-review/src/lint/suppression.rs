//! Suppressions: `// lint:allow(CODE, …) REASON` before or in a policy, `// lint:allow-file(…)`
//! for all of a file.

use std::ops::Range;

use stagedoor_core::Engine;

use crate::comment::comments;

use super::code::LintCode;
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
    let mut suppressions = Vec::new();
    for (name, text) in engine.sources() {
        if text.contains(MARK) {
            of_file(engine, name, text, &mut suppressions);
        }
    }
    if suppressions.is_empty() {
        return;
    }
    for finding in findings.iter_mut() {
        let suppressing = suppressions.iter_mut().find(|suppression| suppression.is_for(finding));
        if let Some(suppression) = suppressing {
            suppression.used = true;
            finding.suppressed = Some(suppression.reason.to_owned());
        }
    }
    findings.extend(suppressions.iter().flat_map(Suppression::findings));
}

impl Suppression<'_> {
    fn is_for(&self, finding: &LintFinding) -> bool {
        let place = &finding.place;
        let here = match (&self.lines, &place.file, place.line) {
            (_, Some(file), _) if file != self.file => false,
            (Some(lines), Some(_), Some(line)) => lines.contains(&line),
            (Some(_), _, _) => false,
            // What has no place, such as an action, is suppressed for all files.
            (None, _, _) => true,
        };
        here && self.code == finding.code.id()
    }

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

fn of_file<'e>(engine: &Engine, name: &'e str, text: &'e str, found: &mut Vec<Suppression<'e>>) {
    let mut spans: Vec<Range<usize>> = engine
        .policies()
        .filter(|policy| policy.file() == name)
        .filter_map(|policy| policy.span())
        .collect();
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
