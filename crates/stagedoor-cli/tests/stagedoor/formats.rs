//! The formats for other programs, read with the schemas and parsers that others publish.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::run::{repository, stagedoor};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team];
    entity Doc { public: Bool };
    action read, write appliesTo { principal: User, resource: Doc };";

/// One clause is never false, one policy never decides; two policies have findings.
const POLICIES: &str = r#"@id("public, and: 100% # <read>") @doc("What is public.")
permit (principal, action == Action::"read", resource is Doc)
when { resource.public && (principal in Team::"a" || principal in Team::"b") };
@id("all")
permit (principal, action == Action::"write", resource);
"#;

/// What no format may trip over.
const NAME: &str = "eve, too: 100% # <wrong> \"it\" ]]> & \\ \u{fc}";

const TESTS: &str = r#"
fixtures:
  entities:
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: a }] }
    - { uid: { type: User, id: eve }, attrs: {}, parents: [] }
    - { uid: { type: Doc, id: open }, attrs: { public: true }, parents: [] }
    - { uid: { type: Doc, id: shut }, attrs: { public: false }, parents: [] }
cases:
  - { name: ana, principal: User::"ana", action: Action::"read", resource: Doc::"open", expect: allow }
  - { name: shut, principal: User::"ana", action: Action::"read", resource: Doc::"shut", expect: deny }
  - name: NAME
    principal: User::"eve"
    action: Action::"read"
    resource: Doc::"open"
    expect: allow
"#;

const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: everything }
rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: everything }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: everything }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: ana }]
";

#[test]
fn others_read_the_formats() -> Result<()> {
    let readers = repository("crates/stagedoor-cli/tests/formats");
    install(&readers)?;
    let place = tempfile::tempdir()?;
    let here = place.path();
    // A name that a format has to escape.
    let policies = here.join("the policies, 100%");
    std::fs::create_dir(&policies)?;
    std::fs::write(policies.join("a.cedarschema"), SCHEMA)?;
    std::fs::write(policies.join("a b.cedar"), POLICIES)?;
    let tests = TESTS.replace("NAME", &Value::from(NAME).to_string());
    std::fs::write(policies.join("a.test.yaml"), tests)?;
    std::fs::write(here.join("roles.yaml"), ROLES)?;
    let policies = policies.to_str().context("not UTF-8")?;

    for (args, exit, file) in [
        (&["test", policies, "--report", "tap"][..], 1, "report.tap"),
        (&["test", policies, "--report", "junit"], 1, "report.xml"),
        (&["test", policies, "--report", "github"], 1, "test.github"),
        (&["test", policies, "--report", "sarif"], 1, "test.sarif"),
        (&["test", policies, "--coverage=lcov"], 1, ""),
        (&["test", policies, "--coverage=json"], 1, ""),
        (&["test", "--file-schema"], 0, "test-file.schema.json"),
        (&["lint", policies, "--report", "sarif"], 1, "lint.sarif"),
        (&["lint", policies, "--report", "github"], 1, "lint.github"),
        (&["audit", "kubernetes", "roles.yaml", "--sarif"], 0, "audit.sarif"),
    ] {
        let run = stagedoor(here, args, b"")?;
        assert_eq!((run.exit, run.stderr.as_str()), (exit, ""), "{args:?}: {}", run.stdout);
        if !file.is_empty() {
            std::fs::write(here.join(file), run.stdout)?;
        }
    }
    let findings = stagedoor(here, ["lint", policies, "--format", "json"], b"")?;
    let findings: Value = serde_json::from_str(&findings.stdout)?;
    let findings = findings.get("findings").and_then(Value::as_array).map_or(0, Vec::len);
    let expected = json!({ "passed": 2, "failed": 1, "name": NAME, "findings": findings });
    std::fs::write(here.join("expected.json"), expected.to_string())?;
    test_files(&here.join("test-files"))?;

    let read = Command::new("node").arg(readers.join("check.mjs")).arg(here).output();
    let read = read.context("`node` is needed")?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Ok(())
}

/// Writes the test files that ship as JSON.
fn test_files(to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    let mut number = 0;
    let mut open = vec![repository("policies"), repository("tests/cases/mistakes")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(".test.yaml") {
                let value: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path)?)?;
                number += 1;
                std::fs::write(to.join(format!("{number}.json")), value.to_string())?;
            }
        }
    }
    Ok(())
}

/// Installs the packages of `package-lock.json`, unless they are there already.
fn install(folder: &Path) -> Result<()> {
    let lock = std::fs::read(folder.join("package-lock.json"))?;
    let installed: PathBuf = folder.join("node_modules/.stagedoor-lock.json");
    if std::fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let npm = Command::new("npm").current_dir(folder).args(install).output();
    let npm = npm.context("`npm` is needed")?;
    ensure!(npm.status.success(), "{}", String::from_utf8_lossy(&npm.stderr));
    Ok(std::fs::write(installed, lock)?)
}
