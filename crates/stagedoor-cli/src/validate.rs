//! `stagedoor validate`: whether policies load.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stagedoor_backstage::{Catalog, Finding, PolicyEngine};
use stagedoor_core::{Effect, count_of};
use stagedoor_kubernetes::Reviewer;
use stagedoor_kubernetes::access::{AccessPolicies, PolicyRemark};
use stagedoor_source::PolicySet;
use stagedoor_wire::{Problem, WireError};

use crate::ending::Ending;
use crate::failure::{Failure, report};
use crate::input::Input;
use crate::load::{LoadArgs, LoadedPolicies};
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};
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
    load: LoadArgs,

    /// A schema, as Cedar text or (`*.json`) as JSON; several are taken together.
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,

    /// Check the policies of one platform. Without it, those of all platforms that the policies
    /// are about, each with the schema that ships unless they bring their own.
    #[arg(long, value_enum)]
    platform: Option<Platform>,

    /// Catalog files of Backstage: for each user in them it is checked that conditions stay
    /// within what Backstage takes.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    catalog: Vec<PathBuf>,
}

/// What is said of policies that load.
#[derive(Serialize)]
struct Valid<'a> {
    valid: bool,
    policies: usize,
    revision: &'a str,
    problems: Vec<Problem>,
}

/// What is said of policies that do not.
#[derive(Serialize)]
struct Invalid {
    valid: bool,
    #[serde(flatten)]
    failure: WireError,
}

pub(crate) fn run(args: &ValidateArgs, output: &mut Output) -> Result<Ending, Failure> {
    let sets = match sets(args) {
        Ok(sets) => sets,
        Err(failure) => return invalid(failure, output),
    };
    let mut ending = Ending::Done;
    for set in sets {
        match args.load.build_quietly(set) {
            Ok(loaded) => valid(args, &loaded, output)?,
            Err(failure) => ending = invalid(failure, output)?,
        }
    }
    Ok(ending)
}

/// Returns the sets that the paths hold.
fn sets(args: &ValidateArgs) -> Result<Vec<PolicySet>, Failure> {
    let mut input = Input::default();
    let sources = args.load.sources(&args.paths, &args.schema, &mut input)?;
    let limits = args.load.limits()?;
    Ok(match args.platform {
        Some(platform) => vec![PolicySet::of(sources, &PLATFORMS, &[platform.name()], &limits)],
        None => PolicySet::all_within(sources, &PLATFORMS, &limits),
    })
}

/// Tells of a set that does not load.
fn invalid(failure: Failure, output: &mut Output) -> Result<Ending, Failure> {
    if output.is_json() {
        if !matches!(failure, Failure::Load(_) | Failure::Files(_)) {
            return Err(failure);
        }
        output.json(&Invalid { valid: false, failure: failure.to_json() })?;
        return Ok(Ending::Failed);
    }
    if failure.lacks_schema() {
        output.remark(
            "policies about a platform need no schema of their own: if these are, say so by \
             `--platform backstage` or `--platform kubernetes`",
        );
    }
    output.failure(&failure);
    Ok(Ending::Failed)
}

/// Tells of a set that loads.
fn valid(args: &ValidateArgs, loaded: &LoadedPolicies, output: &mut Output) -> Result<(), Failure> {
    let engine = &loaded.engine;
    let findings = findings(args, loaded)?;
    let remarks = remarks(loaded)?;
    let warnings = engine.warnings();
    if output.is_json() {
        return output.json(&Valid {
            valid: true,
            policies: engine.policies().len(),
            revision: engine.revision(),
            problems: warnings
                .iter()
                .map(Problem::from)
                .chain(findings.iter().map(Problem::from))
                .chain(remarks.iter().map(problem_of))
                .collect(),
        });
    }
    for remark in &remarks {
        let lead = output.paint().notable("warning:").to_string();
        let place = match remark.line {
            Some(line) => format!("{}:{line}", remark.file),
            None => remark.file.clone(),
        };
        let text = format!("{place}: policy `{}`: {}", remark.policy, remark.message);
        output.line(format_args!("{lead} {}", line(&text)))?;
        output.line(format_args!("  help: {}", line(&remark.help)))?;
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
    let permits = count_of(permits, "permit", "permits");
    let forbids = count_of(forbids, "forbid", "forbids");
    let mut told = format!("{valid} {permits}, {forbids}");
    let warned = warnings.len() + findings.len() + remarks.len();
    if warned > 0 {
        told.push_str(&format!(", {}", count_of(warned, "warning", "warnings")));
    }
    let platforms: Vec<&str> = loaded.set.platforms().collect();
    if !platforms.is_empty() {
        told.push_str(&format!(", about {}", platforms.join(" and ")));
    }
    output.line(format_args!("{told}, revision {short}"))
}

fn problem_of(remark: &PolicyRemark) -> Problem {
    Problem {
        severity: stagedoor_wire::Severity::Warning,
        code: remark.code.as_str().to_owned(),
        message: remark.message.clone(),
        file: Some(remark.file.clone()),
        document: None,
        line: remark.line,
        column: None,
        help: Some(remark.help.clone()),
        policy: Some(remark.policy.clone()),
    }
}

/// Returns what of policies for Kubernetes is likely to be meant otherwise.
fn remarks(loaded: &LoadedPolicies) -> Result<Vec<PolicyRemark>, Failure> {
    if !loaded.set.is_about(Platform::Kubernetes.name()) {
        return Ok(Vec::new());
    }
    let failed = |error: String| Failure::input(error);
    // Also what would only show when reviews are answered, such as an unknown mode.
    Reviewer::new(loaded.engine.clone()).map_err(|e| failed(e.to_string()))?;
    let policies = AccessPolicies::of(&loaded.engine).map_err(|e| failed(e.to_string()))?;
    Ok(policies.remarks())
}

/// Returns what in the policies cannot become conditions for Backstage.
fn findings(args: &ValidateArgs, loaded: &LoadedPolicies) -> Result<Vec<Finding>, Failure> {
    if !loaded.set.is_about(Platform::Backstage.name()) {
        return Ok(Vec::new());
    }
    let engine = &loaded.engine;
    let mut input = Input::default();
    let mut texts = Vec::with_capacity(args.catalog.len());
    for path in &args.catalog {
        texts.push((Input::name(path), input.text(path, engine.limits().file_bytes)?));
    }
    let catalog = Catalog::from_files(texts)?;
    let policy = PolicyEngine::new(engine.clone(), loaded.permissions.clone())
        .with_groups(catalog.groups())
        .map_err(|e| Failure::input(e.to_string()))?;
    let mut findings = policy.findings().to_vec();
    findings.extend(policy.over_budget(catalog.users().filter_map(|user| catalog.user(user))));
    Ok(findings)
}
