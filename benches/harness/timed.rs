//! Runs of the command.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The command.
pub(crate) struct Command(PathBuf);

impl Command {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns how long a run takes, whatever it finds.
    pub(crate) fn run(&self, place: &Path, args: &[&str]) -> Result<Duration> {
        let started = Instant::now();
        let output = self.process(place, args).output()?;
        let took = started.elapsed();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(matches!(output.status.code(), Some(0 | 1)), "{args:?}: {errors}");
        Ok(took)
    }

    /// Returns how long a run takes that ends so, and what it prints.
    pub(crate) fn json(&self, place: &Path, args: &[&str], exit: i32) -> Result<(Duration, Value)> {
        let started = Instant::now();
        let output = self.process(place, args).args(["--format", "json"]).output()?;
        let took = started.elapsed();
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(exit), "{args:?}: {printed}");
        Ok((took, serde_json::from_str(&printed)?))
    }

    fn process(&self, place: &Path, args: &[&str]) -> std::process::Command {
        let mut process = std::process::Command::new(&self.0);
        process.current_dir(place).args(args);
        process
    }
}

/// Tests that are run again after each change; ended when dropped.
pub(crate) struct WatchRun {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    policies: PathBuf,
    text: String,
    changes: usize,
}

impl WatchRun {
    pub(crate) fn start(command: &Command, place: &Path) -> Result<Self> {
        let mut process = command.process(place, &["test", "--watch", "--format", "json"]);
        let mut child = process.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let policies = place.join("app.cedar");
        let text = fs::read_to_string(&policies)?;
        let mut watched = Self { child, lines, policies, text, changes: 0 };
        watched.passed()?;
        Ok(watched)
    }

    /// Changes the policies; returns how long it takes until the result is told.
    pub(crate) fn change(&mut self) -> Result<Duration> {
        self.changes += 1;
        let new = self.policies.with_file_name(".new");
        fs::write(&new, format!("{}// change {}\n", self.text, self.changes))?;
        let started = Instant::now();
        fs::rename(new, &self.policies)?;
        self.passed()?;
        Ok(started.elapsed())
    }

    fn passed(&mut self) -> Result<()> {
        let line = self.lines.next().context("the command ended")??;
        let report: Value = serde_json::from_str(&line)?;
        ensure!(report.get("failed").and_then(Value::as_u64) == Some(0), "{report}");
        Ok(())
    }
}

impl Drop for WatchRun {
    fn drop(&mut self) {
        // It may have ended itself.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Returns the time in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
