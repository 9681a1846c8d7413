//! Policies over a block of entities at once.

use cedar_policy::EntityUid;
use smallvec::SmallVec;

use super::{Lister, PolicyVerdict};
use crate::columns::{BLOCK, Facet, Rows, add};
use crate::context::EvalContext;
use crate::error::DecideError;
use crate::evaluate::Evaluation;
use crate::ir::{Clause, Operand, Predicate};
use crate::number::{PathNumber, TypeNumber};
use crate::policy::{EntityScope, PolicyInfo};
use crate::symbols::{Key, Path, Step, Var};

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

/// What a test depends on.
#[derive(Debug, Default)]
struct TestInputs<'t> {
    /// Which entity it is.
    identity: bool,
    /// The first steps from the entity.
    steps: SmallVec<[&'t Step; 2]>,
    /// The unknown of the context.
    open: bool,
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
        let reads = self.reads(test);
        if reads.open {
            return RowTest { open: rows.clone(), ..of(Some(false)) };
        }
        if !reads.identity && reads.steps.is_empty() {
            return of(self.view.eval(test));
        }
        let symbols = self.view.symbols;
        let known = |holds: Rows, unsure: Rows| RowTest { holds, unsure, open: Rows::NONE };
        match test {
            Predicate::OneOf { path, keys } => {
                match symbols.path(*path).map(|p| p.steps.as_slice()) {
                    Some([]) => {
                        let holds = self.having(&Facet::Itself, keys.iter().copied(), rows);
                        return known(holds, Rows::NONE);
                    }
                    Some([step]) => {
                        let facet = Facet::Value(step.clone());
                        let holds = self.having(&facet, keys.iter().copied(), rows);
                        return known(holds, self.missing(&facet, rows));
                    }
                    _ => {}
                }
            }
            Predicate::Has { path } => {
                if let Some([step]) = symbols.path(*path).map(|p| p.steps.as_slice()) {
                    let missing = self.missing(&Facet::Value(step.clone()), rows);
                    return known(rows.without(&missing), Rows::NONE);
                }
            }
            Predicate::Contains { path, keys, all } => {
                if let Some([step]) = symbols.path(*path).map(|p| p.steps.as_slice()) {
                    let facet = Facet::Elements(step.clone());
                    let unsure = self.missing(&facet, rows);
                    let holds = if *all {
                        let mut holds = rows.without(&unsure);
                        for key in keys {
                            holds = self.having(&facet, [*key], &holds);
                        }
                        holds
                    } else {
                        self.having(&facet, keys.iter().copied(), rows)
                    };
                    return known(holds, unsure);
                }
            }
            Predicate::In { var, uids } if *var == self.lister.var => {
                let keys = uids.iter().copied().map(Key::uid);
                return known(self.having(&Facet::Above, keys, rows), Rows::NONE);
            }
            Predicate::Equal(pair) => {
                if let Some(holds) = self.itself(pair, rows) {
                    return known(holds, Rows::NONE);
                }
            }
            _ => {}
        }
        match reads.steps.as_slice() {
            [step] if !reads.identity => self.by_value(test, step, rows),
            _ => self.by_row(test, rows),
        }
    }

    /// Returns the row that is an entity, where a test holds what is listed against one that does not
    /// depend on it: `resource.owner == principal`.
    fn itself(&self, [left, right]: &[Operand; 2], rows: &Rows) -> Option<Rows> {
        let is_itself = |term: &Operand| match term {
            Operand::Path(path) => self
                .view
                .symbols
                .path(*path)
                .is_some_and(|path| path.var == self.lister.var && path.steps.is_empty()),
            _ => false,
        };
        let other = match (is_itself(left), is_itself(right)) {
            (true, false) => right,
            (false, true) => left,
            _ => return None,
        };
        let reads = self.reads_of(SmallVec::new(), SmallVec::from_iter([other]));
        if reads.identity || reads.open || !reads.steps.is_empty() {
            return None;
        }
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
    fn by_value(&self, test: &Predicate, step: &Step, rows: &Rows) -> RowTest {
        let facet = Facet::Value(step.clone());
        let column = self.lister.table.column(&facet, self.view.symbols);
        if column.alike.len() >= rows.count() {
            return self.by_row(test, rows);
        }
        let mut tested = RowTest { holds: Rows::NONE, unsure: Rows::NONE, open: Rows::NONE };
        for group in column.alike.iter().chain([&column.missing]) {
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

    fn reads<'t>(&'t self, test: &'t Predicate) -> TestInputs<'t> {
        self.reads_of(SmallVec::from_iter([test]), SmallVec::new())
    }

    fn reads_of<'t>(
        &'t self,
        mut tests: SmallVec<[&'t Predicate; 8]>,
        mut terms: SmallVec<[&'t Operand; 8]>,
    ) -> TestInputs<'t> {
        let mut reads = TestInputs::default();
        while let Some(test) = tests.pop() {
            match test {
                Predicate::OneOf { path, .. }
                | Predicate::Contains { path, .. }
                | Predicate::True { path }
                | Predicate::Has { path } => self.add_path(*path, &mut reads),
                Predicate::In { var, .. } => reads.identity |= *var == self.lister.var,
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
            while let Some(term) = terms.pop() {
                match term {
                    Operand::Path(path) => self.add_path(*path, &mut reads),
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
        }
        reads
    }

    fn add_path<'t>(&'t self, path: PathNumber, reads: &mut TestInputs<'t>) {
        // A path that is not known is looked at row by row.
        let Some(Path { var, steps }) = self.view.symbols.path(path) else {
            reads.identity = true;
            return;
        };
        if *var == Var::Context {
            reads.open |= self.view.is_open(path);
        } else if *var == self.lister.var {
            match steps.first() {
                None => reads.identity = true,
                Some(step) if reads.steps.contains(&step) => {}
                Some(step) => reads.steps.push(step),
            }
        }
    }
}

fn is_guarded(policy: PolicyInfo<'_>) -> bool {
    !policy.policy.body.guards.is_empty()
}
