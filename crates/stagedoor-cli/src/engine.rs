//! The engine that a command's arguments ask for.

use std::path::{Path, PathBuf};

use clap::Args;
use stagedoor_core::{Engine, EngineBuilder, Limits};

use crate::failure::Failure;
use crate::input::{Input, is_stdin, unreadable};
use crate::rules::RulesArgs;

/// Endings by which the engine itself tells what is in a file.
const KNOWN_ENDINGS: [&str; 4] = [".cedar", ".cedarschema", ".cedar.json", ".cedarschema.json"];

/// Where policies and schemas are.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// Policies: files or directories, `-` for the standard input.
    ///
    /// Of a directory all `*.cedar`, `*.cedar.json`, `*.cedarschema` and
    /// `*.cedarschema.json` below it are read. A file of another name is read as policies.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) policies: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// A schema, as Cedar text or (`*.json`) as JSON; several are taken together.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    schema: Vec<PathBuf>,

    /// Decide exactly as Cedar does.
    ///
    /// No schema is needed, nothing is validated, a `forbid` that cannot be evaluated
    /// is left out, and policies have Cedar's positional ids (`policy0`). A schema that
    /// is given serves to read entities and requests.
    #[arg(long)]
    exact_cedar: bool,
}

impl PolicyArgs {
    pub(crate) fn engine(&self, input: &mut Input) -> Result<Engine, Failure> {
        let builder = with_policies(Engine::builder(), &self.policies, &self.rules, input)?;
        let builder = with_schemas(builder, &self.schema, input)?;
        let builder = if self.exact_cedar { builder.exact_cedar() } else { builder };
        Ok(builder.build()?)
    }
}

/// Adds files and directories, and rules.
pub(crate) fn with_policies(
    mut builder: EngineBuilder,
    paths: &[PathBuf],
    rules: &RulesArgs,
    input: &mut Input,
) -> Result<EngineBuilder, Failure> {
    let limit = Limits::default().file_bytes;
    for path in paths {
        let name = Input::name(path);
        if !is_stdin(path) {
            // Said here on one line; the engine would list it among problems of policies.
            let meta = std::fs::metadata(path).map_err(|e| unreadable(&name, &e))?;
            if meta.is_dir() {
                builder = builder.directory(path);
                continue;
            }
            if KNOWN_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                builder = builder.file(path);
                continue;
            }
        }
        let text = input.text(path, limit)?;
        // No policy begins with a bracket.
        builder = match text.trim_start().starts_with('{') {
            true => builder.policies_json(name, text),
            false => builder.policies(name, text),
        };
    }
    rules.add_to(builder, paths)
}

/// Adds files and directories that are read when the engine is built.
pub(crate) fn with_paths(builder: EngineBuilder, paths: &[PathBuf]) -> EngineBuilder {
    paths.iter().fold(builder, |builder, path| match path.is_dir() {
        true => builder.directory(path),
        false => builder.file(path),
    })
}

/// Adds schemas, whatever their files are called.
pub(crate) fn with_schemas(
    mut builder: EngineBuilder,
    paths: &[PathBuf],
    input: &mut Input,
) -> Result<EngineBuilder, Failure> {
    let limit = Limits::default().file_bytes;
    for path in paths {
        let text = input.text(path, limit)?;
        let name = Input::name(path);
        builder = match is_json_schema(path, &text) {
            true => builder.schema_json(name, text),
            false => builder.schema(name, text),
        };
    }
    Ok(builder)
}

fn is_json_schema(path: &Path, text: &str) -> bool {
    path.extension().is_some_and(|ending| ending == "json") || text.trim_start().starts_with('{')
}
