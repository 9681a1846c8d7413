//! Guards: custom rules that a policy asks before it counts.
//!
//! A policy names rules in an annotation, and gives each its arguments: a line for each, with a value as JSON
//! has it, in which strings may stand in single quotes; or all of them as one JSON object.
//!
//! ```cedar
//! @id("deploy-in-hours")
//! @guard("change-window")
//! @guard_args("
//!   days: ['mon', 'tue']
//!   from: '09:00'
//! ")
//! permit (principal in Group::"sre", action == Action::"deploy", resource);
//! ```
//!
//! It counts only if Cedar satisfies it **and** its guards say yes. Several rules stand in one
//! annotation, since Cedar lets a name occur once: `@guard("change-window, name-convention")`;
//! all must say yes, and `@guard_args` then has the arguments by rule. Rules
//! whose arguments are left out get `{}`.
//!
//! A rule may be pinned to the bytes that it was reviewed as, by their SHA-256:
//! `@guard("change-window@sha256:5f2a…")`. Another version of it keeps the policy from loading.
//!
//! The engine does not know how rules are run: a host implements [`RuleEvaluator`].

mod arguments;
mod binder;

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::entities::Entities;
use crate::number::GuardNumber;
use crate::problem::Problem;
use crate::request::Request;

pub(crate) use binder::{GuardBinder, GuardProblem};

/// The rules that policies may name, and how they are run.
///
/// Given to [`EngineBuilder::rules`](crate::EngineBuilder::rules).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use stagedoor_core::{
///     Decision, Engine, Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal,
///     GuardVerdict, Request, RuleEvaluator,
/// };
///
/// /// Knows one rule: whether the context says that it is a weekday.
/// #[derive(Debug)]
/// struct Rules;
///
/// #[derive(Debug)]
/// struct Weekdays;
///
/// impl RuleEvaluator for Rules {
///     fn guard(&self, rule: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
///         match rule {
///             "weekdays" => Ok(Arc::new(Weekdays)),
///             _ => Err(GuardRefusal::Unknown { known: vec!["weekdays".to_owned()] }),
///         }
///     }
/// }
///
/// impl Guard for Weekdays {
///     fn inputs(&self) -> GuardInputs {
///         GuardInputs { context: true, ..GuardInputs::default() }
///     }
///
///     fn digest(&self) -> &str {
///         "weekdays 1"
///     }
///
///     fn evaluate(&self, request: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
///         let day = request.context.get("day").and_then(|day| day.as_str());
///         let holds = day.is_some_and(|day| day != "Saturday" && day != "Sunday");
///         Ok(GuardAnswer { holds, reason: day.map(|day| format!("it is {day}")) })
///     }
/// }
///
/// let engine = Engine::builder()
///     .rules(Arc::new(Rules))
///     .schema("s.cedarschema", "entity User; entity Doc; action view appliesTo {
///         principal: User, resource: Doc, context: { day: String } };")
///     .policies("p.cedar", r#"
///         @id("work") @guard("weekdays") permit(principal, action, resource);"#)
///     .build()?;
/// let guard = engine.policies().flat_map(|policy| policy.guards()).next().ok_or("a guard")?;
/// assert_eq!((guard.rule(), guard.digest()), ("weekdays", "weekdays 1"));
///
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// let outcome = engine.decide(&request.with_context("day", "Sunday"), &Entities::empty())?;
/// assert_eq!(outcome.decision(), Decision::Deny);
/// let said = outcome.guards()[0].verdict();
/// assert_eq!(said, &GuardVerdict::No(Some("it is Sunday".to_owned())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RuleEvaluator: fmt::Debug + Send + Sync {
    /// Returns a rule with its arguments, ready to be asked. Called while policies are loaded,
    /// once for each different pair.
    ///
    /// `rule` is as the policy names it, see [`RuleReference`]. Where it is pinned to a digest, the
    /// engine holds [`Guard::digest`] to it. `arguments` is a JSON object.
    ///
    /// # Errors
    ///
    /// [`GuardRefusal`]; the policies are then not loaded.
    fn guard(&self, rule: &str, arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal>;

    /// Returns what is wrong with rules that no policy may name, for
    /// [`Engine::warnings`](crate::Engine::warnings): a file that is no rule, say.
    fn warnings(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// How a policy names a rule: `NAME`, or `NAME@sha256:DIGEST`.
///
/// # Examples
///
/// ```
/// use stagedoor_core::RuleReference;
///
/// let reference = RuleReference::parse("rota");
/// assert_eq!((reference.name, reference.sha256), ("rota", None));
/// let reference = RuleReference::parse("rota@sha256:5f2a");
/// assert_eq!((reference.name, reference.sha256), ("rota", Some("5f2a")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleReference<'a> {
    /// The rule's name.
    pub name: &'a str,
    /// The SHA-256 that it must have, in hexadecimal.
    pub sha256: Option<&'a str>,
}

impl<'a> RuleReference<'a> {
    /// Takes a reference apart; whether its parts are well formed is looked at where policies load.
    #[must_use]
    pub fn parse(reference: &'a str) -> Self {
        match reference.split_once("@sha256:") {
            Some((name, digest)) => Self { name, sha256: Some(digest) },
            None => Self { name: reference, sha256: None },
        }
    }
}

/// A rule with its arguments.
///
/// It must be a function of the inputs that it declares: it may be asked once where several
/// policies name it, its answer may be kept, and where an input is not known yet it is not asked.
pub trait Guard: fmt::Debug + Send + Sync {
    /// Returns what the rule looks at.
    fn inputs(&self) -> GuardInputs;

    /// Returns what tells this version of the rule from any other, such as the hash of its code.
    /// It becomes part of [`Engine::revision`](crate::Engine::revision).
    fn digest(&self) -> &str;

    /// Asks the rule about a request.
    ///
    /// # Errors
    ///
    /// [`GuardFailure`] if there is no answer. The guard fails closed then: a permit is off, a
    /// forbid is on.
    fn evaluate(&self, request: &Request, entities: &Entities)
    -> Result<GuardAnswer, GuardFailure>;
}

/// What a rule looks at. The host hands over nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuardInputs {
    /// The principal, with its attributes, tags and ancestors.
    pub principal: bool,
    /// The action's id.
    pub action: bool,
    /// The resource, with its attributes, tags and ancestors.
    pub resource: bool,
    /// The context.
    pub context: bool,
}

/// What a rule answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardAnswer {
    /// Whether the guard says yes.
    pub holds: bool,
    /// Why, in the rule's own words.
    pub reason: Option<String>,
}

/// Why a rule gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GuardFailure {
    /// The stable code of this kind of failure, such as `wasm_rule::deadline`.
    pub code: &'static str,
    /// What happened.
    pub message: String,
}

/// Why a policy cannot be guarded as it asks to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardRefusal {
    /// No rule has this name.
    #[error("there is no rule of this name")]
    Unknown {
        /// The names that there are.
        known: Vec<String>,
    },
    /// The rule does not take these arguments, for this reason.
    #[error("{0}")]
    Arguments(String),
    /// What should be the rule cannot be used, for this reason.
    #[error("{0}")]
    Broken(String),
    /// The rule has another digest than the policy pins.
    #[error("it has the digest sha256:{found}, not sha256:{pinned}")]
    Digest {
        /// The digest that the policy names.
        pinned: String,
        /// The digest that the rule has.
        found: String,
    },
}

/// What came of one guard of one policy that Cedar satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardOutcome {
    pub(crate) policy: String,
    pub(crate) rule: String,
    pub(crate) verdict: GuardVerdict,
}

/// What a guard said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardVerdict {
    /// Yes, for this reason if the rule gave one.
    Yes(Option<String>),
    /// No, for this reason if the rule gave one.
    No(Option<String>),
    /// Nothing: it failed closed.
    Failed(GuardFailure),
    /// Nothing: it was not asked, because the answer could not change any more.
    NotAsked,
}

impl GuardOutcome {
    /// Returns the policy's id.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the rule's name.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Returns what the rule said.
    #[must_use]
    pub fn verdict(&self) -> &GuardVerdict {
        &self.verdict
    }

    pub(crate) fn says_no(&self) -> bool {
        matches!(self.verdict, GuardVerdict::No(_))
    }
}

impl fmt::Display for GuardVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, reason) = match self {
            Self::Yes(reason) => ("yes", reason.as_deref()),
            Self::No(reason) => ("no", reason.as_deref()),
            Self::Failed(failure) => ("failed", Some(failure.message.as_str())),
            Self::NotAsked => ("not asked", None),
        };
        f.write_str(word)?;
        reason.map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// What an engine tells of one guard of a policy.
#[derive(Debug, Clone, Copy)]
pub struct GuardInfo<'a>(pub(crate) &'a BoundGuard);

impl<'a> GuardInfo<'a> {
    /// Returns the rule's name.
    #[must_use]
    pub fn rule(&self) -> &'a str {
        &self.0.rule
    }

    /// Returns the arguments, as a JSON object.
    #[must_use]
    pub fn arguments(&self) -> &'a str {
        &self.0.arguments
    }

    /// Returns what tells this version of the rule from any other.
    #[must_use]
    pub fn digest(&self) -> &'a str {
        self.0.guard.digest()
    }

    /// Returns what the rule looks at.
    #[must_use]
    pub fn inputs(&self) -> GuardInputs {
        self.0.guard.inputs()
    }
}

/// A rule with its arguments, shared by all policies that name this pair.
#[derive(Debug)]
pub(crate) struct BoundGuard {
    /// Tells it from the engine's other guards.
    pub(crate) number: GuardNumber,
    pub(crate) rule: SmolStr,
    pub(crate) arguments: Box<str>,
    pub(crate) guard: Arc<dyn Guard>,
}
