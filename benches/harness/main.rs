//! Times the test harness and the reviews as people have them: the command, from start to end.

mod files;
mod meter;
mod sets;
mod timed;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use meter::{RunCost, metered};
use sets::Difference;
use timed::{Command, WatchRun, median};

/// Times `stagedoor test`, `lint`, `diff` and `report`; the median of some runs counts.
#[derive(Debug, Parser)]
struct Arguments {
    /// The command; by default the one that was built beside this program.
    #[arg(long)]
    stagedoor: Option<PathBuf>,
    /// How many cases are run.
    #[arg(long, default_value_t = 10_000)]
    cases: usize,
    /// How many policies, and how many bindings, are reviewed; several numbers with commas.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    policies: Vec<usize>,
    /// What is timed.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "commands,diff,measures,mutants"
    )]
    only: Vec<Part>,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A command that is run once, and what it cost: what this program calls itself for.
    #[arg(last = true, hide = true)]
    only_child: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `test`, `lint`, `diff` and `report`, by the clock.
    Commands,
    /// `diff` with one policy or all changed, and of bindings.
    Diff,
    /// `test --coverage` and `report` beside `test`, with as many cases as `--cases`.
    Measures,
    /// `test --mutate`: 200 policies and 1,000 cases.
    Mutants,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.only_child.is_empty() {
        return meter::run_only_child(&arguments.only_child);
    }
    let path = match &arguments.stagedoor {
        Some(path) => path.clone(),
        None => env::current_exe()?.with_file_name(format!("stagedoor{}", env::consts::EXE_SUFFIX)),
    };
    let path = path.canonicalize().with_context(|| {
        format!("`{}` is missing: build it with `--bin stagedoor`", path.display())
    })?;
    let wants = |part| arguments.only.contains(&part);
    if wants(Part::Commands) {
        commands(&Command::new(path.clone()), &arguments)?;
    }
    if wants(Part::Diff) || wants(Part::Measures) || wants(Part::Mutants) {
        println!("{:<56}{:>12}{:>12}{:>10}", "", "clock", "processor", "memory");
    }
    let rounds = arguments.rounds.max(1);
    for count in arguments.policies.iter().copied().filter(|_| wants(Part::Diff)) {
        diffs(&path, count, rounds)?;
    }
    for count in arguments.policies.iter().copied().filter(|_| wants(Part::Measures)) {
        measures(&path, count, arguments.cases, rounds)?;
    }
    if wants(Part::Mutants) {
        for count in arguments.policies.iter().copied().filter(|count| *count < MUTATED) {
            mutants(&path, count)?;
        }
        mutants(&path, MUTATED)?;
    }
    Ok(())
}

/// How many policies mutants are made of.
const MUTATED: usize = 200;

/// Compares sets of so many policies, and clusters of so many bindings.
fn diffs(stagedoor: &Path, count: usize, rounds: usize) -> Result<()> {
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    for (name, changed) in
        [("old", Difference::Nothing), ("one", Difference::One), ("all", Difference::All)]
    {
        sets::policies(&at(name), count, changed)?;
        sets::bindings(&at(&format!("rbac-{name}")), count, changed)?;
    }
    for (new, what) in [("one", "one"), ("all", "all")] {
        let run = middle(rounds, || metered(stagedoor, place.path(), &["diff", "old", new]))?;
        run.tell(&format!("diff: {count} policies, {what} changed"), None);
    }
    for (new, what) in [("rbac-one", "one"), ("rbac-all", "all")] {
        let run = middle(rounds, || metered(stagedoor, place.path(), &["diff", "rbac-old", new]))?;
        run.tell(&format!("diff: {count} bindings, {what} changed"), None);
    }
    Ok(())
}

/// Measures coverage, and makes a report, beside the tests themselves.
fn measures(stagedoor: &Path, count: usize, cases: usize, rounds: usize) -> Result<()> {
    let place = tempfile::tempdir()?;
    sets::policies(place.path(), count, Difference::Nothing)?;
    sets::cases(place.path(), count, cases)?;
    let run = |args: &[&str]| middle(rounds, || metered(stagedoor, place.path(), args));
    let of = format!("{count} policies, {cases} cases");
    let test = run(&["test"])?;
    test.tell(&format!("test: {of}"), None);
    run(&["test", "--coverage"])?.tell(&format!("test --coverage: {of}"), Some(&test));
    let report = run(&["report", ".", "--html", "page.html"])?;
    report.tell(&format!("report: {of}"), Some(&test));
    Ok(())
}

/// Settles mutants of so many policies by 1,000 cases.
fn mutants(stagedoor: &Path, count: usize) -> Result<()> {
    let place = tempfile::tempdir()?;
    sets::policies(place.path(), count, Difference::Nothing)?;
    sets::cases(place.path(), count, 1_000)?;
    let args = ["test", "--mutate", "--budget", "600"];
    let run = metered(stagedoor, place.path(), &args)?;
    run.tell(&format!("test --mutate: {count} policies, 1000 cases"), None);
    let told = run.stdout.lines().find(|line| line.starts_with("mutants: "));
    println!("  {}", told.with_context(|| format!("no mutants: {}", run.stdout))?);
    Ok(())
}

/// Returns the run in the middle, by processor time.
fn middle(rounds: usize, run: impl Fn() -> Result<RunCost>) -> Result<RunCost> {
    let mut runs = (0..rounds).map(|_| run()).collect::<Result<Vec<_>>>()?;
    runs.sort_by_key(|run| run.cpu);
    let place = runs.len() / 2;
    runs.into_iter().nth(place).context("no run")
}

fn commands(command: &Command, arguments: &Arguments) -> Result<()> {
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
    let mut watched = WatchRun::start(command, place.path())?;
    let reruns = (0..rounds.max(9)).map(|_| watched.change()).collect::<Result<Vec<_>>>()?;
    let slowest = reruns.iter().max().copied().unwrap_or_default();
    tell("test --watch: 20 cases, from a change to the result", median(reruns));
    tell("  the slowest", slowest);

    for policies in arguments.policies.iter().copied() {
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
