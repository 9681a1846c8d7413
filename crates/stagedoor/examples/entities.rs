//! Entities with all kinds of values, layered: `cargo run -p stagedoor --example entities`.

use stagedoor::{Decision, Engine, Entities, Entity, Extension, Record, Request, Value, uid};

/// Keeps people prepared, lays a request's own entity over them, and reads Cedar's JSON form.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema(
            "hosts.cedarschema",
            "entity Group; entity User in [Group];
             entity Host { address: ipaddr, labels: Set<String>, site: { country: String } };
             action login appliesTo { principal: User, resource: Host };",
        )
        .policies(
            "hosts.cedar",
            r#"permit (principal in Group::"ops", action, resource)
               when {
                   resource.address.isInRange(ip("10.0.0.0/8")) &&
                   resource.labels.contains("internal") && resource.site.country == "ch"
               };"#,
        )
        .build()?;
    let people = Entities::from_entities([
        // ops-zurich is in ops, and so is whoever is in ops-zurich.
        Entity::new(uid("Group", "ops-zurich")?),
        Entity::new(uid("User", "ana")?).with_parent(uid("Group", "ops")?),
    ])?;
    let host = Entity::new(uid("Host", "db1")?)
        .with_attribute("address", Extension::ip("10.1.2.3")?)
        .with_attribute("labels", Value::from_iter(["internal", "database"]))
        .with_attribute("site", Record::from([("country".into(), "ch".into())]));
    let request = Request::new(uid("User", "ana")?, uid("Action", "login")?, host.uid.clone());
    let outcome = engine.decide(&request, &people.with([host])?)?;
    assert_eq!(outcome.decision(), Decision::Allow);

    // A schema tells that the string is an address.
    let json = r#"[{"uid": {"type": "Host", "id": "db1"}, "parents": [],
        "attrs": {"address": "192.168.0.1", "labels": [], "site": {"country": "ch"}}}]"#;
    let hosts = Entities::from_json_str(json, engine.schema())?;
    let all = people.with(hosts.iter().filter(|host| host.uid == request.resource).cloned())?;
    let outcome = engine.decide(&request, &all)?;
    println!("from outside: {:?}", outcome.decision());
    assert_eq!(outcome.decision(), Decision::Deny);
    Ok(())
}
