//! The engine: an immutable snapshot of policies that decides requests.

use std::ops::ControlFlow;
use std::sync::Arc;

use cedar_policy::{Effect, EntityTypeName, EntityUid, Schema};
use cedar_policy_core::ast;
use cedar_policy_core::entities::conformance::EntitySchemaConformanceChecker;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::builder::EngineBuilder;
use crate::entities::Entities;
use crate::error::{DecideError, EntitiesError, RequestError, causes};
use crate::evaluate::{Evaluation, ResourceKnown, Shadow};
use crate::explain::{self, Explanation};
use crate::ground::Ground;
use crate::hash::{FastMap, FastSet, PersistentMap};
use crate::index::{Candidate, Candidates, Index, Visitor};
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::load::{GuardBinder, Template};
use crate::node::{EntitySymbols, Node};
use crate::outcome::{Outcome, Ruling};
use crate::policy::{ActionScope, EntityScope, PolicyInfo};
use crate::policy_list::PolicyList;
use crate::problem::Problem;
use crate::request::Request;
use crate::shape::Shapes;
use crate::source::Source;
use crate::symbols::Symbols;
use crate::view::EvalContext;

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

/// Cheap to clone: what an edit does not change is shared.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) policies: PolicyList,
    /// The texts that were loaded.
    pub(crate) sources: Arc<[Arc<Source>]>,
    pub(crate) templates: PersistentMap<SmolStr, Template>,
    /// Digests of all policies and templates.
    pub(crate) ledger: Ledger,
    pub(crate) symbols: Symbols,
    pub(crate) index: Option<Index>,
    pub(crate) schema: Option<Arc<Schema>>,
    pub(crate) shapes: Arc<Shapes>,
    /// The schema's actions with their groups; empty where Cedar takes them from the entities.
    pub(crate) actions: Arc<FastMap<EntityUid, Arc<EntitySymbols>>>,
    /// Entities that conditions name and may read.
    pub(crate) dereferenced: Arc<FastSet<EntityUid>>,
    /// The most steps from entity to entity that a condition makes.
    pub(crate) hops: usize,
    /// The schema's actions as Cedar's entities.
    pub(crate) action_entities: Arc<FastMap<EntityUid, Arc<ast::Entity>>>,
    pub(crate) exact: bool,
    pub(crate) shadow: Option<Arc<Shadow>>,
    pub(crate) limits: Limits,
    pub(crate) revision: String,
    pub(crate) warnings: Arc<[Problem]>,
    pub(crate) guards: GuardBinder,
    pub(crate) ground: Arc<Ground>,
}

impl Engine {
    /// Returns a builder, to load policies with.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Decides a request.
    ///
    /// Denied unless a permit is satisfied and no forbid is. A permit that cannot be
    /// evaluated is left out; a forbid that cannot be evaluated denies, unless the engine
    /// is in [exact-Cedar mode](EngineBuilder::exact_cedar).
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the request or the entities do not conform to the schema, or
    /// pass a limit. The request must then be refused.
    pub fn decide(&self, request: &Request, entities: &Entities) -> Result<Outcome, DecideError> {
        self.evaluated(request, entities, |evaluation| {
            let tally = evaluation.tally(self, |_| true)?;
            Ok(evaluation.outcome(self, tally, evaluation.guards(ResourceKnown::Yes)))
        })
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
        self.evaluated(request, entities, |evaluation| evaluation.ruling(self))
    }

    /// Checks a request and evaluates it.
    pub(crate) fn evaluated<R>(
        &self,
        request: &Request,
        entities: &Entities,
        evaluate: impl FnOnce(&Evaluation<'_, '_>) -> Result<R, DecideError>,
    ) -> Result<R, DecideError> {
        self.check(request, entities)?;
        let view = self.view(request, entities);
        evaluate(&Evaluation::new(&view, &self.0))
    }

    /// Checks that a request conforms to the schema. [`decide`](Self::decide) does so by itself,
    /// but not in [exact-Cedar mode](EngineBuilder::exact_cedar), where this is the way to ask.
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
        let view = self.view(request, entities);
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

    /// Returns whether the engine is in [exact-Cedar mode](EngineBuilder::exact_cedar).
    #[must_use]
    pub fn is_exact_cedar(&self) -> bool {
        self.0.exact
    }

    /// Returns the policies and template links, in order.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = PolicyInfo<'_>> {
        self.numbered_policies().map(|(_, policy)| policy)
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
        let groups: SmallVec<[u32; 32]> = actions
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

    pub(crate) fn policy(&self, number: u32) -> Option<PolicyInfo<'_>> {
        self.0.policies.get(number).map(|policy| PolicyInfo { policy })
    }

    /// Returns all policies with their numbers, in order.
    pub(crate) fn numbered_policies(&self) -> impl ExactSizeIterator<Item = (u32, PolicyInfo<'_>)> {
        self.0.policies.iter().map(|(number, policy)| (number, PolicyInfo { policy }))
    }

    pub(crate) fn view<'a>(
        &'a self,
        request: &'a Request,
        entities: &'a Entities,
    ) -> EvalContext<'a> {
        EvalContext::new(request, entities, &self.0)
    }

    /// Hands over the policies of an effect that can matter, until `take` breaks off. One may come
    /// more than once.
    pub(crate) fn walk(
        &self,
        effect: Effect,
        view: &EvalContext<'_>,
        mut take: impl Visitor,
    ) -> ControlFlow<()> {
        match &self.0.index {
            Some(index) => index.walk(effect, view, &mut take),
            None => self
                .0
                .policies
                .iter()
                .filter(|(_, policy)| policy.effect == effect)
                .try_for_each(|(number, _)| take(Candidate::new(number, false))),
        }
    }

    /// Returns the policies of an effect that can matter, in their order in the policy set.
    pub(crate) fn candidates(&self, effect: Effect, view: &EvalContext<'_>) -> Candidates {
        match &self.0.index {
            Some(index) => {
                let mut found = Candidates::new();
                index.candidates(effect, view, &mut found);
                found
            }
            None => self
                .0
                .policies
                .iter()
                .filter(|(_, policy)| policy.effect == effect)
                .map(|(number, _)| Candidate::new(number, false))
                .collect(),
        }
    }

    /// Returns the numbers of the policies that can matter, in their order in the policy set.
    pub(crate) fn all_candidates(&self, view: &EvalContext<'_>) -> Vec<u32> {
        let effects = [Effect::Forbid, Effect::Permit];
        let found = effects.into_iter().flat_map(|effect| self.candidates(effect, view));
        let mut numbers: Vec<u32> = found.map(Candidate::policy).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Checks limits and, in strict mode, that request and entities conform to the schema.
    pub(crate) fn check(&self, request: &Request, entities: &Entities) -> Result<(), DecideError> {
        request.check(&self.0.limits)?;
        if self.0.exact {
            return Ok(());
        }
        if !self.0.shapes.fits_request(request) {
            request.to_cedar(self.schema())?;
        }
        self.check_entities(entities)
    }

    /// Returns whether an entity is an action as the schema has it. Its direct parents are enough:
    /// the schema tells what these are members of.
    fn is_known_action(&self, node: &Node) -> bool {
        let actions = &self.0.action_entities;
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
        let Some(schema) = self.schema().filter(|_| !self.0.exact) else {
            return Ok(());
        };
        let core_schema = CoreSchema::new(schema.as_ref());
        let checker =
            EntitySchemaConformanceChecker::new(&core_schema, Extensions::all_available());
        let conforms = |node: &Node| -> Result<(), EntitiesError> {
            if self.0.shapes.fits_entity(node) || self.is_known_action(node) {
                return Ok(());
            }
            let entity = node.cedar()?;
            checker.validate_entity(&entity).map_err(|e| EntitiesError::Schema(causes(&e)))
        };
        let schema_number = self.0.ground.schema_number;
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

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("revision", &self.0.revision)
            .field("policies", &self.0.policies.len())
            .field("exact_cedar", &self.0.exact)
            .finish()
    }
}
