//! What a decision is and what it rests on.

use std::fmt;
use std::sync::Arc;

use cedar_policy::Decision;
use smallvec::SmallVec;

use crate::error::cut;
use crate::guard::GuardOutcome;
use crate::number::PolicyNumber;
use crate::policy::PolicyInfo;
use crate::snapshot::Snapshot;

/// A policy that could not be evaluated for a request, or whose guard gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    pub(crate) policy: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl PolicyError {
    pub(crate) fn evaluation(policy: PolicyInfo<'_>, message: &impl fmt::Display) -> Self {
        let message = cut(message);
        Self { policy: policy.id().to_owned(), code: "policy::evaluation", message }
    }

    /// Returns the policy's id.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the stable code of this kind of error: `policy::evaluation` where Cedar could
    /// not evaluate the policy, else a guard's, such as `wasm_rule::deadline`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.code
    }

    /// Returns the reason: Cedar's, or a guard's.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The answer to one request: the decision, the policies that determined it, and errors.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, Request};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User { level: Long }; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"
///         @id("all") permit(principal, action, resource);
///         @id("low") forbid(principal, action, resource) when { principal.level < 2 };"#)
///     .build()?;
/// // Nobody knows this user's level: what cannot be evaluated is on the side of denial.
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// let outcome = engine.decide(&request, &Entities::empty())?;
/// assert_eq!(outcome.decision(), Decision::Deny);
/// assert_eq!(outcome.reasons().map(|policy| policy.id()).collect::<Vec<_>>(), ["low"]);
/// assert_eq!(outcome.errors()[0].policy(), "low");
/// assert_eq!(outcome.errors()[0].code(), "policy::evaluation");
/// assert_eq!(outcome.revision(), engine.revision());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a decision that nobody looks at protects nothing"]
#[derive(Clone)]
pub struct Outcome {
    pub(crate) engine: Arc<Snapshot>,
    pub(crate) decision: Decision,
    pub(crate) determining: SmallVec<[PolicyNumber; 4]>,
    pub(crate) errors: Vec<PolicyError>,
    pub(crate) guards: Vec<GuardOutcome>,
}

impl Outcome {
    /// Returns whether the request is allowed.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// Returns the determining policies, in the order of the policy set.
    ///
    /// On Allow these are all satisfied permits; on Deny all satisfied forbids and, unless
    /// the engine is in exact-Cedar mode, all forbids that could not be evaluated. None
    /// means that nothing permits the request. A guarded policy counts as satisfied if its
    /// guards were asked and it holds; see [`guards`](Self::guards).
    pub fn reasons(&self) -> impl Iterator<Item = PolicyInfo<'_>> {
        self.determining.iter().filter_map(|number| self.engine.policy(*number))
    }

    /// Returns the policies that could not be evaluated, in the order of the policy set.
    #[must_use]
    pub fn errors(&self) -> &[PolicyError] {
        &self.errors
    }

    /// Returns what came of the guards of all policies that Cedar satisfied, in the order of
    /// the policy set and of each policy.
    ///
    /// Forbids come first: their guards are asked unless an unguarded forbid denies. The
    /// permits' are asked if no forbid holds and no unguarded permit does. So an answer that
    /// cannot change any more costs nothing, and which guards were asked does not depend on
    /// the order of policies.
    #[must_use]
    pub fn guards(&self) -> &[GuardOutcome] {
        &self.guards
    }

    /// Returns the revision of the policy set that decided.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.engine.revision
    }
}

/// A decision and one of the policies that determine it.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, Request};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"@id("all") permit(principal, action, resource);"#)
///     .build()?;
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// let ruling = engine.ruling(&request, &Entities::empty())?;
/// assert_eq!(ruling.decision(), Decision::Allow);
/// assert_eq!(ruling.policy().map(|policy| policy.id()), Some("all"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a decision that nobody looks at protects nothing"]
#[derive(Debug, Clone, Copy)]
pub struct Ruling<'e> {
    decision: Decision,
    policy: Option<PolicyInfo<'e>>,
}

impl<'e> Ruling<'e> {
    pub(crate) fn new(decision: Decision, policy: Option<PolicyInfo<'e>>) -> Self {
        Self { decision, policy }
    }

    /// Returns whether the request is allowed.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// Returns one of the policies that [`Outcome::reasons`] would list; none if nothing
    /// permits the request.
    #[must_use]
    pub fn policy(&self) -> Option<PolicyInfo<'e>> {
        self.policy
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("decision", &self.decision)
            .field("reasons", &self.reasons().map(|p| p.id()).collect::<Vec<_>>())
            .field("errors", &self.errors)
            .field("guards", &self.guards)
            .field("revision", &self.revision())
            .finish()
    }
}
