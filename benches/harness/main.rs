//! Times the test harness and the reviews as people have them: the command, from start to end.

mod files;
mod timed;

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

use timed::{Command, Watched, median};

/// Times `stagedoor test`, `lint`, `diff` and `report`; the median of some runs counts.
#[derive(Debug, Parser)]
struct Arguments {
    /// The command; by default the one that was built beside this program.
    #[arg(long)]
    stagedoor: Option<PathBuf>,
    /// How many cases are run.
    #[arg(long, default_value_t = 10_000)]
    cases: usize,
    /// How many policies are reviewed; several numbers with commas.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    policies: Vec<usize>,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let path = match arguments.stagedoor {
        Some(path) => path,
        None => env::current_exe()?.with_file_name(format!("stagedoor{}", env::consts::EXE_SUFFIX)),
    };
    let command = Command::new(path)?;
    let rounds = arguments.rounds.max(1);

    let place = tempfile::tempdir()?;
    files::cases(place.path(), arguments.cases)?;
    let (mut loads, mut runs, mut walls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (wall, report) = command.json(place.path(), &["test"], 0)?;
        let passed = report.get("passed").and_then(serde_json::Value::as_u64);
        anyhow::ensure!(passed == u64::try_from(arguments.cases).ok(), "{report}");
        loads.push(milliseconds(&report, "load_ms")?);
        runs.push(milliseconds(&report, "run_ms")?);
        walls.push(wall);
    }
    let cases = arguments.cases;
    tell(&format!("test: {cases} cases, after loading"), median(runs));
    tell(&format!("test: {cases} cases, loading"), median(loads));
    tell(&format!("test: {cases} cases, the command"), median(walls));

    let place = tempfile::tempdir()?;
    files::cases(place.path(), 20)?;
    let mut watched = Watched::start(&command, place.path())?;
    let reruns = (0..rounds.max(9)).map(|_| watched.change()).collect::<Result<Vec<_>>>()?;
    let slowest = reruns.iter().max().copied().unwrap_or_default();
    tell("test --watch: 20 cases, from a change to the result", median(reruns));
    tell("  the slowest", slowest);

    for policies in arguments.policies {
        let place = tempfile::tempdir()?;
        files::policies(place.path(), policies)?;
        for (name, args) in [
            ("lint", &["lint", "new"][..]),
            ("diff", &["diff", "old", "new"]),
            ("report", &["report", "new", "--html", "page.html"]),
        ] {
            let times = (0..rounds).map(|_| command.run(place.path(), args));
            let of = if name == "diff" { ", 2,000 requests" } else { "" };
            tell(
                &format!("{name}: {policies} policies{of}"),
                median(times.collect::<Result<_>>()?),
            );
        }
    }
    Ok(())
}

fn tell(what: &str, time: Duration) {
    println!("{what:<60}{:>9.1} ms", time.as_secs_f64() * 1e3);
}

fn milliseconds(report: &serde_json::Value, key: &str) -> Result<Duration> {
    let number = report.get(key).and_then(serde_json::Value::as_f64);
    Ok(Duration::from_secs_f64(number.with_context(|| format!("no `{key}`: {report}"))? / 1e3))
}
