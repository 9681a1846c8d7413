//! What is likely to be meant otherwise in policies for Kubernetes.

use std::collections::HashSet;

use stagedoor_analysis::Library;
use stagedoor_core::Engine;
use stagedoor_kubernetes::access::{AccessPolicies, PolicyRemark, PolicyRemarkCode};
use stagedoor_kubernetes::enforced_policies;

use super::codes::LintCode;
use super::finding::{LintFinding, LintPlace};

/// Returns what the platform's crate remarks; nothing where it cannot read the policies, which
/// whoever answers with them says.
pub(super) fn remarks(library: &Library<'_>) -> Vec<LintFinding> {
    let Ok(policies) = AccessPolicies::among(library) else { return Vec::new() };
    policies.remarks().into_iter().map(finding).collect()
}

fn finding(remark: PolicyRemark) -> LintFinding {
    let code = match remark.code {
        PolicyRemarkCode::PrincipalById => LintCode::PrincipalById,
        _ => LintCode::PartOfAFamily,
    };
    let place =
        LintPlace { policy: Some(remark.policy), file: Some(remark.file), line: remark.line };
    LintFinding::new(code, place, remark.message).with_help(remark.help).heuristic()
}

/// Returns the ids of the policies that do not decide.
pub(super) fn watched(engine: &Engine) -> HashSet<String> {
    let Ok(enforced) = enforced_policies(engine) else { return HashSet::new() };
    let enforced: HashSet<&str> = enforced.policies().map(|policy| policy.id()).collect();
    let all = engine.policies().map(|policy| policy.id());
    all.filter(|id| !enforced.contains(id)).map(str::to_owned).collect()
}
