//! Attributes, tags and memberships of entities.

use cedar_policy_core::ast::{EntityType, EntityUID};
use smol_str::SmolStr;

use super::{Cases, Translator, Value};
use crate::atom::{Atom, Origin, Predicate, Relation, Root, Step, TermId};
use crate::constant::Constant;
use crate::formula::{Formula, Outcomes};
use crate::schema::{Field, ValueType};

impl Translator<'_> {
    pub(super) fn attribute(&mut self, cases: &Cases, attr: &SmolStr) -> Option<Cases> {
        let mut found = Vec::new();
        for (when, value) in cases {
            match value {
                Value::Record(fields) => {
                    let field = fields.iter().find(|(name, _)| name == attr);
                    found.extend(field.map(|(_, value)| (when.clone(), value.clone())));
                }
                value => {
                    // What cannot be there errs: no case.
                    let Some(term) = self.looked_into(value)? else { continue };
                    let Some(field) = self.field(term, attr) else { continue };
                    let there = self.is_there(term);
                    let (child, present) = self.step(term, Step::Attribute(attr.clone()), &field);
                    let ty = self.atoms.ty(child).clone();
                    let when = Formula::all([when.clone(), there, present]);
                    found.push((when, Value::Term(child, 0, ty)));
                }
            }
        }
        Some(found)
    }

    pub(super) fn tags(&mut self, entities: &Cases, keys: &Cases) -> Option<Cases> {
        let mut found = Vec::new();
        for (when, value) in entities {
            for (also, key) in keys {
                let Value::Constant(Constant::String(key), _) = key else { return None };
                let Some(term) = self.looked_into(value)? else { continue };
                let Some(field) = self.tag(term) else { continue };
                let there = self.is_there(term);
                let (child, present) = self.step(term, Step::Tag(key.clone()), &field);
                let ty = self.atoms.ty(child).clone();
                let when = Formula::all([when.clone(), also.clone(), there, present]);
                found.push((when, Value::Term(child, 0, ty)));
            }
        }
        Some(found)
    }

    /// Returns the term of an entity or record that attributes are read from; the inner nothing
    /// for what has no attributes, such as an action.
    #[expect(clippy::option_option, reason = "outside of the fragment, and nothing to read")]
    pub(super) fn looked_into(&mut self, value: &Value) -> Option<Option<TermId>> {
        match value {
            Value::Term(term, _, ValueType::Entity(_) | ValueType::Record(_)) => Some(Some(*term)),
            Value::Constant(Constant::Entity(uid), _) => {
                let known = self.schema.entity(uid.entity_type()).is_some();
                Some(known.then(|| self.root(Root::Entity(uid.clone()))))
            }
            _ => None,
        }
    }

    /// Where the entity at a term is among the entities; everywhere for a record.
    pub(super) fn is_there(&mut self, term: TermId) -> Formula {
        match self.atoms.ty(term) {
            ValueType::Entity(_) => self.literal(Atom::Exists(term)),
            _ => Formula::True,
        }
    }

    pub(super) fn field(&self, term: TermId, attr: &str) -> Option<Field> {
        match self.atoms.ty(term) {
            ValueType::Record(fields) => fields.get(attr).cloned(),
            ValueType::Entity(name) => self.schema.entity(name)?.fields.get(attr).cloned(),
            _ => None,
        }
    }

    pub(super) fn tag(&self, term: TermId) -> Option<Field> {
        match self.atoms.ty(term) {
            ValueType::Entity(name) => {
                let ty = self.schema.entity(name)?.tags.clone()?;
                Some(Field { ty, required: false })
            }
            _ => None,
        }
    }

    /// Returns the term of an attribute or tag, and where it is there if its owner is.
    pub(super) fn step(&mut self, term: TermId, step: Step, field: &Field) -> (TermId, Formula) {
        let child = self.atoms.term(Origin::Step(term, step), || field.ty.clone());
        let present = match field.required {
            true => Formula::True,
            false => self.literal(Atom::Present(child)),
        };
        (child, present)
    }

    pub(super) fn has(&mut self, value: &Value, attr: &SmolStr) -> Option<Outcomes> {
        if let Value::Record(fields) = value {
            return Some(Outcomes::constant(fields.iter().any(|(name, _)| name == attr)));
        }
        let Some(term) = self.looked_into(value)? else { return Some(Outcomes::constant(false)) };
        let Some(field) = self.field(term, attr) else { return Some(Outcomes::constant(false)) };
        let there = self.is_there(term);
        let (_, present) = self.step(term, Step::Attribute(attr.clone()), &field);
        Some(Outcomes::never_errs(there.and(present)))
    }

    pub(super) fn has_tag(&mut self, value: &Value, key: &Value) -> Option<Outcomes> {
        let Value::Constant(Constant::String(key), _) = key else { return None };
        let Some(term) = self.looked_into(value)? else { return Some(Outcomes::constant(false)) };
        let Some(field) = self.tag(term) else { return Some(Outcomes::constant(false)) };
        let there = self.is_there(term);
        let (_, present) = self.step(term, Step::Tag(key.clone()), &field);
        Some(Outcomes::never_errs(there.and(present)))
    }

    pub(super) fn equals_entity(&mut self, term: TermId, uid: &EntityUID) -> Formula {
        match self.atoms.ty(term) {
            ValueType::Entity(name) if name != uid.entity_type() => Formula::False,
            ValueType::Entity(name) if !self.is_choice(name, uid) => Formula::False,
            _ => match self.literal_entity(term) {
                Some(known) => Formula::of(known == *uid),
                None => self.is(term, Predicate::Equals(Constant::Entity(uid.clone()))),
            },
        }
    }

    /// Returns the entity that a term always is.
    pub(super) fn literal_entity(&self, term: TermId) -> Option<EntityUID> {
        match &self.atoms.terms().get(term)?.origin {
            Origin::Root(Root::Entity(uid)) => Some(uid.clone()),
            _ => None,
        }
    }

    /// Returns whether an enumerated type has this entity; true for other types.
    pub(super) fn is_choice(&self, name: &EntityType, uid: &EntityUID) -> bool {
        let choices = self.schema.entity(name).and_then(|shape| shape.choices.as_ref());
        choices.is_none_or(|ids| ids.iter().any(|id| id == AsRef::<str>::as_ref(uid.eid())))
    }

    /// Where the entity at a term is this one, or a member of it.
    pub(super) fn is_in(&mut self, term: TermId, uid: &EntityUID) -> Formula {
        let ValueType::Entity(name) = self.atoms.ty(term).clone() else { return Formula::False };
        let equal = self.equals_entity(term, uid);
        let may_be_member =
            self.may_be_member(&name, uid.entity_type()) && self.is_choice(uid.entity_type(), uid);
        match (may_be_member, &equal) {
            (false, _) | (_, Formula::True) => equal,
            (true, _) => self.is(term, Predicate::In(uid.clone())),
        }
    }

    pub(super) fn may_be_member(&self, name: &EntityType, group: &EntityType) -> bool {
        self.schema.entity(name).is_some_and(|shape| shape.ancestors.contains(group))
    }

    pub(super) fn member(&mut self, a: &Value, b: &Value) -> Option<Outcomes> {
        if let Value::Set(groups) = b {
            let mut any = Outcomes::constant(false);
            for group in groups {
                any = any.or(self.member(a, group)?);
            }
            return Some(any);
        }
        let formula = match (a, b) {
            (Value::Constant(Constant::Entity(a), _), Value::Constant(Constant::Entity(b), _)) => {
                self.constant_in(a, b)
            }
            (Value::Term(term, ..), Value::Constant(Constant::Entity(uid), _)) => {
                self.is_in(*term, uid)
            }
            (Value::Constant(Constant::Entity(uid), _), Value::Term(..)) => {
                self.schema.entity(uid.entity_type())?;
                let term = self.root(Root::Entity(uid.clone()));
                let ty = self.atoms.ty(term).clone();
                return self.member(&Value::Term(term, 0, ty), b);
            }
            (Value::Term(a, _, ValueType::Entity(name)), Value::Term(b, _, ty)) => match ty {
                ValueType::Entity(group) if a == b && name == group => Formula::True,
                ValueType::Entity(group) => match self.literal_entity(*b) {
                    Some(uid) => self.is_in(*a, &uid),
                    None if self.may_be_member(name, group) => {
                        self.related(Relation::Within, *a, *b)
                    }
                    None => {
                        return self.equal(
                            &Value::Term(*a, 0, ValueType::Entity(name.clone())),
                            &Value::Term(*b, 0, ty.clone()),
                        );
                    }
                },
                ValueType::Set(_) => self.related(Relation::WithinAny, *a, *b),
                _ => return None,
            },
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    pub(super) fn constant_in(&mut self, a: &EntityUID, b: &EntityUID) -> Formula {
        if a == b {
            return Formula::True;
        }
        if let Some(groups) = self.schema.actions.get(a) {
            return Formula::of(groups.contains(b));
        }
        if self.schema.entity(a.entity_type()).is_none() {
            return Formula::False;
        }
        let term = self.root(Root::Entity(a.clone()));
        self.is_in(term, b)
    }
}
