//! `stagedoor rule check`: whether a component is a rule that can answer.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use miette::Diagnostic as _;
use serde::Serialize;
use stagedoor_core::{Entities, GuardInputs, Request, count_of};
use stagedoor_rule_host::WasmRuleError;

use super::{Answer, checked_arguments, load, question};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::rules::RuleHostArgs;
use crate::terminal::{line, printable};

/// Check that a component is a rule, print what it says of itself, and ask it once.
///
/// It is asked with arguments that its schema takes about a request of entities without attributes,
/// unless others are given. An error of its own is an answer; that it needs more than its limits, or
/// traps, is not.
///
/// Exit codes: 0 it answers, 1 it is no rule, or gives no answer.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,

    /// The request to ask it about, as for `authorize`; `-` for the standard input.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,

    /// Entities, in Cedar's JSON form.
    #[arg(long, value_name = "FILE", requires = "request")]
    entities: Option<PathBuf>,

    /// The arguments to ask it with, as `@guard_args` has them.
    #[arg(long, value_name = "JSON")]
    arguments: Option<String>,

    #[command(flatten)]
    host: RuleHostArgs,
}

/// What `rule check` prints.
#[derive(Serialize)]
struct Description<'r> {
    name: &'r str,
    version: &'r str,
    contract: &'r str,
    inputs: Vec<&'static str>,
    arguments: serde_json::Value,
    sha256: &'r str,
    bytes: usize,
    modules: u64,
    functions: u64,
    largest_function_bytes: u64,
    imports: &'r [String],
    exports: &'r [String],
    deadline_ms: u128,
    fuel: u64,
    memory_bytes: usize,
    /// What it answered.
    sample: Answer<'r>,
}

pub(super) fn run(args: &CheckArgs, output: &mut Output) -> Result<Ending, Failure> {
    let rule = load(&args.file, &args.host)?;
    let (request, entities) = match &args.request {
        Some(request) => question(request, args.entities.as_deref())?,
        None => (sample()?, Entities::empty()),
    };
    let arguments = match &args.arguments {
        Some(arguments) => {
            checked_arguments(&rule, arguments)?;
            arguments.clone()
        }
        None => rule.sample_arguments(),
    };
    let given = rule.evaluate(&request, &entities, &arguments);
    let (contents, limits) = (rule.contents(), rule.limits());
    let description = Description {
        name: rule.name(),
        version: rule.version(),
        contract: rule.contract(),
        inputs: names(rule.inputs()),
        // The host has read it.
        arguments: serde_json::from_str(rule.arguments_schema()).unwrap_or_default(),
        sha256: rule.digest(),
        bytes: contents.bytes,
        modules: contents.modules,
        functions: contents.functions,
        largest_function_bytes: contents.function_bytes,
        imports: &contents.imports,
        exports: &contents.exports,
        deadline_ms: limits.deadline.as_millis(),
        fuel: limits.fuel,
        memory_bytes: limits.memory_bytes,
        sample: Answer::new(rule.name(), &given),
    };
    let ending = match &given {
        Ok(_) | Err(WasmRuleError::Refused(_)) => Ending::Done,
        Err(_) => Ending::Failed,
    };
    if output.is_json() {
        output.json(&description)?;
    } else {
        let mut text = description.text();
        // Writing to a string does not fail.
        let _ = match &given {
            Ok(_) => writeln!(text, "\n  asked     {}", description.sample.text()),
            Err(WasmRuleError::Refused(reason)) => {
                writeln!(text, "\n  asked     an error of its own: {}", line(reason))
            }
            Err(error) => {
                let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
                writeln!(
                    text,
                    "\n  asked     it gives no answer: {}{help} [{}]\n            with the arguments {}",
                    line(&error.to_string()),
                    error.code(),
                    line(&arguments)
                )
            }
        };
        output.line(text.trim_end())?;
    }
    Ok(ending)
}

/// Returns a request about entities of which nothing is known.
fn sample() -> Result<Request, Failure> {
    let uid = |text: &str| {
        text.parse().map_err(|e| Failure::input(format!("`{text}` is not an entity: {e}")))
    };
    let (principal, action) = (uid(r#"Sample::"principal""#)?, uid(r#"Action::"sample""#)?);
    Ok(Request::new(principal, action, uid(r#"Sample::"resource""#)?))
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
                    "{} bytes, {} (the largest of {} bytes) in {}",
                    self.bytes,
                    count_of(self.functions, "function", "functions"),
                    self.largest_function_bytes,
                    count_of(self.modules, "module", "modules")
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
