//! A sample of Cedar's own corpus through the command. The test crate runs all of it
//! through the library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::run::{repository, stagedoor};

/// Every so many cases one is run.
const STEP: usize = 40;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    policies: String,
    entities: String,
    schema: String,
    requests: Vec<Value>,
}

/// What a request must be answered, or what it was.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    decision: String,
    reasons: BTreeSet<String>,
    errors: BTreeSet<String>,
}

fn texts<'a>(
    object: &'a Value,
    key: &str,
    text: impl Fn(&'a Value) -> Option<&'a Value>,
) -> BTreeSet<String> {
    let items = object.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| text(item)?.as_str()).map(str::to_owned).collect()
}

fn decision(object: &Value) -> Result<String> {
    Ok(object.get("decision").and_then(Value::as_str).context("no decision")?.to_owned())
}

fn run_case(corpus: &Path, case: &Case) -> Result<usize> {
    let requests: Vec<String> = case.requests.iter().map(Value::to_string).collect();
    let args = [
        "authorize",
        "--exact-cedar",
        "--format=json",
        "--policies",
        &case.policies,
        "--schema",
        &case.schema,
        "--entities",
        &case.entities,
        "--requests=-",
    ];
    let run = stagedoor(corpus, args, requests.join("\n").as_bytes())?;
    ensure!(run.exit == 0, "exit code {}: {}{}", run.exit, run.stdout, run.stderr);
    ensure!(run.stdout.lines().count() == case.requests.len(), "{}", run.stdout);
    for (line, request) in run.stdout.lines().zip(&case.requests) {
        let answer: Value = serde_json::from_str(line)?;
        ensure!(answer.get("error").is_none(), "{line}");
        let given = Answer {
            decision: decision(&answer)?,
            reasons: texts(&answer, "reasons", Some),
            errors: texts(&answer, "errors", |error| error.get("policy")),
        };
        let expected = Answer {
            decision: decision(request)?,
            reasons: texts(request, "reason", Some),
            errors: texts(request, "errors", Some),
        };
        ensure!(given == expected, "{given:?} instead of {expected:?} for {request}");
    }
    Ok(case.requests.len())
}

#[test]
fn a_sample_of_cedars_corpus_agrees() -> Result<()> {
    let archive = repository("../shared/conformance/cedar-corpus.tar.gz");
    if !archive.is_file() {
        println!("SKIPPED: Cedar's corpus is not here");
        return Ok(());
    }
    let corpus = tempfile::tempdir()?;
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).current_dir(&corpus).status()?;
    ensure!(unpacked.success(), "tar failed");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(corpus.path().join("corpus-tests"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.retain(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".json") && !name.ends_with(".entities.json")
    });
    paths.sort();
    let (mut cases, mut requests) = (0, 0);
    for path in paths.iter().step_by(STEP) {
        let case: Case = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        requests += run_case(corpus.path(), &case).with_context(|| path.display().to_string())?;
        cases += 1;
    }
    println!("{cases} cases with {requests} requests agree");
    ensure!(requests > 0, "no requests");
    Ok(())
}
