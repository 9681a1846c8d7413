//! The pages of `docs/lint`: each code has one, what it says to avoid is found, and what it says to
//! prefer is not.

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Entities, Entity, Limits};
use stagedoor_review::Policies;
use stagedoor_review::lint::{LintCode, LintFinding, Linter};
use stagedoor_source::PolicySources;

#[test]
fn what_a_page_says_to_avoid_is_found_and_what_it_prefers_is_not() -> Result<()> {
    for code in LintCode::ALL {
        check(*code).with_context(|| format!("the page of `{code}`"))?;
    }
    Ok(())
}

fn check(code: LintCode) -> Result<()> {
    let page = code.page();
    ensure!(page.starts_with(&format!("# {code}\n")), "it has another title");
    ensure!(
        page.contains(&format!("// lint:allow({code}) REASON")),
        "it does not say how to suppress"
    );
    ensure!(code.explanation().len() > 40, "it does not say why");
    let of = |heading| block(page, heading, "cedar").with_context(|| format!("no `{heading}`"));
    let found = |findings: &[LintFinding]| findings.iter().any(|finding| finding.code == code);
    ensure!(found(&lint(page, of("Avoid")?)?), "what it says to avoid is not found");
    let preferred = lint(page, of("Prefer")?)?;
    ensure!(!found(&preferred), "what it prefers is found: {preferred:?}");
    Ok(())
}

/// Returns what is found in policies that stand on the page's schema and entities.
fn lint(page: &str, policies: &str) -> Result<Vec<LintFinding>> {
    let mut texts = vec![("page.cedar".to_owned(), policies.to_owned())];
    let supporting = "What the examples stand on";
    if let Some(schema) = block(page, supporting, "cedarschema") {
        texts.push(("page.cedarschema".to_owned(), schema.to_owned()));
    }
    let sources = PolicySources::from_texts(texts);
    let sets = Policies::all(sources, None, &Limits::default())?;
    let loaded = sets.into_iter().next().context("there is no set")?;
    let entities: Vec<Entity> = match block(page, supporting, "json") {
        Some(json) => {
            Entities::from_json_str(json, loaded.engine.schema())?.iter().cloned().collect()
        }
        None => Vec::new(),
    };
    let linter = Linter::new(&loaded.engine)
        .with_permissions(loaded.permissions.clone())
        .with_entities(entities);
    Ok(linter.run().open().cloned().collect())
}

/// Returns the first block of a language below a heading.
fn block<'p>(page: &'p str, heading: &str, language: &str) -> Option<&'p str> {
    let (_, below) = page.split_once(&format!("\n## {heading}\n"))?;
    let section = below.split("\n## ").next()?;
    let (_, opened) = section.split_once(&format!("```{language}\n"))?;
    Some(opened.split_once("```")?.0)
}
