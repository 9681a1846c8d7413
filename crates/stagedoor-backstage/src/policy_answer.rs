//! A decision with what led to it.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::criteria::PolicyDecision;

/// A permission as Backstage states it to its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedPermission<'a> {
    /// `permission.name`
    pub name: &'a str,
    /// `permission.attributes.action`, if it is stated.
    pub action: Option<&'a str>,
    /// `permission.resourceType`; none for a basic permission.
    pub resource_type: Option<&'a str>,
}

/// An answer to Backstage, with what an audit wants to know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PolicyAnswer(pub(crate) Arc<Answered>);

#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) decision: PolicyDecision,
    pub(crate) reasons: Vec<SmolStr>,
    pub(crate) errors: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) revision: Arc<str>,
}

impl PolicyAnswer {
    /// Returns the decision.
    #[must_use]
    pub fn decision(&self) -> &PolicyDecision {
        &self.0.decision
    }

    /// Returns the ids of the policies that lead to it: those that apply to every resource,
    /// and for conditions those that apply to some.
    pub fn reasons(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.reasons.iter().map(SmolStr::as_str)
    }

    /// Returns why the permission was denied without asking policies, and the policies that
    /// could not be evaluated.
    #[must_use]
    pub fn errors(&self) -> &[String] {
        &self.0.errors
    }

    /// Returns where the decision is narrower than the policies, since Backstage has no rule
    /// that says what they say.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0.findings
    }

    /// Returns the revision of the policies that decided.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.0.revision
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingCode {
    /// A clause that none of the resource type's rules can say.
    NotSayable,
    /// Conditions that are too large for Backstage or its database.
    OverBudget,
    /// A resource type without rules.
    NoRules,
    /// A guard that looks at the resource, which a list is asked about without.
    Guarded,
    /// A guard that looks at the context, which is empty in Backstage.
    NoContext,
}

impl FindingCode {
    /// Returns a stable name, such as `conditions::not-sayable`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSayable => "conditions::not-sayable",
            Self::OverBudget => "conditions::over-budget",
            Self::NoRules => "conditions::no-rules",
            Self::Guarded => "conditions::guarded",
            Self::NoContext => "conditions::no-context",
        }
    }
}

/// Something that keeps policies from becoming conditions. The answer is then the closed
/// one: a `permit` loses that part, a `forbid` gains it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub code: FindingCode,
    /// The policy, where one is meant.
    pub policy: Option<SmolStr>,
    /// The policy's file.
    pub file: Option<String>,
    /// The line at which the policy starts there.
    pub line: Option<usize>,
    /// The clause, in Cedar.
    pub clause: Option<String>,
    /// What is the matter, and what the answer is for it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "policy `{policy}`: ")?;
        }
        f.write_str(&self.message)
    }
}
