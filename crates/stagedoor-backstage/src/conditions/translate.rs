//! What is left of a policy, as formulas over facts about the resource.
//!
//! Cedar's conditions have three outcomes: true, false, and an error, which switches the
//! policy off. So each expression becomes two formulas, one that holds exactly where Cedar
//! says true and one for false; where neither holds, Cedar errs. What no rule can say is a
//! fact of its own in both, so that it can be struck out on the narrow side of a permit
//! and of a forbid alike.

use cedar_policy::pst::{BinaryOp, Expr, Literal, PatternElem, UnaryOp};
use cedar_policy::{EntityTypeName, EntityUid};
use smol_str::SmolStr;
use stagedoor_core::Entities;

use super::advice::{
    EMPTINESS, KEY, MEMBERSHIP, NO_RULE, OPERATOR, PATTERN, SET_EQUALITY, SUPERSET, TOO_LARGE,
    TWO_SIDED, UNKNOWN,
};
use super::facet::{Facet, NAME_ROW, NAMESPACE_ROW, Sayable};
use super::formula::{Formula, Values};
use super::path::{Model, Path, excerpt, mentions_resource};
use crate::entity_ref::EntityRef;

/// Formulas of more facts are given up: they would pass every budget.
const FORMULA_SIZE: usize = 4_000;
/// So many expressions of one decision are looked at.
const EXPRESSIONS: usize = 200_000;

/// Where Cedar evaluates an expression to true, and where to false.
#[derive(Debug, Clone)]
pub(crate) struct Outcomes {
    pub(crate) holds: Formula,
    pub(crate) fails: Formula,
    /// Cedar never errs on the expression.
    is_total: bool,
}

/// An expression that no rule can say.
#[derive(Debug, Clone)]
pub(crate) struct NotSayable {
    pub(crate) clause: String,
    pub(crate) reason: &'static str,
}

/// Translates expressions about one resource type.
pub(crate) struct Translator<'a> {
    model: Model<'a>,
    resource_type: &'a EntityTypeName,
    /// The principal and the groups.
    entities: &'a Entities,
    /// The principal is not known: whatever is said of it alone counts as sayable.
    is_open: bool,
    not_sayable: Vec<NotSayable>,
    expressions: usize,
}

impl Outcomes {
    pub(crate) fn constant(value: bool) -> Self {
        Self::total(Formula::Constant(value))
    }

    fn total(holds: Formula) -> Self {
        Self { fails: holds.not(), holds, is_total: true }
    }

    fn negated(self) -> Self {
        Self { holds: self.fails, fails: self.holds, is_total: self.is_total }
    }

    fn size(&self) -> usize {
        self.holds.size() + self.fails.size()
    }
}

type Translated = Result<Outcomes, &'static str>;

impl<'a> Translator<'a> {
    pub(crate) fn new(
        model: Model<'a>,
        resource_type: &'a EntityTypeName,
        entities: &'a Entities,
    ) -> Self {
        let not_sayable = Vec::new();
        Self { model, resource_type, entities, is_open: false, not_sayable, expressions: 0 }
    }

    /// Returns a translator for policies as they are written, whoever the principal is.
    pub(crate) fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Returns what no rule could say; a formula has each under twice its number, and one more.
    pub(crate) fn not_sayable(&self) -> &[NotSayable] {
        &self.not_sayable
    }

    pub(crate) fn outcomes(&mut self, expr: &Expr) -> Outcomes {
        self.expressions += 1;
        let translated = match self.expressions <= EXPRESSIONS {
            true => self.translated(expr),
            false => Err(TOO_LARGE),
        };
        let translated = translated.and_then(|outcomes| match outcomes.size() <= FORMULA_SIZE {
            true => Ok(outcomes),
            false => Err(TOO_LARGE),
        });
        translated.unwrap_or_else(|reason| {
            let (holds, fails) = self.unsaid(expr, reason);
            Outcomes { holds, fails, is_total: false }
        })
    }

    fn unsaid(&mut self, expr: &Expr, reason: &'static str) -> (Formula, Formula) {
        let number = self.not_sayable.len();
        self.not_sayable.push(NotSayable { clause: excerpt(expr), reason });
        (Formula::not_sayable(2 * number), Formula::not_sayable(2 * number + 1))
    }

    fn translated(&mut self, expr: &Expr) -> Translated {
        if self.is_given(expr) {
            // Any fact will do: it is known when the decision is made.
            let given = Facet::Flag(excerpt(expr).into());
            let (holds, fails) = (Formula::present(given.clone()), Formula::present(given).not());
            return Ok(Outcomes { holds, fails, is_total: false });
        }
        match expr {
            Expr::Literal(Literal::Bool(value)) => Ok(Outcomes::constant(*value)),
            Expr::ResidualError => {
                Ok(Outcomes { holds: Formula::FALSE, fails: Formula::FALSE, is_total: false })
            }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => Ok(self.outcomes(expr).negated()),
            Expr::UnaryOp { op: UnaryOp::IsEmpty, .. } => Err(EMPTINESS),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, expr),
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let condition = self.outcomes(cond);
                let (then, other) = (self.outcomes(then_expr), self.outcomes(else_expr));
                let choose = |then: Formula, other: Formula| {
                    Formula::any([
                        Formula::all([condition.holds.clone(), then]),
                        Formula::all([condition.fails.clone(), other]),
                    ])
                };
                Ok(Outcomes {
                    holds: choose(then.holds, other.holds),
                    fails: choose(then.fails, other.fails),
                    is_total: condition.is_total && then.is_total && other.is_total,
                })
            }
            Expr::HasAttr { expr, attrs } if attrs.len() == 1 => {
                let of = self.model.path(expr).ok_or(UNKNOWN)?;
                let path = self.model.attribute(&of, attrs.first()).ok_or(UNKNOWN)?;
                Ok(Outcomes::total(path.presence().map_or(Formula::TRUE, present)))
            }
            Expr::Like { expr: of, pattern } => self.like(of, pattern, expr),
            Expr::Is { expr, entity_type, in_expr } => {
                if self.model.path(expr) != Some(Path::Resource) {
                    return Err(UNKNOWN);
                }
                let is_type = entity_type.to_string() == self.resource_type.to_string();
                match in_expr {
                    Some(groups) if is_type => self.member(expr, groups),
                    _ => Ok(Outcomes::constant(is_type)),
                }
            }
            Expr::GetAttr { .. } => Err(UNKNOWN),
            _ => Err(OPERATOR),
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, whole: &Expr) -> Translated {
        match op {
            BinaryOp::And => Ok(self.and(left, right)),
            // Either holds unless both fail.
            BinaryOp::Or => {
                let left = self.outcomes(left).negated();
                Ok(self.and_then(left, |translator| translator.outcomes(right).negated()).negated())
            }
            BinaryOp::Eq => self.equal(left, right, whole),
            BinaryOp::NotEq => self.equal(left, right, whole).map(Outcomes::negated),
            BinaryOp::HasTag => {
                let of = self.model.path(left).ok_or(UNKNOWN)?;
                let tag = self.strings(right).and_then(|tags| tags.first().cloned()).ok_or(KEY)?;
                match self.model.tag(&of, &tag) {
                    Some(path) => {
                        Ok(Outcomes::total(path.presence().map_or(Formula::TRUE, present)))
                    }
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

    fn and(&mut self, left: &Expr, right: &Expr) -> Outcomes {
        let left = self.outcomes(left);
        self.and_then(left, |translator| translator.outcomes(right))
    }

    /// Cedar evaluates the right side only where the left one holds.
    fn and_then(&mut self, left: Outcomes, right: impl FnOnce(&mut Self) -> Outcomes) -> Outcomes {
        if left.holds == Formula::FALSE {
            return left;
        }
        let right = right(self);
        let guard = if left.is_total { Formula::TRUE } else { left.holds.clone() };
        Outcomes {
            holds: Formula::all([left.holds, right.holds]),
            fails: Formula::any([left.fails, Formula::all([guard, right.fails])]),
            is_total: left.is_total && right.is_total,
        }
    }

    fn equal(&mut self, left: &Expr, right: &Expr, whole: &Expr) -> Translated {
        for (side, other) in [(left, right), (right, left)] {
            if let Expr::Literal(Literal::Bool(value)) = other {
                let outcomes = self.outcomes(side);
                return Ok(if *value { outcomes } else { outcomes.negated() });
            }
        }
        let (path, other) = self.path_and(left, right)?;
        match path {
            Path::Resource => {
                let uids = self.uids(other).ok_or(UNKNOWN)?;
                let uid = uids.first().ok_or(UNKNOWN)?;
                self.is_entity(uid).map(Outcomes::total)
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

    fn contains(&mut self, left: &Expr, right: &Expr, whole: &Expr) -> Translated {
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
    fn set_contains(&mut self, path: &Path, other: &Expr, all: bool, whole: &Expr) -> Translated {
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
        let mut whole_set =
            Outcomes { holds: present(&facet), fails: Formula::FALSE, is_total: facet.is_always() };
        for value in values {
            let one = self.one_of(&facet, vec![value], whole);
            whole_set = Outcomes {
                holds: Formula::all([whole_set.holds, one.holds]),
                fails: Formula::any([whole_set.fails, one.fails]),
                is_total: whole_set.is_total,
            };
        }
        Ok(whole_set)
    }

    /// The facet has one of the values; Cedar errs where the facet is not there.
    fn one_of(&mut self, facet: &Facet, values: Vec<SmolStr>, whole: &Expr) -> Outcomes {
        let (mut said, mut unsaid) = (Values::new(), None);
        for value in values {
            match facet.value(&value) {
                Sayable::Yes => {
                    said.insert(value);
                }
                Sayable::Never => {}
                Sayable::No(reason) => unsaid = Some(reason),
            }
        }
        let (is_there, has_value) = (present(facet), Formula::one_of(facet.clone(), said));
        let mut fails = Formula::all([is_there.clone(), has_value.not()]);
        let mut holds = Formula::all([is_there.clone(), has_value]);
        if let Some(reason) = unsaid {
            let (also_holds, also_fails) = self.unsaid(whole, reason);
            holds = Formula::any([holds, Formula::all([is_there, also_holds])]);
            fails = Formula::all([fails, also_fails]);
        }
        Outcomes { holds, fails, is_total: facet.is_always() }
    }

    fn like(&mut self, of: &Expr, pattern: &[PatternElem], whole: &Expr) -> Translated {
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
            let is_total = facet.is_always();
            return Ok(Outcomes { holds: present(&facet), fails: Formula::FALSE, is_total });
        }
        Err(PATTERN)
    }

    fn member(&mut self, left: &Expr, right: &Expr) -> Translated {
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
                Ok(Outcomes::constant(is_member))
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
        self.is_open && !matches!(expr, Expr::Literal(_) | Expr::Set(_)) && !mentions_resource(expr)
    }

    /// Returns the strings of a literal or of a set of literals.
    fn strings(&self, expr: &Expr) -> Option<Vec<SmolStr>> {
        match expr {
            Expr::Literal(Literal::String(text)) => Some(vec![text.clone()]),
            Expr::Set(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.strings(item)).collect();
                Some(items?.concat())
            }
            given if self.is_given(given) => Some(vec!["given".into()]),
            _ => None,
        }
    }

    /// Returns the entities of a literal or of a set of literals.
    fn uids(&self, expr: &Expr) -> Option<Vec<EntityUid>> {
        match expr {
            Expr::Literal(Literal::EntityUID(uid)) => {
                let type_name: EntityTypeName = uid.ty.to_string().parse().ok()?;
                let id = cedar_policy::EntityId::new(uid.eid.as_str());
                Some(vec![EntityUid::from_type_name_and_id(type_name, id)])
            }
            Expr::Set(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.uids(item)).collect();
                Some(items?.concat())
            }
            given if self.is_given(given) => Some(Vec::new()),
            _ => None,
        }
    }
}

fn present(facet: &Facet) -> Formula {
    match facet.presence() {
        Sayable::Never => Formula::FALSE,
        Sayable::Yes | Sayable::No(_) => Formula::present(facet.clone()),
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
