//! What a set must pass before a replica takes it up: its own tests, and what it changes.

use std::path::{Path, PathBuf};

use stagedoor_core::{Engine, Limits};
use stagedoor_distribution::{Approval, Gate, SignedSet};
use stagedoor_source::Bundle;
use stagedoor_testing::{Options, TestSuite};

use super::changes::{Changes, rules_of};
use crate::rules::{self, RuleHostArgs, RulePlaces};

/// Runs the tests that a set brings, in this process's engine.
#[derive(Debug)]
pub(super) struct TestGate {
    /// Whether a set without tests is refused.
    pub(super) is_required: bool,
    /// Where the files are written that the tests are run on.
    pub(super) directory: PathBuf,
    /// Where the rules are that the set brings.
    pub(super) shipped: PathBuf,
    pub(super) rules: Vec<PathBuf>,
    pub(super) rule_host: RuleHostArgs,
    pub(super) limits: Limits,
}

impl Gate for TestGate {
    fn check(&self, set: &SignedSet, _: &Engine, _: Option<&Engine>) -> Result<(), String> {
        let bundle = set.bundle();
        if bundle.tests().next().is_none() {
            return match self.is_required {
                true => Err("it brings no tests: publish its directory with them".to_owned()),
                false => {
                    tracing::warn!("the set brings no tests, so that none are run");
                    Ok(())
                }
            };
        }
        let failed = |error: std::io::Error| {
            format!("its tests cannot be run in `{}`: {error}", self.directory.display())
        };
        remove(&self.directory).and_then(|()| write(&self.directory, bundle)).map_err(failed)?;
        let passed = self.run();
        if let Err(error) = remove(&self.directory) {
            tracing::warn!(%error, "what tests were run on could not be removed");
        }
        passed
    }
}

impl TestGate {
    fn run(&self) -> Result<(), String> {
        let found = rules::below([&self.shipped]);
        let places = RulePlaces { named: &self.rules, found: &found, policies: &[] };
        let rules = rules::load(places, &self.rule_host).map_err(|e| e.to_string())?;
        let builder = TestSuite::builder().tests([&self.directory]).limits(self.limits.clone());
        let builder = rules.into_iter().fold(builder, |builder, rules| builder.rules(rules));
        let suite = builder.build().map_err(|e| format!("its tests cannot be used: {e}"))?;
        let report = suite.run(&Options::default());
        let counts = report.counts();
        match report.passed() {
            true => {
                tracing::info!(passed = counts.passed, "the tests of the set have passed");
                Ok(())
            }
            false => Err(format!(
                "{} of its tests fail here, and {} pass: {}",
                counts.failed,
                counts.passed,
                stagedoor_testing::format::failures(&report)
            )),
        }
    }
}

fn remove(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(directory: &Path, bundle: &Bundle) -> std::io::Result<()> {
    for (name, text) in bundle.files().chain(bundle.tests()) {
        let name = Path::new(name);
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        if !name.components().all(is_plain) {
            return Err(std::io::Error::other(format!("`{}` leads elsewhere", name.display())));
        }
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

/// Compares a set with the one in force, and refuses changes that nobody has approved of.
#[derive(Debug)]
pub(super) struct ChangeGate {
    /// The changes that need an approval.
    pub(super) refuses: Vec<Approval>,
}

impl Gate for ChangeGate {
    fn check(&self, set: &SignedSet, new: &Engine, old: Option<&Engine>) -> Result<(), String> {
        let release = set.release();
        // A release that goes back says so, and somebody has signed that.
        let (Some(old), None) = (old, &release.rollback) else { return Ok(()) };
        let changes = Changes::between((old, &rules_of(old)), (new, &rules_of(new)))?;
        let found = [
            (Approval::Widened, changes.is_widened),
            (Approval::Narrowed, changes.is_narrowed),
            // INVARIANT: what is not decided may be what is refused.
            (Approval::Undecided, changes.is_undecided),
        ];
        for (change, is_there) in found {
            let is_asked = self.refuses.contains(&change) || change == Approval::Undecided;
            if is_there && is_asked && !release.approvals.contains(&change) {
                return Err(format!(
                    "access is {} and nobody has approved of it: sign with `--approve {}`",
                    change.as_str(),
                    change.as_str()
                ));
            }
        }
        Ok(())
    }
}
