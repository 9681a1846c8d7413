//! An engine's policies, taken apart for questions about all of them.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, EntityOrSlot, EntityType, EntityUID, Expr, Literal, Name,
    PrincipalConstraint, ResourceConstraint, Template, UnaryOp, Var,
};
use stagedoor_core::{Effect, Engine, PolicyInfo, joined_by};

use super::facts::{Facts, Party};
use super::simplify::Truth;
use crate::mode::Modes;
use crate::names::{NAMES, uid};
use crate::policy_mode::PolicyMode;
use crate::subject::PrincipalKind;
use crate::vocabulary::{UNLISTED_VERB, Vocabulary, VocabularyError};

/// Failure to take policies apart.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A policy's text cannot be read again.
    #[error("policy `{policy}`: {reason}")]
    Policy {
        /// The policy.
        policy: String,
        /// Why.
        reason: String,
    },
    /// The policies are validated against no schema, so what is simplified could be wrong.
    #[error("the policies were loaded without a schema; load them with Kubernetes' schema")]
    NoSchema,
    /// The schema is not that of Kubernetes.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

/// The policies of an engine, ready for questions about who can do what.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_kubernetes::access::{AccessPolicies, AccessQuestion};
/// use stagedoor_kubernetes::SCHEMA;
///
/// let engine = Engine::builder()
///     .schema("kubernetes.cedarschema", SCHEMA)
///     .policies("team.cedar", r#"
///         @id("devs-read-pods")
///         permit (principal in k8s::Group::"devs", action == k8s::Action::"get",
///                 resource is k8s::Resource)
///         when { resource.resource == "pods" && resource has name && resource.name like "web-*" };"#)
///     .build()?;
/// let policies = AccessPolicies::of(&engine)?;
/// let access = policies.who_can(&AccessQuestion::resource("get", "", "pods"));
/// assert_eq!(access[0].subject.to_string(), "Group/devs");
/// assert_eq!(
///     access[0].condition.as_deref(),
///     Some(r#"(resource has name) && (resource.name like "web-*")"#),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AccessPolicies<'e> {
    /// Those that decide.
    pub(crate) policies: Vec<ScopedPolicy<'e>>,
    /// Those that do not.
    pub(crate) watched: Vec<ScopedPolicy<'e>>,
    pub(crate) vocabulary: Vocabulary,
    /// The groups of each action.
    actions: HashMap<EntityUid, Vec<EntityUid>>,
}

/// One policy or link.
pub(crate) struct ScopedPolicy<'e> {
    pub(crate) info: PolicyInfo<'e>,
    pub(crate) principal: Constraint,
    pub(crate) resource: Constraint,
    pub(crate) body: Arc<Body>,
}

/// What all links of a template share.
pub(crate) struct Body {
    template: Template,
    /// The condition, clause by clause.
    pub(crate) clauses: Vec<Arc<Expr>>,
}

/// A scope constraint on principal or resource.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constraint {
    pub(crate) type_name: Option<EntityType>,
    pub(crate) uid: Option<EntityUID>,
    /// The entity itself, not also its members.
    pub(crate) exact: bool,
}

impl<'e> AccessPolicies<'e> {
    /// Takes an engine's policies apart. Answers are about those that decide: a policy whose
    /// `@mode` is less grants and forbids nothing.
    ///
    /// # Errors
    ///
    /// [`AccessError`] if the engine has no schema, or not Kubernetes'.
    pub fn of(engine: &'e Engine) -> Result<Self, AccessError> {
        let schema = engine.schema().filter(|_| !engine.is_exact_cedar());
        let schema = schema.ok_or(AccessError::NoSchema)?;
        let vocabulary = Vocabulary::of(schema)?;
        let mut actions = HashMap::new();
        for entity in schema.action_entities().into_iter().flatten() {
            // By type and id: authorization and admission have actions of the same ids.
            let groups = entity.as_ref().ancestors().map(|group| group.clone().into());
            actions.insert(entity.uid(), groups.collect());
        }
        let mut bodies: HashMap<&str, Arc<Body>> = HashMap::new();
        let modes = Modes::of(engine, &[])?;
        let mut policies = Vec::with_capacity(engine.policies().len());
        let mut watched = Vec::new();
        for info in engine.policies() {
            let body = match bodies.get(info.text()) {
                Some(body) => Arc::clone(body),
                None => {
                    let body = Arc::new(Body::of(info)?);
                    bodies.insert(info.text(), Arc::clone(&body));
                    body
                }
            };
            let counts = modes.of_id(info.id()) == PolicyMode::Enforce;
            let list = if counts { &mut policies } else { &mut watched };
            list.push(ScopedPolicy::new(info, body)?);
        }
        Ok(Self { policies, watched, vocabulary, actions })
    }

    /// Returns the ids of the policies that do not decide, of which no answer tells.
    pub fn watched(&self) -> impl Iterator<Item = &'e str> + '_ {
        self.watched.iter().map(|policy| policy.info.id())
    }

    pub(crate) fn of_effect(&self, effect: Effect) -> impl Iterator<Item = &ScopedPolicy<'e>> {
        self.policies.iter().filter(move |policy| policy.info.effect() == effect)
    }

    /// Returns what is known of an action.
    pub(crate) fn action(&self, id: &str) -> Party {
        let mut party = Party {
            type_name: Some("k8s::Action".to_owned()),
            id: Some(id.to_owned()),
            ..Party::default()
        };
        for group in self.actions.get(&uid(&NAMES.action, id)).into_iter().flatten() {
            party.member_of("k8s::Action", group.id().unescaped());
        }
        party
    }

    /// Returns the action of a verb and what the context then holds.
    pub(crate) fn verb(
        &self,
        verb: &str,
        principal: Option<PrincipalKind>,
        resource: crate::resource::ResourceKind,
    ) -> (Party, Option<String>) {
        let principal = principal.unwrap_or(PrincipalKind::User);
        match self.vocabulary.action(verb, principal, resource) {
            Some(action) => {
                let context = (action.id().unescaped() != verb).then(|| verb.to_owned());
                (self.action(action.id().unescaped()), context)
            }
            None => {
                let unlisted = uid(&NAMES.action, UNLISTED_VERB);
                (self.action(unlisted.id().unescaped()), Some(verb.to_owned()))
            }
        }
    }

    /// Returns the verbs that an action stands for: itself, or the members of a group.
    pub(crate) fn members(&self, action: &EntityUID) -> Vec<String> {
        let type_name = action.ty.to_string();
        let is_it = |group: &EntityUid| {
            group.id().unescaped() == action.eid.as_str()
                && group.type_name().to_string() == type_name
        };
        let members = self.actions.iter().filter(|(_, groups)| groups.iter().any(is_it));
        let mut members: Vec<String> =
            members.map(|(member, _)| member.id().unescaped().to_owned()).collect();
        members.sort_unstable();
        if members.is_empty() { vec![action.eid.to_string()] } else { members }
    }
}

impl Body {
    fn of(info: PolicyInfo<'_>) -> Result<Self, AccessError> {
        let failed = |reason: String| AccessError::Policy { policy: info.id().to_owned(), reason };
        let template = info.written().map_err(failed)?;
        let mut clauses = Vec::new();
        for clause in template.clauses() {
            match clause {
                Clause::When(expr) => {
                    clauses.extend(joined_by(BinaryOp::And, expr).into_iter().cloned());
                }
                Clause::Unless(expr) => clauses
                    .push(Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::clone(expr) })),
            }
        }
        Ok(Self { template, clauses })
    }
}

impl<'e> ScopedPolicy<'e> {
    fn new(info: PolicyInfo<'e>, body: Arc<Body>) -> Result<Self, AccessError> {
        let (principal, resource) = info.link().unwrap_or_default();
        let slot = |uid: Option<&cedar_policy::EntityUid>| {
            uid.map(|uid| {
                let name = uid.type_name();
                let parts: Vec<&str> = name.namespace_components().collect();
                let name = Name::qualified(parts, name.basename()).map_err(|e| {
                    AccessError::Policy { policy: info.id().to_owned(), reason: e.to_string() }
                })?;
                Ok::<_, AccessError>(EntityUID {
                    ty: EntityType(name),
                    eid: uid.id().unescaped().into(),
                })
            })
            .transpose()
        };
        let principal = Constraint::of_principal(&body.template.principal, slot(principal)?);
        let resource = Constraint::of_resource(&body.template.resource, slot(resource)?);
        Ok(Self { info, principal, resource, body })
    }

    pub(crate) fn principal_constraint(&self) -> &PrincipalConstraint {
        &self.body.template.principal
    }

    pub(crate) fn action(&self) -> &ActionConstraint {
        &self.body.template.action
    }

    /// Returns whether the action is one that the policy is about.
    pub(crate) fn is_about(&self, facts: &Facts) -> bool {
        match self.action() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => facts.action.is(uid) == Some(true),
            ActionConstraint::In(uids) => {
                uids.iter().any(|uid| facts.action.is_in(uid) == Some(true))
            }
        }
    }

    /// Whether the scope is met by a principal for sure.
    pub(crate) fn is_surely_for(&self, principal: &Party) -> bool {
        let facts = Facts { principal: principal.clone(), ..Facts::default() };
        let scope = self.principal.expr(Var::Principal);
        scope.iter().all(|clause| matches!(facts.truth(clause), Truth::True))
    }

    /// Returns the clauses that are not decided, or nothing if one is false.
    pub(crate) fn open(&self, facts: &Facts, with_principal: bool) -> Option<Vec<Arc<Expr>>> {
        let principal =
            if with_principal { self.principal.expr(Var::Principal) } else { Vec::new() };
        let scope = principal.into_iter().chain(self.resource.expr(Var::Resource));
        let mut open = Vec::new();
        for clause in scope.chain(self.body.clauses.iter().cloned()) {
            match facts.truth(&clause) {
                Truth::True => {}
                Truth::False => return None,
                Truth::Open(rest) => {
                    open.extend(joined_by(BinaryOp::And, &rest).into_iter().cloned());
                }
            }
        }
        Some(open)
    }
}

impl Constraint {
    fn of_principal(constraint: &PrincipalConstraint, slot: Option<EntityUID>) -> Self {
        match constraint {
            PrincipalConstraint::Any => Self::default(),
            PrincipalConstraint::Is(name) => Self::new(Some(name), None, slot, false),
            PrincipalConstraint::Eq(entity) => Self::new(None, Some(entity), slot, true),
            PrincipalConstraint::In(entity) => Self::new(None, Some(entity), slot, false),
            PrincipalConstraint::IsIn(name, entity) => {
                Self::new(Some(name), Some(entity), slot, false)
            }
        }
    }

    fn of_resource(constraint: &ResourceConstraint, slot: Option<EntityUID>) -> Self {
        match constraint {
            ResourceConstraint::Any => Self::default(),
            ResourceConstraint::Is(name) => Self::new(Some(name), None, slot, false),
            ResourceConstraint::Eq(entity) => Self::new(None, Some(entity), slot, true),
            ResourceConstraint::In(entity) => Self::new(None, Some(entity), slot, false),
            ResourceConstraint::IsIn(name, entity) => {
                Self::new(Some(name), Some(entity), slot, false)
            }
        }
    }

    fn new(
        type_name: Option<&EntityType>,
        entity: Option<&EntityOrSlot>,
        slot: Option<EntityUID>,
        exact: bool,
    ) -> Self {
        let uid = entity.and_then(|entity| match entity {
            EntityOrSlot::Entity(uid) => Some(uid.clone()),
            EntityOrSlot::Slot(_) => slot,
        });
        Self { type_name: type_name.cloned(), uid, exact }
    }

    /// Returns the constraint as clauses.
    fn expr(&self, var: Var) -> Vec<Arc<Expr>> {
        let var = Arc::new(Expr::Var(var));
        let is = self.type_name.as_ref().map(|name| Expr::Is {
            expr: Arc::clone(&var),
            entity_type: name.clone(),
            in_expr: None,
        });
        let within = self.uid.as_ref().map(|uid| Expr::BinaryOp {
            op: if self.exact { BinaryOp::Eq } else { BinaryOp::In },
            left: Arc::clone(&var),
            right: Arc::new(Expr::Literal(Literal::EntityUID(uid.clone()))),
        });
        is.into_iter().chain(within).map(Arc::new).collect()
    }
}

/// Returns clauses as one text, or nothing if there is none.
pub(crate) fn joined(clauses: &[Arc<Expr>]) -> Option<String> {
    let both = |left: Arc<Expr>, right: Arc<Expr>| {
        Arc::new(Expr::BinaryOp { op: BinaryOp::And, left, right })
    };
    clauses.iter().cloned().reduce(both).map(|expr| expr.to_string())
}
