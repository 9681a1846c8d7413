//! Bounds: what must never be allowed, and what must never be denied.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Policy, PolicySet, Schema, ValidationMode, Validator};
use stagedoor_core::Decision;

use crate::compare::some_permit;
use crate::evaluate::applies;
use crate::library::Library;
use crate::policy::ParsedPolicy;
use crate::question::Question;
use crate::schema::Environment;
use crate::search::{SearchOutcome, Side, search_among};
use crate::stack::with_stack;
use crate::witness::Witness;

/// What a bound says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundKind {
    /// No request that it speaks of is allowed.
    Never,
    /// Every request that it speaks of is allowed.
    Always,
}

/// A statement about all requests that a scope and a condition describe.
///
/// # Examples
///
/// ```
/// use stagedoor_analysis::{Bound, BoundKind, Library};
/// use stagedoor_core::Engine;
///
/// let engine = Engine::builder()
///     .schema("s", "entity Group; entity User in [Group]; entity Pod { ns: String };
///         action exec appliesTo { principal: User, resource: Pod };")
///     .policies("p", r#"
///         @id("sre") permit (principal in Group::"sre", action, resource);
///         @id("dev") permit (principal in Group::"dev", action, resource)
///         unless { resource.ns like "prod-*" };"#)
///     .build()?;
/// let library = Library::of(&engine).ok_or("no schema")?;
/// let prod = r#"(principal, action == Action::"exec", resource)
///     when { resource.ns like "prod-*" }"#;
/// let but_sre = format!("{prod} unless {{ principal in Group::\"sre\" }}");
/// assert!(Bound::parse(BoundKind::Never, &but_sre)?.violations(&library)?.is_empty());
/// assert_eq!(Bound::parse(BoundKind::Never, prod)?.violations(&library)?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bound {
    kind: BoundKind,
    policy: Arc<ParsedPolicy>,
    cedar: Policy,
}

/// Why a bound cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoundError {
    /// It is not written as one.
    #[error("it is not `(principal, action, resource) when {{ … }} unless {{ … }}`: {0}")]
    Syntax(String),
    /// It does not fit the schema.
    #[error("it does not fit the schema: {0}")]
    Schema(String),
    /// No request that conforms to the schema is one that it speaks of.
    #[error("it speaks of no request that the schema has")]
    Empty,
    /// A policy cannot be read again.
    #[error(transparent)]
    Policy(#[from] crate::policy::ParseError),
}

/// How a bound does not hold, for one kind of request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Violation {
    /// This request is decided otherwise than the bound says.
    Proved {
        /// The kind of request.
        environment: Arc<Environment>,
        /// The request.
        witness: Box<Witness>,
        /// The policies that determine the decision; none where nothing permits it.
        policies: Vec<String>,
    },
    /// Whether the bound holds was not found out, for these reasons.
    Undecided {
        /// The kind of request.
        environment: Arc<Environment>,
        /// Why.
        reasons: BTreeSet<String>,
    },
}

impl Violation {
    /// Returns whether the bound surely does not hold.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        matches!(self, Self::Proved { .. })
    }
}

impl Bound {
    /// Reads a bound: a policy without its effect, such as
    /// `(principal, action == Action::"delete", resource) when { resource.protected }`.
    ///
    /// # Errors
    ///
    /// [`BoundError::Syntax`].
    pub fn parse(kind: BoundKind, text: &str) -> Result<Self, BoundError> {
        let text = text.trim();
        let text = text.strip_suffix(';').unwrap_or(text);
        if !text.starts_with('(') {
            return Err(BoundError::Syntax("it begins with `(`".to_owned()));
        }
        // In lines of its own: the text may end with a comment.
        let cedar = Policy::parse(None, format!("permit\n{text}\n;"))
            .map_err(|e| BoundError::Syntax(causes(&e)))?;
        let policy = Arc::new(ParsedPolicy::of_tree(cedar.as_ref()));
        Ok(Self { kind, policy, cedar })
    }

    /// Returns what the bound says of its requests.
    #[must_use]
    pub fn kind(&self) -> BoundKind {
        self.kind
    }

    /// Returns where the bound does not hold, or may not: at most one for each kind of request.
    ///
    /// # Errors
    ///
    /// [`BoundError`] if the bound does not fit the schema, or speaks of nothing.
    pub fn violations(&self, library: &Library<'_>) -> Result<Vec<Violation>, BoundError> {
        with_stack(|| self.look(library))
    }

    fn look(&self, library: &Library<'_>) -> Result<Vec<Violation>, BoundError> {
        let Some(own) = library.engine().schema() else { return Err(BoundError::Empty) };
        let set = self.validated(own)?;
        let is_meant = |witness: &Witness| applies(&set, own, witness);
        let schema = library.schema();
        let mut violations = Vec::new();
        let mut speaks = false;
        let matching =
            schema.environments.iter().filter(|env| self.policy.scope.may_match(env, schema));
        for env in matching {
            let mut question = Question::new(schema, env);
            let speaks_of = question.translator().permits(&self.policy);
            if speaks_of.is_false() {
                continue;
            }
            question.require(&speaks_of);
            speaks = true;
            let found = match self.kind {
                BoundKind::Never => {
                    let side = Side { library, wanted: Decision::Allow, is_forbidden: false };
                    let make = || {
                        let mut question = Question::new(schema, env);
                        let speaks_of = question.translator().permits(&self.policy);
                        question.require(&speaks_of);
                        question
                    };
                    some_permit(&make, env, library, &[side], &is_meant)
                }
                BoundKind::Always => self.denied(question, library, env, &is_meant),
            };
            let environment = Arc::clone(env);
            violations.extend(match found {
                SearchOutcome::Nothing => None,
                SearchOutcome::Witness(witness, reasons) => Some(Violation::Proved {
                    environment,
                    witness,
                    policies: reasons.into_iter().flatten().collect(),
                }),
                SearchOutcome::Undecided(reasons) => {
                    Some(Violation::Undecided { environment, reasons })
                }
            });
        }
        if speaks { Ok(violations) } else { Err(BoundError::Empty) }
    }

    /// Looks for a request that is denied: because nothing permits it, or by one of the forbids.
    fn denied(
        &self,
        mut question: Question<'_>,
        library: &Library<'_>,
        env: &Environment,
        is_meant: &dyn Fn(&Witness) -> Result<bool, String>,
    ) -> SearchOutcome {
        let side = |is_forbidden| [Side { library, wanted: Decision::Deny, is_forbidden }];
        let schema = library.schema();
        let first = search_among(&mut question, &side(false), is_meant);
        if matches!(first, SearchOutcome::Witness(..)) {
            return first;
        }
        let mut undecided = match first {
            SearchOutcome::Undecided(reasons) => reasons,
            _ => BTreeSet::new(),
        };
        for number in library.of_effect(stagedoor_core::Effect::Forbid) {
            let policy = match library.parsed(number) {
                Ok(policy) => policy,
                Err(error) => return SearchOutcome::Undecided(BTreeSet::from([error.to_string()])),
            };
            if !policy.scope.may_match(env, schema) {
                continue;
            }
            let mut question = Question::new(schema, env);
            let speaks_of = question.translator().permits(&self.policy);
            let denies = question.translator().forbids(&policy);
            question.require(&speaks_of);
            question.require(&denies);
            match search_among(&mut question, &side(true), is_meant) {
                SearchOutcome::Nothing => {}
                SearchOutcome::Undecided(reasons) => undecided.extend(reasons),
                found => return found,
            }
        }
        if undecided.is_empty() {
            SearchOutcome::Nothing
        } else {
            SearchOutcome::Undecided(undecided)
        }
    }

    /// Returns the bound as the only permit of a set, if it fits the schema.
    fn validated(&self, schema: &Schema) -> Result<PolicySet, BoundError> {
        let refused = |reason: String| BoundError::Schema(reason);
        let set =
            PolicySet::from_policies([self.cedar.clone()]).map_err(|e| refused(e.to_string()))?;
        let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        let first = result.validation_errors().next().map(ToString::to_string);
        first.map_or(Ok(set), |first| Err(refused(first)))
    }
}

/// Returns an error with what caused it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl FromStr for BoundKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "always" => Ok(Self::Always),
            other => Err(format!("`{other}` is neither `never` nor `always`")),
        }
    }
}
