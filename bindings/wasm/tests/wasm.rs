//! Builds the module and runs its tests with Node.
//!
//! Needs `node` and `npm`; their absence is a failure, since nothing would be tested. The first
//! run compiles Cedar for wasm32, into cargo's target directory.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

#[test]
fn the_module_passes_its_tests() -> Result<()> {
    // By the lock file. It lacks packages of other platforms, which `npm ci` takes for a fault.
    let directories = tempfile::tempdir()?;
    let npm = |args: &[&str]| npm(args, directories.path());
    npm(&["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    npm(&["run", "build:quick"])?;
    stagedoor_tests::loading::Table::read()?.write(directories.path())?;
    let printed = npm(&["test"])?;
    ensure!(!printed.contains("the test program of the package writes them"), "{printed}");
    for told in ["clauses.json", "directories", "after a trap the policies are loaded again"] {
        ensure!(printed.contains(told), "{printed}");
    }
    println!("{printed}");
    Ok(())
}

fn npm(args: &[&str], directories: &Path) -> Result<String> {
    let mut npm = Command::new("npm");
    npm.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).args(args);
    npm.env("STAGEDOOR_DIRECTORIES", directories);
    for name in ["CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        npm.env_remove(name);
    }
    let output = npm.output().context("`npm` is needed")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm {args:?}: {printed}\n{errors}");
    Ok(printed)
}
