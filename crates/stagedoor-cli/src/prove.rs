//! `stagedoor prove`: whether something can never happen, for all requests.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use stagedoor_analysis::{Bound, BoundError, BoundKind, Library, Violation};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::Output;
use crate::review::{or_unusable, policies};
use crate::terminal::line;

/// Prove that something is never allowed, or always is: for all requests, not for some.
///
/// A bound is written as a policy without `permit`: a scope, and conditions.
///
///   stagedoor prove --policies policies --never '(principal, action == Action::"exec", resource)
///       when { resource.namespace like "prod-*" } unless { principal in Group::"sre" }'
///
/// Where it does not hold, a request that shows it is told for each kind of request.
///
/// Exits with 0 if every bound is proved; with 1 if one does not hold, or that is not decided; with
/// 2 if something cannot be used.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Policies: directories, or files of policies and schemas.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    policies: Vec<PathBuf>,

    /// What no request may be that is allowed.
    #[arg(long, value_name = "BOUND", required_unless_present = "always")]
    never: Vec<String>,

    /// What every request must be allowed.
    #[arg(long, value_name = "BOUND")]
    always: Vec<String>,

    /// Only of requests that would be allowed with this action, such as `Action::"write"`: with
    /// `--always` about reading, that whoever may write may read.
    #[arg(long, value_name = "ACTION")]
    if_allowed: Option<String>,

    #[command(flatten)]
    load: LoadArgs,
}

/// One bound, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BoundJson<'a> {
    kind: BoundKind,
    bound: &'a str,
    /// The action that must be allowed as well for the bound to speak of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    if_allowed: Option<&'a str>,
    /// `proved`, `violated` or `undecided`.
    verdict: &'static str,
    violations: Vec<ViolationJson>,
}

#[derive(Serialize)]
struct ViolationJson {
    principal: String,
    action: String,
    resource: String,
    /// The request as the keys of a case; none where it is not decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Map<String, Value>>,
    /// The policies that determine the decision.
    policies: Vec<String>,
    /// Why it is not decided.
    reasons: Vec<String>,
}

pub(crate) fn run(args: &ProveArgs, output: &mut Output) -> Result<Ending, Failure> {
    let ended = prove(args, output);
    or_unusable(ended, output)
}

fn prove(args: &ProveArgs, output: &mut Output) -> Result<Ending, Failure> {
    let sets = policies(&args.policies, &args.load, output)?;
    let libraries: Vec<Library<'_>> =
        sets.iter().filter_map(|set| Library::of(&set.enforced)).collect();
    if libraries.is_empty() {
        let message = "there is no schema: what is not validated cannot be reasoned about";
        return Err(Failure::input(message));
    }
    let never = args.never.iter().map(|text| (BoundKind::Never, text));
    let always = args.always.iter().map(|text| (BoundKind::Always, text));
    let mut holds = true;
    for (kind, text) in never.chain(always) {
        let failed = |e: &dyn std::fmt::Display| Failure::input(format!("`{}`: {e}", line(text)));
        let mut bound = Bound::parse(kind, text).map_err(|e| failed(&e))?;
        if let Some(action) = &args.if_allowed {
            bound = bound.if_allowed(action).map_err(|e| failed(&e))?;
        }
        let violations = violations(&bound, &libraries).map_err(|e| failed(&e))?;
        holds &= violations.is_empty();
        if output.is_json() {
            output.json(&BoundJson {
                kind,
                bound: text,
                if_allowed: args.if_allowed.as_deref(),
                verdict: verdict(&violations),
                violations: violations.iter().map(ViolationJson::of).collect(),
            })?;
        } else {
            tell(kind, text, args.if_allowed.as_deref(), &violations, output)?;
        }
    }
    Ok(if holds { Ending::Done } else { Ending::Failed })
}

/// Returns where a bound does not hold in the sets that it fits: each platform has one.
fn violations(bound: &Bound, libraries: &[Library<'_>]) -> Result<Vec<Violation>, BoundError> {
    let mut all = None;
    let mut refused = None;
    for library in libraries {
        match bound.violations(library) {
            Ok(found) => all.get_or_insert_with(Vec::new).extend(found),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match (all, refused) {
        (Some(all), _) => Ok(all),
        (None, refused) => Err(refused.unwrap_or(BoundError::Empty)),
    }
}

fn verdict(violations: &[Violation]) -> &'static str {
    match violations {
        [] => "proved",
        some if some.iter().any(Violation::is_proved) => "violated",
        _ => "undecided",
    }
}

impl ViolationJson {
    fn of(violation: &Violation) -> Self {
        let (environment, request, policies, reasons) = match violation {
            Violation::Proved { environment, witness, policies } => {
                (environment, Some(witness.to_case()), policies.clone(), Vec::new())
            }
            Violation::Undecided { environment, reasons } => {
                (environment, None, Vec::new(), reasons.iter().cloned().collect())
            }
            other => {
                let reasons = vec![format!("{other:?}")];
                return Self {
                    principal: String::new(),
                    action: String::new(),
                    resource: String::new(),
                    request: None,
                    policies: Vec::new(),
                    reasons,
                };
            }
        };
        Self {
            principal: environment.principal.to_string(),
            action: environment.action.to_string(),
            resource: environment.resource.to_string(),
            request,
            policies,
            reasons,
        }
    }
}

fn tell(
    kind: BoundKind,
    text: &str,
    if_allowed: Option<&str>,
    violations: &[Violation],
    output: &mut Output,
) -> Result<(), Failure> {
    let paint = output.paint();
    let word = match kind {
        BoundKind::Never => "never",
        BoundKind::Always => "always",
    };
    let sign = match verdict(violations) {
        "proved" => paint.good("proved").to_string(),
        "violated" => paint.bad("violated").to_string(),
        _ => paint.notable("undecided").to_string(),
    };
    let given = if_allowed.map(|action| format!(" if `{}` is allowed", line(action)));
    output.line(format_args!("{sign}  {word} {}{}", line(text), given.unwrap_or_default()))?;
    for violation in violations {
        match violation {
            Violation::Proved { witness, policies, .. } => {
                let is = match (kind, policies.is_empty()) {
                    (BoundKind::Never, _) => format!("allowed by {}", policies.join(", ")),
                    (BoundKind::Always, true) => "denied, as nothing permits it".to_owned(),
                    (BoundKind::Always, false) => format!("denied by {}", policies.join(", ")),
                };
                output.line(format_args!("  {}", line(&witness.in_words())))?;
                output.line(format_args!("    {}", paint.dim(line(&is))))?;
            }
            Violation::Undecided { environment, reasons } => {
                let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
                let of = format!("{} on {}", environment.action, environment.resource);
                let text = format!("{of}: it depends on {}", reasons.join(", "));
                output.line(format_args!("  {}", line(&text)))?;
            }
            _ => {}
        }
    }
    Ok(())
}
