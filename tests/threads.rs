//! Many threads decide while another one reloads: each answer is the one of the policy set
//! that the outcome names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Decision, Engine, EngineBuilder, EngineHolder, Entities, Entity, Request};

const SCHEMA: &str = "
    entity Group; entity User in [Group] { ns: String };
    entity Doc { ns: String };
    action read appliesTo { principal: User, resource: Doc };";
const USERS: usize = 12;
const VERSIONS: usize = 6;
const RELOADS: usize = 120;

/// Returns policies under which user `n` may read if it leaves no remainder by `version + 1`.
fn version(version: usize) -> EngineBuilder {
    let mut text = String::new();
    for user in (0..USERS).filter(|user| user % (version + 1) == 0) {
        text.push_str(&format!(
            "@id(\"{user}\") permit(principal in Group::\"{user}\", action, resource)
             when {{ resource.ns == \"{user}\" && resource.ns == principal.ns }};\n"
        ));
    }
    Engine::builder().schema("s.cedarschema", SCHEMA).policies("p.cedar", text)
}

#[test]
fn decisions_during_reloads_are_those_of_one_policy_set() -> Result<()> {
    let mut store = Vec::new();
    let mut requests = Vec::new();
    for user in 0..USERS {
        let uid = format!("User::\"u{user}\"").parse()?;
        let alice = Entity::new(uid).with_attribute("ns", user.to_string());
        let alice = alice.with_parent(format!("Group::\"{user}\"").parse()?);
        let doc = Entity::new(format!("Doc::\"d{user}\"").parse()?);
        let doc = doc.with_attribute("ns", user.to_string());
        requests.push(Request::new(
            alice.uid.clone(),
            "Action::\"read\"".parse()?,
            doc.uid.clone(),
        ));
        store.push(alice);
        // Half of the resources are laid over the store for each decision.
        if user % 2 == 0 {
            store.push(doc);
        }
    }
    // One store serves all engines, so what it caches for one meets the others.
    let entities = Entities::from_entities(store)?;

    let mut expected = BTreeMap::new();
    for number in 0..VERSIONS {
        let engine = version(number).build()?;
        let allowed: Vec<bool> = (0..USERS).map(|user| user % (number + 1) == 0).collect();
        expected.insert(engine.revision().to_owned(), allowed);
    }
    ensure!(expected.len() == VERSIONS);

    let holder = EngineHolder::new(version(0).build()?);
    let done = AtomicBool::new(false);
    let decided = AtomicUsize::new(0);
    let decide = || -> Result<usize> {
        let mut revisions = std::collections::BTreeSet::new();
        while !done.load(Ordering::Relaxed) {
            let engine = holder.current();
            for (user, request) in requests.iter().enumerate() {
                let doc = Entity::new(request.resource.clone());
                let doc = doc.with_attribute("ns", user.to_string());
                let entities = match user % 2 {
                    0 => entities.clone(),
                    _ => entities.with([doc])?,
                };
                let outcome = engine.decide(request, &entities)?;
                let allowed = expected.get(outcome.revision()).context("an unknown revision")?;
                let expected = allowed.get(user).copied().unwrap_or_default();
                ensure!((outcome.decision() == Decision::Allow) == expected, "user {user}");
                let reasons: Vec<&str> = outcome.reasons().map(|policy| policy.id()).collect();
                ensure!(reasons.len() == usize::from(expected), "user {user}: {reasons:?}");
                ensure!(reasons.iter().all(|id| **id == user.to_string()), "{user}: {reasons:?}");
                decided.fetch_add(1, Ordering::Relaxed);
            }
            revisions.insert(engine.revision().to_owned());
        }
        Ok(revisions.len())
    };
    let reload = || -> Result<()> {
        for number in 0..RELOADS {
            let before = decided.load(Ordering::Relaxed);
            if number % 5 == 4 {
                let broken = version(0).policies("broken.cedar", "permit(principal, action");
                ensure!(holder.reload(broken).is_err(), "a broken set was put in force");
            } else {
                holder.reload(version(number % VERSIONS))?;
            }
            // Let the others come to see it, unless they have stopped for an error.
            let mut patience = 200_000;
            while decided.load(Ordering::Relaxed) < before + USERS && patience > 0 {
                patience -= 1;
                std::thread::yield_now();
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(decide)).collect();
        let reloaded = reload();
        done.store(true, Ordering::Relaxed);
        let mut most = 0;
        for thread in threads {
            most = most.max(thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??);
        }
        reloaded?;
        ensure!(most > 1, "no thread saw a reload");
        Ok(())
    })?;
    let decided = decided.into_inner();
    eprintln!("{decided} decisions during {RELOADS} reloads");
    ensure!(decided > RELOADS * USERS, "only {decided} decisions");
    Ok(())
}
