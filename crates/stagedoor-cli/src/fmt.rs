//! `stagedoor fmt`: policies in Cedar's own format.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use stagedoor_core::{Limits, LoadError, Problem, Severity, SourceKind};
use stagedoor_review::fmt::{Style, formatted};
use stagedoor_source::{FileKind, Listing, RealFileSystem};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::{Input, is_stdin};
use crate::output::Output;
use crate::review::or_unusable;
use crate::terminal::line;

/// Format policies as Cedar's formatter does.
///
/// Files are rewritten in place; `-` formats the standard input to the standard output. A file is
/// written only if what it says is the same before and after, comments included.
///
/// Exits with 0; with 1 if `--check` is given and a file is not formatted; with 2 if a file cannot
/// be read, parsed or written.
#[derive(Debug, Args)]
pub(crate) struct FmtArgs {
    /// Files, or directories with `*.cedar` files anywhere below; `-` for the standard input.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Write nothing; tell which files are not formatted.
    #[arg(long)]
    check: bool,

    /// The longest line.
    #[arg(long, value_name = "COLUMNS", default_value_t = 100)]
    line_width: usize,

    /// The indentation.
    #[arg(long, value_name = "COLUMNS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=16))]
    indent_width: u8,
}

#[derive(Serialize)]
struct FmtJson<'a> {
    files: usize,
    changed: &'a [String],
}

pub(crate) fn run(args: &FmtArgs, output: &mut Output) -> Result<Ending, Failure> {
    let ended = format(args, output);
    or_unusable(ended, output)
}

fn format(args: &FmtArgs, output: &mut Output) -> Result<Ending, Failure> {
    let style = Style { line_width: args.line_width, indent_width: args.indent_width };
    let files = files(&args.paths, output)?;
    let mut input = Input::default();
    let mut changes = Vec::new();
    // All are formatted before the first is written.
    for path in &files {
        let name = Input::name(path);
        let text = input.text(path, Limits::default().file_bytes)?;
        let new = formatted(&text, &style).map_err(|e| {
            Failure::input(format!("`{name}` cannot be formatted: {e}"))
                .with_help("nothing was written; `stagedoor validate` tells more")
        })?;
        if is_stdin(path) && !args.check {
            output.bytes(new.as_bytes())?;
        } else if new != text {
            changes.push((path.clone(), name, new));
        }
    }
    let names: Vec<String> = changes.iter().map(|(_, name, _)| name.clone()).collect();
    if !args.check {
        for (path, name, text) in &changes {
            replace(path, text)
                .map_err(|e| Failure::input(format!("`{name}` cannot be written: {e}")))?;
        }
    }
    if output.is_json() {
        output.json(&FmtJson { files: files.len(), changed: &names })?;
    } else if !files.iter().any(|path| is_stdin(path)) || args.check {
        let what = if args.check { "not formatted" } else { "formatted" };
        for name in &names {
            output.line(format_args!("{}: {what}", line(name)))?;
        }
    }
    Ok(if args.check && !names.is_empty() { Ending::Failed } else { Ending::Done })
}

/// Replaces a file as a whole, so that whoever reads it meanwhile sees the one or the other.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let permissions = std::fs::metadata(&real).ok().map(|metadata| metadata.permissions());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = real.with_file_name(format!(".{name}.{}.new", std::process::id()));
    std::fs::write(&beside, text)
        .and_then(|()| permissions.map_or(Ok(()), |p| std::fs::set_permissions(&beside, p)))
        .and_then(|()| std::fs::rename(&beside, &real))
        .inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

/// Returns the files at the paths: files as they are given, and all `*.cedar` below directories.
fn files(paths: &[PathBuf], output: &Output) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if is_stdin(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let listing = Listing::of(&RealFileSystem, path);
        let errors = listing.problems.iter().filter(|p| p.severity() == Severity::Error);
        let errors: Vec<Problem> = errors.cloned().collect();
        if !errors.is_empty() {
            return Err(LoadError::of(errors).into());
        }
        for file in listing.files {
            match file.kind {
                FileKind::Source(SourceKind::Policies) => files.push(file.path),
                FileKind::Lookalike => output.remark(&format!(
                    "`{}` is not formatted: by its name it is not a file of policies",
                    file.path.display()
                )),
                _ => {}
            }
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}
