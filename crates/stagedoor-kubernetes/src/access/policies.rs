//! An engine's policies, taken apart for questions about all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stagedoor_analysis::expr::{conjuncts, written};
use stagedoor_analysis::{
    ActionScope, EntityUID, Expr, KnownEntity, KnownRequest, Library, ParseError, ParsedPolicy,
    Truth, Var,
};
use stagedoor_core::{Effect, Engine, PolicyInfo};

use super::facts::{entity, of_type};
use crate::mode::Modes;
use crate::names::NAMES;
use crate::policy_mode::PolicyMode;
use crate::subject::PrincipalKind;
use crate::vocabulary::{UNLISTED_VERB, Vocabulary, VocabularyError};

/// Failure to take policies apart.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A policy's text cannot be read again.
    #[error(transparent)]
    Policy(#[from] ParseError),
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
    /// The groups of each action, itself among them.
    actions: BTreeMap<EntityUID, BTreeSet<EntityUID>>,
}

/// One policy or link.
pub(crate) struct ScopedPolicy<'e> {
    pub(crate) info: PolicyInfo<'e>,
    pub(crate) parsed: Arc<ParsedPolicy>,
}

impl<'e> AccessPolicies<'e> {
    /// Takes an engine's policies apart. Answers are about those that decide: a policy whose
    /// `@mode` is less grants and forbids nothing.
    ///
    /// # Errors
    ///
    /// [`AccessError`] if the engine has no schema, or not Kubernetes'.
    pub fn of(engine: &'e Engine) -> Result<Self, AccessError> {
        Self::among(&Library::of(engine).ok_or(AccessError::NoSchema)?)
    }

    /// Takes the policies of a library, as [`of`](Self::of) does those of an engine.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn among(library: &Library<'e>) -> Result<Self, AccessError> {
        let engine = library.engine();
        let schema = engine.schema().ok_or(AccessError::NoSchema)?;
        let vocabulary = Vocabulary::of(schema)?;
        let modes = Modes::of(engine, &[])?;
        library.parse_all();
        let mut policies = Vec::with_capacity(library.policies().len());
        let mut watched = Vec::new();
        for (number, info) in library.policies().iter().enumerate() {
            let counts = modes.of_id(info.id()) == PolicyMode::Enforce;
            let list = if counts { &mut policies } else { &mut watched };
            list.push(ScopedPolicy { info: *info, parsed: library.parsed(number)? });
        }
        // By type and id: authorization and admission have actions of the same ids.
        Ok(Self { policies, watched, vocabulary, actions: library.schema().actions.clone() })
    }

    /// Returns the ids of the policies that do not decide, of which no answer tells.
    pub fn watched(&self) -> impl Iterator<Item = &'e str> + '_ {
        self.watched.iter().map(|policy| policy.info.id())
    }

    pub(crate) fn of_effect(&self, effect: Effect) -> impl Iterator<Item = &ScopedPolicy<'e>> {
        self.policies.iter().filter(move |policy| policy.info.effect() == effect)
    }

    /// Returns what is known of an action.
    pub(crate) fn action(&self, id: &str) -> KnownEntity {
        let groups = self.actions.get(&entity(&NAMES.action, id));
        KnownEntity {
            type_name: Some(of_type(&NAMES.action)),
            id: Some(id.into()),
            ancestors: groups.cloned().unwrap_or_default(),
            ..KnownEntity::default()
        }
    }

    /// Returns the action of a verb and what the context then holds.
    pub(crate) fn verb(
        &self,
        verb: &str,
        principal: Option<PrincipalKind>,
        resource: crate::resource::ResourceKind,
    ) -> (KnownEntity, Option<String>) {
        let principal = principal.unwrap_or(PrincipalKind::User);
        match self.vocabulary.action(verb, principal, resource) {
            Some(action) => {
                let context = (action.id().unescaped() != verb).then(|| verb.to_owned());
                (self.action(action.id().unescaped()), context)
            }
            None => (self.action(UNLISTED_VERB), Some(verb.to_owned())),
        }
    }

    /// Returns the verbs that an action stands for: itself, or the members of a group.
    pub(crate) fn members(&self, action: &EntityUID) -> Vec<String> {
        let is_member = |(member, groups): &(&EntityUID, &BTreeSet<EntityUID>)| {
            *member != action && groups.contains(action)
        };
        let members = self.actions.iter().filter(is_member);
        let id = |uid: &EntityUID| AsRef::<str>::as_ref(uid.eid()).to_owned();
        let mut members: Vec<String> = members.map(|(member, _)| id(member)).collect();
        members.sort_unstable();
        if members.is_empty() { vec![id(action)] } else { members }
    }
}

impl ScopedPolicy<'_> {
    /// Returns whether the action is one that the policy is about.
    pub(crate) fn is_about(&self, known: &KnownRequest) -> bool {
        match &self.parsed.scope.action {
            ActionScope::Is(uid) => known.action.is(uid) == Some(true),
            ActionScope::In(uids) => uids.iter().any(|uid| known.action.is_in(uid) == Some(true)),
            _ => true,
        }
    }

    /// Returns the conjuncts of the condition.
    pub(crate) fn clauses(&self) -> Vec<&Expr> {
        self.parsed.condition.as_deref().map(conjuncts).unwrap_or_default()
    }

    /// Returns the clauses that are not decided, or nothing if one is false.
    pub(crate) fn open(&self, known: &KnownRequest, with_principal: bool) -> Option<Vec<Expr>> {
        let scope = &self.parsed.scope;
        let principal =
            if with_principal { scope.principal.clauses(Var::Principal) } else { Vec::new() };
        let of_scope: Vec<Expr> =
            principal.into_iter().chain(scope.resource.clauses(Var::Resource)).collect();
        let mut open = Vec::new();
        for clause in of_scope.iter().chain(self.clauses()) {
            match known.truth(clause) {
                Truth::True => {}
                Truth::False => return None,
                Truth::Open(rest) => open.extend(conjuncts(&rest).into_iter().cloned()),
            }
        }
        Some(open)
    }
}

/// Returns clauses as one text, or nothing if there is none.
pub(crate) fn joined(clauses: &[Expr]) -> Option<String> {
    clauses.iter().cloned().reduce(Expr::and).map(|expr| written(&expr))
}
