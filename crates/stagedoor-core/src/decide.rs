//! From a request to its outcome: checked, evaluated, and guards asked.

use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast;
use cedar_policy_core::entities::conformance::EntitySchemaConformanceChecker;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;

use crate::entities::Entities;
use crate::error::{DecideError, EntitiesError, error_chain};
use crate::evaluate::{Evaluation, ResourceKnown};
use crate::hash::FastSet;
use crate::node::Node;
use crate::outcome::Outcome;
use crate::request::Request;
use crate::snapshot::Snapshot;

impl Snapshot {
    /// As [`Engine::decide`](crate::Engine::decide).
    pub(crate) fn decide(
        self: &Arc<Self>,
        request: &Request,
        entities: &Entities,
    ) -> Result<Outcome, DecideError> {
        self.evaluated(request, entities, |evaluation| {
            let tally = evaluation.tally(|_| true)?;
            Ok(evaluation.outcome(tally, evaluation.guards(ResourceKnown::Yes)))
        })
    }

    /// Checks a request and evaluates it.
    pub(crate) fn evaluated<R>(
        self: &Arc<Self>,
        request: &Request,
        entities: &Entities,
        evaluate: impl FnOnce(&Evaluation<'_, '_>) -> Result<R, DecideError>,
    ) -> Result<R, DecideError> {
        self.check(request, entities)?;
        let view = self.view(request, entities);
        evaluate(&Evaluation::new(&view, self))
    }

    /// Checks limits and, in strict mode, that request and entities conform to the schema.
    pub(crate) fn check(&self, request: &Request, entities: &Entities) -> Result<(), DecideError> {
        request.check(&self.limits)?;
        if self.exact {
            return Ok(());
        }
        if !self.shapes.fits_request(request) {
            request.to_cedar(self.schema.as_deref())?;
        }
        self.check_entities(entities)
    }

    /// Returns whether an entity is an action as the schema has it. Its direct parents are enough:
    /// the schema tells what these are members of.
    fn is_known_action(&self, node: &Node) -> bool {
        let actions = &self.action_entities;
        let Some(action) = actions.get(&node.entity.uid) else { return false };
        let above = |uid: &Arc<EntityUid>| {
            actions.get(uid.as_ref()).into_iter().flat_map(|action| action.ancestors())
        };
        let given: FastSet<&ast::EntityUID> = node
            .ancestors
            .iter()
            .flat_map(|uid| std::iter::once(AsRef::as_ref(uid.as_ref())).chain(above(uid)))
            .collect();
        node.entity.attributes.is_empty()
            && node.entity.tags.is_empty()
            && action.attrs().next().is_none()
            && given == action.ancestors().collect()
    }

    /// Checks that entities conform to the schema, in strict mode.
    pub(crate) fn check_entities(&self, entities: &Entities) -> Result<(), DecideError> {
        let Some(schema) = self.schema.as_deref().filter(|_| !self.exact) else {
            return Ok(());
        };
        let core_schema = CoreSchema::new(schema.as_ref());
        let checker =
            EntitySchemaConformanceChecker::new(&core_schema, Extensions::all_available());
        let conforms = |node: &Node| -> Result<(), EntitiesError> {
            if self.shapes.fits_entity(node) || self.is_known_action(node) {
                return Ok(());
            }
            let entity = node.cedar()?;
            checker.validate_entity(&entity).map_err(|e| EntitiesError::Schema(error_chain(&e)))
        };
        let schema_number = self.ground.schema_number;
        // INVARIANT: what is remembered as conforming was checked by this schema: numbers of schemas
        // are given out once, and a schema that is loaded again is another.
        entities.check_stored(schema_number, conforms)?;
        for node in entities.added() {
            if !node.conforms(schema_number) {
                conforms(node)?;
                node.set_conforms(schema_number);
            }
        }
        Ok(())
    }
}
