//! What the linter looks for.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LintLevel {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// Certainly not what was meant.
    Error,
}

impl LintLevel {
    /// Returns the level as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Declares the codes, each with its id, level and summary. What there is to say of a code stands in
/// the page of its name in `docs/lint`, whose examples the tests try.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $id:literal, $level:ident, $summary:literal;)+) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LintCode {
            $($(#[doc = $doc])+ $code,)+
        }

        impl LintCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// Returns the name that suppressions and reports use.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$code => $id,)+ }
            }

            /// Returns how much such a finding matters at most.
            #[must_use]
            pub fn level(self) -> LintLevel {
                match self { $(Self::$code => LintLevel::$level,)+ }
            }

            /// Returns what the finding is, in a line.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$code => $summary,)+ }
            }

            /// Returns the page about the code, in Markdown.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$code => include_str!(concat!("../../docs/lint/", $id, ".md")),)+
                }
            }
        }
    };
}

codes! {
    /// A policy that no request satisfies.
    NeverMatches = "never-matches", Error, "the policy can never be satisfied";
    /// A literal that a platform never has.
    Unmatchable = "unmatchable", Warning, "the policy compares with what its platform never has";
    /// A part of a condition that says nothing.
    NeedlessCondition = "needless-condition", Warning, "a part of the condition says nothing";
    /// A permit that a forbid always overrides.
    Shadowed = "shadowed", Warning, "a forbid applies whenever the permit does";
    /// Two policies that say the same.
    Duplicate = "duplicate", Warning, "another policy says the same";
    /// A policy that a wider one makes needless.
    Subsumed = "subsumed", Warning, "a wider policy of the same effect always applies as well";
    /// A permit that leaves principal, action or resource open.
    BroadGrant = "broad-grant", Warning, "a permit leaves the principal, the action or the resource open";
    /// A policy without `@id`.
    NoId = "no-id", Warning, "the policy has no `@id`";
    /// A permit without `@doc`.
    NoDoc = "no-doc", Note, "the permit has no `@doc`";
    /// A policy that cannot become conditions for Backstage.
    NotConditional = "not-conditional", Warning, "Backstage has no rule that says what the policy says";
    /// A guard on a permission that is asked for lists.
    ListGuard = "list-guard", Warning, "a guard stands on a permission that is asked for lists";
    /// Actions of the schema that no permit allows.
    UnreachableAction = "unreachable-action", Note, "no policy lets anybody perform the action";
    /// An entity that a policy names and nobody knows.
    UnknownEntity = "unknown-entity", Warning, "a policy names an entity that neither catalog nor fixtures have";
    /// A group that no policy is about.
    UnusedGroup = "unused-group", Note, "no policy is about a group of the catalog or the fixtures";
    /// A principal that a policy names by an entity id, which is a UID where there is one.
    PrincipalById = "principal-by-id", Warning, "a policy for Kubernetes names a principal by its id, which is the UID";
    /// A forbid on some of the verbs or resources that come to the same.
    PartOfAFamily = "part-of-a-family", Warning, "a forbid for Kubernetes leaves open what comes to the same";
    /// A suppression that suppresses nothing.
    UnusedSuppression = "unused-suppression", Warning, "a suppression suppresses nothing";
    /// A suppression without a reason.
    UnexplainedSuppression = "unexplained-suppression", Warning, "a suppression has no reason";
    /// What else Cedar's validator warns of.
    Validator = "validator", Warning, "Cedar's validator warns of the policy";
}

impl LintCode {
    /// Returns what the finding means, how sure it is, and what to do about it: the page's section
    /// `Why`.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        let (_, why) = self.page().split_once("\n## Why\n").unwrap_or_default();
        why.split("\n## ").next().unwrap_or_default().trim()
    }
}

impl fmt::Display for LintCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for LintCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// A word that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a code of the linter")]
pub struct UnknownLintCode(pub String);

impl FromStr for LintCode {
    type Err = UnknownLintCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|code| code.id() == text);
        found.copied().ok_or_else(|| UnknownLintCode(text.to_owned()))
    }
}
