//! What a run costs: time by the clock, processor time and the most memory.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

/// What a run came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunCost {
    pub(crate) wall: Duration,
    /// Of all threads.
    pub(crate) cpu: Duration,
    /// The most memory, in KiB.
    pub(crate) peak_kib: i64,
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command as the only child of this process, and writes what that came to.
pub(crate) fn run_only_child(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("nothing to run")?;
    let started = Instant::now();
    let output = Command::new(program).args(args).output()?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(time.num_microseconds().unsigned_abs())
    };
    let metered = RunCost {
        wall,
        cpu: time(usage.user_time()) + time(usage.system_time()),
        peak_kib: usage.max_rss(),
        exit: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    println!("{}", serde_json::to_string(&metered)?);
    Ok(())
}

/// Runs a command in a place, in a process of its own, so that its memory is told apart.
pub(crate) fn metered(program: &Path, place: &Path, args: &[&str]) -> Result<RunCost> {
    let own = std::env::current_exe()?;
    let output = Command::new(own).current_dir(place).arg("--").arg(program).args(args).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{args:?}: {errors}");
    let metered: RunCost = serde_json::from_slice(&output.stdout)?;
    ensure!(matches!(metered.exit, Some(0 | 1)), "{args:?}: {}", metered.stderr);
    Ok(metered)
}

impl RunCost {
    /// Prints what it came to under a name, with so many times another run's processor time.
    pub(crate) fn tell(&self, what: &str, beside: Option<&Self>) {
        let Self { wall, cpu, peak_kib, .. } = self;
        let times = beside.map(|other| cpu.as_secs_f64() / other.cpu.as_secs_f64().max(1e-9));
        let times = times.map(|times| format!("  {times:.1} times")).unwrap_or_default();
        println!(
            "{what:<56}{:>9.0} ms{:>9.0} ms{:>6} MiB{times}",
            wall.as_secs_f64() * 1e3,
            cpu.as_secs_f64() * 1e3,
            peak_kib / 1024
        );
    }
}
