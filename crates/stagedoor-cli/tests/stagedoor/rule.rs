//! `stagedoor rule`, and policies that rules guard.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::run::{Run, repository, stagedoor};

const REQUEST: &str =
    r#"{"principal":"User::\"ana\"","action":"Action::\"view\"","resource":"User::\"bo\""}"#;

/// Returns a rule called `hostile` that does this before it says yes.
fn rule(evaluate: &str) -> Result<Vec<u8>> {
    let parts = Path::new("crates/stagedoor-rule-host/tests/hostile");
    let part = |name| std::fs::read_to_string(repository(&parts.join(name).to_string_lossy()));
    let module = part("module.wat")?
        .replace("{core}", "")
        .replace("{describe}", "")
        .replace("{evaluate}", evaluate);
    let text = part("component.wat")?
        .replace("{imports}", "")
        .replace("{module}", &module)
        .replace("{version}", "0.1.0");
    Ok(wat::parse_str(text)?)
}

/// Says no, for the reason `hostile`.
const NO: &str =
    "(i32.store8 (i32.const 604) (i32.const 0)) (i32.store8 (i32.const 608) (i32.const 1))
    (i32.store (i32.const 612) (i32.const 1024)) (i32.store (i32.const 616) (i32.const 7))";

fn directory() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::write(here.join("yes.wasm"), rule("")?)?;
    std::fs::write(here.join("no.wasm"), rule(NO)?)?;
    std::fs::write(here.join("trap.wasm"), rule("(unreachable)")?)?;
    std::fs::write(here.join("r.json"), REQUEST)?;
    Ok(directory)
}

/// Runs the command in a directory, with its cache there too.
fn run(here: &Path, args: &[&str]) -> Result<Run> {
    stagedoor(here, args, b"")
}

#[test]
fn a_rule_says_what_it_is() -> Result<()> {
    let directory = directory()?;
    let text = run(directory.path(), &["rule", "check", "yes.wasm"])?;
    ensure!(text.exit == 0 && text.stderr.is_empty(), "{text:?}");
    for part in [
        "hostile 1.0.0\n",
        "looks at  nothing\n",
        "imports   nothing\n",
        "exports   stagedoor:rule/guard@0.1.0\n",
        "limits    5 ms, 10000000 fuel, 16777216 bytes of memory\n",
        "  arguments\n    {\n      \"type\": \"object\"\n    }\n",
    ] {
        ensure!(text.stdout.contains(part), "{part:?} is not in {}", text.stdout);
    }
    let json = run(directory.path(), &["rule", "check", "yes.wasm", "--format", "json"])?;
    let said: Value = serde_json::from_str(&json.stdout)?;
    ensure!(said["name"] == "hostile" && said["arguments"] == json!({"type": "object"}), "{said}");
    ensure!(said["imports"] == json!([]) && said["functions"].as_u64() > Some(2), "{said}");
    Ok(())
}

#[test]
fn limits_beside_a_rule_hold() -> Result<()> {
    let directory = directory()?;
    let here = directory.path();
    std::fs::write(
        here.join("yes.limits.json"),
        r#"{"deadlineMs": 7, "fuel": 1, "fuelPerInputByte": 0}"#,
    )?;
    let text = run(here, &["rule", "run", "yes.wasm", "--request", "r.json"])?;
    ensure!(text.exit == 1 && text.stdout.contains("[wasm_rule::fuel]"), "{text:?}");
    std::fs::write(here.join("yes.limits.json"), r#"{"deadlineMs": 7}"#)?;
    let text = run(here, &["rule", "check", "yes.wasm"])?;
    ensure!(text.stdout.contains("7 ms, 10000000 fuel"), "{text:?}");
    std::fs::write(here.join("yes.limits.json"), r#"{"deadline": 7}"#)?;
    let text = run(here, &["rule", "check", "yes.wasm"])?;
    ensure!(text.exit == 1 && text.stderr.contains("unknown field `deadline`"), "{text:?}");
    Ok(())
}

#[test]
fn a_rule_is_asked() -> Result<()> {
    let directory = directory()?;
    for (file, exit, starts, code) in [
        ("yes.wasm", 0, "yes   hostile (fuel ", Value::Null),
        ("no.wasm", 2, "no    hostile: hostile (fuel ", Value::Null),
        ("trap.wasm", 1, "none  hostile: it trapped: ", json!("wasm_rule::trap")),
    ] {
        let args = ["rule", "run", file, "--request", "r.json"];
        let text = run(directory.path(), &args)?;
        ensure!(text.exit == exit && text.stdout.starts_with(starts), "{file}: {text:?}");
        let text = run(directory.path(), &[args.as_slice(), &["--format", "json"]].concat())?;
        let said: Value = serde_json::from_str(&text.stdout)?;
        ensure!(text.exit == exit && said["code"] == code, "{file}: {said}");
        ensure!(said["holds"] == [json!(true), Value::Null, json!(false)][exit as usize], "{said}");
    }
    Ok(())
}

#[test]
fn what_is_no_rule_is_told() -> Result<()> {
    let directory = directory()?;
    let here = directory.path();
    let whole = std::fs::read(here.join("yes.wasm"))?;
    std::fs::write(here.join("half.wasm"), whole.get(..whole.len() / 2).context("short")?)?;
    std::fs::write(here.join("module.wasm"), wat::parse_str("(module)")?)?;
    std::fs::write(here.join("text.wasm"), "fn main() {}")?;
    std::fs::write(here.join("empty.wasm"), "")?;
    for (file, says) in [
        ("nope.wasm", "`nope.wasm` cannot be read: No such file or directory"),
        (".", "`.` cannot be read: it is not a file"),
        ("half.wasm", "this is not a valid component"),
        ("module.wasm", "help: link with `wasm-component-ld`"),
        ("text.wasm", "this is not a valid component"),
        ("empty.wasm", "this is not a valid component"),
    ] {
        let text = run(here, &["rule", "check", file])?;
        ensure!(text.exit == 1 && text.stdout.is_empty(), "{file}: {text:?}");
        ensure!(text.stderr.contains(says) && text.stderr.lines().count() < 4, "{file}: {text:?}");
    }
    let args = ["rule", "run", "yes.wasm", "--request", "r.json", "--arguments", "[1]"];
    let text = run(here, &args)?;
    ensure!(text.exit == 1 && text.stderr.contains("does not take these arguments"), "{text:?}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let made = Command::new("mkfifo").arg(directory.path().join("pipe.wasm")).status()?;
    ensure!(made.success());
    let text = run(directory.path(), &["rule", "check", "pipe.wasm"])?;
    ensure!(text.exit == 1 && text.stderr.contains("it is not a file"), "{text:?}");
    Ok(())
}

/// Writes guarded policies with the rule that answers so beside them, and a table of what
/// comes of it.
fn guarded(rule: &str, permit: &str, forbid: &str) -> Result<tempfile::TempDir> {
    let directory = directory()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("policies/rules"))?;
    std::fs::copy(here.join(rule), here.join("policies/rules/hostile.wasm"))?;
    std::fs::write(
        here.join("policies/s.cedarschema"),
        "entity User; action view, edit appliesTo { principal: User, resource: User };",
    )?;
    std::fs::write(
        here.join("policies/p.cedar"),
        r#"@id("guarded-permit") @guard("hostile")
           permit (principal, action == Action::"view", resource);
           @id("edits") permit (principal, action == Action::"edit", resource);
           @id("guarded-forbid") @guard("hostile")
           forbid (principal, action == Action::"edit", resource);"#,
    )?;
    std::fs::write(
        here.join("policies/p.test.yaml"),
        format!(
            r#"
suites:
  - name: guards
    cases:
      - {{name: permit, principal: 'User::"a"', action: 'Action::"view"', resource: 'User::"b"', expect: {permit}}}
      - {{name: forbid, principal: 'User::"a"', action: 'Action::"edit"', resource: 'User::"b"', expect: {forbid}}}
"#
        ),
    )?;
    Ok(directory)
}

#[test]
fn rules_beside_policies_guard_them_in_tests_and_answers() -> Result<()> {
    for (rule, permit, forbid) in [
        ("yes.wasm", "allow", "deny"),
        ("no.wasm", "deny", "allow"),
        (
            "trap.wasm",
            "{decision: deny, errors: [guarded-permit]}",
            "{decision: deny, errors: [guarded-forbid]}",
        ),
    ] {
        let directory = guarded(rule, permit, forbid)?;
        let tested = run(directory.path(), &["test", "policies", "--rules", "policies/rules"])?;
        ensure!(tested.exit == 0 && tested.stdout.contains("2 passed"), "{rule}: {tested:?}");
        let args = ["explain", "--policies", "policies", "--request", "r.json"];
        let told = run(directory.path(), &args)?;
        ensure!(told.stdout.contains("hostile"), "{rule}: {told:?}");
    }
    Ok(())
}

#[test]
fn the_command_that_explains_a_failure_names_the_rules() -> Result<()> {
    let directory = guarded("no.wasm", "allow", "deny")?;
    std::fs::rename(directory.path().join("policies/rules"), directory.path().join("own"))?;
    let tested = run(directory.path(), &["test", "policies", "--rules", "own"])?;
    ensure!(tested.exit == 1, "{tested:?}");
    let mut lines = tested.stdout.lines().filter_map(|line| line.split("explain with: ").nth(1));
    let command = lines.next().context("no command")?;
    let binary = Path::new(env!("CARGO_BIN_EXE_stagedoor"));
    let binary = binary.parent().context("a directory")?.display();
    let pasted = Command::new("sh")
        .args(["-c", &format!("PATH=\"{binary}:$PATH\" && {command}")])
        .current_dir(directory.path())
        .output()?;
    let told = String::from_utf8(pasted.stdout)?;
    ensure!(told.contains("hostile"), "{command}: {told} {}", String::from_utf8(pasted.stderr)?);
    Ok(())
}

#[test]
fn a_directory_of_rules_that_cannot_be_read_is_told() -> Result<()> {
    let directory = guarded("yes.wasm", "allow", "deny")?;
    let text = run(directory.path(), &["test", "policies", "--rules", "nowhere"])?;
    ensure!(text.exit != 0, "{text:?}");
    ensure!(text.stderr.contains("`nowhere` cannot be read: No such file"), "{text:?}");
    Ok(())
}

#[test]
fn a_new_rule_is_begun_and_passes_its_test() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let sdk = repository("crates/stagedoor-rule-sdk");
    let sdk = sdk.to_str().context("a path of text")?;
    let begun = run(here, &["rule", "new", "--sdk", sdk, "on-call"])?;
    ensure!(begun.exit == 0, "{begun:?}");
    let twice = run(here, &["rule", "new", "--sdk", sdk, "on-call"])?;
    ensure!(twice.exit == 1 && twice.stderr.contains("`on-call`"), "{twice:?}");
    for name in ["../on-call", "On", "", "-a", "1a"] {
        let refused = run(here, &["rule", "new", "--", name])?;
        ensure!(refused.exit == 1 && refused.stderr.contains("invalid rule name"), "{refused:?}");
    }
    ensure!(std::fs::read_dir(here)?.count() == 1, "more was written than the one rule");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-rule");
    let cargo = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.arg(repository("crates/stagedoor-rule-sdk/wasm32.sh")).arg("cargo").args(args);
        command.current_dir(here.join("on-call")).env("CARGO_TARGET_DIR", &target);
        for name in ["CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(name);
        }
        command.output()
    };
    let tested = cargo(&["test"])?;
    ensure!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let built = cargo(&["build", "--release", "--target", "wasm32-unknown-unknown"])?;
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let file = target.join("wasm32-unknown-unknown/release/on_call.wasm");
    let file = file.to_str().context("a path of text")?;
    let checked = run(here, &["rule", "check", file])?;
    ensure!(checked.exit == 0 && checked.stdout.starts_with("on-call 0.1.0"), "{checked:?}");
    Ok(())
}
