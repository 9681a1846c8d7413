//! `stagedoor test`.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{Run, repository, stagedoor};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team];
    entity Doc { public: Bool };
    action read, write appliesTo { principal: User, resource: Doc };";

const POLICIES: &str = r#"@id("public-is-read")
permit (principal, action == Action::"read", resource)
when { resource.public };
@id("team-writes")
permit (principal in Team::"a", action == Action::"write", resource);
"#;

/// Fixtures, and cases that pass; others are added to it.
const TESTS: &str = r#"
fixtures:
  entities:
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: a }] }
    - { uid: { type: User, id: bob }, attrs: {}, parents: [] }
    - { uid: { type: Doc, id: open }, attrs: { public: true }, parents: [] }
    - { uid: { type: Doc, id: secret }, attrs: { public: false }, parents: [] }
tables:
  - name: who does what
    columns: principal
    grid: |
      | action          | resource      | User::"ana" | User::"bob" |
      |-----------------|---------------|-------------|-------------|
      | Action::"read"  | Doc::"open"   | allow       | allow       |
      | Action::"read"  | Doc::"secret" | deny        | deny        |
      | Action::"write" | Doc::"open"   | allow       | deny        |
invariants:
  - name: only ana writes
    never: allow
    over:
      principal: [User::"ana", User::"bob"]
      action: Action::"write"
      resource: [Doc::"open", Doc::"secret"]
    except: [{ principal: User::"ana" }]
suites:
  - name: reasons
    cases:
      - name: the team is why
        principal: User::"ana"
        action: Action::"write"
        resource: Doc::"open"
        expect: { decision: allow, reasons: [team-writes] }
      - name: what is not public is why
        principal: User::"bob"
        action: Action::"read"
        resource: Doc::"secret"
        expect: { decision: deny, clause: resource.public }
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new(tests: &str) -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        place.write("app.cedarschema", SCHEMA)?;
        place.write("app.cedar", POLICIES)?;
        place.write("app.test.yaml", tests)?;
        Ok(place)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        // In one step, as editors do: whoever watches sees all of it.
        let new = self.0.path().join(".new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, self.0.path().join(name))?)
    }

    fn run(&self, args: &[&str]) -> Result<Run> {
        stagedoor(self.0.path(), std::iter::once(&"test").chain(args), b"")
    }
}

/// A case that fails, to be put before `fixtures`.
const WRONG: &str = r#"
cases:
  - name: "bob, too: 100% # <wrong>"
    principal: User::"bob"
    action: Action::"read"
    resource: Doc::"secret"
    expect: { decision: allow, reasons: [public-is-read] }
"#;

#[test]
fn what_is_as_expected_passes() -> Result<()> {
    let run = Place::new(TESTS)?.run(&[])?;
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    ensure!(run.stdout.contains("9 passed (10 requests;"), "{}", run.stdout);
    Ok(())
}

#[test]
fn a_failed_case_tells_why_and_how_to_go_on() -> Result<()> {
    let place = Place::new(&format!("{WRONG}{TESTS}"))?;
    let run = place.run(&[])?;
    assert_eq!(run.exit, 1, "{}", run.stderr);
    for told in [
        "expected allow, but the decision is deny",
        "expected the reasons `public-is-read`, but they are none",
        "nearest permit: public-is-read",
        "does not hold: resource.public",
        "app.cedar:3",
        "app.test.yaml:3",
        "9 passed, 1 failed",
    ] {
        ensure!(run.stdout.contains(told), "`{told}` is missing: {}", run.stdout);
    }
    Ok(())
}

#[test]
fn the_command_that_explains_a_failure_works() -> Result<()> {
    let entities = TESTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- { uid: "))
        .map(|line| format!("{{ uid: {line}"));
    // The same entities from a file, which a command line can name.
    let json: Vec<Value> =
        entities.map(|line| serde_saphyr::from_str(&line)).collect::<Result<_, _>>()?;
    let place = Place::new(&format!("fixtures: {{ entityFiles: [entities.json] }}{WRONG}"))?;
    place.write("entities.json", &serde_json::to_string(&json)?)?;
    let run = place.run(&[])?;
    let command = run.stdout.lines().find_map(|line| line.trim().strip_prefix("explain with: "));
    let command = command.with_context(|| run.stdout.clone())?;
    let binary = Path::new(env!("CARGO_BIN_EXE_stagedoor")).parent().context("a directory")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let explained = std::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(place.0.path())
        .env("PATH", format!("{}:{path}", binary.display()))
        .output()?;
    let told = String::from_utf8(explained.stdout)?;
    assert_eq!(explained.status.code(), Some(2), "{command}: {told}");
    ensure!(told.contains("does not hold: resource.public"), "{told}");
    Ok(())
}

#[test]
fn reports_are_what_other_programs_read() -> Result<()> {
    let place = Place::new(&format!("{WRONG}{TESTS}"))?;
    let json: Value = serde_json::from_str(&place.run(&["--format", "json"])?.stdout)?;
    assert_eq!((&json["passed"], &json["failed"]), (&9.into(), &1.into()));
    let case = &json["files"][0]["cases"][0];
    assert_eq!(case["result"]["failed"][0]["nearest"][0]["policy"], "public-is-read");

    let tap = place.run(&["--report", "tap"])?.stdout;
    let (first, rest) = tap.split_once('\n').context("one line")?;
    assert_eq!((first, rest.lines().next()), ("TAP version 14", Some("1..10")));
    ensure!(tap.contains("not ok 1 - app.test.yaml: bob, too: 100% \\# <wrong>\n  ---\n"), "{tap}");
    assert_eq!(tap.lines().filter(|line| line.starts_with("ok ")).count(), 9);

    let junit = place.run(&["--report", "junit"])?.stdout;
    let parsed = quick_junit::Report::deserialize_from_str(&junit)?;
    let suite = parsed.test_suites.first().context("no suite")?;
    assert_eq!((suite.tests, suite.failures), (10, 1));
    assert_eq!(suite.test_cases.first().map(|c| c.name.as_str()), Some("bob, too: 100% # <wrong>"));

    let github = place.run(&["--report", "github"])?.stdout;
    let annotation = github.lines().find(|line| line.starts_with("::error ")).context("none")?;
    ensure!(annotation.contains("file=app.test.yaml,line=3,"), "{annotation}");
    ensure!(
        annotation.contains("title=bob%2C too%3A 100%25 # <wrong>::expected allow"),
        "{annotation}"
    );
    Ok(())
}

#[test]
fn a_filter_and_the_first_failure_leave_cases_out() -> Result<()> {
    let place = Place::new(&format!("{WRONG}{TESTS}"))?;
    let run = place.run(&["--filter", "reasons the team"])?;
    assert_eq!(run.exit, 0, "{}", run.stdout);
    ensure!(run.stdout.contains("1 passed"), "{}", run.stdout);
    let run = place.run(&["--fail-fast"])?;
    assert_eq!(run.exit, 1);
    let run = place.run(&["--filter", "no such case"])?;
    assert_eq!((run.exit, run.stdout.as_str()), (2, ""));
    Ok(())
}

#[test]
fn what_cannot_be_used_is_told_with_its_place() -> Result<()> {
    let case = |line: &str| {
        format!(
            "cases:\n  - name: c\n    principal: User::\"ana\"\n    action: Action::\"read\"\n    \
             resource: Doc::\"open\"\n    {line}\n    expect: allow\n"
        )
    };
    for (tests, told) in [
        (case("principle: x"), "app.test.yaml:6:5: "),
        (case("verb: get"), "`c`: a case has one of `permission`"),
        (case("namespace: x"), "`namespace` cannot stand in a Cedar case"),
        (case("context: { mood: good }"), "mood"),
        (case("entities: [1]"), "the entities"),
        ("cases: []\n".to_owned(), "the file has no cases"),
        ("cases: [\n".to_owned(), "app.test.yaml:"),
        ("policies: [nowhere]\ncases: []\n".to_owned(), "nowhere"),
        (
            "invariants:\n  - { name: i, never: allow, over: { colour: [red] } }\n".to_owned(),
            "unknown key `colour`",
        ),
        (
            "tables:\n  - { name: t, columns: principal, grid: '| action |' }\n".to_owned(),
            "`t`: the first line of `grid` has no column",
        ),
    ] {
        let place = Place::new(&tests)?;
        let run = place.run(&[])?;
        assert_eq!((run.exit, run.stdout.as_str()), (2, ""), "{tests}");
        ensure!(run.stderr.contains(told), "`{told}` is not in {}", run.stderr);
        let json = place.run(&["--format", "json"])?;
        assert_eq!((json.exit, json.stderr.as_str()), (2, ""), "{tests}");
        let json: Value = serde_json::from_str(&json.stdout)?;
        ensure!(json["problems"].as_array().is_some_and(|all| !all.is_empty()), "{json}");
    }
    let empty = tempfile::tempdir()?;
    let run = stagedoor(empty.path(), ["test"], b"")?;
    assert_eq!(run.exit, 2);
    ensure!(run.stderr.contains("no test file"), "{}", run.stderr);
    Ok(())
}

#[test]
fn coverage_is_told_and_can_be_too_little() -> Result<()> {
    let place = Place::new(TESTS)?;
    let run = place.run(&["--coverage", "--min-coverage", "50"])?;
    assert_eq!(run.exit, 0, "{}{}", run.stdout, run.stderr);
    ensure!(run.stdout.contains("clauses covered: "), "{}", run.stdout);
    let run = place.run(&["--min-coverage", "99.9", "--filter", "reasons"])?;
    assert_eq!(run.exit, 1, "{}", run.stdout);
    ensure!(
        run.stderr.contains("clauses are covered (0.00 %), less than 99.9 %"),
        "{}",
        run.stderr
    );
    for (format, file, told) in [
        ("json", "coverage.json", "\"policies\""),
        ("lcov", "lcov.info", "end_of_record"),
        ("html", "coverage.html", "<!doctype html>"),
    ] {
        let run = place.run(&[&format!("--coverage={format}")])?;
        ensure!(run.stdout.contains(file), "{}", run.stdout);
        let text = std::fs::read_to_string(place.0.path().join(file))?;
        ensure!(text.contains(told), "{text}");
    }
    let run = place.run(&["--coverage=lcov", "--coverage-file", "no/such/place"])?;
    assert_eq!(run.exit, 2, "{}", run.stderr);
    ensure!(run.stderr.contains("cannot be written"), "{}", run.stderr);
    let run = place.run(&["--coverage", "--format", "json"])?;
    let json: Value = serde_json::from_str(&run.stdout)?;
    ensure!(json["coverage"]["policies"].is_array(), "{json}");
    Ok(())
}

/// What is found in a directory may be anything, and must not be waited for.
#[cfg(unix)]
#[test]
fn pipes_in_directories_are_refused() -> Result<()> {
    for name in ["pipe.test.yaml", "pipe.cedar", "pipe.cedarschema", "pipe.permissions.yaml"] {
        let place = Place::new(TESTS)?;
        let made = std::process::Command::new("mkfifo").arg(place.0.path().join(name)).status()?;
        ensure!(made.success());
        for command in ["test", "lint", "fmt", "report"] {
            let args: &[&str] = if command == "report" { &["--html", "-"] } else { &[] };
            let run = stagedoor(place.0.path(), [&[command], args].concat(), b"")?;
            let is_read = match command {
                "fmt" => name == "pipe.cedar",
                "test" => true,
                // The fixtures of tests are of use, and not needed.
                _ => name != "pipe.test.yaml",
            };
            ensure!(!is_read || run.exit != 0, "{command} {name}: {run:?}");
            ensure!(!is_read || run.stderr.contains("not a file"), "{command} {name}: {run:?}");
        }
    }
    Ok(())
}

/// 1 is for cases that fail: nothing else may be taken for one.
#[test]
fn only_failures_exit_with_1() -> Result<()> {
    let place = Place::new(TESTS)?;
    place.write("binary.test.yaml", "\u{0}\u{1}cases")?;
    place.write("none.txt", "")?;
    std::fs::create_dir(place.0.path().join("empty"))?;
    for args in [
        &["--min-coverage", "101"][..],
        &["--no-such-option"],
        &["--report", "html"],
        &["--budget", "9"],
        &["--filter", "no such case", "."],
        &["nowhere"],
        &["empty"],
        &["binary.test.yaml"],
        &["none.txt"],
        &["app.test.yaml", "--rules", "nowhere"],
        &["app.test.yaml", "--rules", "empty"],
        &["app.test.yaml", "--policies", "nowhere"],
        &["app.test.yaml", "--coverage=html", "--coverage-file", "no/such/place"],
    ] {
        let run = place.run(args)?;
        assert_eq!(run.exit, 2, "{args:?}: {run:?}");
        ensure!(run.stderr.contains("error: "), "{args:?}: {run:?}");
    }
    for args in [
        &["--format", "json", "test", "--nothing"][..],
        &["lint", "--fail-on", "nothing"],
        &["lint", "--catalog", "nowhere"],
        &["diff", "one"],
        &["diff", "app.cedar", "nowhere"],
        &["fmt", "--line-width", "x"],
        &["fmt", "nowhere"],
    ] {
        assert_eq!(stagedoor(place.0.path(), args, b"")?.exit, 2, "{args:?}");
    }
    // Of other commands 2 says `denied`.
    assert_eq!(stagedoor(place.0.path(), ["authorize", "--nothing"], b"")?.exit, 1);
    Ok(())
}

#[test]
fn survivors_fail_and_come_with_a_case() -> Result<()> {
    let place = Place::new(TESTS)?;
    let run = place.run(&["--mutate", "--filter", "the team is why"])?;
    assert_eq!(run.exit, 1, "{}", run.stderr);
    ensure!(run.stdout.contains("drop-policy survives"), "{}", run.stdout);
    ensure!(run.stdout.contains("principal: \"User::\\\"ana\\\"\""), "{}", run.stdout);
    let run = place.run(&["--mutate", "--format", "json"])?;
    let json: Value = serde_json::from_str(&run.stdout)?;
    ensure!(json["mutation"]["mutants"].as_array().is_some_and(|all| all.len() > 5), "{json}");
    // What nobody had time to look at is not known to be noticed.
    let run = place.run(&["--mutate", "--budget", "0"])?;
    assert_eq!(run.exit, 1, "{}", run.stdout);
    ensure!(run.stderr.contains("mutants are not settled"), "{}", run.stderr);
    Ok(())
}

#[test]
fn watching_runs_again_after_a_change() -> Result<()> {
    let place = Place::new(TESTS)?;
    let mut child = crate::run::command(place.0.path())
        .args(["test", "--watch", "--format", "json"])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    // How many cases pass and fail; nothing where the tests cannot be run.
    let mut ran = || -> Result<[Option<u64>; 2]> {
        let json: Value = serde_json::from_str(&lines.next().context("it ended")??)?;
        Ok([json["passed"].as_u64(), json["failed"].as_u64()])
    };
    let mut watched = || -> Result<()> {
        let (good, unusable) = ([Some(9), Some(0)], [None, None]);
        assert_eq!(ran()?, good);
        std::fs::create_dir(place.0.path().join("rules"))?;
        for (name, was, is, then) in [
            (
                "app.cedar",
                POLICIES,
                POLICIES.replace("Team::\"a\"", "Team::\"b\""),
                [Some(7), Some(2)],
            ),
            ("app.test.yaml", TESTS, format!("{WRONG}{TESTS}"), [Some(9), Some(1)]),
            ("app.cedarschema", SCHEMA, SCHEMA.replace("public: Bool", "open: Bool"), unusable),
        ] {
            place.write(name, &is)?;
            assert_eq!(ran()?, then, "{name}");
            place.write(name, was)?;
            assert_eq!(ran()?, good, "{name}");
        }
        // No policy names it, so that it is a warning; but it is looked at.
        let rule = "rules/broken.wasm";
        place.write(rule, "no component")?;
        assert_eq!(ran()?, good, "{rule}");
        std::fs::remove_file(place.0.path().join(rule))?;
        assert_eq!(ran()?, good, "{rule}");
        Ok(())
    };
    let ended = watched();
    child.kill()?;
    child.wait()?;
    ended
}

#[test]
fn the_shipped_policies_pass_their_tests() -> Result<()> {
    let run = stagedoor(&repository(""), ["test", "policies", "--format", "json"], b"")?;
    let json: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!((run.exit, &json["failed"]), (0, &0.into()), "{json}");
    ensure!(json["passed"].as_u64().is_some_and(|passed| passed > 90), "{}", json["passed"]);
    Ok(())
}

#[test]
fn ten_thousand_cases_take_less_than_two_seconds() -> Result<()> {
    let case = |n: usize| {
        let (who, decision) = if n.is_multiple_of(2) { ("ana", "allow") } else { ("bob", "deny") };
        format!(
            "  - {{ name: n{n}, principal: 'User::\"{who}\"', action: 'Action::\"write\"', \
             resource: 'Doc::\"open\"', expect: {decision} }}\n"
        )
    };
    let cases: String = (0..10_000).map(case).collect();
    let place = Place::new(&format!("{TESTS}cases:\n{cases}"))?;
    let run = place.run(&["--format", "json"])?;
    let json: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!((run.exit, &json["passed"]), (0, &10_009.into()));
    let milliseconds = json["run_ms"].as_f64().context("no time")?;
    ensure!(milliseconds < 2_000.0, "{milliseconds} ms");
    Ok(())
}

/// The schema that editors get accepts the shipped tests' keys and no others.
#[test]
fn test_files_have_a_json_schema() -> Result<()> {
    let run = stagedoor(Path::new("/"), ["test", "--file-schema"], b"")?;
    let schema: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!(schema["additionalProperties"], false);
    let case = &schema["$defs"]["Case"];
    assert_eq!(case["additionalProperties"], false);
    for key in ["permission", "verb", "apiGroup", "principal", "expect"] {
        ensure!(case["properties"].get(key).is_some(), "{key}: {case}");
    }
    let committed =
        std::fs::read_to_string(repository("crates/stagedoor-testing/test-file.schema.json"))?;
    assert_eq!(serde_json::from_str::<Value>(&committed)?, schema, "write it again");
    Ok(())
}
