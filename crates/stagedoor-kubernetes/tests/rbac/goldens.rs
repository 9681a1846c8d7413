//! Goldens: roles and bindings, the Cedar they become, and requests that are executed.
//!
//! With `STAGEDOOR_BLESS=1` the Cedar is written anew; the requests' answers are not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Engine, EngineBuilder};
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
use stagedoor_kubernetes::{Reviewer, SCHEMA};

use crate::request::RequestCase;

#[test]
fn goldens_say_what_is_written_and_decide_what_is_asked() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rbac/goldens");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&directory)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    names.retain(|path| path.to_string_lossy().ends_with(".requests.yaml"));
    names.sort();
    let mut requests = 0;
    for path in &names {
        let name = path.file_name().context("a name")?.to_string_lossy();
        let name = name.trim_end_matches(".requests.yaml").to_owned();
        requests += golden(&directory, &name).with_context(|| format!("golden `{name}`"))?;
    }
    println!("{} goldens, {requests} requests", names.len());
    ensure!(names.len() >= 5, "goldens are missing");
    Ok(())
}

fn golden(directory: &Path, name: &str) -> Result<usize> {
    let read = |ending: &str| std::fs::read_to_string(directory.join(format!("{name}.{ending}")));
    let mut objects = RbacObjects::default();
    objects.read(&format!("{name}.yaml"), &read("yaml")?)?;
    let import = RbacImport::of(&objects.resolve()?)?;

    let warnings: Vec<String> = import.warnings().iter().map(|w| format!("// {w}\n")).collect();
    let schema = import.schema().map(|schema| format!("\n/* {schema}*/\n")).unwrap_or_default();
    let written = format!("{}{}{schema}", warnings.concat(), import.to_cedar());
    let written = written.replace("/* ", "// ---- schema\n// ").replace("*/\n", "");
    let written = commented_schema(&written);
    if std::env::var_os("STAGEDOOR_BLESS").is_some() {
        std::fs::write(directory.join(format!("{name}.cedar")), &written)?;
    }
    let golden = read("cedar").unwrap_or_default();
    ensure!(written == golden, "the Cedar differs; it is now:\n{written}");

    let asked: Vec<RequestCase> = serde_saphyr::from_str(&read("requests.yaml")?)?;
    let base = || Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
    // What stands in the golden, and the form with templates.
    let schema = |builder: EngineBuilder| match import.schema() {
        Some(schema) => builder.schema("rbac.cedarschema", schema),
        None => builder,
    };
    for builder in [schema(base()).policies(name, golden.as_str()), import.add_to(base())] {
        let reviewer = Reviewer::new(builder.build()?)?;
        for asked in &asked {
            asked.check(&reviewer)?;
        }
    }
    Ok(asked.len())
}

/// Keeps the schema of added verbs in the golden, as comments.
fn commented_schema(text: &str) -> String {
    let mut lines = Vec::new();
    let mut in_schema = false;
    for line in text.lines() {
        in_schema |= line == "// ---- schema";
        if in_schema && !line.starts_with("//") && !line.is_empty() {
            lines.push(format!("// {line}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}
