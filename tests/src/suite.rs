//! Cases that every face of the library runs: a policy set, entities, and requests with the
//! answers expected. `cases/README.md` describes the format.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use cedar_policy::Decision;
use serde::Deserialize;
use serde_json::value::RawValue;
use stagedoor_core::{Engine, Entities, Request};

use crate::conformance::Answer;

/// A policy set with its cases.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Suite {
    /// What the suite is about.
    pub description: String,
    /// Whether errors skip a policy, and nothing is validated.
    #[serde(default)]
    pub exact_cedar: bool,
    /// Schema in Cedar's syntax; lines.
    #[serde(default)]
    pub schema: Vec<String>,
    /// Policies in Cedar's syntax; lines.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Policies in Cedar's JSON form.
    pub policies_json: Option<Box<RawValue>>,
    /// Entities in Cedar's JSON form.
    pub entities: Option<Box<RawValue>>,
    /// The requests.
    pub cases: Vec<Case>,
}

/// A request with the answer expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// The request in Cedar's JSON form.
    pub request: Box<RawValue>,
    /// The answer.
    pub expect: Expect,
}

/// The answer that a case expects.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Expect {
    /// Allowed, by these policies.
    Allow(DeterminingPolicies),
    /// Denied, by these policies or because none permits it.
    Deny(DeterminingPolicies),
    /// Not decided; the message contains this.
    Refused(String),
}

/// The policies behind a decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeterminingPolicies {
    /// The determining policies.
    pub reasons: BTreeSet<String>,
    /// The policies that could not be evaluated, each with a part of its message.
    #[serde(default)]
    pub errors: BTreeMap<String, String>,
}

impl Suite {
    /// Runs all cases through the library, with the index and without.
    ///
    /// # Errors
    ///
    /// If an answer is not the one expected.
    pub fn run(&self) -> Result<usize> {
        ensure!(!self.cases.is_empty(), "there are no cases");
        for index in [true, false] {
            let engine = self.engine(index)?;
            let json = self.entities.as_ref().map_or("[]", |raw| raw.get());
            let entities = Entities::from_json_str(json, engine.schema())?;
            for case in &self.cases {
                if let Err(error) = case.run(&engine, &entities) {
                    return Err(error.context(format!("case `{}`, index: {index}", case.name)));
                }
            }
        }
        Ok(self.cases.len())
    }

    fn engine(&self, index: bool) -> Result<Engine> {
        let mut builder = Engine::builder().index(index);
        if !self.schema.is_empty() {
            builder = builder.schema("suite.cedarschema", self.schema.join("\n"));
        }
        if !self.policies.is_empty() {
            builder = builder.policies("suite.cedar", self.policies.join("\n"));
        }
        if let Some(json) = &self.policies_json {
            builder = builder.policies_json("suite.cedar.json", json.get());
        }
        if self.exact_cedar {
            builder = builder.exact_cedar();
        }
        Ok(builder.build()?)
    }
}

impl Case {
    fn run(&self, engine: &Engine, entities: &Entities) -> Result<()> {
        let read = Request::from_json_str(self.request.get(), engine.schema());
        let outcome = read
            .map_err(|error| error.to_string())
            .and_then(|request| engine.decide(&request, entities).map_err(|e| e.to_string()));
        let (decision, determined) = match (&self.expect, &outcome) {
            (Expect::Refused(part), Err(message)) => {
                ensure!(message.contains(part), "refused, but: {message}");
                return Ok(());
            }
            (Expect::Refused(_), Ok(outcome)) => bail!("decided: {outcome:?}"),
            (Expect::Allow(determined), _) => (Decision::Allow, determined),
            (Expect::Deny(determined), _) => (Decision::Deny, determined),
        };
        let outcome = outcome.map_err(|message| anyhow::anyhow!("refused: {message}"))?;
        let expected = Answer {
            decision,
            reasons: determined.reasons.clone(),
            errors: determined.errors.keys().cloned().collect(),
        };
        let given = Answer::from(&outcome);
        ensure!(given == expected, "{given:?}, not {expected:?}");
        for error in outcome.errors() {
            let part = determined.errors.get(error.policy()).map_or("", String::as_str);
            ensure!(error.message().contains(part), "{}: {}", error.policy(), error.message());
        }
        Ok(())
    }
}
