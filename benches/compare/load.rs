//! What loading takes, each engine in a process of its own.

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use stagedoor_benches::{Form, Workload, cedar, stagedoor};

/// An engine and the form in which it is given the grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    PlainCedar,
    Stagedoor,
    StagedoorLinks,
}

/// Time and memory of one load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LoadCost {
    /// Wall-clock time from the texts to an engine that can decide.
    pub(crate) load_ms: f64,
    /// The most memory that the process ever had, texts included.
    pub(crate) peak_rss_mib: f64,
}

/// Loads in this process, which does nothing else.
pub(crate) fn here(engine: Engine, n: usize) -> Result<LoadCost> {
    let load_ms = match engine {
        Engine::PlainCedar => {
            let text = Workload::new(n, 0).policies(Form::Text);
            let start = Instant::now();
            let set = cedar::load(&text)?;
            let took = start.elapsed();
            black_box(&set);
            took
        }
        Engine::Stagedoor | Engine::StagedoorLinks => {
            let form = if engine == Engine::Stagedoor { Form::Text } else { Form::Links };
            let builder = stagedoor::builder(&Workload::new(n, 0), form)?;
            let start = Instant::now();
            let loaded = builder.build()?;
            let took = start.elapsed();
            black_box(&loaded);
            took
        }
    };
    Ok(LoadCost { load_ms: load_ms.as_secs_f64() * 1e3, peak_rss_mib: peak_rss_mib()? })
}

/// Loads a few times, each in a fresh process of this program. The shortest time counts,
/// since other programs can only make it longer, and the most memory.
pub(crate) fn in_children(engine: Engine, n: usize, times: usize) -> Result<LoadCost> {
    let mut best = in_child(engine, n)?;
    for _ in 1..times {
        let LoadCost { load_ms, peak_rss_mib } = in_child(engine, n)?;
        best.load_ms = best.load_ms.min(load_ms);
        best.peak_rss_mib = best.peak_rss_mib.max(peak_rss_mib);
    }
    Ok(best)
}

fn in_child(engine: Engine, n: usize) -> Result<LoadCost> {
    let engine = engine.to_possible_value().context("an engine with a name")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["load", "--engine", engine.get_name(), "--n", &n.to_string()])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn peak_rss_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("peak memory needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no `VmHWM`")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
