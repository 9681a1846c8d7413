//! One request of a test, decided and held to what is expected.

use stagedoor_core::{DecideError, Engine, Explanation};

use crate::environment::TestEnvironment;
use crate::expectation::{Actual, Expectation};
use crate::report::{ClausePlace, Failure, GuardMessage, NearPolicy, PolicyMessage, PolicyPlace};
use crate::resolve::Question;

/// One request of a test.
pub(crate) struct ResolvedCase {
    pub(crate) name: String,
    pub(crate) question: Question,
    pub(crate) expect: Expectation,
}

impl ResolvedCase {
    /// Decides the request; returns how it differs from what is expected.
    pub(crate) fn run(&self, world: &TestEnvironment) -> Option<Failure> {
        let engine = &world.engine;
        let Question { request, entities, refused, .. } = &self.question;
        if let Some(reason) = refused {
            let differences = self.expect.differences(&Actual::refused());
            return (!differences.is_empty()).then(|| Failure {
                differences: differences.into_iter().chain([reason.clone()]).collect(),
                explain: self.question.explain.clone(),
                ..Failure::default()
            });
        }
        let explain = || engine.explain(request, entities);
        let found = if self.expect.needs_explanation() {
            explain().map(|explanation| Actual::explained(&explanation))
        } else {
            engine.decide(request, entities).map(|outcome| Actual::of(&outcome))
        };
        let differences = match found {
            Ok(found) => self.expect.differences(&found.renamed(&world.names)),
            Err(error) => return Some(self.refused(&error)),
        };
        if differences.is_empty() {
            return None;
        }
        Some(match explain() {
            Ok(explanation) => self.failure(engine, differences, &explanation),
            Err(error) => self.refused(&error),
        })
    }

    /// Returns the failure of a request that the engine does not decide.
    fn refused(&self, error: &DecideError) -> Failure {
        Failure {
            differences: vec![format!("the request is refused: {error}")],
            explain: self.question.explain.clone(),
            ..Failure::default()
        }
    }

    fn failure(
        &self,
        engine: &Engine,
        differences: Vec<String>,
        explanation: &Explanation,
    ) -> Failure {
        let outcome = explanation.outcome();
        let place = |policy: stagedoor_core::PolicyInfo<'_>| PolicyPlace {
            policy: policy.id().to_owned(),
            file: policy.file().to_owned(),
            line: policy.line(),
        };
        let nearest = explanation.nearest().iter().filter(|near| !near.failed().is_empty());
        debug_assert_eq!(outcome.revision(), engine.revision());
        Failure {
            request: None,
            differences,
            determined_by: outcome.reasons().map(place).collect(),
            nearest: nearest
                .take(1)
                .map(|near| NearPolicy {
                    policy: near.policy().to_owned(),
                    clauses: near.failed().iter().map(clause).collect(),
                })
                .collect(),
            errors: outcome
                .errors()
                .iter()
                .map(|error| PolicyMessage {
                    policy: error.policy().to_owned(),
                    message: error.message().to_owned(),
                })
                .collect(),
            guards: outcome
                .guards()
                .iter()
                .map(|guard| GuardMessage {
                    policy: guard.policy().to_owned(),
                    rule: guard.rule().to_owned(),
                    verdict: guard.verdict().to_string(),
                })
                .collect(),
            explain: self.question.explain.clone(),
        }
    }
}

fn clause(clause: &stagedoor_core::FailedClause) -> ClausePlace {
    ClausePlace {
        text: clause.text().to_owned(),
        file: clause.file().to_owned(),
        line: clause.line(),
        column: clause.column(),
    }
}
