//! The engine: an immutable snapshot of policies that decides requests.

use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid, Schema};
use smallvec::SmallVec;

use crate::entities::Entities;
use crate::error::{DecideError, RequestError};
use crate::evaluate::Evaluation;
use crate::explain::{self, Explanation};
use crate::limits::Limits;
use crate::number::EntityNumber;
use crate::outcome::{Outcome, Ruling};
use crate::policy::{ActionScope, EntityScope, PolicyInfo};
use crate::problem::Problem;
use crate::request::Request;
use crate::snapshot::Snapshot;

/// A policy set, its schema and its index, ready to decide.
///
/// Immutable and cheap to clone; share it between threads freely. To replace it while
/// decisions go on, keep it in an [`EngineHolder`](crate::EngineHolder).
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, Entity, Request};
///
/// let engine = Engine::builder()
///     .schema("app.cedarschema", "
///         entity Group; entity User in [Group];
///         entity Service { tier: String };
///         action deploy appliesTo { principal: User, resource: Service };")
///     .policies("app.cedar", r#"
///         @id("sre-deploys")
///         permit(principal in Group::"sre", action == Action::"deploy", resource)
///         when { resource.tier == "gold" };"#)
///     .build()?;
///
/// let alice = r#"User::"alice""#.parse()?;
/// let billing = r#"Service::"billing""#.parse()?;
/// let entities = Entities::from_entities([
///     Entity::new(alice).with_parent(r#"Group::"sre""#.parse()?),
///     Entity::new(billing).with_attribute("tier", "gold"),
/// ])?;
/// let request = Request::new(
///     r#"User::"alice""#.parse()?,
///     r#"Action::"deploy""#.parse()?,
///     r#"Service::"billing""#.parse()?,
/// );
/// let outcome = engine.decide(&request, &entities)?;
/// assert_eq!(outcome.decision(), Decision::Allow);
/// assert_eq!(outcome.reasons().map(|p| p.id()).collect::<Vec<_>>(), ["sre-deploys"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Snapshot>);

impl Engine {
    /// Decides a request.
    ///
    /// Denied unless a permit is satisfied and no forbid is. A permit that cannot be
    /// evaluated is left out; a forbid that cannot be evaluated denies, unless the engine
    /// is in [exact-Cedar mode](crate::EngineBuilder::exact_cedar).
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the request or the entities do not conform to the schema, or
    /// pass a limit. The request must then be refused.
    pub fn decide(&self, request: &Request, entities: &Entities) -> Result<Outcome, DecideError> {
        self.0.decide(request, entities)
    }

    /// Returns the decision about a request and one policy that determines it: as
    /// [`decide`](Self::decide) decides, but looking no further than that needs.
    ///
    /// # Errors
    ///
    /// As [`decide`](Self::decide).
    pub fn ruling(
        &self,
        request: &Request,
        entities: &Entities,
    ) -> Result<Ruling<'_>, DecideError> {
        self.0.evaluated(request, entities, |evaluation| evaluation.ruling(&self.0))
    }

    /// Checks that a request conforms to the schema. [`decide`](Self::decide) does so by itself,
    /// but not in [exact-Cedar mode](crate::EngineBuilder::exact_cedar), where this is the way to ask.
    ///
    /// # Errors
    ///
    /// [`RequestError::Schema`] if it does not conform; where there is no schema, all do.
    pub fn validate_request(&self, request: &Request) -> Result<(), RequestError> {
        request.to_cedar(self.schema()).map(drop)
    }

    /// Decides many requests about the same entities, each as [`decide`](Self::decide) would.
    #[must_use]
    pub fn decide_batch(
        &self,
        requests: &[Request],
        entities: &Entities,
    ) -> Vec<Result<Outcome, DecideError>> {
        requests.iter().map(|request| self.decide(request, entities)).collect()
    }

    /// Explains the decision about a request: what every policy that came into question says.
    ///
    /// Costs time in proportion to the number of policies.
    ///
    /// # Errors
    ///
    /// As [`decide`](Self::decide).
    pub fn explain(
        &self,
        request: &Request,
        entities: &Entities,
    ) -> Result<Explanation, DecideError> {
        let outcome = self.decide(request, entities)?;
        let view = self.0.view(request, entities);
        explain::explain(outcome, &Evaluation::new(&view, &self.0))
    }

    /// Returns the hash of everything that was loaded, in hexadecimal: equal for equal policies.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.0.revision
    }

    /// Returns the schema.
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.0.schema.as_deref()
    }

    /// Returns the limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns whether the engine is in [exact-Cedar mode](crate::EngineBuilder::exact_cedar).
    #[must_use]
    pub fn is_exact_cedar(&self) -> bool {
        self.0.exact
    }

    /// Returns the policies and template links, in order.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = PolicyInfo<'_>> {
        self.0.numbered_policies().map(|(_, policy)| policy)
    }

    /// Returns the texts that policies were read from, each with its
    /// [name](PolicyInfo::file).
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        let loaded = self.0.sources.iter();
        // An edit's text stands by itself, and belongs to one policy or template.
        let added = self.0.policies.added().filter(|policy| policy.slots.is_none());
        let templates = self.0.templates.values().map(|template| &template.body);
        let added = added.map(|policy| &policy.body).chain(templates);
        let added = added.map(|body| &body.origin.source);
        let added =
            added.filter(|own| !self.0.sources.iter().any(|source| Arc::ptr_eq(source, own)));
        loaded.chain(added).map(|source| (source.name.as_ref(), source.text.as_ref()))
    }

    /// Returns the policies whose scope matches one of `actions` and some resource of a type,
    /// whoever asks.
    pub fn policies_about(
        &self,
        actions: &[EntityUid],
        resource_type: &EntityTypeName,
    ) -> impl Iterator<Item = PolicyInfo<'_>> {
        let groups: SmallVec<[EntityNumber; 32]> = actions
            .iter()
            .filter_map(|action| self.0.actions.get(action))
            .flat_map(|interned| interned.ids.iter().copied())
            .collect();
        let type_number = self.0.symbols.type_(resource_type);
        self.policies().filter(move |info| {
            let on_type = match &info.policy.resource {
                EntityScope::Is(type_) | EntityScope::IsIn(type_, _) => type_number == Some(*type_),
                EntityScope::Any | EntityScope::Eq(_) | EntityScope::In(_) => true,
            };
            on_type
                && match &info.policy.action {
                    ActionScope::Any => true,
                    ActionScope::Eq(uid) => groups.contains(uid),
                    ActionScope::In(uids) => uids.iter().any(|uid| groups.contains(uid)),
                }
        })
    }

    /// Returns what Cedar's validator warned of while loading.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.0.warnings
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("revision", &self.0.revision)
            .field("policies", &self.0.policies.len())
            .field("exact_cedar", &self.0.exact)
            .finish()
    }
}
