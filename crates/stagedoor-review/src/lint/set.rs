//! What policies are to each other and to the schema's actions.

use std::collections::BTreeSet;

use stagedoor_core::{EntityUid, Limits, SourceKind, names_namespace};

use super::codes::LintCode;
use super::environments::{Environments, is_within};
use super::finding::{LintFinding, LintPlace};
use super::normal::Normal;
use super::redundant::{Pair, Pairs};

/// The namespace of admission.
const ADMISSION: &str = "k8s::admission";

/// So many actions are named.
const NAMED: usize = 20;

/// Returns the findings about pairs.
pub(super) fn of_pairs(policies: &[Normal<'_>], pairs: &Pairs) -> Vec<LintFinding> {
    let finding = |(policy, found): (&Normal<'_>, &Option<(Pair, usize)>)| {
        let (pair, other) = (*found)?;
        let other = policies.get(other)?;
        let id = other.info.id();
        let (code, message, sure) = match pair {
            Pair::Duplicate { sure } => {
                (LintCode::Duplicate, format!("`{id}` says the same"), sure)
            }
            Pair::Subsumed { sure } => {
                (LintCode::Subsumed, format!("`{id}` always applies as well, and to more"), sure)
            }
            Pair::Shadowed => {
                (LintCode::Shadowed, format!("`{id}` forbids all that it permits"), true)
            }
        };
        let found = LintFinding::new(code, LintPlace::of(policy.info), message).beside(other.info);
        Some(if sure { found } else { found.heuristic() })
    };
    policies.iter().zip(&pairs.found).filter_map(finding).collect()
}

/// Returns the finding that there are actions which nobody may perform.
pub(super) fn unreachable_actions(
    policies: &[Normal<'_>],
    dead: &[bool],
    pairs: &Pairs,
    environments: &Environments<'_>,
) -> Option<LintFinding> {
    // Most policies have one of a few sets of combinations.
    let closed = policies.iter().filter(|p| !p.is_permit() && p.facts().is_empty());
    let closed: BTreeSet<&[u64]> = closed.map(|forbid| &*forbid.combinations).collect();
    let mut permitted: BTreeSet<&[u64]> = BTreeSet::new();
    for (number, policy) in policies.iter().enumerate() {
        let is_shadowed = matches!(pairs.found.get(number), Some(Some((Pair::Shadowed, _))));
        let is_dead = dead.get(number).copied().unwrap_or_default();
        if !policy.is_permit() || is_dead || is_shadowed {
            continue;
        }
        permitted.insert(&policy.combinations);
    }
    let is_open = |permit: &&&[u64]| closed.iter().all(|forbid| !is_within(permit, forbid));
    let open: BTreeSet<&EntityUid> = permitted
        .iter()
        .filter(is_open)
        .flat_map(|permit| environments.actions_of(permit))
        .collect();
    // The schema of admission is always loaded beside that of authorization: that no policy is
    // about admission is nothing to tell of.
    let names_admission = |policy: &Normal<'_>| {
        let text = policy.info.text();
        names_namespace(SourceKind::Policies, text, ADMISSION, &Limits::default())
    };
    let about_admission = policies.iter().any(names_admission);
    let is_told =
        |action: &EntityUid| about_admission || action.type_name().namespace() != ADMISSION;
    let never: Vec<String> = environments
        .actions()
        .into_iter()
        .filter(|action| !open.contains(action) && is_told(action))
        .map(|action| format!("`{}`", action.id().unescaped()))
        .collect();
    if never.is_empty() {
        return None;
    }
    let named = never.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match never.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("nobody may perform {named}{more}");
    Some(LintFinding::new(LintCode::UnreachableAction, LintPlace::default(), message))
}
