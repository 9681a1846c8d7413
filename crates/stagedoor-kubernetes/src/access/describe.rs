//! Reads from clauses what a policy is about, in the words of a role's rule.

use stagedoor_analysis::expr::walk;
use stagedoor_analysis::{Expr, ExprKind, Fact, Literal, Pattern, PatternElem, Test};

use super::who_can::id;

/// What clauses say of a resource.
#[derive(Debug, Default)]
pub(crate) struct ResourceDescription {
    pub(crate) groups: Option<Vec<String>>,
    pub(crate) resources: Option<Vec<String>>,
    pub(crate) subresource: Presence,
    pub(crate) name: Presence,
    pub(crate) namespace: Presence,
    pub(crate) key: Presence,
    pub(crate) verbs: Option<Vec<String>>,
    /// Ids of resources, whatever their type.
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) paths: Option<Vec<String>>,
    /// Paths outside the resource API are ruled out.
    pub(crate) no_paths: bool,
    /// What is not said by all that.
    pub(crate) rest: Vec<Expr>,
}

/// What is said of an optional part.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) enum Presence {
    #[default]
    Any,
    Absent,
    Present,
    OneOf(Vec<String>),
}

impl ResourceDescription {
    pub(crate) fn of(clauses: Vec<Expr>) -> Self {
        let mut described = Self::default();
        for clause in clauses {
            if !described.take(&clause) {
                described.rest.push(clause);
            }
        }
        described
    }

    /// Takes a clause in; `false` if it says something that there is no word for, or says
    /// something twice.
    fn take(&mut self, clause: &Expr) -> bool {
        match Fact::all_of(clause, true).as_slice() {
            [Fact::Within { term, groups, holds: true }] if **term == *"resource" => {
                set(&mut self.ids, in_order(groups.iter().map(id).collect(), clause))
            }
            [Fact::OneOf { term, values, holds: true }] => {
                let values = values.iter().map(text).collect::<Option<_>>();
                values.is_some_and(|values| self.take_values(term, in_order(values, clause)))
            }
            [Fact::Other { test: Test::Has { term, attribute }, holds, .. }] => {
                self.take_has(term, attribute, *holds)
            }
            [Fact::Other { test: Test::Is { term, type_name }, holds: false, .. }] => {
                let is_path = type_name.to_string() == "k8s::NonResourceURL";
                self.no_paths |= is_path && **term == *"resource";
                is_path && **term == *"resource"
            }
            [Fact::Any(alternatives)] => {
                let paths =
                    alternatives.iter().map(|facts| paths(facts)).collect::<Option<Vec<_>>>();
                paths.is_some_and(|paths| set(&mut self.paths, paths.concat()))
            }
            facts => paths(facts).is_some_and(|paths| set(&mut self.paths, paths)),
        }
    }

    fn take_has(&mut self, term: &str, attribute: &str, holds: bool) -> bool {
        if term == "context" {
            // Without it, the verb is the action itself.
            return attribute == "verb";
        }
        match (self.part(attribute).filter(|_| term == "resource"), holds) {
            (Some(part @ Presence::Any), true) => *part = Presence::Present,
            (Some(part @ Presence::Any), false) => *part = Presence::Absent,
            // The value said so before.
            (Some(Presence::Present | Presence::OneOf(_)), true) => {}
            _ => return false,
        }
        true
    }

    fn take_values(&mut self, term: &str, values: Vec<String>) -> bool {
        if term == "context.verb" {
            return set(&mut self.verbs, values);
        }
        match term.strip_prefix("resource.") {
            Some("apiGroup") => set(&mut self.groups, values),
            Some("resource") => set(&mut self.resources, values),
            Some("path") => set(&mut self.paths, values),
            Some(attribute) => match self.part(attribute) {
                Some(part @ (Presence::Any | Presence::Present)) => {
                    *part = Presence::OneOf(values);
                    true
                }
                _ => false,
            },
            None => false,
        }
    }

    fn part(&mut self, attribute: &str) -> Option<&mut Presence> {
        match attribute {
            "subresource" => Some(&mut self.subresource),
            "name" | "value" => Some(&mut self.name),
            "namespace" => Some(&mut self.namespace),
            "key" => Some(&mut self.key),
            _ => None,
        }
    }
}

/// Returns texts in the order in which the literals of a clause have them.
fn in_order(mut texts: Vec<String>, clause: &Expr) -> Vec<String> {
    let mut written = Vec::new();
    walk(clause, |part| match part.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => written.push(id(uid)),
        ExprKind::Lit(literal) => written.extend(text(literal)),
        _ => {}
    });
    texts.sort_by_key(|text| written.iter().position(|other| other == text));
    texts
}

fn text(literal: &Literal) -> Option<String> {
    match literal {
        Literal::String(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Reads `resource.path like "/x/*"`, and `resource.path == "/x"`.
fn paths(facts: &[Fact]) -> Option<Vec<String>> {
    match facts {
        [Fact::Other { test: Test::Like { term, pattern }, holds: true, .. }]
            if **term == *"resource.path" =>
        {
            prefix(pattern).map(|path| vec![path])
        }
        [Fact::OneOf { term, values, holds: true }] if **term == *"resource.path" => {
            values.iter().map(text).collect()
        }
        _ => None,
    }
}

fn prefix(pattern: &Pattern) -> Option<String> {
    let (last, before) = pattern.get_elems().split_last()?;
    let before = before.iter().map(|elem| match elem {
        PatternElem::Char(c) => Some(*c),
        PatternElem::Wildcard => None,
    });
    let prefix: String = before.collect::<Option<_>>()?;
    (*last == PatternElem::Wildcard).then(|| format!("{prefix}*"))
}

fn set(slot: &mut Option<Vec<String>>, values: Vec<String>) -> bool {
    let is_first = slot.is_none();
    slot.get_or_insert(values);
    is_first
}
