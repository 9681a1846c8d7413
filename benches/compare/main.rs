//! Times Stagedoor and plain Cedar in turn on the same requests, and checks every answer.

mod contest;
mod cpu;
mod load;
mod report;
mod threads;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

use contest::Requests;
use load::{Engine, Loaded};
use report::Row;
use stagedoor_benches::Workload;

/// Times Stagedoor and plain Cedar in turn on the same requests, and checks every answer.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    compare: Compare,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Args)]
struct Compare {
    /// How many grants there are; several numbers with commas.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000,100000")]
    n: Vec<usize>,
    /// Writes the rows to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many different requests are decided.
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
    /// How many times each engine has its turn; the median counts.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How many times each engine is loaded; the fastest load counts.
    #[arg(long, default_value_t = 3)]
    loads: usize,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Loads one engine in this process, and writes what that took.
    #[command(hide = true)]
    Load {
        #[arg(long)]
        engine: Engine,
        #[arg(long)]
        n: usize,
    },
    /// Repeats one engine's turn, for a profiler to watch; writes the median time.
    #[command(hide = true)]
    Turn {
        #[arg(long)]
        engine: contest::Turn,
        #[arg(long)]
        n: usize,
        #[arg(long, default_value_t = 1_000)]
        requests: usize,
        #[arg(long, default_value_t = 100)]
        repeats: usize,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        None => compare(arguments.compare),
        Some(Part::Load { engine, n }) => {
            println!("{}", serde_json::to_string(&load::here(engine, n)?)?);
            Ok(())
        }
        Some(Part::Turn { engine, n, requests, repeats }) => {
            let workload = Workload::new(n, requests);
            let requests = Requests::new(workload)?;
            let loaded = requests.load(engine)?;
            let ns = (0..repeats).map(|_| requests.time_all(&loaded, engine));
            println!("{:.0} ns/decision", cpu::median(ns.collect::<Result<_>>()?));
            Ok(())
        }
    }
}

fn compare(arguments: Compare) -> Result<()> {
    let Compare { n: sizes, json, requests, rounds, loads } = arguments;
    let mut rows: Vec<Row> = Vec::new();
    let mut scaling = Vec::new();
    for n in sizes {
        let contest = contest::Contest::new(n, requests)?;
        for result in contest.run(rounds)? {
            let Loaded { load_ms, peak_rss_mib } = load::in_children(result.loaded_as, n, loads)?;
            rows.push(Row {
                engine: result.engine,
                face: "rust",
                n,
                ns_per_decision: result.ns_per_decision,
                wrong: result.wrong,
                load_ms,
                peak_rss_mib,
            });
        }
        scaling.push((n, contest.threads(rounds)?));
        eprintln!("{n} grants done");
    }
    print!("{}", report::table(&rows));
    print!("{}", threads::table(&scaling));
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&rows)?;
        fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    }
    let wrong: usize = rows.iter().map(|row| row.wrong).sum();
    anyhow::ensure!(wrong == 0, "{wrong} answers are wrong");
    Ok(())
}
