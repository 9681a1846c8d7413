//! Terms, and the atoms that conditions say of them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast::{EntityUID, Pattern};
use smol_str::SmolStr;

use crate::constant::{Constant, IpRange};
use crate::schema::ValueType;

/// The number of a term in its [`Atoms`].
pub(crate) type TermId = usize;

/// The number of an atom in its [`Atoms`].
pub(crate) type AtomId = usize;

/// Where a path begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Root {
    Principal,
    Resource,
    Context,
    /// An entity that a policy names and looks into.
    Entity(EntityUID),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    Attribute(SmolStr),
    Tag(SmolStr),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Root(Root),
    Step(TermId, Step),
}

/// A place in the request or its entities that holds a value: `principal`,
/// `resource.owner.level`.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) origin: Origin,
    pub(crate) ty: ValueType,
}

/// What is said of one value and constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Predicate {
    /// The value of a Boolean.
    IsTrue,
    Equals(Constant),
    /// Of numbers, decimals, moments and spans.
    AtMost(i64),
    Like(Pattern),
    /// Of entities: it is this one or a member.
    In(EntityUID),
    /// Of sets.
    Contains(Constant),
    /// Of sets: nothing but these is in it.
    Subset(BTreeSet<Constant>),
    InRange(IpRange),
    IsIpv4,
    IsLoopback,
    IsMulticast,
}

/// What is said of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    /// Both are the same.
    Same,
    /// The first is the second, or a member of it.
    Within,
    /// The first is in the second, a set of entities, or a member of one that is.
    WithinAny,
    /// The first, a set, contains the second.
    Has,
    /// The first, a set, contains all of the second.
    Includes,
    /// The two sets share something.
    Overlaps,
}

/// What is either true or false of every request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Atom {
    /// The entity is among the entities.
    Exists(TermId),
    /// The optional attribute, or the tag, is there.
    Present(TermId),
    Is(TermId, Predicate),
    Related(Relation, TermId, TermId),
    /// What the analysis does not look into: that it is true, or that it is false.
    Opaque(Arc<str>, bool),
}

/// All terms and atoms of one question.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    terms: Vec<Term>,
    term_ids: HashMap<Origin, TermId>,
    atoms: Vec<Atom>,
    atom_ids: HashMap<Atom, AtomId>,
}

impl Atoms {
    pub(crate) fn term(&mut self, origin: Origin, ty: impl FnOnce() -> ValueType) -> TermId {
        if let Some(id) = self.term_ids.get(&origin) {
            return *id;
        }
        let id = self.terms.len();
        self.terms.push(Term { origin: origin.clone(), ty: ty() });
        self.term_ids.insert(origin, id);
        id
    }

    pub(crate) fn atom(&mut self, atom: Atom) -> AtomId {
        if let Some(id) = self.atom_ids.get(&atom) {
            return *id;
        }
        let id = self.atoms.len();
        self.atoms.push(atom.clone());
        self.atom_ids.insert(atom, id);
        id
    }

    pub(crate) fn known_term(&self, origin: &Origin) -> Option<TermId> {
        self.term_ids.get(origin).copied()
    }

    pub(crate) fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub(crate) fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    pub(crate) fn get(&self, id: AtomId) -> Option<&Atom> {
        self.atoms.get(id)
    }

    /// Returns the type of a term.
    pub(crate) fn ty(&self, term: TermId) -> &ValueType {
        self.terms.get(term).map_or(&ValueType::Other, |term| &term.ty)
    }

    /// Writes a term as Cedar does.
    pub(crate) fn written(&self, term: TermId) -> String {
        match self.terms.get(term).map(|term| &term.origin) {
            Some(Origin::Root(Root::Principal)) => "principal".to_owned(),
            Some(Origin::Root(Root::Resource)) => "resource".to_owned(),
            Some(Origin::Root(Root::Context)) => "context".to_owned(),
            Some(Origin::Root(Root::Entity(uid))) => uid.to_string(),
            Some(Origin::Step(parent, Step::Attribute(name))) => {
                format!("{}[{name:?}]", self.written(*parent))
            }
            Some(Origin::Step(parent, Step::Tag(name))) => {
                format!("{}.getTag({name:?})", self.written(*parent))
            }
            None => String::new(),
        }
    }
}

impl Atom {
    /// Returns whether the atom is outside of what is decided.
    pub(crate) fn is_soft(&self) -> bool {
        match self {
            Self::Opaque(..) => true,
            Self::Related(relation, ..) => *relation != Relation::Same,
            _ => false,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "==",
            Self::Within | Self::WithinAny => "in",
            Self::Has => "contains",
            Self::Includes => "containsAll",
            Self::Overlaps => "containsAny",
        })
    }
}
