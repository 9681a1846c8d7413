//! The five operations of the API: from the body of a request to the body of its answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use stagedoor_audit::{Caller, DecisionLog, DecisionRecord, NotRecorded, Outcome, Platform};

use crate::answer::{Evaluation, Evaluations, ReasonContext};
use crate::json::{Json, Object, member};
use crate::query::{BadRequest, Options, Query, QueryParts, body};
use crate::search::{self, SearchResponse, Summary};
use crate::world::{Verdict, World};

/// The most evaluations of one request.
const EVALUATIONS: usize = 10_000;

/// An operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// May this subject do this to this resource?
    Evaluation,
    /// Several such questions at once.
    Evaluations,
    /// Which subjects may?
    SearchSubject,
    /// To which resources?
    SearchResource,
    /// What may they do?
    SearchAction,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Evaluation,
        Self::Evaluations,
        Self::SearchSubject,
        Self::SearchResource,
        Self::SearchAction,
    ];

    /// Returns the path, as the specification proposes it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Evaluation => "/access/v1/evaluation",
            Self::Evaluations => "/access/v1/evaluations",
            Self::SearchSubject => "/access/v1/search/subject",
            Self::SearchResource => "/access/v1/search/resource",
            Self::SearchAction => "/access/v1/search/action",
        }
    }

    /// Returns the name in metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evaluation => "evaluation",
            Self::Evaluations => "evaluations",
            Self::SearchSubject => "search-subject",
            Self::SearchResource => "search-resource",
            Self::SearchAction => "search-action",
        }
    }

    /// Returns the key in the metadata.
    pub(crate) const fn metadata(self) -> &'static str {
        match self {
            Self::Evaluation => "access_evaluation_endpoint",
            Self::Evaluations => "access_evaluations_endpoint",
            Self::SearchSubject => "search_subject_endpoint",
            Self::SearchResource => "search_resource_endpoint",
            Self::SearchAction => "search_action_endpoint",
        }
    }

    /// Returns whether it is a search.
    #[must_use]
    pub const fn is_search(self) -> bool {
        !matches!(self, Self::Evaluation | Self::Evaluations)
    }

    /// Returns the operation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

/// The answer to a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The body: JSON.
    pub body: Vec<u8>,
    /// The decisions, in order; none for a list.
    pub decisions: Vec<bool>,
    /// How many of the decisions had a policy that could not be evaluated, or could not be made.
    pub errors: u64,
    /// What each decision follows from, in words, if it [was asked](Recording::reasons).
    pub reasons: Vec<String>,
}

/// Who asks by which request, and where decisions are recorded.
#[derive(Clone, Copy, Default)]
pub struct Recording<'a> {
    /// Where decisions are recorded.
    pub log: Option<&'a DecisionLog>,
    /// The id of the request.
    pub request_id: &'a str,
    /// Who asks.
    pub caller: Option<&'a Caller>,
    /// When to come to an end: evaluations of a batch that are left then are denied.
    pub deadline: Option<Instant>,
    /// Whether the reply is to say what each decision follows from.
    pub reasons: bool,
}

/// Answers a request.
///
/// # Errors
///
/// [`BadRequest`] if the body is not one of the specification's: 400.
pub fn answer(
    world: &World,
    operation: Operation,
    text: &str,
    recording: Recording<'_>,
) -> Result<Reply, BadRequest> {
    let object = body(text)?;
    let desk = Responder { world, operation, recording };
    match operation {
        Operation::Evaluation => desk.evaluation(&object),
        Operation::Evaluations => desk.evaluations(&object),
        Operation::SearchSubject => desk.list(&object, search::subjects),
        Operation::SearchResource => desk.list(&object, search::resources),
        Operation::SearchAction => desk.list(&object, search::actions),
    }
}

/// An evaluation, and what is told of it elsewhere.
struct ItemOutcome {
    evaluation: Evaluation,
    erred: bool,
    reason: Option<String>,
}

struct Responder<'a> {
    world: &'a World,
    operation: Operation,
    recording: Recording<'a>,
}

impl Responder<'_> {
    fn evaluation(&self, object: &Object) -> Result<Reply, BadRequest> {
        let query = Query::of(QueryParts::of(object))?;
        let explain = member(object, "options")
            .and_then(Json::as_object)
            .is_some_and(|options| options.get("explain") == Some(&Json::Bool(true)));
        let ItemOutcome { evaluation, erred, reason } = self.evaluate(&query, explain);
        let decisions = vec![evaluation.decision];
        let reply = reply(&evaluation, decisions, u64::from(erred));
        Ok(Reply { reasons: reason.into_iter().collect(), ..reply })
    }

    fn evaluations(&self, object: &Object) -> Result<Reply, BadRequest> {
        let items = match member(object, "evaluations") {
            None => return self.evaluation(object),
            Some(Json::Array(items)) if items.is_empty() => return self.evaluation(object),
            Some(Json::Array(items)) => items,
            Some(other) => {
                let kind = other.kind();
                return Err(BadRequest::new(format!("`evaluations` is {kind}, not an array")));
            }
        };
        if items.len() > EVALUATIONS {
            let given = items.len();
            return Err(BadRequest::new(format!(
                "{given} evaluations are more than the limit of {EVALUATIONS}"
            )));
        }
        let options = Options::of(object)?;
        let defaults = QueryParts::of(object);
        let mut evaluations = Vec::with_capacity(items.len());
        let mut errors = 0;
        let mut reasons = Vec::new();
        for item in items {
            let ItemOutcome { evaluation, erred, reason } = self.item(item, defaults, options);
            errors += u64::from(erred);
            reasons.extend(reason);
            let decision = evaluation.decision;
            evaluations.push(evaluation);
            if options.semantic.ends_with(decision) {
                break;
            }
        }
        let decisions = evaluations.iter().map(|evaluation| evaluation.decision).collect();
        let reply = reply(&Evaluations { evaluations }, decisions, errors);
        Ok(Reply { reasons, ..reply })
    }

    /// Evaluates one of several. What is wrong with it denies it, and nothing else.
    fn item(&self, item: &Json, defaults: QueryParts<'_>, options: Options) -> ItemOutcome {
        if self.recording.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let message = "there was no time left for this evaluation".to_owned();
            return self.refused(item, "authzen::no-time", message, options);
        }
        match query_of(item, defaults) {
            Ok(query) => self.evaluate(&query, options.explain),
            Err(error) => self.refused(item, "authzen::bad-request", error.to_string(), options),
        }
    }

    /// Denies one of several that is not evaluated.
    fn refused(
        &self,
        item: &Json,
        code: &'static str,
        message: String,
        options: Options,
    ) -> ItemOutcome {
        self.record_refused(item, code, &message);
        let reason = self.recording.reasons.then(|| message.clone());
        let context = options.explain.then(|| ReasonContext::error(code, message));
        ItemOutcome { evaluation: Evaluation { decision: false, context }, erred: true, reason }
    }

    fn evaluate(&self, query: &Query<'_>, explain: bool) -> ItemOutcome {
        let begun = Instant::now();
        let verdict = self.world.decide(query);
        let erred = match &verdict.outcome {
            Ok(outcome) => !outcome.errors().is_empty(),
            Err(_) => true,
        };
        let recorded = self.record(query, &verdict, begun);
        // INVARIANT: where records are required, nothing is allowed that is not recorded.
        let decision = verdict.decision() && recorded.is_ok();
        let context = explain.then(|| match recorded {
            Ok(()) => ReasonContext::of(&verdict),
            Err(error) => ReasonContext::error("audit::not-recorded", error.to_string()),
        });
        let reason = self.recording.reasons.then(|| reason(&verdict));
        ItemOutcome { evaluation: Evaluation { decision, context }, erred, reason }
    }

    fn record(
        &self,
        query: &Query<'_>,
        verdict: &Verdict,
        begun: Instant,
    ) -> Result<(), NotRecorded> {
        let Some(log) = self.recording.log else { return Ok(()) };
        let outcome = if verdict.decision() { Outcome::Allowed } else { Outcome::Denied };
        let duration = begun.elapsed();
        // Nothing says which actions only read, so that each counts as a change.
        log.record(outcome, true, || {
            let mut record = self.blank(outcome, query).with_duration(duration);
            match &verdict.outcome {
                Ok(outcome) => record = record.with_outcome(outcome),
                Err(error) => {
                    record.error = Some(stagedoor_audit::RequestError {
                        code: error.code().to_owned(),
                        message: error.to_string(),
                    });
                }
            }
            record.pruned = pruned(&verdict.pruned);
            record
        })
    }

    fn record_refused(&self, item: &Json, code: &str, message: &str) {
        let Some(log) = self.recording.log else { return };
        let recorded = log.record(Outcome::Denied, false, || {
            let asked = match item {
                Json::Object(_) => BatchItem::Object(item),
                other => BatchItem::Other { evaluation: other },
            };
            let mut record = self.blank(Outcome::Denied, asked);
            let (code, message) = (code.to_owned(), message.to_owned());
            record.error = Some(stagedoor_audit::RequestError { code, message });
            record
        });
        if let Err(error) = recorded {
            // It is a denial already.
            tracing::debug!(%error, "a denial is not recorded");
        }
    }

    fn list<R: Serialize>(
        &self,
        object: &Object,
        search: fn(&World, &Object) -> Result<SearchResponse<R>, BadRequest>,
    ) -> Result<Reply, BadRequest> {
        let begun = Instant::now();
        let SearchResponse { mut results, summary } = search(self.world, object)?;
        if self.record_list(object, &summary, begun).is_err() {
            // INVARIANT: what is required to be recorded and is not, is not told.
            results.results.clear();
            results.page = None;
        }
        let errors = summary.errors + u64::from(summary.error.is_some());
        Ok(reply(&results, Vec::new(), errors))
    }

    fn record_list(
        &self,
        object: &Object,
        summary: &Summary,
        begun: Instant,
    ) -> Result<(), NotRecorded> {
        let Some(log) = self.recording.log else { return Ok(()) };
        let duration = begun.elapsed();
        log.record(Outcome::Listed, false, || {
            let known = ["subject", "action", "resource", "context", "page"];
            let asked = object.iter().filter(|(name, _)| known.contains(&name.as_str()));
            let asked: BTreeMap<&String, &Json> = asked.collect();
            let mut record = self.blank(Outcome::Listed, asked).with_duration(duration);
            record.results = u64::try_from(summary.results).ok();
            record.pruned = pruned(&summary.pruned);
            record.error = summary.error.as_ref().map(|error| stagedoor_audit::RequestError {
                code: error.code().to_owned(),
                message: error.to_string(),
            });
            record
        })
    }

    fn blank<R>(&self, outcome: Outcome, asked: R) -> DecisionRecord<'_, R> {
        let endpoint = self.operation.name();
        let mut record = DecisionRecord::new(Platform::AuthZen, endpoint, outcome, asked);
        record.request_id = self.recording.request_id.into();
        record.caller = self.recording.caller.map(Cow::Borrowed);
        record.revision = self.world.engine().revision().into();
        record
    }
}

/// What is recorded of one of several that is no question.
#[derive(Serialize)]
#[serde(untagged)]
enum BatchItem<'a> {
    Object(&'a Json),
    Other { evaluation: &'a Json },
}

fn reply(body: &impl Serialize, decisions: Vec<bool>, errors: u64) -> Reply {
    // No answer has keys or values that JSON lacks.
    let body = serde_json::to_vec(body).unwrap_or_default();
    Reply { body, decisions, errors, reasons: Vec::new() }
}

/// Returns the question of one of several.
fn query_of<'a>(item: &'a Json, defaults: QueryParts<'a>) -> Result<Query<'a>, BadRequest> {
    match item.as_object() {
        Some(object) => Query::of(QueryParts::of(object).or(defaults)),
        None => Err(BadRequest::new(format!("an evaluation is {}, not an object", item.kind()))),
    }
}

/// Returns in few words what one of the evaluations of a request asks.
pub(crate) fn asked(text: &str, number: usize) -> Option<String> {
    let object = body(text).ok()?;
    let parts = QueryParts::of(&object);
    let query = match member(&object, "evaluations") {
        Some(Json::Array(items)) if !items.is_empty() => {
            query_of(items.get(number)?, parts).ok()?
        }
        _ => Query::of(parts).ok()?,
    };
    let Query { subject, action, resource, .. } = query;
    let named = |entity: crate::query::EntityRef<'_>| format!("{} {}", entity.type_, entity.id);
    Some(format!("{}: {} of {}", named(subject), action.name, named(resource)))
}

/// Returns what a decision follows from, in words.
fn reason(verdict: &Verdict) -> String {
    let outcome = match &verdict.outcome {
        Ok(outcome) => outcome,
        Err(error) => return error.to_string(),
    };
    let policies: Vec<String> = outcome.reasons().map(|p| format!("`{}`", p.id())).collect();
    match (policies.is_empty(), verdict.decision()) {
        (true, _) => "no policy permits this".to_owned(),
        (false, true) => format!("allowed by {}", policies.join(", ")),
        (false, false) => format!("forbidden by {}", policies.join(", ")),
    }
}

fn pruned((paths, more): &(Vec<String>, usize)) -> Cow<'_, [String]> {
    let mut pruned = Cow::Borrowed(paths.as_slice());
    if *more > 0 {
        pruned.to_mut().push(format!("and {more} more"));
    }
    pruned
}
