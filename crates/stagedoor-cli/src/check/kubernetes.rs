//! `check kubernetes` and `explain kubernetes`: SubjectAccessReviews.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::value::RawValue;
use stagedoor_core::{Decision, Explanation};
use stagedoor_kubernetes::{Attributes, ReviewError, Reviewer, SubjectAccessReview};
use stagedoor_wire::WireError;

use crate::ending::Ending;
use crate::engine::LoadArgs;
use crate::failure::Failure;
use crate::input::Input;
use crate::narrative::{self, Detail, Narrator};
use crate::output::Output;
use crate::platform::Platform;
use crate::terminal::{Paint, line};

/// Size of a file of reviews, in bytes.
const REVIEW_BYTES: usize = 8 << 20;

/// Answer SubjectAccessReviews: the same come out, with their status.
///
/// Reviews may be YAML documents or JSON objects, any number of them in one file; they come
/// out in the form they came in, or with `--format json` one a line. For people the reasons
/// follow on the standard error.
///
/// Exits with 0 if the request is allowed, with 2 if it is not, with 1 on failure; with
/// 0 if there were several reviews.
#[derive(Debug, Args)]
pub(crate) struct KubernetesArgs {
    /// Policies: directories or files.
    ///
    /// The schema that ships is added unless they bring their own.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    policies: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// SubjectAccessReviews of `authorization.k8s.io/v1`, `-` for the standard input.
    #[arg(long, value_name = "FILE")]
    review: PathBuf,
}

/// Answers what the arguments ask; either with reviews, or with explanations.
pub(crate) fn answer(
    args: &KubernetesArgs,
    output: &mut Output,
    explained: bool,
) -> Result<Ending, Failure> {
    let mut input = Input::default();
    let engine = args.load.load(&args.policies, Some(Platform::Kubernetes), output)?.engine;
    let reviewer = Reviewer::new(engine).map_err(|e| Failure::input(e.to_string()))?;
    let name = Input::name(&args.review);
    let text = input.text(&args.review, REVIEW_BYTES)?;
    let is_json = text.trim_start().starts_with('{');
    let read = if is_json { read_json(&text) } else { SubjectAccessReview::read_all(&text) };
    let reviews = read.map_err(|e| Failure::input(format!("`{name}`: {e}")))?;

    let several = reviews.len() > 1;
    let mut allowed = true;
    for (number, review) in reviews.into_iter().enumerate() {
        if explained {
            allowed = explain(&reviewer, &review, output)?;
            continue;
        }
        let question = question(&review);
        let told = (!output.is_json())
            .then(|| tell(&reviewer, &review, Paint::of(&std::io::stderr()), Detail::Brief));
        let answered = reviewer.answer(review);
        allowed = answered.status.as_ref().is_some_and(|status| status.allowed);
        write(&answered, is_json, number, output)?;
        if let Some(told) = told {
            // In order, where both streams show on one terminal.
            output.flush()?;
            let told = told.unwrap_or_else(|e| refused(&question, &e.error, Paint::none()));
            let _ = writeln!(std::io::stderr(), "{told}");
        }
    }
    Ok(if several || allowed { Ending::Done } else { Ending::Denied })
}

/// Reads JSON objects, one after the other.
fn read_json(text: &str) -> Result<Vec<SubjectAccessReview>, ReviewError> {
    let mut reviews = Vec::new();
    for (number, object) in
        serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().enumerate()
    {
        let document = number + 1;
        let object = object.map_err(|e| ReviewError::Syntax { document, reason: e.to_string() })?;
        let read = SubjectAccessReview::read_all(object.get()).map_err(|error| match error {
            ReviewError::Document { path, reason, .. } => {
                ReviewError::Document { document, path, reason }
            }
            ReviewError::Syntax { reason, .. } => ReviewError::Syntax { document, reason },
            other => other,
        })?;
        reviews.extend(read);
    }
    if reviews.is_empty() { Err(ReviewError::Empty) } else { Ok(reviews) }
}

fn write(
    review: &SubjectAccessReview,
    came_as_json: bool,
    number: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(review);
    }
    let text = if came_as_json {
        serde_json::to_string_pretty(review).map_err(|e| Failure::input(e.to_string()))?
    } else {
        serde_saphyr::to_string(review).map_err(|e| Failure::input(e.to_string()))?
    };
    if number > 0 && !came_as_json {
        output.line("---")?;
    }
    output.line(text.trim_end())
}

/// Prints the explanation of one review; returns whether it is allowed.
fn explain(
    reviewer: &Reviewer,
    review: &SubjectAccessReview,
    output: &mut Output,
) -> Result<bool, Failure> {
    let question = question(review);
    match explanation(reviewer, review) {
        Ok(explanation) => {
            if output.is_json() {
                output.json(&stagedoor_wire::Explanation::of(&explanation, reviewer.engine()))?;
            } else {
                let (engine, paint) = (reviewer.engine(), output.paint());
                let narrator = Narrator { engine, paint, detail: Detail::Full };
                output.line(narrator.tell(&question, &explanation))?;
            }
            Ok(explanation.outcome().decision() == Decision::Allow)
        }
        Err(error) => {
            if output.is_json() {
                let revision = reviewer.engine().revision();
                output.json(&stagedoor_wire::Decision::refused(error, revision))?;
            } else {
                output.line(refused(&question, &error.error, output.paint()))?;
            }
            Ok(false)
        }
    }
}

fn explanation(
    reviewer: &Reviewer,
    review: &SubjectAccessReview,
) -> Result<Explanation, WireError> {
    let refused =
        |error: &dyn std::error::Error| WireError::new("review::refused", error.to_string());
    let vocabulary = reviewer.vocabulary();
    let principal = vocabulary.principal(&review.spec.subject).map_err(|e| refused(&e))?;
    let (request, entities) =
        vocabulary.request(&principal, &review.spec.attributes).map_err(|e| refused(&e))?;
    Ok(reviewer.engine().explain(&request, &entities)?)
}

fn tell(
    reviewer: &Reviewer,
    review: &SubjectAccessReview,
    paint: Paint,
    detail: Detail,
) -> Result<String, WireError> {
    let narrator = Narrator { engine: reviewer.engine(), paint, detail };
    Ok(narrator.tell(&question(review), &explanation(reviewer, review)?))
}

fn refused(question: &str, error: &str, paint: Paint) -> String {
    let denied = narrative::decision(Decision::Deny, paint);
    format!("{denied} {}\n    {}", line(question), line(error))
}

/// Returns what a review asks, in one line.
fn question(review: &SubjectAccessReview) -> String {
    let subject = &review.spec.subject;
    let who = if subject.user.is_empty() { "somebody" } else { &subject.user };
    format!("{who} {}", wish(&review.spec.attributes))
}

/// Returns verb and resource in one line: `get pods/log ledger-0 in payments`.
pub(crate) fn wish(attributes: &Attributes) -> String {
    match attributes {
        Attributes::NonResource(of_path) => format!("{} {}", of_path.verb, of_path.path),
        Attributes::Resource(of) => {
            let mut text = format!("{} {}", of.verb, of.resource);
            let parts = [("/", &of.subresource), (".", &of.group), (" ", &of.name)];
            let parts = parts.into_iter().chain([(" in ", &of.namespace)]);
            for (lead, part) in parts.filter(|(_, part)| !part.is_empty()) {
                text.push_str(lead);
                text.push_str(part);
            }
            text
        }
    }
}
