//! Threads that decide while others edit: nobody waits, and each answer is that of one policy set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{
    Decision, Engine, EngineHolder, Entities, Entity, EntityUid, PreparedRequest, Request,
    TemplateLink,
};

const SCHEMA: &str = "
    entity Group; entity User in [Group]; entity Doc { ns: String };
    action read appliesTo { principal: User, resource: Doc };";
const USERS: usize = 12;
const EDITS: usize = 300;

fn user(n: usize) -> Result<EntityUid> {
    Ok(format!("User::\"u{n}\"").parse()?)
}

#[test]
fn decisions_during_edits_are_those_of_one_policy_set() -> Result<()> {
    let template = r#"@id("reads") permit(principal in ?principal, action, resource)
                      when { resource.ns == "a" };"#;
    let engine =
        Engine::builder().schema("s.cedarschema", SCHEMA).policies("t.cedar", template).build()?;
    let group = |n: usize| -> Result<EntityUid> { Ok(format!("Group::\"{n}\"").parse()?) };
    let people = (0..USERS).map(|n| Ok(Entity::new(user(n)?).with_parent(group(n)?)));
    let people = Entities::from_entities(people.collect::<Result<Vec<_>>>()?)?;
    let holder = EngineHolder::new(engine);
    // Which policies each revision stands for.
    let known: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::default();
    let (done, decided) = (AtomicBool::new(false), AtomicUsize::new(0));
    let read = || -> Result<usize> {
        let mut revisions = BTreeSet::new();
        let doc: EntityUid = "Doc::\"d\"".parse()?;
        while !done.load(Ordering::Relaxed) {
            let engine = holder.current();
            let ids: BTreeSet<String> = engine.policies().map(|p| p.id().to_owned()).collect();
            let mut known = known.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            let before = known.entry(engine.revision().to_owned()).or_insert_with(|| ids.clone());
            ensure!(*before == ids, "one revision for {before:?} and {ids:?}");
            drop(known);
            let action = engine.action(&"Action::\"read\"".parse()?)?;
            let docs = engine.resource_type(&"Doc".parse()?, &["ns"], &[])?;
            for n in 0..USERS {
                let expected = ids.contains(&n.to_string());
                let entities = people.with([Entity::new(doc.clone()).with_attribute("ns", "a")])?;
                let request = Request::new(user(n)?, "Action::\"read\"".parse()?, doc.clone());
                let outcome = engine.decide(&request, &entities)?;
                let allowed = outcome.decision() == Decision::Allow;
                ensure!(allowed == expected, "user {n}: {outcome:?}");
                ensure!(outcome.reasons().all(|policy| policy.id() == n.to_string()));
                // Handles of an older engine decide rightly, too.
                let principal = engine.principal(&user(n)?, &people)?;
                let values = [Some("a".into())];
                let newest = holder.current();
                let asked = PreparedRequest::new(&principal, &action, docs.resource("d", &values));
                let allowed = newest.ruling_prepared(&asked)?.decision() == Decision::Allow;
                let there = newest.policies().any(|policy| policy.id() == n.to_string());
                ensure!(allowed == there, "user {n}, prepared");
                decided.fetch_add(1, Ordering::Relaxed);
            }
            revisions.insert(engine.revision().to_owned());
        }
        Ok(revisions.len())
    };
    let write = |first: usize| -> Result<()> {
        for number in 0..EDITS {
            let before = decided.load(Ordering::Relaxed);
            // Each writer has its own users, so that both can tell what is there.
            let n = first + 2 * (number * 7 % (USERS / 2));
            let there = holder.current().policies().any(|policy| policy.id() == n.to_string());
            let link = TemplateLink {
                template: "reads".to_owned(),
                id: n.to_string(),
                principal: Some(group(n)?),
                resource: None,
            };
            holder.edit(|edit| match there {
                true => edit.remove(n.to_string()).apply(),
                false => edit.link(link).apply(),
            })?;
            ensure!(holder.edit(|edit| edit.remove("nobody").apply()).is_err());
            if number % 50 == 49 {
                holder.settle();
            }
            let mut patience = 20_000;
            while decided.load(Ordering::Relaxed) == before && patience > 0 {
                patience -= 1;
                std::thread::yield_now();
            }
        }
        Ok(())
    };
    let most = std::thread::scope(|scope| -> Result<usize> {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
        let writers: Vec<_> = (0..2).map(|first| scope.spawn(move || write(first))).collect();
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        let written: Vec<Result<()>> =
            writers.into_iter().map(|writer| writer.join().map_err(panicked)?).collect();
        done.store(true, Ordering::Relaxed);
        let read: Vec<Result<usize>> =
            readers.into_iter().map(|reader| reader.join().map_err(panicked)?).collect();
        written.into_iter().collect::<Result<()>>()?;
        let read = read.into_iter().collect::<Result<Vec<usize>>>()?;
        read.into_iter().max().context("no reader")
    })?;
    eprintln!("{} decisions during {} edits", decided.into_inner(), 2 * EDITS);
    ensure!(most > 1, "no thread saw an edit");
    // None of the two writers' edits was lost.
    let mut expected = BTreeSet::new();
    for first in 0..2 {
        for number in 0..EDITS {
            let n = (first + 2 * (number * 7 % (USERS / 2))).to_string();
            if !expected.remove(&n) {
                expected.insert(n);
            }
        }
    }
    let left: BTreeSet<String> =
        holder.current().policies().map(|policy| policy.id().to_owned()).collect();
    ensure!(left == expected, "{left:?}, not {expected:?}");
    Ok(())
}
