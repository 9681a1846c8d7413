//! `stagedoor rule precompile` and `stagedoor rule lock`: rules as they are deployed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use stagedoor_core::count_of;
use stagedoor_rule_host::{LOCK_FILE, RuleHost, RuleLock, WasmRule, WasmRules, WasmRulesError};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::rules::RuleHostArgs;
use crate::rules::host::{failed, host};
use crate::terminal::line;

/// Compile rules for an image that is read-only, or a program that starts no other.
///
/// `--precompiled-rules DIR` takes them from there. An entry is of one component, to the byte, and of
/// this version of Stagedoor: precompile with the version that is deployed.
#[derive(Debug, Args)]
pub(super) struct PrecompileArgs {
    /// Components, or directories with them.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Where to write what is compiled; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Compile for this very processor, instead of any of its kind: faster, and of no use on others.
    #[arg(long)]
    native: bool,

    #[command(flatten)]
    host: RuleHostArgs,
}

/// Pin all rules to the bytes that they are now.
///
/// Writes `rules.lock` beside the policies. With it no other version of a rule is used, and no rule
/// that is not in it.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// The directory of the policies, whose rules are in `rules`.
    #[arg(value_name = "DIR", default_value = ".")]
    policies: PathBuf,

    /// Directories of rules, if they are not there.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    rules: Vec<PathBuf>,

    #[command(flatten)]
    host: RuleHostArgs,
}

#[derive(Serialize)]
struct PrecompileSummary<'a> {
    file: String,
    rule: &'a str,
    sha256: &'a str,
    entry: String,
}

pub(super) fn precompile(args: &PrecompileArgs, output: &mut Output) -> Result<Ending, Failure> {
    // What was compiled before is of this processor.
    let host = host(&args.host)?;
    std::fs::create_dir_all(&args.out).map_err(|e| unwritten(&args.out, &e))?;
    for file in components(&args.paths)? {
        let rule = WasmRules::file(&host, &file).map_err(|error| failed(&error))?;
        let entry = precompiled(&host, &file, args).map_err(|error| failed(&error))?;
        let told = PrecompileSummary {
            file: file.display().to_string(),
            rule: rule.name(),
            sha256: rule.digest(),
            entry: args.out.join(entry).display().to_string(),
        };
        if output.is_json() {
            output.json(&told)?;
        } else {
            output.line(format_args!(
                "{} {} {}",
                line(told.rule),
                told.sha256,
                line(&told.entry)
            ))?;
        }
    }
    Ok(Ending::Done)
}

fn precompiled(
    host: &RuleHost,
    file: &Path,
    args: &PrecompileArgs,
) -> Result<String, WasmRulesError> {
    let name = || file.display().to_string();
    let bytes = std::fs::read(file).map_err(|e| WasmRulesError::Io(name(), e))?;
    let written = WasmRule::precompile(host, &bytes, args.native, &args.out);
    written.map_err(|error| WasmRulesError::Rule { file: name(), error })
}

pub(super) fn lock(args: &LockArgs, output: &mut Output) -> Result<Ending, Failure> {
    let host = host(&args.host)?;
    let directories = match args.rules.as_slice() {
        [] => vec![args.policies.join("rules")],
        named => named.to_vec(),
    };
    let mut rules: Vec<WasmRule> = Vec::new();
    for file in components(&directories)? {
        let rule = WasmRules::file(&host, &file).map_err(|error| failed(&error))?;
        if let Some(other) = rules.iter().find(|other| other.name() == rule.name())
            && other.digest() != rule.digest()
        {
            let (file, name) = (file.display(), line(rule.name()));
            return Err(Failure::input(format!("`{file}` is another rule `{name}`")));
        }
        rules.push(rule);
    }
    let path = args.policies.join(LOCK_FILE);
    let text = RuleLock::text(rules.iter().map(|rule| (rule.name(), rule.digest())));
    std::fs::write(&path, text).map_err(|e| unwritten(&path, &e))?;
    let count = count_of(rules.len(), "rule", "rules");
    output.line(format_args!("`{}` pins {count}", path.display()))?;
    Ok(Ending::Done)
}

/// Returns the components that are named, or in the directories that are.
fn components(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unread = |e: std::io::Error| Failure::input(format!("`{}`: {e}", path.display()));
        let before = files.len();
        for entry in std::fs::read_dir(path).map_err(unread)? {
            let file = entry.map_err(unread)?.path();
            if file.extension().is_some_and(|ending| ending == "wasm") {
                files.push(file);
            }
        }
        if files.len() == before {
            return Err(failed(&WasmRulesError::Empty(path.display().to_string())));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("`{}`: {error}", path.display()))
}
