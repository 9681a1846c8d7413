//! Reads files and directories.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Report;
use crate::builder::{Input, Kind};
use crate::limits::Limits;
use crate::problem::Problem;
use crate::schema_files::is_passed_over;
use crate::source::Source;

/// Returns all texts, in order.
pub(super) fn read(
    inputs: Vec<Input>,
    limits: &Limits,
    report: &mut Report,
) -> Vec<(Kind, Source)> {
    let mut texts = Vec::new();
    for input in inputs {
        match input {
            Input::Text(kind, source) if source.text.len() <= limits.file_bytes => {
                texts.push((kind, source));
            }
            Input::Text(_, source) => {
                report.error(|| too_large(&source.name, limits));
            }
            Input::File(path) => match kind(&path) {
                Some(kind) => texts.extend(file(kind, &path, limits, report)),
                None => report.error(|| {
                    let name = path.display().to_string();
                    Problem::error("file::unknown", format!("`{name}` is not a file of policies"))
                        .with_help(
                            "policies stand in `.cedar` or `.cedar.json` files, schemas in \
                             `.cedarschema` or `.cedarschema.json` files",
                        )
                        .in_file(&name)
                }),
            },
            Input::Directory(path) => directory(&path, limits, report, &mut texts),
        }
    }
    texts
}

/// Tells from a file's name what is in it.
fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    Some(match name {
        n if n.ends_with(".cedar") => Kind::Policies,
        n if n.ends_with(".cedar.json") => Kind::PoliciesJson,
        n if n.ends_with(".cedarschema") => Kind::Schema,
        n if n.ends_with(".cedarschema.json") => Kind::SchemaJson,
        _ => return None,
    })
}

fn directory(path: &Path, limits: &Limits, report: &mut Report, texts: &mut Vec<(Kind, Source)>) {
    let mut found: Vec<(Kind, PathBuf)> = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        let entries =
            match fs::read_dir(&directory).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(entries) => entries,
                Err(error) => {
                    report.error(|| unreadable(&directory, &error));
                    continue;
                }
            };
        for entry in entries {
            let path = entry.path();
            if is_passed_over(&entry.file_name()) {
                continue;
            }
            let file_type = match entry.file_type() {
                Ok(file_type) => file_type,
                Err(error) => {
                    report.error(|| unreadable(&path, &error));
                    continue;
                }
            };
            if file_type.is_dir() {
                open.push(path);
            } else if kind(&path).is_some() && is_special(&path) {
                report.error(|| special(&path));
            } else if let Some(kind) = kind(&path) {
                found.push((kind, path));
            } else if file_type.is_symlink() && path.is_dir() {
                // Following it could go in circles; leaving it out could lose a forbid.
                report.error(|| linked_directory(&path));
            }
        }
    }
    if !found.iter().any(|(kind, _)| matches!(kind, Kind::Policies | Kind::PoliciesJson)) {
        report.error(|| {
            let name = path.display().to_string();
            Problem::error("directory::empty", format!("there are no policies below `{name}`"))
                .with_help("policies stand in `.cedar` or `.cedar.json` files")
                .in_file(&name)
        });
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    for (kind, path) in found {
        texts.extend(file(kind, &path, limits, report));
    }
}

fn file(kind: Kind, path: &Path, limits: &Limits, report: &mut Report) -> Option<(Kind, Source)> {
    let name = path.display().to_string();
    let read = fs::File::open(path).and_then(|file| {
        // One byte more than allowed tells that there is more.
        let mut bytes = Vec::new();
        file.take(limits.file_bytes as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) if bytes.len() > limits.file_bytes => {
            report.error(|| too_large(&name, limits));
            None
        }
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Some((kind, Source::new(name, text))),
            Err(error) => {
                report.error(|| {
                    let at = error.utf8_error().valid_up_to();
                    Problem::error("file::utf8", format!("not UTF-8 after byte {at}"))
                        .with_help("save the file as UTF-8")
                        .in_file(&name)
                });
                None
            }
        },
        Err(error) => {
            report.error(|| unreadable(path, &error));
            None
        }
    }
}

/// Whether something is neither a file nor a directory: a pipe would be waited for.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

fn special(path: &Path) -> Problem {
    let name = path.display().to_string();
    Problem::error("file::special", "not a file, but a pipe, socket or device")
        .with_help("remove it, or give it another name")
        .in_file(&name)
}

fn linked_directory(path: &Path) -> Problem {
    let name = path.display().to_string();
    Problem::error("directory::link", "a symbolic link to a directory is not followed")
        .with_help("give the directory it leads to as a path of its own, or move it here")
        .in_file(&name)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let name = path.display().to_string();
    Problem::error("file::read", format!("cannot be read: {error}"))
        .with_help("check the path and its permissions")
        .in_file(&name)
}

fn too_large(name: &str, limits: &Limits) -> Problem {
    Problem::error(
        "limit::file-bytes",
        format!("the file is larger than the limit of {} bytes", limits.file_bytes),
    )
    .with_help("split the file, or raise `Limits::file_bytes`")
    .in_file(name)
}
