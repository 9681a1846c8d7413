//! What a release says beside its bundle, and how it is shown.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_distribution::{
    Approval, Attachments, Channel, Digest, Provenance, Release, Rollback, Timestamp, Trust,
    VerifiedRelease,
};

use crate::failure::Failure;
use crate::output::Output;

const DAY: u64 = 24 * 60 * 60;

/// What is said of a release.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// After how many days replicas count the release as stale, and do not take it up any more.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36500))]
    expires_in: Option<u64>,

    /// Approve of a change that a gate of replicas would refuse.
    #[arg(long, value_enum, value_name = "CHANGE")]
    approve: Vec<Change>,

    /// Who builds the release: the address of a pipeline, say.
    #[arg(long, value_name = "TEXT")]
    builder: Option<String>,

    /// The repository of the sources.
    #[arg(long, value_name = "TEXT")]
    repository: Option<String>,

    /// The commit of the sources.
    #[arg(long, value_name = "TEXT")]
    commit: Option<String>,
}

/// A change of what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Change {
    /// Something that was denied is allowed.
    Widened,
    /// Something that was allowed is denied.
    Narrowed,
    /// It is not known for all requests what changes.
    Undecided,
}

impl From<Change> for Approval {
    fn from(change: Change) -> Self {
        match change {
            Change::Widened => Self::Widened,
            Change::Narrowed => Self::Narrowed,
            Change::Undecided => Self::Undecided,
        }
    }
}

impl ReleaseArgs {
    /// Returns a release of a bundle.
    pub(crate) fn release(&self, channel: Channel, counter: u64, bundle: &[u8]) -> Release {
        let now = Timestamp::of(SystemTime::now());
        let mut release = Release::new(channel, counter, bundle, now);
        release.expires = self.expires_in.map(|days| now.after(Duration::from_secs(days * DAY)));
        release.approvals = self.approve.iter().map(|change| Approval::from(*change)).collect();
        release.approvals.sort_unstable();
        release.approvals.dedup();
        release.provenance = Provenance {
            builder: self.builder.clone(),
            repository: self.repository.clone(),
            commit: self.commit.clone(),
            ..Provenance::default()
        };
        release
    }

    /// Fills in what is not said here from another release.
    pub(crate) fn inherit(release: &mut Release, from: &Release) {
        let provenance = from.provenance.clone();
        let own = std::mem::replace(&mut release.provenance, provenance);
        let whole = &mut release.provenance;
        whole.builder = own.builder.or(whole.builder.take());
        whole.repository = own.repository.or(whole.repository.take());
        whole.commit = own.commit.or(whole.commit.take());
        // What was compared was another channel's predecessor.
        (whole.predecessor, whole.verdict) = (own.predecessor, own.verdict);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseJson<'a> {
    set: &'a str,
    channel: &'a str,
    counter: u64,
    digest: Digest,
    bytes: u64,
    key: &'a str,
    issued: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: &'a Option<Rollback>,
    approvals: &'a [Approval],
    provenance: &'a Provenance,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attestations: &'a [AttestationJson],
}

/// What lies beside a release in a registry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttestationJson {
    /// What it says: a predicate type of in-toto, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
    /// Who has signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Why it is not by anybody trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl AttestationJson {
    /// Returns what there is to tell of each thing that lies beside a release.
    pub(crate) fn all(attachments: &Attachments, channel: &Channel, trust: &Trust) -> Vec<Self> {
        let told = |envelope: &Vec<u8>| {
            let verified = trust.verify_attestation(envelope, channel, attachments.manifest);
            match verified {
                Ok(verified) => Self {
                    predicate_type: Some(verified.predicate_type),
                    key: Some(verified.key),
                    problem: None,
                },
                Err(error) => {
                    Self { predicate_type: None, key: None, problem: Some(error.to_string()) }
                }
            }
        };
        attachments.envelopes.iter().map(told).collect()
    }
}

/// Shows a release that was verified, or published.
pub(crate) fn show(verified: &VerifiedRelease, output: &mut Output) -> Result<(), Failure> {
    show_with(verified, &[], output)
}

/// As [`show`], with what lies beside it.
pub(crate) fn show_with(
    verified: &VerifiedRelease,
    attestations: &[AttestationJson],
    output: &mut Output,
) -> Result<(), Failure> {
    let VerifiedRelease { release, key, .. } = verified;
    if output.is_json() {
        return output.json(&ReleaseJson {
            set: release.channel.set.as_str(),
            channel: release.channel.channel.as_str(),
            counter: release.counter,
            digest: release.digest,
            bytes: release.bytes,
            key,
            issued: release.issued,
            expires: release.expires,
            rollback: &release.rollback,
            approvals: &release.approvals,
            provenance: &release.provenance,
            attestations,
        });
    }
    let Release { channel, counter, digest, .. } = release;
    output.line(format_args!("{channel} release {counter}, {digest}"))?;
    output.line(format_args!("  signed by `{key}` at {}", release.issued))?;
    if let Some(expires) = release.expires {
        output.line(format_args!("  expires at {expires}"))?;
    }
    if let Some(Rollback { from, reason }) = &release.rollback {
        output.line(format_args!("  takes back release {from}: {reason}"))?;
    }
    if !release.approvals.is_empty() {
        let approvals: Vec<&str> = release.approvals.iter().map(|a| a.as_str()).collect();
        output.line(format_args!("  approved: {}", approvals.join(", ")))?;
    }
    let Provenance { builder, repository, commit, tests_passed, predecessor, verdict } =
        &release.provenance;
    let predecessor = predecessor.map(|digest| digest.to_string());
    let tests = tests_passed.map(|count| count.to_string());
    let facts = [
        ("builder", builder),
        ("repository", repository),
        ("commit", commit),
        ("tests passed", &tests),
        ("compared with", &predecessor),
        ("access", verdict),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            output.line(format_args!("  {name}: {}", crate::terminal::line(value)))?;
        }
    }
    for attestation in attestations {
        let AttestationJson { predicate_type, key, problem } = attestation;
        let text = match (predicate_type, key, problem) {
            (Some(kind), Some(key), _) => format!("{kind}, signed by `{key}`"),
            (_, _, problem) => format!("not trusted: {}", problem.as_deref().unwrap_or_default()),
        };
        output.line(format_args!("  beside it: {}", crate::terminal::line(&text)))?;
    }
    Ok(())
}
