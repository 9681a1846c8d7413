//! Formulas over atoms in negation normal form, and the three outcomes of a condition.

use std::sync::Arc;

use crate::atom::AtomId;

/// A formula. Parts may be shared: walk it with that in mind.
#[derive(Debug, Clone)]
pub(crate) enum Formula {
    True,
    False,
    /// An atom, or its opposite.
    Literal(AtomId, bool),
    All(Arc<Vec<Formula>>),
    Any(Arc<Vec<Formula>>),
}

impl Formula {
    pub(crate) fn of(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::True => {}
                Self::False => return Self::False,
                part => kept.push(part),
            }
        }
        match (kept.pop(), kept.is_empty()) {
            (None, _) => Self::True,
            (Some(only), true) => only,
            (Some(last), false) => {
                kept.push(last);
                Self::All(Arc::new(kept))
            }
        }
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::False => {}
                Self::True => return Self::True,
                part => kept.push(part),
            }
        }
        match (kept.pop(), kept.is_empty()) {
            (None, _) => Self::False,
            (Some(only), true) => only,
            (Some(last), false) => {
                kept.push(last);
                Self::Any(Arc::new(kept))
            }
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self::all([self, other])
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self::any([self, other])
    }

    pub(crate) fn negated(&self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            // INVARIANT: an atom is true or false of every request. What may err is told by atoms of
            // its own, which are asked before: see [`Outcomes::guarded`].
            Self::Literal(atom, holds) => Self::Literal(*atom, !holds),
            Self::All(parts) => Self::any(parts.iter().map(Self::negated)),
            Self::Any(parts) => Self::all(parts.iter().map(Self::negated)),
        }
    }

    pub(crate) fn is_false(&self) -> bool {
        matches!(self, Self::False)
    }
}

/// What comes of a condition: where it is true and where it is false. Where neither holds,
/// evaluation errs.
///
/// INVARIANT: no request satisfies both.
#[derive(Debug, Clone)]
pub(crate) struct Outcomes {
    pub(crate) when_true: Formula,
    pub(crate) when_false: Formula,
    /// Whether it never errs, so that each formula is the other's opposite.
    pub(crate) total: bool,
}

impl Outcomes {
    pub(crate) fn constant(value: bool) -> Self {
        Self::never_errs(Formula::of(value))
    }

    pub(crate) fn error() -> Self {
        Self { when_true: Formula::False, when_false: Formula::False, total: false }
    }

    pub(crate) fn never_errs(when_true: Formula) -> Self {
        Self { when_false: when_true.negated(), when_true, total: true }
    }

    /// The outcomes of a test that is asked where `guard` holds, and errs elsewhere.
    pub(crate) fn guarded(guard: &Formula, test: &Self) -> Self {
        Self {
            when_true: guard.clone().and(test.when_true.clone()),
            when_false: guard.clone().and(test.when_false.clone()),
            total: test.total && matches!(guard, Formula::True),
        }
    }

    pub(crate) fn negated(self) -> Self {
        Self { when_true: self.when_false, when_false: self.when_true, total: self.total }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let total = self.total && other.total;
        // INVARIANT: where the first errs, so does the whole: Cedar comes to the second only if the
        // first is true. Where the first never errs, it is false elsewhere, and need not be said.
        let second_false = match self.total {
            true => other.when_false,
            false => self.when_true.clone().and(other.when_false),
        };
        Self {
            when_true: self.when_true.and(other.when_true),
            when_false: self.when_false.or(second_false),
            total,
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        self.negated().and(other.negated()).negated()
    }

    pub(crate) fn choice(self, then: &Self, other: &Self) -> Self {
        let total = self.total && then.total && other.total;
        let part = |then: &Formula, other: &Formula| {
            let first = self.when_true.clone().and(then.clone());
            first.or(self.when_false.clone().and(other.clone()))
        };
        Self {
            when_true: part(&then.when_true, &other.when_true),
            when_false: part(&then.when_false, &other.when_false),
            total,
        }
    }
}
