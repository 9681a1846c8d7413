//! One run of the command.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// What a run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the command, to be run in `directory`.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
    command.current_dir(directory);
    command
}

/// Runs the command with these arguments and this standard input.
pub(crate) fn stagedoor<S: AsRef<std::ffi::OsStr>>(
    directory: &Path,
    args: impl IntoIterator<Item = S>,
    stdin: &[u8],
) -> Result<Run> {
    let mut child = command(directory)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().context("no standard input")?;
    let given = stdin.to_vec();
    // A command that fails early does not read its input: that is no failure here.
    let writer = std::thread::spawn(move || pipe.write_all(&given));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    Ok(Run {
        exit: output.status.code().context("ended by a signal")?,
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// Returns a path below the root of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
