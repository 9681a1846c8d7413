//! How long the slowest decisions take while another thread reloads the policies.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use stagedoor_benches::{Form, Workload, stagedoor};
use stagedoor_core::{Decision, EngineHolder};

use crate::contest::Requests;

/// How many requests there are.
const REQUESTS: usize = 1_000;

/// Decides requests for some seconds, without reloads and with them, and prints how long decisions
/// took by the clock.
pub(crate) fn measure(n: usize, seconds: u64) -> Result<()> {
    let requests = Requests::new(Workload::new(n, REQUESTS))?;
    let builder = stagedoor::builder(&requests.workload, Form::Text)?;
    let holder = EngineHolder::new(builder.clone().build()?);
    let time = Duration::from_secs(seconds);
    println!(
        "{:<22}{:>12}{:>10}{:>10}{:>10}{:>12}",
        "", "decisions", "p50", "p99", "p99.9", "most"
    );
    let mut quiet = decide(&requests, &holder, time)?;
    print_line("no reloads", &mut quiet);

    let is_done = AtomicBool::new(false);
    let (mut busy, reloads) = thread::scope(|scope| -> Result<_> {
        let reloading = scope.spawn(|| -> Result<usize> {
            let mut reloads = 0;
            while !is_done.load(Ordering::Relaxed) {
                holder.reload(builder.clone())?;
                reloads += 1;
            }
            Ok(reloads)
        });
        let busy = decide(&requests, &holder, time);
        is_done.store(true, Ordering::Relaxed);
        let reloads = reloading.join().map_err(|_| anyhow!("the reloading thread failed"))??;
        Ok((busy?, reloads))
    })?;
    print_line(&format!("{reloads} reloads"), &mut busy);
    Ok(())
}

/// Returns how long each decision took, in nanoseconds by the clock.
fn decide(requests: &Requests, holder: &EngineHolder, time: Duration) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    let end = Instant::now() + time;
    let asked = requests.prepared.iter().zip(requests.workload.requests()).cycle();
    for ((request, entities), asked) in asked {
        let start = Instant::now();
        if start >= end {
            break;
        }
        let engine = holder.current();
        let is_allowed = engine.ruling(request, entities)?.decision() == Decision::Allow;
        took.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        anyhow::ensure!(black_box(is_allowed) == asked.allowed, "an answer is wrong");
    }
    Ok(took)
}

pub(crate) fn print_line(what: &str, took: &mut [u64]) {
    took.sort_unstable();
    let at = |part: f64| {
        let place = (took.len() as f64 * part) as usize;
        let ns = took.get(place.min(took.len().saturating_sub(1))).copied().context("a decision");
        ns.map_or(f64::NAN, |ns| ns as f64 / 1e3)
    };
    println!(
        "{what:<22}{:>12}{:>7.1} µs{:>7.1} µs{:>7.1} µs{:>9.1} µs",
        took.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
