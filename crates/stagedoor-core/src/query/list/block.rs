//! Policies over a block of entities at once.

use cedar_policy::EntityUid;

use super::inputs::{InputReader, Means};
use super::{Lister, PolicyVerdict};
use crate::columns::{BLOCK, Facet, Rows, add};
use crate::context::EvalContext;
use crate::error::DecideError;
use crate::evaluate::Evaluation;
use crate::ir::{Clause, Operand, Predicate};
use crate::number::TypeNumber;
use crate::policy::{EntityScope, PolicyInfo};
use crate::symbols::{Key, Var};

/// A block of the rows of a table.
pub(super) struct Block<'l, 'e, 'a, 'r> {
    pub(super) lister: &'l Lister<'e, 'a>,
    /// Of the request with an entity that stands for all.
    pub(super) evaluation: &'l Evaluation<'l, 'r>,
    pub(super) view: &'l EvalContext<'r>,
    /// The table's row that is the block's first.
    pub(super) start: usize,
}

/// What came of a block.
pub(super) struct Sets {
    /// What is allowed, but for those rows of `alone` that are denied.
    pub(super) allowed: Rows,
    /// What must be decided alone.
    pub(super) alone: Rows,
}

/// What a policy says to rows: those that are in none are not satisfied.
struct RowVerdicts {
    satisfied: Rows,
    errs: Rows,
    /// It depends on what of the context is not known.
    open: Rows,
}

/// What a test says to rows: those that are in none do not fit it.
struct RowTest {
    holds: Rows,
    /// Not told here: the policy is evaluated for each.
    unsure: Rows,
    /// It depends on what of the context is not known.
    open: Rows,
}

impl Block<'_, '_, '_, '_> {
    /// Decides about rows.
    pub(super) fn sets(
        &self,
        [forbids, permits]: &[Vec<PolicyInfo<'_>>; 2],
        rows: &Rows,
    ) -> Result<Sets, DecideError> {
        // Not denied so far, and what may be: by a guard's answer, or by what is not known.
        let mut left = rows.clone();
        let mut may_deny = Rows::NONE;
        for policy in forbids {
            if left.is_empty() {
                break;
            }
            let says = self.policy(*policy, &left)?;
            may_deny = may_deny.or(&says.open);
            if is_guarded(*policy) {
                may_deny = may_deny.or(&says.satisfied);
            } else {
                left = left.without(&says.satisfied);
            }
            if !self.lister.engine.is_exact_cedar() {
                left = left.without(&says.errs);
            }
        }
        let mut allowed = Rows::NONE;
        let mut may_allow = Rows::NONE;
        for policy in permits {
            let open = left.without(&allowed);
            if open.is_empty() {
                break;
            }
            let says = self.policy(*policy, &open)?;
            may_allow = may_allow.or(&says.open);
            if is_guarded(*policy) {
                may_allow = may_allow.or(&says.satisfied);
            } else {
                allowed = allowed.or(&says.satisfied);
            }
        }
        let may_allow = may_allow.and(&left).without(&allowed);
        let alone = may_allow.or(&allowed.and(&may_deny));
        Ok(Sets { allowed, alone })
    }

    fn policy(&self, policy: PolicyInfo<'_>, rows: &Rows) -> Result<RowVerdicts, DecideError> {
        let stored = policy.policy;
        let var = self.lister.var;
        let mut says = RowVerdicts { satisfied: Rows::NONE, errs: Rows::NONE, open: Rows::NONE };
        let (own, other) = match var {
            Var::Principal => (&stored.principal, (&stored.resource, Var::Resource)),
            _ => (&stored.resource, (&stored.principal, Var::Principal)),
        };
        let fits =
            self.evaluation.action_scope(stored) && self.evaluation.entity_scope(other.0, other.1);
        if !fits {
            return Ok(says);
        }
        let mut rows = self.scope(own, rows);
        let mut unsure = Rows::NONE;
        if stored.body.exprs.is_some() {
            unsure = std::mem::replace(&mut rows, Rows::NONE);
        }
        for clause in &stored.body.clauses {
            if rows.is_empty() {
                break;
            }
            match clause {
                Clause::Predicate(test) => {
                    let tested = self.test(test, &rows);
                    unsure = unsure.or(&tested.unsure);
                    says.open = says.open.or(&tested.open);
                    rows = tested.holds;
                }
                Clause::Cedar(_) => {
                    unsure = unsure.or(&rows);
                    rows = Rows::NONE;
                }
            }
        }
        says.satisfied = rows;
        if !self.lister.extent().is_all() {
            // To evaluate the policy takes the whole context.
            says.open = says.open.or(&unsure);
            return Ok(says);
        }
        for row in unsure.iter() {
            let Some(uid) = self.lister.table.uid(self.start + row) else { continue };
            match self.lister.says(policy, uid)? {
                PolicyVerdict::Satisfied => says.satisfied.insert(row),
                PolicyVerdict::NotSatisfied => {}
                PolicyVerdict::Errored => says.errs.insert(row),
            }
        }
        Ok(says)
    }

    /// Returns the rows that the scope's constraint on the entity takes.
    fn scope(&self, scope: &EntityScope, rows: &Rows) -> Rows {
        let is = |type_: TypeNumber| self.view.type_(self.lister.var) == Some(type_);
        match scope {
            EntityScope::Any => rows.clone(),
            EntityScope::Is(type_) if is(*type_) => rows.clone(),
            EntityScope::Eq(uid) => self.having(&Facet::Itself, [Key::uid(*uid)], rows),
            EntityScope::In(uid) => self.having(&Facet::Above, [Key::uid(*uid)], rows),
            EntityScope::IsIn(type_, uid) if is(*type_) => {
                self.having(&Facet::Above, [Key::uid(*uid)], rows)
            }
            EntityScope::Is(_) | EntityScope::IsIn(..) => Rows::NONE,
        }
    }

    /// Returns those of the rows that have one of these keys.
    fn having(&self, facet: &Facet, keys: impl IntoIterator<Item = Key>, rows: &Rows) -> Rows {
        let column = self.lister.table.column(facet, self.view.symbols);
        let mut found = Rows::NONE;
        keys.into_iter().for_each(|key| column.add_with(key, self.start, &mut found));
        found.and(rows)
    }

    /// Returns those of the rows that lack what the facet is of.
    fn missing(&self, facet: &Facet, rows: &Rows) -> Rows {
        let column = self.lister.table.column(facet, self.view.symbols);
        column.without_value(self.start).and(rows)
    }

    fn test(&self, test: &Predicate, rows: &Rows) -> RowTest {
        match test {
            Predicate::Not(test) => {
                let RowTest { holds, unsure, open } = self.test(test, rows);
                let held = rows.without(&holds).without(&unsure).without(&open);
                RowTest { holds: held, unsure, open }
            }
            Predicate::All(tests) => self.first(tests, rows, false),
            Predicate::Any(tests) => self.first(tests, rows, true),
            Predicate::If(tests) => {
                let [condition, then, otherwise] = tests.as_ref();
                let condition = self.test(condition, rows);
                let rest = rows
                    .without(&condition.holds)
                    .without(&condition.unsure)
                    .without(&condition.open);
                let then = self.test(then, &condition.holds);
                let otherwise = self.test(otherwise, &rest);
                RowTest {
                    holds: then.holds.or(&otherwise.holds),
                    unsure: condition.unsure.or(&then.unsure).or(&otherwise.unsure),
                    open: condition.open.or(&then.open).or(&otherwise.open),
                }
            }
            leaf => self.leaf(leaf, rows),
        }
    }

    /// Evaluates in order up to the first test that gives `decisive`, row by row.
    fn first(&self, tests: &[Predicate], rows: &Rows, decisive: bool) -> RowTest {
        let mut all = RowTest { holds: Rows::NONE, unsure: Rows::NONE, open: Rows::NONE };
        let mut rest = rows.clone();
        for test in tests {
            if rest.is_empty() {
                break;
            }
            let RowTest { holds, unsure, open } = self.test(test, &rest);
            let fails = rest.without(&holds).without(&unsure).without(&open);
            all.unsure = all.unsure.or(&unsure);
            all.open = all.open.or(&open);
            if decisive {
                all.holds = all.holds.or(&holds);
                rest = fails;
            } else {
                rest = holds;
            }
        }
        if !decisive {
            all.holds = rest;
        }
        all
    }

    fn leaf(&self, test: &Predicate, rows: &Rows) -> RowTest {
        let of = |held: Option<bool>| RowTest {
            holds: if held == Some(true) { rows.clone() } else { Rows::NONE },
            unsure: if held.is_none() { rows.clone() } else { Rows::NONE },
            open: Rows::NONE,
        };
        let is_open = |path| self.view.is_open(path);
        let symbols = self.view.symbols;
        let reader = InputReader { symbols, var: self.lister.var, is_open: &is_open };
        let reads = reader.reads(test);
        if reads.open {
            return RowTest { open: rows.clone(), ..of(Some(false)) };
        }
        if !reads.identity && reads.steps.is_empty() {
            return of(self.view.eval(test));
        }
        match reader.means(test, &reads) {
            Means::Column(facet) => self.by_column(test, &facet, rows),
            Means::Itself(other) => match self.row_of(other, rows) {
                Some(holds) => RowTest { holds, unsure: Rows::NONE, open: Rows::NONE },
                None => self.by_row(test, rows),
            },
            Means::Alike(facet) => self.by_value(test, &facet, rows),
            Means::Each => self.by_row(test, rows),
        }
    }

    fn by_column(&self, test: &Predicate, facet: &Facet, rows: &Rows) -> RowTest {
        let missing = |rows| match facet {
            Facet::Itself | Facet::Above => Rows::NONE,
            Facet::Value(_) | Facet::Elements(_) | Facet::Alike(_) => self.missing(facet, rows),
        };
        let (holds, unsure) = match test {
            Predicate::OneOf { keys, .. } => {
                (self.having(facet, keys.iter().copied(), rows), missing(rows))
            }
            Predicate::Has { .. } => (rows.without(&missing(rows)), Rows::NONE),
            Predicate::Contains { keys, all: false, .. } => {
                (self.having(facet, keys.iter().copied(), rows), missing(rows))
            }
            Predicate::Contains { keys, all: true, .. } => {
                let unsure = missing(rows);
                let mut holds = rows.without(&unsure);
                for key in keys {
                    holds = self.having(facet, [*key], &holds);
                }
                (holds, unsure)
            }
            Predicate::In { uids, .. } => {
                let keys = uids.iter().copied().map(Key::uid);
                (self.having(facet, keys, rows), Rows::NONE)
            }
            _ => return self.by_row(test, rows),
        };
        RowTest { holds, unsure, open: Rows::NONE }
    }

    /// Returns the row of what the listed entity is compared with.
    fn row_of(&self, other: &Operand, rows: &Rows) -> Option<Rows> {
        let uid = self.view.entity(other)?;
        let mut holds = Rows::NONE;
        if Some(uid.type_name()) == self.lister.table.uid(0).map(EntityUid::type_name) {
            let row = self.lister.table.row(uid.id().unescaped());
            let row = row.and_then(|row| row.checked_sub(self.start)).filter(|row| *row < BLOCK);
            row.into_iter().for_each(|row| holds.insert(row));
        }
        Some(holds.and(rows))
    }

    /// Decides once for all rows that have the same value: whatever is reached from it is the same.
    fn by_value(&self, test: &Predicate, facet: &Facet, rows: &Rows) -> RowTest {
        let column = self.lister.table.column(facet, self.view.symbols);
        let Some(groups) = column.alike.as_ref().filter(|groups| groups.len() < rows.count())
        else {
            return self.by_row(test, rows);
        };
        let mut tested = RowTest { holds: Rows::NONE, unsure: Rows::NONE, open: Rows::NONE };
        for group in groups.iter().chain([&column.missing]) {
            let mut alike = Rows::NONE;
            add(group, self.start, &mut alike);
            let alike = alike.and(rows);
            let Some(one) = alike.iter().next() else { continue };
            match self.eval(test, one) {
                Some(true) => tested.holds = tested.holds.or(&alike),
                Some(false) => {}
                None => tested.unsure = tested.unsure.or(&alike),
            }
        }
        tested
    }

    fn by_row(&self, test: &Predicate, rows: &Rows) -> RowTest {
        let mut tested = RowTest { holds: Rows::NONE, unsure: Rows::NONE, open: Rows::NONE };
        for row in rows.iter() {
            match self.eval(test, row) {
                Some(true) => tested.holds.insert(row),
                Some(false) => {}
                None => tested.unsure.insert(row),
            }
        }
        tested
    }

    fn eval(&self, test: &Predicate, row: usize) -> Option<bool> {
        let request = self.lister.request_of(self.lister.table.uid(self.start + row)?);
        self.lister.engine.0.view(&request, self.lister.entities).eval(test)
    }
}

fn is_guarded(policy: PolicyInfo<'_>) -> bool {
    !policy.policy.body.guards.is_empty()
}
