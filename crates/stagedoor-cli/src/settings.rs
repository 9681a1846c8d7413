//! `stagedoor.toml`: what a project settles once for all commands.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use stagedoor_review::lint::LintSettings;

use crate::failure::Failure;
use crate::input::Input;

/// The file that is read where none is named.
const NAME: &str = "stagedoor.toml";
/// Settings are not larger than this.
const BYTES: usize = 1 << 20;

/// What the file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) lint: LintSettings,
}

impl Settings {
    /// Reads the file that is named, or else the one in this directory, if there is one.
    pub(crate) fn read(named: Option<&PathBuf>) -> Result<Self, Failure> {
        let own = PathBuf::from(NAME);
        let path = match named {
            Some(path) => path,
            None if own.is_file() => &own,
            None => return Ok(Self::default()),
        };
        let text = Input::default().text(path, BYTES)?;
        let name = Input::name(path);
        let settings: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let said = stagedoor_core::plain_reason(error.message());
            Failure::input(format!("`{name}`:{line}: {said}"))
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok(Self { lint: settings.lint.from_directory(directory) })
    }
}
