//! Questions about requests of which parts are not known, and lists of what a store allows.
//!
//! [`Engine::query`] reduces the policies that may matter to what is left of them;
//! [`Engine::list`] finds the entities of a store, or the actions, for which the answer is yes.

mod answer;
mod list;
mod partial;
mod question;

use std::sync::Arc;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use cedar_policy_core::ast;
use cedar_policy_core::validator::types::Type;

use crate::context::EvalContext;
use crate::engine::Engine;
use crate::entities::Entities;
use crate::entity::Entity;
use crate::error::{DecideError, RequestError, error_chain};
use crate::evaluate::Evaluation;
use crate::partial::{PartialValue, boolean};
use crate::policy::{EntityScope, PolicyInfo};
use crate::request::{Request, cedar_context};
use crate::symbols::Var;
use crate::value::Record;

use crate::unknown::{Extent, Unknown};
pub use answer::{QueryAnswer, QueryCondition, QueryResidual};
pub use list::{EntityIndex, ListEntry, ListError, ListPage, Page};
use partial::{Partial, UnknownType};
pub use question::{PartialContext, Party, Query};

impl Engine {
    /// Reduces the policies that may matter to a request of which parts are not known.
    ///
    /// There is an answer for each action that is asked about: for the one that the query names,
    /// or else for every one that applies to its principal and resource, in the order of their
    /// ids. Guards are not asked; what is left of a policy tells which it has.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if what is known of the request, or the entities, do not conform to the
    /// schema; and without a schema where no action is named.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Engine, Entities, Entity, Party, Query, QueryCondition, uid};
    ///
    /// let engine = Engine::builder()
    ///     .schema("app.cedarschema", "
    ///         entity User { team: String };
    ///         entity Doc { team: String };
    ///         action read appliesTo { principal: User, resource: Doc };")
    ///     .policies("app.cedar", r#"
    ///         @id("own-team") permit(principal, action == Action::"read", resource)
    ///         when { resource.team == principal.team };"#)
    ///     .build()?;
    /// let alice = uid("User", "alice")?;
    /// let entities =
    ///     Entities::from_entities([Entity::new(alice.clone()).with_attribute("team", "red")])?;
    /// let answers = engine.query(&Query::new(alice, Party::Any("Doc".parse()?)), &entities)?;
    /// let [answer] = answers.as_slice() else { panic!("one action") };
    /// assert_eq!(answer.decision(), None);
    /// let QueryCondition::If(condition) = &answer.residuals()[0].condition else { panic!() };
    /// assert_eq!(condition.to_string(), r#"resource.team == "red""#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn query(
        &self,
        query: &Query,
        entities: &Entities,
    ) -> Result<Vec<QueryAnswer<'_>>, DecideError> {
        let actions = self.actions_of(query)?;
        let question = Question::new(self, query, entities)?;
        actions.into_iter().map(|action| question.about(action)).collect()
    }

    /// Returns the actions that a query is about: that one it names, or all that apply.
    pub(crate) fn actions_of(&self, query: &Query) -> Result<Vec<EntityUid>, DecideError> {
        if let Some(action) = &query.action {
            return Ok(vec![action.clone()]);
        }
        let schema = self.schema().ok_or(DecideError::SchemaMissing)?;
        let core = schema.as_ref();
        let types: [&ast::EntityType; 2] =
            [query.principal.type_name().as_ref(), query.resource.type_name().as_ref()];
        let [principal, resource] = types;
        let applies = |uid: &&EntityUid| {
            core.get_action_id((*uid).as_ref()).is_some_and(|action| {
                action.principals().any(|type_| type_ == principal)
                    && action.resources().any(|type_| type_ == resource)
            })
        };
        let mut actions: Vec<EntityUid> = schema.actions().filter(applies).cloned().collect();
        actions.sort_unstable();
        Ok(actions)
    }

    /// Returns whether requests for an action must have something in their context.
    #[must_use]
    pub fn requires_context(&self, action: &EntityUid) -> bool {
        let action = self.schema().and_then(|s| s.as_ref().get_action_id(action.as_ref()));
        match action.and_then(|action| action.context_type()) {
            Some(Type::Record { attrs, .. }) => attrs.iter().any(|(_, attr)| attr.is_required),
            _ => false,
        }
    }

    /// Returns the types of the principals and of the resources that an action applies to, each
    /// sorted by name; `None` for an action that the schema does not declare.
    #[must_use]
    pub fn applies_to(
        &self,
        action: &EntityUid,
    ) -> Option<(Vec<EntityTypeName>, Vec<EntityTypeName>)> {
        let action = self.schema()?.as_ref().get_action_id(action.as_ref())?;
        let sorted = |types: &mut dyn Iterator<Item = &ast::EntityType>| {
            let mut names: Vec<EntityTypeName> = types.map(|name| name.clone().into()).collect();
            names.sort_unstable_by_key(ToString::to_string);
            names.dedup();
            names
        };
        Some((sorted(&mut action.principals()), sorted(&mut action.resources())))
    }
}

/// A query with an entity for each party that is not known.
pub(crate) struct Question<'e> {
    engine: &'e Engine,
    entities: Entities,
    principal: EntityUid,
    resource: EntityUid,
    context: Record,
    unknown: Unknown,
    typed: [UnknownType; 2],
}

impl<'e> Question<'e> {
    pub(crate) fn new(
        engine: &'e Engine,
        query: &Query,
        entities: &Entities,
    ) -> Result<Self, DecideError> {
        engine.0.check_entities(entities)?;
        let mut stored = entities.clone();
        let mut unknown = Unknown::default();
        let principal = stand_in(&query.principal, &mut stored, &mut unknown.principal)?;
        let resource = stand_in(&query.resource, &mut stored, &mut unknown.resource)?;
        let context = match &query.context {
            PartialContext::Known(context) => context.clone(),
            PartialContext::Partly(context) => {
                unknown.context = Extent::Only(context.keys().cloned().collect());
                context.clone()
            }
            PartialContext::Unknown => {
                unknown.context = Extent::Only(Box::default());
                Record::new()
            }
        };
        let typed = [&query.principal, &query.resource].map(|party| UnknownType {
            name: party.type_name().clone(),
            above: engine.schema().filter(|_| !engine.is_exact_cedar()).map(|schema| {
                schema.ancestors(party.type_name()).into_iter().flatten().cloned().collect()
            }),
        });
        Ok(Self { engine, entities: stored, principal, resource, context, unknown, typed })
    }

    /// Returns what is left of the policies for one action.
    pub(crate) fn about(&self, action: EntityUid) -> Result<QueryAnswer<'e>, DecideError> {
        let request = self.request(action);
        self.check(&request)?;
        let view = self.view(&request);
        let evaluation = Evaluation::new(&view, &self.engine.0);
        let mut residuals = Vec::new();
        for (policy, condition) in self.reduced(&evaluation) {
            let condition = condition?;
            if condition != QueryCondition::Never {
                residuals.push(QueryResidual { policy, condition });
            }
        }
        let exact = self.engine.is_exact_cedar();
        Ok(QueryAnswer { action: request.action.clone(), residuals, exact })
    }

    /// Returns the view of a request of which this is not known.
    pub(crate) fn view<'v>(&'v self, request: &'v Request) -> EvalContext<'v> {
        let mut view = self.engine.0.view(request, &self.entities);
        view.unknown = Some(&self.unknown);
        view
    }

    /// Returns the policies that may matter, in their order, each with what is left of its scope and
    /// condition.
    pub(crate) fn reduced<'v>(
        &'v self,
        evaluation: &'v Evaluation<'_, '_>,
    ) -> impl Iterator<Item = (PolicyInfo<'e>, Result<QueryCondition, DecideError>)> + 'v {
        let snapshot = &self.engine.0;
        let candidates = snapshot.all_candidates(evaluation.view).into_iter();
        candidates
            .filter_map(|number| snapshot.policy(number))
            .filter(|policy| self.scope_may_match(*policy, evaluation.view, evaluation))
            .map(|policy| (policy, self.condition(policy, evaluation)))
    }

    /// Returns the request, with an entity for each party that is not known.
    pub(crate) fn request(&self, action: EntityUid) -> Request {
        let mut request = Request::new(self.principal.clone(), action, self.resource.clone());
        request.context.clone_from(&self.context);
        request
    }

    /// Checks what is known of a request.
    pub(crate) fn check(&self, request: &Request) -> Result<(), DecideError> {
        if self.unknown == Unknown::default() {
            return self.engine.0.check(request, &self.entities);
        }
        request.check(self.engine.limits())?;
        let Some(schema) = self.engine.schema().filter(|_| !self.engine.is_exact_cedar()) else {
            return Ok(());
        };
        let refused = |reason: String| Err(DecideError::Request(RequestError::Schema(reason)));
        let Some((principals, resources)) = self.engine.applies_to(&request.action) else {
            return refused(format!("action `{}` is not declared", request.action));
        };
        for (what, types, uid) in [
            ("principal", principals, &request.principal),
            ("resource", resources, &request.resource),
        ] {
            if !types.contains(uid.type_name()) {
                let (type_, action) = (uid.type_name(), &request.action);
                return refused(format!("{what} type `{type_}` is not one that `{action}` takes"));
            }
        }
        if self.unknown.context.is_all() {
            let context = cedar_context(&request.context)?;
            context
                .validate(schema, &request.action)
                .map_err(|e| RequestError::Schema(error_chain(&e)))?;
        }
        Ok(())
    }

    /// Returns whether the scope may match, by its constraints on what is known.
    fn scope_may_match(
        &self,
        policy: PolicyInfo<'_>,
        view: &EvalContext<'_>,
        evaluation: &Evaluation<'_, '_>,
    ) -> bool {
        let fits = |scope: &EntityScope, var| match scope {
            EntityScope::Is(type_) | EntityScope::IsIn(type_, _) if view.is_unknown(var) => {
                view.type_(var) == Some(*type_)
            }
            _ => view.is_unknown(var) || evaluation.entity_scope(scope, var),
        };
        evaluation.action_scope(policy.policy)
            && fits(&policy.policy.principal, Var::Principal)
            && fits(&policy.policy.resource, Var::Resource)
    }

    /// Returns what is left of a policy's scope and condition.
    fn condition(
        &self,
        policy: PolicyInfo<'_>,
        evaluation: &Evaluation<'_, '_>,
    ) -> Result<QueryCondition, DecideError> {
        let whole = self.engine.0.ground.conditions.condition(&policy.policy.body);
        let whole = whole.map_err(|reason| unread(policy, reason))?;
        let mut slots = ast::SlotEnv::new();
        if let Some((principal, resource)) = policy.link() {
            let filled =
                [(ast::SlotId::principal(), principal), (ast::SlotId::resource(), resource)];
            slots.extend(filled.into_iter().filter_map(|(slot, uid)| {
                Some((slot, AsRef::<ast::EntityUID>::as_ref(uid?).clone()))
            }));
        }
        let [principal, resource] = &self.typed;
        let part = evaluation.with_evaluator(&whole, |evaluator| {
            let evaluator = &evaluator;
            let unknown = &self.unknown;
            let typed = !self.engine.is_exact_cedar();
            Partial { evaluator, slots: &slots, unknown, typed, principal, resource }.part(&whole)
        })?;
        Ok(match part {
            PartialValue::Error(reason) => QueryCondition::Failed(reason),
            PartialValue::Value(value) => match boolean(&value) {
                Some(true) => QueryCondition::Always,
                Some(false) => QueryCondition::Never,
                None => QueryCondition::Failed("type error: expected bool".to_owned()),
            },
            PartialValue::Residual(expr) => QueryCondition::If(Arc::new(expr)),
        })
    }
}

/// Returns the error of a policy that was loaded and cannot be taken apart, which no input brings
/// about. It is not one of evaluation: those leave a policy out.
fn unread(policy: PolicyInfo<'_>, reason: String) -> DecideError {
    DecideError::Policy { policy: policy.id().to_owned(), reason }
}

/// Returns an entity that stands for a party, and lays what is known of it over the store.
fn stand_in(
    party: &Party,
    entities: &mut Entities,
    extent: &mut Extent,
) -> Result<EntityUid, DecideError> {
    let (type_, attributes) = match party {
        Party::Known(uid) => return Ok(uid.clone()),
        Party::Any(type_) => (type_, None),
        Party::Partly(type_, attributes) => (type_, Some(attributes)),
    };
    // INVARIANT: nothing but its type and its attributes is read of this entity: whatever depends
    // on which one it is, or on what else it has, is open.
    let uid = EntityUid::from_type_name_and_id(type_.clone(), EntityId::new("\u{0}unknown"));
    *extent = Extent::Only(attributes.into_iter().flat_map(|a| a.keys().cloned()).collect());
    if let Some(attributes) = attributes {
        let mut entity = Entity::new(uid.clone());
        entity.attributes.clone_from(attributes);
        *entities = entities.with([entity])?;
    }
    Ok(uid)
}
