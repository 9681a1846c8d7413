//! How long one edit takes among many policies and entities, and what edits cost decisions.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use stagedoor_benches::{Form, Grant, Workload, stagedoor};
use stagedoor_core::{Decision, Engine, Entities, TemplateLink};

use crate::contest::Requests;
use crate::tail::print_line;

/// How many requests there are.
const REQUESTS: usize = 1_000;

/// Edits an engine of so many grants, and a store of as many users, so many times in each way.
pub(crate) fn measure(n: usize, edits: usize) -> Result<()> {
    println!("{:<22}{:>12}{:>10}{:>10}{:>10}{:>12}", "", "times", "p50", "p99", "p99.9", "most");
    let workload = Workload::new(n, 0);
    let links = stagedoor::builder(&workload, Form::Links)?.build()?;
    let resource_of = |policy: stagedoor_core::PolicyInfo<'_>| {
        (policy.id().to_owned(), policy.link().and_then(|(_, resource)| resource.cloned()))
    };
    let resources: HashMap<String, _> = links.policies().map(resource_of).collect();
    let link = |number: usize, group: usize| -> Result<TemplateLink> {
        let number = number % n;
        Ok(TemplateLink {
            template: workload.grants().get(number).context("a grant")?.template(),
            id: Grant::id(number),
            principal: Some(format!("kube::Group::\"edited-{group}\"").parse()?),
            resource: resources.get(&Grant::id(number)).context("a link")?.clone(),
        })
    };
    // Made beforehand: what is timed is the edit.
    let changed = (0..edits).map(|e| link(e.wrapping_mul(7_919), e)).collect::<Result<Vec<_>>>()?;
    let mut engine = links;
    let mut changes = changed.iter();
    timed("replace a link", edits, || {
        let link = changes.next().context("a link")?.clone();
        engine = engine.edit().replace_link(link).apply()?;
        Ok(())
    })?;
    let texts = stagedoor::builder(&Workload::new(n, REQUESTS), Form::Text)?.build()?;
    let mut edited = texts.clone();
    let text = |number: usize| {
        format!(
            "permit(principal in kube::Group::\"edited-{number}\", action == kube::Action::\"get\", \
             resource is kube::Resource) when {{ resource.apiGroup == \"apps\" && \
             resource.resource == \"edited-{}\" }};",
            number % 100
        )
    };
    let mut number = 0;
    timed("add a policy", edits, || {
        number += 1;
        edited = edited.edit().add(format!("edit-{number}"), text(number)).apply()?;
        Ok(())
    })?;
    number = 0;
    timed("replace a policy", edits, || {
        number += 1;
        let id = format!("edit-{number}");
        edited = edited.edit().replace(id, text(number + edits)).apply()?;
        Ok(())
    })?;
    number = 0;
    timed("remove a policy", edits, || {
        number += 1;
        edited = edited.edit().remove(format!("edit-{number}")).apply()?;
        Ok(())
    })?;
    ensure!(edited.revision() == texts.revision(), "edits that were taken back left something");
    members(n, edits)?;
    decisions(n, edits, &texts, text)
}

/// Changes the groups of users.
fn members(n: usize, edits: usize) -> Result<()> {
    let user = |number: usize, group: usize| -> Result<stagedoor_core::Entity> {
        let user = stagedoor_core::Entity::new(format!("kube::User::\"u{number}\"").parse()?);
        Ok(user.with_parent(format!("kube::Group::\"g{group}\"").parse()?))
    };
    let users = (0..n).map(|number| user(number, number % 1_000)).collect::<Result<Vec<_>>>()?;
    let mut users = Entities::from_entities(users)?;
    let mut number = 0_usize;
    timed("change a membership", edits, || {
        number += 1;
        users = users.upsert(user(number.wrapping_mul(7_919) % n, number % 1_000)?)?;
        Ok(())
    })
}

/// Decides before edits, after them, and once the index is arranged anew.
fn decisions(
    n: usize,
    edits: usize,
    engine: &Engine,
    text: impl Fn(usize) -> String,
) -> Result<()> {
    let requests = Requests::new(Workload::new(n, REQUESTS))?;
    let decide = |what: &str, engine: &Engine| {
        let mut asked = requests.prepared.iter().zip(requests.workload.requests()).cycle();
        timed(what, 20 * REQUESTS, || {
            let ((request, entities), asked) = asked.next().context("a request")?;
            let allowed = engine.ruling(request, entities)?.decision() == Decision::Allow;
            ensure!(allowed == asked.allowed, "an answer is wrong");
            Ok(())
        })
    };
    decide("decide", engine)?;
    let mut edited = engine.clone();
    for number in 0..edits {
        edited = edited.edit().add(format!("edit-{number}"), text(number)).apply()?;
    }
    decide("decide, edited", &edited)?;
    let start = Instant::now();
    let settled = edited.settled();
    println!("{:<22}{:>40.1} ms", "settle", start.elapsed().as_secs_f64() * 1e3);
    decide("decide, settled", &settled)
}

/// Does something so often, and prints how long it took by the clock.
fn timed(what: &str, times: usize, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        took.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    print_line(what, &mut took);
    Ok(())
}
