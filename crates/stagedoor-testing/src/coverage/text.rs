//! Coverage as people read it.

use super::{Coverage, Share};
use crate::suppression::UnusedSuppression;

/// Returns a summary, and a line for each clause and policy that is not covered and for each
/// comment that excuses nothing.
#[must_use]
pub fn text(coverage: &Coverage) -> Vec<String> {
    let of =
        |share: Share| format!("{} of {} ({:.1} %)", share.reached, share.all, share.percent());
    let mut lines = vec![
        format!("policies that decided a request: {}", of(coverage.of_policies())),
        format!("clauses covered: {}", of(coverage.of_clauses())),
        format!("actions × types of principals asked for: {}", of(coverage.of_actions())),
    ];
    for policy in coverage.policies.iter().filter(|policy| policy.determined == 0) {
        let place = place(&policy.file, policy.line, None);
        lines.push(format!("{place}: {} determined no decision", policy.policy));
    }
    for (policy, clause) in coverage.missed() {
        let place = place(&policy.file, clause.line, clause.column);
        let lack = clause.lack().unwrap_or_default();
        lines.push(format!("{place}: {}: `{}` {lack}", policy.policy, clause.text));
    }
    lines.extend(coverage.unused_suppressions.iter().map(UnusedSuppression::text));
    lines
}

/// Returns `file:line:column`, as far as it is known.
pub(crate) fn place(file: &str, line: Option<usize>, column: Option<usize>) -> String {
    let numbers: String = line.iter().chain(&column).map(|n| format!(":{n}")).collect();
    format!("{file}{numbers}")
}
