//! What `lint`, `diff` and `report` have in common: policies, and entities that exist.

use std::collections::BTreeSet;
use std::path::PathBuf;

use stagedoor_backstage::Catalog;
use stagedoor_core::{Entity, Limits};
use stagedoor_review::{LoadingError, Policies};
use stagedoor_testing::TestSuite;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::load::{LoadArgs, is_about_files};
use crate::output::Output;
use crate::rules::{self, RulePlaces};

/// Loads policies at paths: one set, or one for each platform.
pub(crate) fn policies(
    paths: &[PathBuf],
    load: &LoadArgs,
    output: &Output,
) -> Result<Vec<Policies>, Failure> {
    policies_beside(&[], paths, load, output)
}

/// Loads policies as [`policies`] does, to be held against others.
pub(crate) fn policies_beside(
    others: &[Policies],
    paths: &[PathBuf],
    load: &LoadArgs,
    output: &Output,
) -> Result<Vec<Policies>, Failure> {
    let sources = load.sources(paths, &[], &mut Input::default())?;
    let rules = rules::load(RulePlaces::of(&load.rules, &sources), &load.rule_host)?;
    let sets = Policies::all_beside(others, sources, rules, &load.limits()?)?;
    // Each set has the warnings of all files.
    let mut told = BTreeSet::new();
    for warning in sets.iter().flat_map(|set| set.engine.warnings()) {
        let about = (warning.code(), warning.file(), warning.message());
        if is_about_files(warning) && told.insert(about) {
            output.warning(warning);
        }
    }
    Ok(sets)
}

impl From<LoadingError> for Failure {
    fn from(error: LoadingError) -> Self {
        match error {
            LoadingError::Policies(error) => Self::Load(error),
            LoadingError::Permissions(error) => Self::Files(error),
            other => Self::input(other.to_string()),
        }
    }
}

/// Reads catalog files.
pub(crate) fn catalog(paths: &[PathBuf]) -> Result<Catalog, Failure> {
    let mut input = Input::default();
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        texts.push((Input::name(path), input.text(path, Limits::default().file_bytes)?));
    }
    Ok(Catalog::from_files(texts)?)
}

/// Returns the users and entities of a catalog.
pub(crate) fn catalog_entities(catalog: &Catalog) -> Vec<Entity> {
    let users = catalog.users().filter_map(|user| catalog.user(user));
    catalog.entities().chain(users.map(|user| user.to_entity())).collect()
}

/// Loads the tests at paths, if there are any; why they cannot be used is a remark. Of the sets what
/// their policies say as well is taken over.
pub(crate) fn suite(paths: &[PathBuf], sets: &[&Policies], output: &Output) -> Option<TestSuite> {
    let rules = match rules::load(
        RulePlaces { named: &[], found: &rules::below(paths), policies: &[] },
        &rules::RuleHostArgs::default(),
    ) {
        Ok(rules) => rules,
        Err(failure) => {
            output.remark(&format!("the fixtures of the tests are not used: {failure}"));
            return None;
        }
    };
    let builder = TestSuite::builder().tests(paths);
    let builder = sets.iter().fold(builder, |builder, set| builder.resembling(&set.engine));
    match rules.into_iter().fold(builder, |builder, rules| builder.rules(rules)).build() {
        Ok(suite) => Some(suite),
        Err(error) => {
            let none = error.problems().iter().all(|p| p.message.contains("there is no test file"));
            if !none {
                output.remark(&format!("the fixtures of the tests are not used: {error}"));
            }
            None
        }
    }
}

/// Tells of a failure, and ends as what could not be used.
pub(crate) fn or_unusable(
    ended: Result<Ending, Failure>,
    output: &mut Output,
) -> Result<Ending, Failure> {
    match ended {
        Err(failure @ Failure::Output(_)) => Err(failure),
        Err(failure) => {
            output.failure(&failure);
            Ok(Ending::Unusable)
        }
        ended => ended,
    }
}
