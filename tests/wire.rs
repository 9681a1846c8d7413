//! The form that programs read and write: its corpus through the library, and what is generated
//! of it. With `UPDATE_CASES=1` and `UPDATE_GENERATED=1` they are written anew.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use stagedoor_tests::wire::WireSuite;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with what it must be, or writes it where that is asked for.
fn up_to_date(path: &Path, text: &str, variable: &str) -> Result<()> {
    if std::env::var_os(variable).is_some() {
        std::fs::write(path, text)?;
    }
    let there = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let first = there.lines().zip(text.lines()).find(|(there, text)| there != text);
    ensure!(there == text, "{} is out of date: set {variable}=1: {first:#?}", path.display());
    Ok(())
}

#[test]
fn every_case_is_answered_as_it_is_written() -> Result<()> {
    let mut cases = 0;
    for entry in std::fs::read_dir(root().join("tests/cases/wire"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let suite: WireSuite = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        let answers = suite.answers().with_context(|| path.display().to_string())?;
        up_to_date(&path.with_extension("jsonl"), &(answers.join("\n") + "\n"), "UPDATE_CASES")?;
        cases += answers.len();
    }
    ensure!(cases > 40, "only {cases} cases");
    Ok(())
}

#[test]
fn the_schema_and_the_types_are_up_to_date() -> Result<()> {
    let schema = serde_json::to_string_pretty(&stagedoor_wire::schema::json_schema())? + "\n";
    let types = stagedoor_wire::schema::typescript();
    for (path, text) in [
        ("crates/stagedoor-wire/wire.schema.json", &schema),
        ("bindings/node/wire.d.ts", &types),
        ("bindings/wasm/src/wire.ts", &types),
    ] {
        up_to_date(&root().join(path), text, "UPDATE_GENERATED")?;
    }
    // Every key that the answers of the corpus have is one of the schema's.
    for key in ["held-back", "not-satisfied", "unreported", "mayKeep", "interpreted"] {
        ensure!(schema.contains(key) && types.contains(key), "{key}");
    }
    Ok(())
}
