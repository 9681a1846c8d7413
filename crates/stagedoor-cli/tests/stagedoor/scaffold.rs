//! `stagedoor rule new --lang typescript`: what it begins is tested, built and loaded.
//!
//! Needs `node` and `npm`; their absence is a failure, since nothing would be tested.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{repository, stagedoor};

#[test]
fn a_rule_in_typescript_is_begun_and_passes_its_test() -> Result<()> {
    let sdk = repository("bindings/rule-sdk");
    npm(&sdk, &INSTALL)?;
    npm(&sdk, &["run", "build"])?;
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let sdk = sdk.to_str().context("a path of text")?;
    let args = ["rule", "new", "--lang", "typescript", "--sdk", sdk, "on-call"];
    let begun = stagedoor(here, args, b"")?;
    ensure!(begun.exit == 0, "{begun:?}");
    let project = here.join("on-call");
    npm(&project, &INSTALL)?;
    let tested = npm(&project, &["test"])?;
    ensure!(tested.contains("allowed actions are let through"), "{tested}");
    npm(&project, &["run", "build"])?;
    let checked = stagedoor(&project, ["rule", "check", "dist/on-call.wasm"], b"")?;
    ensure!(checked.exit == 0 && checked.stdout.starts_with("on-call 0.1.0"), "{checked:?}");
    ensure!(checked.stdout.contains("imports   nothing"), "{checked:?}");
    Ok(())
}

/// By the lock file, where there is one. It lacks packages of other platforms, which `npm ci` takes
/// for a fault.
const INSTALL: [&str; 5] = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];

fn npm(directory: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("npm").current_dir(directory).args(args).output();
    let output = output.context("`npm` is needed")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm {args:?}: {printed}\n{errors}");
    Ok(printed)
}
