//! A directory of policies in one file, to be shipped as one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::file_error::{FileError, Report};
use crate::permission_file::ENDINGS as PERMISSION_FILES;
use crate::yaml::Place;

/// How files of policies and schemas end.
const POLICY_FILES: [&str; 4] = [".cedar", ".cedar.json", ".cedarschema", ".cedarschema.json"];

/// Bounds on what is read.
const FILE_BYTES: u64 = 64 << 20;
const DEPTH: usize = 16;

/// The files of a policy directory by their names, as one JSON text:
///
/// ```json
/// {"files": {"catalog.cedar": "permit (…);", "playlist.permissions.yaml": "pluginId: …"}}
/// ```
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::{PolicyBundle, PolicyEngine};
///
/// let json = r#"{"files": {"all.cedar": "permit (principal, action, resource);"}}"#;
/// let policy = PolicyEngine::from_bundle(&PolicyBundle::from_json("b.json", json)?)?;
/// assert_eq!(policy.engine().policies().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyBundle {
    files: BTreeMap<String, String>,
}

impl PolicyBundle {
    /// Returns the files of a directory and all below it. Those whose name starts with a dot
    /// are passed over.
    ///
    /// # Errors
    ///
    /// [`FileError`] for what cannot be read, and for links to directories.
    pub fn from_directory(directory: &Path) -> Result<Self, FileError> {
        let mut error = FileError::default();
        let mut bundle = Self { files: BTreeMap::new() };
        bundle.read(directory, "", 0, &mut error);
        error.or(bundle)
    }

    /// Reads a bundle; `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it is none, or holds a file that is neither policies, nor a schema, nor
    /// permissions.
    pub fn from_json(name: &str, json: &str) -> Result<Self, FileError> {
        let mut error = FileError::default();
        let mut report = Report { file: name, document: 1, error: &mut error };
        let bundle: Self = match serde_json::from_str(json) {
            Ok(bundle) => bundle,
            Err(e) => {
                let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
                let place = Place { line: number(e.line()), column: number(e.column()) };
                let help = "`stagedoor backstage bundle` writes bundles";
                report.problem(place, format!("not a bundle of policies: {e}"), help);
                return Err(error);
            }
        };
        for file in bundle.files.keys().filter(|file| !is_taken(file)) {
            let message = format!("`{file}` is neither policies, nor a schema, nor permissions");
            report.problem(Place { line: 1, column: 1 }, message, "leave it out");
        }
        error.or(bundle)
    }

    /// Returns the bundle as JSON: equal for equal files.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps of texts are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns names and texts, sorted.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    fn read(&mut self, directory: &Path, above: &str, depth: usize, error: &mut FileError) {
        let place = directory.display().to_string();
        let entries = match fs::read_dir(directory) {
            Ok(entries) if depth <= DEPTH => entries,
            Ok(_) => return error.file(&place, format!("directories nest deeper than {DEPTH}")),
            Err(e) => return error.file(&place, e.to_string()),
        };
        for entry in entries {
            let read = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
            let (path, of_type) = match read {
                Ok(read) => read,
                Err(e) => return error.file(&place, e.to_string()),
            };
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let inner = format!("{above}{name}");
            if of_type.is_dir() {
                self.read(&path, &format!("{inner}/"), depth + 1, error);
            } else if of_type.is_symlink() && path.is_dir() {
                error.file(&path.display().to_string(), "a link to a directory: put files there");
            } else if is_taken(name) {
                match text(&path) {
                    Ok(text) => {
                        self.files.insert(inner, text);
                    }
                    Err(message) => error.file(&path.display().to_string(), message),
                }
            }
        }
    }
}

fn text(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > FILE_BYTES {
        return Err(format!("{size} bytes are more than the limit of {FILE_BYTES}"));
    }
    fs::read_to_string(path).map_err(|e| e.to_string())
}

fn is_taken(name: &str) -> bool {
    is_permission_file(name) || POLICY_FILES.iter().any(|ending| name.ends_with(ending))
}

/// Whether a file lists permissions.
pub(crate) fn is_permission_file(name: &str) -> bool {
    PERMISSION_FILES.iter().any(|ending| name.ends_with(ending))
}
