//! From a model to a request with its entities.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast::{EntityType, EntityUID};
use stagedoor_core::{Entities, Entity, EntityUid, Record, Request, Value};

use crate::atom::{Origin, Root, Step, TermId};
use crate::question::Question;
use crate::schema::{Fields, ValueType};
use crate::theory::{Model, fresh_entity, named_entities};

/// A request with the entities that belong to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Witness {
    /// The request.
    pub request: Request,
    /// The entities.
    pub entities: Entities,
    /// The attributes and tags that policies which were looked at speak of, by the entity; those of
    /// the context by nothing.
    pub(crate) mentioned: BTreeSet<(Option<EntityUid>, smol_str::SmolStr)>,
}

/// Makes the request that a model describes.
///
/// # Errors
///
/// The engine's reason, if it does not take the entities.
pub(crate) fn witness(question: &Question<'_>, model: &Model) -> Result<Witness, String> {
    Builder::new(question, model).build()
}

struct Builder<'a> {
    question: &'a Question<'a>,
    model: &'a Model,
    /// What is read from an entity, by the entity and the step.
    of_entity: BTreeMap<EntityUID, BTreeMap<&'a Step, TermId>>,
    /// What is read from a record, by its class and the step.
    of_record: BTreeMap<usize, BTreeMap<&'a Step, TermId>>,
    used: BTreeSet<EntityUID>,
}

impl<'a> Builder<'a> {
    fn new(question: &'a Question<'a>, model: &'a Model) -> Self {
        let mut builder = Self {
            question,
            model,
            of_entity: BTreeMap::new(),
            of_record: BTreeMap::new(),
            used: named_entities(&question.atoms),
        };
        for (term, of) in question.atoms.terms().iter().enumerate() {
            builder.used.extend(model.entity(term).cloned());
            let Origin::Step(parent, step) = &of.origin else { continue };
            let steps = match model.entity(*parent) {
                Some(uid) => builder.of_entity.entry(uid.clone()).or_default(),
                None => match model.class(*parent) {
                    Some(class) => builder.of_record.entry(class).or_default(),
                    None => continue,
                },
            };
            steps.entry(step).or_insert(term);
        }
        builder
    }

    fn build(mut self) -> Result<Witness, String> {
        let env = self.question.env;
        let principal = self.party(Root::Principal, &env.principal);
        let resource = self.party(Root::Resource, &env.resource);
        let mut request = Request::new(
            principal.clone().into(),
            env.action.clone().into(),
            resource.clone().into(),
        );
        let context = self.question.atoms.known_term(&Origin::Root(Root::Context));
        request.context = self.record(context, &env.context);
        let mut there: BTreeSet<EntityUID> = BTreeSet::new();
        for (root, uid) in [(Root::Principal, &principal), (Root::Resource, &resource)] {
            let term = self.question.atoms.known_term(&Origin::Root(root));
            if term.and_then(|term| self.model.exists(term)).unwrap_or(true) {
                there.insert(uid.clone());
            }
        }
        for term in 0..self.question.atoms.terms().len() {
            if self.model.exists(term) == Some(true) {
                there.extend(self.model.entity(term).cloned());
            }
        }
        there.extend(self.model.edges.iter().map(|(from, _)| from.clone()));
        let entities = there.into_iter().filter_map(|uid| self.entity(&uid)).collect::<Vec<_>>();
        let entities = Entities::from_entities(entities).map_err(|e| e.to_string())?;
        let name = |step: &Step| match step {
            Step::Attribute(name) | Step::Tag(name) => name.clone(),
        };
        let of_entity = self.of_entity.iter().flat_map(|(uid, steps)| {
            steps.keys().map(move |step| (Some(EntityUid::from(uid.clone())), name(step)))
        });
        let of_context = context.and_then(|term| self.model.class(term));
        let of_context = of_context.and_then(|class| self.of_record.get(&class));
        let of_context = of_context.into_iter().flatten().map(|(step, _)| (None, name(step)));
        let mentioned = of_entity.chain(of_context).collect();
        Ok(Witness { request, entities, mentioned })
    }

    fn party(&mut self, root: Root, name: &EntityType) -> EntityUID {
        let term = self.question.atoms.known_term(&Origin::Root(root));
        let known = term.and_then(|term| self.model.entity(term)).cloned();
        known.unwrap_or_else(|| fresh_entity(name, self.question.schema, &mut self.used))
    }

    /// Returns an entity with all that it must have; nothing for types that have no entities of
    /// their own, such as actions.
    fn entity(&mut self, uid: &EntityUID) -> Option<Entity> {
        let shape = self.question.schema.entity(uid.entity_type())?;
        let steps = self.of_entity.get(uid).cloned().unwrap_or_default();
        let mut entity = Entity::new(EntityUid::from(uid.clone()));
        entity.attributes = self.fields(&shape.fields, &steps);
        for (step, term) in &steps {
            if let (Step::Tag(name), true) = (step, self.model.is_present(*term)) {
                let ty = self.question.atoms.ty(*term).clone();
                let value = self.value(Some(*term), &ty);
                entity.tags.insert(name.clone(), value);
            }
        }
        for (_, to) in self.model.edges.iter().filter(|(from, _)| from == uid) {
            entity = entity.with_parent(to.clone().into());
        }
        Some(entity)
    }

    fn fields(&mut self, fields: &Fields, steps: &BTreeMap<&Step, TermId>) -> Record {
        let mut record = Record::new();
        for (name, field) in fields {
            let term = steps.get(&Step::Attribute(name.clone())).copied();
            if field.required || term.is_some_and(|term| self.model.is_present(term)) {
                record.insert(name.clone(), self.value(term, &field.ty));
            }
        }
        record
    }

    fn record(&mut self, term: Option<TermId>, fields: &Fields) -> Record {
        let class = term.and_then(|term| self.model.class(term));
        let steps = class.and_then(|class| self.of_record.get(&class)).cloned().unwrap_or_default();
        self.fields(fields, &steps)
    }

    fn value(&mut self, term: Option<TermId>, ty: &ValueType) -> Value {
        match ty {
            ValueType::Record(fields) => Value::Record(self.record(term, fields)),
            ValueType::Set(element) => {
                let set = term.and_then(|term| self.model.set(term)).cloned().unwrap_or_default();
                let mut members: Vec<Value> =
                    set.members.iter().map(|member| member.to_value(element)).collect();
                if set.more {
                    members.push(self.another(element, &set.named));
                }
                Value::Set(members)
            }
            ValueType::Entity(name) => {
                let uid = term.and_then(|term| self.model.entity(term)).cloned();
                let uid =
                    uid.unwrap_or_else(|| fresh_entity(name, self.question.schema, &mut self.used));
                Value::Entity(uid.into())
            }
            ty => match term.and_then(|term| self.model.scalar(term)) {
                Some(constant) => constant.to_value(ty),
                None => self.another(ty, &BTreeSet::new()),
            },
        }
    }

    /// Returns a value that nobody spoke of.
    fn another(&mut self, ty: &ValueType, used: &BTreeSet<crate::constant::Constant>) -> Value {
        match ty {
            ValueType::Entity(_) | ValueType::Record(_) | ValueType::Set(_) => self.value(None, ty),
            ValueType::Bool => Value::Bool(false),
            ty => match crate::theory::fresh(ty, used) {
                Some(constant) => constant.to_value(ty),
                // No value of a type that is not known conforms; the engine says so.
                None => Value::Set(Vec::new()),
            },
        }
    }
}
