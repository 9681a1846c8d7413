//! A job that runs at night: who may do what, for an access review, over all people and services
//! and on all processors: `cargo run -p stagedoor --example batch_job`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use stagedoor::{DecideError, Decision, Engine, Entities, Entity, PreparedRequest, Principal, uid};

const SCHEMA: &str = "
    entity Group; entity User in [Group];
    entity Service { owner: String, tier: String };
    action restart, delete appliesTo { principal: User, resource: Service };";

const POLICIES: &str = r#"
    @id("owners-restart") permit (principal in Group::"payments", action == Action::"restart", resource)
    when { resource.owner == "payments" };
    @id("platform") permit (principal in Group::"platform", action, resource);
    @id("gold-stays") forbid (principal, action == Action::"delete", resource)
    when { resource.tier == "gold" };"#;

/// How many services a person may do each action on.
type Grants = BTreeMap<(String, &'static str), usize>;

/// Decides one person's requests about all services. What does not change from one to the next is
/// looked up once.
fn review(
    engine: &Engine,
    person: &Principal,
    services: &[(String, &str, &str)],
) -> Result<Grants, Box<dyn std::error::Error + Send + Sync>> {
    let mut grants = Grants::new();
    let service = engine.resource_type(&"Service".parse()?, &["owner", "tier"], &[])?;
    for name in ["restart", "delete"] {
        let action = engine.action(&uid("Action", name)?)?;
        for (id, owner, tier) in services {
            let attributes = [Some((*owner).into()), Some((*tier).into())];
            let request = PreparedRequest::new(person, &action, service.resource(id, &attributes));
            if engine.ruling_prepared(&request)?.decision() == Decision::Allow {
                *grants.entry((person.uid().id().unescaped().to_owned(), name)).or_default() += 1;
            }
        }
    }
    Ok(grants)
}

/// Reviews everybody, a share of the people on each thread.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema("services.cedarschema", SCHEMA)
        .policies("services.cedar", POLICIES)
        .build()?;
    // Files or a database in a job.
    let services: Vec<(String, &str, &str)> = (0..500)
        .map(|n| {
            let owner = if n % 5 == 0 { "payments" } else { "web" };
            (format!("service-{n}"), owner, if n % 10 == 0 { "gold" } else { "silver" })
        })
        .collect();
    let people = (0..40).map(|n| {
        let group = ["payments", "platform", "web", "web"].get(n % 4).copied().unwrap_or("web");
        Ok(Entity::new(uid("User", format!("user-{n}"))?).with_parent(uid("Group", group)?))
    });
    let people = people.collect::<Result<Vec<Entity>, Box<dyn std::error::Error>>>()?;
    let uids: Vec<_> = people.iter().map(|person| person.uid.clone()).collect();
    let entities = Entities::from_entities(people)?;
    let principals = uids.iter().map(|person| engine.principal(person, &entities));
    let principals = principals.collect::<Result<Vec<Principal>, DecideError>>()?;

    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = principals.len().div_ceil(threads);
    let mut grants = Grants::new();
    std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
        let reviewing: Vec<_> = principals
            .chunks(share)
            .map(|people| {
                let (engine, services) = (&engine, &services);
                scope.spawn(move || {
                    let reviewed = people.iter().map(|person| review(engine, person, services));
                    reviewed.collect::<Result<Vec<Grants>, _>>()
                })
            })
            .collect();
        for thread in reviewing {
            // A job that lost a part of its work has failed.
            let reviewed = thread.join().map_err(|_| "a thread panicked")?;
            grants.extend(reviewed.map_err(|error| error.to_string())?.into_iter().flatten());
        }
        Ok(())
    })?;

    println!("{} grants of {} people, revision {}", grants.len(), uids.len(), engine.revision());
    let of = |person: &str, action| grants.get(&(person.to_owned(), action)).copied();
    assert_eq!(of("user-0", "restart"), Some(100), "payments restarts what it owns");
    assert_eq!(of("user-0", "delete"), None);
    assert_eq!(of("user-1", "restart"), Some(500), "platform restarts everything");
    assert_eq!(of("user-1", "delete"), Some(450), "and deletes all but gold");
    assert_eq!(of("user-2", "restart"), None);
    Ok(())
}
