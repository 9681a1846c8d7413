//! What tests depend on of the entity that is listed, and how they are answered for many entities.

use smallvec::SmallVec;

use crate::columns::Facet;
use crate::ir::{Operand, Predicate};
use crate::number::PathNumber;
use crate::policy::EntityScope;
use crate::symbols::{Path, Step, Symbols, Var};

/// What a test depends on.
#[derive(Debug, Default)]
pub(super) struct TestInputs<'s> {
    /// Which entity it is.
    pub(super) identity: bool,
    /// The first steps from the entity.
    pub(super) steps: SmallVec<[&'s Step; 2]>,
    /// The unknown of the context.
    pub(super) open: bool,
}

/// How a test that depends on the entity alone is answered for many entities.
#[derive(Debug)]
pub(super) enum Means<'t> {
    /// By a column that tells which entities have which key, or nothing.
    Column(Facet),
    /// By the id: it is compared with this, which does not depend on the entity.
    Itself(&'t Operand),
    /// Once for all entities that have the same value.
    Alike(Facet),
    /// For each entity by itself.
    Each,
}

/// Tells what tests depend on.
pub(super) struct InputReader<'s> {
    pub(super) symbols: &'s Symbols,
    /// What is listed.
    pub(super) var: Var,
    /// Whether it is not known what stands at a path of the context.
    pub(super) is_open: &'s dyn Fn(PathNumber) -> bool,
}

impl<'s> InputReader<'s> {
    /// Returns the column that a scope's constraint on the entity is answered by, if it needs one.
    pub(super) fn scope(scope: &EntityScope) -> Option<Facet> {
        match scope {
            EntityScope::Eq(_) => Some(Facet::Itself),
            EntityScope::In(_) | EntityScope::IsIn(..) => Some(Facet::Above),
            EntityScope::Any | EntityScope::Is(_) => None,
        }
    }

    /// Returns how a test is answered that reads this.
    pub(super) fn means<'t>(&self, test: &'t Predicate, reads: &TestInputs<'s>) -> Means<'t> {
        let steps = |path: &PathNumber| self.symbols.path(*path).map(|path| path.steps.as_slice());
        match test {
            Predicate::OneOf { path, .. } => match steps(path) {
                Some([]) => return Means::Column(Facet::Itself),
                Some([step]) => return Means::Column(Facet::Value(step.clone())),
                _ => {}
            },
            Predicate::Has { path } => {
                if let Some([step]) = steps(path) {
                    return Means::Column(Facet::Value(step.clone()));
                }
            }
            Predicate::Contains { path, .. } => {
                if let Some([step]) = steps(path) {
                    return Means::Column(Facet::Elements(step.clone()));
                }
            }
            Predicate::In { var, .. } if *var == self.var => return Means::Column(Facet::Above),
            Predicate::Equal(pair) => {
                if let Some(other) = self.compared(pair) {
                    return Means::Itself(other);
                }
            }
            _ => {}
        }
        match reads.steps.as_slice() {
            [step] if !reads.identity => Means::Alike(Facet::Alike((*step).clone())),
            _ => Means::Each,
        }
    }

    /// Returns what an entity is compared with, where that does not depend on it:
    /// `resource.owner == principal`.
    fn compared<'t>(&self, [left, right]: &'t [Operand; 2]) -> Option<&'t Operand> {
        let is_itself = |term: &Operand| match term {
            Operand::Path(path) => self
                .symbols
                .path(*path)
                .is_some_and(|path| path.var == self.var && path.steps.is_empty()),
            _ => false,
        };
        let other = match (is_itself(left), is_itself(right)) {
            (true, false) => right,
            (false, true) => left,
            _ => return None,
        };
        let reads = self.read(SmallVec::new(), SmallVec::from_iter([other]));
        (!reads.identity && !reads.open && reads.steps.is_empty()).then_some(other)
    }

    /// Returns what a test depends on.
    pub(super) fn reads(&self, test: &Predicate) -> TestInputs<'s> {
        self.read(SmallVec::from_iter([test]), SmallVec::new())
    }

    fn read<'t>(
        &self,
        mut tests: SmallVec<[&'t Predicate; 8]>,
        mut terms: SmallVec<[&'t Operand; 8]>,
    ) -> TestInputs<'s> {
        let mut reads = TestInputs::default();
        loop {
            if let Some(term) = terms.pop() {
                self.add_term(term, &mut tests, &mut terms, &mut reads);
                continue;
            }
            let Some(test) = tests.pop() else { return reads };
            match test {
                Predicate::OneOf { path, .. }
                | Predicate::Contains { path, .. }
                | Predicate::True { path }
                | Predicate::Has { path } => self.add_path(*path, &mut reads),
                Predicate::In { var, .. } => reads.identity |= *var == self.var,
                // The type is the same for all rows.
                Predicate::Is { .. } => {}
                Predicate::Not(test) => tests.push(test),
                Predicate::All(all) | Predicate::Any(all) => tests.extend(all.iter()),
                Predicate::If(all) => tests.extend(all.iter()),
                Predicate::Equal(pair)
                | Predicate::MemberOf(pair)
                | Predicate::HasTag(pair)
                | Predicate::Element(pair)
                | Predicate::Less { terms: pair, .. }
                | Predicate::Superset { terms: pair, .. } => terms.extend(pair.iter()),
                Predicate::Like { term, .. }
                | Predicate::OfType { term, .. }
                | Predicate::HasAttribute { term, .. }
                | Predicate::Empty(term)
                | Predicate::Value(term) => terms.push(term),
            }
        }
    }

    fn add_term<'t>(
        &self,
        term: &'t Operand,
        tests: &mut SmallVec<[&'t Predicate; 8]>,
        terms: &mut SmallVec<[&'t Operand; 8]>,
        reads: &mut TestInputs<'s>,
    ) {
        match term {
            Operand::Path(path) => self.add_path(*path, reads),
            Operand::Bool(_)
            | Operand::Long(_)
            | Operand::String(_)
            | Operand::Uid(_)
            | Operand::Extension(_) => {}
            Operand::Set(items) | Operand::Call(_, items) => terms.extend(items.iter()),
            Operand::Attribute(term, _) | Operand::Negative(term) => terms.push(term),
            Operand::Tag(pair) | Operand::Arithmetic(_, pair) => terms.extend(pair.iter()),
            Operand::If(test, pair) => {
                tests.push(test);
                terms.extend(pair.iter());
            }
            Operand::Predicate(test) => tests.push(test),
        }
    }

    fn add_path(&self, path: PathNumber, reads: &mut TestInputs<'s>) {
        // A path that is not known is looked at row by row.
        let Some(Path { var, steps }) = self.symbols.path(path) else {
            reads.identity = true;
            return;
        };
        if *var == Var::Context {
            reads.open |= (self.is_open)(path);
        } else if *var == self.var {
            match steps.first() {
                None => reads.identity = true,
                Some(step) if reads.steps.contains(&step) => {}
                Some(step) => reads.steps.push(step),
            }
        }
    }
}
