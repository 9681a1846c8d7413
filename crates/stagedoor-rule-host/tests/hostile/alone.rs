//! Tests that measure their process, and so need one without the other tests.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Runs an ignored test of this program in a process of its own.
pub(crate) fn passes_alone(test: &str) -> Result<()> {
    let arguments = ["--exact", "--ignored", "--nocapture", test];
    let run = Command::new(std::env::current_exe()?).args(arguments).output()?;
    let (told, errors) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    ensure!(run.status.success() && told.contains("1 passed"), "{told}{errors}");
    println!("{told}");
    Ok(())
}

/// Memory of this process that is in use, in KiB.
pub(crate) fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}
