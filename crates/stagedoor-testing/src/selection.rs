//! The conditional decision: what Backstage is answered about a permission on resources before
//! it knows which, and which entities of the fixtures that comes to.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use stagedoor_backstage::{
    Catalog, ConditionParam, Criteria, EntityRef, PermissionCondition, Principal,
};
use stagedoor_core::{Entities, Entity, Record, Value};

/// A question about all resources of a permission.
pub(crate) struct ListQuestion {
    pub(crate) permission: String,
    pub(crate) principal: Principal,
}

/// The answer to one.
pub(crate) struct Selection {
    /// `allow`, `deny` or `conditional`.
    pub(crate) decision: &'static str,
    /// The criteria as Backstage gets them.
    pub(crate) criteria: Option<Json>,
    /// The entities of the catalog that they select, or why that cannot be told.
    pub(crate) entities: Result<BTreeSet<String>, String>,
    /// What could not be evaluated.
    pub(crate) errors: Vec<String>,
}

/// Returns whether criteria select an entity of the catalog.
pub(crate) fn selects(
    criteria: &Criteria,
    entity: &EntityRef,
    store: &Entities,
) -> Result<bool, String> {
    match criteria {
        Criteria::AllOf(items) => {
            items.iter().try_fold(true, |all, item| Ok(all && selects(item, entity, store)?))
        }
        Criteria::AnyOf(items) => {
            items.iter().try_fold(false, |any, item| Ok(any || selects(item, entity, store)?))
        }
        Criteria::Not(item) => Ok(!selects(item, entity, store)?),
        Criteria::Condition(condition) => {
            let found =
                store.get(&Catalog::uid(entity)).ok_or("the entity is not in the catalog")?;
            rule(condition, found, store)
        }
    }
}

/// Applies one of the catalog's rules.
fn rule(
    condition: &PermissionCondition,
    entity: &Entity,
    store: &Entities,
) -> Result<bool, String> {
    let text = |name: &str| match condition.params.get(name) {
        Some(ConditionParam::String(text)) => Some(text.to_lowercase()),
        _ => None,
    };
    let texts = |name: &str| match condition.params.get(name) {
        Some(ConditionParam::Strings(texts)) => texts.as_slice(),
        _ => &[],
    };
    // Labels and annotations are entities of their own.
    let part = |name: &str| -> Option<&Record> {
        let Some(Value::Entity(uid)) = entity.attributes.get(name) else { return None };
        store.get(uid).map(|part| &part.tags)
    };
    let row = |prefix: &str| {
        let key = format!("{prefix}.{}", text("key").unwrap_or_default());
        has(Some(&entity.tags), &key, text("value").as_deref())
    };
    Ok(match condition.rule.as_str() {
        "IS_ENTITY_KIND" => {
            let kind = entity.attributes.get("kind").and_then(Value::as_str);
            texts("kinds").iter().any(|wanted| Some(wanted.to_lowercase().as_str()) == kind)
        }
        "IS_ENTITY_OWNER" => match entity.attributes.get("owners") {
            Some(Value::Set(owners)) => owners
                .iter()
                .filter_map(Value::as_str)
                .any(|owner| texts("claims").iter().any(|claim| claim.as_str() == owner)),
            _ => false,
        },
        "HAS_LABEL" => {
            let key = text("label").unwrap_or_default();
            has(part("labels"), &key, text("value").as_deref())
        }
        "HAS_ANNOTATION" => {
            let key = text("annotation").unwrap_or_default();
            has(part("annotations"), &key, text("value").as_deref())
        }
        "HAS_METADATA" => row("metadata"),
        "HAS_SPEC" => row("spec"),
        other => return Err(format!("the rule `{other}` is not known here")),
    })
}

/// Returns whether there is a tag, with this value if one is given.
fn has(tags: Option<&Record>, key: &str, value: Option<&str>) -> bool {
    let Some(found) = tags.and_then(|tags| tags.get(key)) else { return false };
    value.is_none_or(|value| match found {
        Value::Set(items) => items.iter().any(|item| item.as_str() == Some(value)),
        other => other.as_str() == Some(value),
    })
}
