//! Cedar's own formats of tests, taken as they are: what `cedar run-tests` reads, and the
//! integration tests of Cedar's repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use cedar_policy::EntityUid;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};
use stagedoor_core::Decision;

use crate::expectation::Expectation;
use crate::file::{Action, Case, TestFile};
use crate::problem::{Position, Problem, TestError};
use crate::text;

/// A test of `cedar run-tests`. A key that is not known could have meant another question, or another
/// answer: it is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunTest {
    name: Option<String>,
    request: RunRequest,
    entities: Value,
    decision: CedarDecision,
    reason: BTreeSet<String>,
    /// Earlier versions have `has_error` instead.
    num_errors: Option<usize>,
    has_error: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunRequest {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: BTreeMap<String, Value>,
}

/// An integration test of Cedar.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Integration {
    schema: String,
    policies: String,
    entities: String,
    requests: Vec<IntegrationRequest>,
}

#[derive(Deserialize)]
struct IntegrationRequest {
    description: String,
    principal: Value,
    action: Value,
    resource: Value,
    context: BTreeMap<String, Value>,
    decision: CedarDecision,
    reason: BTreeSet<String>,
    errors: BTreeSet<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum CedarDecision {
    Allow,
    Deny,
}

impl From<CedarDecision> for Decision {
    fn from(decided: CedarDecision) -> Self {
        match decided {
            CedarDecision::Allow => Self::Allow,
            CedarDecision::Deny => Self::Deny,
        }
    }
}

/// Returns the tests of a text that is in one of Cedar's formats; nothing of any other text.
pub(crate) fn read(path: &Path, text: &str) -> Result<Option<TestFile>, TestError> {
    if path.extension().is_none_or(|ending| ending != "json") {
        return Ok(None);
    }
    if text.trim_start().starts_with('[') {
        return run_tests(path, text).map(Some);
    }
    // Neither format has the other's keys.
    let is_integration = serde_json::from_str::<Value>(text)
        .is_ok_and(|json| json.get("requests").is_some() && json.get("policies").is_some());
    if is_integration { integration(path, text).map(Some) } else { Ok(None) }
}

fn parse<'t, T: Deserialize<'t>>(path: &Path, text: &'t str) -> Result<T, TestError> {
    serde_json::from_str(text).map_err(|error| {
        let place = Position { line: error.line() as u64, column: error.column() as u64 };
        let message = stagedoor_core::plain_reason(&error.to_string());
        let message = message.rsplit_once(" at line").map_or(message.as_str(), |(said, _)| said);
        Problem::new(path, message).at(place).into()
    })
}

fn run_tests(path: &Path, text: &str) -> Result<TestFile, TestError> {
    let tests: Vec<RunTest> = parse(path, text)?;
    let mut cases = Vec::with_capacity(tests.len());
    for (number, test) in tests.into_iter().enumerate() {
        let name = test.name.unwrap_or_else(|| format!("test {}", number + 1));
        let errors = match (test.num_errors, test.has_error) {
            (Some(errors), _) => errors,
            (None, Some(false)) => 0,
            _ => {
                let message = format!("`{name}`: give `num_errors`");
                return Err(Problem::new(path, message).into());
            }
        };
        let entities = match test.entities {
            Value::Array(entities) => entities,
            Value::String(file) => entities_of(path, &name, &file)?,
            _ => {
                let message = format!("`{name}`: `entities` is neither a list nor a path");
                return Err(Problem::new(path, message).into());
            }
        };
        let case = Case {
            name,
            principal: Some(test.request.principal),
            action: Some(Action::Cedar(test.request.action)),
            resource: Some(test.request.resource),
            context: test.request.context,
            entities,
            expect: Expectation::counting(test.decision.into(), test.reason, errors),
            ..Case::default()
        };
        cases.push(Spanned::new(case, Location::UNKNOWN, Location::UNKNOWN));
    }
    Ok(TestFile { cases, exact_cedar: true, named_by_annotation: true, ..TestFile::default() })
}

/// Reads a file of entities, which as for Cedar stands below the test file's directory.
fn entities_of(path: &Path, name: &str, file: &str) -> Result<Vec<Value>, TestError> {
    let file = Path::new(file);
    if !file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        let message = format!("`{name}`: `{}` is not below the tests' directory", file.display());
        return Err(Problem::new(path, message).into());
    }
    let file = path.parent().unwrap_or(Path::new("")).join(file);
    parse(&file, &text::read(&file)?)
}

fn integration(path: &Path, text: &str) -> Result<TestFile, TestError> {
    let read: Integration = parse(path, text)?;
    let found = |name: &str| {
        // Paths are from the root of Cedar's tests, somewhere above.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut places = absolute.ancestors().skip(1).map(|above| above.join(name));
        places.find(|place| place.is_file()).ok_or_else(|| {
            let message = format!("`{name}` is not found");
            Problem::new(path, message).with_help("paths are from a directory above")
        })
    };
    let mut file = TestFile { exact_cedar: true, ..TestFile::default() };
    file.policies = vec![found(&read.policies)?, found(&read.schema)?];
    file.fixtures.entity_files = vec![found(&read.entities)?];
    for request in read.requests {
        let name = request.description;
        let uid = |json: Value| {
            let uid = EntityUid::from_json(json);
            let uid = uid.map_err(|e| Problem::new(path, format!("`{name}`: {e}")))?;
            Ok::<_, TestError>(uid.to_string())
        };
        let case = Case {
            principal: Some(uid(request.principal)?),
            action: Some(Action::Cedar(uid(request.action)?)),
            resource: Some(uid(request.resource)?),
            context: request.context,
            expect: Expectation::exactly(request.decision.into(), request.reason, request.errors),
            name: name.clone(),
            ..Case::default()
        };
        file.cases.push(Spanned::new(case, Location::UNKNOWN, Location::UNKNOWN));
    }
    Ok(file)
}

/// Returns the names that `cedar run-tests` has for policies, where `@id` gives one, by id.
pub(crate) fn names(engine: &stagedoor_core::Engine) -> BTreeMap<String, String> {
    let named = engine.policies().filter_map(|policy| {
        let tree = policy.tree().ok()?;
        let key = "id".parse().ok()?;
        let name = tree.annotation(&key)?.val.to_string();
        Some((policy.id().to_owned(), name))
    });
    named.collect()
}

/// Returns paths that stand for a test file's own, where it names none.
pub(crate) fn or_given(own: &mut Vec<PathBuf>, given: &[PathBuf]) {
    if own.is_empty() {
        // Joined with the test file's directory, an absolute path stays as it is.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        own.extend(given.iter().map(absolute));
    }
}
