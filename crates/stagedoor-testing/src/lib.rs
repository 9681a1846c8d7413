//! Tests of Cedar policies.
//!
//! Test files (`*.test.yaml`, or JSON) stand beside the policies. Their cases are in the
//! words of Backstage, of Kubernetes or of Cedar itself, and say what is decided and why:
//!
//! ```yaml
//! fixtures:
//!   catalog: [catalog-info.yaml]
//!   users:
//!     ana: { user: user:default/ana, groups: [group:default/payments] }
//! cases:
//!   - name: owners may delete their component
//!     user: ana
//!     permission: catalog.entity.delete
//!     entity: component:default/ledger
//!     expect: { decision: allow, reasons: [owners-manage] }
//! tables:
//!   - name: reading
//!     columns: user
//!     with: { permission: catalog.entity.read }
//!     grid: |
//!       | entity                   | ana   | user:default/bob |
//!       |--------------------------|-------|------------------|
//!       | component:default/ledger | allow | allow            |
//! invariants:
//!   - name: nobody but platform admins deletes templates
//!     never: allow
//!     over: { user: all, permission: catalog.entity.delete, entity: template:default/service }
//!     except: [{ user: user:default/petra }]
//! ```
//!
//! [`TestSuite`] reads and runs them, [`run_dir`] does both for a test of Rust, and
//! [`mod@format`] writes the [`Report`] for other programs. [`file_schema`] is the JSON Schema
//! of test files, for editors.
//!
//! The [README](https://github.com/stagedoor/stagedoor/tree/main/crates/stagedoor-testing)
//! describes all keys.

mod bound;
mod cedar_files;
mod clause_tree;
mod collect;
mod combinations;
mod command;
pub mod coverage;
mod environment;
mod expectation;
mod file;
pub mod format;
pub mod html;
mod invariant;
mod json_schema;
mod list_question;
pub mod mutation;
mod names;
mod operator;
mod parallel;
mod problem;
mod read;
mod report;
mod request_space;
mod request_types;
mod resolve;
mod resolved_case;
mod sample;
mod selection;
mod shortfall;
mod suite;
mod suppression;
mod table;
mod test_case;
mod text;
mod to_wire;

use std::path::Path;

pub use clause_tree::ClauseKind;
pub use coverage::Coverage;
pub use json_schema::file_schema;
pub use mutation::Mutation;
pub use problem::{Problem, TestError};
pub use report::{
    CaseReport, CaseResult, ClausePlace, Counts, Failure, FileReport, GuardMessage, NearPolicy,
    PolicyMessage, PolicyPlace, Report,
};
pub use request_space::{RequestSpace, SpaceRequest};
pub use shortfall::Shortfall;
pub use suite::{Options, Progress, TestSuite, TestSuiteBuilder};
pub use suppression::UnusedSuppression;

/// Runs all tests below a directory, for a `#[test]`:
///
/// ```no_run
/// # fn tests() {
/// #[test]
/// fn policies() -> Result<(), stagedoor_testing::DirError> {
///     stagedoor_testing::run_dir("policies")
/// }
/// # }
/// ```
///
/// # Errors
///
/// [`DirError`] that tells of all failed cases, or of what keeps the tests from being run.
pub fn run_dir(directory: impl AsRef<Path>) -> Result<(), DirError> {
    let suite = TestSuite::load(&[directory.as_ref().to_owned()])?;
    let report = suite.run(&Options::default());
    if report.passed() { Ok(()) } else { Err(DirError::Failed(Box::new(report))) }
}

/// Why the tests of a directory did not pass.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DirError {
    /// They could not be run.
    #[error(transparent)]
    Unusable(#[from] TestError),
    /// Cases came out otherwise than expected.
    #[error("{}", format::failures(.0))]
    Failed(Box<Report>),
}

/// What a failed `#[test]` prints.
impl std::fmt::Debug for DirError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
