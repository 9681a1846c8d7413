//! The names of a schema as callers say them.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_core::{Engine, EntityTypeName, EntityUid, entity_uid};

use crate::conformance::{Fields, Shape, fields};
use crate::mapping::Mapping;

/// Types and actions by AuthZEN's names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    types: BTreeMap<String, EntityTypeName>,
    shapes: BTreeMap<EntityTypeName, Fields>,
    actions: BTreeMap<String, ActionName>,
    /// Actions that the mapping names: lists call them by no other name.
    mapped: BTreeSet<EntityUid>,
    mapped_names: BTreeSet<String>,
}

/// What a name of an action stands for.
#[derive(Debug)]
enum ActionName {
    One(Box<Action>),
    /// Actions in several namespaces have this id.
    Several(Vec<EntityUid>),
}

/// An action, with what it applies to.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) uid: EntityUid,
    pub(crate) principals: BTreeSet<EntityTypeName>,
    pub(crate) resources: BTreeSet<EntityTypeName>,
    pub(crate) context: Fields,
}

/// A name that stands for nothing, or for too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("the schema declares no type `{0}`")]
    Type(String),
    #[error("the schema declares no action `{0}`")]
    Action(String),
    #[error("action `{name}` may be {}; name one in the mapping", list(candidates))]
    Ambiguous { name: String, candidates: Vec<EntityUid> },
}

/// A mapping that does not fit the schema.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NamesError {
    /// A type that the schema does not declare.
    #[error("the mapping has type `{name}` for `{type_}`, which the schema does not declare")]
    Type {
        /// AuthZEN's type.
        name: String,
        /// Cedar's, as the mapping has it.
        type_: String,
    },
    /// An action that the schema does not declare.
    #[error("the mapping has action `{name}` for `{action}`, which the schema does not declare")]
    Action {
        /// AuthZEN's name.
        name: String,
        /// Cedar's action, as the mapping has it.
        action: String,
    },
    /// A namespace in which the schema declares nothing.
    #[error("the mapping has namespace `{0}`, in which the schema declares nothing")]
    Namespace(String),
    /// There is no schema.
    #[error("policies are served with a schema; give one beside them")]
    SchemaMissing,
}

fn list(candidates: &[EntityUid]) -> String {
    let names: Vec<_> = candidates.iter().map(|uid| format!("`{uid}`")).collect();
    names.join(" or ")
}

impl Names {
    pub(crate) fn new(engine: &Engine, mapping: &Mapping) -> Result<Self, NamesError> {
        let schema = engine.schema().ok_or(NamesError::SchemaMissing)?;
        let core = schema.as_ref();
        let mut names = Self::default();
        for name in schema.entity_types() {
            let Some(type_) = core.get_entity_type(name.as_ref()) else { continue };
            names.types.insert(name.to_string(), name.clone());
            names.shapes.insert(name.clone(), fields(type_.attributes()));
        }
        let mut actions: BTreeMap<EntityUid, Action> = BTreeMap::new();
        for uid in schema.actions() {
            let Some(action) = core.get_action_id(uid.as_ref()) else { continue };
            let context = match action.context_type() {
                Some(cedar_policy_core::validator::types::Type::Record { attrs, .. }) => {
                    fields(attrs)
                }
                _ => Fields::new(),
            };
            let action = Action {
                uid: uid.clone(),
                principals: action.principals().map(|name| name.clone().into()).collect(),
                resources: action.resources().map(|name| name.clone().into()).collect(),
                context,
            };
            actions.insert(uid.clone(), action);
        }
        for action in actions.values() {
            let id = action.uid.id().unescaped().to_owned();
            match names.actions.remove(&id) {
                None => names.actions.insert(id, ActionName::One(Box::new(action.clone()))),
                Some(ActionName::One(other)) => {
                    let several = vec![other.uid.clone(), action.uid.clone()];
                    names.actions.insert(id, ActionName::Several(several))
                }
                Some(ActionName::Several(mut several)) => {
                    several.push(action.uid.clone());
                    names.actions.insert(id, ActionName::Several(several))
                }
            };
        }
        names.map(mapping, &actions)?;
        Ok(names)
    }

    fn map(
        &mut self,
        mapping: &Mapping,
        actions: &BTreeMap<EntityUid, Action>,
    ) -> Result<(), NamesError> {
        if let Some(namespace) = &mapping.namespace {
            let within = |full: &str| {
                full.strip_prefix(namespace.as_str())
                    .and_then(|rest| rest.strip_prefix("::"))
                    .filter(|name| !name.contains("::"))
                    .map(str::to_owned)
            };
            let types: Vec<_> = self.types.values().cloned().collect();
            let mut has_any = false;
            for type_ in types {
                if let Some(name) = within(&type_.to_string()) {
                    self.types.insert(name, type_);
                    has_any = true;
                }
            }
            for action in actions.values() {
                if within(&action.uid.type_name().to_string()).is_some() {
                    let id = action.uid.id().unescaped().to_owned();
                    self.actions.insert(id, ActionName::One(Box::new(action.clone())));
                    has_any = true;
                }
            }
            if !has_any {
                return Err(NamesError::Namespace(namespace.clone()));
            }
        }
        for (name, type_) in &mapping.types {
            let wrong = || NamesError::Type { name: name.clone(), type_: type_.clone() };
            let parsed: EntityTypeName = type_.parse().map_err(|_| wrong())?;
            if !self.shapes.contains_key(&parsed) {
                return Err(wrong());
            }
            self.types.insert(name.clone(), parsed);
        }
        for (name, uid) in &mapping.actions {
            let wrong = || NamesError::Action { name: name.clone(), action: uid.clone() };
            let uid = entity_uid(uid).ok_or_else(wrong)?;
            let action = actions.get(&uid).ok_or_else(wrong)?;
            self.mapped.insert(uid);
            self.mapped_names.insert(name.clone());
            self.actions.insert(name.clone(), ActionName::One(Box::new(action.clone())));
        }
        Ok(())
    }

    /// Returns the entity type that a type stands for, if the schema declares it.
    pub(crate) fn entity_type(&self, name: &str) -> Option<&EntityTypeName> {
        self.types.get(name)
    }

    /// Returns what the attributes of entities of a type may be.
    pub(crate) fn shape(&self, type_: &EntityTypeName) -> Option<&Fields> {
        self.shapes.get(type_)
    }

    pub(crate) fn type_or_error(&self, name: &str) -> Result<&EntityTypeName, NameError> {
        self.entity_type(name).ok_or_else(|| NameError::Type(name.to_owned()))
    }

    /// Returns the action that a name stands for.
    pub(crate) fn action(&self, name: &str) -> Result<&Action, NameError> {
        match self.actions.get(name) {
            Some(ActionName::One(action)) => Ok(action),
            Some(ActionName::Several(candidates)) => {
                Err(NameError::Ambiguous { name: name.to_owned(), candidates: candidates.clone() })
            }
            None => Err(NameError::Action(name.to_owned())),
        }
    }

    /// Returns the actions that have a name, sorted by name: the mapping's names, or else the id.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (&str, &Action)> {
        let is_listed = |name: &String, action: &Action| {
            self.mapped_names.contains(name) || !self.mapped.contains(&action.uid)
        };
        self.actions.iter().filter_map(move |(name, named)| match named {
            ActionName::One(action) if is_listed(name, action) => {
                Some((name.as_str(), action.as_ref()))
            }
            ActionName::One(_) | ActionName::Several(_) => None,
        })
    }

    /// Returns the names that a mapping is needed for.
    pub(crate) fn ambiguous(&self) -> impl Iterator<Item = NameError> {
        self.actions.iter().filter_map(|(name, named)| match named {
            ActionName::One(_) => None,
            ActionName::Several(candidates) => {
                let candidates = candidates.clone();
                Some(NameError::Ambiguous { name: name.clone(), candidates })
            }
        })
    }
}

impl Action {
    /// Returns where in the context the action's properties are, if it declares a record there.
    pub(crate) fn properties_shape(&self, key: &str) -> Option<&Fields> {
        self.context.iter().find_map(|(name, shape)| match shape {
            Shape::Record(fields) if name == key => Some(fields),
            _ => None,
        })
    }
}
