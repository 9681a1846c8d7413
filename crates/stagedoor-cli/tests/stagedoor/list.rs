//! `stagedoor list`.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{Run, repository, stagedoor};

const SCHEMA: &str = "
    entity Team; entity User in [Team]; entity Folder;
    entity Doc in [Folder] { kind: String };
    action read, write appliesTo {
        principal: User, resource: [Doc, Folder], context: { mfa: Bool, from?: String },
    };";

const POLICIES: &str = r#"
@id("red-reads") permit (principal in Team::"red", action == Action::"read", resource is Doc)
when { resource.kind == "plan" };
@id("writes-with-mfa") permit (principal in Team::"red", action == Action::"write", resource is Doc)
when { context.mfa };
@id("folders") permit (principal, action == Action::"read", resource is Folder);
@id("no-secrets") forbid (principal, action, resource in Folder::"secret");
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ana"}, "attrs": {}, "parents": [{"type": "Team", "id": "red"}]},
    {"uid": {"type": "User", "id": "bo"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Folder", "id": "open"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Doc", "id": "a"}, "attrs": {"kind": "plan"}, "parents": []},
    {"uid": {"type": "Doc", "id": "b"}, "attrs": {"kind": "memo"}, "parents": []},
    {"uid": {"type": "Doc", "id": "c"}, "attrs": {"kind": "plan"},
     "parents": [{"type": "Folder", "id": "secret"}]}
]"#;

fn list(args: &[&str]) -> Result<Run> {
    let place = tempfile::tempdir()?;
    std::fs::write(place.path().join("app.cedarschema"), SCHEMA)?;
    std::fs::write(place.path().join("app.cedar"), POLICIES)?;
    std::fs::write(place.path().join("entities.json"), ENTITIES)?;
    std::fs::write(place.path().join("mfa.json"), r#"{"mfa": true}"#)?;
    let with = ["--policies", ".", "--entities", "entities.json"];
    stagedoor(place.path(), [&["list"], args, &with].concat(), b"")
}

fn listed(run: &Run) -> Result<Vec<String>> {
    let mut uids = Vec::new();
    for line in run.stdout.lines() {
        let json: Value = serde_json::from_str(line).context(run.stderr.clone())?;
        let entries = json["entries"].as_array().context("no entries")?;
        uids.extend(entries.iter().filter_map(|entry| entry["uid"].as_str().map(str::to_owned)));
    }
    Ok(uids)
}

#[test]
fn what_is_allowed_is_listed() -> Result<()> {
    let (ana, read, write) = (r#"User::"ana""#, r#"Action::"read""#, r#"Action::"write""#);
    let json = ["--format", "json", "--context", "mfa.json"];
    for (args, expected) in [
        (
            vec!["resources", "--principal", ana, "--action", read],
            vec!["Doc::\"a\"", "Folder::\"open\""],
        ),
        (
            vec!["resources", "--principal", ana, "--action", read, "--type", "Doc"],
            vec!["Doc::\"a\""],
        ),
        (
            vec!["resources", "--principal", ana, "--action", write],
            vec!["Doc::\"a\"", "Doc::\"b\""],
        ),
        (vec!["principals", "--action", read, "--resource", r#"Doc::"a""#], vec![ana]),
        (vec!["principals", "--action", read, "--resource", r#"Doc::"c""#], vec![]),
        (vec!["actions", "--principal", ana, "--resource", r#"Doc::"a""#], vec![read, write]),
        (vec!["actions", "--principal", r#"User::"bo""#, "--resource", r#"Doc::"a""#], vec![]),
    ] {
        let run = list(&[args.as_slice(), &json].concat())?;
        assert_eq!(
            (run.exit, listed(&run)?),
            (0, expected.into_iter().map(str::to_owned).collect()),
            "{run:?}"
        );
    }
    Ok(())
}

#[test]
fn what_depends_on_the_context_is_told_with_it() -> Result<()> {
    let args = ["resources", "--principal", r#"User::"ana""#, "--action", r#"Action::"write""#];
    let run = list(&[&args[..], &["--open-context"]].concat())?;
    assert_eq!(run.exit, 0, "{run:?}");
    ensure!(run.stdout.contains("Doc::\"b\"  context.mfa"), "{run:?}");
    ensure!(!run.stdout.contains("Doc::\"c\""), "{run:?}");
    // Without the context that the schema demands nothing can be decided.
    let run = list(&args)?;
    ensure!(run.exit == 1 && run.stderr.contains("context"), "{run:?}");
    Ok(())
}

#[test]
fn a_page_says_how_to_go_on() -> Result<()> {
    let args = ["resources", "--principal", r#"User::"ana""#, "--action", r#"Action::"write""#];
    let with = ["--context", "mfa.json", "--limit", "1"];
    let run = list(&[&args[..], &with].concat())?;
    ensure!(run.stdout.contains("Doc::\"a\"") && !run.stdout.contains("Doc::\"b\""), "{run:?}");
    ensure!(run.stderr.contains("--type Doc --after \"a\""), "{run:?}");
    let run = list(&[&args[..], &with, &["--type", "Doc", "--after", "a"]].concat())?;
    ensure!(run.stdout.contains("Doc::\"b\""), "{run:?}");
    Ok(())
}

#[test]
fn what_cannot_be_asked_is_told() -> Result<()> {
    for (args, told) in [
        (["resources", "--principal", "ana", "--action", r#"Action::"read""#], "entity id"),
        (
            ["resources", "--principal", r#"User::"ana""#, "--action", r#"Action::"reed""#],
            "no action",
        ),
    ] {
        let run = list(&args)?;
        ensure!(run.exit == 1 && run.stderr.contains(told), "{run:?}");
    }
    Ok(())
}

fn access(args: &[&str]) -> Result<Run> {
    let place = tempfile::tempdir()?;
    std::fs::write(place.path().join("app.cedarschema"), SCHEMA)?;
    std::fs::write(place.path().join("app.cedar"), POLICIES)?;
    std::fs::write(place.path().join("entities.json"), ENTITIES)?;
    stagedoor(place.path(), [args, &["--policies", ".", "--csv"]].concat(), b"")
}

/// By any schema, as in Kubernetes: one row for each policy, and what it depends on.
#[test]
fn who_can_and_what_somebody_can_are_told_by_any_schema() -> Result<()> {
    let known = ["--entities", "entities.json"];
    for (args, expected) in [
        (
            vec!["who-can", "read", "Doc"],
            vec![
                "\"whatever is in Team::\"\"red\"\"\",read,every Doc,red-reads,\
                 \"resource.kind == \"\"plan\"\"; not forbidden by no-secrets: \
                 resource in Folder::\"\"secret\"\"\"",
            ],
        ),
        (
            vec!["who-can", "Action::\"read\"", "Doc::\"b\""],
            // The document is a memo.
            vec![],
        ),
        (
            vec!["who-can", "write", "Doc::\"a\""],
            vec![
                "\"whatever is in Team::\"\"red\"\"\",write,\"Doc::\"\"a\"\"\",\
                 writes-with-mfa,context.mfa",
            ],
        ),
        (
            vec!["what-can", "User::\"bo\""],
            vec![
                "\"User::\"\"bo\"\"\",read,every Folder,folders,\"not forbidden by no-secrets: \
                 resource in Folder::\"\"secret\"\"\"",
            ],
        ),
    ] {
        let run = access(&[&args[..], &known].concat())?;
        ensure!(run.exit == 0, "{run:?}");
        let rows: Vec<&str> = run.stdout.lines().skip(1).collect();
        assert_eq!(rows, expected, "{args:?}");
    }
    // Without entities nothing but the name is known, which is said.
    let run = access(&["what-can", "User::\"ana\""])?;
    ensure!(run.stderr.contains("is not among the entities"), "{run:?}");
    let run = access(&["what-can", "User::\"new\"", "--group", "Team::\"red\""])?;
    ensure!(run.stdout.contains("red-reads") && run.stdout.contains("writes-with-mfa"), "{run:?}");
    for (args, says) in [
        (["who-can", "raed", "Doc"], "did you mean `read`?"),
        (["who-can", "read", "nothing"], "`nothing` cannot be read as a resource"),
        (["what-can", "nobody", "--group=Team::\"red\""], "`nobody` cannot be read as a subject"),
    ] {
        let run = access(&args)?;
        ensure!(run.exit == 1 && run.stderr.contains(says), "{run:?}");
    }
    Ok(())
}

/// Backstage's words, with who is in which group from its catalog.
#[test]
fn who_can_and_what_somebody_can_are_told_of_backstage() -> Result<()> {
    let with = [
        "--policies",
        "policies/backstage",
        "--catalog",
        "policies/backstage/demo/catalog-info.yaml",
    ];
    let ask = |args: &[&str]| stagedoor(&repository(""), [args, &with].concat(), b"");
    let run = ask(&["who-can", "catalog.entity.delete", "--format", "json"])?;
    ensure!(run.exit == 0 && run.stdout.contains("owners-manage"), "{run:?}");
    ensure!(run.stdout.contains("production-stays"), "{run:?}");
    let run = ask(&["what-can", "user:default/alice"])?;
    ensure!(run.exit == 0 && run.stdout.contains("catalog.entity.read"), "{run:?}");
    Ok(())
}
