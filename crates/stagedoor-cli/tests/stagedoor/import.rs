//! What an import writes, used as policies.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::run::stagedoor;

fn grants(bindings: usize) -> String {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    });
    let binding = |n: usize| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("b{n}"), "namespace": format!("ns-{n}")},
            "subjects": [{"kind": "User", "name": format!("user-{n}")}],
            "roleRef": {"kind": "ClusterRole", "name": "reader"},
        })
    };
    let objects: Vec<String> = std::iter::once(role)
        .chain((0..bindings).map(binding))
        .map(|object| object.to_string())
        .collect();
    objects.join("\n")
}

fn allowed(directory: &std::path::Path, user: &str, namespace: &str) -> Result<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {
            "verb": "get", "resource": "pods", "namespace": namespace}},
    });
    let args = ["check", "kubernetes", "--policies", "out", "--review", "-", "--format", "json"];
    let run = stagedoor(directory, args, review.to_string().as_bytes())?;
    let answer: Value = serde_json::from_str(&run.stdout)?;
    let allowed = answer.pointer("/status/allowed") == Some(&json!(true));
    ensure!(run.exit == if allowed { 0 } else { 2 }, "{}{}", run.stdout, run.stderr);
    Ok(allowed)
}

#[test]
fn what_is_written_decides_as_the_roles_do() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let import = ["import", "kubernetes-rbac", "-", "--out", "out"];
    let names = || -> Result<Vec<String>> {
        let entries = std::fs::read_dir(path.join("out"))?;
        let mut names: Vec<String> = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    };

    let run = stagedoor(path, import, grants(30).as_bytes())?;
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert_eq!(run.stdout, "30 policies and links written to out\n");
    assert_eq!(names()?, ["rbac-links.cedar.json", "rbac.cedar"]);
    assert!(allowed(path, "user-7", "ns-7")?);
    assert!(!allowed(path, "user-7", "ns-8")?);
    let run = stagedoor(path, ["validate", "out", "--platform", "kubernetes"], b"")?;
    assert_eq!(run.exit, 0, "{}{}", run.stdout, run.stderr);

    // Fewer grants: the links of before must not stay behind.
    std::fs::write(path.join("out/own.cedar"), "// kept\n")?;
    let run = stagedoor(path, import, grants(1).as_bytes())?;
    assert_eq!(run.exit, 0, "{}", run.stderr);
    assert_eq!(names()?, ["own.cedar", "rbac.cedar"]);
    assert!(allowed(path, "user-0", "ns-0")?);
    assert!(!allowed(path, "user-7", "ns-7")?);

    // Roles that cannot be read leave everything as it was.
    let run = stagedoor(path, import, b"kind: [")?;
    assert_eq!(run.exit, 1);
    assert!(allowed(path, "user-0", "ns-0")?);
    Ok(())
}
