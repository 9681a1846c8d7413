//! Bounds: what must never be allowed, and what must never be denied.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Policy, PolicySet, Schema, ValidationMode, Validator};
use cedar_policy_core::ast::EntityUID;
use stagedoor_core::{Decision, Effect};

use crate::compare::some_permit;
use crate::evaluate::applies;
use crate::formula::Formula;
use crate::library::Library;
use crate::policy::ParsedPolicy;
use crate::question::Question;
use crate::schema::{Environment, SchemaView};
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
    /// The action that must be allowed as well for the bound to speak of a request.
    if_allowed: Option<EntityUID>,
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
    /// What is to be allowed as well is no action.
    #[error("`{0}` is not an action of the schema; write one as `Action::\"read\"`")]
    Action(String),
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
        Ok(Self { kind, policy, cedar, if_allowed: None })
    }

    /// Restricts the bound to requests that would be allowed with this action, such as
    /// `Action::"write"`: whoever may write may read.
    ///
    /// # Errors
    ///
    /// [`BoundError::Action`].
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_analysis::{Bound, BoundKind, Library};
    /// use stagedoor_core::Engine;
    ///
    /// let engine = Engine::builder()
    ///     .schema("s", "entity User; entity Doc { owner: User, draft: Bool };
    ///         action read, write appliesTo { principal: User, resource: Doc };")
    ///     .policies("p", r#"
    ///         @id("own") permit (principal, action, resource) when { resource.owner == principal };
    ///         @id("draft") forbid (principal, action == Action::"read", resource)
    ///         when { resource.draft };"#)
    ///     .build()?;
    /// let library = Library::of(&engine).ok_or("no schema")?;
    /// let reads = Bound::parse(BoundKind::Always, r#"(principal, action == Action::"read", resource)"#)?;
    /// let whoever_writes = reads.if_allowed(r#"Action::"write""#)?;
    /// assert_eq!(whoever_writes.violations(&library)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn if_allowed(mut self, action: &str) -> Result<Self, BoundError> {
        let action: EntityUID =
            action.parse().map_err(|_| BoundError::Action(action.to_owned()))?;
        self.if_allowed = Some(action);
        Ok(self)
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
        if let Some(action) = self.if_allowed.as_ref().filter(|a| !schema.actions.contains_key(a)) {
            return Err(BoundError::Action(action.to_string()));
        }
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
            let environment = Arc::clone(env);
            let given = match self.given(library, env) {
                Given::Nothing => continue,
                // Nobody may do what must be allowed as well.
                Given::Never => {
                    speaks = true;
                    continue;
                }
                Given::Unknown(reason) => {
                    speaks = true;
                    let reasons = BTreeSet::from([reason]);
                    violations.push(Violation::Undecided { environment, reasons });
                    continue;
                }
                Given::If(given) => Some(given),
                Given::Always => None,
            };
            speaks = true;
            let found = match self.kind {
                BoundKind::Never => {
                    let sides = sides(Side::new(library, Decision::Allow), given.as_ref());
                    let make = || self.question(schema, env, given.as_ref());
                    some_permit(&make, env, library, &sides, &is_meant)
                }
                BoundKind::Always => self.denied(library, env, given.as_ref(), &is_meant),
            };
            violations.extend(match found {
                SearchOutcome::Nothing => None,
                SearchOutcome::Witness(witness, reasons) => Some(Violation::Proved {
                    environment,
                    witness,
                    policies: reasons.into_iter().next().unwrap_or_default(),
                }),
                SearchOutcome::Undecided(reasons) => {
                    Some(Violation::Undecided { environment, reasons })
                }
            });
        }
        if speaks { Ok(violations) } else { Err(BoundError::Empty) }
    }

    /// Returns a question about the requests that the bound speaks of.
    fn question<'q>(
        &self,
        schema: &'q SchemaView,
        env: &'q Environment,
        given: Option<&GivenAction<'_>>,
    ) -> Question<'q> {
        let mut question = Question::new(schema, env);
        let speaks_of = question.translator().permits(&self.policy);
        question.require(&speaks_of);
        if let Some(given) = given {
            let mut translator = question.translator_about(given.env);
            let any: Vec<Formula> =
                given.permits.iter().map(|policy| translator.permits(policy)).collect();
            let allowed = Formula::any(any);
            question.require(&allowed);
        }
        question
    }

    /// Returns what must be allowed as well, for requests of an environment.
    fn given<'l>(&self, library: &'l Library<'l>, env: &Environment) -> Given<'l> {
        let Some(action) = &self.if_allowed else { return Given::Always };
        let schema = library.schema();
        let is_same = |other: &&Arc<Environment>| {
            other.action == *action
                && other.principal == env.principal
                && other.resource == env.resource
        };
        let Some(other) = schema.environments.iter().find(is_same) else { return Given::Nothing };
        if other.context != env.context {
            let (one, other) = (&env.action, &other.action);
            return Given::Unknown(format!("the contexts of `{one}` and `{other}` differ"));
        }
        let mut permits = Vec::new();
        for number in library.of_effect(Effect::Permit) {
            match library.parsed(number) {
                Ok(policy) if policy.scope.may_match(other, schema) => permits.push(policy),
                Ok(_) => {}
                Err(error) => return Given::Unknown(error.to_string()),
            }
        }
        if permits.is_empty() {
            return Given::Never;
        }
        Given::If(GivenAction { library, env: other, permits })
    }

    /// Looks for a request that is denied: because nothing permits it, or by one of the forbids.
    fn denied(
        &self,
        library: &Library<'_>,
        env: &Environment,
        given: Option<&GivenAction<'_>>,
        is_meant: &dyn Fn(&Witness) -> Result<bool, String>,
    ) -> SearchOutcome {
        let side = |is_forbidden| {
            sides(Side { is_forbidden, ..Side::new(library, Decision::Deny) }, given)
        };
        let schema = library.schema();
        let first = search_among(&mut self.question(schema, env, given), &side(false), is_meant);
        if matches!(first, SearchOutcome::Witness(..)) {
            return first;
        }
        let mut undecided = match first {
            SearchOutcome::Undecided(reasons) => reasons,
            _ => BTreeSet::new(),
        };
        for number in library.of_effect(Effect::Forbid) {
            let policy = match library.parsed(number) {
                Ok(policy) => policy,
                Err(error) => return SearchOutcome::Undecided(BTreeSet::from([error.to_string()])),
            };
            if !policy.scope.may_match(env, schema) {
                continue;
            }
            let mut question = self.question(schema, env, given);
            let denies = question.translator().forbids(&policy);
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

/// What is known of an action that must be allowed as well.
enum Given<'l> {
    /// There is none.
    Always,
    /// The schema has no such request.
    Nothing,
    /// No policy permits it.
    Never,
    /// It is allowed for some.
    If(GivenAction<'l>),
    /// Whether it is cannot be asked, for this reason.
    Unknown(String),
}

/// An action that must be allowed as well.
struct GivenAction<'l> {
    library: &'l Library<'l>,
    env: &'l Environment,
    /// Those that may apply to it, whatever guards say.
    permits: Vec<Arc<ParsedPolicy>>,
}

/// Returns what decides: the bound's own side first.
fn sides<'s>(own: Side<'s>, given: Option<&GivenAction<'s>>) -> Vec<Side<'s>> {
    let as_well = given
        .map(|given| Side { about: Some(given.env), ..Side::new(given.library, Decision::Allow) });
    std::iter::once(own).chain(as_well).collect()
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
