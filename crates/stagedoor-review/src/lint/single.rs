//! What is wrong with one policy, whatever the others say.

use std::collections::HashSet;

use stagedoor_analysis::{ActionScope, ScopeConstraint, contradiction};
use stagedoor_backstage::{FindingCode, Permissions, PolicyEngine};
use stagedoor_core::{Engine, EntityUid};

use super::codes::{LintCode, LintLevel};
use super::environments::Environments;
use super::finding::{LintFinding, LintPlace};
use super::normal::Normal;

/// Verbs of Kubernetes that are asked for many objects at once.
const LIST_VERBS: [&str; 3] = ["list", "watch", "deletecollection"];

/// Returns what is wrong with the way policies are written.
pub(super) fn written(
    policies: &[Normal<'_>],
    environments: &Environments<'_>,
) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    // Links share all of this with their template.
    let mut seen = HashSet::new();
    for policy in policies {
        if policy.info.link().is_some() && !seen.insert(policy.info.text()) {
            continue;
        }
        findings.extend(missing_annotations(policy));
        findings.extend(broad(policy, environments));
        findings.extend(guarded_list(policy, environments));
    }
    findings
}

/// Returns, for each policy, the finding that it can never be satisfied.
pub(super) fn never_matching(policies: &[Normal<'_>]) -> Vec<Option<LintFinding>> {
    let finding = |policy: &Normal<'_>, message: String| {
        LintFinding::new(LintCode::NeverMatches, LintPlace::of(policy.info), message)
    };
    let of = |policy: &Normal<'_>| {
        if policy.is_out_of_reach() {
            let message = "the schema has no request with these types and this action";
            return Some(finding(policy, message.to_owned()));
        }
        let (one, other) = contradiction(&policy.facts())?;
        Some(finding(
            policy,
            match one == other {
                true => format!("`{one}` never holds"),
                false => format!("`{one}` and `{other}` cannot both hold"),
            },
        ))
    };
    policies.iter().map(of).collect()
}

/// Returns the ids of the policies of which it is told that they are never satisfied.
pub(super) fn never_told(findings: &[LintFinding]) -> HashSet<String> {
    let never = findings.iter().filter(|finding| finding.code == LintCode::NeverMatches);
    never.filter_map(|finding| finding.place.policy.clone()).collect()
}

/// Returns the findings that policies are never satisfied, but for those of which it is told: the
/// validator may have said so already.
pub(super) fn not_told(
    never: Vec<Option<LintFinding>>,
    findings: &[LintFinding],
) -> Vec<LintFinding> {
    let told = never_told(findings);
    let is_new = |finding: &LintFinding| {
        finding.place.policy.as_ref().is_none_or(|policy| !told.contains(policy))
    };
    never.into_iter().flatten().filter(is_new).collect()
}

/// Returns what Cedar's validator warns of.
pub(super) fn validated(engine: &Engine) -> Vec<LintFinding> {
    let of = |problem: &stagedoor_core::Problem| {
        let place = LintPlace {
            policy: problem.policy().map(str::to_owned),
            file: problem.file().map(str::to_owned),
            line: problem.line(),
        };
        let says = |text| problem.message().contains(text);
        let impossible = says("impossible") || says("unable to find an applicable action");
        let code = if impossible { LintCode::NeverMatches } else { LintCode::Validator };
        LintFinding::new(code, place, problem.message())
    };
    // Of a policy that can never match, the first reason is enough.
    let mut told = HashSet::new();
    let is_new = |finding: &LintFinding| {
        finding.code != LintCode::NeverMatches || told.insert(finding.place.policy.clone())
    };
    engine.warnings().iter().map(of).filter(is_new).collect()
}

/// Returns what cannot become conditions for Backstage.
pub(super) fn not_conditional(engine: &Engine, permissions: &Permissions) -> Vec<LintFinding> {
    let policy = PolicyEngine::new(engine.clone(), permissions.clone());
    let of = |finding: &stagedoor_backstage::Finding| {
        let place = LintPlace {
            policy: finding.policy.as_deref().map(str::to_owned),
            file: finding.file.clone(),
            line: finding.line,
        };
        let code = match finding.code {
            FindingCode::Guarded => LintCode::ListGuard,
            _ => LintCode::NotConditional,
        };
        let told = LintFinding::new(code, place, &finding.message).with_help(&finding.help);
        if code == LintCode::ListGuard { told.heuristic() } else { told }
    };
    // Without its rule, it is not known whether a guard looks at the context.
    policy.findings().iter().filter(|f| f.code != FindingCode::NoContext).map(of).collect()
}

fn missing_annotations(policy: &Normal<'_>) -> Vec<LintFinding> {
    let place = || LintPlace::of(policy.info);
    let mut findings = Vec::new();
    if !policy.parsed.is_named {
        let message = format!("the policy has no `@id`: it is called `{}`", policy.info.id());
        findings.push(LintFinding::new(LintCode::NoId, place(), message));
    }
    if policy.is_permit() && policy.info.annotation("doc").is_none_or(|doc| doc.trim().is_empty()) {
        findings.push(LintFinding::new(LintCode::NoDoc, place(), LintCode::NoDoc.summary()));
    }
    findings
}

fn broad(policy: &Normal<'_>, environments: &Environments<'_>) -> Option<LintFinding> {
    if !policy.is_permit() {
        return None;
    }
    let scope = &policy.parsed.scope;
    let is_any = |constraint: &ScopeConstraint| *constraint == ScopeConstraint::default();
    let facts = policy.facts();
    let mentioned = |variable: &str| facts.iter().any(|fact| fact.mentions(variable));
    let anybody = is_any(&scope.principal) && !mentioned("principal");
    let anything = scope.action == ActionScope::Any && !mentioned("action");
    // Where each action has one type of resource, naming the action names the type.
    let anywhere = is_any(&scope.resource)
        && !mentioned("resource")
        && (anything || has_several_types(policy, environments));
    let open: Vec<&str> = [
        (anybody, "who asks (anybody may)"),
        (anything, "what they do (every action, later ones included)"),
        (anywhere, "what they do it to (resources of every type)"),
    ]
    .into_iter()
    .filter_map(|(is_open, words)| is_open.then_some(words))
    .collect();
    if open.is_empty() {
        return None;
    }
    let place = LintPlace::of(policy.info);
    if open.len() == 3 && facts.is_empty() {
        let message = "the permit allows everything to everybody";
        let finding = LintFinding::new(LintCode::BroadGrant, place, message);
        return Some(finding.at_level(LintLevel::Error));
    }
    let message = format!("the permit leaves open {}", open.join(", and "));
    Some(LintFinding::new(LintCode::BroadGrant, place, message))
}

fn has_several_types(policy: &Normal<'_>, environments: &Environments<'_>) -> bool {
    let actions = environments.actions_of(&policy.combinations);
    let types = environments.resources_of(&policy.combinations);
    let mut pairs: Vec<_> = actions.zip(types).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.windows(2).any(|pair| match pair {
        [(one, _), (other, _)] => one == other,
        _ => false,
    })
}

/// Returns the finding that a guard stands on a verb of Kubernetes that is about many objects.
/// Backstage's permissions are looked at where they become conditions.
fn guarded_list(policy: &Normal<'_>, environments: &Environments<'_>) -> Option<LintFinding> {
    let guard = policy.info.guards().find(|guard| guard.inputs().resource)?;
    let is_list = |action: &&EntityUid| {
        action.type_name().namespace() == "k8s" && LIST_VERBS.contains(&action.id().unescaped())
    };
    let action = environments.actions_of(&policy.combinations).find(is_list)?;
    let message = format!(
        "guard `{}` stands on `{}`, which is asked about many objects at once",
        guard.rule(),
        action.id().unescaped()
    );
    Some(LintFinding::new(LintCode::ListGuard, LintPlace::of(policy.info), message).heuristic())
}
