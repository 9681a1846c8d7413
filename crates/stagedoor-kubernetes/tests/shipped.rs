//! The policies that ship: they load in strict mode, and every case comes out as written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_core::{Decision, Effect, Engine};
use stagedoor_kubernetes::{
    Attributes, NonResourceAttributes, ResourceAttributes, STARTER_POLICIES, Subject, Vocabulary,
};
use stagedoor_source::FromFiles as _;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// For the harness alone.
    #[serde(default, rename = "fixtures")]
    _fixtures: serde_json::Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    name: String,
    user: String,
    #[serde(default)]
    groups: Vec<String>,
    verb: String,
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    resource_name: String,
    #[serde(default)]
    path: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    decision: String,
    reasons: BTreeSet<String>,
}

impl Case {
    fn subject(&self) -> Subject {
        self.groups.iter().fold(Subject::new(&self.user), |s, group| s.with_group(group))
    }

    fn attributes(&self) -> Attributes {
        match &self.path {
            Some(path) => NonResourceAttributes::new(&self.verb, path).into(),
            None => ResourceAttributes::new(&self.verb, &self.api_group, &self.resource)
                .with_subresource(&self.subresource)
                .with_namespace(&self.namespace)
                .with_name(&self.resource_name)
                .into(),
        }
    }
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/kubernetes")
}

fn suite() -> Result<Suite> {
    let text = std::fs::read_to_string(policies().join("starter.test.yaml"))?;
    Ok(serde_saphyr::from_str(&text)?)
}

#[test]
fn every_case_comes_out_as_written() -> Result<()> {
    let engine = Engine::builder().directory(policies()).build()?;
    let vocabulary = Vocabulary::of(engine.schema().context("a schema")?)?;
    let cases = suite()?.cases;
    for case in &cases {
        let principal = vocabulary.principal(&case.subject())?;
        let (request, entities) = vocabulary.request(&principal, &case.attributes())?;
        let outcome = engine.decide(&request, &entities).with_context(|| case.name.clone())?;
        let decision = match outcome.decision() {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        };
        let reasons: BTreeSet<String> = outcome.reasons().map(|p| p.id().to_owned()).collect();
        ensure!(outcome.errors().is_empty(), "case `{}`: {:?}", case.name, outcome.errors());
        assert_eq!(
            (decision, &reasons),
            (case.expect.decision.as_str(), &case.expect.reasons),
            "case `{}`",
            case.name
        );
    }
    println!("{} cases", cases.len());
    Ok(())
}

#[test]
fn every_policy_is_documented_and_decides_a_case_that_others_do_not() -> Result<()> {
    let engine = Engine::builder().directory(policies()).build()?;
    ensure!(engine.warnings().is_empty(), "{:?}", engine.warnings());
    let cases = suite()?.cases;
    for policy in engine.policies() {
        let id = policy.id();
        ensure!(!id.starts_with("policy"), "a policy of {} has no @id", policy.file());
        let doc = policy.annotation("doc").with_context(|| format!("`{id}` has no @doc"))?;
        ensure!(doc.ends_with('.'), "`{id}`: the @doc is not a sentence");
        let decides = match policy.effect() {
            Effect::Permit => "allow",
            Effect::Forbid => "deny",
        };
        // Those about admission take objects, not reviews: the webhook's tests run them.
        if Path::new(policy.file()).components().any(|part| part.as_os_str() == "admission") {
            continue;
        }
        let decided = |c: &&Case| c.expect.reasons.contains(id);
        ensure!(
            cases.iter().filter(decided).any(|c| c.expect.decision == decides),
            "no case shows `{id}` at work"
        );
        // The counterpart: the same user, not decided by this policy, the other way round.
        let ends = |c: &Case| {
            !decided(&c)
                && c.expect.decision != decides
                && cases.iter().filter(decided).any(|d| d.user == c.user)
        };
        ensure!(cases.iter().any(ends), "no case shows where `{id}` ends");
    }
    Ok(())
}

#[test]
fn what_is_embedded_is_what_stands_in_the_directory() -> Result<()> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(policies())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".cedar") {
            files.insert(name);
        }
    }
    let embedded: BTreeSet<String> =
        STARTER_POLICIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(embedded, files);
    Ok(())
}
