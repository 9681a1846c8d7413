//! Handles of an engine: what is the same for many requests, looked up once, and decided with.

use cedar_policy::{EntityTypeName, EntityUid};

use crate::context::EvalContext;
use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::{DecideError, RequestError};
use crate::evaluate::{Evaluation, ResourceKnown};
use crate::hash::FastSet;
use crate::outcome::{Outcome, Ruling};
use crate::prepared::{
    Action, ContextType, PreparedRequest, Principal, ResourceType, StoredResource,
};
use crate::snapshot::Snapshot;
use crate::symbols::Step;

impl Engine {
    /// Returns a handle for a principal, whose groups and other entities are among `entities`.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the entities do not conform to the schema, or the id is too long.
    pub fn principal(
        &self,
        uid: &EntityUid,
        entities: &Entities,
    ) -> Result<Principal, DecideError> {
        self.check_known(uid, entities)?;
        Ok(Principal::new(uid, entities, &self.0.symbols))
    }

    fn check_known(&self, uid: &EntityUid, entities: &Entities) -> Result<(), DecideError> {
        let (given, limit) = (uid.id().unescaped().len(), self.0.limits.string_bytes);
        if given > limit {
            return Err(RequestError::StringTooLong { given, limit }.into());
        }
        self.0.check_entities(entities)
    }

    /// Returns a handle for an action.
    ///
    /// # Errors
    ///
    /// [`RequestError::Schema`] if the schema does not have the action, but not in
    /// [exact-Cedar mode](crate::EngineBuilder::exact_cedar).
    pub fn action(&self, uid: &EntityUid) -> Result<Action, RequestError> {
        let (given, limit) = (uid.id().unescaped().len(), self.0.limits.string_bytes);
        if given > limit {
            return Err(RequestError::StringTooLong { given, limit });
        }
        let interned = self.0.actions.get(uid).cloned();
        if interned.is_none() && !self.0.exact {
            return Err(RequestError::Schema(format!("action `{uid}` is not in the schema")));
        }
        Ok(Action::new(uid, &self.0.symbols, interned, self.0.shapes.action(uid)))
    }

    /// Returns a handle for a type of resources, each of which will be given these attributes
    /// and then these tags, in this order.
    ///
    /// # Errors
    ///
    /// [`RequestError::ResourceType`] if a name is given twice or, but not in
    /// [exact-Cedar mode](crate::EngineBuilder::exact_cedar), the schema does not have the
    /// type, an attribute, or tags for it.
    pub fn resource_type(
        &self,
        name: &EntityTypeName,
        attributes: &[&str],
        tags: &[&str],
    ) -> Result<ResourceType, RequestError> {
        let attributes = attributes.iter().map(|name| Step::Attribute((*name).into()));
        let steps: Vec<Step> =
            attributes.chain(tags.iter().map(|name| Step::Tag((*name).into()))).collect();
        let refused =
            |reason: String| RequestError::ResourceType { name: name.to_string(), reason };
        let mut seen = FastSet::default();
        if let Some(twice) = steps.iter().find(|step| !seen.insert(*step)) {
            return Err(refused(format!("{twice} is named twice")));
        }
        let Snapshot { symbols, shapes, schema, .. } = self.0.as_ref();
        let shape = shapes.entity(name);
        let is_known = schema.as_ref().is_some_and(|schema| schema.ancestors(name).is_some());
        if !self.0.exact && !is_known {
            return Err(refused("the schema does not have it".to_owned()));
        }
        ResourceType::new(name, &steps, symbols, shape, self.0.exact).map_err(refused)
    }

    /// Returns a handle for a resource that is among `entities`, as the principals of its requests
    /// are.
    ///
    /// # Errors
    ///
    /// As [`principal`](Self::principal).
    pub fn stored_resource(
        &self,
        uid: &EntityUid,
        entities: &Entities,
    ) -> Result<StoredResource, DecideError> {
        self.check_known(uid, entities)?;
        Ok(StoredResource::new(uid, entities, &self.0.symbols))
    }

    /// Returns a handle for the contexts of an action's requests, each of which will be given these
    /// fields in this order.
    ///
    /// # Errors
    ///
    /// [`RequestError::Context`] if a name is given twice or, but not in
    /// [exact-Cedar mode](crate::EngineBuilder::exact_cedar), the schema does not have a field.
    pub fn context_type(
        &self,
        action: &Action,
        fields: &[&str],
    ) -> Result<ContextType, RequestError> {
        let steps: Vec<Step> = fields.iter().map(|name| Step::Attribute((*name).into())).collect();
        let mut seen = FastSet::default();
        if let Some(twice) = steps.iter().find(|step| !seen.insert(*step)) {
            return Err(RequestError::Context(format!("{twice} is named twice")));
        }
        let Snapshot { symbols, shapes, .. } = self.0.as_ref();
        let shape = shapes.action(action.uid()).map(AsRef::as_ref);
        ContextType::new(action.uid(), &steps, symbols, shape, self.0.exact)
            .map_err(|reason| RequestError::Context(format!("action `{}`: {reason}", action.uid())))
    }

    /// Decides a prepared request: as [`decide`](Self::decide), with the same checks.
    ///
    /// # Errors
    ///
    /// As [`decide`](Self::decide).
    pub fn decide_prepared(&self, asked: &PreparedRequest<'_>) -> Result<Outcome, DecideError> {
        self.evaluated_prepared(asked, |evaluation| {
            let tally = evaluation.tally(|_| true)?;
            Ok(evaluation.outcome(tally, evaluation.guards(ResourceKnown::Yes)))
        })
    }

    /// Returns the decision about a prepared request and one policy that determines it: as
    /// [`ruling`](Self::ruling), with the same checks. The fastest way to a decision.
    ///
    /// # Errors
    ///
    /// As [`decide`](Self::decide).
    pub fn ruling_prepared(&self, asked: &PreparedRequest<'_>) -> Result<Ruling<'_>, DecideError> {
        self.evaluated_prepared(asked, |evaluation| evaluation.ruling(&self.0))
    }

    fn evaluated_prepared<R>(
        &self,
        asked: &PreparedRequest<'_>,
        evaluate: impl FnOnce(&Evaluation<'_, '_>) -> Result<R, DecideError>,
    ) -> Result<R, DecideError> {
        let snapshot = &self.0;
        if let Some(bound) = asked.bound(&snapshot.symbols, &snapshot.limits, snapshot.exact) {
            let view =
                EvalContext::prepared(asked, bound, &snapshot.symbols, &snapshot.action_entities);
            return evaluate(&Evaluation::new(&view, snapshot));
        }
        let (request, entities) = asked.whole()?;
        snapshot.evaluated(request, entities, evaluate)
    }
}

impl Action {
    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }
}

impl Principal {
    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }
}

impl ResourceType {
    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }
}

impl StoredResource {
    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }
}

impl ContextType {
    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }
}
