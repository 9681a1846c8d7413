//! A request, asked of one policy at a time: what tests of policies are measured by.
//!
//! Not for decisions: parts of policies go through Cedar's evaluator, one after another.
//! What a policy as a whole says goes through the index.

use std::cell::RefCell;

use cedar_policy::{Decision, Effect};
use cedar_policy_core::ast;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::validator::{ValidationMode, Validator, ValidatorSchema};
use smallvec::SmallVec;

use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::{DecideError, error_chain};
use crate::evaluate::{Evaluation, GuardSession, GuardedEffect, ResourceKnown, Verdict};
use crate::hash::FastMap;
use crate::policy::{ActionScope, EntityScope, PolicyInfo, StoredPolicy};
use crate::request::Request;
use crate::stack::with_stack;
use crate::symbols::Var;

/// What one policy says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyVerdict {
    /// It applies, and its guards say yes.
    Satisfied,
    /// It does not apply, or a guard says no.
    NotSatisfied,
    /// Cedar could not evaluate it, or a guard gave no answer.
    Errored,
}

/// What all policies say to one request. Policies go by their number in
/// [`Engine::policies`], from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The policies that are satisfied or err, in order.
    standing: SmallVec<[(usize, Effect, PolicyVerdict); 8]>,
    exact: bool,
}

impl Verdicts {
    /// Returns the decision that follows, as [`Engine::decide`] makes it.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let permitted = self.satisfied(Effect::Permit).next().is_some();
        if permitted && self.denying().next().is_none() { Decision::Allow } else { Decision::Deny }
    }

    /// Returns the determining policies.
    #[must_use]
    pub fn reasons(&self) -> Vec<usize> {
        match self.decision() {
            Decision::Allow => self.satisfied(Effect::Permit).collect(),
            Decision::Deny => self.denying().collect(),
        }
    }

    /// Returns the policies that could not be evaluated.
    pub fn errors(&self) -> impl Iterator<Item = usize> + '_ {
        let errored = |(_, _, verdict): &&(_, _, PolicyVerdict)| *verdict == PolicyVerdict::Errored;
        self.standing.iter().filter(errored).map(|(number, _, _)| *number)
    }

    /// Returns what a policy says.
    #[must_use]
    pub fn of(&self, policy: usize) -> PolicyVerdict {
        let own = self.standing.iter().find(|(number, _, _)| *number == policy);
        own.map_or(PolicyVerdict::NotSatisfied, |(_, _, verdict)| *verdict)
    }

    /// Returns the verdicts if one policy had this effect and said this.
    #[must_use]
    pub fn with(&self, policy: usize, effect: Effect, verdict: PolicyVerdict) -> Self {
        let mut with = self.clone();
        with.standing.retain(|(number, _, _)| *number != policy);
        if verdict != PolicyVerdict::NotSatisfied {
            let at = with.standing.partition_point(|(number, _, _)| *number < policy);
            with.standing.insert(at, (policy, effect, verdict));
        }
        with
    }

    fn satisfied(&self, effect: Effect) -> impl Iterator<Item = usize> + '_ {
        let holds = move |(_, own, verdict): &&(usize, Effect, PolicyVerdict)| {
            *own == effect && *verdict == PolicyVerdict::Satisfied
        };
        self.standing.iter().filter(holds).map(|(number, _, _)| *number)
    }

    fn denying(&self) -> impl Iterator<Item = usize> + '_ {
        let denies = |(_, effect, verdict): &&(usize, Effect, PolicyVerdict)| {
            let holds = *verdict == PolicyVerdict::Satisfied || !self.exact;
            *effect == Effect::Forbid && holds
        };
        self.standing.iter().filter(denies).map(|(number, _, _)| *number)
    }
}

/// The constraints that the scopes of an engine's policies have, each once: many policies are about
/// the same groups and actions.
#[derive(Debug)]
pub struct ScopeTable {
    principals: Vec<EntityScope>,
    actions: Vec<ActionScope>,
    resources: Vec<EntityScope>,
    /// For each policy, the places of its three.
    of: Vec<[usize; 3]>,
}

/// Which constraints of a [`ScopeTable`] hold for one request.
#[derive(Debug, Default)]
pub struct ScopeTruths([Vec<bool>; 3]);

impl ScopeTable {
    /// Returns the table of an engine's policies.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let (mut principals, mut actions, mut resources) =
            (Places::default(), Places::default(), Places::default());
        let of = engine.policies().map(|policy| {
            let policy = policy.policy;
            [
                principals.place(&policy.principal),
                actions.place(&policy.action),
                resources.place(&policy.resource),
            ]
        });
        let of = of.collect();
        Self { principals: principals.all, actions: actions.all, resources: resources.all, of }
    }

    /// Returns whether the constraints of a policy on principal, action and resource hold, by its
    /// number in [`Engine::policies`].
    #[must_use]
    pub fn scope(&self, truths: &ScopeTruths, policy: usize) -> [bool; 3] {
        let Some(places) = self.of.get(policy) else { return [false; 3] };
        let ScopeTruths(truths) = truths;
        std::array::from_fn(|part| {
            let place = places.get(part).zip(truths.get(part));
            place.and_then(|(place, truths)| truths.get(*place)).copied().unwrap_or_default()
        })
    }
}

/// Values in the order in which they came, each once.
struct Places<T> {
    all: Vec<T>,
    known: FastMap<T, usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { all: Vec::new(), known: FastMap::default() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Places<T> {
    fn place(&mut self, value: &T) -> usize {
        if let Some(place) = self.known.get(value) {
            return *place;
        }
        let place = self.all.len();
        self.all.push(value.clone());
        self.known.insert(value.clone(), place);
        place
    }
}

/// A request that was checked, ready to be asked of policies and of parts of them.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, PolicyVerdict, Request, ScopeTable, Variants};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User { level: Long }; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource) when { principal.level > 2 };")
///     .build()?;
/// let table = ScopeTable::of(&engine);
/// let user = stagedoor_core::Entity::new(r#"User::"ana""#.parse()?).with_attribute("level", 2);
/// let request = Request::new(
///     user.uid.clone(), r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// let policy = engine.policies().next().ok_or("a policy")?;
/// // What would the answer be if the policy said `>=`?
/// let text = "permit(principal, action, resource) when { principal.level >= 2 };";
/// let variant = Variants::new(&engine).read(policy, text)?;
/// engine.trial(&request, &Entities::from_entities([user])?, |trial| {
///     assert_eq!(trial.verdicts().decision(), Decision::Deny);
///     assert_eq!(trial.condition(policy), Some(false));
///     assert_eq!(table.scope(&trial.scopes(&table), 0), [true; 3]);
///     let verdict = trial.verdict(policy, &variant);
///     assert_eq!(verdict, PolicyVerdict::Satisfied);
///     let turned = trial.verdicts().with(0, policy.effect(), verdict);
///     assert_eq!(turned.decision(), Decision::Allow);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trial<'t> {
    verdicts: Verdicts,
    asked: &'t (dyn Parts + 't),
    evaluator: Evaluator<'t>,
    guards: RefCell<GuardSession<'t>>,
}

/// What one request says to parts of policies, by the tests that they were turned into.
trait Parts {
    fn scopes(&self, table: &ScopeTable) -> ScopeTruths;
    fn condition(&self, policy: &StoredPolicy) -> Option<bool>;
}

impl Parts for Evaluation<'_, '_> {
    fn scopes(&self, table: &ScopeTable) -> ScopeTruths {
        let entities = |scopes: &[EntityScope], var| {
            scopes.iter().map(|scope| self.entity_scope(scope, var)).collect()
        };
        ScopeTruths([
            entities(&table.principals, Var::Principal),
            table.actions.iter().map(|scope| self.action(scope)).collect(),
            entities(&table.resources, Var::Resource),
        ])
    }

    fn condition(&self, policy: &StoredPolicy) -> Option<bool> {
        let held = |held: Result<Option<bool>, DecideError>| held.ok().flatten();
        let of_exprs = policy.body.exprs.iter().flatten().map(|expr| held(self.expression(expr)));
        let of_clauses = policy.body.clauses.iter().map(|clause| held(self.clause(clause)));
        let mut parts: Box<dyn Iterator<Item = Option<bool>>> = match policy.body.exprs {
            Some(_) => Box::new(of_exprs),
            None => Box::new(of_clauses),
        };
        // The first that is false, or errs, is what the condition comes to.
        parts.find(|part| *part != Some(true)).unwrap_or(Some(true))
    }
}

impl Trial<'_> {
    /// Returns which constraints of the policies' scopes hold.
    #[must_use]
    pub fn scopes(&self, table: &ScopeTable) -> ScopeTruths {
        self.asked.scopes(table)
    }

    /// Returns whether the condition of an engine's policy holds, whatever its scope says; `None`
    /// where it errs.
    #[must_use]
    pub fn condition(&self, policy: PolicyInfo<'_>) -> Option<bool> {
        with_stack(|| self.asked.condition(policy.policy))
    }

    /// Returns what the engine's policies say.
    #[must_use]
    pub fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Returns whether a condition, or a part of one, holds; `None` where Cedar errs.
    #[must_use]
    pub fn holds(&self, condition: &ast::Expr) -> Option<bool> {
        let value = with_stack(|| self.evaluator.interpret(condition, &ast::SlotEnv::new()).ok());
        value.and_then(|value| match value.value {
            ast::ValueKind::Lit(ast::Literal::Bool(held)) => Some(held),
            _ => None,
        })
    }

    /// Returns what an engine's policy says where its condition holds: its guards are asked.
    #[must_use]
    pub fn guarded(&self, policy: PolicyInfo<'_>) -> PolicyVerdict {
        guarded(policy, &mut self.guards.borrow_mut())
    }

    /// Returns what a policy says that stands in the place of one of the engine's. It is guarded
    /// as that one is, as long as it has `@guard`.
    #[must_use]
    pub fn verdict(&self, policy: PolicyInfo<'_>, variant: &ast::Policy) -> PolicyVerdict {
        match with_stack(|| self.evaluator.evaluate(variant).ok()) {
            Some(true) if variant.annotations().any(|(key, _)| key.as_ref() == "guard") => {
                self.guarded(policy)
            }
            Some(true) => PolicyVerdict::Satisfied,
            Some(false) => PolicyVerdict::NotSatisfied,
            None => PolicyVerdict::Errored,
        }
    }
}

impl Engine {
    /// Checks a request as [`decide`](Self::decide) does, and asks about it.
    ///
    /// # Errors
    ///
    /// As [`decide`](Self::decide).
    pub fn trial<R>(
        &self,
        request: &Request,
        entities: &Entities,
        ask: impl FnOnce(&Trial<'_>) -> R,
    ) -> Result<R, DecideError> {
        self.0.evaluated(request, entities, |evaluation| {
            let mut guards = evaluation.guards(ResourceKnown::Yes);
            let verdicts = self.verdicts(evaluation, &mut guards)?;
            let guards = RefCell::new(guards);
            let evaluator = evaluation.evaluator_of_all()?;
            Ok(ask(&Trial { verdicts, asked: evaluation, evaluator, guards }))
        })
    }

    fn verdicts(
        &self,
        evaluation: &Evaluation<'_, '_>,
        guards: &mut GuardSession<'_>,
    ) -> Result<Verdicts, DecideError> {
        let mut standing = SmallVec::new();
        for number in self.0.all_candidates(evaluation.view) {
            let Some(policy) = self.0.policy(number) else { continue };
            let verdict = match evaluation.policy(policy)? {
                Verdict::NotSatisfied => continue,
                Verdict::Satisfied => guarded(policy, guards),
                Verdict::Errored(_) => PolicyVerdict::Errored,
            };
            if verdict == PolicyVerdict::NotSatisfied {
                continue;
            }
            standing.push((number.index(), policy.effect(), verdict));
        }
        standing.sort_unstable_by_key(|(number, _, _)| *number);
        Ok(Verdicts { standing, exact: self.is_exact_cedar() })
    }
}

fn guarded(policy: PolicyInfo<'_>, guards: &mut GuardSession<'_>) -> PolicyVerdict {
    match guards.ask(policy, &mut Vec::new()) {
        GuardedEffect::Holds => PolicyVerdict::Satisfied,
        GuardedEffect::Refused => PolicyVerdict::NotSatisfied,
        GuardedEffect::Failed => PolicyVerdict::Errored,
    }
}

/// Reads texts that could stand in the place of an engine's policies.
pub struct Variants {
    validator: Option<Validator>,
}

impl Variants {
    /// Returns what reads texts under the engine's schema.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        let schema = engine.schema().filter(|_| !engine.is_exact_cedar());
        let schema: Option<&ValidatorSchema> = schema.map(AsRef::as_ref);
        Self { validator: schema.map(|schema| Validator::new(schema.clone())) }
    }

    /// Reads a text that stands in the place of a policy: linked as the policy is.
    ///
    /// # Errors
    ///
    /// What keeps it from being loaded: it does not parse or does not validate.
    pub fn read(&self, policy: PolicyInfo<'_>, text: &str) -> Result<ast::Policy, String> {
        let parsed = with_stack(|| policy.parse_replacement(text))?;
        let Some(validator) = &self.validator else { return Ok(parsed) };
        let mut set = ast::PolicySet::new();
        let added = if parsed.is_static() {
            set.add(parsed.clone()).map_err(|e| e.to_string())
        } else {
            set.add_template(parsed.template().clone()).map_err(|e| e.to_string())
        };
        added?;
        let result = with_stack(|| validator.validate(&set, ValidationMode::Strict));
        match result.validation_errors().next() {
            Some(error) => Err(error_chain(error)),
            None => Ok(parsed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    const SCHEMA: &str = "entity User { level: Long }; entity Doc { open: Bool };
        action read appliesTo { principal: User, resource: Doc };";
    const POLICIES: &str =
        "@id(\"open\") permit(principal, action, resource) when { resource.open };
        @id(\"low\") forbid(principal, action, resource) when { principal.level < 2 };";

    fn trial<R>(
        level: i64,
        ask: impl FnOnce(&Engine, &Trial<'_>) -> R,
    ) -> Result<R, Box<dyn Error>> {
        let engine = Engine::builder().schema("s", SCHEMA).policies("p", POLICIES).build()?;
        let (user, doc) = (r#"User::"u""#.parse()?, r#"Doc::"d""#.parse()?);
        let entities = Entities::from_entities([
            crate::Entity::new(user).with_attribute("level", level),
            crate::Entity::new(doc).with_attribute("open", true),
        ])?;
        let request = Request::new(
            r#"User::"u""#.parse()?,
            r#"Action::"read""#.parse()?,
            r#"Doc::"d""#.parse()?,
        );
        Ok(engine.trial(&request, &entities, |trial| ask(&engine, trial))?)
    }

    #[test]
    fn verdicts_make_the_decision() -> Result<(), Box<dyn Error>> {
        for (level, decision, reasons) in
            [(1, Decision::Deny, vec![1]), (2, Decision::Allow, vec![0])]
        {
            trial(level, |_, trial| {
                let verdicts = trial.verdicts();
                assert_eq!((verdicts.decision(), verdicts.reasons()), (decision, reasons));
            })?;
        }
        Ok(())
    }

    #[test]
    fn another_verdict_changes_the_decision() -> Result<(), Box<dyn Error>> {
        trial(1, |_, trial| {
            let without = trial.verdicts().with(1, Effect::Forbid, PolicyVerdict::NotSatisfied);
            assert_eq!((without.decision(), without.reasons()), (Decision::Allow, vec![0]));
            let errs = without.with(1, Effect::Forbid, PolicyVerdict::Errored);
            assert_eq!((errs.decision(), errs.reasons()), (Decision::Deny, vec![1]));
            assert_eq!(errs.errors().collect::<Vec<_>>(), [1]);
            let errs = without.with(0, Effect::Permit, PolicyVerdict::Errored);
            assert_eq!((errs.decision(), errs.reasons()), (Decision::Deny, vec![]));
        })
    }

    #[test]
    fn a_variant_is_read_as_the_policy_was() -> Result<(), Box<dyn Error>> {
        trial(2, |engine, trial| {
            let variants = Variants::new(engine);
            let low = engine.policies().nth(1).ok_or("no policy")?;
            let three = variants.read(low, &low.text().replace('2', "3"))?;
            assert_eq!(trial.verdict(low, &three), PolicyVerdict::Satisfied);
            assert_eq!(three.id().to_string(), "low");
            for wrong in ["level < 2", "levels < 2", "level < \"2\""] {
                let text = low.text().replace("level < 2", wrong);
                assert_eq!(variants.read(low, &text).is_ok(), wrong == "level < 2", "{wrong}");
            }
            Ok(())
        })?
    }
}
