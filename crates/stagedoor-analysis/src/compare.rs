//! What two policy sets decide differently, for all requests.
//!
//! A request is newly allowed in one of two ways: a permit that only the new set has applies; or a
//! permit of the new set applies, and a forbid that only the old set has did. So one question is
//! asked for each policy that changed and each kind of request that it can apply to, and policies
//! that both sets have cost nothing until they stand in the way. Narrowing is the same the other
//! way round.

mod difference;
mod replacement;

pub use difference::{Difference, Differences, Direction, Finding, Verdict};
pub use replacement::ReplacementEffect;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stagedoor_core::{Decision, Effect, EntityUid, PolicyInfo};

use difference::FoundKinds;

use crate::formula::Formula;
use crate::library::Library;
use crate::policy::{ParseError, ParsedPolicy};
use crate::question::{Question, Reply};
use crate::schema::{Environment, SchemaView};
use crate::search::{SearchOutcome, Side, decided_by, search, search_among};
use crate::stack::with_stack;
use crate::witness::Witness;

/// Compares two policy sets.
///
/// # Errors
///
/// [`ParseError`] if a policy cannot be read again.
pub fn compare<'e>(old: &Library<'e>, new: &Library<'e>) -> Result<Differences, ParseError> {
    compare_keeping(old, new, &|difference, _| difference)
}

/// Makes of a difference what is kept of it; and whether it is the first that is proved, or not
/// decided, of its policy and its types of principal and resource.
pub type Keep<'k, T> = &'k (dyn Fn(Difference, bool) -> T + Sync);

/// Compares two policy sets, and keeps of each difference what `keep` makes of it once it is found:
/// of very many, the requests that prove them are most of the memory.
///
/// # Errors
///
/// As [`compare`].
pub fn compare_keeping<'e, T: Send>(
    old: &Library<'e>,
    new: &Library<'e>,
    keep: Keep<'_, T>,
) -> Result<Differences<T>, ParseError> {
    with_stack(|| compared(old, new, keep))
}

fn compared<'e, T: Send>(
    old: &Library<'e>,
    new: &Library<'e>,
    keep: Keep<'_, T>,
) -> Result<Differences<T>, ParseError> {
    let (only_old, only_new) = only_in_one(old, new)?;
    let mut found = Differences {
        all: Vec::new(),
        removed: only_old.len(),
        added: only_new.len(),
        schema: BTreeSet::new(),
        found: FoundKinds::default(),
    };
    let ways = [
        DirectedComparison { direction: Direction::Widened, allows: new, denies: old },
        DirectedComparison { direction: Direction::Narrowed, allows: old, denies: new },
    ];
    let mut shared = BTreeMap::new();
    for (way, (permits, forbids)) in
        ways.iter().zip([(&only_new, &only_old), (&only_old, &only_new)])
    {
        let view = if old.schema() == new.schema() {
            None
        } else {
            Some(way.allows.schema().shared(way.denies.schema()))
        };
        let schema = view.as_ref().unwrap_or(way.allows.schema());
        let mut tasks = Vec::new();
        for env in &way.allows.schema().environments {
            if way.denies.schema().environment(env).is_none() {
                found.schema.insert(env.action.to_string());
                tasks.push(Task::NewKind(Arc::clone(env)));
            }
        }
        for env in &schema.environments {
            let differing = match &view {
                None => BTreeSet::new(),
                Some(_) => way.allows.schema().differences(way.denies.schema(), env),
            };
            found.schema.extend(differing.iter().cloned());
            if !differing.is_empty() {
                shared.entry(differing).or_insert_with(|| Arc::clone(env));
            }
            let permits = permits.iter().filter(|policy| policy.effect == Effect::Permit);
            tasks.extend(tasks_of(permits, env, schema, Task::Permit));
            let forbids = forbids.iter().filter(|policy| policy.effect == Effect::Forbid);
            tasks.extend(tasks_of(forbids, env, schema, Task::Forbid));
        }
        found.all.extend(way.run(schema, &tasks, keep, &mut found.found));
    }
    for (differing, environment) in shared {
        let names: Vec<String> = differing.into_iter().map(|name| format!("`{name}`")).collect();
        let reason = format!(
            "the schemas differ in {}: requests that only one of them takes are not compared",
            names.join(", ")
        );
        let difference = Difference {
            direction: Direction::Widened,
            environment,
            policy: None,
            finding: Finding::Undecided(BTreeSet::from([reason])),
        };
        found.found.add(FoundKinds::of(&difference));
        found.all.push(keep(difference, true));
    }
    Ok(found)
}

type Policies = Vec<Arc<ParsedPolicy>>;

/// What a policy says, as it is written: its effect, text, slots and guards.
type PolicyKey<'e> = (Effect, &'e str, Option<Slots<'e>>, Vec<(&'e str, &'e str)>);
type Slots<'e> = (Option<&'e EntityUid>, Option<&'e EntityUid>);

fn said<'e>(info: &PolicyInfo<'e>) -> PolicyKey<'e> {
    let guards = info.guards().map(|guard| (guard.rule(), guard.arguments()));
    (info.effect(), info.text(), info.link(), guards.collect())
}

/// Returns the policies that the other set does not have, whatever they are called.
fn only_in_one<'e>(
    old: &Library<'e>,
    new: &Library<'e>,
) -> Result<(Policies, Policies), ParseError> {
    let texts = |library: &Library<'e>| -> HashSet<PolicyKey<'e>> {
        library.policies().iter().map(said).collect()
    };
    let (old_texts, new_texts) = (texts(old), texts(new));
    let differing = |library: &Library<'e>, others: &HashSet<PolicyKey<'e>>| {
        let all = library.policies().iter().enumerate();
        let all = all.filter(|(_, info)| !others.contains(&said(info)));
        let parsed = all.map(|(number, _)| library.parsed(number)).collect::<Result<Vec<_>, _>>();
        parsed.map(|all| all.into_iter().map(|policy| (policy.key(), policy)).collect::<Vec<_>>())
    };
    let (old_only, new_only) = (differing(old, &new_texts)?, differing(new, &old_texts)?);
    // What differs in its text may still say the same, also as a policy that the other set has in
    // another place.
    let keys = |library: &Library<'_>, given: &[(String, Arc<ParsedPolicy>)], wanted: usize| {
        let mut keys: HashSet<String> = given.iter().map(|(key, _)| key.clone()).collect();
        if wanted > 0 && wanted <= FEW {
            for number in 0..library.policies().len() {
                keys.insert(library.parsed(number)?.key());
            }
        }
        Ok::<_, ParseError>(keys)
    };
    let few = |wanted: usize, library: &Library<'_>| {
        if library.policies().len() <= FEW { wanted.min(FEW) } else { 0 }
    };
    let old_keys = keys(old, &old_only, few(new_only.len(), old))?;
    let new_keys = keys(new, &new_only, few(old_only.len(), new))?;
    let rest = |given: Vec<(String, Arc<ParsedPolicy>)>, others: &HashSet<String>| {
        let mut seen = HashSet::new();
        given
            .into_iter()
            .filter(|(key, _)| !others.contains(key) && seen.insert(key.clone()))
            .map(|(_, policy)| policy)
            .collect()
    };
    Ok((rest(old_only, &new_keys), rest(new_only, &old_keys)))
}

/// Up to so many policies all are held against those that changed; beyond, only those that changed
/// themselves: a policy that is found in the other set costs a question, no more.
const FEW: usize = 200;

fn tasks_of<'p>(
    policies: impl Iterator<Item = &'p Arc<ParsedPolicy>>,
    env: &Arc<Environment>,
    schema: &SchemaView,
    task: fn(Arc<ParsedPolicy>, Arc<Environment>) -> Task,
) -> Vec<Task> {
    policies
        .filter(|policy| policy.scope.may_match(env, schema))
        .map(|policy| task(Arc::clone(policy), Arc::clone(env)))
        .collect()
}

/// One question.
enum Task {
    /// A permit that only the side has that is to allow.
    Permit(Arc<ParsedPolicy>, Arc<Environment>),
    /// A forbid that only the side has that is to deny.
    Forbid(Arc<ParsedPolicy>, Arc<Environment>),
    /// Requests that only the side takes that is to allow.
    NewKind(Arc<Environment>),
}

impl Task {
    /// Returns the policy that it is about, if it is about one, and the kind of request.
    fn parts(&self) -> (Option<&Arc<ParsedPolicy>>, &Arc<Environment>) {
        match self {
            Self::Permit(policy, env) | Self::Forbid(policy, env) => (Some(policy), env),
            Self::NewKind(env) => (None, env),
        }
    }
}

/// Returns the numbers of questions, those about the same policy and types together: what answers
/// one may answer the next, which asks about another action.
fn bundles(tasks: &[Task]) -> Vec<Vec<usize>> {
    let mut bundles: Vec<Vec<usize>> = Vec::new();
    let mut places = HashMap::new();
    for (number, task) in tasks.iter().enumerate() {
        let (policy, env) = task.parts();
        let Some(policy) = policy else {
            bundles.push(vec![number]);
            continue;
        };
        let key = (Arc::as_ptr(policy), &env.principal, &env.resource);
        let place = *places.entry(key).or_insert(bundles.len());
        match bundles.get_mut(place) {
            Some(bundle) => bundle.push(number),
            None => bundles.push(vec![number]),
        }
    }
    bundles
}

/// One direction.
struct DirectedComparison<'l, 'e> {
    direction: Direction,
    allows: &'l Library<'e>,
    denies: &'l Library<'e>,
}

impl DirectedComparison<'_, '_> {
    /// Answers questions on all processors.
    fn run<T: Send>(
        &self,
        schema: &SchemaView,
        tasks: &[Task],
        keep: Keep<'_, T>,
        kinds: &mut FoundKinds,
    ) -> Vec<T> {
        let bundles = bundles(tasks);
        let next = AtomicUsize::new(0);
        let all = Mutex::new((Vec::new(), kinds));
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(bundle) = bundles.get(number) else { break };
                let (mut last, mut told) = (None, FoundKinds::default());
                for (number, task) in bundle.iter().filter_map(|n| Some((*n, tasks.get(*n)?))) {
                    let Some(difference) = self.answer(schema, task, last.as_deref()) else {
                        continue;
                    };
                    if let Finding::Proved { witness, .. } = &difference.finding {
                        last = Some(witness.clone());
                    }
                    let kind = FoundKinds::of(&difference);
                    let kept = keep(difference, !told.covers(kind));
                    told.add(kind);
                    let (all, kinds) = &mut *all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push((number, kept));
                    kinds.add(kind);
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..threads.min(bundles.len()) {
                let builder = std::thread::Builder::new().stack_size(crate::stack::BYTES);
                // Where there is no thread more, those that there are do it.
                let _ = builder.spawn_scoped(scope, work);
            }
            work();
        });
        let (mut all, _) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, kept)| kept).collect()
    }

    fn outcome(&self, schema: &SchemaView, task: &Task) -> SearchOutcome {
        match task {
            Task::Permit(policy, env) => self.permit(schema, policy, env),
            Task::Forbid(policy, env) => self.forbid(schema, policy, env),
            Task::NewKind(env) => self.new_kind(env),
        }
    }

    /// Answers a question; `last` is a request that answered one about the same policy and types.
    fn answer(
        &self,
        schema: &SchemaView,
        task: &Task,
        last: Option<&Witness>,
    ) -> Option<Difference> {
        let (policy, environment) = task.parts();
        let again = last.and_then(|last| self.again(task, last));
        let finding = match again.unwrap_or_else(|| self.outcome(schema, task)) {
            SearchOutcome::Nothing => return None,
            SearchOutcome::Undecided(reasons) => Finding::Undecided(reasons),
            SearchOutcome::Witness(witness, reasons) => {
                let mut reasons = reasons.into_iter();
                let allowed = reasons.next().unwrap_or_default();
                let denied = reasons.next().unwrap_or_default();
                let (before, after) = match self.direction {
                    Direction::Widened => (denied, allowed),
                    Direction::Narrowed => (allowed, denied),
                };
                Finding::Proved { witness, before, after }
            }
        };
        Some(Difference {
            direction: self.direction,
            environment: Arc::clone(environment),
            policy: policy.cloned(),
            finding,
        })
    }

    /// Puts a request that answered a question about another action to this one. Nothing unless
    /// both sides decide it as wanted, because of the policy that is asked about.
    fn again(&self, task: &Task, last: &Witness) -> Option<SearchOutcome> {
        let (policy, environment) = task.parts();
        let policy = policy.filter(|policy| !policy.is_guarded())?;
        let mut witness = last.clone();
        witness.request.action = environment.action.clone().into();
        let sides = self.sides(matches!(task, Task::Forbid(..)));
        let reasons = decided_by(&witness, &sides)?;
        let of_policy = match task {
            Task::Forbid(..) => reasons.last(),
            Task::Permit(..) | Task::NewKind(_) => reasons.first(),
        };
        of_policy?.contains(&policy.id).then(|| SearchOutcome::Witness(Box::new(witness), reasons))
    }

    /// Returns both sides; `is_forbidden` where the question says that a forbid denies.
    fn sides(&self, is_forbidden: bool) -> [Side<'_>; 2] {
        [
            Side::new(self.allows, Decision::Allow),
            Side { is_forbidden, ..Side::new(self.denies, Decision::Deny) },
        ]
    }

    fn permit(
        &self,
        schema: &SchemaView,
        policy: &ParsedPolicy,
        env: &Environment,
    ) -> SearchOutcome {
        let mut question = Question::new(schema, env);
        let applies = question.translator().permits(policy);
        question.require(&applies);
        if !policy.is_guarded() {
            return search(&mut question, &self.sides(false));
        }
        if self.allows.is_running_guards() {
            return match search(&mut question, &self.sides(false)) {
                SearchOutcome::Undecided(mut reasons) => {
                    reasons.extend(guards_of(policy));
                    SearchOutcome::Undecided(reasons)
                }
                found => found,
            };
        }
        // Guards are not run: whether the permit counts is not known.
        let [_, denies] = self.sides(false);
        match search(&mut question, &[denies]) {
            SearchOutcome::Nothing => SearchOutcome::Nothing,
            SearchOutcome::Undecided(mut reasons) => {
                reasons.extend(guards_of(policy));
                SearchOutcome::Undecided(reasons)
            }
            SearchOutcome::Witness(..) => SearchOutcome::Undecided(guards_of(policy)),
        }
    }

    fn forbid(
        &self,
        schema: &SchemaView,
        policy: &ParsedPolicy,
        env: &Environment,
    ) -> SearchOutcome {
        let make = || {
            let mut question = Question::new(schema, env);
            let denies = question.translator().forbids(policy);
            question.require(&denies);
            question
        };
        some_permit(&make, env, self.allows, &self.sides(true), &|_| Ok(true))
    }

    /// Requests that only one side takes: whatever it allows, the other refuses.
    fn new_kind(&self, env: &Environment) -> SearchOutcome {
        let schema = self.allows.schema();
        let [allows, _] = self.sides(false);
        let make = || Question::new(schema, env);
        some_permit(&make, env, self.allows, &[allows], &|_| Ok(true))
    }
}

fn guards_of(policy: &ParsedPolicy) -> BTreeSet<String> {
    let guard =
        |(rule, _): &(String, String)| format!("the answer of guard `{rule}` of `{}`", policy.id);
    policy.guards.iter().map(guard).collect()
}

/// Searches with some permit of a set applying, in what a question that is made anew says.
pub(crate) fn some_permit<'q>(
    make: &dyn Fn() -> Question<'q>,
    env: &Environment,
    library: &Library<'_>,
    sides: &[Side<'_>],
    is_meant: &dyn Fn(&Witness) -> Result<bool, String>,
) -> SearchOutcome {
    if let Some(found) = one_of_the_first(make, env, library, sides, is_meant) {
        return found;
    }
    let mut question = make();
    let schema = question.schema;
    let mut permits = Vec::new();
    let mut any = Vec::new();
    let mut guarded = Vec::new();
    let mut guards = BTreeSet::new();
    for number in library.of_effect(Effect::Permit) {
        let policy = match library.parsed(number) {
            Ok(policy) => policy,
            Err(error) => return SearchOutcome::Undecided(BTreeSet::from([error.to_string()])),
        };
        if !policy.scope.may_match(env, schema) {
            continue;
        }
        let applies = question.translator().permits(&policy);
        if applies.is_false() {
            continue;
        }
        // Where guards are run, the engine says what comes of them.
        match policy.is_guarded() && !library.is_running_guards() {
            false => {
                any.push(applies);
                permits.push(policy);
            }
            true => {
                guarded.push(applies);
                guards.extend(guards_of(&policy));
            }
        }
    }
    let plain = Formula::any(any);
    let together = |question: &mut Question<'_>| match search_among(question, sides, is_meant) {
        SearchOutcome::Undecided(reasons) => {
            one_by_one(make, &permits, library, sides, is_meant, reasons)
        }
        found => found,
    };
    if guarded.is_empty() {
        question.require(&plain);
        return together(&mut question);
    }
    // First without those that hang on guards; then whether they can matter at all.
    let with_guards = Formula::any(guarded).or(plain.clone());
    question.require(&with_guards);
    if let Reply::No = question.ask() {
        return SearchOutcome::Nothing;
    }
    question.require(&plain);
    match together(&mut question) {
        SearchOutcome::Nothing => SearchOutcome::Undecided(guards),
        found => found,
    }
}

/// So many permits are tried one by one before all are read.
const FIRST: usize = 8;

/// Searches with each of a few permits applying. Where there are very many, one of the first will
/// mostly do, and the others need not be read; nothing found says nothing.
fn one_of_the_first<'q>(
    make: &dyn Fn() -> Question<'q>,
    env: &Environment,
    library: &Library<'_>,
    sides: &[Side<'_>],
    is_meant: &dyn Fn(&Witness) -> Result<bool, String>,
) -> Option<SearchOutcome> {
    if library.policies().len() <= FEW {
        return None;
    }
    let permits =
        library.of_effect(Effect::Permit).filter_map(|number| library.parsed(number).ok());
    let schema = make().schema;
    let is_meant_here =
        |permit: &Arc<ParsedPolicy>| !permit.is_guarded() && permit.scope.may_match(env, schema);
    permits.filter(is_meant_here).take(FIRST).find_map(|permit| {
        let mut question = make();
        let applies = question.translator().permits(&permit);
        question.require(&applies);
        let found = search_among(&mut question, sides, is_meant);
        matches!(found, SearchOutcome::Witness(..)).then_some(found)
    })
}

/// Searches with one permit after another applying: of very many at once there may be too many
/// cases where there are few for each.
fn one_by_one<'q>(
    make: &dyn Fn() -> Question<'q>,
    permits: &[Arc<ParsedPolicy>],
    library: &Library<'_>,
    sides: &[Side<'_>],
    is_meant: &dyn Fn(&Witness) -> Result<bool, String>,
    reasons: BTreeSet<String>,
) -> SearchOutcome {
    let mut undecided = BTreeSet::new();
    for permit in permits {
        if !library.may_ask() {
            return SearchOutcome::Undecided(reasons);
        }
        let mut question = make();
        let applies = question.translator().permits(permit);
        question.require(&applies);
        match search_among(&mut question, sides, is_meant) {
            SearchOutcome::Nothing => {}
            SearchOutcome::Undecided(reasons) => undecided.extend(reasons),
            found => return found,
        }
    }
    if undecided.is_empty() { SearchOutcome::Nothing } else { SearchOutcome::Undecided(undecided) }
}
