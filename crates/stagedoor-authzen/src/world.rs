//! What questions are answered by: policies, entities and names, as one that is replaced as a whole.

use smol_str::SmolStr;
use stagedoor_core::{
    DecideError, Decision, Engine, Entities, EntitiesError, EntityIndex, EntityUid, ListError,
    Outcome, Record, Request, Value,
};

use crate::mapping::{Mapping, PropertiesPrecedence};
use crate::names::{Action, NameError, Names, NamesError};
use crate::query::{ActionRef, EntityRef, Query};
use crate::reader::{Reader, ValueError, uid};

/// Policies with their schema, entities, and what AuthZEN's names stand for.
///
/// Immutable; share it between threads freely.
pub struct World {
    pub(crate) engine: Engine,
    pub(crate) entities: Entities,
    pub(crate) names: Names,
    action_properties: SmolStr,
    precedence: PropertiesPrecedence,
}

/// Failure to make a world.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The mapping does not fit the schema.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// The entities do not conform to the schema.
    #[error("entities do not conform to the schema: {0}")]
    Entities(#[source] DecideError),
}

/// What came of one question.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The engine's answer, or why there is none: a denial.
    pub(crate) outcome: Result<Outcome, Undecidable>,
    /// The paths of what was sent and is not declared, and how many more there are.
    pub(crate) pruned: (Vec<String>, usize),
}

/// A question that the policies cannot be asked: it is answered with a denial.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Undecidable {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("subject and resource are one entity, and give `{0}` different values")]
    Contradiction(SmolStr),
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    #[error(transparent)]
    Decide(#[from] DecideError),
    #[error(transparent)]
    List(ListError),
}

impl Undecidable {
    /// Returns a stable code for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Name(NameError::Type(_)) => "authzen::unknown-type",
            Self::Name(NameError::Action(_)) => "authzen::unknown-action",
            Self::Name(NameError::Ambiguous { .. }) => "authzen::ambiguous-action",
            Self::Value(_) => "authzen::value",
            Self::Contradiction(_) => "authzen::contradiction",
            Self::Entities(error) => error.code(),
            Self::Decide(error) => error.code(),
            Self::List(_) => "request::refused",
        }
    }
}

impl Verdict {
    pub(crate) fn decision(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|outcome| outcome.decision() == Decision::Allow)
    }
}

/// An entity with what was sent of it.
pub(crate) struct EntityInput {
    pub(crate) uid: EntityUid,
    pub(crate) attributes: Record,
}

impl World {
    /// Returns a world.
    ///
    /// # Errors
    ///
    /// [`WorldError`] if the mapping or the entities do not fit the schema.
    pub fn new(engine: Engine, entities: Entities, mapping: &Mapping) -> Result<Self, WorldError> {
        let names = Names::new(&engine, mapping)?;
        Ok(Self {
            engine,
            entities,
            names,
            action_properties: mapping.action_properties.as_str().into(),
            precedence: mapping.properties,
        })
    }

    /// Checks the stored entities, and makes what searches are answered by: without this, the first
    /// search of a kind does, which takes far longer than the search. [`AuthZen`](crate::AuthZen) does
    /// so before a world is in force.
    ///
    /// # Errors
    ///
    /// [`WorldError::Entities`] if the entities do not conform to the schema.
    pub fn index_entities(&self) -> Result<EntityIndex, WorldError> {
        self.engine.index_entities(&self.entities).map_err(WorldError::Entities)
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the stored entities.
    #[must_use]
    pub fn entities(&self) -> &Entities {
        &self.entities
    }

    /// Returns, for each action that no name stands for, what would make it clear.
    pub fn ambiguities(&self) -> impl Iterator<Item = String> {
        self.names.ambiguous().map(|error| error.to_string())
    }

    /// Answers one question.
    pub(crate) fn decide(&self, query: &Query<'_>) -> Verdict {
        let mut reader = Reader::new(&self.names);
        let outcome = self.outcome(query, &mut reader);
        Verdict { outcome, pruned: reader.into_pruned() }
    }

    fn outcome(&self, query: &Query<'_>, reader: &mut Reader<'_>) -> Result<Outcome, Undecidable> {
        let subject = self.sent("subject", query.subject, reader)?;
        let resource = self.sent("resource", query.resource, reader)?;
        let action = self.names.action(query.action.name)?;
        let context = self.context(action, query.action, query.context, reader)?;
        let entities = self.with(&subject, &resource)?;
        let mut request = Request::new(subject.uid, action.uid.clone(), resource.uid);
        request.context = context;
        Ok(self.engine.decide(&request, &entities)?)
    }

    /// Returns an entity with the attributes that were sent and are declared.
    pub(crate) fn sent(
        &self,
        what: &str,
        entity: EntityRef<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<EntityInput, Undecidable> {
        let type_ = self.names.type_or_error(entity.type_)?;
        let attributes = match (entity.properties, self.names.shape(type_)) {
            (Some(properties), Some(fields)) => {
                reader.record(fields, properties, &format!("{what}.properties"))?
            }
            _ => Record::new(),
        };
        Ok(EntityInput { uid: uid(type_, entity.id), attributes })
    }

    /// Returns the context, with the properties of the action where they have their place.
    pub(crate) fn context(
        &self,
        action: &Action,
        given: ActionRef<'_>,
        context: Option<&crate::json::Object>,
        reader: &mut Reader<'_>,
    ) -> Result<Record, Undecidable> {
        let key = self.action_properties.as_str();
        let Some(shape) = action.properties_shape(key) else {
            for name in given.properties.into_iter().flat_map(|p| p.keys()) {
                reader.prune(|| format!("action.properties.{name}"));
            }
            let empty = crate::json::Object::new();
            return Ok(reader.record(&action.context, context.unwrap_or(&empty), "context")?);
        };
        // INVARIANT: this key holds what the action was sent with, and nothing from the context:
        // neither can pass for the other.
        let mut own = context.cloned().unwrap_or_default();
        if own.remove(key).is_some() {
            reader.prune(|| format!("context.{key}"));
        }
        let mut record = reader.record(&action.context, &own, "context")?;
        if let Some(properties) = given.properties {
            let value = reader.record(shape, properties, "action.properties")?;
            record.insert(self.action_properties.clone(), Value::Record(value));
        }
        Ok(record)
    }

    /// Returns the stored entities with what was sent laid over them.
    pub(crate) fn with(
        &self,
        subject: &EntityInput,
        resource: &EntityInput,
    ) -> Result<Entities, Undecidable> {
        if subject.uid == resource.uid {
            let differs = |(name, value): &(&SmolStr, &Value)| {
                resource.attributes.get(*name).is_some_and(|other| other != *value)
            };
            if let Some((name, _)) = subject.attributes.iter().find(differs) {
                return Err(Undecidable::Contradiction(name.clone()));
            }
        }
        let entities = self.lay_over(&self.entities, subject)?;
        Ok(self.lay_over(&entities, resource)?)
    }

    fn lay_over(&self, entities: &Entities, sent: &EntityInput) -> Result<Entities, EntitiesError> {
        let stored = match self.precedence {
            PropertiesPrecedence::EntityInput => None,
            PropertiesPrecedence::Stored => self.entities.get(&sent.uid),
        };
        let counts = |name: &SmolStr| stored.is_none_or(|e| !e.attributes.contains_key(name));
        let attributes: Vec<_> = sent
            .attributes
            .iter()
            .filter(|(name, _)| counts(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // Nothing of an entity that is not stored: it stays without attributes, as in Cedar.
        if attributes.is_empty() {
            return Ok(entities.clone());
        }
        entities.with_attributes(&sent.uid, attributes)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("engine", &self.engine)
            .field("entities", &self.entities.len())
            .finish_non_exhaustive()
    }
}
