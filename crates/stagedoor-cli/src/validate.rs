//! `stagedoor validate`: whether policies load.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stagedoor_backstage::{Catalog, Finding, PolicyEngine};
use stagedoor_core::{Effect, Engine};

use crate::cli::Ending;
use crate::engine::{with_policies, with_schemas};
use crate::failure::{Failure, FailureJson, ProblemJson, report};
use crate::input::Input;
use crate::output::Output;
use crate::platform::{Platform, permissions};
use crate::rules::RulesArgs;
use crate::terminal::line;

/// Check policies against their schema, and report every problem.
///
/// Exits with 0 if they would load, with 1 if not.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Policies and schemas: files or directories, `-` for the standard input.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// A schema, as Cedar text or (`*.json`) as JSON; several are taken together.
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,

    /// Add the schema that ships for a platform, unless the policies bring their own.
    #[arg(long, value_enum)]
    platform: Option<Platform>,

    /// Catalog files of Backstage: for each user in them it is checked that conditions stay
    /// within what Backstage takes.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "platform")]
    catalog: Vec<PathBuf>,
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
    let findings = findings(args, &engine)?;
    let warnings = engine.warnings();
    if output.is_json() {
        output.json(&Valid {
            valid: true,
            policies: engine.policies().len(),
            revision: engine.revision(),
            problems: warnings
                .iter()
                .map(ProblemJson::of)
                .chain(findings.iter().map(ProblemJson::of_finding))
                .collect(),
        })?;
        return Ok(Ending::Done);
    }
    for warning in warnings {
        output.bytes(report(warning, output.paint()).as_bytes())?;
    }
    for finding in &findings {
        let lead = output.paint().notable("warning:").to_string();
        output.line(format_args!("{lead} {}", line(&finding.to_string())))?;
        output.line(format_args!("  help: {}", line(&finding.help)))?;
    }
    let permits = engine.policies().filter(|policy| policy.effect() == Effect::Permit).count();
    let forbids = engine.policies().len() - permits;
    let (valid, revision) = (output.paint().good("valid"), engine.revision());
    let short = revision.get(..12).unwrap_or(revision);
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut told = format!("{valid} {}, {}", count(permits, "permit"), count(forbids, "forbid"));
    let warned = warnings.len() + findings.len();
    if warned > 0 {
        told.push_str(&format!(", {}", count(warned, "warning")));
    }
    output.line(format_args!("{told}, revision {short}"))?;
    Ok(Ending::Done)
}

/// Returns what in the policies cannot become conditions for Backstage.
fn findings(args: &ValidateArgs, engine: &Engine) -> Result<Vec<Finding>, Failure> {
    if args.platform != Some(Platform::Backstage) {
        return Ok(Vec::new());
    }
    let mut input = Input::default();
    let mut texts = Vec::with_capacity(args.catalog.len());
    for path in &args.catalog {
        texts.push((Input::name(path), input.text(path, engine.limits().file_bytes)?));
    }
    let catalog = Catalog::from_files(texts)?;
    let policy = PolicyEngine::new(engine.clone(), permissions(&args.paths)?)
        .with_groups(catalog.groups())
        .map_err(|e| Failure::input(e.to_string()))?;
    let mut findings = policy.findings().to_vec();
    findings.extend(policy.over_budget(catalog.users().filter_map(|user| catalog.user(user))));
    Ok(findings)
}

fn load(args: &ValidateArgs) -> Result<Engine, Failure> {
    let mut input = Input::default();
    let builder = match args.platform {
        Some(platform) => platform.builder(&args.paths, &args.rules, &mut input)?,
        None => with_policies(Engine::builder(), &args.paths, &args.rules, &mut input)?,
    };
    Ok(with_schemas(builder, &args.schema, &mut input)?.build()?)
}
