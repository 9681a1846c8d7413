//! One question: is there a request of an environment for which all of some formulas hold?

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::atom::{Atom, AtomId, Atoms, Origin, Predicate, Relation, Root};
use crate::constant::Constant;
use crate::formula::Formula;
use crate::schema::{Environment, SchemaView, ValueType};
use crate::solver::{Answer, Lit, Solver};
use crate::theory::{self, Model, Verdict};
use crate::translate::Translator;

/// So many assignments are looked at before a question is given up.
const ROUNDS: usize = 20_000;
/// After so many atoms that assignments were checked in, over all asking, a question is given up.
const CHECKED: usize = 12_000_000;

/// So many assignments that came to nothing are set aside before a question is given up.
const SET_ASIDE: usize = 24;

/// What came of a question.
#[derive(Debug)]
pub(crate) enum Reply {
    /// There is one, as this model says.
    Yes(Box<Model>),
    /// There is none.
    No,
    /// That was not found out, for this reason.
    Unknown(String),
}

/// A question, and what has been learnt about it.
pub(crate) struct Question<'a> {
    pub(crate) schema: &'a SchemaView,
    pub(crate) env: &'a Environment,
    pub(crate) atoms: Atoms,
    solver: Solver,
    /// The solver's variables of atoms.
    variables: Vec<usize>,
    /// The solver's variables of formulas that are shared.
    shared: HashMap<*const Vec<Formula>, Lit>,
    /// INVARIANT: keeps the formulas of `shared` where they are.
    kept: Vec<Arc<Vec<Formula>>>,
    /// How many atoms and terms the laws have been stated of.
    stated: (usize, usize),
    /// By term: a variable that holds if one of the constants so far is its value.
    one_of: HashMap<usize, Lit>,
    /// By term: the bounds that it is compared with.
    bounds: HashMap<usize, BTreeMap<i64, Lit>>,
    set_aside: usize,
    unknown: Option<String>,
    /// Atoms that assignments were checked in so far.
    checked: usize,
}

impl<'a> Question<'a> {
    pub(crate) fn new(schema: &'a SchemaView, env: &'a Environment) -> Self {
        Self {
            schema,
            env,
            atoms: Atoms::default(),
            solver: Solver::new(),
            variables: Vec::new(),
            shared: HashMap::new(),
            kept: Vec::new(),
            stated: (0, 0),
            one_of: HashMap::new(),
            bounds: HashMap::new(),
            set_aside: 0,
            unknown: None,
            checked: 0,
        }
    }

    /// Returns what turns policies into formulas of this question.
    pub(crate) fn translator(&mut self) -> Translator<'_> {
        Translator { schema: self.schema, env: self.env, atoms: &mut self.atoms, is_other: false }
    }

    /// Returns what turns policies into formulas about another action, of the same principal and
    /// resource in the same context.
    ///
    /// INVARIANT: the types of the other environment are those of the question's.
    pub(crate) fn translator_about<'t>(&'t mut self, env: &'t Environment) -> Translator<'t> {
        Translator { schema: self.schema, env, atoms: &mut self.atoms, is_other: true }
    }

    /// Demands that a formula hold.
    pub(crate) fn require(&mut self, formula: &Formula) {
        match formula {
            Formula::True => {}
            Formula::False => self.solver.clause([]),
            Formula::Literal(atom, holds) => {
                let lit = Lit::new(self.variable(*atom), *holds);
                self.solver.clause([lit]);
            }
            Formula::All(parts) => parts.iter().for_each(|part| self.require(part)),
            Formula::Any(parts) => {
                let lits: Vec<Lit> = parts.iter().map(|part| self.lit(part)).collect();
                self.solver.clause(lits);
            }
        }
    }

    fn variable(&mut self, atom: AtomId) -> usize {
        while self.variables.len() <= atom {
            let preferred = self.atoms.get(self.variables.len()).is_some_and(is_preferred);
            let variable = self.solver.variable(preferred);
            self.variables.push(variable);
        }
        self.variables.get(atom).copied().unwrap_or_default()
    }

    /// Returns a literal that holds only where the formula does.
    fn lit(&mut self, formula: &Formula) -> Lit {
        let parts = match formula {
            Formula::Literal(atom, holds) => return Lit::new(self.variable(*atom), *holds),
            Formula::True | Formula::False => {
                let lit = Lit::new(self.solver.variable(false), true);
                let settled = if matches!(formula, Formula::True) { lit } else { lit.negated() };
                self.solver.clause([settled]);
                return lit;
            }
            Formula::All(parts) | Formula::Any(parts) => parts,
        };
        if let Some(lit) = self.shared.get(&Arc::as_ptr(parts)) {
            return *lit;
        }
        let lits: Vec<Lit> = parts.iter().map(|part| self.lit(part)).collect();
        let lit = Lit::new(self.solver.variable(false), true);
        if matches!(formula, Formula::All(_)) {
            lits.iter().for_each(|part| self.solver.clause([lit.negated(), *part]));
        } else {
            self.solver.clause(lits.into_iter().chain([lit.negated()]));
        }
        self.shared.insert(Arc::as_ptr(parts), lit);
        self.kept.push(Arc::clone(parts));
        lit
    }

    /// Looks for a request.
    pub(crate) fn ask(&mut self) -> Reply {
        for _ in 0..ROUNDS {
            self.state_laws();
            match self.solver.solve() {
                Answer::Yes => {}
                Answer::No => return self.unknown.clone().map_or(Reply::No, Reply::Unknown),
                Answer::GaveUp => return Reply::Unknown("too many cases".to_owned()),
            }
            self.checked += self.variables.len();
            if self.checked > CHECKED {
                return Reply::Unknown("too many cases".to_owned());
            }
            let (solver, variables) = (&self.solver, &self.variables);
            let value = |atom: AtomId| variables.get(atom).and_then(|var| solver.value(*var));
            match theory::check(&self.atoms, self.schema, value) {
                Verdict::Model(model) => return Reply::Yes(model),
                Verdict::Conflicts(conflicts) => {
                    for conflict in conflicts {
                        let lits = conflict.into_iter().map(|(atom, value)| {
                            Lit::new(self.variables.get(atom).copied().unwrap_or_default(), !value)
                        });
                        let lits: Vec<Lit> = lits.collect();
                        self.solver.clause(lits);
                    }
                }
                Verdict::Stuck(reason) => {
                    if let Some(reply) = self.set_aside(&reason) {
                        return reply;
                    }
                }
            }
        }
        Reply::Unknown("too many cases".to_owned())
    }

    /// Sets aside the last assignment, of which nothing can be made: what is not found from here
    /// on is not known not to be. Returns a reply if that was done too often.
    pub(crate) fn set_aside(&mut self, reason: &str) -> Option<Reply> {
        self.unknown.get_or_insert_with(|| reason.to_owned());
        self.set_aside += 1;
        if self.set_aside > SET_ASIDE {
            return self.unknown.clone().map(Reply::Unknown);
        }
        let soft = self.atoms.atoms().iter().enumerate().filter(|(_, atom)| atom.is_soft());
        let mut chosen: Vec<usize> = soft.map(|(id, _)| id).collect();
        if chosen.is_empty() {
            chosen = (0..self.atoms.atoms().len()).collect();
        }
        let lits: Vec<Lit> = chosen
            .into_iter()
            .filter_map(|atom| {
                let variable = self.variables.get(atom)?;
                Some(Lit::new(*variable, !self.solver.value(*variable)?))
            })
            .collect();
        self.solver.clause(lits);
        None
    }

    /// Returns what keeps the question from being decided exactly, as far as something may.
    pub(crate) fn opaque_parts(&self) -> Vec<String> {
        let mut parts: Vec<String> = self
            .atoms
            .atoms()
            .iter()
            .filter_map(|atom| match atom {
                Atom::Opaque(text, _) => Some(format!("`{text}`")),
                Atom::Related(relation, a, b) if *relation != Relation::Same => {
                    let (a, b) = (self.atoms.written(*a), self.atoms.written(*b));
                    Some(format!("`{a} {relation} {b}`"))
                }
                _ => None,
            })
            .collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// States what holds of atoms whatever the request is, of those that have come since.
    fn state_laws(&mut self) {
        loop {
            let (atoms, terms) = self.stated;
            let (new_atoms, new_terms) = (self.atoms.atoms().len(), self.atoms.terms().len());
            if (atoms, terms) == (new_atoms, new_terms) {
                return;
            }
            self.stated = (new_atoms, new_terms);
            for term in terms..new_terms {
                self.state_choices(term);
            }
            for atom in atoms..new_atoms {
                self.state_law(atom);
            }
        }
    }

    /// An entity of an enumerated type is one of them.
    fn state_choices(&mut self, term: usize) {
        let Some(of) = self.atoms.terms().get(term) else { return };
        let ValueType::Entity(name) = &of.ty else { return };
        if matches!(of.origin, Origin::Root(Root::Entity(_))) {
            return;
        }
        let Some(choices) = self.schema.entity(name).and_then(|shape| shape.choices.clone()) else {
            return;
        };
        let name = name.clone();
        let lits: Vec<Lit> = choices
            .into_iter()
            .map(|id| {
                let uid = cedar_policy_core::ast::EntityUID::from_components(
                    name.clone(),
                    cedar_policy_core::ast::Eid::new(id),
                    None,
                );
                let equals = Atom::Is(term, Predicate::Equals(Constant::Entity(uid)));
                let atom = self.atoms.atom(equals);
                Lit::new(self.variable(atom), true)
            })
            .collect();
        self.solver.clause(lits);
    }

    fn state_law(&mut self, number: AtomId) {
        let Some(atom) = self.atoms.get(number).cloned() else { return };
        let own = Lit::new(self.variable(number), true);
        match atom {
            // A value is one constant at most: said in a chain, as there may be many.
            Atom::Is(term, Predicate::Equals(_)) => {
                let chain = Lit::new(self.solver.variable(false), true);
                self.solver.clause([own.negated(), chain]);
                if let Some(before) = self.one_of.insert(term, chain) {
                    self.solver.clause([before.negated(), chain]);
                    self.solver.clause([own.negated(), before.negated()]);
                }
            }
            // What is below a bound is below all that are above it.
            Atom::Is(term, Predicate::AtMost(bound)) => {
                let bounds = self.bounds.entry(term).or_default();
                let above = bounds.range(bound..).next().map(|(_, lit)| *lit);
                let below = bounds.range(..bound).next_back().map(|(_, lit)| *lit);
                bounds.insert(bound, own);
                if let Some(above) = above {
                    self.solver.clause([own.negated(), above]);
                }
                if let Some(below) = below {
                    self.solver.clause([below.negated(), own]);
                }
            }
            // A member is there, unless it is the group itself.
            Atom::Is(term, Predicate::In(group)) => {
                let exists = self.atom_lit(Atom::Exists(term));
                let of_type = matches!(self.atoms.ty(term), ValueType::Entity(name) if name == group.entity_type());
                let is_fixed = self
                    .atoms
                    .terms()
                    .get(term)
                    .is_some_and(|term| matches!(term.origin, Origin::Root(Root::Entity(_))));
                if of_type && !is_fixed {
                    let equals = Atom::Is(term, Predicate::Equals(Constant::Entity(group)));
                    let equals = self.atom_lit(equals);
                    self.solver.clause([own.negated(), exists, equals]);
                    self.solver.clause([equals.negated(), own]);
                } else {
                    self.solver.clause([own.negated(), exists]);
                }
            }
            Atom::Related(Relation::Within, a, b) => {
                let exists = self.atom_lit(Atom::Exists(a));
                if self.atoms.ty(a) == self.atoms.ty(b) {
                    let same = self.atom_lit(Atom::Related(Relation::Same, a.min(b), a.max(b)));
                    self.solver.clause([own.negated(), exists, same]);
                    self.solver.clause([same.negated(), own]);
                } else {
                    self.solver.clause([own.negated(), exists]);
                }
            }
            _ => {}
        }
    }

    fn atom_lit(&mut self, atom: Atom) -> Lit {
        let atom = self.atoms.atom(atom);
        Lit::new(self.variable(atom), true)
    }
}

/// Returns whether an atom is rather true than false in a plain request.
fn is_preferred(atom: &Atom) -> bool {
    matches!(atom, Atom::Exists(_) | Atom::Is(_, Predicate::Subset(_) | Predicate::IsIpv4))
}
