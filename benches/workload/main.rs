//! Writes workloads as JSON, for the benches in Node.

use std::fs::{File, create_dir_all};
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use stagedoor_benches::{Workload, exported};

/// Writes `N.json` for each number of grants.
#[derive(Debug, Parser)]
struct Args {
    /// Numbers of grants.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,100000")]
    n: Vec<usize>,
    /// Requests of each workload.
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
    /// The directory to write to.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    let Args { n, requests, out } = Args::parse();
    create_dir_all(&out).with_context(|| format!("{}", out.display()))?;
    for n in n {
        let path = out.join(format!("{n}.json"));
        let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
        serde_json::to_writer(BufWriter::new(file), &exported(&Workload::new(n, requests)))?;
    }
    Ok(())
}
