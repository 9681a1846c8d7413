//! Whether one policy is satisfied: the seam between an engine and what evaluates conditions.
//!
//! Scope and [`Test`](crate::condition::Test)s are decided on typed attributes; where
//! that does not tell, Cedar's evaluator does. It is built for a request when the first
//! clause needs it, and it alone words the errors.

mod guards;
mod shadow;

use std::cell::OnceCell;
use std::ops::ControlFlow;

use cedar_policy::{Decision, Effect};
use cedar_policy_core::ast;
use cedar_policy_core::entities::Entities as CedarEntities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use smallvec::SmallVec;

use crate::condition::Clause;
use crate::engine::{Engine, Snapshot};
use crate::error::{DecideError, causes};
use crate::guard::GuardOutcome;
use crate::index::Candidates;
use crate::outcome::{Outcome, PolicyError, Ruling};
use crate::parse;
use crate::policy::{ActionScope, EntityScope, PolicyInfo, StoredPolicy};
use crate::symbols::Var;
use crate::view::{Ids, View};

pub(crate) use guards::{Guards, ResourceKnown, Standing, errors as guard_errors};
pub use shadow::DifferenceSink;
pub(crate) use shadow::Shadow;

/// What one policy says to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Satisfied,
    NotSatisfied,
    Errored(String),
}

/// The policies that determine a decision.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) permits: SmallVec<[u32; 4]>,
    pub(crate) forbids: SmallVec<[u32; 4]>,
    /// Those that Cedar satisfies and whose guards are still to be asked.
    pub(crate) guarded: SmallVec<[u32; 2]>,
    pub(crate) errors: Vec<(u32, PolicyError)>,
}

impl Tally {
    pub(crate) fn satisfied(&mut self, number: u32, effect: Effect) {
        match effect {
            Effect::Permit => self.permits.push(number),
            Effect::Forbid => self.forbids.push(number),
        }
    }

    /// Adds a policy that Cedar satisfies.
    pub(crate) fn add(&mut self, number: u32, policy: &StoredPolicy) {
        if policy.body.guards.is_empty() {
            self.satisfied(number, policy.effect);
        } else {
            self.guarded.push(number);
        }
    }

    /// Returns the answer, once no guard is left to be asked.
    fn settled(self, engine: &Engine, guards: Vec<GuardOutcome>) -> Outcome {
        let Self { permits, forbids, errors, .. } = self;
        let errors = errors.into_iter().map(|(_, error)| error).collect();
        let allowed = forbids.is_empty() && !permits.is_empty();
        let (decision, determining) =
            if allowed { (Decision::Allow, permits) } else { (Decision::Deny, forbids) };
        Outcome { engine: engine.clone(), decision, determining, errors, guards }
    }
}

/// Evaluates policies for one request.
pub(crate) struct Evaluation<'e, 'r> {
    pub(crate) view: &'e View<'r>,
    engine: &'e Snapshot,
    cedar: OnceCell<Result<(ast::Request, CedarEntities), DecideError>>,
}

impl<'e, 'r> Evaluation<'e, 'r> {
    pub(crate) fn new(view: &'e View<'r>, engine: &'e Snapshot) -> Self {
        Self { view, engine, cedar: OnceCell::new() }
    }

    /// Returns what those policies say that can matter and that `counts` takes.
    ///
    /// # Errors
    ///
    /// As [`policy`](Self::policy).
    pub(crate) fn tally(
        &self,
        engine: &Engine,
        counts: impl Fn(u32) -> bool,
    ) -> Result<Tally, DecideError> {
        self.tally_beside(self.due_shadow(), engine, counts)
    }

    /// Returns the shadow, if this decision is one that Cedar makes as well.
    fn due_shadow(&self) -> Option<&'e Shadow> {
        self.engine.shadow.as_ref().filter(|shadow| shadow.is_due())
    }

    fn tally_beside(
        &self,
        shadow: Option<&Shadow>,
        engine: &Engine,
        counts: impl Fn(u32) -> bool,
    ) -> Result<Tally, DecideError> {
        let mut tally = Tally::default();
        for effect in [Effect::Forbid, Effect::Permit] {
            for candidate in engine.candidates(effect, self.view) {
                let number = candidate.policy();
                if !counts(number) {
                    continue;
                }
                if candidate.is_settled() {
                    tally.satisfied(number, effect);
                    continue;
                }
                let Some(policy) = engine.policy(number) else { continue };
                match self.policy(policy)? {
                    Verdict::NotSatisfied => {}
                    Verdict::Satisfied => tally.add(number, policy.policy),
                    Verdict::Errored(message) => {
                        tally.errors.push((number, PolicyError::evaluation(policy, message)));
                        if effect == Effect::Forbid && !self.engine.exact {
                            tally.forbids.push(number);
                        }
                    }
                }
            }
        }
        tally.errors.sort_unstable_by_key(|(number, _)| *number);
        if let Some(shadow) = shadow {
            shadow.compare(self, engine, &counts, &mut tally)?;
        }
        Ok(tally)
    }

    /// Returns the decision and one of the policies that determine it, looking no further
    /// than the decision needs: at forbids up to the first that denies, then at permits up to
    /// the first that is satisfied.
    ///
    /// # Errors
    ///
    /// As [`policy`](Self::policy).
    pub(crate) fn ruling<'x>(&self, engine: &'x Engine) -> Result<Ruling<'x>, DecideError> {
        if let Some(shadow) = self.due_shadow() {
            return self.ruling_of_all(Some(shadow), engine);
        }
        for (effect, decision) in
            [(Effect::Forbid, Decision::Deny), (Effect::Permit, Decision::Allow)]
        {
            let mut is_guarded = false;
            let mut open = Candidates::new();
            let mut settled = None;
            // What is satisfied without more ado comes first.
            let _ = engine.walk(effect, self.view, |candidate| {
                if candidate.is_settled() {
                    settled = Some(candidate.policy());
                    return ControlFlow::Break(());
                }
                open.push(candidate);
                ControlFlow::Continue(())
            });
            if let Some(policy) = settled {
                return Ok(Ruling::new(decision, engine.policy(policy)));
            }
            for candidate in open {
                let Some(policy) = engine.policy(candidate.policy()) else { continue };
                let counts = match self.policy(policy)? {
                    Verdict::NotSatisfied => false,
                    Verdict::Satisfied if policy.policy.body.guards.is_empty() => true,
                    Verdict::Satisfied => {
                        is_guarded = true;
                        false
                    }
                    Verdict::Errored(_) => effect == Effect::Forbid && !self.engine.exact,
                };
                if counts {
                    return Ok(Ruling::new(decision, Some(policy)));
                }
            }
            if is_guarded {
                // The answer hangs on guards: which are asked depends on all policies.
                return self.ruling_of_all(None, engine);
            }
        }
        Ok(Ruling::new(Decision::Deny, None))
    }

    /// As [`ruling`](Self::ruling), looking at all policies that can matter.
    fn ruling_of_all<'x>(
        &self,
        shadow: Option<&Shadow>,
        engine: &'x Engine,
    ) -> Result<Ruling<'x>, DecideError> {
        let tally = self.tally_beside(shadow, engine, |_| true)?;
        let outcome = self.outcome(engine, tally, self.guards(ResourceKnown::Yes));
        let first = outcome.determining.first();
        let policy = first.and_then(|number| engine.policy(*number));
        Ok(Ruling::new(outcome.decision, policy))
    }

    /// Returns what a policy says.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the entities are not ones that Cedar takes.
    pub(crate) fn policy(&self, policy: PolicyInfo<'_>) -> Result<Verdict, DecideError> {
        if !self.scope(policy.policy) {
            return Ok(Verdict::NotSatisfied);
        }
        if let Some(exprs) = &policy.policy.body.exprs {
            for expr in exprs {
                match self.expression(expr)? {
                    Some(true) => {}
                    Some(false) => return Ok(Verdict::NotSatisfied),
                    None => return self.whole(policy),
                }
            }
            return Ok(Verdict::Satisfied);
        }
        for clause in &policy.policy.body.clauses {
            match self.clause(clause)? {
                Some(true) => {}
                Some(false) => return Ok(Verdict::NotSatisfied),
                None => return self.whole(policy),
            }
        }
        Ok(Verdict::Satisfied)
    }

    /// Returns whether the policy's scope matches.
    pub(crate) fn scope(&self, policy: &StoredPolicy) -> bool {
        self.entity_scope(&policy.principal, Var::Principal)
            && self.entity_scope(&policy.resource, Var::Resource)
            && self.action_scope(policy)
    }

    pub(crate) fn entity_scope(&self, scope: &EntityScope, var: Var) -> bool {
        if *scope == EntityScope::Any {
            return true;
        }
        let Some(ids) = self.view.ids(var).and_then(Ids::get) else { return false };
        match scope {
            EntityScope::Any => true,
            EntityScope::Is(type_) => ids.type_ == Some(*type_),
            EntityScope::Eq(uid) => ids.own == Some(*uid),
            EntityScope::In(uid) => ids.contains(*uid),
            EntityScope::IsIn(type_, uid) => ids.type_ == Some(*type_) && ids.contains(*uid),
        }
    }

    pub(crate) fn action_scope(&self, policy: &StoredPolicy) -> bool {
        let Some(ids) = self.view.ids(Var::Action).and_then(Ids::get) else { return false };
        match &policy.action {
            ActionScope::Any => true,
            ActionScope::Eq(uid) => ids.own == Some(*uid),
            ActionScope::In(uids) => uids.iter().any(|uid| ids.contains(*uid)),
        }
    }

    /// Decides one clause; `None` where Cedar errs.
    pub(crate) fn clause(&self, clause: &Clause) -> Result<Option<bool>, DecideError> {
        match clause {
            Clause::Test(test) => Ok(self.view.decide(test)),
            Clause::Cedar(expr) => self.expression(expr),
        }
    }

    /// Lets Cedar decide an expression; `None` where it errs.
    pub(crate) fn expression(&self, expr: &ast::Expr) -> Result<Option<bool>, DecideError> {
        let evaluator = self.evaluator()?;
        let value = with_room(|| evaluator.interpret(expr, &ast::SlotEnv::new()).ok());
        Ok(value.and_then(|value| match value.value {
            ast::ValueKind::Lit(ast::Literal::Bool(held)) => Some(held),
            _ => None,
        }))
    }

    /// Lets Cedar evaluate the whole policy, for its error.
    fn whole(&self, policy: PolicyInfo<'_>) -> Result<Verdict, DecideError> {
        let parsed = match with_room(|| parse::again(policy)) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Verdict::Errored(error)),
        };
        let evaluator = self.evaluator()?;
        Ok(match with_room(|| evaluator.evaluate(&parsed).map_err(|e| causes(&e))) {
            Ok(true) => Verdict::Satisfied,
            Ok(false) => Verdict::NotSatisfied,
            Err(error) => Verdict::Errored(error),
        })
    }

    pub(crate) fn evaluator(&self) -> Result<Evaluator<'_>, DecideError> {
        let (request, entities) =
            self.cedar.get_or_init(|| self.build()).as_ref().map_err(Clone::clone)?;
        Ok(Evaluator::new(request.clone(), entities, Extensions::all_available()))
    }

    fn build(&self) -> Result<(ast::Request, CedarEntities), DecideError> {
        let (request, entities) = self.view.whole()?;
        let cedar_request = request.to_cedar(None)?;
        let mut roots = vec![&request.principal, &request.action, &request.resource];
        request.context.values().for_each(|value| value.add_uids(&mut roots));
        roots.extend(&self.engine.dereferenced);
        let cedar_entities = entities.to_cedar(roots.into_iter(), &self.engine.action_entities)?;
        Ok((cedar_request.as_ref().clone(), cedar_entities))
    }
}

/// Runs Cedar's recursive parser and evaluator with room enough for whatever the limits
/// let through, however small the caller's stack is.
pub(crate) fn with_room<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(1 << 20, 16 << 20, work)
}
