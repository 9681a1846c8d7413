//! The GitHub action and the hooks for pre-commit, as the files at the repository's root have them, and
//! what each crate needs to be published.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::documents::Scratch;
use crate::run::repository;

/// Stands in for GitHub: keeps what is sent, and tells of one comment if there is one.
const GH: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$*" in
  *--paginate*) cat "$here/comment-id" 2>/dev/null; exit 0 ;;
esac
[ ! -e "$here/refuse" ] || exit 1
echo "$*" >>"$here/gh.log"
for each in "$@"; do case $each in body=@*) cat "${each#body=@}" >"$here/body.md" ;; esac; done
"#;

struct Action(Scratch);

impl Action {
    fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        scratch.write("bin/gh", GH)?;
        Ok(Self(scratch))
    }

    /// Runs the action's script with these variables set.
    fn run(&self, variables: &str) -> Result<(Option<i32>, String)> {
        let script = repository("bindings/cli/action.sh").canonicalize()?;
        let script = script.display();
        self.0.sh(&format!(
            "export POLICIES=policies RUNNER_TEMP=$PWD/bin GITHUB_OUTPUT=$PWD/bin/output \
             GITHUB_REPOSITORY=a/b {variables}; {script} run"
        ))
    }

    fn read(&self, name: &str) -> String {
        self.0.read(name).unwrap_or_default()
    }
}

#[cfg(unix)]
#[test]
fn the_action_tells_what_a_pull_request_changes() -> Result<()> {
    let action = Action::new()?;
    let (code, printed) = action.run("COMMENT=true")?;
    ensure!(code == Some(0), "nothing changes: {printed}");
    ensure!(action.read("bin/body.md").contains("Access does not change"), "{printed}");
    ensure!(action.read("bin/summary.md").contains("Access does not change"), "{printed}");
    ensure!(action.read("bin/output").starts_with("diff="), "{printed}");

    let wider = "@id(\"ben\")\n@doc(\"Ben reads.\")\npermit (\n  principal == User::\"ben\",\n  \
                 action == Action::\"read\",\n  resource\n);\n";
    action.0.write("policies/ben.cedar", wider)?;
    action.0.write("bin/comment-id", "7\n")?;
    let (code, printed) = action.run("FAIL_ON=")?;
    ensure!(code == Some(0), "a change alone is no fault: {printed}");
    let body = action.read("bin/body.md");
    ensure!(body.starts_with("<!-- stagedoor: policies -->") && body.contains("ben"), "{body}");
    let sent = action.read("bin/gh.log");
    let methods: Vec<_> = sent.lines().map(|line| line.contains("PATCH")).collect();
    ensure!(methods == [false, true], "one comment is written, then replaced: {sent}");

    let (code, printed) = action.run("FAIL_ON=widened")?;
    ensure!(code == Some(1), "what is widened fails: {printed}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn the_action_fails_for_what_it_cannot_do() -> Result<()> {
    let action = Action::new()?;
    action.0.write("bin/refuse", "")?;
    let (code, printed) = action.run("")?;
    ensure!(code == Some(0) && printed.contains("the comment cannot be written"), "{printed}");
    ensure!(action.read("bin/summary.md").contains("Access does not change"), "{printed}");

    let (code, printed) = action.run("BASE=0123456789abcdef0123456789abcdef01234567")?;
    ensure!(code == Some(1) && printed.contains("cannot be read"), "{printed}");

    action.0.write("policies/app.cedar", "permit(")?;
    let (code, printed) = action.run("")?;
    ensure!(code == Some(1), "{printed}");
    for told in ["lint policies", "test policies", "the comparison fails"] {
        ensure!(printed.contains(told), "`{told}` is not told: {printed}");
    }

    let (code, _) = action.0.sh("git checkout -q -- . && git mv policies elsewhere")?;
    ensure!(code == Some(0), "the directory is moved");
    let (code, printed) = action.run("POLICIES=elsewhere")?;
    ensure!(code == Some(0), "{printed}");
    ensure!(action.read("bin/summary.md").contains("nothing to compare with"), "{printed}");
    Ok(())
}

/// The inputs that the action declares are those that its steps read, and its script is there.
#[test]
fn the_action_is_what_its_steps_run() -> Result<()> {
    let text = std::fs::read_to_string(repository("action.yml"))?;
    let action: Value = serde_saphyr::from_str(&text)?;
    let inputs = action.get("inputs").and_then(Value::as_object).context("no inputs")?;
    for name in inputs.keys() {
        ensure!(text.contains(&format!("inputs.{name}")), "nothing reads the input `{name}`");
    }
    let steps = action.pointer("/runs/steps").and_then(Value::as_array).context("no steps")?;
    for step in steps {
        let script = step.get("run").and_then(Value::as_str).context("no script")?;
        let path =
            script.strip_prefix("\"$GITHUB_ACTION_PATH/").context("no path of the action")?;
        let path = path.split('"').next().context("no path")?;
        ensure!(repository(path).is_file(), "`{path}` is not there");
    }
    Ok(())
}

/// What pre-commit would run passes for what is right, and fails for what is not.
#[cfg(unix)]
#[test]
fn the_hooks_of_this_repository_stop_what_is_wrong() -> Result<()> {
    let text = std::fs::read_to_string(repository(".pre-commit-hooks.yaml"))?;
    let hooks: Vec<Value> = serde_saphyr::from_str(&text)?;
    let root = repository("").canonicalize()?;
    for (name, text, stopped) in [
        ("policies/app.test.yaml", "cases: []\n", "stagedoor-test"),
        (
            "policies/all.cedar",
            "@id(\"all\") permit (principal, action, resource);\n",
            "stagedoor-lint",
        ),
        ("policies/app.cedar", "permit(", "stagedoor-fmt"),
    ] {
        let scratch = Scratch::new()?;
        for hook in &hooks {
            let (id, code, printed) = run_hook(hook, &root, &scratch, "policies/app.cedar")?;
            ensure!(code == Some(0), "{id} for what is right: {printed}");
        }
        scratch.write(name, text)?;
        let mut failed = Vec::new();
        for hook in &hooks {
            let (id, code, _) = run_hook(hook, &root, &scratch, name)?;
            if code != Some(0) {
                failed.push(id);
            }
        }
        ensure!(failed.iter().any(|id| id == stopped), "{name}: {failed:?}");
    }
    Ok(())
}

fn run_hook(
    hook: &Value,
    root: &Path,
    scratch: &Scratch,
    file: &str,
) -> Result<(String, Option<i32>, String)> {
    let text = |key: &str| hook.get(key).and_then(Value::as_str);
    let entry = text("entry").context("no entry")?;
    let args = hook.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut line = format!("{}/{entry}", root.display());
    for arg in args.iter().filter_map(Value::as_str) {
        line.push_str(&format!(" {arg}"));
    }
    if hook.get("pass_filenames") != Some(&Value::Bool(false)) {
        line.push_str(&format!(" {file}"));
    }
    let (code, printed) = scratch.sh(&line)?;
    Ok((text("id").context("no id")?.to_owned(), code, printed))
}

/// Without the command of this version, and without npm, a hook says what to install.
#[cfg(unix)]
#[test]
fn a_hook_without_the_command_says_so() -> Result<()> {
    let scratch = Scratch::new()?;
    let script = repository("bindings/cli/pre-commit.sh").canonicalize()?;
    let (code, printed) = scratch
        .sh("mkdir bin/few && ln -s \"$(command -v sed)\" \"$(command -v dirname)\" bin/few")?;
    ensure!(code == Some(0), "{printed}");
    let output = Command::new("/bin/sh")
        .arg(&script)
        .arg("fmt")
        .env("PATH", scratch.path().join("bin/few"))
        .current_dir(scratch.path())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(127), "{printed}");
    ensure!(printed.contains("cargo install --locked stagedoor-cli@"), "{printed}");
    Ok(())
}

/// A crate's archive holds what is in its folder: the licence has to be there.
#[test]
fn every_crate_has_its_licence() -> Result<()> {
    let licence = std::fs::read(repository("LICENSE"))?;
    let mut crates = 0;
    for entry in std::fs::read_dir(repository("crates"))? {
        let folder = entry?.path();
        if folder.join("Cargo.toml").is_file() {
            let own = std::fs::read(folder.join("LICENSE"));
            ensure!(own.is_ok_and(|own| own == licence), "{} has no LICENSE", folder.display());
            crates += 1;
        }
    }
    ensure!(crates > 10, "{crates} crates");
    Ok(())
}
