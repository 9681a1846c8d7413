//! A hundred planted mistakes: what `lint` says of each, without any test.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_core::Limits;
use stagedoor_review::Policies;
use stagedoor_review::lint::Linter;
use stagedoor_source::{PolicySources, RealFileSystem};

use crate::place::{Place, repository};

/// So many are found, at least.
const FOUND: usize = 60;

/// What stands for a mistake that only somebody who knows what was meant can tell.
const NOTHING: &str = "nothing";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mistakes {
    schema: String,
    cedar: Vec<Mistake>,
    backstage: Vec<Mistake>,
    kubernetes: Vec<Mistake>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mistake {
    name: String,
    finds: String,
    policies: String,
}

impl Mistake {
    /// Returns the policies, each with an id and a reason.
    fn text(&self) -> String {
        let mut number = 0;
        let lines = self.policies.lines().map(|line| {
            number += 1;
            format!("@id(\"p{number}\") @doc(\"For a test.\")\n{line}\n")
        });
        lines.collect()
    }

    /// Returns the codes of what is found about single policies.
    fn found(&self, schema: Option<&str>) -> Result<Vec<String>> {
        let text = self.text();
        let mut files = vec![("p.cedar", text.as_str())];
        files.extend(schema.map(|schema| ("app.cedarschema", schema)));
        let place = Place::with(&files)?;
        let limits = Limits::default();
        let sources = PolicySources::read(&RealFileSystem, &[place.path().to_owned()], &limits);
        let set = Policies::all(sources, None, &limits)?.into_iter().next();
        let set = set.context("there is no set")?;
        let report = Linter::new(&set.engine).with_permissions(set.permissions.clone()).run();
        let of_policies = report.open().filter(|finding| finding.place.policy.is_some());
        Ok(of_policies.map(|finding| finding.code.id().to_owned()).collect())
    }
}

#[test]
fn of_a_hundred_mistakes_most_are_found_without_tests() -> Result<()> {
    let text = std::fs::read_to_string(repository("tests/cases/lint-mistakes.yaml"))?;
    let all: Mistakes = serde_saphyr::from_str(&text)?;
    let Mistakes { schema, cedar, backstage, kubernetes } = &all;
    let own = cedar.iter().map(|mistake| (Some(schema.as_str()), mistake));
    let platforms = backstage.iter().chain(kubernetes).map(|mistake| (None, mistake));
    let (mut wrong, mut by_code) = (Vec::new(), BTreeMap::new());
    let mut count = 0;
    for (schema, mistake) in own.chain(platforms) {
        count += 1;
        let found = match mistake.found(schema) {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{}: {error:#}", mistake.name));
                continue;
            }
        };
        let is_as_told = match mistake.finds.as_str() {
            NOTHING => found.is_empty(),
            code => found.iter().any(|found| found == code),
        };
        if !is_as_told {
            wrong.push(format!("{}: {}, found {found:?}", mistake.name, mistake.finds));
        }
        *by_code.entry(mistake.finds.as_str()).or_insert(0) += 1;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missed = by_code.get(NOTHING).copied().unwrap_or_default();
    println!("{count} mistakes, {} found: {by_code:?}", count - missed);
    ensure!(count == 100 && count - missed >= FOUND, "{count} mistakes, {missed} not found");
    Ok(())
}
