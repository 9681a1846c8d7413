//! `stagedoor validate`: whether policies load.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stagedoor_core::{Effect, Engine};

use crate::cli::Ending;
use crate::engine::{with_policies, with_schemas};
use crate::failure::{Failure, FailureJson, ProblemJson, report};
use crate::input::Input;
use crate::output::Output;
use crate::platform::Platform;

/// Check policies against their schema, and report every problem.
///
/// Exits with 0 if they would load, with 1 if not.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Policies and schemas: files or directories, `-` for the standard input.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// A schema, as Cedar text or (`*.json`) as JSON; several are taken together.
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,

    /// Add the schema that ships for a platform, unless the policies bring their own.
    #[arg(long, value_enum)]
    platform: Option<Platform>,
}

/// What is said of policies that load.
#[derive(Serialize)]
struct Valid<'a> {
    valid: bool,
    policies: usize,
    revision: &'a str,
    problems: Vec<ProblemJson<'a>>,
}

/// What is said of policies that do not.
#[derive(Serialize)]
struct Invalid<'a> {
    valid: bool,
    #[serde(flatten)]
    failure: FailureJson<'a>,
}

pub(crate) fn run(args: &ValidateArgs, output: &mut Output) -> Result<Ending, Failure> {
    let engine = match load(args) {
        Ok(engine) => engine,
        Err(failure @ (Failure::Load(_) | Failure::Files(_))) if output.is_json() => {
            output.json(&Invalid { valid: false, failure: failure.to_json() })?;
            return Ok(Ending::Failed);
        }
        Err(failure) => {
            if args.platform.is_none() && failure.lacks_schema() {
                output.remark(
                    "policies about a platform need no schema of their own: \
                     `--platform backstage` or `--platform kubernetes`",
                );
            }
            return Err(failure);
        }
    };
    let warnings = engine.warnings();
    if output.is_json() {
        output.json(&Valid {
            valid: true,
            policies: engine.policies().len(),
            revision: engine.revision(),
            problems: warnings.iter().map(ProblemJson::of).collect(),
        })?;
        return Ok(Ending::Done);
    }
    for warning in warnings {
        output.bytes(report(warning, output.paint()).as_bytes())?;
    }
    let permits = engine.policies().filter(|policy| policy.effect() == Effect::Permit).count();
    let forbids = engine.policies().len() - permits;
    let (valid, revision) = (output.paint().good("valid"), engine.revision());
    let short = revision.get(..12).unwrap_or(revision);
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut told = format!("{valid} {}, {}", count(permits, "permit"), count(forbids, "forbid"));
    if !warnings.is_empty() {
        told.push_str(&format!(", {}", count(warnings.len(), "warning")));
    }
    output.line(format_args!("{told}, revision {short}"))?;
    Ok(Ending::Done)
}

fn load(args: &ValidateArgs) -> Result<Engine, Failure> {
    let mut input = Input::default();
    let builder = match args.platform {
        Some(platform) => platform.builder(&args.paths, &mut input)?,
        None => with_policies(Engine::builder(), &args.paths, &mut input)?,
    };
    Ok(with_schemas(builder, &args.schema, &mut input)?.build()?)
}
