//! What replicas tell of a release in the status of its `PolicySet`: each one whether it decides by
//! it, and all of them together a condition, `Accepted`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::status::{RefusalProblem, ReplicaStatus, cut};
use crate::time::Timestamp;

/// How often a replica says that it is there, if there is nothing else to say.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(300);
/// A replica that has said nothing for so long does not count.
const ABSENT: Duration = Duration::from_secs(900);
/// One that has said nothing for so long is struck out.
const GONE: Duration = Duration::from_secs(3600);
/// The most replicas in one status.
const REPLICAS: usize = 500;
/// The longest text of a problem, in bytes: an object with all replicas has room for theirs.
const TEXT: usize = 1000;
/// So many replicas are named in a condition.
const NAMED: usize = 5;

/// The condition that tells whether all replicas decide by the release.
const ACCEPTED: &str = "Accepted";

/// The status of a `PolicySet`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PolicySetStatus {
    #[serde(default)]
    pub(super) conditions: Vec<Condition>,
    #[serde(default)]
    pub(super) replicas: Vec<ReplicaEntry>,
    /// What is wrong with the release that is offered, as replicas say that have refused it.
    #[serde(default)]
    problems: Vec<ReleaseProblem>,
}

/// What is wrong with a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ReleaseProblem {
    /// Its number.
    release: u64,
    #[serde(flatten)]
    problem: RefusalProblem,
}

/// A condition, as Kubernetes has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    observed_generation: i64,
    last_transition_time: Timestamp,
    reason: String,
    #[serde(default)]
    message: String,
}

/// What one replica says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReplicaEntry {
    /// Its name: that of its pod.
    pub(super) name: String,
    /// The number of the release that it decides by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<u64>,
    /// The digest of its bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// The revision that its answers carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// Since when it decides by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// The number of a release that it has refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<u64>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// When it has said so.
    seen: Timestamp,
    /// What is wrong with the release that it has refused. Said once, for all replicas.
    #[serde(skip)]
    problems: Vec<RefusalProblem>,
}

impl ReplicaEntry {
    /// Returns what a replica of a name says now.
    pub(super) fn of(name: &str, status: &ReplicaStatus, now: Timestamp) -> Self {
        let in_force = status.in_force.as_ref();
        let refusal = status.refused.as_ref();
        let problem = refusal.map(|refusal| &refusal.details).or(status.problem.as_ref());
        Self {
            name: name.to_owned(),
            release: in_force.map(|now| now.counter),
            digest: in_force.map(|now| now.digest),
            revision: in_force.and_then(|now| now.revision.clone()),
            since: in_force.map(|now| now.since),
            refused: refusal.map(|refusal| refusal.counter),
            problem: problem.map(|problem| cut(problem, TEXT).to_owned()),
            seen: now,
            problems: refusal.map(|refusal| refusal.problems.clone()).unwrap_or_default(),
        }
    }

    /// Returns whether another entry says the same, whenever it does.
    pub(super) fn says(&self, other: &Self) -> bool {
        Self { seen: other.seen, ..self.clone() } == *other
    }

    fn is_silent(&self, now: Timestamp, longer_than: Duration) -> bool {
        self.seen.after(longer_than) < now
    }
}

/// The release that an object offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfferedRelease {
    pub(super) counter: u64,
    pub(super) digest: Digest,
    /// The generation of the object.
    pub(super) generation: i64,
}

impl PolicySetStatus {
    /// Returns the status with what a replica says, and what follows of all that is said.
    pub(super) fn with(mut self, own: ReplicaEntry, offered: OfferedRelease) -> Self {
        let now = own.seen;
        self.replicas.retain(|entry| entry.name != own.name && !entry.is_silent(now, GONE));
        self.tell_problems(&own, offered);
        self.replicas.push(own);
        // The ones that were heard last are kept.
        self.replicas.sort_by(|a, b| b.seen.cmp(&a.seen).then_with(|| a.name.cmp(&b.name)));
        self.replicas.truncate(REPLICAS);
        self.replicas.sort_by(|a, b| a.name.cmp(&b.name));
        let (status, reason, message) = self.accepted(offered, now);
        let before = self.conditions.iter().find(|condition| condition.kind == ACCEPTED);
        let since = before
            .filter(|before| before.status == status)
            .map_or(now, |before| before.last_transition_time);
        self.conditions.retain(|condition| condition.kind != ACCEPTED);
        self.conditions.push(Condition {
            kind: ACCEPTED.to_owned(),
            status: status.to_owned(),
            observed_generation: offered.generation,
            last_transition_time: since,
            reason: reason.to_owned(),
            message,
        });
        self
    }

    /// Adds what a replica has found wrong with the release that is offered. It stays until another one
    /// is offered, or no replica refuses it any more.
    fn tell_problems(&mut self, own: &ReplicaEntry, offered: OfferedRelease) {
        let release = offered.counter;
        let refuses = |entry: &ReplicaEntry| entry.refused == Some(release);
        let is_refused = refuses(own) || self.replicas.iter().any(refuses);
        self.problems.retain(|problem| is_refused && problem.release == release);
        for problem in own.problems.iter().filter(|_| refuses(own)) {
            let problem = ReleaseProblem { release, problem: problem.clone() };
            if self.problems.len() < RefusalProblem::MOST && !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// INVARIANT: it is accepted only if each replica that is there says that it decides by it.
    fn accepted(
        &self,
        offered: OfferedRelease,
        now: Timestamp,
    ) -> (&'static str, &'static str, String) {
        let there = self.replicas.iter().filter(|entry| !entry.is_silent(now, ABSENT));
        let (has_it, others): (Vec<&ReplicaEntry>, Vec<_>) = there.partition(|entry| {
            (entry.release, entry.digest) == (Some(offered.counter), Some(offered.digest))
        });
        let counter = offered.counter;
        if others.is_empty() {
            let message = format!("release {counter} is in force at {} replicas", has_it.len());
            return ("True", "InForce", message);
        }
        let failing: Vec<String> = others
            .iter()
            .filter_map(|entry| Some(format!("{}: {}", entry.name, entry.problem.as_ref()?)))
            .collect();
        let (all, missing) = (has_it.len() + others.len(), others.len());
        match failing.is_empty() {
            true => (
                "Unknown",
                "Pending",
                format!("release {counter} is not yet in force at {missing} of {all} replicas"),
            ),
            false => {
                let named = failing.get(..NAMED).unwrap_or(&failing).join("\n");
                let message = format!("not in force at {missing} of {all} replicas: {named}");
                ("False", "Refused", cut(&message, TEXT).to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TimestampError;

    fn at(minute: u64) -> Result<Timestamp, TimestampError> {
        Ok("2026-03-01T12:00:00Z".parse::<Timestamp>()?.after(Duration::from_secs(60 * minute)))
    }

    fn entry(name: &str, release: u64, problem: Option<&str>, seen: Timestamp) -> ReplicaEntry {
        ReplicaEntry {
            name: name.to_owned(),
            release: Some(release),
            digest: Some(Digest::of(&release.to_be_bytes())),
            revision: None,
            since: None,
            refused: None,
            problem: problem.map(str::to_owned),
            seen,
            problems: Vec::new(),
        }
    }

    fn offered(counter: u64) -> OfferedRelease {
        OfferedRelease { counter, digest: Digest::of(&counter.to_be_bytes()), generation: 1 }
    }

    fn told(status: &PolicySetStatus) -> Option<(&str, &str)> {
        let [condition] = status.conditions.as_slice() else { return None };
        Some((&condition.status, &condition.reason))
    }

    #[test]
    fn a_release_is_accepted_when_all_that_are_there_have_it() -> Result<(), TimestampError> {
        let status = PolicySetStatus::default().with(entry("a", 1, None, at(0)?), offered(1));
        assert_eq!(told(&status), Some(("True", "InForce")));
        // Another one that has not got it yet, and says of nothing that is wrong.
        let status = status.with(entry("b", 1, None, at(1)?), offered(2));
        assert_eq!(told(&status), Some(("Unknown", "Pending")));
        let status = status.with(entry("b", 2, None, at(2)?), offered(2));
        assert_eq!(told(&status), Some(("Unknown", "Pending")));
        // One refuses it; that another one takes it up does not hide that.
        let status = status.with(entry("a", 1, Some("no"), at(3)?), offered(2));
        let status = status.with(entry("b", 2, None, at(4)?), offered(2));
        assert_eq!(told(&status), Some(("False", "Refused")));
        // The refusing one is gone: it counts no more, and is struck out later.
        let status = status.with(entry("b", 2, None, at(20)?), offered(2));
        assert_eq!((told(&status), status.replicas.len()), (Some(("True", "InForce")), 2));
        let since = status.conditions.first().map(|c| c.last_transition_time);
        let status = status.with(entry("b", 2, None, at(70)?), offered(2));
        assert_eq!(status.replicas.len(), 1);
        assert_eq!(status.conditions.first().map(|c| c.last_transition_time), since);
        // The number alone is not enough.
        let other = OfferedRelease { digest: Digest::of(b"other"), ..offered(2) };
        assert_eq!(
            told(&status.with(entry("b", 2, None, at(71)?), other)),
            Some(("Unknown", "Pending"))
        );
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_said_once_and_as_long_as_it_is() -> Result<(), TimestampError> {
        let problem = |line| RefusalProblem {
            file: Some("a.cedar".to_owned()),
            line: Some(line),
            column: None,
            policy: None,
            code: "policy::validate".to_owned(),
            message: "no".to_owned(),
        };
        let refuses = |name: &str, lines: std::ops::Range<usize>, minute| {
            let problems = lines.map(problem).collect();
            let entry = entry(name, 1, Some("no"), at(minute)?);
            Ok::<_, TimestampError>(ReplicaEntry { refused: Some(2), problems, ..entry })
        };
        let lines = |status: &PolicySetStatus| {
            status.problems.iter().filter_map(|one| one.problem.line).collect::<Vec<_>>()
        };
        let status = PolicySetStatus::default().with(refuses("a", 1..3, 0)?, offered(2));
        let status = status.with(refuses("b", 2..4, 1)?, offered(2));
        assert_eq!(lines(&status), [1, 2, 3]);
        // One takes it up at last; the other one still refuses it.
        let status = status.with(entry("a", 2, None, at(2)?), offered(2));
        assert_eq!(lines(&status), [1, 2, 3]);
        let more = status.clone().with(refuses("b", 4..100, 3)?, offered(2));
        assert_eq!(lines(&more).len(), RefusalProblem::MOST);
        // Another release is offered, of which nothing is known yet.
        assert!(lines(&status.clone().with(refuses("b", 2..4, 3)?, offered(3))).is_empty());
        assert!(lines(&status.with(entry("b", 2, None, at(3)?), offered(2))).is_empty());
        Ok(())
    }

    #[test]
    fn a_status_has_an_end() -> Result<(), TimestampError> {
        let mut status = PolicySetStatus::default();
        for number in 0..REPLICAS + 10 {
            status = status.with(entry(&format!("r{number}"), 1, None, at(0)?), offered(1));
        }
        let long = "ä".repeat(100_000);
        status = status.with(entry("z", 0, Some(cut(&long, TEXT)), at(1)?), offered(1));
        assert_eq!(status.replicas.len(), REPLICAS);
        assert!(status.replicas.iter().any(|entry| entry.name == "z"));
        assert!(status.conditions.iter().all(|c| c.message.len() <= TEXT));
        Ok(())
    }
}
