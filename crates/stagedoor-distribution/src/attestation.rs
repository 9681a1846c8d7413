//! Statements about a release in the words of others, for whoever does not know this project.
//!
//! A registry names an artifact by the digest of its manifest, which has the release's own signature as a
//! layer and so cannot stand in it. What is signed here is about the manifest: that it is signed, as
//! [cosign] says it, where it comes from as [SLSA] says it, and that its tests have passed as [in-toto] says
//! it. Replicas ask for none of these.
//!
//! [cosign]: https://github.com/sigstore/cosign
//! [SLSA]: https://slsa.dev/spec/v1.0/provenance
//! [in-toto]: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md

use serde::Deserialize;
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::key::SigningKey;
use crate::statement::{PREDICATE, Release, STATEMENT, StatementError};

/// That something is signed, and nothing else.
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// A signed statement about a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Attestation {
    /// What it says.
    pub(crate) predicate_type: &'static str,
    pub(crate) envelope: Envelope,
}

impl Attestation {
    /// Returns what there is to say of a release, whose manifest lies in a repository.
    pub(crate) fn all(
        release: &Release,
        repository: &str,
        manifest: Digest,
        key: &SigningKey,
    ) -> Vec<Self> {
        let sign = |(predicate_type, predicate): (&'static str, Value)| {
            let statement = json!({
                "_type": STATEMENT,
                "subject": [{ "name": repository, "digest": { "sha256": manifest.hex() } }],
                "predicateType": predicate_type,
                "predicate": predicate,
            });
            Self { predicate_type, envelope: Envelope::sign(&statement.to_string(), key) }
        };
        let signature = (SIGNATURE, json!({}));
        let others = [provenance(release), test_result(release)];
        std::iter::once(signature).chain(others.into_iter().flatten()).map(sign).collect()
    }
}

/// Returns where a release comes from, if it says who has built it.
fn provenance(release: &Release) -> Option<(&'static str, Value)> {
    let builder = release.provenance.builder.as_ref()?;
    let source = release.provenance.repository.as_ref().map(|repository| {
        let commit = &release.provenance.commit;
        let digest = commit.as_ref().map_or(json!({}), |commit| json!({ "gitCommit": commit }));
        json!({ "uri": repository, "digest": digest })
    });
    let predicate = json!({
        "buildDefinition": {
            "buildType": PREDICATE,
            "externalParameters": {
                "set": release.channel.set,
                "channel": release.channel.channel,
                "release": release.counter,
            },
            "resolvedDependencies": source.into_iter().collect::<Vec<_>>(),
        },
        "runDetails": {
            "builder": { "id": builder },
            "metadata": { "finishedOn": release.issued },
        },
    });
    Some((PROVENANCE, predicate))
}

/// Returns that the tests of a release have passed, if it says so.
fn test_result(release: &Release) -> Option<(&'static str, Value)> {
    let passed = release.provenance.tests_passed?;
    let bundle = json!({
        "name": release.channel.set,
        "digest": { "sha256": release.digest.hex() },
        "annotations": { "testsPassed": passed },
    });
    // The bundle has the tests, by their names.
    Some((TEST_RESULT, json!({ "result": "PASSED", "configuration": [bundle] })))
}

/// What a statement of any kind is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    #[serde(rename = "_type")]
    form: String,
    subject: Vec<Subject>,
    /// What it says.
    pub(crate) predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    #[serde(default)]
    sha256: Option<String>,
}

impl About {
    /// Reads a statement of any kind.
    pub(crate) fn from_json(payload: &[u8]) -> Result<Self, StatementError> {
        let about: Self = serde_json::from_slice(payload).map_err(|error| {
            StatementError::Json(stagedoor_core::plain_reason(&error.to_string()))
        })?;
        match about.form == STATEMENT {
            true => Ok(about),
            false => Err(StatementError::Kind(about.predicate_type)),
        }
    }

    /// Returns the first digest of what it is about.
    #[cfg(feature = "sigstore")]
    pub(crate) fn sha256(&self) -> Option<Digest> {
        let subject = self.subject.iter().find_map(|subject| subject.digest.sha256.as_ref())?;
        Digest::from_hex(subject).ok()
    }

    /// Returns whether something is among what it is about.
    pub(crate) fn is_about(&self, digest: Digest) -> bool {
        let hex = digest.hex();
        self.subject.iter().any(|subject| subject.digest.sha256.as_ref() == Some(&hex))
    }
}
