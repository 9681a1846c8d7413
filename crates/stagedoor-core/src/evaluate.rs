//! Whether one policy is satisfied: the seam between an engine and what evaluates conditions.
//!
//! Scope and [`Predicate`](crate::ir::Predicate)s are decided on typed attributes; where
//! that does not tell, Cedar's evaluator does. It is built for a request when the first
//! clause needs it, and it alone words the errors.

mod compare;
mod guards;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use cedar_policy::{Decision, Effect, EntityUid};
use cedar_policy_core::ast;
use cedar_policy_core::entities::Entities as CedarEntities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use smallvec::SmallVec;

use crate::compiled::Fault;
use crate::context::{EvalContext, Ids};
use crate::error::{DecideError, error_chain};
use crate::guard::GuardOutcome;
use crate::hash::FastSet;
use crate::index::Candidates;
use crate::ir::{Clause, dereferenced, hops};
use crate::number::PolicyNumber;
use crate::outcome::{Outcome, PolicyError, Ruling};
use crate::policy::{ActionScope, EntityScope, PolicyInfo, StoredPolicy};
use crate::shadow::Shadow;
use crate::snapshot::Snapshot;
use crate::stack::with_stack;
use crate::symbols::Var;

pub(crate) use guards::{GuardSession, GuardedEffect, ResourceKnown, errors as guard_errors};

/// What one policy says to one request.
#[derive(Debug)]
pub(crate) enum Verdict<'v> {
    Satisfied,
    NotSatisfied,
    /// Words are made of it only where somebody reads them.
    Errored(Fault<'v>),
}

/// The policies that determine a decision.
#[derive(Debug, Default)]
pub(crate) struct DeterminingPolicies {
    pub(crate) permits: SmallVec<[PolicyNumber; 4]>,
    pub(crate) forbids: SmallVec<[PolicyNumber; 4]>,
    /// Those that Cedar satisfies and whose guards are still to be asked.
    pub(crate) guarded: SmallVec<[PolicyNumber; 2]>,
    pub(crate) errors: Vec<(PolicyNumber, PolicyError)>,
}

impl DeterminingPolicies {
    pub(crate) fn satisfied(&mut self, number: PolicyNumber, effect: Effect) {
        match effect {
            Effect::Permit => self.permits.push(number),
            Effect::Forbid => self.forbids.push(number),
        }
    }

    /// Adds a policy that Cedar satisfies.
    pub(crate) fn add(&mut self, number: PolicyNumber, policy: &StoredPolicy) {
        if policy.body.guards.is_empty() {
            self.satisfied(number, policy.effect);
        } else {
            self.guarded.push(number);
        }
    }

    /// Returns the answer, once no guard is left to be asked.
    fn settled(self, engine: &Arc<Snapshot>, guards: Vec<GuardOutcome>) -> Outcome {
        let Self { permits, forbids, errors, .. } = self;
        let errors = errors.into_iter().map(|(_, error)| error).collect();
        let allowed = forbids.is_empty() && !permits.is_empty();
        let (decision, determining) =
            if allowed { (Decision::Allow, permits) } else { (Decision::Deny, forbids) };
        Outcome { engine: Arc::clone(engine), decision, determining, errors, guards }
    }
}

/// Evaluates policies for one request.
pub(crate) struct Evaluation<'e, 'r> {
    pub(crate) view: &'e EvalContext<'r>,
    engine: &'e Arc<Snapshot>,
    cedar: OnceCell<Result<(ast::Request, CedarEntities), DecideError>>,
    cedar_of_all: OnceCell<Result<CedarEntities, DecideError>>,
}

impl<'e, 'r> Evaluation<'e, 'r> {
    pub(crate) fn new(view: &'e EvalContext<'r>, engine: &'e Arc<Snapshot>) -> Self {
        Self { view, engine, cedar: OnceCell::new(), cedar_of_all: OnceCell::new() }
    }

    /// Returns what those policies say that can matter and that `counts` takes.
    ///
    /// # Errors
    ///
    /// As [`policy`](Self::policy).
    pub(crate) fn tally(
        &self,
        counts: impl Fn(PolicyNumber) -> bool,
    ) -> Result<DeterminingPolicies, DecideError> {
        self.tally_beside(self.due_shadow(), counts)
    }

    /// Returns the shadow, if this decision is one that Cedar makes as well.
    fn due_shadow(&self) -> Option<&'e Shadow> {
        self.engine.shadow.as_deref().filter(|shadow| shadow.is_due())
    }

    fn tally_beside(
        &self,
        shadow: Option<&Shadow>,
        counts: impl Fn(PolicyNumber) -> bool,
    ) -> Result<DeterminingPolicies, DecideError> {
        let engine = self.engine;
        let mut tally = DeterminingPolicies::default();
        for effect in [Effect::Forbid, Effect::Permit] {
            for candidate in engine.candidates(effect, self.view) {
                let number = candidate.policy();
                if !counts(number) {
                    continue;
                }
                if candidate.is_satisfied() {
                    tally.satisfied(number, effect);
                    continue;
                }
                let Some(policy) = engine.policy(number) else { continue };
                match self.policy(policy)? {
                    Verdict::NotSatisfied => {}
                    Verdict::Satisfied => tally.add(number, policy.policy),
                    Verdict::Errored(fault) => {
                        tally.errors.push((number, PolicyError::evaluation(policy, &fault)));
                        // INVARIANT: what fails is on the side of denial: a permit that errs is off,
                        // a forbid that errs is on.
                        if effect == Effect::Forbid && !self.engine.exact {
                            tally.forbids.push(number);
                        }
                    }
                }
            }
        }
        tally.errors.sort_unstable_by_key(|(number, _)| *number);
        if let Some(shadow) = shadow {
            self.compare(shadow, &counts, &mut tally)?;
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
    pub(crate) fn ruling<'x>(&self, engine: &'x Snapshot) -> Result<Ruling<'x>, DecideError> {
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
                if candidate.is_satisfied() {
                    settled = Some(candidate.policy());
                    return ControlFlow::Break(());
                }
                open.push(candidate);
                ControlFlow::Continue(())
            });
            if let Some(policy) = settled {
                return Ok(Ruling::new(decision, engine.policy(policy)));
            }
            // INVARIANT: forbids have all been looked at before the first permit counts.
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
        engine: &'x Snapshot,
    ) -> Result<Ruling<'x>, DecideError> {
        let tally = self.tally_beside(shadow, |_| true)?;
        let outcome = self.outcome(tally, self.guards(ResourceKnown::Yes));
        let first = outcome.determining.first();
        let policy = first.and_then(|number| engine.policy(*number));
        Ok(Ruling::new(outcome.decision, policy))
    }

    /// Returns what a policy says.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the entities are not ones that Cedar takes.
    pub(crate) fn policy<'v>(&'v self, policy: PolicyInfo<'v>) -> Result<Verdict<'v>, DecideError> {
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
        // INVARIANT: in Cedar's order, and no further than Cedar goes: a clause behind one that is
        // false is never asked, and cannot err.
        for clause in &policy.policy.body.clauses {
            match self.clause(clause)? {
                Some(true) => {}
                Some(false) => return Ok(Verdict::NotSatisfied),
                None => return self.erring(policy, clause),
            }
        }
        Ok(Verdict::Satisfied)
    }

    /// Returns why a clause has no answer. Cedar is asked only where that is not plain: reading
    /// the policy again takes longer than deciding it, and anybody can ask about what is unknown.
    fn erring<'v>(
        &'v self,
        policy: PolicyInfo<'v>,
        clause: &'v Clause,
    ) -> Result<Verdict<'v>, DecideError> {
        let fault = match clause {
            Clause::Predicate(test) => with_stack(|| self.view.fault(test)),
            Clause::Cedar(_) => None,
        };
        fault.map_or_else(|| self.whole(policy), |fault| Ok(Verdict::Errored(fault)))
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
        self.action(&policy.action)
    }

    pub(crate) fn action(&self, scope: &ActionScope) -> bool {
        let Some(ids) = self.view.ids(Var::Action).and_then(Ids::get) else { return false };
        match scope {
            ActionScope::Any => true,
            ActionScope::Eq(uid) => ids.own == Some(*uid),
            ActionScope::In(uids) => uids.iter().any(|uid| ids.contains(*uid)),
        }
    }

    /// Decides one clause; `None` where Cedar errs.
    pub(crate) fn clause(&self, clause: &Clause) -> Result<Option<bool>, DecideError> {
        match clause {
            Clause::Predicate(test) => Ok(self.view.eval(test)),
            Clause::Cedar(expr) => self.expression(expr),
        }
    }

    /// Lets Cedar decide an expression; `None` where it errs.
    pub(crate) fn expression(&self, expr: &ast::Expr) -> Result<Option<bool>, DecideError> {
        let value = self.with_evaluator(expr, |evaluator| {
            evaluator.interpret(expr, &ast::SlotEnv::new()).ok()
        })?;
        Ok(value.and_then(|value| match value.value {
            ast::ValueKind::Lit(ast::Literal::Bool(held)) => Some(held),
            _ => None,
        }))
    }

    /// Lets Cedar evaluate the whole policy, for its error.
    fn whole(&self, policy: PolicyInfo<'_>) -> Result<Verdict<'static>, DecideError> {
        let parsed = match with_stack(|| policy.reparse()) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Verdict::Errored(Fault::Worded(error))),
        };
        let evaluated = self.with_evaluator(&parsed.condition(), |evaluator| {
            evaluator.evaluate(&parsed).map_err(|error| error_chain(&error))
        })?;
        Ok(match evaluated {
            Ok(true) => Verdict::Satisfied,
            Ok(false) => Verdict::NotSatisfied,
            Err(error) => Verdict::Errored(Fault::Worded(error)),
        })
    }

    /// Calls `work` with Cedar's evaluator, which knows the entities that `expr` can come to.
    pub(crate) fn with_evaluator<R>(
        &self,
        expr: &ast::Expr,
        work: impl FnOnce(Evaluator<'_>) -> R,
    ) -> Result<R, DecideError> {
        let mut named = FastSet::default();
        dereferenced(expr, &mut named);
        if named.is_empty() {
            let (request, entities) = self.cedar()?;
            return Ok(with_stack(|| {
                work(Evaluator::new(request.clone(), entities, Extensions::all_available()))
            }));
        }
        let entities = self.cedar_entities(named.iter(), hops(expr))?;
        let (request, _) = self.cedar()?;
        Ok(with_stack(|| {
            work(Evaluator::new(request.clone(), &entities, Extensions::all_available()))
        }))
    }

    /// Returns Cedar's evaluator, which knows all entities that the policies, and others like them,
    /// can come to. Costs time in proportion to these.
    pub(crate) fn evaluator_of_all(&self) -> Result<Evaluator<'_>, DecideError> {
        let all = self
            .cedar_of_all
            .get_or_init(|| self.cedar_entities(self.engine.dereferenced.iter(), usize::MAX));
        let entities = all.as_ref().map_err(Clone::clone)?;
        let (request, _) = self.cedar()?;
        Ok(Evaluator::new(request.clone(), entities, Extensions::all_available()))
    }

    /// Returns the request and what it touches as Cedar's, built at the first call.
    fn cedar(&self) -> Result<&(ast::Request, CedarEntities), DecideError> {
        let built = self.cedar.get_or_init(|| {
            let request = self.view.whole()?.0.to_cedar(None)?;
            let entities = self.cedar_entities(std::iter::empty(), self.engine.hops)?;
            Ok((request.as_ref().clone(), entities))
        });
        built.as_ref().map_err(Clone::clone)
    }

    /// Returns, as Cedar's, the entities that an expression can come to in so many steps from the
    /// request or from those that it names.
    fn cedar_entities<'u>(
        &'u self,
        named: impl Iterator<Item = &'u EntityUid>,
        hops: usize,
    ) -> Result<CedarEntities, DecideError> {
        let (request, entities) = self.view.whole()?;
        let mut roots = vec![&request.principal, &request.action, &request.resource];
        request.context.values().for_each(|value| value.add_uids(&mut roots));
        roots.extend(named);
        Ok(entities.to_cedar(roots, hops, &self.engine.action_entities)?)
    }
}
