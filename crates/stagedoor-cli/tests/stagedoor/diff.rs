//! `stagedoor diff`.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{Run, repository, stagedoor};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team];
    entity Doc { public: Bool };
    action read, write, remove appliesTo { principal: User, resource: Doc };";

const OLD: &str = r#"
@id("all-read") permit (principal, action == Action::"read", resource) when { resource.public };
@id("team-writes") permit (principal in Team::"a", action == Action::"write", resource);"#;

const NEW: &str = r#"
@id("all-read") permit (principal, action == Action::"read", resource);
@id("team-removes") permit (principal in Team::"a", action == Action::"remove", resource);"#;

const TESTS: &str = r#"
fixtures:
  entities:
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: a }] }
    - { uid: { type: User, id: eve }, attrs: {}, parents: [{ type: Team, id: a }] }
    - { uid: { type: User, id: bob }, attrs: {}, parents: [] }
    - { uid: { type: Doc, id: open }, attrs: { public: true }, parents: [] }
    - { uid: { type: Doc, id: secret }, attrs: { public: false }, parents: [] }
cases:
  - { name: c, principal: 'User::"ana"', action: 'Action::"read"', resource: 'Doc::"open"', expect: allow }
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        place.write("old", OLD)?;
        place.write("new", NEW)?;
        Ok(place)
    }

    fn write(&self, directory: &str, policies: &str) -> Result<()> {
        let directory = self.0.path().join(directory);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("app.cedarschema"), SCHEMA)?;
        std::fs::write(directory.join("app.test.yaml"), TESTS)?;
        Ok(std::fs::write(directory.join("app.cedar"), policies)?)
    }

    fn diff(&self, args: &[&str]) -> Result<Run> {
        stagedoor(self.0.path(), [&["diff"], args].concat(), b"")
    }

    fn git(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("git")
            .current_dir(self.0.path())
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(args)
            .output()
            .context("`git` is needed")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

#[test]
fn what_changes_is_told_in_a_few_lines() -> Result<()> {
    let run = Place::new()?.diff(&["old", "new"])?;
    let expected = "\
+ gains  a (2 of 3 users): remove on all 2 of kind Doc
         by team-removes
+ gains  everybody (3 users): read on Doc::\"secret\"
         by all-read
- loses  a (2 of 3 users): write on all 2 of kind Doc
         no longer by team-writes
7 widened, 4 narrowed, of 18 requests
for all requests: access is widened and narrowed
+ widened  every User (such as ana, bob, eve): read on every Doc; by all-read
         such as User::\"some-user\": Action::\"read\" on Doc::\"some-doc\"
+ widened  whatever is in Team::\"a\" (such as ana, eve): remove on every Doc; by team-removes
         such as User::\"some-user\": Action::\"remove\" on Doc::\"some-doc\"; principal in Team::\"a\"
- narrowed  whatever is in Team::\"a\" (such as ana, eve): write on every Doc; by team-writes
         such as User::\"some-user\": Action::\"write\" on Doc::\"some-doc\"; principal in Team::\"a\"
policies added: team-removes
policies removed: team-writes
policies changed: all-read
";
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (0, expected, ""));
    Ok(())
}

#[test]
fn programs_and_pull_requests_are_told_too() -> Result<()> {
    let place = Place::new()?;
    let run = place.diff(&["old", "new", "--format", "json"])?;
    let json: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!(
        (&json["widened"], &json["narrowed"], &json["requests"]),
        (&7.into(), &4.into(), &18.into())
    );
    assert_eq!(json["rows"][0]["who"][0], "a");
    assert_eq!(json["policies"]["changed"][0], "all-read");
    let requests = json["rows"].as_array().context("no rows")?.iter();
    let total: u64 = requests.filter_map(|row| row["requests"].as_u64()).sum();
    assert_eq!(total, 11, "each change is in one row");
    let run = place.diff(&["old", "new", "--report", "markdown", "--rows", "1"])?;
    ensure!(
        run.stdout.starts_with("### Access changes: 7 requests widened, 4 narrowed"),
        "{run:?}"
    );
    ensure!(run.stdout.contains("| **+** gains | a (2 of 3 users) | remove |"), "{run:?}");
    ensure!(run.stdout.contains("and 2 rows more (7 requests)"), "{run:?}");
    Ok(())
}

#[test]
fn the_exit_code_says_which_way_it_went() -> Result<()> {
    let place = Place::new()?;
    place.write("less", OLD.lines().take(2).collect::<Vec<_>>().join("\n").as_str())?;
    for (new, fail_on, exit) in [
        ("new", "widened", 1),
        ("new", "narrowed", 1),
        ("old", "any", 0),
        ("less", "widened", 0),
        ("less", "narrowed", 1),
        ("less", "any", 1),
    ] {
        assert_eq!(place.diff(&["old", new, "--fail-on", fail_on])?.exit, exit, "{new} {fail_on}");
    }
    Ok(())
}

#[test]
fn what_means_the_same_is_proved_to() -> Result<()> {
    let place = Place::new()?;
    place.write("same", &OLD.replace("principal in Team", "principal is User in Team"))?;
    let run = place.diff(&["old", "same"])?;
    ensure!(run.stdout.contains("policies changed: team-writes"), "{run:?}");
    ensure!(run.stdout.contains("for all requests: nothing changes, as is proved"), "{run:?}");
    assert_eq!(run.stderr, "");
    Ok(())
}

#[test]
fn revisions_are_read_from_git() -> Result<()> {
    let place = Place::new()?;
    place.write("policies", OLD)?;
    // Neither a directory nor a revision takes Node's packages for policies.
    std::fs::create_dir(place.0.path().join("policies/node_modules"))?;
    std::fs::write(place.0.path().join("policies/node_modules/a.cedar"), "no policy")?;
    place.git(&["init", "--quiet"])?;
    place.git(&["add", "policies"])?;
    place.git(&["commit", "--quiet", "-m", "old"])?;
    place.write("policies", NEW)?;
    let expected = place.diff(&["old", "new"])?;
    for old in ["main:policies", "HEAD:./policies", "HEAD:policies/"] {
        let run = place.diff(&[old, "policies"])?;
        assert_eq!((run.exit, &run.stdout), (0, &expected.stdout), "{old}: {}", run.stderr);
    }
    place.git(&["commit", "--quiet", "-am", "new"])?;
    let run = place.diff(&["HEAD~1:policies", "HEAD:policies"])?;
    assert_eq!((run.exit, &run.stdout), (0, &expected.stdout), "{}", run.stderr);
    // A problem names the file in the commit.
    place.write("policies", "permit (principal, action);")?;
    place.git(&["commit", "--quiet", "-am", "broken"])?;
    let run = place.diff(&["HEAD:policies", "new"])?;
    ensure!(run.exit == 2 && run.stderr.contains("HEAD:policies/app.cedar"), "{run:?}");
    for wrong in [
        "--output=pwned:x",
        "-p",
        "no-such:policies",
        "HEAD:nowhere",
        "HEAD:policies/app.test.yaml/x",
        ":",
    ] {
        let run = place.diff(&["--git", "--", wrong, "HEAD:policies"])?;
        assert_eq!(run.exit, 2, "{wrong}: {run:?}");
        ensure!(run.stderr.contains("help:"), "{wrong}: {run:?}");
    }
    ensure!(!place.0.path().join("pwned").exists());
    Ok(())
}

#[test]
fn recorded_decisions_are_asked_again() -> Result<()> {
    let place = Place::new()?;
    let entities = r#"[{"uid":{"type":"User","id":"ana"},"attrs":{},"parents":[{"type":"Team","id":"a"}]},
        {"uid":{"type":"Doc","id":"d"},"attrs":{"public":false},"parents":[]}]"#;
    let entities = serde_json::from_str::<Value>(entities)?;
    let line = |action: &str, decision: &str| {
        let mut line = serde_json::json!({
            "principal": "User::\"ana\"", "action": format!("Action::{action:?}"),
            "resource": "Doc::\"d\"", "entities": entities,
        });
        line["decision"] = decision.into();
        line.to_string()
    };
    let lines =
        [line("read", "deny"), String::new(), line("write", "allow"), line("remove", "allow")];
    std::fs::write(place.0.path().join("log.jsonl"), lines.join("\n"))?;
    let run = place.diff(&["old", "new", "--decisions", "log.jsonl", "--format", "json"])?;
    let json: Value = serde_json::from_str(&run.stdout).context(run.stderr.clone())?;
    assert_eq!(
        (&json["requests"], &json["widened"], &json["narrowed"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!((&json["recorded"], &json["contradicted"]), (&3.into(), &1.into()));
    ensure!(run.stderr.contains("1 of 3 recorded decisions are not what OLD decides"), "{run:?}");

    for (text, told) in [
        ("{]", "log.jsonl:1: "),
        ("{\"principal\":\"User::\\\"ana\\\"\"}", "log.jsonl:1: "),
        (&line("read", "perhaps"), "log.jsonl:1: `decision` is neither"),
    ] {
        std::fs::write(place.0.path().join("log.jsonl"), text)?;
        let run = place.diff(&["old", "new", "--decisions", "log.jsonl"])?;
        ensure!(run.exit == 2 && run.stderr.contains(told), "{told}: {run:?}");
    }
    Ok(())
}

/// The demo's catalog: a group is lost from a permit.
#[test]
fn a_catalog_tells_whom_it_concerns() -> Result<()> {
    let place = tempfile::tempdir()?;
    let starter = repository("policies/backstage");
    for side in ["old", "new"] {
        std::fs::create_dir(place.path().join(side))?;
        for entry in std::fs::read_dir(&starter)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), place.path().join(side).join(entry.file_name()))?;
            }
        }
    }
    let path = place.path().join("new/kubernetes.cedar");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text.replace("group:default/on-call", "group:default/engineering"))?;
    let catalog = starter.join("demo/catalog-info.yaml");
    let catalog = catalog.to_str().context("not UTF-8")?;
    let run = stagedoor(place.path(), ["diff", "old", "new", "--catalog", catalog], b"")?;
    let first = run.stdout.lines().next().unwrap_or_default();
    ensure!(first.starts_with("+ gains  ") && first.contains(": kubernetes.proxy"), "{run:?}");
    ensure!(run.stdout.lines().count() <= 16, "{run:?}");
    Ok(())
}

#[test]
fn nothing_is_needed_beside_the_policies() -> Result<()> {
    let place = Place::new()?;
    std::fs::remove_file(place.0.path().join("old/app.test.yaml"))?;
    std::fs::remove_file(place.0.path().join("new/app.test.yaml"))?;
    let run = place.diff(&["old", "new", "--fail-on", "widened"])?;
    ensure!(
        run.exit == 1 && run.stdout.starts_with("for all requests: access is widened"),
        "{run:?}"
    );
    let run = stagedoor(Path::new("/"), ["diff", "nowhere", "nothing"], b"")?;
    ensure!(run.exit == 2 && !run.stderr.is_empty(), "{run:?}");
    Ok(())
}

/// What was asked for and is not done is told.
#[test]
fn grants_of_a_cluster_are_no_question_to_other_policies() -> Result<()> {
    let place = Place::new()?;
    std::fs::write(place.0.path().join("rbac.yaml"), "")?;
    let run = place.diff(&["old", "new", "--grants", "rbac.yaml"])?;
    ensure!(run.exit == 2 && run.stderr.contains("`--grants` is about Kubernetes"), "{run:?}");
    Ok(())
}
