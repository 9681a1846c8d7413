//! Rules in languages without an SDK: the commands of `LANGUAGES.md`, where their tools are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{repository, stagedoor};

const SDK: &str = "crates/stagedoor-rule-sdk";

/// Returns what the page says to type below a heading, without what installs tools.
fn commands(heading: &str) -> Result<String> {
    let page = std::fs::read_to_string(repository(&format!("{SDK}/docs/LANGUAGES.md")))?;
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).context("no heading")?;
    let (_, rest) = rest.split_once("```sh\n").context("no commands")?;
    let (typed, _) = rest.split_once("```").context("they do not end")?;
    let installs =
        |line: &&str| ["apt-get ", "pip ", "npm "].iter().any(|tool| line.starts_with(tool));
    Ok(typed.lines().filter(|line| !installs(line)).collect::<Vec<_>>().join("\n"))
}

fn is_there(tool: &str) -> bool {
    let asked = match tool {
        "go" => "version",
        "stagedoor-rule" => return rule_sdk().is_some(),
        _ => "--version",
    };
    Command::new(tool).arg(asked).output().is_ok_and(|told| told.status.success())
}

/// Returns the command of the SDK for TypeScript, if it is built here with what it needs.
fn rule_sdk() -> Option<PathBuf> {
    let sdk = repository("bindings/rule-sdk");
    let command = sdk.join("dist/cli.js");
    let tools = sdk.join("node_modules/binaryen");
    let node = Command::new("node").arg("--version").output().is_ok_and(|v| v.status.success());
    (command.is_file() && tools.is_dir() && node).then_some(command)
}

fn copied(from: &str, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(repository(&format!("{SDK}/{from}")))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[test]
fn a_rule_in_c_is_built_and_asked_as_the_page_says() -> Result<()> {
    built_and_asked("C", &["clang", "wasm-ld", "wasm-tools"], "{}", &[])
}

#[test]
fn a_rule_in_go_is_built_and_asked_as_the_page_says() -> Result<()> {
    // Its runtime starts in each call.
    built_and_asked("Go", &["go", "wasm-tools"], r#"{"deadlineMs": 1000}"#, &[])
}

#[test]
fn a_rule_in_python_is_built_and_asked_as_the_page_says() -> Result<()> {
    let bounds = ["--rule-compile-seconds", "60", "--rule-compile-memory", "1024"];
    let tools = ["componentize-py", "stagedoor-rule"];
    built_and_asked("Python", &tools, r#"{"deadlineMs": 1000}"#, &bounds)
}

fn built_and_asked(language: &str, tools: &[&str], limits: &str, bounds: &[&str]) -> Result<()> {
    let missing: Vec<&str> = tools.iter().copied().filter(|tool| !is_there(tool)).collect();
    if !missing.is_empty() {
        eprintln!("skipped: there is no {}", missing.join(", no "));
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let here = directory.path().join("docs");
    copied("docs", &here)?;
    copied("wit", &directory.path().join("wit"))?;
    let request = |who: &str| {
        let request = serde_json::json!({
            "principal": format!("User::\"{who}\""),
            "action": "Action::\"view\"",
            "resource": "Doc::\"d\"",
        });
        std::fs::write(here.join("request.json"), request.to_string())
    };
    request("ana")?;
    std::fs::write(here.join("only-one.limits.json"), limits)?;
    let program = Path::new(env!("CARGO_BIN_EXE_stagedoor")).parent().context("a directory")?;
    let path = std::env::var("PATH").unwrap_or_default();
    // As npm links it.
    let linked = directory.path().join("bin");
    std::fs::create_dir(&linked)?;
    if let Some(command) = rule_sdk() {
        std::os::unix::fs::symlink(command, linked.join("stagedoor-rule"))?;
    }
    let run = Command::new("sh")
        .args(["-euc", &commands(language)?])
        .current_dir(&here)
        .env("PATH", format!("{}:{}:{path}", program.display(), linked.display()))
        .env("XDG_CACHE_HOME", &here)
        .output()?;
    let (said, told) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    ensure!(run.status.success(), "{said}{told}");
    ensure!(said.contains("imports   nothing") && said.contains("yes   "), "{said}{told}");
    // Without warnings of the compiler.
    ensure!(!told.contains("warning"), "{told}");

    let ask = |arguments: &str| {
        let ask = ["rule", "run", "--request", "request.json", "--arguments", arguments];
        stagedoor(&here, [ask.as_slice(), bounds, &["only-one.wasm"]].concat(), b"")
    };
    request("bo")?;
    let run = ask(r#"{"who":"ana"}"#)?;
    ensure!(run.exit == 2 && run.stdout.starts_with("no "), "{run:?}");
    let run = ask(r#"{"who":"bo"}"#)?;
    ensure!(run.exit == 0, "{run:?}");
    // Refused before it is asked.
    let run = ask(r#"{"whom":"bo"}"#)?;
    ensure!(run.exit == 1 && run.stderr.contains("does not take these arguments"), "{run:?}");
    Ok(())
}
