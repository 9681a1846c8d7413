//! What is thrown in JavaScript.

use napi::bindgen_prelude::{JsObjectValue as _, JsValue as _, Object, ToNapiValue};
use napi::{Env, Status};
use napi_derive::napi;
use stagedoor_backstage::PolicyEngineError;
use stagedoor_core::{DecideError, EntitiesError, LoadError, RequestError, Severity};
use stagedoor_rule_host::{HostError, WasmRulesError};
use stagedoor_testing::TestError;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// One thing that is wrong with policies, schemas or files.
#[napi(object, object_from_js = false)]
#[derive(Debug, Clone)]
pub struct Problem {
    /// Whether it keeps the policies from being loaded.
    #[napi(ts_type = "'error' | 'warning'")]
    pub severity: &'static str,
    /// Stable code of this kind of problem, such as `policy::parse`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Id of the policy that is meant.
    pub policy: Option<String>,
    /// The file, or the name that was given for the text.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
}

/// What every function here throws or rejects with: an `Error` with more fields.
///
/// For policies that do not load, the fields are those of the first of `problems`.
#[napi(object, object_from_js = false)]
#[derive(Debug, Clone)]
pub struct StagedoorError {
    /// `StagedoorError`
    pub name: String,
    /// What is wrong.
    pub message: String,
    /// Where the error was made.
    pub stack: Option<String>,
    /// Stable code of this kind of error, such as `policy::parse` or `argument::type`.
    pub code: String,
    /// The file that is wrong.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// What to do about it.
    pub help: Option<String>,
    /// Everything that is wrong, if policies did not load.
    pub problems: Option<Vec<Problem>>,
}

/// A failure on its way to JavaScript.
#[derive(Debug)]
pub struct Failure(Box<Cause>);

#[derive(Debug)]
enum Cause {
    Own(StagedoorError),
    /// What JavaScript threw, in a getter say.
    Js(napi::Error),
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Cause::Own(StagedoorError {
            name: "StagedoorError".into(),
            message: message.into(),
            stack: None,
            code: code.into(),
            file: None,
            line: None,
            column: None,
            help: None,
            problems: None,
        })))
    }

    /// A value of the wrong type.
    pub(crate) fn mistyped(what: &str, expected: &str) -> Self {
        Self::new("argument::type", format!("{what} must be {expected}"))
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        if let Cause::Own(error) = self.0.as_mut() {
            error.help = Some(help.into());
        }
        self
    }

    pub(crate) fn with_file(mut self, file: impl Into<String>) -> Self {
        if let Cause::Own(error) = self.0.as_mut() {
            error.file = Some(file.into());
        }
        self
    }

    /// Says in which argument or field the failure is.
    pub(crate) fn within(mut self, place: impl FnOnce() -> String) -> Self {
        if let Cause::Own(error) = self.0.as_mut() {
            error.message = format!("{}: {}", place(), error.message);
        }
        self
    }

    /// Returns code and message, for an answer that carries its failure.
    pub(crate) fn into_parts(self) -> (String, String) {
        match *self.0 {
            Cause::Own(error) => (error.code, error.message),
            Cause::Js(error) => ("argument::threw".into(), error.reason),
        }
    }

    /// Returns the error to be thrown.
    pub(crate) fn thrown(self, env: &Env) -> napi::Error {
        match *self.0 {
            Cause::Js(error) => error,
            Cause::Own(error) => error_object(env, error).unwrap_or_else(|error| error),
        }
    }
}

fn error_object(env: &Env, error: StagedoorError) -> napi::Result<napi::Error> {
    let plain = napi::Error::new(Status::GenericFailure, error.message);
    let mut object = env.create_error(plain)?;
    // Not enumerable in other errors either, but this way they show when one is logged.
    object.set_named_property("name", error.name)?;
    object.set_named_property("code", error.code)?;
    set(&mut object, "file", error.file)?;
    set(&mut object, "line", error.line)?;
    set(&mut object, "column", error.column)?;
    set(&mut object, "help", error.help)?;
    set(&mut object, "problems", error.problems)?;
    Ok(napi::Error::from(object.to_unknown()))
}

fn set<T: ToNapiValue>(object: &mut Object<'_>, name: &str, value: Option<T>) -> napi::Result<()> {
    value.map_or(Ok(()), |value| object.set_named_property(name, value))
}

impl From<napi::Error> for Failure {
    fn from(error: napi::Error) -> Self {
        Self(Box::new(Cause::Js(error)))
    }
}

impl From<&stagedoor_core::Problem> for Problem {
    fn from(problem: &stagedoor_core::Problem) -> Self {
        Self {
            severity: match problem.severity() {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            code: problem.code().to_owned(),
            message: problem.message().to_owned(),
            help: problem.help().map(str::to_owned),
            policy: problem.policy().map(str::to_owned),
            file: problem.file().map(str::to_owned),
            line: problem.line().and_then(number),
            column: problem.column().and_then(number),
        }
    }
}

pub(crate) fn number(n: usize) -> Option<u32> {
    u32::try_from(n).ok()
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let problems: Vec<Problem> = error.problems().iter().map(Problem::from).collect();
        let first = problems.iter().find(|problem| problem.severity == "error").cloned();
        let code = first.as_ref().map_or("policies::load", |problem| problem.code.as_str());
        let mut failure = Self::new(code, error.to_string());
        if let Cause::Own(own) = failure.0.as_mut() {
            if let Some(first) = first {
                (own.file, own.line, own.column) = (first.file, first.line, first.column);
                own.help = first.help;
            }
            own.problems = Some(problems);
        }
        failure
    }
}

impl From<TestError> for Failure {
    fn from(error: TestError) -> Self {
        let of = |problem: &stagedoor_testing::Problem| Problem {
            severity: "error",
            code: "tests::unusable".to_owned(),
            message: problem.message.clone(),
            help: problem.help.clone(),
            policy: None,
            file: Some(problem.file.clone()),
            line: problem.line.and_then(|line| u32::try_from(line).ok()),
            column: problem.column.and_then(|column| u32::try_from(column).ok()),
        };
        let problems: Vec<Problem> = error.problems().iter().map(of).collect();
        let mut failure = Self::new("tests::unusable", error.to_string());
        if let Cause::Own(own) = failure.0.as_mut() {
            if let Some(first) = problems.first().cloned() {
                (own.file, own.line, own.column) = (first.file, first.line, first.column);
                own.help = first.help;
            }
            own.problems = Some(problems);
        }
        failure
    }
}

impl From<PolicyEngineError> for Failure {
    fn from(error: PolicyEngineError) -> Self {
        match error {
            PolicyEngineError::Policies(error) => error.into(),
            error => Self::new("permissions::file", error.to_string())
                .with_help("correct the `*.permissions.yaml`"),
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::new("rules::host", causes(&error))
    }
}

impl From<WasmRulesError> for Failure {
    fn from(error: WasmRulesError) -> Self {
        let failure = Self::new("rules::load", causes(&error));
        match error {
            WasmRulesError::Io(file, _)
            | WasmRulesError::Empty(file)
            | WasmRulesError::Rule { file, .. }
            | WasmRulesError::Limits { file, .. }
            | WasmRulesError::Duplicate { file, .. } => failure.with_file(file),
            _ => failure,
        }
    }
}

/// Returns an error's message with those of its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl From<DecideError> for Failure {
    fn from(error: DecideError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<EntitiesError> for Failure {
    fn from(error: EntitiesError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
