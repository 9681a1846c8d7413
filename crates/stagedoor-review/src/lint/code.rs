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

/// Declares the codes, each with its id, level, summary and explanation.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $id:literal, $level:ident, $summary:literal, $explanation:literal;)+) => {
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

            /// Returns what the finding means, how sure it is, and what to do about it.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$code => $explanation,)+ }
            }
        }
    };
}

codes! {
    /// A policy that no request satisfies.
    NeverMatches = "never-matches", Error, "the policy can never be satisfied",
"Two of its conditions contradict each other, such as `resource.kind == \"api\"` beside
`resource.kind == \"component\"`, or Cedar's validator has found that no request that conforms to
the schema satisfies it. A permit like this grants nothing, a forbid protects nothing.

Sure: what is compared is what Cedar compares.

Often an `&&` stands where `||` was meant. Write `[\"api\", \"component\"].contains(resource.kind)`.";
    /// A permit that a forbid always overrides.
    Shadowed = "shadowed", Warning, "a forbid applies whenever the permit does",
"Every request that satisfies the permit also satisfies the forbid that is named, or makes it fail,
which denies as well. The permit never decides anything.

Sure: the forbid's scope covers the permit's in every combination of types that the schema allows,
and each condition of the forbid follows from a condition of the permit.

Narrow the forbid (`unless { … }`), or drop the permit.";
    /// Two policies that say the same.
    Duplicate = "duplicate", Warning, "another policy says the same",
"Both have the same effect, scope and conditions, whatever their order and spelling. A later edit
of one will seem to do nothing, since the other still decides.

Sure for permits. For forbids whose conditions stand in another order it is marked as heuristic:
a forbid that cannot be evaluated denies, and the order decides what is evaluated.

Drop one of them.";
    /// A policy that a wider one makes needless.
    Subsumed = "subsumed", Warning, "a wider policy of the same effect always applies as well",
"Whenever this policy is satisfied, the one that is named is satisfied too, so this one changes no
decision. Whoever narrows it later will wonder why nothing happens.

Sure unless it is marked as heuristic: a condition that cannot be evaluated (an overflow, an entity
that is not there) could make the difference then.

Drop this policy, or narrow the wider one.";
    /// A permit that leaves principal, action or resource open.
    BroadGrant = "broad-grant", Warning, "a permit leaves the principal, the action or the resource open",
"The permit constrains, neither in its scope nor in a condition, who asks (everybody may), what they
do (every action, those that a later version of the schema adds included), or what they do it to
(resources of every type). If it constrains none of the three it permits everything to everybody,
which is an error.

Name a group, the actions and a type of resources; or suppress the finding and say why.";
    /// A policy without `@id`.
    NoId = "no-id", Warning, "the policy has no `@id`",
"Decisions, explanations and audit records name policies by their id. Without `@id` it is Cedar's
positional one (`policy0`), which explains nothing and changes when a policy is put before it.

Add `@id(\"who-may-what\")`.";
    /// A permit without `@doc`.
    NoDoc = "no-doc", Note, "the permit has no `@doc`",
"A sentence in `@doc` says what the permit is for; explanations and the report show it beside the
decision.

Add `@doc(\"Owners delete what they own.\")`.";
    /// A policy that cannot become conditions for Backstage.
    NotConditional = "not-conditional", Warning, "Backstage has no rule that says what the policy says",
"Backstage asks about permissions on resources without saying which resource is meant, and filters
by rules of the plugin that owns them. What no rule can say is left out on the closed side: a permit
loses that part, a forbid gains it.

Sure: it is what Backstage will be answered.

Say it with the attributes that have rules, or describe the plugin's rules in a
`*.permissions.yaml` beside the policies.";
    /// A guard on a permission that is asked for lists.
    ListGuard = "list-guard", Warning, "a guard stands on a permission that is asked for lists",
"A `@guard` is a rule that looks at one request. Where a list is asked for, the resource is not
known, and a guard that needs it cannot run: a permit then drops out, a forbid denies.

Heuristic: a guard that needs nothing of the resource runs all the same.

Guard the permissions that are asked for one resource, and say in Cedar what lists are to hold.";
    /// Actions of the schema that no permit allows.
    UnreachableAction = "unreachable-action", Note, "no policy lets anybody perform the action",
"The schema declares it, and no permit that could ever decide covers it. Requests for it are always
denied.

Sure, unless policies are added elsewhere.

Permit it to somebody, or take it out of a schema of your own.";
    /// An entity that a policy names and nobody knows.
    UnknownEntity = "unknown-entity", Warning, "a policy names an entity that neither catalog nor fixtures have",
"The validator checks types, not ids: a misspelt group is a group without members, so a permit for
it grants nothing and a forbid for it protects nothing.

Heuristic: the catalog and the fixtures may not be all that there is. It is a warning where the name
is nearly that of an entity that exists, else a note.

Correct the name, or add the entity to the fixtures.";
    /// A group that no policy is about.
    UnusedGroup = "unused-group", Note, "no policy is about a group of the catalog or the fixtures",
"Neither the group nor one that it belongs to is named in a policy, and it owns nothing. Its members
have what everybody has.

Heuristic: policies may reach it by attributes.";
    /// A suppression that suppresses nothing.
    UnusedSuppression = "unused-suppression", Warning, "a suppression suppresses nothing",
"What it was written for is no longer found, or its code is misspelt. It would hide the finding if
it came back.

Remove it.";
    /// A suppression without a reason.
    UnexplainedSuppression = "unexplained-suppression", Warning, "a suppression has no reason",
"`// lint:allow(CODE) REASON` needs the reason: it is what the next reader decides by.

Write why the finding is all right here.";
    /// What else Cedar's validator warns of.
    Validator = "validator", Warning, "Cedar's validator warns of the policy",
"Such as letters of several scripts in a name, or characters that turn the direction of writing,
which make a policy read other than it is.

Do as the message says.";
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
#[error("`{0}` is no code of the linter")]
pub struct UnknownLintCode(pub String);

impl FromStr for LintCode {
    type Err = UnknownLintCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|code| code.id() == text);
        found.copied().ok_or_else(|| UnknownLintCode(text.to_owned()))
    }
}
