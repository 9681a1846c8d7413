//! Fills aggregated ClusterRoles with the rules of the roles that they select.
//!
//! In a cluster a controller does so; a dump of a cluster has the rules, manifests in a
//! repository do not. Only empty rules are filled: what a cluster holds stays as it is.

use std::collections::HashSet;

use super::object::{PolicyRule, Role, RoleKind};
use super::objects::RbacError;
use super::warning::RbacWarning;

/// So many rules are looked at before the roles count as ones that no cluster has.
const BUDGET: usize = 20_000_000;

/// Fills the rules of aggregated roles.
///
/// A selected role may be an aggregated one itself, so this is repeated until nothing more is
/// taken over: roles only ever gain rules, so it ends.
pub(crate) fn fill(roles: &mut [Role], warnings: &mut Vec<RbacWarning>) -> Result<(), RbacError> {
    let mut aggregated: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut budget = BUDGET;
    let mut by_name: Vec<usize> = (0..roles.len()).collect();
    by_name.sort_by(|a, b| name(roles, *a).cmp(name(roles, *b)));
    for (at, role) in roles.iter().enumerate() {
        let Some(selectors) = &role.aggregates else { continue };
        if role.kind != RoleKind::ClusterRole || !role.rules.is_empty() {
            continue;
        }
        if let Some(reason) = selectors.iter().find_map(|selector| selector.problem()) {
            warnings.push(RbacWarning::InvalidSelector { role: role.to_string(), reason });
            continue;
        }
        // In the controller's order: selector by selector, roles by name.
        let mut sources = Vec::new();
        for selector in selectors {
            budget = budget.checked_sub(roles.len()).ok_or(RbacError::TooManyAggregated)?;
            let selected = |source: &usize| {
                *source != at
                    && roles.get(*source).is_some_and(|role| {
                        role.kind == RoleKind::ClusterRole && selector.matches(&role.labels)
                    })
            };
            sources.extend(by_name.iter().copied().filter(selected));
        }
        aggregated.push((at, sources));
    }
    loop {
        let mut grown = false;
        for (at, sources) in &aggregated {
            let rules = union(roles, sources, &mut budget)?;
            if let Some(role) = roles.get_mut(*at)
                && rules.len() > role.rules.len()
            {
                role.rules = rules;
                grown = true;
            }
        }
        if !grown {
            return Ok(());
        }
    }
}

fn union(
    roles: &[Role],
    sources: &[usize],
    budget: &mut usize,
) -> Result<Vec<PolicyRule>, RbacError> {
    let mut seen: HashSet<&PolicyRule> = HashSet::new();
    let mut rules = Vec::new();
    for rule in sources.iter().filter_map(|at| roles.get(*at)).flat_map(|role| &role.rules) {
        *budget = budget.checked_sub(1).ok_or(RbacError::TooManyAggregated)?;
        if seen.insert(rule) {
            rules.push(rule.clone());
        }
    }
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
            role("filled", "", "list", "to-admin"),
        ];
        fill(&mut roles, &mut Vec::new())?;
        assert_eq!(verbs(&roles, "view"), ["get"]);
        assert_eq!(verbs(&roles, "edit"), ["update", "get"]);
        assert_eq!(verbs(&roles, "admin"), ["update", "get"]);
        assert_eq!(verbs(&roles, "filled"), ["list"]);
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
