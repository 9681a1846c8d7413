//! What is left of a policy, as formulas over facts about the resource.
//!
//! Cedar's conditions have three truth: true, false, and an error, which switches the
//! policy off. So each expression becomes two formulas, one that holds exactly where Cedar
//! says true and one for false; where neither holds, Cedar errs. What no rule can say is a
//! fact of its own in both, so that it can be struck out on the narrow side of a permit
//! and of a forbid alike.

use cedar_policy::{EntityTypeName, EntityUid};
use smol_str::SmolStr;
use stagedoor_core::Entities;
use stagedoor_core::ast::{BinaryOp, Expr, ExprKind, Literal, PatternElem, UnaryOp};

use super::advice::{
    EMPTINESS, KEY, MEMBERSHIP, NO_RULE, OPERATOR, PATTERN, SET_EQUALITY, SUPERSET, TOO_LARGE,
    TWO_SIDED, UNKNOWN,
};
use super::facet::{Expressible, Facet, NAME_ROW, NAMESPACE_ROW};
use super::formula::{ExprId, Formula, Polarity, Values};
use super::path::{CLAUSE, Model, Path, excerpt, mentions_resource};
use crate::entity_ref::EntityRef;

/// Formulas of more facts are given up: they would pass every budget.
const FORMULA_SIZE: usize = 4_000;
/// So many expressions of one decision are looked at.
const EXPRESSIONS: usize = 200_000;

/// Where Cedar evaluates an expression to true, and where to false.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) when_true: Formula,
    pub(crate) when_false: Formula,
    /// Cedar never errs on the expression.
    never_errors: bool,
}

/// An expression that no rule can say.
#[derive(Debug, Clone)]
pub(crate) struct UnsupportedClause {
    pub(crate) clause: String,
    pub(crate) reason: &'static str,
}

/// Translates expressions about one resource type.
pub(crate) struct Translator<'a> {
    model: Model<'a>,
    resource_type: &'a EntityTypeName,
    /// The principal and the groups.
    entities: &'a Entities,
    /// The principal is not known: whatever is said of it alone counts as supported.
    is_open: bool,
    unsupported: Vec<UnsupportedClause>,
    expressions: usize,
}

impl Truth {
    pub(crate) fn constant(value: bool) -> Self {
        Self::total(Formula::Constant(value))
    }

    fn total(when_true: Formula) -> Self {
        Self { when_false: when_true.not(), when_true, never_errors: true }
    }

    fn negated(self) -> Self {
        Self {
            when_true: self.when_false,
            when_false: self.when_true,
            never_errors: self.never_errors,
        }
    }

    fn size(&self) -> usize {
        self.when_true.size() + self.when_false.size()
    }
}

type Translation = Result<Truth, &'static str>;

impl<'a> Translator<'a> {
    pub(crate) fn new(
        model: Model<'a>,
        resource_type: &'a EntityTypeName,
        entities: &'a Entities,
    ) -> Self {
        let unsupported = Vec::new();
        Self { model, resource_type, entities, is_open: false, unsupported, expressions: 0 }
    }

    /// Returns a translator for policies as they are written, whoever the principal is.
    pub(crate) fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Returns an expression that no rule could say.
    pub(crate) fn unsupported(&self, id: ExprId) -> Option<&UnsupportedClause> {
        self.unsupported.get(id.0)
    }

    pub(crate) fn truth(&mut self, expr: &Expr) -> Truth {
        self.expressions += 1;
        let translated = match self.expressions <= EXPRESSIONS {
            true => self.translated(expr),
            false => Err(TOO_LARGE),
        };
        let translated = translated.and_then(|truth| match truth.size() <= FORMULA_SIZE {
            true => Ok(truth),
            false => Err(TOO_LARGE),
        });
        translated.unwrap_or_else(|reason| {
            let (when_true, when_false) = self.unsupported_expr(expr, reason);
            Truth { when_true, when_false, never_errors: false }
        })
    }

    fn unsupported_expr(&mut self, expr: &Expr, reason: &'static str) -> (Formula, Formula) {
        let expr_id = ExprId(self.unsupported.len());
        self.unsupported.push(UnsupportedClause { clause: excerpt(expr, CLAUSE), reason });
        (
            Formula::unsupported(expr_id, Polarity::True),
            Formula::unsupported(expr_id, Polarity::False),
        )
    }

    fn translated(&mut self, expr: &Expr) -> Translation {
        if self.is_given(expr) {
            // Any fact will do: it is known when the decision is made.
            let given = Facet::Flag(excerpt(expr, CLAUSE).into());
            let (when_true, when_false) =
                (Formula::present(given.clone()), Formula::present(given).not());
            return Ok(Truth { when_true, when_false, never_errors: false });
        }
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(value)) => Ok(Truth::constant(*value)),
            // What is left of what errs.
            ExprKind::ExtensionFunctionApp { fn_name, args }
                if args.is_empty() && fn_name.to_string() == "error" =>
            {
                Ok(Truth {
                    when_true: Formula::FALSE,
                    when_false: Formula::FALSE,
                    never_errors: false,
                })
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => match arg.expr_kind() {
                // `a != b`, `a > b`: told as it is written.
                ExprKind::BinaryApp {
                    op: op @ (BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq),
                    arg1,
                    arg2,
                } => self.binary(*op, arg1, arg2, expr).map(Truth::negated),
                _ => Ok(self.truth(arg).negated()),
            },
            ExprKind::UnaryApp { op: UnaryOp::IsEmpty, .. } => Err(EMPTINESS),
            ExprKind::And { left, right } => Ok(self.and(left, right)),
            // Either holds unless both fail.
            ExprKind::Or { left, right } => {
                let left = self.truth(left).negated();
                Ok(self.and_then(left, |translator| translator.truth(right).negated()).negated())
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => self.binary(*op, arg1, arg2, expr),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let condition = self.truth(test_expr);
                let (then, other) = (self.truth(then_expr), self.truth(else_expr));
                let choose = |then: Formula, other: Formula| {
                    Formula::any([
                        Formula::all([condition.when_true.clone(), then]),
                        Formula::all([condition.when_false.clone(), other]),
                    ])
                };
                Ok(Truth {
                    when_true: choose(then.when_true, other.when_true),
                    when_false: choose(then.when_false, other.when_false),
                    never_errors: condition.never_errors && then.never_errors && other.never_errors,
                })
            }
            ExprKind::HasAttr { expr, attr } => {
                let of = self.model.path(expr).ok_or(UNKNOWN)?;
                let path = self.model.attribute(&of, attr).ok_or(UNKNOWN)?;
                Ok(Truth::total(path.presence().map_or(Formula::TRUE, present)))
            }
            ExprKind::Like { expr: of, pattern } => self.like(of, pattern.get_elems(), expr),
            ExprKind::Is { expr, entity_type } => {
                if self.model.path(expr) != Some(Path::Resource) {
                    return Err(UNKNOWN);
                }
                Ok(Truth::constant(entity_type == AsRef::as_ref(self.resource_type)))
            }
            ExprKind::GetAttr { .. } => Err(UNKNOWN),
            _ => Err(OPERATOR),
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, whole: &Expr) -> Translation {
        match op {
            BinaryOp::Eq => self.equal(left, right, whole),
            BinaryOp::HasTag => {
                let of = self.model.path(left).ok_or(UNKNOWN)?;
                let tag = self.strings(right).and_then(|tags| tags.first().cloned()).ok_or(KEY)?;
                match self.model.tag(&of, &tag) {
                    Some(path) => Ok(Truth::total(path.presence().map_or(Formula::TRUE, present))),
                    None => Err(NO_RULE),
                }
            }
            BinaryOp::Contains => self.contains(left, right, whole),
            BinaryOp::ContainsAny => {
                let (path, values) = self.path_and(left, right)?;
                self.set_contains(&path, values, false, whole)
            }
            BinaryOp::ContainsAll => match self.model.path(left) {
                Some(path) => self.set_contains(&path, right, true, whole),
                None => Err(SUPERSET),
            },
            BinaryOp::In => self.member(left, right),
            BinaryOp::GetTag => Err(UNKNOWN),
            _ => Err(OPERATOR),
        }
    }

    fn and(&mut self, left: &Expr, right: &Expr) -> Truth {
        let left = self.truth(left);
        self.and_then(left, |translator| translator.truth(right))
    }

    /// Cedar evaluates the right side only where the left one holds.
    fn and_then(&mut self, left: Truth, right: impl FnOnce(&mut Self) -> Truth) -> Truth {
        if left.when_true == Formula::FALSE {
            return left;
        }
        let right = right(self);
        let guard = if left.never_errors { Formula::TRUE } else { left.when_true.clone() };
        Truth {
            when_true: Formula::all([left.when_true, right.when_true]),
            when_false: Formula::any([left.when_false, Formula::all([guard, right.when_false])]),
            never_errors: left.never_errors && right.never_errors,
        }
    }

    fn equal(&mut self, left: &Expr, right: &Expr, whole: &Expr) -> Translation {
        for (side, other) in [(left, right), (right, left)] {
            if let ExprKind::Lit(Literal::Bool(value)) = other.expr_kind() {
                let truth = self.truth(side);
                return Ok(if *value { truth } else { truth.negated() });
            }
        }
        let (path, other) = self.path_and(left, right)?;
        match path {
            Path::Resource => {
                let uids = self.uids(other).ok_or(UNKNOWN)?;
                let uid = uids.first().ok_or(UNKNOWN)?;
                self.is_entity(uid).map(Truth::total)
            }
            Path::One(facet) => {
                let values = self.strings(other).ok_or(UNKNOWN)?;
                Ok(self.one_of(&facet, values, whole))
            }
            Path::Set(_) | Path::OwnerGroups => Err(SET_EQUALITY),
            Path::Labels | Path::Annotations | Path::Input => Err(UNKNOWN),
        }
    }

    /// Returns the side that is a path, and the other, which is not.
    fn path_and<'e>(
        &self,
        left: &'e Expr,
        right: &'e Expr,
    ) -> Result<(Path, &'e Expr), &'static str> {
        match (self.model.path(left), self.model.path(right)) {
            (Some(path), None) if !mentions_resource(right) => Ok((path, right)),
            (None, Some(path)) if !mentions_resource(left) => Ok((path, left)),
            (None, None) => Err(UNKNOWN),
            _ => Err(TWO_SIDED),
        }
    }

    fn contains(&mut self, left: &Expr, right: &Expr, whole: &Expr) -> Translation {
        let (path, other) = self.path_and(left, right)?;
        let is_element = self.model.path(right).is_some();
        match path {
            // `["a", "b"].contains(resource.kind)`
            Path::One(facet) if is_element => {
                let values = self.strings(other).ok_or(UNKNOWN)?;
                Ok(self.one_of(&facet, values, whole))
            }
            Path::Set(_) | Path::OwnerGroups if !is_element => {
                self.set_contains(&path, other, false, whole)
            }
            _ => Err(UNKNOWN),
        }
    }

    /// `path.containsAny(other)`, or `containsAll`.
    fn set_contains(&mut self, path: &Path, other: &Expr, all: bool, whole: &Expr) -> Translation {
        let (facet, values) = match path {
            Path::Set(facet) => (facet.clone(), self.strings(other).ok_or(UNKNOWN)?),
            Path::OwnerGroups => {
                let uids = self.uids(other).ok_or(UNKNOWN)?;
                (Facet::Owner, uids.iter().map(owner_group).collect::<Option<_>>().ok_or(UNKNOWN)?)
            }
            _ => return Err(UNKNOWN),
        };
        if !all {
            return Ok(self.one_of(&facet, values, whole));
        }
        let mut whole_set = Truth {
            when_true: present(&facet),
            when_false: Formula::FALSE,
            never_errors: facet.is_always(),
        };
        for value in values {
            let one = self.one_of(&facet, vec![value], whole);
            whole_set = Truth {
                when_true: Formula::all([whole_set.when_true, one.when_true]),
                when_false: Formula::any([whole_set.when_false, one.when_false]),
                never_errors: whole_set.never_errors,
            };
        }
        Ok(whole_set)
    }

    /// The facet has one of the values; Cedar errs where the facet is not there.
    fn one_of(&mut self, facet: &Facet, values: Vec<SmolStr>, whole: &Expr) -> Truth {
        let (mut said, mut reason) = (Values::new(), None);
        for value in values {
            match facet.value(&value) {
                Expressible::Yes => {
                    said.insert(value);
                }
                Expressible::Never => {}
                Expressible::No(why) => reason = Some(why),
            }
        }
        let (is_there, has_value) = (present(facet), Formula::one_of(facet.clone(), said));
        let mut when_false = Formula::all([is_there.clone(), has_value.not()]);
        let mut when_true = Formula::all([is_there.clone(), has_value]);
        if let Some(reason) = reason {
            let (also_true, also_false) = self.unsupported_expr(whole, reason);
            when_true = Formula::any([when_true, Formula::all([is_there, also_true])]);
            when_false = Formula::all([when_false, also_false]);
        }
        Truth { when_true, when_false, never_errors: facet.is_always() }
    }

    fn like(&mut self, of: &Expr, pattern: &[PatternElem], whole: &Expr) -> Translation {
        let Some(Path::One(facet)) = self.model.path(of) else { return Err(UNKNOWN) };
        let text: Option<String> = pattern
            .iter()
            .map(|element| match element {
                PatternElem::Char(c) => Some(*c),
                PatternElem::Wildcard => None,
            })
            .collect();
        if let Some(text) = text {
            return Ok(self.one_of(&facet, vec![text.into()], whole));
        }
        if pattern.iter().all(|element| *element == PatternElem::Wildcard) {
            let never_errors = facet.is_always();
            return Ok(Truth {
                when_true: present(&facet),
                when_false: Formula::FALSE,
                never_errors,
            });
        }
        Err(PATTERN)
    }

    fn member(&mut self, left: &Expr, right: &Expr) -> Translation {
        match (self.model.path(left), self.model.path(right)) {
            // `principal in resource.ownerGroups`
            (None, Some(Path::OwnerGroups)) => {
                let members = self.uids(left).ok_or(UNKNOWN)?;
                let claims = members.iter().flat_map(|uid| self.with_ancestors(uid));
                let claims: Vec<SmolStr> = claims.filter_map(|uid| owner_group(&uid)).collect();
                Ok(self.one_of(&Facet::Owner, claims, left))
            }
            (None, None) => {
                let members = self.uids(left).ok_or(UNKNOWN)?;
                let groups = self.uids(right).ok_or(UNKNOWN)?;
                let is_member = members
                    .iter()
                    .any(|uid| self.with_ancestors(uid).iter().any(|above| groups.contains(above)));
                Ok(Truth::constant(is_member))
            }
            (Some(Path::Resource), None) => Err(MEMBERSHIP),
            (Some(_), Some(_)) => Err(TWO_SIDED),
            _ => Err(UNKNOWN),
        }
    }

    fn with_ancestors(&self, uid: &EntityUid) -> Vec<EntityUid> {
        std::iter::once(uid).chain(self.entities.ancestors(uid)).cloned().collect()
    }

    /// The resource is the entity of this id.
    fn is_entity(&self, uid: &EntityUid) -> Result<Formula, &'static str> {
        if uid.type_name() != self.resource_type {
            return Ok(Formula::FALSE);
        }
        if self.model != Model::CatalogEntity {
            return Err("Backstage's rules do not know the ids of these resources");
        }
        let id = uid.id().unescaped();
        // References are in this form and no other.
        let Ok(reference) = id.parse::<EntityRef>() else { return Ok(Formula::FALSE) };
        if reference.to_string() != id {
            return Ok(Formula::FALSE);
        }
        let is = |facet, value: &str| Formula::one_of(facet, Values::from([value.into()]));
        Ok(Formula::all([
            is(Facet::Kind, reference.kind()),
            is(Facet::Row(NAMESPACE_ROW.into()), reference.namespace()),
            is(Facet::Row(NAME_ROW.into()), reference.name()),
        ]))
    }

    /// Returns whether the expression is about the principal alone, which is not known yet.
    fn is_given(&self, expr: &Expr) -> bool {
        self.is_open
            && !matches!(expr.expr_kind(), ExprKind::Lit(_) | ExprKind::Set(_))
            && !mentions_resource(expr)
    }

    /// Returns the strings of a literal or of a set of literals.
    fn strings(&self, expr: &Expr) -> Option<Vec<SmolStr>> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::String(text)) => Some(vec![text.clone()]),
            ExprKind::Set(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.strings(item)).collect();
                Some(items?.concat())
            }
            _ if self.is_given(expr) => Some(vec!["given".into()]),
            _ => None,
        }
    }

    /// Returns the entities of a literal or of a set of literals.
    fn uids(&self, expr: &Expr) -> Option<Vec<EntityUid>> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::EntityUID(uid)) => Some(vec![uid.as_ref().clone().into()]),
            ExprKind::Set(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.uids(item)).collect();
                Some(items?.concat())
            }
            _ if self.is_given(expr) => Some(Vec::new()),
            _ => None,
        }
    }
}

fn present(facet: &Facet) -> Formula {
    match facet.presence() {
        Expressible::Never => Formula::FALSE,
        Expressible::Yes | Expressible::No(_) => Formula::present(facet.clone()),
    }
}

/// Returns the claim that stands for a group among the owners. Owners that are users are
/// not in `ownerGroups`.
fn owner_group(uid: &EntityUid) -> Option<SmolStr> {
    let id = uid.id().unescaped();
    let of_type = uid.type_name();
    let is_group = of_type.basename() == "Group" && of_type.namespace() == crate::names::NAMESPACE;
    (is_group && !id.starts_with("user:")).then(|| id.into())
}
