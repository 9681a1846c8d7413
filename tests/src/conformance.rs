//! Cedar's own test cases, run through the engine.
//!
//! A case is a JSON file that names a policy set, a schema and entities, and lists
//! requests with the decision, determining policies and erring policies that Cedar's
//! formally verified specification gives. [`exactly`] holds the engine in exact-Cedar mode
//! to all three; [`strictly`] runs the cases that validate through the engine as it is
//! meant to be used; [`pooled`] puts many cases' policies into one set, since
//! most of Cedar's generated cases hold only one policy and so never reach the index's
//! branches.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use cedar_policy::{Authorizer, Decision, Effect, PolicySet, Schema};
use serde::Deserialize;
use stagedoor_core::{Engine, Entities, Outcome, Request};

use crate::archive::Files;
use crate::faces;

/// One case, as its JSON file has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseFile {
    policies: String,
    entities: String,
    schema: String,
    should_validate: bool,
    requests: Vec<RequestFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestFile {
    description: String,
    principal: serde_json::Value,
    action: serde_json::Value,
    resource: serde_json::Value,
    context: serde_json::Value,
    /// Cedar's handwritten cases leave it out; it is then `true`.
    #[serde(default = "yes")]
    validate_request: bool,
    decision: DecisionFile,
    reason: BTreeSet<String>,
    errors: BTreeSet<String>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DecisionFile {
    Allow,
    Deny,
}

/// A decision with its reasons and errors, as sets of policy ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allow or deny.
    pub decision: Decision,
    /// The determining policies.
    pub reasons: BTreeSet<String>,
    /// The policies that could not be evaluated.
    pub errors: BTreeSet<String>,
}

impl Answer {
    /// Returns what Cedar's authorizer answers.
    #[must_use]
    pub fn of_cedar(
        request: &cedar_policy::Request,
        policies: &PolicySet,
        entities: &cedar_policy::Entities,
    ) -> Self {
        let response = Authorizer::new().is_authorized(request, policies, entities);
        let diagnostics = response.diagnostics();
        let erring = diagnostics.errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(e) => e.policy_id().to_string(),
        });
        Self {
            decision: response.decision(),
            reasons: diagnostics.reason().map(ToString::to_string).collect(),
            errors: erring.collect(),
        }
    }

    /// Returns this answer with every erring forbid denying, as a strict engine decides.
    #[must_use]
    pub fn failing_closed(mut self, policies: &PolicySet) -> Self {
        let is_forbid = |id: &&String| {
            let policy = policies.policy(&cedar_policy::PolicyId::new(id.as_str()));
            policy.is_some_and(|p| p.effect() == Effect::Forbid)
        };
        let erring: Vec<String> = self.errors.iter().filter(is_forbid).cloned().collect();
        if !erring.is_empty() {
            if self.decision == Decision::Allow {
                self.reasons.clear();
            }
            self.decision = Decision::Deny;
            self.reasons.extend(erring);
        }
        self
    }
}

impl From<&Outcome> for Answer {
    fn from(outcome: &Outcome) -> Self {
        Self {
            decision: outcome.decision(),
            reasons: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: outcome.errors().iter().map(|error| error.policy().to_owned()).collect(),
        }
    }
}

/// What a run compared and where it differed.
#[derive(Debug, Default)]
pub struct Tally {
    /// Cases that were run.
    pub cases: usize,
    /// Requests whose answers were compared.
    pub requests: usize,
    /// Answers in which some policy was satisfied.
    pub satisfied: usize,
    /// Answers in which some policy erred.
    pub erring: usize,
    /// Answers of other ways of asking that were compared with those of `decide`.
    pub faces: usize,
    /// What differed, one line each.
    pub differences: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.requests += other.requests;
        self.satisfied += other.satisfied;
        self.erring += other.erring;
        self.faces += other.faces;
        self.differences.extend(other.differences);
    }

    fn compare(&mut self, what: impl fmt::Display, given: &Answer, expected: &Answer) {
        self.requests += 1;
        self.satisfied += usize::from(!expected.reasons.is_empty());
        self.erring += usize::from(!expected.errors.is_empty());
        if given != expected {
            self.differences.push(format!("{what}: {given:?}, but Cedar says {expected:?}"));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, requests, satisfied, erring, faces, differences } = self;
        write!(
            f,
            "{cases} cases, {requests} requests compared ({satisfied} with a satisfied policy, \
             {erring} with an erring one; {faces} answers of other ways of asking), {} differences",
            differences.len()
        )
    }
}

/// Runs all cases in exact-Cedar mode against the answers that they expect.
///
/// # Errors
///
/// If a case cannot be read.
pub fn exactly(files: &Files, index: bool) -> Result<Tally> {
    each_case(files, |name, case| {
        let schema = case.schema(files)?;
        let engine = Engine::builder()
            .policies(&case.policies, text(files, &case.policies)?)
            .exact_cedar()
            .index(index)
            .unshadowed()
            .build()?;
        let entities = case.entities(files, Some(&schema))?;
        let given: Vec<_> = entities.iter().cloned().collect();
        let mut tally = Tally { cases: 1, ..Tally::default() };
        for request in &case.requests {
            let read = request.read(Some(&schema))?;
            let outcome = engine.decide(&read, &entities)?;
            tally.faces += faces::agree(&engine, &read, &given)?;
            let what = format!("{name}, {}", request.description);
            tally.compare(what, &Answer::from(&outcome), &request.expected());
        }
        Ok(tally)
    })
}

/// Runs the cases that validate through a strict engine: all must load, requests
/// that conform must be accepted, and answers are Cedar's but for erring forbids.
///
/// # Errors
///
/// If a case cannot be read.
pub fn strictly(files: &Files) -> Result<Tally> {
    each_case(files, |name, case| {
        if !case.should_validate {
            return Ok(Tally::default());
        }
        let schema = case.schema(files)?;
        let mut tally = Tally { cases: 1, ..Tally::default() };
        let loaded = Engine::builder()
            .schema(&case.schema, text(files, &case.schema)?)
            .policies(&case.policies, text(files, &case.policies)?)
            .unshadowed()
            .build();
        let engine = match loaded {
            Ok(engine) => engine,
            Err(error) => {
                tally.differences.push(format!("{name} validates, but {error}"));
                return Ok(tally);
            }
        };
        let policies = PolicySet::from_str(text(files, &case.policies)?)?;
        let names = Renaming::new(&engine);
        let entities = case.entities(files, Some(&schema))?;
        let given: Vec<_> = entities.iter().cloned().collect();
        for request in case.requests.iter().filter(|r| r.validate_request) {
            let what = format!("{name}, {}", request.description);
            let read = request.read(Some(&schema))?;
            tally.faces += faces::agree(&engine, &read, &given)?;
            match engine.decide(&read, &entities) {
                Ok(outcome) => {
                    let given = names.positional(Answer::from(&outcome));
                    tally.compare(what, &given, &request.expected().failing_closed(&policies));
                }
                Err(error) => tally.differences.push(format!("{what}: refused: {error}")),
            }
        }
        Ok(tally)
    })
}

/// Loads each case that validates, takes one of `step` of them, and lets `differs` look at the engine
/// with the case's requests and entities: what it returns differs from what it should be.
///
/// # Errors
///
/// If a case cannot be read, or from `differs`.
pub fn loaded(
    files: &Files,
    step: usize,
    differs: impl Fn(&Engine, &[Request], &Entities) -> Result<Vec<String>> + Sync,
) -> Result<Tally> {
    let mut cases = cases(files)?;
    cases.retain(|(_, case)| case.should_validate);
    let cases: Vec<(&str, CaseFile)> = cases.into_iter().step_by(step.max(1)).collect();
    in_parallel(&cases, |(name, case)| {
        let schema = case.schema(files)?;
        let engine = Engine::builder()
            .schema(&case.schema, text(files, &case.schema)?)
            .policies(&case.policies, text(files, &case.policies)?)
            .build()
            .with_context(|| (*name).to_owned())?;
        let requests = case.requests.iter().filter(|request| request.validate_request);
        let requests = requests.map(|r| r.read(Some(&schema))).collect::<Result<Vec<_>>>()?;
        let entities = case.entities(files, Some(&schema))?;
        let differences = differs(&engine, &requests, &entities)?;
        let differences = differences.into_iter().map(|what| format!("{name}: {what}")).collect();
        Ok(Tally { cases: 1, requests: requests.len(), differences, ..Tally::default() })
    })
}

/// Puts the policies of `pool` cases at a time into one engine and holds it against
/// Cedar's authorizer with the same set, for the requests and entities of each case.
///
/// # Errors
///
/// If a case cannot be read.
pub fn pooled(files: &Files, pool: usize) -> Result<Tally> {
    let cases = cases(files)?;
    let pools: Vec<&[(&str, CaseFile)]> = cases.chunks(pool).collect();
    in_parallel(&pools, |pool| {
        let mut texts = String::new();
        for (_, case) in *pool {
            texts.push_str(text(files, &case.policies)?);
            texts.push('\n');
        }
        let policies = PolicySet::from_str(&texts)?;
        let build = |index| {
            let builder = Engine::builder().policies("pool", texts.as_str()).exact_cedar();
            builder.index(index).unshadowed().build()
        };
        let (indexed, whole) = (build(true)?, build(false)?);
        let mut tally = Tally { cases: pool.len(), ..Tally::default() };
        for (name, case) in *pool {
            let schema = case.schema(files)?;
            let json = text(files, &case.entities)?;
            let entities = Entities::from_json_str(json, Some(&schema))?;
            let cedar_entities = cedar_policy::Entities::from_json_str(json, Some(&schema))?;
            for request in &case.requests {
                let cedar = request.read_cedar(&schema)?;
                let expected = Answer::of_cedar(&cedar, &policies, &cedar_entities);
                let read = request.read(Some(&schema))?;
                let what = format!("{name}, {}", request.description);
                let given = Answer::from(&indexed.decide(&read, &entities)?);
                tally.compare(&what, &given, &expected);
                let unindexed = Answer::from(&whole.decide(&read, &entities)?);
                if unindexed != expected {
                    let line = format!("{what}, unindexed: {unindexed:?}, not {expected:?}");
                    tally.differences.push(line);
                }
            }
        }
        Ok(tally)
    })
}

impl CaseFile {
    fn schema(&self, files: &Files) -> Result<Schema> {
        Ok(Schema::from_cedarschema_str(text(files, &self.schema)?)?.0)
    }

    fn entities(&self, files: &Files, schema: Option<&Schema>) -> Result<Entities> {
        Ok(Entities::from_json_str(text(files, &self.entities)?, schema)?)
    }
}

impl RequestFile {
    fn read(&self, schema: Option<&Schema>) -> Result<Request> {
        let Self { principal, action, resource, context, .. } = self;
        let json = serde_json::json!({
            "principal": principal, "action": action, "resource": resource, "context": context,
        });
        Ok(Request::from_json_str(&json.to_string(), schema)?)
    }

    fn read_cedar(&self, schema: &Schema) -> Result<cedar_policy::Request> {
        let uid = |json: &serde_json::Value| -> Result<cedar_policy::EntityUid> {
            Ok(cedar_policy::EntityUid::from_json(json.clone())?)
        };
        let action = uid(&self.action)?;
        let context =
            cedar_policy::Context::from_json_value(self.context.clone(), Some((schema, &action)))?;
        Ok(cedar_policy::Request::new(
            uid(&self.principal)?,
            action,
            uid(&self.resource)?,
            context,
            None,
        )?)
    }

    fn expected(&self) -> Answer {
        Answer {
            decision: match self.decision {
                DecisionFile::Allow => Decision::Allow,
                DecisionFile::Deny => Decision::Deny,
            },
            reasons: self.reason.clone(),
            errors: self.errors.clone(),
        }
    }
}

/// Gives policies their positional ids back, which a strict engine replaces by `@id`.
#[derive(Debug)]
pub struct Renaming(std::collections::BTreeMap<String, String>);

impl Renaming {
    /// Returns the renaming for an engine that was loaded from texts alone.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        let names = engine.policies().enumerate();
        Self(names.map(|(n, p)| (p.id().to_owned(), format!("policy{n}"))).collect())
    }

    /// Returns the answer with positional ids.
    #[must_use]
    pub fn positional(&self, answer: Answer) -> Answer {
        let rename = |ids: BTreeSet<String>| {
            ids.into_iter().map(|id| self.0.get(&id).cloned().unwrap_or(id)).collect()
        };
        Answer {
            decision: answer.decision,
            reasons: rename(answer.reasons),
            errors: rename(answer.errors),
        }
    }
}

fn text<'f>(files: &'f Files, name: &str) -> Result<&'f str> {
    files.get(name).map(String::as_str).with_context(|| format!("`{name}` is not there"))
}

/// Returns the cases among the files, by name.
fn cases(files: &Files) -> Result<Vec<(&str, CaseFile)>> {
    let is_case = |name: &str| name.ends_with(".json") && !name.ends_with("entities.json");
    let mut cases = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| is_case(name)) {
        cases.push((name.as_str(), serde_json::from_str(text).with_context(|| name.clone())?));
    }
    anyhow::ensure!(!cases.is_empty(), "there are no cases");
    Ok(cases)
}

fn each_case(
    files: &Files,
    run: impl Fn(&str, &CaseFile) -> Result<Tally> + Sync,
) -> Result<Tally> {
    in_parallel(&cases(files)?, |(name, case)| run(name, case).with_context(|| (*name).to_owned()))
}

/// Runs every item on one of as many threads as there are cores, and adds up.
fn in_parallel<T: Sync>(items: &[T], run: impl Fn(&T) -> Result<Tally> + Sync) -> Result<Tally> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Ok(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run(item);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match (total.as_mut(), result) {
                        (Ok(total), Ok(tally)) => total.add(tally),
                        (Ok(_), Err(error)) => *total = Err(error),
                        (Err(_), _) => break,
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}
