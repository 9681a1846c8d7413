//! What is counted and measured, in Prometheus' text format.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::protocol::Outcome;

/// What a comparison of decisions with those of shadow policies came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComparisonResult {
    Same,
    Different,
    /// The shadow policies gave no answer.
    Failed,
    /// There was no time or no room for it.
    Skipped,
}

impl ComparisonResult {
    pub(crate) const ALL: [Self; 4] = [Self::Same, Self::Different, Self::Failed, Self::Skipped];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The metrics of one server.
pub(crate) struct Metrics {
    registry: Registry,
    /// Held while one set is told in place of another, and by whoever reads.
    sets: RwLock<()>,
    answers: Vec<(&'static str, Outcome, IntCounter)>,
    seconds: Vec<(&'static str, Histogram)>,
    refusals: IntCounterVec,
    pub(crate) evaluation_errors: IntCounter,
    pub(crate) panics: IntCounter,
    pub(crate) connections: IntGauge,
    pub(crate) connections_refused: IntCounter,
    pub(crate) connections_evicted: IntCounter,
    pub(crate) handshakes_failed: IntCounter,
    pub(crate) requests_in_flight: IntGauge,
    reloads: IntCounterVec,
    reload_failed: IntGaugeVec,
    policy_info: IntGaugeVec,
    lost_forbids: IntGauge,
    policies: IntGauge,
    comparisons: IntCounterVec,
    differences: IntCounterVec,
    shadow_info: IntGaugeVec,
    shadow_policies: IntGaugeVec,
}

impl Metrics {
    /// Returns metrics at zero, for endpoints and sources of these names.
    #[expect(clippy::expect_used, reason = "names and labels are the constants of this file")]
    pub(crate) fn new(endpoints: &[&'static str], sources: &[&str]) -> Self {
        Self::registered(endpoints, sources).expect("metrics of different names")
    }

    fn registered(endpoints: &[&'static str], sources: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let decisions = counters(
            &registry,
            ("stagedoor_decisions_total", "Decisions and refusals, by what they came to."),
            &["endpoint", "outcome"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "stagedoor_decision_duration_seconds",
                "Time from the complete body of a request to its answer.",
            )
            .buckets(vec![
                2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5, 1.0,
            ]),
            &["endpoint"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let every = endpoints.iter().flat_map(|name| Outcome::ALL.map(|outcome| (*name, outcome)));
        let answers = every
            .map(|(name, outcome)| {
                (name, outcome, decisions.with_label_values(&[name, outcome.as_str()]))
            })
            .collect();
        let seconds = endpoints.iter();
        let seconds = seconds.map(|name| (*name, durations.with_label_values(&[name]))).collect();
        let metrics = Self {
            answers,
            seconds,
            refusals: counters(
                &registry,
                ("stagedoor_refusals_total", "Requests refused without a decision, by HTTP code."),
                &["code"],
            )?,
            evaluation_errors: counter(
                &registry,
                "stagedoor_evaluation_errors_total",
                "Decisions in which a policy could not be evaluated, or that failed.",
            )?,
            panics: counter(
                &registry,
                "stagedoor_panics_total",
                "Requests refused because deciding them panicked, which is a bug.",
            )?,
            connections: gauge(&registry, "stagedoor_connections", "Open connections.")?,
            connections_refused: counter(
                &registry,
                "stagedoor_connections_refused_total",
                "Connections closed at once, since all places were taken by working ones.",
            )?,
            connections_evicted: counter(
                &registry,
                "stagedoor_connections_evicted_total",
                "Idle connections closed to make room for others.",
            )?,
            handshakes_failed: counter(
                &registry,
                "stagedoor_tls_handshakes_failed_total",
                "TLS handshakes that failed or ran out of time.",
            )?,
            requests_in_flight: gauge(
                &registry,
                "stagedoor_requests_in_flight",
                "Requests for decisions that are being read or answered.",
            )?,
            reloads: counters(
                &registry,
                (
                    "stagedoor_reloads_total",
                    "Reloads after a change of files, by what they came to.",
                ),
                &["what", "result"],
            )?,
            reload_failed: gauges(
                &registry,
                ("stagedoor_reload_failed", "1 while the files as they are now are not in force."),
                &["what"],
            )?,
            policy_info: gauges(
                &registry,
                ("stagedoor_policy_info", "The revision of the policies in force."),
                &["revision"],
            )?,
            policies: gauge(&registry, "stagedoor_policies", "Policies in force.")?,
            lost_forbids: gauge(
                &registry,
                "stagedoor_lost_forbids",
                "Forbids that reloads have lost, until they are back or a manifest pins the set.",
            )?,
            comparisons: counters(
                &registry,
                (
                    "stagedoor_shadow_comparisons_total",
                    "Decisions compared with those of the shadow policies, by what that came to.",
                ),
                &["endpoint", "result"],
            )?,
            differences: counters(
                &registry,
                (
                    "stagedoor_shadow_differences_total",
                    "Decisions that the shadow policies would make otherwise, by both outcomes.",
                ),
                &["endpoint", "enforced", "shadow"],
            )?,
            shadow_info: gauges(
                &registry,
                ("stagedoor_shadow_policy_info", "The revision of the shadow policies."),
                &["revision"],
            )?,
            // A vector, so that nothing is told of it where there are none.
            shadow_policies: gauges(
                &registry,
                ("stagedoor_shadow_policies", "Policies that are compared with those in force."),
                &[],
            )?,
            registry,
            sets: RwLock::default(),
        };
        metrics.watch(sources.iter().copied());
        Ok(metrics)
    }

    /// Begins to tell of the reloads of sources.
    pub(crate) fn watch<'a>(&self, sources: impl IntoIterator<Item = &'a str>) {
        for what in sources {
            for result in [SUCCESS, FAILURE] {
                self.reloads.with_label_values(&[what, result]).reset();
            }
            self.reload_failed.with_label_values(&[what]).set(0);
        }
    }

    /// Begins to tell of comparisons with shadow policies.
    pub(crate) fn compare<'a>(&self, endpoints: impl IntoIterator<Item = &'a str>) {
        for endpoint in endpoints {
            for result in ComparisonResult::ALL {
                self.comparisons.with_label_values(&[endpoint, result.as_str()]).reset();
            }
        }
    }

    /// Counts a comparison with shadow policies.
    pub(crate) fn compared(&self, endpoint: &str, result: ComparisonResult) {
        self.comparisons.with_label_values(&[endpoint, result.as_str()]).inc();
    }

    /// Counts a difference from shadow policies.
    pub(crate) fn differs(&self, endpoint: &str, enforced: Outcome, shadow: Outcome) {
        let labels = [endpoint, enforced.as_str(), shadow.as_str()];
        self.differences.with_label_values(&labels).inc();
    }

    /// Records the shadow policies that are compared now.
    pub(crate) fn shadow(&self, revision: &str, policies: usize) {
        // INVARIANT: whoever reads the metrics meanwhile sees one set, and never none.
        let _replacing = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        self.shadow_info.reset();
        self.shadow_info.with_label_values(&[revision]).set(1);
        let count = i64::try_from(policies).unwrap_or(i64::MAX);
        self.shadow_policies.with_label_values(&[] as &[&str]).set(count);
    }

    /// Counts what a request for decisions came to.
    pub(crate) fn answered(&self, endpoint: &str, outcome: Outcome) {
        if let Some((.., counter)) =
            self.answers.iter().find(|(name, o, _)| *name == endpoint && *o == outcome)
        {
            counter.inc();
        }
    }

    /// Records the time of an answer.
    pub(crate) fn took(&self, endpoint: &str, time: Duration) {
        if let Some((_, histogram)) = self.seconds.iter().find(|(name, _)| *name == endpoint) {
            histogram.observe(time.as_secs_f64());
        }
    }

    pub(crate) fn refused(&self, code: http::StatusCode) {
        self.refusals.with_label_values(&[code.as_str()]).inc();
    }

    /// Records a reload of a source.
    pub(crate) fn reloaded(&self, what: &str, succeeded: bool) {
        let result = if succeeded { SUCCESS } else { FAILURE };
        self.reloads.with_label_values(&[what, result]).inc();
        self.settled(what, succeeded);
    }

    /// Records whether what is in force is what the files say.
    pub(crate) fn settled(&self, what: &str, settled: bool) {
        self.reload_failed.with_label_values(&[what]).set(i64::from(!settled));
    }

    /// Records the policies that are in force now.
    pub(crate) fn in_force(&self, revision: &str, policies: usize) {
        // INVARIANT: as above.
        let _replacing = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        self.policy_info.reset();
        self.policy_info.with_label_values(&[revision]).set(1);
        self.policies.set(i64::try_from(policies).unwrap_or(i64::MAX));
    }

    /// Records how many forbids reloads have lost.
    pub(crate) fn lost_forbids(&self, count: usize) {
        self.lost_forbids.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Returns everything in Prometheus' text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        let _reading = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauges(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Metrics;

    #[test]
    fn whoever_reads_while_sets_are_replaced_sees_one_of_them() -> Result<(), prometheus::Error> {
        let metrics = Metrics::new(&["say"], &["policies"]);
        metrics.in_force("r", 1);
        metrics.shadow("r", 1);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0.. {
                    if is_over.load(Ordering::Acquire) {
                        break;
                    }
                    metrics.in_force(&format!("r{n}"), 1);
                    metrics.shadow(&format!("r{n}"), 1);
                }
            });
            let read = || -> Result<(), prometheus::Error> {
                for _ in 0..2_000 {
                    let text = metrics.text()?;
                    for name in ["stagedoor_policy_info{", "stagedoor_shadow_policy_info{"] {
                        let told = text.lines().filter(|line| line.starts_with(name)).count();
                        assert_eq!(told, 1, "{name}");
                    }
                }
                Ok(())
            };
            let read = read();
            is_over.store(true, Ordering::Release);
            read
        })
    }
}
