//! Times Stagedoor and its peers in turn on the same requests, and checks every answer.

mod backstage;
mod chart;
mod contest;
mod cpu;
mod edits;
mod load;
mod others;
mod page;
mod report;
mod scenarios;
mod tail;
mod threads;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

use contest::Requests;
use load::{Engine, LoadCost};
use others::Peer;
use report::Row;
use stagedoor_benches::Workload;

/// Times Stagedoor and its peers in turn on the same requests, and checks every answer.
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
    /// Writes what was measured to this file, as a page in Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Draws the rows to this file as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Lets engines outside of this program decide as well: those in Rust that Cargo builds from
    /// `benches/peers`, those in Node that npm has installed in `benches/node`.
    #[arg(long = "with", value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
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
    /// Measures how long the slowest decisions take while another thread reloads the policies.
    Tail {
        /// How many grants there are.
        #[arg(long, default_value_t = 1_000)]
        n: usize,
        /// For how many seconds requests are decided.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Measures how long single edits of policies and entities take among many.
    Edits {
        /// How many grants and users there are.
        #[arg(long, default_value_t = 100_000)]
        n: usize,
        /// How many edits of each kind are made.
        #[arg(long, default_value_t = 1_000)]
        edits: usize,
    },
    /// Times SAPL's published scenarios, and shapes on which decision diagrams break.
    Scenarios {
        /// How many times each has its turn; the median counts.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
        /// Only those whose names begin so.
        #[arg(long, default_value = "")]
        only: String,
    },
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
        Some(Part::Tail { n, seconds }) => tail::measure(n, seconds),
        Some(Part::Edits { n, edits }) => edits::measure(n, edits),
        Some(Part::Scenarios { rounds, only }) => scenarios::measure(rounds, &only),
        Some(Part::Load { engine, n }) => {
            println!("{}", serde_json::to_string(&load::here(engine, n)?)?);
            Ok(())
        }
        Some(Part::Turn { engine, n, requests, repeats }) => {
            let workload = Workload::new(n, requests);
            let requests = Requests::new(workload)?;
            let loaded = requests.load(engine)?;
            println!("{:.0} ns/decision", requests.repeat(&loaded, engine, repeats)?);
            Ok(())
        }
    }
}

fn compare(arguments: Compare) -> Result<()> {
    let Compare { n: sizes, json, markdown, svg, peers, requests, rounds, loads } = arguments;
    let mut rows: Vec<Row> = Vec::new();
    let mut scaling = Vec::new();
    for &n in &sizes {
        let contest = contest::Contest::new(n, requests)?;
        let mut known: Vec<(Engine, LoadCost)> = Vec::new();
        for result in contest.run(rounds)? {
            let engine = result.loaded_as;
            let loaded = match known.iter().find(|(known, _)| *known == engine) {
                Some((_, loaded)) => *loaded,
                None => load::in_children(engine, n, loads)?,
            };
            known.push((engine, loaded));
            let LoadCost { load_ms, peak_rss_mib } = loaded;
            let mut row = Row::new(result.engine, "rust", n, result.ns_per_decision, result.wrong);
            row.load_ms = Some(load_ms);
            row.peak_rss_mib = Some(peak_rss_mib);
            rows.push(row);
        }
        scaling.push((n, contest.threads(rounds)?));
        eprintln!("{n} grants done");
    }
    for peer in peers {
        rows.extend(others::rows(peer, &sizes, requests)?);
    }
    rows.extend(backstage::rows(requests, rounds)?);
    print!("{}", report::table(&rows));
    print!("{}", threads::table(&scaling));
    if let Some(path) = json {
        write(&path, &(serde_json::to_string_pretty(&rows)? + "\n"))?;
    }
    if let Some(path) = markdown {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let command = format!("compare {}", arguments.join(" "));
        write(&path, &page::page(&rows, &scaling, &command))?;
    }
    if let Some(path) = svg {
        write(&path, &chart::svg(&rows))?;
    }
    let wrong: usize = rows.iter().map(|row| row.wrong).sum();
    anyhow::ensure!(wrong == 0, "{wrong} answers are wrong");
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}
