//! What JavaScript throws.

use serde::Serialize;
use stagedoor_backstage::PolicyEngineError;
use stagedoor_core::{DecideError, EntitiesError, LoadError, RequestError};
use stagedoor_kubernetes::{ReviewError, VocabularyError};

use crate::answer::Problem;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure with a stable code, as the addon for Node has them.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Failure(Box<Told>);

#[derive(Debug, Default, Serialize)]
pub(crate) struct Told {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<Problem>>,
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Told { code: code.to_owned(), message, ..Told::default() }))
    }

    pub(crate) fn with_help(mut self, help: &str) -> Self {
        self.0.help = Some(help.to_owned());
        self
    }

    pub(crate) fn told(self) -> Told {
        *self.0
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let problems: Vec<Problem> = error.problems().iter().map(Problem::from).collect();
        let first = problems.iter().find(|problem| problem.severity == "error").cloned();
        let message = error.to_string();
        let problems = Some(problems);
        match first {
            Some(Problem { code, file, line, column, help, .. }) => {
                Self(Box::new(Told { code, message, file, line, column, help, problems }))
            }
            None => {
                let told = Self::new("policies::load", message).told();
                Self(Box::new(Told { problems, ..told }))
            }
        }
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

impl From<VocabularyError> for Failure {
    fn from(error: VocabularyError) -> Self {
        Self::new("engine::platform", error.to_string())
    }
}

impl From<ReviewError> for Failure {
    fn from(error: ReviewError) -> Self {
        Self::new("review::refused", error.to_string())
    }
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
