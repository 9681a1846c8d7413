//! Completions, manual pages, help.

use std::path::Path;

use anyhow::Result;

use crate::run::stagedoor;

const SUBCOMMANDS: [&str; 18] = [
    "authorize",
    "check",
    "explain",
    "validate",
    "test",
    "lint",
    "diff",
    "fmt",
    "report",
    "import",
    "audit",
    "who-can",
    "what-can",
    "serve",
    "rule",
    "demo",
    "completions",
    "man",
];

#[test]
fn every_shell_has_completions() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = stagedoor(Path::new("/"), ["completions", shell], b"")?;
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{shell}");
        for subcommand in SUBCOMMANDS {
            assert!(run.stdout.contains(subcommand), "{shell}: {subcommand}");
        }
    }
    Ok(())
}

#[test]
fn every_subcommand_has_a_manual_page_and_help() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let run = stagedoor(directory.path(), ["man", "--out", "pages/man1"], b"")?;
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    for subcommand in SUBCOMMANDS {
        let page = directory.path().join(format!("pages/man1/stagedoor-{subcommand}.1"));
        assert!(std::fs::read_to_string(page)?.contains(".SH SYNOPSIS"), "{subcommand}");
        let help = stagedoor(directory.path(), [subcommand, "--help"], b"")?;
        assert_eq!((help.exit, help.stderr.as_str()), (0, ""), "{subcommand}");
    }
    let main = stagedoor(directory.path(), ["man"], b"")?;
    assert!(main.stdout.contains(".TH stagedoor 1"));
    Ok(())
}
