//! `stagedoor rule`: looks at custom rules, runs them, compiles and pins them, and begins new ones.

mod check;
mod new;
mod store;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use stagedoor_core::{Entities, Limits, Request};
use stagedoor_rule_host::{RuleVerdict, WasmRule, WasmRuleError, WasmRules};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::rules::{RuleHostArgs, host};
use crate::terminal::line;

/// Custom rules in WebAssembly, which guard policies.
///
/// A policy names a rule in `@guard("change-window")`, and gives it arguments as JSON in
/// `@guard_args`. It then counts only if the rule says yes. Rules are looked for in the
/// directory `rules` of a directory of policies.
#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    #[command(subcommand)]
    command: RuleCommand,
}

#[derive(Debug, Subcommand)]
enum RuleCommand {
    Check(check::CheckArgs),
    Run(RunArgs),
    New(new::NewArgs),
    Precompile(store::PrecompileArgs),
    Lock(store::LockArgs),
}

/// Ask a rule about a request.
///
/// Exit codes: 0 yes, 2 no, 1 no answer.
#[derive(Debug, Args)]
struct RunArgs {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,

    /// The request, as for `authorize`; `-` for the standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,

    /// Entities, in Cedar's JSON form.
    #[arg(long, value_name = "FILE")]
    entities: Option<PathBuf>,

    #[command(flatten)]
    host: RuleHostArgs,

    /// The arguments, as `@guard_args` has them.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    arguments: String,
}

pub(crate) fn run(args: &RuleArgs, output: &mut Output) -> Result<Ending, Failure> {
    match &args.command {
        RuleCommand::Check(args) => check::run(args, output),
        RuleCommand::Run(args) => ask(args, output),
        RuleCommand::New(args) => new::run(args, output),
        RuleCommand::Precompile(args) => store::precompile(args, output),
        RuleCommand::Lock(args) => store::lock(args, output),
    }
}

fn load(file: &Path, limits: &RuleHostArgs) -> Result<WasmRule, Failure> {
    WasmRules::file(&host::host(limits)?, file).map_err(|error| host::failed(&error))
}

/// Reads a request and entities.
fn question(request: &Path, entities: Option<&Path>) -> Result<(Request, Entities), Failure> {
    let (mut input, limit) = (Input::default(), Limits::default().file_bytes);
    let wrong = |e: &dyn std::fmt::Display| Failure::input(e.to_string());
    let request = Request::from_json_str(&input.text(request, limit)?, None);
    let request = request.map_err(|e| wrong(&e))?;
    let entities = match entities {
        Some(path) => Entities::from_json_str(&input.text(path, limit)?, None),
        None => Ok(Entities::empty()),
    };
    Ok((request, entities.map_err(|e| wrong(&e))?))
}

fn checked_arguments(rule: &WasmRule, arguments: &str) -> Result<(), Failure> {
    rule.check_arguments(arguments).map_err(|reason| {
        Failure::input(format!("`{}` does not take these arguments: {reason}", rule.name()))
    })
}

/// What `rule run` prints.
#[derive(Serialize)]
struct Answer<'r> {
    rule: &'r str,
    holds: Option<bool>,
    reason: Option<&'r str>,
    fuel: Option<u64>,
    code: Option<&'static str>,
    error: Option<String>,
}

fn ask(args: &RunArgs, output: &mut Output) -> Result<Ending, Failure> {
    let rule = load(&args.file, &args.host)?;
    let (request, entities) = question(&args.request, args.entities.as_deref())?;
    checked_arguments(&rule, &args.arguments)?;
    let given = rule.evaluate(&request, &entities, &args.arguments);
    let answer = Answer::new(rule.name(), &given);
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(answer.text())?;
    }
    Ok(match answer.holds {
        Some(true) => Ending::Done,
        Some(false) => Ending::Denied,
        None => Ending::Failed,
    })
}

impl<'r> Answer<'r> {
    fn new(rule: &'r str, given: &'r Result<RuleVerdict, WasmRuleError>) -> Self {
        let verdict = given.as_ref().ok();
        let error = given.as_ref().err();
        Self {
            rule,
            holds: verdict.map(|given| given.holds),
            reason: verdict.and_then(|given| given.reason.as_deref()),
            fuel: verdict.map(|given| given.fuel),
            code: error.map(WasmRuleError::code),
            error: error.map(ToString::to_string),
        }
    }

    fn text(&self) -> String {
        let rule = line(self.rule);
        let Some(holds) = self.holds else {
            let (error, code) = (self.error.as_deref().map(line), self.code.unwrap_or_default());
            return format!("none  {rule}: {} [{code}]", error.unwrap_or_default());
        };
        let word = if holds { "yes" } else { "no" };
        let reason = self.reason.map(|reason| format!(": {}", line(reason))).unwrap_or_default();
        format!("{word:<5} {rule}{reason} (fuel {})", self.fuel.unwrap_or_default())
    }
}
