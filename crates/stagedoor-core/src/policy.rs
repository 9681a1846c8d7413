//! Policies as an engine keeps them, and what it tells of them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cedar_policy::{Effect, EntityUid};
use cedar_policy_core::ast;
use cedar_policy_core::ast::Expr;
use smol_str::SmolStr;

use crate::error::error_chain;
use crate::guard::{BoundGuard, GuardInfo};
use crate::ir::Clause;
use crate::number::{EntityNumber, TypeNumber};
use crate::parse;
use crate::source::Source;
use crate::stack::with_stack;
use crate::statement::{annotation_part, effect_part, scope_part};

/// A policy, or a template linked to a principal and a resource.
///
/// The syntax tree is not kept: the text is, and parsing one policy again for an
/// explanation is cheap.
#[derive(Debug, Clone)]
pub(crate) struct StoredPolicy {
    pub(crate) id: SmolStr,
    pub(crate) effect: Effect,
    pub(crate) principal: EntityScope,
    pub(crate) action: ActionScope,
    pub(crate) resource: EntityScope,
    /// Shared by all links of a template.
    pub(crate) body: Arc<Body>,
    /// Of a link: its template, and what fills the template's slots.
    pub(crate) slots: Option<Box<Slots>>,
}

/// What a link is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The template's id.
    pub(crate) template: SmolStr,
    pub(crate) principal: Option<EntityUid>,
    pub(crate) resource: Option<EntityUid>,
}

/// A template, kept for its links.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) tree: Arc<ast::Template>,
    pub(crate) body: Arc<Body>,
    /// How many links it has.
    pub(crate) links: usize,
}

/// What a policy's text says beyond its scope.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) clauses: Box<[Clause]>,
    /// The same as Cedar's expressions, where nothing is to be compiled.
    pub(crate) exprs: Option<Box<[Arc<Expr>]>>,
    /// Annotations but `@id`, by name.
    pub(crate) annotations: Box<[(SmolStr, SmolStr)]>,
    /// The rules that must say yes for the policy to count.
    pub(crate) guards: Box<[Arc<BoundGuard>]>,
    pub(crate) origin: Origin,
}

impl Body {
    /// Returns the Cedar text.
    pub(crate) fn text(&self) -> &str {
        match &self.origin.form {
            Form::Text(span) => {
                let span = span.start as usize..span.end as usize;
                self.origin.source.text.get(span).unwrap_or_default()
            }
            Form::Json(text) => text,
        }
    }
}

/// Where a policy was read.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) source: Arc<Source>,
    pub(crate) form: Form,
}

/// The form in which a policy was read.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// Cedar text at this place of the source.
    Text(Range<u32>),
    /// JSON, kept as the Cedar text of the same meaning.
    Json(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum EntityScope {
    Any,
    Is(TypeNumber),
    Eq(EntityNumber),
    In(EntityNumber),
    IsIn(TypeNumber, EntityNumber),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ActionScope {
    Any,
    Eq(EntityNumber),
    In(Box<[EntityNumber]>),
}

/// What an engine tells of one of its policies.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Effect, Engine};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "
/// @id(\"all\")
/// @doc(\"Everybody reads.\")
/// permit(principal, action, resource);")
///     .build()?;
/// let policy = engine.policies().next().ok_or("a policy")?;
/// assert_eq!((policy.id(), policy.effect()), ("all", Effect::Permit));
/// assert_eq!(policy.annotation("doc"), Some("Everybody reads."));
/// assert_eq!((policy.file(), policy.line()), ("p.cedar", Some(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PolicyInfo<'a> {
    pub(crate) policy: &'a StoredPolicy,
}

impl<'a> PolicyInfo<'a> {
    /// Returns the id: `@id`, a link's id, or else Cedar's positional id (`policy0`).
    #[must_use]
    pub fn id(&self) -> &'a str {
        &self.policy.id
    }

    /// Returns whether the policy permits or forbids.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.policy.effect
    }

    /// Returns the value of an annotation other than `@id`.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&'a str> {
        self.annotations().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Returns the annotations other than `@id`, by name.
    pub fn annotations(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.policy.body.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the rules that guard the policy, in the order in which it names them.
    pub fn guards(&self) -> impl ExactSizeIterator<Item = GuardInfo<'a>> + use<'a> {
        self.policy.body.guards.iter().map(|guard| GuardInfo(guard))
    }

    /// Returns the entities that a template's `?principal` and `?resource` stand for, in a link.
    #[must_use]
    pub fn link(&self) -> Option<(Option<&'a EntityUid>, Option<&'a EntityUid>)> {
        let slots = self.policy.slots.as_deref()?;
        Some((slots.principal.as_ref(), slots.resource.as_ref()))
    }

    /// Returns the file that the policy stands in, or what the caller called the text.
    #[must_use]
    pub fn file(&self) -> &'a str {
        self.source().name.as_ref()
    }

    /// Returns the line that the policy starts at, from 1; none for policies read from JSON.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match &self.policy.body.origin.form {
            Form::Text(span) => Some(self.source().position(span.start as usize).0),
            Form::Json(_) => None,
        }
    }

    /// Returns the policy's Cedar text; for a link, its template's.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.policy.body.text()
    }

    /// Returns where [`text`](Self::text) stands in the text of the [`file`](Self::file), in
    /// bytes; none for policies read from JSON.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match &self.policy.body.origin.form {
            Form::Text(span) => Some(span.start as usize..span.end as usize),
            Form::Json(_) => None,
        }
    }

    /// Returns line and column, both from 1, of a byte of the policy's text.
    #[must_use]
    pub fn position(&self, at: usize) -> Option<(usize, usize)> {
        Some(self.source().position(self.span()?.start + at))
    }

    /// Returns the text of the file that the policy stands in.
    #[must_use]
    pub fn file_text(&self) -> &'a str {
        self.source().text.as_ref()
    }

    /// Returns where a part of the policy's head stands in its text: `permit` or `forbid` as
    /// `effect`, the annotation `@guard` as `guard`, or the constraint of `principal`, `action`
    /// or `resource`.
    #[must_use]
    pub fn head_part(&self, part: &str) -> Option<Range<usize>> {
        match part {
            "effect" => effect_part(self.text()),
            "guard" => annotation_part(self.text(), "guard"),
            _ => scope_part(self.text(), part),
        }
    }

    /// Parses the policy's text again; a link is linked.
    ///
    /// # Errors
    ///
    /// Cedar's reason, which a policy that was loaded does not give.
    pub fn tree(&self) -> Result<ast::Policy, String> {
        with_stack(|| self.reparse())
    }

    /// Returns the policy's tree as [`tree`](Self::tree) does, if its template is known: that of
    /// another link of it, say.
    ///
    /// # Errors
    ///
    /// Cedar's reason, if the template is not the policy's.
    pub fn tree_of(&self, template: Arc<ast::Template>) -> Result<ast::Policy, String> {
        let linked = match self.link() {
            None => ast::Template::try_as_policy(template),
            Some((principal, resource)) => {
                let mut slots: HashMap<ast::SlotId, ast::EntityUID> = HashMap::new();
                if let Some(uid) = principal {
                    slots.insert(ast::SlotId::principal(), uid.clone().into());
                }
                if let Some(uid) = resource {
                    slots.insert(ast::SlotId::resource(), uid.clone().into());
                }
                ast::Template::link(template, ast::PolicyID::from_string(self.id()), slots)
            }
        };
        linked.map_err(|e| error_chain(&e))
    }

    /// As [`tree`](Self::tree), for callers that have room on their stack.
    pub(crate) fn reparse(&self) -> Result<ast::Policy, String> {
        self.parse_replacement(self.text())
    }

    /// Parses a text that stands in the place of the policy's, and links it if that is a link.
    pub(crate) fn parse_replacement(&self, text: &str) -> Result<ast::Policy, String> {
        let template = parse::statement(text, self.id()).map_err(|e| error_chain(&e))?;
        self.tree_of(Arc::new(template))
    }

    pub(crate) fn source(&self) -> &'a Source {
        &self.policy.body.origin.source
    }
}
