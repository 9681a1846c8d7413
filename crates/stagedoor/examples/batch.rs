//! Decides many requests about the same entities: `cargo run -p stagedoor --example batch`.

use stagedoor::{Decision, Engine, Entities, Entity, PreparedRequest, Request, uid};

/// Asks for a whole list at once, and then by handles, which look up once what stays the same.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema(
            "shop.cedarschema",
            "entity User; entity Service { owner: String };
             action restart appliesTo { principal: User, resource: Service };",
        )
        .policies(
            "shop.cedar",
            r#"permit (principal == User::"ana", action, resource)
               when { resource.owner == "payments" };"#,
        )
        .build()?;
    let owners = [("ledger", "payments"), ("shop", "web"), ("invoices", "payments")];
    let (ana, restart) = (uid("User", "ana")?, uid("Action", "restart")?);

    let mut services = Vec::new();
    let mut requests = Vec::new();
    for (name, owner) in owners {
        let service = uid("Service", name)?;
        requests.push(Request::new(ana.clone(), restart.clone(), service.clone()));
        services.push(Entity::new(service).with_attribute("owner", owner));
    }
    let entities = Entities::from_entities(services)?;
    let mut allowed = Vec::new();
    for (outcome, (name, _)) in engine.decide_batch(&requests, &entities).into_iter().zip(owners) {
        if outcome?.decision() == Decision::Allow {
            allowed.push(name);
        }
    }
    println!("ana may restart {allowed:?}");
    assert_eq!(allowed, ["ledger", "invoices"]);

    let principal = engine.principal(&ana, &Entities::empty())?;
    let action = engine.action(&restart)?;
    let service = engine.resource_type(&"Service".parse()?, &["owner"], &[])?;
    for (name, owner) in owners {
        let attributes = [Some(owner.into())];
        let request =
            PreparedRequest::new(&principal, &action, service.resource(name, &attributes));
        let ruling = engine.ruling_prepared(&request)?;
        assert_eq!(ruling.decision() == Decision::Allow, allowed.contains(&name));
    }
    Ok(())
}
