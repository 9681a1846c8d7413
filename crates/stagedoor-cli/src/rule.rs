//! `stagedoor rule`: looks at custom rules, runs them, and begins new ones.

mod new;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use stagedoor_core::{Entities, GuardInputs, Limits, Request};
use stagedoor_rule_host::{WasmRule, WasmRules};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::rules::{failed, host};
use crate::terminal::{line, printable};

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
    Check(CheckArgs),
    Run(RunArgs),
    New(new::NewArgs),
}

/// Check that a component is a rule, and print what it says of itself.
#[derive(Debug, Args)]
struct CheckArgs {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
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

    /// The arguments, as `@guard_args` has them.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    arguments: String,
}

pub(crate) fn run(args: &RuleArgs, output: &mut Output) -> Result<Ending, Failure> {
    match &args.command {
        RuleCommand::Check(args) => check(args, output),
        RuleCommand::Run(args) => ask(args, output),
        RuleCommand::New(args) => new::run(args, output),
    }
}

fn load(file: &Path) -> Result<WasmRule, Failure> {
    WasmRules::file(&host()?, file).map_err(|error| failed(&error))
}

/// What `rule check` prints.
#[derive(Serialize)]
struct Description<'r> {
    name: &'r str,
    version: &'r str,
    inputs: Vec<&'static str>,
    arguments: serde_json::Value,
    sha256: &'r str,
    bytes: usize,
    modules: u64,
    functions: u64,
    imports: &'r [String],
    exports: &'r [String],
    deadline_ms: u128,
    fuel: u64,
    memory_bytes: usize,
}

fn check(args: &CheckArgs, output: &mut Output) -> Result<Ending, Failure> {
    let rule = load(&args.file)?;
    let (contents, limits) = (rule.contents(), rule.limits());
    let description = Description {
        name: rule.name(),
        version: rule.version(),
        inputs: names(rule.inputs()),
        // The host has read it.
        arguments: serde_json::from_str(rule.arguments_schema()).unwrap_or_default(),
        sha256: rule.digest(),
        bytes: contents.bytes,
        modules: contents.modules,
        functions: contents.functions,
        imports: &contents.imports,
        exports: &contents.exports,
        deadline_ms: limits.deadline.as_millis(),
        fuel: limits.fuel,
        memory_bytes: limits.memory_bytes,
    };
    if output.is_json() {
        output.json(&description)?;
    } else {
        output.line(description.text())?;
    }
    Ok(Ending::Done)
}

fn names(inputs: GuardInputs) -> Vec<&'static str> {
    let named = [
        (inputs.principal, "principal"),
        (inputs.action, "action"),
        (inputs.resource, "resource"),
        (inputs.context, "context"),
    ];
    named.into_iter().filter(|(used, _)| *used).map(|(_, name)| name).collect()
}

impl Description<'_> {
    fn text(&self) -> String {
        let or_nothing = |list: String| if list.is_empty() { "nothing".to_owned() } else { list };
        let mut text = format!("{} {}\n", line(self.name), line(self.version));
        let exports: Vec<String> = self.exports.iter().map(|export| line(export)).collect();
        for (what, value) in [
            ("looks at", or_nothing(self.inputs.join(", "))),
            ("imports", or_nothing(self.imports.join(", "))),
            ("exports", exports.join(", ")),
            (
                "size",
                format!(
                    "{} bytes, {} functions in {} module(s)",
                    self.bytes, self.functions, self.modules
                ),
            ),
            (
                "limits",
                format!(
                    "{} ms, {} fuel, {} bytes of memory",
                    self.deadline_ms, self.fuel, self.memory_bytes
                ),
            ),
            ("sha256", self.sha256.to_owned()),
        ] {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {what:<10}{value}");
        }
        let schema = serde_json::to_string_pretty(&self.arguments).unwrap_or_default();
        let _ = write!(text, "  arguments");
        for schema_line in schema.lines() {
            let _ = write!(text, "\n    {}", printable(schema_line));
        }
        text
    }
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
    let rule = load(&args.file)?;
    let (mut input, limit) = (Input::default(), Limits::default().file_bytes);
    let wrong = |e: &dyn std::fmt::Display| Failure::input(e.to_string());
    let request = Request::from_json_str(&input.text(&args.request, limit)?, None);
    let request = request.map_err(|e| wrong(&e))?;
    let entities = match &args.entities {
        Some(path) => Entities::from_json_str(&input.text(path, limit)?, None),
        None => Ok(Entities::empty()),
    };
    let entities = entities.map_err(|e| wrong(&e))?;
    rule.check_arguments(&args.arguments).map_err(|reason| {
        Failure::input(format!("`{}` does not take these arguments: {reason}", rule.name()))
    })?;
    let given = rule.evaluate(&request, &entities, &args.arguments);
    let evaluated = given.as_ref().ok();
    let answer = Answer {
        rule: rule.name(),
        holds: evaluated.map(|given| given.holds),
        reason: evaluated.and_then(|given| given.reason.as_deref()),
        fuel: evaluated.map(|given| given.fuel),
        code: given.as_ref().err().map(stagedoor_rule_host::WasmRuleError::code),
        error: given.as_ref().err().map(ToString::to_string),
    };
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

impl Answer<'_> {
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
