//! `stagedoor authorize`: requests and entities in Cedar's own JSON.

use std::path::{Path, PathBuf};

use clap::Args;
use stagedoor_core::{Decision, Engine, Entities, Outcome, Request};

use crate::answer::{Answer, ExplainedAnswer};
use crate::ending::Ending;
use crate::engine::PolicyArgs;
use crate::failure::Failure;
use crate::input::Input;
use crate::narrative::{self, Detail, Narrator};
use crate::output::Output;
use crate::requests::{REQUEST_BYTES, Requests};
use crate::terminal::line;

/// Decide requests that are written in Cedar's JSON.
///
/// A request is `{"principal": …, "action": …, "resource": …, "context": {…}}`, in which
/// the first three are entity ids: `"User::\"ana\""` or `{"type": "User", "id": "ana"}`.
/// Entities are a list of `{"uid": …, "attrs": {…}, "parents": […], "tags": {…}}`.
///
/// Exits with 0 if the request is allowed, with 2 if it is denied, with 1 on failure.
/// Several requests are answered in order, one line each, with exit code 0; a line that is
/// no valid request is answered with a denial that states the error, and the next is read.
#[derive(Debug, Args)]
pub(crate) struct AuthorizeArgs {
    #[command(flatten)]
    policies: PolicyArgs,

    /// Entities in Cedar's JSON: who is in which group, and what attributes things have.
    #[arg(long, value_name = "FILE")]
    entities: Option<PathBuf>,

    /// One request in Cedar's JSON.
    #[arg(long, value_name = "FILE", required_unless_present = "requests")]
    request: Option<PathBuf>,

    /// Many requests, one JSON object a line.
    #[arg(long, value_name = "FILE", conflicts_with = "request")]
    requests: Option<PathBuf>,
}

pub(crate) fn run(args: &AuthorizeArgs, output: &mut Output) -> Result<Ending, Failure> {
    answer(args, output, false)
}

/// Answers what the arguments ask, with explanations if they are wanted.
pub(crate) fn answer(
    args: &AuthorizeArgs,
    output: &mut Output,
    explained: bool,
) -> Result<Ending, Failure> {
    let mut input = Input::default();
    let engine = args.policies.engine(&mut input, output)?;
    let entities = match &args.entities {
        Some(path) => entities(path, &engine, &mut input)?,
        None => Entities::empty(),
    };
    let desk = Desk { engine: &engine, entities: &entities, explained };
    match (&args.request, &args.requests) {
        (Some(path), _) => {
            let name = Input::name(path);
            let text = input.text(path, REQUEST_BYTES)?;
            let request = Request::from_json_str(&text, engine.schema())
                .map_err(|e| Failure::input(format!("`{name}`: {e}")))?;
            desk.one(&request, &name, output)
        }
        (None, Some(path)) => {
            let reader = input.open(path)?;
            let requests = Requests::new(Input::name(path), reader, engine.schema(), &entities);
            desk.many(requests, output)
        }
        (None, None) => Err(Failure::input("give `--request` or `--requests`")),
    }
}

fn entities(path: &Path, engine: &Engine, input: &mut Input) -> Result<Entities, Failure> {
    let text = input.text(path, engine.limits().file_bytes)?;
    Entities::from_json_within(&text, engine.schema(), engine.limits())
        .map_err(|e| Failure::input(format!("`{}`: {e}", Input::name(path))))
}

/// Where requests are answered.
struct Desk<'a> {
    engine: &'a Engine,
    entities: &'a Entities,
    explained: bool,
}

impl Desk<'_> {
    fn one(&self, request: &Request, name: &str, output: &mut Output) -> Result<Ending, Failure> {
        let failed = |e| Failure::input(format!("`{name}`: {e}"));
        let decision = if output.is_json() && !self.explained {
            let outcome = self.engine.decide(request, self.entities).map_err(failed)?;
            output.json(&Answer::of(&outcome))?;
            outcome.decision()
        } else {
            let explanation = self.engine.explain(request, self.entities).map_err(failed)?;
            if output.is_json() {
                output.json(&ExplainedAnswer::of(&explanation, self.engine))?;
            } else {
                let detail = if self.explained { Detail::Full } else { Detail::Brief };
                let narrator = Narrator { engine: self.engine, paint: output.paint(), detail };
                output.line(narrator.tell(&question(request), &explanation))?;
            }
            explanation.outcome().decision()
        };
        Ok(ending(decision))
    }

    fn many(&self, mut requests: Requests<'_>, output: &mut Output) -> Result<Ending, Failure> {
        while let Some(read) = requests.next()? {
            let told = read.and_then(|line| {
                let entities = line.entities.as_ref().unwrap_or(self.entities);
                self.tell(&line.request, entities, output, &requests.place())
            });
            match told {
                Ok(told) => told?,
                Err(reason) if output.is_json() => {
                    output.json(&Answer::refused(&reason, self.engine))?;
                }
                Err(reason) => {
                    let denied = narrative::decision(Decision::Deny, output.paint());
                    output.line(format_args!("{denied} {}", line(&reason)))?;
                }
            }
            // Whoever sends requests one by one waits for each answer.
            if requests.is_idle() {
                output.flush()?;
            }
        }
        Ok(Ending::Done)
    }

    /// Answers one of many requests; the outer error says why it could not be decided.
    fn tell(
        &self,
        request: &Request,
        entities: &Entities,
        output: &mut Output,
        place: &str,
    ) -> Result<Result<(), Failure>, String> {
        if self.explained {
            let explanation =
                self.engine.explain(request, entities).map_err(|e| format!("{place}: {e}"))?;
            if output.is_json() {
                return Ok(output.json(&ExplainedAnswer::of(&explanation, self.engine)));
            }
            let detail = Detail::Full;
            let narrator = Narrator { engine: self.engine, paint: output.paint(), detail };
            return Ok(output.line(narrator.tell(&question(request), &explanation)));
        }
        let outcome = self.engine.decide(request, entities).map_err(|e| format!("{place}: {e}"))?;
        if output.is_json() {
            return Ok(output.json(&Answer::of(&outcome)));
        }
        let decision = narrative::decision(outcome.decision(), output.paint());
        Ok(output.line(format_args!("{decision} {}{}", question(request), because(&outcome))))
    }
}

/// Returns how a command ends that decided one request.
pub(crate) fn ending(decision: Decision) -> Ending {
    match decision {
        Decision::Allow => Ending::Done,
        Decision::Deny => Ending::Denied,
    }
}

fn question(request: &Request) -> String {
    let Request { principal, action, resource, .. } = request;
    line(&format!("{principal} {action} {resource}"))
}

fn because(outcome: &Outcome) -> String {
    let reasons: Vec<String> = outcome.reasons().map(|policy| line(policy.id())).collect();
    if reasons.is_empty() { String::new() } else { format!("  ({})", reasons.join(", ")) }
}
