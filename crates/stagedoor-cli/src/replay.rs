//! `stagedoor replay`: what a policy set would have answered to what was asked before.

mod event;
mod forms;
mod request_uri;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use stagedoor_authzen::{Operation, Recording, World, WorldLoader as _};
use stagedoor_backstage::{PermissionQuery, PolicyDecision, PolicyEngine};
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::{Reviewer, SubjectAccessReview};
use stagedoor_source::PolicySet;
use stagedoor_webhook::{PoliciesError, PolicySource};

use crate::check::backstage::catalog;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::{Input, unreadable};
use crate::load::{LoadArgs, LoadedPolicies};
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};
use crate::rules::RuleFiles;
use crate::serve::world::WorldFiles;
use crate::terminal::line;
use event::{Answer, BackstageQuestion, Event, Question, SkipReason};
use forms::Reader;

/// The longest line of a log, in bytes.
const LINE_BYTES: u64 = 64 << 20;

/// Decide again what was decided before, and say what is different.
///
/// Logs are read as JSON lines, or as one JSON document: own records of decisions (`serve
/// --audit-log`, in each of its forms, also as an OpenTelemetry collector keeps them), audit events
/// of kube-apiserver (`audit.k8s.io`), also as EKS, AKS and GKE wrap them, and Backstage's audit
/// events of Stagedoor's decisions. What cannot be decided again is
/// counted, with the reason: records of admission have their objects with `serve kubernetes
/// --audit-log-objects` alone, and events of GKE no groups of the user, who is then in none.
///
/// Exits with 0 if every answer is the same, with 1 if some differ, with 2 if the policies or
/// logs cannot be used.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Policies and schemas: a file or a directory; may be given more than once.
    #[arg(long, value_name = "PATH", required = true)]
    policies: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// Entities in Cedar's JSON, for records of AuthZEN: a file, or a directory of `*.json`; may be
    /// given more than once.
    #[arg(long, value_name = "PATH")]
    entities: Vec<PathBuf>,

    /// What types and actions of AuthZEN stand for.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// Catalog files of Backstage, for its groups: `catalog-info.yaml`, or as the catalog's API
    /// returns them; may be given more than once.
    #[arg(long, value_name = "FILE")]
    catalog: Vec<PathBuf>,

    /// How many of the different answers are shown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    witnesses: usize,

    /// The logs, `-` for the standard input.
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
}

/// What a replay comes to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Entries that were read.
    entries: u64,
    /// Decisions that were made again.
    replayed: u64,
    /// Of these, those with the same answer.
    same: u64,
    /// Denied before, allowed now.
    newly_allowed: u64,
    /// Allowed before, denied now.
    newly_denied: u64,
    /// Under conditions before or now, and not under the same.
    other_conditions: u64,
    /// What was not decided again, by reason.
    skipped: BTreeMap<&'static str, u64>,
    witnesses: Vec<Witness>,
}

impl Report {
    fn differences(&self) -> u64 {
        self.newly_allowed + self.newly_denied + self.other_conditions
    }
}

/// One different answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Witness {
    id: String,
    request: String,
    before: &'static str,
    now: &'static str,
    reason: String,
}

pub(crate) fn run(args: &ReplayArgs, output: &mut Output) -> Result<Ending, Failure> {
    let mut replay = Replay {
        args,
        reviewer: None,
        world: None,
        policy: None,
        reader: Reader::default(),
        report: Report::default(),
    };
    let mut input = Input::default();
    let read = args.logs.iter().try_for_each(|path| replay.log(path, &mut input));
    if let Err(failure) = read {
        output.failure(&failure);
        return Ok(Ending::Unusable);
    }
    let report = replay.report;
    print(&report, output)?;
    if report.replayed == 0 {
        output.complaint("nothing in the logs could be decided again");
        return Ok(Ending::Unusable);
    }
    let differs = report.differences() > 0;
    Ok(if differs { Ending::Failed } else { Ending::Done })
}

struct Replay<'a> {
    args: &'a ReplayArgs,
    reviewer: Option<Reviewer>,
    world: Option<World>,
    policy: Option<PolicyEngine>,
    reader: Reader,
    report: Report,
}

impl Replay<'_> {
    fn log(&mut self, path: &Path, input: &mut Input) -> Result<(), Failure> {
        let name = Input::name(path);
        let mut reader = input.open(path)?;
        let mut text = Vec::new();
        let mut number = 0_u64;
        loop {
            text.clear();
            let mut bounded = std::io::Read::take(&mut reader, LINE_BYTES);
            let read = bounded.read_until(b'\n', &mut text).map_err(|e| unreadable(&name, &e))?;
            if read == 0 {
                return Ok(());
            }
            number += 1;
            match serde_json::from_slice::<Value>(&text) {
                Ok(entry) => self.entry(&entry)?,
                Err(_) if text.iter().all(u8::is_ascii_whitespace) => {}
                // One document over several lines, as `filter-log-events` prints it.
                Err(error) if number == 1 && error.is_eof() => {
                    let mut rest = std::io::Read::take(&mut reader, LINE_BYTES);
                    std::io::Read::read_to_end(&mut rest, &mut text)
                        .map_err(|e| unreadable(&name, &e))?;
                    let document = serde_json::from_slice::<Value>(&text).map_err(|e| {
                        Failure::input(format!("`{name}` is neither JSON lines nor JSON: {e}"))
                    })?;
                    return self.entry(&document);
                }
                Err(_) => {
                    self.report.entries += 1;
                    self.skip(SkipReason::Unknown);
                }
            }
        }
    }

    fn entry(&mut self, entry: &Value) -> Result<(), Failure> {
        let mut events = Vec::new();
        self.reader.read(entry, &mut |event| events.push(event));
        for event in events {
            self.report.entries += 1;
            match event {
                Ok(event) => self.event(event)?,
                Err(reason) => self.skip(reason),
            }
        }
        Ok(())
    }

    fn skip(&mut self, reason: SkipReason) {
        *self.report.skipped.entry(reason.reason()).or_default() += 1;
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        let request = event.question.describe();
        let answered = match event.question {
            Question::Kubernetes(subject, attributes) => {
                let review = SubjectAccessReview::new(*subject, *attributes);
                let status = self.reviewer()?.answer(review).status.unwrap_or_default();
                let error = status.evaluation_error;
                Some((Answer::of(status.allowed), with_error(status.reason, &error)))
            }
            Question::Admission(review) => match AdmissionRequest::from_review(&review) {
                Ok(request) => {
                    let ruling = self.reviewer()?.admission_ruling(&request);
                    let error = ruling.evaluation_error;
                    Some((Answer::of(ruling.allowed), with_error(ruling.reason, &error)))
                }
                Err(_) => None,
            },
            Question::Backstage(question) => Some(self.decide_backstage(&question)?),
            Question::AuthZen(mut body) => {
                if let Some(members) = body.as_object_mut() {
                    members.insert("options".to_owned(), serde_json::json!({"explain": true}));
                }
                let evaluated = self.evaluate(&body)?;
                evaluated.map(|(allowed, reason)| (Answer::of(allowed), reason))
            }
        };
        let Some((now, reason)) = answered else {
            self.skip(SkipReason::Incomplete);
            return Ok(());
        };
        let report = &mut self.report;
        report.replayed += 1;
        if now == event.answer {
            report.same += 1;
            return Ok(());
        }
        match (&event.answer, &now) {
            (Answer::Denied, Answer::Allowed) => report.newly_allowed += 1,
            (Answer::Allowed, Answer::Denied) => report.newly_denied += 1,
            _ => report.other_conditions += 1,
        }
        if report.witnesses.len() < self.args.witnesses {
            let (before, now) = (event.answer.as_str(), now.as_str());
            report.witnesses.push(Witness { id: event.id, request, before, now, reason });
        }
        Ok(())
    }

    fn decide_backstage(
        &mut self,
        question: &BackstageQuestion,
    ) -> Result<(Answer, String), Failure> {
        let policy = match &mut self.policy {
            Some(policy) => policy,
            none => {
                let args = self.args;
                let mut input = Input::default();
                let sources = args.load.sources(&args.policies, &[], &mut input)?;
                let platform = [Platform::Backstage.name()];
                let set = PolicySet::of(sources, &PLATFORMS, &platform, &args.load.limits()?);
                let LoadedPolicies { engine, permissions, .. } = args.load.build_quietly(set)?;
                let catalog = catalog(&args.catalog, &engine, &mut input)?;
                let policy = PolicyEngine::new(engine, permissions).with_groups(catalog.groups());
                none.insert(policy.map_err(|e| Failure::input(e.to_string()))?)
            }
        };
        let asked = PermissionQuery {
            name: &question.permission,
            action: question.action.as_deref(),
            resource_type: question.resource_type.as_deref(),
        };
        let answer = policy.decide(&asked, question.principal.as_ref());
        let decision = match answer.decision() {
            PolicyDecision::Allow => Answer::Allowed,
            PolicyDecision::Deny => Answer::Denied,
            PolicyDecision::Conditional { conditions, .. } => {
                Answer::Conditional(serde_json::to_value(conditions).unwrap_or_default())
            }
        };
        let reasons: Vec<String> = answer.reasons().map(|id| format!("`{id}`")).collect();
        let reason = match (answer.errors(), reasons.as_slice()) {
            ([], []) => "no policy permits this".to_owned(),
            ([], reasons) => format!("by {}", reasons.join(", ")),
            (errors, _) => errors.join("; "),
        };
        Ok((decision, reason))
    }

    fn reviewer(&mut self) -> Result<&Reviewer, Failure> {
        if self.reviewer.is_none() {
            let load = &self.args.load;
            let source = PolicySource::new(&self.args.policies)
                .with_rules(std::sync::Arc::new(self.rules()?))
                .with_limits(load.limits()?)
                .with_manifest(load.manifest())
                .beside(stagedoor_backstage::VOCABULARY);
            let failure = |error: PoliciesError| match error {
                PoliciesError::Load(error) => Failure::Load(error),
                error => Failure::input(error.to_string()),
            };
            let engine = source.builder().map_err(failure)?.build()?;
            let reviewer = Reviewer::new(engine).map_err(|e| Failure::input(e.to_string()))?;
            self.reviewer = Some(reviewer);
        }
        self.reviewer.as_ref().ok_or_else(|| Failure::input("no policies"))
    }

    /// Returns the rules, which are waited for until they are compiled.
    fn rules(&self) -> Result<RuleFiles, Failure> {
        self.args.load.rule_files(self.args.policies.clone(), Duration::MAX)
    }

    /// Evaluates a request of AuthZEN; `None` if it is none.
    fn evaluate(&mut self, body: &Value) -> Result<Option<(bool, String)>, Failure> {
        if self.world.is_none() {
            let files = WorldFiles {
                policies: self.args.load.origin(&self.args.policies),
                rules: self.rules()?,
                limits: self.args.load.limits()?,
                entities: self.args.entities.clone(),
                mapping: self.args.mapping.clone(),
            };
            let loaded = files.load(None).map_err(|failure| match failure.problems {
                Some(error) => Failure::Load(error),
                None => Failure::input(failure.message),
            })?;
            self.world = Some(loaded.world);
        }
        let Some(world) = &self.world else { return Ok(None) };
        let text = body.to_string();
        let reply =
            stagedoor_authzen::answer(world, Operation::Evaluation, &text, Recording::default());
        let Ok(reply) = reply else { return Ok(None) };
        let allowed = reply.decisions == [true];
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let context = answer.get("context").cloned().unwrap_or_default();
        Ok(Some((allowed, reason_of(&context))))
    }
}

fn with_error(reason: String, error: &str) -> String {
    if error.is_empty() { reason } else { format!("{reason} ({error})") }
}

/// Says in a line why an evaluation came out as it did.
fn reason_of(context: &Value) -> String {
    if let Some(message) = context.pointer("/error/message").and_then(Value::as_str) {
        return message.to_owned();
    }
    let reasons = context.get("reasons").and_then(Value::as_array);
    let ids: Vec<String> = reasons
        .into_iter()
        .flatten()
        .filter_map(|reason| Some(format!("`{}`", reason.get("policy")?.as_str()?)))
        .collect();
    if ids.is_empty() {
        "no policy permits this".to_owned()
    } else {
        format!("by {}", ids.join(", "))
    }
}

fn print(report: &Report, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(report);
    }
    let paint = output.paint();
    for witness in &report.witnesses {
        let now = match witness.now {
            "allowed" | "conditional" => paint.bad(witness.now),
            _ => paint.notable(witness.now),
        };
        let (id, request, reason) =
            (line(&witness.id), line(&witness.request), line(&witness.reason));
        output.line(format_args!(
            "{request}\n  {} before, {now} now: {reason} [{id}]",
            witness.before
        ))?;
    }
    let shown = report.witnesses.len() as u64;
    let more = report.differences().saturating_sub(shown);
    if more > 0 {
        output.line(format_args!("and {more} more"))?;
    }
    output.line(format_args!(
        "{} decided again: {} the same, {} newly allowed, {} newly denied",
        report.replayed, report.same, report.newly_allowed, report.newly_denied
    ))?;
    if report.other_conditions > 0 {
        output.line(format_args!("{} with other conditions", report.other_conditions))?;
    }
    for (reason, count) in &report.skipped {
        output.line(format_args!("{count} not decided again: {reason}"))?;
    }
    Ok(())
}
