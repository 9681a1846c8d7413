//! What conditions come to, as far as a request is known.
//!
//! This is partial evaluation of the part of Cedar that is about names: comparisons, membership,
//! `has`, `like`, `is` and what joins them. Everything else stays as it is, so the outcome is
//! exact where it is a yes or a no. Policies were validated, so what comes before does not err.
//!
//! [`Engine::query`](stagedoor_core::Engine::query) knows an entity or only its type; here it may
//! also be known that somebody is in a group, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast::{
    BinaryOp, EntityType, EntityUID, Expr, ExprKind, Literal, UnaryOp, Var,
};
use smol_str::SmolStr;
use stagedoor_core::expr::{conjuncts, disjuncts};

use crate::scope::ScopeConstraint;

/// What a condition comes to.
#[derive(Debug, Clone)]
pub enum Truth {
    /// It is true.
    True,
    /// It is false.
    False,
    /// It depends on this.
    Open(Expr),
}

impl From<bool> for Truth {
    fn from(held: bool) -> Self {
        if held { Self::True } else { Self::False }
    }
}

/// What is known of a principal, action or resource.
#[derive(Debug, Clone, Default)]
pub struct KnownEntity {
    /// Its type.
    pub type_name: Option<EntityType>,
    /// Its id.
    pub id: Option<SmolStr>,
    /// Attributes that are known: their values, or that they are absent.
    pub attributes: BTreeMap<SmolStr, Option<Literal>>,
    /// Ancestors that are known.
    pub ancestors: BTreeSet<EntityUID>,
    /// The types of which it may have ancestors that are not known.
    pub open: BTreeSet<EntityType>,
}

/// What is known of a request.
///
/// # Examples
///
/// ```
/// use stagedoor_analysis::{KnownRequest, Truth};
///
/// let mut known = KnownRequest::default();
/// known.resource.attributes.insert("kind".into(), Some("pods".into()));
/// let condition = r#"resource.kind like "p*" && principal.level > 5"#.parse()?;
/// let Truth::Open(rest) = known.truth(&condition) else { return Err("open".into()) };
/// assert_eq!(stagedoor_analysis::expr::written(&rest), "principal.level > 5");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct KnownRequest {
    /// Of the principal.
    pub principal: KnownEntity,
    /// Of the action.
    pub action: KnownEntity,
    /// Of the resource.
    pub resource: KnownEntity,
    /// Of the context: values, or that they are absent.
    pub context: BTreeMap<SmolStr, Option<Literal>>,
}

impl KnownEntity {
    /// Whether it is this entity, where that is known.
    #[must_use]
    pub fn is(&self, uid: &EntityUID) -> Option<bool> {
        let same_id = self.id.as_ref().map(|id| **id == *uid.eid().as_ref());
        match (&self.type_name, same_id) {
            (Some(known), _) if known != uid.entity_type() => Some(false),
            (_, Some(false)) => Some(false),
            (Some(_), same) => same,
            (None, _) => None,
        }
    }

    /// Whether it is this entity or a member of it, where that is known.
    #[must_use]
    pub fn is_in(&self, uid: &EntityUID) -> Option<bool> {
        if self.ancestors.contains(uid) {
            return Some(true);
        }
        self.is(uid).filter(|is| *is || !self.open.contains(uid.entity_type()))
    }

    /// Whether it is what a scope asks for, where that is known.
    #[must_use]
    pub fn meets(&self, constraint: &ScopeConstraint) -> Option<bool> {
        let of_type = constraint.is_type.as_ref().map_or(Some(true), |name| self.is_a(name));
        let entity = constraint.entity.as_ref().map_or(Some(true), |uid| match constraint.exact {
            true => self.is(uid),
            false => self.is_in(uid),
        });
        match (of_type, entity) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), entity) => entity,
            (None, _) => None,
        }
    }

    /// Whether it is of this type, where that is known.
    #[must_use]
    pub fn is_a(&self, type_name: &EntityType) -> Option<bool> {
        self.type_name.as_ref().map(|known| known == type_name)
    }
}

/// A value that is known.
#[derive(PartialEq)]
enum KnownValue<'a> {
    Literal(&'a Literal),
    Set(Vec<KnownValue<'a>>),
}

impl KnownRequest {
    /// Returns what a condition comes to.
    #[must_use]
    pub fn truth(&self, expr: &Expr) -> Truth {
        let known = match expr.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => {
                return match self.truth(arg) {
                    Truth::True => Truth::False,
                    Truth::False => Truth::True,
                    Truth::Open(rest) => Truth::Open(Expr::not(rest)),
                };
            }
            ExprKind::And { .. } => return self.joined(conjuncts(expr), true),
            ExprKind::Or { .. } => return self.joined(disjuncts(expr), false),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                return match self.truth(test_expr) {
                    Truth::True => self.truth(then_expr),
                    Truth::False => self.truth(else_expr),
                    Truth::Open(_) => Truth::Open(expr.clone()),
                };
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => self.binary(*op, arg1, arg2),
            ExprKind::HasAttr { expr, attr } => self.known(expr, attr).map(Option::is_some),
            ExprKind::Like { expr, pattern } => match self.value(expr) {
                Some(KnownValue::Literal(Literal::String(text))) => {
                    Some(pattern.wildcard_match(text))
                }
                _ => None,
            },
            ExprKind::Is { expr, entity_type } => {
                self.entity(expr).and_then(|entity| entity.is_a(entity_type))
            }
            _ => match self.value(expr) {
                Some(KnownValue::Literal(Literal::Bool(held))) => Some(*held),
                _ => None,
            },
        };
        known.map_or_else(|| Truth::Open(expr.clone()), Truth::from)
    }

    /// `&&`, or else `||`.
    fn joined(&self, parts: Vec<&Expr>, is_and: bool) -> Truth {
        let mut open: Option<Expr> = None;
        for part in parts {
            match self.truth(part) {
                Truth::True if is_and => {}
                Truth::False if !is_and => {}
                Truth::Open(rest) => {
                    let join = if is_and { Expr::and } else { Expr::or };
                    open = Some(match open {
                        None => rest,
                        Some(left) => join(left, rest),
                    });
                }
                settled => return settled,
            }
        }
        open.map_or(Truth::from(is_and), Truth::Open)
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<bool> {
        match op {
            BinaryOp::Eq => self.equal(left, right),
            BinaryOp::In => {
                let entity = self.entity(left)?;
                let each: Vec<Option<bool>> =
                    entities(right)?.into_iter().map(|uid| entity.is_in(uid)).collect();
                if each.contains(&Some(true)) {
                    Some(true)
                } else {
                    each.iter().all(|is| *is == Some(false)).then_some(false)
                }
            }
            BinaryOp::Contains => match (self.value(left)?, self.value(right)?) {
                (KnownValue::Set(items), item) => Some(items.contains(&item)),
                (KnownValue::Literal(_), _) => None,
            },
            _ => None,
        }
    }

    fn equal(&self, left: &Expr, right: &Expr) -> Option<bool> {
        for (one, other) in [(left, right), (right, left)] {
            if let (Some(entity), ExprKind::Lit(Literal::EntityUID(uid))) =
                (self.entity(one), other.expr_kind())
            {
                return entity.is(uid);
            }
        }
        match (self.value(left)?, self.value(right)?) {
            // Sets are equal whatever the order: left to Cedar.
            (KnownValue::Literal(one), KnownValue::Literal(other)) => Some(one == other),
            _ => None,
        }
    }

    /// Returns an attribute, or that it is absent, where that is known.
    fn known(&self, of: &Expr, attribute: &SmolStr) -> Option<&Option<Literal>> {
        match of.expr_kind() {
            ExprKind::Var(Var::Context) => self.context.get(attribute),
            _ => self.entity(of)?.attributes.get(attribute),
        }
    }

    /// Returns the value of an expression, where it is known.
    fn value<'a>(&'a self, expr: &'a Expr) -> Option<KnownValue<'a>> {
        match expr.expr_kind() {
            ExprKind::Lit(literal) => Some(KnownValue::Literal(literal)),
            ExprKind::Set(items) => {
                let items = items.iter().map(|item| self.value(item));
                Some(KnownValue::Set(items.collect::<Option<_>>()?))
            }
            ExprKind::GetAttr { expr, attr } => {
                self.known(expr, attr)?.as_ref().map(KnownValue::Literal)
            }
            _ => None,
        }
    }

    fn entity(&self, expr: &Expr) -> Option<&KnownEntity> {
        match expr.expr_kind() {
            ExprKind::Var(Var::Principal) => Some(&self.principal),
            ExprKind::Var(Var::Action) => Some(&self.action),
            ExprKind::Var(Var::Resource) => Some(&self.resource),
            _ => None,
        }
    }
}

/// Returns the entities of `in`'s right side, if they are literals.
fn entities(expr: &Expr) -> Option<Vec<&EntityUID>> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => Some(vec![uid]),
        ExprKind::Set(items) => {
            Some(items.iter().map(entities).collect::<Option<Vec<_>>>()?.concat())
        }
        _ => None,
    }
}
