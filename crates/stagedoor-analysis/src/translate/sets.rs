//! What sets contain.

use std::collections::BTreeSet;

use super::{Translator, Value, constants};
use crate::atom::{Predicate, Relation};
use crate::constant::Constant;
use crate::formula::Outcomes;
use crate::schema::ValueType;

impl Translator<'_> {
    pub(super) fn contains(&mut self, set: &Value, member: &Value) -> Option<Outcomes> {
        match (set, member) {
            (Value::Term(term, _, ValueType::Set(_)), Value::Constant(constant, _)) => {
                let has = self.is(*term, Predicate::Contains(constant.clone()));
                Some(Outcomes::never_errs(has))
            }
            (Value::Term(term, _, ValueType::Set(_)), Value::Term(member, 0, ty)) => {
                match (self.literal_entity(*member), ty) {
                    (Some(uid), _) => {
                        let has = self.is(*term, Predicate::Contains(Constant::Entity(uid)));
                        Some(Outcomes::never_errs(has))
                    }
                    (None, ValueType::Set(_) | ValueType::Record(_) | ValueType::Other) => None,
                    (None, _) => {
                        Some(Outcomes::never_errs(self.related(Relation::Has, *term, *member)))
                    }
                }
            }
            (Value::Set(members), member) => {
                let mut any = Outcomes::constant(false);
                for of in members {
                    any = any.or(self.equal(of, member)?);
                }
                Some(any)
            }
            _ => None,
        }
    }

    pub(super) fn contains_each(&mut self, set: &Value, members: &[Value]) -> Option<Outcomes> {
        let mut all = Outcomes::constant(true);
        for member in members {
            all = all.and(self.contains(set, member)?);
        }
        Some(all)
    }

    pub(super) fn contains_all(&mut self, set: &Value, members: &Value) -> Option<Outcomes> {
        match (set, members) {
            (set, Value::Set(members)) => self.contains_each(set, members),
            (Value::Set(members), subset) => self.is_subset(subset, &constants(members)?),
            (Value::Term(a, ..), Value::Term(b, ..)) if a == b => Some(Outcomes::constant(true)),
            (Value::Term(a, _, ValueType::Set(_)), Value::Term(b, _, ValueType::Set(_))) => {
                Some(Outcomes::never_errs(self.related(Relation::Includes, *a, *b)))
            }
            _ => None,
        }
    }

    pub(super) fn contains_any(&mut self, set: &Value, members: &Value) -> Option<Outcomes> {
        match (set, members) {
            (set, Value::Set(members)) | (Value::Set(members), set) => {
                let mut any = Outcomes::constant(false);
                for member in members {
                    any = any.or(self.contains(set, member)?);
                }
                Some(any)
            }
            (Value::Term(a, _, ValueType::Set(_)), Value::Term(b, _, ValueType::Set(_))) => {
                match a == b {
                    true => {
                        let empty = self.is(*a, Predicate::Subset(BTreeSet::new()));
                        Some(Outcomes::never_errs(empty.negated()))
                    }
                    false => {
                        let overlap = self.related(Relation::Overlaps, *a.min(b), *a.max(b));
                        Some(Outcomes::never_errs(overlap))
                    }
                }
            }
            _ => None,
        }
    }

    /// Whether nothing but these is in a set.
    pub(super) fn is_subset(&mut self, set: &Value, of: &BTreeSet<Constant>) -> Option<Outcomes> {
        match set {
            Value::Set(members) => Some(Outcomes::constant(constants(members)?.is_subset(of))),
            Value::Term(term, _, ValueType::Set(_)) => {
                Some(Outcomes::never_errs(self.is(*term, Predicate::Subset(of.clone()))))
            }
            _ => None,
        }
    }
}
