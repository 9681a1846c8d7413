//! `check kubernetes` and `explain kubernetes`: SubjectAccessReviews, AdmissionReviews, manifests.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_core::{Decision, Explanation};
use stagedoor_kubernetes::admission::{AdmissionRequest, ManifestOperation, reviews_of_manifests};
use stagedoor_kubernetes::conditional::{
    ConditionalDecision, ConditionalReviewer, StatusFields, status_fields,
};
use stagedoor_kubernetes::{
    ModeCeiling, Review, Reviewer, Ruling, Subject, SubjectAccessReview, SubjectAccessReviewStatus,
    UndecidedError, UnknownMode,
};
use stagedoor_source::PolicySet;
use stagedoor_wire::WireError;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::load::LoadArgs;
use crate::narrative::{Detail, Narrator};
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};
use crate::terminal::{Paint, line};

/// Size of a file of reviews or manifests, in bytes.
const REVIEW_BYTES: usize = 8 << 20;

/// Answer SubjectAccessReviews and AdmissionReviews: the same come out, with their answer.
///
/// Reviews may be YAML documents or JSON objects, any number of them in one file; they come
/// out in the form they came in, or with `--format json` one a line. For people the reasons
/// follow on the standard error. Of manifests the AdmissionReviews are made that kube-apiserver
/// would send. The answers are those of `serve kubernetes`.
///
/// Exits with 0 if the request is allowed, with 2 if it is not, with 1 on failure; with
/// 0 if there were several reviews. With manifests it exits with 2 if one of them is refused.
#[derive(Debug, Args)]
pub(crate) struct KubernetesArgs {
    /// Policies: directories or files.
    ///
    /// The schemas that ship are added unless they bring their own.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    policies: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// SubjectAccessReviews of `authorization.k8s.io` and AdmissionReviews of
    /// `admission.k8s.io/v1`, `-` for the standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "manifest")]
    review: Option<PathBuf>,

    /// Manifests to decide about, as admission does: YAML or JSON, `-` for the standard input.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "review")]
    manifest: Vec<PathBuf>,

    /// What is done with the manifests.
    #[arg(long, value_enum, default_value_t = Operation::Create, requires = "manifest")]
    operation: Operation,

    /// Who does it: a user name.
    #[arg(long, value_name = "NAME", default_value = "kubernetes-admin", requires = "manifest")]
    user: String,

    /// A group of theirs; `system:authenticated` is added.
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "manifest")]
    group: Vec<String>,

    #[command(flatten)]
    modes: ModeArgs,

    /// Answer as `serve kubernetes --experimental-conditional` does.
    #[arg(long)]
    experimental_conditional: bool,

    /// Answer SubjectAccessReviews as `serve kubernetes --no-opinion-denies` does.
    #[arg(long)]
    no_opinion_denies: bool,
}

/// How much the policies of directories count.
#[derive(Debug, Args)]
pub(crate) struct ModeArgs {
    /// The most that the policies below a path count: `PATH=audit`, `PATH=warn`.
    ///
    /// What a policy says of itself by `@mode` counts if it is less.
    #[arg(long, value_name = "PATH=MODE", num_args = 1.., value_parser = ceiling)]
    mode: Vec<ModeCeiling>,
}

impl ModeArgs {
    pub(crate) fn ceilings(&self) -> &[ModeCeiling] {
        &self.mode
    }
}

fn ceiling(text: &str) -> Result<ModeCeiling, String> {
    let (path, mode) = text.rsplit_once('=').ok_or("give `PATH=MODE`")?;
    let mode = mode.parse().map_err(|e: UnknownMode| e.to_string())?;
    Ok(ModeCeiling::new(path, mode))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    Create,
    Update,
    Delete,
}

/// What answers.
struct Responder {
    reviewer: Reviewer,
    conditional: Option<ConditionalReviewer>,
    no_opinion_denies: bool,
}

impl Responder {
    /// Returns what `serve kubernetes` answers.
    fn status(
        &self,
        review: &SubjectAccessReview,
    ) -> (SubjectAccessReviewStatus, Option<ConditionalDecision>) {
        let Self { reviewer, conditional, no_opinion_denies } = self;
        let spec = &review.spec;
        let (status, conditions) = match conditional {
            Some(conditional) => {
                let answer = conditional.decide(reviewer, spec);
                (answer.status, answer.conditions)
            }
            None => (reviewer.ruling(&spec.subject, &spec.attributes).into(), None),
        };
        let status = if *no_opinion_denies && conditions.is_none() {
            status.without_opinion_denied()
        } else {
            status
        };
        (status, conditions)
    }
}

impl KubernetesArgs {
    fn answering(&self, input: &mut Input, output: &Output) -> Result<Responder, Failure> {
        let failed = |error: String| Failure::input(error);
        let engine = if self.experimental_conditional {
            let sources = self.load.sources(&self.policies, &[], input)?;
            let limits = self.load.limits()?;
            let mut platforms = PLATFORMS;
            let own = platforms.iter_mut().find(|p| p.name == Platform::Kubernetes.name());
            if let Some(schema) = own.and_then(|own| own.schemas.to_mut().first_mut()) {
                let extended = stagedoor_kubernetes::conditional::schema();
                schema.text = extended.map_err(|e| failed(e.to_string()))?.into();
            }
            let set = PolicySet::of(sources, &platforms, &[Platform::Kubernetes.name()], &limits);
            self.load.build(set, output)?.engine
        } else {
            self.load.load(&self.policies, Some(Platform::Kubernetes), output)?.engine
        };
        let reviewer = Reviewer::new(engine)
            .and_then(|reviewer| reviewer.with_ceilings(self.modes.ceilings()))
            .map_err(|e| failed(e.to_string()))?;
        let conditional = ConditionalReviewer::new(&reviewer).map_err(|e| failed(e.to_string()))?;
        if !self.experimental_conditional
            && let Some(policy) = conditional.unheard()
        {
            let message = format!(
                "policy `{policy}` depends on the object, which authorization does not know"
            );
            return Err(failed(message).with_help(
                "write it for `k8s::admission::Action`, or give `--experimental-conditional`",
            ));
        }
        let conditional = Some(conditional)
            .filter(|conditional| self.experimental_conditional && conditional.is_needed());
        Ok(Responder { reviewer, conditional, no_opinion_denies: self.no_opinion_denies })
    }

    /// Returns who handles manifests.
    fn subject(&self) -> Subject {
        let subject = Subject::new(&self.user).with_group("system:authenticated");
        self.group.iter().fold(subject, |subject, group| subject.with_group(group))
    }
}

/// Answers what the arguments ask; either with reviews, or with explanations.
pub(crate) fn answer(
    args: &KubernetesArgs,
    output: &mut Output,
    explained: bool,
) -> Result<Ending, Failure> {
    let mut input = Input::default();
    let answering = args.answering(&mut input, output)?;
    let Some(path) = &args.review else { return manifests(args, &answering, output, explained) };
    let name = Input::name(path);
    let text = input.text(path, REVIEW_BYTES)?;
    let is_json = text.trim_start().starts_with('{');
    let reviews = Review::read_all(&text).map_err(|e| Failure::input(format!("`{name}`: {e}")))?;

    let several = reviews.len() > 1;
    let mut allowed = true;
    for (number, review) in reviews.into_iter().enumerate() {
        allowed = match review {
            Review::SubjectAccess(review) if explained => explain(&answering, &review, output)?,
            Review::SubjectAccess(review) => {
                access_review(&answering, *review, is_json, number, output)?
            }
            Review::Admission(json) => {
                let shown = AnswerFormat { explained, is_json, number, question: None };
                admission_review(&answering.reviewer, &json, shown, output)?
            }
            _ => return Err(Failure::input(format!("`{name}`: a review of a kind to come"))),
        };
    }
    Ok(if several || allowed { Ending::Done } else { Ending::Denied })
}

fn access_review(
    answering: &Responder,
    review: SubjectAccessReview,
    is_json: bool,
    number: usize,
    output: &mut Output,
) -> Result<bool, Failure> {
    let reviewer = &answering.reviewer;
    let question = question(&review);
    let (status, conditions) = answering.status(&review);
    let conditions = status_fields(review.spec.conditions, conditions.as_ref());
    let told = (!output.is_json())
        .then(|| tell(reviewer, &review, Paint::of(&std::io::stderr()), Detail::Brief));
    let allowed = status.allowed;
    write(&with_conditions(&review.with_status(status), &conditions), is_json, number, output)?;
    if let Some(told) = told {
        // In order, where both streams show on one terminal.
        output.flush()?;
        let told = told.unwrap_or_else(|e| refused(&question, &e.error, Paint::none()));
        let _ = writeln!(std::io::stderr(), "{told}");
    }
    Ok(allowed)
}

/// Decides about manifests as admission does.
fn manifests(
    args: &KubernetesArgs,
    answering: &Responder,
    output: &mut Output,
    explained: bool,
) -> Result<Ending, Failure> {
    let operation = match args.operation {
        Operation::Create => ManifestOperation::Create,
        Operation::Update => ManifestOperation::Update,
        Operation::Delete => ManifestOperation::Delete,
    };
    let (mut input, subject) = (Input::default(), args.subject());
    let (mut number, mut refused) = (0, false);
    for path in &args.manifest {
        let name = Input::name(path);
        let text = input.text(path, REVIEW_BYTES)?;
        let reviews = reviews_of_manifests(&text, operation, &subject)
            .map_err(|e| Failure::input(format!("`{name}`: {e}")))?;
        for review in reviews {
            if let Some(guessed) = &review.guessed {
                output
                    .remark(&format!("`{name}`: the resource `{guessed}` is a guess by the kind"));
            }
            let question = format!("{} {}", args.user, review.question);
            let shown =
                AnswerFormat { explained, is_json: false, number, question: Some(question) };
            refused |= !admission_review(&answering.reviewer, &review.json, shown, output)?;
            number += 1;
        }
    }
    Ok(if refused { Ending::Denied } else { Ending::Done })
}

/// How an answer is shown.
struct AnswerFormat {
    explained: bool,
    is_json: bool,
    number: usize,
    /// What is asked, of a manifest.
    question: Option<String>,
}

fn admission_review(
    reviewer: &Reviewer,
    json: &str,
    shown: AnswerFormat,
    output: &mut Output,
) -> Result<bool, Failure> {
    let request = AdmissionRequest::from_review(json).map_err(|e| Failure::input(e.to_string()))?;
    let is_manifest = shown.question.is_some();
    let question = shown.question.unwrap_or_else(|| {
        let (who, what) = (&request.user_info.username, request.operation.to_lowercase());
        format!("{who} {what} {} {}", request.resource.resource, request.name)
    });
    let question = question.trim_end();
    if shown.explained {
        let ruling = reviewer.admission_ruling(&request);
        let explanation = reviewer.explain_admission(&request).map_err(|e| undecided(&e));
        tell_explanation(reviewer, question, explanation, AnswerExtras::of(&ruling), output)?;
        return Ok(ruling.allowed);
    }
    let reply = reviewer.admission(&request);
    // Of a manifest people want the words, not the review that was made of it.
    if output.is_json() || !is_manifest {
        write(&reply, shown.is_json, shown.number, output)?;
    }
    if output.is_json() {
        return Ok(reply.response.allowed);
    }
    output.flush()?;
    let paint = Paint::of(&std::io::stderr());
    let decision = if reply.response.allowed { Decision::Allow } else { Decision::Deny };
    let mut told = format!("{} {}", paint.decision(decision), line(question));
    let status = reply.response.status.as_ref().map(|status| status.message.as_str());
    let error = reply.response.audit_annotations.get("evaluation-error").map(String::as_str);
    let warnings = reply.response.warnings.iter().map(String::as_str);
    for text in status.into_iter().chain(error).chain(warnings) {
        told.push_str(&format!("\n    {}", line(text)));
    }
    let _ = writeln!(std::io::stderr(), "{told}");
    Ok(reply.response.allowed)
}

/// Returns the members of what is written as an object.
fn object(
    value: serde_json::Result<serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    match value {
        Ok(serde_json::Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    }
}

/// Returns a review with its answer, and with the conditions on which that hangs.
fn with_conditions(
    review: &SubjectAccessReview,
    conditions: &StatusFields,
) -> serde_json::Map<String, serde_json::Value> {
    let mut review = object(serde_json::to_value(review));
    if let Some(status) = review.get_mut("status").and_then(serde_json::Value::as_object_mut) {
        status.extend(object(serde_json::to_value(conditions)));
    }
    review
}

fn write(
    review: &impl Serialize,
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

/// What the answer has that the policies that decide do not explain.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerExtras {
    /// The policies that would forbid it, were they enforced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_enforced: Vec<String>,
    /// What those of them say that warn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The answer, where it depends on the object that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    depends: Option<String>,
}

impl AnswerExtras {
    fn of(ruling: &Ruling) -> Self {
        let (not_enforced, warnings) = (ruling.unenforced.clone(), ruling.warnings.clone());
        Self { not_enforced, warnings, depends: None }
    }
}

/// Prints the explanation of one review; returns whether it is allowed.
fn explain(
    answering: &Responder,
    review: &SubjectAccessReview,
    output: &mut Output,
) -> Result<bool, Failure> {
    let (reviewer, spec) = (&answering.reviewer, &review.spec);
    let ruling = reviewer.ruling(&spec.subject, &spec.attributes);
    let (status, conditions) = answering.status(review);
    let is_other =
        conditions.is_some() || (status.allowed, status.denied) != (ruling.allowed, ruling.denied);
    let mut besides = AnswerExtras::of(&ruling);
    besides.depends = is_other.then_some(status.reason);
    let explanation = explanation(reviewer, review);
    tell_explanation(reviewer, &question(review), explanation, besides, output)?;
    Ok(status.allowed)
}

/// Prints an explanation, or why there is none.
fn tell_explanation(
    reviewer: &Reviewer,
    question: &str,
    explanation: Result<Explanation, WireError>,
    besides: AnswerExtras,
    output: &mut Output,
) -> Result<(), Failure> {
    match explanation {
        Ok(explanation) if output.is_json() => {
            let explanation = stagedoor_wire::Explanation::of(&explanation, reviewer.engine());
            let mut told = object(serde_json::to_value(explanation));
            told.extend(object(serde_json::to_value(besides)));
            output.json(&told)
        }
        Ok(explanation) => {
            let (engine, paint) = (reviewer.engine(), output.paint());
            let narrator = Narrator { engine, paint, detail: Detail::Full };
            output.line(narrator.tell(question, &explanation))?;
            if let Some(depends) = besides.depends {
                output.line(format_args!("  {}", line(&depends)))?;
            }
            for policy in besides.not_enforced {
                output.line(format_args!("  not enforced: `{}` would forbid it", line(&policy)))?;
            }
            Ok(())
        }
        Err(error) if output.is_json() => {
            let revision = reviewer.engine().revision();
            output.json(&stagedoor_wire::Decision::refused(error, revision))
        }
        Err(error) => output.line(refused(question, &error.error, output.paint())),
    }
}

fn explanation(
    reviewer: &Reviewer,
    review: &SubjectAccessReview,
) -> Result<Explanation, WireError> {
    reviewer.explain(&review.spec.subject, &review.spec.attributes).map_err(|e| undecided(&e))
}

fn undecided(error: &UndecidedError) -> WireError {
    WireError::new("review::refused", error.to_string())
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
    let denied = paint.decision(Decision::Deny);
    format!("{denied} {}\n    {}", line(question), line(error))
}

/// Returns what a review asks, in one line.
fn question(review: &SubjectAccessReview) -> String {
    let subject = &review.spec.subject;
    let who = if subject.user.is_empty() { "somebody" } else { &subject.user };
    format!("{who} {}", review.spec.attributes)
}
