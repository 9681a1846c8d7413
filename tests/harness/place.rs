//! Directories with policies and tests.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stagedoor_testing::{Report, TestError, TestSuite, format};

/// Returns a path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A directory that is deleted at the end.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// Writes files of these names.
    pub(crate) fn with(files: &[(&str, &str)]) -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        for (name, text) in files {
            std::fs::write(place.path().join(name), text)?;
        }
        Ok(place)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Loads all tests.
    pub(crate) fn suite(&self) -> Result<TestSuite, TestError> {
        TestSuite::load(&[self.path().to_owned()])
    }
}

/// Runs tests; returns the report, and all that failed in words.
pub(crate) fn run(suite: &TestSuite) -> (Report, String) {
    let report = suite.run(&stagedoor_testing::Options::default());
    let failures = format::failures(&report);
    (report, failures)
}
