//! How a replica is, for people and programs.

use serde::{Deserialize, Serialize};
use stagedoor_core::{Problem, Severity};
use stagedoor_source::{Gauge, HealthLevel, HealthLine, OriginHealth};

use crate::channel::Name;
use crate::digest::Digest;
use crate::statement::Rollback;
use crate::time::Timestamp;

/// How a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// The policy set.
    pub set: Name,
    /// The channel.
    pub channel: Name,
    /// Where it looks.
    pub source: String,
    /// What is in force.
    pub in_force: Option<ReleaseStatus>,
    /// The highest number that was ever in force.
    pub highest: Option<u64>,
    /// The one bundle that may be in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Digest>,
    /// When the source last offered what is in force.
    pub confirmed: Option<Timestamp>,
    /// How long ago that was, or since when there is the replica.
    pub stale_seconds: u64,
    /// From how long on it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_stale_seconds: Option<u64>,
    /// The release that was refused, if what is offered was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusalStatus>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A release that does not load, or that a gate refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RefusalStatus {
    /// Its number.
    pub counter: u64,
    /// Why, for those who may read the policies: with places, and what stands there. It is told to
    /// the store alone.
    #[serde(skip)]
    pub details: String,
    /// What is wrong with policies and schemas, the first of it. As the details are.
    #[serde(skip)]
    pub problems: Vec<RefusalProblem>,
}

/// One thing that is wrong with the policies of a set, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RefusalProblem {
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The id of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The stable code of this kind of problem.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

impl RefusalProblem {
    /// The most that are kept of one set.
    pub(crate) const MOST: usize = 20;
    /// The longest text of one, in bytes: names are as long as whoever publishes makes them.
    const TEXT: usize = 500;

    /// Returns the first of the problems that keep a set from being loaded.
    pub(crate) fn all(problems: &[Problem]) -> Vec<Self> {
        let errors = problems.iter().filter(|problem| problem.severity() == Severity::Error);
        let cut = |text: &str| cut(text, Self::TEXT).to_owned();
        let problem = |problem: &Problem| Self {
            file: problem.file().map(cut),
            line: problem.line(),
            column: problem.column(),
            policy: problem.policy().map(cut),
            code: problem.code().to_owned(),
            message: cut(problem.message()),
        };
        errors.map(problem).take(Self::MOST).collect()
    }
}

/// Returns the beginning of a text: at most so many bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// A release that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReleaseStatus {
    /// Its number.
    pub counter: u64,
    /// The digest of its bundle.
    pub digest: Digest,
    /// The digest of what is signed.
    pub statement: Digest,
    /// The revision that its answers carry, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The key that has signed it.
    pub key: String,
    /// When it was signed.
    pub issued: Timestamp,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// The commit of its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Since when it is in force here.
    pub since: Timestamp,
    /// Whether it has expired.
    pub is_expired: bool,
    /// Why it would not be taken by whom is trusted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrusted: Option<String>,
}

impl ReplicaStatus {
    /// Returns whether whoever decides by it should be asked.
    ///
    /// By default an old set goes on deciding, and that is told. With a bound on staleness, a set
    /// that is older, or has expired, is not ready. One that is not trusted any more never is.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.in_force.as_ref().is_some_and(|now| {
            now.distrusted.is_none()
                && !(self.is_stale() || self.max_stale_seconds.is_some() && now.is_expired)
        })
    }

    /// Returns whether it is stale for longer than its bound.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.max_stale_seconds.is_some_and(|bound| self.stale_seconds > bound)
    }

    /// Returns what metrics tell.
    fn gauges(&self) -> Vec<Gauge> {
        let gauge = |name, help, value| Gauge { name, help, value };
        // Exact up to 2^53, of which a counter is far.
        let ready = if self.is_ready() { 1.0 } else { 0.0 };
        let mut gauges = vec![
            gauge("stagedoor_replica_ready", "Whether what is in force should be asked.", ready),
            gauge(
                "stagedoor_source_unconfirmed_seconds",
                "Seconds since the source last offered what is in force.",
                self.stale_seconds as f64,
            ),
        ];
        if let Some(now) = &self.in_force {
            let help = "The number of the release in force.";
            gauges.push(gauge("stagedoor_release", help, now.counter as f64));
            if let Some(expires) = now.expires {
                let help = "When the release in force expires, in seconds since 1970.";
                let seconds = expires.seconds() as f64;
                gauges.push(gauge("stagedoor_release_expires_seconds", help, seconds));
            }
        }
        gauges
    }

    /// Returns what health tells.
    #[must_use]
    pub fn health(&self) -> OriginHealth {
        let mut lines = Vec::new();
        let mut tell = |level, text| lines.push(HealthLine { level, text });
        let Self { set, channel, .. } = self;
        match &self.in_force {
            None => tell(HealthLevel::Bad, format!("release of {set}:{channel}: none in force")),
            Some(now) => {
                let (counter, digest) = (now.counter, now.digest);
                let text = format!("release {counter} of {set}:{channel} in force, {digest}");
                tell(HealthLevel::Good, text);
                if let Some(rollback) = &now.rollback {
                    let text = format!("release {counter} takes back {}", rollback.from);
                    tell(HealthLevel::Notable, text);
                }
                if let Some(at) = now.expires.filter(|_| now.is_expired) {
                    let bound = self.max_stale_seconds;
                    let level = bound.map_or(HealthLevel::Notable, |_| HealthLevel::Bad);
                    tell(level, format!("release {counter} has expired at {at}"));
                }
                if let Some(reason) = &now.distrusted {
                    tell(HealthLevel::Bad, format!("release {counter} is not trusted: {reason}"));
                }
            }
        }
        if let Some(pin) = self.pin {
            tell(HealthLevel::Notable, format!("pinned to {pin}"));
        }
        let ago = format!("{} s ago", self.stale_seconds);
        match (self.is_stale(), self.confirmed.is_some()) {
            (true, _) => tell(HealthLevel::Bad, format!("source not confirmed since {ago}")),
            (false, true) => tell(HealthLevel::Good, format!("source confirmed {ago}")),
            (false, false) => {
                tell(HealthLevel::Notable, format!("source not confirmed since {ago}"))
            }
        }
        if let Some(problem) = &self.problem {
            tell(HealthLevel::Notable, format!("source: {problem}"));
        }
        // A status is always JSON.
        let details = serde_json::to_value(self).unwrap_or_default();
        OriginHealth { is_ready: self.is_ready(), lines, details, gauges: self.gauges() }
    }
}
