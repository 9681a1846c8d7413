//! Principals by actions, for any schema: read from the policies' scopes and conditions.

use std::collections::BTreeSet;

use stagedoor_analysis::{EntityUID, Fact, Implication, Library, follows};
use stagedoor_core::EntityUid;

use super::{AccessCell, AccessColumn, AccessMatrix, AccessMatrixRow, Verdict};
use crate::lint::normal::{Normal, normalized};

pub(super) fn matrix(library: &Library<'_>) -> AccessMatrix {
    let (policies, environments) = normalized(library);
    let mut principals: BTreeSet<&EntityUID> = BTreeSet::new();
    for fact in policies.iter().flat_map(Normal::facts).filter(|fact| fact.term() == "principal") {
        principals.extend(fact.entities());
    }
    let actions = environments.actions();
    let of_action = |action: &EntityUid| -> Vec<&Normal<'_>> {
        let covers = |policy: &&Normal<'_>| {
            environments.actions_of(&policy.combinations).any(|covered| covered == action)
        };
        policies.iter().filter(covers).collect()
    };
    let by_action: Vec<Vec<&Normal<'_>>> = actions.iter().map(|action| of_action(action)).collect();
    let row = |name: String, facts: Vec<Fact>| AccessMatrixRow {
        name,
        cells: by_action.iter().map(|policies| cell(policies, &facts)).collect(),
    };
    let everybody = row("everybody".to_owned(), Vec::new());
    let named = principals.into_iter().map(|uid| {
        let is = Fact::is_entity("principal", uid.clone());
        row(uid.to_string(), vec![is, Fact::in_entity("principal", uid.clone())])
    });
    let columns = actions
        .iter()
        .map(|action| AccessColumn {
            name: action.id().unescaped().to_owned(),
            group: action.type_name().to_string(),
        })
        .collect();
    AccessMatrix {
        title: "Access".to_owned(),
        columns_are: "action".to_owned(),
        note: "A row is a principal or a member of the group, whoever else it is. A cell is read \
               from scopes and conditions; open it for what else must hold."
            .to_owned(),
        columns,
        rows: std::iter::once(everybody).chain(named).collect(),
        left_out: 0,
    }
}

fn cell(policies: &[&Normal<'_>], principal: &[Fact]) -> AccessCell {
    let given: Vec<&Fact> = principal.iter().collect();
    let mut details = Vec::new();
    let mut ids = Vec::new();
    let (mut permitted, mut open, mut closed, mut forbidden) = (false, false, false, false);
    for policy in policies {
        let left: Vec<String> = policy
            .facts()
            .into_iter()
            .filter(|fact| follows(&given, fact) != Implication::Yes)
            .map(ToString::to_string)
            .collect();
        let is_of_others = policy.facts().into_iter().any(|fact| {
            matches!(fact, Fact::OneOf { term, holds: true, .. } | Fact::Within { term, holds: true, .. }
                if &**term == "principal")
                && follows(&given, fact) != Implication::Yes
        });
        if is_of_others {
            continue;
        }
        match (policy.is_permit(), left.is_empty()) {
            (true, true) => permitted = true,
            (true, false) => open = true,
            (false, true) => closed = true,
            (false, false) => forbidden = true,
        }
        let word = if policy.is_permit() { "allowed" } else { "forbidden" };
        let condition =
            if left.is_empty() { String::new() } else { format!(" if {}", left.join(" && ")) };
        details.push(format!("{word}{condition}\nby {}", policy.info.id()));
        ids.push(policy.info.id().to_owned());
    }
    let verdict = match (permitted, open) {
        _ if closed => Verdict::Deny,
        (false, false) => Verdict::Deny,
        (true, _) if !forbidden => Verdict::Allow,
        _ => Verdict::Conditional,
    };
    AccessCell { verdict, details, policies: ids }
}
