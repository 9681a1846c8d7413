//! Engines that are no part of this program: each answers the exported workload, checks its
//! answers, and writes its rows as JSON.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use stagedoor_benches::{Workload, exported};

use crate::report::Row;

/// Where such engines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// `casbin` and `regorus`.
    Rust,
    /// Stagedoor's addon, Cedar's WebAssembly, `casbin` and CASL.
    Node,
}

/// A row as such an engine writes it.
#[derive(Debug, Deserialize)]
struct PeerRow {
    row: String,
    n: usize,
    ns_per_decision: f64,
    /// How many answers were compared with the workload's; one that is wrong ends the program.
    checked: usize,
}

/// Lets the engines decide, and returns what they wrote.
pub(crate) fn rows(peer: Peer, sizes: &[usize], requests: usize) -> Result<Vec<Row>> {
    let folder = std::env::temp_dir().join(format!("stagedoor-workloads-{}", std::process::id()));
    let written = export(&folder, sizes, requests).and_then(|()| ask(peer, &folder, sizes));
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let face = match peer {
        Peer::Rust => "rust",
        Peer::Node => "node",
    };
    written?
        .into_iter()
        .map(|PeerRow { row, n, ns_per_decision, checked }| {
            ensure!(checked > 0, "`{row}` has checked no answer");
            Ok(Row::new(row, face, n, ns_per_decision, 0))
        })
        .collect()
}

fn export(folder: &Path, sizes: &[usize], requests: usize) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for n in sizes {
        let path = folder.join(format!("{n}.json"));
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        serde_json::to_writer(BufWriter::new(file), &exported(&Workload::new(*n, requests)))?;
    }
    Ok(())
}

fn ask(peer: Peer, folder: &Path, sizes: &[usize]) -> Result<Vec<PeerRow>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    let mut command = match peer {
        Peer::Rust => {
            let mut command = Command::new("cargo");
            command.args(["run", "--release", "--quiet", "--locked", "--"]);
            command.current_dir(here.join("peers"));
            command
        }
        Peer::Node => {
            let mut command = Command::new("node");
            command.args(["--expose-gc", "compare.js"]).current_dir(here.join("node"));
            command
        }
    };
    command.arg("--n").arg(sizes.join(",")).arg("--workloads").arg(folder);
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {errors}");
    eprint!("{errors}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {command:?} wrote"))
}
