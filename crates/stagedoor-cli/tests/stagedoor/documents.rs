//! Completions, manual pages, help, and what the page about continuous integration says.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{repository, stagedoor};

const SUBCOMMANDS: [&str; 21] = [
    "authorize",
    "check",
    "explain",
    "validate",
    "test",
    "lint",
    "diff",
    "fmt",
    "report",
    "import",
    "audit",
    "deploy",
    "who-can",
    "what-can",
    "serve",
    "rule",
    "bundle",
    "manifest",
    "demo",
    "completions",
    "man",
];

#[test]
fn every_shell_has_completions() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = stagedoor(Path::new("/"), ["completions", shell], b"")?;
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{shell}");
        for subcommand in SUBCOMMANDS {
            assert!(run.stdout.contains(subcommand), "{shell}: {subcommand}");
        }
    }
    Ok(())
}

#[test]
fn every_subcommand_has_a_manual_page_and_help() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let run = stagedoor(directory.path(), ["man", "--out", "pages/man1"], b"")?;
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    for subcommand in SUBCOMMANDS {
        let page = directory.path().join(format!("pages/man1/stagedoor-{subcommand}.1"));
        assert!(std::fs::read_to_string(page)?.contains(".SH SYNOPSIS"), "{subcommand}");
        let help = stagedoor(directory.path(), [subcommand, "--help"], b"")?;
        assert_eq!((help.exit, help.stderr.as_str()), (0, ""), "{subcommand}");
    }
    let main = stagedoor(directory.path(), ["man"], b"")?;
    assert!(main.stdout.contains(".TH stagedoor 1"));
    Ok(())
}

/// The code blocks of a language in a page.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let start = format!("```{language}\n");
    let parts = page.split(start.as_str()).skip(1);
    parts.filter_map(|part| part.split_once("```")).map(|(block, _)| block).collect()
}

/// A repository with policies, and the command and a `gh` that does nothing on its path.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        let scratch = Self(tempfile::tempdir()?);
        let here = scratch.0.path();
        std::fs::create_dir_all(here.join("policies"))?;
        std::fs::create_dir(here.join("bin"))?;
        std::fs::write(here.join(".gitignore"), "/bin\n")?;
        for (name, text) in POLICIES {
            std::fs::write(here.join("policies").join(name), text)?;
        }
        std::fs::copy(env!("CARGO_BIN_EXE_stagedoor"), here.join("bin/stagedoor"))?;
        std::fs::copy("/bin/true", here.join("bin/gh"))?;
        let (code, printed) = scratch
            .sh("git init -q -b main . && git config user.email a@example.com && \
             git config user.name a && git add -A && git commit -q -m first")?;
        ensure!(code == Some(0), "{printed}");
        Ok(scratch)
    }

    /// Runs a script as a workflow's step; returns how it ended and what it printed.
    pub(crate) fn sh(&self, script: &str) -> Result<(Option<i32>, String)> {
        let here = self.0.path();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-e", "-c", script])
            .current_dir(here)
            .env("PATH", format!("{}:{path}", here.join("bin").display()))
            .env("BASE", "main")
            .env("PULL_REQUEST", "1")
            .env("GITHUB_STEP_SUMMARY", here.join("bin/summary.md"))
            .output()?;
        let printed = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&printed).into_owned()))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.0.path().join(name), text)?)
    }

    pub(crate) fn read(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.0.path().join(name))?)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

const POLICIES: [(&str, &str); 3] = [
    (
        "app.cedarschema",
        "entity User, Doc;\naction read appliesTo { principal: User, resource: Doc };\n",
    ),
    ("app.cedar", ANA),
    (
        "app.test.yaml",
        "cases:\n  - name: ana reads\n    principal: User::\"ana\"\n    action: Action::\"read\"\n    \
         resource: Doc::\"d\"\n    expect: allow\n",
    ),
];
const ANA: &str = r#"@id("ana")
@doc("Ana reads.")
permit (
  principal == User::"ana",
  action == Action::"read",
  resource
);
"#;

/// What the page about continuous integration says is run, step by step.
#[cfg(unix)]
#[test]
fn the_workflow_runs() -> Result<()> {
    let page = std::fs::read_to_string(repository("crates/stagedoor-cli/docs/ci.md"))?;
    let scratch = Scratch::new()?;
    let mut ran = 0;
    for block in blocks(&page, "yaml") {
        let yaml: Value = serde_saphyr::from_str(block)?;
        let steps = yaml.pointer("/jobs/policies/steps").unwrap_or(&yaml);
        for step in steps.as_array().into_iter().flatten() {
            let Some(script) = step.get("run").and_then(Value::as_str) else { continue };
            if script.starts_with("npm install --global ") {
                continue;
            }
            let (code, printed) = scratch.sh(script)?;
            assert_eq!(code, Some(0), "{script}: {printed}");
            ran += 1;
        }
    }
    ensure!(ran > 5, "{ran} steps");
    let summary = std::fs::read_to_string(scratch.0.path().join("bin/summary.md"))?;
    ensure!(summary.contains("Access does not change"), "{summary}");
    Ok(())
}

/// The hooks let pass what is right, and stop what is not.
#[cfg(unix)]
#[test]
fn the_hooks_stop_what_is_wrong() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let page = std::fs::read_to_string(repository("crates/stagedoor-cli/docs/ci.md"))?;
    let hook = blocks(&page, "sh").into_iter().find(|block| block.starts_with("#!"));
    let scratch = Scratch::new()?;
    scratch.write(".git/hooks/pre-commit", hook.context("no hook")?)?;
    let hook = scratch.0.path().join(".git/hooks/pre-commit");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755))?;
    let configs: Vec<Value> =
        blocks(&page, "yaml").into_iter().map(serde_saphyr::from_str).collect::<Result<_, _>>()?;
    let local = configs
        .iter()
        .find(|config| config.pointer("/repos/0/repo").and_then(Value::as_str) == Some("local"));
    let hooks = local.and_then(|config| config.pointer("/repos/0/hooks"));
    let hooks = hooks.and_then(Value::as_array).context("no configuration of pre-commit")?;
    for (name, text, is_right) in [
        ("policies/notes.md", "Ana reads.", true),
        ("policies/wide.cedar", "@id(\"all\")\npermit (principal, action, resource);\n", false),
        ("policies/app.test.yaml", "cases: []\n", false),
        ("policies/app.cedar", "permit(", false),
    ] {
        scratch.write(name, text)?;
        let commit = format!("git add -A && git commit -q -m '{name}'");
        let (code, printed) = scratch.sh(&commit)?;
        assert_eq!(code == Some(0), is_right, "{name}: {printed}");
        // As `pre-commit` runs them: an entry with the files that changed.
        let mut passed = true;
        for hook in hooks {
            let entry = hook.get("entry").and_then(Value::as_str).context("no entry")?;
            let takes_files = hook.get("pass_filenames") != Some(&Value::Bool(false));
            let script = match takes_files {
                true if !name.ends_with(".cedar") => continue,
                true => format!("{entry} {name}"),
                false => entry.to_owned(),
            };
            passed &= scratch.sh(&script)?.0 == Some(0);
        }
        assert_eq!(passed, is_right, "{name}");
        let (code, printed) = scratch.sh("git reset -q --hard && git clean -fdq")?;
        ensure!(code == Some(0), "{printed}");
    }
    Ok(())
}
