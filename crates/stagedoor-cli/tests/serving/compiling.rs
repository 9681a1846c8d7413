//! A server whose rule takes a compiler very long: policies do not wait for it, and it ends with
//! the server.

use std::path::Path;
use std::time::Instant;

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

    std::fs::write(here.join("p/rules/hostile.wasm"), bomb()?)?;
    eventually("it is being compiled", || Ok(!compilers(server.pid())?.is_empty()))?;
    let compiler = compilers(server.pid())?.first().copied().context("it has ended")?;
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
