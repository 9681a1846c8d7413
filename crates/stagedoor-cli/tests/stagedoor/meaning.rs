//! `stagedoor diff` and `stagedoor prove` for all requests, and bounds in test files.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{Run, stagedoor};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team] = { level: Long };
    entity Doc { public: Bool, level: Long, name: String };
    action read, write appliesTo { principal: User, resource: Doc };";

struct Place(tempfile::TempDir);

impl Place {
    /// A directory of policies for each pair of name and text.
    fn new(sides: &[(&str, &str)]) -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        for (name, policies) in sides {
            place.write(&format!("{name}/app.cedarschema"), SCHEMA)?;
            place.write(&format!("{name}/app.cedar"), policies)?;
        }
        Ok(place)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().context("no parent")?)?;
        Ok(std::fs::write(path, text)?)
    }

    fn run(&self, args: &[&str]) -> Result<Run> {
        stagedoor(self.0.path(), args.to_vec(), b"")
    }

    fn git(&self, args: &[&str]) -> Result<()> {
        let output = std::process::Command::new("git")
            .current_dir(self.0.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(["-c", "init.defaultBranch=main"])
            .args(args)
            .output()
            .context("`git` is needed")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// Relations between values are only tried to be met: where a request comes out allowed against what was
/// stated, no permit may be kept out for it, since a forbid wins over all of them.
#[test]
fn a_forbid_that_hangs_on_a_relation_is_not_overlooked() -> Result<()> {
    let schema = "
        entity User { level: Long };
        entity Doc { readers: Set<User> };
        action read appliesTo { principal: User, resource: Doc };";
    let all = "@id(\"all\") permit (principal, action, resource);";
    let bound = "(principal, action, resource) when { principal in resource.readers }";
    for condition in [
        "if principal == User::\"a\" then true else resource.readers.isEmpty()",
        "principal == User::\"a\" || resource.readers.isEmpty()",
        "if !(principal == User::\"a\" && principal.level == 0) then resource.readers.isEmpty() else true",
    ] {
        let place = Place::new(&[])?;
        let forbid =
            format!("@id(\"no\") forbid (principal, action, resource) when {{ {condition} }};");
        let permit = "@id(\"all\") permit (principal, action, resource) when { principal in resource.readers };";
        for (side, policies) in [
            ("p", format!("{all} {forbid}")),
            ("before", format!("{permit} {forbid}")),
            ("after", permit.to_owned()),
        ] {
            place.write(&format!("{side}/app.cedarschema"), schema)?;
            place.write(&format!("{side}/app.cedar"), &policies)?;
        }
        let run = place.run(&["prove", "--policies", "p", "--always", bound])?;
        ensure!(run.exit == 1 && !run.stdout.starts_with("proved"), "{condition}: {run:?}");
        let run = place.run(&["diff", "before", "after", "--fail-on", "widened"])?;
        ensure!(run.exit == 1 && !run.stdout.contains("equal"), "{condition}: {run:?}");
    }
    Ok(())
}

/// What a side says, what the other does, the verdict and the ending with `--fail-on widened`.
#[test]
fn verdicts_need_no_fixtures() -> Result<()> {
    let cases = [
        ("when { resource.level < 5000 }", "when { resource.level < 5001 }", "widened", 1),
        ("when { resource.level < 5000 }", "when { resource.level <= 4999 }", "equal", 0),
        ("when { resource.level == 5 }", "when { resource.level == 6 }", "both", 1),
        (
            "when { resource.name like \"a*\" }",
            "when { resource.name like \"ab*\" }",
            "narrowed",
            0,
        ),
        (
            "when { resource.name like \"a*\" || resource.name like \"*\" }",
            "when { resource.name != \"\" || resource.name like \"\" }",
            "equal",
            0,
        ),
        (
            "when { principal.level < resource.level }",
            "when { !(resource.level <= principal.level) }",
            "undecided",
            1,
        ),
        // An attribute of somebody who is not known errs, and denies.
        ("when { true }", "when { principal.level == 1 || principal.level != 1 }", "narrowed", 0),
    ];
    for (old, new, verdict, exit) in cases {
        let policy =
            |condition| format!("@id(\"p\") permit (principal, action, resource) {condition};");
        let place = Place::new(&[("old", &policy(old)), ("new", &policy(new))])?;
        let run = place.run(&["diff", "old", "new", "--fail-on", "widened", "--format", "json"])?;
        let json: Value = serde_json::from_str(&run.stdout).context(run.stderr.clone())?;
        assert_eq!((&json["meaning"]["verdict"], run.exit), (&verdict.into(), exit), "{old} {new}");
        if verdict == "undecided" {
            let reasons = json["meaning"]["rows"][0]["reasons"].to_string();
            ensure!(reasons.contains("level"), "{reasons}");
            let run =
                place.run(&["diff", "old", "new", "--fail-on", "any", "--allow-undecided"])?;
            ensure!(run.exit == 0 && run.stdout.contains("is not decided"), "{run:?}");
        }
    }
    Ok(())
}

/// The user of whom a group is widened stands among the old fixtures alone.
/// A request that shows a difference is tried for the next action: it counts only where the policy
/// that is told of makes it.
#[test]
fn each_action_is_told_of_the_policies_that_change_it() -> Result<()> {
    let place = Place::new(&[
        (
            "old",
            "@id(\"none\") permit (principal, action, resource) when { false && resource.public };",
        ),
        (
            "new",
            "@id(\"reads\") permit (principal, action, resource)
                 when { action == Action::\"read\" && resource.public };
             @id(\"writes\") permit (principal, action == Action::\"write\", resource)
                 when { resource.public && principal.level > 3 };
             @id(\"both\") permit (principal, action, resource) when { resource.name == \"x\" };",
        ),
    ])?;
    let run = place.run(&["diff", "old", "new", "--format", "json"])?;
    let told: Value = serde_json::from_str(&run.stdout)?;
    let rows = told["meaning"]["rows"].as_array().context("no rows")?;
    let mut found: Vec<String> =
        rows.iter().map(|row| format!("{}: {}", row["policies"], row["actions"])).collect();
    found.sort_unstable();
    let expected =
        [r#"["both"]: ["read","write"]"#, r#"["reads"]: ["read"]"#, r#"["writes"]: ["write"]"#];
    assert_eq!(found, expected, "{}", run.stdout);
    Ok(())
}

#[test]
fn names_come_from_the_fixtures_of_both_sides() -> Result<()> {
    let old = r#"@id("a") permit (principal in Team::"a", action, resource);"#;
    let new = r#"@id("a") permit (principal in Team::"a", action, resource);
        @id("b") permit (principal in Team::"b", action, resource);"#;
    let place = Place::new(&[("old", old), ("new", new)])?;
    place.write(
        "old/app.test.yaml",
        r#"
fixtures:
  entities:
    - { uid: { type: User, id: bob }, attrs: { level: 1 }, parents: [{ type: Team, id: b }] }
    - { uid: { type: Doc, id: d }, attrs: { public: true, level: 1, name: d }, parents: [] }
cases:
  - { name: c, principal: 'User::"bob"', action: 'Action::"read"', resource: 'Doc::"d"', expect: deny }
"#,
    )?;
    let run = place.run(&["diff", "old", "new"])?;
    ensure!(run.stdout.contains("(such as bob)"), "{run:?}");
    ensure!(run.stdout.contains("for all requests: access is widened\n"), "{run:?}");
    Ok(())
}

#[test]
fn witnesses_are_cases_that_pass_on_the_new_side() -> Result<()> {
    let old = r#"@id("r") permit (principal, action == Action::"read", resource);
        @id("w") permit (principal in Team::"a", action, resource) when { resource.level > 3 };"#;
    let new = r#"@id("r") permit (principal, action == Action::"read", resource) when { resource.public };
        @id("w") permit (principal in Team::"a", action, resource) when { resource.level > 2 };"#;
    let place = Place::new(&[("old", old), ("new", new)])?;
    let run = place.run(&["diff", "old", "new", "--witnesses", "new/found.test.json"])?;
    assert_eq!(run.exit, 0, "{run:?}");
    let run = place.run(&["test", "new"])?;
    ensure!(run.exit == 0 && !run.stdout.contains(" 0 passed"), "{run:?}");
    place.write(
        "old/found.test.json",
        &std::fs::read_to_string(place.0.path().join("new/found.test.json"))?,
    )?;
    let run = place.run(&["test", "old"])?;
    assert_eq!(run.exit, 1, "every case says what changed: {run:?}");
    Ok(())
}

/// A bound about one action for whoever may do another, in test files and at a prompt.
#[test]
fn whoever_may_write_may_read() -> Result<()> {
    let old = r#"@id("own") permit (principal, action, resource) when { resource.level > 3 };
        @id("a") permit (principal in Team::"a", action == Action::"read", resource);"#;
    let new = r#"@id("own") permit (principal, action, resource) when { resource.level > 3 };
        @id("a") permit (principal in Team::"a", action, resource);
        @id("no") forbid (principal, action == Action::"read", resource)
            when { !resource.public && resource.level < 5 };"#;
    let place = Place::new(&[("old", old), ("new", new)])?;
    let reads = r#"(principal, action == Action::"read", resource)"#;
    let prove = |side: &str, kind: &str, action: &str| {
        let bound = ["prove", "--policies", side, kind, reads, "--if-allowed", action];
        place.run(&bound)
    };
    let writes = r#"Action::"write""#;
    let run = prove("old", "--always", writes)?;
    ensure!(run.exit == 0 && run.stdout.starts_with("proved"), "{run:?}");
    ensure!(run.stdout.contains("if `Action::\"write\"` is allowed"), "{run:?}");
    let run = prove("new", "--always", writes)?;
    ensure!(run.exit == 1 && run.stdout.contains("denied by no"), "{run:?}");
    // Nobody may do both only where there is nobody who may.
    let run = prove("new", "--never", writes)?;
    ensure!(run.exit == 1 && run.stdout.contains("allowed by own"), "{run:?}");
    let run = prove("old", "--always", "Action::\"wriet\"")?;
    ensure!(run.exit == 2 && run.stderr.contains("is not an action of the schema"), "{run:?}");
    let run = prove("old", "--always", "write")?;
    ensure!(run.exit == 2 && run.stderr.contains("`write` is not an action"), "{run:?}");
    for side in ["old", "new"] {
        let test =
            format!("bounds:\n- name: readers\n  always: '{reads}'\n  ifAllowed: '{writes}'\n");
        place.write(&format!("{side}/app.test.yaml"), &test)?;
    }
    let run = place.run(&["test", "old"])?;
    ensure!(run.exit == 0, "{run:?}");
    let run = place.run(&["test", "new"])?;
    ensure!(run.exit == 1 && run.stdout.contains("is denied by no"), "{run:?}");
    Ok(())
}

const RBAC: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: reader }
rules: [{ apiGroups: [''], resources: [pods], verbs: [get, list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: readers, namespace: payments }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: devs }]
";

#[test]
fn manifests_are_compared() -> Result<()> {
    let place = Place::new(&[])?;
    place.write("old/rbac.yaml", RBAC)?;
    place.write("same/roles.yaml", &RBAC.replace("[get, list]", "[list, get]"))?;
    place.write("renamed/rbac.yaml", &RBAC.replace("name: devs", "name: ops"))?;
    place.write("more/rbac.yaml", &RBAC.replace("[pods]", "[pods, secrets]"))?;
    place.write("odd/rbac.yaml", &RBAC.replace("[get, list]", "[get, list, frobnicate]"))?;
    place.write("odder/rbac.yaml", &RBAC.replace("[get, list]", "[get, list, twiddle]"))?;
    for (old, new, verdict) in [
        ("old", "same", "equal"),
        ("old", "renamed", "both"),
        ("old", "more", "widened"),
        ("old", "odd", "widened"),
        ("odd", "old", "narrowed"),
        ("odd", "odd", "equal"),
        ("odd", "odder", "both"),
    ] {
        let run = place.run(&["diff", old, new, "--format", "json"])?;
        let json: Value = serde_json::from_str(&run.stdout).context(run.stderr.clone())?;
        assert_eq!(json["meaning"]["verdict"], verdict, "{old} {new}: {run:?}");
        assert_eq!(json["meaning"]["undecided"], false, "{old} {new}: {run:?}");
    }
    Ok(())
}

/// Manifests of a commit are what they are in a directory.
#[test]
fn manifests_of_commits_are_compared() -> Result<()> {
    let place = Place::new(&[])?;
    place.write("rbac/rbac.yaml", RBAC)?;
    place.git(&["init", "--quiet"])?;
    place.git(&["add", "."])?;
    place.git(&["commit", "--quiet", "-m", "one"])?;
    place.write("rbac/rbac.yaml", &RBAC.replace("[pods]", "[pods, secrets]"))?;
    place.git(&["commit", "--quiet", "-a", "-m", "two"])?;
    for (old, new, verdict) in [
        ("main~1:rbac", "main:rbac", "widened"),
        ("main:rbac", "main~1:rbac", "narrowed"),
        ("main~1:rbac", "rbac", "widened"),
        ("main:rbac/rbac.yaml", "rbac", "equal"),
    ] {
        let run = place.run(&["diff", old, new, "--format", "json"])?;
        let json: Value = serde_json::from_str(&run.stdout).context(run.stderr.clone())?;
        assert_eq!(json["meaning"]["verdict"], verdict, "{old} {new}: {run:?}");
    }
    Ok(())
}

/// A link to a directory in a commit is not followed, and not passed over either.
#[cfg(unix)]
#[test]
fn links_to_directories_in_commits_are_refused() -> Result<()> {
    let place = Place::new(&[("policies", "permit (principal, action, resource);")])?;
    place.write("shared/forbid.cedar", "forbid (principal, action, resource);")?;
    place.write("notes.md", "notes")?;
    std::os::unix::fs::symlink("../notes.md", place.0.path().join("policies/notes"))?;
    place.git(&["init", "--quiet"])?;
    place.git(&["add", "."])?;
    place.git(&["commit", "--quiet", "-m", "one"])?;
    let run = place.run(&["diff", "main:policies", "main:./policies"])?;
    assert_eq!(run.exit, 0, "a link to a file that is no policy: {run:?}");
    std::os::unix::fs::symlink("../shared", place.0.path().join("policies/shared"))?;
    place.git(&["add", "."])?;
    place.git(&["commit", "--quiet", "-m", "two"])?;
    let run = place.run(&["diff", "main~1:policies", "main:policies", "--fail-on", "widened"])?;
    ensure!(run.exit == 2 && run.stderr.contains("main:policies/shared"), "{run:?}");
    Ok(())
}

#[test]
fn bounds_are_proved_or_refuted() -> Result<()> {
    let policies = r#"
        @id("read") permit (principal, action == Action::"read", resource);
        @id("sre") permit (principal in Team::"sre", action, resource);
        @id("write") permit (principal, action == Action::"write", resource)
            unless { resource.name like "prod-*" };"#;
    let place = Place::new(&[("p", policies)])?;
    let prod =
        r#"(principal, action == Action::"write", resource) when { resource.name like "prod-*" }"#;
    let but_sre = format!(r#"{prod} unless {{ principal in Team::"sre" }}"#);
    let prove = |args: &[&str]| place.run(&[&["prove", "--policies", "p"], args].concat());
    let run = prove(&["--never", &but_sre])?;
    ensure!(run.exit == 0 && run.stdout.starts_with("proved"), "{run:?}");
    let run = prove(&["--never", prod])?;
    ensure!(run.exit == 1 && run.stdout.contains("allowed by sre"), "{run:?}");
    ensure!(run.stdout.contains("principal in Team::\"sre\""), "{run:?}");
    let run = prove(&["--always", "(principal, action == Action::\"read\", resource)"])?;
    assert_eq!(run.exit, 0, "{run:?}");
    let run = prove(&["--always", "(principal, action, resource)", "--format", "json"])?;
    let json: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!((&json["verdict"], run.exit), (&"violated".into(), 1), "{run:?}");
    for wrong in [
        "principal",
        "(principal, action, resource) when { resource.nope }",
        "(principal, action, resource is Team)",
        "(principal, action, resource) when { true }; permit (principal, action, resource)",
        "(principal == ?principal, action, resource)",
    ] {
        let run = prove(&["--never", wrong])?;
        ensure!(run.exit == 2 && !run.stderr.is_empty(), "{wrong}: {run:?}");
    }

    let file = |bound: &str| format!("bounds:\n  - name: prod is safe\n    never: '{bound}'\n");
    place.write("p/app.test.yaml", &file(&but_sre))?;
    let run = place.run(&["test", "p"])?;
    assert_eq!(run.exit, 0, "{run:?}");
    place.write("p/app.test.yaml", &file(prod))?;
    let run = place.run(&["test", "p"])?;
    ensure!(run.exit == 1 && run.stdout.contains("is allowed by sre"), "{run:?}");
    place.write("p/app.test.yaml", &file("(principal, action)"))?;
    assert_eq!(place.run(&["test", "p"])?.exit, 2);
    Ok(())
}
