//! The cases of `tests/cases`: files, arguments, and what must come of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::run::{Run, repository, stagedoor};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Files that every case finds in its directory, by name.
    #[serde(default)]
    files: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Separated by blanks; `POLICIES` is the repository's directory of policies.
    args: String,
    #[serde(default)]
    stdin: String,
    exit: i32,
    /// The lines of the standard output as JSON. A `"*"` stands for any value.
    #[serde(default)]
    json: Option<Vec<Value>>,
    /// What the standard output holds.
    #[serde(default)]
    stdout: Vec<String>,
    /// What the standard error holds.
    #[serde(default)]
    stderr: Vec<String>,
}

impl Case {
    fn check(&self, run: &Run) -> Result<()> {
        ensure!(run.exit == self.exit, "exit code {} instead of {}", run.exit, self.exit);
        for text in &self.stdout {
            ensure!(run.stdout.contains(text), "not in the standard output: {text}");
        }
        for text in &self.stderr {
            ensure!(run.stderr.contains(text), "not in the standard error: {text}");
        }
        ensure!(!run.stderr.contains("panicked"), "it panicked");
        ensure!(!format!("{}{}", run.stdout, run.stderr).contains('\x1b'), "colour in a pipe");
        if self.stdout.is_empty() && self.json.is_none() {
            ensure!(run.stdout.is_empty(), "something on the standard output");
        }
        if self.stderr.is_empty() {
            ensure!(run.stderr.is_empty(), "something on the standard error");
        }
        let Some(expected) = &self.json else { return Ok(()) };
        let lines = run.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        let lines = lines.context("the standard output is not JSON Lines")?;
        ensure!(lines.len() == expected.len(), "{} lines", lines.len());
        for (line, expected) in lines.iter().zip(expected) {
            ensure!(matches(line, expected), "{line}\ninstead of\n{expected}");
        }
        Ok(())
    }
}

/// Returns whether `given` is `expected`: the same keys, and the same values but for `"*"`.
fn matches(given: &Value, expected: &Value) -> bool {
    match (given, expected) {
        (_, Value::String(any)) if any == "*" => true,
        (Value::Object(given), Value::Object(expected)) => {
            given.len() == expected.len()
                && expected.iter().all(|(k, e)| given.get(k).is_some_and(|g| matches(g, e)))
        }
        (Value::Array(given), Value::Array(expected)) => {
            given.len() == expected.len() && given.iter().zip(expected).all(|(g, e)| matches(g, e))
        }
        (given, expected) => given == expected,
    }
}

fn run_table(path: &Path) -> Result<(usize, Vec<String>)> {
    let text = std::fs::read_to_string(path)?;
    let table: Table = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    let directory = tempfile::tempdir()?;
    for (name, content) in &table.files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().context("a file without a directory")?)?;
        std::fs::write(path, content)?;
    }
    let policies = repository("policies").canonicalize()?.display().to_string();
    let mut failures = Vec::new();
    for case in &table.cases {
        let args = case.args.split_whitespace().map(|arg| arg.replace("POLICIES", &policies));
        let run = stagedoor(directory.path(), args, case.stdin.as_bytes())?;
        if let Err(error) = case.check(&run) {
            failures.push(format!(
                "{}: case `{}`: {error:#}\n--- stdout\n{}--- stderr\n{}",
                path.display(),
                case.name,
                run.stdout,
                run.stderr
            ));
        }
    }
    Ok((table.cases.len(), failures))
}

#[test]
fn every_case_comes_out_as_written() -> Result<()> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut tables: Vec<PathBuf> =
        std::fs::read_dir(cases)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    tables.sort();
    let (mut count, mut failures) = (0, Vec::new());
    for table in &tables {
        let (cases, failed) = run_table(table)?;
        count += cases;
        failures.extend(failed);
    }
    println!("{count} cases of {} tables", tables.len());
    ensure!(count > 0, "no cases");
    ensure!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
