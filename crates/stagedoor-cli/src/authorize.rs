//! `stagedoor authorize`: requests and entities in Cedar's own JSON.

use std::path::{Path, PathBuf};

use clap::Args;
use stagedoor_core::{Decision, Engine, Entities, Outcome, Request};
use stagedoor_wire::{RequestInput, WireError};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::load::PolicyArgs;
use crate::narrative::{Detail, Narrator};
use crate::output::Output;
use crate::requests::{REQUEST_BYTES, Requests};
use crate::terminal::line;

/// Decide requests that are written in Cedar's JSON.
///
/// A request is `{"principal": …, "action": …, "resource": …, "context": {…}}`, in which
/// the first three are entity ids: `"User::\"ana\""` or `{"type": "User", "id": "ana"}`.
/// Entities are a list of `{"uid": …, "attrs": {…}, "parents": […], "tags": {…}}`; a request
/// may have `"entities": […]` of its own, which are laid over those of `--entities`.
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
    let desk = Responder { engine: &engine, entities: &entities, explained };
    match (&args.request, &args.requests) {
        (Some(path), _) => {
            let name = Input::name(path);
            let text = input.text(path, REQUEST_BYTES)?;
            let failed = |error: WireError| Failure::from(error.within(format!("`{name}`")));
            let (request, _) = RequestInput::from_recorded(&text).map_err(failed)?;
            let (request, entities) = request.read(&engine, &entities).map_err(failed)?;
            desk.one(&request, &entities, &name, output)
        }
        (None, Some(path)) => {
            let reader = input.open(path)?;
            desk.many(Requests::new(Input::name(path), reader), output)
        }
        (None, None) => Err(Failure::input("give `--request` or `--requests`")),
    }
}

/// Reads a file of entities.
pub(crate) fn entities(
    path: &Path,
    engine: &Engine,
    input: &mut Input,
) -> Result<Entities, Failure> {
    let text = input.text(path, engine.limits().file_bytes)?;
    Entities::from_json_within(&text, engine.schema(), engine.limits())
        .map_err(|e| WireError::from(e).within(format!("`{}`", Input::name(path))).into())
}

/// Where requests are answered.
struct Responder<'a> {
    engine: &'a Engine,
    entities: &'a Entities,
    explained: bool,
}

impl Responder<'_> {
    fn one(
        &self,
        request: &Request,
        entities: &Entities,
        name: &str,
        output: &mut Output,
    ) -> Result<Ending, Failure> {
        let failed = |e| Failure::from(WireError::from(e).within(format!("`{name}`")));
        let decision = if output.is_json() && !self.explained {
            let outcome = self.engine.decide(request, entities).map_err(failed)?;
            output.json(&stagedoor_wire::Decision::from(&outcome))?;
            outcome.decision()
        } else {
            let explanation = self.engine.explain(request, entities).map_err(failed)?;
            if output.is_json() {
                output.json(&stagedoor_wire::Explanation::of(&explanation, self.engine))?;
            } else {
                let detail = if self.explained { Detail::Full } else { Detail::Brief };
                let narrator = Narrator { engine: self.engine, paint: output.paint(), detail };
                output.line(narrator.tell(&question(request), &explanation))?;
            }
            explanation.outcome().decision()
        };
        Ok(ending(decision))
    }

    fn many(&self, mut requests: Requests, output: &mut Output) -> Result<Ending, Failure> {
        while let Some(read) = requests.next()? {
            let told = read.and_then(|(request, _)| {
                self.tell(request, output).map_err(|error| error.within(requests.place()))
            });
            match told {
                Ok(told) => told?,
                Err(error) if output.is_json() => {
                    let revision = self.engine.revision();
                    output.json(&stagedoor_wire::Decision::refused(error, revision))?;
                }
                Err(error) => {
                    let denied = output.paint().decision(Decision::Deny);
                    output.line(format_args!("{denied} {}", line(&error.error)))?;
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
        request: RequestInput,
        output: &mut Output,
    ) -> Result<Result<(), Failure>, WireError> {
        let (request, entities) = request.read(self.engine, self.entities)?;
        if self.explained {
            let explanation = self.engine.explain(&request, &entities)?;
            if output.is_json() {
                let told = stagedoor_wire::Explanation::of(&explanation, self.engine);
                return Ok(output.json(&told));
            }
            let detail = Detail::Full;
            let narrator = Narrator { engine: self.engine, paint: output.paint(), detail };
            return Ok(output.line(narrator.tell(&question(&request), &explanation)));
        }
        let outcome = self.engine.decide(&request, &entities)?;
        if output.is_json() {
            return Ok(output.json(&stagedoor_wire::Decision::from(&outcome)));
        }
        let decision = output.paint().decision(outcome.decision());
        Ok(output.line(format_args!("{decision} {}{}", question(&request), because(&outcome))))
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
