//! Cedar's own test files, as they are.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use stagedoor_testing::TestSuite;
use stagedoor_tests::archive::unpack;

use crate::place::{Place, repository, run};

const POLICIES: &str = r#"
permit (principal == User::"alice", action == Action::"view", resource in Album::"trip");
@id("named")
permit (principal == User::"bob", action, resource);
forbid (principal, action, resource) when { resource.hidden };
"#;

/// What `cedar run-tests` reads: unnamed tests, entities in place and by path, reasons as a
/// part of what determines, errors by their number.
const TESTS: &str = r#"[
  {"request": {"principal": "User::\"alice\"", "action": "Action::\"view\"",
      "resource": "Photo::\"sea\"", "context": {}},
   "entities": [{"uid": {"type": "Photo", "id": "sea"}, "attrs": {"hidden": false},
      "parents": [{"type": "Album", "id": "trip"}]}],
   "decision": "allow", "reason": ["policy0"], "num_errors": 0},
  {"name": "by path", "request": {"principal": "User::\"bob\"", "action": "Action::\"view\"",
      "resource": "Photo::\"sea\"", "context": {}},
   "entities": "entities.json", "decision": "allow", "reason": ["named"], "num_errors": 1},
  {"name": "older", "request": {"principal": "User::\"eve\"", "action": "Action::\"view\"",
      "resource": "Photo::\"sea\"", "context": {}},
   "entities": [{"uid": {"type": "Photo", "id": "sea"}, "attrs": {"hidden": false},
      "parents": []}],
   "decision": "deny", "reason": [], "has_error": false}
]"#;

#[test]
fn what_cedar_runs_passes() -> Result<()> {
    let place = Place::with(&[
        ("app.cedar", POLICIES),
        ("tests.json", TESTS),
        (
            "entities.json",
            r#"[{"uid": {"type": "Photo", "id": "sea"}, "attrs": {}, "parents": []}]"#,
        ),
    ])?;
    let suite = TestSuite::load(&[place.path().join("tests.json")])?;
    let (report, failures) = run(&suite);
    assert_eq!((report.counts().passed, report.counts().failed), (3, 0), "{failures}");
    Ok(())
}

/// Cedar refuses a test about what the schema does not let the action be asked about.
#[test]
fn a_request_that_does_not_conform_is_no_test() -> Result<()> {
    let schema =
        "entity User, Doc, Photo; action view appliesTo { principal: User, resource: Doc };";
    let tests = |resource: &str| {
        format!(
            r#"[{{"request": {{"principal": "User::\"a\"", "action": "Action::\"view\"",
                "resource": "{resource}::\"1\""}}, "entities": [], "decision": "allow",
                "reason": ["policy0"], "num_errors": 0}}]"#
        )
    };
    for (resource, passes) in [("Doc", true), ("Photo", false)] {
        let place = Place::with(&[
            ("app.cedar", "permit (principal, action, resource);"),
            ("app.cedarschema", schema),
            ("tests.json", &tests(resource)),
        ])?;
        match TestSuite::load(&[place.path().join("tests.json")]) {
            Ok(suite) => {
                let (report, failures) = run(&suite);
                assert_eq!((report.counts().passed, passes), (1, true), "{resource}: {failures}");
            }
            Err(error) => {
                let error = error.to_string();
                ensure!(!passes && error.contains("resource type `Photo`"), "{error}");
                ensure!(error.contains("tests.json: `test 1`"), "a place that is none: {error}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_differs_fails() -> Result<()> {
    for (from, to, told) in [
        (
            r#""decision": "allow", "reason": ["policy0"]"#,
            r#""decision": "deny", "reason": []"#,
            "expected deny",
        ),
        (r#"["named"]"#, r#"["policy1"]"#, "`policy1` among the reasons"),
        (r#""num_errors": 1"#, r#""num_errors": 0"#, "expected 0 errors"),
    ] {
        let tests = TESTS.replace(from, to);
        assert_ne!(tests, TESTS, "{from}");
        let place = Place::with(&[
            ("app.cedar", POLICIES),
            ("tests.json", &tests),
            (
                "entities.json",
                r#"[{"uid": {"type": "Photo", "id": "sea"}, "attrs": {}, "parents": []}]"#,
            ),
        ])?;
        let (report, failures) = run(&TestSuite::load(&[place.path().join("tests.json")])?);
        assert_eq!(report.counts().failed, 1, "{failures}");
        ensure!(failures.contains(told), "{told}: {failures}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_told_with_its_place() -> Result<()> {
    for (from, to, told) in [
        ("\"entities.json\"", "\"../entities.json\"", "not below the tests' directory"),
        ("\"entities.json\"", "\"/etc/passwd\"", "not below the tests' directory"),
        ("\"entities.json\"", "7", "neither a list nor a path"),
        ("\"decision\": \"deny\"", "\"decision\": \"maybe\"", "tests.json:"),
        ("\"has_error\": false", "\"has_error\": true", "num_errors"),
        ("\"context\": {}}", "\"ctx\": {}}", "`ctx`"),
        ("\"has_error\": false", "\"has_error\": false, \"reasons\": []", "`reasons`"),
        ("\"User::\\\"eve\\\"\"", "\"eve\"", "`older`"),
    ] {
        let tests = TESTS.replace(from, to);
        assert_ne!(tests, TESTS, "{from}");
        let place = Place::with(&[
            ("app.cedar", POLICIES),
            ("tests.json", &tests),
            ("entities.json", "[]"),
        ])?;
        let error = TestSuite::load(&[place.path().join("tests.json")]).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        ensure!(error.contains(told), "{told}: {error}");
    }
    Ok(())
}

/// Returns the integration tests below a directory: JSON files that are not entities.
fn integration_tests(root: PathBuf) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.to_string_lossy();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".json") && !name.ends_with("entities.json") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn passes(paths: &[PathBuf]) -> Result<usize> {
    let suite = TestSuite::load(paths)?;
    let (report, failures) = run(&suite);
    ensure!(report.passed(), "{failures}");
    Ok(suite.len())
}

#[test]
fn cedars_integration_tests_pass() -> Result<()> {
    let requests = passes(&integration_tests(repository("tests/cases/cedar"))?)?;
    ensure!(requests > 200, "{requests}");
    Ok(())
}

#[test]
fn cedars_whole_corpus_passes() -> Result<()> {
    for name in ["cedar-corpus", "cedar-handwritten"] {
        let archive = repository("../shared/conformance").join(name).with_extension("tar.gz");
        if !archive.exists() {
            eprintln!("SKIPPED: {name}: there is no {}", archive.display());
            continue;
        }
        let place = tempfile::tempdir()?;
        for (path, text) in unpack(&archive)? {
            let path = place.path().join(path);
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            std::fs::write(path, text)?;
        }
        let tests = integration_tests(place.path().to_owned())?;
        let requests = passes(&tests)?;
        eprintln!("{name}: {} files, {requests} requests", tests.len());
        ensure!(requests > 20, "{name}: {requests}");
    }
    Ok(())
}
