//! Policies as the analysis compares them: parsed once, and known by what they say.

use std::fmt::Write as _;
use std::sync::Arc;

use cedar_policy_core::ast::{self, Expr};
use stagedoor_core::{Effect, PolicyInfo};

use crate::scope::{ActionScope, Scope};

/// One policy or link, parsed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ParsedPolicy {
    /// The id.
    pub id: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// The scope; of a link, with the slots filled.
    pub scope: Scope,
    /// The condition; none where the scope says all.
    pub condition: Option<Arc<Expr>>,
    /// The rules that guard it, each with its arguments.
    pub guards: Vec<(String, String)>,
    /// Whether `@id` names it.
    pub is_named: bool,
    /// The file that it stands in.
    pub file: String,
    /// The line that it starts at.
    pub line: Option<usize>,
}

/// Why a policy cannot be analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy `{policy}` cannot be read again: {reason}")]
pub struct ParseError {
    /// The policy's id.
    pub policy: String,
    /// Cedar's reason.
    pub reason: String,
}

impl ParseError {
    pub(crate) fn of(info: PolicyInfo<'_>, reason: String) -> Self {
        Self { policy: info.id().to_owned(), reason }
    }
}

impl ParsedPolicy {
    /// Parses an engine's policy.
    ///
    /// # Errors
    ///
    /// [`ParseError`], which a policy that was loaded does not give.
    pub fn of(info: PolicyInfo<'_>) -> Result<Self, ParseError> {
        info.tree()
            .map(|tree| Self::read(info, &tree))
            .map_err(|reason| ParseError::of(info, reason))
    }

    /// Takes an engine's policy of its tree.
    pub(crate) fn read(info: PolicyInfo<'_>, tree: &ast::Policy) -> Self {
        let guards =
            info.guards().map(|guard| (guard.rule().to_owned(), guard.arguments().to_owned()));
        let mut parsed = Self::of_tree(tree);
        parsed.id = info.id().to_owned();
        parsed.guards = guards.collect();
        parsed.file = info.file().to_owned();
        parsed.line = info.line();
        parsed
    }

    /// Takes a policy of Cedar's syntax tree, without guards.
    #[must_use]
    pub fn of_tree(tree: &ast::Policy) -> Self {
        Self {
            id: tree.id().to_string(),
            effect: match tree.effect() {
                ast::Effect::Permit => Effect::Permit,
                ast::Effect::Forbid => Effect::Forbid,
            },
            scope: Scope::of(tree),
            condition: tree.non_scope_constraints_arc().cloned(),
            guards: Vec::new(),
            is_named: tree.annotations().any(|(key, _)| key.as_ref() == "id"),
            file: String::new(),
            line: None,
        }
    }

    /// Returns what the policy says, as a text that is equal for policies that say the same in
    /// the same way, whatever their ids, annotations, comments and layout.
    #[must_use]
    pub fn key(&self) -> String {
        let mut scope = self.scope.clone();
        if let ActionScope::In(uids) = &mut scope.action {
            uids.sort_unstable();
            uids.dedup();
        }
        let mut key = format!("{:?} {scope:?}", self.effect);
        if let Some(condition) = &self.condition {
            // Writing to a string does not fail.
            let _ = write!(key, " {condition}");
        }
        let _ = write!(key, " {:?}", self.guards);
        key
    }

    /// Returns whether a guard has a say in whether the policy counts.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        !self.guards.is_empty()
    }
}
