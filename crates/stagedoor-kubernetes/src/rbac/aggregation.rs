//! Gives aggregated ClusterRoles the rules of the roles that they select.
//!
//! In a cluster the controller `clusterrole-aggregation` does so, and *replaces* what rules
//! such a role has of its own. A role as a cluster has it comes with rules that the controller
//! gave it, perhaps of roles that are not among those that were read: those stay.

use std::collections::HashSet;

use super::object::{ObjectSource, PolicyRule, Role, RoleKind};
use super::objects::RbacError;
use super::warning::RbacWarning;

/// So many rules are looked at before the roles count as ones that no cluster has.
const BUDGET: usize = 20_000_000;

/// A role that aggregates others.
struct AggregatingRole {
    role: usize,
    /// The roles that it selects, in the controller's order.
    sources: Vec<usize>,
    /// The rules that it was read with.
    own: Vec<PolicyRule>,
}

/// Gives aggregated roles their rules.
///
/// A selected role may be an aggregated one itself, so this is repeated until nothing more is
/// taken over: from the second round on rules only ever become more, so it ends.
pub(crate) fn fill(roles: &mut [Role], warnings: &mut Vec<RbacWarning>) -> Result<(), RbacError> {
    let mut budget = BUDGET;
    let aggregated = aggregated(roles, warnings, &mut budget)?;
    for AggregatingRole { role, own, .. } in &aggregated {
        if let Some(role) = roles.get_mut(*role) {
            role.rules = kept(role, own);
        }
    }
    loop {
        let mut grown = false;
        for AggregatingRole { role: at, sources, own } in &aggregated {
            let own = roles.get(*at).map(|role| kept(role, own)).unwrap_or_default();
            let rules = union(own, roles, sources, &mut budget)?;
            if let Some(role) = roles.get_mut(*at)
                && rules.len() > role.rules.len()
            {
                role.rules = rules;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    for AggregatingRole { role, own, .. } in &aggregated {
        let Some(role) = roles.get(*role) else { continue };
        let is_lost = |(at, rule): (usize, &PolicyRule)| (!role.rules.contains(rule)).then_some(at);
        let rules: Vec<usize> = own.iter().enumerate().filter_map(is_lost).collect();
        if !rules.is_empty() {
            warnings.push(RbacWarning::OverwrittenRules { role: role.to_string(), rules });
        }
    }
    Ok(())
}

/// Returns what stays of the rules that a role was read with.
fn kept(role: &Role, own: &[PolicyRule]) -> Vec<PolicyRule> {
    if role.origin.source == ObjectSource::Cluster { own.to_vec() } else { Vec::new() }
}

fn aggregated(
    roles: &[Role],
    warnings: &mut Vec<RbacWarning>,
    budget: &mut usize,
) -> Result<Vec<AggregatingRole>, RbacError> {
    let mut by_name: Vec<usize> = (0..roles.len()).collect();
    by_name.sort_by(|a, b| name(roles, *a).cmp(name(roles, *b)));
    let mut aggregated = Vec::new();
    for (at, role) in roles.iter().enumerate() {
        let Some(selectors) = &role.aggregates else { continue };
        if role.kind != RoleKind::ClusterRole {
            continue;
        }
        if let Some(reason) = selectors.iter().find_map(|selector| selector.problem()) {
            // The controller fails on it, and the rules stay as they are.
            warnings.push(RbacWarning::InvalidSelector { role: role.to_string(), reason });
            continue;
        }
        let mut sources = Vec::new();
        for selector in selectors {
            *budget = budget.checked_sub(roles.len()).ok_or(RbacError::TooManyAggregated)?;
            let selected = |source: &usize| {
                *source != at
                    && roles.get(*source).is_some_and(|role| {
                        role.kind == RoleKind::ClusterRole && selector.matches(&role.labels)
                    })
            };
            sources.extend(by_name.iter().copied().filter(selected));
        }
        aggregated.push(AggregatingRole { role: at, sources, own: role.rules.clone() });
    }
    Ok(aggregated)
}

fn union(
    own: Vec<PolicyRule>,
    roles: &[Role],
    sources: &[usize],
    budget: &mut usize,
) -> Result<Vec<PolicyRule>, RbacError> {
    let mut seen: HashSet<&PolicyRule> = own.iter().collect();
    let mut more = Vec::new();
    for rule in sources.iter().filter_map(|at| roles.get(*at)).flat_map(|role| &role.rules) {
        *budget = budget.checked_sub(1).ok_or(RbacError::TooManyAggregated)?;
        if seen.insert(rule) {
            more.push(rule.clone());
        }
    }
    drop(seen);
    let mut rules = own;
    rules.extend(more);
    Ok(rules)
}

fn name(roles: &[Role], at: usize) -> &str {
    roles.get(at).map_or("", |role| role.name.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::label_selector::LabelSelector;
    use super::super::object::Origin;
    use super::*;

    fn role(name: &str, label: &str, verb: &str, selects: &str) -> Role {
        let label_of = |l: &str| BTreeMap::from([(l.to_owned(), "true".to_owned())]);
        let rules = if verb.is_empty() {
            Vec::new()
        } else {
            vec![PolicyRule::resources([verb], [""], ["pods"])]
        };
        let selector =
            LabelSelector { match_labels: label_of(selects), ..LabelSelector::default() };
        Role {
            kind: RoleKind::ClusterRole,
            namespace: String::new(),
            name: name.to_owned(),
            labels: label_of(label),
            rules,
            aggregates: (!selects.is_empty()).then(|| vec![selector]),
            origin: Origin::default(),
        }
    }

    fn in_cluster(mut role: Role) -> Role {
        role.origin.source = ObjectSource::Cluster;
        role
    }

    fn verbs(roles: &[Role], name: &str) -> Vec<String> {
        let role = roles.iter().find(|r| r.name == name);
        role.into_iter().flat_map(|r| &r.rules).flat_map(|r| r.verbs.clone()).collect()
    }

    #[test]
    fn aggregates_of_aggregates_are_filled_to_the_end() -> Result<(), RbacError> {
        let mut roles = [
            role("admin", "", "", "to-admin"),
            role("edit", "to-admin", "", "to-edit"),
            role("view", "to-edit", "", "to-view"),
            role("z-view", "to-view", "get", ""),
            role("a-edit", "to-edit", "update", ""),
            role("b-edit", "to-edit", "update", ""),
        ];
        let mut warnings = Vec::new();
        fill(&mut roles, &mut warnings)?;
        assert_eq!(verbs(&roles, "view"), ["get"]);
        assert_eq!(verbs(&roles, "edit"), ["update", "get"]);
        assert_eq!(verbs(&roles, "admin"), ["update", "get"]);
        assert_eq!(warnings, []);
        Ok(())
    }

    #[test]
    fn own_rules_are_overwritten_as_the_controller_does_it() -> Result<(), RbacError> {
        let mut roles = [
            role("own", "", "list", "to-own"),
            role("same", "", "get", "to-own"),
            role("nobody", "", "list", "to-nobody"),
            in_cluster(role("partial", "", "list", "to-own")),
            role("above", "", "", "on-own"),
            role("source", "to-own", "get", ""),
        ];
        roles[0].labels.insert("on-own".to_owned(), "true".to_owned());
        let mut warnings = Vec::new();
        fill(&mut roles, &mut warnings)?;
        assert_eq!(verbs(&roles, "own"), ["get"]);
        assert_eq!(verbs(&roles, "above"), ["get"], "not what is overwritten");
        assert_eq!(verbs(&roles, "same"), ["get"]);
        assert_eq!(verbs(&roles, "nobody"), [""; 0]);
        // A cluster's controller gave it what its sources, not read here, had.
        assert_eq!(verbs(&roles, "partial"), ["list", "get"]);
        let lost = |role: &str| RbacWarning::OverwrittenRules {
            role: format!("ClusterRole/{role}"),
            rules: vec![0],
        };
        assert_eq!(warnings, [lost("own"), lost("nobody")]);
        Ok(())
    }

    #[test]
    fn cycles_end() -> Result<(), RbacError> {
        let mut roles = [
            role("a", "to-b", "", "to-a"),
            role("b", "to-a", "", "to-b"),
            role("c", "to-b", "get", ""),
        ];
        fill(&mut roles, &mut Vec::new())?;
        assert_eq!(
            (verbs(&roles, "a"), verbs(&roles, "b")),
            (vec!["get".into()], vec!["get".into()])
        );
        Ok(())
    }

    #[test]
    fn a_selector_that_is_not_valid_takes_over_nothing() -> Result<(), RbacError> {
        let mut roles = [role("a", "", "", "x"), role("b", "x", "get", "")];
        if let Some(selector) = roles[0].aggregates.iter_mut().flatten().next() {
            selector.match_expressions.push(
                serde_json::from_str(r#"{"key":"x","operator":"In"}"#)
                    .map_err(|_| RbacError::TooManyAggregated)?,
            );
        }
        let mut warnings = Vec::new();
        fill(&mut roles, &mut warnings)?;
        assert_eq!((verbs(&roles, "a").len(), warnings.len()), (0, 1));
        Ok(())
    }
}
