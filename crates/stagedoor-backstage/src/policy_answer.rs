//! A decision with what led to it.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::criteria::PolicyDecision;
use crate::entity_ref::EntityRefError;

/// A permission as Backstage states it to its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionQuery<'a> {
    /// `permission.name`
    pub name: &'a str,
    /// `permission.attributes.action`, if it is stated.
    pub action: Option<&'a str>,
    /// `permission.resourceType`; none for a basic permission.
    pub resource_type: Option<&'a str>,
}

/// An answer to Backstage, with what an audit wants to know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PolicyAnswer(pub(crate) Arc<AnswerInner>);

#[derive(Debug)]
pub(crate) struct AnswerInner {
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

    /// Returns why the decision is narrower than the policies, and what was odd about the
    /// question: an unknown permission, a reference that is none.
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
    Unsupported,
    /// Conditions that are too large for Backstage or its database, and are cut.
    OverBudget,
    /// A resource type without rules.
    NoRules,
    /// A guard that looks at the resource, which a list is asked about without.
    Guarded,
    /// A guard that looks at the context, which is empty in Backstage.
    NoContext,
    /// A permission that is not in the table.
    UnknownPermission,
    /// A permission that is known with another action, or about other resources.
    PermissionMismatch,
    /// A permission that hangs on the resource, asked without saying so.
    NeedsResource,
    /// What a plugin tells of its permissions, and cannot be taken.
    PluginMetadata,
    /// A question of nobody.
    NoUser,
    /// A reference of a user that is none.
    UnreadableReference,
    /// Groups that are above each other.
    GroupCircle,
}

impl FindingCode {
    /// Returns a stable name, such as `conditions::unsupported`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "conditions::unsupported",
            Self::OverBudget => "conditions::over-budget",
            Self::NoRules => "conditions::no-rules",
            Self::Guarded => "conditions::guarded",
            Self::NoContext => "conditions::no-context",
            Self::UnknownPermission => "permission::unknown",
            Self::PermissionMismatch => "permission::mismatch",
            Self::NeedsResource => "permission::needs-resource",
            Self::PluginMetadata => "permission::metadata",
            Self::NoUser => "user::none",
            Self::UnreadableReference => "user::reference",
            Self::GroupCircle => "groups::circle",
        }
    }
}

/// Something that makes an answer narrower than the policies, or that is odd about what was
/// asked. Where policies cannot become conditions, a `permit` loses that part and a `forbid`
/// gains it.
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

impl Finding {
    /// Returns a finding that is about no policy.
    pub(crate) fn general(code: FindingCode, message: String, help: impl Into<String>) -> Self {
        let help = help.into();
        Self { code, policy: None, file: None, line: None, clause: None, message, help }
    }

    /// What is told where nobody is signed in.
    pub(crate) fn nobody() -> Self {
        let help = "turn Backstage's authentication on, or say who its guests are \
                    (`permission.stagedoor.guest`)";
        Self::general(FindingCode::NoUser, "nobody is signed in: denied".to_owned(), help)
    }

    /// What is told of a plugin's metadata that could not be taken.
    pub(crate) fn plugin_remark(remark: &str) -> Self {
        let help =
            "what is not known is denied: list it in a `*.permissions.yaml`, or update the plugin";
        Self::general(FindingCode::PluginMetadata, remark.to_owned(), help)
    }

    /// What is told of a user whose own reference is none.
    pub(crate) fn unreadable_user(error: &EntityRefError) -> Self {
        let help = "let the sign-in resolver issue a full reference for the user";
        Self::general(FindingCode::UnreadableReference, format!("{error}: denied"), help)
    }
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
