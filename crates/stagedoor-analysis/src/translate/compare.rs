//! Equality, order and ranges of addresses.

use super::{Cases, Translator, Value, constants, product};
use crate::atom::{Atom, Predicate, Relation, TermId};
use crate::constant::Constant;
use crate::formula::{Formula, Outcomes};
use crate::schema::ValueType;

impl Translator<'_> {
    pub(super) fn equal(&mut self, a: &Value, b: &Value) -> Option<Outcomes> {
        let formula = match (a, b) {
            (Value::Constant(a, a_type), Value::Constant(b, b_type)) => {
                Formula::of(a == b && a_type == b_type)
            }
            (Value::Term(term, offset, ty), Value::Constant(constant, of))
            | (Value::Constant(constant, of), Value::Term(term, offset, ty)) => {
                if ty != of {
                    return Some(Outcomes::constant(false));
                }
                match constant {
                    Constant::Entity(uid) => self.equals_entity(*term, uid),
                    Constant::Bool(value) => {
                        let is_true = self.is(*term, Predicate::IsTrue);
                        if *value { is_true } else { is_true.negated() }
                    }
                    Constant::Number(number) => match number.checked_sub(*offset) {
                        Some(number) => self.is(*term, Predicate::Equals(Constant::Number(number))),
                        None => Formula::False,
                    },
                    constant => self.is(*term, Predicate::Equals(constant.clone())),
                }
            }
            (Value::Term(a, a_offset, a_type), Value::Term(b, b_offset, b_type)) => {
                if a == b && a_type == b_type {
                    Formula::of(a_offset == b_offset)
                } else if a_type != b_type {
                    match (a_type, b_type) {
                        (ValueType::Entity(_), ValueType::Entity(_)) => Formula::False,
                        _ => return None,
                    }
                } else {
                    return self.same(*a, *b, a_type, *a_offset == 0 && *b_offset == 0);
                }
            }
            (set @ Value::Term(_, _, ValueType::Set(_)), Value::Set(members))
            | (Value::Set(members), set @ Value::Term(_, _, ValueType::Set(_))) => {
                let constants = constants(members)?;
                let has_all = self.contains_each(set, members)?;
                return Some(has_all.and(self.is_subset(set, &constants)?));
            }
            (Value::Set(a), Value::Set(b)) => Formula::of(constants(a)? == constants(b)?),
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    pub(super) fn same(
        &mut self,
        a: TermId,
        b: TermId,
        ty: &ValueType,
        unmoved: bool,
    ) -> Option<Outcomes> {
        let formula = match ty {
            ValueType::Bool => {
                let (a, b) = (self.is(a, Predicate::IsTrue), self.is(b, Predicate::IsTrue));
                let both = a.clone().and(b.clone());
                both.or(a.negated().and(b.negated()))
            }
            ValueType::Entity(_) => match (self.literal_entity(a), self.literal_entity(b)) {
                (Some(uid), _) => self.equals_entity(b, &uid),
                (_, Some(uid)) => self.equals_entity(a, &uid),
                _ => self.related(Relation::Same, a.min(b), a.max(b)),
            },
            ValueType::String | ValueType::Ip => self.related(Relation::Same, a.min(b), a.max(b)),
            ty if ty.is_numeric() && unmoved => self.related(Relation::Same, a.min(b), a.max(b)),
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    pub(super) fn related(&mut self, relation: Relation, a: TermId, b: TermId) -> Formula {
        self.literal(Atom::Related(relation, a, b))
    }

    /// `a <= b`.
    pub(super) fn at_most(&mut self, a: &Value, b: &Value) -> Option<Outcomes> {
        let formula = match (a, b) {
            (Value::Constant(Constant::Number(a), _), Value::Constant(Constant::Number(b), _)) => {
                Formula::of(a <= b)
            }
            (Value::Term(term, offset, ty), Value::Constant(Constant::Number(n), of))
                if ty == of =>
            {
                self.number_at_most(*term, i128::from(*n) - i128::from(*offset))
            }
            (Value::Constant(Constant::Number(n), of), Value::Term(term, offset, ty))
                if ty == of =>
            {
                let below = i128::from(*n) - i128::from(*offset) - 1;
                self.number_at_most(*term, below).negated()
            }
            (Value::Term(a, a_offset, _), Value::Term(b, b_offset, _)) if a == b => {
                Formula::of(a_offset <= b_offset)
            }
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    pub(super) fn ip_test(&mut self, name: &str, value: &Value) -> Option<Outcomes> {
        let formula = match value {
            Value::Constant(Constant::Ip(range), _) => Formula::of(match name {
                "isIpv4" => range.address.is_ipv4(),
                "isIpv6" => range.address.is_ipv6(),
                "isLoopback" => range.is_loopback(),
                _ => range.is_multicast(),
            }),
            Value::Term(term, _, ValueType::Ip) => match name {
                "isIpv4" => self.is(*term, Predicate::IsIpv4),
                "isIpv6" => self.is(*term, Predicate::IsIpv4).negated(),
                "isLoopback" => self.is(*term, Predicate::IsLoopback),
                _ => self.is(*term, Predicate::IsMulticast),
            },
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    /// `isInRange` with one range or more: Cedar evaluates all of them before it compares.
    pub(super) fn in_ranges(&mut self, left: &Cases, ranges: &[Cases]) -> Option<Outcomes> {
        let ranges = product(ranges.to_vec())?;
        self.over(left, |this, value| {
            let mut joined = Outcomes::error();
            for (when, ranges) in &ranges {
                let mut any = Outcomes::constant(false);
                for range in ranges {
                    let Value::Constant(Constant::Ip(range), _) = range else { return None };
                    let is_in = match value {
                        Value::Constant(Constant::Ip(address), _) => {
                            Formula::of(address.is_in(*range))
                        }
                        Value::Term(term, _, ValueType::Ip) => {
                            this.is(*term, Predicate::InRange(*range))
                        }
                        _ => return None,
                    };
                    any = any.or(Outcomes::never_errs(is_in));
                }
                if matches!(when, Formula::True) {
                    return Some(any);
                }
                let guarded = Outcomes::guarded(when, &any);
                joined.when_true = joined.when_true.or(guarded.when_true);
                joined.when_false = joined.when_false.or(guarded.when_false);
            }
            Some(joined)
        })
    }
}
