//! Turns syntax trees into what decisions need, and lets go of the trees.

use std::ops::Range;
use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{self, EntityReference, PrincipalOrResourceConstraint};
use smol_str::SmolStr;

use crate::guard::{BoundGuard, GuardBinder, GuardProblem};
use crate::hash::{FastMap, FastSet};
use crate::ir::{clauses, dereferenced, hops};
use crate::lower::Lowering;
use crate::number::EntityNumber;
use crate::parse;
use crate::policy::{ActionScope, Body, EntityScope, Form, Origin, Slots, StoredPolicy, Template};
use crate::problem::Problem;
use crate::source::Source;
use crate::statement::annotation_part;
use crate::symbols::Symbols;

use super::reuse::Known;

/// Everything compiled so far.
pub(super) struct Compiler {
    pub(super) symbols: Symbols,
    pub(super) policies: Vec<StoredPolicy>,
    pub(super) templates: FastMap<SmolStr, Template>,
    /// Ids of policies, templates and links: one name space, as in Cedar.
    ids: FastSet<SmolStr>,
    /// Entities that conditions name and may read.
    pub(super) dereferenced: FastSet<EntityUid>,
    /// The most steps from entity to entity that a condition makes.
    pub(super) hops: usize,
    pub(super) guards: GuardBinder,
    /// How many statements came before, which numbers those without an id.
    position: usize,
    /// What the next policy is called, in an edit.
    pub(super) named: Option<SmolStr>,
    exact: bool,
    /// Cedar's expressions are not needed beside what is made of them.
    compiled: bool,
}

/// Why a policy is not added.
#[derive(Debug)]
pub(super) enum AddError {
    /// Another one has this id.
    Duplicate(SmolStr),
    /// It calls itself otherwise than the edit does.
    Renamed { given: SmolStr, own: SmolStr },
    /// It cannot be guarded as it asks to be.
    Guard(SmolStr, GuardProblem),
    /// It cannot be written as Cedar text.
    Text(SmolStr),
}

impl AddError {
    /// Returns where in the text that was parsed, if that is known.
    pub(super) fn label(&self) -> Option<Range<usize>> {
        match self {
            Self::Duplicate(_) | Self::Renamed { .. } | Self::Text(_) => None,
            Self::Guard(_, problem) => problem.label.clone(),
        }
    }
}

impl Compiler {
    pub(super) fn new(symbols: Symbols, exact: bool, compiled: bool, guards: GuardBinder) -> Self {
        Self {
            symbols,
            policies: Vec::new(),
            templates: FastMap::default(),
            ids: FastSet::default(),
            dereferenced: FastSet::default(),
            hops: 0,
            guards,
            position: 0,
            named: None,
            exact,
            compiled,
        }
    }

    /// Says why a policy was not added, and where the other one of its id stands.
    pub(super) fn problem(&self, error: AddError) -> Problem {
        let id = match error {
            AddError::Guard(id, problem) => return problem.into_problem().with_policy(id),
            AddError::Text(id) => {
                let message = format!("policy `{id}` says in JSON what Cedar's text cannot say");
                let help = "write it in Cedar's syntax";
                return Problem::error("policy::json", message).with_help(help).with_policy(id);
            }
            AddError::Renamed { given, own } => {
                let message = format!("the edit is of `{given}`, but the policy is called `{own}`");
                return Problem::error("policy::edit", message)
                    .with_help("name the policy as its `@id` does")
                    .with_policy(given);
            }
            AddError::Duplicate(id) => id,
        };
        let policy = self.policies.iter().find(|policy| policy.id == id);
        let template = || Some(&self.templates.get(&id)?.body);
        let (mut place, mut position) = (String::new(), false);
        if let Some(body) = policy.map(|policy| &policy.body).or_else(template) {
            let source = &body.origin.source;
            place = match &body.origin.form {
                Form::Text(span) => {
                    let (line, column) = source.position(span.start as usize);
                    format!(" at {}:{line}:{column}", source.name)
                }
                Form::Json(_) => format!(" in {}", source.name),
            };
            position = policy.is_none_or(|policy| policy.slots.is_none());
        }
        // An id such as `policy0` may be one that nobody wrote.
        let positional = position && is_positional(&id);
        let message = match positional {
            false => format!("there is another policy `{id}`{place}"),
            true => format!(
                "there is another policy `{id}`{place}: a policy without `@id` is called by its \
                 position"
            ),
        };
        Problem::error("policy::duplicate-id", message)
            .with_help("give each policy its own `@id`")
            .with_policy(id)
    }

    /// Returns how many policies, templates and links there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Lets later policies have the ids of those that were added so far.
    pub(super) fn forget_ids(&mut self) {
        self.ids.clear();
        self.position = 0;
    }

    /// Reserves positions for `count` statements; returns the first one.
    pub(super) fn positions(&mut self, count: usize) -> usize {
        let first = self.position;
        self.position += count;
        first
    }

    /// Adds a policy or template that was read from Cedar's syntax.
    pub(super) fn add_text(
        &mut self,
        tree: ast::Template,
        position: usize,
        source: &Arc<Source>,
        span: &Range<usize>,
    ) -> Result<(), AddError> {
        let own = if self.exact { None } else { id_annotation(&tree) };
        let id = match (self.named.take(), own) {
            (Some(given), Some(own)) if given != own => {
                return Err(AddError::Renamed { given, own });
            }
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => positional_id(position),
        };
        self.add(id, tree, Origin { source: Arc::clone(source), form: text_form(span) })
    }

    /// Adds a policy whose text another engine was loaded with, of whose numbering this one is.
    pub(super) fn add_known(
        &mut self,
        known: Known<'_>,
        source: &Arc<Source>,
    ) -> Result<(), AddError> {
        let Known { position, span, policy } = known;
        // Else it was called by its position there, or by whoever edited the engine.
        let id = match annotation_part(policy.body.text(), "id") {
            Some(_) => policy.id.clone(),
            None => positional_id(position),
        };
        if !self.ids.insert(id.clone()) {
            return Err(AddError::Duplicate(id));
        }
        let body = &policy.body;
        let origin = Origin { source: Arc::clone(source), form: text_form(&span) };
        let body = Body {
            clauses: body.clauses.clone(),
            exprs: body.exprs.clone(),
            annotations: body.annotations.clone(),
            guards: body.guards.clone(),
            origin,
        };
        self.policies.push(StoredPolicy { id, body: Arc::new(body), ..policy.clone() });
        Ok(())
    }

    /// Adds a policy or template that was read from JSON; returns its id.
    pub(super) fn add_json(
        &mut self,
        tree: ast::Template,
        key: &str,
        source: &Arc<Source>,
    ) -> Result<SmolStr, AddError> {
        let id = if self.exact { None } else { id_annotation(&tree) };
        let id = id.unwrap_or_else(|| key.into());
        // INVARIANT: explanations read the text again, and must read the policy that decides.
        let text = tree.to_string();
        if !parse::statement(&text, &id).is_ok_and(|again| is_alike(&again, &tree)) {
            return Err(AddError::Text(id));
        }
        let form = Form::Json(text.into_boxed_str());
        let source = Arc::clone(source);
        self.add(id.clone(), tree, Origin { source, form }).map(|()| id)
    }

    fn add(&mut self, id: SmolStr, tree: ast::Template, origin: Origin) -> Result<(), AddError> {
        if !self.ids.insert(id.clone()) {
            return Err(AddError::Duplicate(id));
        }
        let guards = self.guards.of(&tree).map_err(|p| AddError::Guard(id.clone(), p))?;
        let body = Arc::new(self.body(&tree, guards, origin));
        if tree.slots().next().is_some() {
            self.templates.insert(id, Template { tree: Arc::new(tree), body, links: 0 });
            return Ok(());
        }
        let policy = StoredPolicy {
            effect: tree.effect(),
            principal: self.entity_scope(tree.principal_constraint().as_inner(), None),
            action: self.action_scope(tree.action_constraint()),
            resource: self.entity_scope(tree.resource_constraint().as_inner(), None),
            slots: None,
            id,
            body,
        };
        self.policies.push(policy);
        Ok(())
    }

    pub(super) fn template(&self, id: &str) -> Option<&Template> {
        self.templates.get(id)
    }

    /// Adds a link whose slots were checked.
    pub(super) fn add_link(
        &mut self,
        template: &str,
        id: SmolStr,
        slots: Slots,
    ) -> Result<(), AddError> {
        let Some(known) = self.templates.get_mut(template) else { return Ok(()) };
        if !self.ids.insert(id.clone()) {
            return Err(AddError::Duplicate(id));
        }
        known.links += 1;
        let (tree, body) = (Arc::clone(&known.tree), Arc::clone(&known.body));
        let principal = slots.principal.as_ref();
        let resource = slots.resource.as_ref();
        let policy = StoredPolicy {
            effect: tree.effect(),
            principal: self.entity_scope(tree.principal_constraint().as_inner(), principal),
            action: self.action_scope(tree.action_constraint()),
            resource: self.entity_scope(tree.resource_constraint().as_inner(), resource),
            slots: Some(Box::new(slots)),
            id,
            body,
        };
        self.policies.push(policy);
        Ok(())
    }

    fn body(
        &mut self,
        tree: &ast::Template,
        guards: Box<[Arc<BoundGuard>]>,
        origin: Origin,
    ) -> Body {
        let exprs = tree.non_scope_constraints_arc().map(clauses).unwrap_or_default();
        exprs.iter().for_each(|e| dereferenced(e, &mut self.dereferenced));
        self.hops = exprs.iter().map(|e| hops(e)).fold(self.hops, usize::max);
        let mut lowering = Lowering { symbols: &mut self.symbols };
        let annotations = tree.annotations().map(|(name, a)| (name.as_ref(), a.val.clone()));
        Body {
            clauses: exprs.iter().map(|expr| lowering.clause(expr)).collect(),
            exprs: (!self.compiled).then(|| exprs.into_boxed_slice()),
            annotations: annotations
                .filter(|(name, _)| *name != "id")
                .map(|(name, value)| (name.into(), value))
                .collect(),
            guards,
            origin,
        }
    }

    fn entity_scope(
        &mut self,
        constraint: &PrincipalOrResourceConstraint,
        slot: Option<&EntityUid>,
    ) -> EntityScope {
        let symbols = &mut self.symbols;
        let mut uid = |reference: &EntityReference| match (reference, slot) {
            (EntityReference::EUID(uid), _) => {
                symbols.intern_uid(&ast::EntityUID::clone(uid).into())
            }
            (EntityReference::Slot(_), Some(uid)) => symbols.intern_uid(uid),
            // It has been refused before; a number that no entity has would match nothing.
            (EntityReference::Slot(_), None) => EntityNumber::NONE,
        };
        match constraint {
            PrincipalOrResourceConstraint::Any => EntityScope::Any,
            PrincipalOrResourceConstraint::Eq(r) => EntityScope::Eq(uid(r)),
            PrincipalOrResourceConstraint::In(r) => EntityScope::In(uid(r)),
            PrincipalOrResourceConstraint::Is(name) => {
                EntityScope::Is(symbols.intern_type(&ast::EntityType::clone(name).into()))
            }
            PrincipalOrResourceConstraint::IsIn(name, r) => {
                let uid = uid(r);
                let type_ = symbols.intern_type(&ast::EntityType::clone(name).into());
                EntityScope::IsIn(type_, uid)
            }
        }
    }

    fn action_scope(&mut self, constraint: &ast::ActionConstraint) -> ActionScope {
        let mut uid =
            |uid: &Arc<ast::EntityUID>| self.symbols.intern_uid(&ast::EntityUID::clone(uid).into());
        match constraint {
            ast::ActionConstraint::Any => ActionScope::Any,
            ast::ActionConstraint::Eq(action) => ActionScope::Eq(uid(action)),
            ast::ActionConstraint::In(actions) => {
                ActionScope::In(actions.iter().map(uid).collect())
            }
        }
    }
}

fn text_form(span: &Range<usize>) -> Form {
    // Sources are limited to far less than 4 GiB.
    let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Form::Text(offset(span.start)..offset(span.end))
}

/// Returns whether two trees are the same policy.
fn is_alike(one: &ast::Template, other: &ast::Template) -> bool {
    let parts =
        |tree: &ast::Template| tree.non_scope_constraints_arc().map(clauses).unwrap_or_default();
    let (ours, theirs) = (parts(one), parts(other));
    one.effect() == other.effect()
        && one.principal_constraint() == other.principal_constraint()
        && one.action_constraint() == other.action_constraint()
        && one.resource_constraint() == other.resource_constraint()
        && ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(one, other)| one.eq_shape(other))
}

/// Cedar's id of a statement without a name.
pub(super) fn positional_id(position: usize) -> SmolStr {
    format!("policy{position}").into()
}

/// Whether an id is of the form that policies without a name have.
fn is_positional(id: &str) -> bool {
    id.strip_prefix("policy")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the name that a policy gives itself.
pub(super) fn id_annotation(tree: &ast::Template) -> Option<SmolStr> {
    tree.annotations().find(|(name, _)| name.as_ref() == "id").map(|(_, a)| a.val.clone())
}
