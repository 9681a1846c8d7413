//! An engine's policies, each parsed when it is first needed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cedar_policy_core::ast;
use stagedoor_core::{Decision, Effect, Engine, PolicyInfo, PolicyVerdict, Trial, Verdicts};

use crate::policy::{ParseError, ParsedPolicy};
use crate::schema::SchemaView;
use crate::stack::BYTES;
use crate::witness::Witness;

/// An engine with its schema and policies, ready to be reasoned about.
pub struct Library<'e> {
    engine: &'e Engine,
    own: Arc<BasePolicies<'e>>,
    /// What stands in the place of policies, by their numbers; nothing for those that are gone.
    replaced: BTreeMap<usize, Option<Replacement>>,
    /// Whether the engine runs the rules that guard policies.
    runs_guards: bool,
    /// How many questions about single policies may still be asked, where one about all of them
    /// was not decided.
    left: AtomicUsize,
}

/// What libraries that differ in single policies share.
struct BasePolicies<'e> {
    schema: SchemaView,
    infos: Vec<PolicyInfo<'e>>,
    by_id: HashMap<&'e str, usize>,
    parsed: Vec<OnceLock<Result<Arc<ParsedPolicy>, ParseError>>>,
    /// The trees of templates, by where their texts stand: an engine has each once.
    templates: Mutex<HashMap<usize, Arc<ast::Template>>>,
}

/// A policy in the place of one of an engine's.
struct Replacement {
    tree: ast::Policy,
    parsed: Arc<ParsedPolicy>,
}

/// What a policy set decides of one request.
#[derive(Debug)]
pub(crate) struct SetDecision {
    pub(crate) decision: Decision,
    /// The ids of the determining policies.
    pub(crate) reasons: Vec<String>,
    /// Where the request is denied: the guarded policies that could change that, if their guards
    /// said something else.
    pub(crate) by_guards: Vec<String>,
}

/// So many such questions take some seconds.
const SINGLE: usize = 100_000;

impl BasePolicies<'_> {
    /// Parses a policy; what is a template's, once for all its links.
    fn parse(&self, info: PolicyInfo<'_>) -> Result<ParsedPolicy, ParseError> {
        if info.link().is_none() {
            return ParsedPolicy::of(info);
        }
        let templates = || self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let at = info.text().as_ptr().addr();
        let known = templates().get(&at).cloned();
        let tree = match known {
            Some(template) => info.tree_of(template),
            None => info.tree().inspect(|tree| {
                templates().insert(at, Arc::new(tree.template().clone()));
            }),
        };
        tree.map(|tree| ParsedPolicy::read(info, &tree)).map_err(|r| ParseError::of(info, r))
    }
}

impl<'e> Library<'e> {
    /// Returns the library of an engine; nothing if the engine has no schema, or is in exact-Cedar
    /// mode: what is not validated has no types to reason with.
    #[must_use]
    pub fn of(engine: &'e Engine) -> Option<Self> {
        let schema = engine.schema().filter(|_| !engine.is_exact_cedar())?;
        let infos: Vec<PolicyInfo<'e>> = engine.policies().collect();
        let own = BasePolicies {
            schema: SchemaView::of(schema),
            by_id: infos.iter().enumerate().map(|(number, info)| (info.id(), number)).collect(),
            parsed: infos.iter().map(|_| OnceLock::new()).collect(),
            templates: Mutex::default(),
            infos,
        };
        Some(Self::over(engine, Arc::new(own)))
    }

    fn over(engine: &'e Engine, own: Arc<BasePolicies<'e>>) -> Self {
        let (replaced, left) = (BTreeMap::new(), AtomicUsize::new(SINGLE));
        Self { engine, own, replaced, runs_guards: false, left }
    }

    /// Returns the library of an engine that runs the rules which guard its policies: what it
    /// decides is taken to be so. Else a guard counts as one whose answer is not known.
    #[must_use]
    pub fn running_guards(mut self) -> Self {
        self.runs_guards = true;
        self
    }

    /// Returns whether guards are run.
    pub(crate) fn is_running_guards(&self) -> bool {
        self.runs_guards
    }

    /// Returns the library with other policies in the places of some, by their numbers: nothing
    /// for those that are to be gone.
    ///
    /// # Errors
    ///
    /// As [`parsed`](Self::parsed).
    pub(crate) fn with(
        &self,
        policies: &[(usize, Option<ast::Policy>)],
    ) -> Result<Self, ParseError> {
        let mut with = Self::over(self.engine, Arc::clone(&self.own));
        with.runs_guards = self.runs_guards;
        for (number, tree) in policies {
            let replacement = tree.as_ref().map(|tree| {
                let old = self.parsed(*number)?;
                let is_guarded = tree.annotations().any(|(key, _)| key.as_ref() == "guard");
                let mut parsed = ParsedPolicy::of_tree(tree);
                parsed.id.clone_from(&old.id);
                parsed.file.clone_from(&old.file);
                parsed.line = old.line;
                if is_guarded {
                    parsed.guards.clone_from(&old.guards);
                }
                Ok(Replacement { tree: tree.clone(), parsed: Arc::new(parsed) })
            });
            with.replaced.insert(*number, replacement.transpose()?);
        }
        Ok(with)
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Returns the schema.
    #[must_use]
    pub fn schema(&self) -> &SchemaView {
        &self.own.schema
    }

    /// Returns the policies and links, in order.
    #[must_use]
    pub fn policies(&self) -> &[PolicyInfo<'e>] {
        &self.own.infos
    }

    /// Returns a policy by its number, parsed.
    ///
    /// # Errors
    ///
    /// [`ParseError`], which a policy that was loaded does not give.
    pub fn parsed(&self, number: usize) -> Result<Arc<ParsedPolicy>, ParseError> {
        let lost = || ParseError { policy: String::new(), reason: "no such policy".to_owned() };
        if let Some(replaced) = self.replaced.get(&number) {
            return replaced.as_ref().map(|policy| Arc::clone(&policy.parsed)).ok_or_else(lost);
        }
        let info = self.own.infos.get(number).ok_or_else(lost)?;
        let slot = self.own.parsed.get(number).ok_or_else(lost)?;
        slot.get_or_init(|| self.own.parse(*info).map(Arc::new)).clone()
    }

    /// Parses all policies now, on several threads: for whoever needs them all.
    pub fn parse_all(&self) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for first in 0..threads {
                let share = move || {
                    for number in (first..self.own.infos.len()).step_by(threads) {
                        // Whoever needs it is told why it cannot be read.
                        drop(self.parsed(number));
                    }
                };
                // Where there is no thread, they are parsed when they are needed.
                drop(std::thread::Builder::new().stack_size(BYTES).spawn_scoped(scope, share));
            }
        });
    }

    /// Returns whether one more question about a single policy may be asked.
    pub(crate) fn may_ask(&self) -> bool {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.is_ok()
    }

    /// Returns the number of a policy.
    #[must_use]
    pub fn number_of(&self, id: &str) -> Option<usize> {
        self.own.by_id.get(id).copied()
    }

    /// Returns a policy by its id, parsed.
    ///
    /// # Errors
    ///
    /// As [`parsed`](Self::parsed).
    pub fn by_id(&self, id: &str) -> Result<Arc<ParsedPolicy>, ParseError> {
        let number = self.own.by_id.get(id).copied();
        self.parsed(number.unwrap_or(usize::MAX))
    }

    /// Returns the numbers of the policies of an effect.
    pub fn of_effect(&self, effect: Effect) -> impl Iterator<Item = usize> {
        let of = move |(number, info): &(usize, &PolicyInfo<'e>)| {
            let replaced = self.replaced.get(number);
            let own = || Some(info.effect());
            replaced.map_or_else(own, |r| r.as_ref().map(|r| r.parsed.effect)) == Some(effect)
        };
        self.own.infos.iter().enumerate().filter(of).map(|(number, _)| number)
    }

    /// Decides a request.
    ///
    /// # Errors
    ///
    /// The engine's reason, if it does not take the request.
    pub(crate) fn decide(&self, found: &Witness) -> Result<SetDecision, String> {
        let (request, entities) = (&found.request, &found.entities);
        if self.replaced.is_empty() {
            let outcome = self.engine.decide(request, entities).map_err(|e| e.to_string())?;
            // Denied by a forbid that no guard holds back, or by nothing that a guard could change.
            let is_firm = self.runs_guards
                || outcome.decision() == Decision::Allow
                || outcome.reasons().any(|policy| policy.guards().len() == 0);
            let mut by_guards: Vec<String> = match is_firm {
                true => Vec::new(),
                false => outcome.guards().iter().map(|guard| guard.policy().to_owned()).collect(),
            };
            by_guards.dedup();
            let reasons = outcome.reasons().map(|policy| policy.id().to_owned()).collect();
            return Ok(SetDecision { decision: outcome.decision(), reasons, by_guards });
        }
        self.engine
            .trial(request, entities, |trial| self.with_replaced(trial))
            .map_err(|e| e.to_string())
    }

    /// Decides a request with what stands in the places of policies.
    fn with_replaced(&self, trial: &Trial<'_>) -> SetDecision {
        let infos = &self.own.infos;
        let mut verdicts: Verdicts = trial.verdicts().clone();
        for (number, replacement) in &self.replaced {
            let Some(info) = infos.get(*number) else { continue };
            let (effect, verdict) = match replacement {
                Some(of) => (of.parsed.effect, trial.verdict(*info, &of.tree)),
                None => (info.effect(), PolicyVerdict::NotSatisfied),
            };
            verdicts = verdicts.with(*number, effect, verdict);
        }
        let id = |number: usize| infos.get(number).map(|info| info.id().to_owned());
        let reasons: Vec<usize> = verdicts.reasons();
        let is_guarded = |number: &usize| match self.replaced.get(number) {
            Some(replaced) => replaced.as_ref().is_some_and(|of| of.parsed.is_guarded()),
            None => infos.get(*number).is_some_and(|info| info.guards().len() > 0),
        };
        let is_firm = self.runs_guards
            || verdicts.decision() == Decision::Allow
            || reasons.iter().any(|number| !is_guarded(number));
        let by_guards = match is_firm {
            true => Vec::new(),
            false => (0..infos.len()).filter(is_guarded).filter_map(id).collect(),
        };
        let decision = verdicts.decision();
        SetDecision { decision, reasons: reasons.into_iter().filter_map(id).collect(), by_guards }
    }
}

impl std::fmt::Debug for Library<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("policies", &self.own.infos.len()).finish_non_exhaustive()
    }
}
