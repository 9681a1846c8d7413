//! Lets `casbin` and `regorus` decide the exported workload, checks every answer, and writes one
//! JSON array of `{row, n, ns_per_decision, checked}`. `compare --with rust` runs it.

mod rbac;
mod rego;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use workload::{Workload, WorkloadRequest};

/// Processor time that one turn may take.
const TURN: Duration = Duration::from_millis(250);
/// Requests that the slowest decides.
const FEWEST: usize = 8;
const ROUNDS: usize = 9;

#[derive(Debug, Serialize)]
struct Row {
    row: &'static str,
    n: usize,
    ns_per_decision: u64,
    checked: usize,
}

/// What decides a request of the workload, by its number.
trait Decide {
    fn is_allowed(&self, number: usize) -> Result<bool>;
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut sizes, mut folder) = (String::from("10,1000,100000"), PathBuf::from("workloads"));
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--n" => sizes = value,
            "--workloads" => folder = value.into(),
            _ => bail!("{name}: use --n and --workloads"),
        }
    }
    let mut rows = Vec::new();
    for n in sizes.split(',').map(str::parse::<usize>) {
        let n = n?;
        let path = folder.join(format!("{n}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let workload: Workload = serde_json::from_str(&text)?;
        let asked = &workload.requests;
        rows.push(row("rust-casbin", n, asked, &rbac::Casbin::new(&workload)?)?);
        let regorus = rego::Regorus::new(&workload)?;
        rows.push(row("rust-regorus", n, asked, &regorus)?);
        rows.push(row("rust-regorus-machine", n, asked, &rego::Machine(&regorus))?);
        eprintln!("{n} grants done");
    }
    println!("{}", serde_json::to_string_pretty(&rows)?);
    Ok(())
}

/// Checks as many answers as fit into a turn, then lets the engine give them again.
fn row(row: &'static str, n: usize, asked: &[WorkloadRequest], engine: &dyn Decide) -> Result<Row> {
    let before = used()?;
    let mut checked = 0;
    for (number, asked) in asked.iter().enumerate() {
        if number >= FEWEST && used()? - before > TURN {
            break;
        }
        let given = engine.is_allowed(number)?;
        ensure!(given == asked.allowed, "{row} with {n} grants: {given} for {asked:?}");
        checked += 1;
    }
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let before = used()?;
        let mut decided = 0;
        while decided == 0 || used()? - before < TURN / 5 {
            for number in 0..checked {
                std::hint::black_box(engine.is_allowed(number)?);
            }
            decided += checked;
        }
        figures.push((used()? - before).as_nanos() as u64 / decided as u64);
    }
    figures.sort_unstable();
    let median = figures.get(ROUNDS / 2).copied().context("a figure")?;
    Ok(Row { row, n, ns_per_decision: median, checked })
}

/// Returns the processor time that this thread has used.
fn used() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
