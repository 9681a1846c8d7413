//! Requests with their answers, as case files write them.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_kubernetes::{
    Attributes, NonResourceAttributes, ResourceAttributes, Reviewer, Subject, SubjectAccessReview,
};

/// A request and whether it is allowed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct RequestCase {
    pub user: String,
    pub groups: Vec<String>,
    pub verb: String,
    pub api_group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub path: Option<String>,
    pub allowed: bool,
}

impl RequestCase {
    pub fn subject(&self) -> Subject {
        self.groups.iter().fold(Subject::new(&self.user), |s, group| s.with_group(group))
    }

    pub fn attributes(&self) -> Attributes {
        match &self.path {
            Some(path) => NonResourceAttributes::new(&self.verb, path).into(),
            None => ResourceAttributes::new(&self.verb, &self.api_group, &self.resource)
                .with_subresource(&self.subresource)
                .with_namespace(&self.namespace)
                .with_name(&self.name)
                .into(),
        }
    }

    /// Asks, and compares the answer.
    pub fn check(&self, reviewer: &Reviewer) -> Result<()> {
        let review = SubjectAccessReview::new(self.subject(), self.attributes());
        let status = reviewer.answer(review).status.context("a status")?;
        ensure!(
            status.allowed == self.allowed && status.evaluation_error.is_empty() && !status.denied,
            "{self:?}\n{status:?}"
        );
        Ok(())
    }
}
