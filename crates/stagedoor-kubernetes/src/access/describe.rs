//! Reads from clauses what a policy is about, in the words of a role's rule.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Expr, Literal, PatternElem, UnaryOp, Var};
use stagedoor_core::joined_by;

use super::simplify::uids;

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
    pub(crate) rest: Vec<Arc<Expr>>,
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
    pub(crate) fn of(clauses: Vec<Arc<Expr>>) -> Self {
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
    fn take(&mut self, clause: &Arc<Expr>) -> bool {
        match clause.as_ref() {
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.take_not(expr),
            Expr::HasAttr { expr, attrs } if attrs.len() == 1 => self.take_has(expr, attrs.first()),
            Expr::BinaryOp { op: BinaryOp::In, left, right } if is_resource(left) => {
                let Some(uids) = uids(right) else { return false };
                set(&mut self.ids, uids.iter().map(|uid| uid.eid.to_string()).collect())
            }
            Expr::BinaryOp { op: BinaryOp::Or, .. } => {
                let paths: Option<Vec<String>> =
                    joined_by(BinaryOp::Or, clause).into_iter().map(|part| prefix(part)).collect();
                paths.is_some_and(|paths| set(&mut self.paths, paths))
            }
            Expr::Like { .. } => {
                prefix(clause).is_some_and(|path| set(&mut self.paths, vec![path]))
            }
            _ => one_of(clause).is_some_and(|(of, values)| self.take_values(of, values)),
        }
    }

    fn take_not(&mut self, expr: &Expr) -> bool {
        match expr {
            // The verb is then the action itself.
            Expr::HasAttr { expr, attrs } if matches!(expr.as_ref(), Expr::Var(Var::Context)) => {
                attrs.len() == 1 && attrs.first() == "verb"
            }
            Expr::HasAttr { expr, attrs } if attrs.len() == 1 && is_resource(expr) => {
                match self.part(attrs.first()) {
                    Some(part @ Presence::Any) => {
                        *part = Presence::Absent;
                        true
                    }
                    _ => false,
                }
            }
            Expr::Is { expr, entity_type, in_expr: None } if is_resource(expr) => {
                self.no_paths = entity_type.to_string() == "k8s::NonResourceURL";
                self.no_paths
            }
            _ => false,
        }
    }

    fn take_has(&mut self, expr: &Expr, attribute: &str) -> bool {
        if matches!(expr, Expr::Var(Var::Context)) {
            return attribute == "verb";
        }
        match self.part(attribute).filter(|_| is_resource(expr)) {
            Some(part @ Presence::Any) => {
                *part = Presence::Present;
                true
            }
            // The value said so before.
            Some(Presence::Present | Presence::OneOf(_)) => true,
            Some(Presence::Absent) | None => false,
        }
    }

    fn take_values(&mut self, of: Facet<'_>, values: Vec<String>) -> bool {
        match of {
            Facet::Verb => set(&mut self.verbs, values),
            Facet::Resource("apiGroup") => set(&mut self.groups, values),
            Facet::Resource("resource") => set(&mut self.resources, values),
            Facet::Resource("path") => set(&mut self.paths, values),
            Facet::Resource(attribute) => match self.part(attribute) {
                Some(part @ (Presence::Any | Presence::Present)) => {
                    *part = Presence::OneOf(values);
                    true
                }
                _ => false,
            },
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

/// What values are said of.
enum Facet<'a> {
    Verb,
    Resource(&'a str),
}

/// Reads `path == "x"` and `["x", "y"].contains(path)`.
fn one_of(clause: &Expr) -> Option<(Facet<'_>, Vec<String>)> {
    let Expr::BinaryOp { op, left, right } = clause else { return None };
    match op {
        BinaryOp::Eq => {
            let (path, literal) = match (path(left), path(right)) {
                (Some(path), None) => (path, right),
                (None, Some(path)) => (path, left),
                _ => return None,
            };
            Some((path, vec![text(literal)?]))
        }
        BinaryOp::Contains => {
            let Expr::Set(items) = left.as_ref() else { return None };
            let values = items.iter().map(|item| text(item)).collect::<Option<_>>()?;
            Some((path(right)?, values))
        }
        _ => None,
    }
}

fn path(expr: &Expr) -> Option<Facet<'_>> {
    let Expr::GetAttr { expr, attr } = expr else { return None };
    match expr.as_ref() {
        Expr::Var(Var::Resource) => Some(Facet::Resource(attr)),
        Expr::Var(Var::Context) if attr == "verb" => Some(Facet::Verb),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(Literal::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

/// Reads `resource.path like "/x/*"`.
fn prefix(expr: &Expr) -> Option<String> {
    let Expr::Like { expr, pattern } = expr else { return None };
    if !matches!(path(expr), Some(Facet::Resource("path"))) {
        return None;
    }
    let (last, before) = pattern.split_last()?;
    let mut prefix = String::new();
    for elem in before {
        match elem {
            PatternElem::Char(c) => prefix.push(*c),
            PatternElem::Wildcard => return None,
        }
    }
    match last {
        PatternElem::Wildcard => prefix.push('*'),
        PatternElem::Char(_) => return None,
    }
    Some(prefix)
}

fn is_resource(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Resource))
}

fn set(slot: &mut Option<Vec<String>>, values: Vec<String>) -> bool {
    let is_first = slot.is_none();
    slot.get_or_insert(values);
    is_first
}
