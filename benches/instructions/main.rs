//! How many instructions a decision takes, held against the counts in `instructions.json`: they
//! do not depend on how busy a machine is.
//!
//! Needs `valgrind`. Counts hold for one version of the compiler and one profile; with another,
//! they are only printed. `STAGEDOOR_RECORD=1` writes them down:
//!
//! ```sh
//! STAGEDOOR_RECORD=1 cargo test --workspace --test instructions
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// By the turn of `compare`, how many instructions one decision takes.
type Counts = BTreeMap<String, u64>;

/// Turns, and the function that holds nothing but decisions.
const TURNS: [(&str, &str); 4] = [
    ("requests", "*rule_all*"),
    ("handles", "*decide_all*"),
    ("handles-all", "*decide_all*"),
    ("prepared", "*decide_all*"),
];
const GRANTS: u64 = 1_000;
const REQUESTS: u64 = 200;
const REPEATS: u64 = 3;
/// So many hundredths fewer than recorded may a count be; beyond that it is worth recording.
const FEWER: u64 = 10;

/// Returns how many hundredths more than recorded a count may be. Incremental compilation cuts code into
/// other pieces, and counts say less then.
fn more() -> u64 {
    if option_env!("CARGO_INCREMENTAL") == Some("0") { 3 } else { 10 }
}

#[test]
fn decisions_take_as_many_instructions_as_recorded() -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        ensure!(std::env::var_os("CI").is_none(), "valgrind is not installed");
        eprintln!("SKIPPED: instructions were not counted, since valgrind is not installed");
        return Ok(());
    }
    let counted: Counts = TURNS
        .into_iter()
        .map(|(turn, function)| Ok((turn.to_owned(), count(turn, function)?)))
        .collect::<Result<_>>()?;
    eprintln!("instructions a decision: {counted:?}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let mut recorded: BTreeMap<String, Counts> = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let environment = environment()?;
    if std::env::var_os("STAGEDOOR_RECORD").is_some() {
        recorded.insert(environment, counted);
        return Ok(fs::write(&path, serde_json::to_string_pretty(&recorded)? + "\n")?);
    }
    let Some(known) = recorded.get(&environment) else {
        eprintln!("SKIPPED: no counts are recorded for {environment}");
        return Ok(());
    };
    let more = more();
    let is_off = |turn: &String, given: u64| {
        known.get(turn).is_none_or(|known| {
            given * 100 > known * (100 + more) || given * 100 < known * (100 - FEWER)
        })
    };
    let off: Vec<_> = counted.iter().filter(|(turn, given)| is_off(turn, **given)).collect();
    ensure!(
        off.is_empty(),
        "over {more} % more or {FEWER} % fewer: {off:?}, recorded {known:?}; \
         if that is meant, record them with STAGEDOOR_RECORD=1"
    );
    Ok(())
}

/// Counts the instructions of one decision.
fn count(turn: &str, function: &str) -> Result<u64> {
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("instructions-{turn}.out"));
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--toggle-collect={function}")])
        .arg(format!("--callgrind-out-file={}", written.display()))
        .arg(env!("CARGO_BIN_EXE_compare"))
        .args(["turn", "--engine", turn])
        .args(["--n", &GRANTS.to_string(), "--requests", &REQUESTS.to_string()])
        .args(["--repeats", &REPEATS.to_string()])
        .output()?;
    if !run.status.success() {
        bail!("valgrind with {turn}: {}", String::from_utf8_lossy(&run.stderr));
    }
    let text = fs::read_to_string(&written).with_context(|| written.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.context("no total was counted")?.trim().parse()?;
    // Requests that are there are decided once before.
    let rounds = if turn == "requests" { REPEATS + 1 } else { REPEATS };
    ensure!(total > 0, "`{function}` was not met");
    Ok(total / (REQUESTS * rounds))
}

/// Returns what counts depend on: compiler, processor, profile.
fn environment() -> Result<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output()?;
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let version = String::from_utf8(version.stdout)?;
    Ok(format!("{} {} {profile}", version.trim(), std::env::consts::ARCH))
}
