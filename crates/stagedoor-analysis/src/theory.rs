//! Whether requests and entities exist in which given atoms are true and others false, and which.
//!
//! An assignment of the atoms is taken term by term. Terms that must be equal share a class, and
//! with them all that is read from them; each class then has a value of its own, found among the
//! candidates of its type ([`values`], [`sets`]), and each entity its memberships
//! ([`hierarchy`]). What cannot be is told as literals that contradict each other, which the
//! search learns from.

mod hierarchy;
pub(crate) mod sets;
mod strings;
mod values;

use std::collections::{BTreeSet, HashMap};

use cedar_policy_core::ast::{Eid, EntityUID};

use crate::atom::{Atom, AtomId, Atoms, Origin, Predicate, Relation, Root, Step, TermId};
use crate::constant::Constant;
use crate::schema::{SchemaView, ValueType};

pub(crate) use sets::SetValue;
use values::Solution;
pub(crate) use values::fresh;

/// An atom with the truth that the assignment gives it.
pub(crate) type Lit = (AtomId, bool);

/// The number of a class of equal terms.
type ClassId = usize;

/// What came of an assignment.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Some requests are so: one of them.
    Model(Box<Model>),
    /// None is: each list of literals cannot hold together.
    Conflicts(Vec<Vec<Lit>>),
    /// Not found out, for this reason; these literals are to be left together no more.
    Stuck(String),
}

/// Values for all terms.
#[derive(Debug, Default)]
pub(crate) struct Model {
    class_of: Vec<ClassId>,
    scalars: HashMap<ClassId, Constant>,
    sets: HashMap<ClassId, SetValue>,
    exists: HashMap<ClassId, bool>,
    present: HashMap<ClassId, bool>,
    /// Memberships: from, to.
    pub(crate) edges: BTreeSet<(EntityUID, EntityUID)>,
}

impl Model {
    /// Returns the value at a term, where it has one that matters.
    pub(crate) fn scalar(&self, term: TermId) -> Option<&Constant> {
        self.scalars.get(self.class_of.get(term)?)
    }

    pub(crate) fn entity(&self, term: TermId) -> Option<&EntityUID> {
        match self.scalar(term)? {
            Constant::Entity(uid) => Some(uid),
            _ => None,
        }
    }

    /// Returns the number that equal terms share.
    pub(crate) fn class(&self, term: TermId) -> Option<usize> {
        self.class_of.get(term).copied()
    }

    pub(crate) fn set(&self, term: TermId) -> Option<&SetValue> {
        self.sets.get(self.class_of.get(term)?)
    }

    pub(crate) fn exists(&self, term: TermId) -> Option<bool> {
        self.exists.get(self.class_of.get(term)?).copied()
    }

    pub(crate) fn is_present(&self, term: TermId) -> bool {
        let class = self.class_of.get(term);
        class.and_then(|class| self.present.get(class)).copied().unwrap_or_default()
    }
}

/// Equal terms, and what is said of their value.
#[derive(Debug, Default)]
struct Class<'a> {
    ty: Option<&'a ValueType>,
    constant: Option<Constant>,
    reasons: BTreeSet<Lit>,
    tests: Vec<(Lit, &'a Predicate, bool)>,
    exists: Option<Lit>,
    present: Option<Lit>,
    unequal: Vec<ClassId>,
}

/// One assignment of atoms.
struct Theory<'a> {
    atoms: &'a Atoms,
    schema: &'a SchemaView,
    parent: Vec<usize>,
    classes: Vec<Class<'a>>,
    constants: HashMap<(Constant, &'a ValueType), usize>,
    conflicts: Vec<Vec<Lit>>,
}

/// Looks for requests and entities of which the atoms are as assigned; atoms without a value do
/// not matter.
pub(crate) fn check(
    atoms: &Atoms,
    schema: &SchemaView,
    value: impl Fn(AtomId) -> Option<bool>,
) -> Verdict {
    let assigned: Vec<(Lit, &Atom)> = atoms
        .atoms()
        .iter()
        .enumerate()
        .filter_map(|(id, atom)| Some(((id, value(id)?), atom)))
        .collect();
    let mut theory = Theory::new(atoms, schema);
    theory.merge(&assigned);
    if theory.conflicts.is_empty() {
        theory.collect(&assigned);
    }
    if !theory.conflicts.is_empty() {
        return Verdict::Conflicts(theory.conflicts);
    }
    theory.solve(&assigned)
}

impl<'a> Theory<'a> {
    fn new(atoms: &'a Atoms, schema: &'a SchemaView) -> Self {
        let class = |term: &'a crate::atom::Term| Class { ty: Some(&term.ty), ..Class::default() };
        let classes: Vec<Class<'a>> = atoms.terms().iter().map(class).collect();
        let mut theory = Self {
            atoms,
            schema,
            parent: (0..classes.len()).collect(),
            classes,
            constants: HashMap::new(),
            conflicts: Vec::new(),
        };
        for (term, of) in atoms.terms().iter().enumerate() {
            if let Origin::Root(Root::Entity(uid)) = &of.origin {
                let node = theory.constant(Constant::Entity(uid.clone()), &of.ty);
                theory.union(term, node, BTreeSet::new());
            }
        }
        theory
    }

    /// Returns the class of a constant.
    fn constant(&mut self, constant: Constant, ty: &'a ValueType) -> ClassId {
        if let Some(node) = self.constants.get(&(constant.clone(), ty)) {
            return *node;
        }
        let node = self.classes.len();
        self.classes.push(Class {
            ty: Some(ty),
            constant: Some(constant.clone()),
            ..Class::default()
        });
        self.parent.push(node);
        self.constants.insert((constant, ty), node);
        node
    }

    fn find(&self, mut node: usize) -> ClassId {
        while let Some(parent) = self.parent.get(node).copied().filter(|parent| *parent != node) {
            node = parent;
        }
        node
    }

    fn class(&self, node: usize) -> Option<&Class<'a>> {
        self.classes.get(self.find(node))
    }

    fn reasons(&self, node: usize) -> BTreeSet<Lit> {
        self.class(node).map(|class| class.reasons.clone()).unwrap_or_default()
    }

    /// Makes two classes one; returns whether they were two.
    fn union(&mut self, a: usize, b: usize, reasons: BTreeSet<Lit>) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return false;
        }
        let other = self.classes.get_mut(b).map(std::mem::take).unwrap_or_default();
        let Some(class) = self.classes.get_mut(a) else { return false };
        class.reasons.extend(other.reasons);
        class.reasons.extend(reasons);
        match (&class.constant, other.constant) {
            (Some(own), Some(constant)) if *own != constant => {
                self.conflicts.push(class.reasons.iter().copied().collect());
            }
            (None, constant) => class.constant = constant,
            _ => {}
        }
        if let Some(parent) = self.parent.get_mut(b) {
            *parent = a;
        }
        true
    }

    /// Joins what the assignment makes equal, and what is read from equals.
    fn merge(&mut self, assigned: &[(Lit, &'a Atom)]) {
        let atoms = self.atoms;
        for (lit, atom) in assigned.iter().filter(|((_, value), _)| *value) {
            match atom {
                Atom::Is(term, Predicate::Equals(constant)) => {
                    let node = self.constant(constant.clone(), atoms.ty(*term));
                    self.union(*term, node, BTreeSet::from([*lit]));
                }
                Atom::Related(Relation::Same, a, b) => {
                    self.union(*a, *b, BTreeSet::from([*lit]));
                }
                _ => {}
            }
        }
        loop {
            let mut children: HashMap<(ClassId, &Step), TermId> = HashMap::new();
            let mut changed = false;
            for (term, of) in atoms.terms().iter().enumerate() {
                let Origin::Step(parent, step) = &of.origin else { continue };
                let owner = self.find(*parent);
                match children.get(&(owner, step)) {
                    None => {
                        children.insert((owner, step), term);
                    }
                    Some(first) => {
                        let reasons = self.reasons(owner);
                        changed |= self.union(*first, term, reasons);
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn conflict(&mut self, nodes: &[usize], lits: &[Lit]) {
        let mut all: BTreeSet<Lit> = lits.iter().copied().collect();
        for node in nodes {
            all.extend(self.reasons(*node));
        }
        self.conflicts.push(all.into_iter().collect());
    }

    /// Brings what is said to the classes it is said of.
    fn collect(&mut self, assigned: &[(Lit, &'a Atom)]) {
        for (lit, atom) in assigned {
            match atom {
                Atom::Exists(term) | Atom::Present(term) => {
                    let id = self.find(*term);
                    let is_exists = matches!(atom, Atom::Exists(_));
                    let Some(class) = self.classes.get_mut(id) else { continue };
                    let slot = if is_exists { &mut class.exists } else { &mut class.present };
                    match *slot {
                        Some(other) if other.1 != lit.1 => self.conflict(&[id], &[other, *lit]),
                        _ => *slot = Some(*lit),
                    }
                }
                Atom::Is(term, test) => {
                    let id = self.find(*term);
                    let Some(class) = self.classes.get_mut(id) else { continue };
                    let fixed = class.constant.as_ref();
                    let settles = !matches!(
                        test,
                        Predicate::In(_) | Predicate::Contains(_) | Predicate::Subset(_)
                    );
                    match fixed {
                        Some(constant) if settles => {
                            if values::holds(test, constant) != lit.1 {
                                self.conflict(&[id], &[*lit]);
                            }
                        }
                        _ => class.tests.push((*lit, test, lit.1)),
                    }
                }
                Atom::Related(Relation::Same, a, b) if !lit.1 => {
                    let (a, b) = (self.find(*a), self.find(*b));
                    if a == b {
                        self.conflict(&[a], &[*lit]);
                        continue;
                    }
                    for (one, other) in [(a, b), (b, a)] {
                        if let Some(class) = self.classes.get_mut(one) {
                            class.unequal.push(other);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Finds values and memberships.
    fn solve(mut self, assigned: &[(Lit, &'a Atom)]) -> Verdict {
        let mut model = Model {
            class_of: (0..self.atoms.terms().len()).map(|term| self.find(term)).collect(),
            ..Model::default()
        };
        let mut stuck = None;
        let mut conflicts = Vec::new();
        for (id, class) in self.classes.iter().enumerate() {
            if self.find(id) != id {
                continue;
            }
            if let Some((_, exists)) = class.exists {
                model.exists.insert(id, exists);
            }
            if let Some((_, present)) = class.present {
                model.present.insert(id, present);
            }
            let with_reasons = |lits: Vec<Lit>| {
                let all: BTreeSet<Lit> = lits.into_iter().chain(class.reasons.clone()).collect();
                all.into_iter().collect::<Vec<Lit>>()
            };
            match class.ty {
                Some(ValueType::Set(element)) => {
                    match sets::solve(element, &class.tests, self.schema) {
                        Ok(set) => {
                            model.sets.insert(id, set);
                        }
                        Err(lits) => conflicts.push(with_reasons(lits)),
                    }
                }
                Some(ValueType::Entity(_) | ValueType::Record(_)) | None => {}
                Some(ty) => match (&class.constant, class.tests.is_empty()) {
                    (Some(constant), _) => {
                        model.scalars.insert(id, constant.clone());
                    }
                    (None, true) if class.unequal.is_empty() => {}
                    (None, _) => match self.scalar(ty, class, &model) {
                        Ok(Solution::Value(constant)) => {
                            model.scalars.insert(id, constant);
                        }
                        Ok(_) => stuck = Some("values that differ from each other".to_owned()),
                        Err(Solution::Nothing) => {
                            let tests: Vec<(Lit, &Predicate, bool)> = class.tests.clone();
                            conflicts.push(with_reasons(values::core(&tests, ty)));
                        }
                        Err(_) => stuck = Some("patterns of texts".to_owned()),
                    },
                },
            }
        }
        if !conflicts.is_empty() {
            return Verdict::Conflicts(conflicts);
        }
        self.name_entities(&mut model);
        let conflicts = hierarchy::place(&mut self, assigned, &mut model);
        match (conflicts.is_empty(), stuck) {
            (false, _) => Verdict::Conflicts(conflicts),
            (true, Some(reason)) => Verdict::Stuck(reason),
            (true, None) => Verdict::Model(Box::new(model)),
        }
    }

    /// Returns a value for a class that differs from those of classes it must not equal. An error
    /// says what came of looking for any value at all.
    fn scalar(
        &self,
        ty: &ValueType,
        class: &Class<'_>,
        model: &Model,
    ) -> Result<Solution, Solution> {
        let tests: Vec<(&Predicate, bool)> =
            class.tests.iter().map(|(_, test, wanted)| (*test, *wanted)).collect();
        let value_of = |other: &ClassId| {
            let fixed = self.classes.get(*other).and_then(|class| class.constant.clone());
            fixed.or_else(|| model.scalars.get(other).cloned())
        };
        let avoided: BTreeSet<Constant> = class.unequal.iter().filter_map(value_of).collect();
        let alone = values::solve(ty, &tests, &BTreeSet::new());
        match alone {
            Solution::Value(_) if avoided.is_empty() => Ok(alone),
            Solution::Value(_) => Ok(values::solve(ty, &tests, &avoided)),
            other => Err(other),
        }
    }

    /// Gives every class of entities an entity: the one it must be, or one that nobody named.
    fn name_entities(&self, model: &mut Model) {
        let mut used = named_entities(self.atoms);
        used.extend(self.constants.keys().filter_map(|(constant, _)| match constant {
            Constant::Entity(uid) => Some(uid.clone()),
            _ => None,
        }));
        for (id, class) in self.classes.iter().enumerate() {
            let Some(ValueType::Entity(name)) = class.ty else { continue };
            if self.find(id) != id {
                continue;
            }
            let uid = match &class.constant {
                Some(constant) => constant.clone(),
                None => Constant::Entity(fresh_entity(name, self.schema, &mut used)),
            };
            model.scalars.insert(id, uid);
        }
    }
}

/// Returns the entities that atoms name.
pub(crate) fn named_entities(atoms: &Atoms) -> BTreeSet<EntityUID> {
    let mut named = BTreeSet::new();
    let mut add = |constant: &Constant| {
        if let Constant::Entity(uid) = constant {
            named.insert(uid.clone());
        }
    };
    for atom in atoms.atoms() {
        match atom {
            Atom::Is(_, Predicate::Equals(constant) | Predicate::Contains(constant)) => {
                add(constant)
            }
            Atom::Is(_, Predicate::In(uid)) => add(&Constant::Entity(uid.clone())),
            Atom::Is(_, Predicate::Subset(constants)) => constants.iter().for_each(&mut add),
            _ => {}
        }
    }
    named
}

/// Returns an entity of a type that is none of `used`, and adds it to them; for an enumerated type
/// one of its entities.
pub(crate) fn fresh_entity(
    name: &cedar_policy_core::ast::EntityType,
    schema: &SchemaView,
    used: &mut BTreeSet<EntityUID>,
) -> EntityUID {
    let uid = |id: &str| EntityUID::from_components(name.clone(), Eid::new(id), None);
    let choices = schema.entity(name).and_then(|shape| shape.choices.as_ref());
    if let Some(first) = choices.and_then(|ids| ids.first()) {
        return uid(first);
    }
    let text = name.to_string();
    let word = text.rsplit("::").next().unwrap_or(&text).to_lowercase();
    let mut number = 0_usize;
    loop {
        number += 1;
        let found = uid(&match number {
            1 => format!("some-{word}"),
            number => format!("some-{word}-{number}"),
        });
        if used.insert(found.clone()) {
            return found;
        }
    }
}
