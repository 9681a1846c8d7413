//! What keeps tests from being run, in the form that programs read.

use stagedoor_wire::{Severity, WireError};

use crate::problem::{Problem, TestError};

/// The code of what is wrong with test files and what they name.
const CODE: &str = "tests::unusable";

impl From<&Problem> for stagedoor_wire::Problem {
    fn from(problem: &Problem) -> Self {
        Self {
            file: Some(problem.file.clone()),
            line: problem.line.and_then(|line| usize::try_from(line).ok()),
            column: problem.column.and_then(|column| usize::try_from(column).ok()),
            help: problem.help.clone(),
            ..Self::new(Severity::Error, CODE, problem.message.clone())
        }
    }
}

impl From<TestError> for WireError {
    fn from(error: TestError) -> Self {
        let problems = error.problems().iter().map(stagedoor_wire::Problem::from).collect();
        // The first line; the others are the problems.
        let summary = error.to_string().lines().next().unwrap_or_default().to_owned();
        Self::of_problems(CODE, summary, problems, error.unreported())
    }
}
