//! A server whose rule takes a compiler very long, or takes very long itself: policies do not wait for it,
//! other decisions are as fast as before, and the compiler ends with the server.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::replicas::rule_with;
use crate::serving::{Serving, eventually};

const SCHEMA: &str =
    "entity User, Doc; action read, write appliesTo { principal: User, resource: Doc };";
const POLICIES: &str = "@id(\"read\") permit (principal, action == Action::\"read\", resource);
@id(\"write\") @guard(\"hostile\") permit (principal, action == Action::\"write\", resource);
";

/// Blocks that follow one another, in one function: a compiler takes time and memory that grow with
/// the square of them.
fn bomb() -> Result<Vec<u8>> {
    let blocks = "(block (br_if 0 (local.get 0)))".repeat(70_000);
    rule_with(&format!("(func (param i32) (local i32 i64 f64) {blocks})"), "")
}

fn allows(server: &Serving, action: &str) -> Result<bool> {
    server.decision(&json!({
        "subject": {"type": "User", "id": "ana"},
        "action": {"name": action},
        "resource": {"type": "Doc", "id": "d"},
    }))
}

/// Returns the processes of a server that compile.
fn compilers(of: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{of}/task"))? {
        // A thread may have ended meanwhile.
        let children = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace() {
            if is_compiler(pid.parse()?) {
                found.push(pid.parse()?);
            }
        }
    }
    Ok(found)
}

fn is_compiler(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("compile-rule")
}

/// Decides about reading, for which no rule is asked, and returns how long one in a hundred takes at
/// least.
fn slow_decision(server: &Serving) -> Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..500 {
        let begun = Instant::now();
        ensure!(allows(server, "read")?);
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied().context("no decision")
}

/// A machine with other work is forgiven some turns of its processors.
fn held_up_by_nobody(beside: &str, alone: Duration, meanwhile: Duration) -> Result<()> {
    eprintln!("one decision in a hundred takes {alone:?} and more, beside {beside} {meanwhile:?}");
    ensure!(meanwhile < 8 * alone + Duration::from_millis(150), "{alone:?} became {meanwhile:?}");
    Ok(())
}

/// So many ask for what a slow rule guards.
const ASKING: usize = 16;

#[test]
fn decisions_without_a_rule_are_as_fast_beside_a_slow_one() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("p/rules"))?;
    std::fs::write(here.join("p/app.cedarschema"), SCHEMA)?;
    std::fs::write(here.join("p/app.cedar"), POLICIES)?;
    // Until its deadline, and not until its fuel is used up.
    std::fs::write(here.join("p/rules/hostile.wasm"), rule_with("", "(loop $l (br $l))")?)?;
    let limits = r#"{"fuel": 1099511627776, "deadlineMs": 50}"#;
    std::fs::write(here.join("p/rules/hostile.limits.json"), limits)?;
    let path = |name: &str| here.join(name).display().to_string();
    let (policies, cache) = (path("p"), path("cache"));
    let server = Serving::start(&["--policies", &policies, "--rule-cache", &cache])?;
    ensure!(!allows(&server, "write")?, "a rule that does not answer lets nothing pass");
    let alone = slow_decision(&server)?;

    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let meanwhile = std::thread::scope(|scope| {
        for _ in 0..ASKING {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // It runs, waits or is refused; each is a denial, with or without an answer.
                    if !allows(&server, "write").unwrap_or_default() {
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let measured = eventually("all ask", || Ok(asked.load(Ordering::Relaxed) >= 2 * ASKING))
            .and_then(|()| slow_decision(&server));
        done.store(true, Ordering::Relaxed);
        measured
    })?;
    held_up_by_nobody("a slow rule", alone, meanwhile)?;
    server.end()?;
    Ok(())
}

#[test]
fn a_forbid_is_in_force_while_a_rule_is_compiled() -> Result<()> {
    if !Path::new("/proc/self/task").is_dir() {
        eprintln!("skipped: there is no /proc to see the compiler in");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("p/rules"))?;
    std::fs::write(here.join("p/app.cedarschema"), SCHEMA)?;
    std::fs::write(here.join("p/app.cedar"), POLICIES)?;
    std::fs::write(here.join("p/rules/hostile.wasm"), rule_with("", "")?)?;
    let path = |name: &str| here.join(name).display().to_string();
    let (policies, cache) = (path("p"), path("cache"));
    let bounds = ["--rule-compile-seconds", "600", "--rule-compile-memory", "2048"];
    let args = ["--policies", &policies, "--rule-cache", &cache];
    let server = Serving::start(&[args.as_slice(), &bounds].concat())?;
    eventually("the rule says yes", || allows(&server, "write"))?;
    let alone = slow_decision(&server)?;

    std::fs::write(here.join("p/rules/hostile.wasm"), bomb()?)?;
    eventually("it is being compiled", || Ok(!compilers(server.pid())?.is_empty()))?;
    let compiler = compilers(server.pid())?.first().copied().context("it has ended")?;
    let meanwhile = slow_decision(&server)?;
    ensure!(is_compiler(compiler), "the compiler had ended: is it still a bomb?");
    held_up_by_nobody("a compiler", alone, meanwhile)?;
    let begun = Instant::now();
    std::fs::write(here.join("p/no.cedar"), "@id(\"no\") forbid (principal, action, resource);")?;
    eventually("the forbid is in force", || Ok(!allows(&server, "read")?))?;
    eprintln!("in force after {} ms, with an interval of 1 s", begun.elapsed().as_millis());
    std::fs::remove_file(here.join("p/no.cedar"))?;
    eventually("it is not any more", || allows(&server, "read"))?;
    ensure!(is_compiler(compiler), "the compiler had ended: is it still a bomb?");
    // The rule of before serves meanwhile.
    ensure!(allows(&server, "write")?);

    // Whoever waited for the compiler is killed.
    server.signal("-KILL")?;
    eventually("the compiler has ended too", || Ok(!is_compiler(compiler)))
}
