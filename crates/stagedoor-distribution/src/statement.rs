//! What a signature says: an [in-toto statement] about a bundle.
//!
//! [in-toto statement]: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md

use serde::{Deserialize, Serialize};

use crate::channel::{Channel, Name};
use crate::digest::Digest;
use crate::time::Timestamp;

pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What the predicate is about, and in which form.
pub(crate) const PREDICATE: &str = "https://github.com/stagedoor/stagedoor/policy-set/v1";

/// What is published of a policy set: which bundle, for which channel, its number.
///
/// # Examples
///
/// ```
/// use stagedoor_distribution::{Digest, Release};
///
/// let bundle = br#"{"files":{}}"#;
/// let release = Release::new("payments:production".parse()?, 7, bundle, "2026-03-01T12:00:00Z".parse()?);
/// assert_eq!(release.digest, Digest::of(bundle));
/// assert_eq!(Release::from_json(&release.to_json())?, release);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// The set and the channel that it is for.
    pub channel: Channel,
    /// The number of the release: each one of a channel has a higher one than those before.
    pub counter: u64,
    /// The digest of the bundle.
    pub digest: Digest,
    /// The size of the bundle, in bytes.
    pub bytes: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// From when on it is not taken up any more, and is stale where it is in force.
    pub expires: Option<Timestamp>,
    /// Why this goes back to what was published before, if it does.
    pub rollback: Option<Rollback>,
    /// What somebody approved of that a gate would refuse.
    pub approvals: Vec<Approval>,
    /// Where the set comes from.
    pub provenance: Provenance,
}

/// A release that goes back to an older set, on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The number of the release that it takes back.
    pub from: u64,
    /// Why.
    pub reason: String,
}

/// What may be approved of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Something that was denied is allowed.
    Widened,
    /// Something that was allowed is denied.
    Narrowed,
    /// It is not known for all requests what changes.
    Undecided,
}

impl Approval {
    /// Returns the name in statements and arguments.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Undecided => "undecided",
        }
    }
}

/// Where a set comes from, as its builder says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// Who built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// The repository of its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit of its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// How many of its own tests passed; a set with a failing one is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests_passed: Option<u64>,
    /// The bundle that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Digest>,
    /// What the comparison said: `equivalent`, `widened`, `narrowed`, `changed`, `undecided`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// Why text is not a statement about a policy set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// It is no JSON of the form.
    #[error("it is not a statement about a policy set: {0}")]
    Json(String),
    /// It is a statement of another kind.
    #[error("it is a statement of the kind `{0}`, not `{PREDICATE}`: sign with `stagedoor sign`")]
    Kind(String),
    /// It is about no bundle, or several.
    #[error("it is about {0} things; a statement about a policy set is about one bundle")]
    Subjects(usize),
    /// The names within it differ.
    #[error("it is about `{subject}`, and says that it is for the set `{set}`")]
    Names {
        /// The name of the subject.
        subject: String,
        /// The name of the set.
        set: Name,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    form: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

/// The head of a statement of any kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(rename = "_type")]
    form: String,
    predicate_type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: String,
}

// INVARIANT: a key that is not known is refused. It may be a restriction of a later version,
// which a replica of this one must not pass over.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Predicate {
    set: Name,
    channel: Name,
    counter: u64,
    bytes: u64,
    issued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollback: Option<Rollback>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<Approval>,
    #[serde(default)]
    provenance: Provenance,
}

impl Release {
    /// Returns the release of a bundle, which never expires.
    #[must_use]
    pub fn new(channel: Channel, counter: u64, bundle: &[u8], issued: Timestamp) -> Self {
        Self {
            channel,
            counter,
            digest: Digest::of(bundle),
            bytes: bundle.len() as u64,
            issued,
            expires: None,
            rollback: None,
            approvals: Vec::new(),
            provenance: Provenance::default(),
        }
    }

    /// Returns the statement, as it is signed.
    #[must_use]
    pub fn to_json(&self) -> String {
        let release = self.clone();
        let statement = Statement {
            form: STATEMENT.to_owned(),
            subject: vec![Subject {
                name: release.channel.set.to_string(),
                digest: SubjectDigest { sha256: release.digest.hex() },
            }],
            predicate_type: PREDICATE.to_owned(),
            predicate: Predicate {
                set: release.channel.set,
                channel: release.channel.channel,
                counter: release.counter,
                bytes: release.bytes,
                issued: release.issued,
                expires: release.expires,
                rollback: release.rollback,
                approvals: release.approvals,
                provenance: release.provenance,
            },
        };
        // Names, numbers and texts are always JSON.
        serde_json::to_string(&statement).unwrap_or_default()
    }

    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// [`StatementError`].
    pub fn from_json(text: &str) -> Result<Self, StatementError> {
        let malformed = |error: serde_json::Error| {
            StatementError::Json(stagedoor_core::plain_reason(&error.to_string()))
        };
        let kind: Kind = serde_json::from_str(text).map_err(malformed)?;
        if kind.form != STATEMENT || kind.predicate_type != PREDICATE {
            return Err(StatementError::Kind(kind.predicate_type));
        }
        let statement: Statement = serde_json::from_str(text).map_err(malformed)?;
        let predicate = statement.predicate;
        let [subject] = <[Subject; 1]>::try_from(statement.subject)
            .map_err(|subjects| StatementError::Subjects(subjects.len()))?;
        if subject.name != predicate.set.as_str() {
            return Err(StatementError::Names { subject: subject.name, set: predicate.set });
        }
        let digest = Digest::from_hex(&subject.digest.sha256);
        Ok(Self {
            channel: Channel { set: predicate.set, channel: predicate.channel },
            counter: predicate.counter,
            digest: digest.map_err(|error| StatementError::Json(error.to_string()))?,
            bytes: predicate.bytes,
            issued: predicate.issued,
            expires: predicate.expires,
            rollback: predicate.rollback,
            approvals: predicate.approvals,
            provenance: predicate.provenance,
        })
    }

    /// Returns whether it is not taken up any more at a time.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}
