//! A bounded load on a server over loopback TLS, with reloads going on.
//!
//! ```sh
//! cargo run --release -p stagedoor-webhook --example webhook_load -- POLICIES SECONDS CONNECTIONS
//! ```
//!
//! Prints one JSON object: requests per second, latency as clients see it, the server's own time
//! by its histogram, failed requests, reloads, and the memory of the process (server and
//! clients) after a tenth of the time and at the end. Clients and server share the machine.
#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/webhook/support.rs"]
mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use support::{Client, Files, Running};

/// How long one set of policies stays before it is replaced.
const RELOAD: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (policies, seconds, connections) = (number(1_000)?, number(10)?, number(16)?);

    let files = Arc::new(Files::new()?);
    files.write_policies(&policy_set(policies, 0)?)?;
    let mut config = files.mutual();
    config.reload_interval = Duration::from_millis(250);
    let begun = Instant::now();
    let running = Running::start(&files, config).await?;
    let start_ms = begun.elapsed().as_millis();

    let done = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for n in 0..connections {
        let tls = files.client(Some(&files.client_authority))?;
        let (address, done) = (running.address, Arc::clone(&done));
        clients.push(tokio::spawn(async move {
            let client = match n % 2 {
                0 => Client::connect(address, tls).await?,
                _ => Client::connect_http2(address, tls).await?,
            };
            anyhow::Ok(load(client, n, policies, &done).await)
        }));
    }

    let begun = Instant::now();
    let time = Duration::from_secs(seconds.try_into()?);
    let mut early_rss = None;
    let mut generation = 0;
    while begun.elapsed() < time {
        tokio::time::sleep(RELOAD.min(time / 10)).await;
        if early_rss.is_none() {
            early_rss = Some(rss_mib()?);
        }
        if begun.elapsed() > RELOAD * (generation + 1) {
            generation += 1;
            files.write_policies(&policy_set(policies, generation)?)?;
            files.write_certificate("localhost")?;
        }
    }
    let elapsed = begun.elapsed();
    let late_rss = rss_mib()?;
    done.store(true, Ordering::Relaxed);

    let mut latencies = vec![0_u64; BUCKETS];
    let (mut failed, mut wrong) = (0, 0);
    for client in clients {
        let outcome = client.await??;
        for (all, own) in latencies.iter_mut().zip(outcome.latencies) {
            *all += own;
        }
        failed += outcome.failed;
        wrong += outcome.wrong;
    }
    let answered: u64 = latencies.iter().sum();
    let tls = files.client(Some(&files.client_authority))?;
    let (_, metrics) = Client::connect(running.address, tls).await?.get("/metrics").await?;
    let at = |share: f64| {
        let mut below = 0;
        latencies.iter().position(|count| {
            below += count;
            below as f64 >= answered as f64 * share
        })
    };
    let report = json!({
        "policies": policies,
        "connections": connections,
        "seconds": elapsed.as_secs_f64(),
        "start_ms": start_ms,
        "requests_per_second": answered as f64 / elapsed.as_secs_f64(),
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "own_p50_below_us": own_time(&metrics, 0.5),
        "own_p99_below_us": own_time(&metrics, 0.99),
        "failed": failed,
        "wrong": wrong,
        "reloads": value(&metrics, r#"stagedoor_reloads_total{result="success",what="policies"}"#),
        "certificates": value(
            &metrics,
            r#"stagedoor_reloads_total{result="success",what="certificates"}"#,
        ),
        "rss_mib_early": early_rss,
        "rss_mib_end": late_rss,
    });
    println!("{report}");
    running.stop().await
}

/// Latencies are counted by the microsecond, up to this.
const BUCKETS: usize = 200_000;

struct Outcome {
    /// How many answers took this many microseconds.
    latencies: Vec<u64>,
    failed: usize,
    wrong: usize,
}

/// Asks until told to stop: every second request is one that a policy permits.
async fn load(mut client: Client, seed: usize, policies: usize, done: &AtomicBool) -> Outcome {
    let mut outcome = Outcome { latencies: vec![0; BUCKETS], failed: 0, wrong: 0 };
    let mut n = seed;
    while !done.load(Ordering::Relaxed) {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (team, allowed) = ((n >> 33) % policies, (n >> 20).is_multiple_of(2));
        let body = review(team, allowed);
        let begun = Instant::now();
        match client.review(body).await {
            Ok(status) => {
                let micros = usize::try_from(begun.elapsed().as_micros()).unwrap_or(BUCKETS);
                if let Some(count) = outcome.latencies.get_mut(micros.min(BUCKETS - 1)) {
                    *count += 1;
                }
                outcome.wrong += usize::from(status["allowed"] != json!(allowed));
            }
            Err(_) => outcome.failed += 1,
        }
    }
    outcome
}

fn review(team: usize, allowed: bool) -> String {
    let namespace = if allowed { format!("ns-{}", team % 100) } else { "elsewhere".to_owned() };
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("user-{team}"),
            "groups": [format!("team-{team}"), "system:authenticated"],
            "resourceAttributes": {
                "verb": "list", "group": "apps", "version": "v1", "resource": "deployments",
                "namespace": namespace,
            },
        },
    })
    .to_string()
}

/// Returns grants shaped like bindings; each generation differs in one policy.
fn policy_set(policies: usize, generation: u32) -> Result<String> {
    let mut text = String::new();
    for n in 0..policies {
        let namespace = n % 100;
        writeln!(
            text,
            "@id(\"grant-{n}\") permit(principal in k8s::Group::\"team-{n}\", \
             action in k8s::Action::\"readOnly\", resource is k8s::Resource) when {{ \
             resource.apiGroup == \"apps\" && resource.resource == \"deployments\" && \
             resource has namespace && resource.namespace == \"ns-{namespace}\" }};"
        )?;
    }
    writeln!(
        text,
        "@id(\"generation-{generation}\") forbid(principal, action, resource is k8s::Resource) \
         when {{ resource.resource == \"secrets\" }};"
    )?;
    Ok(text)
}

/// Returns the bound in µs below which this share of the server's own times lies.
fn own_time(metrics: &str, share: f64) -> Option<f64> {
    let prefix = r#"stagedoor_decision_duration_seconds_bucket{endpoint="authorize",le=""#;
    let buckets: Vec<(f64, f64)> = metrics
        .lines()
        .filter_map(|line| {
            let (bound, count) = line.strip_prefix(prefix)?.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.parse().ok()?))
        })
        .collect();
    let (_, total) = buckets.last()?;
    let (bound, _) = buckets.iter().find(|(_, count)| *count >= total * share)?;
    Some(bound * 1e6)
}

fn value(metrics: &str, name: &str) -> Option<Value> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse::<u64>().ok().map(Value::from)
}

fn rss_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}
