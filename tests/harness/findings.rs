//! What `lint` is sure of, held against Cedar's own policy sets: a policy that never matches decides
//! nothing, and one that is needless can go without any decision changing.
//!
//! An ordinary run looks at the sample that is committed, and at one of many of Cedar's corpus where it
//! is there; `STAGEDOOR_LINT_CASES=all` looks at all of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use stagedoor_analysis::{Library, ReplacementEffect};
use stagedoor_core::{Engine, Entities, Request};
use stagedoor_review::lint::{Certainty, LintCode, LintFinding, Linter};
use stagedoor_tests::archive::{read_directory, unpack};
use stagedoor_tests::conformance::loaded;

use crate::place::repository;

/// One of so many cases of the corpus is looked at.
const STEP: usize = 40;

/// How many findings of a code were looked at, and how many of them the analysis did not decide.
type Counts = Mutex<BTreeMap<&'static str, (usize, usize)>>;

#[test]
fn what_lint_is_sure_of_is_so_in_cedars_policy_sets() -> Result<()> {
    let counts = Counts::default();
    let sample = loaded(
        &read_directory(&repository("tests/cases/cedar"))?,
        1,
        |engine, asked, entities| contradicted(engine, asked, entities, &counts),
    )?;
    ensure!(
        sample.differences.is_empty() && sample.cases > 20,
        "{sample}\n{:#?}",
        sample.differences
    );
    let all = std::env::var("STAGEDOOR_LINT_CASES").is_ok_and(|cases| cases == "all");
    for name in ["cedar-corpus", "cedar-handwritten"] {
        let archive = repository("../shared/conformance").join(name).with_extension("tar.gz");
        if !archive.exists() {
            eprintln!("SKIPPED: {name}: there is no {}", archive.display());
            continue;
        }
        let step = if all { 1 } else { STEP };
        let tally = loaded(&unpack(&archive)?, step, |engine, asked, entities| {
            contradicted(engine, asked, entities, &counts)
        })?;
        eprintln!("{name}: {tally}");
        ensure!(tally.differences.is_empty(), "{:#?}", tally.differences);
    }
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!("findings, and of how many it is not decided whether they are so: {counts:?}");
    let never = counts.get(LintCode::NeverMatches.id()).copied().unwrap_or_default();
    ensure!(never.0 > 0, "nothing was found: {counts:?}");
    Ok(())
}

#[test]
fn a_forbid_that_nothing_satisfies_may_deny() -> Result<()> {
    for (policy, denies) in [
        // Of a document that is not there, nothing can be read: that is denied.
        (
            "forbid (principal, action, resource) when { resource.pages > 5 && resource.pages < 3 };",
            true,
        ),
        (
            "forbid (principal, action, resource) when { context.n + 1 > 5 && context.n + 1 < 3 };",
            true,
        ),
        ("forbid (principal, action, resource) when { context.n > 5 && context.n < 3 };", false),
        ("forbid (principal, action, resource) when { false && resource.pages > 5 };", false),
        (
            "permit (principal, action, resource) when { resource.pages > 5 && resource.pages < 3 };",
            false,
        ),
    ] {
        let schema = "entity User, Doc = { pages: Long };
            action read appliesTo { principal: User, resource: Doc, context: { n: Long } };";
        let engine = Engine::builder().schema("s", schema).policies("p", policy).build()?;
        let report = Linter::new(&engine).run();
        let never: Vec<&LintFinding> =
            report.open().filter(|finding| finding.code == LintCode::NeverMatches).collect();
        let [never] = never.as_slice() else { anyhow::bail!("{policy}: {never:?}") };
        ensure!(never.message.contains("denies only where") == denies, "{policy}: {never:?}");
    }
    Ok(())
}

/// Returns what is found of the policies and is not so.
fn contradicted(
    engine: &Engine,
    asked: &[Request],
    entities: &Entities,
    counts: &Counts,
) -> Result<Vec<String>> {
    let library = Library::of(engine).context("no schema")?;
    let report = Linter::new(engine).run();
    let sure = report.open().filter(|finding| finding.certainty == Certainty::Sure);
    let mut differences = Vec::new();
    for finding in sure {
        let Some(id) = finding.place.policy.as_deref().filter(|_| is_about_decisions(finding))
        else {
            continue;
        };
        let number = library.number_of(id).context("no such policy")?;
        let without = library.effect_of(&[(number, None)])?;
        let is_open = matches!(without, ReplacementEffect::Undecided(_));
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, open) = counts.entry(finding.code.id()).or_default();
        *count += 1;
        *open += usize::from(is_open);
        drop(counts);
        // A forbid that cannot be evaluated denies, though nothing satisfies it: that must be told.
        let is_meant = finding.message.contains("denies only where it cannot be evaluated");
        if let (ReplacementEffect::Decision { witness, .. }, false) = (without, is_meant) {
            differences.push(format!("{}: {witness:?} tells the difference", told(finding)));
        }
        for request in asked.iter().filter(|_| finding.code == LintCode::NeverMatches) {
            let outcome = engine.decide(request, entities)?;
            let has_failed = outcome.errors().iter().any(|error| error.policy() == id);
            if outcome.reasons().any(|policy| policy.id() == id) && !(is_meant && has_failed) {
                differences.push(format!("{}: {request:?} is decided by it", told(finding)));
            }
        }
    }
    Ok(differences)
}

/// Whether a finding says that decisions are the same without its policy.
fn is_about_decisions(finding: &LintFinding) -> bool {
    matches!(
        finding.code,
        LintCode::NeverMatches | LintCode::Duplicate | LintCode::Subsumed | LintCode::Shadowed
    )
}

fn told(finding: &LintFinding) -> String {
    format!("{} of {:?}: {}", finding.code, finding.place.policy, finding.message)
}
