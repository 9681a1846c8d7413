//! A small solver for clauses: conflict-driven, with clauses added between answers.
//!
//! Questions about policies have few variables (tens, rarely thousands) and are asked by the
//! thousand, each with what the last answer was wrong about. What counts is that a question costs
//! nothing to set up, and that the first answer is a plain one: variables take the value that
//! their owner prefers unless something speaks against it. General solvers are built for neither.

/// A variable, or its opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lit(u32);

impl Lit {
    pub(crate) fn new(var: usize, holds: bool) -> Self {
        Self((var as u32) << 1 | u32::from(!holds))
    }

    pub(crate) fn var(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(crate) fn holds(self) -> bool {
        self.0 & 1 == 0
    }

    pub(crate) fn negated(self) -> Self {
        Self(self.0 ^ 1)
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// What came of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All clauses hold under [`Solver::value`].
    Yes,
    /// They cannot all hold.
    No,
    /// The search was given up.
    GaveUp,
}

/// After so many conflicts a search is given up.
const CONFLICTS: usize = 200_000;
/// After so many looks at clauses and variables, over all searches of a solver, it is given up: some
/// seconds. Conflicts alone are no bound, since each costs by what has been stated.
const WORK: u64 = 1_000_000_000;

#[derive(Debug, Default)]
struct Variable {
    value: Option<bool>,
    preferred: bool,
    level: usize,
    reason: Option<usize>,
    activity: f64,
    seen: bool,
}

/// Clauses, and an assignment of their variables.
#[derive(Debug)]
pub(crate) struct Solver {
    variables: Vec<Variable>,
    clauses: Vec<Vec<Lit>>,
    /// By literal: the clauses that watch it.
    ///
    /// INVARIANT: a clause of two or more is watched by its first two literals. As long as it is not
    /// satisfied, neither of them is false without the other being drawn as a conclusion.
    watches: Vec<Vec<usize>>,
    trail: Vec<Lit>,
    levels: Vec<usize>,
    propagated: usize,
    bump: f64,
    /// Variables that conflicts rested on.
    active: Vec<usize>,
    /// INVARIANT: no variable before it is without a value, but for active ones.
    cursor: usize,
    contradicted: bool,
    /// Looks at clauses and variables so far.
    work: u64,
}

impl Solver {
    pub(crate) fn new() -> Self {
        Self {
            variables: Vec::new(),
            clauses: Vec::new(),
            watches: Vec::new(),
            trail: Vec::new(),
            levels: Vec::new(),
            propagated: 0,
            bump: 1.0,
            active: Vec::new(),
            cursor: 0,
            contradicted: false,
            work: 0,
        }
    }

    pub(crate) fn variable(&mut self, preferred: bool) -> usize {
        self.variables.push(Variable { preferred, ..Variable::default() });
        self.watches.extend([Vec::new(), Vec::new()]);
        self.variables.len() - 1
    }

    /// Returns the value of a variable after [`Answer::Yes`].
    pub(crate) fn value(&self, var: usize) -> Option<bool> {
        self.variables.get(var)?.value
    }

    fn lit_value(&self, lit: Lit) -> Option<bool> {
        self.value(lit.var()).map(|value| value == lit.holds())
    }

    /// Adds a clause: one of these must hold.
    pub(crate) fn clause(&mut self, lits: impl IntoIterator<Item = Lit>) {
        // INVARIANT: clauses are stated where nothing is assumed, so that what they are shortened by
        // holds for ever.
        self.back_to(0);
        let mut lits: Vec<Lit> = lits.into_iter().collect();
        lits.sort_unstable();
        lits.dedup();
        let always = lits.windows(2).any(|pair| matches!(pair, [a, b] if a.negated() == *b));
        if always || lits.iter().any(|lit| self.lit_value(*lit) == Some(true)) {
            return;
        }
        lits.retain(|lit| self.lit_value(*lit).is_none());
        match lits.as_slice() {
            [] => self.contradicted = true,
            [only] => self.assign(*only, None),
            _ => {
                self.keep(lits);
            }
        }
    }

    fn keep(&mut self, lits: Vec<Lit>) -> usize {
        let number = self.clauses.len();
        for lit in lits.iter().take(2) {
            if let Some(watching) = self.watches.get_mut(lit.index()) {
                watching.push(number);
            }
        }
        self.clauses.push(lits);
        number
    }

    /// Looks for an assignment under which all clauses hold.
    pub(crate) fn solve(&mut self) -> Answer {
        self.back_to(0);
        let mut conflicts = 0;
        loop {
            if self.contradicted {
                return Answer::No;
            }
            if let Some(conflict) = self.propagate() {
                if self.levels.is_empty() {
                    self.contradicted = true;
                    return Answer::No;
                }
                conflicts += 1;
                if conflicts > CONFLICTS {
                    return Answer::GaveUp;
                }
                let (learnt, level) = self.analyse(conflict);
                self.back_to(level);
                match learnt.as_slice() {
                    [] => self.contradicted = true,
                    [only] => self.assign(*only, None),
                    [first, ..] => {
                        let first = *first;
                        let number = self.keep(learnt);
                        self.assign(first, Some(number));
                    }
                }
                self.bump *= 1.05;
            } else {
                if self.work > WORK {
                    return Answer::GaveUp;
                }
                let Some(lit) = self.choose() else { return Answer::Yes };
                self.levels.push(self.trail.len());
                self.assign(lit, None);
            }
        }
    }

    /// Returns what to try next: the variable that conflicts rested on most, or else the first.
    fn choose(&mut self) -> Option<Lit> {
        self.work += self.active.len() as u64;
        let mut best: Option<(usize, &Variable)> = None;
        for number in &self.active {
            let Some(variable) = self.variables.get(*number) else { continue };
            if variable.value.is_none() && best.is_none_or(|(_, b)| variable.activity > b.activity)
            {
                best = Some((*number, variable));
            }
        }
        if let Some((number, variable)) = best {
            return Some(Lit::new(number, variable.preferred));
        }
        while let Some(variable) = self.variables.get(self.cursor) {
            if variable.value.is_none() {
                return Some(Lit::new(self.cursor, variable.preferred));
            }
            self.cursor += 1;
        }
        None
    }

    fn assign(&mut self, lit: Lit, reason: Option<usize>) {
        let level = self.levels.len();
        if let Some(variable) = self.variables.get_mut(lit.var()) {
            variable.value = Some(lit.holds());
            variable.level = level;
            variable.reason = reason;
        }
        self.trail.push(lit);
    }

    fn back_to(&mut self, level: usize) {
        let Some(start) = self.levels.get(level).copied() else { return };
        for lit in self.trail.drain(start..) {
            if let Some(variable) = self.variables.get_mut(lit.var()) {
                variable.value = None;
                variable.reason = None;
            }
            self.cursor = self.cursor.min(lit.var());
        }
        self.levels.truncate(level);
        self.propagated = self.propagated.min(self.trail.len());
    }

    /// Draws conclusions; returns a clause that does not hold.
    fn propagate(&mut self) -> Option<usize> {
        while let Some(lit) = self.trail.get(self.propagated).copied() {
            self.propagated += 1;
            let fails = lit.negated();
            let watching = std::mem::take(self.watches.get_mut(fails.index())?);
            self.work += 1 + watching.len() as u64;
            let mut kept = Vec::with_capacity(watching.len());
            let mut conflict = None;
            for (place, number) in watching.iter().copied().enumerate() {
                match self.visit(number, fails) {
                    Visit::Moved => {}
                    Visit::Holds => kept.push(number),
                    Visit::Unit(lit) => {
                        kept.push(number);
                        self.assign(lit, Some(number));
                    }
                    Visit::Conflict => {
                        conflict = Some(number);
                        kept.extend(watching.iter().skip(place).copied());
                        break;
                    }
                }
            }
            if let Some(watching) = self.watches.get_mut(fails.index()) {
                watching.extend(kept);
            }
            if conflict.is_some() {
                return conflict;
            }
        }
        None
    }

    /// Looks at a clause that watches `fails`, which does not hold any more.
    fn visit(&mut self, number: usize, fails: Lit) -> Visit {
        let Some(clause) = self.clauses.get_mut(number) else { return Visit::Moved };
        if clause.first() == Some(&fails) {
            clause.swap(0, 1);
        }
        let Some(first) = clause.first().copied() else { return Visit::Conflict };
        let values = &self.variables;
        let value = |lit: Lit| {
            values.get(lit.var()).and_then(|var| var.value).map(|value| value == lit.holds())
        };
        if value(first) == Some(true) {
            return Visit::Holds;
        }
        let other = clause.iter().skip(2).position(|lit| value(*lit) != Some(false));
        if let Some(place) = other {
            clause.swap(1, place + 2);
            let watched = clause.get(1).copied();
            if let Some(watching) = watched.and_then(|lit| self.watches.get_mut(lit.index())) {
                watching.push(number);
            }
            return Visit::Moved;
        }
        match value(first) {
            None => Visit::Unit(first),
            _ => Visit::Conflict,
        }
    }

    /// Returns a clause that follows and keeps the conflict from coming again, its first literal
    /// being the one that the clause then makes hold, and the level that it does so at.
    fn analyse(&mut self, conflict: usize) -> (Vec<Lit>, usize) {
        let level = self.levels.len();
        let mut learnt = Vec::new();
        let mut open = 0_usize;
        let mut clause = Some(conflict);
        let mut skip: Option<Lit> = None;
        let mut place = self.trail.len();
        let mut asserting = None;
        loop {
            let lits = clause.and_then(|number| self.clauses.get(number)).cloned();
            for lit in lits.unwrap_or_default() {
                if Some(lit) == skip {
                    continue;
                }
                let bump = self.bump;
                let Some(variable) = self.variables.get_mut(lit.var()) else { continue };
                if variable.seen || variable.level == 0 {
                    continue;
                }
                variable.seen = true;
                if variable.activity == 0.0 {
                    self.active.push(lit.var());
                }
                variable.activity += bump;
                if variable.level == level {
                    open += 1;
                } else {
                    learnt.push(lit);
                }
            }
            // The last literal that the conflict rests on.
            let found = loop {
                if place == 0 {
                    break None;
                }
                place -= 1;
                let lit = self.trail.get(place).copied();
                let is_seen = |lit: &Lit| self.variables.get(lit.var()).is_some_and(|v| v.seen);
                if let Some(lit) = lit.filter(is_seen) {
                    break Some(lit);
                }
            };
            let Some(lit) = found else { break };
            if let Some(variable) = self.variables.get_mut(lit.var()) {
                variable.seen = false;
                clause = variable.reason;
            }
            open = open.saturating_sub(1);
            if open == 0 {
                asserting = Some(lit.negated());
                break;
            }
            skip = Some(lit);
        }
        for lit in &learnt {
            if let Some(variable) = self.variables.get_mut(lit.var()) {
                variable.seen = false;
            }
        }
        let level_of = |lit: &Lit| self.variables.get(lit.var()).map_or(0, |var| var.level);
        // The second is watched: it must be the last that stops holding.
        learnt.sort_by_key(|lit| std::cmp::Reverse(level_of(lit)));
        let back = learnt.first().map_or(0, level_of);
        let clause: Vec<Lit> = asserting.into_iter().chain(learnt).collect();
        (clause, back)
    }
}

enum Visit {
    /// The clause watches another literal now.
    Moved,
    Holds,
    Unit(Lit),
    Conflict,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Random clauses, added in two parts, against all assignments.
    #[test]
    fn answers_are_those_of_a_table() {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        for round in 0..3000 {
            let variables = 3 + (random(&mut state) % 8) as usize;
            let count = 2 + (random(&mut state) % 40) as usize;
            let clauses: Vec<Vec<Lit>> = (0..count)
                .map(|_| {
                    let length = 1 + random(&mut state) % 3;
                    (0..length)
                        .map(|_| {
                            let var = (random(&mut state) % variables as u64) as usize;
                            Lit::new(var, random(&mut state) & 1 == 0)
                        })
                        .collect()
                })
                .collect();
            let mut solver = Solver::new();
            for _ in 0..variables {
                solver.variable(random(&mut state) & 1 == 0);
            }
            for part in 1..=2 {
                let known: Vec<&Vec<Lit>> = clauses.iter().take(count * part / 2).collect();
                if part == 1 {
                    known.iter().for_each(|clause| solver.clause(clause.iter().copied()));
                } else {
                    clauses.iter().skip(count / 2).for_each(|c| solver.clause(c.iter().copied()));
                }
                let expected = (0..1_u32 << variables).any(|bits| {
                    known.iter().all(|c| c.iter().any(|l| (bits >> l.var() & 1 == 1) == l.holds()))
                });
                let answer = solver.solve();
                assert_eq!(answer == Answer::Yes, expected, "round {round}");
                if answer == Answer::Yes {
                    let holds = |lit: &Lit| solver.value(lit.var()) == Some(lit.holds());
                    assert!(known.iter().all(|clause| clause.iter().any(holds)), "round {round}");
                }
            }
        }
    }
}
