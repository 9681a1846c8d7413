//! Resources to try conditions on: such that rules hold for, alone and together.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EntityUid;
use serde_json::{Map, Value as Json, json};
use smol_str::SmolStr;
use stagedoor_core::{Entity, Value};

use super::convert::Asker;
use crate::catalog::Catalog;
use crate::catalog_entity::{CatalogEntity, KNOWN_KINDS};
use crate::criteria::{ConditionParam, Criteria, PermissionCondition};
use crate::names;
use crate::request::Resource;
use crate::yaml::number_text;

/// The most samples of one resource type.
const SAMPLES: usize = 240;

/// A resource, as Backstage's rules see it.
pub(super) struct Sample {
    pub(super) uid: EntityUid,
    facts: Facts,
}

enum Facts {
    Entity(Box<CatalogEntity>),
    Template(BTreeSet<String>),
    Action { action: String, input: BTreeMap<String, Input> },
    Task(Option<String>),
    Role { owner: Option<String>, is_default: bool },
}

#[derive(Debug, Clone, PartialEq)]
enum Input {
    Text(String),
    Number(f64),
    Bool(bool),
}

/// Samples by resource type, with the entities that stand for them.
#[derive(Default)]
pub(super) struct Samples {
    of_type: BTreeMap<SmolStr, Vec<Sample>>,
    pub(super) entities: Vec<Entity>,
}

impl Samples {
    /// Returns samples for the conditions, and the entities of a catalog.
    pub(super) fn new<'a>(
        criteria: impl IntoIterator<Item = &'a Criteria>,
        references: &[String],
        catalog: &Catalog,
    ) -> Self {
        let mut samples = Self::default();
        let mut wishes: BTreeMap<SmolStr, Vec<PermissionCondition>> = BTreeMap::new();
        let types =
            ["catalog-entity", "scaffolder-template", "scaffolder-action", "scaffolder-task"];
        for of_type in types.into_iter().chain(["policy-entity"]) {
            wishes.insert(of_type.into(), Vec::new());
        }
        for criteria in criteria {
            collect(criteria, references, &mut wishes);
        }
        for (of_type, wishes) in &wishes {
            for (number, wishes) in together(wishes).iter().enumerate() {
                samples.make(of_type, number, wishes);
            }
        }
        for entity in catalog.iter() {
            samples.add_entity(entity.clone());
        }
        samples
    }

    /// Returns the samples of a resource type.
    pub(super) fn of(&self, resource_type: &str) -> &[Sample] {
        self.of_type.get(resource_type).map(Vec::as_slice).unwrap_or_default()
    }

    fn add_entity(&mut self, entity: CatalogEntity) {
        let uid = names::catalog_entity(&entity.reference);
        self.entities.extend(entity.to_entities());
        self.add("catalog-entity", Sample { uid, facts: Facts::Entity(Box::new(entity)) });
    }

    fn add(&mut self, of_type: &str, sample: Sample) {
        self.of_type.entry(of_type.into()).or_default().push(sample);
    }

    /// Makes a resource for which these rules hold, as far as they go together.
    fn make(&mut self, of_type: &str, number: usize, wishes: &[&PermissionCondition]) {
        let id = format!("sample-{number}");
        let text = |wish: &PermissionCondition, name: &str| match wish.params.get(name) {
            Some(ConditionParam::String(text)) => Some(text.to_string()),
            Some(ConditionParam::Strings(texts)) => texts.first().map(ToString::to_string),
            _ => None,
        };
        let (resource, facts) = match of_type {
            "catalog-entity" => {
                if let Some(entity) = entity(&id, wishes) {
                    self.add_entity(entity);
                }
                return;
            }
            "scaffolder-template" => {
                let tags: BTreeSet<String> =
                    wishes.iter().filter_map(|wish| text(wish, "tag")).collect();
                (Resource::scaffolder_template(&id, &tags), Facts::Template(tags))
            }
            "scaffolder-action" => {
                let action = wishes.iter().find_map(|wish| text(wish, "actionId"));
                let action = action.unwrap_or_else(|| "publish:github".to_owned());
                let input: BTreeMap<String, Input> =
                    wishes.iter().filter_map(|wish| input(wish)).collect();
                let printed = input.iter().map(|(key, value)| (key, value.printed()));
                let resource = Resource::scaffolder_action(&id, &action, printed);
                (resource, Facts::Action { action, input })
            }
            "scaffolder-task" => {
                let user = wishes.iter().find_map(|wish| text(wish, "createdBy"));
                (Resource::scaffolder_task(&id, user.as_deref()), Facts::Task(user))
            }
            "policy-entity" => {
                let owner = wishes.iter().find_map(|wish| text(wish, "owners"));
                let is_default = number == 1;
                let resource = Resource::policy_entity(&id, owner.as_deref(), is_default);
                (resource, Facts::Role { owner, is_default })
            }
            _ => return,
        };
        self.entities.extend(resource.entities().iter().cloned());
        self.add(of_type, Sample { uid: resource.uid().clone(), facts });
    }
}

/// Collects the rules of criteria, with their aliases written out and values in other cases.
fn collect(
    criteria: &Criteria,
    references: &[String],
    wishes: &mut BTreeMap<SmolStr, Vec<PermissionCondition>>,
) {
    match criteria {
        Criteria::AllOf(items) | Criteria::AnyOf(items) => {
            items.iter().for_each(|item| collect(item, references, wishes));
        }
        Criteria::Not(item) => collect(item, references, wishes),
        Criteria::Condition(condition) => {
            let wishes = wishes.entry(condition.resource_type.clone()).or_default();
            for wish in variants(condition, references) {
                if !wishes.contains(&wish) {
                    wishes.push(wish);
                }
            }
        }
    }
}

/// Returns the rule with each of its values alone, and with values that nearly are.
fn variants(condition: &PermissionCondition, references: &[String]) -> Vec<PermissionCondition> {
    let mut found = Vec::new();
    let mut with = |name: &SmolStr, param: ConditionParam| {
        let mut variant = condition.clone();
        variant.params.insert(name.clone(), param);
        found.push(variant);
    };
    let names = ["value", "kinds", "claims", "tag", "actionId", "createdBy", "owners"];
    let varied = condition.params.iter().find(|(name, _)| names.contains(&name.as_str()));
    match varied {
        None => return vec![condition.clone()],
        Some((name, ConditionParam::Strings(texts))) => {
            for text in texts {
                match text.starts_with('$') {
                    true => references.iter().for_each(|reference| {
                        with(name, ConditionParam::Strings(vec![reference.into()]));
                    }),
                    false => with(name, ConditionParam::Strings(vec![text.clone()])),
                }
            }
        }
        Some((name, ConditionParam::String(text))) => {
            with(name, ConditionParam::String(text.clone()));
            with(name, ConditionParam::String(text.to_uppercase().into()));
            with(name, ConditionParam::String("other".into()));
            if let Ok(number) = text.parse() {
                with(name, ConditionParam::Number(number));
            }
            if text.starts_with('$') {
                references.iter().for_each(|reference| {
                    with(name, ConditionParam::String(reference.into()));
                });
            }
        }
        Some((name, param @ ConditionParam::Number(number))) => {
            with(name, param.clone());
            with(name, ConditionParam::String(number_text(*number).into()));
        }
        Some((name, param @ ConditionParam::Bool(value))) => {
            with(name, param.clone());
            with(name, ConditionParam::Bool(!value));
            with(name, ConditionParam::String(value.to_string().into()));
        }
    }
    found
}

/// Returns none of the wishes, each alone, two of them, and all.
fn together(wishes: &[PermissionCondition]) -> Vec<Vec<&PermissionCondition>> {
    let mut sets = vec![Vec::new(), wishes.iter().collect()];
    sets.extend(wishes.iter().map(|wish| vec![wish]));
    for (number, one) in wishes.iter().enumerate() {
        sets.extend(wishes.iter().skip(number + 1).map(|other| vec![other, one]));
    }
    sets.truncate(SAMPLES);
    sets
}

fn input(wish: &PermissionCondition) -> Option<(String, Input)> {
    let Some(ConditionParam::String(key)) = wish.params.get("key") else { return None };
    let value = match wish.params.get("value") {
        Some(ConditionParam::String(text)) => Input::Text(text.to_string()),
        Some(ConditionParam::Number(number)) => Input::Number(*number),
        Some(ConditionParam::Bool(value)) => Input::Bool(*value),
        Some(ConditionParam::Strings(_)) | None => match wish.rule.as_str() {
            "HAS_NUMBER_PROPERTY" => Input::Number(1.0),
            "HAS_BOOLEAN_PROPERTY" => Input::Bool(true),
            _ => Input::Text("some".to_owned()),
        },
    };
    Some((key.to_string(), value))
}

impl Input {
    fn printed(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number_text(*number),
            Self::Bool(value) => value.to_string(),
        }
    }
}

/// Makes an entity of the catalog; none if the catalog would not accept it.
fn entity(name: &str, wishes: &[&PermissionCondition]) -> Option<CatalogEntity> {
    let mut kind = "Component".to_owned();
    let mut relations = Vec::new();
    let mut metadata = Map::from_iter([("name".to_owned(), json!(name))]);
    let mut spec = Map::new();
    for wish in wishes {
        let text = |name: &str| match wish.params.get(name) {
            Some(ConditionParam::String(text)) => text.as_str(),
            _ => "",
        };
        let value = if wish.params.contains_key("value") { text("value") } else { "some" };
        match (wish.rule.as_str(), wish.params.values().next()) {
            ("IS_ENTITY_KIND", Some(ConditionParam::Strings(kinds))) => {
                let wanted = kinds.first().map_or("", SmolStr::as_str);
                let known = KNOWN_KINDS.iter().find(|known| known.eq_ignore_ascii_case(wanted));
                kind = known.map_or_else(|| wanted.to_owned(), |known| (*known).to_owned());
            }
            ("IS_ENTITY_OWNER", Some(ConditionParam::Strings(claims))) => {
                let owners = claims.iter().map(|claim| claim.to_lowercase());
                relations.extend(owners.map(|of| json!({"type": "ownedBy", "targetRef": of})));
            }
            ("HAS_ANNOTATION", _) => {
                put(&mut metadata, &["annotations", text("annotation")], value)
            }
            ("HAS_LABEL", _) => put(&mut metadata, &["labels", text("label")], value),
            ("HAS_METADATA", _) => {
                put(&mut metadata, &text("key").split('.').collect::<Vec<_>>(), value);
            }
            ("HAS_SPEC", _) => put(&mut spec, &text("key").split('.').collect::<Vec<_>>(), value),
            _ => {}
        }
    }
    let entity = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": kind,
        "metadata": metadata, "spec": spec, "relations": relations,
    });
    let catalog = Catalog::from_files([("sample", entity.to_string())]).ok()?;
    catalog.iter().next().cloned()
}

/// Sets a field, with those above it; leaves alone what is there already as a text.
fn put(fields: &mut Map<String, Json>, path: &[&str], value: &str) {
    match path {
        [] => {}
        [last] => {
            fields.insert((*last).to_owned(), json!(value));
        }
        [first, rest @ ..] => {
            let inner = fields.entry(*first).or_insert_with(|| json!({}));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Returns whether the criteria hold for a resource, as Backstage's rules apply them in memory;
/// `None` if a rule is not known.
pub(super) fn hold(criteria: &Criteria, sample: &Sample, asker: &Asker) -> Option<bool> {
    match criteria {
        Criteria::AllOf(items) => {
            items.iter().try_fold(true, |all, item| Some(hold(item, sample, asker)? && all))
        }
        Criteria::AnyOf(items) => {
            items.iter().try_fold(false, |any, item| Some(hold(item, sample, asker)? || any))
        }
        Criteria::Not(item) => Some(!hold(item, sample, asker)?),
        Criteria::Condition(condition) => rule(condition, sample, asker),
    }
}

fn rule(condition: &PermissionCondition, sample: &Sample, asker: &Asker) -> Option<bool> {
    let text = |name: &str| match condition.params.get(name) {
        Some(ConditionParam::String(text)) if text == "$currentUser" => {
            Some(asker.user.to_string())
        }
        Some(ConditionParam::String(text)) => Some(text.to_string()),
        _ => None,
    };
    let texts = |name: &str| -> Vec<String> {
        let Some(ConditionParam::Strings(texts)) = condition.params.get(name) else {
            return Vec::new();
        };
        let written_out = |text: &SmolStr| match text.as_str() {
            "$currentUser" => vec![asker.user.to_string()],
            "$ownerRefs" => asker.owned.iter().map(ToString::to_string).collect(),
            text => vec![text.to_owned()],
        };
        texts.iter().flat_map(written_out).collect()
    };
    let value = text("value");
    Some(match (&sample.facts, condition.rule.as_str()) {
        (Facts::Entity(entity), "IS_ENTITY_KIND") => {
            texts("kinds").iter().any(|kind| kind.to_lowercase() == entity.reference.kind())
        }
        (Facts::Entity(entity), "IS_ENTITY_OWNER") => {
            let claims = texts("claims");
            entity.relations.owned_by.iter().any(|owner| claims.contains(&owner.to_string()))
        }
        (Facts::Entity(entity), "HAS_ANNOTATION") => {
            has(entity.annotations.get(text("annotation")?.to_lowercase().as_str()), value)
        }
        (Facts::Entity(entity), "HAS_LABEL") => {
            has(entity.labels.get(text("label")?.to_lowercase().as_str()), value)
        }
        (Facts::Entity(entity), "HAS_METADATA") => {
            let key = format!("metadata.{}", text("key")?.to_lowercase());
            has(entity.rows.get(key.as_str()), value)
        }
        (Facts::Entity(entity), "HAS_SPEC") => {
            has(entity.rows.get(format!("spec.{}", text("key")?.to_lowercase()).as_str()), value)
        }
        (Facts::Template(tags), "HAS_TAG") => tags.contains(&text("tag")?),
        (Facts::Action { action, .. }, "HAS_ACTION_ID") => *action == text("actionId")?,
        (Facts::Action { action, input }, rule) => {
            let key = text("key")?;
            let found = input.get(&key);
            match (rule, found, condition.params.get("value")) {
                ("HAS_STRING_PROPERTY", Some(Input::Text(found)), _) => value.is_none_or(|value| {
                    *found == value
                        || is_caseless(action, &key) && found.to_lowercase() == value.to_lowercase()
                }),
                ("HAS_NUMBER_PROPERTY", Some(Input::Number(found)), value) => {
                    value.is_none_or(|value| *value == ConditionParam::Number(*found))
                }
                ("HAS_BOOLEAN_PROPERTY", Some(Input::Bool(found)), value) => {
                    value.is_none_or(|value| *value == ConditionParam::Bool(*found))
                }
                ("HAS_STRING_PROPERTY" | "HAS_NUMBER_PROPERTY" | "HAS_BOOLEAN_PROPERTY", ..) => {
                    false
                }
                _ => return None,
            }
        }
        (Facts::Task(user), "IS_TASK_OWNER") => {
            user.as_ref().is_some_and(|user| !user.is_empty() && texts("createdBy").contains(user))
        }
        (Facts::Role { owner, is_default }, "IS_OWNER") => {
            let owners = texts("owners");
            *is_default || owner.as_ref().is_some_and(|owner| owners.contains(owner))
        }
        _ => return None,
    })
}

fn has(found: Option<&Value>, value: Option<String>) -> bool {
    let Some(found) = found else { return false };
    let Some(value) = value.map(|value| value.to_lowercase()) else { return true };
    match found {
        Value::Set(values) => values.iter().any(|one| one.as_str() == Some(value.as_str())),
        one => one.as_str() == Some(value.as_str()),
    }
}

fn is_caseless(action: &str, key: &str) -> bool {
    let segments: Vec<&str> = action.split(':').collect();
    let integrations = ["gitlab", "github", "bitbucket", "bitbucketCloud", "bitbucketServer"];
    let keys = ["owner", "repoName", "projectId", "repoUrl"];
    segments.iter().any(|segment| integrations.contains(segment))
        && (keys.contains(&key) || segments.contains(&"group") && key == "path")
}
