//! What is counted and measured, in Prometheus' text format.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// A webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhook {
    Authorize,
    Admit,
    Conditions,
}

/// What a request to a webhook came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    Denied,
    NoOpinion,
    /// Conditions instead of an answer.
    Conditional,
    /// No decision: the request was refused.
    Refused,
}

impl Webhook {
    const ALL: [Self; 3] = [Self::Authorize, Self::Admit, Self::Conditions];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Admit => "admit",
            Self::Conditions => "conditions",
        }
    }
}

impl Answer {
    const ALL: [Self; 5] =
        [Self::Allowed, Self::Denied, Self::NoOpinion, Self::Conditional, Self::Refused];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NoOpinion => "no_opinion",
            Self::Conditional => "conditional",
            Self::Refused => "refused",
        }
    }
}

/// The metrics of one server.
pub(crate) struct Metrics {
    registry: Registry,
    answers: Vec<(Webhook, Answer, IntCounter)>,
    seconds: Vec<(Webhook, Histogram)>,
    refusals: IntCounterVec,
    evaluation_errors: IntCounter,
    pub(crate) connections: IntGauge,
    pub(crate) connections_refused: IntCounter,
    pub(crate) connections_put_out: IntCounter,
    pub(crate) handshakes_failed: IntCounter,
    pub(crate) requests_in_flight: IntGauge,
    reloads: IntCounterVec,
    reload_failed: IntGaugeVec,
    policy_info: IntGaugeVec,
    policies: IntGauge,
}

impl Metrics {
    /// Returns metrics at zero.
    #[expect(clippy::expect_used, reason = "names and labels are the constants of this file")]
    pub(crate) fn new() -> Self {
        Self::registered().expect("metrics of different names")
    }

    fn registered() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let decisions = counters(
            &registry,
            ("stagedoor_decisions_total", "Requests to the webhooks, by what they came to."),
            &["webhook", "outcome"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "stagedoor_decision_duration_seconds",
                "Time from the complete body of a request to its answer.",
            )
            .buckets(vec![
                2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5, 1.0,
            ]),
            &["webhook"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let every = Webhook::ALL.into_iter().flat_map(|w| Answer::ALL.map(|a| (w, a)));
        let answers = every
            .map(|(w, a)| (w, a, decisions.with_label_values(&[w.as_str(), a.as_str()])))
            .collect();
        let seconds = Webhook::ALL.map(|w| (w, durations.with_label_values(&[w.as_str()]))).into();
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
            connections: gauge(&registry, "stagedoor_connections", "Open connections.")?,
            connections_refused: counter(
                &registry,
                "stagedoor_connections_refused_total",
                "Connections closed at once, since all places were taken by working ones.",
            )?,
            connections_put_out: counter(
                &registry,
                "stagedoor_connections_put_out_total",
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
                "Requests to the webhooks that are being read or answered.",
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
            registry,
        };
        for what in [POLICIES, CERTIFICATES] {
            for result in [SUCCESS, FAILURE] {
                metrics.reloads.with_label_values(&[what, result]).reset();
            }
            metrics.reload_failed.with_label_values(&[what]).set(0);
        }
        Ok(metrics)
    }

    /// Counts what a request to a webhook came to.
    pub(crate) fn answered(&self, webhook: Webhook, answer: Answer) {
        if let Some((.., counter)) =
            self.answers.iter().find(|(w, a, _)| (*w, *a) == (webhook, answer))
        {
            counter.inc();
        }
    }

    /// Records the time of an answer.
    pub(crate) fn took(&self, webhook: Webhook, time: Duration) {
        if let Some((_, histogram)) = self.seconds.iter().find(|(w, _)| *w == webhook) {
            histogram.observe(time.as_secs_f64());
        }
    }

    pub(crate) fn refused(&self, code: http::StatusCode) {
        self.refusals.with_label_values(&[code.as_str()]).inc();
    }

    pub(crate) fn evaluation_error(&self) {
        self.evaluation_errors.inc();
    }

    /// Records a reload of [`POLICIES`] or [`CERTIFICATES`].
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
        self.policy_info.reset();
        self.policy_info.with_label_values(&[revision]).set(1);
        self.policies.set(i64::try_from(policies).unwrap_or(i64::MAX));
    }

    /// Returns everything in Prometheus' text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Names of what is reloaded.
pub(crate) const POLICIES: &str = "policies";
pub(crate) const CERTIFICATES: &str = "certificates";
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
