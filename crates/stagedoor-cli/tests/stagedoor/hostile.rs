//! Input that is too much, too deep or not what it should be, and readers that go away.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::run::{command, stagedoor};

const SCHEMA: &str = "entity User; action view appliesTo { principal: User, resource: User };";
const POLICY: &str = "permit(principal == User::\"ana\", action, resource);";
const REQUEST: &str =
    r#"{"principal":"User::\"ana\"","action":"Action::\"view\"","resource":"User::\"bo\""}"#;
const AUTHORIZE: [&str; 5] = ["authorize", "--policies", "p.cedar", "--schema", "s.cedarschema"];

fn directory() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("s.cedarschema"), SCHEMA)?;
    std::fs::write(directory.path().join("p.cedar"), POLICY)?;
    std::fs::write(directory.path().join("r.json"), REQUEST)?;
    std::fs::write(directory.path().join("e.json"), "[]")?;
    Ok(directory)
}

/// Writes a file of this many zero bytes, which takes no room on the disk.
fn zeros(path: &Path, bytes: u64) -> Result<()> {
    Ok(std::fs::File::create(path)?.set_len(bytes)?)
}

/// Runs the command, which must fail soon, with one clear line.
fn refuses(directory: &Path, args: &[&str], stdin: &[u8], says: &str) -> Result<()> {
    let started = Instant::now();
    let run = stagedoor(directory, args, stdin)?;
    let case = args.join(" ");
    ensure!(run.exit == 1, "{case}: exit code {}", run.exit);
    ensure!(run.stdout.is_empty(), "{case}: {}", run.stdout);
    ensure!(run.stderr.contains(says), "{case}: {}", run.stderr);
    ensure!(run.stderr.lines().count() <= 8, "{case}: {}", run.stderr);
    ensure!(started.elapsed() < Duration::from_secs(60), "{case}: {:?}", started.elapsed());
    Ok(())
}

#[test]
fn files_that_are_too_large_are_refused() -> Result<()> {
    let directory = directory()?;
    let here = directory.path();
    zeros(&here.join("huge"), (64 << 20) + 1)?;
    zeros(&here.join("huge.cedar"), (64 << 20) + 1)?;
    zeros(&here.join("huge.cedarschema"), (64 << 20) + 1)?;
    let says = "larger than the limit of";
    for args in [
        ["--entities", "huge", "--request", "r.json"],
        ["--entities", "e.json", "--request", "huge"],
        ["--policies", "huge.cedar", "--request", "r.json"],
        ["--schema", "huge.cedarschema", "--request", "r.json"],
    ] {
        refuses(here, &[AUTHORIZE.as_slice(), &args].concat(), b"", says)?;
    }
    let requests = [AUTHORIZE.as_slice(), &["--requests", "huge"]].concat();
    let run = stagedoor(here, requests, b"")?;
    assert_eq!(run.exit, 1);
    assert!(run.stderr.contains("line 1 is longer than"), "{}", run.stderr);
    let review = ["check", "kubernetes", "--policies", "p.cedar", "--review", "huge"];
    // The schema does not fit, but the engine is loaded first: only that it ends is shown.
    assert_eq!(stagedoor(here, review, b"")?.exit, 1);
    let catalog = [
        "check",
        "backstage",
        "--policies",
        "b.cedar",
        "--catalog",
        "huge",
        "--user",
        "user:default/ana",
        "--permission",
        "catalog.entity.create",
    ];
    std::fs::write(here.join("b.cedar"), "permit(principal, action, resource);")?;
    refuses(here, &catalog, b"", says)
}

#[test]
fn nesting_without_end_is_refused() -> Result<()> {
    let directory = directory()?;
    let here = directory.path();
    let deep = |open: &str, n: usize| open.repeat(n);
    std::fs::write(here.join("deep.json"), deep("[", 200_000))?;
    std::fs::write(
        here.join("deep.cedar"),
        format!("permit(principal,action,resource) when {{ {}", deep("(", 30_000)),
    )?;
    std::fs::write(
        here.join("deep.cedarschema"),
        format!("entity U {{a: {}", deep("{a: ", 30_000)),
    )?;
    std::fs::write(here.join("deep.yaml"), deep("- ", 200_000))?;
    let context = format!(
        r#"{{"principal":"User::\"a\"","action":"Action::\"view\"","resource":"User::\"b\"","context":{}"#,
        deep(r#"{"a":"#, 100_000)
    );
    for args in [
        ["--entities", "deep.json", "--request", "r.json"],
        ["--entities", "e.json", "--request", "deep.json"],
    ] {
        refuses(here, &[AUTHORIZE.as_slice(), &args].concat(), b"", "deep.json")?;
    }
    refuses(
        here,
        &[AUTHORIZE.as_slice(), &["--request", "-"]].concat(),
        context.as_bytes(),
        "<standard input>",
    )?;
    for (path, says) in [("deep.cedar", "limit"), ("deep.cedarschema", "limit")] {
        let run = stagedoor(here, ["validate", path, "s.cedarschema"], b"")?;
        assert_eq!(run.exit, 1, "{path}");
        assert!(run.stderr.contains(says), "{path}: {}", run.stderr);
    }
    std::fs::write(here.join("b.cedar"), "permit(principal, action, resource);")?;
    let review = ["check", "kubernetes", "--policies", "b.cedar", "--review", "deep.yaml"];
    refuses(here, &review, b"", "document 1")?;
    let catalog = [
        "check",
        "backstage",
        "--policies",
        "b.cedar",
        "--catalog",
        "deep.yaml",
        "--user",
        "user:default/ana",
        "--permission",
        "catalog.entity.create",
    ];
    refuses(here, &catalog, b"", "deep.yaml")
}

#[test]
fn text_of_others_does_not_steer_the_terminal() -> Result<()> {
    let directory = directory()?;
    let request = r#"{"principal":"User::\"ana\"","action":"Action::\"view\"","resource":{"type":"User","id":"\u001b[2Jx\u202e"}}"#;
    let args = [AUTHORIZE.as_slice(), &["--request", "-"]].concat();
    let run = stagedoor(directory.path(), args, request.as_bytes())?;
    assert_eq!(run.exit, 0);
    assert!(!run.stdout.contains(['\x1b', '\u{202e}']), "{}", run.stdout);

    std::fs::write(
        directory.path().join("e.cedar"),
        "permit(principal \x1b]0;x\x07, action, resource);",
    )?;
    let run = stagedoor(directory.path(), ["validate", "e.cedar", "s.cedarschema"], b"")?;
    assert_eq!(run.exit, 1);
    assert!(!run.stderr.contains(['\x1b', '\x07']), "{}", run.stderr);
    Ok(())
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() -> Result<()> {
    let directory = directory()?;
    let requests = format!("{REQUEST}\n").repeat(50_000);
    std::fs::write(directory.path().join("many.jsonl"), requests)?;
    let mut child = command(directory.path())
        .args(AUTHORIZE)
        .args(["--requests", "many.jsonl", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0_u8; 12];
    let mut stdout = child.stdout.take().context("no standard output")?;
    stdout.read_exact(&mut first)?;
    drop(stdout);
    let output = child.wait_with_output()?;
    assert_eq!(&first, br#"{"decision":"#);
    // Not 0: nobody was told what comes after.
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr)?, "");
    Ok(())
}

#[test]
fn a_bad_line_is_denied_and_the_next_is_read() -> Result<()> {
    let directory = directory()?;
    let mut requests = Vec::new();
    for line in [REQUEST.as_bytes(), b"{", b"\xff\xfe", b"", REQUEST.as_bytes()] {
        requests.extend_from_slice(line);
        requests.push(b'\n');
    }
    let args = [AUTHORIZE.as_slice(), &["--requests", "-", "--format", "json"]].concat();
    let run = stagedoor(directory.path(), args, &requests)?;
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let mut decisions = Vec::new();
    for line in run.stdout.lines() {
        let answer: serde_json::Value = serde_json::from_str(line)?;
        let decision = answer.get("decision").and_then(|d| d.as_str()).context("a decision")?;
        decisions.push((decision.to_owned(), answer.get("error").is_some()));
    }
    let (allow, deny) = (("allow".to_owned(), false), ("deny".to_owned(), true));
    assert_eq!(decisions, [allow.clone(), deny.clone(), deny, allow]);
    Ok(())
}

#[test]
fn answers_come_one_by_one() -> Result<()> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let directory = directory()?;
    let mut child = command(directory.path())
        .args(AUTHORIZE)
        .args(["--requests", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let mut answers = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    for _ in 0..3 {
        // The next request is written only when the answer is there.
        writeln!(stdin, "{REQUEST}")?;
        let answer = answers.next().context("no answer")??;
        assert!(answer.contains(r#""decision":"allow""#), "{answer}");
    }
    drop(stdin);
    assert!(child.wait()?.success());
    Ok(())
}
