//! What the analysis finds odd about policies: what nothing satisfies, and conditions that say
//! nothing.

use std::collections::HashSet;

use stagedoor_analysis::{Library, Oddity};
use stagedoor_core::Effect;

use super::codes::LintCode;
use super::finding::{LintFinding, LintPlace};

/// Says of forbids that are never satisfied where they deny nevertheless: what cannot be evaluated
/// is denied.
pub(super) fn deny_by_errors(library: &Library<'_>, findings: &mut [LintFinding]) {
    for finding in findings.iter_mut().filter(|f| f.code == LintCode::NeverMatches) {
        let number = finding.place.policy.as_deref().and_then(|id| library.number_of(id));
        let Some(number) = number else { continue };
        let effect = library.policies().get(number).map(|info| info.effect());
        if effect == Some(Effect::Forbid) && library.may_count(number) {
            finding.message.push_str("; it denies only where it cannot be evaluated");
        }
    }
}

/// Returns what is odd about policies; `told` are those of which it is told already that they are
/// never satisfied.
pub(super) fn of(library: &Library<'_>, told: &HashSet<String>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    // Links share all of this with their template.
    let mut seen = HashSet::new();
    for (info, odd) in library.policies().iter().zip(library.oddities()) {
        if told.contains(info.id()) || !seen.insert((info.file(), info.line())) {
            continue;
        }
        findings.extend(odd.into_iter().filter_map(|oddity| {
            let (code, message) = match oddity {
                Oddity::NeverApplies => {
                    (LintCode::NeverMatches, "its conditions cannot all hold".to_owned())
                }
                Oddity::AlwaysTrue(part) => (
                    LintCode::NeedlessCondition,
                    format!("`{part}` always holds where it is evaluated"),
                ),
                Oddity::NeverTrue(part) => (
                    LintCode::NeedlessCondition,
                    format!("`{part}` never holds where it is evaluated"),
                ),
                Oddity::NoWildcard(part) => (
                    LintCode::NeedlessCondition,
                    format!("`{part}` has no wildcard (`*`): `==` says the same"),
                ),
                Oddity::Twice(part) => {
                    (LintCode::NeedlessCondition, format!("`{part}` has an element twice"))
                }
                _ => return None,
            };
            Some(LintFinding::new(code, LintPlace::of(*info), message))
        }));
    }
    findings
}
